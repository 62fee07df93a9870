import { getSystemErrorName } from 'node:util';
import { copyBytes } from '../../shared/base/copy-bytes.ts';
import { putPosition } from '../../shared/jetstream/store/log-layout.ts';
import { startIoThread } from './io-thread.ts';
import { sharedPages } from './sync-thread.ts';

/**
 * A thread that writes past the page cache what nobody waits for: blocks of large messages.
 *
 * Problem. To copy a block into the page cache costs the persistence thread a quarter of its time (4 KB messages), and what the
 * kernel then sends to the disk, whenever it likes, holds up the log's syncs. A write past the cache costs no processor
 * time but a wait, which is made here.
 *
 * What is written is copied into a slot of shared memory. Slots are used in turn; a writer that finds none free waits for the
 * oldest. Whole pages go past the cache. What is left of the first and the last page goes into it, and is written here as well:
 * a file takes one write at a time, so elsewhere it would have to wait for the others.
 *
 *   persistence: copy into slot n, then SUBMITTED = n ──notify──►  write
 *                                          DONE ◄──  RESULT, then DONE = n ──notify
 */

/** Layout of the shared words; the thread itself is `write-entry.ts`. */
export const WRITE_SUBMITTED = 0;
export const WRITE_DONE = 1;
const FIRST_SLOT_WORD = 2;
/** Words of a slot. */
export const SLOT_FD = 0;
export const SLOT_DIRECT_FD = 1;
export const SLOT_LENGTH = 2;
/** Where in the file, low and high word. */
export const SLOT_POSITION = 3;
/** 0, or the negative number of the error. */
export const SLOT_RESULT = 5;
/** 1: the write past the page cache was refused, and another one made. */
export const SLOT_REFUSED = 6;
const SLOT_WORDS = 7;
/** A power of two. */
export const WRITE_SLOTS = 16;
/** Most bytes of one write. */
export const WRITE_SLOT_BYTES = 256 * 1024;
/** Bytes lie in a slot as they do in their page of the file: there is room for the longest pages there are. */
const SLOT_STRIDE = WRITE_SLOT_BYTES + 64 * 1024;

export interface WriteThreadStart {
  readonly words: SharedArrayBuffer;
  readonly memory: SharedArrayBuffer;
  readonly pageBytes: number;
}

/** First word of the slot that the `number`th write uses. */
export function slotWord(number: number): number {
  return FIRST_SLOT_WORD + (number & (WRITE_SLOTS - 1)) * SLOT_WORDS;
}

/** Where in the memory the bytes of the `number`th write are, one to a place in a file. */
export function slotOffset(number: number, position: number, pageBytes: number): number {
  return (number & (WRITE_SLOTS - 1)) * SLOT_STRIDE + (position % pageBytes);
}

/** A write on its way. */
export interface BegunWrite {
  /** @returns whether it is over; then the other fields are set */
  poll(): boolean;
  wait(): void;
  /** Name of the error, or null. */
  readonly problem: string | null;
  readonly refusedDirect: boolean;
}

export class WriteThread {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #pageBytes: number;
  /** What uses the slots, or did; a slot is used again when its result was noted. */
  readonly #writes: (SlotWrite | null)[] = new Array(WRITE_SLOTS).fill(null);
  #submitted = 0;

  /**
   * @param pageBytes length of a page of memory
   * @param entry the thread's code
   */
  constructor(pageBytes: number, entry: URL = new URL('./write.js', import.meta.url)) {
    this.#pageBytes = pageBytes;
    const wordCount = FIRST_SLOT_WORD + WRITE_SLOTS * SLOT_WORDS;
    const words = new SharedArrayBuffer(wordCount * Int32Array.BYTES_PER_ELEMENT);
    const memory = sharedPages(WRITE_SLOTS * SLOT_STRIDE);
    this.#words = new Int32Array(words);
    this.#bytes = new Uint8Array(memory);
    const workerData: WriteThreadStart = { words, memory, pageBytes };
    startIoThread(entry, 'write', workerData);
  }

  /**
   * Begins to write `length` bytes, at most `WRITE_SLOT_BYTES`, of `source` from `offset` on. They are copied; the descriptors must
   * stay open until it is done.
   *
   * @param directFd of the same file, for writes past the page cache; -1 for none
   */
  write(
    fd: number,
    directFd: number,
    source: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): BegunWrite {
    const number = (this.#submitted + 1) | 0;
    this.#submitted = number;
    const use = number & (WRITE_SLOTS - 1);
    this.#writes[use]?.wait();
    const place = slotOffset(number, position, this.#pageBytes);
    copyBytes(this.#bytes, place, source, offset, offset + length);
    const words = this.#words;
    const w = slotWord(number);
    words[w + SLOT_FD] = fd;
    words[w + SLOT_DIRECT_FD] = directFd;
    words[w + SLOT_LENGTH] = length;
    putPosition(words, w + SLOT_POSITION, position);
    words[w + SLOT_RESULT] = 0;
    words[w + SLOT_REFUSED] = 0;
    Atomics.store(words, WRITE_SUBMITTED, number);
    Atomics.notify(words, WRITE_SUBMITTED);
    const begun = new SlotWrite(words, number);
    this.#writes[use] = begun;
    return begun;
  }
}

class SlotWrite implements BegunWrite {
  problem: string | null = null;
  refusedDirect = false;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #number: number;
  #isNoted = false;

  constructor(words: Int32Array<SharedArrayBuffer>, number: number) {
    this.#words = words;
    this.#number = number;
  }

  poll(): boolean {
    if (this.#isNoted) return true;
    // Both numbers wrap; they are never far apart.
    if (((Atomics.load(this.#words, WRITE_DONE) - this.#number) | 0) < 0) return false;
    this.#isNoted = true;
    const w = slotWord(this.#number);
    const result = this.#words[w + SLOT_RESULT]!;
    this.problem = result === 0 ? null : getSystemErrorName(result);
    this.refusedDirect = this.#words[w + SLOT_REFUSED] === 1;
    return true;
  }

  wait(): void {
    for (;;) {
      const done = Atomics.load(this.#words, WRITE_DONE);
      if (this.poll()) return;
      Atomics.wait(this.#words, WRITE_DONE, done);
    }
  }
}
