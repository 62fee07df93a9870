import { copyBytes } from '../base/copy-bytes.ts';
import { writeDecimal } from '../base/decimal.ts';
import { SCRATCH_KEEP_BYTES, WORD_COPY_MAX_BYTES, WORD_SLACK_BYTES } from '../base/limits.ts';
import { MessageFrame } from '../base/message-frame.ts';

/**
 * A PUBLISH as routes take it: subject, reply, header block and payload in the order of the NATS protocol. The payload is
 * copied once, since the header block stands in front of it. The frame is good until the next call. A publisher repeats its
 * subject and often the size, so all but the payload often stands there already.
 */
const CR = 13;
const LF = 10;
const SPACE = 32;
/** Two sizes of ten digits, spaces, line breaks. */
const LINE_MAX_BYTES = 32;

export class PublicationFrame {
  readonly #frame = new MessageFrame();
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);
  // What the scratch was filled with
  #subject: Uint8Array | null = null;
  #headers: Uint8Array | null = null;
  #bodyBytes = -1;
  #source: Uint8Array | null = null;
  #sourceView: DataView = this.#scratchView;

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
    if (
      this.#subject === subject &&
      this.#headers === headers &&
      this.#bodyBytes === bodyBytes &&
      reply === ''
    ) {
      this.#copy(source, start, bodyBytes, this.#frame.payloadStart + headers.length);
      return this.#frame;
    }
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
    at = writeDecimal(bytes, at, headers.length);
    bytes[at++] = SPACE;
    at = writeDecimal(bytes, at, total);
    bytes[at++] = CR;
    bytes[at++] = LF;
    frame.headerBytes = headers.length;
    frame.payloadStart = at;
    frame.payloadBytes = total;
    for (let i = 0; i < headers.length; i++) bytes[at + i] = headers[i]!;
    at += headers.length;
    this.#subject = isLarge || reply !== '' ? null : subject;
    this.#headers = headers;
    this.#bodyBytes = bodyBytes;
    if (isLarge) copyBytes(bytes, at, source, start, end);
    else this.#copy(source, start, bodyBytes, at);
    at += bodyBytes;
    bytes[at] = CR;
    bytes[at + 1] = LF;
    frame.tailEnd = at + 2;
    frame.payloadOwner = null;
    return frame;
  }

  #copy(source: Uint8Array, start: number, count: number, to: number): void {
    const bytes = this.#scratch;
    if (count > WORD_COPY_MAX_BYTES) {
      copyBytes(bytes, to, source, start, start + count);
      return;
    }
    if (this.#source !== source) {
      this.#source = source;
      this.#sourceView = new DataView(source.buffer, source.byteOffset, source.byteLength);
    }
    const [from, target] = [this.#sourceView, this.#scratchView];
    const words = count & ~3;
    for (let i = 0; i < words; i += 4) target.setInt32(to + i, from.getInt32(start + i, true), true);
    for (let i = words; i < count; i++) bytes[to + i] = source[start + i]!;
  }
}
