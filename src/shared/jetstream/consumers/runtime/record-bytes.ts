/** Numbers of consumer records: variable-length integers up to 2^53, seven bits a byte, lowest first. */

const FIRST_SIZE = 512;
const HIGH_BIT = 128;

/** Writes a record. */
export class RecordWriter {
  #bytes = new Uint8Array(FIRST_SIZE);
  length = 0;

  clear(): void {
    this.length = 0;
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#grow();
    this.#bytes[this.length++] = value;
  }

  /** @param value not negative */
  unsigned(value: number): void {
    let rest = value;
    for (; rest >= 0x4000_0000; rest = Math.floor(rest / HIGH_BIT)) this.byte((rest % HIGH_BIT) + HIGH_BIT);
    let small = rest | 0;
    for (; small >= HIGH_BIT; small >>= 7) this.byte((small & 127) | HIGH_BIT);
    this.byte(small);
  }

  /** @param value up to 2^52 either way */
  signed(value: number): void {
    this.unsigned(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** What was written; a view. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #grow(): void {
    const larger = new Uint8Array(this.#bytes.length * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Reads a record. Behind its end everything is 0 and `failed` is set. */
export class RecordReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) this.failed = true;
    return value ?? 0;
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= HIGH_BIT) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < HIGH_BIT) break;
      if (scale > Number.MAX_SAFE_INTEGER) {
        this.failed = true;
        break;
      }
    }
    if (value > Number.MAX_SAFE_INTEGER) this.failed = true;
    return value;
  }

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }
}
