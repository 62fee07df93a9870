import { receiveMessageOnPort } from 'node:worker_threads';
import { PermissionSet } from '../../shared/auth/permissions.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import type { ServerOptions, TlsOptions } from '../../shared/base/options.ts';
import { GLOBAL_ACCOUNT } from '../../shared/base/options.ts';
import { ChunkPool } from '../../shared/base/outbox.ts';
import { Prng } from '../../shared/base/prng.ts';
import type { Account } from '../../shared/broker/account.ts';
import { MeshAccounts } from '../../shared/broker/mesh-accounts.ts';
import type { Route } from '../../shared/broker/route.ts';
import { Router, type RouterHost } from '../../shared/broker/router.ts';
import type { Subscription } from '../../shared/broker/subscription.ts';
import { type ThreadLinkSink, ThreadLinks } from '../../shared/broker/thread-links.ts';
import type { InterestRecord } from '../../shared/mail/interest-record.ts';
import type { MessageRun } from '../../shared/mail/message-run.ts';
import { MqttParser } from '../../shared/protocol/mqtt/parser.ts';
import { CLOSE_REASON, type CloseReason, ERR, flushesOnClose } from '../../shared/protocol/nats/errors.ts';
import { ClientParser } from '../../shared/protocol/nats/parser.ts';
import { Doorbell } from '../../shared/ring/doorbell.ts';
import { MappingError, MappingSet } from '../../shared/subject/mapping.ts';
import { Admission } from './admission.ts';
import { ClientSession } from './client-session.ts';
import type { ClientConnection } from './connection.ts';
import {
  ADMISSION,
  COUNTERS,
  type FromShard,
  type HandedConnection,
  type ServerIdentity,
  type ShardLogLevel,
  type ShardStart,
  type ThreadLinkMemory,
} from './contract.ts';
import { DirectGets } from './direct-gets.ts';
import { Input } from './input.ts';
import { MqttSession } from './mqtt/mqtt-session.ts';
import { Output } from './output.ts';
import { snapshotConnection } from './snapshots.ts';
import { WebsocketServer } from './websocket/websocket-server.ts';

/**
 * One shard: the connections it owns for life, its part of every account, and its links to the other threads.
 *
 * Work is done in turns. A turn is what one pass of the event loop brings: reads are parsed and routed as they come, and
 * once at the end the rings are published (first, for a PONG may not overtake the interest it stands for) and every
 * connection with output gets one write.
 */

const HEARTBEAT_MS = 1000;
/** Connections with output that are written before the turn ends, so that a huge fan-out starts early. */
const EARLY_FLUSH_CONNECTIONS = 4096;

export class Shard implements RouterHost, ThreadLinkSink {
  readonly thread: number;
  options: ServerOptions;
  identity: ServerIdentity;
  readonly chunks = new ChunkPool();
  readonly output: Output;
  readonly input: Input;
  readonly session: ClientSession;
  /** Null without an MQTT listener. */
  readonly mqtt: MqttSession | null;
  readonly admission: Admission;
  readonly websocket: WebsocketServer;
  readonly directGets: DirectGets;
  readonly router: Router;
  readonly random: Prng;
  readonly connections = new Map<number, ClientConnection>();
  readonly accounts: MeshAccounts;
  readonly accountsByName = new Map<string, Account>();
  parsingConnection: ClientConnection | null = null;
  nowMs = Date.now();
  readonly counters: Float64Array;
  readonly accountConnections: Int32Array;
  readonly ownAccountConnections: Int32Array;
  readonly #admission: Int32Array;
  readonly #links: ThreadLinks | null;
  readonly #doorbell: Doorbell;
  readonly #post: (message: FromShard) => void;
  #dirty: ClientConnection[] = [];
  #closing: { connection: ClientConnection; reason: CloseReason }[] = [];
  #turnOpen = false;
  #readsInTurn = 0;
  #roomFreed = false;
  #hadBacklog = false;
  #stopping = false;
  #permissionSets = 0;

  constructor(start: ShardStart, post: (message: FromShard) => void) {
    this.thread = start.thread;
    this.options = start.options;
    this.identity = start.identity;
    this.#post = post;
    this.counters = new Float64Array(start.counters);
    this.accountConnections = new Int32Array(start.accountConnections);
    this.ownAccountConnections = new Int32Array(start.ownAccountConnections);
    this.#admission = new Int32Array(start.admission);
    this.random = new Prng(start.seed);
    this.#doorbell = new Doorbell(start.doorbells, start.thread);
    this.#links =
      start.threads > 1 ? new ThreadLinks(start.thread, start.threads, this.#doorbell, this) : null;
    this.accounts = new MeshAccounts(this.#links);
    for (const link of start.links) this.connectThread(link);
    this.router = new Router(this, this.#links, this.random);
    this.directGets = new DirectGets(this.router, start.directAnswers, start.threads - 1);
    this.session = new ClientSession(this);
    this.admission = new Admission(this);
    this.output = new Output(this);
    this.mqtt = start.options.mqtt === null ? null : new MqttSession(this);
    const mqttParser = this.mqtt === null ? null : new MqttParser<ClientConnection>(this.mqtt);
    this.input = new Input(this, new ClientParser<ClientConnection>(this.session), mqttParser);
    this.websocket = new WebsocketServer(this);
    this.applyOptions(start.options, start.identity, start.accountIndexes);
    this.mqtt?.mail.listen();
    if (this.#links !== null) this.#sleep();
  }

  get globalAccount(): Account {
    return this.accountsByName.get(GLOBAL_ACCOUNT)!;
  }

  /** Interest changes wait for room in a ring: what comes behind them must wait too. */
  get waitsForRings(): boolean {
    return this.#links?.hasControlBacklog === true;
  }

  get links(): ThreadLinks | null {
    return this.#links;
  }

  post(message: FromShard): void {
    this.#post(message);
  }

  log(level: ShardLogLevel, text: string): void {
    this.#post({ kind: 'log', level, text });
  }

  /** Takes over new options: accounts come into being, change their limits and mappings; nothing is closed here. */
  applyOptions(
    options: ServerOptions,
    identity: ServerIdentity,
    accountIndexes: Record<string, number>,
  ): void {
    this.options = options;
    this.identity = identity;
    for (const { name, limits, mappings } of options.accounts) {
      let account = this.accountsByName.get(name);
      if (account === undefined) {
        account = this.accounts.add(accountIndexes[name]!, name, limits, !options.disableSublistCache);
        this.accountsByName.set(name, account);
      }
      account.limits = limits;
      const compiled = mappings.length === 0 ? null : MappingSet.compile(mappings, '');
      if (compiled instanceof MappingError) throw compiled;
      account.mappings = compiled;
      account.invalidateRoutes();
    }
    this.session.login.applyOptions();
    this.mqtt?.login.applyOptions();
    this.admission.applyOptions();
    this.websocket.applyOptions();
  }

  /** A reload: options are taken over, and every connection is looked at again in their light. */
  reload(options: ServerOptions, identity: ServerIdentity, accountIndexes: Record<string, number>): void {
    const before = this.options;
    this.applyOptions(options, identity, accountIndexes);
    this.#dropUnpinned(before.tls, options.tls, 'client');
    this.#dropUnpinned(before.websocket?.tls, options.websocket?.tls, 'websocket');
    this.#dropUnpinned(before.mqtt?.tls, options.mqtt?.tls, 'mqtt');
    for (const connection of [...this.connections.values()]) {
      this.session.login.reauthenticate(connection);
      if (!connection.closed) this.session.login.refresh(connection);
    }
  }

  #dropUnpinned(
    before: TlsOptions | null | undefined,
    now: TlsOptions | null | undefined,
    listener: HandedConnection['listener'],
  ): void {
    if (now == null || now.pinnedCerts.join() === (before?.pinnedCerts.join() ?? '')) return;
    this.admission.dropUnpinned(now.pinnedCerts, listener);
  }

  /** The end of a reload, when all threads have let go those who had to leave: accounts may still be too full. */
  enforceAccountLimits(): void {
    for (const connection of [...this.connections.values()]) this.session.login.enforceLimits(connection);
  }

  newPermissionSet(permissions: ConstructorParameters<typeof PermissionSet>[0]): PermissionSet {
    return new PermissionSet(permissions, this.#permissionSets++);
  }

  /** Shows main that the thread turns, and how late its timers are. */
  startHeartbeat(): void {
    let expectedMs = Date.now() + HEARTBEAT_MS;
    this.counters[COUNTERS.heartbeatMs] = Date.now();
    setInterval(() => {
      const nowMs = Date.now();
      this.counters[COUNTERS.loopLagMs] = Math.max(nowMs - expectedMs, 0);
      this.counters[COUNTERS.heartbeatMs] = nowMs;
      expectedMs = nowMs + HEARTBEAT_MS;
      this.chunks.trim();
    }, HEARTBEAT_MS).unref();
  }

  // Turns

  /** Something happened: everything other threads said before it is taken in first (causality), and a turn is open. */
  beginTurn(): void {
    if (this.#links !== null && !this.#links.isEmpty()) this.#links.drain();
    if (!this.#turnOpen) this.#openTurn();
    this.mqtt?.mail.takeArrived();
  }

  /** Something is to be said to other threads though nothing was read: the end of the turn sends it. */
  needTurn(): void {
    if (!this.#turnOpen) this.#openTurn();
  }

  markDirty(connection: ClientConnection): void {
    this.#dirty.push(connection);
    if (!this.#turnOpen) this.#openTurn();
    if (this.#dirty.length > EARLY_FLUSH_CONNECTIONS) this.#flushOutput();
  }

  /**
   * A read has been dealt with. What the first one of a turn caused is written at once, for it may well be the only one and
   * somebody waits for the answer; of the others each connection gets one write at the end.
   */
  afterRead(): void {
    if (this.#readsInTurn++ === 0) this.#flushOutput();
  }

  #openTurn(): void {
    this.#turnOpen = true;
    this.#readsInTurn = 0;
    this.nowMs = Date.now();
    if (this.#links !== null) this.#doorbell.awake();
    setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#turnOpen = false;
    this.#flushOutput();
    if (this.#closing.length > 0) {
      const closing = this.#closing;
      this.#closing = [];
      for (const { connection, reason } of closing) this.close(connection, reason);
    }
    if (this.#links !== null) this.#afterLinks();
  };

  #flushOutput(): void {
    this.mqtt?.mail.flush();
    this.#links?.publish();
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    for (let i = 0; i < dirty.length; i++) {
      const connection = dirty[i]!;
      if (connection.closed) continue;
      this.#reportOutput(connection);
      this.output.flush(connection);
    }
  }

  /** Adds what a connection was sent since the last time to the totals: once a turn instead of once a message. */
  #reportOutput(connection: ClientConnection): void {
    const msgs = connection.outMsgs - connection.reportedOutMsgs;
    if (msgs === 0) return;
    const bytes = connection.outBytes - connection.reportedOutBytes;
    connection.reportedOutMsgs = connection.outMsgs;
    connection.reportedOutBytes = connection.outBytes;
    connection.lastActivityMs = this.nowMs;
    this.counters[COUNTERS.outMsgs]! += msgs;
    this.counters[COUNTERS.outBytes]! += bytes;
    connection.account.traffic.outMsgs += msgs;
    connection.account.traffic.outBytes += bytes;
  }

  /** Adds what was received from a connection to the totals. */
  countInput(connection: ClientConnection, msgs: number, bytes: number): void {
    this.counters[COUNTERS.inMsgs]! += msgs;
    this.counters[COUNTERS.inBytes]! += bytes;
    connection.account.traffic.inMsgs += msgs;
    connection.account.traffic.inBytes += bytes;
  }

  /** Connections that waited for rings are tried again, then the thread sleeps until a bell or a socket wakes it. */
  #afterLinks(): void {
    const { waitsForRings } = this;
    const backlogWritten = this.#hadBacklog && !waitsForRings;
    this.#hadBacklog = waitsForRings;
    if (this.#noticeRoom() || backlogWritten) {
      this.#roomFreed = false;
      this.input.resumeBlocked();
    }
    this.#sleep();
  }

  #sleep(): void {
    const links = this.#links!;
    if (
      !this.#doorbell.sleep(
        this.#woken,
        () => !links.isEmpty() || (this.#waitsForRoom() && this.#noticeRoom()),
      )
    )
      setImmediate(this.#woken);
  }

  /** Remembers that some ring has room again: asking the rings forgets it. */
  #noticeRoom(): boolean {
    if (this.#links!.roomFreed()) this.#roomFreed = true;
    return this.#roomFreed;
  }

  /** Somebody here wants room in a ring; without that, room that was freed is no reason to stay awake. */
  #waitsForRoom(): boolean {
    return this.waitsForRings || this.input.hasBlocked;
  }

  /** A bell: like a read, the first of a turn is answered at once. */
  readonly #woken = (): void => {
    this.beginTurn();
    this.afterRead();
  };

  // Threads

  /** Connects to another thread and tells it everything this one is interested in. */
  connectThread(memory: ThreadLinkMemory): void {
    const { port } = memory;
    port.unref();
    this.accounts.connect(
      memory,
      () => (receiveMessageOnPort(port)?.message as SharedArrayBuffer | undefined) ?? null,
    );
    if (this.#turnOpen === false && !this.accounts.isEmpty) this.beginTurn();
  }

  /** A thread died: nothing is sent to it any more, and whoever waited for it goes on. */
  threadLost(thread: number): void {
    this.accounts.dropThread(thread);
    // Nobody will ever say that its ring has room.
    this.#roomFreed = true;
    this.beginTurn();
  }

  interestChanged(thread: number, interest: InterestRecord): void {
    this.accounts.interestChanged(thread, interest);
  }

  messageArrived(
    _thread: number,
    accountIndex: number,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void {
    const account = this.accounts.at(accountIndex);
    if (account === undefined) return;
    const route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
    this.router.deliverFromThread(account, route, frame, plain, queues, hops);
  }

  runArrived(_thread: number, run: MessageRun): void {
    const account = this.accounts.at(run.accountIndex);
    if (account !== undefined) this.router.deliverRun(account, run);
  }

  // Router

  subscriptionExhausted(subscription: Subscription): void {
    const connection = subscription.subscriber as ClientConnection;
    this.session.removeSubscription(connection, subscription);
  }

  messageDelivered(subscription: Subscription, route: Route, frame: MessageFrame): void {
    this.session.delivered(subscription, route, frame);
  }

  // Connections

  /** Closes at the end of the turn: whoever finds a reason in the middle of a delivery must not change the routes under it. */
  closeLater(connection: ClientConnection, reason: CloseReason): void {
    if (connection.closeReason !== null) return;
    connection.closeReason = reason;
    connection.outbox.refusing = true;
    this.#closing.push({ connection, reason });
    if (!this.#turnOpen) this.#openTurn();
  }

  /** Ends a connection: what is queued is still written where the reason allows, then the socket closes. */
  close(connection: ClientConnection, reason: CloseReason): void {
    if (connection.closed) return;
    connection.closeReason = reason;
    if (connection.mqtt !== null) this.mqtt!.closing(connection, reason);
    if (flushesOnClose(reason) && !connection.writing) {
      this.mqtt?.mail.flush();
      this.#links?.publish();
      this.output.flush(connection);
    }
    connection.closed = true;
    this.#reportOutput(connection);
    if (connection.mqtt !== null) this.mqtt!.ended(connection);
    this.session.ended(connection);
    this.input.forget(connection);
    this.connections.delete(connection.cid);
    if (!connection.refused) {
      this.counters[COUNTERS.connections]!--;
      this.countEnded();
    }
    this.log('debug', `${connection.label} - Client connection closed: ${reason}`);
    this.post({ kind: 'closed', snapshot: snapshotConnection(connection, this.nowMs, true) });
    connection.subscriptions = null;
    this.admission.finish(connection, flushesOnClose(reason));
    if (this.#stopping && this.connections.size === 0) this.#stopped();
  }

  /** All connections are closed. Sockets of the native transport have to be gone before the thread may end. */
  #stopped(): void {
    if (this.websocket.native.isOpen) this.websocket.native.close(() => this.post({ kind: 'stopped' }));
    else this.post({ kind: 'stopped' });
  }

  /** A connection that counted as open is over. */
  countEnded(): void {
    this.counters[COUNTERS.ended]!++;
    Atomics.sub(this.#admission, ADMISSION.open, 1);
  }

  /** Counts a connection that this shard accepted by itself. @returns false when the server has no room for it */
  admitOwn(): boolean {
    if (Atomics.add(this.#admission, ADMISSION.open, 1) >= this.options.maxConnections) {
      Atomics.sub(this.#admission, ADMISSION.open, 1);
      return false;
    }
    this.counters[COUNTERS.acceptedHere]!++;
    return true;
  }

  nextCid(): number {
    return Atomics.add(this.#admission, ADMISSION.nextCid, 1);
  }

  register(connection: ClientConnection): void {
    this.connections.set(connection.cid, connection);
    if (!connection.refused) this.counters[COUNTERS.connections]!++;
    this.counters[COUNTERS.totalConnections]!++;
  }

  /** Lame duck: clients are told, so that they move on by themselves. */
  enterLameDuck(): void {
    this.websocket.native.stopListening();
    for (const connection of this.connections.values()) this.session.login.sendAsyncInfo(connection, true);
  }

  /** Closes some connections: a few at a time in lame duck, random ones when `max_connections` shrank. */
  closeSome(count: number, reason: 'shutdown' | 'max-connections'): void {
    const all = [...this.connections.values()];
    for (let closed = 0; closed < count && all.length > 0; closed++) {
      const [connection] = all.splice(this.random.below(all.length), 1);
      if (reason === 'shutdown') this.close(connection!, CLOSE_REASON.serverShutdown);
      else {
        this.log('error', `${connection!.label} - maximum connections exceeded`);
        this.session.errorAndClose(
          connection!,
          ERR.maximumConnectionsExceeded,
          CLOSE_REASON.maximumConnectionsExceeded,
        );
      }
    }
  }

  /** Closes everything and reports when it is done. */
  shutdown(): void {
    if (this.#stopping) return;
    this.websocket.native.stopListening();
    this.websocket.abandonPending();
    for (const connection of [...this.connections.values()])
      this.close(connection, CLOSE_REASON.serverShutdown);
    this.#stopping = true;
    if (this.connections.size === 0) this.#stopped();
  }

  countSubscriptions(change: number): void {
    this.counters[COUNTERS.subscriptions]! += change;
  }

  countStale(): void {
    this.counters[COUNTERS.staleConnections]!++;
  }

  releaseStalled(): void {
    this.input.releaseStalled();
  }

  countStall(): void {
    this.counters[COUNTERS.stalledClients]!++;
  }

  countSlowConsumer(connection: ClientConnection): void {
    this.counters[COUNTERS.slowConsumers]!++;
    connection.account.traffic.slowConsumers++;
  }
}
