import { hashLatin1 } from '../../shared/base/latin1.ts';
import { SCRATCH_KEEP_BYTES, WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import { MessageFrame } from '../../shared/base/message-frame.ts';

const CR = 13;
const LF = 10;

/** A message that the engine wants published. */
export interface OutgoingMessage {
  readonly account: string;
  /** Wire form. */
  readonly subject: string;
  readonly reply: string;
  readonly headers: Uint8Array;
  readonly payload: Uint8Array;
  readonly ticket: number;
}

/** Writes messages in the form routes take them. The frame is good until the next call. */
export class FrameWriter {
  readonly #frame = new MessageFrame();
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  write({ subject, reply, headers, payload }: OutgoingMessage): MessageFrame {
    const total = headers.length + payload.length;
    const sizes = headers.length > 0 ? `${headers.length} ${total}\r\n` : `${total}\r\n`;
    const line = reply === '' ? sizes : `${reply} ${sizes}`;
    const needed = subject.length + line.length + total + 2 + WORD_SLACK_BYTES;
    const frame = this.#frame;
    const isLarge = needed > SCRATCH_KEEP_BYTES;
    const bytes = isLarge ? new Uint8Array(needed) : this.#scratch;
    frame.bytes = bytes;
    frame.view = isLarge ? new DataView(bytes.buffer) : this.#scratchView;
    frame.subjectStart = 0;
    let at = writeLatin1(bytes, 0, subject);
    frame.subjectEnd = at;
    frame.subjectHash = hashLatin1(subject);
    frame.tailStart = at;
    at = writeLatin1(bytes, at, line);
    frame.replyBytes = reply.length;
    frame.headerBytes = headers.length > 0 ? headers.length : -1;
    frame.payloadStart = at;
    frame.payloadBytes = total;
    bytes.set(headers, at);
    bytes.set(payload, at + headers.length);
    at += total;
    bytes[at] = CR;
    bytes[at + 1] = LF;
    frame.tailEnd = at + 2;
    frame.payloadOwner = null;
    return frame;
  }
}

function writeLatin1(bytes: Uint8Array, start: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[start + i] = text.charCodeAt(i);
  return start + text.length;
}
