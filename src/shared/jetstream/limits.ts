/** Fixed bounds of JetStream (jetstream-api §8.1). */

export const MAX_NAME_CHARACTERS = 255;
export const MAX_DESCRIPTION_BYTES = 4096;
export const MAX_METADATA_BYTES = 131_072;
export const MAX_REPLICAS = 5;
export const NAMES_PAGE = 1024;
export const LIST_PAGE = 256;
/** Subjects in one STREAM.INFO reply. */
export const SUBJECTS_PAGE = 100_000;
/** Subjects one `multi_last` request may match. */
export const MULTI_LAST_MAX_SUBJECTS = 1024;
/** Header block of a stored message. */
export const MAX_HEADER_BYTES = 65_535;
/** Record of a stored message: length fields, subject, headers and payload. */
export const MAX_RECORD_BYTES = 32 * 1024 * 1024;
export const DEFAULT_DUPLICATE_WINDOW_NS = 120_000_000_000n;
/** Least `max_age` and `duplicate_window`. */
export const MIN_WINDOW_NS = 100_000_000n;
/** Characters of a batch id. */
export const MAX_BATCH_ID_CHARACTERS = 64;
/** Flow value of a fast batch: how many messages a client may ask to be acknowledged at once. */
export const MAX_FAST_FLOW = 65_535;
/** Messages of all fast batches of a stream between two acknowledgements. */
export const FAST_WINDOW_MSGS = 500;
/** Sequences of JetStream are u64; here they are exact numbers, so configurations may not start beyond. */
export const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER;
