import type { MessageBlock } from './block.ts';
import { SIZE_TTL } from './block.ts';
import type { SubjectsPage } from './contract.ts';
import type { CompiledFilter } from './filter.ts';
import type { StreamMessages } from './messages.ts';
import { recordMs, recordNanos, recordTtl } from './record.ts';

/**
 * Questions about one stream's messages, answered from subject rows and block indexes; payloads are not read.
 *
 * A search for the next match of a filter goes through entries of block indexes, one array access each. Blocks are left out when
 * the filter is of literals none of which is in them, and the range is narrowed by the literals' first and last messages.
 * Asking each of many literals costs more than a look at the next entries, so those come first.
 */

/** Entries looked at before literals are asked one by one. */
const NEAR_ENTRIES = 2048;

/** First match at or after `from`, or 0. */
export function nextMatch(messages: StreamMessages, filter: CompiledFilter | null, from: number): number {
  if (messages.messages === 0 || from > messages.lastSeq) return 0;
  const start = Math.max(from, messages.firstSeq);
  if (filter === null || filter.all) return messages.nextLive(start);
  const near =
    filter.literals === null || filter.literals.length === 1 ? 0 : nextNear(messages, filter, start);
  if (near > 0) return near;
  const rows = filter.literalRows();
  if (rows === null) return nextInBlocks(messages, filter, start, messages.lastSeq);
  if (rows.length === 1) return nextOfRow(messages, rows[0]!, start);
  let nearest = 0;
  let last = 0;
  for (const row of rows) {
    if (messages.table.last(row) < start) continue;
    last = Math.max(last, messages.table.last(row));
    const first = Math.max(start, messages.table.first(row));
    if (nearest === 0 || first < nearest) nearest = first;
  }
  if (nearest === 0) return 0;
  return nextInBlocks(messages, filter, nearest, last);
}

/** A match among the entries right behind `start`, in its block; 0 when there is none. */
function nextNear(messages: StreamMessages, filter: CompiledFilter, start: number): number {
  const block = messages.blocks[messages.position(start)];
  if (block === undefined || start < block.firstSeq) return 0;
  const { rows, length } = messages.reader.index(block);
  const from = start - block.firstSeq;
  const end = Math.min(length, from + NEAR_ENTRIES);
  for (let i = from; i < end; i++) {
    if (block.isLive(block.firstSeq + i) && filter.matches(rows[i]!)) return block.firstSeq + i;
  }
  return 0;
}

function nextOfRow(messages: StreamMessages, row: number, start: number): number {
  const { table } = messages;
  if (start > table.last(row)) return 0;
  if (start <= table.first(row)) return messages.firstOf(row);
  if (start === table.last(row)) return start;
  return messages.seek(row, start);
}

function mayMatch(messages: StreamMessages, block: MessageBlock, filter: CompiledFilter): boolean {
  if (block.presence === null) return true;
  const rows = filter.literalRows();
  if (rows === null) return true;
  for (const row of rows) if (block.presence.mayHave(messages.table.hashOf(row))) return true;
  return false;
}

function nextInBlocks(messages: StreamMessages, filter: CompiledFilter, from: number, last: number): number {
  for (let b = messages.position(from); b < messages.blocks.length; b++) {
    const block = messages.blocks[b]!;
    if (block.firstSeq > last) return 0;
    if (!mayMatch(messages, block, filter)) continue;
    const { rows, length } = messages.reader.index(block);
    for (let i = Math.max(0, from - block.firstSeq); i < length; i++) {
      if (block.isLive(block.firstSeq + i) && filter.matches(rows[i]!)) return block.firstSeq + i;
    }
  }
  return 0;
}

/** Rows with messages that match. */
function matchingRows(messages: StreamMessages, filter: CompiledFilter | null): number[] {
  const literal = filter?.literalRows() ?? null;
  if (literal !== null) return [...literal];
  const rows: number[] = [];
  const { table } = messages;
  for (let row = 0; row < table.rows; row++) {
    if (table.count(row) > 0 && (filter === null || filter.matches(row))) rows.push(row);
  }
  return rows;
}

/** Live messages that match at or after `from`. */
export function countFrom(messages: StreamMessages, filter: CompiledFilter | null, from: number): number {
  if (messages.messages === 0 || from > messages.lastSeq) return 0;
  const everything = filter === null || filter.all;
  let total = messages.messages;
  if (!everything) {
    total = 0;
    for (const row of matchingRows(messages, filter)) total += messages.table.count(row);
  }
  if (from <= messages.firstSeq || total === 0) return total;
  const position = messages.position(from);
  const after = messages.blocks.length - position;
  // Whichever side of `from` has fewer blocks is counted.
  if (after <= position + 1) {
    let count = 0;
    for (let b = position; b < messages.blocks.length; b++) {
      count += countInBlock(messages, messages.blocks[b]!, filter, from, Number.POSITIVE_INFINITY);
    }
    return count;
  }
  for (let b = 0; b <= position; b++) total -= countInBlock(messages, messages.blocks[b]!, filter, 0, from);
  return total;
}

/** Matches of a block in [from, below). */
function countInBlock(
  messages: StreamMessages,
  block: MessageBlock,
  filter: CompiledFilter | null,
  from: number,
  below: number,
): number {
  const everything = filter === null || filter.all;
  const whole = from <= block.firstSeq && below > block.lastSeq;
  if (everything && whole) return block.messages;
  if (!everything && !mayMatch(messages, block, filter)) return 0;
  const index = messages.reader.index(block);
  const end = Math.min(index.length, below - block.firstSeq);
  let count = 0;
  for (let i = Math.max(0, from - block.firstSeq); i < end; i++) {
    if (block.isLive(block.firstSeq + i) && (everything || filter.matches(index.rows[i]!))) count++;
  }
  return count;
}

/** Matching subjects whose last message is at or after `from`. */
export function countLastFrom(messages: StreamMessages, filter: CompiledFilter | null, from: number): number {
  let count = 0;
  for (const row of matchingRows(messages, filter)) if (messages.table.last(row) >= from) count++;
  return count;
}

/** Subjects with more than so many messages. */
export function crowdedSubjects({ table }: StreamMessages, most: number): string[] {
  const subjects: string[] = [];
  for (let row = 0; row < table.rows; row++) if (table.count(row) > most) subjects.push(table.text(row));
  return subjects;
}

/** Highest last sequence of the matching subjects, or 0. */
export function lastMatch(messages: StreamMessages, filter: CompiledFilter | null): number {
  if (messages.messages === 0) return 0;
  if (filter === null || filter.all) {
    const last = messages.blocks[messages.blocks.length - 1]!;
    return last.previousLive(last.lastSeq);
  }
  let highest = 0;
  for (const row of matchingRows(messages, filter)) highest = Math.max(highest, messages.table.last(row));
  return highest;
}

/** Last sequence of every matching subject as of `upTo` (0: now), ascending; null when more than `max` subjects match. */
export function lastSequences(
  messages: StreamMessages,
  filter: CompiledFilter | null,
  upTo: number,
  max: number,
): Float64Array | null {
  const found: number[] = [];
  for (const row of matchingRows(messages, filter)) {
    let last = messages.table.last(row);
    if (upTo > 0 && last > upTo) last = messages.table.first(row) > upTo ? 0 : messages.seekBack(row, upTo);
    if (last === 0) continue;
    if (found.length >= max) return null;
    found.push(last);
  }
  return Float64Array.from(found).sort();
}

/** One page of matching subjects, sorted. */
export function subjectsPage(
  messages: StreamMessages,
  filter: CompiledFilter | null,
  offset: number,
  limit: number,
): SubjectsPage {
  const rows = matchingRows(messages, filter);
  const named = rows.map((row) => [messages.table.text(row), messages.table.count(row)] as const);
  named.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  return { total: rows.length, subjects: named.slice(offset, offset + limit) };
}

/** First live sequence at or after a time; lastSeq + 1 when there is none. */
export function firstAtTime(messages: StreamMessages, ms: number, nanos: number): number {
  for (let b = firstBlockAtTime(messages, ms, nanos); b < messages.blocks.length; b++) {
    const found = firstInBlock(messages, messages.blocks[b]!, ms, nanos);
    if (found !== 0) return found;
  }
  return messages.lastSeq + 1;
}

function firstBlockAtTime(messages: StreamMessages, ms: number, nanos: number): number {
  let low = 0;
  let high = messages.blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const block = messages.blocks[middle]!;
    if (block.lastMs < ms || (block.lastMs === ms && block.lastNanos < nanos)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function firstInBlock(messages: StreamMessages, block: MessageBlock, ms: number, nanos: number): number {
  let low = block.firstSeq;
  let high = block.lastSeq + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const live = block.nextLive(middle);
    if (live === 0 || live >= high) {
      high = middle;
      continue;
    }
    if (isBefore(messages, block, live, ms, nanos)) low = live + 1;
    else high = middle;
  }
  return block.nextLive(low);
}

function isBefore(
  messages: StreamMessages,
  block: MessageBlock,
  sequence: number,
  ms: number,
  nanos: number,
): boolean {
  const index = messages.reader.index(block);
  const chunk = index.unreadable
    ? null
    : messages.reader.locate(block, index.offsets[sequence - block.firstSeq]!);
  if (chunk === null) return true;
  const at = recordMs(chunk.buffer.words, messages.reader.at);
  return at < ms || (at === ms && recordNanos(chunk.buffer.words, messages.reader.at) < nanos);
}

/** First live message at or after `from` in a block that may have some with headers, or 0. */
export function nextWithHeaders(messages: StreamMessages, from: number): number {
  for (let b = messages.position(from); b < messages.blocks.length; b++) {
    const block = messages.blocks[b]!;
    if (!block.hasHeaders) continue;
    const live = block.nextLive(from);
    if (live !== 0) return live;
  }
  return 0;
}

/** Visits live messages with a TTL. */
export function visitTtl(
  messages: StreamMessages,
  visit: (sequence: number, timestampMs: number, ttlSeconds: number) => void,
): void {
  for (const block of messages.blocks) {
    if (block.ttlMessages === 0) continue;
    const { sizes, offsets, length } = messages.reader.index(block);
    for (let i = 0; i < length; i++) {
      if ((sizes[i]! & SIZE_TTL) === 0 || !block.isLive(block.firstSeq + i)) continue;
      const chunk = messages.reader.locate(block, offsets[i]!);
      if (chunk === null) continue;
      const { words } = chunk.buffer;
      visit(block.firstSeq + i, recordMs(words, messages.reader.at), recordTtl(words, messages.reader.at));
    }
  }
}

/** Interior sequences without a message, as inclusive pairs. */
export function deletedRanges(messages: StreamMessages): Float64Array {
  const pairs: number[] = [];
  if (messages.messages === 0) return new Float64Array(0);
  let expected = messages.firstSeq;
  for (const block of messages.blocks) {
    for (let at = block.nextLive(0); at !== 0; at = block.nextLive(at + 1)) {
      if (at > expected) pairs.push(expected, at - 1);
      expected = at + 1;
    }
  }
  if (expected <= messages.lastSeq) pairs.push(expected, messages.lastSeq);
  return Float64Array.from(pairs);
}

/**
 * Removes matching messages, oldest first.
 *
 * @param beforeSeq only below it; 0: no bound
 * @param upTo only up to it
 * @param keep newest matches that stay
 * @returns messages removed
 */
export function purgeMatching(
  messages: StreamMessages,
  filter: CompiledFilter | null,
  beforeSeq: number,
  upTo: number,
  keep: number,
): number {
  const bound = beforeSeq === 0 ? upTo : Math.min(upTo, beforeSeq - 1);
  const everything = filter === null || filter.all;
  if (everything && keep === 0) {
    // Beyond the end without a bound of its own it is a compaction, which may move the first sequence.
    return messages.compact(beforeSeq === 0 ? upTo + 1 : beforeSeq);
  }
  const excess = countFrom(messages, filter, 0) - keep;
  let removed = 0;
  while (everything && messages.messages > 0) {
    const block = messages.blocks[0]!;
    if (block.messages > excess - removed || block.lastSeq > bound) break;
    removed += messages.compact(block.lastSeq + 1);
  }
  for (let at = nextMatch(messages, filter, 0); at !== 0 && at <= bound && removed < excess; ) {
    messages.remove(at, false);
    removed++;
    at = nextMatch(messages, filter, at + 1);
  }
  return removed;
}
