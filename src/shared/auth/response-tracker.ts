/**
 * `allow_responses` of one connection (auth-accounts §5.2): the reply subjects it has been given and may publish to, for
 * a number of messages and a time.
 *
 * A subscriber that answers few of the requests it gets would collect entries without end, so they are bounded. They
 * are kept in order of arrival, which is the order of expiry too, since all live equally long: pruning stops at the first
 * that is still good, and when the bound is reached the oldest go. Both are done rarely and for many entries at once,
 * because a Map whose oldest entries were deleted is slow to find its first.
 */
import type { ResponsePermission } from '../base/options.ts';

/** Entries from which on expired ones are looked for. */
const PRUNE_FROM_ENTRIES = 4096;
const PRUNE_INTERVAL_MS = 1000;
/** Entries of one connection at most. */
const MAX_ENTRIES = 65_536;
/** Entries that go at once when there are so many. */
const EVICTED_ENTRIES = MAX_ENTRIES / 8;

interface Admission {
  /** Messages left; negative is unlimited. */
  remaining: number;
  /** `Infinity` when it does not expire. */
  readonly expiresAtMs: number;
}

export class ResponseTracker {
  readonly #limit: ResponsePermission;
  readonly #admissions = new Map<string, Admission>();
  #nextPruneMs = Number.NEGATIVE_INFINITY;

  constructor(limit: ResponsePermission) {
    this.#limit = limit;
  }

  /** Reply subjects held. */
  get size(): number {
    return this.#admissions.size;
  }

  /** Notes that a message with this reply subject was delivered; a known one starts anew. */
  track(reply: string, nowMs: number): void {
    const { maxMsgs, expiresMs } = this.#limit;
    if (maxMsgs === 0) return;
    // Deleted first, so that it becomes the youngest.
    this.#admissions.delete(reply);
    if (this.#admissions.size >= PRUNE_FROM_ENTRIES) this.#makeRoom(nowMs);
    const expiresAtMs = expiresMs < 0 ? Number.POSITIVE_INFINITY : nowMs + expiresMs;
    this.#admissions.set(reply, { remaining: maxMsgs, expiresAtMs });
  }

  /** Whether a message may be published to the subject as a response; if so, it counts as one. */
  take(subject: string, nowMs: number): boolean {
    const admission = this.#admissions.get(subject);
    if (admission === undefined) return false;
    if (nowMs > admission.expiresAtMs) {
      this.#admissions.delete(subject);
      return false;
    }
    if (admission.remaining < 0) return true;
    admission.remaining--;
    if (admission.remaining === 0) this.#admissions.delete(subject);
    return true;
  }

  #makeRoom(nowMs: number): void {
    if (nowMs >= this.#nextPruneMs) {
      this.#nextPruneMs = nowMs + PRUNE_INTERVAL_MS;
      for (const [reply, { expiresAtMs }] of this.#admissions) {
        if (nowMs <= expiresAtMs) break;
        this.#admissions.delete(reply);
      }
    }
    if (this.#admissions.size < MAX_ENTRIES) return;
    let evicted = 0;
    for (const reply of this.#admissions.keys()) {
      if (evicted === EVICTED_ENTRIES) break;
      this.#admissions.delete(reply);
      evicted++;
    }
  }
}
