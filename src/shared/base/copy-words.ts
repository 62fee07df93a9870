import { WORD_COPY_MAX_BYTES } from './limits.ts';

/** Bytes by which a copy in words may go beyond the end. */
const OVERRUN_BYTES = 3;

/**
 * Whether `length` bytes at `start` should be copied in words: there are bytes behind them to be read as well, and a call of
 * `TypedArray.set`, which needs a view made first, wouldn't be faster.
 */
export function copiesInWords(memory: Uint8Array, start: number, length: number): boolean {
  return length <= WORD_COPY_MAX_BYTES && start + length + OVERRUN_BYTES <= memory.length;
}

/** Copies in words of any alignment. Up to three bytes more are read and written behind the end. */
export function copyWords(
  target: DataView,
  at: number,
  source: DataView,
  start: number,
  length: number,
): void {
  for (let i = 0; i < length; i += 4) target.setInt32(at + i, source.getInt32(start + i, true), true);
}
