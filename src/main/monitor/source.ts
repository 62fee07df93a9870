/**
 * What the monitoring endpoints need to know. The supervisor implements it over the shards; tests over plain data.
 */

import type { ServerOptions } from '../../shared/base/options.ts';
import type {
  AssetSelection,
  ConnectionAnswer,
  ConnectionKindCounts,
  ConnectionQuery,
  HealthFailure,
  JetStreamAnswer,
  JetStreamQuery,
  ShardStats,
  SubscriptionAnswer,
  SubscriptionQuery,
} from '../../shared/mail/monitor.ts';
import type { ClosedConnections } from './closed-connections.ts';

export interface ServerIdentity {
  /** Public server nkey, `N…`. */
  serverId: string;
  serverName: string;
  /** The nats-server release natsd is compatible with. */
  version: string;
  /** Client protocol level. */
  protocol: number;
  /** Shown as `go`. */
  runtime: string;
  startMs: number;
  /** Start or last reload. */
  configLoadMs: number;
  /** Bound client listener. */
  host: string;
  port: number;
  isAuthRequired: boolean;
  connectUrls: string[];
  /** 0 without such a listener. */
  webSocketPort: number;
  webSocketConnectUrls: string[];
  /** 0 without an MQTT listener. */
  mqttPort: number;
}

/** Counters of the whole server. */
export interface ServerStats extends ShardStats {
  /** Distinct servers routed to. */
  remotes: number;
  diskIoWaiters: number;
  diskIoWaits: number;
  diskIoWaitMs: number;
  diskIoMaxWaitMs: number;
}

export type { AssetSelection, ConnectionKindCounts, HealthFailure };

/** `off`: not configured. `disabled`: configured but stopped at run time. */
export type JetStreamState = 'off' | 'disabled' | 'enabled';

export interface MonitorSource {
  /** Milliseconds since the epoch, with a fraction. */
  now(): number;
  identity(): ServerIdentity;
  /** The options in force. */
  options(): ServerOptions;
  /** Read from shared memory, without asking a shard. */
  stats(): ServerStats;
  hasAccount(name: string): boolean;
  /** Live connections, one answer a shard; `query.state` needs no look. */
  connections(query: ConnectionQuery): Promise<ConnectionAnswer[]>;
  readonly closedConnections: ClosedConnections;
  /** One answer a shard. */
  subscriptions(query: SubscriptionQuery): Promise<SubscriptionAnswer[]>;
  /**
   * What is not up, in nats-server's order and words: `server`, `route`, `gateway`, `leafnode`, `websocket`, `mqtt`,
   * each perhaps followed by `(<error>)`. Empty when all is well; in lame duck mode it has `server`.
   */
  unreadyListeners(): string[];
  jetStreamState(): JetStreamState;
  /** `null`: JetStream is off, or doesn't answer. */
  jetStream(query: JetStreamQuery): Promise<JetStreamAnswer | null>;
  /** Findings of the meta layer, most important first. */
  metaFailures(): Promise<HealthFailure[]>;
  /** Findings about accounts, streams and consumers, most important first. */
  assetFailures(selection: AssetSelection): Promise<HealthFailure[]>;
}
