import { createHash, type X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import type { Account } from '../../shared/broker/account.ts';
import type { Subscription } from '../../shared/broker/subscription.ts';
import { connectionOrder, isCounted, isListed } from '../../shared/mail/connection-order.ts';
import {
  type ConnectionAnswer,
  type ConnectionQuery,
  type ConnectionSnapshot,
  emptySublistStats,
  type SublistStats,
  type SubscriptionAnswer,
  type SubscriptionQuery,
  type SubscriptionSnapshot,
  type TlsSnapshot,
} from '../../shared/mail/monitor.ts';
import { subjectMatches } from '../../shared/subject/subject.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

/** What a shard tells about its connections and subscriptions (/connz, /subsz, closed connections). */

/** @param closed the report of a connection that has just ended: with its reason and its subscriptions */
export function snapshotConnection(
  connection: ClientConnection,
  nowMs: number,
  closed: boolean,
  detail = closed,
): ConnectionSnapshot {
  const { connect } = connection;
  return {
    cid: connection.cid,
    kind: 'Client',
    transport: connection.transport,
    remoteAddress: connection.remoteAddress,
    remotePort: connection.remotePort,
    startMs: connection.startedAtMs,
    lastActivityMs: connection.lastActivityMs,
    stopMs: closed ? nowMs : 0,
    closeReason: closed ? (connection.closeReason ?? '') : '',
    rttMs: connection.rttMs,
    pendingBytes: connection.pendingBytes,
    inMsgs: connection.inMsgs,
    outMsgs: connection.outMsgs,
    inBytes: connection.inBytes,
    outBytes: connection.outBytes,
    stalls: connection.stalls,
    subscriptionCount: connection.subscriptionCount,
    clientName: connect.name,
    lang: connect.lang,
    version: connect.version,
    tls: snapshotTls(connection),
    authorizedUser: connection.authenticatedUser,
    account: connection.gated ? '' : connection.account.name,
    nameTag: connection.gated ? '' : connection.account.name,
    jwt: '',
    issuerKey: '',
    tags: [],
    mqttClient: connection.mqtt?.clientId ?? '',
    proxyKey: '',
    subscriptions: detail ? snapshotSubscriptions(connection, closed) : null,
  };
}

function snapshotSubscriptions(connection: ClientConnection, withAccount: boolean): SubscriptionSnapshot[] {
  if (connection.subscriptions === null) return [];
  return [...connection.subscriptions.values()].map((subscription) =>
    snapshotSubscription(subscription, connection.cid, withAccount ? connection.account.name : ''),
  );
}

function snapshotSubscription(
  subscription: Subscription,
  cid: number,
  account: string,
): SubscriptionSnapshot {
  return {
    account,
    accountTag: account,
    subject: subscription.subject,
    queue: subscription.queue ?? '',
    sid: subscription.sid,
    deliveredMsgs: subscription.delivered,
    maxMsgs: subscription.maxDeliveries,
    cid,
  };
}

function snapshotTls(connection: ClientConnection): TlsSnapshot | null {
  const { stream } = connection;
  if (!(stream instanceof tls.TLSSocket)) return null;
  const certificate = stream.getPeerX509Certificate();
  return {
    version: (stream.getProtocol() ?? '').replace('TLSv', ''),
    cipherSuite: stream.getCipher()?.standardName ?? '',
    peerCertificates: certificate === undefined ? [] : [describeCertificate(certificate)],
    isFirst: connection.tlsFirst,
  };
}

function describeCertificate(certificate: X509Certificate): TlsSnapshot['peerCertificates'][number] {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    // nats-server prints RFC 2253: most specific part first, comma separated.
    subject: certificate.subject.split('\n').reverse().join(','),
    spkiSha256: createHash('sha256').update(spki).digest('hex'),
    certSha256: createHash('sha256').update(certificate.raw).digest('hex'),
  };
}

/** The shard's part of /connz. */
export function queryConnections(shard: Shard, query: ConnectionQuery): ConnectionAnswer {
  const nowMs = Date.now();
  const matching: ConnectionSnapshot[] = [];
  let total = 0;
  for (const connection of shard.connections.values()) {
    const fields = {
      cid: connection.cid,
      kind: 'Client',
      account: connection.gated ? '' : connection.account.name,
      authorizedUser: connection.authenticatedUser,
      mqttClient: connection.mqtt?.clientId ?? '',
    } as const;
    if (!isCounted(fields, query)) continue;
    total++;
    if (!isListed(fields, query)) continue;
    matching.push(snapshotConnection(connection, nowMs, false, query.subscriptions !== 'none'));
    askForRtt(shard, connection);
  }
  matching.sort(connectionOrder(query.sort, nowMs));
  return { total, connections: matching.slice(0, query.keepFirst) };
}

/** Asking for connections whose round trip time is unknown measures it, as in nats-server. */
function askForRtt(shard: Shard, connection: ClientConnection): void {
  if (connection.rttMs === 0 && connection.connect.lang !== '' && connection.pingsOut === 0) {
    shard.session.keepalive.sendPing(connection);
  }
}

function isLocal(interest: { thread: number }): interest is Subscription {
  return interest.thread < 0;
}

/** The shard's part of /subsz. */
export function querySubscriptions(shard: Shard, query: SubscriptionQuery): SubscriptionAnswer {
  const stats = emptySublistStats();
  const subscriptions: SubscriptionSnapshot[] = [];
  let total = 0;
  for (const account of shard.accountsByName.values()) {
    if (query.account !== '' && account.name !== query.account) continue;
    addStats(stats, account);
    if (!query.wantsList) continue;
    account.sublist.forEach((interest) => {
      if (!isLocal(interest)) return;
      if (query.testSubject !== '' && !subjectMatches(query.testSubject, interest.subject)) return;
      total++;
      if (subscriptions.length >= query.keepFirst) return;
      const { cid } = interest.subscriber as ClientConnection;
      subscriptions.push(snapshotSubscription(interest, cid, account.name));
    });
  }
  return { stats, total, subscriptions };
}

function addStats(stats: SublistStats, account: Account): void {
  const { sublist, routes } = account;
  stats.subscriptions += account.localSubscriptions;
  stats.inserts += sublist.inserts;
  stats.removes += sublist.removes;
  stats.matches += sublist.matches + routes.hits;
  stats.cacheHits += routes.hits;
  routes.forEach((route) => {
    const fanout = route.plain.length + route.groups.length;
    stats.cacheEntries++;
    stats.totalFanout += fanout;
    stats.maxFanout = Math.max(stats.maxFanout, fanout);
  });
}
