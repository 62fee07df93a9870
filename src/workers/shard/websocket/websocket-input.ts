import {
  WEBSOCKET_COMPRESSED_FACTOR,
  WEBSOCKET_COMPRESSED_MAX_BYTES,
  WORD_SLACK_BYTES,
} from '../../../shared/base/limits.ts';
import { CLOSE_REASON } from '../../../shared/protocol/nats/errors.ts';
import { answerClose, closePayload, STATUS } from '../../../shared/protocol/websocket/close.ts';
import {
  CLOSE_FRAME,
  FrameReader,
  type FrameSink,
  frame,
  OPCODE,
  TEXT_PROBLEM,
} from '../../../shared/protocol/websocket/frames.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import { inflateMessage } from './deflate.ts';
import type { WebsocketState } from './websocket-state.ts';

/**
 * Frames of the clients, read in the shard's region and handed to the protocol where they lie (websocket.md §4, §5.1).
 *
 * When the protocol says stop, the frames behind stay as they are: a close frame must not overtake what was sent before it.
 */
const COLLECT_MIN_BYTES = 4096;

export class WebsocketInput implements FrameSink<ClientConnection> {
  readonly #shard: Shard;
  readonly #reader = new FrameReader<ClientConnection>(this);

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** The kernel wrote `count` bytes into the region. @returns false when reading must stop */
  received(connection: ClientConnection, count: number): boolean {
    if (connection.closed) return true;
    const { area } = this.#shard.input;
    const { bytes, view, regionStart } = area;
    const end = regionStart + count;
    this.#shard.beginTurn();
    const at = this.#reader.read(connection, connection.websocket!.frames, bytes, view, regionStart, end);
    if (at < end && !connection.closed) hold(connection.websocket!, bytes.subarray(at, end));
    this.#shard.afterRead();
    return !connection.paused;
  }

  /** Bytes that came some other way: they go through the region too. @returns false when reading must stop */
  receivedChunk(connection: ClientConnection, chunk: Uint8Array): boolean {
    const { region } = this.#shard.input;
    for (let done = 0; done < chunk.length && !connection.closed; ) {
      if (connection.paused) {
        hold(connection.websocket!, chunk.subarray(done));
        return false;
      }
      const piece = chunk.subarray(done, done + region.length);
      region.set(piece);
      done += piece.length;
      this.received(connection, piece.length);
    }
    return !connection.paused;
  }

  payload(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const { view } = this.#shard.input.area;
    return connection.websocket!.engine.received(connection, bytes, view, start, end);
  }

  compressed(
    connection: ClientConnection,
    bytes: Uint8Array,
    start: number,
    end: number,
    isLast: boolean,
  ): boolean {
    const state = connection.websocket!;
    const { maxPayloadBytes } = this.#shard.options;
    const limit = Math.min(maxPayloadBytes * WEBSOCKET_COMPRESSED_FACTOR, WEBSOCKET_COMPRESSED_MAX_BYTES);
    if (state.collectedBytes + end - start > limit) return this.#tooLarge(connection);
    let message = bytes.subarray(start, end);
    if (!isLast || state.collected !== null) {
      collect(state, message, limit);
      if (!isLast) return true;
      message = state.collected!.subarray(0, state.collectedBytes);
      state.collected = null;
      state.collectedBytes = 0;
    }
    const inflated = inflateMessage(message, maxPayloadBytes);
    if ('problem' in inflated) {
      if (inflated.problem === 'too large') return this.#tooLarge(connection);
      this.#readError(connection, STATUS.invalidPayload, 'corrupt compressed message');
      return false;
    }
    const plain = new Uint8Array(inflated.bytes.length + WORD_SLACK_BYTES);
    plain.set(inflated.bytes);
    return state.engine.received(connection, plain, new DataView(plain.buffer), 0, inflated.bytes.length);
  }

  control(connection: ClientConnection, opcode: number, payload: Uint8Array): boolean {
    if (opcode === OPCODE.pong) return true;
    if (opcode === OPCODE.ping) {
      connection.websocket!.queuePong(payload);
      connection.outbox.touch();
      return true;
    }
    const answer = answerClose(payload);
    connection.websocket!.closeFrame = frame(CLOSE_FRAME, answer.payload);
    if (answer.problem === '') this.#shard.close(connection, CLOSE_REASON.clientClosed);
    else this.#fail(connection, answer.problem);
    return false;
  }

  violated(connection: ClientConnection, problem: string): void {
    const status = problem === TEXT_PROBLEM ? STATUS.unsupportedData : STATUS.protocolError;
    this.#readError(connection, status, problem);
  }

  #tooLarge(connection: ClientConnection): boolean {
    this.#readError(connection, STATUS.messageTooBig, 'maximum payload exceeded');
    return false;
  }

  #readError(connection: ClientConnection, status: number, problem: string): void {
    connection.websocket!.closeFrame = frame(CLOSE_FRAME, closePayload(status, problem));
    this.#fail(connection, problem);
  }

  #fail(connection: ClientConnection, problem: string): void {
    this.#shard.log('error', `${connection.label} - read error: ${problem}`);
    this.#shard.close(connection, CLOSE_REASON.readError);
  }
}

/** Keeps a copy of frames that aren't to be looked at yet. */
function hold(state: WebsocketState, bytes: Uint8Array): void {
  state.held = state.held === null ? bytes.slice() : Uint8Array.from(Buffer.concat([state.held, bytes]));
}

/** Adds a piece of a compressed message; the buffer doubles, so that tiny frames don't cost more than their bytes. */
function collect(state: WebsocketState, piece: Uint8Array, limit: number): void {
  const needed = state.collectedBytes + piece.length;
  if (state.collected === null || state.collected.length < needed) {
    const grown = new Uint8Array(Math.min(limit, Math.max(needed, COLLECT_MIN_BYTES, needed * 2)));
    if (state.collected !== null) grown.set(state.collected.subarray(0, state.collectedBytes));
    state.collected = grown;
  }
  state.collected.set(piece, state.collectedBytes);
  state.collectedBytes = needed;
}
