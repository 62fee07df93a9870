import { BlockIndex, type MessageBlock, NO_ROW, Presence } from './block.ts';
import type { BlockFile } from './block-file.ts';
import { WordBuffer } from './record.ts';
import { scratchNumbers as numbers } from './row-numbers.ts';
import { SubjectTable } from './subject-table.ts';

/**
 * The footer of a closed block: its index, so that nobody has to read the messages to know what is in it.
 *
 * ```
 *   summary   u32 magic, span, subjects, text bytes, extents, messages with TTL
 *             subjects × (u32 first entry, last entry, messages, text bytes)
 *             text of all subjects, padded to 4
 *             extents × (u32 logical start, file position)
 *   arrays    span × u32 offset │ span × u32 size │ span × u32 subject number
 * ```
 *
 * Entries are sequences minus the block's first one. What was removed before the footer was written has subject number
 * 0xffffffff; what is removed later is known from the manifest.
 */

const FOOTER_MAGIC = 0x544f464e;
const SUMMARY_WORDS = 6;

/** A block's subjects as the footer has them. */
export interface FooterSummary {
  readonly span: number;
  readonly subjects: number;
  /** Four words a subject: first entry, last entry, messages, text bytes. */
  readonly rows: Uint32Array;
  readonly text: Uint8Array;
  readonly ttlMessages: number;
}

/** Encodes both parts for a closed block whose index is in memory. */
export function encodeFooter(
  block: MessageBlock,
  index: BlockIndex,
  table: SubjectTable,
  file: BlockFile,
): { summary: Uint8Array; arrays: Uint8Array } {
  const span = block.span;
  const arrays = new WordBuffer(span * 12);
  const words = new Uint32Array(arrays.bytes.buffer);
  numbers.clear();
  for (let i = 0; i < span; i++) {
    words[i] = index.offsets[i]!;
    words[span + i] = index.sizes[i]!;
    words[2 * span + i] = block.isLive(block.firstSeq + i) ? numbers.numberOf(index.rows[i]!) : NO_ROW;
  }
  const summary = summaryBytes(words.subarray(2 * span, 3 * span), table, file, block.ttlMessages);
  return { summary, arrays: arrays.bytes.subarray(0, span * 12) };
}

/** @param locals subject numbers of the entries, as in `numbers` */
function summaryBytes(
  locals: Uint32Array,
  table: SubjectTable,
  file: BlockFile,
  ttlMessages: number,
): Uint8Array {
  const subjects = numbers.size;
  let textBytes = 0;
  for (let local = 0; local < subjects; local++) textBytes += table.textLength(numbers.rowOf(local));
  const textWords = (textBytes + 3) >>> 2;
  const extents = file.extentStarts.length;
  const total = SUMMARY_WORDS + subjects * 4 + textWords + extents * 2;
  const buffer = new WordBuffer(total * 4);
  const words = new Uint32Array(buffer.bytes.buffer);
  words.set([FOOTER_MAGIC, locals.length, subjects, textBytes, extents, ttlMessages]);
  for (let i = 0; i < locals.length; i++) {
    if (locals[i] === NO_ROW) continue;
    const at = SUMMARY_WORDS + locals[i]! * 4;
    if (words[at + 2] === 0) words[at] = i;
    words[at + 1] = i;
    words[at + 2]!++;
  }
  let at = (SUMMARY_WORDS + subjects * 4) * 4;
  for (let local = 0; local < subjects; local++) {
    const row = numbers.rowOf(local);
    words[SUMMARY_WORDS + local * 4 + 3] = table.textLength(row);
    table.copyText(row, buffer.bytes, at);
    at += table.textLength(row);
  }
  let w = SUMMARY_WORDS + subjects * 4 + textWords;
  for (let i = 0; i < extents; i++) {
    words[w++] = file.extentStarts[i]!;
    words[w++] = file.extentPositions[i]!;
  }
  return buffer.bytes.subarray(0, total * 4);
}

/** Reads the summary and fills in the file's extents. @returns null when it is unreadable or inconsistent */
export function readSummary(file: BlockFile): FooterSummary | null {
  const bytes = file.readSummary();
  if (bytes === null || bytes.length < SUMMARY_WORDS * 4) return null;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  const [magic, span, subjects, textBytes, extents, ttlMessages] = words;
  const textWords = (textBytes! + 3) >>> 2;
  if (magic !== FOOTER_MAGIC) return null;
  if (words.length !== SUMMARY_WORDS + subjects! * 4 + textWords + extents! * 2) return null;
  const rows = words.slice(SUMMARY_WORDS, SUMMARY_WORDS + subjects! * 4);
  const textAt = (SUMMARY_WORDS + subjects! * 4) * 4;
  file.extentStarts.length = 0;
  file.extentPositions.length = 0;
  for (let w = SUMMARY_WORDS + subjects! * 4 + textWords; w < words.length; w += 2) {
    file.extentStarts.push(words[w]!);
    file.extentPositions.push(words[w + 1]!);
  }
  const text = bytes.slice(textAt, textAt + textBytes!);
  return { span: span!, subjects: subjects!, rows, text, ttlMessages: ttlMessages! };
}

export function summaryPresence(summary: FooterSummary): Presence {
  const presence = new Presence(summary.subjects);
  let at = 0;
  for (let local = 0; local < summary.subjects; local++) {
    const length = summary.rows[local * 4 + 3]!;
    presence.add(SubjectTable.hash(summary.text, at, at + length));
    at += length;
  }
  return presence;
}

/** Table rows of the summary's subjects; `NO_ROW` where there is none. @param intern makes missing ones */
export function summaryRows(summary: FooterSummary, table: SubjectTable, intern: boolean): Uint32Array {
  const rows = new Uint32Array(summary.subjects);
  let at = 0;
  for (let local = 0; local < summary.subjects; local++) {
    const length = summary.rows[local * 4 + 3]!;
    const row = intern
      ? table.intern(summary.text, at, at + length)
      : table.find(summary.text, at, at + length);
    rows[local] = row < 0 ? NO_ROW : row;
    at += length;
  }
  return rows;
}

/**
 * Reads the index of a closed block.
 *
 * @param rows from `summaryRows`
 * @param limit entries the block still has; a truncation may have left fewer than the footer knows
 * @returns null when it is unreadable
 */
export function readIndex(
  file: BlockFile,
  summary: FooterSummary,
  rows: Uint32Array,
  limit: number,
): BlockIndex | null {
  const bytes = file.readArrays();
  const span = summary.span;
  if (bytes === null || bytes.length !== span * 12) return null;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, span * 3);
  const index = new BlockIndex(0);
  index.offsets = words.slice(0, span);
  index.sizes = words.slice(span, 2 * span);
  index.rows = new Uint32Array(span);
  index.length = limit;
  const latest = new Int32Array(summary.subjects).fill(-1);
  for (let i = 0; i < limit; i++) {
    const local = words[2 * span + i]!;
    if (local >= summary.subjects) {
      index.rows[i] = NO_ROW;
      continue;
    }
    index.rows[i] = rows[local]!;
    if (latest[local]! >= 0) index.link(latest[local]!, i);
    latest[local] = i;
  }
  return index;
}
