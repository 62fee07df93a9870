/**
 * How much a turn takes in before it commits, when the thread had nothing to do before it.
 *
 * Problem. A client that waits for acknowledgements before it publishes again works while the thread rests, and rests
 * while the thread works: all it has in flight comes at once, shares one commit, and is acknowledged at once. Neither
 * ever does its work while the other does. It takes no more than one split to end that: when a part is committed first, the
 * client is busy with its acknowledgements while the thread has the rest, and from then on two groups go around in turn.
 *
 * The split costs a sync. That is nothing to a thread that rested for longer than a sync takes, but where the sync is what
 * everybody waits for (a slow disk and a fast client) it would halve the throughput: then all that came shares one.
 */

/** Some thirty small messages, as they lie in the rings: half of the 64 that a client often has in flight. */
const PORTION_BYTES = 10_000;

/** More than a ring can have; not `Infinity`, with which rings would count in floating point. */
export const WHOLE_RINGS_BYTES = 2 ** 30;

export class FirstPortion {
  readonly #now: () => number;
  #restsFromMs = Infinity;

  /** @param now milliseconds, with fractions, of a clock that only goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The thread falls asleep, with nothing under way. */
  rest(): void {
    this.#restsFromMs = this.#now();
  }

  /**
   * A turn begins.
   *
   * @param syncMicros what a sync takes
   * @returns bytes to take in before a commit; `WHOLE_RINGS_BYTES` for all that is there
   */
  limitBytes(syncMicros: number): number {
    if (this.#restsFromMs === Infinity) return WHOLE_RINGS_BYTES;
    const restMicros = (this.#now() - this.#restsFromMs) * 1000;
    this.#restsFromMs = Infinity;
    return restMicros > syncMicros ? PORTION_BYTES : WHOLE_RINGS_BYTES;
  }
}
