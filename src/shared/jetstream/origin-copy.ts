/**
 * Copying into a stream what comes from an origin: what a copy looks like, and how far copying has come (jetstream-streams
 * §8.1). Where the messages come from is another matter: `mirrors-sources.ts` of this server, `remote-origin.ts` of anywhere.
 *
 * A mirror's position is its own last sequence. A source's is logged with the message it belongs to, in one change of
 * the store, so after a crash a message is neither missing nor there twice.
 */

import { removeHeader, setHeader } from '../protocol/nats/headers.ts';
import { isSubsetMatch } from '../subject/subject.ts';
import { compileTransform, type Transform, TransformError } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import { counterSourcesText, counterValue, parseCounterSources, parseIncrement } from './counter.ts';
import type { ApiError } from './errors.ts';
import { JsonObject } from './json-object.ts';
import { shortHash } from './names.ts';
import { errorJson } from './pub-ack.ts';
import { Publication } from './publication.ts';
import { publishOne } from './publish.ts';
import { sourceIndexName, sourceMappingTokens, sourceToken } from './source-check.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { addExternal, addSourceFilters, type StreamSource } from './stream-config.ts';
import { formatTime } from './time.ts';

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

/** The copies of one mirror or source, and how far they have come. */
export class OriginCopy {
  readonly source: StreamSource;
  readonly isMirror: boolean;
  readonly mappings: readonly Mapping[];
  /** Sequence of the origin up to which everything is copied; -1: not known yet. */
  position = -1;
  /** Which origin the position belongs to. */
  identity = '';
  readonly #stream: Stream;

  constructor(stream: Stream, source: StreamSource, isMirror: boolean) {
    this.#stream = stream;
    this.source = source;
    this.isMirror = isMirror;
    this.mappings = mappingsOf(source);
  }

  get logKey(): string {
    return LOG_KEY_PREFIX + sourceIndexName(this.source);
  }

  /** The position as it is logged; null when nothing was copied. */
  snapshot(): Uint8Array | null {
    return this.position < 0 ? null : Buffer.from(`${this.position} ${this.identity}`, 'latin1');
  }

  recover(): void {
    if (this.isMirror) return;
    const log = this.#stream.store.takeConsumerLog(this.logKey);
    const record = log?.records[log.records.length - 1] ?? log?.snapshot ?? null;
    if (record === null) return;
    const [position, identity = ''] = Buffer.from(record).toString('latin1').split(' ');
    this.position = Number(position);
    this.identity = identity;
  }

  /** Sequence of the origin that is known to be copied, with all before it; -1: not known. */
  get knownPosition(): number {
    return this.isMirror && this.#stream.store.lastSeq > 0 ? this.#stream.store.lastSeq : this.position;
  }

  /** Takes the origin for what it is now: one that was made anew is copied from its start. */
  identify(identity: string): void {
    if (this.identity !== identity) this.position = -1;
    this.identity = identity;
  }

  /** Copies a message of the origin. @returns false when there is no room for it now */
  copy(message: StoredMessage): boolean {
    const stream = this.#stream;
    const { store } = stream.engine;
    const { sequence } = message;
    const copy = this.isMirror ? this.#mirrored(message) : this.#sourced(message);
    if (copy === null) return false;
    if (this.isMirror && sequence <= stream.store.lastSeq) {
      this.position = sequence;
      return true;
    }
    store.beginGroup();
    const { error, sequence: stored } = publishOne(stream, copy);
    const failed = error === null ? stored === 0 : PASSING_ERRORS.has(error.errCode);
    if (!failed) {
      this.position = sequence;
      if (!this.isMirror) stream.store.logConsumer(this.logKey, this.snapshot()!);
    }
    store.endGroup();
    return !failed;
  }

  #targetSubject(subject: string): string {
    const mapping = this.mappings.find(({ filter }) => isSubsetMatch(subject, filter));
    return mapping?.transform?.apply(subject, this.#stream.engine.random) ?? subject;
  }

  #mirrored(message: StoredMessage): Publication {
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
  #sourced(message: StoredMessage): Publication | null {
    const { filters, destinations } = sourceMappingTokens(this.source);
    const subject = message.subject();
    const target = this.#targetSubject(subject);
    const from = `${sourceToken(this.source)} ${message.sequence} ${filters} ${destinations}`;
    let headers = withoutExpectations(message.headers());
    headers = setHeader(headers, 'Nats-Stream-Source', `${wireText(from)} ${subject} ${this.identity}`);
    const copy = new Publication().compose(target, headers, message.payload());
    copy.sourced = true;
    if (this.#stream.config.allowMsgCounter && !this.#countSourced(copy, subject)) return null;
    return copy;
  }

  /** Makes a counter message of an origin one of ours: its increment is what the origin's total has grown by (§5.3). @returns false when ours can't be read */
  #countSourced(copy: Publication, subject: string): boolean {
    const total = counterValue(copy.payload());
    if (total === null || parseIncrement(copy.headers['Nats-Incr'] ?? '') === null) return true;
    const last = new StoredMessage();
    const known = this.#stream.store.loadLast(copy.subject, last) ? last.headers() : new Uint8Array(0);
    if (this.#stream.store.unreadableSeq > 0) return false;
    const lastHeaders = new Publication().compose(copy.subject, known, new Uint8Array(0)).headers;
    const sources = parseCounterSources(lastHeaders['Nats-Counter-Sources']);
    const totals = sources.get(this.source.name) ?? new Map<string, string>();
    const before = parseIncrement(totals.get(subject) ?? '0') ?? 0n;
    totals.set(subject, String(total));
    sources.set(this.source.name, totals);
    let headers = setHeader(copy.headerBlock(), 'Nats-Incr', String(total - before));
    headers = setHeader(headers, 'Nats-Counter-Sources', counterSourcesText(sources));
    copy.compose(copy.subject, headers, new Uint8Array(0));
    copy.sourced = true;
    return true;
  }

  /**
   * As it stands in the stream's info: `StreamSourceInfo`.
   *
   * @param lastContactMs -1: the origin was not reached yet, and nothing is known of it
   */
  infoJson(lag: number, lastContactMs: number, error: ApiError | null): string {
    const json = new JsonObject().string('name', this.source.name);
    addExternal(json, this.source);
    const reached = lastContactMs >= 0;
    json.integer('lag', reached ? lag : 0);
    if (!this.isMirror && reached && this.position > 0) json.integer('seq', this.position);
    const sinceMs = this.#stream.engine.clock.ms - lastContactMs;
    json.integer('active', reached ? BigInt(sinceMs) * 1_000_000n : -1);
    if (error !== null) json.raw('error', errorJson(error));
    // A mirror's filter is shown once the origin was reached, as nats-server does.
    if (!this.isMirror || reached || this.source.filterSubject === '') addSourceFilters(json, this.source);
    return json.end();
  }
}
