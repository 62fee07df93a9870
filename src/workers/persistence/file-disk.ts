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
import { type RunningSync, type SyncThread, sharedPages } from './sync-thread.ts';
import { writeAll, writeDirect } from './write-all.ts';

/**
 * The store's disk on a real file system. Calls block the thread, which is the persistence thread's job: the measured alternative
 * (libuv's pool) costs a third of the throughput. Only background syncs run on the pool.
 *
 * A store may have more files than a process may have open, so descriptors are a cache: the least recently used is closed
 * and opened again when needed.
 *
 * What is written and synced in one go is written past the page cache (O_DIRECT), by a second descriptor. A file system or
 * device that can't do that says so (EINVAL), and from then on gets ordinary writes.
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
  /** Whether to write past the page cache. */
  direct = constants.O_DIRECT !== undefined;
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

  sharedMemory(bytes: number): ArrayBufferLike {
    return sharedPages(bytes);
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
  /** For writes past the page cache; -1: there is none. */
  #directFd = -1;
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
    this.#closeDescriptors();
  }

  #closeDescriptors(): void {
    closeSync(this.#fd);
    if (this.#directFd >= 0) closeSync(this.#directFd);
    this.#fd = -1;
    this.#directFd = -1;
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
    attempted('write', this.path, () => writeAll(this.#descriptor(), source, offset, length, position));
  }

  truncate(length: number): void {
    attempted('truncate', this.path, () => ftruncateSync(this.#descriptor(), length));
  }

  sync(): void {
    if (this.#failure !== null) throw this.#failure;
    this.#sync(performance.now());
  }

  /** @param start when what the caller waits for began */
  #sync(start: number): void {
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
    return this.#awaitable(syncThread.sync(this.#descriptor()));
  }

  writeSynced(source: Uint8Array, length: number, position: number): void {
    if (this.#failure !== null) throw this.#failure;
    const start = performance.now();
    if (!this.#writeDirect(source, length, position)) this.write(source, 0, length, position);
    this.#sync(start);
  }

  beginWriteSynced(source: Uint8Array, length: number, position: number): AwaitableSync {
    const { syncThread } = this.#disk;
    if (syncThread === null) {
      this.writeSynced(source, length, position);
      return { poll: () => true, wait: () => undefined };
    }
    if (this.#failure !== null) throw this.#failure;
    return this.#awaitable(
      syncThread.writeSynced(this.#descriptor(), this.#directDescriptor(), source, length, position),
    );
  }

  /** @returns false when that can't be done here */
  #writeDirect(source: Uint8Array, length: number, position: number): boolean {
    const fd = this.#directDescriptor();
    const isWritten = attempted('write', this.path, () => writeDirect(fd, source, length, position));
    if (!isWritten) this.#disk.direct = false;
    return isWritten;
  }

  /** @returns -1 when there can't be one */
  #directDescriptor(): number {
    if (!this.#disk.direct) return -1;
    // The other one may have been given back, and this one with it.
    this.#descriptor();
    if (this.#directFd >= 0) return this.#directFd;
    try {
      this.#directFd = openSync(this.#location, constants.O_RDWR | constants.O_DIRECT);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') {
        throw new DiskError(codeOf(error), `open ${this.path}: ${(error as Error).message}`);
      }
      this.#disk.direct = false;
    }
    return this.#directFd;
  }

  #awaitable(pending: RunningSync): AwaitableSync {
    this.#syncing++;
    let ended = false;
    const end = (problem: string | null): void => {
      if (!ended) {
        ended = true;
        this.#syncing--;
        this.#disk.noteSync(pending.micros());
        if (pending.refusedDirect()) this.#disk.direct = false;
        if (problem !== null) this.#failure = new DiskError('io', `write or sync ${this.path}: ${problem}`);
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
    this.#closeDescriptors();
  }

  #descriptor(): number {
    if (this.#fd < 0) this.#fd = openSync(this.#location, constants.O_RDWR);
    this.#disk.touch(this);
    return this.#fd;
  }
}
