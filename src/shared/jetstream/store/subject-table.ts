import type { PatternTrie } from './pattern-trie.ts';
import { copyField } from './record.ts';

/**
 * The subjects of one stream: text, first and last sequence, number of messages.
 *
 * Problem. A stream may have millions of subjects, and a Map of objects costs some 250 bytes for each, most of it garbage
 * collector's work. Here a subject is a row of six words, its text lies in one arena, and an open-addressing table finds the
 * row by hash: 48 bytes for each of a million subjects of 15 bytes.
 *
 * ```
 *   slots: [ … row+1 … ]     row:   hash │ place of the text │ length, version, inexact │ count │ first │ last
 *                            texts: "orders.1orders.2kv.a…"
 * ```
 *
 * Rows and texts are in pages. A table grows by a page and copies nothing: of a large array that is copied to grow, the old
 * one stays with the process as a hole that fits nothing. A row is in one cache line or two, wherever a million are. Sequences
 * are 32 bits until there is one that needs more; then all rows get a second pair of words for the rest.
 *
 * Invariants
 *  - A row with count 0 is free, is in no slot, and is reused; each reuse raises its version, so that what a filter remembers of
 *    the row is not believed any more.
 *  - `first` is exact or, when `isInexact` says so, a lower bound: finding the successor of a removed first message may read a
 *    block, and most streams never ask.
 *
 * Rejected: a token tree (good for wildcards, four times the memory; filters remember what they match instead); rows on disk
 * (every append would need a read); an array for each column (an access to a row of a million misses the cache once for each).
 */

const START_ROWS = 64;
/** Rows of a page, and of the first one at the start. */
const PAGE_BITS = 13;
const PAGE_ROWS = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_ROWS - 1;
/** Texts of a page. None is longer than 64 KB. */
const TEXT_BITS = 18;
const TEXT_BYTES = 1 << TEXT_BITS;
const TEXT_MASK = TEXT_BYTES - 1;
const START_TEXT_BYTES = START_ROWS * 16;

/** Words of a row. */
const ROW_WORDS = 6;
const HASH = 0;
const PLACE = 1;
/** 16 bits of length, six of version, one that says that `first` is a lower bound. */
const SHAPE = 2;
const COUNT = 3;
const FIRST = 4;
const LAST = 5;
const LENGTH_MASK = 0xffff;
const VERSION_SHIFT = 16;
const VERSION_MASK = 0x3f;
const INEXACT = 1 << 22;
const WORD = 2 ** 32;

export class SubjectTable {
  /** Rows ever used; rows from here on are fresh. */
  rows = 0;
  /** Rows with messages. */
  size = 0;
  /** Raised when a row's version wrapped around: everything remembered of rows is void. */
  epoch = 0;
  /** Grows when a subject comes or goes. */
  changes = 0;

  #pages = [new Int32Array(START_ROWS * ROW_WORDS)];
  /** Upper words of first and last, two for each row; null: all are 0. */
  #upper: Int32Array[] | null = null;
  #slots = new Int32Array(START_ROWS * 2);
  #free: number[] = [];
  #texts = [new Uint8Array(START_TEXT_BYTES)];
  /** Bytes used of the last page. */
  #textUsed = 0;
  /** Bytes of all texts, and of those that nobody needs. */
  #textBytes = 0;
  #textGarbage = 0;

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
      const page = this.#pages[row >>> PAGE_BITS]!;
      const at = (row & PAGE_MASK) * ROW_WORDS;
      if (page[at] === hash && this.#same(page, at, bytes, start, end)) return row;
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
      const page = this.#pages[row >>> PAGE_BITS]!;
      const at = (row & PAGE_MASK) * ROW_WORDS;
      if (page[at] === hash && this.#same(page, at, bytes, start, end)) return row;
    }
    const row = this.#take();
    const page = this.#pages[row >>> PAGE_BITS]!;
    const at = (row & PAGE_MASK) * ROW_WORDS;
    page[at + HASH] = hash;
    page[at + PLACE] = this.#addText(bytes, start, end);
    page[at + SHAPE] = (page[at + SHAPE]! & (VERSION_MASK << VERSION_SHIFT)) | (end - start);
    this.#slots[slot] = row + 1;
    this.size++;
    this.changes++;
    if (this.size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    return row;
  }

  /** Counts a message that is newer than all others of the subject. */
  add(row: number, sequence: number): void {
    this.addMany(row, sequence, sequence, 1);
  }

  /** Counts messages of a whole block, newer than all others of the subject. */
  addMany(row: number, first: number, last: number, count: number): void {
    const page = this.#pages[row >>> PAGE_BITS]!;
    const at = (row & PAGE_MASK) * ROW_WORDS;
    if (page[at + COUNT] === 0) this.setFirst(row, first, false);
    this.setLast(row, last);
    page[at + COUNT] = page[at + COUNT]! + count;
  }

  /** Counts one message less. @returns those that are left; with 0 the caller must release the row */
  subtract(row: number): number {
    const page = this.#pages[row >>> PAGE_BITS]!;
    const at = (row & PAGE_MASK) * ROW_WORDS + COUNT;
    page[at] = page[at]! - 1;
    return page[at]! >>> 0;
  }

  /** Messages of the subject. */
  count(row: number): number {
    return this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + COUNT]! >>> 0;
  }

  first(row: number): number {
    const low = this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + FIRST]! >>> 0;
    return this.#upper === null ? low : low + this.#upperWord(row, 0) * WORD;
  }

  last(row: number): number {
    const low = this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + LAST]! >>> 0;
    return this.#upper === null ? low : low + this.#upperWord(row, 1) * WORD;
  }

  /** Whether `first` is only a lower bound. */
  isInexact(row: number): boolean {
    return (this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + SHAPE]! & INEXACT) !== 0;
  }

  setFirst(row: number, sequence: number, inexact: boolean): void {
    const page = this.#pages[row >>> PAGE_BITS]!;
    const at = (row & PAGE_MASK) * ROW_WORDS;
    page[at + FIRST] = sequence;
    page[at + SHAPE] = inexact ? page[at + SHAPE]! | INEXACT : page[at + SHAPE]! & ~INEXACT;
    if (sequence >= WORD || this.#upper !== null) this.#setUpperWord(row, 0, sequence);
  }

  setLast(row: number, sequence: number): void {
    this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + LAST] = sequence;
    if (sequence >= WORD || this.#upper !== null) this.#setUpperWord(row, 1, sequence);
  }

  hashOf(row: number): number {
    return this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + HASH]!;
  }

  /** Six bits. */
  version(row: number): number {
    const shape = this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + SHAPE]!;
    return (shape >>> VERSION_SHIFT) & VERSION_MASK;
  }

  /** Frees a row; whatever it counted is gone. */
  release(row: number): void {
    this.#unlink(row);
    this.size--;
    this.changes++;
    this.#textGarbage += this.textLength(row);
    this.#free.push(row);
    const page = this.#pages[row >>> PAGE_BITS]!;
    const at = (row & PAGE_MASK) * ROW_WORDS;
    const version = (this.version(row) + 1) & VERSION_MASK;
    page[at + COUNT] = 0;
    page[at + SHAPE] = version << VERSION_SHIFT;
    if (version === 0) this.epoch++;
    if (this.#textGarbage > 4096 && this.#textGarbage * 2 > this.#textBytes) this.#compactTexts();
  }

  /** Forgets all subjects, and gives their memory back. */
  clear(): void {
    this.epoch++;
    this.changes++;
    this.rows = 0;
    this.size = 0;
    this.#pages = [new Int32Array(START_ROWS * ROW_WORDS)];
    this.#upper = null;
    this.#slots = new Int32Array(START_ROWS * 2);
    this.#free = [];
    this.#clearTexts(START_TEXT_BYTES);
  }

  textLength(row: number): number {
    return this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + SHAPE]! & LENGTH_MASK;
  }

  /** The subject as a latin1 string. */
  text(row: number): string {
    const page = this.#textPage(row);
    const start = this.#textStart(row);
    const end = start + this.textLength(row);
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(page[i]!);
    return text;
  }

  /** Whether the subject matches one of the patterns. */
  matches(row: number, patterns: PatternTrie): boolean {
    const start = this.#textStart(row);
    return patterns.matches(this.#textPage(row), start, start + this.textLength(row));
  }

  /** Copies the subject's bytes to `target` at `at`. */
  copyText(row: number, target: Uint8Array, at: number): void {
    const start = this.#textStart(row);
    copyField(target, at, this.#textPage(row), start, start + this.textLength(row));
  }

  /** Rows there is room for. */
  get capacity(): number {
    return (this.#pages.length - 1) * PAGE_ROWS + this.#pages[this.#pages.length - 1]!.length / ROW_WORDS;
  }

  /** Bytes held. */
  get memoryBytes(): number {
    let bytes = this.#slots.byteLength;
    for (const page of this.#pages) bytes += page.byteLength;
    for (const page of this.#upper ?? []) bytes += page.byteLength;
    for (const page of this.#texts) bytes += page.byteLength;
    return bytes;
  }

  #same(page: Int32Array, at: number, bytes: Uint8Array, start: number, end: number): boolean {
    if ((page[at + SHAPE]! & LENGTH_MASK) !== end - start) return false;
    const place = page[at + PLACE]!;
    const texts = this.#texts[place >>> TEXT_BITS]!;
    for (let i = place & TEXT_MASK, j = start; j < end; i++, j++) {
      if (texts[i] !== bytes[j]) return false;
    }
    return true;
  }

  #textPage(row: number): Uint8Array {
    const place = this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + PLACE]!;
    return this.#texts[place >>> TEXT_BITS]!;
  }

  #textStart(row: number): number {
    return this.#pages[row >>> PAGE_BITS]![(row & PAGE_MASK) * ROW_WORDS + PLACE]! & TEXT_MASK;
  }

  #take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.rows === this.capacity) this.#addRows();
    return this.rows++;
  }

  /** The first page grows to a whole one; then pages are added. */
  #addRows(): void {
    const pages = this.#pages;
    const only = pages[0]!;
    if (only.length < PAGE_ROWS * ROW_WORDS) {
      const larger = new Int32Array(only.length * 2);
      larger.set(only);
      pages[0] = larger;
    } else pages.push(new Int32Array(PAGE_ROWS * ROW_WORDS));
  }

  #upperWord(row: number, which: 0 | 1): number {
    return this.#upper![row >>> PAGE_BITS]?.[(row & PAGE_MASK) * 2 + which] ?? 0;
  }

  #setUpperWord(row: number, which: 0 | 1, sequence: number): void {
    this.#upper ??= [];
    while (this.#upper.length <= row >>> PAGE_BITS) this.#upper.push(new Int32Array(PAGE_ROWS * 2));
    this.#upper[row >>> PAGE_BITS]![(row & PAGE_MASK) * 2 + which] = Math.floor(sequence / WORD);
  }

  /** @returns the place: page and offset */
  #addText(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    const texts = this.#texts;
    let last = texts[texts.length - 1]!;
    if (this.#textUsed + length > last.length) {
      if (this.#textUsed + length <= TEXT_BYTES) {
        const larger = new Uint8Array(
          Math.min(TEXT_BYTES, Math.max(last.length * 2, this.#textUsed + length)),
        );
        larger.set(last);
        texts[texts.length - 1] = larger;
        last = larger;
      } else {
        last = new Uint8Array(TEXT_BYTES);
        texts.push(last);
        this.#textUsed = 0;
      }
    }
    const at = this.#textUsed;
    copyField(last, at, bytes, start, end);
    this.#textUsed += length;
    this.#textBytes += length;
    return ((texts.length - 1) << TEXT_BITS) | at;
  }

  #clearTexts(bytes: number): void {
    this.#texts = [new Uint8Array(Math.min(TEXT_BYTES, bytes))];
    this.#textUsed = 0;
    this.#textBytes = 0;
    this.#textGarbage = 0;
  }

  /** Writes the texts that are needed anew. */
  #compactTexts(): void {
    const old = this.#texts;
    const slots = this.#slots;
    this.#clearTexts(Math.max(START_TEXT_BYTES, Math.ceil((this.#textBytes - this.#textGarbage) * 1.5)));
    for (let slot = 0; slot < slots.length; slot++) {
      const row = slots[slot]! - 1;
      if (row < 0) continue;
      const page = this.#pages[row >>> PAGE_BITS]!;
      const at = (row & PAGE_MASK) * ROW_WORDS;
      const place = page[at + PLACE]!;
      const start = place & TEXT_MASK;
      const end = start + (page[at + SHAPE]! & LENGTH_MASK);
      page[at + PLACE] = this.#addText(old[place >>> TEXT_BITS]!, start, end);
    }
  }

  /** Removes a row from its slot and closes the gap, so that no tombstones gather. */
  #unlink(row: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.hashOf(row) & mask;
    while (slots[hole] !== row + 1) hole = (hole + 1) & mask;
    for (let next = (hole + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.hashOf(slots[next]! - 1) & mask;
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
      let slot = this.hashOf(entry - 1) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry;
    }
    this.#slots = slots;
  }
}
