import { latin1 } from '../../shared/base/latin1.ts';
import { SCRATCH_KEEP_BYTES } from '../../shared/base/limits.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import { InboundMessage } from '../../shared/jetstream/effects.ts';

/**
 * Copies a message out of a ring for the engine, once: rings are shared memory, which text decoders of the platform refuse,
 * and a step may free the ring. The copy is good until the next call.
 */
export class InboundCopy {
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #message = new InboundMessage();

  take(frame: MessageFrame): InboundMessage {
    const { bytes, subjectStart, subjectEnd, tailStart, tailEnd, payloadStart } = frame;
    const message = this.#message;
    const subjectBytes = subjectEnd - subjectStart;
    const needed = subjectBytes + (tailEnd - tailStart);
    const target = needed > SCRATCH_KEEP_BYTES ? new Uint8Array(needed) : this.#scratch;
    target.set(bytes.subarray(subjectStart, subjectEnd));
    target.set(bytes.subarray(tailStart, tailEnd), subjectBytes);
    const headerStart = subjectBytes + (payloadStart - tailStart);
    message.bytes = target;
    message.subjectStart = 0;
    message.subjectEnd = subjectBytes;
    message.headerStart = headerStart;
    message.headerEnd = headerStart + Math.max(frame.headerBytes, 0);
    message.payloadStart = message.headerEnd;
    message.payloadEnd = headerStart + frame.payloadBytes;
    message.reply = frame.replyBytes === 0 ? '' : latin1(bytes, tailStart, tailStart + frame.replyBytes);
    message.renew();
    return message;
  }
}
