/** Decimal numbers as bytes, without strings. */

const DIGIT_0 = 48;
/** Integers below 2^31 divide many times faster than doubles, so larger numbers are written in pieces of nine digits. */
const PIECE = 1_000_000_000;
const PIECE_DIGITS = 9;

/** Digits of a non-negative safe integer. */
export function decimalDigits(value: number): number {
  let digits = 1;
  for (let bound = 10; value >= bound; bound *= 10) digits++;
  return digits;
}

/** Writes a non-negative safe integer at `start`. @returns the offset behind it */
export function writeDecimal(bytes: Uint8Array, start: number, value: number): number {
  if (value < PIECE) return writeDigits(bytes, start, value, decimalDigits(value));
  const high = Math.floor(value / PIECE);
  const at = writeDecimal(bytes, start, high);
  return writeDigits(bytes, at, value - high * PIECE, PIECE_DIGITS);
}

/**
 * Writes a number below 10^9 with leading zeros.
 *
 * @param digits how many, at most 9
 * @returns the offset behind it
 */
export function writeDigits(bytes: Uint8Array, start: number, value: number, digits: number): number {
  let rest = value | 0;
  for (let at = start + digits - 1; at >= start; at--) {
    const tenth = (rest / 10) | 0;
    bytes[at] = DIGIT_0 + rest - tenth * 10;
    rest = tenth;
  }
  return start + digits;
}
