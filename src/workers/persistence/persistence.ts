import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import {
  type JetStreamServerOptions,
  MQTT_INTERNAL_ACCOUNT,
  type ServerOptions,
} from '../../shared/base/options.ts';
import { Prng } from '../../shared/base/prng.ts';
import { Account } from '../../shared/broker/account.ts';
import { MeshAccounts } from '../../shared/broker/mesh-accounts.ts';
import type { RouteGroup } from '../../shared/broker/route.ts';
import { BLOCKED, Router } from '../../shared/broker/router.ts';
import { type ThreadLinkSink, ThreadLinks } from '../../shared/broker/thread-links.ts';
import { ACCOUNT_ENDPOINTS } from '../../shared/jetstream/account-info.ts';
import { Api } from '../../shared/jetstream/api.ts';
import { ApiQueue } from '../../shared/jetstream/api-queue.ts';
import { CONSUMER_ENDPOINTS } from '../../shared/jetstream/consumers/consumer-api.ts';
import type { InboundMessage } from '../../shared/jetstream/effects.ts';
import { JetStream } from '../../shared/jetstream/jetstream.ts';
import { SNAPSHOT_ENDPOINTS } from '../../shared/jetstream/snapshot-api.ts';
import type { Store } from '../../shared/jetstream/store/contract.ts';
import { STREAM_ENDPOINTS } from '../../shared/jetstream/stream-api.ts';
import type { InterestRecord } from '../../shared/mail/interest-record.ts';
import type { MessageRun } from '../../shared/mail/message-run.ts';
import type { MqttEngine } from '../../shared/mqtt/engine.ts';
import { ENGINE_SUBJECT } from '../../shared/mqtt/mail.ts';
import { Doorbell } from '../../shared/ring/doorbell.ts';
import { ApiListener } from './api-listener.ts';
import { Commits } from './commits.ts';
import type {
  FromPersistence,
  PersistenceLogLevel,
  PersistenceStart,
  ThreadLinkMemory,
  ToPersistence,
} from './contract.ts';
import { EarlyDeliveries } from './early-deliveries.ts';
import { EngineEffects } from './engine-effects.ts';
import { EngineListener, memberGroup } from './engine-listener.ts';
import type { EngineSettings } from './engine-settings.ts';
import { FirstPortion } from './first-portion.ts';
import { GroupSender } from './group-sender.ts';
import { startHeartbeat } from './heartbeat.ts';
import { InboundCopy } from './inbound-copy.ts';
import type { InterestWatches } from './interest-watches.ts';
import { PersistenceMonitor } from './monitor.ts';
import { newMqttEngine } from './mqtt-engine.ts';
import type { Outgoing, OutgoingTarget } from './outgoing.ts';
import { RingSender } from './ring-sender.ts';
import { SharedAnswers } from './shared-answers.ts';
import { TurnClock } from './turn-clock.ts';

/**
 * The persistence thread: the JetStream engine and its store, behind the same rings and accounts as a shard.
 *
 * Work is done in turns. A turn takes in everything that other threads sent, commits it with one sync, and only then lets
 * go the messages that promise it. While the sync runs the rings fill, so the busier the server, the more
 * messages share one sync; no batch has to be waited for.
 *
 *   rings ──► engine steps ──► outgoing ──┐
 *                   ├──► store ── commit ─┴──► what the store keeps now ──► rings
 *                   └──► early deliveries ───────────────────────────────► rings
 *
 * Consumers whose position is in the log (`Consumer.isEarly`) deliver before the commit, and their messages are shown before it:
 * a sync made here would hold them up, and one beside this thread lasts.
 *
 * A message that finds the ring of a shard full waits with all behind it. When too many wait, nothing more is taken in:
 * then the rings to this thread fill up, and shards stop reading those who publish.
 */

/** What may wait for room before this thread stops listening. */
const OUTGOING_MAX_MSGS = 16_384;
const OUTGOING_MAX_BYTES = 16 * 1024 * 1024;
/** Bytes of a ring that are taken in before it is looked whether a commit has ended, and how often in one turn. */
const PORTION_BYTES = 256 * 1024;
const TURN_PORTIONS = 16;
/** Turns that consumers have within one of this thread: between two looks at what arrived. */
const READY_PORTIONS = 8;
/** Pauses between looks at what is due: while there is something to do, and without. */
const BUSY_TICK_MS = 10;
const IDLE_TICK_MS = 1000;
/** API requests carried out in one turn: publishes need not wait for more than these. */
const TURN_API_REQUESTS = 64;

export class Persistence implements ThreadLinkSink {
  readonly #post: (message: FromPersistence) => void;
  readonly #store: Store;
  readonly #syncMicros: () => number;
  readonly #engine: JetStream;
  readonly #commits: Commits;
  readonly #early: EarlyDeliveries;
  readonly #apiListener: ApiListener;
  readonly #apiQueue: ApiQueue;
  readonly #settings: EngineSettings;
  readonly #monitor: PersistenceMonitor;
  /** Null without an MQTT listener. */
  readonly #mqtt: MqttEngine | null;
  readonly #jetStream: JetStreamServerOptions;
  readonly #clock = new TurnClock();
  readonly #random: Prng;
  readonly #doorbell: Doorbell;
  readonly #links: ThreadLinks;
  readonly #firstPortion = new FirstPortion();
  readonly #router: Router;
  readonly #accounts: MeshAccounts;
  readonly #inbound = new InboundCopy();
  /** Messages from the engine to itself: one may be on its way while another arrives. */
  readonly #ownInbound = new InboundCopy();
  readonly #effects: EngineEffects;
  readonly #outgoing: Outgoing;
  readonly #watches: InterestWatches;
  /** Who publishes the next message of the thread being listened to, and the hash of its subject. */
  #client = '';
  #clientHash = 0;
  #stopped = false;
  #turnScheduled = false;
  #tickTimer: NodeJS.Timeout | null = null;
  #tickDueMs = Infinity;

  constructor(
    start: PersistenceStart,
    store: Store,
    settings: EngineSettings,
    syncMicros: () => number,
    post: (message: FromPersistence) => void,
  ) {
    this.#post = post;
    this.#syncMicros = syncMicros;
    this.#store = store;
    this.#jetStream = start.options.jetStream!;
    this.#random = new Prng(start.seed);
    this.#doorbell = new Doorbell(start.doorbells, start.thread);
    this.#links = new ThreadLinks(start.thread, start.threads, this.#doorbell, this);
    this.#effects = new EngineEffects(new RingSender(this.#links), (text) => this.#log('warn', text));
    this.#outgoing = this.#effects.outgoing;
    this.#watches = this.#effects.watches;
    this.#accounts = new MeshAccounts(this.#links);
    for (const link of start.links) this.#connectThread(link);
    const host = {
      // No subscription of this thread ends by itself, and none is told of deliveries.
      subscriptionExhausted: () => undefined,
      messageDelivered: () => undefined,
    };
    this.#router = new Router(host, this.#links, this.#random);
    this.#effects.directAnswers = new SharedAnswers(
      start.directAnswers,
      this.#effects.accounts,
      () => this.#engine.appendedTicket <= this.#commits.keptTicket(),
    );
    this.#settings = settings;
    const engineOptions = settings.engineOptions(start.options);
    this.#engine = new JetStream(engineOptions, {
      store,
      effects: this.#effects,
      clock: this.#clock,
      random: () => this.#random.unit(),
    });
    this.#commits = this.#newCommits(syncMicros);
    this.#early = new EarlyDeliveries(this.#engine, this.#links, this.#effects);
    const api = new Api(this.#engine);
    api.add(ACCOUNT_ENDPOINTS);
    api.add(STREAM_ENDPOINTS);
    api.add(CONSUMER_ENDPOINTS);
    api.add(SNAPSHOT_ENDPOINTS);
    this.#apiQueue = new ApiQueue(this.#engine, (request) => {
      api.request(request);
    });
    const { domain, systemAccount } = this.#engine.options;
    this.#apiListener = new ApiListener(this.#effects, domain, systemAccount, (request) =>
      this.#apiQueue.add(request),
    );
    const isLazy = this.#jetStream.syncIntervalMs !== 'always';
    this.#monitor = new PersistenceMonitor(this.#engine, store, isLazy, (text) => this.#effects.warn(text));
    this.#clock.set();
    this.#mqtt =
      start.options.mqtt === null
        ? null
        : newMqttEngine(
            this.#engine,
            this.#effects,
            this.#clock,
            this.#accounts,
            new GroupSender(this.#router),
          );
    this.#applyOptions(start.options, start.accountIndexes);
    startHeartbeat(start.heartbeat);
  }

  #newCommits(syncMicros: () => number): Commits {
    return new Commits(
      this.#store,
      this.#links,
      this.#effects,
      this.#engine,
      this.#jetStream.syncIntervalMs,
      syncMicros,
      (level, text) => this.#log(level, text),
    );
  }

  /** Everything that was recovered is announced before main hears of it. */
  start(): void {
    this.#turn();
    const streams = this.#store.streams();
    const messages = streams.reduce((sum, stream) => sum + stream.messages, 0);
    this.#log('info', `  JetStream recovered ${streams.length} streams, ${messages} messages`);
    this.#post({ kind: 'ready' });
    // What became due while the server was down, and the store's own work, wait for nobody's message.
    this.#tickWithin(BUSY_TICK_MS);
  }

  receiveMail(message: ToPersistence): void {
    if (this.#stopped) return;
    switch (message.kind) {
      case 'options':
        this.#clock.set();
        this.#applyOptions(message.options, message.accountIndexes);
        this.#post({ kind: 'reply', request: message.request });
        break;
      case 'jetstream-query':
      case 'health-query': {
        this.#clock.set();
        const answer = this.#monitor.answer(message, this.#commits.syncedAtMs);
        this.#post({ kind: 'reply', request: message.request, answer });
        break;
      }
      case 'thread-lost':
        this.#watches.allChanged();
        this.#accounts.dropThread(message.thread);
        this.#effects.isBlocked = false;
        this.#mqtt?.threadLost(message.thread);
        break;
      case 'thread-link':
        this.#connectThread(message.link);
        break;
      case 'announce-stop':
        this.#clock.set();
        this.#engine.shutDown();
        // The reply says that the shards have it.
        this.#lastTurn();
        this.#post({ kind: 'reply', request: message.request });
        return;
      case 'stop':
        this.#stop();
        return;
    }
    this.#turn();
  }

  /** What the shards sent before they ended is kept, and then nothing more is done. */
  #stop(): void {
    this.#engine.shutDown();
    this.#lastTurn();
    this.#stopped = true;
    if (this.#tickTimer !== null) clearTimeout(this.#tickTimer);
    const failure = this.#store.close();
    if (failure !== null) this.#log('error', `JetStream store: ${failure.message}`);
    this.#post({ kind: 'stopped' });
  }

  /** A turn that leaves nothing held back. */
  #lastTurn(): void {
    this.#turn();
    if (!this.#links.holding) return;
    this.#commits.commit();
    this.#release();
    this.#links.publish();
  }

  #log(level: PersistenceLogLevel, text: string): void {
    this.#post({ kind: 'log', level, text });
  }

  /** Accounts come into being, and JetStream is switched on or off for them. */
  #applyOptions(options: ServerOptions, accountIndexes: Record<string, number>): void {
    this.#engine.options = this.#settings.engineOptions(options);
    this.#monitor.accountNames = new Set(options.accounts.map(({ name }) => name));
    this.#engine.retainAccounts(this.#monitor.accountNames);
    for (const { name, limits, jetStream } of options.accounts) {
      if (!this.#effects.accounts.has(name)) {
        const account = this.#accounts.add(accountIndexes[name]!, name, limits, !options.disableSublistCache);
        this.#effects.accounts.set(name, account);
        // In every account: one without JetStream is told that it has none.
        this.#apiListener.listen(account);
        if (name === MQTT_INTERNAL_ACCOUNT) this.#listenToShards(account);
      }
      if (jetStream === null) this.#engine.disableAccount(name);
      else this.#engine.enableAccount(name, { limits: jetStream, tiers: null });
    }
    this.#engine.recover();
    this.#mqtt?.setAccounts(accountIndexes);
  }

  /** MQTT of the shards. */
  #listenToShards(account: Account): void {
    const receive = (message: InboundMessage) => this.#mqtt?.receive(message.payload());
    account.subscribe(new EngineListener(ENGINE_SUBJECT, null, receive));
  }

  // Turns

  readonly #turn = (): void => {
    this.#turnScheduled = false;
    if (this.#stopped) return;
    this.#doorbell.awake();
    if (this.#links.roomFreed()) this.#effects.isBlocked = false;
    this.#clock.set();
    let busy = false;
    if (this.#listens()) {
      this.#apiQueue.run(TURN_API_REQUESTS);
      busy = this.#takeIn();
      this.#watches.tell();
      this.#tickWoken();
      this.#mqtt?.advance();
    }
    this.#early.deliver(this.#commits.keptTicket());
    this.#release();
    const more = this.#deliver();
    this.#links.publish();
    if (busy || more) this.#tickWithin(BUSY_TICK_MS);
    if (this.#hasMoreToDo() || (more && this.#canDeliver())) this.#scheduleTurn();
    else this.#sleep();
  };

  /**
   * Takes in what has arrived, by portions: between two of them a commit that has ended lets go what waits for it, and the next
   * one begins with what there is. Whoever waits for an acknowledgement before sending more has it sooner.
   *
   * @returns whether there was anything
   */
  #takeIn(): boolean {
    const first = this.#firstPortion.limitBytes(this.#syncMicros());
    if (this.#links.drainPortion(Math.min(first, PORTION_BYTES)) === 0) return false;
    if (first < PORTION_BYTES) return true;
    for (let portions = 1; portions < TURN_PORTIONS && this.#links.hasLeft; portions++) {
      if (this.#commits.commitBeside()) {
        if (!this.#outgoing.release(this.#commits.keptTicket(), this.#send)) this.#effects.isBlocked = true;
        this.#links.publish();
      }
      if (this.#effects.isBlocked || !this.#listens()) break;
      this.#links.drainPortion(PORTION_BYTES);
    }
    return true;
  }

  /** Whether those who have something to deliver could do so now; else something that ends wakes this thread. */
  #canDeliver(): boolean {
    if (this.#effects.isBlocked) return false;
    if (!this.#store.committing) return true;
    return this.#engine.hasEarly && !this.#effects.congested;
  }

  /** Whether messages of other threads are taken in. */
  #listens(): boolean {
    return this.#outgoing.length < OUTGOING_MAX_MSGS && this.#outgoing.bytes < OUTGOING_MAX_BYTES;
  }

  /** What streams copy from each other is copied in the turn it was stored in. */
  #tickWoken(): void {
    if (!this.#engine.hasWoken) return;
    this.#engine.tickWoken();
  }

  /** A portion was done of something larger; while answers find no room nothing is added to them. */
  #hasMoreToDo(): boolean {
    if (this.#effects.isBlocked || !this.#listens()) return false;
    return this.#apiQueue.length > 0 || this.#engine.hasWoken || this.#mqtt?.hasMore === true;
  }

  #sleep(): void {
    const mayLinger = this.#listens() && !this.#store.committing;
    if (mayLinger && this.#early.linger()) {
      this.#scheduleTurn();
      return;
    }
    const hasWork = () =>
      this.#commits.poll() || (this.#listens() && !this.#links.isEmpty()) || this.#hasRoomAgain();
    if (!this.#doorbell.sleep(this.#turn, hasWork)) this.#scheduleTurn();
    else if (!this.#store.committing) this.#firstPortion.rest();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(this.#turn);
  }

  /** Asking the rings forgets it, so it is kept. */
  #hasRoomAgain(): boolean {
    const waits = this.#effects.isBlocked || this.#links.hasControlBacklog;
    if (!waits || !this.#links.roomFreed()) return false;
    this.#effects.isBlocked = false;
    return true;
  }

  /**
   * Consumers deliver what is committed, some before that. That they did is logged, but nobody waits for it: it is committed
   * with what comes next, or at the next tick.
   *
   * @returns whether there is more to deliver
   */
  #deliver(): boolean {
    const engine = this.#engine;
    for (let portions = 0; portions < READY_PORTIONS; portions++) {
      if (!engine.hasReady) return false;
      if (this.#effects.isBlocked) return true;
      const isCommitted = engine.appendedTicket <= this.#commits.keptTicket();
      if (!isCommitted && !engine.hasEarly) return true;
      const more = engine.runReady(1, isCommitted);
      this.#release();
      if (!more && !engine.hasReady) return false;
    }
    return true;
  }

  /** Commits what was staged and lets go what may leave. What leaves may come back to the engine and stage more. */
  #release(): void {
    for (;;) {
      this.#mqtt?.flush();
      this.#commits.poll();
      this.#commits.commitAwaited();
      this.#commits.showKept();
      if (this.#effects.isBlocked) return;
      const before = this.#outgoing.length;
      if (!this.#outgoing.release(this.#commits.keptTicket(), this.#send)) {
        this.#effects.isBlocked = true;
        return;
      }
      if (this.#outgoing.length === 0 || this.#outgoing.length === before) return;
    }
  }

  readonly #send = (target: OutgoingTarget, frame: MessageFrame): boolean => {
    const isAccount = target instanceof Account;
    const account = isAccount ? target : target.account;
    const route = isAccount
      ? account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd)
      : target.route;
    if (this.#router.publish(account, route, null, frame) === BLOCKED) return false;
    if (route.plain.length === 0 && route.groups.length === 0) return true;
    // Of a queue group with members elsewhere the router picked one of those.
    const groups = route.groups.filter(({ locals, threads }) => locals.length > 0 && threads.length === 0);
    if (route.plain.length === 0 && groups.length === 0) return true;
    const copy = this.#ownInbound.take(frame);
    this.#apiListener.client = '';
    this.#handToEngine(route.plain as EngineListener[], copy);
    for (const group of groups) this.#handToMember(group, copy);
    return true;
  };

  // Time

  #tickWithin(ms: number): void {
    const dueMs = Date.now() + ms;
    if (this.#tickDueMs <= dueMs) return;
    if (this.#tickTimer !== null) clearTimeout(this.#tickTimer);
    this.#tickDueMs = dueMs;
    this.#tickTimer = setTimeout(this.#tick, ms);
  }

  /** What is due by the clock, and the store's work in the background. */
  readonly #tick = (): void => {
    this.#tickTimer = null;
    this.#tickDueMs = Infinity;
    if (this.#stopped) return;
    this.#clock.set();
    const { ms } = this.#clock;
    if (this.#engine.nextDueMs() <= ms) this.#engine.tick();
    this.#mqtt?.tick();
    this.#commits.commitRest();
    const hasMore = this.#store.tick(ms);
    this.#monitor.logReports();
    this.#turn();
    const dueMs = Math.min(this.#engine.nextDueMs(), this.#mqtt?.nextDueMs() ?? Infinity);
    const nextMs = Math.max(dueMs - Date.now(), 1);
    this.#tickWithin(Math.ceil(Math.min(nextMs, hasMore ? 1 : IDLE_TICK_MS)));
  };

  // Threads

  /** Connects to another thread and tells it everything the engine listens to. */
  #connectThread(memory: ThreadLinkMemory): void {
    const { port } = memory;
    port.unref();
    this.#accounts.connect(
      memory,
      () => (receiveMessageOnPort(port)?.message as SharedArrayBuffer | undefined) ?? null,
    );
  }

  interestChanged(thread: number, interest: InterestRecord): void {
    const account = this.#accounts.interestChanged(thread, interest);
    if (account !== undefined) this.#watches.changed(account.name, interest.subject);
  }

  /** Kept until the message that follows. */
  clientArrived(_thread: number, subjectHash: number, client: string): void {
    this.#clientHash = subjectHash;
    this.#client = client;
  }

  messageArrived(
    _thread: number,
    accountIndex: number,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void {
    const account = this.#accounts.at(accountIndex);
    if (account === undefined) return;
    const route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
    const message = this.#inbound.take(frame);
    this.#apiListener.client = this.#clientHash === frame.subjectHash ? this.#client : '';
    if (this.#client !== '') this.#client = '';
    if (plain) this.#handToEngine(route.plain as EngineListener[], message);
    for (const queue of queues) {
      const group = memberGroup(route, queue);
      if (group !== null) this.#handToMember(group, message);
      else this.#router.deliverFromThread(account, route, frame, false, [queue], hops);
    }
  }

  /** Only this thread sends runs. */
  runArrived(thread: number, run: MessageRun): void {
    while (run.next()) this.messageArrived(thread, run.accountIndex, run.frame, true, [], 0);
  }

  #handToEngine(listeners: readonly EngineListener[], message: InboundMessage): void {
    for (const listener of listeners) {
      if (listener.removed) continue;
      this.#clock.step();
      listener.receive(message);
    }
  }

  #handToMember(group: RouteGroup, message: InboundMessage): void {
    const listener = group.locals[this.#random.below(group.locals.length)] as EngineListener;
    this.#handToEngine([listener], message);
  }
}
