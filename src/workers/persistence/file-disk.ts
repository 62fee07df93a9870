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
  readFileSync,
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
import { type BegunWrite, WRITE_SLOT_BYTES, type WriteThread } from './write-thread.ts';

/**
 * The store's disk on a real file system. Calls block the thread, which is the persistence thread's job: the measured alternative
 * (libuv's pool) costs a third of the throughput. Only background syncs run on the pool.
 *
 * A store may have more files than a process may have open, so descriptors are a cache: the least recently used is closed
 * and opened again when needed.
 *
 * What is written and synced in one go is written past the page cache (O_DIRECT), by a second descriptor. A file system or
 * device that can't do that says so (EINVAL), and from then on gets ordinary writes.
 *
 * So is what is written behind, beside this thread. What has pages in common with such a write, or all of them (a sync), waits for
 * it: a page can't be written to the cache and past it at once.
 */

const MAX_OPEN_FILES = 512;
/** Less is not worth a write beside this thread. */
const BEHIND_MIN_BYTES = 64 * 1024;
/** A write behind can't say that the disk is full, so there has to be room; it is asked for every so many bytes. */
const BEHIND_ROOM_BYTES = 256 * 1024 * 1024;
const BEHIND_ASK_BYTES = 16 * 1024 * 1024;
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

/** Length of a page of memory, from what the kernel tells each process; 0 where it tells nothing. */
function pageBytes(): number {
  const AT_PAGESZ = 6n;
  try {
    const words = readFileSync('/proc/self/auxv');
    for (let at = 0; at + 16 <= words.length; at += 16) {
      if (words.readBigUInt64LE(at) === AT_PAGESZ) return Number(words.readBigUInt64LE(at + 8));
    }
  } catch {
    // Not Linux.
  }
  return 0;
}

/** A write behind that may not be over. */
interface BehindWrite {
  readonly from: number;
  readonly to: number;
  readonly begun: BegunWrite;
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
  /** Bytes that may be written behind before it is asked again whether there is room. */
  #behindBytes = 0;
  #writeThread: WriteThread | null = null;
  /** Length of a page of memory; 0: not known. */
  readonly pageBytes = pageBytes();
  readonly #startWriteThread: ((pageBytes: number) => WriteThread) | null;
  /** How long a sync takes that somebody waits for; the last ones count most. */
  syncMicros = 0;

  /**
   * @param root the store directory; made when it isn't there
   * @param startWriteThread called when there is first something for it; null: what could be written behind is written at once
   */
  constructor(
    root: string,
    syncThread: SyncThread | null = null,
    startWriteThread: ((pageBytes: number) => WriteThread) | null = null,
  ) {
    this.#root = root;
    this.syncThread = syncThread;
    this.#startWriteThread = startWriteThread;
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

  /** Whether `bytes` more should be written behind. */
  takesBehind(bytes: number): boolean {
    if (this.#startWriteThread === null || !this.direct) return false;
    if (this.pageBytes === 0 || bytes < BEHIND_MIN_BYTES) return false;
    if (this.#behindBytes < bytes) {
      if (this.freeBytes() < BEHIND_ROOM_BYTES) return false;
      this.#behindBytes = BEHIND_ASK_BYTES;
    }
    this.#behindBytes -= bytes;
    return true;
  }

  writeThread(): WriteThread {
    this.#writeThread ??= this.#startWriteThread!(this.pageBytes);
    return this.#writeThread;
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
  /** In the order they were begun, in which they end. */
  #behind: BehindWrite[] = [];
  /** A sync failed: no later one may say that all is well. */
  #failure: DiskError | null = null;

  constructor(disk: FileDisk, path: string, location: string) {
    this.#disk = disk;
    this.path = path;
    this.#location = location;
  }

  get busy(): boolean {
    this.#noteBehind();
    return this.#syncing > 0 || this.#behind.length > 0;
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
    this.#settle(0, Infinity);
    return attempted('ask the size of', this.path, () => fstatSync(this.#descriptor()).size);
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    this.#settle(position, position + length);
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
    this.#settle(position, position + length);
    attempted('write', this.path, () => writeAll(this.#descriptor(), source, offset, length, position));
  }

  writeBehind(source: Uint8Array, offset: number, length: number, position: number): boolean {
    const disk = this.#disk;
    const directFd = disk.takesBehind(length) ? this.#directDescriptor() : -1;
    if (directFd < 0) {
      this.write(source, offset, length, position);
      return false;
    }
    const thread = disk.writeThread();
    for (let done = 0; done < length; ) {
      const count = Math.min(WRITE_SLOT_BYTES, length - done);
      const at = position + done;
      const begun = thread.write(this.#descriptor(), directFd, source, offset + done, count, at);
      this.#behind.push({ from: at, to: at + count, begun });
      done += count;
    }
    this.#noteBehind();
    return true;
  }

  /** Waits for writes behind that have pages in common with a stretch of the file. */
  #settle(from: number, to: number): void {
    if (this.#behind.length === 0) return;
    const { pageBytes: page } = this.#disk;
    for (const write of this.#behind) {
      if (write.from - page < to && write.to + page > from) write.begun.wait();
    }
    this.#noteBehind();
  }

  /** Takes note of writes behind that are over. */
  #noteBehind(): void {
    const behind = this.#behind;
    let over = 0;
    while (over < behind.length && behind[over]!.begun.poll()) {
      const { problem, refusedDirect } = behind[over]!.begun;
      if (refusedDirect) this.#disk.direct = false;
      // Not `no_space`: what could not be written is nowhere any more, so it can't be tried again.
      if (problem !== null) this.#failure ??= new DiskError('io', `write ${this.path}: ${problem}`);
      over++;
    }
    if (over > 0) behind.splice(0, over);
  }

  /** A sync covers what was written behind too, and none may say that all is well when something failed. */
  #beforeSync(): void {
    this.#settle(0, Infinity);
    if (this.#failure !== null) throw this.#failure;
  }

  truncate(length: number): void {
    this.#settle(0, Infinity);
    attempted('truncate', this.path, () => ftruncateSync(this.#descriptor(), length));
  }

  sync(): void {
    this.#beforeSync();
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
    this.#beforeSync();
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
    this.#beforeSync();
    const { syncThread } = this.#disk;
    if (syncThread === null) {
      this.sync();
      return { poll: () => true, wait: () => undefined };
    }
    return this.#awaitable(syncThread.sync(this.#descriptor()));
  }

  writeSynced(source: Uint8Array, length: number, position: number): void {
    this.#beforeSync();
    const start = performance.now();
    if (!this.#writeDirect(source, length, position)) this.write(source, 0, length, position);
    this.#sync(start);
  }

  beginWriteSynced(source: Uint8Array, length: number, position: number): AwaitableSync {
    this.#beforeSync();
    const { syncThread } = this.#disk;
    if (syncThread === null) {
      this.writeSynced(source, length, position);
      return { poll: () => true, wait: () => undefined };
    }
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
    this.#settle(0, Infinity);
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
