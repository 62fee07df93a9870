import {
  MessageDraft,
  type Store,
  StoredMessage,
  type StreamStore,
  type SubjectFilter,
} from '../jetstream/store/contract.ts';
import type { Clock } from '../jetstream/time.ts';
import { Sublist } from '../subject/sublist.ts';
import {
  EngineFilter,
  EngineSession,
  QUEUED,
  type QueueEntry,
  RELEASED,
  SessionHistory,
} from './engine-session.ts';
import { MailReader, MailWriter } from './mail.ts';
import type { FilterOptions } from './session-filter.ts';

/**
 * What one account has of MQTT, and its stream in the store.
 *
 * ```
 *   s.<number>    a session (EngineSession.record); one message
 *   m.<subject>   a message that sessions wait for: its recipients, then the message
 *   r.<subject>   a retained message; one message
 *   log <number>  what became of a session's messages (engine-session.ts)
 * ```
 *
 * A message of `m.` goes when nobody waits for it any more; how many do is counted in memory and found again at
 * recovery, by the recipients that are stored with it.
 */

/** Account the streams have in the store: not one of JetStream's. */
export const STORE_ACCOUNT = '$MQTT';
const SESSIONS = 's.';
const MESSAGES = 'm.';
const RETAINED = 'r.';
const DOLLAR = 0x24;
/** Bit of a recipient's QoS: its RETAIN is what the publisher set. */
const AS_PUBLISHED = 0x80;
/** What `MailWriter.begin` writes. */
const HEAD_BYTES = 9;

/** What an account may store, all of JetStream included. */
export interface StoreQuota {
  allows(account: string, bytes: number): boolean;
  /** What MQTT stores for the account in all. */
  setBytes(account: string, bytes: number): void;
}

export interface Recipient {
  readonly session: EngineSession;
  qos: number;
  retainAsPublished: boolean;
  readonly subscriptionIds: number[];
}

/** Who is to get a message: kept for the next one on the same subject. */
export interface KnownRecipients {
  readonly subject: string;
  readonly qos: number;
  readonly publisher: EngineSession | null;
  readonly recipients: readonly Recipient[];
  /** Members of shared subscriptions, by name; null: there are none. */
  readonly shares: Shares | null;
}

export type Shares = ReadonlyMap<string, readonly EngineFilter[]>;

/** Retained messages on their way to a new subscription. */
export interface RetainedVisit {
  readonly session: EngineSession;
  /** The connection that subscribed. */
  readonly cid: number;
  readonly options: FilterOptions;
  readonly stream: StreamStore;
  readonly filter: SubjectFilter;
  /** Sequence to go on with. */
  from: number;
  /** The last one there was when the client subscribed. */
  readonly last: number;
}

export class EngineAccount {
  readonly index: number;
  readonly name: string;
  readonly sessions = new Map<string, EngineSession>();
  readonly filters = new Sublist<EngineFilter>();
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #byNumber = new Map<number, EngineSession>();
  /** Sessions that wait for a message, by sequence. */
  readonly #references = new Map<number, number>();
  readonly #draft = new MessageDraft();
  readonly #writer = new MailWriter();
  /** Recipients of the last subject: the next message often is on the same. */
  #known: KnownRecipients | null = null;
  /** Its subject in the stream is still the draft's. */
  #draftSubject = '';
  readonly #loaded = new StoredMessage();
  readonly #visited = new StoredMessage();
  #stream: StreamStore | null = null;

  readonly #quota: StoreQuota;
  /** Bytes as the quota knows them. */
  #countedBytes = 0;

  constructor(index: number, name: string, store: Store, clock: Clock, quota: StoreQuota) {
    this.#quota = quota;
    this.index = index;
    this.name = name;
    this.#store = store;
    this.#clock = clock;
  }

  /** The account's stream, made when it isn't there; null when the store refuses. */
  get stream(): StreamStore | null {
    if (this.#stream !== null) return this.#stream;
    const found = this.#store.find(STORE_ACCOUNT, this.name);
    const spec = { account: STORE_ACCOUNT, name: this.name, storage: 'file', compression: false } as const;
    this.#stream = found ?? this.#store.createStream({ ...spec, firstSeq: 0, blockBytes: 0 });
    this.#stream?.setSnapshotSource((key) => this.#byNumber.get(Number(key))?.snapshot() ?? null);
    return this.#stream;
  }

  /** Tells the quota what is stored now. */
  count(): void {
    const bytes = this.#stream?.bytes ?? 0;
    if (bytes === this.#countedBytes) return;
    this.#quota.setBytes(this.name, bytes);
    this.#countedBytes = bytes;
  }

  // Sessions

  /** Stores a session's record in place of the one before. @returns false when the store refuses */
  saveSession(session: EngineSession, disconnectedAtMs: number): boolean {
    const { stream } = this;
    if (stream === null) return false;
    const number = session.number === 0 ? stream.lastSeq + 1 : session.number;
    const seq = this.#append(`${SESSIONS}${number}`, session.record(disconnectedAtMs));
    if (seq < 0) return false;
    session.number = number;
    this.#byNumber.set(number, session);
    if (session.recordSeq > 0) stream.remove(session.recordSeq, false);
    session.recordSeq = seq;
    return true;
  }

  /** Ends a session: nothing of it stays. */
  dropSession(session: EngineSession): void {
    if (this.sessions.get(session.clientId) === session) this.sessions.delete(session.clientId);
    for (const filter of [...session.filters.keys()]) this.removeFilter(session, filter);
    for (const { seq } of session.queue.values()) this.#dereference(seq);
    session.queue.clear();
    if (session.number === 0) return;
    this.#byNumber.delete(session.number);
    this.stream?.remove(session.recordSeq, false);
    this.stream?.dropConsumer(session.logKey);
    session.number = 0;
  }

  log(session: EngineSession, operation: number, value: number): void {
    if (session.number > 0)
      this.stream?.logConsumer(session.logKey, EngineSession.logRecord(operation, value));
  }

  setFilter(session: EngineSession, options: FilterOptions): void {
    this.#known = null;
    this.removeFilter(session, options.filter);
    const subjects =
      options.parentSubject === null ? [options.subject] : [options.subject, options.parentSubject];
    // Of QoS 0 nothing is kept.
    const entries =
      options.qos === 0 ? [] : subjects.map((subject) => new EngineFilter(session, subject, options));
    for (const entry of entries) this.filters.insert(entry);
    session.filters.set(options.filter, { options, entries });
  }

  removeFilter(session: EngineSession, filter: string): void {
    const known = session.filters.get(filter);
    if (known === undefined) return;
    this.#known = null;
    for (const entry of known.entries) this.filters.remove(entry);
    session.filters.delete(filter);
  }

  // Messages

  /**
   * Sessions that are to get a message, each once: the highest QoS and all identifiers of what matches. And the members of
   * shared subscriptions, one of each of which is to get it.
   */
  recipients(subject: string, qos: number, publisher: EngineSession | null): KnownRecipients {
    const known = this.#known;
    if (known !== null && known.subject === subject && known.qos === qos && known.publisher === publisher)
      return known;
    this.#known = this.#match(subject, qos, publisher);
    return this.#known;
  }

  #match(subject: string, qos: number, publisher: EngineSession | null): KnownRecipients {
    const found = new Map<EngineSession, Recipient>();
    const isDollar = subject.startsWith('$');
    const { plain, queues } = this.filters.match(subject);
    for (const { session, options } of plain) {
      if (!session.kept || (isDollar && options.skipsDollar) || (options.noLocal && session === publisher))
        continue;
      let recipient = found.get(session);
      if (recipient === undefined) {
        recipient = { session, qos: 0, retainAsPublished: false, subscriptionIds: [] };
        found.set(session, recipient);
      }
      recipient.retainAsPublished ||= options.retainAsPublished;
      recipient.qos = Math.max(recipient.qos, Math.min(qos, options.qos));
      if (options.subscriptionId > 0 && !recipient.subscriptionIds.includes(options.subscriptionId))
        recipient.subscriptionIds.push(options.subscriptionId);
    }
    return { subject, qos, publisher, recipients: [...found.values()], shares: queues };
  }

  /**
   * Stores a message for its recipients and queues it with them.
   *
   * @param message as `MailWriter.message` writes it
   * @returns its sequence, or -1 when the store refuses
   */
  enqueue(subject: string, message: Uint8Array, recipients: readonly Recipient[], retain: boolean): number {
    const writer = this.#writer.begin(retain ? 1 : 0, recipients.length);
    for (const { session, qos, retainAsPublished, subscriptionIds } of recipients) {
      writer.f64(session.number).f64(session.nextOrdinal);
      writer.u8(qos | (retainAsPublished ? AS_PUBLISHED : 0)).u32(subscriptionIds.length);
      for (const id of subscriptionIds) writer.u32(id);
    }
    const seq = this.#appendMessage(subject, writer.raw(message).view());
    if (seq < 0) return -1;
    for (const { session, qos, retainAsPublished, subscriptionIds } of recipients) {
      const ordinal = session.nextOrdinal++;
      session.queue.set(ordinal, {
        seq,
        ordinal,
        qos,
        retain,
        retainAsPublished,
        subscriptionIds,
        sentMs: 0,
        state: QUEUED,
        repeated: false,
      });
    }
    this.#references.set(seq, recipients.length);
    return seq;
  }

  /** Whether the message that `load` didn't find is there and only can't be read now. */
  get isUnreadable(): boolean {
    return (this.stream?.unreadableSeq ?? 0) > 0;
  }

  /** The message of a queue entry, as it was given; null when it is damaged or unreadable now. A view, good until the next call. */
  load(seq: number): Uint8Array | null {
    if (this.stream?.load(seq, this.#loaded) !== true) return null;
    const reader = new MailReader(this.#loaded.payload());
    skipRecipients(reader);
    return reader.rest();
  }

  /** Whether nobody else waits for a message: then its end is told by its removal. */
  isLastFor(seq: number): boolean {
    return (this.#references.get(seq) ?? 1) <= 1;
  }

  /** A session has done with a message. */
  finish(session: EngineSession, entry: QueueEntry): void {
    if (!session.queue.delete(entry.ordinal)) return;
    if (entry.state !== QUEUED) session.inflight--;
    this.#dereference(entry.seq);
  }

  #dereference(seq: number): void {
    const left = (this.#references.get(seq) ?? 1) - 1;
    if (left > 0) {
      this.#references.set(seq, left);
      return;
    }
    this.#references.delete(seq);
    this.stream?.remove(seq, false);
  }

  #appendMessage(subject: string, payload: Uint8Array): number {
    if (this.#draftSubject !== subject) this.#draft.setSubject(`${MESSAGES}${subject}`);
    this.#draftSubject = subject;
    return this.#appendDraft(payload);
  }

  #append(subject: string, payload: Uint8Array): number {
    this.#draft.setSubject(subject);
    this.#draftSubject = '';
    return this.#appendDraft(payload);
  }

  #appendDraft(payload: Uint8Array): number {
    const { stream } = this;
    if (stream === null) return -1;
    const ahead = stream.bytes - this.#countedBytes;
    if (!this.#quota.allows(this.name, ahead + payload.length)) return -1;
    const draft = this.#draft;
    draft.setPayload(payload);
    draft.timestampMs = this.#clock.ms;
    draft.timestampNanos = this.#clock.nanos;
    return stream.append(draft);
  }

  // Retained messages

  /**
   * Stores the retained message of a subject; one without payload removes it. [MQTT-3.3.1-5] to [MQTT-3.3.1-7]
   *
   * @param message as `MailWriter.message` writes it; null: without payload
   */
  retain(subject: string, message: Uint8Array | null, qos: number): boolean {
    const key = `${RETAINED}${subject}`;
    const { stream } = this;
    if (stream === null) return false;
    const previous = stream.subjectState(key)?.lastSeq ?? 0;
    if (message !== null && this.#append(key, this.#writer.begin(qos, 0).raw(message).view()) < 0)
      return false;
    if (previous > 0) stream.remove(previous, false);
    return true;
  }

  /** Looks for the retained messages that a filter matches now; null when there can't be any. */
  openRetained(session: EngineSession, options: FilterOptions): RetainedVisit | null {
    const { stream } = this;
    if (stream === null) return null;
    const { subject, parentSubject } = options;
    const patterns = parentSubject === null ? [subject] : [subject, parentSubject];
    const filter = stream.filter(patterns.map((pattern) => `${RETAINED}${pattern}`));
    return { session, cid: session.cid, options, stream, filter, from: 1, last: stream.lastSeq };
  }

  /**
   * Visits some of them. Views, good during the call.
   *
   * @param visit whether there is room for more
   * @returns whether there may be more
   */
  visitRetained(state: RetainedVisit, visit: (message: Uint8Array, qos: number) => boolean): boolean {
    const { stream, filter, options } = state;
    const loaded = this.#visited;
    while (stream.next(filter, state.from, loaded)) {
      // What came after the subscription was delivered as it came.
      if (loaded.sequence > state.last) return false;
      state.from = loaded.sequence + 1;
      const isDollar = loaded.bytes[loaded.subjectStart + RETAINED.length] === DOLLAR;
      if (options.skipsDollar && isDollar) continue;
      const payload = loaded.payload();
      if (!visit(payload.subarray(HEAD_BYTES), payload[0]!)) return true;
    }
    return false;
  }

  // Recovery

  /** Takes up what the store has from before. @param nowMs when sessions that were connected count as left */
  recover(nowMs: number): void {
    const { stream } = this;
    if (stream === null) return;
    const histories = new Map<number, SessionHistory>();
    const loaded = new StoredMessage();
    const sessions = stream.filter([`${SESSIONS}>`]);
    for (let from = 1; stream.next(sessions, from, loaded); from = loaded.sequence + 1) {
      const number = Number(loaded.subject().slice(SESSIONS.length));
      const session = this.#recoverSession(number, loaded, nowMs);
      const log = stream.takeConsumerLog(session.logKey);
      const history = new SessionHistory(log?.snapshot ?? null, log?.records ?? []);
      session.nextOrdinal = history.nextOrdinal;
      for (const packetId of history.received) session.received.add(packetId);
      histories.set(number, history);
    }
    for (const key of stream.consumerLogKeys()) stream.dropConsumer(key);
    const messages = stream.filter([`${MESSAGES}>`]);
    const unwanted: number[] = [];
    for (let from = 1; stream.next(messages, from, loaded); from = loaded.sequence + 1) {
      const waiting = this.#recoverMessage(loaded, histories);
      if (waiting > 0) this.#references.set(loaded.sequence, waiting);
      else unwanted.push(loaded.sequence);
    }
    for (const seq of unwanted) stream.remove(seq, false);
  }

  #recoverSession(number: number, stored: StoredMessage, nowMs: number): EngineSession {
    const reader = new MailReader(stored.payload());
    reader.u8();
    const disconnectedAtMs = reader.f64();
    const expirySeconds = reader.u32();
    const session = new EngineSession(this, reader.text());
    session.number = number;
    session.recordSeq = stored.sequence;
    session.expirySeconds = expirySeconds;
    session.kept = true;
    session.expiresAtMs = expiryMs(disconnectedAtMs === 0 ? nowMs : disconnectedAtMs, expirySeconds);
    this.sessions.set(session.clientId, session);
    this.#byNumber.set(number, session);
    while (reader.hasMore) this.setFilter(session, reader.filter());
    return session;
  }

  /** @returns how many sessions still wait for it */
  #recoverMessage(stored: StoredMessage, histories: ReadonlyMap<number, SessionHistory>): number {
    const reader = new MailReader(stored.payload());
    const retain = reader.u8() === 1;
    let waiting = 0;
    for (let count = reader.f64(); count > 0; count--) {
      const [number, ordinal, flags] = [reader.f64(), reader.f64(), reader.u8()];
      const subscriptionIds: number[] = [];
      for (let ids = reader.u32(); ids > 0; ids--) subscriptionIds.push(reader.u32());
      const session = this.#byNumber.get(number);
      if (session === undefined) continue;
      session.nextOrdinal = Math.max(session.nextOrdinal, ordinal + 1);
      const history = histories.get(number)!;
      if (history.isDone(ordinal)) continue;
      const isReleased = history.released.has(ordinal);
      const state = isReleased ? RELEASED : QUEUED;
      const seq = stored.sequence;
      const [qos, retainAsPublished] = [flags & 3, (flags & AS_PUBLISHED) !== 0];
      const entry = { seq, ordinal, qos, retain, retainAsPublished, subscriptionIds, sentMs: 0 };
      session.restore({ ...entry, state, repeated: true });
      if (isReleased) session.inflight++;
      waiting++;
    }
    return waiting;
  }
}

/** When a session without connection ends. */
export function expiryMs(disconnectedAtMs: number, expirySeconds: number): number {
  return expirySeconds === 0xffff_ffff ? Infinity : disconnectedAtMs + expirySeconds * 1000;
}

function skipRecipients(reader: MailReader): void {
  reader.u8();
  for (let count = reader.f64(); count > 0; count--) {
    reader.f64();
    reader.f64();
    reader.u8();
    for (let ids = reader.u32(); ids > 0; ids--) reader.u32();
  }
}
