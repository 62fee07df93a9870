import { type Effects, EMPTY_BYTES, NO_TICKET } from '../jetstream/effects.ts';
import type { Store } from '../jetstream/store/contract.ts';
import type { Clock } from '../jetstream/time.ts';
import { PUBACK, PUBCOMP, PUBREC, PUBREL } from '../protocol/mqtt/packet-types.ts';
import { REASON } from '../protocol/mqtt/reason-codes.ts';
import {
  EngineAccount,
  expiryMs,
  type KnownRecipients,
  type Recipient,
  type RetainedVisit,
  type Shares,
  STORE_ACCOUNT,
  type StoreQuota,
} from './engine-account.ts';
import { EngineDelivery } from './engine-delivery.ts';
import { EngineOutbox } from './engine-outbox.ts';
import {
  EngineSession,
  LOG_COMPLETED,
  LOG_RECEIVED,
  LOG_RELEASED,
  QUEUED,
  RELEASED,
  SENT,
} from './engine-session.ts';
import {
  MAIL_ACKNOWLEDGE,
  MAIL_CLOSE,
  MAIL_CONNECT,
  MAIL_CONNECTED,
  MAIL_DENY,
  MAIL_KEEP,
  MAIL_PUBLISH,
  MAIL_RETAINED,
  MAIL_SUBSCRIBE,
  MAIL_SUBSCRIBED,
  MAIL_TAKEOVER,
  MAIL_UNSUBSCRIBE,
  MAIL_UNSUBSCRIBED,
  type MailBatch,
  MailReader,
  MailWriter,
  TextMemo,
} from './mail.ts';
import type { FilterOptions } from './session-filter.ts';
import { SharedPicks, type SharedPicksHost, setDenied } from './shared-picks.ts';

/**
 * MQTT on the persistence thread: which connection has which client id, and everything that has to survive it.
 *
 * ```
 *   shard ── CONNECT, CLOSE, SUBSCRIBE, PUBLISH, ACKNOWLEDGE … ──► engine ── append, remove, log ──► store
 *   shard ◄── CONNECTED, TAKEOVER, ANSWER, DELIVER, RETAINED ─── engine
 * ```
 *
 * It is like the JetStream engine beside it: a step is synchronous, and what promises something carries the store's ticket, so
 * PUBACK and its like leave after the commit that many of them share. Messages leave in the order they were given, so
 * nothing overtakes an answer. A session costs what it has: its subscriptions and the entries of its queue. There
 * are no consumers, and a message that nobody waits for is not stored.
 *
 * QoS 2 from a client is method B of OASIS 4.3.3: the packet identifier is kept until PUBREL. QoS 2 to a client:
 * PUBREL leaves after the disk knows that PUBREC came, or a crash could make the client see the message twice.
 */

/** Messages that may wait for one session. */
export const SESSION_QUEUE_MAX_MSGS = 1_000_000;
/** Between two lines of the log about dropped messages. */
const DROPPED_PAUSE_MS = 60_000;
/** What is sent of retained messages before anything else has its turn. */
const RETAINED_PORTION_BYTES = 128 * 1024;
/** A record of retained messages is sent when it is this long. */
const RETAINED_RECORD_BYTES = 16 * 1024;

export interface MqttEngineHost extends SharedPicksHost {
  readonly store: Store;
  readonly effects: Pick<Effects, 'send' | 'congested' | 'warn'>;
  readonly clock: Clock;
  readonly quota: StoreQuota;
  /** Messages that may wait for one session. */
  readonly queueMaxMsgs: number;
}

/** A CONNECT, as its shard mailed it. */
interface Connecting {
  readonly cid: number;
  readonly thread: number;
  readonly account: EngineAccount;
  readonly clientId: string;
  readonly cleanStart: boolean;
  readonly expirySeconds: number;
  readonly window: number;
  readonly kept: boolean;
  readonly ackWaitMs: number;
  /** `deliveryFilter` of the connection: what its user may not receive. */
  readonly denied: string;
}

export class MqttEngine {
  readonly #host: MqttEngineHost;
  readonly #accounts = new Map<number, EngineAccount>();
  #names: ReadonlyMap<number, string> = new Map();
  readonly #byCid = new Map<number, EngineSession>();
  /** Sessions without connection that end some time, or whose will is due. */
  readonly #timed = new Set<EngineSession>();
  #dueMs = Infinity;
  readonly #will = new MailWriter();
  readonly #subjects = new TextMemo();
  readonly #picks: SharedPicks;
  readonly #outbox: EngineOutbox;
  readonly #delivery: EngineDelivery;
  /** Those who are to have a session, by the connection that has it and was told to close. */
  readonly #successors = new Map<number, Connecting>();
  /** Messages that found a full queue, and when the log was told. */
  #dropped = 0;
  #droppedToldMs = -Infinity;
  /** New subscriptions that haven't got all retained messages. */
  readonly #visits: RetainedVisit[] = [];

  constructor(host: MqttEngineHost) {
    this.#host = host;
    this.#picks = new SharedPicks(host, this.#isFull);
    this.#outbox = new EngineOutbox(host.effects);
    this.#delivery = new EngineDelivery(host, this.#outbox, (session) => this.#time(session));
  }

  /** Accounts by index, as all threads number them; those of the store are taken up. */
  setAccounts(indexes: Readonly<Record<string, number>>): void {
    this.#names = new Map(Object.entries(indexes).map(([name, index]) => [index, name]));
    const stored = new Set(
      this.#host.store
        .streams()
        .filter(({ account }) => account === STORE_ACCOUNT)
        .map(({ name }) => name),
    );
    for (const [index, name] of this.#names) if (stored.has(name)) this.#account(index);
  }

  #account(index: number): EngineAccount {
    let account = this.#accounts.get(index);
    if (account === undefined) {
      const { store, clock, quota } = this.#host;
      account = new EngineAccount(index, this.#names.get(index) ?? '', store, clock, quota);
      this.#accounts.set(index, account);
      if (store.find(STORE_ACCOUNT, account.name) !== null) account.recover(clock.ms);
      for (const session of account.sessions.values()) this.#time(session);
    }
    return account;
  }

  /** Takes in the records of a shard. */
  receive(bytes: Uint8Array): void {
    const record = MailReader.ofBatch(bytes);
    while (record.next()) this.#receive(record);
  }

  #receive(record: MailReader): void {
    const kind = record.u8();
    const cid = record.f64();
    if (kind === MAIL_CONNECT) {
      this.#connect(this.#readConnect(cid, record));
      return;
    }
    if (kind === MAIL_PUBLISH) {
      this.#publish(cid, record);
      return;
    }
    const session = this.#byCid.get(cid);
    if (session === undefined) {
      if (kind === MAIL_CLOSE) this.#dropSuccessors((one) => one.cid === cid);
      return;
    }
    if (kind === MAIL_CLOSE) this.#close(session, record);
    else if (kind === MAIL_KEEP) this.#keep(session, record);
    else if (kind === MAIL_DENY) setDenied(session, record.text());
    else if (kind === MAIL_SUBSCRIBE) this.#subscribe(session, record);
    else if (kind === MAIL_UNSUBSCRIBE) this.#unsubscribe(session, record);
    else if (kind === MAIL_ACKNOWLEDGE) this.#acknowledge(session, record.u8(), record.u32(), record.u8());
  }

  /** A thread died, and its connections with it. */
  threadLost(thread: number): void {
    this.#dropSuccessors((one) => one.thread === thread);
    for (const session of [...this.#byCid.values()]) if (session.thread === thread) this.#detach(session);
  }

  // Connections

  #readConnect(cid: number, record: MailReader): Connecting {
    return {
      cid,
      thread: record.u32(),
      account: this.#account(record.u32()),
      clientId: record.text(),
      cleanStart: record.u8() === 1,
      expirySeconds: record.u32(),
      window: record.u32(),
      kept: record.u8() === 1,
      ackWaitMs: record.u32(),
      denied: record.text(),
    };
  }

  #connect(connecting: Connecting): void {
    const { cid, thread, account, clientId, cleanStart, expirySeconds, window, kept, ackWaitMs, denied } =
      connecting;
    let session = account.sessions.get(clientId);
    if (session !== undefined && session.cid >= 0) {
      this.#takeOver(session, connecting);
      return;
    }
    // What ended with its connection can't be resumed.
    const ends = session !== undefined && (cleanStart || session.expirySeconds === 0);
    if (session !== undefined && ends) this.#end(session);
    const isPresent = session !== undefined && !ends;
    if (session === undefined || ends) {
      session = new EngineSession(account, clientId);
      account.sessions.set(clientId, session);
    }
    session.cid = cid;
    session.thread = thread;
    session.window = window;
    session.ackWaitMs = ackWaitMs;
    setDenied(session, denied);
    session.ackDueMs = Infinity;
    session.will = null;
    session.expiresAtMs = Infinity;
    session.expirySeconds = expirySeconds;
    session.kept = kept;
    this.#timed.delete(session);
    this.#byCid.set(cid, session);
    const isStored = !session.kept || account.saveSession(session, 0);
    const answer = this.#begin(session, MAIL_CONNECTED, this.#host.store.ticket);
    answer.u8(isStored ? REASON.success : REASON.serverUnavailable);
    answer.u8(isPresent ? 1 : 0).u32(session.received.size);
    for (const packetId of session.received) answer.u32(packetId);
    for (const { options } of session.filters.values()) answer.filter(options);
    this.#delivery.resume(session);
  }

  /**
   * Another connection is to have the session. The one before is told, and the session stays its own until it is closed: what
   * its client sent before (an acknowledgement, a PUBLISH of QoS 2) is on its way in another ring, and may be behind the CONNECT.
   */
  #takeOver(session: EngineSession, successor: Connecting): void {
    const loser = this.#successors.get(session.cid) ?? session;
    const sessionEnds = successor.cleanStart || session.expirySeconds === 0;
    this.#outbox.begin(loser, MAIL_TAKEOVER, NO_TICKET).u8(sessionEnds ? 1 : 0);
    this.#successors.set(session.cid, successor);
    // What comes for the session from now on waits for the successor.
    session.window = 0;
  }

  #dropSuccessors(isGone: (successor: Connecting) => boolean): void {
    for (const [cid, successor] of this.#successors) if (isGone(successor)) this.#successors.delete(cid);
  }

  #close(session: EngineSession, record: MailReader): void {
    session.expirySeconds = record.u32();
    if (record.u8() === 1) {
      const delaySeconds = record.u32();
      const [qos, retain] = [record.u8(), record.u8() === 1];
      const { subject, reply, headers, payload } = record.message();
      const message = { subject, reply, headers: headers.slice(), payload: payload.slice() };
      session.will = { dueMs: this.#host.clock.ms + delaySeconds * 1000, message, qos, retain };
    }
    this.#detach(session);
  }

  /** The session has no connection any more, or the next one. */
  #detach(session: EngineSession): void {
    const { cid } = session;
    this.#byCid.delete(cid);
    session.cid = -1;
    session.thread = -1;
    session.ackDueMs = Infinity;
    if (session.expirySeconds === 0) this.#end(session);
    else {
      const { ms } = this.#host.clock;
      session.expiresAtMs = expiryMs(ms, session.expirySeconds);
      session.account.saveSession(session, ms);
      this.#time(session);
    }
    const successor = this.#successors.get(cid);
    if (successor === undefined) return;
    this.#successors.delete(cid);
    this.#connect(successor);
  }

  /** The session is over: its will is due, whatever its delay. [MQTT-3.1.3-9] */
  #end(session: EngineSession): void {
    this.#timed.delete(session);
    this.#publishWill(session);
    session.account.dropSession(session);
  }

  #publishWill(session: EngineSession): void {
    const { will, account } = session;
    session.will = null;
    if (will === null) return;
    const { subject, reply, headers, payload } = will.message;
    const encoded = this.#will.clear().message(will.message).view();
    if (will.retain) account.retain(subject, payload.length > 0 ? encoded : null, will.qos);
    if (will.qos > 0) this.#distribute(account, subject, encoded, will.qos, session, null);
    this.#host.effects.send(account.name, subject, reply, headers, payload, NO_TICKET);
  }

  // Time

  #time(session: EngineSession): void {
    const dueMs = Math.min(session.expiresAtMs, session.ackDueMs, session.will?.dueMs ?? Infinity);
    if (dueMs === Infinity) return;
    this.#timed.add(session);
    this.#dueMs = Math.min(this.#dueMs, dueMs);
  }

  /** When `tick` is to be called next. Unix milliseconds. */
  nextDueMs(): number {
    return this.#dueMs;
  }

  /** Ends sessions whose time is over, publishes wills that are due, and sends again what waits for `ack_wait`. */
  tick(): void {
    const { ms } = this.#host.clock;
    if (ms < this.#dueMs) return;
    this.#dueMs = Infinity;
    for (const session of [...this.#timed]) {
      if (session.expiresAtMs <= ms) {
        this.#end(session);
        continue;
      }
      if ((session.will?.dueMs ?? Infinity) <= ms) this.#publishWill(session);
      if (session.ackDueMs <= ms) this.#delivery.repeat(session, ms);
      this.#timed.delete(session);
      this.#time(session);
    }
  }

  // Subscriptions

  #subscribe(session: EngineSession, record: MailReader): void {
    const packetId = record.u32();
    const codes = record.bytes();
    const requests: { options: FilterOptions; wantsRetained: boolean }[] = [];
    while (record.hasMore) {
      const wantsRetained = record.u8() === 1;
      const options = record.filter();
      session.account.setFilter(session, options);
      requests.push({ options, wantsRetained });
    }
    if (session.kept) session.account.saveSession(session, 0);
    const ticket = session.kept ? this.#host.store.ticket : NO_TICKET;
    this.#begin(session, MAIL_SUBSCRIBED, ticket).u32(packetId).bytes(codes);
    for (const { options, wantsRetained } of requests)
      if (wantsRetained) this.#openRetained(session, options);
  }

  #unsubscribe(session: EngineSession, record: MailReader): void {
    const packetId = record.u32();
    const codes = record.bytes();
    while (record.hasMore) session.account.removeFilter(session, record.text());
    if (session.kept) session.account.saveSession(session, 0);
    // The server itself ended them: there is nothing to answer.
    if (packetId === 0) return;
    const ticket = session.kept ? this.#host.store.ticket : NO_TICKET;
    this.#begin(session, MAIL_UNSUBSCRIBED, ticket).u32(packetId).bytes(codes);
  }

  // Retained messages

  #openRetained(session: EngineSession, options: FilterOptions): void {
    const visit = session.account.openRetained(session, options);
    if (visit !== null) this.#visits.push(visit);
  }

  /** Whether `advance` has something to do, and may. */
  get hasMore(): boolean {
    return this.#visits.length > 0 && !this.#host.effects.congested;
  }

  /** Sends a portion of the retained messages that new subscriptions are to get. */
  advance(): void {
    if (!this.hasMore) return;
    const visit = this.#visits.shift()!;
    const { session, cid, options } = visit;
    const isLeft = session.cid !== cid && !(session.kept && options.qos > 0);
    // Or the subscription ended, or was made anew meanwhile.
    if (isLeft || session.filters.get(options.filter)?.options !== options) return;
    if (this.#sendRetained(visit)) this.#visits.push(visit);
  }

  /** @returns whether there may be more */
  #sendRetained(visit: RetainedVisit): boolean {
    const { session, options } = visit;
    const { account } = session;
    const kept: { message: Uint8Array; qos: number }[] = [];
    let records: MailBatch | null = null;
    let begun = 0;
    let bytes = 0;
    const more = account.visitRetained(visit, (message, retainedQos) => {
      const qos = Math.min(retainedQos, options.qos);
      bytes += message.length;
      if (qos > 0 && session.kept) kept.push({ message: message.slice(), qos });
      else if (session.cid === visit.cid) {
        if (records === null || records.length - begun > RETAINED_RECORD_BYTES) {
          records = this.#begin(session, MAIL_RETAINED, NO_TICKET);
          begun = records.length;
          records.u8(options.qos).u32(options.subscriptionId);
        }
        records.u8(qos).raw(message);
      }
      return bytes < RETAINED_PORTION_BYTES;
    });
    const subscriptionIds = options.subscriptionId === 0 ? [] : [options.subscriptionId];
    for (const { message, qos } of kept) {
      const recipient = { session, qos, retainAsPublished: false, subscriptionIds };
      if (!this.#isFull(recipient))
        account.enqueue(new MailReader(message).text(), message, [recipient], true);
    }
    if (kept.length > 0) this.#delivery.pump(session);
    return more;
  }

  // Messages

  #publish(cid: number, record: MailReader): void {
    const account = this.#account(record.u32());
    const qos = record.u8();
    const retain = record.u8() === 1;
    const packetId = record.u32();
    const groups = record.groups();
    const message = record.rest();
    const subject = record.repeatedText(this.#subjects);
    const publisher = this.#byCid.get(cid) ?? null;
    let isKept = !retain || account.retain(subject, hasPayload(record) ? message : null, qos);
    if (qos > 0 && isKept) isKept = this.#distribute(account, subject, message, qos, publisher, groups);
    if (publisher === null || packetId === 0) return;
    if (qos === 2 && isKept && publisher.kept) {
      publisher.received.add(packetId);
      account.log(publisher, LOG_RECEIVED, packetId);
    }
    const reason = isKept ? REASON.success : REASON.quotaExceeded;
    // A stream may have stored it as well: the publish comes in front of this mail.
    this.#outbox.answer(publisher, qos === 1 ? PUBACK : PUBREC, packetId, reason, this.#host.store.ticket);
  }

  /**
   * Queues a message with the sessions that are to have it.
   *
   * @param message as `MailWriter.message` writes it
   * @param groups queue groups as the publisher's shard found them; null: it isn't known, shared subscriptions are left out
   * @returns false when the store refuses
   */
  #distribute(
    account: EngineAccount,
    subject: string,
    message: Uint8Array,
    qos: number,
    publisher: EngineSession | null,
    groups: ReadonlyMap<string, boolean> | null,
  ): boolean {
    const known = account.recipients(subject, qos, publisher);
    const matching = known.recipients;
    let recipients = matching;
    const full = matching.find(this.#isFull);
    if (full !== undefined) {
      recipients = matching.filter((recipient) => !this.#isFull(recipient));
      this.#noteDropped(full.session);
    }
    if (recipients.length > 0 && !this.#enqueue(account, subject, message, recipients)) return false;
    if (groups === null || (groups.size === 0 && known.shares === null)) return true;
    return this.#share(account, message, known, groups);
  }

  /** Gives the message to one session of each shared subscription that no one else serves. @returns false when the store refuses */
  #share(
    account: EngineAccount,
    message: Uint8Array,
    { subject, qos, shares }: KnownRecipients,
    groups: ReadonlyMap<string, boolean>,
  ): boolean {
    for (const [share, isServed] of groups)
      if (!isServed && !this.#shareOne(account, subject, message, qos, share, shares)) return false;
    // The publisher's shard knew of no member that is connected.
    for (const share of shares?.keys() ?? [])
      if (!groups.has(share) && !this.#shareOne(account, subject, message, qos, share, shares)) return false;
    return true;
  }

  #shareOne(
    account: EngineAccount,
    subject: string,
    message: Uint8Array,
    qos: number,
    share: string,
    shares: Shares | null,
  ): boolean {
    const members = shares?.get(share) ?? [];
    const recipient = this.#picks.pick(account.index, members, subject, qos, share, message);
    if (recipient !== null) return this.#enqueue(account, subject, message, [recipient]);
    if (this.#picks.full !== null) this.#noteDropped(this.#picks.full);
    return true;
  }

  /** A message that no MQTT client published, and a shard gave to a session as a member of a shared subscription. */
  #keep(session: EngineSession, record: MailReader): void {
    const qos = record.u8();
    const [retain, subscriptionId] = [record.u8() === 1, record.u32()];
    const message = record.rest();
    const subscriptionIds = subscriptionId === 0 ? [] : [subscriptionId];
    const recipient = { session, qos, retainAsPublished: retain, subscriptionIds };
    if (this.#isFull(recipient)) this.#noteDropped(session);
    else this.#enqueue(session.account, record.repeatedText(this.#subjects), message, [recipient]);
  }

  /** @returns false when the store refuses */
  #enqueue(
    account: EngineAccount,
    subject: string,
    message: Uint8Array,
    recipients: readonly Recipient[],
  ): boolean {
    const seq = account.enqueue(subject, message, recipients, false);
    if (seq < 0) return false;
    // Those who have room in their window get it from here: it need not be read again.
    this.#delivery.takeFresh(seq, message);
    for (const { session } of recipients) if (session.cid >= 0) this.#delivery.pump(session);
    this.#delivery.takeFresh(-1, EMPTY_BYTES);
    return true;
  }

  /** One message too many is lost for a session. */
  readonly #isFull = ({ session }: { readonly session: EngineSession }): boolean =>
    session.queue.size >= this.#host.queueMaxMsgs;

  /** A session's queue is full and a message lost for it: said now, or with the next ones in a minute. */
  #noteDropped({ clientId, account }: EngineSession): void {
    this.#dropped++;
    const { clock, effects } = this.#host;
    if (clock.ms < this.#droppedToldMs + DROPPED_PAUSE_MS) return;
    const id = JSON.stringify(Buffer.from(clientId, 'latin1').toString('utf8'));
    effects.warn(
      `MQTT: the queue of session ${id} in account ${JSON.stringify(account.name)} is full; ` +
        `messages dropped for full queues so far: ${this.#dropped}`,
    );
    this.#droppedToldMs = clock.ms;
  }

  #acknowledge(session: EngineSession, type: number, packetId: number, reason: number): void {
    const { store } = this.#host;
    if (type === PUBREL) {
      const isKnown = session.received.delete(packetId);
      if (isKnown) session.account.log(session, LOG_COMPLETED, packetId);
      const code = isKnown ? REASON.success : REASON.packetIdentifierNotFound;
      this.#outbox.answer(session, PUBCOMP, packetId, code, store.ticket);
      return;
    }
    const entry = session.entryOf(packetId);
    const isUnderWay = entry !== undefined && entry.state !== QUEUED;
    if (type === PUBREC && reason < REASON.unspecifiedError) {
      if (isUnderWay && entry.qos === 2 && entry.state === SENT) {
        entry.state = RELEASED;
        session.account.log(session, LOG_RELEASED, entry.ordinal);
        this.#delivery.awaitAck(session, entry);
      }
      const code = isUnderWay ? REASON.success : REASON.packetIdentifierNotFound;
      this.#outbox.answer(session, PUBREL, packetId, code, store.ticket);
      return;
    }
    if (!isUnderWay) return;
    // A PUBACK that is a refusal ends any exchange: the shard says so of what it couldn't send.
    const ends = reason >= REASON.unspecifiedError || (entry.qos === 1 ? type === PUBACK : type === PUBCOMP);
    if (!ends) return;
    this.#delivery.finish(session, entry);
    this.#delivery.pump(session);
  }

  #begin(session: EngineSession, kind: number, ticket: number): MailBatch {
    return this.#outbox.begin(session, kind, ticket);
  }

  /** Hands over what is to be said to the shards: to be called when what arrived together has been taken in. */
  flush(): void {
    for (const account of this.#accounts.values()) account.count();
    this.#outbox.flush();
  }
}

/** @param record behind the subject */
function hasPayload(record: MailReader): boolean {
  record.bytes();
  record.bytes();
  return record.bytes().length > 0;
}
