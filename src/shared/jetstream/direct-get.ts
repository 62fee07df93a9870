/**
 * Direct get (jetstream-api §5): messages of a stream as plain messages, without the API's JSON around them. Served by the
 * stream itself and, once caught up, by mirrors of it.
 */
import { statusHeader } from '../protocol/nats/headers.ts';
import { isValidSubject } from '../subject/subject.ts';
import { wireText } from '../subject/wire-text.ts';
import { needsHigherLevel } from './api-level.ts';
import {
  type DirectAnswers,
  EMPTY_BYTES,
  type EngineSubscription,
  type InboundMessage,
  NO_TICKET,
  type StreamDirectAnswers,
} from './effects.ts';
import { decodeJson } from './json-fields.ts';
import { MULTI_LAST_MAX_SUBJECTS } from './limits.ts';
import { emptyMessageRequest, MESSAGE_REQUEST_READERS, type MessageRequest } from './message-request.ts';
import { appendHeaderLines } from './publish.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { formatTime, joinTime, splitTime } from './time.ts';

const PREFIX = '$JS.API.DIRECT.GET.';
const QUEUE = '_sys_';
/** A mirror serves its origin's requests once it is this close to it, and from then on. */
const CAUGHT_UP_MSGS = 10;

class DirectSubscription implements EngineSubscription {
  readonly account: string;
  readonly subject: string;
  readonly queue = QUEUE;
  readonly #direct: DirectGet;
  /** Where a subject behind the stream's name begins; 0: the request is in the body. */
  readonly #subjectStart: number;

  constructor(account: string, subject: string, subjectStart: number, direct: DirectGet) {
    this.account = account;
    this.subject = subject;
    this.#subjectStart = subjectStart;
    this.#direct = direct;
  }

  receive(message: InboundMessage): void {
    const last = this.#subjectStart > 0 ? message.subject.slice(this.#subjectStart) : null;
    this.#direct.serve(message, last);
  }
}

/** Which messages a batch consists of. */
interface BatchPlan {
  readonly sequences: Iterable<number>;
  /** Messages there are, sent or not. */
  pending: number;
  readonly most: number;
  readonly maxBytes: number;
  readonly withHeaders: boolean;
  /** Last header lines of the end marker. */
  readonly trailer: string;
}

export class DirectGet {
  readonly #stream: Stream;
  #subscriptions: DirectSubscription[] = [];
  readonly #message = new StoredMessage();
  /** Null: nobody else answers. */
  #answers: StreamDirectAnswers | null = null;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** Listens as the configuration has it. */
  open(): void {
    const { config, account, engine } = this.#stream;
    const { mirror } = config;
    const names: string[] = config.allowDirect ? [config.name] : [];
    const forOrigin = mirror !== null && mirror.external === null && config.mirrorDirect;
    if (forOrigin && this.#isServing(mirror.name)) names.push(mirror.name);
    else if (forOrigin && this.#stream.origins.lag() < CAUGHT_UP_MSGS) names.push(mirror.name);
    const wanted = new Set(names.map((name) => PREFIX + wireText(name)));
    const kept: DirectSubscription[] = [];
    for (const subscription of this.#subscriptions) {
      if (wanted.has(subscription.subject.replace(/\.>$/, ''))) kept.push(subscription);
      else engine.effects.unsubscribe(subscription);
    }
    for (const subject of wanted) {
      if (kept.some((subscription) => subscription.subject === subject)) continue;
      const whole = new DirectSubscription(account.name, subject, 0, this);
      const bySubject = new DirectSubscription(account.name, `${subject}.>`, subject.length + 1, this);
      kept.push(whole, bySubject);
      engine.effects.subscribe(whole);
      engine.effects.subscribe(bySubject);
    }
    this.#subscriptions = kept;
    this.#share(config.allowDirect ? (engine.effects.directAnswers ?? null) : null);
  }

  /** Lets others give answers from now on, or (null) no longer. */
  #share(shared: DirectAnswers | null): void {
    const { account, name, store } = this.#stream;
    this.#answers?.cleared();
    this.#answers = shared?.of(account.name, wireText(name)) ?? null;
    store.watchLast(this.#answers);
  }

  #isServing(name: string): boolean {
    const subject = PREFIX + wireText(name);
    return this.#subscriptions.some((subscription) => subscription.subject === subject);
  }

  close(): void {
    for (const subscription of this.#subscriptions) this.#stream.engine.effects.unsubscribe(subscription);
    this.#subscriptions = [];
    this.#share(null);
  }

  /** Answers a request. @param lastOf subject from the request's own subject, or null */
  serve(message: InboundMessage, lastOf: string | null): void {
    const { reply } = message;
    if (reply === '' || this.#stream.closed) return;
    if (needsHigherLevel(message.headers())) {
      this.#status(reply, 412, 'Required Api Level');
      return;
    }
    const request = emptyMessageRequest();
    const problem = decodeJson(message.payload(), {
      target: request,
      readers: MESSAGE_REQUEST_READERS,
      type: 'JSApiMsgGetRequest',
      strict: false,
    });
    if (problem !== null) {
      this.#status(reply, 408, 'Malformed Request');
      return;
    }
    if (lastOf !== null) {
      if (selects(request) || request.batch !== 0) {
        this.#status(reply, 408, 'Bad Request');
        return;
      }
      request.lastBySubject = lastOf;
    }
    if (!selects(request)) {
      this.#status(reply, 408, 'Empty Request');
      return;
    }
    if (isContradictory(request)) {
      this.#status(reply, 408, 'Bad Request');
      return;
    }
    if (request.multiLast.length > 0) this.#multiLast(reply, request);
    else if (request.batch !== 0) this.#batch(reply, request);
    else this.#single(reply, request, lastOf !== null && isBare(message) ? lastOf : '');
  }

  #send(reply: string, headers: Uint8Array, payload: Uint8Array): void {
    this.#stream.engine.effects.send(this.#stream.account.name, reply, '', headers, payload, NO_TICKET);
  }

  #status(reply: string, code: number, text: string): void {
    this.#send(reply, statusHeader(code, text), EMPTY_BYTES);
  }

  /** Lines that say where a message comes from. */
  #originLines(): string {
    const message = this.#message;
    const time = formatTime(joinTime(message.timestampMs, message.timestampNanos));
    const name = wireText(this.#stream.name);
    return (
      `Nats-Stream: ${name}\r\nNats-Subject: ${message.subject()}\r\n` +
      `Nats-Sequence: ${message.sequence}\r\nNats-Time-Stamp: ${time}\r\n`
    );
  }

  /** @param subject of a request that others may answer the same; empty: they may not */
  #single(reply: string, request: MessageRequest, subject: string): void {
    const message = this.#message;
    if (!findMessage(this.#stream, request, message)) {
      this.#status(reply, 404, 'Message Not Found');
      return;
    }
    const payload = message.payload();
    if (request.noHeaders) this.#send(reply, EMPTY_BYTES, payload);
    else {
      const headers = appendHeaderLines(message.headers(), this.#originLines());
      this.#send(reply, headers, payload);
      if (this.#answers !== null && subject === message.subject())
        this.#answers.put(message.bytes, message.subjectStart, message.subjectEnd, headers, payload);
    }
  }

  #maxBytes(request: MessageRequest): number {
    return request.maxBytes > 0 ? request.maxBytes : this.#stream.engine.options.maxPendingBytes;
  }

  #batch(reply: string, request: MessageRequest): void {
    const { store } = this.#stream;
    const subject = wireText(request.nextBySubject);
    const filter = subject === '' ? null : store.filter([subject]);
    const valid = subject === '' || isValidSubject(subject);
    const start = startSequence(this.#stream, request);
    if (!valid || store.nextSeq(filter, start) === 0) {
      this.#status(reply, 404, 'Message Not Found');
      return;
    }
    function* sequences(): Generator<number> {
      for (let seq = store.nextSeq(filter, start); seq > 0; seq = store.nextSeq(filter, seq + 1)) yield seq;
    }
    this.#sendBatch(reply, {
      sequences: sequences(),
      pending: store.numPending(filter, start, false),
      most: request.batch,
      maxBytes: this.#maxBytes(request),
      withHeaders: !request.noHeaders,
      trailer: '',
    });
  }

  #multiLast(reply: string, request: MessageRequest): void {
    const { store } = this.#stream;
    const filter = store.filter(request.multiLast.map(wireText).filter(isValidSubject));
    let upTo = request.upToSeq > 0 ? request.upToSeq : store.lastSeq;
    if (request.upToTimeNs !== null) {
      const { ms, nanos } = splitTime(request.upToTimeNs);
      upTo = Math.min(store.firstSeqFromTime(ms, nanos) - 1, store.lastSeq);
    }
    const nothing = filter.patterns.length === 0 || upTo < store.firstSeq || store.messages === 0;
    if (nothing) {
      this.#status(reply, 404, 'No Results');
      return;
    }
    const bound = upTo >= store.lastSeq ? 0 : upTo;
    const sequences = store.lastPerSubject(filter, bound, MULTI_LAST_MAX_SUBJECTS);
    if (sequences === null) {
      this.#status(reply, 413, 'Too Many Results');
      return;
    }
    if (sequences.length === 0) {
      this.#status(reply, 404, 'No Results');
      return;
    }
    this.#sendBatch(reply, {
      sequences,
      pending: sequences.length,
      most: request.batch === 0 ? sequences.length : request.batch,
      maxBytes: this.#maxBytes(request),
      withHeaders: true,
      trailer: `Nats-UpTo-Sequence: ${upTo}\r\n`,
    });
  }

  #sendBatch(reply: string, plan: BatchPlan): void {
    const message = this.#message;
    let sent = 0;
    let bytes = 0;
    let last = 0;
    let { pending } = plan;
    for (const sequence of plan.sequences) {
      if (sent >= plan.most || bytes >= plan.maxBytes) break;
      if (!this.#stream.store.load(sequence, message)) continue;
      const payload = message.payload();
      const headers = message.headers();
      if (plan.withHeaders) {
        pending--;
        const lines = `${this.#originLines()}Nats-Num-Pending: ${pending}\r\nNats-Last-Sequence: ${last}\r\n`;
        this.#send(reply, appendHeaderLines(headers, lines), payload);
      } else this.#send(reply, EMPTY_BYTES, payload);
      last = sequence;
      bytes += message.subjectEnd - message.subjectStart + headers.length + payload.length;
      sent++;
    }
    const text =
      `NATS/1.0 204 EOB\r\nNats-Num-Pending: ${pending}\r\nNats-Last-Sequence: ${last}\r\n` +
      `${plan.trailer}\r\n`;
    this.#send(reply, Buffer.from(text, 'latin1'), EMPTY_BYTES);
  }
}

/** Whether the request says all it says by its subject. */
function isBare({ headerStart, headerEnd, payloadStart, payloadEnd }: InboundMessage): boolean {
  return headerStart === headerEnd && payloadStart === payloadEnd;
}

function selects(request: MessageRequest): boolean {
  return (
    request.seq > 0 ||
    request.lastBySubject !== '' ||
    request.nextBySubject !== '' ||
    request.startTimeNs !== null ||
    request.multiLast.length > 0
  );
}

/** Combinations that make no sense. Others beside `multi_last` are ignored, as nats-server ignores them. */
function isContradictory(request: MessageRequest): boolean {
  const { seq, startTimeNs, lastBySubject, nextBySubject, batch, upToSeq, upToTimeNs } = request;
  if (lastBySubject !== '' && nextBySubject !== '') return true;
  if (request.multiLast.length > 0)
    return lastBySubject !== '' || nextBySubject !== '' || (upToSeq > 0 && upToTimeNs !== null);
  if (seq > 0 && startTimeNs !== null) return true;
  if (lastBySubject !== '') return seq > 0 || startTimeNs !== null || batch !== 0;
  return false;
}

/** Where a request starts to look. */
function startSequence(stream: Stream, request: MessageRequest): number {
  if (request.startTimeNs === null) return Math.max(1, request.seq);
  const { ms, nanos } = splitTime(request.startTimeNs);
  return stream.store.firstSeqFromTime(ms, nanos);
}

/** Loads the one message a request asks for. @returns false when there is none */
export function findMessage(stream: Stream, request: MessageRequest, into: StoredMessage): boolean {
  const { store } = stream;
  if (request.lastBySubject !== '') {
    const subject = wireText(request.lastBySubject);
    const sequence = isValidSubject(subject) ? stream.lastSeqOn(subject) : 0;
    return sequence > 0 && store.load(sequence, into);
  }
  if (request.nextBySubject !== '') {
    const subject = wireText(request.nextBySubject);
    return (
      isValidSubject(subject) && store.next(store.filter([subject]), startSequence(stream, request), into)
    );
  }
  if (request.startTimeNs !== null) return store.next(null, startSequence(stream, request), into);
  return store.load(request.seq, into);
}
