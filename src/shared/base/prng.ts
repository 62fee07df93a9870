/** A small deterministic random source (xorshift32): `src/shared` takes its randomness from a seed the host passes in. */
export class Prng {
  #state: number;

  /** @param seed any integer; 0 is replaced, since xorshift would stay there */
  constructor(seed: number) {
    this.#state = seed | 0 || 0x9e3779b9;
  }

  /** @returns an integer in [0, bound), bound up to 2^31 */
  below(bound: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 1) % bound;
  }

  /** @returns a number in [0, 1) */
  unit(): number {
    return this.below(0x40000000) / 0x40000000;
  }
}
