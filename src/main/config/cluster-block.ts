import { singleUserRows } from './authorization-block.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft, GatewayFacts } from './draft.ts';
import {
  checkUrl,
  compressionRow,
  flagRow,
  LISTEN_ROWS,
  spaceless,
  writeTimeoutRow,
} from './listener-rows.ts';
import { OptionError } from './option-error.ts';
import { PERMISSION_ROWS, readPermissions } from './permissions-block.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy, row } from './row.ts';
import { checkedTlsRow } from './tls-block.ts';
import { address, array, duration, integer, map, text, textList } from './value.ts';

/** The `cluster` and `gateway` blocks: checked, not acted on. Facts: configuration reference §§3.7, 3.8. */

const ROUTE_PING_MAX_MS = 30_000;

function refused(names: string | readonly [string, ...string[]], message: string): OptionRow<unknown> {
  const { name, aliases } = typeof names === 'string' ? { name: names, aliases: [] } : split(names);
  return row({
    name,
    aliases,
    type: 'not allowed',
    doc: `${message}.`,
    read: () => {
      throw new OptionError(message);
    },
  });
}

function split(names: readonly [string, ...string[]]): { name: string; aliases: string[] } {
  const [name, ...aliases] = names;
  return { name, aliases };
}

/** Block-level refusals stand at the block's key, as nats-server prints them. */
function readSingleUser(
  reader: Reader,
  entry: ConfEntry,
  rows: readonly OptionRow<unknown>[],
  path: string,
): void {
  const inner = map(entry.value);
  for (const option of inner.entries.values()) {
    const refusal = rows.find((r) => r.type === 'not allowed' && r.name === option.key.toLowerCase());
    if (refusal !== undefined) refusal.read(reader, option, null);
  }
  reader.readBlock(inner, rows, null, { path });
}

const CLUSTER_AUTHORIZATION_ROWS = singleUserRows([
  refused('token', 'Cluster authorization does not support tokens'),
  refused('users', 'Cluster authorization does not allow multiple users'),
  refused('auth_callout', 'Cluster authorization does not support callouts'),
  checkedBy('permissions', 'map', 'Deprecated: use `cluster.permissions`.', (reader, entry) => {
    readPermissions(reader, entry);
  }),
]);

const GATEWAY_AUTHORIZATION_ROWS = singleUserRows([
  refused('token', 'Gateway authorization does not support tokens'),
  refused('users', 'Gateway authorization does not allow multiple users'),
  refused('auth_callout', 'Gateway authorization does not support callouts'),
]);

/** Rows of the `cluster` block. */
export const CLUSTER_ROWS: OptionRow<ConfigDraft>[] = [
  row({
    name: 'name',
    type: 'string',
    default: 'generated',
    reload: 'yes',
    doc: 'Name of the cluster, without spaces.',
    read: (_reader, entry, draft) => {
      draft.clusterName = spaceless(entry, 'cluster name');
    },
  }),
  ...LISTEN_ROWS,
  checkedBy(
    'authorization',
    'map',
    'User of routes.',
    (reader, entry) => {
      const inner = map(entry.value);
      readSingleUser(reader, entry, CLUSTER_AUTHORIZATION_ROWS, 'cluster.authorization');
      const old = [...inner.entries.values()].some((option) => option.key.toLowerCase() === 'permissions');
      if (old) {
        reader.warnUse(entry, 'setting "permissions" within cluster authorization block is deprecated');
      }
    },
    { reload: 'yes', children: CLUSTER_AUTHORIZATION_ROWS },
  ),
  checkedTlsRow('cluster.tls', true),
  checkedBy('routes', 'array of URLs', 'Routes to solicit.', readRoutes, { reload: 'yes' }),
  checked(['advertise', 'cluster_advertise'], 'string', 'Address given to other servers.', '', 'yes'),
  flagRow('no_advertise', "Don't gossip client URLs.", 'yes'),
  checked('connect_retries', 'integer', 'Attempts for implicit routes.', '0', 'yes'),
  flagRow('connect_backoff', 'Wait longer after each failure.', 'yes'),
  checkedBy(
    'permissions',
    'map',
    'Subjects that may cross routes.',
    (reader, entry) => void readPermissions(reader, entry),
    { reload: 'yes', children: PERMISSION_ROWS },
  ),
  checked('pool_size', 'integer', 'Connections per route; -1 is one without pooling.', '3', 'yes'),
  checkedBy(
    'accounts',
    'array of strings',
    'Accounts with a route of their own.',
    (_reader, entry) => void textList(entry.value, 'accounts'),
    { reload: 'yes' },
  ),
  compressionRow<ConfigDraft>('accept', 'yes', (draft, mode) => draft.compressionModes.push(mode)),
  checkedBy('ping_interval', 'duration', 'Capped at 30s.', checkRoutePing, { reload: 'yes' }),
  checked('ping_max', 'integer', 'Unanswered pings before a route is closed.', 'inherited', 'yes'),
  checked('write_deadline', 'duration', 'Time a write may take.', 'inherited', 'yes'),
  writeTimeoutRow('retry'),
];

function checkRoutePing(reader: Reader, entry: ConfEntry): void {
  if (duration(reader, entry) > ROUTE_PING_MAX_MS) {
    reader.warn(entry.position, `Cluster 'ping_interval' will reset to 30s which is the max for routes`);
  }
}

function readRoutes(reader: Reader, entry: ConfEntry): void {
  const seen = new Set<string>();
  for (const element of array(entry.value).values) {
    reader.attempt(element, () => {
      const route = text(element);
      checkUrl(route, 'route');
      if (seen.has(route)) {
        reader.warn(element.position, `invalid use of field ${quote(route)}: Duplicate route entry detected`);
      }
      seen.add(route);
    });
  }
}

/** Checks the `cluster` block. */
export function readCluster(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected map to define cluster, got ${goTypeName(entry.value)}`);
  reader.readBlock(block, CLUSTER_ROWS, draft, { path: 'cluster' });
}

interface RemoteFacts {
  name: string;
  hasUrl: boolean;
}

const REMOTE_GATEWAY_ROWS: OptionRow<RemoteFacts>[] = [
  row({
    name: 'name',
    type: 'string',
    doc: 'Name of the remote cluster.',
    read: (_reader, entry, facts) => {
      facts.name = text(entry.value);
    },
  }),
  row({
    name: 'url',
    type: 'URL',
    doc: 'Address of one of its servers.',
    read: (_reader, entry, facts) => {
      checkUrl(text(entry.value), 'gateway');
      facts.hasUrl = true;
    },
  }),
  row({
    name: 'urls',
    type: 'array of URLs',
    doc: 'Addresses of several.',
    read: (reader, entry, facts) => {
      for (const element of array(entry.value).values) {
        reader.attempt(element, () => void checkUrl(text(element), 'gateway'));
        facts.hasUrl = true;
      }
    },
  }),
  checkedTlsRow('gateway.gateways.tls', true),
];

/** Rows of the `gateway` block. */
export const GATEWAY_ROWS: OptionRow<GatewayFacts>[] = [
  row({
    name: 'name',
    type: 'string',
    doc: 'Name of this cluster; required.',
    read: (_reader, entry, facts) => {
      facts.name = spaceless(entry, 'gateway name');
    },
  }),
  row({
    name: 'listen',
    type: 'address',
    doc: 'Address of the listener, `host:port` or a port.',
    read: (_reader, entry, facts) => {
      facts.port = address(entry.value).port;
    },
  }),
  row({
    name: 'port',
    type: 'port',
    doc: 'Port of the listener; required, -1 is a random one.',
    read: (_reader, entry, facts) => {
      facts.port = integer(entry.value);
    },
  }),
  checked(['host', 'net'], 'string', 'Host of the listener.', '0.0.0.0'),
  checkedBy(
    'authorization',
    'map',
    'User of gateways.',
    (reader, entry) => readSingleUser(reader, entry, GATEWAY_AUTHORIZATION_ROWS, 'gateway.authorization'),
    { children: GATEWAY_AUTHORIZATION_ROWS },
  ),
  checkedTlsRow('gateway.tls', true),
  checked('advertise', 'string', 'Address given to other clusters.'),
  checked('connect_retries', 'integer', 'Attempts for implicit gateways.', '0'),
  flagRow('connect_backoff', 'Wait longer after each failure.'),
  flagRow(['reject_unknown_cluster', 'reject_unknown'], 'Refuse clusters that are not listed.'),
  checked('write_deadline', 'duration', 'Time a write may take.', 'inherited'),
  writeTimeoutRow('retry'),
  row({
    name: 'gateways',
    type: 'array of maps',
    doc: 'Remote clusters.',
    children: REMOTE_GATEWAY_ROWS,
    read: (reader, entry, facts) => {
      const list = array(
        entry.value,
        `Expected gateways field to be an array, got ${goTypeName(entry.value)}`,
      );
      for (const element of list.values) {
        reader.attempt(element, () => {
          const block = map(element, `Expected gateway entry to be a map/struct, got ${goTypeName(element)}`);
          const remote: RemoteFacts = { name: '', hasUrl: false };
          reader.readBlock(block, REMOTE_GATEWAY_ROWS, remote, { path: 'gateway.gateways' });
          facts.remotes.push(remote);
        });
      }
    },
  }),
];

/** Checks the `gateway` block. */
export function readGateway(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected gateway to be a map, got ${goTypeName(entry.value)}`);
  const facts: GatewayFacts = { name: '', port: 0, remotes: [] };
  reader.readBlock(block, GATEWAY_ROWS, facts, { path: 'gateway' });
  if (block.entries.size > 0) draft.gateway = facts;
}
