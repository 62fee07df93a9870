/**
 * The framing layer of WebSocket, the server's side (RFC 6455 §5; websocket.md §4).
 *
 * To NATS a WebSocket is a byte stream: operations span frames and messages, and frames carry many operations. So nothing
 * is ever put together here. Payload is unmasked where it lies in the read buffer and handed on as it comes, whatever the
 * size of its frame: a frame of a gigabyte costs no more memory than one of a byte. What is kept of a connection between
 * reads are the numbers of FrameState, and at most a split header or a control frame.
 *
 *   read:  ┌─hdr─┬─ payload ────────┬─hdr─┬─ payl
 *          └─────┴──────────────────┴─────┴──────
 *                 sink.payload(▲)          sink.payload(▲), the rest with the next read
 */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const FIN = 0x80;
const RSV1 = 0x40;
const RSV2_AND_3 = 0x30;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const CONTROL_MAX_BYTES = 125;
/** Two bytes, eight of length, four of mask. */
const HEADER_MAX_BYTES = 14;
const INCOMPLETE = 0;
const FAILED = -1;

/** First byte of a final binary frame, of one that begins a compressed message, and of a close frame. */
export const BINARY_FRAME = FIN | OPCODE.binary;
export const CLOSE_FRAME = FIN | OPCODE.close;
export const PONG_FRAME = FIN | OPCODE.pong;
/** Room a frame header of the server takes at most. */
const SERVER_HEADER_MAX_BYTES = 10;

/** What is wrong with text where only binary messages are allowed. [MQTT-6.0.0-1] */
export const TEXT_PROBLEM = 'text frames are not allowed';

/** What becomes of frames. `false` stops reading behind what was just handed over. */
export interface FrameSink<Connection> {
  /** Unmasked bytes of the stream, valid during the call. */
  payload(connection: Connection, bytes: Uint8Array, start: number, end: number): boolean;
  /** Unmasked bytes of a compressed message, valid during the call; `isLast` ends it. */
  compressed(connection: Connection, bytes: Uint8Array, start: number, end: number, isLast: boolean): boolean;
  /** A whole control frame; `payload` is the sink's to keep. */
  control(connection: Connection, opcode: number, payload: Uint8Array): boolean;
  /** The peer broke the rules; nothing may be read any more. */
  violated(connection: Connection, problem: string): void;
}

/** How far a connection's incoming frames have come. */
export class FrameState {
  /** permessage-deflate was agreed on. */
  readonly allowsCompression: boolean;
  /** Frames of the client aren't masked: `Nats-No-Masking` was agreed on. */
  readonly isUnmasked: boolean;
  /** Messages may be text: to a stream of bytes it is as good as binary. */
  readonly allowsText: boolean;
  /** Payload bytes of the frame under way that are still to come. */
  remainingBytes = 0;
  /** Next four bytes of the mask, little-endian. */
  mask = 0;
  opcode = 0;
  isFinal = false;
  /** A data message is unfinished between frames. */
  inMessage = false;
  isCompressed = false;
  /** A header that a read has cut, and how much of it there is. */
  header: Uint8Array | null = null;
  headerBytes = 0;
  /** Payload of a control frame under way. */
  control: Uint8Array | null = null;

  constructor(allowsCompression: boolean, isUnmasked: boolean, allowsText = true) {
    this.allowsCompression = allowsCompression;
    this.isUnmasked = isUnmasked;
    this.allowsText = allowsText;
  }
}

export class FrameReader<Connection> {
  readonly #sink: FrameSink<Connection>;
  #problem = '';

  constructor(sink: FrameSink<Connection>) {
    this.#sink = sink;
  }

  /**
   * Takes in `bytes[start, end)`, which it overwrites with the unmasked payload.
   *
   * @param view over the same memory as `bytes`, offset for offset
   * @returns up to where it came: `end`, or less when the sink said stop
   */
  read(
    connection: Connection,
    state: FrameState,
    bytes: Uint8Array,
    view: DataView,
    start: number,
    end: number,
  ): number {
    let at = start;
    while (at < end) {
      if (state.remainingBytes === 0) {
        const next =
          state.header === null ? this.#begin(state, bytes, at, end) : this.#join(state, bytes, at, end);
        if (next === FAILED) {
          this.#sink.violated(connection, this.#problem);
          return at;
        }
        if (next === INCOMPLETE) return end;
        at = next;
        if (state.remainingBytes === 0 && !this.#finishEmpty(connection, state, bytes, at)) return at;
        continue;
      }
      const count = Math.min(state.remainingBytes, end - at);
      if (!state.isUnmasked) state.mask = unmask(bytes, view, at, at + count, state.mask);
      state.remainingBytes -= count;
      at += count;
      if (!this.#handOver(connection, state, bytes, at - count, at)) return at;
    }
    return at;
  }

  /** A frame begins at `at`. @returns where its payload begins, INCOMPLETE (and the header is kept) or FAILED */
  #begin(state: FrameState, bytes: Uint8Array, at: number, end: number): number {
    const length = this.#decode(state, bytes, at, end);
    if (length === FAILED) return FAILED;
    if (length > INCOMPLETE) return at + length;
    state.header = new Uint8Array(HEADER_MAX_BYTES);
    state.headerBytes = end - at;
    state.header.set(bytes.subarray(at, end));
    return INCOMPLETE;
  }

  /** The rest of a header that the last read cut. */
  #join(state: FrameState, bytes: Uint8Array, at: number, end: number): number {
    const header = state.header!;
    for (let from = at; from < end; ) {
      header[state.headerBytes++] = bytes[from++]!;
      const length = this.#decode(state, header, 0, state.headerBytes);
      if (length === INCOMPLETE) continue;
      state.header = null;
      state.headerBytes = 0;
      return length === FAILED ? FAILED : from;
    }
    return INCOMPLETE;
  }

  /** Decodes a header. @returns its length; INCOMPLETE; FAILED */
  #decode(state: FrameState, bytes: Uint8Array, at: number, end: number): number {
    if (end - at < 2) return INCOMPLETE;
    const first = bytes[at]!;
    const second = bytes[at + 1]!;
    const problem = headerProblem(state, first, second);
    if (problem !== '') {
      this.#problem = problem;
      return FAILED;
    }
    const short = second & ~MASKED;
    const lengthBytes = short === LENGTH_64 ? 8 : short === LENGTH_16 ? 2 : 0;
    const headerBytes = 2 + lengthBytes + (state.isUnmasked ? 0 : 4);
    if (end - at < headerBytes) return INCOMPLETE;
    let payloadBytes = short;
    if (lengthBytes === 2) payloadBytes = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    else if (lengthBytes === 8) {
      if (bytes[at + 2]! >= 0x80) {
        this.#problem = 'invalid 64-bit payload length';
        return FAILED;
      }
      payloadBytes = uint32(bytes, at + 2) * 2 ** 32 + uint32(bytes, at + 6);
    }
    if (!state.isUnmasked) {
      const key = at + headerBytes - 4;
      state.mask = bytes[key]! | (bytes[key + 1]! << 8) | (bytes[key + 2]! << 16) | (bytes[key + 3]! << 24);
    }
    this.#adopt(state, first, payloadBytes);
    return headerBytes;
  }

  #adopt(state: FrameState, first: number, payloadBytes: number): void {
    state.opcode = first & 0x0f;
    state.remainingBytes = payloadBytes;
    if (state.opcode >= OPCODE.close) {
      state.control = new Uint8Array(payloadBytes);
      return;
    }
    state.isFinal = (first & FIN) !== 0;
    if (state.opcode !== OPCODE.continuation) state.isCompressed = (first & RSV1) !== 0;
    state.inMessage = !state.isFinal;
  }

  /** A frame without payload: a control frame is complete, and a final one may end a compressed message. */
  #finishEmpty(connection: Connection, state: FrameState, bytes: Uint8Array, at: number): boolean {
    if (state.control === null && !(state.isCompressed && state.isFinal)) return true;
    return this.#handOver(connection, state, bytes, at, at);
  }

  #handOver(
    connection: Connection,
    state: FrameState,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const { control, remainingBytes } = state;
    if (control !== null) {
      control.set(bytes.subarray(start, end), control.length - remainingBytes - (end - start));
      if (remainingBytes > 0) return true;
      state.control = null;
      return this.#sink.control(connection, state.opcode, control);
    }
    if (!state.isCompressed) return this.#sink.payload(connection, bytes, start, end);
    return this.#sink.compressed(connection, bytes, start, end, state.isFinal && remainingBytes === 0);
  }
}

/** What is wrong with the first two bytes of a frame, in nats-server's words and order; '' when nothing is. */
function headerProblem(state: FrameState, first: number, second: number): string {
  const opcode = first & 0x0f;
  const isCompressed = (first & RSV1) !== 0;
  if ((first & RSV2_AND_3) !== 0) return 'RSV2 and RSV3 must be clear';
  if (isCompressed && !state.allowsCompression) {
    return 'compressed frame received without negotiated permessage-deflate';
  }
  if (!state.isUnmasked && (second & MASKED) === 0) return 'mask bit missing';
  if (opcode === OPCODE.text && !state.allowsText) return TEXT_PROBLEM;
  if (opcode === OPCODE.text || opcode === OPCODE.binary) {
    return state.inMessage ? 'new message started before final frame for previous message was received' : '';
  }
  if (opcode === OPCODE.continuation) {
    return !state.inMessage || isCompressed ? 'invalid continuation frame' : '';
  }
  if (opcode !== OPCODE.close && opcode !== OPCODE.ping && opcode !== OPCODE.pong) {
    return `unknown opcode ${opcode}`;
  }
  if ((second & ~MASKED) > CONTROL_MAX_BYTES) {
    return 'control frame length bigger than maximum allowed of 125 bytes';
  }
  if ((first & FIN) === 0) return 'control frame does not have final bit set';
  return isCompressed ? 'control frame must not be compressed' : '';
}

function uint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/**
 * Unmasks `bytes[start, end)` in place, a word at a time.
 *
 * @param mask the four bytes due next, little-endian
 * @returns the four bytes due at `end`
 */
export function unmask(bytes: Uint8Array, view: DataView, start: number, end: number, mask: number): number {
  let at = start;
  for (; at + 16 <= end; at += 16) {
    view.setInt32(at, view.getInt32(at, true) ^ mask, true);
    view.setInt32(at + 4, view.getInt32(at + 4, true) ^ mask, true);
    view.setInt32(at + 8, view.getInt32(at + 8, true) ^ mask, true);
    view.setInt32(at + 12, view.getInt32(at + 12, true) ^ mask, true);
  }
  for (; at + 4 <= end; at += 4) view.setInt32(at, view.getInt32(at, true) ^ mask, true);
  for (let shift = 0; at < end; at++, shift += 8) bytes[at] = bytes[at]! ^ ((mask >>> shift) & 0xff);
  const turn = ((end - start) & 3) * 8;
  return turn === 0 ? mask : (mask >>> turn) | (mask << (32 - turn));
}

/**
 * Writes a server's frame header so that it ends at `end`: right in front of the payload.
 * @returns where it begins
 */
export function writeHeader(bytes: Uint8Array, end: number, first: number, payloadBytes: number): number {
  if (payloadBytes <= CONTROL_MAX_BYTES) {
    bytes[end - 2] = first;
    bytes[end - 1] = payloadBytes;
    return end - 2;
  }
  if (payloadBytes <= 0xffff) {
    bytes[end - 4] = first;
    bytes[end - 3] = LENGTH_16;
    bytes[end - 2] = payloadBytes >>> 8;
    bytes[end - 1] = payloadBytes & 0xff;
    return end - 4;
  }
  bytes[end - 10] = first;
  bytes[end - 9] = LENGTH_64;
  let rest = payloadBytes;
  for (let at = end - 1; at >= end - 8; at--) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return end - 10;
}

/** A server's frame header alone. */
export function frameHeader(first: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(SERVER_HEADER_MAX_BYTES);
  return bytes.subarray(writeHeader(bytes, SERVER_HEADER_MAX_BYTES, first, payloadBytes));
}

/** A whole frame of the server, for small and rare ones. */
export function frame(first: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SERVER_HEADER_MAX_BYTES + payload.length);
  bytes.set(payload, SERVER_HEADER_MAX_BYTES);
  return bytes.subarray(writeHeader(bytes, SERVER_HEADER_MAX_BYTES, first, payload.length));
}

/**
 * Cuts one message into frames of at most `maxBytes`, as browsers get them (websocket.md §4.2).
 *
 * @param isFragmented one message of several frames; otherwise each frame is a message of its own
 * @param first first byte of the first frame, FIN included
 */
export function cutIntoFrames(
  payload: Uint8Array,
  maxBytes: number,
  first: number,
  isFragmented: boolean,
): Uint8Array {
  const count = Math.max(1, Math.ceil(payload.length / maxBytes));
  const bytes = new Uint8Array(payload.length + count * SERVER_HEADER_MAX_BYTES);
  const header = new Uint8Array(SERVER_HEADER_MAX_BYTES);
  let at = 0;
  for (let part = 0; part < count; part++) {
    const piece = payload.subarray(part * maxBytes, (part + 1) * maxBytes);
    let lead = first;
    if (isFragmented) {
      lead = (part === 0 ? first & ~FIN : OPCODE.continuation) | (part === count - 1 ? FIN : 0);
    }
    const start = writeHeader(header, SERVER_HEADER_MAX_BYTES, lead, piece.length);
    bytes.set(header.subarray(start), at);
    at += SERVER_HEADER_MAX_BYTES - start;
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes.subarray(0, at);
}

/** First byte of a compressed message's first frame. */
export const COMPRESSED_FRAME = FIN | RSV1 | OPCODE.binary;
