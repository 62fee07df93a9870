import { copyBytes } from '../../shared/base/copy-bytes.ts';
import { SCRATCH_KEEP_BYTES, WORD_COPY_MAX_BYTES, WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import { InboundMessage } from '../../shared/jetstream/effects.ts';

/**
 * Copies a message out of a ring for the engine, once: rings are shared memory, which text decoders of the platform
 * refuse. The copy is good until the next call.
 */
export class InboundCopy {
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #view = new DataView(this.#scratch.buffer);
  readonly #message = new InboundMessage();

  take(frame: MessageFrame): InboundMessage {
    const { bytes, subjectStart, subjectEnd, tailStart, tailEnd, payloadStart } = frame;
    const message = this.#message;
    const subjectBytes = subjectEnd - subjectStart;
    const tailBytes = tailEnd - tailStart;
    const isLarge = subjectBytes + tailBytes + WORD_SLACK_BYTES > SCRATCH_KEEP_BYTES;
    const target = isLarge ? new Uint8Array(subjectBytes + tailBytes) : this.#scratch;
    for (let i = 0; i < subjectBytes; i++) target[i] = bytes[subjectStart + i]!;
    if (tailBytes <= WORD_COPY_MAX_BYTES && !isLarge) {
      const words = frame.view;
      for (let i = 0; i < tailBytes; i += 4) {
        this.#view.setInt32(subjectBytes + i, words.getInt32(tailStart + i, true), true);
      }
    } else {
      copyBytes(target, subjectBytes, bytes, tailStart, tailEnd);
    }
    const headerStart = subjectBytes + (payloadStart - tailStart);
    message.bytes = target;
    message.shown = frame.shownBytes === 0 ? null : bytes.slice(subjectEnd, subjectEnd + frame.shownBytes);
    message.view = isLarge ? null : this.#view;
    message.subjectStart = 0;
    message.subjectEnd = subjectBytes;
    message.replyStart = subjectBytes;
    message.replyEnd = subjectBytes + frame.replyBytes;
    message.headerStart = headerStart;
    message.headerEnd = headerStart + (frame.headerBytes > 0 ? frame.headerBytes : 0);
    message.payloadStart = message.headerEnd;
    message.payloadEnd = headerStart + frame.payloadBytes;
    message.renew();
    return message;
  }
}
