import { availableParallelism } from 'node:os';
import type { ServerOptions, WebsocketOptions } from '../shared/base/options.ts';
import type { FromShard, ServerIdentity, ToShard } from '../workers/shard/contract.ts';
import { ClientGate, type ClientListener } from './listen/client-gate.ts';
import { createHandOff, type HandOffMethod } from './listen/hand-off.ts';
import type { Listener } from './listen/listener.ts';
import { chooseTransport, SharedListener } from './listen/websocket-listener.ts';
import type { Logger, LogLevel } from './log/logger.ts';
import { ClosedConnections } from './monitor/closed-connections.ts';
import type { Monitor } from './monitor/http-server.ts';
import { announce, createIdentity } from './supervise/identity.ts';
import { MonitorView } from './supervise/monitor-view.ts';
import { PasswordChecks } from './supervise/password-checks.ts';
import { StoreRefusedError } from './supervise/persistence-thread.ts';
import { listenerUrls, type Ports } from './supervise/ports-file.ts';
import { Topology } from './supervise/topology.ts';

/**
 * One running server: what `natsd` starts, and what a program that imports natsd gets.
 *
 * The daemon owns no message. It accepts, supervises, answers monitoring, and ends things in the right order.
 */

/** A shard that doesn't close its connections in time is ended anyway: a stop is done within two seconds. */
const CLOSE_TIMEOUT_MS = 1000;
/** A thread that hasn't shown a sign of life for so long is stuck. */
const HEARTBEAT_MISSED_MS = 15_000;
/** Lame duck closes clients in steps of at most this long. */
const LAME_DUCK_STEP_MAX_MS = 1000;
const LAME_DUCK_STEP_MIN_MS = 20;

/** The server can't start; the text is what nats-server logs as fatal. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

const LOG_LEVELS: Record<(FromShard & { kind: 'log' })['level'], LogLevel> = {
  error: 'error',
  warn: 'warn',
  info: 'notice',
  debug: 'debug',
  trace: 'trace',
};

export class Daemon {
  readonly logger: Logger;
  readonly closedConnections: ClosedConnections;
  readonly passwords: PasswordChecks;
  identity: ServerIdentity;
  options: ServerOptions;
  configLoadedAtMs = Date.now();
  lameDuck = false;
  /** Why the server stopped by itself; null: it didn't. */
  failure: string | null = null;
  #topology: Topology | null = null;
  #gate: ClientGate | null = null;
  #monitor: Monitor | null = null;
  #stopped: Promise<void> | null = null;
  #stopWaiters: (() => void)[] = [];
  #lameDuckTimer: NodeJS.Timeout | null = null;
  readonly #handOffMethod: HandOffMethod | undefined;
  readonly #shardsStopped = new Set<number>();

  /** @param handOff forces one way of handing connections to shards; without it the better one that Node has is used */
  constructor(options: ServerOptions, logger: Logger, handOff?: HandOffMethod) {
    this.options = options;
    this.logger = logger;
    this.#handOffMethod = handOff;
    this.identity = createIdentity(options);
    this.closedConnections = new ClosedConnections(options.maxClosedClients);
    this.passwords = new PasswordChecks(logger);
  }

  get topology(): Topology {
    if (this.#topology === null) throw new Error('the server has not been started');
    return this.#topology;
  }

  /** The server is going down, or has. */
  get isStopping(): boolean {
    return this.#stopped !== null;
  }

  get gate(): ClientGate | null {
    return this.#gate;
  }

  /** Port of the client listener. */
  get port(): number {
    return this.#gate?.listener('client')?.port ?? 0;
  }

  /** Port of the WebSocket listener; 0 without one. */
  get websocketPort(): number {
    return this.websocketListener?.port ?? 0;
  }

  /** Port of the MQTT listener; 0 without one. */
  get mqttPort(): number {
    return this.#gate?.listener('mqtt')?.port ?? 0;
  }

  /** The WebSocket listener, whoever has it. */
  get websocketListener(): Pick<Listener, 'port' | 'listening' | 'error'> | null {
    return this.#sharedListener ?? this.#gate?.listener('websocket') ?? null;
  }

  /** Which WebSocket implementation runs, as the log says it; '' without a listener. */
  websocketTransport = '';
  #sharedListener: SharedListener | null = null;

  get monitor(): Monitor | null {
    return this.#monitor;
  }

  /**
   * Starts threads and listeners.
   * @throws StartError with nats-server's text when a port can't be used
   */
  async start(): Promise<void> {
    const { options } = this;
    const shards = options.shards > 0 ? options.shards : Math.max(1, availableParallelism() - 1);
    // Accounts, rings and threads need no port, so threads start while the listener binds.
    const topology = new Topology(shards, options, this.identity, this.logger, {
      message: (shard, message, reply) => this.#fromShard(shard, message, reply),
      lost: (shard, _error, connections) => {
        this.#shardsStopped.delete(shard);
        for (const snapshot of connections) this.closedConnections.add(snapshot);
      },
      restarted: (shard) => this.#shardRestarted(shard),
      persistenceLost: (error) => this.#persistenceLost(error),
    });
    this.#topology = topology;
    const started = topology.start();
    started.catch(() => undefined);
    // Nobody may connect before the streams are there: a publish would go nowhere.
    if (options.jetStream !== null) await this.#untilRecovered(started, options.jetStream.storeDir);
    const gate = new ClientGate(topology, await createHandOff(this.#handOffMethod), options, this.logger);
    if (options.monitor.httpPort !== 0 || options.monitor.httpsPort !== 0) await this.#startMonitor();
    const { websocket, mqtt } = options;
    const transport = websocket === null ? null : this.#chooseTransport(websocket);
    if (transport === 'ws') await this.#listen(gate, 'websocket', websocket!.host, websocket!.port);
    if (mqtt !== null) await this.#listen(gate, 'mqtt', mqtt.host, mqtt.port);
    await this.#listen(gate, 'client', options.host, options.port);
    this.#gate = gate;
    const stopped = this.stopped();
    if (transport === 'uws') await Promise.race([this.#listenInShards(websocket!, started), stopped]);
    this.identity = announce(this.identity, options, this.port, this.websocketPort);
    topology.updateIdentity(this.identity);
    // A signal may have ended everything meanwhile, and threads that are gone answer nothing.
    await Promise.race([started, stopped]);
    if (this.isStopping) gate.close();
  }

  async #listen(gate: ClientGate, kind: ClientListener, host: string, port: number): Promise<void> {
    try {
      await gate.open(kind, host, port);
    } catch (error) {
      throw new StartError(listenError(kind, host, port, error as NodeJS.ErrnoException));
    }
  }

  #chooseTransport(websocket: WebsocketOptions): 'ws' | 'uws' {
    try {
      const { transport, description } = chooseTransport(websocket);
      this.websocketTransport = description;
      return transport;
    } catch (error) {
      throw new StartError((error as Error).message);
    }
  }

  async #listenInShards({ host, port }: WebsocketOptions, started: Promise<void>): Promise<void> {
    await started;
    const listener = new SharedListener(this.topology, host);
    try {
      await listener.open(port);
    } catch (error) {
      throw new StartError(listenError('websocket', host, port, error as NodeJS.ErrnoException));
    }
    this.#sharedListener = listener;
  }

  #shardRestarted(shard: number): void {
    this.#sharedListener?.listenIn(shard).catch((error: Error) => {
      this.logger.error(`Shard ${shard} can't listen for websocket connections: ${error.message}`);
    });
  }

  async #untilRecovered(started: Promise<void>, storeDir: string): Promise<void> {
    try {
      await started;
    } catch (error) {
      if (!(error instanceof StoreRefusedError)) throw error;
      await this.#topology?.stop();
      throw new StartError(`Can't start JetStream: store in ${storeDir}: ${error.message}`);
    }
  }

  /** What it had in memory is unknown, and nothing can be acknowledged: the next start recovers from the disk. */
  #persistenceLost(error: Error): void {
    if (this.#stopped !== null) return;
    this.failure = `Persistence thread died: ${error.stack ?? error.message}`;
    this.logger.fatal(this.failure);
    void this.stop();
  }

  async #startMonitor(): Promise<void> {
    const { startMonitor } = await import('./monitor/http-server.ts');
    try {
      this.#monitor = await startMonitor(new MonitorView(this), this.options, this.logger);
    } catch (error) {
      throw new StartError(`Can't start monitoring: ${(error as Error).message}`);
    }
  }

  /** URLs of all listeners, for the ports file. */
  ports(): Ports {
    const { host, tls, websocket } = this.options;
    const monitor = this.#monitor;
    const monitoring =
      monitor === null
        ? []
        : listenerUrls(
            monitor.scheme,
            monitor.host,
            monitor.scheme === 'https' ? monitor.httpsPort : monitor.httpPort,
          );
    return {
      nats: listenerUrls(tls === null ? 'nats' : 'tls', host, this.port),
      monitoring,
      cluster: [],
      profile: [],
      websocket:
        websocket === null
          ? []
          : listenerUrls(websocket.tls === null ? 'ws' : 'wss', websocket.host, this.websocketPort),
    };
  }

  /**
   * Takes over reloaded options. What can't be reloaded was refused before (config/reload). Resolves when every connection
   * lives by them.
   */
  async reconfigure(options: ServerOptions): Promise<void> {
    this.options = options;
    this.configLoadedAtMs = Date.now();
    this.identity = announce(this.identity, options, this.port, this.websocketPort);
    this.logger.setLevels(options.log);
    this.#gate?.reconfigure(options);
    if (options.tls !== null) this.#monitor?.setTls(options.tls);
    await this.topology.reconfigure(options, this.identity);
    this.#enforceMaxConnections();
  }

  /** Whether every thread still turns: what the watchdog of systemd is told. */
  isAlive(): boolean {
    return this.topology.allBeat(HEARTBEAT_MISSED_MS);
  }

  /** Resolves when the server has stopped, whoever stopped it. */
  async stopped(): Promise<void> {
    if (this.#stopped !== null) return this.#stopped;
    await new Promise<void>((resolve) => this.#stopWaiters.push(resolve));
    return this.#stopped ?? undefined;
  }

  /** Stops accepting, closes every connection and ends the threads. Safe to call more than once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Stops accepting, asks clients to move on, and closes the rest little by little (client-protocol.md §17). */
  enterLameDuck(): void {
    if (this.lameDuck || this.#stopped !== null) return;
    this.lameDuck = true;
    this.logger.notice('Entering lame duck mode, stop accepting new clients');
    this.#gate?.close();
    this.#sharedListener?.close();
    if (this.#openConnections() === 0) {
      void this.stop();
      return;
    }
    this.topology.broadcast({ kind: 'lame-duck' });
    this.#lameDuckTimer = setTimeout(() => {
      this.logger.notice('Closing existing clients');
      const closingMs = this.options.lameDuckDurationMs - this.options.lameDuckGracePeriodMs;
      this.#closeSome(closingMs / Math.max(this.#openConnections(), 1));
    }, this.options.lameDuckGracePeriodMs);
  }

  /** One step of lame duck: clients one by one, or several at once when there are very many. */
  #closeSome(gapMs: number): void {
    const open = this.#openConnections();
    if (open === 0) {
      void this.stop();
      return;
    }
    const stepMs = Math.min(Math.max(gapMs, LAME_DUCK_STEP_MIN_MS), LAME_DUCK_STEP_MAX_MS);
    let remaining = Math.max(1, Math.round(stepMs / Math.max(gapMs, 0.001)));
    for (let shard = 0; shard < this.topology.shardCount && remaining > 0; shard++) {
      const count = Math.min(remaining, this.topology.connectionsOf(shard));
      if (count > 0) this.topology.send(shard, { kind: 'close-clients', count, reason: 'shutdown' });
      remaining -= count;
    }
    // Random in [step/2, step], so that clients don't return in lockstep.
    this.#lameDuckTimer = setTimeout(() => this.#closeSome(gapMs), stepMs * (0.5 + Math.random() / 2));
  }

  #openConnections(): number {
    const { topology } = this;
    let open = 0;
    for (let shard = 0; shard < topology.shardCount; shard++) open += topology.connectionsOf(shard);
    return open;
  }

  /** `max_connections` shrank below what is open: random clients go. */
  #enforceMaxConnections(): void {
    let excess = this.#openConnections() - Math.max(this.options.maxConnections, 0);
    if (excess > 0) this.logger.notice(`Closed ${excess} connections to fall within max_connections`);
    for (let shard = 0; shard < this.topology.shardCount && excess > 0; shard++) {
      const count = Math.min(excess, this.topology.connectionsOf(shard));
      if (count > 0) this.topology.send(shard, { kind: 'close-clients', count, reason: 'max-connections' });
      excess -= count;
    }
  }

  async #stop(): Promise<void> {
    for (const resolve of this.#stopWaiters.splice(0)) resolve();
    if (this.#lameDuckTimer !== null) clearTimeout(this.#lameDuckTimer);
    this.logger.notice('Initiating Shutdown...');
    this.#gate?.close();
    this.#sharedListener?.close();
    if (this.#topology !== null) {
      await this.#topology.persistence?.announceStop();
      await this.#closeConnections(this.#topology);
      await this.#topology.stop();
    }
    this.#sharedListener?.ended();
    await this.passwords.close();
    await this.#monitor?.close();
    this.logger.notice('Server Exiting..');
  }

  async #closeConnections(topology: Topology): Promise<void> {
    this.#shardsStopped.clear();
    topology.broadcast({ kind: 'shutdown' });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      this.#allShardsStopped = () => {
        clearTimeout(timer);
        resolve();
      };
      if (topology.aliveShards === 0) this.#allShardsStopped();
    });
  }

  #allShardsStopped: (() => void) | null = null;

  #fromShard(shard: number, message: FromShard, reply: (message: ToShard) => void): void {
    switch (message.kind) {
      case 'log':
        this.logger.write(LOG_LEVELS[message.level], message.text);
        return;
      case 'closed':
        this.closedConnections.add(message.snapshot);
        return;
      case 'bcrypt':
        void this.passwords.matches(message.password, message.hash).then((matches) => {
          reply({ kind: 'bcrypt-result', request: message.request, matches });
        });
        return;
      case 'stopped':
        this.#shardsStopped.add(shard);
        if (this.#shardsStopped.size >= this.topology.aliveShards) this.#allShardsStopped?.();
        return;
      default:
        return;
    }
  }
}

function listenError(kind: ClientListener, host: string, port: number, error: NodeJS.ErrnoException): string {
  const reason =
    error.code === 'EADDRINUSE'
      ? `listen tcp ${host}:${port}: bind: address already in use`
      : `listen tcp ${host}:${port}: ${error.message}`;
  if (kind === 'websocket') return `Unable to listen for websocket connections: ${reason}`;
  if (kind === 'mqtt') return `Unable to listen for MQTT connections: ${reason}`;
  return `Error listening on port: ${host}:${port}, "${reason}"`;
}
