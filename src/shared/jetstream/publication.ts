/**
 * A message on its way into a stream, from the wire, a batch, a schedule or another stream. What the checks find out or
 * change on the way (subject, headers, payload, TTL) is kept here, so that storing it decides nothing any more.
 *
 * Parts are offsets into buffers; the subject becomes a string only when somebody asks.
 */
import { latin1, latin1Bytes } from '../base/latin1.ts';
import { EMPTY_BYTES, type InboundMessage } from './effects.ts';
import { NO_PUBLISH_HEADERS, type PublishHeaders, readPublishHeaders } from './publish-headers.ts';

export class Publication {
  subjectBytes: Uint8Array = EMPTY_BYTES;
  subjectStart = 0;
  subjectEnd = 0;
  headerBytes: Uint8Array = EMPTY_BYTES;
  headerStart = 0;
  headerEnd = 0;
  payloadBytes: Uint8Array = EMPTY_BYTES;
  payloadStart = 0;
  payloadEnd = 0;
  /** Another view of all of `payloadBytes`; null: there is none. */
  payloadView: DataView | null = null;
  /** The reply subject in `replyBytes`; an empty range is none. */
  replyBytes: Uint8Array = EMPTY_BYTES;
  replyStart = 0;
  replyEnd = 0;
  headers: Readonly<PublishHeaders> = NO_PUBLISH_HEADERS;
  /** Copied from another stream: checks of what clients may say are left out. */
  sourced = false;
  /** Made by the server itself (markers, schedules), which may use its own headers. */
  internal = false;
  /** 0: the next one. */
  sequence = 0;
  /** Time of the original; -1: now. */
  timestampMs = -1;
  timestampNanos = 0;
  // --- found by the checks ---
  ttlSeconds = 0;
  /** Sequence of the message that had the same id; 0: none. */
  duplicateOf = 0;
  /** New total of a counter. */
  counterTotal: bigint | null = null;
  /** Nobody is interested: a sequence is used up and nothing stored. */
  unwanted = false;
  /** What `rollup` says when it is allowed. */
  rollup: 'none' | 'sub' | 'all' = 'none';
  #subject: string | null = null;
  #reply: string | null = null;

  /** Takes over a message by reference. */
  adopt(message: InboundMessage): this {
    this.subjectBytes = message.bytes;
    this.subjectStart = message.subjectStart;
    this.subjectEnd = message.subjectEnd;
    this.headerBytes = message.bytes;
    this.headerStart = message.headerStart;
    this.headerEnd = message.headerEnd;
    this.payloadBytes = message.bytes;
    this.payloadView = message.view;
    this.payloadStart = message.payloadStart;
    this.payloadEnd = message.payloadEnd;
    this.replyBytes = message.bytes;
    this.replyStart = message.replyStart;
    this.replyEnd = message.replyEnd;
    this.#reply = null;
    this.#subject = null;
    this.#reset();
    this.headers =
      message.headerEnd > message.headerStart
        ? readPublishHeaders(message.bytes, message.headerStart, message.headerEnd)
        : NO_PUBLISH_HEADERS;
    return this;
  }

  /** Makes a message of parts, by reference. */
  compose(subject: string, headers: Uint8Array, payload: Uint8Array): this {
    this.setSubject(subject);
    this.setReply('');
    this.#reset();
    this.setHeaderBlock(headers);
    this.headers = headers.length > 0 ? readPublishHeaders(headers, 0, headers.length) : NO_PUBLISH_HEADERS;
    this.setPayload(payload);
    return this;
  }

  #reset(): void {
    this.sourced = false;
    this.internal = false;
    this.sequence = 0;
    this.timestampMs = -1;
    this.timestampNanos = 0;
    this.ttlSeconds = 0;
    this.duplicateOf = 0;
    this.counterTotal = null;
    this.unwanted = false;
    this.rollup = 'none';
  }

  /** A copy that holds its own bytes, to be kept beyond the step. */
  detach(): Publication {
    const copy = new Publication().compose(this.subject, this.headerBlock().slice(), this.payload().slice());
    copy.setReply(this.reply);
    return copy;
  }

  /** latin1. */
  get subject(): string {
    this.#subject ??= latin1(this.subjectBytes, this.subjectStart, this.subjectEnd);
    return this.#subject;
  }

  setSubject(subject: string): void {
    this.#subject = subject;
    this.subjectBytes = latin1Bytes(subject);
    this.subjectStart = 0;
    this.subjectEnd = subject.length;
  }

  get hasReply(): boolean {
    return this.replyEnd > this.replyStart;
  }

  /** latin1; empty is none. */
  get reply(): string {
    this.#reply ??= this.hasReply ? latin1(this.replyBytes, this.replyStart, this.replyEnd) : '';
    return this.#reply;
  }

  /** @param reply latin1, empty for none */
  setReply(reply: string): void {
    this.#reply = reply;
    this.replyBytes = reply === '' ? EMPTY_BYTES : latin1Bytes(reply);
    this.replyStart = 0;
    this.replyEnd = reply.length;
  }

  /** A view. */
  headerBlock(): Uint8Array {
    return this.headerBytes.subarray(this.headerStart, this.headerEnd);
  }

  setHeaderBlock(block: Uint8Array): void {
    this.headerBytes = block;
    this.headerStart = 0;
    this.headerEnd = block.length;
  }

  /** A view. */
  payload(): Uint8Array {
    return this.payloadBytes.subarray(this.payloadStart, this.payloadEnd);
  }

  setPayload(payload: Uint8Array): void {
    this.payloadBytes = payload;
    this.payloadView = null;
    this.payloadStart = 0;
    this.payloadEnd = payload.length;
  }

  get subjectLength(): number {
    return this.subjectEnd - this.subjectStart;
  }

  get headerLength(): number {
    return this.headerEnd - this.headerStart;
  }

  get payloadLength(): number {
    return this.payloadEnd - this.payloadStart;
  }
}
