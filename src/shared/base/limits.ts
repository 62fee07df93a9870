/**
 * Every bound of the server that isn't an option, in one place: what a hostile peer can make us hold is the sum of these.
 */

/** Bytes read from a socket in one call: the size of the shard's shared read region. */
export const READ_REGION_BYTES = 64 * 1024;
/** Longest unfinished message that is carried over to the next read by copying; longer ones get a buffer of their own. */
export const CARRY_MAX_BYTES = 16 * 1024;
/** Bytes of one pooled output chunk. Larger than a read region: what one read causes usually fits one write. */
export const OUTPUT_CHUNK_BYTES = 96 * 1024;
/** Room in front of an output chunk for the header of a frame; a multiple of a word, so that copies stay aligned. */
export const CHUNK_FRONT_BYTES = 16;
/** Free output chunks a shard keeps: as many as it uses, or a message to a hundred subscribers allocates on every read. */
export const OUTPUT_POOL_MAX_CHUNKS = 512;
/** Those that it keeps when they aren't used. */
export const OUTPUT_POOL_IDLE_CHUNKS = 64;
/**
 * Copied tails above this many bytes go through `TypedArray.set`; below, a word loop is faster. Measured: the crossover is near
 * 200 B in a thread's own memory, and near 300 B out of a ring, for the engine copies shared memory with greater care.
 */
export const WORD_COPY_MAX_BYTES = 256;
/** Payloads from here on are handed to the socket by reference instead of being copied into an output chunk. */
export const SHARE_MIN_BYTES = 32 * 1024;
/** Bytes a typed array may be over-read or over-written by word copies. */
export const WORD_SLACK_BYTES = 16;
/** Longest control line kept for recognition of a repeated one. */
export const LINE_MEMO_MAX_BYTES = 124;
/** Distinct subjects an account keeps prepared routes for, per shard. */
export const ROUTE_CACHE_MAX_ENTRIES = 8192;
/** Bytes of those subjects together: a route keeps its subject three times, and a subject may fill a control line. */
export const ROUTE_CACHE_MAX_SUBJECT_BYTES = 1024 * 1024;
/** Places a look-up of a route goes through at most: subjects can be made up so that their hashes are the same. */
export const ROUTE_CACHE_MAX_PROBES = 64;
/** Rewritten messages up to this size use a buffer that is kept; larger ones get one of their own. */
export const SCRATCH_KEEP_BYTES = 64 * 1024;
/** Digits of a size on the wire. */
export const SIZE_MAX_DIGITS = 9;
/** Parts handed to one writev. */
export const WRITEV_MAX_PARTS = 256;
/** Bytes handed to one writev, so that the write deadline measures progress. */
export const WRITEV_MAX_BYTES = 1024 * 1024;
/** Bytes of large payloads that may be on their way between two threads outside of their ring. */
export const LARGE_IN_FLIGHT_MAX_BYTES = 64 * 1024 * 1024;
/** Room in every ring that only control records may use. */
export const RING_CONTROL_RESERVE_BYTES = 16 * 1024;
/** Longest head of an HTTP request that asks for a WebSocket. */
export const HTTP_HEAD_MAX_BYTES = 32 * 1024;
/** Compressed bytes of one WebSocket message that are collected: this many times `max_payload`, and never more than that. */
export const WEBSOCKET_COMPRESSED_FACTOR = 8;
export const WEBSOCKET_COMPRESSED_MAX_BYTES = 64 * 1024 * 1024;
/** WebSocket pings of a connection that are still to be answered; beyond it the oldest go unanswered (RFC 6455 §5.5.3). */
export const WEBSOCKET_PONGS_MAX = 64;
