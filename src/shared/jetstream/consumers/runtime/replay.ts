/** Replay at the pace of the original (jetstream-consumers §4.7): until what was there at the start is delivered. */
import type { StoredMessage } from '../../store/contract.ts';
import type { Consumer } from './consumer.ts';

export class Replay {
  readonly #consumer: Consumer;
  readonly #untilSeq: number;
  /** Time of the message before, Unix milliseconds; 0: there was none. */
  #lastMs = 0;
  /** The message that waits, and until when. */
  #waitingSeq = 0;
  resumeMs = Infinity;

  /** @param untilSeq last sequence when it began */
  constructor(consumer: Consumer, untilSeq: number) {
    this.#consumer = consumer;
    this.#untilSeq = untilSeq;
  }

  /** Whether it is the message's time; if not, the consumer is woken when it is. */
  mayPass({ sequence, timestampMs }: StoredMessage): boolean {
    if (sequence > this.#untilSeq) return true;
    const nowMs = this.#consumer.engine.clock.ms;
    if (this.#waitingSeq !== sequence) {
      const delayMs = this.#lastMs === 0 ? 0 : timestampMs - this.#lastMs;
      this.#waitingSeq = sequence;
      this.resumeMs = delayMs > 1 ? nowMs + delayMs : nowMs;
    }
    if (this.resumeMs > nowMs) {
      this.#consumer.arm(this.resumeMs);
      return false;
    }
    this.#lastMs = timestampMs;
    return true;
  }
}
