import { WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import type { SharedPayload } from '../../shared/base/outbox.ts';

/**
 * Buffers for messages too large to be re-joined: the kernel reads straight into one, and every subscriber is written from
 * it. They are pooled because a fresh megabyte costs a page fault for each 4 KB, as much as copying it.
 */

const MIN_CLASS_BYTES = 32 * 1024;
/** Free bytes kept for reuse. */
const POOL_MAX_BYTES = 32 * 1024 * 1024;

export class PayloadBuffer implements SharedPayload {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  references = 0;
  readonly #pool: PayloadBufferPool;

  constructor(sizeBytes: number, pool: PayloadBufferPool) {
    this.bytes = new Uint8Array(sizeBytes);
    this.view = new DataView(this.bytes.buffer);
    this.#pool = pool;
  }

  release(): void {
    this.#pool.give(this);
  }
}

export class PayloadBufferPool {
  readonly #free = new Map<number, PayloadBuffer[]>();
  #freeBytes = 0;

  /** @returns a buffer of at least `bytes` and the slack the parser wants behind them */
  take(bytes: number): PayloadBuffer {
    let size = MIN_CLASS_BYTES;
    while (size < bytes + WORD_SLACK_BYTES) size *= 2;
    // Halfway classes: a power of two wastes up to half of the memory.
    if ((size / 4) * 3 >= bytes + WORD_SLACK_BYTES) size = (size / 4) * 3;
    const buffer = this.#free.get(size)?.pop();
    if (buffer === undefined) return new PayloadBuffer(size, this);
    this.#freeBytes -= size;
    return buffer;
  }

  give(buffer: PayloadBuffer): void {
    const size = buffer.bytes.length;
    if (this.#freeBytes + size > POOL_MAX_BYTES) return;
    this.#freeBytes += size;
    const free = this.#free.get(size);
    if (free === undefined) this.#free.set(size, [buffer]);
    else free.push(buffer);
  }
}
