/**
 * Mirrors and sources (jetstream-streams §8). An origin of the same account on this server is read where it is:
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
 * On an origin of interest or work-queue retention the link counts as a reader, and lets go of a message when its copy is
 * stored; both are changes of one log, the copy the earlier, so the copy is on disk when the removal is.
 *
 * An origin named through the domain of this very server is one of these. Others are reached through their API, as is any
 * through a consumer made beforehand: `remote-origin.ts`.
 */

import { subjectMatches } from '../subject/subject.ts';
import { type ApiError, apiError } from './errors.ts';
import { type JsonObject, jsonArray } from './json-object.ts';
import { OriginCopy, streamIdentity } from './origin-copy.ts';
import { RemoteOrigin } from './remote-origin.ts';
import { releaseMessage } from './retention.ts';
import { StoredMessage, type SubjectFilter } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { type StreamSource, streamSourceJson } from './stream-config.ts';
import type { StreamReader } from './stream-consumers.ts';
import { parseTime, splitTime, TimeError } from './time.ts';

/** Messages copied in one go. */
const PORTION_MSGS = 256;
/** How long a link waits when its stream has no room. */
const RETRY_MS = 1000;

/** One mirror or source of a stream. */
export interface OriginLink {
  readonly copies: OriginCopy;
  /** Why nothing can be copied; null when it can, as far as is known. */
  problem(): ApiError | null;
  /** Messages of the origin that are still to be copied. */
  lag(): number;
  /** Unix milliseconds; Infinity: when something happens. */
  nextDueMs(): number;
  /** Copies what there is to copy, or a portion. */
  pump(): void;
  /** Stops. */
  detach(): void;
  infoJson(): string;
}

/** An origin of the same account, read directly. */
class LocalOrigin implements StreamReader, OriginLink {
  readonly copies: OriginCopy;
  readonly #stream: Stream;
  readonly #message = new StoredMessage();
  #origin: Stream | null = null;
  #filter: SubjectFilter | null = null;
  #retryAtMs = 0;
  #lastContactMs = -1;
  /** Why the last attempt to copy failed. */
  #error: ApiError | null = null;

  constructor(stream: Stream, copies: OriginCopy) {
    this.#stream = stream;
    this.copies = copies;
  }

  problem(): ApiError | null {
    return this.#resolve() === null ? apiError(10059) : null;
  }

  /** The origin, newly looked up when it was deleted or made. */
  #resolve(): Stream | null {
    const { copies } = this;
    const found = this.#stream.account.streams.get(copies.source.name) ?? null;
    if (found === this.#origin) return found;
    this.detach();
    this.#origin = found;
    if (found === null) return null;
    found.readers.add(this);
    const filters = copies.mappings.map(({ filter }) => filter);
    this.#filter = filters.length === 0 ? null : found.store.filter(filters);
    copies.identify(streamIdentity(found));
    copies.position = this.#startPosition(found);
    return found;
  }

  detach(): void {
    this.#origin?.readers.delete(this);
    this.#origin = null;
  }

  /** Where copying begins or goes on. */
  #startPosition(origin: Stream): number {
    const known = this.copies.knownPosition;
    if (known >= 0) return known;
    const { optStartSeq, optStartTime } = this.copies.source;
    if (optStartSeq > 0) return optStartSeq - 1;
    const time = optStartTime === '' ? null : parseTime(optStartTime);
    if (time === null || time instanceof TimeError) return Math.max(0, origin.store.firstSeq - 1);
    const { ms, nanos } = splitTime(time);
    return origin.store.firstSeqFromTime(ms, nanos) - 1;
  }

  hasInterest(subject: string): boolean {
    const { mappings } = this.copies;
    return mappings.length === 0 || mappings.some(({ filter }) => subjectMatches(subject, filter));
  }

  needs(sequence: number, subject: string): boolean {
    return sequence > this.copies.position && this.hasInterest(subject);
  }

  stored(): void {
    this.#stream.engine.wake(this.#stream);
  }

  removed(): void {}

  purged(): void {}

  lag(): number {
    const origin = this.#resolve();
    return origin === null ? 0 : origin.store.numPending(this.#filter, this.copies.position + 1, false);
  }

  nextDueMs(): number {
    if (this.#resolve() === null) return Infinity;
    const next = this.#origin!.store.nextSeq(this.#filter, this.copies.position + 1);
    return next > 0 ? this.#retryAtMs : Infinity;
  }

  pump(): void {
    const { engine } = this.#stream;
    const { copies } = this;
    const origin = this.#resolve();
    this.#error = this.problem();
    if (origin === null || engine.clock.ms < this.#retryAtMs) return;
    this.#lastContactMs = engine.clock.ms;
    for (let copied = 0; copied < PORTION_MSGS; copied++) {
      if (!origin.store.next(this.#filter, copies.position + 1, this.#message)) {
        if (origin.store.unreadableSeq > 0) this.#retryAtMs = engine.clock.ms + RETRY_MS;
        return;
      }
      const { sequence } = this.#message;
      if (!copies.copy(this.#message)) {
        this.#retryAtMs = engine.clock.ms + RETRY_MS;
        return;
      }
      releaseMessage(origin, sequence);
    }
    engine.wake(this.#stream);
  }

  infoJson(): string {
    return this.copies.infoJson(this.lag(), this.#lastContactMs, this.#error);
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
    return this.#links.find((link) => link.copies.logKey === key)?.copies.snapshot() ?? null;
  }

  open(): void {
    this.update();
    for (const link of this.#links) link.copies.recover();
  }

  /** Makes the links those of the configuration; ones that stay go on where they are. */
  update(): void {
    const { mirror, sources } = this.#stream.config;
    const wanted = mirror === null ? sources : [mirror];
    const old = new Map(this.#links.map((link) => [streamSourceJson(link.copies.source), link]));
    this.#links = wanted.map((source) => {
      const key = streamSourceJson(source);
      const kept = old.get(key);
      old.delete(key);
      return kept ?? this.#link(source, mirror !== null);
    });
    for (const link of old.values()) link.detach();
    if (this.#links.length > 0) this.#stream.engine.wake(this.#stream);
  }

  #link(source: StreamSource, isMirror: boolean): OriginLink {
    const copies = new OriginCopy(this.#stream, source, isMirror);
    const { domain } = this.#stream.engine.options;
    const { external, consumer } = source;
    // The prefix of our own domain leads back here (jetstream-api §7).
    const isHere = external === null || (domain !== '' && external.api === `$JS.${domain}.API`);
    if (isHere && consumer === null) return new LocalOrigin(this.#stream, copies);
    return new RemoteOrigin(this.#stream, copies);
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
