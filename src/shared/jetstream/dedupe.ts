/**
 * Message ids of the last while (jetstream-streams §3.4): a second message with an id known here is acknowledged with the
 * sequence of the first and not stored.
 *
 * Ids leave in the order they came, so a map, whose order is that of insertion, is the queue too: the oldest entry is its
 * first. Memory is bounded by bytes, not by the window alone: beyond the bound the oldest ids are forgotten early, which
 * risks a duplicate after a very long burst where nats-server would grow without limit.
 */

/** Ids of one stream, with what an entry costs besides. */
const DEDUPE_MAX_BYTES = 64 * 1024 * 1024;
const ENTRY_BYTES = 96;

interface Entry {
  readonly sequence: number;
  readonly timestampMs: number;
}

export class DedupeWindow {
  readonly #entries = new Map<string, Entry>();
  readonly #maxBytes: number;
  #windowMs: number;
  #bytes = 0;

  /** @param windowMs 0: nothing is remembered */
  constructor(windowMs: number, maxBytes = DEDUPE_MAX_BYTES) {
    this.#windowMs = windowMs;
    this.#maxBytes = maxBytes;
  }

  get windowMs(): number {
    return this.#windowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Changes the window; what is older than the new one goes with the next `expire`. */
  resize(windowMs: number): void {
    this.#windowMs = windowMs;
    if (windowMs === 0) {
      this.#entries.clear();
      this.#bytes = 0;
    }
  }

  /** Sequence the id was stored under, 0 when it isn't known. */
  find(id: string, nowMs: number): number {
    const entry = this.#entries.get(id);
    return entry === undefined || entry.timestampMs + this.#windowMs <= nowMs ? 0 : entry.sequence;
  }

  /** Remembers an id; one that is known and not expired keeps its place. */
  add(id: string, sequence: number, timestampMs: number): void {
    if (this.#windowMs === 0) return;
    this.#forget(id);
    this.#entries.set(id, { sequence, timestampMs });
    this.#bytes += ENTRY_BYTES + id.length;
    while (this.#bytes > this.#maxBytes) this.#forget(this.#entries.keys().next().value!);
  }

  /** Forgets an id whose message was taken back. */
  forget(id: string): void {
    this.#forget(id);
  }

  /** Forgets what is older than the window. */
  expire(nowMs: number): void {
    for (const [id, { timestampMs }] of this.#entries) {
      if (timestampMs + this.#windowMs > nowMs) return;
      this.#forget(id);
    }
  }

  /** When the oldest id expires; Infinity without any. */
  nextExpiryMs(): number {
    const first = this.#entries.values().next();
    return first.done ? Infinity : first.value.timestampMs + this.#windowMs;
  }

  #forget(id: string): void {
    if (this.#entries.delete(id)) this.#bytes -= ENTRY_BYTES + id.length;
  }
}
