/**
 * The last `max_closed_clients` closed connections, oldest first: shards report each at its end, main keeps them, so
 * that asking for them costs the shards nothing and the bound holds for the server as a whole.
 */

import type { ConnectionSnapshot } from '../../shared/mail/monitor.ts';

export class ClosedConnections implements Iterable<ConnectionSnapshot> {
  private ring: ConnectionSnapshot[] = [];
  /** Where the oldest is once the ring is full. */
  private oldest = 0;
  private capacity: number;

  constructor(capacity: number) {
    this.capacity = Math.max(0, capacity);
  }

  get size(): number {
    return this.ring.length;
  }

  /** Takes the report of a connection that has ended (`stopMs` and `closeReason` set). */
  add(snapshot: ConnectionSnapshot): void {
    if (this.ring.length < this.capacity) {
      this.ring.push(snapshot);
    } else if (this.capacity > 0) {
      this.ring[this.oldest] = snapshot;
      this.oldest = (this.oldest + 1) % this.capacity;
    }
  }

  *[Symbol.iterator](): IterableIterator<ConnectionSnapshot> {
    for (let i = 0; i < this.ring.length; i++) yield this.ring[(this.oldest + i) % this.ring.length]!;
  }
}
