/**
 * The disk as the store sees it: synchronous, and small enough that a simulated one can stand in and crash at any call.
 *
 * What a disk promises. Bytes written are readable at once. They survive a crash of the machine only after `sync` (or a
 * finished `startSync`) of their file; until then any part of them may. A file's existence, its name and its removal survive
 * after `syncDirectory`; unsynced changes of names happen in order, so a crash keeps a prefix of them. A sync that failed
 * is never repeated: the kernel may have dropped the pages.
 *
 * Paths are relative to the store directory, parts separated by `/`.
 */

export type DiskErrorCode = 'no_space' | 'not_found' | 'denied' | 'io';

/** Thrown by every method of `Disk` and `DiskFile`. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;

  /** @param message what was attempted, on which file, what the system said */
  constructor(code: DiskErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A sync that runs while the store does other things. */
export interface PendingSync {
  /** @returns whether it is done; throws `DiskError` when it failed */
  poll(): boolean;
}

/** As `PendingSync`; the one who began it may also wait. */
export interface AwaitableSync extends PendingSync {
  /** Returns when it is done; throws `DiskError` when it failed. */
  wait(): void;
}

export interface DiskFile {
  readonly path: string;
  size(): number;
  /** @returns bytes read; fewer than asked for at the end of the file only */
  read(target: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes all of it. After a failure the range holds old bytes, new bytes or a mixture. */
  write(source: Uint8Array, offset: number, length: number, position: number): void;
  /**
   * `write` for much that is not read again soon: it may be made beside the caller's work, past the page cache. Reads of the file
   * see it. Should it fail after this call, every later sync of the file fails.
   *
   * @returns false: it is in the page cache, as with `write`
   */
  writeBehind(source: Uint8Array, offset: number, length: number, position: number): boolean;
  truncate(length: number): void;
  /** Waits until data and size are on the disk. */
  sync(): void;
  /** In the background, for files that nobody waits for. Should it fail, every later sync of the file fails too. */
  startSync(): PendingSync;
  /** Beside the caller's work, as soon as can be: acknowledgements wait for it. */
  beginSync(): AwaitableSync;
  /**
   * `write` of the first `length` bytes, and `sync`. Past the page cache where the file system lets us: it costs a copy
   * and the search for what is dirty. Best with whole sectors, from memory that `Disk.sharedMemory` gave.
   */
  writeSynced(source: Uint8Array, length: number, position: number): void;
  /** The same beside the caller's work. Until it is done the source must not change, and the range may hold anything. */
  beginWriteSynced(source: Uint8Array, length: number, position: number): AwaitableSync;
  close(): void;
}

export interface Disk {
  /**
   * Claims the directory for this process.
   *
   * @returns null, or who holds it
   */
  lock(): string | null;
  /** @param refused the directory is not to be used after all: nothing of the claim stays in it */
  unlock(refused: boolean): void;
  /** With its parents; existing is fine. */
  makeDirectory(path: string): void;
  /** Names in a directory, sorted; empty when there is no such directory. */
  list(path: string): string[];
  /** Opens for reading and writing. @param create makes an empty file when there is none; else `not_found` is thrown */
  open(path: string, create: boolean): DiskFile;
  /** Replaces what is at `to`. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Of an empty directory. */
  removeDirectory(path: string): void;
  /** Makes names in the directory durable. */
  syncDirectory(path: string): void;
  freeBytes(): number;
  /** Memory, zeroed, that whoever writes beside the caller's work sees as well. */
  sharedMemory(bytes: number): ArrayBufferLike;
}
