/**
 * The border between the JetStream engine and what carries it (a worker, a test, a simulator).
 *
 * ```
 *   host ── receive(message), request(…), tick() ──► engine ── store calls ──► store
 *   host ◄── Effects: send, subscribe, unsubscribe ── engine
 * ```
 *
 * Every step is synchronous: what it causes is handed to the `Effects` before it returns. A message that promises
 * durability carries the store's ticket and must not leave before the store has synced that far; messages are sent in
 * the order they were handed over, so one held back holds back those behind it to the same subject.
 */

import { latin1 } from '../base/latin1.ts';
import type { LastWatch, StoredMessage } from './store/contract.ts';

const NO_BYTES = new Uint8Array(0);

/** Ticket of a message that waits for nothing. */
export const NO_TICKET = 0;

/**
 * A message on its way in: offsets into `bytes`, valid during the step. One instance is reused by the host.
 */
export class InboundMessage {
  bytes: Uint8Array = NO_BYTES;
  /** Another view of all of `bytes`; null: there is none. */
  view: DataView | null = null;
  subjectStart = 0;
  subjectEnd = 0;
  headerStart = 0;
  headerEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** The reply subject; an empty range is none. */
  replyStart = 0;
  replyEnd = 0;
  /** The subject that subscribers see in place of the one it came on, as of a consumer's delivery; null: there is none. */
  shown: Uint8Array | null = null;
  #subject: string | null = null;
  #reply: string | null = null;

  /** The subject as a latin1 string. */
  get subject(): string {
    this.#subject ??= latin1(this.bytes, this.subjectStart, this.subjectEnd);
    return this.#subject;
  }

  /** The reply subject as a latin1 string; empty is none. */
  get reply(): string {
    this.#reply ??=
      this.replyEnd === this.replyStart ? '' : latin1(this.bytes, this.replyStart, this.replyEnd);
    return this.#reply;
  }

  /** To be called by the host when it has changed the offsets. */
  renew(): void {
    this.#subject = null;
    this.#reply = null;
  }

  /** The header block, empty when there is none; a view. */
  headers(): Uint8Array {
    return this.bytes.subarray(this.headerStart, this.headerEnd);
  }

  /** A view. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.payloadStart, this.payloadEnd);
  }

  /** Fills the message from parts; they are copied. */
  set(subject: string, reply: string, headers: Uint8Array, payload: Uint8Array): this {
    const end = subject.length + headers.length + payload.length;
    const bytes = new Uint8Array(end + reply.length);
    for (let i = 0; i < subject.length; i++) bytes[i] = subject.charCodeAt(i);
    for (let i = 0; i < reply.length; i++) bytes[end + i] = reply.charCodeAt(i);
    bytes.set(headers, subject.length);
    bytes.set(payload, subject.length + headers.length);
    this.bytes = bytes;
    this.shown = null;
    this.view = null;
    this.subjectStart = 0;
    this.subjectEnd = subject.length;
    this.headerStart = subject.length;
    this.headerEnd = subject.length + headers.length;
    this.payloadStart = this.headerEnd;
    this.payloadEnd = end;
    this.replyStart = end;
    this.replyEnd = end + reply.length;
    this.#reply = reply;
    this.#subject = subject;
    return this;
  }
}

/** Interest of the engine in an account's messages. The host hands each message that matches to `receive`. */
export interface EngineSubscription {
  readonly account: string;
  /** Wire form; may have wildcards. */
  readonly subject: string;
  /** Queue group, or null. */
  readonly queue: string | null;
  receive(message: InboundMessage): void;
}

/** One whose messages go to a function. */
export class CallbackSubscription implements EngineSubscription {
  readonly account: string;
  readonly subject: string;
  readonly queue = null;
  readonly receive: (message: InboundMessage) => void;

  constructor(account: string, subject: string, receive: (message: InboundMessage) => void) {
    this.account = account;
    this.subject = subject;
    this.receive = receive;
  }
}

/**
 * Where a consumer sends messages: the subject of a push consumer, the inbox of a pull request. Keep it as long as it is
 * sent to; the host remembers the route in it.
 */
export interface Destination {
  /** Whether anybody listens there now. */
  readonly hasInterest: boolean;
  /**
   * Whether somebody listens on this very subject, not through a wildcard: who watches everything is no subscriber of a push
   * consumer (jetstream-consumers §5).
   *
   * @param group queue group that has to listen; empty: somebody outside of all groups
   */
  isBound(group: string): boolean;
}

/** Told when interest on a subject begins or ends, in a later step than the one that asked. */
export interface InterestWatch {
  readonly account: string;
  /** Wire form, literal. */
  readonly subject: string;
  interestChanged(): void;
}

/** What the engine wants done. */
export interface Effects {
  /**
   * Publishes a message in an account, as if a client of it had.
   *
   * @param subject wire form
   * @param reply wire form, empty for none
   * @param headers whole header block, empty for none
   * @param ticket not before the store has synced this far; `NO_TICKET`: at once
   */
  send(
    account: string,
    subject: string,
    reply: string,
    headers: Uint8Array,
    payload: Uint8Array,
    ticket: number,
  ): void;
  /**
   * Acknowledges a stored message: publishes `<prefix>"seq":<sequence>}` on `bytes[replyStart, replyEnd)`. The same as `send`,
   * without making strings of it.
   *
   * @param prefix beginning of a JSON object
   * @param ticket as for `send`
   */
  acknowledge(
    account: string,
    bytes: Uint8Array,
    replyStart: number,
    replyEnd: number,
    prefix: Uint8Array,
    sequence: number,
    ticket: number,
  ): void;
  /** @param subject wire form, literal */
  destination(account: string, subject: string): Destination;
  /**
   * Hands a stored message to those who listen at a destination; what they see is the message's own subject. It leaves
   * at once, in order with what was sent before it without a ticket. The message's bytes are kept by reference.
   *
   * @param reply wire form, the subject that acknowledges: the first `replyBytes` of it, good during the call. At least three
   *   bytes more have to be there, so that it can be copied in words.
   * @param headers block in place of the stored one; null: as stored
   * @param withPayload false: the payload is left out
   */
  deliver(
    destination: Destination,
    message: StoredMessage,
    reply: DataView,
    replyBytes: number,
    headers: Uint8Array | null,
    withPayload: boolean,
  ): void;
  /** So much waits to leave that nothing should be delivered until `runReady` is called again. */
  readonly congested: boolean;
  watchInterest(watch: InterestWatch): void;
  unwatchInterest(watch: InterestWatch): void;
  subscribe(subscription: EngineSubscription): void;
  unsubscribe(subscription: EngineSubscription): void;
  /** Whether anybody but the engine would receive a message on the subject: advisories are made only then. */
  hasInterest(account: string, subject: string): boolean;
  /** Something for the log. */
  warn(text: string): void;
  /** Where answers to direct gets may be kept for others to give; absent: nowhere. */
  readonly directAnswers?: DirectAnswers;
}

/** Answers to direct gets that others than the engine may give, as long as they are what the engine would say. */
export interface DirectAnswers {
  /** @param stream wire form */
  of(account: string, stream: string): StreamDirectAnswers;
}

/** Those of one stream. The store tells it what is no longer true. */
export interface StreamDirectAnswers extends LastWatch {
  /** Keeps the answer for the last message of the subject `bytes[start, end)`, which has just been given. */
  put(bytes: Uint8Array, start: number, end: number, headers: Uint8Array, payload: Uint8Array): void;
}

/** A text as bytes of a message. */
export function textBytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

export const EMPTY_BYTES: Uint8Array = NO_BYTES;
