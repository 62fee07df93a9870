import { decimalDigits, writeDecimal } from './decimal.ts';

/** The sizes that stand in front of a message on the wire, written in place. */

const SPACE = 32;
const CR = 13;
const LF = 10;

/** Two sizes, spaces and line ends, at most. */
export const SIZES_MAX_BYTES = 32;

export function writeLineEnd(bytes: Uint8Array, at: number): number {
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/** Writes `[header-size ]size\r\n`. @returns the offset behind it */
export function writeSizes(
  bytes: Uint8Array,
  start: number,
  headerBytes: number,
  totalBytes: number,
): number {
  let at = start;
  if (headerBytes > 0) {
    at = writeDecimal(bytes, at, headerBytes);
    bytes[at++] = SPACE;
  }
  return writeLineEnd(bytes, writeDecimal(bytes, at, totalBytes));
}

/** Bytes `writeSizes` writes. */
export function sizesBytes(headerBytes: number, totalBytes: number): number {
  const header = headerBytes > 0 ? decimalDigits(headerBytes) + 1 : 0;
  return header + decimalDigits(totalBytes) + 2;
}
