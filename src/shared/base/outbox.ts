import { copyBytes } from './copy-bytes.ts';
import {
  CHUNK_FRONT_BYTES,
  OUTPUT_CHUNK_BYTES,
  OUTPUT_POOL_IDLE_CHUNKS,
  OUTPUT_POOL_MAX_CHUNKS,
  WORD_COPY_MAX_BYTES,
  WORD_SLACK_BYTES,
} from './limits.ts';

/**
 * Bytes on their way to one connection.
 *
 * Many small messages must become one write, no message may allocate, and an idle connection may hold no buffer. So
 * output is appended to a pooled chunk that a connection borrows while it has something to say; payloads too large to
 * be worth a copy are queued by reference. The owner (a worker) takes the parts and returns the chunks when the
 * kernel has them.
 *
 *   parts: [chunk A][payload, shared][chunk B] … then the chunk being filled: [=====>      ]
 *                                                                               position   limit
 *
 * `limit` is kept WORD_SLACK_BYTES below the chunk's end so that word copies may overshoot.
 */

/** A reusable block of output memory. */
export class OutputChunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The same memory and CHUNK_FRONT_BYTES in front of it: a transport can put its header there without moving anything. */
  readonly whole: Uint8Array;

  constructor(sizeBytes: number) {
    this.whole = new Uint8Array(CHUNK_FRONT_BYTES + sizeBytes);
    this.bytes = this.whole.subarray(CHUNK_FRONT_BYTES);
    this.view = new DataView(this.whole.buffer, CHUNK_FRONT_BYTES);
  }
}

/** Free chunks of one thread. */
export class ChunkPool {
  readonly #free: OutputChunk[] = [];
  /** The fewest there were since the last `trim`. */
  #unused = 0;

  /** @returns a chunk whose content is undefined */
  take(): OutputChunk {
    const chunk = this.#free.pop() ?? new OutputChunk(OUTPUT_CHUNK_BYTES);
    if (this.#free.length < this.#unused) this.#unused = this.#free.length;
    return chunk;
  }

  give(chunk: OutputChunk): void {
    if (this.#free.length < OUTPUT_POOL_MAX_CHUNKS) this.#free.push(chunk);
  }

  /** Lets go what wasn't needed since the last call, but for a few: to be called now and then. */
  trim(): void {
    const spare = Math.max(this.#free.length - OUTPUT_POOL_IDLE_CHUNKS, 0);
    this.#free.length -= Math.min(this.#unused, spare);
    this.#unused = this.#free.length;
  }
}

/** A payload buffer that several outboxes write from; returned to its pool when the last of them is done. */
export interface SharedPayload {
  references: number;
  release(): void;
}

/** A stretch of bytes to be written, and what is to be given back afterwards. */
export interface OutputPart {
  bytes: Uint8Array;
  chunk: OutputChunk | null;
  payload: SharedPayload | null;
}

/** Told when an outbox has something to flush, and when a chunk is full. */
export interface OutboxOwner {
  /** First bytes since the last flush. */
  outboxDirty(outbox: Outbox): void;
  /** A part was completed; a chance to write early and to check `max_pending`. */
  outboxFilled(outbox: Outbox): void;
}

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);

export class Outbox {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = NO_VIEW;
  position = 0;
  limit = 0;
  dirty = false;
  /** Nothing may be delivered: the connection is closed, or it drops messages while it is behind. */
  refusing = false;
  /** A closed outbox swallows what is appended. */
  closed = false;
  #chunk: OutputChunk | null = null;
  #parts: OutputPart[] = [];
  /** Bytes in completed parts. */
  queuedBytes = 0;
  readonly #pool: ChunkPool;
  readonly #owner: OutboxOwner;

  constructor(pool: ChunkPool, owner: OutboxOwner) {
    this.#pool = pool;
    this.#owner = owner;
  }

  /** Bytes appended and not yet taken. */
  get pendingBytes(): number {
    return this.queuedBytes + this.position;
  }

  /** Makes room for `length` contiguous bytes (at most half a chunk) at `position`. */
  reserve(length: number): void {
    if (this.position + length <= this.limit) return;
    if (this.#chunk !== null) {
      this.#completeChunk();
      this.#owner.outboxFilled(this);
    }
    if (this.#chunk === null) this.#adopt(this.#pool.take());
  }

  /** Marks the outbox as having output; cheap when it is already marked. */
  touch(): void {
    if (this.dirty) return;
    if (this.closed) {
      this.discard();
      return;
    }
    this.dirty = true;
    this.#owner.outboxDirty(this);
  }

  /** Appends a copy of `source[start, end)`, across chunks when needed. */
  append(source: Uint8Array, start: number, end: number): void {
    let from = start;
    while (from < end) {
      if (this.position >= this.limit) this.reserve(Math.min(end - from, OUTPUT_CHUNK_BYTES / 2));
      const count = Math.min(end - from, this.limit - this.position);
      if (count > WORD_COPY_MAX_BYTES) {
        copyBytes(this.bytes, this.position, source, from, from + count);
      } else {
        for (let i = 0; i < count; i++) this.bytes[this.position + i] = source[from + i]!;
      }
      this.position += count;
      from += count;
    }
    this.touch();
  }

  /** Appends a latin1 text (protocol lines; one byte a character). */
  appendLatin1(text: string): void {
    const length = text.length;
    for (let done = 0; done < length; ) {
      const count = Math.min(length - done, OUTPUT_CHUNK_BYTES / 4);
      this.reserve(count);
      const { bytes, position } = this;
      for (let i = 0; i < count; i++) bytes[position + i] = text.charCodeAt(done + i);
      this.position += count;
      done += count;
    }
    this.touch();
  }

  /** Queues `bytes` without copying; `payload` is released once they are written. */
  appendShared(bytes: Uint8Array, payload: SharedPayload): void {
    if (this.position > 0) this.#completeChunk();
    payload.references++;
    this.#parts.push({ bytes, chunk: null, payload });
    this.queuedBytes += bytes.length;
    this.touch();
    this.#owner.outboxFilled(this);
  }

  /** Hands over everything appended so far; the caller owns the parts and returns them with `recycle`. */
  takeParts(): OutputPart[] {
    if (this.position > 0) this.#completeChunk();
    const parts = this.#parts;
    this.#parts = [];
    this.queuedBytes = 0;
    this.dirty = false;
    return parts;
  }

  /**
   * Takes the current chunk when it is all there is (the usual case: no array is made), else `null`. Read `position`
   * first: it is the number of bytes to write.
   */
  takeOnlyChunk(): OutputChunk | null {
    if (this.#parts.length > 0 || this.position === 0) return null;
    const chunk = this.#chunk;
    this.#chunk = null;
    this.dirty = false;
    this.#clearWindow();
    return chunk;
  }

  /** Returns parts that `takeParts` gave and that weren't written, in front of what came since. */
  putBack(parts: OutputPart[]): void {
    for (const part of parts) this.queuedBytes += part.bytes.length;
    this.#parts = [...parts, ...this.#parts];
  }

  /** Gives written parts back to their pools. */
  recycle(parts: OutputPart[]): void {
    for (const part of parts) {
      if (part.chunk !== null) this.#pool.give(part.chunk);
      else if (part.payload !== null && --part.payload.references === 0) part.payload.release();
    }
  }

  /** Drops what is pending and refuses further output. */
  discard(): void {
    this.recycle(this.takeParts());
    if (this.#chunk !== null) this.#pool.give(this.#chunk);
    this.#chunk = null;
    this.#clearWindow();
    this.closed = true;
    this.refusing = true;
  }

  #adopt(chunk: OutputChunk): void {
    this.#chunk = chunk;
    this.bytes = chunk.bytes;
    this.view = chunk.view;
    this.position = 0;
    this.limit = chunk.bytes.length - WORD_SLACK_BYTES;
  }

  #completeChunk(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    this.#parts.push({ bytes: chunk.bytes.subarray(0, this.position), chunk, payload: null });
    this.queuedBytes += this.position;
    this.#chunk = null;
    this.#clearWindow();
  }

  #clearWindow(): void {
    this.bytes = NO_BYTES;
    this.view = NO_VIEW;
    this.position = 0;
    this.limit = 0;
  }
}
