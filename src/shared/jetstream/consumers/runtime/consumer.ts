/**
 * One consumer: its configuration and state, its position in the stream, and when it has something to do.
 *
 * ```
 *   stored ──► wake ──► engine.ready ──► run (`isEarly`, or after the commit) ──► delivery.ts ──► side (pull or push)
 *     ↑ (filter-group.ts: who waits for it)                                           │ nothing left: waits
 *     └─────────────────────────────────────────────────────────────────────────────┘
 *   ack    ──► acks.ts ──► state, log ──► wake when max_ack_pending held it back
 *   due    ──► expiry of acknowledgements, of requests, heartbeats, pause, inactivity
 * ```
 *
 * Times it waits for are in the engine's queue as one: the earliest. It may be early (what it was set for has been dealt
 * with); `due` looks at everything and sets the next.
 */
import { latin1Bytes } from '../../../base/latin1.ts';
import { wireText } from '../../../subject/wire-text.ts';
import type { DueItem } from '../../due-queue.ts';
import { NO_TICKET } from '../../effects.ts';
import { type ApiError, apiErrorText } from '../../errors.ts';
import type { JetStream, ReadyWork } from '../../jetstream.ts';
import { releaseMessage, releaseUnneeded } from '../../retention.ts';
import type { StoredMessage, SubjectFilter } from '../../store/contract.ts';
import type { Stream } from '../../stream.ts';
import type { RemovalReason } from '../../stream-consumers.ts';
import { NANOS_PER_MILLI, parseTime, TimeError } from '../../time.ts';
import {
  adviseMaxDeliveries,
  advisePaused,
  adviseTerminated,
  adviseUnpinned,
} from '../consumer-advisories.ts';
import { pausedConfig } from '../consumer-config-update.ts';
import type { ConsumerConfig, ConsumerHandle, ConsumerStatus } from '../contract.ts';
import type { ConsumerState } from './consumer-state.ts';
import { buryMessage } from './dead-letters.ts';
import { runDelivery } from './delivery.ts';
import type { DeliverySide } from './delivery-side.ts';
import type { FilterGroup } from './filter-group.ts';
import { LastMessages } from './last-messages.ts';
import { PendingCount } from './pending-count.ts';
import { PullSide } from './pull-side.ts';
import { PushSide } from './push-side.ts';
import { RedeliveryQueue } from './redelivery-queue.ts';
import { Replay } from './replay.ts';
import { type ConsumerSettings, settingsOf } from './settings.ts';
import type { StateLog } from './state-log.ts';
import type { StreamConsumers } from './stream-consumers.ts';

/** Spread of the time an idle pull consumer is kept beyond its threshold (§11). */
const JITTER_LEAST_MS = 100;
const JITTER_SPREAD_MS = 900;
/** How long a message that the disk doesn't give out is waited for until it is tried again. */
const DISK_RETRY_MS = 1000;

export class Consumer implements ConsumerHandle, DueItem, ReadyWork {
  readonly manager: StreamConsumers;
  readonly stream: Stream;
  readonly name: string;
  /** Of its records in the store. */
  readonly key: string;
  readonly createdNs: bigint;
  readonly state: ConsumerState;
  readonly redeliveries: RedeliveryQueue;
  readonly side: DeliverySide;
  /** Null: its state is not kept. */
  readonly log: StateLog | null;
  /**
   * Whether it delivers what is stored and not synced yet. When the power fails then, the end of the log is gone: the message, and
   * behind it that it was delivered. So the position has to be here, in the same log, and not with the client, for whom
   * another message could have the same sequence afterwards.
   */
  readonly isEarly: boolean;
  filter: SubjectFilter | null = null;
  /** Those with the same filters; set when the consumer is listed. */
  group!: FilterGroup;
  readonly pendingCount = new PendingCount(this);
  replay: Replay | null = null;
  settings: ConsumerSettings;
  dueMs = 0;
  dueIndex = -1;
  closed = false;
  #config: ConsumerConfig;
  #list: LastMessages | null = null;
  #ackPrefix: Uint8Array | null = null;
  /** No message below matches that isn't delivered: searches begin here. */
  #searchSeq = 0;
  #woken = false;
  /** Nothing pending is due before. */
  #pendingDueMs = Infinity;
  #diskRetryMs = Infinity;
  #pausedUntilMs: number;
  #touchedMs: number;
  readonly #jitterMs: number;

  constructor(
    manager: StreamConsumers,
    name: string,
    config: ConsumerConfig,
    createdNs: bigint,
    state: ConsumerState,
  ) {
    this.manager = manager;
    this.stream = manager.stream;
    this.name = name;
    this.key = manager.keyOf(name);
    this.createdNs = createdNs;
    this.#config = config;
    this.settings = settingsOf(config);
    this.log = manager.persists(config) ? manager.log : null;
    this.isEarly = this.engine.options.deliverEarly && this.#keepsPosition();
    this.state = state;
    this.redeliveries = new RedeliveryQueue(state.pending);
    this.#pausedUntilMs = this.settings.pausedUntilMs;
    this.#touchedMs = this.engine.clock.ms;
    this.#jitterMs = JITTER_LEAST_MS + Math.floor(this.engine.random() * JITTER_SPREAD_MS);
    this.#makeFilter();
    if (state.pending.size > 0) this.#pendingDueMs = 0;
    if (config.replayPolicy === 'original') this.replay = new Replay(this, this.stream.store.lastSeq);
    this.side = config.deliverSubject === '' ? new PullSide(this) : new PushSide(this);
    this.#armAll();
    this.wake();
  }

  get engine(): JetStream {
    return this.stream.engine;
  }

  /** Name of the account. */
  get account(): string {
    return this.stream.account.name;
  }

  get config(): ConsumerConfig {
    return this.#config;
  }

  get hidden(): boolean {
    return this.#config.direct || this.#config.sourcing;
  }

  /** Whether what is delivered is known here alone, and as durable as the messages. */
  #keepsPosition(): boolean {
    const { ackPolicy } = this.#config;
    // With `flow_control` a mirror tells its own position.
    const isAcknowledged = ackPolicy === 'explicit' || ackPolicy === 'all';
    return isAcknowledged && !this.hidden && (this.log !== null || this.stream.store.storage === 'memory');
  }

  /** What a promise about the state has to wait for. */
  get ticket(): number {
    return this.log === null ? NO_TICKET : this.stream.ticket;
  }

  /** `$JS.ACK.<stream>.<consumer>.` */
  get ackPrefix(): Uint8Array {
    this.#ackPrefix ??= latin1Bytes(`$JS.ACK.${wireText(this.stream.name)}.${wireText(this.name)}.`);
    return this.#ackPrefix;
  }

  get pushBound(): boolean {
    return this.side instanceof PushSide && this.side.hasInterest;
  }

  get isPaused(): boolean {
    return this.#pausedUntilMs > this.engine.clock.ms;
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  /** Messages that match and were not delivered yet. */
  get numPending(): number {
    return this.pendingCount.value;
  }

  /** Counts them. */
  countPending(): number {
    const { store } = this.stream;
    const from = this.#newFrom();
    const listed = this.#list?.count(store, this.state.streamSeq) ?? 0;
    return listed + (from > store.lastSeq ? 0 : store.numPending(this.filter, from, false));
  }

  /** First sequence that is looked at by the filter alone, behind the list of last messages. */
  #newFrom(): number {
    return Math.max(this.state.streamSeq, this.state.listUpToSeq + 1);
  }

  /** Whether messages are still to be stored until the first that it wants. */
  get isBeyondEnd(): boolean {
    return this.#newFrom() > this.stream.store.lastSeq + 1;
  }

  /** Whether a message that matches is one of those it has not delivered yet. */
  wants(sequence: number): boolean {
    if (sequence >= this.#newFrom()) return true;
    return sequence >= this.state.streamSeq && this.#list?.has(sequence) === true;
  }

  /** Loads the next message that was not delivered. */
  loadNext(into: StoredMessage): boolean {
    const { store } = this.stream;
    if (this.#list !== null) {
      if (this.#list.loadNext(store, this.state.streamSeq, into)) return true;
      if (store.unreadableSeq > 0) return false;
      this.#list = null;
    }
    const from = Math.max(this.#newFrom(), this.#searchSeq);
    // There is no 0; `unreadableSeq` then tells nothing of an earlier look.
    if (from > store.lastSeq) return store.load(0, into);
    if (store.next(this.filter, from, into)) {
      this.#searchSeq = into.sequence;
      return true;
    }
    this.#searchSeq = store.unreadableSeq > 0 ? store.unreadableSeq : store.lastSeq + 1;
    return false;
  }

  /** When the message just looked for can't be read for the disk's fault, delivery waits. @returns whether that is so */
  waitForDisk(): boolean {
    if (this.stream.store.unreadableSeq === 0) return false;
    this.#diskRetryMs = this.engine.clock.ms + DISK_RETRY_MS;
    this.#armAll();
    return true;
  }

  /** A message went out for the first time. */
  deliveredNew(sequence: number): void {
    const { ms } = this.engine.clock;
    const { state, log } = this;
    this.pendingCount.deliver();
    const settled = !this.hasUnsettled;
    state.deliver(sequence, ms);
    if (settled && state.mode !== 'none') this.group.unsettled(this);
    if (state.mode === 'none') log?.position(this.key, sequence, ms);
    else {
      log?.deliver(this.key, sequence, ms);
      if (this.settings.redelivers) this.pendingDue(ms + this.#firstWaitMs());
    }
  }

  /** A message went out again. */
  deliveredAgain(index: number): void {
    const { ms } = this.engine.clock;
    const sequence = this.state.pending.sequence(index);
    this.redeliveries.shift();
    this.state.redeliver(index, ms);
    this.log?.redeliver(this.key, sequence, ms);
    this.pendingDue(ms + this.ackWaitOf(index));
  }

  /** Whether a delivered message is to be settled still. */
  get hasUnsettled(): boolean {
    return this.state.pending.size > 0 || this.state.exhausted !== null;
  }

  /** A message that matches is gone. */
  removed(sequence: number, reason: RemovalReason): void {
    const { state } = this;
    if (sequence >= state.streamSeq) return;
    const index = state.pending.find(sequence);
    if (index < 0) {
      if (state.exhausted?.has(sequence) === true) this.settle(sequence, 0);
      return;
    }
    const deliveries = state.pending.deliveries(index);
    const consumerSeq = state.pending.consumerSeq(index);
    this.settle(sequence, consumerSeq);
    const why =
      reason === 'deleted' ? 'Unacknowledged message was deleted' : 'Message deleted by stream limits';
    adviseTerminated(this, consumerSeq, sequence, deliveries, why);
  }

  /** Messages were purged (§8.3). */
  purged(): void {
    const { store } = this.stream;
    this.pendingCount.invalidate();
    if (!this.state.reconcile(store.firstSeq, (sequence) => store.nextSeq(null, sequence) === sequence))
      return;
    this.log?.whole(this.key, this.state);
    this.wake();
  }

  /** Whether a message that matches still has to be kept for it (jetstream-streams §4.2). */
  needs(sequence: number): boolean {
    const { state } = this;
    if (sequence >= state.streamSeq) return true;
    if (state.exhausted?.has(sequence) === true) return true;
    if (state.mode === 'explicit') return state.pending.find(sequence) >= 0;
    return sequence > state.floorStreamSeq;
  }

  /**
   * A message is acknowledged or need not be any more.
   *
   * @param consumerSeq of the delivery; 0 when it isn't known
   */
  settle(sequence: number, consumerSeq: number): void {
    const { state, stream } = this;
    const { ms } = this.engine.clock;
    const before = state.pending.size;
    if (!state.ack(sequence, consumerSeq, ms)) return;
    // First the removal: a crash between the two leaves an entry whose message is gone, which recovery clears away.
    if (stream.config.retention !== 'limits') releaseMessage(stream, sequence);
    this.log?.ack(this.key, sequence, consumerSeq, ms);
    const { maxAckPending } = this.settings;
    if (maxAckPending > 0 && before >= maxAckPending) this.wake();
  }

  /** A pending message was delivered as often as it may be (§8.2). */
  giveUp(index: number): void {
    const { state, settings } = this;
    const sequence = state.pending.sequence(index);
    const consumerSeq = state.pending.consumerSeq(index);
    const deliveries = state.pending.deliveries(index);
    if (settings.deadLetter !== '') {
      const settle = () => this.settle(sequence, consumerSeq);
      if (!buryMessage(this, sequence, deliveries, 'max_deliver', '', settle)) {
        state.pending.setQueued(index, false);
        state.pending.setTime(index, this.engine.clock.ms);
        this.pendingDue(this.engine.clock.ms + this.ackWaitOf(index));
        return;
      }
    } else {
      const held = settings.maxAckPending > 0 && state.pending.size >= settings.maxAckPending;
      state.exhaust(index);
      this.log?.exhaust(this.key, sequence);
      if (held) this.wake();
    }
    adviseMaxDeliveries(this, sequence, deliveries);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  #firstWaitMs(): number {
    return this.settings.backoffMs?.[0] ?? this.settings.ackWaitMs;
  }

  /** How long a delivery of a pending message waits for its acknowledgement. */
  ackWaitOf(index: number): number {
    const { backoffMs, ackWaitMs } = this.settings;
    if (backoffMs === null) return ackWaitMs;
    return backoffMs[Math.min(this.state.pending.deliveries(index), backoffMs.length) - 1] ?? ackWaitMs;
  }

  /** Has `due` called at a time, or before. */
  arm(timeMs: number): void {
    this.engine.dueQueue.atMost(this, timeMs);
  }

  /** A pending message is due for redelivery then. */
  pendingDue(timeMs: number): void {
    if (timeMs >= this.#pendingDueMs) return;
    this.#pendingDueMs = timeMs;
    this.arm(timeMs);
  }

  /** Asks for a turn to deliver. */
  wake(): void {
    if (this.#woken || this.closed) return;
    this.#woken = true;
    this.engine.ready(this);
  }

  /** Nothing is left for it: the next message that is stored wakes it, if somebody would take one. */
  awaitMessage(): void {
    if (this.side.isOpen && !this.closed) this.group.await(this);
  }

  run(most: number): boolean {
    this.#woken = false;
    const more = runDelivery(this, most);
    this.log?.flush();
    // Asked again, `ready` may take it off the list meanwhile: what is on the list counts as woken.
    if (more) this.#woken = true;
    return more;
  }

  due(): void {
    if (this.closed) return;
    const nowMs = this.engine.clock.ms;
    if (this.#pendingDueMs <= nowMs) this.#expirePending(nowMs);
    this.side.tick();
    if (this.replay !== null && this.replay.resumeMs <= nowMs) this.wake();
    if (this.#pausedUntilMs > 0 && this.#pausedUntilMs <= nowMs) this.#resumed();
    if (this.#diskRetryMs <= nowMs) {
      this.#diskRetryMs = Infinity;
      this.wake();
    }
    if (this.#inactiveDueMs() <= nowMs) {
      this.manager.delete(this);
      return;
    }
    this.#armAll();
  }

  #armAll(): void {
    const replayMs = this.replay?.resumeMs ?? Infinity;
    const nowMs = this.engine.clock.ms;
    const dueMs = Math.min(
      this.#pendingDueMs,
      this.#diskRetryMs,
      this.side.nextDueMs(),
      replayMs > nowMs ? replayMs : Infinity,
      this.#pausedUntilMs > nowMs ? this.#pausedUntilMs : Infinity,
      this.#inactiveDueMs(),
    );
    this.engine.dueQueue.set(this, dueMs);
  }

  /** Queues what is due, gives up what was delivered often enough, and finds the next time. */
  #expirePending(nowMs: number): void {
    const { state, settings, redeliveries } = this;
    const { pending } = state;
    let nextMs = Infinity;
    this.#pendingDueMs = Infinity;
    if (!settings.redelivers) return;
    for (let at = pending.first; at < pending.end; at = pending.next(at)) {
      if (pending.isQueued(at)) continue;
      const dueMs = pending.timeMs(at) + this.ackWaitOf(at);
      if (dueMs > nowMs) nextMs = Math.min(nextMs, dueMs);
      else if (settings.maxDeliver > 0 && pending.deliveries(at) >= settings.maxDeliver) this.giveUp(at);
      else redeliveries.add(at);
    }
    // What could not be given up has set a time of its own.
    this.#pendingDueMs = Math.min(nextMs, this.#pendingDueMs);
    this.wake();
  }

  /** Something happened that says it is in use. */
  touched(): void {
    this.#touchedMs = this.engine.clock.ms;
  }

  /** Interest in the deliver subject began or ended: the inactivity begins or ends with it. */
  interestChanged(): void {
    if (this.settings.inactiveMs > 0) this.#armAll();
  }

  /** When it is to be removed for want of use (§11). Unix milliseconds. */
  #inactiveDueMs(): number {
    const { inactiveMs } = this.settings;
    if (inactiveMs === 0) return Infinity;
    const { side, state, engine } = this;
    const nowMs = engine.clock.ms;
    if (side instanceof PushSide) return side.hasInterest ? Infinity : this.#touchedMs + inactiveMs;
    let sinceMs = Math.max(this.#touchedMs, state.deliveredMs);
    const { pending } = state;
    for (let at = pending.first; at < pending.end && sinceMs + inactiveMs <= nowMs; at = pending.next(at)) {
      sinceMs = Math.max(sinceMs, pending.timeMs(at) + this.ackWaitOf(at));
    }
    const dueMs = sinceMs + inactiveMs + this.#jitterMs;
    return dueMs <= nowMs && side.hasInterest ? nowMs + inactiveMs : dueMs;
  }

  // --- what the API does -------------------------------------------------------------------------------------------

  status(): ConsumerStatus {
    const { state, side, config } = this;
    const waiting = side.waiting;
    const pinning = side instanceof PullSide ? side.pinning : null;
    const [group] = config.priorityGroups;
    return {
      delivered: {
        consumerSeq: state.consumerSeq - 1,
        streamSeq: state.streamSeq - 1,
        lastActiveNs: BigInt(state.deliveredMs) * NANOS_PER_MILLI,
      },
      ackFloor: {
        consumerSeq: state.floorConsumerSeq,
        streamSeq: state.floorStreamSeq,
        lastActiveNs: BigInt(state.ackedMs) * NANOS_PER_MILLI,
      },
      numAckPending: state.pending.size,
      numRedelivered: this.settings.maxDeliver === 1 ? 0 : state.redelivered,
      numWaiting: waiting,
      numPending: Math.min(this.numPending, this.stream.store.messages),
      pushBound: this.pushBound,
      pausedUntilNs: this.isPaused ? BigInt(this.#pausedUntilMs) * NANOS_PER_MILLI : 0n,
      group:
        group === undefined
          ? null
          : { name: group, pinnedId: pinning?.id ?? '', pinnedNs: pinning?.sinceNs ?? 0n },
    };
  }

  update(config: ConsumerConfig): ApiError | null {
    const refusal = this.#store(config);
    if (refusal !== null) return refusal;
    const before = this.settings.filters;
    this.#config = config;
    this.settings = settingsOf(config);
    this.#pausedUntilMs = this.settings.pausedUntilMs;
    this.#touchedMs = this.engine.clock.ms;
    this.#pendingDueMs = 0;
    if (before.join(' ') !== this.settings.filters.join(' ')) {
      this.manager.filtersChanged(this);
      this.#makeFilter();
      releaseUnneeded(this.stream);
    }
    this.side.updated();
    this.#armAll();
    this.wake();
    return null;
  }

  #store(config: ConsumerConfig): ApiError | null {
    if (this.manager.store(this.name, config, this.createdNs)) return null;
    return apiErrorText(10012, this.stream.store.failure?.message ?? 'store failed');
  }

  pause(until: string): ApiError | null {
    if (until === this.#config.pauseUntil) return null;
    const config = pausedConfig(this.#config, until);
    const refusal = this.#store(config);
    if (refusal !== null) return refusal;
    this.#config = config;
    this.settings = settingsOf(config);
    this.#pausedUntilMs = this.settings.pausedUntilMs;
    this.advisePause();
    this.#armAll();
    if (!this.isPaused) this.wake();
    return null;
  }

  /** Tells until when the consumer is paused, or that it is not. */
  advisePause(): void {
    const until = this.#config.pauseUntil === '' ? 0n : parseTime(this.#config.pauseUntil);
    advisePaused(this, until instanceof TimeError ? 0n : until);
  }

  /** The pause is over by itself; the configuration keeps its time. */
  #resumed(): void {
    this.#pausedUntilMs = 0;
    this.advisePause();
    this.wake();
  }

  reset(sequence: number): number {
    const { state } = this;
    const target = sequence > 0 ? sequence : state.floorStreamSeq + 1;
    state.reset(target);
    this.redeliveries.clear();
    this.#list = null;
    this.#searchSeq = 0;
    this.#pendingDueMs = Infinity;
    this.pendingCount.invalidate();
    this.log?.whole(this.key, state);
    releaseUnneeded(this.stream);
    this.wake();
    return target;
  }

  unpin(group: string): void {
    if (!(this.side instanceof PullSide) || !this.#config.priorityGroups.includes(group)) return;
    this.side.pinning?.release();
    adviseUnpinned(this, group, 'admin');
    this.wake();
  }

  #makeFilter(): void {
    const { store } = this.stream;
    const { filters } = this.settings;
    this.filter = filters.length === 0 ? null : store.filter(filters);
    this.#searchSeq = 0;
    this.pendingCount.invalidate();
    const { listUpToSeq, streamSeq } = this.state;
    this.#list = listUpToSeq >= streamSeq ? LastMessages.of(store, this.filter, listUpToSeq) : null;
  }

  /** Ends it. @param status told to those who wait; null: nobody is told */
  close(status: Uint8Array | null): void {
    this.side.close(status);
    this.closed = true;
    this.engine.unready(this);
    this.engine.dueQueue.remove(this);
  }
}
