/**
 * Subjects of acknowledgements (jetstream-api §6): composed for each message delivered, parsed for each one acknowledged,
 * both without strings.
 *
 * ```
 *   v1   $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time ns>.<pending>
 *   v2   $JS.ACK.<domain>.<account hash>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time ns>.<pending>[.<more>]
 * ```
 */

import { copyWords } from '../../../base/copy-words.ts';
import { writeDecimal, writeDigits } from '../../../base/decimal.ts';
import { WORD_SLACK_BYTES } from '../../../base/limits.ts';
import { RunningDecimal } from '../../../base/running-decimal.ts';

const DOT = 46;
/** Of the nanoseconds within a millisecond. */
const NANOS_DIGITS = 6;
const DIGIT_0 = 48;
/** Digits of the five numbers and the dots between them, at most. */
const NUMBERS_MAX_BYTES = 5 * 20;
const FIRST_BYTES = 512;
const MS_MAX_DIGITS = 16;
const V1_TOKENS = 9;
const V2_LEAST_TOKENS = 11;
/** Where the consumer's name stands. */
const V1_NAME = 3;
const V2_NAME = 5;

/** The reply subject of the message that is being delivered. One instance serves all consumers. */
export class AckReply {
  bytes = new Uint8Array(FIRST_BYTES);
  /** The same memory. */
  view = new DataView(this.bytes.buffer);
  length = 0;
  /** What stands at the beginning of `bytes`: mostly the next message is of the same consumer. */
  #prefix: Uint8Array | null = null;
  readonly #deliveries = new RunningDecimal();
  readonly #streamSeq = new RunningDecimal();
  readonly #consumerSeq = new RunningDecimal();
  readonly #pending = new RunningDecimal();
  /** Digits of the last milliseconds: messages stored one after the other have the same. */
  #ms = 0;
  #msDigits = 0;
  readonly #msText = new Uint8Array(MS_MAX_DIGITS + WORD_SLACK_BYTES);
  readonly #msView = new DataView(this.#msText.buffer);

  /**
   * @param prefix up to and with the dot behind the consumer's name
   * @param nanos of the message's time, 0 to 999,999
   */
  compose(
    prefix: Uint8Array,
    deliveries: number,
    streamSeq: number,
    consumerSeq: number,
    timestampMs: number,
    nanos: number,
    pending: number,
  ): void {
    const most = prefix.length + NUMBERS_MAX_BYTES;
    if (most > this.bytes.length) {
      this.bytes = new Uint8Array(most);
      this.view = new DataView(this.bytes.buffer);
      this.#prefix = null;
    }
    const { bytes, view } = this;
    if (prefix !== this.#prefix) {
      this.#prefix = prefix;
      for (let i = 0; i < prefix.length; i++) bytes[i] = prefix[i]!;
    }
    let at = this.#deliveries.write(view, prefix.length, deliveries);
    bytes[at] = DOT;
    at = this.#streamSeq.write(view, at + 1, streamSeq);
    bytes[at] = DOT;
    at = this.#consumerSeq.write(view, at + 1, consumerSeq);
    bytes[at++] = DOT;
    // Nanoseconds since 1970 are more than a number holds.
    if (timestampMs > 0) {
      if (timestampMs !== this.#ms) {
        this.#ms = timestampMs;
        this.#msDigits = writeDecimal(this.#msText, 0, timestampMs);
      }
      copyWords(view, at, this.#msView, 0, this.#msDigits);
      at = writeDigits(bytes, at + this.#msDigits, nanos, NANOS_DIGITS);
    } else at = writeDecimal(bytes, at, nanos);
    bytes[at] = DOT;
    this.length = this.#pending.write(view, at + 1, pending);
  }
}

/** A parsed acknowledgement subject. One instance is reused. */
export class AckSubject {
  /** The consumer's name in `bytes`. */
  nameStart = 0;
  nameEnd = 0;
  deliveries = 0;
  streamSeq = 0;
  consumerSeq = 0;
  /** Time of the message, Unix milliseconds and nanoseconds within; both 0 when the subject has none. */
  timeMs = 0;
  timeNanos = 0;
  readonly #dots = new Int32Array(16);

  /**
   * Reads `bytes[start, end)`. A number that is none is 0.
   *
   * @returns false when the subject has not the tokens of an acknowledgement
   */
  parse(bytes: Uint8Array, start: number, end: number): boolean {
    const dots = this.#dots;
    let tokens = 1;
    for (let at = start; at < end; at++) {
      if (bytes[at] !== DOT) continue;
      if (tokens < dots.length) dots[tokens] = at;
      tokens++;
    }
    const isV1 = tokens === V1_TOKENS;
    if (!isV1 && tokens < V2_LEAST_TOKENS) return false;
    const name = isV1 ? V1_NAME : V2_NAME;
    this.nameStart = dots[name]! + 1;
    this.nameEnd = dots[name + 1]!;
    this.deliveries = numberIn(bytes, dots[name + 1]! + 1, dots[name + 2]!);
    this.streamSeq = numberIn(bytes, dots[name + 2]! + 1, dots[name + 3]!);
    this.consumerSeq = numberIn(bytes, dots[name + 3]! + 1, dots[name + 4]!);
    const timeStart = dots[name + 4]! + 1;
    const timeEnd = dots[name + 5]!;
    const nanosStart = Math.max(timeStart, timeEnd - NANOS_DIGITS);
    this.timeMs = numberIn(bytes, timeStart, nanosStart);
    this.timeNanos = numberIn(bytes, nanosStart, timeEnd);
    return true;
  }
}

function numberIn(bytes: Uint8Array, start: number, end: number): number {
  if (end === start || end - start > 16) return 0;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - DIGIT_0;
    if (digit < 0 || digit > 9) return 0;
    value = value * 10 + digit;
  }
  return value > Number.MAX_SAFE_INTEGER ? 0 : value;
}
