/**
 * Numbers the rows of a subject table in the order in which they are met. Made to be used again: what a Map would leave behind
 * for each block of a busy stream keeps the garbage collector's heap large.
 */

const START_ROWS = 256;
/** Spreads rows, which are near each other, over the slots. */
const SPREAD = 0x9e3779b1;

export class RowNumbers {
  /** Rows that were met. */
  size = 0;
  #rows = new Uint32Array(START_ROWS);
  /** Number + 1 of a row, by the row's hash. At least half of them are 0. */
  #slots = new Uint32Array(START_ROWS * 2);
  #shift = 23;

  clear(): void {
    this.size = 0;
    this.#slots.fill(0);
  }

  /** The row's number, a new one when it is met for the first time. */
  numberOf(row: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = Math.imul(row, SPREAD) >>> this.#shift;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#rows[slots[slot]! - 1] === row) return slots[slot]! - 1;
    }
    const number = this.size++;
    this.#rows[number] = row;
    slots[slot] = number + 1;
    if (this.size === this.#rows.length) this.#grow();
    return number;
  }

  /** The row that has a number. */
  rowOf(number: number): number {
    return this.#rows[number]!;
  }

  #grow(): void {
    const rows = new Uint32Array(this.size * 2);
    rows.set(this.#rows);
    const slots = new Uint32Array(rows.length * 2);
    const mask = slots.length - 1;
    this.#shift--;
    for (let number = 0; number < this.size; number++) {
      let slot = Math.imul(rows[number]!, SPREAD) >>> this.#shift;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.#rows = rows;
    this.#slots = slots;
  }
}

/** For whoever needs numbers during one call. */
export const scratchNumbers = new RowNumbers();
