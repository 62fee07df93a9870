/** The list of `last_per_subject` (jetstream-consumers §3): last messages of all matching subjects as they were once. */
import type { StoredMessage, StreamStore, SubjectFilter } from '../../store/contract.ts';

export class LastMessages {
  /** Ascending. */
  readonly #sequences: Float64Array;
  #at = 0;

  constructor(sequences: Float64Array) {
    this.#sequences = sequences;
  }

  static of(store: StreamStore, filter: SubjectFilter | null, upToSeq: number): LastMessages {
    return new LastMessages(store.lastPerSubject(filter, upToSeq, Infinity) ?? new Float64Array(0));
  }

  /** Loads the first one at or after a sequence. @returns false when none is left */
  loadNext(store: StreamStore, fromSeq: number, into: StoredMessage): boolean {
    for (; this.#at < this.#sequences.length; this.#at++) {
      const sequence = this.#sequences[this.#at]!;
      if (sequence >= fromSeq && store.load(sequence, into)) return true;
    }
    return false;
  }

  /** Whether a message is in it, delivered or not. */
  has(sequence: number): boolean {
    const sequences = this.#sequences;
    let low = 0;
    let high = sequences.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sequences[middle]! < sequence) low = middle + 1;
      else high = middle;
    }
    return sequences[low] === sequence;
  }

  /** Those at or after a sequence that are still there. */
  count(store: StreamStore, fromSeq: number): number {
    let count = 0;
    for (let i = this.#at; i < this.#sequences.length; i++) {
      const sequence = this.#sequences[i]!;
      if (sequence >= fromSeq && store.nextSeq(null, sequence) === sequence) count++;
    }
    return count;
  }
}
