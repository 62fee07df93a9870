/**
 * The memory of a ring, version 1: every offset and field that producer and consumer agree on is in this file.
 *
 * ```
 *  byte    word   field                                            written by
 *     0       0   magic "RING" (int32)                             createRing
 *     4       1   version (int32)                                  createRing
 *     8       2   capacity in bytes (int32), a power of two        createRing
 *   128      32   tail: position after the last published record   producer
 *   256      64   head: position of the first unconsumed record    consumer
 *   384      96   room wanted by the producer in bytes, 0 none     both (atomic)
 *   512     128   data, `capacity` bytes
 * ```
 *
 * Each field that changes has 128 bytes to itself: a cache line is 64 bytes, processors fetch lines in pairs, and the
 * allocator promises 16-byte alignment only.
 *
 * Positions are 32-bit counters of bytes that wrap, stored as int32. Capacity is at most 2^30, so the difference of two
 * live positions, taken with `| 0`, is exact whatever wrapped. `position & (capacity - 1)` is the place in the data.
 *
 * ```
 *  record, 8-byte aligned
 *  ┌──────────────┬────────────┬──────────────────────┬─────────────────┐
 *  │ length int32 │ type int32 │ payload length bytes │ 0 to 7 of slack │
 *  └──────────────┴────────────┴──────────────────────┴─────────────────┘
 *  ▲ position     ▲ +4         ▲ +8 (what tryClaim returns, what a handler receives)
 * ```
 *
 * A payload is never split. When a record does not fit before the end of the data, a padding record (type
 * `PADDING_TYPE`) fills what is left and the record starts at the beginning. What is left is a multiple of 8 and not 0,
 * so the padding's header always fits. Numbers are in the machine's byte order: both ends run on one machine.
 */

export const MAGIC = 0x474e4952; // "RING" in little-endian memory
export const VERSION = 1;

export const MAGIC_WORD = 0;
export const VERSION_WORD = 1;
export const CAPACITY_WORD = 2;
export const TAIL_WORD = 32;
export const HEAD_WORD = 64;
export const ROOM_WORD = 96;
export const DATA_OFFSET = 512;

export const RECORD_HEADER_BYTES = 8;
export const PADDING_TYPE = -1;

export const MIN_CAPACITY_BYTES = 64;
export const MAX_CAPACITY_BYTES = 2 ** 30;
/** The longest payload is this share of the capacity, so that a claim with its padding never needs most of the ring. */
export const MAX_RECORD_SHARE = 8;
/** The largest reserve (and the largest room to wait for) is this share of the capacity. */
export const MAX_RESERVE_SHARE = 2;

/** Bytes a record with `length` payload bytes occupies: header, payload, alignment. */
export function recordBytes(length: number): number {
  return (length + RECORD_HEADER_BYTES + 7) & ~7;
}
