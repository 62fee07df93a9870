import { closeSync } from 'node:fs';
import type net from 'node:net';
import type { HandedConnection } from '../../workers/shard/contract.ts';

/**
 * Descriptors on their way to one shard.
 *
 * A duplicated descriptor in a message is a number: should the thread end before it reads the message, nobody closes the
 * connection, and its client waits forever. So main remembers the numbers until the shard's counter shows that they are
 * its own, which it counts in the order of the messages.
 */
export class InFlight {
  #descriptors: number[] = [];
  /** Connections handed over before the first of `#descriptors`. */
  #before = 0;

  /** @param adopted how many of all that were handed over the shard has made its own */
  add(list: readonly HandedConnection[], adopted: number): void {
    this.#forget(adopted);
    for (const { fd } of list) this.#descriptors.push(fd);
  }

  /** Closes what the shard, which has ended, didn't make its own. */
  abandon(adopted: number): void {
    this.#forget(adopted);
    for (const fd of this.#descriptors) abandon(fd, null);
    this.#descriptors = [];
  }

  #forget(adopted: number): void {
    this.#descriptors.splice(0, adopted - this.#before);
    this.#before = adopted;
  }
}

/** Closes an accepted connection that no shard will own. */
export function abandon(fd: number, socket: object | null): void {
  if (fd >= 0) closeSync(fd);
  (socket as net.Socket | null)?.destroy();
}
