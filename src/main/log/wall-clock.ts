/**
 * Wall-clock time with microseconds.
 *
 * `Date.now()` follows the system clock but counts milliseconds; `performance.now()` counts fractions but keeps
 * running straight when the system clock is set. So the fraction comes from the latter and is clamped into the
 * millisecond of the former: a stepped clock shows at once, and two lines never differ from `Date.now()` by 1 ms.
 */

/** Milliseconds since the epoch, with a fraction. */
export type WallClock = () => number;

/** A clock over two sources; they are arguments so that tests can step them. */
export function createWallClock(
  epochMs: () => number = Date.now,
  monotonicMs: () => number = () => performance.timeOrigin + performance.now(),
): WallClock {
  let offsetMs = 0;
  return () => {
    const coarseMs = epochMs();
    const fineMs = offsetMs + monotonicMs();
    if (fineMs >= coarseMs && fineMs < coarseMs + 1) return fineMs;
    // The system clock was set, or the two drift apart: the fraction is shifted back into the millisecond.
    offsetMs += fineMs < coarseMs ? coarseMs - fineMs : coarseMs + 0.999 - fineMs;
    return fineMs < coarseMs ? coarseMs : coarseMs + 0.999;
  };
}
