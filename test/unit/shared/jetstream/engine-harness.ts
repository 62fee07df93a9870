/**
 * An engine with everything around it: a clock that is set by hand, seeded randomness, a store in memory, and a router small
 * enough to read. Messages the engine sends are delivered at once, whatever ticket they wait for; tests of durability look
 * at the tickets.
 */
import { Prng } from '../../../../src/shared/base/prng.ts';
import { ACCOUNT_ENDPOINTS } from '../../../../src/shared/jetstream/account-info.ts';
import { UNLIMITED } from '../../../../src/shared/jetstream/account-jetstream.ts';
import { Api } from '../../../../src/shared/jetstream/api.ts';
import {
  type Effects,
  type EngineSubscription,
  InboundMessage,
} from '../../../../src/shared/jetstream/effects.ts';
import { JetStream, type JetStreamOptions } from '../../../../src/shared/jetstream/jetstream.ts';
import { SNAPSHOT_ENDPOINTS } from '../../../../src/shared/jetstream/snapshot-api.ts';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
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

const OPTIONS: JetStreamOptions = {
  serverName: 'probe',
  systemAccount: '$SYS',
  domain: '',
  strict: true,
  maxMemoryBytes: 1024 ** 3,
  maxStoreBytes: 1024 ** 3,
  maxDuplicateWindowNs: 0n,
  maxPayloadBytes: 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  batch: { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutNs: 10_000_000_000n },
};

export class Harness<S extends Store = FakeStore> implements Effects {
  readonly store: S;
  readonly clock: { ms: number; nanos: number };
  readonly engine: JetStream;
  readonly api: Api;
  readonly sent: SentMessage[] = [];
  readonly warnings: string[] = [];
  /** Patterns somebody listens on: advisories are made for these. */
  readonly interest: string[] = [];
  readonly #subscriptions: EngineSubscription[] = [];
  #inboxes = 0;

  constructor(options: Partial<JetStreamOptions> = {}, store?: S, startMs = 1_800_000_000_000) {
    this.clock = { ms: startMs, nanos: 0 };
    const prng = new Prng(7);
    this.store = store ?? (new FakeStore() as Store as S);
    this.engine = new JetStream(
      { ...OPTIONS, ...options },
      { store: this.store, effects: this, clock: this.clock, random: () => prng.unit() },
    );
    this.engine.enableAccount(ACCOUNT, { limits: UNLIMITED, tiers: null });
    this.api = new Api(this.engine);
    this.api.add(ACCOUNT_ENDPOINTS);
    this.api.add(STREAM_ENDPOINTS);
    this.api.add(SNAPSHOT_ENDPOINTS);
    this.engine.recover();
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
    this.sent.push({
      account,
      subject,
      reply,
      headers: Buffer.from(headers).toString('latin1'),
      payload: Buffer.from(payload).toString('latin1'),
      ticket,
    });
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
    const direct = subject.startsWith('$JS.API.DIRECT.GET');
    if (subject.startsWith('$JS.API.') && !direct) {
      this.api.request({ account: ACCOUNT, subject, reply, headers: block, body, client: '' });
    } else if (listeners.length === 0 && reply !== '') {
      const status = Buffer.from(`NATS/1.0 503\r\nNats-Subject: ${subject}\r\n\r\n`, 'latin1');
      this.send(ACCOUNT, reply, '', status, new Uint8Array(0), 0);
    }
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
    }
    this.clock.ms = end;
    this.engine.tick();
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
