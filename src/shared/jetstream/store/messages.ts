import { lastOf } from '../../base/last-of.ts';
import { BlockIndex, MessageBlock, NO_ROW, SIZE_TTL } from './block.ts';
import type { BlockFile } from './block-file.ts';
import { accountingBytes, accountingBytesAt, BlockReader } from './block-reader.ts';
import { Checksum } from './checksum.ts';
import { type Chunk, openChunk } from './chunk.ts';
import type { LastWatch, MessageDraft, StoredMessage } from './contract.ts';
import { BLOCK_SPARE_SPAN, TAIL_BYTES, TAIL_START_BYTES } from './limits.ts';
import type { MessagesContext } from './messages-context.ts';
import {
  BLOCK_SALT_HI,
  BLOCK_SALT_LO,
  digestRecord,
  paddedBytes,
  padRecord,
  RECORD_HEADER_BYTES,
  RECORD_MESSAGE,
  RecordFields,
  readMessage,
  recordHeaderBytes,
  recordKeyBytes,
  recordLength,
  recordMs,
  recordNanos,
  recordSequence,
  recordTtl,
  storeChecksum,
  writeMessageBody,
  writeRecordHeader,
} from './record.ts';
import { SubjectTable } from './subject-table.ts';

/**
 * The messages of one stream: blocks, subjects, counts. Applies changes and knows nothing of the log: the same code runs for
 * a live change, for its replay after a crash, and for streams in memory.
 *
 * Invariants
 *  - blocks are ascending and disjoint; only the last may be open; a block without live messages is dropped.
 *  - messages and bytes are the sums over live entries; a subject's count is the number of live entries of its row.
 *  - firstSeq is the first live sequence; lastSeq never falls but by `truncate`.
 */

/** Entries a block's index has room for at first. */
const START_ENTRIES = 64;

const fields = new RecordFields();

export class StreamMessages {
  readonly table = new SubjectTable();
  readonly reader: BlockReader;
  readonly blocks: MessageBlock[] = [];
  messages = 0;
  bytes = 0;
  firstSeq = 0;
  lastSeq = 0;
  lastMs = 0;
  lastNanos = 0;
  nextBlockNumber = 1;
  /** Files of dropped blocks, to be removed once no manifest names them; `aside`: kept under another name. */
  retired: { file: BlockFile; aside: boolean }[] = [];
  lostSequences: number[] = [];
  lostBytes = 0;
  /** What the last `load` was to read and the disk didn't give out; 0: that wasn't so. */
  unreadableSeq = 0;
  /** Of the last append. */
  appendedSubjectMessages = 0;
  appendedPreviousSeq = 0;
  appendedChunk: Chunk | null = null;
  appendedAt = 0;
  /** Lanes of the last appended record, for its second checksum. */
  readonly checksum = new Checksum();
  /** Told when the last message of a subject changes. */
  watch: LastWatch | null = null;
  /** Whether anything is only in memory that belongs into files. */
  unwritten = 0;

  readonly #context: MessagesContext;
  #memo: MessageBlock | null = null;
  #firstMs = -1;
  #firstNanos = 0;

  constructor(context: MessagesContext) {
    this.#context = context;
    this.reader = new BlockReader(context.memory, this.table, context.cache, (block, bytes, message) => {
      block.damaged = true;
      context.note(block, 0, 0, bytes, message);
    });
  }

  /** Encodes and stores a message; everything was checked before. */
  append(draft: MessageDraft, sequence: number): void {
    const keyBytes = draft.subjectEnd - draft.subjectStart;
    const headerBytes = draft.headerEnd - draft.headerStart;
    const payloadBytes = draft.payloadEnd - draft.payloadStart;
    const length = recordLength(keyBytes, headerBytes, payloadBytes);
    const block = this.#blockFor(sequence, paddedBytes(length));
    const chunk = this.#claim(block, paddedBytes(length));
    const at = chunk.length - paddedBytes(length);
    const { words, bytes } = chunk.buffer;
    fields.uid = this.#context.uid;
    fields.type = RECORD_MESSAGE;
    fields.ttlSeconds = draft.ttlSeconds;
    fields.sequence = sequence;
    fields.timestampMs = draft.timestampMs;
    fields.timestampNanos = draft.timestampNanos;
    writeRecordHeader(words, at, length, fields, keyBytes, headerBytes);
    writeMessageBody(chunk.buffer, at, draft);
    padRecord(bytes, at, length);
    digestRecord(this.checksum, words, at, length);
    const size = accountingBytes(this.#context.memory, keyBytes, headerBytes, payloadBytes);
    this.#admit(block, chunk, at, length, size);
  }

  /** Stores a message record out of the log. */
  appendRecord(bytes: Uint8Array, words: Int32Array, from: number): void {
    const length = words[from >>> 2]!;
    const padded = paddedBytes(length);
    const block = this.#blockFor(recordSequence(words, from), padded);
    const chunk = this.#claim(block, padded);
    const at = chunk.length - padded;
    chunk.buffer.bytes.set(bytes.subarray(from, from + padded), at);
    digestRecord(this.checksum, chunk.buffer.words, at, length);
    this.#admit(block, chunk, at, length, accountingBytesAt(this.#context.memory, words, from));
  }

  skip(throughSeq: number, timestampMs: number, timestampNanos: number): void {
    this.lastSeq = throughSeq;
    this.lastMs = timestampMs;
    this.lastNanos = timestampNanos;
    if (this.messages === 0) this.firstSeq = throughSeq + 1;
  }

  /** The block that covers a sequence, or null. */
  find(sequence: number): MessageBlock | null {
    const memo = this.#memo;
    if (memo !== null && sequence >= memo.firstSeq && sequence <= memo.lastSeq) return memo;
    const block = this.blocks[this.position(sequence)];
    if (block === undefined || sequence < block.firstSeq) return null;
    this.#memo = block;
    return block;
  }

  /** Index of the first block that ends at or after a sequence; the number of blocks when none does. */
  position(sequence: number): number {
    let low = 0;
    let high = this.blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.blocks[middle]!.lastSeq < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** First live sequence at or after `sequence`, or 0. */
  nextLive(sequence: number): number {
    const memo = this.#memo;
    if (memo !== null && sequence >= memo.firstSeq && sequence <= memo.lastSeq) {
      const found = memo.nextLive(sequence);
      if (found !== 0) return found;
    }
    for (let i = this.position(sequence); i < this.blocks.length; i++) {
      const found = this.blocks[i]!.nextLive(sequence);
      if (found !== 0) return found;
    }
    return 0;
  }

  /**
   * Reads a live message.
   *
   * @returns false when it isn't there; a damaged one is dropped and noted. One that the disk doesn't give out now stays,
   * and is in `unreadableSeq`.
   */
  load(sequence: number, into: StoredMessage): boolean {
    this.unreadableSeq = 0;
    const block = this.find(sequence);
    if (block === null || !block.isLive(sequence)) return false;
    const index = this.reader.index(block);
    if (!block.isLive(sequence)) return false;
    if (index.unreadable) return this.#cannotRead(block, sequence);
    const i = sequence - block.firstSeq;
    const chunk = this.reader.locate(block, index.offsets[i]!);
    if (chunk !== null && recordSequence(chunk.buffer.words, this.reader.at) === sequence) {
      readMessage(chunk.buffer, this.reader.at, into);
      return true;
    }
    if (chunk === null && this.reader.readError !== '') return this.#cannotRead(block, sequence);
    this.lose(block, sequence);
    return false;
  }

  /** The disk fails: said once for the block, until it gives out something of it. */
  #cannotRead(block: MessageBlock, sequence: number): false {
    this.unreadableSeq = sequence;
    this.noteUnreadable(block, `message ${sequence}`);
    return false;
  }

  noteUnreadable(block: MessageBlock, what: string): void {
    if (block.unreadable) return;
    block.unreadable = true;
    this.#context.report(block, `${what} can not be read now, and is tried again: ${this.reader.readError}`);
  }

  /** @returns accounting size of the removed message, 0 when there was none */
  remove(sequence: number, erase: boolean): number {
    const block = this.find(sequence);
    if (block === null || !block.isLive(sequence)) return 0;
    const index = this.reader.index(block);
    if (!block.isLive(sequence) || index.unreadable) return 0;
    const i = sequence - block.firstSeq;
    const size = (index.sizes[i]! & ~SIZE_TTL) >>> 0;
    if (erase) block.erasing = true;
    this.#forgetEntry(block, index, i);
    this.#afterRemoval(block, sequence);
    return Math.max(size, 1);
  }

  /** Removes everything below `sequence`. @returns messages removed */
  compact(sequence: number): number {
    if (sequence > this.lastSeq) {
      const removed = this.clear();
      if (sequence > this.lastSeq + 1) this.lastSeq = sequence - 1;
      this.firstSeq = sequence;
      return removed;
    }
    if (sequence <= this.firstSeq) return 0;
    let removed = 0;
    while (this.blocks.length > 0 && this.blocks[0]!.lastSeq < sequence) {
      const block = this.blocks[0]!;
      removed += block.messages;
      this.#dropBlock(block);
    }
    const first = this.blocks[0];
    if (first !== undefined) {
      for (let at = first.nextLive(0); at !== 0 && at < sequence; at = first.nextLive(at + 1)) {
        this.#forgetEntry(first, this.reader.index(first), at - first.firstSeq);
        removed++;
      }
      if (first.messages === 0) this.#retire(first);
    }
    this.#setFirst(sequence);
    return removed;
  }

  /** Removes everything above `sequence`; it becomes the last one. @returns messages removed */
  truncate(sequence: number): number {
    if (sequence >= this.lastSeq) return 0;
    let removed = 0;
    while (this.blocks.length > 0 && this.blocks[this.blocks.length - 1]!.lastSeq > sequence) {
      const block = this.blocks[this.blocks.length - 1]!;
      const index = this.reader.index(block);
      for (let at = block.previousLive(block.lastSeq); at > sequence; at = block.previousLive(at - 1)) {
        this.#forgetEntry(block, index, at - block.firstSeq);
        removed++;
      }
      this.close(block);
      if (block.messages === 0) this.#retire(block);
      else {
        block.lastSeq = sequence;
        index.cut(block.span);
      }
    }
    this.lastSeq = sequence;
    this.#memo = null;
    if (this.messages === 0) this.firstSeq = sequence + 1;
    this.#readLastTime();
    return removed;
  }

  /** Removes everything. @returns messages removed */
  clear(): number {
    const removed = this.messages;
    while (this.blocks.length > 0) this.#retire(this.blocks[this.blocks.length - 1]!);
    this.table.clear();
    this.watch?.cleared();
    this.messages = 0;
    this.bytes = 0;
    if (removed > 0 || this.lastSeq > 0) this.firstSeq = this.lastSeq + 1;
    this.#firstMs = -1;
    return removed;
  }

  get firstMs(): number {
    this.#readFirst();
    return this.messages === 0 ? 0 : Math.max(0, this.#firstMs);
  }

  get firstNanos(): number {
    this.#readFirst();
    return this.messages === 0 ? 0 : Math.max(0, this.#firstNanos);
  }

  /** First sequence of a subject's row, exact. */
  firstOf(row: number): number {
    if (!this.table.isInexact(row)) return this.table.first(row);
    const found = this.seek(row, this.table.first(row));
    if (found !== 0) this.table.setFirst(row, found, false);
    return found;
  }

  /** First live message of a row at or after `from`, or 0. */
  seek(row: number, from: number): number {
    const last = this.table.last(row);
    const hash = this.table.hashOf(row);
    for (let b = this.position(from); b < this.blocks.length; b++) {
      const block = this.blocks[b]!;
      if (block.firstSeq > last) return 0;
      if (block.presence !== null && !block.presence.mayHave(hash)) continue;
      const { rows, length } = this.reader.index(block);
      for (let i = Math.max(0, from - block.firstSeq); i < length; i++) {
        if (rows[i] === row && block.isLive(block.firstSeq + i)) return block.firstSeq + i;
      }
    }
    return 0;
  }

  /** Last live message of a row at or before `from`, or 0. */
  seekBack(row: number, from: number): number {
    const hash = this.table.hashOf(row);
    const first = this.table.first(row);
    for (let b = Math.min(this.position(from), this.blocks.length - 1); b >= 0; b--) {
      const block = this.blocks[b]!;
      if (block.lastSeq < first) return 0;
      if (block.presence !== null && !block.presence.mayHave(hash)) continue;
      const { rows, length } = this.reader.index(block);
      for (let i = Math.min(length - 1, from - block.firstSeq); i >= 0; i--) {
        if (rows[i] === row && block.isLive(block.firstSeq + i)) return block.firstSeq + i;
      }
    }
    return 0;
  }

  /** Ends a block: no more messages. */
  close(block: MessageBlock): void {
    if (block.closed) return;
    block.closed = true;
    if (block.messages > 0) block.presence = this.reader.presence(block);
    block.index?.trim();
  }

  /** Counts a block that recovery found in a manifest; its messages are counted into the table already. */
  adopt(block: MessageBlock): void {
    this.blocks.push(block);
    this.messages += block.messages;
    this.bytes += block.bytes;
  }

  /** Puts a block that was written anew in the place of the old one. */
  replace(old: MessageBlock, fresh: MessageBlock): void {
    this.blocks[this.blocks.indexOf(old)] = fresh;
    this.#memo = null;
    this.#context.cache.forget(old);
    if (old.file?.exists) this.retired.push({ file: old.file, aside: old.damaged });
    old.chunks = [];
  }

  /** Takes note of a message that was found missing before it was counted. */
  noteLost(block: MessageBlock, sequence: number): void {
    this.lostSequences.push(sequence);
    block.damaged = true;
    this.#context.note(block, sequence, sequence, 0, 'damaged message');
  }

  /** Takes a missing message out of the count, as lost. */
  lose(block: MessageBlock, sequence: number): void {
    const index = this.reader.index(block);
    const i = sequence - block.firstSeq;
    const size = (index.sizes[i]! & ~SIZE_TTL) >>> 0;
    this.lostSequences.push(sequence);
    this.lostBytes += size;
    block.damaged = true;
    this.#context.note(block, sequence, sequence, size, 'damaged message');
    this.#forgetEntry(block, index, i);
    this.#afterRemoval(block, sequence);
  }

  #blockFor(sequence: number, padded: number): MessageBlock {
    const last = lastOf(this.blocks);
    let entries = START_ENTRIES;
    if (last !== undefined && !last.closed) {
      const gap = sequence - last.lastSeq - 1;
      const fits = last.length === 0 || last.length + padded <= this.#context.blockBytes;
      if (fits && (gap === 0 || last.span + gap <= BLOCK_SPARE_SPAN + 8 * last.messages)) return last;
      this.close(last);
      // The next one will have about as many, and its index need not grow step by step.
      if (!fits) entries = Math.max(entries, last.messages);
    }
    const block = new MessageBlock(this.nextBlockNumber++, sequence);
    block.index = new BlockIndex(entries);
    block.file = this.#context.newFile(block.number, sequence);
    this.blocks.push(block);
    return block;
  }

  /** Room for a record at the end of the last chunk's `length`. */
  #claim(block: MessageBlock, padded: number): Chunk {
    const { pool } = this.#context.cache;
    let chunk = lastOf(block.chunks);
    if (chunk === undefined || chunk.foreign || !chunk.pinned || chunk.length + padded > TAIL_BYTES) {
      // A chunk that came to be full is followed by one of full size, so that busy streams don't grow each one anew.
      const busy = chunk !== undefined && !chunk.foreign && chunk.length > TAIL_BYTES / 2;
      chunk = openChunk(block, Math.max(padded, busy ? TAIL_BYTES : TAIL_START_BYTES), pool);
    } else chunk.grow(padded, TAIL_BYTES, pool);
    chunk.length += padded;
    return chunk;
  }

  #admit(block: MessageBlock, chunk: Chunk, at: number, length: number, size: number): void {
    const { words, bytes } = chunk.buffer;
    this.checksum.seal(BLOCK_SALT_LO, BLOCK_SALT_HI);
    storeChecksum(words, at, this.checksum);
    const sequence = recordSequence(words, at);
    const ms = recordMs(words, at);
    const nanos = recordNanos(words, at);
    const start = at + RECORD_HEADER_BYTES;
    const row = this.table.intern(bytes, start, start + recordKeyBytes(words, at));
    const previous = this.table.count(row) === 0 ? 0 : this.table.last(row);
    const index = block.index!;
    const i = sequence - block.firstSeq;
    const before = block.lastSeq;
    index.extend(i + 1);
    block.lastSeq = sequence;
    for (let gap = before + 1; gap < sequence; gap++) {
      index.rows[gap - block.firstSeq] = NO_ROW;
      block.mark(gap);
    }
    const ttl = recordTtl(words, at);
    if (ttl !== 0) block.ttlMessages++;
    if (recordHeaderBytes(words, at) !== 0) block.hasHeaders = true;
    index.offsets[i] = block.length;
    index.sizes[i] = ttl === 0 ? size : size | SIZE_TTL;
    index.rows[i] = row;
    if (previous >= block.firstSeq) index.link(previous - block.firstSeq, i);
    this.table.add(row, sequence);
    if (this.watch !== null) this.watch.changed(bytes, start, start + recordKeyBytes(words, at));
    const padded = paddedBytes(length);
    if (block.messages === 0 && block.length === 0) {
      block.firstMs = ms;
      block.firstNanos = nanos;
    }
    if (ms > block.lastMs || (ms === block.lastMs && nanos > block.lastNanos)) {
      block.lastMs = ms;
      block.lastNanos = nanos;
    }
    block.length += padded;
    block.liveBytes += padded;
    block.messages++;
    block.bytes += size;
    this.unwritten += padded;
    if (this.messages === 0) {
      this.firstSeq = sequence;
      this.#firstMs = ms;
      this.#firstNanos = nanos;
    }
    this.messages++;
    this.bytes += size;
    this.lastSeq = sequence;
    this.lastMs = ms;
    this.lastNanos = nanos;
    this.appendedSubjectMessages = this.table.count(row);
    this.appendedPreviousSeq = previous;
    this.appendedChunk = chunk;
    this.appendedAt = at;
  }

  /** Takes a live entry out of block, counts and subjects. */
  #forgetEntry(block: MessageBlock, index: BlockIndex, i: number): void {
    const sequence = block.firstSeq + i;
    const size = (index.sizes[i]! & ~SIZE_TTL) >>> 0;
    block.mark(sequence);
    block.messages--;
    block.bytes -= size;
    block.liveBytes -= paddedBytes(size - (this.#context.memory ? 16 : 30) + RECORD_HEADER_BYTES);
    this.messages--;
    this.bytes -= size;
    const row = index.rows[i]!;
    if (row !== NO_ROW) this.#forgetSubject(block, index, i, row);
  }

  #forgetSubject(block: MessageBlock, index: BlockIndex, i: number, row: number): void {
    const table = this.table;
    const sequence = block.firstSeq + i;
    const count = table.subtract(row);
    if (this.watch !== null && (count === 0 || sequence === table.last(row))) this.#tellLast(row);
    if (count === 0) {
      table.release(row);
      return;
    }
    if (sequence === table.last(row)) {
      const before = this.seekBack(row, sequence - 1);
      if (before === 0) {
        // Only when a lost message's subject could not be told: the others counted are that one.
        table.release(row);
        return;
      }
      table.setLast(row, before);
      if (count === 1) table.setFirst(row, before, false);
      return;
    }
    if (count === 1) {
      table.setFirst(row, table.last(row), false);
      return;
    }
    if (sequence !== table.first(row)) return;
    let next = index.nextSame(i);
    while (next !== 0 && (index.rows[next] !== row || !block.isLive(block.firstSeq + next)))
      next = index.nextSame(next);
    if (next === 0) table.setFirst(row, block.lastSeq + 1, true);
    else table.setFirst(row, block.firstSeq + next, false);
  }

  #tellLast(row: number): void {
    const subject = new Uint8Array(this.table.textLength(row));
    this.table.copyText(row, subject, 0);
    this.watch!.changed(subject, 0, subject.length);
  }

  #afterRemoval(block: MessageBlock, sequence: number): void {
    if (block.messages === 0) this.#retire(block);
    if (sequence === this.firstSeq) this.#setFirst(sequence + 1);
  }

  /** Recomputes the first sequence from a lower bound. */
  #setFirst(from: number): void {
    this.firstSeq = this.messages === 0 ? this.lastSeq + 1 : this.nextLive(from);
    this.#firstMs = -1;
  }

  /** Drops the first block with everything in it. */
  #dropBlock(block: MessageBlock): void {
    const index = this.reader.index(block);
    const table = this.table;
    for (let at = block.nextLive(0); at !== 0; at = block.nextLive(at + 1)) {
      const i = at - block.firstSeq;
      this.bytes -= (index.sizes[i]! & ~SIZE_TTL) >>> 0;
      const row = index.rows[i]!;
      if (row === NO_ROW) continue;
      const count = table.subtract(row);
      if (count === 0) {
        if (this.watch !== null) this.#tellLast(row);
        table.release(row);
      } else if (count === 1) table.setFirst(row, table.last(row), false);
      else if (table.first(row) <= block.lastSeq) table.setFirst(row, block.lastSeq + 1, true);
    }
    this.messages -= block.messages;
    this.#retire(block);
  }

  #retire(block: MessageBlock): void {
    const at = this.blocks[0] === block ? 0 : this.blocks.lastIndexOf(block);
    this.blocks.splice(at, 1);
    this.#memo = null;
    this.#context.cache.forget(block);
    for (const chunk of block.chunks) if (chunk.pinned) this.unwritten -= chunk.length;
    const aside = block.damaged || block.missing !== null;
    if (block.file?.exists) this.retired.push({ file: block.file, aside });
    block.chunks = [];
    block.messages = 0;
    block.closed = true;
  }

  /** After a truncation; stays as it is when the last sequence has no message. */
  #readLastTime(): void {
    const block = this.find(this.lastSeq);
    if (block === null || !block.isLive(this.lastSeq)) return;
    const index = this.reader.index(block);
    const offset = index.offsets[this.lastSeq - block.firstSeq]!;
    const chunk = index.unreadable ? null : this.reader.locate(block, offset);
    if (chunk === null) return;
    this.lastMs = recordMs(chunk.buffer.words, this.reader.at);
    this.lastNanos = recordNanos(chunk.buffer.words, this.reader.at);
  }

  #readFirst(): void {
    while (this.#firstMs < 0 && this.messages > 0) {
      const block = this.find(this.firstSeq)!;
      const index = this.reader.index(block);
      const sequence = this.firstSeq;
      const chunk =
        !index.unreadable && block.isLive(sequence)
          ? this.reader.locate(block, index.offsets[sequence - block.firstSeq]!)
          : null;
      if (chunk === null && (index.unreadable || this.reader.readError !== '')) {
        this.#cannotRead(block, sequence);
        return;
      }
      if (chunk === null) this.lose(block, sequence);
      else {
        this.#firstMs = recordMs(chunk.buffer.words, this.reader.at);
        this.#firstNanos = recordNanos(chunk.buffer.words, this.reader.at);
      }
    }
  }
}
