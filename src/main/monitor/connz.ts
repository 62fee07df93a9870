/**
 * /connz: connections, live and closed. Source: spec "/connz", checked against recorded answers of 2.15.1.
 */

import { connectionOrder, selectConnections } from '../../shared/mail/connection-order.ts';
import type {
  ConnectionAnswer,
  ConnectionQuery,
  ConnectionSnapshot,
  ConnectionSort,
  SubscriptionSnapshot,
} from '../../shared/mail/monitor.ts';
import { formatRtt, formatTime, formatUptime, type JsonValue, omitEmpty, omitEmptyList } from './format.ts';
import { ParameterError, type Parameters } from './parameters.ts';
import type { MonitorSource } from './source.ts';

export const DEFAULT_PAGE_LIMIT = 1024;
/** Never shown as the account of a connection: it is the one that has no name. */
const GLOBAL_ACCOUNT = '$G';

const SORTS: ReadonlySet<string> = new Set<ConnectionSort>([
  'cid',
  'start',
  'subs',
  'pending',
  'msgs_to',
  'msgs_from',
  'bytes_to',
  'bytes_from',
  'last',
  'idle',
  'uptime',
  'stop',
  'reason',
  'rtt',
]);

export interface ConnzRequest {
  query: ConnectionQuery;
  /** As written: an unknown one is refused later than parameters that cannot be decoded. */
  sort: string;
  withAuth: boolean;
  offset: number;
  limit: number;
}

/** Throws ParameterError. */
export function decodeConnz(parameters: Parameters): ConnzRequest {
  const withAuth = parameters.boolean('auth');
  const subscriptions = parameters.subscriptionDetail('subs');
  const offset = Math.max(0, parameters.integer('offset'));
  let limit = parameters.integer('limit');
  const cid = parameters.unsigned('cid');
  const state = parameters.state('state');
  if (limit <= 0) limit = DEFAULT_PAGE_LIMIT;
  if (cid !== 0) limit = 1;
  return {
    sort: parameters.text('sort'),
    withAuth,
    offset,
    limit,
    query: {
      sort: 'cid',
      state,
      subscriptions,
      keepFirst: offset + limit,
      cid,
      user: parameters.text('user'),
      account: parameters.text('acc'),
      mqttClient: parameters.text('mqtt_client'),
    },
  };
}

/** Throws ParameterError. */
export async function renderConnz(source: MonitorSource, request: ConnzRequest): Promise<JsonValue> {
  const { offset, limit } = request;
  const query = { ...request.query, sort: validateSort(request) };
  if (query.account !== '' && !source.hasAccount(query.account)) {
    const now = formatTime(source.now());
    return { server_id: '', now, num_connections: 0, total: 0, offset, limit, connections: null };
  }
  const answers: ConnectionAnswer[] = [];
  if (query.state !== 'closed') answers.push(...(await source.connections(query)));
  const nowMs = source.now();
  if (query.state !== 'open') answers.push(selectConnections(reportedClosed(source), query, nowMs));
  const page = answers
    .flatMap((answer) => answer.connections)
    .sort(connectionOrder(query.sort, nowMs))
    .slice(offset, offset + limit);
  return {
    server_id: source.identity().serverId,
    now: formatTime(nowMs),
    num_connections: page.length,
    total: answers.reduce((sum, answer) => sum + answer.total, 0),
    offset,
    limit,
    connections: page.map((connection) => renderConnection(connection, request, nowMs)),
  };
}

function validateSort(request: ConnzRequest): ConnectionSort {
  const { sort } = request;
  if (sort === '') return 'cid';
  if (!SORTS.has(sort)) throw new ParameterError(`invalid sorting option: ${sort}`);
  if ((sort === 'stop' || sort === 'reason') && request.query.state !== 'closed') {
    throw new ParameterError(`sort by ${sort} only valid on closed connections`);
  }
  return sort as ConnectionSort;
}

/** A closed connection of the global account has no account any more, so no filter by account finds it. */
function* reportedClosed(source: MonitorSource): IterableIterator<ConnectionSnapshot> {
  for (const connection of source.closedConnections) {
    yield connection.account === GLOBAL_ACCOUNT ? { ...connection, account: '', nameTag: '' } : connection;
  }
}

/** One entry of `connections`; the order of the fields is part of the format. */
export function renderConnection(
  connection: ConnectionSnapshot,
  request: { withAuth: boolean; query: Pick<ConnectionQuery, 'subscriptions'> },
  nowMs: number,
): JsonValue {
  const isClosed = connection.stopMs !== 0;
  const endMs = isClosed ? connection.stopMs : nowMs;
  const { tls } = connection;
  return {
    cid: connection.cid,
    kind: connection.kind,
    type: omitEmpty(connection.transport),
    ip: connection.remoteAddress,
    port: connection.remotePort,
    start: formatTime(connection.startMs),
    last_activity: formatTime(connection.lastActivityMs),
    stop: isClosed ? formatTime(connection.stopMs) : undefined,
    reason: omitEmpty(connection.closeReason),
    rtt: formatRtt(connection.rttMs),
    uptime: formatUptime(endMs - connection.startMs),
    idle: formatUptime(endMs - connection.lastActivityMs),
    pending_bytes: connection.pendingBytes,
    in_msgs: connection.inMsgs,
    out_msgs: connection.outMsgs,
    in_bytes: connection.inBytes,
    out_bytes: connection.outBytes,
    stalls: omitEmpty(connection.stalls),
    subscriptions: connection.subscriptionCount,
    name: omitEmpty(connection.clientName),
    lang: omitEmpty(connection.lang),
    version: omitEmpty(connection.version),
    tls_version: omitEmpty(tls?.version ?? ''),
    tls_cipher_suite: omitEmpty(tls?.cipherSuite ?? ''),
    tls_peer_certs: request.withAuth ? renderPeerCertificates(connection) : undefined,
    tls_first: omitEmpty(tls?.isFirst ?? false),
    ...renderIdentity(connection, request),
  };
}

function renderPeerCertificates(connection: ConnectionSnapshot): readonly JsonValue[] | undefined {
  return omitEmptyList(
    (connection.tls?.peerCertificates ?? []).map((certificate) => ({
      subject: omitEmpty(certificate.subject),
      spki_sha256: omitEmpty(certificate.spkiSha256),
      cert_sha256: omitEmpty(certificate.certSha256),
    })),
  );
}

/** The fields behind the TLS ones: who it is and what it is subscribed to. */
function renderIdentity(
  connection: ConnectionSnapshot,
  request: { withAuth: boolean; query: Pick<ConnectionQuery, 'subscriptions'> },
): Record<string, JsonValue> {
  const { withAuth } = request;
  const { subscriptions: detail } = request.query;
  const subscriptions = connection.subscriptions ?? [];
  const whenAuth = (text: string): string | undefined => (withAuth ? omitEmpty(text) : undefined);
  return {
    authorized_user: whenAuth(connection.authorizedUser),
    account: connection.account === GLOBAL_ACCOUNT ? undefined : whenAuth(connection.account),
    subscriptions_list:
      detail === 'subjects' ? omitEmptyList(subscriptions.map((s) => s.subject)) : undefined,
    subscriptions_list_detail:
      detail === 'detail' ? omitEmptyList(subscriptions.map(renderSubscription)) : undefined,
    jwt: whenAuth(connection.jwt),
    issuer_key: whenAuth(connection.issuerKey),
    name_tag: whenAuth(connection.nameTag),
    tags: withAuth ? omitEmptyList(connection.tags) : undefined,
    mqtt_client: omitEmpty(connection.mqttClient),
    proxy: connection.proxyKey === '' ? undefined : { key: connection.proxyKey },
  };
}

/** A subscription as /connz and /subsz show it. */
export function renderSubscription(subscription: SubscriptionSnapshot): JsonValue {
  return {
    account: omitEmpty(subscription.account),
    account_tag: omitEmpty(subscription.accountTag),
    subject: subscription.subject,
    qgroup: omitEmpty(subscription.queue),
    sid: subscription.sid,
    msgs: subscription.deliveredMsgs,
    max: omitEmpty(subscription.maxMsgs),
    cid: subscription.cid,
  };
}
