/**
 * All consumers of one stream: where they are stored, which of them a message concerns, and what clients send them.
 *
 * - **Storage.** A consumer's configuration is metadata of the stream's store, its state a log beside it (`state-log.ts`),
 *   both under `consumer.<name>`. Those of memory streams and with `mem_storage` are kept in memory alone.
 * - **Index.** Consumers with the same filters are a group (`filter-group.ts`). Groups are in a sublist by filter, so a stored
 *   message touches those that match; the group without filters is beside it.
 * - **Subscriptions** are the stream's, not each consumer's: ten thousand consumers are no interest more for the shards.
 *   A message for a consumer that isn't there is answered as if nobody listened.
 */

import { latin1, latin1Bytes } from '../../../base/latin1.ts';
import { findHeader, headerText, noRespondersHeader } from '../../../protocol/nats/headers.ts';
import { Sublist } from '../../../subject/sublist.ts';
import { wireText } from '../../../subject/wire-text.ts';
import { CallbackSubscription, EMPTY_BYTES, type InboundMessage, NO_TICKET } from '../../effects.ts';
import { type ApiError, apiError, apiErrorText } from '../../errors.ts';
import type { ReadyWork } from '../../jetstream.ts';
import { compareBytes } from '../../json-object.ts';
import { randomId, shortHash } from '../../names.ts';
import { releaseMessage, releaseUnneeded } from '../../retention.ts';
import { StoredMessage } from '../../store/contract.ts';
import type { Stream } from '../../stream.ts';
import type { StreamConfig } from '../../stream-config.ts';
import type { ConsumerManager, RemovalReason, StoredSubject, StreamReader } from '../../stream-consumers.ts';
import { joinTime } from '../../time.ts';
import { adviseCreated, adviseDeleted } from '../consumer-advisories.ts';
import type { ConsumerConfig, ConsumerHandle, StreamConsumersHandle } from '../contract.ts';
import { AckSubject } from './ack-subject.ts';
import { acknowledgeAll, receiveAck } from './acks.ts';
import { archiveText, configBytes, KEY_PREFIX, readArchive, readConfigBytes } from './archive.ts';
import { Consumer } from './consumer.ts';
import { ConsumerState } from './consumer-state.ts';
import { FilterEntry, FilterGroup } from './filter-group.ts';
import { PullSide } from './pull-side.ts';
import { PushSide } from './push-side.ts';
import { settingsOf } from './settings.ts';
import { startPosition } from './start-position.ts';
import { applyRecord, encodeState, StateLog } from './state-log.ts';
import { CONSUMER_DELETED, PUSH_BASED } from './status-message.ts';

const DOT = 46;
const ackSubject = new AckSubject();

const GENERATED_NAME_CHARACTERS = 8;

export class StreamConsumers implements ConsumerManager, StreamConsumersHandle, StreamReader, ReadyWork {
  /** What it logs is in the log behind what it is about. */
  readonly isEarly = true;
  readonly stream: Stream;
  readonly log: StateLog;
  /** By name in wire form. */
  readonly #consumers = new Map<string, Consumer>();
  /** Groups by `FilterGroup.key`. */
  readonly #groups = new Map<string, FilterGroup>();
  readonly #filters = new Sublist<FilterEntry>();
  /** Entries of `#filters` by group. */
  readonly #entries = new Map<FilterGroup, FilterEntry[]>();
  /** The group without filters. */
  #unfiltered: FilterGroup | null = null;
  #sorted: Consumer[] | null = null;
  #subscriptions: CallbackSubscription[] = [];
  #opened = false;
  /** The consumer the last message was for, and its name as bytes. */
  #recent: Consumer | null = null;
  #recentName = EMPTY_BYTES;

  constructor(stream: Stream) {
    this.stream = stream;
    this.log = new StateLog(stream.store, () => stream.engine.ready(this));
  }

  // --- as the API sees them ----------------------------------------------------------------------------------------

  find(name: string): Consumer | null {
    return this.#consumers.get(wireText(name)) ?? null;
  }

  list(): readonly Consumer[] {
    this.#sorted ??= [...this.#consumers.values()].sort((a, b) => compareBytes(a.name, b.name));
    return this.#sorted;
  }

  create(config: ConsumerConfig): Consumer | ApiError {
    const { stream } = this;
    const given = config.name === '' ? config.durableName : config.name;
    const name = given === '' ? this.#freshName() : given;
    const { mode, filters } = settingsOf(config);
    const filter = filters.length === 0 ? null : stream.store.filter(filters);
    const start = startPosition(config, stream.store, filter, stream.config.maxMsgsPerSubject);
    const state = new ConsumerState(mode, start.streamSeq);
    state.listUpToSeq = start.listUpToSeq;
    const { clock } = stream.engine;
    const createdNs = joinTime(clock.ms, clock.nanos);
    if (!this.#storeNew(name, config, createdNs, state))
      return apiErrorText(10012, stream.store.failure?.message ?? 'store failed');
    const consumer = new Consumer(this, name, config, createdNs, state);
    this.#add(consumer);
    adviseCreated(consumer);
    if (consumer.isPaused) consumer.advisePause();
    return consumer;
  }

  /** For a consumer that was made without a name. */
  #freshName(): string {
    for (;;) {
      const name = randomId(GENERATED_NAME_CHARACTERS, this.stream.engine.random);
      if (!this.#consumers.has(name)) return name;
    }
  }

  #storeNew(name: string, config: ConsumerConfig, createdNs: bigint, state: ConsumerState): boolean {
    if (!this.persists(config)) return true;
    const { store } = this.stream.engine;
    store.beginGroup();
    const stored = this.store(name, config, createdNs) && this.log.whole(this.keyOf(name), state);
    store.endGroup();
    return stored;
  }

  delete(handle: ConsumerHandle): ApiError | null {
    const consumer = this.#consumers.get(wireText(handle.name));
    if (consumer === undefined) return apiError(10014);
    const { stream } = this;
    if (consumer.log !== null) {
      this.log.flush();
      const { store } = stream.engine;
      store.beginGroup();
      const dropped = stream.store.putMetadata(consumer.key, null) && stream.store.dropConsumer(consumer.key);
      store.endGroup();
      if (!dropped) return apiErrorText(10012, stream.store.failure?.message ?? 'store failed');
    }
    this.#forget(consumer);
    consumer.close(CONSUMER_DELETED);
    releaseUnneeded(stream);
    adviseDeleted(consumer);
    return null;
  }

  // --- storage -----------------------------------------------------------------------------------------------------

  keyOf(name: string): string {
    return KEY_PREFIX + name;
  }

  /** Whether a consumer of this configuration is on disk. */
  persists(config: ConsumerConfig): boolean {
    return this.stream.store.storage === 'file' && !config.memStorage;
  }

  /** Stores a configuration. @returns false when the store refused */
  store(name: string, config: ConsumerConfig, createdNs: bigint): boolean {
    if (!this.persists(config)) return true;
    return this.stream.store.putMetadata(this.keyOf(name), configBytes(config, createdNs));
  }

  /** Takes up the consumers that were there before the start. */
  recover(): void {
    const { store } = this.stream;
    for (const key of store.metadataKeys()) {
      if (key.startsWith(KEY_PREFIX)) this.#recoverOne(key.slice(KEY_PREFIX.length), key);
    }
    for (const key of store.consumerLogKeys()) if (key.startsWith(KEY_PREFIX)) store.dropConsumer(key);
    if (this.stream.config.retention !== 'limits') this.#releaseSettled();
  }

  /**
   * Removes what was settled and not yet removed when a crash came: a checkpoint may have had the state of the consumer
   * already. Messages that nobody has looked at yet are not touched.
   */
  #releaseSettled(): void {
    const { store } = this.stream;
    const message = new StoredMessage();
    for (const consumer of this.#consumers.values()) {
      const { filter, state } = consumer;
      for (let at = store.firstSeq; store.next(filter, at, message, true); at = message.sequence + 1) {
        if (message.sequence >= state.streamSeq) break;
        if (!consumer.needs(message.sequence)) releaseMessage(this.stream, message.sequence);
      }
    }
  }

  #recoverOne(name: string, key: string): void {
    const { store, engine, account } = this.stream;
    const path = `${account.name} > ${this.stream.name} > ${name}`;
    const bytes = store.getMetadata(key);
    const stored = bytes === null ? null : readConfigBytes(bytes);
    if (stored === null) {
      engine.effects.warn(`JetStream consumer '${path}' has no readable configuration, it stays as it is`);
      return;
    }
    const { config, createdNs } = stored;
    const state = new ConsumerState(settingsOf(config).mode, Math.max(1, store.firstSeq));
    const log = store.takeConsumerLog(key);
    const records = log === null ? [] : log.snapshot === null ? log.records : [log.snapshot, ...log.records];
    for (const record of records) {
      if (!applyRecord(state, record))
        engine.effects.warn(`JetStream consumer '${path}' has a record that can't be read`);
    }
    state.reconcile(store.firstSeq, (sequence) => store.nextSeq(null, sequence) === sequence);
    this.log.whole(key, state);
    this.#add(new Consumer(this, name, config, createdNs, state));
  }

  stateOf(key: string): Uint8Array | null {
    if (!key.startsWith(KEY_PREFIX)) return null;
    const consumer = this.#consumers.get(wireText(key.slice(KEY_PREFIX.length)));
    return consumer === undefined ? null : encodeState(consumer.state);
  }

  archive(): { name: string; json: string }[] {
    return this.list()
      .filter(({ config }) => !config.direct)
      .map(({ name, config, state }) => ({ name, json: archiveText(config, state) }));
  }

  restore(name: string, json: string): void {
    const archived = readArchive(json);
    if (archived === null || this.find(name) !== null) {
      this.stream.engine.effects.warn(
        `JetStream consumer '${this.stream.account.name} > ${this.stream.name} > ${name}' can't be restored`,
      );
      return;
    }
    const { config, state } = archived;
    const { clock } = this.stream.engine;
    const createdNs = joinTime(clock.ms, clock.nanos);
    const { store } = this.stream;
    state.reconcile(store.firstSeq, (sequence) => store.nextSeq(null, sequence) === sequence);
    if (!this.#storeNew(name, config, createdNs, state)) return;
    this.#add(new Consumer(this, name, config, createdNs, state));
  }

  /** Logs what was gathered since: acknowledgements nobody waits for. */
  run(): boolean {
    this.log.flush();
    return false;
  }

  // --- what the stream asks ----------------------------------------------------------------------------------------

  configProblem(config: StreamConfig): ApiError | null {
    const { maxAckPending, inactiveThresholdNs } = config.consumerLimits;
    const exceeding = this.list().filter(({ hidden, config: own }) => {
      if (hidden) return false;
      const tooLong = inactiveThresholdNs > 0n && own.inactiveThresholdNs > inactiveThresholdNs;
      return tooLong || (maxAckPending > 0 && own.maxAckPending > maxAckPending);
    });
    if (exceeding.length === 0) return null;
    const names = exceeding.map(({ name }) => name).join(', ');
    return apiErrorText(10069, `change to limits violates consumers: ${names}`);
  }

  streamUpdated(): void {
    for (const consumer of this.#consumers.values()) consumer.wake();
  }

  streamDeleted(): void {
    for (const consumer of [...this.list()]) {
      this.#forget(consumer);
      consumer.close(CONSUMER_DELETED);
      adviseDeleted(consumer);
    }
  }

  /** Begins to listen. */
  open(): void {
    this.#opened = true;
    this.#subscribe();
  }

  /** Stops listening; what is stored stays. */
  close(): void {
    for (const subscription of this.#subscriptions) this.stream.engine.effects.unsubscribe(subscription);
    this.#subscriptions = [];
    this.#opened = false;
    this.log.flush();
    for (const consumer of this.#consumers.values()) consumer.close(null);
    this.stream.engine.unready(this);
  }

  /** Ends what waits at pull consumers, because the server stops. */
  shutDown(): void {
    for (const { side } of this.#consumers.values()) {
      if (side instanceof PullSide) side.endAll('409 Server Shutdown');
    }
    this.log.flush();
  }

  // --- who a message concerns --------------------------------------------------------------------------------------

  hasInterest(subject: string): boolean {
    return this.#unfiltered !== null || this.#filters.hasInterest(subject);
  }

  needs(sequence: number, subject: string): boolean {
    if (this.#unfiltered?.needs(sequence) === true) return true;
    if (this.#filters.count === 0) return false;
    let needed = false;
    this.#filters.visit(subject, ({ group }) => {
      needed = group.needs(sequence);
      return needed;
    });
    return needed;
  }

  /** The message that is told of: one visitor serves all. */
  #storedSeq = 0;

  readonly #tellStored = ({ group }: FilterEntry): undefined => {
    group.stored(this.#storedSeq);
    return undefined;
  };

  stored(sequence: number, message: StoredSubject): void {
    this.#storedSeq = sequence;
    this.#unfiltered?.stored(sequence);
    if (this.#filters.count > 0) this.#filters.visit(message.subject, this.#tellStored);
  }

  removed(sequence: number, subject: string, reason: RemovalReason): void {
    this.#unfiltered?.removed(sequence, reason);
    if (this.#filters.count === 0) return;
    this.#filters.visit(subject, ({ group }) => {
      group.removed(sequence, reason);
      return undefined;
    });
  }

  purged(): void {
    for (const consumer of this.#consumers.values()) consumer.purged();
  }

  /** A consumer has other filters than these. */
  filtersChanged(consumer: Consumer): void {
    this.#unindex(consumer);
    this.#index(consumer);
  }

  #index(consumer: Consumer): void {
    const { filters } = consumer.settings;
    const key = FilterGroup.key(filters);
    const group = this.#groups.get(key) ?? this.#newGroup(key, filters);
    group.add(consumer);
    consumer.group = group;
  }

  #newGroup(key: string, filters: readonly string[]): FilterGroup {
    const group = new FilterGroup(filters, this.stream.engine);
    this.#groups.set(key, group);
    if (filters.length === 0) this.#unfiltered = group;
    else {
      const entries = filters.map((filter) => new FilterEntry(filter, group));
      for (const entry of entries) this.#filters.insert(entry);
      this.#entries.set(group, entries);
    }
    return group;
  }

  #unindex(consumer: Consumer): void {
    const { group } = consumer;
    group.delete(consumer);
    if (group.members.size > 0) return;
    this.#groups.delete(FilterGroup.key(group.filters));
    if (this.#unfiltered === group) this.#unfiltered = null;
    for (const entry of this.#entries.get(group) ?? []) this.#filters.remove(entry);
    this.#entries.delete(group);
  }

  #add(consumer: Consumer): void {
    if (this.#consumers.size === 0) this.stream.readers.add(this);
    this.#consumers.set(wireText(consumer.name), consumer);
    this.#sorted = null;
    if (!consumer.hidden) this.stream.readers.visible++;
    this.#index(consumer);
    this.#subscribe();
  }

  #forget(consumer: Consumer): void {
    this.#consumers.delete(wireText(consumer.name));
    this.#sorted = null;
    if (!consumer.hidden) this.stream.readers.visible--;
    this.#unindex(consumer);
    this.#recent = null;
    if (this.#consumers.size === 0) this.stream.readers.delete(this);
  }

  // --- what clients send -------------------------------------------------------------------------------------------

  /** Whether requests of clients come here. */
  get listens(): boolean {
    return this.#subscriptions.length > 0;
  }

  /** Listens as soon as there is a consumer, and goes on: the subjects of one that went have to be answered. */
  #subscribe(): void {
    if (!this.#opened || this.#subscriptions.length > 0 || this.#consumers.size === 0) return;
    const { stream } = this;
    const { effects, options } = stream.engine;
    const account = stream.account.name;
    const name = wireText(stream.name);
    const hash = shortHash(account);
    const listen = (subject: string, receive: (message: InboundMessage) => void): void => {
      const subscription = new CallbackSubscription(account, subject, receive);
      this.#subscriptions.push(subscription);
      effects.subscribe(subscription);
    };
    const pull = (message: InboundMessage) => this.#receivePull(message);
    const ack = (message: InboundMessage) => this.#receiveAck(message);
    listen(`$JS.API.CONSUMER.MSG.NEXT.${name}.*`, pull);
    if (options.domain !== '')
      listen(`$JS.${wireText(options.domain)}.API.CONSUMER.MSG.NEXT.${name}.*`, pull);
    listen(`$JS.ACK.${name}.*.*.*.*.*.*`, ack);
    listen(`$JS.ACK.*.${hash}.${name}.*.*.*.*.*.>`, ack);
    listen(`$JS.FC.${name}.*.*`, (message) => this.#receiveFlow(message));
  }

  #receivePull(message: InboundMessage): void {
    const { bytes, subjectStart, subjectEnd } = message;
    let start = subjectEnd;
    while (start > subjectStart && bytes[start - 1] !== DOT) start--;
    const consumer = this.#consumerNamed(bytes, start, subjectEnd);
    if (consumer === null) this.#nobody(message);
    else if (consumer.side instanceof PullSide)
      consumer.side.receive(message.reply, message.headers(), message.payload());
    else if (message.reply !== '')
      this.stream.engine.effects.send(
        this.stream.account.name,
        message.reply,
        '',
        PUSH_BASED,
        EMPTY_BYTES,
        NO_TICKET,
      );
  }

  #receiveAck(message: InboundMessage): void {
    if (!ackSubject.parse(message.bytes, message.subjectStart, message.subjectEnd)) return;
    const consumer = this.#consumerNamed(message.bytes, ackSubject.nameStart, ackSubject.nameEnd);
    // Nor does nats-server listen for acknowledgements nobody wants.
    if (consumer === null || consumer.settings.mode === 'none') this.#nobody(message);
    else receiveAck(consumer, ackSubject, message);
  }

  /** `$JS.FC.<stream>.<consumer>.<id>`: an answer to a flow control request (§5). */
  #receiveFlow(message: InboundMessage): void {
    const name = message.subject.split('.')[3]!;
    const consumer = this.#consumers.get(name);
    if (consumer === undefined) {
      this.#nobody(message);
      return;
    }
    if (consumer.config.ackPolicy === 'flow_control') acknowledgeFlow(consumer, message.headers());
    if (consumer.side instanceof PushSide) consumer.side.flowAnswered(message.subject);
  }

  #consumerNamed(bytes: Uint8Array, start: number, end: number): Consumer | null {
    const recent = this.#recentName;
    const length = end - start;
    if (this.#recent !== null && recent.length === length) {
      let same = 0;
      while (same < length && recent[same] === bytes[start + same]) same++;
      if (same === length) return this.#recent;
    }
    const name = latin1(bytes, start, end);
    const found = this.#consumers.get(name) ?? null;
    if (found !== null) {
      this.#recent = found;
      this.#recentName = latin1Bytes(name);
    }
    return found;
  }

  /** Nobody of that name is here: the answer the client would get if nobody listened. */
  #nobody(message: InboundMessage): void {
    if (message.reply === '') return;
    const { engine, account } = this.stream;
    const status = noRespondersHeader(message.subject);
    engine.effects.send(account.name, message.reply, '', status, EMPTY_BYTES, NO_TICKET);
  }
}

function acknowledgeFlow(consumer: Consumer, headers: Uint8Array): void {
  if (findHeader(headers, 'Nats-Last-Consumer') === null) return;
  const consumerSeq = Number(headerText(headers, 'Nats-Last-Consumer'));
  const streamSeq = Number(headerText(headers, 'Nats-Last-Stream'));
  const known = Number.isSafeInteger(consumerSeq) && Number.isSafeInteger(streamSeq);
  if (known && streamSeq > 0 && streamSeq < consumer.state.streamSeq)
    acknowledgeAll(consumer, streamSeq, consumerSeq);
}
