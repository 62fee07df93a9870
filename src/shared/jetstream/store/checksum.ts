/**
 * The checksum of records, frames, blocks and metadata: 64 bits over 32-bit words.
 *
 * Even and odd words go through one lane each; a step is `rotate(odd constant * (lane xor word))`, a bijection of the lane for a
 * given word and of the word for a given lane. So a change confined to one word of each lane is always noticed, and
 * any other slips through once in 2^64. The final mix is a bijection of both lanes; it takes a salt that says where the bytes
 * belong, so that right bytes in the wrong place (a recycled log segment, a misdirected write) are as wrong as flipped bits,
 * and one pass over a record gives its checksum for the log and for its block.
 *
 * Measured over 200 bytes: 27 ns, against 108 ns (`zlib.crc32`, dominated by the call) and 140 ns (CRC by tables). Words are read
 * in the machine's order; Node runs on little-endian machines, and `LITTLE_ENDIAN` lets the store refuse any other.
 */

export const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

const LANE_ONE = 0x9e3779b1;
const LANE_TWO = 0x85ebca77;

/** Both lanes of a pass, and the sealed checksum. One instance is reused. */
export class Checksum {
  lo = 0;
  hi = 0;
  sealedLo = 0;
  sealedHi = 0;

  /** Starts a pass. */
  begin(): void {
    this.lo = LANE_ONE | 0;
    this.hi = LANE_TWO | 0;
  }

  /** Takes in `words[from, to)`. Only the last call of a pass may have an odd number of words. */
  update(words: Int32Array, from: number, to: number): void {
    let lo = this.lo;
    let hi = this.hi;
    let i = from;
    // Four steps of each lane at a time: what a loop costs beside its steps is a third of them.
    for (const end = to - 7; i < end; i += 8) {
      lo = Math.imul(lo ^ words[i]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
      hi = Math.imul(hi ^ words[i + 1]!, LANE_TWO);
      hi = (hi << 13) | (hi >>> 19);
      lo = Math.imul(lo ^ words[i + 2]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
      hi = Math.imul(hi ^ words[i + 3]!, LANE_TWO);
      hi = (hi << 13) | (hi >>> 19);
      lo = Math.imul(lo ^ words[i + 4]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
      hi = Math.imul(hi ^ words[i + 5]!, LANE_TWO);
      hi = (hi << 13) | (hi >>> 19);
      lo = Math.imul(lo ^ words[i + 6]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
      hi = Math.imul(hi ^ words[i + 7]!, LANE_TWO);
      hi = (hi << 13) | (hi >>> 19);
    }
    for (; i + 1 < to; i += 2) {
      lo = Math.imul(lo ^ words[i]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
      hi = Math.imul(hi ^ words[i + 1]!, LANE_TWO);
      hi = (hi << 13) | (hi >>> 19);
    }
    if (i < to) {
      lo = Math.imul(lo ^ words[i]!, LANE_ONE);
      lo = (lo << 13) | (lo >>> 19);
    }
    this.lo = lo;
    this.hi = hi;
  }

  /** Computes `sealedLo` and `sealedHi` for a place; the lanes stay as they are. */
  seal(saltLo: number, saltHi: number): void {
    let a = this.lo ^ saltLo;
    let b = this.hi ^ saltHi;
    a ^= scramble(b);
    b ^= scramble(a);
    a ^= scramble(b);
    this.sealedLo = a | 0;
    this.sealedHi = b | 0;
  }
}

function scramble(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

const shared = new Checksum();

/** Checksum of `bytes[0, length)` of a buffer that starts on a word and is zero up to the next one, as two int32. */
export function checksumOf(bytes: Uint8Array, length: number, salt: number): [lo: number, hi: number] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, (length + 3) >>> 2);
  shared.begin();
  shared.update(words, 0, words.length);
  shared.seal(salt, length);
  return [shared.sealedLo, shared.sealedHi];
}

/** Low and high 32 bits of a safe integer, for salts and layouts. */
export function lowWord(value: number): number {
  return value >>> 0;
}

export function highWord(value: number): number {
  return Math.floor(value / 0x1_0000_0000);
}
