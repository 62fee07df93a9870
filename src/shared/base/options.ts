/**
 * The resolved options of one server: what the configuration file, the command line and the defaults amount to.
 *
 * Plain data only (structured-cloneable): main resolves it, every thread receives a copy. Units are in the names.
 * `src/main/config` produces it; nothing else creates one by hand but tests.
 */

/** Allow and deny lists of subjects; `null` means "no such list" (an empty allow list allows nothing). */
export interface SubjectPermission {
  allow: string[] | null;
  deny: string[] | null;
}

/** `allow_responses`: how many messages may be sent to a reply subject and for how long. Negative is unlimited. */
export interface ResponsePermission {
  maxMsgs: number;
  expiresMs: number;
}

/** Permissions of a user; `null` members mean "no restriction of this kind". Subscribe entries may be `"subject queue"`. */
export interface Permissions {
  publish: SubjectPermission | null;
  subscribe: SubjectPermission | null;
  responses: ResponsePermission | null;
}

export type ConnectionType =
  | 'STANDARD'
  | 'WEBSOCKET'
  | 'LEAFNODE'
  | 'LEAFNODE_WS'
  | 'MQTT'
  | 'MQTT_WS'
  | 'IN_PROCESS';

export interface UserOptions {
  user: string;
  /** Plain text or a bcrypt hash (`$2a$…`). */
  password: string;
  /** Name of the account the user belongs to; `$G` when declared under `authorization`. */
  account: string;
  permissions: Permissions | null;
  /** Empty: every connection type. */
  allowedConnectionTypes: ConnectionType[];
  proxyRequired: boolean;
}

export interface MappingDestination {
  subject: string;
  /** Percent, 0 to 100. */
  weight: number;
  /** Only on servers of this cluster; empty: everywhere. */
  cluster: string;
}

export interface MappingOptions {
  source: string;
  destinations: MappingDestination[];
}

/** Limits of an account; -1 is unlimited. */
export interface AccountLimits {
  maxConnections: number;
  maxSubscriptions: number;
  maxPayloadBytes: number;
  maxLeafnodes: number;
}

/** What an account may store; -1 is unlimited. */
/** JetStream of an account or of one tier; -1 is unlimited. */
export interface AccountJetStreamOptions {
  maxMemoryBytes: number;
  maxStoreBytes: number;
  maxStreams: number;
  maxConsumers: number;
  maxAckPending: number;
  memoryMaxStreamBytes: number;
  storeMaxStreamBytes: number;
  maxBytesRequired: boolean;
}

/** What an account that nobody restricts may do. */
export const UNLIMITED_JETSTREAM: Readonly<AccountJetStreamOptions> = {
  maxMemoryBytes: -1,
  maxStoreBytes: -1,
  maxStreams: -1,
  maxConsumers: -1,
  maxAckPending: -1,
  memoryMaxStreamBytes: -1,
  storeMaxStreamBytes: -1,
  maxBytesRequired: false,
};

export interface AccountOptions {
  name: string;
  /** `null`: JetStream is off for the account. */
  jetStream: AccountJetStreamOptions | null;
  limits: AccountLimits;
  mappings: MappingOptions[];
  defaultPermissions: Permissions | null;
}

export interface AuthorizationOptions {
  /** Single user, empty when unset. */
  user: string;
  password: string;
  token: string;
  timeoutMs: number;
  proxyRequired: boolean;
  defaultPermissions: Permissions | null;
}

export interface TlsOptions {
  /** PEM texts, read by main so that shards need no file access; one entry per certificate pair. */
  certs: { cert: string; key: string; certFile: string; keyFile: string }[];
  /** PEM of the CA bundle; empty: system roots. */
  ca: string;
  caFile: string;
  verify: boolean;
  timeoutMs: number;
  /** OpenSSL cipher list for TLS 1.2 and suites for 1.3; empty: default. */
  ciphers: string;
  /** OpenSSL group list; empty: default. */
  curves: string;
  minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Lower-case hex SHA-256 of the peer's SubjectPublicKeyInfo; empty: any. */
  pinnedCerts: string[];
  /** `null`: INFO first. 0: handshake first, always. Above 0: wait so many milliseconds for a ClientHello. */
  handshakeFirstMs: number | null;
  /** New handshakes per second; 0 is off. */
  connectionRateLimit: number;
}

export type WriteTimeoutPolicy = 'default' | 'close' | 'retry';

export interface LogOptions {
  file: string;
  debug: boolean;
  trace: boolean;
  /** Trace the system account too (`trace_verbose`). */
  traceVerbose: boolean;
  /** Trace only the header part of payloads (`trace_headers`). */
  traceHeaders: boolean;
  /** 0 is unlimited. */
  maxTracedMsgLen: number;
  logTime: boolean;
  logTimeUtc: boolean;
  /** natsd only: `text` is nats-server's line format, `json` one object a line. */
  format: 'text' | 'json';
  /** Bytes; 0 is off. */
  sizeLimitBytes: number;
  maxNum: number;
  syslog: boolean;
  remoteSyslog: string;
  connectErrorReports: number;
  reconnectErrorReports: number;
}

export interface MonitorOptions {
  host: string;
  /** -1 random, 0 off. */
  httpPort: number;
  httpsPort: number;
  basePath: string;
}

/** `limits.batch` of the `jetstream` block. */
export interface BatchOptions {
  maxInflightPerStream: number;
  maxInflightTotal: number;
  maxMsgs: number;
  timeoutMs: number;
}

/** Encryption at rest; the texts are what the configuration has. */
export interface JetStreamEncryption {
  cipher: 'chacha20-poly1305' | 'aes-256-gcm';
  key: string;
  /** The key before, while keys are changed; empty: none. */
  previousKey: string;
}

export interface JetStreamServerOptions {
  /** Directory of the store itself, `/jetstream` included. */
  storeDir: string;
  /** Nobody named a directory, so the store is where the system keeps temporary files. */
  isTemporary: boolean;
  /** `null`: three quarters of the machine's memory. */
  maxMemoryBytes: number | null;
  /** `null`: three quarters of what is free on the disk. */
  maxStoreBytes: number | null;
  domain: string;
  /** Refuse unknown fields in requests. */
  strict: boolean;
  /** `always`: synced before it is acknowledged. Otherwise written before it is, and synced so often. */
  syncIntervalMs: number | 'always';
  /** Every consumer waits for the sync of what it delivers; else those who acknowledge don't. Only where syncing is `always`. */
  deliverAfterSync: boolean;
  /** `null`: the store is in clear. */
  encryption: JetStreamEncryption | null;
  /** 0 is none. */
  maxDuplicateWindowMs: number;
  /** `limits.max_ack_pending`; 0 is none. */
  maxAckPending: number;
  /** `limits.max_request_batch`; 0 is none. */
  maxRequestBatch: number;
  /** `limits.default_max_consumers`: of a stream where neither it nor its account says how many; -1 is none. */
  defaultMaxConsumers: number;
  batch: BatchOptions;
  /** API requests that may wait, and of those for information. */
  requestQueueLimit: number;
  infoQueueLimit: number;
}

/** The `mqtt` block. */
export interface MqttOptions {
  host: string;
  /** -1 random. */
  port: number;
  tls: TlsOptions | null;
  /** Credentials of this listener alone; empty: those of the server. */
  user: string;
  password: string;
  token: string;
  /** 0: the server's. */
  authTimeoutMs: number;
  noAuthUser: string;
  ackWaitMs: number;
  jsApiTimeoutMs: number;
  /** Messages of QoS 1 and 2 on their way to a session. */
  maxAckPending: number;
  jsDomain: string;
  streamReplicas: number;
  consumerMemoryStorage: boolean;
  /** Sessions of clients away for longer end; 0 is never. */
  consumerInactiveThresholdMs: number;
  rejectQos2Publish: boolean;
  downgradeQos2Subscribe: boolean;
}

/** The `websocket` block. Source: websocket.md §1. */
export interface WebsocketOptions {
  host: string;
  /** -1 random. */
  port: number;
  advertise: string;
  noTls: boolean;
  tls: TlsOptions | null;
  sameOrigin: boolean;
  /** Absolute URLs with http or https scheme. */
  allowedOrigins: string[];
  compression: boolean;
  /** For the TLS handshake and the request; 0 is none. */
  handshakeTimeoutMs: number;
  /** 0: that of all clients. */
  pingIntervalMs: number;
  noAuthUser: string;
  user: string;
  password: string;
  token: string;
  /** 0: that of all clients. */
  authTimeoutMs: number;
  jwtCookie: string;
  userCookie: string;
  passCookie: string;
  tokenCookie: string;
  /** Extra headers of the upgrade response: name and value. */
  headers: [string, string][];
  /** natsd only: which implementation runs; `auto` is uWebSockets.js where it is installed and can do what is asked. */
  transport: WebsocketTransportChoice;
}

export type WebsocketTransportChoice = 'auto' | 'ws' | 'uws';

export interface ServerOptions {
  configFile: string;
  /** `sha256:<hex>` of the parsed tree, empty without a file. */
  configDigest: string;
  serverName: string;
  host: string;
  /** -1 random. */
  port: number;
  clientAdvertise: string;
  /** natsd only: number of shard threads; 0 is `max(1, cores - 1)`. */
  shards: number;
  /** Negative refuses everyone. */
  maxConnections: number;
  /** Per connection; 0 is unlimited. */
  maxSubscriptions: number;
  /** 0 is off. */
  maxSubscriptionTokens: number;
  maxControlLineBytes: number;
  maxPayloadBytes: number;
  maxPendingBytes: number;
  maxClosedClients: number;
  pingIntervalMs: number;
  pingMax: number;
  writeDeadlineMs: number;
  writeTimeout: WriteTimeoutPolicy;
  noFastProducerStall: boolean;
  lameDuckDurationMs: number;
  lameDuckGracePeriodMs: number;
  allowNonTls: boolean;
  noHeaderSupport: boolean;
  disableSublistCache: boolean;
  proxyProtocol: boolean;
  serverTags: string[];
  serverMetadata: Record<string, string>;
  featureFlags: Record<string, boolean>;
  noAuthUser: string;
  /** `noAuthUser` was made up because only the system account is declared; INFO still says that authentication is required. */
  noAuthUserGenerated?: boolean;
  /** Empty with `no_system_account`. */
  systemAccount: string;
  authorization: AuthorizationOptions;
  /** Users of the authorization block (account `$G`) and of every account. */
  users: UserOptions[];
  /** Every declared account, `$G` and the system account included. */
  accounts: AccountOptions[];
  tls: TlsOptions | null;
  /** `null`: off. */
  jetStream: JetStreamServerOptions | null;
  /** `null`: no listener. */
  mqtt: MqttOptions | null;
  /** `null`: no such listener. */
  websocket: WebsocketOptions | null;
  log: LogOptions;
  monitor: MonitorOptions;
  pidFile: string;
  portsFileDir: string;
  profPort: number;
}

/** Name of the default account. */
export const GLOBAL_ACCOUNT = '$G';
/**
 * Threads speak about MQTT in an account of their own (mqtt/mail.ts): nobody can log in to it, so nobody reads or forges it.
 */
export const MQTT_INTERNAL_ACCOUNT = '$MQTT';
/** Name of the system account when none is configured. */
export const DEFAULT_SYSTEM_ACCOUNT = '$SYS';
