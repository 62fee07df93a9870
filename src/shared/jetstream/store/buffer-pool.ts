import { SPARE_BUFFER_MIN_BYTES, SPARE_BUFFERS_BYTES } from './limits.ts';
import { WordBuffer } from './record.ts';

/** How many are looked at for one that fits. */
const LOOKS = 16;

/**
 * Buffers that busy streams use up by the hundreds a second: tails that are being filled, and windows of files.
 *
 * Problem. A new buffer of 256 KB is a system call, 64 page faults and a pass of zeros, and as memory outside V8's heap it
 * drives full garbage collections: together more than a third of what it costs to store a message of 4 KB.
 *
 * Views of a buffer may be about when it is given back (a message that was just read), so it rests until the next `reuse`.
 */
export class BufferPool {
  /** The latest ones last. */
  readonly #free: WordBuffer[] = [];
  /** Given back since the last `reuse`. */
  readonly #resting: WordBuffer[] = [];
  #kept = 0;

  /** Bytes of buffers that nobody uses. */
  get bytes(): number {
    return this.#kept;
  }

  /** @returns at least `sizeBytes` and, from the pool, at most twice as much; with any content */
  take(sizeBytes: number): WordBuffer {
    const free = this.#free;
    for (let at = free.length - 1; at >= Math.max(0, free.length - LOOKS); at--) {
      const found = free[at]!;
      const size = found.bytes.length;
      if (size < sizeBytes || size > 2 * sizeBytes) continue;
      free.splice(at, 1);
      this.#kept -= size;
      return found;
    }
    return new WordBuffer(sizeBytes);
  }

  /** Takes a buffer back that gets no new readers. */
  give(buffer: WordBuffer): void {
    const size = buffer.bytes.length;
    if (size < SPARE_BUFFER_MIN_BYTES || size > SPARE_BUFFERS_BYTES / 4) return;
    this.#kept += size;
    this.#resting.push(buffer);
    while (this.#kept > SPARE_BUFFERS_BYTES) {
      const oldest = this.#free.shift() ?? this.#resting.shift()!;
      this.#kept -= oldest.bytes.length;
    }
  }

  /** Nobody has a view any more of what was given back. */
  reuse(): void {
    if (this.#resting.length === 0) return;
    this.#free.push(...this.#resting);
    this.#resting.length = 0;
  }
}
