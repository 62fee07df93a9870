/** Every bound and default of the store. */

/** Alignment of log frames: a sector holds bytes of one frame only, so a torn write cannot touch what was synced before. */
export const SECTOR_BYTES = 512;
/** Default size of one log segment. A record may take half of one. */
export const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Default bound of all log segments together. */
export const LOG_MAX_BYTES = 512 * 1024 * 1024;
/** Log bytes after which a checkpoint starts: what a restart has to replay, and no less than one segment's worth. */
export const CHECKPOINT_LOG_BYTES = 64 * 1024 * 1024;
/** A checkpoint starts after this time when anything changed at all. */
export const CHECKPOINT_INTERVAL_MS = 30_000;
/** Staged bytes at which a frame is written without waiting for `commit`. */
export const FRAME_BYTES = 1024 * 1024;
/** Log room that appends may not use: removes, acknowledgements and metadata go on when the disk is full. */
export const LOG_RESERVE_BYTES = 1024 * 1024;
/**
 * Once the log has grown to this, a spare segment is kept that appends may not use: the next start on a full disk needs
 * one to go on in, or what is left of the last segment. Smaller stores have only that: a spare would be larger than they are.
 */
export const KEEP_SPARE_FROM_BYTES = 256 * 1024;
/** Largest record, nats-server's bound (streams §3.2). */
export const MAX_RECORD_BYTES = 32 * 1024 * 1024;
/** Longest subject, key or header block. */
export const MAX_PART_BYTES = 0xffff;
/** Largest block size a stream may have. */
export const BLOCK_MAX_BYTES = 8 * 1024 * 1024;
export const BLOCK_MIN_BYTES = 32_000;
/** Memory blocks are smaller: their space comes back block by block. */
export const MEMORY_BLOCK_BYTES = 1024 * 1024;
/** Unwritten bytes of a stream at which they are written behind. */
export const TAIL_BYTES = 256 * 1024;
/** First size of a tail buffer; it doubles up to `TAIL_BYTES`, so that idle streams are small. */
export const TAIL_START_BYTES = 4 * 1024;
/** Bytes read from a block in one go. */
export const READ_WINDOW_BYTES = 128 * 1024;
/** Default bound of block bytes kept for readers, all streams together. */
export const CACHE_BYTES = 32 * 1024 * 1024;
/** Bound of buffers kept for reuse, beside the cache. */
export const SPARE_BUFFERS_BYTES = 8 * 1024 * 1024;
/** Smaller ones aren't kept. */
export const SPARE_BUFFER_MIN_BYTES = 16 * 1024;
/** Default bound of indexes of sealed blocks kept in memory, all streams together. */
export const INDEX_CACHE_BYTES = 32 * 1024 * 1024;
/** Largest number of skipped sequences a block may span beyond eight for each of its messages. */
export const BLOCK_SPARE_SPAN = 65_536;
/** Stored bytes of one extent of a sealed, compressed or encrypted block. */
export const EXTENT_BYTES = 64 * 1024;
/**
 * Bytes written behind into one block file after which they are synced, without anybody waiting: else a checkpoint's sync of
 * all of them at once makes those of the log wait (25 ms each, measured at 200 MB/s, against 0.6).
 */
export const TRICKLE_BYTES = 2 * 1024 * 1024;
/** Mean bytes of a block's records from which its chunks are written past the page cache. */
export const BULK_RECORD_BYTES = 1024;
/** Chunks a stream has to write after one was read back from a file, before that. */
export const UNREAD_CHUNKS = 64;
/** Block syncs under way at once during a checkpoint. */
export const SYNCS_IN_FLIGHT = 4;
/** Free log segments that are kept for reuse. */
export const SPARE_SEGMENTS = 4;

/** Block size of a stream; 0: its engine has no opinion. */
export function blockSize(storage: 'file' | 'memory', wantedBytes: number): number {
  if (storage === 'memory') return MEMORY_BLOCK_BYTES;
  return wantedBytes === 0
    ? BLOCK_MAX_BYTES
    : Math.min(BLOCK_MAX_BYTES, Math.max(BLOCK_MIN_BYTES, wantedBytes));
}
