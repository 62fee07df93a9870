import type { MessageBlock } from './block.ts';
import type { Chunk } from './chunk.ts';
import { DiskError } from './disk.ts';
import { encodeFooter } from './footer.ts';
import { BULK_RECORD_BYTES, EXTENT_BYTES, TAIL_BYTES, UNREAD_CHUNKS } from './limits.ts';
import { paddedBytes, recordLengthAt } from './record.ts';
import type { StoreParts } from './shared.ts';
import type { StoredStream } from './stream.ts';

/**
 * Writing blocks behind the log. Nothing waits for it and nothing is promised by it; a checkpoint syncs what was written. A
 * write that failed for want of space is repeated later from where it stopped; any other failure stops the stream, whose
 * messages stay in the log until the next start.
 */

/** Where extents of whole records end, from `from` on. */
function extentEnd(chunk: Chunk, from: number): number {
  let at = from;
  while (at < chunk.length) {
    const next = at + paddedBytes(recordLengthAt(chunk.buffer.words, at));
    if (next - from > EXTENT_BYTES && at > from) return at;
    at = next;
  }
  return at;
}

/**
 * Whether a chunk should go past the page cache: that saves a copy, which for small messages is little beside the rest, and
 * costs whoever reads it back a read from the disk. A stream that was read from its files lately is written for more of that.
 */
function isBulk(stream: StoredStream, block: MessageBlock): boolean {
  const { reader } = stream.messageSet;
  reader.chunksSinceFetch++;
  return reader.chunksSinceFetch > UNREAD_CHUNKS && block.length >= block.span * BULK_RECORD_BYTES;
}

function flushChunk(stream: StoredStream, parts: StoreParts, block: MessageBlock, chunk: Chunk): number {
  const file = block.file!;
  const started = file.written;
  const bulk = isBulk(stream, block);
  while (file.written < chunk.start + chunk.length) {
    const from = file.written - chunk.start;
    file.append(chunk.buffer.bytes, from, file.extents ? extentEnd(chunk, from) : chunk.length, bulk);
  }
  chunk.pinned = false;
  parts.cache.addChunk(chunk);
  stream.messageSet.unwritten -= chunk.length;
  return file.written - started;
}

function flushBlock(stream: StoredStream, parts: StoreParts, block: MessageBlock, all: boolean): number {
  let bytes = 0;
  const last = block.chunks[block.chunks.length - 1];
  for (const chunk of block.chunks.filter((candidate) => candidate.pinned)) {
    if (chunk === last && !block.closed && !all) break;
    bytes += flushChunk(stream, parts, block, chunk);
  }
  if (wantsFooter(block) && block.file!.written === block.length) {
    const index = stream.messageSet.reader.index(block);
    const { summary, arrays } = encodeFooter(block, index, stream.messageSet.table, block.file!);
    block.file!.appendFooter(summary, arrays);
    parts.cache.addIndex(block);
    bytes += summary.length + arrays.length;
  }
  return bytes;
}

/**
 * Writes what only memory has: with `all` everything, else only full chunks and closed blocks.
 *
 * @returns bytes written, or -1 when it could not be finished; `blocked` or `stopped` say why
 */
export function flushStream(stream: StoredStream, parts: StoreParts, all: boolean): number {
  if (stream.storage === 'memory' || stream.stopped !== null || stream.dropped) return 0;
  const { blocks } = stream.messageSet;
  let first = blocks.length;
  while (first > 0 && needsFlush(blocks[first - 1]!)) first--;
  if (first === blocks.length) return 0;
  let bytes = 0;
  try {
    parts.disk.makeDirectory(stream.directory);
    for (let b = first; b < blocks.length; b++) bytes += flushBlock(stream, parts, blocks[b]!, all);
    stream.blocked = null;
    return bytes;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    const message = `stream ${stream.account}/${stream.name}: ${error.message}`;
    if (error.code === 'no_space') stream.blocked = { code: 'no_space', message };
    else stream.stopped = { code: 'io', message };
    return -1;
  }
}

/** A footer tells of every message; while the disk keeps back some there is none. */
function wantsFooter(block: MessageBlock): boolean {
  return block.closed && block.file!.footer === null && block.missing === null;
}

function needsFlush(block: MessageBlock): boolean {
  if (wantsFooter(block)) return true;
  return block.chunks.some((chunk) => chunk.pinned);
}

/** Whether a stream has enough unwritten bytes to be worth a write. */
export function wantsFlush(stream: StoredStream): boolean {
  return stream.storage === 'file' && stream.messageSet.unwritten >= 2 * TAIL_BYTES;
}
