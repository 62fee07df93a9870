import { LARGE_IN_FLIGHT_MAX_BYTES } from '../base/limits.ts';
import * as record from '../mail/records.ts';

/**
 * How much travels beside a ring: counted in shared memory by both ends, since no ring bounds it.
 */

/**
 * @param counters what the sender counts up
 * @returns false when so much is on its way beside the ring that the message must wait; the receiver will ring
 */
export function hasLargeRoom(counters: Int32Array, length: number): boolean {
  if (fitsBesideRing(counters, length)) return true;
  // In this order: whatever the receiver takes after the second look, it sees the wish.
  Atomics.store(counters, record.LARGE_ROOM_WANTED, 1);
  if (!fitsBesideRing(counters, length)) return false;
  Atomics.store(counters, record.LARGE_ROOM_WANTED, 0);
  return true;
}

/** A single record may exceed the limit: it would never be sent otherwise. */
function fitsBesideRing(counters: Int32Array, length: number): boolean {
  const underWay = Atomics.load(counters, record.LARGE_UNDER_WAY);
  return underWay === 0 || underWay + length <= LARGE_IN_FLIGHT_MAX_BYTES;
}

/**
 * Whether the other thread waits for large records to be taken and enough were; the wish is cleared, so it must be rung.
 *
 * @param counters what the receiver counts down
 */
export function largeRoomRequested(counters: Int32Array): boolean {
  if (Atomics.load(counters, record.LARGE_ROOM_WANTED) === 0) return false;
  if (Atomics.load(counters, record.LARGE_UNDER_WAY) > LARGE_IN_FLIGHT_MAX_BYTES / 2) return false;
  return Atomics.exchange(counters, record.LARGE_ROOM_WANTED, 0) !== 0;
}
