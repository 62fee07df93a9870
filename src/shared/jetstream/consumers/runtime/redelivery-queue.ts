/** Pending messages that are to be delivered again, first come first served (jetstream-consumers §8.2). */
import type { PendingMessages } from './pending.ts';

/** The list is packed when it has more stale entries than live ones, and more than this. */
const STALE_KEPT = 64;

/**
 * Sequences in order; whether an entry still counts is a flag of the pending message, so that settling one takes no search
 * here. `size` counts what counts.
 */
export class RedeliveryQueue {
  readonly #pending: PendingMessages;
  #sequences: number[] = [];
  #head = 0;

  constructor(pending: PendingMessages) {
    this.#pending = pending;
  }

  /** Messages that wait. Walks the list. */
  get size(): number {
    let count = 0;
    for (let at = this.#head; at < this.#sequences.length; at++) {
      if (this.#isLive(this.#sequences[at]!)) count++;
    }
    return count;
  }

  get isEmpty(): boolean {
    return this.first() < 0;
  }

  /** Puts a pending message at the end, unless it waits already. */
  add(index: number): void {
    const pending = this.#pending;
    if (pending.isQueued(index)) return;
    if (this.#sequences.length - this.#head > 2 * pending.size + STALE_KEPT) this.#pack();
    pending.setQueued(index, true);
    this.#sequences.push(pending.sequence(index));
  }

  /** Index of the first message among the pending ones; -1 when none waits. */
  first(): number {
    while (this.#head < this.#sequences.length) {
      const index = this.#pending.find(this.#sequences[this.#head]!);
      if (index >= 0 && this.#pending.isQueued(index)) return index;
      this.#head++;
    }
    this.clear();
    return -1;
  }

  /** Drops the first entry, whose message was delivered or given up. */
  shift(): void {
    this.#head++;
    if (this.#head === this.#sequences.length) this.clear();
    else if (this.#head > 1024 && this.#head * 2 > this.#sequences.length) {
      this.#sequences = this.#sequences.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    if (this.#sequences.length > 0) this.#sequences = [];
    this.#head = 0;
  }

  #isLive(sequence: number): boolean {
    const index = this.#pending.find(sequence);
    return index >= 0 && this.#pending.isQueued(index);
  }

  #pack(): void {
    const seen = new Set<number>();
    this.#sequences = this.#sequences.slice(this.#head).filter((sequence) => {
      if (seen.has(sequence) || !this.#isLive(sequence)) return false;
      seen.add(sequence);
      return true;
    });
    this.#head = 0;
  }
}
