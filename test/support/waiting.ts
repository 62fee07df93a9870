/**
 * A condition that events can make true: tests wait on it instead of sleeping.
 *
 * The deadline is a guard that turns a hang into a readable failure; no assertion depends on its length.
 */

/** A machine may be slow and busy, and its disk too. */
export const GUARD_MS = 30_000;

interface Waiter {
  predicate: () => boolean;
  resolve: () => void;
}

export class Signal {
  private readonly waiters = new Set<Waiter>();

  /** Re-examines every waiting predicate; call it after each change of the watched state. */
  notify(): void {
    for (const waiter of this.waiters) {
      if (!waiter.predicate()) continue;
      this.waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /**
   * Resolves as soon as `predicate` holds.
   *
   * @param describe says, at the time of failure, what was waited for and what was seen instead
   * @throws Error when the guard expires first
   */
  async until(predicate: () => boolean, describe: () => string, guardMs = GUARD_MS): Promise<void> {
    if (predicate()) return;
    let guard: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter: Waiter = { predicate, resolve };
        this.waiters.add(waiter);
        guard = setTimeout(() => {
          this.waiters.delete(waiter);
          reject(new Error(`waited ${guardMs} ms: ${describe()}`));
        }, guardMs);
      });
    } finally {
      clearTimeout(guard);
    }
  }
}
