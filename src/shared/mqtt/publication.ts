import { SCRATCH_KEEP_BYTES, WORD_COPY_MAX_BYTES, WORD_SLACK_BYTES } from '../base/limits.ts';
import { MessageFrame } from '../base/message-frame.ts';

/**
 * A PUBLISH as routes take it: subject, reply, header block and payload in the order of the NATS protocol. The payload is
 * copied once, since the header block stands in front of it. The frame is good until the next call.
 */
const CR = 13;
const LF = 10;
const SPACE = 32;
const ZERO = 48;
/** Two sizes of ten digits, spaces, line breaks. */
const LINE_MAX_BYTES = 32;

export class PublicationFrame {
  readonly #frame = new MessageFrame();
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  /** @param reply text of the wire, '' for none */
  build(
    subject: Uint8Array,
    subjectHash: number,
    reply: string,
    headers: Uint8Array,
    source: Uint8Array,
    start: number,
    end: number,
  ): MessageFrame {
    const bodyBytes = end - start;
    const total = headers.length + bodyBytes;
    const needed = subject.length + reply.length + LINE_MAX_BYTES + total + WORD_SLACK_BYTES;
    const isLarge = needed > SCRATCH_KEEP_BYTES;
    const bytes = isLarge ? new Uint8Array(needed) : this.#scratch;
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.view = isLarge ? new DataView(bytes.buffer) : this.#scratchView;
    frame.subjectStart = 0;
    let at = subject.length;
    for (let i = 0; i < at; i++) bytes[i] = subject[i]!;
    frame.subjectEnd = at;
    frame.subjectHash = subjectHash;
    frame.tailStart = at;
    frame.replyBytes = reply.length;
    if (reply !== '') {
      for (let i = 0; i < reply.length; i++) bytes[at++] = reply.charCodeAt(i);
      bytes[at++] = SPACE;
    }
    at = writeNumber(bytes, at, headers.length);
    bytes[at++] = SPACE;
    at = writeNumber(bytes, at, total);
    bytes[at++] = CR;
    bytes[at++] = LF;
    frame.headerBytes = headers.length;
    frame.payloadStart = at;
    frame.payloadBytes = total;
    for (let i = 0; i < headers.length; i++) bytes[at + i] = headers[i]!;
    at += headers.length;
    if (bodyBytes > WORD_COPY_MAX_BYTES) bytes.set(source.subarray(start, end), at);
    else for (let i = 0; i < bodyBytes; i++) bytes[at + i] = source[start + i]!;
    at += bodyBytes;
    bytes[at] = CR;
    bytes[at + 1] = LF;
    frame.tailEnd = at + 2;
    frame.payloadOwner = null;
    return frame;
  }
}

function writeNumber(bytes: Uint8Array, start: number, value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    bytes[at] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return start + digits;
}
