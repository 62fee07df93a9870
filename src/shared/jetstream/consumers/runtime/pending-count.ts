import type { Consumer } from './consumer.ts';
import type { FilterGroup } from './filter-group.ts';

/**
 * How many messages match a consumer's filters and were not delivered yet: `num_pending`. It is known up to some store and
 * some removal of the group, and brought up to date when somebody asks.
 *
 * Which removals count depends on the consumer's position, so the count catches up before the position moves. A consumer that
 * begins beyond the end of the stream has nothing to count until the end is there.
 */
export class PendingCount {
  readonly #consumer: Consumer;
  #count = 0;
  #isStale = true;
  /** How much of what the group has seen is in the count. */
  #storedSeen = 0;
  #removedSeen = 0;
  /** Removals of the group when somebody asked last. */
  #askedAt = 0;

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  #group(): FilterGroup {
    return this.#consumer.group;
  }

  get value(): number {
    this.#askedAt = this.#group().removedCount;
    if (this.#isStale) this.#countAnew();
    else this.#catchUp();
    return Math.max(0, this.#count);
  }

  /** It has to be counted anew. */
  invalidate(): void {
    this.#isStale = true;
  }

  /** A message is about to be delivered for the first time: the position will move behind it. */
  deliver(): void {
    if (this.#isStale) return;
    this.#catchUp();
    this.#count--;
  }

  /** The group forgets which messages were removed. @param most removals after which a count nobody asked for is given up */
  pageTurns(most: number): void {
    if (this.#isStale) return;
    if (this.#group().removedCount - this.#askedAt > most) this.#isStale = true;
    else this.#catchUp();
  }

  #countAnew(): void {
    const consumer = this.#consumer;
    this.#storedSeen = this.#group().storedCount;
    this.#removedSeen = this.#group().removedCount;
    this.#count = consumer.countPending();
    this.#isStale = consumer.isBeyondEnd;
  }

  #catchUp(): void {
    const group = this.#group();
    this.#count += group.storedCount - this.#storedSeen;
    this.#storedSeen = group.storedCount;
    for (; this.#removedSeen < group.removedCount; this.#removedSeen++) {
      if (this.#consumer.wants(group.removedAt(this.#removedSeen))) this.#count--;
    }
  }
}
