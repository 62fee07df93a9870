import type { MessageBlock } from './block.ts';
import { BufferPool } from './buffer-pool.ts';
import type { WordBuffer } from './record.ts';

/**
 * Bytes of a block in memory. A chunk that isn't in the file yet, or never will be (memory streams), is pinned; others
 * belong to the cache and go when it is over its bound. Bytes once written to a chunk don't change before `Store.reuseMemory`, so
 * readers may keep views until then.
 */
export class Chunk {
  readonly block: MessageBlock;
  /** Logical offset in the block, a multiple of 8. */
  readonly start: number;
  buffer: WordBuffer;
  length: number;
  pinned: boolean;
  /** Came from disk, so that each record's checksum is still to be looked at. */
  readonly foreign: boolean;
  used = true;

  constructor(block: MessageBlock, start: number, buffer: WordBuffer, length: number, foreign: boolean) {
    this.block = block;
    this.start = start;
    this.buffer = buffer;
    this.length = length;
    this.pinned = !foreign;
    this.foreign = foreign;
  }

  /** Makes room for `bytes` more, up to doubling `maxBytes`; views of the old buffer stay good. */
  grow(bytes: number, maxBytes: number, pool: BufferPool): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.bytes.length) return;
    const larger = pool.take(Math.max(needed, Math.min(this.buffer.bytes.length * 2, maxBytes)));
    larger.bytes.set(this.buffer.bytes.subarray(0, this.length));
    this.buffer = larger;
  }
}

/** Keeps cached chunks, and resident indexes of closed blocks, within bounds. The clock algorithm: a second chance for what was used. */
export class BlockCache {
  readonly pool = new BufferPool();
  readonly #maxChunkBytes: number;
  readonly #maxIndexBytes: number;
  readonly #chunks: Chunk[] = [];
  readonly #indexed: MessageBlock[] = [];
  #chunkHand = 0;
  #indexHand = 0;
  chunkBytes = 0;
  indexBytes = 0;

  constructor(maxChunkBytes: number, maxIndexBytes: number) {
    this.#maxChunkBytes = maxChunkBytes;
    this.#maxIndexBytes = maxIndexBytes;
  }

  /** Takes over an unpinned chunk. */
  addChunk(chunk: Chunk): void {
    this.#chunks.push(chunk);
    this.chunkBytes += chunk.buffer.bytes.length;
    while (this.chunkBytes > this.#maxChunkBytes && this.#chunks.length > 1) {
      if (this.#chunkHand >= this.#chunks.length) this.#chunkHand = 0;
      const candidate = this.#chunks[this.#chunkHand]!;
      if (candidate.used && candidate !== chunk) {
        candidate.used = false;
        this.#chunkHand++;
        continue;
      }
      if (candidate === chunk) {
        this.#chunkHand++;
        continue;
      }
      this.#chunks[this.#chunkHand] = this.#chunks[this.#chunks.length - 1]!;
      this.#chunks.pop();
      this.chunkBytes -= candidate.buffer.bytes.length;
      candidate.block.dropChunk(candidate);
      this.pool.give(candidate.buffer);
    }
  }

  /** Takes note of the index of a closed block whose file has it too. */
  addIndex(block: MessageBlock): void {
    this.#indexed.push(block);
    this.indexBytes += block.index?.memoryBytes ?? 0;
    while (this.indexBytes > this.#maxIndexBytes && this.#indexed.length > 1) {
      if (this.#indexHand >= this.#indexed.length) this.#indexHand = 0;
      const candidate = this.#indexed[this.#indexHand]!;
      if (candidate === block || candidate.indexUsed) {
        candidate.indexUsed = false;
        this.#indexHand++;
        continue;
      }
      this.#indexed[this.#indexHand] = this.#indexed[this.#indexed.length - 1]!;
      this.#indexed.pop();
      this.indexBytes -= candidate.index?.memoryBytes ?? 0;
      candidate.index = null;
    }
  }

  /** Forgets everything of a block that is gone. */
  forget(block: MessageBlock): void {
    for (let i = this.#indexed.length - 1; i >= 0; i--) {
      if (this.#indexed[i] !== block) continue;
      this.#indexed.splice(i, 1);
      this.indexBytes -= block.index?.memoryBytes ?? 0;
    }
    if (!block.chunks.some((chunk) => !chunk.pinned)) return;
    for (let i = this.#chunks.length - 1; i >= 0; i--) {
      if (this.#chunks[i]!.block !== block) continue;
      const { buffer } = this.#chunks[i]!;
      this.chunkBytes -= buffer.bytes.length;
      this.#chunks.splice(i, 1);
      this.pool.give(buffer);
    }
  }
}

/** The start of a chunk that is being filled. */
export function openChunk(block: MessageBlock, sizeBytes: number, pool: BufferPool): Chunk {
  const chunk = new Chunk(block, block.length, pool.take(sizeBytes), 0, false);
  block.chunks.push(chunk);
  return chunk;
}
