/**
 * Mirrors and sources whose origin is a stream of the same account on this server (jetstream-streams §8.1).
 *
 * nats-server copies through a consumer of the origin, over the network even from itself. Here both streams are in one
 * engine, so a link reads the origin's store directly, a portion at each tick, from the position it has reached:
 *
 * ```
 *   origin   1 2 3 4 5 6 7 8      mirror: sequences and times of the origin, gaps included
 *                  ▲              source: new sequences, `Nats-Stream-Source: O 4 > > o.a <identity>`
 *               position
 * ```
 *
 * A mirror's position is its own last sequence. A source's is logged with the message it belongs to, in one change of
 * the store, so after a crash a message is neither missing nor there twice. On an origin of interest or work-queue
 * retention the link counts as a reader, and lets go of a message when its copy is stored; both are changes of one log,
 * the copy the earlier, so the copy is on disk when the removal is.
 *
 * An origin named through the domain of this very server is one of these. Origins in other domains or accounts need the
 * consumer protocol of §8.2; such links say so in their info.
 */

import { removeHeader, setHeader } from '../protocol/nats/headers.ts';
import { isSubsetMatch, subjectMatches } from '../subject/subject.ts';
import { compileTransform, type Transform, TransformError } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import { counterSourcesText, counterValue, parseCounterSources, parseIncrement } from './counter.ts';
import { type ApiError, apiError, apiErrorText } from './errors.ts';
import { JsonObject, jsonArray } from './json-object.ts';
import { shortHash } from './names.ts';
import { errorJson } from './pub-ack.ts';
import { Publication } from './publication.ts';
import { publishOne } from './publish.ts';
import { releaseMessage } from './retention.ts';
import { sourceIndexName, sourceMappingTokens, sourceToken } from './source-check.ts';
import { StoredMessage, type SubjectFilter } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { addExternal, addSourceFilters, type StreamSource, streamSourceJson } from './stream-config.ts';
import type { StreamReader } from './stream-consumers.ts';
import { formatTime, parseTime, splitTime, TimeError } from './time.ts';

/** Messages copied in one go. */
const PORTION_MSGS = 256;
/** How long a link waits when its stream has no room. */
const RETRY_MS = 1000;
const LOG_KEY_PREFIX = '$source ';
/** The refusals that may pass: no room, as against a message that will never do. */
const PASSING_ERRORS: ReadonlySet<number> = new Set([10002, 10023, 10077]);

/** A filter and what becomes of the subjects it lets through. */
interface Mapping {
  readonly filter: string;
  readonly transform: Transform | null;
}

function mappingsOf(source: StreamSource): Mapping[] {
  if (source.subjectTransforms.length === 0)
    return source.filterSubject === '' ? [] : [{ filter: wireText(source.filterSubject), transform: null }];
  return source.subjectTransforms.map(({ src, dest }) => {
    const transform = dest === '' ? null : compileTransform(wireText(src), wireText(dest));
    return {
      filter: wireText(src || '>'),
      transform: transform instanceof TransformError ? null : transform,
    };
  });
}

/** The identity of a stream: changes when it is deleted and made again. */
export function streamIdentity(stream: Stream): string {
  return shortHash(formatTime(stream.createdNs));
}

const EXPECTATIONS = [
  'Nats-Expected-Stream',
  'Nats-Expected-Last-Sequence',
  'Nats-Expected-Last-Subject-Sequence',
  'Nats-Expected-Last-Subject-Sequence-Subject',
  'Nats-Expected-Last-Msg-Id',
  'Nats-Batch-Id',
  'Nats-Batch-Sequence',
  'Nats-Batch-Commit',
];

/** The origin's headers without what was said to the origin alone. */
function withoutExpectations(block: Uint8Array): Uint8Array {
  let headers = block;
  for (const name of EXPECTATIONS) if (headers.length > 0) headers = removeHeader(headers, name);
  return headers;
}

/** One mirror or source of a stream. */
class OriginLink implements StreamReader {
  readonly source: StreamSource;
  readonly #stream: Stream;
  readonly #isMirror: boolean;
  readonly #mappings: readonly Mapping[];
  readonly #message = new StoredMessage();
  #origin: Stream | null = null;
  #filter: SubjectFilter | null = null;
  /** Sequence of the origin up to which everything is copied; -1: not known yet. */
  #position = -1;
  /** Which origin the position belongs to. */
  #identity = '';
  #retryAtMs = 0;
  #lastContactMs = -1;
  /** Why the last attempt to copy failed. */
  #error: ApiError | null = null;

  constructor(stream: Stream, source: StreamSource, isMirror: boolean) {
    this.#stream = stream;
    this.source = source;
    this.#isMirror = isMirror;
    this.#mappings = mappingsOf(source);
  }

  get logKey(): string {
    return LOG_KEY_PREFIX + sourceIndexName(this.source);
  }

  /** The position as it is logged; null when nothing was copied. */
  snapshot(): Uint8Array | null {
    return this.#position < 0 ? null : Buffer.from(`${this.#position} ${this.#identity}`, 'latin1');
  }

  recover(): void {
    if (this.#isMirror) return;
    const log = this.#stream.store.takeConsumerLog(this.logKey);
    const record = log?.records[log.records.length - 1] ?? log?.snapshot ?? null;
    if (record === null) return;
    const [position, identity = ''] = Buffer.from(record).toString('latin1').split(' ');
    this.#position = Number(position);
    this.#identity = identity;
  }

  /** Whether the origin is of another domain or account; the prefix of our own domain leads back here (jetstream-api §7). */
  get #isElsewhere(): boolean {
    const { external } = this.source;
    const { domain } = this.#stream.engine.options;
    return external !== null && (domain === '' || external.api !== `$JS.${domain}.API`);
  }

  /** Why nothing can be copied; null when it can. */
  problem(): ApiError | null {
    if (this.#isElsewhere) return apiErrorText(10029, 'external streams are not supported by this server');
    if (this.source.consumer !== null)
      return apiErrorText(10029, 'consumers made beforehand are not supported by this server');
    return this.#resolve() === null ? apiError(10059) : null;
  }

  /** The origin, newly looked up when it was deleted or made. */
  #resolve(): Stream | null {
    if (this.#isElsewhere || this.source.consumer !== null) return null;
    const found = this.#stream.account.streams.get(this.source.name) ?? null;
    if (found === this.#origin) return found;
    this.detach();
    this.#origin = found;
    if (found === null) return null;
    found.readers.add(this);
    this.#filter =
      this.#mappings.length === 0 ? null : found.store.filter(this.#mappings.map(({ filter }) => filter));
    const identity = streamIdentity(found);
    if (this.#identity !== identity) this.#position = -1;
    this.#identity = identity;
    this.#position = this.#startPosition(found);
    return found;
  }

  /** Stops reading. */
  detach(): void {
    this.#origin?.readers.delete(this);
    this.#origin = null;
  }

  /** Where copying begins or goes on. */
  #startPosition(origin: Stream): number {
    const known =
      this.#isMirror && this.#stream.store.lastSeq > 0 ? this.#stream.store.lastSeq : this.#position;
    if (known >= 0) return known;
    const { optStartSeq, optStartTime } = this.source;
    if (optStartSeq > 0) return optStartSeq - 1;
    const time = optStartTime === '' ? null : parseTime(optStartTime);
    if (time === null || time instanceof TimeError) return Math.max(0, origin.store.firstSeq - 1);
    const { ms, nanos } = splitTime(time);
    return origin.store.firstSeqFromTime(ms, nanos) - 1;
  }

  hasInterest(subject: string): boolean {
    return (
      this.#mappings.length === 0 || this.#mappings.some(({ filter }) => subjectMatches(subject, filter))
    );
  }

  needs(sequence: number, subject: string): boolean {
    return sequence > this.#position && this.hasInterest(subject);
  }

  stored(): void {
    this.#stream.engine.wake(this.#stream);
  }

  removed(): void {}

  purged(): void {}

  /** Messages of the origin that are still to be copied. */
  lag(): number {
    const origin = this.#resolve();
    return origin === null ? 0 : origin.store.numPending(this.#filter, this.#position + 1, false);
  }

  nextDueMs(): number {
    if (this.#resolve() === null) return Infinity;
    return this.#origin!.store.nextSeq(this.#filter, this.#position + 1) > 0 ? this.#retryAtMs : Infinity;
  }

  /** Copies a portion. */
  pump(): void {
    const { engine } = this.#stream;
    const origin = this.#resolve();
    this.#error = this.problem();
    if (origin === null || engine.clock.ms < this.#retryAtMs) return;
    this.#lastContactMs = engine.clock.ms;
    for (let copied = 0; copied < PORTION_MSGS; copied++) {
      if (!origin.store.next(this.#filter, this.#position + 1, this.#message)) {
        if (origin.store.unreadableSeq > 0) this.#retryAtMs = engine.clock.ms + RETRY_MS;
        return;
      }
      const { sequence } = this.#message;
      if (!this.#copy(origin)) {
        this.#retryAtMs = engine.clock.ms + RETRY_MS;
        return;
      }
      releaseMessage(origin, sequence);
    }
    engine.wake(this.#stream);
  }

  /** Copies the message in `#message`. @returns false when there is no room for it now */
  #copy(origin: Stream): boolean {
    const stream = this.#stream;
    const { store } = stream.engine;
    const { sequence } = this.#message;
    const copy = this.#isMirror ? this.#mirrored() : this.#sourced(origin);
    if (copy === null) return false;
    if (this.#isMirror && sequence <= stream.store.lastSeq) {
      this.#position = sequence;
      return true;
    }
    store.beginGroup();
    const { error, sequence: stored } = publishOne(stream, copy);
    const failed = error === null ? stored === 0 : PASSING_ERRORS.has(error.errCode);
    if (!failed) {
      this.#position = sequence;
      if (!this.#isMirror) stream.store.logConsumer(this.logKey, this.snapshot()!);
    }
    store.endGroup();
    return !failed;
  }

  #targetSubject(subject: string): string {
    const mapping = this.#mappings.find(({ filter }) => isSubsetMatch(subject, filter));
    return mapping?.transform?.apply(subject, this.#stream.engine.random) ?? subject;
  }

  #mirrored(): Publication {
    const message = this.#message;
    const copy = new Publication().compose(
      this.#targetSubject(message.subject()),
      withoutExpectations(message.headers()),
      message.payload(),
    );
    copy.sourced = true;
    copy.sequence = message.sequence;
    copy.timestampMs = message.timestampMs;
    copy.timestampNanos = message.timestampNanos;
    return copy;
  }

  /** Null: the counter to add to can't be read now. */
  #sourced(origin: Stream): Publication | null {
    const message = this.#message;
    const { filters, destinations } = sourceMappingTokens(this.source);
    const subject = message.subject();
    const target = this.#targetSubject(subject);
    const from = `${sourceToken(this.source)} ${message.sequence} ${filters} ${destinations}`;
    let headers = withoutExpectations(message.headers());
    headers = setHeader(
      headers,
      'Nats-Stream-Source',
      `${wireText(from)} ${subject} ${streamIdentity(origin)}`,
    );
    const copy = new Publication().compose(target, headers, message.payload());
    copy.sourced = true;
    if (this.#stream.config.allowMsgCounter && !this.#countSourced(copy, subject, origin)) return null;
    return copy;
  }

  /** Makes a counter message of an origin one of ours: its increment is what the origin's total has grown by (§5.3). @returns false when ours can't be read */
  #countSourced(copy: Publication, subject: string, origin: Stream): boolean {
    const total = counterValue(copy.payload());
    if (total === null || parseIncrement(copy.headers['Nats-Incr'] ?? '') === null) return true;
    const last = new StoredMessage();
    const known = this.#stream.store.loadLast(copy.subject, last) ? last.headers() : new Uint8Array(0);
    if (this.#stream.store.unreadableSeq > 0) return false;
    const lastHeaders = new Publication().compose(copy.subject, known, new Uint8Array(0)).headers;
    const sources = parseCounterSources(lastHeaders['Nats-Counter-Sources']);
    const totals = sources.get(origin.name) ?? new Map<string, string>();
    const before = parseIncrement(totals.get(subject) ?? '0') ?? 0n;
    totals.set(subject, String(total));
    sources.set(origin.name, totals);
    let headers = setHeader(copy.headerBlock(), 'Nats-Incr', String(total - before));
    headers = setHeader(headers, 'Nats-Counter-Sources', counterSourcesText(sources));
    copy.compose(copy.subject, headers, new Uint8Array(0));
    copy.sourced = true;
    return true;
  }

  /** As it stands in the stream's info: `StreamSourceInfo`. */
  infoJson(): string {
    const json = new JsonObject().string('name', this.source.name);
    addExternal(json, this.source);
    // Before the origin was reached nothing is known of it, as in nats-server.
    const reached = this.#lastContactMs >= 0;
    json.integer('lag', reached ? this.lag() : 0);
    if (!this.#isMirror && reached && this.#position > 0) json.integer('seq', this.#position);
    const sinceMs = this.#stream.engine.clock.ms - this.#lastContactMs;
    json.integer('active', this.#lastContactMs < 0 ? -1 : BigInt(sinceMs) * 1_000_000n);
    if (this.#error !== null) json.raw('error', errorJson(this.#error));
    // A mirror's filter is shown once the origin was reached, as nats-server does.
    if (!this.#isMirror || this.#lastContactMs >= 0 || this.source.filterSubject === '')
      addSourceFilters(json, this.source);
    return json.end();
  }
}

/** Where a stream copies from. */
export class StreamOrigins {
  readonly #stream: Stream;
  #links: OriginLink[] = [];

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** State of the links for the store's checkpoints; null for a key that isn't theirs. */
  snapshot(key: string): Uint8Array | null {
    return this.#links.find((link) => link.logKey === key)?.snapshot() ?? null;
  }

  open(): void {
    this.update();
    for (const link of this.#links) link.recover();
  }

  /** Makes the links those of the configuration; ones that stay go on where they are. */
  update(): void {
    const { mirror, sources } = this.#stream.config;
    const wanted = mirror === null ? sources : [mirror];
    const old = new Map(this.#links.map((link) => [streamSourceJson(link.source), link]));
    this.#links = wanted.map((source) => {
      const key = streamSourceJson(source);
      const kept = old.get(key);
      old.delete(key);
      return kept ?? new OriginLink(this.#stream, source, mirror !== null);
    });
    for (const link of old.values()) link.detach();
    if (this.#links.length > 0) this.#stream.engine.wake(this.#stream);
  }

  close(): void {
    for (const link of this.#links) link.detach();
    this.#links = [];
  }

  /** Messages still to come, of all links. */
  lag(): number {
    return this.#links.reduce((sum, link) => sum + (link.problem() === null ? link.lag() : Infinity), 0);
  }

  nextDueMs(): number {
    return this.#links.reduce((least, link) => Math.min(least, link.nextDueMs()), Infinity);
  }

  tick(): void {
    if (this.#links.length === 0) return;
    for (const link of this.#links) link.pump();
    if (this.#stream.config.mirrorDirect) this.#stream.direct.open();
  }

  /** Adds `mirror` or `sources` to a stream's info. */
  addInfo(json: JsonObject): void {
    const [first] = this.#links;
    if (first === undefined) return;
    if (this.#stream.config.mirror !== null) json.raw('mirror', first.infoJson());
    else json.raw('sources', jsonArray(this.#links.map((link) => link.infoJson())));
  }
}
