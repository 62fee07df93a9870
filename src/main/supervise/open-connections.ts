import {
  type ConnectionSnapshot,
  type ConnectionTransport,
  emptySnapshot,
} from '../../shared/mail/monitor.ts';
import type { HandedConnection } from '../../workers/shard/contract.ts';

/**
 * The open connections of one shard, as far as main knows them: number, peer, start and kind. They are what is left to tell
 * of connections whose shard died without a word. Numbers ascend, so parallel arrays and a search by halves do: about
 * 60 bytes for each connection, its address included.
 */

/** Fewer than these are not worth moving. */
const COMPACT_FROM = 64;
/** Reason of the close in `/connz?state=closed`; nats-server has no threads that could die. */
const REASON = 'Internal Error';

export class OpenConnections {
  #cids: number[] = [];
  #startsMs: number[] = [];
  #ports: number[] = [];
  #transports: ConnectionTransport[] = [];
  /** Empty: over. */
  #addresses: string[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param list with higher numbers than all before */
  add(list: readonly HandedConnection[]): void {
    for (const { cid, acceptedAtMs, remoteAddress, remotePort, listener } of list) {
      this.#cids.push(cid);
      this.#startsMs.push(acceptedAtMs);
      this.#ports.push(remotePort);
      this.#transports.push(listener === 'client' ? 'nats' : listener);
      this.#addresses.push(remoteAddress);
    }
    this.#size += list.length;
  }

  /** A connection is over. */
  remove(cid: number): void {
    const at = this.#find(cid);
    if (at < 0 || this.#addresses[at] === '') return;
    this.#addresses[at] = '';
    this.#size--;
    if (this.#cids.length >= COMPACT_FROM && this.#size * 2 < this.#cids.length) this.#compact();
  }

  /** Everything that is open, as if it had been closed now. */
  closed(stopMs: number): ConnectionSnapshot[] {
    const snapshots: ConnectionSnapshot[] = [];
    for (let at = 0; at < this.#cids.length; at++) {
      if (this.#addresses[at] !== '') snapshots.push(this.#snapshot(at, stopMs));
    }
    return snapshots;
  }

  #find(cid: number): number {
    let low = 0;
    let high = this.#cids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#cids[middle]! < cid) low = middle + 1;
      else high = middle;
    }
    return this.#cids[low] === cid ? low : -1;
  }

  #compact(): void {
    const addresses = this.#addresses;
    const kept = <T>(values: T[]): T[] => values.filter((_value, at) => addresses[at] !== '');
    this.#cids = kept(this.#cids);
    this.#startsMs = kept(this.#startsMs);
    this.#ports = kept(this.#ports);
    this.#transports = kept(this.#transports);
    this.#addresses = kept(addresses);
  }

  /** What only the shard knew is zero or empty. */
  #snapshot(at: number, stopMs: number): ConnectionSnapshot {
    return {
      ...emptySnapshot(),
      cid: this.#cids[at]!,
      transport: this.#transports[at]!,
      remoteAddress: this.#addresses[at]!,
      remotePort: this.#ports[at]!,
      startMs: this.#startsMs[at]!,
      lastActivityMs: this.#startsMs[at]!,
      stopMs,
      closeReason: REASON,
    };
  }
}
