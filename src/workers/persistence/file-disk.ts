import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  type AwaitableSync,
  type Disk,
  DiskError,
  type DiskErrorCode,
  type DiskFile,
  type PendingSync,
} from '../../shared/jetstream/store/disk.ts';
import { claimLock, releaseLock } from './lock-file.ts';
import type { SyncThread } from './sync-thread.ts';

/**
 * The store's disk on a real file system. Calls block the thread, which is the persistence thread's job: the measured alternative
 * (libuv's pool) costs a third of the throughput. Only background syncs run on the pool.
 *
 * A store may have more files than a process may have open, so descriptors are a cache: the least recently used is closed
 * and opened again when needed.
 */

const MAX_OPEN_FILES = 512;
const SYNCS_AVERAGED = 8;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

function codeOf(error: unknown): DiskErrorCode {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') return 'no_space';
  if (code === 'ENOENT') return 'not_found';
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return 'denied';
  return 'io';
}

/** Runs a call into the file system; what it throws becomes a `DiskError`. */
function attempted<T>(action: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new DiskError(codeOf(error), `${action} ${path}: ${(error as Error).message}`);
  }
}

export class FileDisk implements Disk {
  readonly #root: string;
  readonly #made = new Set<string>();
  /** There was no lock file before this process came. */
  #lockIsNew = false;
  /** Open files, least recently used first. */
  readonly #open = new Set<StoreFile>();
  /** Null: syncs that are begun are done at once. */
  readonly syncThread: SyncThread | null;
  /** How long a sync takes that somebody waits for; the last ones count most. */
  syncMicros = 0;

  /** @param root the store directory; made when it isn't there */
  constructor(root: string, syncThread: SyncThread | null = null) {
    this.#root = root;
    this.syncThread = syncThread;
  }

  lock(): string | null {
    this.makeDirectory('');
    const path = join(this.#root, 'lock');
    this.#lockIsNew = !existsSync(path);
    return attempted('lock', this.#root, () => claimLock(path));
  }

  unlock(refused: boolean): void {
    const isLeft = refused && this.#lockIsNew;
    attempted('unlock', this.#root, () => releaseLock(join(this.#root, 'lock'), isLeft));
  }

  makeDirectory(path: string): void {
    if (this.#made.has(path)) return;
    attempted('make directory', path, () =>
      mkdirSync(join(this.#root, path), { recursive: true, mode: DIRECTORY_MODE }),
    );
    this.#made.add(path);
  }

  list(path: string): string[] {
    return attempted('list', path, () => {
      try {
        return readdirSync(join(this.#root, path)).sort();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    });
  }

  open(path: string, create: boolean): DiskFile {
    const file = new StoreFile(this, path, join(this.#root, path));
    file.openFirst(create);
    return file;
  }

  rename(from: string, to: string): void {
    this.#made.delete(from);
    attempted('rename', `${from} to ${to}`, () => renameSync(join(this.#root, from), join(this.#root, to)));
  }

  unlink(path: string): void {
    attempted('remove', path, () => unlinkSync(join(this.#root, path)));
  }

  removeDirectory(path: string): void {
    this.#made.delete(path);
    attempted('remove directory', path, () => rmdirSync(join(this.#root, path)));
  }

  syncDirectory(path: string): void {
    attempted('sync directory', path, () => {
      const fd = openSync(join(this.#root, path), constants.O_RDONLY);
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  freeBytes(): number {
    return attempted('ask the space of', this.#root, () => {
      const { bavail, bsize } = statfsSync(this.#root);
      return bavail * bsize;
    });
  }

  noteSync(micros: number): void {
    this.syncMicros += (micros - this.syncMicros) / SYNCS_AVERAGED;
  }

  /** Notes that a file's descriptor is in use; closes others when there are too many. */
  touch(file: StoreFile): void {
    this.#open.delete(file);
    this.#open.add(file);
    if (this.#open.size <= MAX_OPEN_FILES) return;
    for (const candidate of this.#open) {
      if (candidate === file || candidate.busy) continue;
      candidate.park();
      return;
    }
  }

  forget(file: StoreFile): void {
    this.#open.delete(file);
  }
}

class StoreFile implements DiskFile {
  readonly path: string;
  readonly #disk: FileDisk;
  readonly #location: string;
  #fd = -1;
  #syncing = 0;
  #closing = false;
  /** A sync failed: no later one may say that all is well. */
  #failure: DiskError | null = null;

  constructor(disk: FileDisk, path: string, location: string) {
    this.#disk = disk;
    this.path = path;
    this.#location = location;
  }

  get busy(): boolean {
    return this.#syncing > 0;
  }

  openFirst(create: boolean): void {
    const flags = create ? constants.O_RDWR | constants.O_CREAT : constants.O_RDWR;
    this.#fd = attempted('open', this.path, () => openSync(this.#location, flags, FILE_MODE));
    this.#disk.touch(this);
  }

  /** Gives the descriptor back until the file is used again. */
  park(): void {
    this.#disk.forget(this);
    closeSync(this.#fd);
    this.#fd = -1;
  }

  size(): number {
    return attempted('ask the size of', this.path, () => fstatSync(this.#descriptor()).size);
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    return attempted('read', this.path, () => {
      const fd = this.#descriptor();
      let done = 0;
      while (done < length) {
        const count = readSync(fd, target, offset + done, length - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    attempted('write', this.path, () => {
      const fd = this.#descriptor();
      for (let done = 0; done < length; ) {
        done += writeSync(fd, source, offset + done, length - done, position + done);
      }
    });
  }

  truncate(length: number): void {
    attempted('truncate', this.path, () => ftruncateSync(this.#descriptor(), length));
  }

  sync(): void {
    if (this.#failure !== null) throw this.#failure;
    const start = performance.now();
    try {
      attempted('sync', this.path, () => fdatasyncSync(this.#descriptor()));
    } catch (error) {
      this.#failure = error as DiskError;
      throw error;
    }
    this.#disk.noteSync((performance.now() - start) * 1000);
  }

  startSync(): PendingSync {
    if (this.#failure !== null) throw this.#failure;
    let done = false;
    this.#syncing++;
    fdatasync(this.#descriptor(), (error) => {
      this.#syncing--;
      done = true;
      if (error !== null) {
        this.#failure = new DiskError(codeOf(error), `sync ${this.path}: ${error.message}`);
      }
      if (this.#closing && this.#syncing === 0) this.#release();
    });
    return {
      poll: () => {
        if (this.#failure !== null) throw this.#failure;
        return done;
      },
    };
  }

  beginSync(): AwaitableSync {
    const { syncThread } = this.#disk;
    if (syncThread === null) {
      this.sync();
      return { poll: () => true, wait: () => undefined };
    }
    if (this.#failure !== null) throw this.#failure;
    this.#syncing++;
    const pending = syncThread.begin(this.#descriptor());
    let ended = false;
    const end = (problem: string | null): void => {
      if (!ended) {
        ended = true;
        this.#syncing--;
        this.#disk.noteSync(pending.micros());
        if (problem !== null) this.#failure = new DiskError('io', `sync ${this.path}: ${problem}`);
        if (this.#closing && this.#syncing === 0) this.#release();
      }
      if (this.#failure !== null) throw this.#failure;
    };
    return {
      poll: () => {
        if (!ended && !pending.isDone()) return false;
        end(ended ? null : pending.problem());
        return true;
      },
      wait: () => {
        pending.wait();
        end(ended ? null : pending.problem());
      },
    };
  }

  close(): void {
    this.#closing = true;
    if (this.#syncing === 0) this.#release();
  }

  #release(): void {
    if (this.#fd < 0) return;
    this.#disk.forget(this);
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #descriptor(): number {
    if (this.#fd < 0) this.#fd = openSync(this.#location, constants.O_RDWR);
    this.#disk.touch(this);
    return this.#fd;
  }
}
