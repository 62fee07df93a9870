/**
 * An origin that is reached through its API (jetstream-streams §8.2): in another account whose API this one imports, in
 * another domain, or anywhere through a consumer that was made beforehand. It may be nats-server's.
 *
 * ```
 *   stream ── <api>.CONSUMER.CREATE.<origin>… ──► origin     a push consumer that lives while somebody listens
 *   stream ◄── <deliver>.S.<id>  messages ─────── origin     each must follow the one before it
 *   stream ── answer to a flow control request ──► origin    when what came before is stored
 * ```
 *
 * Whatever is out of order (a gap in the consumer's sequence, a heartbeat that knows of more, ten seconds of silence, no room
 * here) ends the attempt, and another consumer begins behind the last message stored. On an origin of interest or work-queue
 * retention the origin makes the consumer one that is acknowledged by those answers, so they wait until the copy is
 * on disk.
 */
import { latin1 } from '../base/latin1.ts';
import { headerText, setHeader } from '../protocol/nats/headers.ts';
import { wireText } from '../subject/wire-text.ts';
import { CallbackSubscription, EMPTY_BYTES, type InboundMessage, NO_TICKET, textBytes } from './effects.ts';
import { ApiError, type ErrorCode } from './errors.ts';
import { JsonObject } from './json-object.ts';
import type { OriginLink } from './mirrors-sources.ts';
import { randomId, shortHash } from './names.ts';
import type { OriginCopy } from './origin-copy.ts';
import { sourceIndexName } from './source-check.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';

/** How long an answer to the request for a consumer is waited for. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Silence of a consumer that sends a heartbeat each second. */
const STALLED_MS = 10_000;
const LEAST_BACKOFF_MS = 5000;
const MOST_BACKOFF_MS = 120_000;
/** At least so long after an attempt began the next one does. */
const AGAIN_MS = 2000;
const MILLI_DIGITS = 6;
/** Origins too old for what the request demands: it is repeated without. */
const TOO_OLD: ReadonlySet<number> = new Set([10025, 10185]);
const OTHER_IDENTITY = 10225;
const CONTROL_STATUS = 'NATS/1.0 100';
const DEFAULT_API = '$JS.API';

/** What an answer says, as far as it matters here. */
interface ConsumerAnswer {
  name?: unknown;
  config?: { ack_policy?: unknown };
  delivered?: { consumer_seq?: unknown };
  num_pending?: unknown;
  error?: { code?: unknown; err_code?: unknown; description?: unknown };
}

/** One attempt: a consumer, and what came from it. */
interface Attempt {
  readonly answer: CallbackSubscription;
  readonly deliver: CallbackSubscription;
  /** The consumer's name; empty until the origin has answered. */
  consumer: string;
  /** Consumer sequence of the last message. */
  consumerSeq: number;
  streamSeq: number;
  /** Its acknowledgements are the answers to flow control. */
  acksByFlow: boolean;
}

export class RemoteOrigin implements OriginLink {
  readonly copies: OriginCopy;
  readonly #stream: Stream;
  readonly #message = new StoredMessage();
  #attempt: Attempt | null = null;
  /** When the attempt counts as failed, or the next one is made. */
  #dueMs = 0;
  #askedMs = 0;
  #failures = 0;
  #lastContactMs = -1;
  #lag = 0;
  #error: ApiError | null = null;
  /** The origin did not know what the request demands. */
  #isOld = false;

  constructor(stream: Stream, copies: OriginCopy) {
    this.#stream = stream;
    this.copies = copies;
  }

  problem(): ApiError | null {
    return this.#error;
  }

  lag(): number {
    return this.#lastContactMs < 0 ? Infinity : this.#lag;
  }

  nextDueMs(): number {
    return this.#dueMs;
  }

  pump(): void {
    if (this.#stream.engine.clock.ms < this.#dueMs) return;
    if (this.#attempt !== null) this.#fail(0);
    else this.#ask();
  }

  detach(): void {
    const consumer = this.#attempt?.consumer ?? '';
    this.#end();
    if (consumer !== '' && this.copies.source.consumer === null)
      this.#request(`CONSUMER.DELETE.${this.copies.source.name}.${consumer}`, '', EMPTY_BYTES, '');
  }

  infoJson(): string {
    return this.copies.infoJson(this.#lag, this.#lastContactMs, this.#error);
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  #request(endpoint: string, reply: string, headers: Uint8Array, body: string): void {
    const { engine, account } = this.#stream;
    const api = this.copies.source.external?.api || DEFAULT_API;
    engine.effects.send(
      account.name,
      wireText(`${api}.${endpoint}`),
      reply,
      headers,
      textBytes(body),
      NO_TICKET,
    );
  }

  /** Asks for a consumer behind what is copied. */
  #ask(): void {
    const { engine, account } = this.#stream;
    const { source, isMirror } = this.copies;
    const answer = new CallbackSubscription(account.name, `$JSC.R.${randomId(8, engine.random)}`, (message) =>
      this.#answered(message),
    );
    const deliver = new CallbackSubscription(account.name, wireText(this.#deliverSubject()), (message) =>
      this.#received(message),
    );
    const attempt = { answer, deliver, consumer: '', consumerSeq: -1, streamSeq: 0, acksByFlow: false };
    this.#attempt = attempt;
    engine.effects.subscribe(answer);
    engine.effects.subscribe(deliver);
    this.#askedMs = engine.clock.ms;
    this.#dueMs = engine.clock.ms + ANSWER_TIMEOUT_MS;
    this.#stream.touch();
    const position = this.copies.knownPosition;
    if (source.consumer !== null) {
      const body = position > 0 ? new JsonObject().integer('seq', position + 1).end() : '';
      const headers = isMirror ? EMPTY_BYTES : this.#headers();
      this.#request(`CONSUMER.RESET.${source.name}.${source.consumer.name}`, answer.subject, headers, body);
      return;
    }
    const name = `${isMirror ? 'JS_MIRROR' : 'JS_SRC'}_${this.#nameHash()}`;
    const filters = this.copies.mappings.map(({ filter }) => filter);
    const suffix = filters.length === 1 ? `.${name}.${filters[0]}` : '';
    const body = this.#body(name, filters, deliver.subject, position);
    this.#request(`CONSUMER.CREATE.${source.name}${suffix}`, answer.subject, this.#headers(), body);
  }

  /** Stays the same over attempts, so that one on a work queue finds its consumer again. */
  #nameHash(): string {
    const { name, account } = this.#stream;
    return shortHash(`${account.name} ${name} ${sourceIndexName(this.copies.source)}`);
  }

  #deliverSubject(): string {
    const { source, isMirror } = this.copies;
    if (source.consumer !== null) return source.consumer.deliverSubject;
    const id = `${isMirror ? 'M' : 'S'}.${randomId(8, this.#stream.engine.random)}`;
    const prefix = source.external?.deliver || '$JS';
    return `${prefix}.${id}`;
  }

  #headers(): Uint8Array {
    if (this.#isOld) return EMPTY_BYTES;
    const { isMirror, identity } = this.copies;
    const headers = setHeader(EMPTY_BYTES, 'Nats-Required-Api-Level', isMirror ? '4' : '5');
    return isMirror ? headers : setHeader(headers, 'Nats-Stream-Identity', identity);
  }

  #body(name: string, filters: readonly string[], deliverSubject: string, position: number): string {
    const { source, isMirror } = this.copies;
    const config = new JsonObject().string('name', name);
    if (position > 0 || source.optStartSeq > 0) {
      config.string('deliver_policy', 'by_start_sequence');
      config.integer('opt_start_seq', position > 0 ? position + 1 : source.optStartSeq);
    } else if (source.optStartTime !== '') {
      config.string('deliver_policy', 'by_start_time').string('opt_start_time', source.optStartTime);
    } else config.string('deliver_policy', 'all');
    config.string('ack_policy', 'none').integer('ack_wait', 79_200_000_000_000).integer('max_deliver', 1);
    if (filters.length === 1) config.string('filter_subject', filters[0]!);
    else if (filters.length > 1) config.raw('filter_subjects', JSON.stringify(filters));
    config.string('replay_policy', 'instant').raw('flow_control', 'true');
    config.string('deliver_subject', deliverSubject).integer('idle_heartbeat', 1_000_000_000);
    config.integer('inactive_threshold', 10_000_000_000).integer('num_replicas', 0).raw('direct', 'true');
    if (!this.#isOld) config.raw('sourcing', 'true').raw('metadata', this.#metadataJson(isMirror));
    return new JsonObject()
      .string('stream_name', source.name)
      .raw('config', config.end())
      .string('action', '')
      .end();
  }

  #metadataJson(isMirror: boolean): string {
    const prefix = isMirror ? '_nats.mirror' : '_nats.src';
    const { account, name, engine } = this.#stream;
    const metadata = new JsonObject().string(`${prefix}.acc`, account.name);
    if (engine.options.domain !== '') metadata.string(`${prefix}.domain`, engine.options.domain);
    return metadata.string(`${prefix}.stream`, name).end();
  }

  // --- what comes --------------------------------------------------------------------------------------------------

  #answered(message: InboundMessage): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.consumer !== '') return;
    const answer = readAnswer(message.payload());
    const { error } = answer;
    if (error !== undefined || typeof answer.name !== 'string') {
      this.#refused(Number(error?.err_code ?? 0), Number(error?.code ?? 500), String(error?.description));
      return;
    }
    this.#failures = 0;
    this.#error = null;
    this.copies.identify(headerText(message.headers(), 'Nats-Stream-Identity') ?? '');
    attempt.consumer = answer.name;
    if (attempt.consumerSeq < 0) attempt.consumerSeq = Number(answer.delivered?.consumer_seq ?? 0);
    attempt.acksByFlow = answer.config?.ack_policy === 'flow_control';
    this.#lag = Number(answer.num_pending ?? 0);
    this.#heard();
    this.#stream.touch();
  }

  #refused(code: number, status: number, description: string): void {
    if (TOO_OLD.has(code) && !this.#isOld) {
      this.#isOld = true;
      this.#fail(0);
      return;
    }
    if (code === OTHER_IDENTITY) {
      // The origin was deleted and made again.
      this.copies.identify('');
      this.#fail(0);
      return;
    }
    this.#error = new ApiError(status, code as ErrorCode, description);
    this.#fail(Math.min(MOST_BACKOFF_MS, LEAST_BACKOFF_MS * 2 ** this.#failures));
    this.#failures++;
  }

  #received(message: InboundMessage): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    const { payloadStart, payloadEnd } = message;
    if (payloadEnd === payloadStart && isControl(message.headers())) this.#control(attempt, message);
    else this.#take(attempt, message);
  }

  /** A heartbeat or a request of flow control; what a consumer made beforehand says before it was reset is not for us. */
  #control(attempt: Attempt, message: InboundMessage): void {
    if (attempt.consumer === '') return;
    const block = message.headers();
    this.#heard();
    const known = headerText(block, 'Nats-Last-Consumer');
    if (known !== null && Number(known) > attempt.consumerSeq) {
      this.#fail(0);
      return;
    }
    const stalled = headerText(block, 'Nats-Consumer-Stalled');
    const reply = message.reply !== '' ? message.reply : (stalled ?? '');
    if (reply === '') return;
    const { engine, account } = this.#stream;
    let headers = EMPTY_BYTES;
    if (attempt.acksByFlow) {
      headers = setHeader(headers, 'Nats-Last-Consumer', String(attempt.consumerSeq));
      headers = setHeader(headers, 'Nats-Last-Stream', String(attempt.streamSeq));
    }
    engine.effects.send(account.name, reply, '', headers, EMPTY_BYTES, engine.store.ticket);
  }

  #take(attempt: Attempt, message: InboundMessage): void {
    const position = deliveredAt(message.reply);
    if (position === null) return;
    // Messages may be here before the answer that says where they begin.
    if (attempt.consumerSeq < 0) {
      if (this.copies.source.consumer !== null) return;
      attempt.consumerSeq = 0;
    }
    this.#heard();
    const { consumerSeq, streamSeq, timeMs, timeNanos, pending } = position;
    if (consumerSeq !== attempt.consumerSeq + 1) {
      this.#fail(0);
      return;
    }
    const copied = this.#message;
    setParts(copied, message);
    copied.sequence = streamSeq;
    copied.timestampMs = timeMs;
    copied.timestampNanos = timeNanos;
    if (streamSeq > this.copies.knownPosition && !this.copies.copy(copied)) {
      this.#fail(AGAIN_MS);
      return;
    }
    attempt.consumerSeq = consumerSeq;
    attempt.streamSeq = streamSeq;
    this.#lag = pending;
  }

  #heard(): void {
    this.#lastContactMs = this.#stream.engine.clock.ms;
    this.#dueMs = this.#lastContactMs + STALLED_MS;
  }

  // --- ends --------------------------------------------------------------------------------------------------------

  /** Ends the attempt. @param waitMs until the next one */
  #fail(waitMs: number): void {
    this.detach();
    this.#dueMs = Math.max(this.#stream.engine.clock.ms + waitMs, this.#askedMs + AGAIN_MS);
    this.#stream.touch();
  }

  #end(): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#attempt = null;
    this.#stream.engine.effects.unsubscribe(attempt.answer);
    this.#stream.engine.effects.unsubscribe(attempt.deliver);
  }
}

/** Whether a header block is that of a heartbeat or of flow control. */
function isControl(block: Uint8Array): boolean {
  return latin1(block, 0, Math.min(block.length, CONTROL_STATUS.length)) === CONTROL_STATUS;
}

/** Makes a stored message of one that a consumer sent: what counts is the subject that subscribers see. */
function setParts(copied: StoredMessage, message: InboundMessage): void {
  const { bytes, subjectStart, subjectEnd } = message;
  const subject = message.shown ?? bytes.subarray(subjectStart, subjectEnd);
  const headers = message.headers();
  copied.bytes = Buffer.concat([subject, headers, message.payload()]);
  copied.subjectStart = 0;
  copied.subjectEnd = subject.length;
  copied.headerStart = subject.length;
  copied.headerEnd = subject.length + headers.length;
  copied.payloadStart = copied.headerEnd;
  copied.payloadEnd = copied.bytes.length;
}

function readAnswer(payload: Uint8Array): ConsumerAnswer {
  const failed = { error: { description: 'the origin gave no answer that can be read' } };
  try {
    const answer: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    return typeof answer === 'object' && answer !== null ? answer : failed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return failed;
  }
}

interface Position {
  streamSeq: number;
  consumerSeq: number;
  timeMs: number;
  timeNanos: number;
  pending: number;
}

/** What the subject that would acknowledge a message says of it (jetstream-api §6), in both its forms; null: it is none. */
function deliveredAt(reply: string): Position | null {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return null;
  if (tokens.length !== 9 && tokens.length < 11) return null;
  const [, streamSeq, consumerSeq, time, pending] = tokens.slice(tokens.length === 9 ? 4 : 6) as string[];
  const numbers = [streamSeq, consumerSeq, time, pending];
  if (!numbers.every((number) => number !== undefined && /^\d{1,19}$/.test(number))) return null;
  const timeMs = Number(time!.slice(0, -MILLI_DIGITS));
  const timeNanos = Number(time!.slice(-MILLI_DIGITS));
  const position = {
    streamSeq: Number(streamSeq),
    consumerSeq: Number(consumerSeq),
    timeMs,
    timeNanos,
    pending: Number(pending),
  };
  return Number.isSafeInteger(position.streamSeq) && position.streamSeq > 0 ? position : null;
}
