/**
 * What a consumer remembers: what it delivered, what is acknowledged, what is neither (jetstream-consumers §8, §15).
 *
 * ```
 *   stream     1 2 3 4 5 6 7 8 9
 *              ───┘ ↑   ↑     ↑
 *               floor  pending next to look at (streamSeq)
 * ```
 *
 * Every change is one of the methods below and has a record in the log (`state-log.ts`). Recovery calls the same methods
 * with the records, so what was logged leads to the same state again: floors included.
 */
import { PendingMessages } from './pending.ts';

/** How acknowledgements are taken; `flow_control` is `all` (§8.1). */
export type AckMode = 'none' | 'all' | 'explicit';

export class ConsumerState {
  readonly mode: AckMode;
  /** Next consumer sequence to be given out. */
  consumerSeq = 1;
  /** Next stream sequence to look at. */
  streamSeq: number;
  floorConsumerSeq = 0;
  floorStreamSeq: number;
  /** Last delivery and last acknowledgement, Unix milliseconds; 0: never. */
  deliveredMs = 0;
  ackedMs = 0;
  /** With `last_per_subject`: the last sequence of the stream when the consumer was made; 0: no list (§3). */
  listUpToSeq = 0;
  readonly pending = new PendingMessages();
  /** Messages given up at max_deliver, and how often they were delivered again; null: none. */
  exhausted: Map<number, number> | null = null;

  /** @param streamSeq first sequence to look at */
  constructor(mode: AckMode, streamSeq: number) {
    this.mode = mode;
    this.streamSeq = streamSeq;
    this.floorStreamSeq = streamSeq - 1;
  }

  /** Messages that were delivered more than once and still are of concern. */
  get redelivered(): number {
    return this.pending.redelivered + (this.exhausted?.size ?? 0);
  }

  /** A message is delivered for the first time; sequences ascend. */
  deliver(sequence: number, timeMs: number): void {
    const consumerSeq = this.consumerSeq++;
    this.streamSeq = sequence + 1;
    this.deliveredMs = timeMs;
    if (this.mode === 'none') {
      this.floorConsumerSeq = consumerSeq;
      this.floorStreamSeq = sequence;
    } else this.pending.add(sequence, consumerSeq, timeMs, 1);
  }

  /** So many messages up to a sequence are delivered, with mode `none`. */
  deliverThrough(sequence: number, count: number, timeMs: number): void {
    this.consumerSeq += count;
    this.streamSeq = sequence + 1;
    this.deliveredMs = timeMs;
    this.floorConsumerSeq = this.consumerSeq - 1;
    this.floorStreamSeq = sequence;
  }

  /** A pending message is delivered again. */
  redeliver(index: number, timeMs: number): void {
    const { pending } = this;
    this.consumerSeq++;
    this.deliveredMs = timeMs;
    pending.setDeliveries(index, pending.deliveries(index) + 1);
    pending.setTime(index, timeMs);
    pending.setQueued(index, false);
  }

  /**
   * One message is acknowledged, or need not be any more. The floor counts first deliveries; a sequence that isn't pending
   * still moves it when it is the very next. It never passes what is pending: with mode `all` it may be the consumer sequence
   * of a later delivery, and so the very next one to it that of a message with others before it.
   *
   * @param consumerSeq of the delivery that is acknowledged
   * @returns whether it changed anything
   */
  ack(sequence: number, consumerSeq: number, timeMs: number): boolean {
    const { pending } = this;
    const index = pending.find(sequence);
    const first = index < 0 ? consumerSeq : pending.consumerSeq(index);
    if (index >= 0) pending.settle(index);
    else if (this.forgetExhausted(sequence)) {
      this.ackedMs = timeMs;
      return true;
    } else if (first !== this.floorConsumerSeq + 1) return false;
    this.ackedMs = timeMs;
    if (pending.size === 0) this.#floorToDelivered();
    else if (first === this.floorConsumerSeq + 1 && sequence < pending.sequence(pending.first)) {
      this.floorConsumerSeq = Math.max(first, pending.consumerSeq(pending.first) - 1);
      this.floorStreamSeq = Math.max(sequence, pending.sequence(pending.first) - 1);
    }
    return true;
  }

  /** Everything up to a message is acknowledged. @returns false when it was before */
  ackAll(sequence: number, consumerSeq: number, timeMs: number): boolean {
    if (consumerSeq <= this.floorConsumerSeq || sequence <= this.floorStreamSeq) return false;
    const { pending } = this;
    this.floorConsumerSeq = consumerSeq;
    this.floorStreamSeq = sequence;
    this.ackedMs = timeMs;
    while (pending.size > 0 && pending.sequence(pending.first) <= sequence) pending.settle(pending.first);
    for (const given of this.exhausted?.keys() ?? []) if (given <= sequence) this.forgetExhausted(given);
    return true;
  }

  /** A pending message was delivered as often as it may be. */
  exhaust(index: number): void {
    const { pending } = this;
    this.exhausted ??= new Map();
    this.exhausted.set(pending.sequence(index), pending.deliveries(index));
    pending.settle(index);
  }

  /** Forgets a message that was given up. @returns whether it was one */
  forgetExhausted(sequence: number): boolean {
    if (this.exhausted === null || !this.exhausted.delete(sequence)) return false;
    if (this.exhausted.size === 0) this.exhausted = null;
    return true;
  }

  /** Starts anew at a sequence (§10). */
  reset(streamSeq: number): void {
    this.consumerSeq = 1;
    this.streamSeq = streamSeq;
    this.floorConsumerSeq = 0;
    this.floorStreamSeq = streamSeq - 1;
    this.deliveredMs = 0;
    this.ackedMs = 0;
    this.listUpToSeq = 0;
    this.pending.clear();
    this.exhausted = null;
  }

  /**
   * Forgets messages that are no longer in the stream, and moves positions that lie before its begin (§8.3).
   *
   * @returns whether anything changed
   */
  reconcile(firstSeq: number, exists: (sequence: number) => boolean): boolean {
    const { pending } = this;
    let changed = false;
    for (let at = pending.first; at < pending.end; at = pending.next(at)) {
      if (exists(pending.sequence(at))) continue;
      this.floorConsumerSeq = Math.max(this.floorConsumerSeq, this.#floorBelow(at));
      pending.settle(at);
      changed = true;
    }
    for (const sequence of this.exhausted?.keys() ?? []) {
      if (!exists(sequence)) changed = this.forgetExhausted(sequence) || changed;
    }
    if (this.streamSeq < firstSeq) {
      this.streamSeq = firstSeq;
      changed = true;
    }
    if (changed && pending.size === 0) this.#floorToDelivered();
    if (this.floorStreamSeq < firstSeq - 1) {
      this.floorStreamSeq = firstSeq - 1;
      changed = true;
    }
    return changed;
  }

  /** The consumer sequence of an entry if nothing before it is pending; the floor as it is otherwise. */
  #floorBelow(index: number): number {
    const { pending } = this;
    return index === pending.first ? pending.consumerSeq(index) : this.floorConsumerSeq;
  }

  #floorToDelivered(): void {
    this.floorConsumerSeq = this.consumerSeq - 1;
    this.floorStreamSeq = Math.max(this.floorStreamSeq, this.streamSeq - 1);
  }
}
