/**
 * A stream: its configuration, its messages in the store, and what is kept in memory beside them.
 *
 * This file holds what everything about a stream shares: state, subscriptions, removal of messages, limits and expiry
 * (jetstream-streams §4). How messages come in is in `publish.ts`, what is asked about them in `stream-api.ts` and
 * `direct-get.ts`.
 *
 * Invariant: whatever changes the store ends with `settle`, which carries the change of size into the account's usage.
 */
import { assert } from '../base/assert.ts';
import { headerText } from '../protocol/nats/headers.ts';
import { hasWildcard, subjectMatches } from '../subject/subject.ts';
import { compileTransform, sourceMatches, type Transform, TransformError } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { AtomicBatches } from './atomic-batch.ts';
import { StreamConsumers } from './consumers/runtime/stream-consumers.ts';
import { DedupeWindow } from './dedupe.ts';
import { DirectGet } from './direct-get.ts';
import type { DueItem } from './due-queue.ts';
import { type EngineSubscription, type InboundMessage, NO_TICKET, textBytes } from './effects.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import { FastBatches } from './fast-batch.ts';
import type { JetStream } from './jetstream.ts';
import { jsonString } from './json-object.ts';
import { StreamOrigins } from './mirrors-sources.ts';
import { finishLast, receive, storeMarker } from './publish.ts';
import { PublishView } from './publish-view.ts';
import { enforceLimits, releaseUnneeded } from './retention.ts';
import { Schedules } from './schedules.ts';
import { type PurgeRequest, StoredMessage, type StreamStore, TTL_NEVER } from './store/contract.ts';
import type { StreamConfig, SubjectTransform } from './stream-config.ts';
import { type RemovalReason, StreamReaders } from './stream-consumers.ts';
import { durationMs, NANOS_PER_SECOND } from './time.ts';

/** A transform of a checked configuration; null when it changes nothing. */
function transformOf(mapping: SubjectTransform | null): Transform | null {
  if (mapping === null || mapping.dest === '') return null;
  const transform = compileTransform(wireText(mapping.src), wireText(mapping.dest));
  assert(!(transform instanceof TransformError), 'a checked transform compiles');
  return transform;
}

/** How long a message that the disk doesn't give out is waited for until it is tried again. */
const DISK_RETRY_MS = 1000;
const MSG_ID_HEADER = 'Nats-Msg-Id';

/** The stream's ear on one of its subjects. */
class StreamSubscription implements EngineSubscription {
  readonly account: string;
  readonly subject: string;
  readonly queue = null;
  readonly #stream: Stream;

  constructor(stream: Stream, subject: string) {
    this.account = stream.account.name;
    this.subject = subject;
    this.#stream = stream;
  }

  receive(message: InboundMessage): void {
    receive(this.#stream, message);
  }
}

export class Stream implements DueItem {
  readonly account: AccountJetStream;
  readonly store: StreamStore;
  readonly createdNs: bigint;
  readonly readers = new StreamReaders();
  readonly dedupe: DedupeWindow;
  readonly atomicBatches: AtomicBatches;
  readonly fastBatches: FastBatches;
  readonly schedules: Schedules;
  readonly origins: StreamOrigins;
  readonly direct: DirectGet;
  /** The stream as it is, for the checks of a message by itself. */
  readonly view: PublishView;
  readonly consumers: StreamConsumers;
  /** Id of the last stored message, empty when it had none. */
  lastMsgId = '';
  /** `{"stream":"S",` and perhaps the domain: what every acknowledgement begins with. */
  readonly ackPrefix: string;
  /** UTF-8. */
  readonly ackPrefixBytes: Uint8Array;
  subjectTransform: Transform | null = null;
  republish: Transform | null = null;
  #config: StreamConfig;
  #subscriptions: StreamSubscription[] = [];
  readonly #ttls = new ExpiryQueue();
  /** Everything below needs no look when `max_age` is enforced. */
  #ageSeq = 0;
  #countedBytes = 0;
  readonly #loaded = new StoredMessage();
  #closed = false;
  dueMs = 0;
  dueIndex = -1;
  /** Known to the engine as one whose next time may be another. */
  #touched = false;

  constructor(account: AccountJetStream, config: StreamConfig, createdNs: bigint, store: StreamStore) {
    this.account = account;
    this.#config = config;
    this.createdNs = createdNs;
    this.store = store;
    this.ackPrefix = `{"stream":${jsonString(config.name)},${account.engine.domainMember}`;
    this.ackPrefixBytes = textBytes(this.ackPrefix);
    this.dedupe = new DedupeWindow(durationMs(config.duplicateWindowNs));
    this.atomicBatches = new AtomicBatches(this);
    this.fastBatches = new FastBatches(this);
    this.schedules = new Schedules(this);
    this.origins = new StreamOrigins(this);
    this.direct = new DirectGet(this);
    this.view = new PublishView(this);
    this.consumers = new StreamConsumers(this);
    this.#compile();
    store.setSnapshotSource(
      (key) => this.origins.snapshot(key) ?? this.schedules.snapshot(key) ?? this.consumers.stateOf(key),
    );
  }

  get engine(): JetStream {
    return this.account.engine;
  }

  get config(): StreamConfig {
    return this.#config;
  }

  get name(): string {
    return this.#config.name;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** What a promise made now has to wait for. */
  get ticket(): number {
    const waits = this.store.storage === 'file' && this.#config.persistMode === 'default';
    return waits ? this.engine.store.ticket : NO_TICKET;
  }

  /** Takes up what the store holds from before the start: TTLs, schedules, message ids. Finishes what a crash cut short. */
  recover(): void {
    finishLast(this);
    enforceLimits(this);
    this.#trackStoredTtls();
    this.schedules.recover();
    this.#recoverIds();
    this.consumers.recover();
    this.settle();
  }

  #recoverIds(): void {
    const { store, engine, dedupe } = this;
    const message = this.#loaded;
    const since = engine.clock.ms - dedupe.windowMs;
    if (dedupe.windowMs > 0) {
      const first = store.nextSeqWithHeaders(store.firstSeqFromTime(since, 0));
      for (let at = first; at !== 0; at = store.nextSeqWithHeaders(at + 1)) {
        const id = store.load(at, message) ? headerText(message.headers(), MSG_ID_HEADER) : null;
        if (id) dedupe.add(id, at, message.timestampMs);
      }
    }
    if (store.load(store.lastSeq, message))
      this.lastMsgId = headerText(message.headers(), MSG_ID_HEADER) ?? '';
  }

  /** Begins to listen. */
  open(): void {
    this.#subscribe();
    this.direct.open();
    this.origins.open();
    this.consumers.open();
    this.touch();
  }

  /** Takes over a checked configuration. */
  update(config: StreamConfig): void {
    const old = this.#config;
    this.#config = config;
    this.#compile();
    this.#subscribe();
    this.direct.open();
    this.dedupe.resize(durationMs(config.duplicateWindowNs));
    if (old.maxAgeNs !== config.maxAgeNs) this.#ageSeq = 0;
    if (!old.allowMsgTtl) this.#trackStoredTtls();
    if (!config.allowAtomic) this.atomicBatches.abandonAll();
    if (!config.allowBatched) this.fastBatches.abandonAll();
    if (this.store.storage === 'file') this.store.setCompression(config.compression === 's2');
    this.origins.update();
    enforceLimits(this);
    if (old.retention !== config.retention) releaseUnneeded(this);
    this.consumers.streamUpdated();
    this.settle();
  }

  /** Leaves the states of consumers and origins with the store, for whoever takes the stream up next. */
  handBack(): void {
    this.consumers.log.flush();
    this.store.setSnapshotSource(null);
  }

  /** Stops listening; the store stays. */
  close(): void {
    this.#closed = true;
    for (const subscription of this.#subscriptions) this.engine.effects.unsubscribe(subscription);
    this.#subscriptions = [];
    this.direct.close();
    this.origins.close();
    this.consumers.close();
    this.engine.forget(this);
    this.atomicBatches.abandonAll();
    this.fastBatches.abandonAll();
    this.account.count(this.store.storage, -this.#countedBytes);
    this.#countedBytes = 0;
  }

  #compile(): void {
    const { subjectTransform, republish } = this.#config;
    this.subjectTransform = transformOf(subjectTransform);
    this.republish = transformOf(republish);
  }

  /** Makes the subscriptions those of the configuration; ones that stay are not touched. */
  #subscribe(): void {
    const wanted = new Set(this.#config.subjects.map(wireText));
    const { effects } = this.engine;
    const kept = this.#subscriptions.filter((subscription) => {
      if (wanted.delete(subscription.subject)) return true;
      effects.unsubscribe(subscription);
      return false;
    });
    for (const subject of wanted) {
      const subscription = new StreamSubscription(this, subject);
      kept.push(subscription);
      effects.subscribe(subscription);
    }
    this.#subscriptions = kept;
  }

  /** Carries a change of the store's size into the account's usage. */
  settle(): void {
    this.touch();
    const change = this.store.bytes - this.#countedBytes;
    if (change === 0) return;
    this.#countedBytes = this.store.bytes;
    this.account.count(this.store.storage, change);
  }

  /** Whether the stream's subjects cover a literal subject. */
  hasSubject(subject: string): boolean {
    return this.#subscriptions.some((subscription) => subjectMatches(subject, subscription.subject));
  }

  /** Whether the subject is one that the stream's transform changes. */
  matchesTransform(subject: string): boolean {
    return this.subjectTransform !== null && sourceMatches(subject, this.subjectTransform.source);
  }

  /** Last sequence on a subject, which may have wildcards; 0 for none. */
  lastSeqOn(subject: string): number {
    if (!hasWildcard(subject)) return this.store.subjectState(subject)?.lastSeq ?? 0;
    return this.store.lastSeqOf(this.store.filter([subject]));
  }

  #trackStoredTtls(): void {
    if (!this.#config.allowMsgTtl) return;
    this.store.visitTtl((sequence, timestampMs, ttlSeconds) =>
      this.trackTtl(sequence, timestampMs, ttlSeconds),
    );
  }

  /**
   * Remembers when a message is to go. A stream without TTLs may have messages with one, copied from its origin: they wait until
   * TTLs are allowed (2.15.1 tried out). `never` counts all the same.
   */
  trackTtl(sequence: number, timestampMs: number, ttlSeconds: number): void {
    if (!this.#config.allowMsgTtl) return;
    if (ttlSeconds > 0 && ttlSeconds !== TTL_NEVER) this.#ttls.add(sequence, timestampMs + ttlSeconds * 1000);
  }

  /** Removes a message and tells the readers. @returns as `StreamStore.remove` */
  remove(sequence: number, erase: boolean, reason: RemovalReason): number {
    const known = this.readers.size > 0 && this.store.load(sequence, this.#loaded);
    const subject = known ? this.#loaded.subject() : '';
    const bytes = this.store.remove(sequence, erase);
    if (bytes > 0 && known) this.readers.removed(sequence, subject, reason);
    return bytes;
  }

  /** Purges and tells the readers. @returns messages removed, or -1 */
  purge(request: PurgeRequest): number {
    const removed = this.store.purge(request);
    if (removed !== 0) this.readers.purged();
    this.settle();
    return removed;
  }

  /** Something happened that may make something due earlier. */
  touch(): void {
    if (this.#touched || this.#closed) return;
    this.#touched = true;
    this.engine.touch(this);
  }

  /** The engine has heard of it. */
  untouch(): void {
    this.#touched = false;
  }

  due(): void {
    this.tick();
  }

  /** When something is due; Infinity when nothing is. Unix milliseconds. */
  nextDueMs(): number {
    return Math.min(
      this.#nextAgeMs(),
      this.#ttls.nextMs,
      this.dedupe.nextExpiryMs(),
      this.schedules.nextMs,
      this.atomicBatches.nextTimeoutMs(),
      this.fastBatches.nextTimeoutMs(),
      this.origins.nextDueMs(),
    );
  }

  /** Does what is due. */
  tick(): void {
    const nowMs = this.engine.clock.ms;
    this.dedupe.expire(nowMs);
    this.#expireTtls(nowMs);
    this.#expireAge(nowMs);
    this.schedules.run(nowMs);
    this.atomicBatches.expire(nowMs);
    this.fastBatches.expire(nowMs);
    this.origins.tick();
    this.settle();
  }

  #nextAgeMs(): number {
    const { maxAgeNs } = this.#config;
    const { store } = this;
    if (maxAgeNs === 0n || store.messages === 0) return Infinity;
    if (this.#ageSeq <= store.firstSeq) {
      const firstMs = store.firstTimestampMs;
      // The disk doesn't say; what lies behind may be due.
      const isUnknown = firstMs === 0 && store.unreadableSeq > 0;
      return isUnknown ? this.engine.clock.ms + DISK_RETRY_MS : firstMs + durationMs(maxAgeNs);
    }
    return store.next(null, this.#ageSeq, this.#loaded, true)
      ? this.#loaded.timestampMs + durationMs(maxAgeNs)
      : Infinity;
  }

  #expireAge(nowMs: number): void {
    const { maxAgeNs } = this.#config;
    if (maxAgeNs === 0n) return;
    const before = nowMs - durationMs(maxAgeNs);
    const message = this.#loaded;
    while (this.store.next(null, this.#ageSeq, message, true) && message.timestampMs <= before) {
      this.#ageSeq = message.sequence + 1;
      if (message.ttlSeconds !== TTL_NEVER) this.#expire(message);
    }
  }

  #expireTtls(nowMs: number): void {
    const message = this.#loaded;
    for (let sequence = this.#ttls.takeDue(nowMs); sequence > 0; sequence = this.#ttls.takeDue(nowMs)) {
      if (!this.store.load(sequence, message)) continue;
      const due = message.timestampMs + message.ttlSeconds * 1000;
      const expires = message.ttlSeconds > 0 && message.ttlSeconds !== TTL_NEVER;
      if (expires && due <= nowMs) this.#expire(message);
    }
  }

  /**
   * Removes a message whose time is up. When it is the last of its subject a marker takes its place (§4.6), and does so by
   * rolling it up: that way the marker is republished with the sequence it replaces.
   */
  #expire(message: StoredMessage): void {
    const { sequence } = message;
    const markerTtlNs = this.#config.subjectDeleteMarkerTtlNs;
    const subject = message.subject();
    const marks = markerTtlNs > 0n && !isMarker(message) && this.store.subjectState(subject)?.messages === 1;
    if (marks) storeMarker(this, subject, Number(markerTtlNs / NANOS_PER_SECOND));
    this.schedules.removed(subject, sequence);
    this.remove(sequence, false, 'limits');
  }
}

function isMarker(message: StoredMessage): boolean {
  const headers = message.headers();
  if (headers.length === 0) return false;
  return (
    headerText(headers, 'Nats-Marker-Reason') !== null || headerText(headers, 'KV-Operation') === 'PURGE'
  );
}
