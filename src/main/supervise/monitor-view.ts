import { GLOBAL_ACCOUNT, type ServerOptions } from '../../shared/base/options.ts';
import { COMPATIBLE_VERSION } from '../../shared/base/version.ts';
import type {
  AssetSelection,
  ConnectionAnswer,
  ConnectionQuery,
  JetStreamAnswer,
  JetStreamQuery,
  SubscriptionAnswer,
  SubscriptionQuery,
} from '../../shared/mail/monitor.ts';
import { COUNTERS } from '../../workers/shard/contract.ts';
import type { Daemon } from '../daemon.ts';
import type { ClosedConnections } from '../monitor/closed-connections.ts';
import type {
  HealthFailure,
  JetStreamState,
  MonitorSource,
  ServerIdentity,
  ServerStats,
} from '../monitor/source.ts';

/** What the persistence thread has for an answer. It may be in a long sync, but then clients wait too. */
const ANSWER_TIMEOUT_MS = 5000;

/** The running server as monitoring sees it: counters from shared memory, lists from the shards. */
export class MonitorView implements MonitorSource {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  now(): number {
    return performance.timeOrigin + performance.now();
  }

  identity(): ServerIdentity {
    const { identity, options, port, websocketPort, mqttPort, configLoadedAtMs } = this.#daemon;
    const { authorization, users } = options;
    return {
      serverId: identity.serverId,
      serverName: identity.serverName,
      version: COMPATIBLE_VERSION,
      protocol: 1,
      runtime: `node${process.version}`,
      startMs: identity.startedAtMs,
      configLoadMs: configLoadedAtMs,
      host: options.host,
      port,
      isAuthRequired: users.length > 0 || authorization.user !== '' || authorization.token !== '',
      connectUrls: identity.connectUrls,
      webSocketPort: websocketPort,
      webSocketConnectUrls: identity.websocketConnectUrls,
      mqttPort,
    };
  }

  options(): ServerOptions {
    return this.#daemon.options;
  }

  stats(): ServerStats {
    const { topology } = this.#daemon;
    const inMsgs = topology.counter(COUNTERS.inMsgs);
    const inBytes = topology.counter(COUNTERS.inBytes);
    const outMsgs = topology.counter(COUNTERS.outMsgs);
    const outBytes = topology.counter(COUNTERS.outBytes);
    return {
      connections: topology.counter(COUNTERS.connections),
      totalConnections: topology.counter(COUNTERS.totalConnections),
      routes: 0,
      remotes: 0,
      leafnodes: 0,
      subscriptions: topology.counter(COUNTERS.subscriptions),
      inMsgs,
      inBytes,
      inClientMsgs: inMsgs,
      inClientBytes: inBytes,
      outMsgs,
      outBytes,
      outClientMsgs: outMsgs,
      outClientBytes: outBytes,
      slowConsumers: { clients: topology.counter(COUNTERS.slowConsumers), routes: 0, gateways: 0, leafs: 0 },
      staleConnections: {
        clients: topology.counter(COUNTERS.staleConnections),
        routes: 0,
        gateways: 0,
        leafs: 0,
      },
      stalledClients: topology.counter(COUNTERS.stalledClients),
      diskIoWaiters: 0,
      diskIoWaits: 0,
      diskIoWaitMs: 0,
      diskIoMaxWaitMs: 0,
    };
  }

  hasAccount(name: string): boolean {
    return name === GLOBAL_ACCOUNT || this.#daemon.options.accounts.some((account) => account.name === name);
  }

  async connections(query: ConnectionQuery): Promise<ConnectionAnswer[]> {
    const replies = await this.#daemon.topology.ask((request) => ({
      kind: 'connections-query',
      request,
      query,
    }));
    return replies as ConnectionAnswer[];
  }

  get closedConnections(): ClosedConnections {
    return this.#daemon.closedConnections;
  }

  async subscriptions(query: SubscriptionQuery): Promise<SubscriptionAnswer[]> {
    const replies = await this.#daemon.topology.ask((request) => ({
      kind: 'subscriptions-query',
      request,
      query,
    }));
    return replies as SubscriptionAnswer[];
  }

  unreadyListeners(): string[] {
    const { gate, lameDuck, options } = this.#daemon;
    const wanted = [
      ['client', 'server'],
      ['websocket', 'websocket'],
      ['mqtt', 'mqtt'],
    ] as const;
    return wanted.flatMap(([kind, name]) => {
      if (kind !== 'client' && options[kind] === null) return [];
      const listener = kind === 'websocket' ? this.#daemon.websocketListener : (gate?.listener(kind) ?? null);
      if (listener === null || lameDuck || !listener.listening) return [name];
      return listener.error === null ? [] : [`${name}(${listener.error.message})`];
    });
  }

  jetStreamState(): JetStreamState {
    return this.#daemon.options.jetStream === null ? 'off' : 'enabled';
  }

  async metaFailures(): Promise<HealthFailure[]> {
    return [];
  }

  async jetStream(query: JetStreamQuery): Promise<JetStreamAnswer | null> {
    const { persistence } = this.#daemon.topology;
    return persistence === null ? null : withinTime(persistence.jetStream(query), ANSWER_TIMEOUT_MS);
  }

  async assetFailures(selection: AssetSelection): Promise<HealthFailure[]> {
    const { persistence } = this.#daemon.topology;
    if (persistence === null) return [];
    const findings = await withinTime(persistence.health(selection), ANSWER_TIMEOUT_MS);
    return findings ?? [{ type: 'JETSTREAM', status: 503, error: 'JetStream does not answer' }];
  }
}

/** @returns null when the answer takes longer */
async function withinTime<T>(answer: Promise<T | null>, timeoutMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, null);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
