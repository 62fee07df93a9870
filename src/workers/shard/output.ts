import { WRITEV_MAX_BYTES, WRITEV_MAX_PARTS } from '../../shared/base/limits.ts';
import type { OutputChunk, OutputPart } from '../../shared/base/outbox.ts';
import { CLOSE_REASON } from '../../shared/protocol/nats/errors.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

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
    const length = outbox.position;
    const chunk = outbox.takeOnlyChunk();
    if (chunk !== null) this.#writeChunk(connection, chunk, length);
    else this.#writeParts(connection, outbox.takeParts());
  }

  /** The socket has taken everything. */
  completed(connection: ClientConnection): void {
    if (!connection.writing || connection.stream.writableLength > 0) return;
    this.#finish(connection);
    if (connection.closed) return;
    if (connection.slow) {
      connection.slow = false;
      const took = Date.now() - connection.writeStartedAtMs;
      this.#shard.log('info', `${connection.label} - Slow Consumer Recovered: Flush took ${took}ms`);
    }
    if (connection.outbox.pendingBytes > 0) this.flush(connection);
    if (connection.pendingBytes > this.#shard.options.maxPendingBytes * STALL_SHARE) return;
    connection.outbox.refusing = false;
    this.#shard.releaseStalled();
  }

  /** Gives back everything that is queued; the connection is gone. */
  abandon(connection: ClientConnection): void {
    if (connection.writing) this.#finish(connection);
    connection.outbox.discard();
  }

  #writeChunk(connection: ClientConnection, chunk: OutputChunk, length: number): void {
    const { stream } = connection;
    if (connection.encrypted) stream.write(chunk.bytes.subarray(0, length), () => this.completed(connection));
    else stream.write(chunk.bytes.subarray(0, length));
    if (stream.writableLength === 0) {
      this.#shard.chunks.give(chunk);
      return;
    }
    this.#begin(connection, [{ bytes: chunk.bytes, chunk, payload: null }], length);
  }

  #writeParts(connection: ClientConnection, all: OutputPart[]): void {
    if (all.length === 0) return;
    let bytes = 0;
    let count = 0;
    while (count < all.length && count < WRITEV_MAX_PARTS && bytes < WRITEV_MAX_BYTES)
      bytes += all[count++]!.bytes.length;
    const parts = count === all.length ? all : all.splice(0, count);
    const { stream } = connection;
    stream.cork();
    for (const part of parts) stream.write(part.bytes);
    if (connection.encrypted) stream.write(NO_BYTES, () => this.completed(connection));
    stream.uncork();
    if (parts !== all) connection.outbox.putBack(all);
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
    this.#writing.add(connection);
    this.#sweep ??= setTimeout(this.#checkDeadlines, DEADLINE_SWEEP_MS);
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
    const written =
      connection.stream.bytesWritten - connection.bytesWrittenAtStart - connection.stream.writableLength;
    if (connection.gated) {
      this.#shard.close(connection, CLOSE_REASON.slowConsumerWriteDeadline);
      return;
    }
    if (!connection.slow) {
      this.#shard.countSlowConsumer(connection);
      const chunks = connection.writingParts?.length ?? 0;
      this.#shard.log(
        'info',
        `${connection.label} - Slow Consumer Detected: WriteDeadline of ${writeDeadlineMs / 1000}s exceeded with ${chunks} chunks of ${connection.pendingBytes} total bytes.`,
      );
    }
    if (writeTimeout === 'retry' && written > 0) {
      connection.slow = true;
      connection.writeStartedAtMs = nowMs;
      connection.bytesWrittenAtStart += written;
      return;
    }
    this.#shard.close(connection, CLOSE_REASON.slowConsumerWriteDeadline);
  }
}
