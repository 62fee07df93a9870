/**
 * An engine with everything around it: a clock that is set by hand, seeded randomness, a store in memory, and a router small
 * enough to read. Messages the engine sends are delivered at once, whatever ticket they wait for; tests of durability look
 * at the tickets.
 */

import { UNLIMITED_JETSTREAM } from '../../../../src/shared/base/options.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import { ACCOUNT_ENDPOINTS } from '../../../../src/shared/jetstream/account-info.ts';
import { Api } from '../../../../src/shared/jetstream/api.ts';
import { CONSUMER_ENDPOINTS } from '../../../../src/shared/jetstream/consumers/consumer-api.ts';
import { emptyConsumerConfig } from '../../../../src/shared/jetstream/consumers/consumer-config.ts';
import type { ConsumerConfig } from '../../../../src/shared/jetstream/consumers/contract.ts';
import { Consumer } from '../../../../src/shared/jetstream/consumers/runtime/consumer.ts';
import {
  type Destination,
  type Effects,
  type EngineSubscription,
  InboundMessage,
  type InterestWatch,
} from '../../../../src/shared/jetstream/effects.ts';
import { JetStream, type JetStreamOptions } from '../../../../src/shared/jetstream/jetstream.ts';
import { SNAPSHOT_ENDPOINTS } from '../../../../src/shared/jetstream/snapshot-api.ts';
import type { Store, StoredMessage } from '../../../../src/shared/jetstream/store/contract.ts';
import type { Stream } from '../../../../src/shared/jetstream/stream.ts';
import { STREAM_ENDPOINTS } from '../../../../src/shared/jetstream/stream-api.ts';
import { hasEmptyToken, subjectMatches } from '../../../../src/shared/subject/subject.ts';
import { FakeStore } from './fake-store.ts';

export const ACCOUNT = '$G';

export interface SentMessage {
  account: string;
  subject: string;
  reply: string;
  headers: string;
  payload: string;
  ticket: number;
}

/** A message at the place it was delivered to: from a consumer, or a status. */
export interface Received {
  /** Empty for a status. */
  subject: string;
  reply: string;
  headers: string;
  payload: string;
}

/** Where a consumer sends to: an inbox has interest until it is closed, others when somebody listens. */
class HarnessDestination implements Destination {
  readonly subject: string;
  readonly #harness: Harness<Store>;

  constructor(harness: Harness<Store>, subject: string) {
    this.#harness = harness;
    this.subject = subject;
  }

  get hasInterest(): boolean {
    return this.#harness.listens(this.subject);
  }

  isBound(): boolean {
    return this.hasInterest;
  }
}

const OPTIONS: JetStreamOptions = {
  serverName: 'probe',
  systemAccount: '$SYS',
  domain: '',
  strict: true,
  requestQueueLimit: 10_000,
  infoQueueLimit: 10_000,
  deliverEarly: true,
  maxMemoryBytes: 1024 ** 3,
  maxStoreBytes: 1024 ** 3,
  maxDuplicateWindowNs: 0n,
  maxAckPending: 0,
  maxRequestBatch: 0,
  defaultMaxConsumers: 1000,
  maxPayloadBytes: 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  batch: { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutNs: 10_000_000_000n },
};

export class Harness<S extends Store = FakeStore> implements Effects {
  readonly store: S;
  readonly clock: { ms: number; nanos: number } = { ms: 0, nanos: 0 };
  readonly engine: JetStream;
  readonly api: Api;
  readonly sent: SentMessage[] = [];
  readonly warnings: string[] = [];
  /** Patterns somebody listens on: advisories are made for these. */
  readonly interest: string[] = [];
  /** Inboxes that nobody listens on any more. */
  readonly closedInboxes = new Set<string>();
  /** Nothing more may be delivered now. */
  congested = false;
  /** Commits what was staged. Gives whether what was appended may be delivered. */
  commit: () => boolean = () => {
    this.store.commit(true);
    return true;
  };
  readonly #received = new Map<string, Received[]>();
  readonly #watches = new Set<InterestWatch>();
  readonly #subscriptions: EngineSubscription[] = [];
  #inboxes = 0;

  constructor(options: Partial<JetStreamOptions> = {}, store?: S, nowMs = 1_800_000_000_000) {
    this.clock.ms = nowMs;
    const prng = new Prng(7);
    this.store = store ?? (new FakeStore() as Store as S);
    this.engine = new JetStream(
      { ...OPTIONS, ...options },
      { store: this.store, effects: this, clock: this.clock, random: () => prng.unit() },
    );
    this.engine.enableAccount(ACCOUNT, { limits: UNLIMITED_JETSTREAM, tiers: null });
    this.api = new Api(this.engine);
    this.api.add(ACCOUNT_ENDPOINTS);
    this.api.add(STREAM_ENDPOINTS);
    this.api.add(CONSUMER_ENDPOINTS);
    this.api.add(SNAPSHOT_ENDPOINTS);
    this.engine.recover();
  }

  acknowledge(
    account: string,
    bytes: Uint8Array,
    replyStart: number,
    replyEnd: number,
    prefix: Uint8Array,
    sequence: number,
    ticket: number,
  ): void {
    const reply = Buffer.from(bytes.slice(replyStart, replyEnd)).toString('latin1');
    const text = `${Buffer.from(prefix).toString()}"seq":${sequence}}`;
    this.send(account, reply, '', new Uint8Array(0), Buffer.from(text), ticket);
  }

  send(
    account: string,
    subject: string,
    reply: string,
    headers: Uint8Array,
    payload: Uint8Array,
    ticket: number,
  ): void {
    if (hasEmptyToken(subject)) return;
    const message = {
      reply,
      headers: Buffer.from(headers).toString('latin1'),
      payload: Buffer.from(payload).toString('latin1'),
    };
    this.sent.push({ account, subject, ticket, ...message });
    this.#receive(subject, { subject: '', ...message });
  }

  #receive(place: string, message: Received): void {
    const known = this.#received.get(place);
    if (known === undefined) this.#received.set(place, [message]);
    else known.push(message);
  }

  destination(_account: string, subject: string): Destination {
    return new HarnessDestination(this as unknown as Harness<Store>, subject);
  }

  deliver(
    destination: Destination,
    message: StoredMessage,
    reply: DataView,
    replyLength: number,
    headers: Uint8Array | null,
    withPayload: boolean,
  ): void {
    this.#receive((destination as HarnessDestination).subject, {
      subject: message.subject(),
      reply: Buffer.from(reply.buffer, reply.byteOffset, replyLength).toString('latin1'),
      headers: Buffer.from(headers ?? message.headers()).toString('latin1'),
      payload: withPayload ? Buffer.from(message.payload()).toString('latin1') : '',
    });
  }

  watchInterest(watch: InterestWatch): void {
    this.#watches.add(watch);
  }

  unwatchInterest(watch: InterestWatch): void {
    this.#watches.delete(watch);
  }

  /** Whether somebody listens on a literal subject. */
  listens(subject: string): boolean {
    if (subject.startsWith('_INBOX.')) return !this.closedInboxes.has(subject);
    return this.hasInterest(ACCOUNT, subject);
  }

  /** Somebody begins to listen. */
  listen(subject: string): void {
    this.interest.push(subject);
    this.#tellWatches(subject);
  }

  /** Nobody listens there any more. */
  unlisten(subject: string): void {
    this.interest.splice(this.interest.indexOf(subject), 1);
    this.#tellWatches(subject);
  }

  #tellWatches(subject: string): void {
    for (const watch of [...this.#watches]) if (watch.subject === subject) watch.interestChanged();
  }

  /** What came to a place since the last call. */
  take(place: string): Received[] {
    const messages = this.#received.get(place) ?? [];
    this.#received.delete(place);
    return messages;
  }

  /** A fresh inbox with an open pull request. */
  pull(stream: string, consumer: string, body: unknown = ''): string {
    const inbox = `_INBOX.pull.${++this.#inboxes}`;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    this.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, text, '', inbox);
    this.settle();
    return inbox;
  }

  /** Commits, and delivers everything that may be delivered: before the commit, and after it. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      const hasEarly = this.engine.runReady(1000, false);
      const isCommitted = this.commit();
      const hasMore = isCommitted ? this.engine.runReady(1000) : hasEarly;
      if (this.congested) return;
      if (!hasMore) break;
      if (rounds > 1000) throw new Error('the engine never comes to rest');
    }
    this.commit();
  }

  /** Makes a consumer, its configuration with defaults for what isn't given. */
  consumer(stream: string, name: string, config: Partial<ConsumerConfig> = {}): Consumer {
    const consumers = this.engine.account(ACCOUNT)?.streams.get(stream)?.consumers;
    const made = consumers?.create({
      ...emptyConsumerConfig(),
      name,
      durableName: name,
      ackPolicy: 'explicit',
      ackWaitNs: 30_000_000_000n,
      maxDeliver: -1,
      maxWaiting: config.deliverSubject === undefined ? 512 : 0,
      maxAckPending: config.ackPolicy === 'none' ? 0 : 1000,
      ...config,
    });
    if (!(made instanceof Consumer)) throw new Error(made?.description ?? `no stream ${stream}`);
    return made;
  }

  /** The same store with a new engine: what a restart leaves. */
  restart(): Harness<S> {
    this.store.commit(true);
    return new Harness<S>({}, this.store, this.clock.ms);
  }

  subscribe(subscription: EngineSubscription): void {
    this.#subscriptions.push(subscription);
  }

  unsubscribe(subscription: EngineSubscription): void {
    const index = this.#subscriptions.indexOf(subscription);
    if (index !== -1) this.#subscriptions.splice(index, 1);
  }

  hasInterest(_account: string, subject: string): boolean {
    return this.interest.some((pattern) => subjectMatches(subject, pattern));
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  /** Subjects the engine listens on. */
  get subjects(): string[] {
    return this.#subscriptions.map(({ subject }) => subject).sort();
  }

  /** Publishes a message and gives what came to its inbox; the no-responders status when nobody listens. */
  request(subject: string, payload = '', headers = '', suffix = ''): SentMessage[] {
    const inbox = `_INBOX.${++this.#inboxes}${suffix === '' ? '' : `.${suffix}`}`;
    this.publish(subject, payload, headers, inbox);
    return this.sent.filter((message) => message.subject === inbox);
  }

  publish(subject: string, payload = '', headers = '', reply = ''): void {
    this.clock.nanos = (this.clock.nanos + 1000) % 1_000_000;
    const block = headers === '' ? new Uint8Array(0) : Buffer.from(`NATS/1.0\r\n${headers}\r\n`, 'latin1');
    const body = Buffer.from(payload, 'latin1');
    const message = new InboundMessage().set(subject, reply, block, body);
    const listeners = this.#subscriptions.filter((subscription) =>
      subjectMatches(subject, subscription.subject),
    );
    for (const listener of listeners) listener.receive(message);
    // These go to the stream itself, and the host tells who asks for one that isn't there.
    const isInPlace = /^\$JS\.API\.(?:DIRECT\.GET|CONSUMER\.MSG\.NEXT)/.test(subject);
    if (subject.startsWith('$JS.API.') && !isInPlace) {
      this.api.request({ account: ACCOUNT, subject, reply, headers: block, body, client: '' });
    } else if (listeners.length === 0 && reply !== '') {
      const status = Buffer.from(`NATS/1.0 503\r\nNats-Subject: ${subject}\r\n\r\n`, 'latin1');
      this.send(ACCOUNT, reply, '', status, new Uint8Array(0), 0);
    }
  }

  /** What only has headers, whose block is given whole, comes to those who listen. */
  publishBlock(subject: string, block: string, reply = ''): void {
    const headers = Buffer.from(block, 'latin1');
    const message = new InboundMessage().set(subject, reply, headers, new Uint8Array(0));
    for (const listener of [...this.#subscriptions])
      if (subjectMatches(subject, listener.subject)) listener.receive(message);
  }

  /** Asks the API; the reply as an object. */
  ask(endpoint: string, body: unknown = ''): Record<string, unknown> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const [reply] = this.request(`$JS.API.${endpoint}`, text);
    return JSON.parse(reply?.payload ?? 'null') as Record<string, unknown>;
  }

  /** Publishes and gives the acknowledgement as text. */
  put(subject: string, payload = '', headers = ''): string {
    return this.request(subject, payload, headers)[0]?.payload ?? '';
  }

  /** Lets time pass, and the engine do what becomes due on the way. */
  advance(ms: number): void {
    const end = this.clock.ms + ms;
    for (let due = this.engine.nextDueMs(); due <= end; due = this.engine.nextDueMs()) {
      this.clock.ms = Math.max(this.clock.ms, due);
      this.engine.tick();
      this.settle();
    }
    this.clock.ms = end;
    this.engine.tick();
    this.settle();
  }

  /** Makes a stream; it has to succeed. */
  create(name: string, config: Record<string, unknown> = {}): Stream {
    const { error } = this.ask(`STREAM.CREATE.${name}`, { name, ...config });
    const stream = this.engine.account(ACCOUNT)?.streams.get(name);
    if (error !== undefined || stream === undefined) throw new Error(JSON.stringify(error));
    return stream;
  }

  /** The state in a stream's info. */
  state(name: string): Record<string, unknown> {
    return this.ask(`STREAM.INFO.${name}`).state as Record<string, unknown>;
  }

  /** A message by its sequence, its parts as text; null when there is none. */
  message(name: string, seq: number): ReadMessage | null {
    const found = this.ask(`STREAM.MSG.GET.${name}`, { seq }).message as Record<string, string> | undefined;
    if (found === undefined) return null;
    const text = (base64 = '') => Buffer.from(base64, 'base64').toString('latin1');
    return { subject: found.subject!, headers: text(found.hdrs), data: text(found.data), time: found.time! };
  }
}

/** What MSG.GET says of a message. */
export interface ReadMessage {
  subject: string;
  headers: string;
  data: string;
  time: string;
}
