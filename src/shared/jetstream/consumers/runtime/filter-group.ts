import type { SublistItem } from '../../../subject/sublist.ts';
import type { JetStream, ReadyWork } from '../../jetstream.ts';
import type { RemovalReason } from '../../stream-consumers.ts';
import type { Consumer } from './consumer.ts';

/**
 * Consumers of one stream with the same filters, and what they would otherwise be told one by one.
 *
 * Problem. Ten thousand consumers of one stream all have one message more pending when one is stored, and most of them do
 * nothing about it. Here a message is counted once for the group. A consumer knows how far of that its own count goes, and
 * catches up when somebody wants to know (`pending-count.ts`). A stored message visits only those who wait for one, a removed
 * one only those who have deliveries that are not settled.
 *
 * ```
 *   stored    a number
 *   removed   … │ 17 │ 4 │ 90 │      sequences of the last page; what is before the page is a number
 *                        ↑
 *              a consumer's count goes to here
 * ```
 *
 * When the page is full, those whose count was wanted not long ago catch up, so that a consumer at work never has to count
 * anew; the others will count when they are asked. Rejected: a page without end (a group is as large as a single filter:
 * ten thousand of them must fit), and no page but a visit of all for each removal (a stream at its limit removes one
 * message for each it stores).
 */

/** Removals that are known by sequence. */
const PAGE = 256;
/** So many are woken where the message is stored; more are in portions, in turns of their own. */
const WOKEN_AT_ONCE = 32;
/** A count nobody wanted during so many removals is given up. */
const UNASKED_MOST = 4096;

export class FilterGroup implements ReadyWork {
  /** It delivers nothing by itself. */
  readonly isEarly = true;
  /** Patterns in wire form; empty: everything. */
  readonly filters: readonly string[];
  readonly members = new Set<Consumer>();
  /** Messages that match and were stored, since the group is there. */
  storedCount = 0;
  #page: Float64Array | null = null;
  #pageLength = 0;
  /** Removals before the page. */
  #pageStart = 0;
  readonly #engine: JetStream;
  /** Those who want the next message. */
  #waiting = new Set<Consumer>();
  /** Those who are being woken. */
  #waking = new Set<Consumer>();
  /** A message was stored since those were chosen. */
  #storedSince = false;
  #lastSeq = 0;
  /** Those who may have messages that are delivered and not settled. */
  readonly #unsettled = new Set<Consumer>();

  constructor(filters: readonly string[], engine: JetStream) {
    this.filters = filters;
    this.#engine = engine;
  }

  /** The same for groups that are the same. */
  static key(filters: readonly string[]): string {
    return [...filters].sort().join(' ');
  }

  /** Messages that matched and were removed one by one, since the group is there. */
  get removedCount(): number {
    return this.#pageStart + this.#pageLength;
  }

  /** Sequence of a removal. @param index counted as in `removedCount`, not before the page */
  removedAt(index: number): number {
    return this.#page![index - this.#pageStart]!;
  }

  add(consumer: Consumer): void {
    this.members.add(consumer);
    this.#unsettled.add(consumer);
  }

  delete(consumer: Consumer): void {
    this.members.delete(consumer);
    this.#waiting.delete(consumer);
    this.#waking.delete(consumer);
    this.#unsettled.delete(consumer);
  }

  /** Wakes the consumer when the next message is stored. */
  await(consumer: Consumer): void {
    this.#waiting.add(consumer);
  }

  /** The consumer has a delivery that is to be settled. */
  unsettled(consumer: Consumer): void {
    this.#unsettled.add(consumer);
  }

  /** A message that matches was stored. */
  stored(sequence: number): void {
    this.storedCount++;
    this.#lastSeq = sequence;
    if (this.#waking.size > 0) {
      this.#storedSince = true;
      return;
    }
    if (this.#waiting.size === 0) return;
    this.#chooseWaiting();
    if (this.#waking.size <= WOKEN_AT_ONCE) this.#wake(WOKEN_AT_ONCE);
    else this.#engine.ready(this);
  }

  #chooseWaiting(): void {
    const chosen = this.#waiting;
    this.#waiting = this.#waking;
    this.#waking = chosen;
    this.#storedSince = false;
  }

  #wake(most: number): void {
    let left = most;
    for (const consumer of this.#waking) {
      if (left-- === 0) return;
      this.#waking.delete(consumer);
      // One that begins beyond the end waits for it.
      if (this.#lastSeq < consumer.state.streamSeq) this.#waiting.add(consumer);
      else consumer.wake();
    }
  }

  /** Wakes a portion of those who are to be woken. */
  run(): boolean {
    this.#wake(WOKEN_AT_ONCE);
    if (this.#waking.size === 0 && this.#storedSince) this.#chooseWaiting();
    return this.#waking.size > 0;
  }

  /** A message that matches is gone. */
  removed(sequence: number, reason: RemovalReason): void {
    this.#page ??= new Float64Array(PAGE);
    if (this.#pageLength === PAGE) this.#turnPage();
    this.#page[this.#pageLength++] = sequence;
    for (const consumer of this.#unsettled) {
      if (consumer.hasUnsettled) consumer.removed(sequence, reason);
      else this.#unsettled.delete(consumer);
    }
  }

  /** Whether a message that matches has to be kept for one of them. */
  needs(sequence: number): boolean {
    for (const consumer of this.members) if (consumer.needs(sequence)) return true;
    return false;
  }

  #turnPage(): void {
    for (const { pendingCount } of this.members) pendingCount.pageTurns(UNASKED_MOST);
    this.#pageStart += PAGE;
    this.#pageLength = 0;
  }
}

/** One filter of a group. */
export class FilterEntry implements SublistItem {
  readonly subject: string;
  readonly queue = null;
  readonly group: FilterGroup;

  constructor(subject: string, group: FilterGroup) {
    this.subject = subject;
    this.group = group;
  }
}
