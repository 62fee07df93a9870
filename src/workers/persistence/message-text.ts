import { copyBytes } from '../../shared/base/copy-bytes.ts';
import { copiesInWords, copyWords } from '../../shared/base/copy-words.ts';
import { decimalDigits, writeDecimal } from '../../shared/base/decimal.ts';
import { WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import { SIZES_MAX_BYTES, writeLineEnd, writeSizes } from '../../shared/base/message-sizes.ts';
import type { StoredMessage } from '../../shared/jetstream/store/contract.ts';

/** Parts of messages as they stand on the wire, written in place. */

const NO_REPLY = new DataView(new ArrayBuffer(0));
const SPACE = 32;
const CLOSING_BRACE = 125;
/** `"seq":` */
const SEQ_MEMBER = [34, 115, 101, 113, 34, 58];

/** Bytes of an acknowledgement's body. */
export function ackBytes(prefix: Uint8Array, sequence: number): number {
  return prefix.length + SEQ_MEMBER.length + decimalDigits(sequence) + 1;
}

/** Writes `<prefix>"seq":<sequence>}`. @returns the offset behind it */
export function writeAck(bytes: Uint8Array, start: number, prefix: Uint8Array, sequence: number): number {
  for (let i = 0; i < prefix.length; i++) bytes[start + i] = prefix[i]!;
  let at = start + prefix.length;
  for (let i = 0; i < SEQ_MEMBER.length; i++) bytes[at++] = SEQ_MEMBER[i]!;
  at = writeDecimal(bytes, at, sequence);
  bytes[at++] = CLOSING_BRACE;
  return at;
}

/** What a consumer hands out: a stored message with a reply, or less than that. */
export class Delivery {
  message: StoredMessage | null = null;
  /** With three bytes more than the reply. */
  reply: DataView = NO_REPLY;
  replyBytes = 0;
  /** Header block in place of the stored one; null: as stored. */
  headers: Uint8Array | null = null;
  withPayload = true;
  headerBytes = 0;
  /** Headers and payload. */
  totalBytes = 0;
  /** `[reply ]sizes\r\nheaders payload\r\n` */
  tailBytes = 0;
  /** `sizes\r\n` of `#sizedHeaders` and `#sizedTotal`: mostly the next message has the same. */
  readonly #sizes = new Uint8Array(SIZES_MAX_BYTES + WORD_SLACK_BYTES);
  readonly #sizesView = new DataView(this.#sizes.buffer);
  #sizesBytes = 0;
  #sizedHeaders = -1;
  #sizedTotal = -1;

  set(
    message: StoredMessage,
    reply: DataView,
    replyBytes: number,
    headers: Uint8Array | null,
    withPayload: boolean,
  ): void {
    this.message = message;
    this.reply = reply;
    this.replyBytes = replyBytes;
    this.headers = headers;
    this.withPayload = withPayload;
    this.headerBytes = headers === null ? message.headerEnd - message.headerStart : headers.length;
    this.totalBytes = this.headerBytes + (withPayload ? message.payloadEnd - message.payloadStart : 0);
    if (this.headerBytes !== this.#sizedHeaders || this.totalBytes !== this.#sizedTotal) this.#composeSizes();
    const replyPart = replyBytes > 0 ? replyBytes + 1 : 0;
    this.tailBytes = replyPart + this.#sizesBytes + this.totalBytes + 2;
  }

  #composeSizes(): void {
    this.#sizedHeaders = this.headerBytes;
    this.#sizedTotal = this.totalBytes;
    this.#sizesBytes = writeSizes(this.#sizes, 0, this.headerBytes, this.totalBytes);
  }

  /** Bytes of the subject that subscribers see. */
  get shownBytes(): number {
    return this.message!.subjectEnd - this.message!.subjectStart;
  }

  /**
   * Writes the subject that subscribers see, and the tail. A few bytes behind them may change: leave `WORD_SLACK_BYTES`.
   *
   * @param targetView of the same memory
   * @returns the offset behind them
   */
  write(target: Uint8Array, targetView: DataView, start: number): number {
    const { bytes, view, subjectStart, headerStart, payloadStart, payloadEnd } = this.message!;
    const { shownBytes, replyBytes, headers, headerBytes, totalBytes } = this;
    let at = start;
    if (view !== null && copiesInWords(bytes, subjectStart, shownBytes))
      copyWords(targetView, at, view, subjectStart, shownBytes);
    else for (let i = 0; i < shownBytes; i++) target[at + i] = bytes[subjectStart + i]!;
    at += shownBytes;
    if (replyBytes > 0) {
      copyWords(targetView, at, this.reply, 0, replyBytes);
      at += replyBytes;
      target[at++] = SPACE;
    }
    copyWords(targetView, at, this.#sizesView, 0, this.#sizesBytes);
    at += this.#sizesBytes;
    if (headers === null && this.withPayload) {
      // They are stored one behind the other.
      if (view !== null && copiesInWords(bytes, headerStart, totalBytes))
        copyWords(targetView, at, view, headerStart, totalBytes);
      else copyBytes(target, at, bytes, headerStart, payloadEnd);
      return writeLineEnd(target, at + totalBytes);
    }
    if (headers !== null) target.set(headers, at);
    else copyBytes(target, at, bytes, headerStart, headerStart + headerBytes);
    if (this.withPayload) copyBytes(target, at + headerBytes, bytes, payloadStart, payloadEnd);
    return writeLineEnd(target, at + totalBytes);
  }
}
