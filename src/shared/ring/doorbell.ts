/**
 * Sleep and wake-up of threads that feed each other through rings.
 *
 * Problem. Waking a sleeping thread costs several microseconds and a system call, so only a sleeper may be rung; but a thread
 * that falls asleep just as the last record is published must not sleep on it. And the sleeper's event loop must go on
 * (sockets), so it cannot block: `Atomics.waitAsync` lets it sleep for both.
 *
 * Each thread has one slot: AWAKE, or SLEEPING from the moment it announces sleep until it is rung or wakes by itself.
 *
 * ```
 *   sleeper                              other thread
 *   store slot = SLEEPING                store tail          (publish)
 *   load tail: anything? then awake      load slot: SLEEPING? then slot = AWAKE, notify
 * ```
 *
 * Atomics are in one total order, so at least one of the two loads sees the other's store: nothing published stays unseen.
 * The thread that swaps SLEEPING for AWAKE is the one that notifies, so many rings make one wake-up.
 *
 * Invariants
 *  - At most one waiter is registered for a slot, however often its thread sleeps: a thread woken by a socket leaves its
 *    waiter behind and the next sleep uses it again. (One promise for every sleep would grow without bound in a thread that
 *    is never rung: a waiter is released only by a notification.)
 *  - While a waiter is left, a notification is either still to come or on its way to this thread's loop. One on its way
 *    from an earlier sleep may end a later one early, which is harmless: the thread looks and sleeps again.
 *  - A pending waiter does not keep a Node worker alive. A thread that sleeps needs another handle (a port, a socket).
 *
 * Rejected: `postMessage` as the bell (same latency, an allocation and a clone, and no way to ask whether the other sleeps);
 * a counter incremented by each ring (a locked instruction on a shared line for each publish instead of one load).
 */

import { assert } from './assert.ts';

const AWAKE = 0;
const SLEEPING = 1;
/** 128 bytes for each slot, as in layout.ts: a publish looks at another thread's slot all the time. */
const SLOT_WORDS = 32;

/** Allocates the slots of `threads` threads, numbered from 0. */
export function createDoorbells(threads: number): SharedArrayBuffer {
  assert(Number.isInteger(threads) && threads > 0, 'the number of threads must be a positive integer');
  return new SharedArrayBuffer(threads * SLOT_WORDS * Int32Array.BYTES_PER_ELEMENT);
}

/** A hand on every thread's bell, for a thread that has none of its own. */
export class DoorbellRinger {
  readonly #slots: Int32Array<SharedArrayBuffer>;
  readonly #threads: number;

  constructor(memory: SharedArrayBuffer) {
    this.#slots = new Int32Array(memory);
    this.#threads = this.#slots.length / SLOT_WORDS;
  }

  /** Wakes thread `other` if it sleeps. Publish first: what is published after the ring may stay unseen. */
  ring(other: number): void {
    assert(other >= 0 && other < this.#threads, 'no such thread');
    const slot = other * SLOT_WORDS;
    if (Atomics.load(this.#slots, slot) !== SLEEPING) return;
    if (Atomics.compareExchange(this.#slots, slot, SLEEPING, AWAKE) === SLEEPING) {
      Atomics.notify(this.#slots, slot);
    }
  }
}

/** One thread's bell, and its hand on everybody else's. */
export class Doorbell extends DoorbellRinger {
  readonly #slots: Int32Array<SharedArrayBuffer>;
  readonly #self: number;
  /** True while this thread's waiter is registered or its notification is on the way. */
  #waiting = false;
  #closed = false;
  #onWake: (() => void) | null = null;

  /** @param self this thread's number; it starts awake, whatever a former thread of the number left behind. */
  constructor(memory: SharedArrayBuffer, self: number) {
    super(memory);
    this.#slots = new Int32Array(memory);
    const threads = this.#slots.length / SLOT_WORDS;
    assert(Number.isInteger(self) && self >= 0 && self < threads, 'no such thread');
    this.#self = self * SLOT_WORDS;
    Atomics.store(this.#slots, this.#self, AWAKE);
  }

  /**
   * Announces sleep. From now on a ring calls `onWake`, once, in a microtask of this thread's loop, the thread being awake
   * again by then.
   *
   * Work that came before the announcement rings nobody, so the caller must look once more after it: `hasWork` does that at
   * the right moment. Without it, look at all rings after this returned true, and if there is anything call `awake`.
   *
   * @returns false when there is work or the bell rang in between: the thread is awake, `onWake` will not be called.
   */
  sleep(onWake: () => void, hasWork?: () => boolean): boolean {
    assert(!this.#closed, 'the doorbell is closed');
    Atomics.store(this.#slots, this.#self, SLEEPING);
    if (hasWork !== undefined) {
      let busy = true;
      try {
        busy = hasWork();
      } finally {
        if (busy) this.awake();
      }
      if (busy) return false;
    }
    if (!this.#waiting && !this.#arm()) {
      this.#onWake = null;
      return false;
    }
    this.#onWake = onWake;
    return true;
  }

  /** True from `sleep` until the bell rings (`onWake` may then be still on its way) or `awake` is called. */
  get isSleeping(): boolean {
    return Atomics.load(this.#slots, this.#self) === SLEEPING;
  }

  /** Takes the announcement back, because something else woke this thread. `onWake` is not called any more. */
  awake(): void {
    this.#onWake = null;
    if (!this.#closed) Atomics.store(this.#slots, this.#self, AWAKE);
  }

  /** Releases the waiter; `onWake` is not called any more and rings from others do nothing. */
  close(): void {
    if (this.#closed) return;
    this.awake();
    this.#closed = true;
    Atomics.notify(this.#slots, this.#self);
  }

  #arm(): boolean {
    const wait = Atomics.waitAsync(this.#slots, this.#self, SLEEPING);
    if (!wait.async) return false;
    this.#waiting = true;
    void wait.value.then(this.#wake);
    return true;
  }

  readonly #wake = (): void => {
    this.#waiting = false;
    const onWake = this.#onWake;
    if (onWake === null) return;
    this.awake();
    onWake();
  };
}
