/**
 * Sequences by the time something is due for them: per-message TTLs and schedules.
 *
 * A binary heap in two typed arrays: 16 bytes an entry, and nothing to collect. Entries are never taken out early; whoever
 * is handed a due one checks that it still means what it did (the message may be gone, or its sequence be another's).
 */
export class ExpiryQueue {
  #times = new Float64Array(16);
  #sequences = new Float64Array(16);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** When the first entry is due; Infinity without any. */
  get nextMs(): number {
    return this.#size === 0 ? Infinity : this.#times[0]!;
  }

  add(sequence: number, timeMs: number): void {
    if (this.#size === this.#times.length) this.#grow();
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#times[parent]! <= timeMs) break;
      this.#copy(parent, at);
      at = parent;
    }
    this.#times[at] = timeMs;
    this.#sequences[at] = sequence;
  }

  /** Takes the first entry when it is due. @returns its sequence, or 0 */
  takeDue(nowMs: number): number {
    if (this.nextMs > nowMs) return 0;
    const sequence = this.#sequences[0]!;
    const last = --this.#size;
    const timeMs = this.#times[last]!;
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      if (child + 1 < last && this.#times[child + 1]! < this.#times[child]!) child++;
      if (timeMs <= this.#times[child]!) break;
      this.#copy(child, at);
      at = child;
    }
    this.#times[at] = timeMs;
    this.#sequences[at] = this.#sequences[last]!;
    return sequence;
  }

  clear(): void {
    this.#size = 0;
  }

  #copy(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#sequences[to] = this.#sequences[from]!;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const sequences = new Float64Array(times.length);
    sequences.set(this.#sequences);
    this.#sequences = sequences;
  }
}
