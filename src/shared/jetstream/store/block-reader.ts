import { assert } from '../../base/assert.ts';
import { BlockIndex, type MessageBlock, NO_ROW, Presence, SIZE_TTL } from './block.ts';
import type { BlockFile } from './block-file.ts';
import { Checksum } from './checksum.ts';
import { type BlockCache, Chunk } from './chunk.ts';
import { type FooterSummary, readIndex, readSummary, summaryRows } from './footer.ts';
import { READ_WINDOW_BYTES, UNREAD_CHUNKS } from './limits.ts';
import {
  BLOCK_SALT_HI,
  BLOCK_SALT_LO,
  checkRecord,
  paddedBytes,
  plausibleRecord,
  RECORD_HEADER_BYTES,
  recordHeaderBytes,
  recordKeyBytes,
  recordLengthAt,
  recordSequence,
  recordTtl,
} from './record.ts';
import { scratchNumbers as numbers } from './row-numbers.ts';
import type { SubjectTable } from './subject-table.ts';

/**
 * Gets at the records and indexes of one stream's blocks, wherever they are: in the chunk being filled, in the cache, in the
 * file. A record that came from disk is checked each time before anyone sees it.
 */

const checksum = new Checksum();

/** Accounting size of a message, streams §2. */
export function accountingBytes(memory: boolean, subject: number, header: number, payload: number): number {
  if (memory) return 16 + subject + header + payload;
  return 30 + subject + payload + (header > 0 ? 4 + header : 0);
}

/** Accounting size of the message record at `at`. */
export function accountingBytesAt(memory: boolean, words: Int32Array, at: number): number {
  const subject = recordKeyBytes(words, at);
  const header = recordHeaderBytes(words, at);
  const payload = recordLengthAt(words, at) - RECORD_HEADER_BYTES - subject - header;
  return accountingBytes(memory, subject, header, payload);
}

export class BlockReader {
  /** Where `locate` found the record: offset in the chunk's buffer. */
  at = 0;
  /** Why the disk failed in the last `locate` or `scan` that found nothing; empty: it didn't, the bytes are no good. */
  readError = '';
  /** Indexes that could not be had, because the disk failed. */
  failures = 0;
  /** Chunks that were written since the last one was read from a file; to begin with, enough. */
  chunksSinceFetch: number = UNREAD_CHUNKS;
  /** Why the last of them. */
  failure = '';
  readonly #memory: boolean;
  readonly #table: SubjectTable;
  readonly #cache: BlockCache;
  readonly #note: (block: MessageBlock, bytes: number, message: string) => void;

  /** @param note is told about bytes of a block's file that can't be used */
  constructor(
    memory: boolean,
    table: SubjectTable,
    cache: BlockCache,
    note: (block: MessageBlock, bytes: number, message: string) => void,
  ) {
    this.#memory = memory;
    this.#table = table;
    this.#cache = cache;
    this.#note = note;
  }

  /** The block's index, read or rebuilt when it isn't in memory; a stand-in when the disk fails. */
  index(block: MessageBlock): BlockIndex {
    block.indexUsed = true;
    return block.index ?? this.#loadIndex(block);
  }

  /** The chunk with the whole record at a logical offset, checked; its place is in `at`. Null: none, see `readError`. */
  locate(block: MessageBlock, offset: number): Chunk | null {
    this.readError = '';
    const chunk = block.chunkAt(offset);
    if (chunk !== null) {
      const at = offset - chunk.start;
      if (!chunk.foreign) {
        chunk.used = true;
        this.at = at;
        return chunk;
      }
      if (this.#fits(chunk, at)) {
        chunk.used = true;
        this.at = at;
        return checkRecord(checksum, chunk.buffer.words, at, chunk.length, BLOCK_SALT_LO, BLOCK_SALT_HI) > 0
          ? chunk
          : null;
      }
    }
    return this.#fetch(block, offset);
  }

  /**
   * Walks all records of a block's file and rebuilds its index; live messages that aren't found are the caller's to
   * drop.
   *
   * @param intern makes table rows for subjects that have none
   * @param problem why the disk did not even tell where the records are; empty: it did
   * @returns the index; entries that weren't found have size 0
   */
  scan(block: MessageBlock, intern: boolean, problem = ''): BlockIndex {
    const index = new BlockIndex(Math.max(block.span, 16));
    index.extend(block.span);
    index.rows.fill(NO_ROW);
    let offset = 0;
    let hole = -1;
    const holes: [from: number, end: number][] = [];
    this.readError = problem;
    block.ttlMessages = 0;
    while (offset < block.length) {
      const chunk = this.#chunkToScan(block, offset);
      if (chunk === null) {
        this.readError ||= block.file?.readError ?? '';
        if (hole < 0) hole = offset;
        const next = this.#nextExtent(block, offset);
        offset = next;
        continue;
      }
      const { words } = chunk.buffer;
      const at = offset - chunk.start;
      const length = checkRecord(checksum, words, at, chunk.length, BLOCK_SALT_LO, BLOCK_SALT_HI);
      if (length === 0) {
        if (hole < 0) hole = offset;
        offset += 8;
        continue;
      }
      if (hole >= 0) holes.push([hole, offset]);
      hole = -1;
      this.#enter(block, index, chunk, at, offset, intern);
      offset += paddedBytes(length);
    }
    if (hole >= 0) holes.push([hole, block.length]);
    // Holes that the disk made are no damage, and which ones are others isn't known then.
    if (this.readError === '')
      for (const [from, end] of holes) this.#note(block, end - from, `damaged records at ${from}`);
    this.#link(index);
    return index;
  }

  /**
   * Reads or rebuilds the index of a block that a manifest names, and counts its live messages into the subject table. Live
   * messages that aren't found have size 0 in the index.
   */
  recover(block: MessageBlock): BlockIndex {
    const file = block.file;
    assert(file !== null, 'memory streams are not recovered');
    const summary = file.footer === null ? null : readSummary(file);
    let index: BlockIndex | null = null;
    if (summary !== null && summary.span >= block.span) {
      index = readIndex(
        file,
        summary,
        Uint32Array.from({ length: summary.subjects }, (_, i) => i),
        block.span,
      );
      if (index !== null) this.#countEntries(block, index, summary);
    }
    this.readError = '';
    if (index === null) {
      if (file.footer !== null && file.readError === '') this.#note(block, 0, 'unreadable footer');
      let problem = '';
      if (file.extents && file.footer !== null && !file.scanExtents()) {
        problem = file.readError;
        if (problem === '') this.#note(block, 0, 'unreadable extent header');
      }
      index = this.scan(block, true, problem);
    }
    block.index = index;
    if (file.footer !== null) this.#cache.addIndex(block);
    return index;
  }

  /** What a block that takes no more messages may have. */
  presence(block: MessageBlock): Presence {
    const index = this.index(block);
    numbers.clear();
    for (let i = 0; i < index.length; i++) {
      if (index.rows[i] !== NO_ROW && block.isLive(block.firstSeq + i)) numbers.numberOf(index.rows[i]!);
    }
    const presence = new Presence(numbers.size);
    for (let i = 0; i < numbers.size; i++) presence.add(this.#table.hashOf(numbers.rowOf(i)));
    return presence;
  }

  #fits(chunk: Chunk, at: number): boolean {
    if (at + RECORD_HEADER_BYTES > chunk.length) return false;
    const length = recordLengthAt(chunk.buffer.words, at);
    return length >= RECORD_HEADER_BYTES && at + paddedBytes(length) <= chunk.length;
  }

  #fetch(block: MessageBlock, offset: number): Chunk | null {
    const file = block.file;
    assert(file !== null, 'a record of a memory stream is not in memory');
    this.chunksSinceFetch = 0;
    let read = file.read(offset, READ_WINDOW_BYTES, this.#cache.pool);
    this.readError = file.readError;
    if (read === null) return null;
    const at = offset - read.start;
    const end = file.extents ? read.length : block.length - read.start;
    const length = plausibleRecord(read.buffer.words, at, end);
    if (length === 0) return null;
    if (at + paddedBytes(length) > read.length) {
      read = file.read(offset, paddedBytes(length), this.#cache.pool);
      this.readError = file.readError;
      if (read === null) return null;
    }
    block.unreadable = false;
    const chunk = new Chunk(block, read.start, read.buffer, read.length, true);
    block.addChunk(chunk);
    this.#cache.addChunk(chunk);
    this.at = offset - read.start;
    return checkRecord(checksum, read.buffer.words, this.at, read.length, BLOCK_SALT_LO, BLOCK_SALT_HI) > 0
      ? chunk
      : null;
  }

  /** A chunk in which the record at `offset` lies whole, if it is one. */
  #chunkToScan(block: MessageBlock, offset: number): Chunk | null {
    const chunk = block.chunkAt(offset);
    if (chunk !== null && (!chunk.foreign || this.#fits(chunk, offset - chunk.start))) return chunk;
    // With a whole header that is none, it is damaged; what follows in the chunk need not be. A header that the end of the chunk
    // cuts says nothing.
    if (chunk !== null && offset - chunk.start + RECORD_HEADER_BYTES <= chunk.length) {
      const at = offset - chunk.start;
      if (plausibleRecord(chunk.buffer.words, at, block.length - chunk.start) === 0) return chunk;
    }
    return block.file === null ? null : this.#window(block, block.file, offset);
  }

  /** Reads the bytes from an offset on, whatever they are: those of the whole record, if one begins there. */
  #window(block: MessageBlock, file: BlockFile, offset: number): Chunk | null {
    let read = file.read(offset, READ_WINDOW_BYTES, this.#cache.pool);
    if (read === null || read.length <= offset - read.start) return null;
    const at = offset - read.start;
    const end = file.extents ? read.length : block.length - read.start;
    const length = plausibleRecord(read.buffer.words, at, end);
    if (at + paddedBytes(length) > read.length) {
      read = file.read(offset, paddedBytes(length), this.#cache.pool);
      if (read === null) return null;
    }
    const chunk = new Chunk(block, read.start, read.buffer, read.length, true);
    block.addChunk(chunk);
    this.#cache.addChunk(chunk);
    return chunk;
  }

  #nextExtent(block: MessageBlock, offset: number): number {
    const starts = block.file?.extents === true ? block.file.extentStarts : [];
    for (const start of starts) if (start > offset) return start;
    return block.file?.extents === true ? block.length : Math.min(block.length, offset + READ_WINDOW_BYTES);
  }

  #enter(
    block: MessageBlock,
    index: BlockIndex,
    chunk: Chunk,
    at: number,
    offset: number,
    intern: boolean,
  ): void {
    const { words, bytes } = chunk.buffer;
    const i = recordSequence(words, at) - block.firstSeq;
    if (i < 0 || i >= index.length || index.sizes[i] !== 0) return;
    const start = at + RECORD_HEADER_BYTES;
    const end = start + recordKeyBytes(words, at);
    const live = block.isLive(block.firstSeq + i);
    const row = intern && live ? this.#table.intern(bytes, start, end) : this.#table.find(bytes, start, end);
    const ttl = recordTtl(words, at);
    if (ttl !== 0) block.ttlMessages++;
    index.offsets[i] = offset;
    index.sizes[i] = accountingBytesAt(this.#memory, words, at) | (ttl === 0 ? 0 : SIZE_TTL);
    index.rows[i] = row < 0 ? NO_ROW : row;
    // A row that was just made is held by the count that follows; meanwhile it must not look free.
    if (intern && live) this.#table.add(row, block.firstSeq + i);
  }

  #link(index: BlockIndex): void {
    const latest = new Map<number, number>();
    for (let i = 0; i < index.length; i++) {
      const row = index.rows[i]!;
      if (row === NO_ROW) continue;
      const before = latest.get(row);
      if (before !== undefined) index.link(before, i);
      latest.set(row, i);
    }
  }

  /** Replaces local subject numbers by rows, for live entries; counts them. */
  #countEntries(block: MessageBlock, index: BlockIndex, summary: FooterSummary): void {
    const starts = new Uint32Array(summary.subjects + 1);
    for (let local = 0; local < summary.subjects; local++) {
      starts[local + 1] = starts[local]! + summary.rows[local * 4 + 3]!;
    }
    const rows = new Uint32Array(summary.subjects).fill(NO_ROW);
    for (let i = 0; i < index.length; i++) {
      const local = index.rows[i]!;
      if (local === NO_ROW || !block.isLive(block.firstSeq + i)) {
        index.rows[i] = NO_ROW;
        continue;
      }
      if (rows[local] === NO_ROW) {
        rows[local] = this.#table.intern(summary.text, starts[local]!, starts[local + 1]!);
      }
      index.rows[i] = rows[local]!;
      this.#table.add(rows[local]!, block.firstSeq + i);
    }
  }

  #loadIndex(block: MessageBlock): BlockIndex {
    const file = block.file;
    assert(file !== null, 'a memory block keeps its index');
    this.readError = '';
    let index: BlockIndex | null = null;
    if (file.footer !== null) {
      const summary = readSummary(file);
      if (summary !== null && summary.span >= block.span) {
        index = readIndex(file, summary, summaryRows(summary, this.#table, false), block.span);
      }
      if (index === null) {
        if (file.readError === '') this.#note(block, 0, 'unreadable footer');
        if (file.extents && !file.scanExtents() && file.readError !== '')
          return this.#standIn(block, file.readError);
      }
    }
    const { ttlMessages } = block;
    index ??= this.scan(block, false);
    if (this.readError !== '') {
      block.ttlMessages = ttlMessages;
      return this.#standIn(block, this.readError);
    }
    block.index = index;
    if (block.closed) this.#cache.addIndex(block);
    return index;
  }

  /** For an index that the disk doesn't give out now. */
  #standIn(block: MessageBlock, readError: string): BlockIndex {
    this.readError = readError;
    this.failure = readError;
    this.failures++;
    const index = new BlockIndex(block.span);
    index.extend(block.span);
    index.rows.fill(NO_ROW);
    index.unreadable = true;
    return index;
  }
}
