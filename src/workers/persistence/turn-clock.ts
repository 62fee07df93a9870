import type { Clock } from '../../shared/jetstream/time.ts';

const NANOS_STEP = 1000;
const NANOS_MAX = 999_000;

/** The engine's clock: set once a turn. Messages of one turn have the same millisecond, in order. */
export class TurnClock implements Clock {
  ms = 0;
  nanos = 0;

  set(): void {
    const nowMs = Date.now();
    if (nowMs !== this.ms) this.nanos = 0;
    this.ms = nowMs;
  }

  /** To be called before each message. */
  step(): void {
    if (this.nanos < NANOS_MAX) this.nanos += NANOS_STEP;
  }
}
