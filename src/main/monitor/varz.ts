/**
 * /varz: the server in general. Source: spec "/varz"; the order of the fields is part of the format.
 */

import type { MqttOptions, ServerOptions, WebsocketOptions } from '../../shared/base/options.ts';
import type { ConnectionKindCounts, JetStreamAnswer } from '../../shared/mail/monitor.ts';
import {
  formatTime,
  formatUptime,
  type JsonValue,
  omitEmpty,
  omitEmptyList,
  sortedMap,
  toNanoseconds,
  toSeconds,
} from './format.ts';
import { renderVarzJetStream } from './jsz.ts';
import type { MonitorSource, ServerIdentity, ServerStats } from './source.ts';

/** What nats-server 2.15 reports when none is configured. */
const DEFAULT_FEATURE_FLAGS: readonly [string, boolean][] = [
  ['js_ack_fc_v2', false],
  ['js_api_reply_v2', false],
  ['js_raft_delete_range', true],
  ['js_snapshot_sources', false],
];
const DEFAULT_TLS_TIMEOUT_MS = 2000;

/** Use of the machine by the process. */
export interface ProcessUsage {
  residentBytes: number;
  /** Percent of one core; may exceed 100. */
  cpuPercent: number;
  cores: number;
}

/** What the monitor itself knows. */
export interface MonitorFacts {
  httpPort: number;
  httpsPort: number;
  requestCounts: ReadonlyMap<string, number>;
  usage: ProcessUsage;
  /** Expiry of the listener's certificate; 0: no TLS. */
  certificateNotAfterMs: number;
  /** The same of the WebSocket listener. */
  webSocketCertificateNotAfterMs: number;
}

/** @param jetStream its figures; `null`: off */
export function renderVarz(
  source: MonitorSource,
  facts: MonitorFacts,
  jetStream: JetStreamAnswer | null,
): JsonValue {
  const identity = source.identity();
  const options = source.options();
  const stats = source.stats();
  const nowMs = source.now();
  return {
    ...renderGeneral(identity, options),
    ...renderLimits(identity, options, facts, jetStream),
    ...renderTime(identity, nowMs),
    ...renderUsage(facts.usage),
    ...renderTraffic(stats),
    http_req_stats: sortedMap(facts.requestCounts),
    ...renderConfiguration(identity, options),
    ...renderEvents(stats),
    tls_cert_not_after:
      facts.certificateNotAfterMs === 0 ? undefined : formatTime(facts.certificateNotAfterMs),
  };
}

function renderGeneral(identity: ServerIdentity, options: ServerOptions): Record<string, JsonValue> {
  const { tls } = options;
  return {
    server_id: identity.serverId,
    server_name: identity.serverName,
    version: identity.version,
    proto: identity.protocol,
    go: identity.runtime,
    host: identity.host,
    port: identity.port,
    auth_required: omitEmpty(identity.isAuthRequired),
    tls_required: omitEmpty(tls !== null && !options.allowNonTls),
    tls_verify: omitEmpty(tls?.verify ?? false),
    connect_urls: omitEmptyList(identity.connectUrls),
    ws_connect_urls: omitEmptyList(identity.webSocketConnectUrls),
  };
}

function renderMqtt(mqtt: MqttOptions | null, port: number): Record<string, JsonValue> {
  if (mqtt === null) return {};
  const { tls } = mqtt;
  return {
    host: mqtt.host,
    port,
    no_auth_user: omitEmpty(mqtt.noAuthUser),
    auth_timeout: omitEmpty(toSeconds(mqtt.authTimeoutMs)),
    tls_timeout: tls === null ? undefined : toSeconds(tls.timeoutMs),
    tls_pinned_certs: tls === null || tls.pinnedCerts.length === 0 ? undefined : tls.pinnedCerts,
    js_domain: omitEmpty(mqtt.jsDomain),
    ack_wait: toNanoseconds(mqtt.ackWaitMs),
    max_ack_pending: mqtt.maxAckPending,
  };
}

function renderLimits(
  identity: ServerIdentity,
  options: ServerOptions,
  facts: MonitorFacts,
  jetStream: JetStreamAnswer | null,
): Record<string, JsonValue> {
  return {
    max_connections: options.maxConnections,
    max_subscriptions: omitEmpty(options.maxSubscriptions),
    ping_interval: toNanoseconds(options.pingIntervalMs),
    ping_max: options.pingMax,
    http_host: options.monitor.host,
    http_port: facts.httpPort,
    http_base_path: options.monitor.basePath,
    https_port: facts.httpsPort,
    auth_timeout: toSeconds(options.authorization.timeoutMs),
    max_control_line: options.maxControlLineBytes,
    max_payload: options.maxPayloadBytes,
    max_pending: options.maxPendingBytes,
    cluster: {},
    gateway: {},
    leaf: {},
    mqtt: renderMqtt(options.mqtt, identity.mqttPort),
    websocket: renderWebsocket(
      options.websocket,
      identity.webSocketPort,
      facts.webSocketCertificateNotAfterMs,
    ),
    jetstream: renderVarzJetStream(options.jetStream, jetStream),
    tls_timeout: toSeconds(options.tls?.timeoutMs ?? DEFAULT_TLS_TIMEOUT_MS),
    write_deadline: toNanoseconds(options.writeDeadlineMs),
    write_timeout: options.writeTimeout === 'default' ? undefined : options.writeTimeout,
  };
}

/** Fields that are empty are left out, as everywhere. */
function renderWebsocket(websocket: WebsocketOptions | null, port: number, notAfterMs: number): JsonValue {
  if (websocket === null) return {};
  const { tls } = websocket;
  return {
    host: omitEmpty(websocket.host),
    port: omitEmpty(port),
    advertise: omitEmpty(websocket.advertise),
    no_auth_user: omitEmpty(websocket.noAuthUser),
    jwt_cookie: omitEmpty(websocket.jwtCookie),
    handshake_timeout: omitEmpty(toNanoseconds(websocket.handshakeTimeoutMs)),
    auth_timeout: omitEmpty(toSeconds(websocket.authTimeoutMs)),
    no_tls: omitEmpty(websocket.noTls),
    tls_pinned_certs: omitEmptyList(tls?.pinnedCerts ?? []),
    same_origin: omitEmpty(websocket.sameOrigin),
    allowed_origins: omitEmptyList(websocket.allowedOrigins),
    compression: omitEmpty(websocket.compression),
    tls_cert_not_after: notAfterMs === 0 ? undefined : formatTime(notAfterMs),
  };
}

function renderTime(identity: ServerIdentity, nowMs: number): Record<string, JsonValue> {
  return {
    start: formatTime(identity.startMs),
    now: formatTime(nowMs),
    uptime: formatUptime(nowMs - identity.startMs),
  };
}

function renderUsage(usage: ProcessUsage): Record<string, JsonValue> {
  return {
    mem: usage.residentBytes,
    cores: usage.cores,
    gomaxprocs: usage.cores,
    cpu: usage.cpuPercent,
  };
}

function renderTraffic(stats: ServerStats): Record<string, JsonValue> {
  return {
    connections: stats.connections,
    total_connections: stats.totalConnections,
    routes: stats.routes,
    remotes: stats.remotes,
    leafnodes: stats.leafnodes,
    in_msgs: stats.inMsgs,
    in_bytes: stats.inBytes,
    in_client_msgs: stats.inClientMsgs,
    in_client_bytes: stats.inClientBytes,
    out_msgs: stats.outMsgs,
    out_bytes: stats.outBytes,
    out_client_msgs: stats.outClientMsgs,
    out_client_bytes: stats.outClientBytes,
    slow_consumers: totalOf(stats.slowConsumers),
    stale_connections: totalOf(stats.staleConnections),
    stalled_clients: stats.stalledClients,
    subscriptions: stats.subscriptions,
  };
}

function renderConfiguration(identity: ServerIdentity, options: ServerOptions): Record<string, JsonValue> {
  const metadata = Object.entries(options.serverMetadata);
  return {
    config_load_time: formatTime(identity.configLoadMs),
    config_digest: options.configDigest,
    tags: omitEmptyList(options.serverTags),
    metadata: metadata.length === 0 ? undefined : sortedMap(metadata),
    feature_flags: sortedMap([
      ...new Map([...DEFAULT_FEATURE_FLAGS, ...Object.entries(options.featureFlags)]),
    ]),
    system_account: omitEmpty(options.systemAccount),
  };
}

function renderEvents(stats: ServerStats): Record<string, JsonValue> {
  return {
    slow_consumer_stats: renderCounts(stats.slowConsumers),
    stale_connection_stats: renderCounts(stats.staleConnections),
    disk_io_wait_stats: {
      waiters: stats.diskIoWaiters,
      waits: stats.diskIoWaits,
      wait_time: toNanoseconds(stats.diskIoWaitMs),
      max_wait_time: toNanoseconds(stats.diskIoMaxWaitMs),
    },
  };
}

function renderCounts(counts: ConnectionKindCounts): JsonValue {
  return { clients: counts.clients, routes: counts.routes, gateways: counts.gateways, leafs: counts.leafs };
}

function totalOf(counts: ConnectionKindCounts): number {
  return counts.clients + counts.routes + counts.gateways + counts.leafs;
}
