import { CHUNK_FRONT_BYTES, WRITEV_MAX_BYTES, WRITEV_MAX_PARTS } from '../../shared/base/limits.ts';
import type { OutputChunk, OutputPart } from '../../shared/base/outbox.ts';
import { CLOSE_REASON } from '../../shared/protocol/nats/errors.ts';
import { BINARY_FRAME, frameHeader, writeHeader } from '../../shared/protocol/websocket/frames.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';
import type { WebsocketState } from './websocket/websocket-state.ts';

/**
 * From outboxes to sockets: one write per connection and turn, slow consumers, stalled producers.
 *
 * Only one write is under way for a connection, so its write deadline measures progress of the kernel, and what is
 * produced meanwhile gathers into the next, larger one. On TCP a write nearly always completes at once: then the chunk
 * goes back to the pool without waiting for a callback.
 */

/** Share of `max_pending` from which publishers to a connection are slowed down. */
const STALL_SHARE = 0.75;
/** How often writes under way are compared with the write deadline. */
const DEADLINE_SWEEP_MS = 250;

const NO_BYTES = new Uint8Array(0);

export class Output {
  readonly #shard: Shard;
  /** Connections with a write under way. */
  readonly #writing = new Set<ClientConnection>();
  #sweep: NodeJS.Timeout | null = null;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** A part of the outbox is complete: start writing early, and see whether the client is keeping up. */
  filled(connection: ClientConnection): void {
    const { maxPendingBytes, noFastProducerStall } = this.#shard.options;
    const pending = connection.pendingBytes;
    if (pending > maxPendingBytes) {
      this.#slowConsumer(connection);
      return;
    }
    if (pending > maxPendingBytes * STALL_SHARE) {
      const producer = this.#shard.parsingConnection;
      if (noFastProducerStall) connection.outbox.refusing = true;
      else if (producer !== null) producer.stallRequested = true;
    }
  }

  /** Hands what is pending to the socket, unless a write is under way. */
  flush(connection: ClientConnection): void {
    const { outbox } = connection;
    if (connection.pendingBytes > this.#shard.options.maxPendingBytes) {
      this.#slowConsumer(connection);
      return;
    }
    if (connection.writing) {
      outbox.dirty = false;
      return;
    }
    if (connection.framing?.needsEncoding === true) {
      this.#writeEncoded(connection, connection.framing);
      return;
    }
    const length = outbox.position;
    const chunk = outbox.takeOnlyChunk();
    if (chunk !== null) this.#writeChunk(connection, chunk, length);
    else this.#writeParts(connection, outbox.takeParts());
  }

  /** The socket has taken everything. */
  completed(connection: ClientConnection): void {
    if (!connection.writing || connection.stream.writableLength > 0) return;
    const chunks = connection.writingParts?.length ?? 0;
    const bytes = connection.writingBytes;
    this.#finish(connection);
    if (connection.closed) return;
    if (connection.slow) {
      connection.slow = false;
      const seconds = ((Date.now() - connection.writeStartedAtMs) / 1000).toFixed(3);
      this.#shard.log(
        'info',
        `${connection.label} - Slow Consumer Recovered: Flush took ${seconds}s with ${chunks} chunks of ${bytes} total bytes.`,
      );
    }
    if (connection.outbox.pendingBytes > 0 || connection.framing?.hasPongs === true) this.flush(connection);
    if (connection.pendingBytes > this.#shard.options.maxPendingBytes * STALL_SHARE) return;
    connection.outbox.refusing = false;
    this.#shard.releaseStalled();
  }

  /** Gives back everything that is queued; the connection is gone. */
  abandon(connection: ClientConnection): void {
    if (connection.writing) this.#finish(connection);
    connection.outbox.discard();
  }

  /** The last words of a connection that has ended: what is queued, and the close frame of a WebSocket. */
  writeLast(connection: ClientConnection): void {
    const { stream, outbox, framing } = connection;
    const parts = outbox.takeParts();
    if (framing === null) for (const part of parts) stream.write(part.bytes);
    else stream.write(framing.encodeLast(parts, connection.closeReason));
    stream.once('close', () => outbox.recycle(parts));
  }

  #writeChunk(connection: ClientConnection, chunk: OutputChunk, length: number): void {
    const { stream } = connection;
    const bytes =
      connection.framing === null ? chunk.bytes.subarray(0, length) : framedChunk(chunk, length, length);
    if (connection.encrypted) stream.write(bytes, () => this.completed(connection));
    else stream.write(bytes);
    if (stream.writableLength === 0) {
      this.#shard.chunks.give(chunk);
      return;
    }
    this.#begin(connection, [{ bytes: chunk.bytes, chunk, payload: null }], length);
  }

  /** Whatever doesn't leave as it lies in the outbox: compressed or cut frames, and pongs, which go first. */
  #writeEncoded(connection: ClientConnection, websocket: WebsocketState): void {
    const { stream, outbox } = connection;
    const parts = this.#takeWritable(connection, outbox.takeParts());
    const bytes = websocket.encode(parts);
    outbox.recycle(parts);
    if (connection.encrypted) stream.write(bytes, () => this.completed(connection));
    else stream.write(bytes);
    if (stream.writableLength > 0) {
      this.#begin(connection, [{ bytes, chunk: null, payload: null }], bytes.length);
    } else if (outbox.pendingBytes > 0) this.flush(connection);
  }

  /** As much of `all` as one write takes; the rest goes back to the outbox. */
  #takeWritable(connection: ClientConnection, all: OutputPart[]): OutputPart[] {
    let bytes = 0;
    let count = 0;
    while (count < all.length && count < WRITEV_MAX_PARTS && bytes < WRITEV_MAX_BYTES)
      bytes += all[count++]!.bytes.length;
    if (count === all.length) return all;
    const parts = all.splice(0, count);
    connection.outbox.putBack(all);
    return parts;
  }

  #writeParts(connection: ClientConnection, all: OutputPart[]): void {
    if (all.length === 0) return;
    const parts = this.#takeWritable(connection, all);
    const bytes = parts.reduce((sum, part) => sum + part.bytes.length, 0);
    const { stream } = connection;
    stream.cork();
    if (connection.framing === null) for (const part of parts) stream.write(part.bytes);
    else writeFramed(stream, parts, bytes);
    if (connection.encrypted) stream.write(NO_BYTES, () => this.completed(connection));
    stream.uncork();
    if (stream.writableLength === 0) {
      connection.outbox.recycle(parts);
      if (connection.outbox.pendingBytes > 0) this.flush(connection);
      return;
    }
    this.#begin(connection, parts, bytes);
  }

  #begin(connection: ClientConnection, parts: OutputPart[], bytes: number): void {
    connection.writing = true;
    connection.writingParts = parts;
    connection.writingBytes = bytes;
    connection.writeStartedAtMs = Date.now();
    // What the kernel took at once belongs to this write too.
    const { taken, queued } = progressOf(connection);
    connection.takenAtStart = taken - Math.max(bytes - queued, 0);
    this.#writing.add(connection);
    if (this.#sweep === null) this.#sweep = setTimeout(this.#checkDeadlines, DEADLINE_SWEEP_MS);
  }

  #finish(connection: ClientConnection): void {
    const parts = connection.writingParts;
    connection.writing = false;
    connection.writingBytes = 0;
    connection.writingParts = null;
    this.#writing.delete(connection);
    if (parts !== null) connection.outbox.recycle(parts);
  }

  #slowConsumer(connection: ClientConnection): void {
    if (connection.closeReason !== null) return;
    const { maxPendingBytes } = this.#shard.options;
    this.#shard.countSlowConsumer(connection);
    this.#shard.log(
      'info',
      `${connection.label} - Slow Consumer Detected: MaxPending of ${maxPendingBytes} Exceeded`,
    );
    this.#shard.closeLater(connection, CLOSE_REASON.slowConsumerPendingBytes);
  }

  readonly #checkDeadlines = (): void => {
    this.#sweep = null;
    const nowMs = Date.now();
    const { writeDeadlineMs } = this.#shard.options;
    for (const connection of [...this.#writing]) {
      if (nowMs - connection.writeStartedAtMs >= writeDeadlineMs) this.#deadlineExceeded(connection, nowMs);
    }
    if (this.#writing.size > 0) this.#sweep = setTimeout(this.#checkDeadlines, DEADLINE_SWEEP_MS);
  };

  #deadlineExceeded(connection: ClientConnection, nowMs: number): void {
    const { writeTimeout, writeDeadlineMs } = this.#shard.options;
    if (connection.gated) {
      this.#shard.close(connection, CLOSE_REASON.slowConsumerWriteDeadline);
      return;
    }
    this.#shard.countSlowConsumer(connection);
    const state = connection.slow ? 'State' : 'Detected';
    const chunks = connection.writingParts?.length ?? 0;
    this.#shard.log(
      'info',
      `${connection.label} - Slow Consumer ${state}: WriteDeadline of ${durationText(writeDeadlineMs)} exceeded with ${chunks} chunks of ${connection.writingBytes} total bytes.`,
    );
    const { taken } = progressOf(connection);
    if (writeTimeout === 'retry' && taken > connection.takenAtStart) {
      connection.slow = true;
      connection.writeStartedAtMs = nowMs;
      connection.takenAtStart = taken;
      return;
    }
    this.#shard.close(connection, CLOSE_REASON.slowConsumerWriteDeadline);
  }
}

/** The chunk's first `length` bytes with a frame header in front that announces `payloadBytes`. */
function framedChunk(chunk: OutputChunk, length: number, payloadBytes: number): Uint8Array {
  const start = writeHeader(chunk.whole, CHUNK_FRONT_BYTES, BINARY_FRAME, payloadBytes);
  return chunk.whole.subarray(start, CHUNK_FRONT_BYTES + length);
}

/** Writes all parts as one frame. */
function writeFramed(stream: ClientConnection['stream'], parts: readonly OutputPart[], bytes: number): void {
  const [first] = parts;
  if (first!.chunk === null) stream.write(frameHeader(BINARY_FRAME, bytes));
  else stream.write(framedChunk(first!.chunk, first!.bytes.length, bytes));
  for (let part = first!.chunk === null ? 0 : 1; part < parts.length; part++)
    stream.write(parts[part]!.bytes);
}

/** The parts of a stream that know how far the kernel has come; TLS lies on top of the handle that does. */
interface StreamHandle {
  bytesWritten: number;
  writeQueueSize: number;
  _parent?: StreamHandle;
}

/** Bytes of a connection that the kernel has ever taken, and those that Node holds back: encrypted ones for TLS. */
function progressOf(connection: ClientConnection): { taken: number; queued: number } {
  const { _handle: handle } = connection.stream as unknown as { _handle: StreamHandle | null };
  const socket = handle?._parent ?? handle;
  if (socket == null) return { taken: 0, queued: 0 };
  return { taken: socket.bytesWritten - socket.writeQueueSize, queued: socket.writeQueueSize };
}

/** A deadline as nats-server prints it: `10s`, `250ms`, `2m0s`. */
function durationText(durationMs: number): string {
  if (durationMs < 1000) return `${durationMs}ms`;
  const minutes = Math.floor(durationMs / 60_000);
  return `${minutes === 0 ? '' : `${minutes}m`}${(durationMs % 60_000) / 1000}s`;
}
