import { BlockIndex, MessageBlock, NO_ROW } from './block.ts';
import { Chunk } from './chunk.ts';
import { DiskError } from './disk.ts';
import { encodeFooter } from './footer.ts';
import { EXTENT_BYTES } from './limits.ts';
import { paddedBytes, recordLengthAt, WordBuffer } from './record.ts';
import type { StoreParts } from './shared.ts';
import type { StoredStream } from './stream.ts';

/**
 * Writing a closed block anew, without what was removed from it: to get space back, to compress, to make erased messages
 * unreadable, to encrypt what was stored in clear, to put a damaged file aside. Goes in portions of one extent; reads and removes go on meanwhile, for the old block
 * serves until the new one takes its place. The old file goes when no manifest names it any more.
 */

/** Blocks smaller than this aren't worth getting space back from. */
const COMPACT_MIN_BYTES = 64 * 1024;

/** Whether a block should be written anew. */
export function wantsRewrite(stream: StoredStream, block: MessageBlock): boolean {
  if (block.messages === 0 || block.unreadable || block.missing !== null) return false;
  const file = block.file;
  if (file === null)
    return block.closed && block.length > COMPACT_MIN_BYTES && block.liveBytes < block.length / 2;
  if (!block.closed || file.footer === null) return false;
  if (block.erasing || block.damaged || (file.plain && stream.cipher !== null)) return true;
  if (block.length > COMPACT_MIN_BYTES && block.liveBytes < block.length / 2) return true;
  return stream.compression && !block.squeezed;
}

export class BlockRewrite {
  readonly stream: StoredStream;
  readonly old: MessageBlock;
  readonly #parts: StoreParts;
  readonly #fresh: MessageBlock;
  readonly #index: BlockIndex;
  readonly #compress: boolean;
  readonly #wasErasing: boolean;
  #next: number;
  #portion = new WordBuffer(EXTENT_BYTES);
  #used = 0;
  #packing: { poll(): Uint8Array | null } | null = null;

  constructor(stream: StoredStream, old: MessageBlock, parts: StoreParts) {
    this.stream = stream;
    this.old = old;
    this.#parts = parts;
    this.#compress = stream.compression;
    // An erase that comes while this runs is for the next rewrite.
    this.#wasErasing = old.erasing;
    old.erasing = false;
    this.#fresh = new MessageBlock(stream.messageSet.nextBlockNumber++, old.firstSeq);
    this.#fresh.file =
      old.file === null
        ? null
        : stream.newBlockFile(this.#fresh.number, old.firstSeq, this.#compress || stream.cipher !== null);
    this.#index = new BlockIndex(old.span);
    this.#index.extend(old.span);
    this.#index.rows.fill(NO_ROW);
    this.#next = old.firstSeq;
  }

  /** Does one portion. @returns whether the rewrite is over, for better or worse */
  step(): boolean {
    if (this.stream.dropped || !this.stream.messageSet.blocks.includes(this.old)) {
      this.#abandon();
      return true;
    }
    try {
      if (this.#packing !== null) {
        const packed = this.#packing.poll();
        if (packed === null) return false;
        this.#packing = null;
        this.#writePortion(packed);
      }
      this.#gather();
      if (this.#used > 0) {
        if (!this.#compress || this.#fresh.file === null) this.#writePortion(null);
        else this.#packing = this.#parts.compressor.start(this.#portion.bytes.slice(0, this.#used));
        return false;
      }
      this.#finish();
      return true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.old.erasing ||= this.#wasErasing;
      this.#abandon();
      return true;
    }
  }

  /** Collects live records up to an extent's worth. */
  #gather(): void {
    const { messageSet } = this.stream;
    while (this.#next <= this.old.lastSeq) {
      const sequence = this.old.nextLive(this.#next);
      if (sequence === 0) {
        this.#next = this.old.lastSeq + 1;
        return;
      }
      const index = messageSet.reader.index(this.old);
      const i = sequence - this.old.firstSeq;
      const chunk = messageSet.reader.locate(this.old, index.offsets[i]!);
      if (chunk === null && messageSet.reader.readError !== '') {
        messageSet.noteUnreadable(this.old, `message ${sequence}`);
        throw new DiskError('io', messageSet.reader.readError);
      }
      if (chunk === null) {
        messageSet.lose(this.old, sequence);
        if (this.old.messages === 0) return;
        continue;
      }
      const at = messageSet.reader.at;
      const padded = paddedBytes(recordLengthAt(chunk.buffer.words, at));
      if (this.#used > 0 && this.#used + padded > EXTENT_BYTES) return;
      if (padded > this.#portion.bytes.length) this.#portion = new WordBuffer(padded);
      this.#portion.bytes.set(chunk.buffer.bytes.subarray(at, at + padded), this.#used);
      this.#index.offsets[i] = this.#fresh.length + this.#used;
      this.#index.sizes[i] = index.sizes[i]!;
      this.#index.rows[i] = index.rows[i]!;
      this.#used += padded;
      this.#next = sequence + 1;
    }
  }

  #writePortion(packed: Uint8Array | null): void {
    const fresh = this.#fresh;
    if (fresh.file === null) {
      fresh.addChunk(new Chunk(fresh, fresh.length, this.#portion, this.#used, false));
      this.#portion = new WordBuffer(EXTENT_BYTES);
    } else if (packed === null) fresh.file.append(this.#portion.bytes, 0, this.#used);
    else fresh.file.appendPacked(this.#portion.bytes, this.#used, packed);
    fresh.length += this.#used;
    this.#used = 0;
  }

  #finish(): void {
    const { old, stream } = this;
    const fresh = this.#fresh;
    const { messageSet } = stream;
    const oldIndex = messageSet.reader.index(old);
    // Rows may have been let go meanwhile; live entries have the ones they had.
    for (let i = 0; i < this.#index.length; i++) {
      if (old.isLive(old.firstSeq + i)) this.#index.rows[i] = oldIndex.rows[i]!;
    }
    this.#index.copyLinks(oldIndex);
    fresh.lastSeq = old.lastSeq;
    fresh.messages = old.messages;
    fresh.bytes = old.bytes;
    fresh.liveBytes = Math.min(old.liveBytes, fresh.length);
    fresh.firstMs = old.firstMs;
    fresh.firstNanos = old.firstNanos;
    fresh.lastMs = old.lastMs;
    fresh.lastNanos = old.lastNanos;
    fresh.ttlMessages = old.ttlMessages;
    fresh.hasHeaders = old.hasHeaders;
    fresh.closed = true;
    fresh.erasing = old.erasing;
    fresh.squeezed = this.#compress;
    fresh.removed = old.removed?.slice() ?? null;
    fresh.presence = old.presence;
    fresh.index = this.#index;
    if (fresh.file !== null) {
      const { summary, arrays } = encodeFooter(fresh, this.#index, messageSet.table, fresh.file);
      fresh.file.appendFooter(summary, arrays);
      this.#parts.cache.addIndex(fresh);
    }
    messageSet.replace(old, fresh);
    if (stream.dirtyFrom < 0 && stream.storage === 'file') stream.dirtyFrom = this.#parts.log.written;
  }

  #abandon(): void {
    const file = this.#fresh.file;
    if (file?.exists) this.stream.messageSet.retired.push({ file, aside: false });
  }
}
