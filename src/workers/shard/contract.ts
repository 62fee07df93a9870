import type { MessagePort } from 'node:worker_threads';
import type { ServerOptions } from '../../shared/base/options.ts';
import type {
  ConnectionAnswer,
  ConnectionQuery,
  ConnectionSnapshot,
  SubscriptionAnswer,
  SubscriptionQuery,
} from '../../shared/mail/monitor.ts';
import type { ThreadMemory } from '../../shared/mail/thread-memory.ts';

/**
 * What main and a shard say to each other. Everything is structured-cloneable; sockets and ports are transferred.
 */

/** What the server calls itself: the parts of INFO that no connection changes. */
export interface ServerIdentity {
  serverId: string;
  serverName: string;
  xkey: string;
  /** Host and port as announced (`client_advertise` or the listener's). */
  infoHost: string;
  infoPort: number;
  connectUrls: string[];
  /** The same of the WebSocket listener. */
  websocketHost: string;
  websocketPort: number;
  websocketConnectUrls: string[];
  startedAtMs: number;
}

export type ThreadLinkMemory = ThreadMemory<MessagePort>;

/** `workerData` of a shard. */
export interface ShardStart {
  thread: number;
  /** Shards, and the persistence thread behind them when there is one. */
  threads: number;
  options: ServerOptions;
  identity: ServerIdentity;
  doorbells: SharedArrayBuffer;
  /** This shard's counters (see COUNTERS). */
  counters: SharedArrayBuffer;
  /** Connections of each account over all shards, by account index. */
  accountConnections: SharedArrayBuffer;
  /** This shard's share of them: what is to be taken back when it dies. */
  ownAccountConnections: SharedArrayBuffer;
  /** ADMISSION slots, shared by main and all shards. */
  admission: SharedArrayBuffer;
  links: ThreadLinkMemory[];
  /** Answers to direct gets that the persistence thread has given before; null without JetStream. */
  directAnswers: SharedArrayBuffer | null;
  /** Index of each account, by name: the same on all threads and never reused. */
  accountIndexes: Record<string, number>;
  /** Seed of the shard's random choices. */
  seed: number;
}

/** An accepted connection on its way to a shard. */
export interface HandedConnection {
  /** Which listener accepted it. */
  listener: 'client' | 'websocket' | 'mqtt';
  cid: number;
  /** A duplicated file descriptor that now belongs to the shard; -1 when the socket itself is transferred. */
  fd: number;
  /** Transferred where Node can do that. */
  socket: object | null;
  remoteAddress: string;
  remotePort: number;
  acceptedAtMs: number;
  /** Why it is to be refused after INFO: '' | 'max-connections' | 'throttled'. */
  refusal: '' | 'max-connections' | 'throttled';
}

export type ToShard =
  | { kind: 'connections'; list: HandedConnection[] }
  | {
      kind: 'options';
      /** Answered with an empty reply once every connection has been looked at. */
      request: number;
      options: ServerOptions;
      identity: ServerIdentity;
      accountIndexes: Record<string, number>;
    }
  /** Answered like `options`. */
  | { kind: 'enforce-account-limits'; request: number }
  | { kind: 'identity'; identity: ServerIdentity }
  | { kind: 'lame-duck' }
  | { kind: 'close-clients'; count: number; reason: 'shutdown' | 'max-connections' }
  | { kind: 'shutdown' }
  /** uWebSockets.js listens in every shard. Port 0 is a random one. Answered with where it listens. */
  | { kind: 'websocket-listen'; request: number; host: string; port: number }
  /** The process is about to exit without a shutdown: see `#endNative` of the daemon. */
  | { kind: 'websocket-abandon'; done: SharedArrayBuffer }
  | { kind: 'bcrypt-result'; request: number; matches: boolean }
  | { kind: 'thread-lost'; thread: number }
  | { kind: 'thread-link'; link: ThreadLinkMemory }
  | { kind: 'connections-query'; request: number; query: ConnectionQuery }
  | { kind: 'subscriptions-query'; request: number; query: SubscriptionQuery };

export type ShardLogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

export type FromShard =
  | { kind: 'ready' }
  | { kind: 'log'; level: ShardLogLevel; text: string }
  | { kind: 'closed'; snapshot: ConnectionSnapshot }
  /** A connection that was handed over could not be taken: it is over and was never open. */
  | { kind: 'not-opened'; cid: number }
  | { kind: 'bcrypt'; request: number; password: string; hash: string }
  | { kind: 'reply'; request: number; result: ShardReply | null }
  | { kind: 'stopped' };

export type ShardReply = ConnectionAnswer | SubscriptionAnswer | ListenAnswer;

/** Whether and where a shard listens by itself. */
export interface ListenAnswer {
  /** 0 when it failed. */
  port: number;
  error: string;
}

/** Slots (Int32) for what main and shards count together: connections get their numbers and their place from both. */
export const ADMISSION = { nextCid: 0, open: 1, slots: 2 } as const;

/**
 * Slots of a shard's counter page (Float64). Main reads them without asking; only the shard writes.
 *
 * `adopted` counts every connection whose descriptor has become the shard's, `ended` every one of them that wasn't refused
 * and is over. `acceptedHere` counts those that never went through main. Main knows how many it handed over, so the two tell it exactly what is open and what is still on its way.
 */
export const COUNTERS = {
  connections: 0,
  totalConnections: 1,
  inMsgs: 2,
  inBytes: 3,
  outMsgs: 4,
  outBytes: 5,
  subscriptions: 6,
  slowConsumers: 7,
  staleConnections: 8,
  stalledClients: 9,
  loopLagMs: 10,
  heartbeatMs: 11,
  adopted: 12,
  ended: 13,
  acceptedHere: 14,
  slots: 16,
} as const;
