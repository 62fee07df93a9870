import { READ_WINDOW_BYTES, SPARE_BUFFERS_BYTES, TAIL_BYTES } from './limits.ts';
import { WordBuffer } from './record.ts';

/**
 * Buffers of the two sizes that busy streams use up by the hundreds a second: full tails and read windows.
 *
 * Problem. A new buffer of 256 KB is a system call, 64 page faults and a pass of zeros, and as memory outside V8's heap it
 * drives full garbage collections: together more than a third of what it costs to store a message of 4 KB.
 *
 * Views of a buffer may be about when it is given back (a message that was just read), so it rests until the next `reuse`.
 */
export class BufferPool {
  readonly #free = new Map<number, WordBuffer[]>([
    [TAIL_BYTES, []],
    [READ_WINDOW_BYTES, []],
  ]);
  /** Given back since the last `reuse`. */
  readonly #resting: WordBuffer[] = [];
  #kept = 0;

  /** Bytes of buffers that nobody uses. */
  get bytes(): number {
    return this.#kept;
  }

  /** @returns at least `sizeBytes`, with any content */
  take(sizeBytes: number): WordBuffer {
    const found = this.#free.get(sizeBytes)?.pop();
    if (found === undefined) return new WordBuffer(sizeBytes);
    this.#kept -= sizeBytes;
    return found;
  }

  /** Takes a buffer back that gets no new readers. */
  give(buffer: WordBuffer): void {
    const size = buffer.bytes.length;
    if (!this.#free.has(size) || this.#kept + size > SPARE_BUFFERS_BYTES) return;
    this.#kept += size;
    this.#resting.push(buffer);
  }

  /** Nobody has a view any more of what was given back. */
  reuse(): void {
    if (this.#resting.length === 0) return;
    for (const buffer of this.#resting) this.#free.get(buffer.bytes.length)!.push(buffer);
    this.#resting.length = 0;
  }
}
