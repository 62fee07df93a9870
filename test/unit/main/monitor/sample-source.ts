import { readFileSync } from 'node:fs';
import { ClosedConnections } from '../../../../src/main/monitor/closed-connections.ts';
import type {
  HealthFailure,
  JetStreamState,
  MonitorSource,
  ServerIdentity,
  ServerStats,
} from '../../../../src/main/monitor/source.ts';
import type { ServerOptions } from '../../../../src/shared/base/options.ts';
import { selectConnections } from '../../../../src/shared/mail/connection-order.ts';
import {
  type ConnectionSnapshot,
  emptySnapshot,
  type JetStreamAnswer,
  type JetStreamQuery,
  type SubscriptionAnswer,
  type SubscriptionSnapshot,
} from '../../../../src/shared/mail/monitor.ts';

/** What nats-server 2.15.1 answered, with its id, digest and sub-microsecond digits replaced. */
export function fixture(name: string): string {
  return readFileSync(new URL(`fixtures/${name}.json.txt`, import.meta.url), 'utf8').trimEnd();
}

/** Milliseconds of an RFC 3339 time, fraction kept. */
export function timeMs(text: string): number {
  const [whole, fraction = ''] = text.replace('Z', '').split('.');
  return Date.parse(`${whole}Z`) + Number(`0.${fraction || 0}`) * 1000;
}

export function sampleOptions(changes: Partial<ServerOptions> = {}): ServerOptions {
  return {
    configFile: '',
    configDigest: '',
    serverName: 'NSERVERID',
    host: '127.0.0.1',
    port: 14811,
    clientAdvertise: '',
    shards: 1,
    maxConnections: 65536,
    maxSubscriptions: 0,
    maxSubscriptionTokens: 0,
    maxControlLineBytes: 4096,
    maxPayloadBytes: 1048576,
    maxPendingBytes: 67108864,
    maxClosedClients: 100,
    pingIntervalMs: 120_000,
    pingMax: 2,
    writeDeadlineMs: 10_000,
    writeTimeout: 'default',
    noFastProducerStall: false,
    lameDuckDurationMs: 120_000,
    lameDuckGracePeriodMs: 10_000,
    allowNonTls: false,
    noHeaderSupport: false,
    disableSublistCache: false,
    proxyProtocol: false,
    serverTags: [],
    serverMetadata: {},
    featureFlags: {},
    noAuthUser: '',
    systemAccount: '$SYS',
    authorization: {
      user: '',
      password: '',
      token: '',
      timeoutMs: 2000,
      proxyRequired: false,
      defaultPermissions: null,
    },
    users: [],
    accounts: [],
    tls: null,
    jetStream: null,
    mqtt: null,
    websocket: null,
    log: {
      file: '',
      debug: false,
      trace: false,
      traceVerbose: false,
      traceHeaders: false,
      maxTracedMsgLen: 0,
      logTime: true,
      logTimeUtc: false,
      format: 'text',
      sizeLimitBytes: 0,
      maxNum: 0,
      syslog: false,
      remoteSyslog: '',
      connectErrorReports: 3600,
      reconnectErrorReports: 1,
    },
    monitor: { host: '127.0.0.1', httpPort: 14812, httpsPort: 0, basePath: '' },
    pidFile: '',
    portsFileDir: '',
    profPort: 0,
    ...changes,
  };
}

export function sampleStats(changes: Partial<ServerStats> = {}): ServerStats {
  const none = { clients: 0, routes: 0, gateways: 0, leafs: 0 };
  return {
    connections: 0,
    totalConnections: 0,
    routes: 0,
    remotes: 0,
    leafnodes: 0,
    subscriptions: 0,
    inMsgs: 0,
    inBytes: 0,
    inClientMsgs: 0,
    inClientBytes: 0,
    outMsgs: 0,
    outBytes: 0,
    outClientMsgs: 0,
    outClientBytes: 0,
    slowConsumers: none,
    staleConnections: none,
    stalledClients: 0,
    diskIoWaiters: 0,
    diskIoWaits: 0,
    diskIoWaitMs: 0,
    diskIoMaxWaitMs: 0,
    ...changes,
  };
}

export function sampleSubscription(changes: Partial<SubscriptionSnapshot>): SubscriptionSnapshot {
  return {
    account: '',
    accountTag: '',
    subject: 'x',
    queue: '',
    sid: '1',
    deliveredMsgs: 0,
    maxMsgs: 0,
    cid: 1,
    ...changes,
  };
}

export function sampleConnection(changes: Partial<ConnectionSnapshot>): ConnectionSnapshot {
  return {
    ...emptySnapshot(),
    cid: 1,
    remoteAddress: '127.0.0.1',
    remotePort: 1000,
    startMs: 1,
    lastActivityMs: 1,
    subscriptions: null,
    ...changes,
  };
}

/** A server of plain data; connections are spread over two shards. */
export class SampleSource implements MonitorSource {
  nowMs = timeMs('2026-11-21T01:55:06.501848Z');
  live: ConnectionSnapshot[] = [];
  subscriptionAnswers: SubscriptionAnswer[] = [];
  accountNames = new Set(['$G', '$SYS', 'A', 'B']);
  serverOptions = sampleOptions();
  serverStats = sampleStats();
  unready: string[] = [];
  jetStreamIs: JetStreamState = 'off';
  jetStreamAnswer: JetStreamAnswer | null = null;
  readonly jetStreamQueries: JetStreamQuery[] = [];
  meta: HealthFailure[] = [];
  assets: HealthFailure[] = [];
  identityChanges: Partial<ServerIdentity> = {};
  readonly closedConnections = new ClosedConnections(100);

  now(): number {
    return this.nowMs;
  }

  identity(): ServerIdentity {
    const startMs = timeMs('2026-11-21T01:55:05.404573Z');
    return {
      serverId: 'NSERVERID',
      serverName: 'NSERVERID',
      version: '2.15.1',
      protocol: 1,
      runtime: 'go1.27.2',
      startMs,
      configLoadMs: startMs,
      host: '127.0.0.1',
      port: 14811,
      isAuthRequired: false,
      connectUrls: [],
      mqttPort: 0,
      webSocketPort: 0,
      webSocketConnectUrls: [],
      ...this.identityChanges,
    };
  }

  options(): ServerOptions {
    return this.serverOptions;
  }

  stats(): ServerStats {
    return this.serverStats;
  }

  hasAccount(name: string): boolean {
    return this.accountNames.has(name);
  }

  async connections(query: Parameters<MonitorSource['connections']>[0]) {
    return [0, 1].map((shard) =>
      selectConnections(
        this.live.filter(({ cid }) => cid % 2 === shard),
        query,
        this.nowMs,
      ),
    );
  }

  async subscriptions() {
    return this.subscriptionAnswers;
  }

  unreadyListeners(): string[] {
    return this.unready;
  }

  jetStreamState(): JetStreamState {
    return this.jetStreamIs;
  }

  async jetStream(query: JetStreamQuery) {
    this.jetStreamQueries.push(query);
    return this.jetStreamAnswer;
  }

  async metaFailures() {
    return this.meta;
  }

  async assetFailures() {
    return this.assets;
  }
}
