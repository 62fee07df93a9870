import { assert } from './assert.ts';
import {
  CAPACITY_WORD,
  DATA_OFFSET,
  HEAD_WORD,
  MAGIC,
  MAGIC_WORD,
  MAX_CAPACITY_BYTES,
  MIN_CAPACITY_BYTES,
  TAIL_WORD,
  VERSION,
  VERSION_WORD,
} from './layout.ts';

/**
 * Allocates an empty ring. Post the result to both threads; each wraps it in its end.
 *
 * @param capacityBytes bytes of data, a power of two from 64 to 2^30. The memory is 512 bytes larger (see layout.ts).
 * @param startPosition where both counters begin; only tests pass it, to bring the 32-bit wrap near.
 */
export function createRing(capacityBytes: number, startPosition = 0): SharedArrayBuffer {
  assert(
    Number.isInteger(capacityBytes) &&
      capacityBytes >= MIN_CAPACITY_BYTES &&
      capacityBytes <= MAX_CAPACITY_BYTES &&
      (capacityBytes & (capacityBytes - 1)) === 0,
    'the capacity must be a power of two from 64 to 2^30',
  );
  assert(Number.isInteger(startPosition) && startPosition % 8 === 0, 'the start position must be 8-aligned');
  const memory = new SharedArrayBuffer(DATA_OFFSET + capacityBytes);
  const words = new Int32Array(memory);
  words[MAGIC_WORD] = MAGIC;
  words[VERSION_WORD] = VERSION;
  words[CAPACITY_WORD] = capacityBytes;
  Atomics.store(words, TAIL_WORD, startPosition | 0);
  Atomics.store(words, HEAD_WORD, startPosition | 0);
  return memory;
}

/** Checks that `memory` is a ring of this version and returns it as 32-bit words; throws when it is anything else. */
export function openRing(memory: SharedArrayBuffer): Int32Array<SharedArrayBuffer> {
  assert(
    memory.byteLength >= DATA_OFFSET + MIN_CAPACITY_BYTES && memory.byteLength % 4 === 0,
    'the memory is too small',
  );
  const words = new Int32Array(memory);
  assert(words[MAGIC_WORD] === MAGIC, 'the memory was not made by createRing');
  assert(words[VERSION_WORD] === VERSION, 'the memory has another layout version');
  assert(words[CAPACITY_WORD] === memory.byteLength - DATA_OFFSET, 'the capacity does not match the memory');
  return words;
}
