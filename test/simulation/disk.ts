import type { Prng } from '../../src/shared/base/prng.ts';
import {
  type AwaitableSync,
  type Disk,
  DiskError,
  type DiskFile,
  type PendingSync,
} from '../../src/shared/jetstream/store/disk.ts';

/**
 * A disk in memory that can crash, fill up and fail.
 *
 * What was written and not synced is a list of writes beside the durable bytes of each file. A crash keeps the durable bytes, and of
 * each unsynced write all, nothing, or some of its sectors, one of them possibly cut in the middle. Changes of names are
 * durable in order: a crash keeps a prefix of those that no directory sync covered.
 */

const SECTOR_BYTES = 512;

/** Thrown at the chosen call: the machine is gone. Not a `DiskError`, so nothing in the store may catch it. */
export class MachineCrash extends Error {
  override readonly name = 'MachineCrash';
}

interface Inode {
  live: Uint8Array;
  size: number;
  durable: Uint8Array;
  unsynced: UnsyncedWrite[];
}

interface UnsyncedWrite {
  position: number;
  bytes: Uint8Array;
  truncate: boolean;
  /** Whether a reader sees it: not if the crash came at this very call, or while it was made beside the caller's work. */
  seen: boolean;
}

type Names = Map<string, Inode | 'directory'>;

interface NameChange {
  apply: (names: Names) => void;
}

export class SimulatedDisk implements Disk {
  names: Names = new Map([['', 'directory']]);
  /** Calls until the crash; -1: never. */
  crashAfter = -1;
  /** Bytes all files together may have. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Syncs of paths that match fail, those of directories too. */
  failSync: RegExp | null = null;
  /** Reads of paths that match fail. */
  failRead: RegExp | null = null;
  calls = 0;
  #durableNames: Names = new Map([['', 'directory']]);
  #changes: NameChange[] = [];
  #locked = false;

  lock(): string | null {
    if (this.#locked) return 'process 1';
    this.#locked = true;
    return null;
  }

  unlock(): void {
    this.#locked = false;
  }

  makeDirectory(path: string): void {
    let parent = '';
    for (const part of path.split('/')) {
      parent = parent === '' ? part : `${parent}/${part}`;
      if (this.names.has(parent)) continue;
      this.#step();
      const name = parent;
      this.#change((names) => names.set(name, 'directory'));
    }
  }

  list(path: string): string[] {
    const prefix = path === '' ? '' : `${path}/`;
    return [...this.names.keys()]
      .filter((name) => name !== '' && name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
      .map((name) => name.slice(prefix.length))
      .sort();
  }

  open(path: string, create: boolean): DiskFile {
    this.#step();
    let inode = this.names.get(path);
    if (inode === undefined) {
      if (!create) throw new DiskError('not_found', `open ${path}: not found`);
      const fresh: Inode = { live: new Uint8Array(0), size: 0, durable: new Uint8Array(0), unsynced: [] };
      this.#change((names) => names.set(path, fresh));
      inode = fresh;
    }
    if (inode === 'directory') throw new DiskError('io', `open ${path}: is a directory`);
    return new SimulatedFile(this, path, inode);
  }

  rename(from: string, to: string): void {
    this.#step();
    if (!this.names.has(from)) throw new DiskError('not_found', `rename ${from}: not found`);
    this.#change((names) => {
      for (const [name, inode] of [...names]) {
        if (name !== from && !name.startsWith(`${from}/`)) continue;
        names.delete(name);
        names.set(to + name.slice(from.length), inode);
      }
    });
  }

  unlink(path: string): void {
    this.#step();
    if (!this.names.has(path)) throw new DiskError('not_found', `remove ${path}: not found`);
    this.#change((names) => names.delete(path));
  }

  removeDirectory(path: string): void {
    this.#step();
    if (this.list(path).length > 0) throw new DiskError('io', `remove ${path}: not empty`);
    this.#change((names) => names.delete(path));
  }

  syncDirectory(path: string): void {
    this.#step();
    if (this.names.get(path) !== 'directory') throw new DiskError('not_found', `sync ${path}: not found`);
    if (this.failSync?.test(path)) throw new DiskError('io', `sync ${path}: input/output error`);
    for (const change of this.#changes) change.apply(this.#durableNames);
    this.#changes = [];
  }

  sharedMemory(bytes: number): ArrayBuffer {
    return new ArrayBuffer(bytes);
  }

  freeBytes(): number {
    return Number.isFinite(this.capacityBytes) ? this.capacityBytes - this.usedBytes() : 1e12;
  }

  usedBytes(): number {
    let bytes = 0;
    for (const inode of this.names.values()) if (inode !== 'directory') bytes += inode.size;
    return bytes;
  }

  /** Bytes of a file, to look at or to damage; writing to them changes the durable ones too. */
  content(path: string): Uint8Array {
    const inode = this.names.get(path);
    if (inode === undefined || inode === 'directory') throw new Error(`no file ${path}`);
    return inode.live.subarray(0, inode.size);
  }

  /** Paths of all files. */
  files(): string[] {
    return [...this.names].filter(([, inode]) => inode !== 'directory').map(([name]) => name);
  }

  /** A copy of everything as a reader sees it now, all of it durable: what a clean power-off leaves. */
  copy(): SimulatedDisk {
    const disk = new SimulatedDisk();
    for (const [name, inode] of this.names) {
      const copied = inode === 'directory' ? inode : inodeOf(inode.live.slice(0, inode.size));
      disk.names.set(name, copied);
      disk.#durableNames.set(name, copied);
    }
    return disk;
  }

  /** The process is gone, the machine is not: everything written is there, and still not durable. */
  killed(): this {
    this.#locked = false;
    this.crashAfter = -1;
    this.failSync = null;
    for (const inode of this.names.values()) {
      if (inode !== 'directory') inode.unsynced = inode.unsynced.filter(({ seen }) => seen);
    }
    return this;
  }

  /** What is there after the machine lost power now. */
  crashed(random: Prng): SimulatedDisk {
    const disk = new SimulatedDisk();
    const names: Names = new Map(this.#durableNames);
    const kept = random.below(this.#changes.length + 1);
    for (const change of this.#changes.slice(0, kept)) change.apply(names);
    for (const [name, inode] of names) {
      const survived = inode === 'directory' ? inode : inodeOf(survivor(inode, random));
      disk.names.set(name, survived);
      disk.#durableNames.set(name, survived);
    }
    return disk;
  }

  /** Counts a call, and crashes at the chosen one. */
  step(): void {
    this.#step();
  }

  #step(): void {
    this.calls++;
    if (this.crashAfter >= 0 && this.crashAfter-- === 0) throw new MachineCrash(`at call ${this.calls}`);
  }

  #change(apply: (names: Names) => void): void {
    apply(this.names);
    this.#changes.push({ apply });
  }
}

function inodeOf(bytes: Uint8Array): Inode {
  return { live: bytes, size: bytes.length, durable: bytes, unsynced: [] };
}

function survivor(inode: Inode, random: Prng): Uint8Array {
  let bytes: Uint8Array = inode.durable.slice();
  for (const write of inode.unsynced) {
    const fate = random.below(4);
    if (write.truncate) {
      if (fate < 2) bytes = resized(bytes, write.position);
      continue;
    }
    if (fate === 0) continue;
    for (let from = 0; from < write.bytes.length; ) {
      const sectorEnd = SECTOR_BYTES - ((write.position + from) % SECTOR_BYTES);
      let count = Math.min(sectorEnd, write.bytes.length - from);
      const next = from + count;
      if (fate === 1 || random.below(2) === 0) {
        if (fate === 3 && random.below(4) === 0) count = random.below(count + 1);
        const end = write.position + from + count;
        if (end > bytes.length) bytes = resized(bytes, end);
        bytes.set(write.bytes.subarray(from, from + count), write.position + from);
      }
      from = next;
    }
  }
  return bytes;
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimulatedDisk;
  readonly #inode: Inode;
  #failed = false;

  constructor(disk: SimulatedDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.path = path;
    this.#inode = inode;
  }

  size(): number {
    return this.#inode.size;
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    if (this.#disk.failRead?.test(this.path))
      throw new DiskError('io', `read ${this.path}: input/output error`);
    const count = Math.max(0, Math.min(length, this.#inode.size - position));
    target.set(this.#inode.live.subarray(position, position + count), offset);
    return count;
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    this.#finishWrite(this.#beginWrite(source.slice(offset, offset + length), position));
  }

  writeBehind(source: Uint8Array, offset: number, length: number, position: number): boolean {
    this.write(source, offset, length, position);
    return false;
  }

  /** From here on a crash has the write among the unsynced ones. */
  #beginWrite(bytes: Uint8Array, position: number): UnsyncedWrite {
    const inode = this.#inode;
    const growth = Math.max(0, position + bytes.length - inode.size);
    if (growth > 0 && this.#disk.usedBytes() + growth > this.#disk.capacityBytes) {
      throw new DiskError('no_space', `write ${this.path}: no space left on device`);
    }
    const write = { position, bytes, truncate: false, seen: false };
    inode.unsynced.push(write);
    this.#disk.step();
    return write;
  }

  #finishWrite(write: UnsyncedWrite): void {
    const inode = this.#inode;
    const end = write.position + write.bytes.length;
    write.seen = true;
    // What a crash left is both, until it is written to.
    if (inode.live === inode.durable) inode.live = inode.live.slice();
    if (end > inode.live.length) inode.live = resized(inode.live, Math.max(end, inode.live.length * 2));
    inode.live.set(write.bytes, write.position);
    inode.size = Math.max(inode.size, end);
  }

  truncate(length: number): void {
    const inode = this.#inode;
    const write = { position: length, bytes: new Uint8Array(0), truncate: true, seen: false };
    inode.unsynced.push(write);
    this.#disk.step();
    write.seen = true;
    inode.live = resized(inode.live, length);
    inode.size = length;
  }

  sync(): void {
    this.#beginSync();
    const inode = this.#inode;
    inode.durable = inode.live.slice(0, inode.size);
    inode.unsynced = inode.unsynced.filter(({ seen }) => !seen);
  }

  /** A call to the disk, which may fail; a file that failed once goes on failing. */
  #beginSync(): void {
    this.#disk.step();
    if (this.#failed || this.#disk.failSync?.test(this.path)) {
      this.#failed = true;
      throw new DiskError('io', `sync ${this.path}: input/output error`);
    }
  }

  startSync(): PendingSync {
    const last = this.#inode.unsynced.at(-1);
    return atSecondPoll(() => this.#finishSync(last));
  }

  beginSync(): AwaitableSync {
    return awaitable(this.startSync());
  }

  writeSynced(source: Uint8Array, length: number, position: number): void {
    this.write(source, 0, length, position);
    this.sync();
  }

  beginWriteSynced(source: Uint8Array, length: number, position: number): AwaitableSync {
    const write = this.#beginWrite(source.slice(0, length), position);
    const pending = atSecondPoll(() => {
      if (Buffer.compare(write.bytes, source.subarray(0, length)) !== 0)
        throw new Error(`what is written to ${this.path} was changed meanwhile`);
      this.#finishWrite(write);
      this.#finishSync(write);
    });
    return awaitable(pending);
  }

  close(): void {
    // Nothing is held.
  }

  /** What was written before the sync began, up to `last`, becomes durable; another sync may have seen to that already. */
  #finishSync(last: UnsyncedWrite | undefined): void {
    const inode = this.#inode;
    this.#beginSync();
    const covered = last === undefined ? 0 : inode.unsynced.indexOf(last) + 1;
    const writes = inode.unsynced.splice(0, covered);
    inode.unsynced.unshift(...writes.filter(({ seen }) => !seen));
    for (const { seen, truncate, position, bytes } of writes) {
      if (!seen) continue;
      const end = position + bytes.length;
      if (truncate || end > inode.durable.length) inode.durable = resized(inode.durable, end);
      inode.durable.set(bytes, position);
    }
  }
}

/** Work that is done when it is asked for the second time. */
function atSecondPoll(finish: () => void): PendingSync {
  let polls = 0;
  return {
    poll: () => {
      if (polls++ === 0) return false;
      finish();
      return true;
    },
  };
}

function awaitable(pending: PendingSync): AwaitableSync {
  let done = false;
  const poll = () => {
    if (!done) done = pending.poll();
    return done;
  };
  return {
    poll,
    wait: () => {
      while (!poll());
    },
  };
}

/** Random bytes from a seed, for keys and nonces. */
export function seededBytes(random: Prng): (bytes: number) => Uint8Array {
  return (bytes) => Uint8Array.from({ length: bytes }, () => random.below(256));
}
