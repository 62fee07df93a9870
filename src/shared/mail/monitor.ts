/**
 * What main asks the shards for monitoring, and what they answer: plain, structured-cloneable data.
 *
 * Times are milliseconds since the epoch and durations milliseconds, both with a fraction (microseconds matter in
 * `rtt`); sizes are bytes. Main alone knows how nats-server words them.
 *
 * A server may have 100,000 connections while a page shows 1024: so a query carries the order and the size of the
 * page's end (`keepFirst`), each shard answers with its own first ones, and main merges them.
 */

/** Orders of /connz. `idle`, `rtt`, counters: largest first; `uptime`: youngest first; `cid`, `start`: by id. */
export type ConnectionSort =
  | 'cid'
  | 'start'
  | 'subs'
  | 'pending'
  | 'msgs_to'
  | 'msgs_from'
  | 'bytes_to'
  | 'bytes_from'
  | 'last'
  | 'idle'
  | 'uptime'
  | 'stop'
  | 'reason'
  | 'rtt';

export type ConnectionState = 'open' | 'closed' | 'all';

/** Whether subscriptions come along, as subjects or as objects. */
export type SubscriptionDetail = 'none' | 'subjects' | 'detail';

export interface ConnectionQuery {
  sort: ConnectionSort;
  state: ConnectionState;
  subscriptions: SubscriptionDetail;
  /** Number of connections of the sorted answer that are of use: offset plus limit of the page. */
  keepFirst: number;
  /** 0: any. */
  cid: number;
  /** Exact raw user; empty: any. */
  user: string;
  /** Empty: any. */
  account: string;
  /** MQTT client id; empty: any. */
  mqttClient: string;
}

export interface ConnectionAnswer {
  /** Connections of the account (of all accounts without one); the other filters do not count here. */
  total: number;
  /** What passes every filter, in the order asked for, at most `keepFirst`. */
  connections: ConnectionSnapshot[];
}

export interface SubscriptionSnapshot {
  /** Empty in the list of a live connection. */
  account: string;
  /** Display name of the account; empty as above. */
  accountTag: string;
  subject: string;
  /** Empty: no queue group. */
  queue: string;
  sid: string;
  /** Messages delivered. */
  deliveredMsgs: number;
  /** Automatic unsubscribe after so many messages; 0: none. */
  maxMsgs: number;
  cid: number;
}

export interface TlsPeerCertificate {
  subject: string;
  /** Lower-case hex. */
  spkiSha256: string;
  certSha256: string;
}

export interface TlsSnapshot {
  /** `1.2` or `1.3`. */
  version: string;
  /** IANA style name, `TLS_AES_128_GCM_SHA256`. */
  cipherSuite: string;
  peerCertificates: TlsPeerCertificate[];
  /** The handshake came before INFO. */
  isFirst: boolean;
}

export type ConnectionKind = 'Client' | 'Leafnode' | 'Gateway' | 'Router';
export type ConnectionTransport = 'nats' | 'websocket' | 'mqtt' | '';

export interface ConnectionSnapshot {
  cid: number;
  kind: ConnectionKind;
  /** Empty for leaf nodes. */
  transport: ConnectionTransport;
  remoteAddress: string;
  remotePort: number;
  startMs: number;
  lastActivityMs: number;
  /** 0 while the connection is open. */
  stopMs: number;
  /** Empty while the connection is open. */
  closeReason: string;
  /** 0 before CONNECT. */
  rttMs: number;
  pendingBytes: number;
  inMsgs: number;
  outMsgs: number;
  inBytes: number;
  outBytes: number;
  /** Times this producer was stalled. */
  stalls: number;
  subscriptionCount: number;
  clientName: string;
  lang: string;
  version: string;
  tls: TlsSnapshot | null;
  /** nkey, user name, JWT subject or `[REDACTED]`; empty: none. */
  authorizedUser: string;
  /** Empty: never authenticated. */
  account: string;
  /** Display name of the account. */
  nameTag: string;
  /** Empty for bearer tokens, which are never shown. */
  jwt: string;
  issuerKey: string;
  tags: string[];
  mqttClient: string;
  /** Key of the trusted proxy; empty: none. */
  proxyKey: string;
  /** `null` unless asked for; always there in the report of a closed connection. */
  subscriptions: SubscriptionSnapshot[] | null;
}

/** A connection of which nothing is known. */
export function emptySnapshot(): ConnectionSnapshot {
  return {
    cid: 0,
    kind: 'Client',
    transport: 'nats',
    remoteAddress: '',
    remotePort: 0,
    startMs: 0,
    lastActivityMs: 0,
    stopMs: 0,
    closeReason: '',
    rttMs: 0,
    pendingBytes: 0,
    inMsgs: 0,
    outMsgs: 0,
    inBytes: 0,
    outBytes: 0,
    stalls: 0,
    subscriptionCount: 0,
    clientName: '',
    lang: '',
    version: '',
    tls: null,
    authorizedUser: '',
    account: '',
    nameTag: '',
    jwt: '',
    issuerKey: '',
    tags: [],
    mqttClient: '',
    proxyKey: '',
    subscriptions: [],
  };
}

export interface SubscriptionQuery {
  /** Empty: all accounts. */
  account: string;
  /** Whether a list is wanted at all. */
  wantsList: boolean;
  /** Literal subject to match; empty: all subscriptions. */
  testSubject: string;
  /** Offset plus limit of the page. */
  keepFirst: number;
}

/** Counters of one sublist, or the sum over several: made to be added. */
export interface SublistStats {
  subscriptions: number;
  cacheEntries: number;
  inserts: number;
  removes: number;
  matches: number;
  cacheHits: number;
  maxFanout: number;
  /** Sum of the result sizes in the cache: with `cacheEntries` it makes the average. */
  totalFanout: number;
}

export function emptySublistStats(): SublistStats {
  return {
    subscriptions: 0,
    cacheEntries: 0,
    inserts: 0,
    removes: 0,
    matches: 0,
    cacheHits: 0,
    maxFanout: 0,
    totalFanout: 0,
  };
}

export interface SubscriptionAnswer {
  stats: SublistStats;
  /** Subscriptions that match, before paging; 0 without a list. */
  total: number;
  subscriptions: SubscriptionSnapshot[];
}

/** Counts of one kind of event by kind of connection. */
export interface ConnectionKindCounts {
  clients: number;
  routes: number;
  gateways: number;
  leafs: number;
}

/** Counters of one shard, or of all: read from shared memory, so asking costs no message. */
export interface ShardStats {
  connections: number;
  totalConnections: number;
  routes: number;
  leafnodes: number;
  subscriptions: number;
  inMsgs: number;
  inBytes: number;
  inClientMsgs: number;
  inClientBytes: number;
  outMsgs: number;
  outBytes: number;
  outClientMsgs: number;
  outClientBytes: number;
  slowConsumers: ConnectionKindCounts;
  staleConnections: ConnectionKindCounts;
  stalledClients: number;
}

/** What of JetStream /jsz wants to see. */
export interface JetStreamQuery {
  /** Details of this account only; empty: none in particular. */
  account: string;
  accounts: boolean;
  streams: boolean;
  consumers: boolean;
  directConsumers: boolean;
  /** With configurations of streams and consumers. */
  config: boolean;
  /** Page of accounts. */
  offset: number;
  limit: number;
}

export interface JetStreamStats {
  memoryBytes: number;
  storeBytes: number;
  reservedMemoryBytes: number;
  reservedStoreBytes: number;
  accounts: number;
  apiTotal: number;
  apiErrors: number;
  apiInflight: number;
  streams: number;
  consumers: number;
  messages: number;
  bytes: number;
  /** Streams whose acknowledgements promise less than the server's: in memory, or with `persist_mode: async`. */
  memoryStreams: number;
  asyncStreams: number;
}

export interface JetStreamAnswer {
  stats: JetStreamStats;
  /** In force: configured, or measured at the start. */
  maxMemoryBytes: number;
  maxStoreBytes: number;
  /** Accounts as JSON, one page. */
  accounts: string[];
  /** Age of the oldest change that was acknowledged and is not synced; 0: there is none. */
  unsyncedMs: number;
}

/** Which assets a health check is about; empty strings: all. */
export interface AssetSelection {
  account: string;
  stream: string;
  consumer: string;
}

export interface HealthFailure {
  type: 'CONNECTION' | 'BAD_REQUEST' | 'JETSTREAM' | 'ACCOUNT' | 'STREAM' | 'CONSUMER';
  /** HTTP status when this is the only finding. */
  status: number;
  error: string;
  account?: string;
  stream?: string;
  consumer?: string;
}
