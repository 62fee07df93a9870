import { copyWords } from './copy-words.ts';
import { writeDecimal } from './decimal.ts';

/** Digits of a safe integer. */
const MAX_DIGITS = 16;
const SLACK_BYTES = 4;
const DIGIT_0 = 48;
const DIGIT_9 = 57;

/**
 * A number that is mostly one more or one less than it was before, as decimal digits: of those only the last ones change.
 * They stand at the end of a field of zeros.
 */
export class RunningDecimal {
  readonly #bytes = new Uint8Array(MAX_DIGITS + SLACK_BYTES).fill(DIGIT_0);
  readonly #view = new DataView(this.#bytes.buffer);
  #value = 0;
  #start = MAX_DIGITS - 1;

  /**
   * Writes a non-negative safe integer at `at`, and up to three bytes more behind it.
   *
   * @returns the offset behind it
   */
  write(target: DataView, at: number, value: number): number {
    if (value !== this.#value) {
      if (value === this.#value + 1) this.#increment();
      else if (value === this.#value - 1) this.#decrement();
      else this.#set(value);
      this.#value = value;
    }
    const start = this.#start;
    copyWords(target, at, this.#view, start, MAX_DIGITS - start);
    return at + MAX_DIGITS - start;
  }

  #increment(): void {
    const bytes = this.#bytes;
    let at = MAX_DIGITS - 1;
    while (bytes[at] === DIGIT_9) bytes[at--] = DIGIT_0;
    bytes[at]!++;
    if (at < this.#start) this.#start = at;
  }

  #decrement(): void {
    const bytes = this.#bytes;
    let at = MAX_DIGITS - 1;
    while (bytes[at] === DIGIT_0) bytes[at--] = DIGIT_9;
    bytes[at]!--;
    if (at === this.#start && bytes[at] === DIGIT_0 && at < MAX_DIGITS - 1) this.#start++;
  }

  #set(value: number): void {
    const bytes = this.#bytes;
    const digits = writeDecimal(bytes, 0, value);
    bytes.copyWithin(MAX_DIGITS - digits, 0, digits);
    bytes.fill(DIGIT_0, 0, MAX_DIGITS - digits);
    this.#start = MAX_DIGITS - digits;
  }
}
