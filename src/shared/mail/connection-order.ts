/**
 * Filter and order of /connz: shards apply them to live connections, main to closed ones and to the merged lists, so
 * all have to agree.
 */

import type { ConnectionAnswer, ConnectionQuery, ConnectionSnapshot, ConnectionSort } from './monitor.ts';

export type ConnectionComparator = (a: ConnectionSnapshot, b: ConnectionSnapshot) => number;

/** What a filter looks at: a shard need not build a snapshot to ask it. */
export type FilteredFields = Pick<
  ConnectionSnapshot,
  'cid' | 'kind' | 'authorizedUser' | 'account' | 'mqttClient'
>;

/** Whether a connection counts into `total`: the account alone decides. */
export function isCounted(connection: FilteredFields, query: ConnectionQuery): boolean {
  return query.account === '' || connection.account === query.account;
}

/** Whether a counted connection is listed. Leaf nodes are not found by cid. */
export function isListed(connection: FilteredFields, query: ConnectionQuery): boolean {
  if (query.cid !== 0 && (connection.cid !== query.cid || connection.kind !== 'Client')) return false;
  if (query.user !== '' && connection.authorizedUser !== query.user) return false;
  return query.mqttClient === '' || connection.mqttClient === query.mqttClient;
}

/**
 * The order of a `sort` option; equal connections stay in the order of their ids. `nowMs` is the end of connections
 * that are still open.
 */
export function connectionOrder(sort: ConnectionSort, nowMs: number): ConnectionComparator {
  const first = primaryOrder(sort, nowMs);
  return (a, b) => first(a, b) || a.cid - b.cid;
}

function primaryOrder(sort: ConnectionSort, nowMs: number): ConnectionComparator {
  const endMs = (connection: ConnectionSnapshot): number => connection.stopMs || nowMs;
  switch (sort) {
    case 'cid':
    case 'start':
      return (a, b) => a.cid - b.cid;
    case 'subs':
      return (a, b) => b.subscriptionCount - a.subscriptionCount;
    case 'pending':
      return (a, b) => b.pendingBytes - a.pendingBytes;
    case 'msgs_to':
      return (a, b) => b.outMsgs - a.outMsgs;
    case 'msgs_from':
      return (a, b) => b.inMsgs - a.inMsgs;
    case 'bytes_to':
      return (a, b) => b.outBytes - a.outBytes;
    case 'bytes_from':
      return (a, b) => b.inBytes - a.inBytes;
    case 'last':
      return (a, b) => b.lastActivityMs - a.lastActivityMs;
    case 'idle':
      return (a, b) => a.lastActivityMs - b.lastActivityMs;
    case 'uptime':
      return (a, b) => endMs(a) - a.startMs - (endMs(b) - b.startMs);
    case 'stop':
      return (a, b) => b.stopMs - a.stopMs;
    case 'reason':
      return (a, b) => (a.closeReason < b.closeReason ? -1 : a.closeReason > b.closeReason ? 1 : 0);
    case 'rtt':
      return (a, b) => b.rttMs - a.rttMs;
  }
}

/** Answers a query over snapshots that are at hand. */
export function selectConnections(
  snapshots: Iterable<ConnectionSnapshot>,
  query: ConnectionQuery,
  nowMs: number,
): ConnectionAnswer {
  let total = 0;
  const listed: ConnectionSnapshot[] = [];
  for (const snapshot of snapshots) {
    if (!isCounted(snapshot, query)) continue;
    total++;
    if (isListed(snapshot, query)) listed.push(snapshot);
  }
  listed.sort(connectionOrder(query.sort, nowMs));
  return { total, connections: listed.slice(0, query.keepFirst) };
}
