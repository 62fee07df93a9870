import type { BlockFile } from './block-file.ts';
import type { Chunk } from './chunk.ts';

/**
 * A message block in memory: a stretch of a stream's sequences, where their records are, and which of them still live.
 *
 * ```
 *   sequences   first … last            every one has an entry in the index; those never stored or
 *   removed     0 0 1 0 0 1 …           removed since have their bit set
 *   records     [rec][rec][rec] …       logical bytes 0 … length, in chunks (memory) and in the file
 * ```
 *
 * The index of a closed block can be dropped and read again from the block's file; the bitmap cannot, it is the truth about
 * what lives. A block nobody removed from has none.
 */

/** Set in `sizes`: the message has a TTL. */
export const SIZE_TTL = 0x8000_0000;
/** Row of a message whose subject is gone from the table: it is removed. */
export const NO_ROW = 0xffff_ffff;

/** Per message of a block, by sequence minus first sequence. */
export class BlockIndex {
  offsets: Uint32Array;
  /** Accounting sizes, with `SIZE_TTL`. */
  sizes: Uint32Array;
  rows: Uint32Array;
  length = 0;
  /** Next message of the same subject in the block; 0: none. Not there while there is none at all. */
  #nextSame: Uint32Array | null = null;
  /** Stands in for one that the disk doesn't give out now: nothing is known of any entry. Never kept. */
  unreadable = false;

  constructor(capacity: number) {
    this.offsets = new Uint32Array(capacity);
    this.sizes = new Uint32Array(capacity);
    this.rows = new Uint32Array(capacity);
  }

  get memoryBytes(): number {
    return this.offsets.length * 12 + (this.#nextSame?.byteLength ?? 0);
  }

  /** Makes entries up to `length`; new ones are empty. */
  extend(length: number): void {
    if (length > this.offsets.length) {
      const capacity = Math.max(length, Math.ceil(this.offsets.length * 1.5), 16);
      this.offsets = enlarge(this.offsets, capacity);
      this.sizes = enlarge(this.sizes, capacity);
      this.rows = enlarge(this.rows, capacity);
      if (this.#nextSame !== null) this.#nextSame = enlarge(this.#nextSame, capacity);
    }
    this.length = length;
  }

  /** Next entry of the same subject; 0: none. */
  nextSame(entry: number): number {
    return this.#nextSame === null ? 0 : this.#nextSame[entry]!;
  }

  /** Says which entry is the next of the same subject. */
  link(entry: number, next: number): void {
    this.#nextSame ??= new Uint32Array(this.offsets.length);
    this.#nextSame[entry] = next;
  }

  /** Takes over which entries follow each other, from one with as many. */
  copyLinks(from: BlockIndex): void {
    this.#nextSame = from.#nextSame === null ? null : from.#nextSame.slice(0, this.offsets.length);
  }

  /** Gives back what no entry needs: there will be no more. */
  trim(): void {
    const { length } = this;
    if (length === this.offsets.length) return;
    this.offsets = this.offsets.slice(0, length);
    this.sizes = this.sizes.slice(0, length);
    this.rows = this.rows.slice(0, length);
    if (this.#nextSame !== null) this.#nextSame = this.#nextSame.slice(0, length);
  }

  /** Forgets the entries from `length` on. */
  cut(length: number): void {
    this.length = length;
    const next = this.#nextSame;
    for (let i = 0; next !== null && i < next.length; i++) if (i >= length || next[i]! >= length) next[i] = 0;
  }
}

function enlarge(from: Uint32Array, capacity: number): Uint32Array {
  const to = new Uint32Array(capacity);
  to.set(from);
  return to;
}

export class MessageBlock {
  readonly number: number;
  readonly firstSeq: number;
  /** Last sequence covered; below `firstSeq` while there is none. */
  lastSeq: number;
  /** Live messages. */
  messages = 0;
  /** Accounting size of the live messages. */
  bytes = 0;
  /** Logical bytes of live records, about. */
  liveBytes = 0;
  /** Logical bytes. */
  length = 0;
  firstMs = 0;
  firstNanos = 0;
  /** Latest time seen. */
  lastMs = 0;
  lastNanos = 0;
  /** Messages with a TTL ever appended. */
  ttlMessages = 0;
  /** Whether a message with headers was ever appended, or may have been. */
  hasHeaders = false;
  /** Takes no more messages. */
  closed = false;
  /** Messages must become unreadable in the file: rewrite it. */
  erasing = false;
  /** Part of the file is unreadable: rewrite it and keep the old one aside. */
  damaged = false;
  /** The disk failed to give out a part of the file, which was reported; until it does the file is left alone. */
  unreadable = false;
  /** Live messages that the disk failed to give out at the start, marked as removed meanwhile; null: none. */
  missing: number[] | null = null;
  /** Was compressed, or tried to be. */
  squeezed = false;
  removed: Uint32Array | null = null;
  index: BlockIndex | null = null;
  /** For the index cache's clock. */
  indexUsed = false;
  /** Ascending by start. The last one of an open block is being filled. */
  chunks: Chunk[] = [];
  /** Index of the chunk that was looked for last: mostly the next record is in the same one. */
  #recentChunk = 0;
  /** Hashes of subjects that may be in a closed block; null: any. */
  presence: Presence | null = null;
  /** Null in memory streams. */
  file: BlockFile | null = null;

  constructor(number: number, firstSeq: number) {
    this.number = number;
    this.firstSeq = firstSeq;
    this.lastSeq = firstSeq - 1;
  }

  /** Sequences covered. */
  get span(): number {
    return this.lastSeq - this.firstSeq + 1;
  }

  isLive(sequence: number): boolean {
    const removed = this.removed;
    if (removed === null) return true;
    const i = sequence - this.firstSeq;
    return (removed[i >>> 5]! & (1 << (i & 31))) === 0;
  }

  /** Marks a sequence as removed or never stored. */
  mark(sequence: number): void {
    const i = sequence - this.firstSeq;
    const word = i >>> 5;
    if (this.removed === null || word >= this.removed.length) {
      const size = Math.max(
        8,
        word + 1,
        Math.ceil(this.span / 32),
        this.closed ? 0 : (this.removed?.length ?? 0) * 2,
      );
      const larger = new Uint32Array(size);
      if (this.removed !== null) larger.set(this.removed);
      this.removed = larger;
    }
    this.removed[word] = this.removed[word]! | (1 << (i & 31));
  }

  /** First live sequence at or after `sequence`, or 0. */
  nextLive(sequence: number): number {
    let at = Math.max(sequence, this.firstSeq);
    const removed = this.removed;
    if (removed === null) return at <= this.lastSeq ? at : 0;
    while (at <= this.lastSeq) {
      const i = at - this.firstSeq;
      const word = i >>> 5;
      if (word >= removed.length) return at;
      const live = ~removed[word]! & (-1 << (i & 31));
      if (live !== 0) {
        const found = this.firstSeq + word * 32 + (31 - Math.clz32(live & -live));
        return found <= this.lastSeq ? found : 0;
      }
      at = this.firstSeq + (word + 1) * 32;
    }
    return 0;
  }

  /** Last live sequence at or before `sequence`, or 0. */
  previousLive(sequence: number): number {
    for (let at = Math.min(sequence, this.lastSeq); at >= this.firstSeq; at--) {
      if (this.isLive(at)) return at;
    }
    return 0;
  }

  /** The chunk that holds the record at a logical offset as far as it is in memory, or null. */
  chunkAt(offset: number): Chunk | null {
    const chunks = this.chunks;
    const recent = chunks[this.#recentChunk];
    if (recent !== undefined && offset >= recent.start && offset < recent.start + recent.length) {
      const following = chunks[this.#recentChunk + 1];
      if (following === undefined || following.start > offset) return recent;
    }
    let low = 0;
    let high = chunks.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (chunks[middle]!.start <= offset) low = middle + 1;
      else high = middle - 1;
    }
    if (high < 0) return null;
    const chunk = chunks[high]!;
    this.#recentChunk = high;
    return offset < chunk.start + chunk.length ? chunk : null;
  }

  /** Adds a chunk in order; one with the same start is replaced. */
  addChunk(chunk: Chunk): void {
    const chunks = this.chunks;
    let at = chunks.length;
    while (at > 0 && chunks[at - 1]!.start >= chunk.start) at--;
    chunks.splice(at, at < chunks.length && chunks[at]!.start === chunk.start ? 1 : 0, chunk);
  }

  dropChunk(chunk: Chunk): void {
    const at = this.chunks.indexOf(chunk);
    if (at >= 0) this.chunks.splice(at, 1);
  }
}

/** Which subjects a block may have: a Bloom filter, 16 bits a subject, 3 probes (0.5 % false alarms). */
export class Presence {
  readonly #bits: Uint32Array;
  readonly #mask: number;

  constructor(subjects: number) {
    let bits = 64;
    while (bits < subjects * 16) bits *= 2;
    this.#bits = new Uint32Array(bits / 32);
    this.#mask = bits - 1;
  }

  add(hash: number): void {
    for (let probe = 0, bit = hash; probe < 3; probe++, bit = Math.imul(bit ^ (bit >>> 13), 0x5bd1e995)) {
      const at = bit & this.#mask;
      this.#bits[at >>> 5] = this.#bits[at >>> 5]! | (1 << (at & 31));
    }
  }

  mayHave(hash: number): boolean {
    for (let probe = 0, bit = hash; probe < 3; probe++, bit = Math.imul(bit ^ (bit >>> 13), 0x5bd1e995)) {
      const at = bit & this.#mask;
      if ((this.#bits[at >>> 5]! & (1 << (at & 31))) === 0) return false;
    }
    return true;
  }
}
