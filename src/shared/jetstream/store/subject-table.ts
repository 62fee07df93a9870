import type { PatternTrie } from './pattern-trie.ts';
import { copyBytes } from './record.ts';

/**
 * The subjects of one stream: text, first and last sequence, number of messages.
 *
 * Problem. A stream may have millions of subjects, and a Map of objects costs some 250 bytes for each, most of it garbage
 * collector's work. Here a subject is a row in parallel typed arrays, its text lies in one arena, and an open-addressing table
 * finds the row by hash: about 55 bytes for each with 20 byte subjects, in a dozen allocations.
 *
 * ```
 *   slots: [ … row+1 … ]     rows: first │ last │ count │ text offset │ text length │ hash │ version
 *                            arena: "orders.1orders.2kv.a…"
 * ```
 *
 * Invariants
 *  - A row with count 0 is free, is in no slot, and is reused; each reuse raises its version, so that what a filter remembers of
 *    the row is not believed any more.
 *  - `first` is exact or, when `inexact` says so, a lower bound: finding the successor of a removed first message may read a
 *    block, and most streams never ask.
 *
 * Rejected: a token tree (good for wildcards, four times the memory; filters remember what they match instead); rows on disk
 * (every append would need a read).
 */

const START_ROWS = 64;
/** Rows from which on growing by half as much again would waste more than copying costs. */
const LARGE_TABLE = 1 << 18;
const VERSION_MASK = 0x3f;

export class SubjectTable {
  first = new Float64Array(START_ROWS);
  last = new Float64Array(START_ROWS);
  counts = new Uint32Array(START_ROWS);
  inexact = new Uint8Array(START_ROWS);
  /** Six bits. */
  versions = new Uint8Array(START_ROWS);
  hashes = new Int32Array(START_ROWS);
  /** Rows ever used; rows from here on are fresh. */
  rows = 0;
  /** Rows with messages. */
  size = 0;
  /** Raised when a row's version wrapped around: everything remembered of rows is void. */
  epoch = 0;
  /** Grows when a subject comes or goes. */
  changes = 0;

  #offsets = new Uint32Array(START_ROWS);
  #lengths = new Uint16Array(START_ROWS);
  #slots = new Int32Array(START_ROWS * 2);
  #free: number[] = [];
  #arena = new Uint8Array(START_ROWS * 16);
  #arenaUsed = 0;
  #arenaGarbage = 0;

  static hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5 | 0;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    hash ^= hash >>> 15;
    return Math.imul(hash, 0x2c1b3c6d) | 0;
  }

  /** @returns the subject's row, or -1 */
  find(bytes: Uint8Array, start: number, end: number): number {
    const hash = SubjectTable.hash(bytes, start, end);
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]! - 1;
      if (row < 0) return -1;
      if (this.hashes[row] === hash && this.#same(row, bytes, start, end)) return row;
    }
  }

  /** @returns the subject's row, made with count 0 when there is none; the caller must then raise the count */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const hash = SubjectTable.hash(bytes, start, end);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]! - 1;
      if (row < 0) break;
      if (this.hashes[row] === hash && this.#same(row, bytes, start, end)) return row;
    }
    const row = this.#take();
    this.hashes[row] = hash;
    this.#offsets[row] = this.#addText(bytes, start, end);
    this.#lengths[row] = end - start;
    this.#slots[slot] = row + 1;
    this.size++;
    this.changes++;
    if (this.size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    return row;
  }

  /** Counts a message that is newer than all others of the subject. */
  add(row: number, sequence: number): void {
    if (this.counts[row] === 0) {
      this.first[row] = sequence;
      this.inexact[row] = 0;
    }
    this.last[row] = sequence;
    this.counts[row]!++;
  }

  /** Counts messages of a whole block, newer than all others of the subject. */
  addMany(row: number, first: number, last: number, count: number): void {
    if (this.counts[row] === 0) {
      this.first[row] = first;
      this.inexact[row] = 0;
    }
    this.last[row] = last;
    this.counts[row]! += count;
  }

  /** Frees a row whose count has become 0. */
  release(row: number): void {
    this.#unlink(row);
    this.size--;
    this.changes++;
    this.#arenaGarbage += this.#lengths[row]!;
    this.#free.push(row);
    const version = (this.versions[row]! + 1) & VERSION_MASK;
    this.versions[row] = version;
    if (version === 0) this.epoch++;
    if (this.#arenaGarbage > 4096 && this.#arenaGarbage * 2 > this.#arenaUsed) this.#compactArena();
  }

  clear(): void {
    for (let row = 0; row < this.rows; row++) {
      if (this.counts[row] === 0) continue;
      this.counts[row] = 0;
      this.#free.push(row);
      this.versions[row] = (this.versions[row]! + 1) & VERSION_MASK;
    }
    this.epoch++;
    this.changes++;
    this.size = 0;
    this.#slots = new Int32Array(START_ROWS * 2);
    this.#arenaUsed = 0;
    this.#arenaGarbage = 0;
  }

  textLength(row: number): number {
    return this.#lengths[row]!;
  }

  /** The subject as a latin1 string. */
  text(row: number): string {
    const start = this.#offsets[row]!;
    const end = start + this.#lengths[row]!;
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(this.#arena[i]!);
    return text;
  }

  /** Whether the subject matches one of the patterns. */
  matches(row: number, patterns: PatternTrie): boolean {
    const start = this.#offsets[row]!;
    return patterns.matches(this.#arena, start, start + this.#lengths[row]!);
  }

  /** Copies the subject's bytes to `target` at `at`. */
  copyText(row: number, target: Uint8Array, at: number): void {
    copyBytes(target, at, this.#arena, this.#offsets[row]!, this.#offsets[row]! + this.#lengths[row]!);
  }

  /** Bytes held. */
  get memoryBytes(): number {
    return this.#arena.length + this.#slots.length * 4 + this.first.length * (8 + 8 + 4 + 1 + 1 + 4 + 4 + 2);
  }

  #same(row: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#lengths[row] !== end - start) return false;
    const arena = this.#arena;
    for (let i = this.#offsets[row]!, j = start; j < end; i++, j++) {
      if (arena[i] !== bytes[j]) return false;
    }
    return true;
  }

  #take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.rows === this.first.length) this.#growRows();
    return this.rows++;
  }

  #growRows(): void {
    const size = Math.ceil(this.first.length * (this.first.length < LARGE_TABLE ? 2 : 1.25));
    this.first = grown(this.first, new Float64Array(size));
    this.last = grown(this.last, new Float64Array(size));
    this.counts = grown(this.counts, new Uint32Array(size));
    this.inexact = grown(this.inexact, new Uint8Array(size));
    this.versions = grown(this.versions, new Uint8Array(size));
    this.hashes = grown(this.hashes, new Int32Array(size));
    this.#offsets = grown(this.#offsets, new Uint32Array(size));
    this.#lengths = grown(this.#lengths, new Uint16Array(size));
  }

  #addText(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (this.#arenaUsed + length > this.#arena.length) {
      const factor = this.#arena.length < 16 * LARGE_TABLE ? 2 : 1.25;
      const size = Math.max(Math.ceil(this.#arena.length * factor), this.#arenaUsed + length);
      this.#arena = grown(this.#arena, new Uint8Array(size));
    }
    const at = this.#arenaUsed;
    copyBytes(this.#arena, at, bytes, start, end);
    this.#arenaUsed += length;
    return at;
  }

  #compactArena(): void {
    const used = this.#arenaUsed - this.#arenaGarbage;
    const arena = new Uint8Array(Math.max(START_ROWS * 16, Math.ceil(used * 1.5)));
    let at = 0;
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const row = this.#slots[slot]! - 1;
      if (row < 0) continue;
      this.copyText(row, arena, at);
      this.#offsets[row] = at;
      at += this.#lengths[row]!;
    }
    this.#arena = arena;
    this.#arenaUsed = at;
    this.#arenaGarbage = 0;
  }

  /** Removes a row from its slot and closes the gap, so that no tombstones gather. */
  #unlink(row: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.hashes[row]! & mask;
    while (slots[hole] !== row + 1) hole = (hole + 1) & mask;
    for (let next = (hole + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.hashes[slots[next]! - 1]! & mask;
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        slots[hole] = slots[next]!;
        hole = next;
      }
    }
    slots[hole] = 0;
  }

  #rehash(size: number): void {
    const old = this.#slots;
    const slots = new Int32Array(size);
    const mask = size - 1;
    for (let i = 0; i < old.length; i++) {
      const entry = old[i]!;
      if (entry === 0) continue;
      let slot = this.hashes[entry - 1]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry;
    }
    this.#slots = slots;
  }
}

function grown<T extends Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array>(
  from: T,
  to: T,
): T {
  to.set(from);
  return to;
}
