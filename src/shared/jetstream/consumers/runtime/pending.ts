/**
 * Messages delivered and not acknowledged, in the order of their sequences.
 *
 * First deliveries ascend, so an entry is always appended at the end. Entries are columns of typed arrays (28 bytes a
 * message, nothing to collect). One that is settled stays as a hole until the head passes it or the columns are packed;
 * the first entry of the columns is always a live one.
 *
 * ```
 *   sequence   4   5   6   9  10        find(9): 9 - 4 = 5 is past the hole-free guess, so a binary search
 *   attempts   1   -   2   1   1        `-`: a hole, acknowledged
 *              ▲ head          ▲ end
 * ```
 */

const FIRST_SIZE = 16;
/** Holes are packed away when they are more than the entries and more than this. */
const HOLES_KEPT = 64;
/** In the redelivery queue; the bits below count deliveries. */
const QUEUED = 0x8000_0000;
const COUNT = 0x7fff_ffff;
/** Of the many consumers that have nothing pending. */
const NO_NUMBERS = new Float64Array(0);
const NO_MARKS = new Uint32Array(0);

export class PendingMessages {
  /** Stream sequence. */
  #sequences = NO_NUMBERS;
  /** Consumer sequence of the first delivery. */
  #consumerSeqs = NO_NUMBERS;
  /** Last delivery or progress, Unix milliseconds. */
  #times = NO_NUMBERS;
  /** Deliveries, 0 for a hole, and the flag `QUEUED`. */
  #marks = NO_MARKS;
  #head = 0;
  #end = 0;
  #live = 0;
  #redelivered = 0;

  /** Messages pending. */
  get size(): number {
    return this.#live;
  }

  /** Those delivered more than once. */
  get redelivered(): number {
    return this.#redelivered;
  }

  /** First index; walk with `next` until `end`. Any change but `settle` and those of one entry makes indexes invalid. */
  get first(): number {
    return this.#head;
  }

  get end(): number {
    return this.#end;
  }

  next(index: number): number {
    let at = index + 1;
    while (at < this.#end && this.#marks[at] === 0) at++;
    return at;
  }

  sequence(index: number): number {
    return this.#sequences[index]!;
  }

  consumerSeq(index: number): number {
    return this.#consumerSeqs[index]!;
  }

  timeMs(index: number): number {
    return this.#times[index]!;
  }

  deliveries(index: number): number {
    return this.#marks[index]! & COUNT;
  }

  isQueued(index: number): boolean {
    return this.#marks[index]! >= QUEUED;
  }

  setQueued(index: number, queued: boolean): void {
    const count = this.#marks[index]! & COUNT;
    this.#marks[index] = queued ? count + QUEUED : count;
  }

  setTime(index: number, timeMs: number): void {
    this.#times[index] = timeMs;
  }

  setDeliveries(index: number, count: number): void {
    const before = this.#marks[index]!;
    if ((before & COUNT) <= 1 && count > 1) this.#redelivered++;
    else if ((before & COUNT) > 1 && count <= 1) this.#redelivered--;
    this.#marks[index] = before >= QUEUED ? count + QUEUED : count;
  }

  /** Index of a sequence, -1 when it isn't pending. */
  find(sequence: number): number {
    if (this.#live === 0) return -1;
    const sequences = this.#sequences;
    const first = sequences[this.#head]!;
    if (sequence < first) return -1;
    // Without gaps the distance is the index; with gaps it is an upper bound.
    const guess = Math.min(this.#head + (sequence - first), this.#end - 1);
    if (sequences[guess] === sequence) return this.#marks[guess] === 0 ? -1 : guess;
    let low = this.#head;
    let high = guess;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sequences[middle]! < sequence) low = middle + 1;
      else high = middle;
    }
    return sequences[low] === sequence && this.#marks[low] !== 0 ? low : -1;
  }

  /** Adds a message above all others. */
  add(sequence: number, consumerSeq: number, timeMs: number, deliveries: number): void {
    if (this.#end === this.#sequences.length) this.#makeRoom();
    const at = this.#end++;
    this.#sequences[at] = sequence;
    this.#consumerSeqs[at] = consumerSeq;
    this.#times[at] = timeMs;
    this.#marks[at] = deliveries;
    this.#live++;
    if (deliveries > 1) this.#redelivered++;
  }

  /** Takes an entry out. Indexes stay valid. */
  settle(index: number): void {
    if ((this.#marks[index]! & COUNT) > 1) this.#redelivered--;
    this.#marks[index] = 0;
    this.#live--;
    if (this.#live === 0) {
      this.#head = 0;
      this.#end = 0;
    } else if (index === this.#head) this.#head = this.next(index);
  }

  clear(): void {
    this.#sequences = NO_NUMBERS;
    this.#consumerSeqs = NO_NUMBERS;
    this.#times = NO_NUMBERS;
    this.#marks = NO_MARKS;
    this.#head = 0;
    this.#end = 0;
    this.#live = 0;
    this.#redelivered = 0;
  }

  /** Packs holes away when they are many, doubles the columns otherwise. */
  #makeRoom(): void {
    const holes = this.#end - this.#live;
    const size = this.#sequences.length;
    const packs = holes > this.#live && holes > HOLES_KEPT;
    const wanted = packs ? size : Math.max(FIRST_SIZE, size * 2);
    const sequences = packs ? this.#sequences : new Float64Array(wanted);
    const consumerSeqs = packs ? this.#consumerSeqs : new Float64Array(wanted);
    const times = packs ? this.#times : new Float64Array(wanted);
    const marks = packs ? this.#marks : new Uint32Array(wanted);
    let to = 0;
    for (let from = this.#head; from < this.#end; from++) {
      if (this.#marks[from] === 0) continue;
      sequences[to] = this.#sequences[from]!;
      consumerSeqs[to] = this.#consumerSeqs[from]!;
      times[to] = this.#times[from]!;
      marks[to] = this.#marks[from]!;
      to++;
    }
    this.#sequences = sequences;
    this.#consumerSeqs = consumerSeqs;
    this.#times = times;
    this.#marks = marks;
    this.#head = 0;
    this.#end = to;
  }
}
