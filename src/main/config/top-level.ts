import { ACCOUNT_ROWS, readAccounts } from './accounts-block.ts';
import { AUTHORIZATION_ROWS, readAuthorization } from './authorization-block.ts';
import { CLUSTER_ROWS, GATEWAY_ROWS, readCluster, readGateway } from './cluster-block.ts';
import { type ConfEntry, type ConfMap, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { JETSTREAM_ROWS, readJetStream } from './jetstream-block.ts';
import { LEAFNODE_ROWS, readLeafnodes } from './leafnode-block.ts';
import { DESTINATION_ROWS, readMappings } from './mappings-block.ts';
import { MQTT_ROWS, readMqtt } from './mqtt-block.ts';
import { OPERATOR_ROWS } from './operator-rows.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checkedBy, row } from './row.ts';
import { SCALAR_NAMES, SCALARS, type ScalarValues } from './scalars.ts';
import { readTls, TLS_ROWS } from './tls-block.ts';
import { address, map, text, textList } from './value.ts';
import { readWebsocket, WEBSOCKET_ROWS } from './websocket-block.ts';

/** Every option of the top level: the scalars of scalars.ts, addresses, and the blocks. */

function scalarRow<Name extends keyof ScalarValues>(name: Name): OptionRow<ConfigDraft> {
  const scalar = SCALARS[name];
  return row({
    name,
    aliases: scalar.aliases,
    type: scalar.type,
    default: defaultText(name),
    reload: scalar.reload,
    doc: scalar.doc,
    read: (reader, entry, draft) => {
      const value = scalar.read(reader, entry);
      const problem = scalar.problem?.(value);
      if (problem) throw new OptionError(problem);
      draft.scalars[name] = name === 'max_connections' && value === 0 ? (-1 as ScalarValues[Name]) : value;
    },
  });
}

function defaultText(name: keyof ScalarValues): string {
  const { default: value, type } = SCALARS[name];
  if (type !== 'duration') return String(value);
  const seconds = Number(value) / 1000;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

function monitorRow(name: 'http' | 'https', doc: string): OptionRow<ConfigDraft> {
  return row({
    name,
    type: 'address',
    default: 'off',
    doc,
    read: (_reader, entry, draft) => {
      const { host, port } = address(entry.value);
      draft.scalars[`${name}_port`] = port;
      if (host !== null) draft.monitorHost = host;
    },
  });
}

/** Rows of the top level. */
export const TOP_LEVEL_ROWS: OptionRow<ConfigDraft>[] = [
  row({
    name: 'listen',
    type: 'address',
    default: '0.0.0.0:4222',
    doc: 'Client listener, `host:port` or a port.',
    read: (_reader, entry, draft) => {
      const { host, port } = address(entry.value);
      draft.scalars.port = port;
      if (host !== null) draft.scalars.host = host;
    },
  }),
  ...SCALAR_NAMES.map((name) => scalarRow(name)),
  monitorRow(
    'http',
    'Monitoring server, `host:port` or a port; its host is the client listener’s unless given.',
  ),
  monitorRow('https', 'Monitoring server over TLS; needs the top-level `tls` block.'),
  row({
    name: 'server_tags',
    type: 'string or array',
    reload: 'yes',
    doc: 'Tags of the server, in lower case.',
    read: (_reader, entry, draft) => {
      draft.serverTags = readTags(entry);
    },
  }),
  row({
    name: 'server_metadata',
    type: 'map of strings',
    reload: 'yes',
    doc: 'What the operator wants to know the server by.',
    read: (reader, entry, draft) => {
      const metadata = map(
        entry.value,
        `error parsing metadata: unsupported type ${goTypeName(entry.value)}`,
      );
      for (const item of metadata.entries.values()) {
        reader.attempt(item, () => {
          draft.serverMetadata[item.key] = text(item.value);
        });
      }
    },
  }),
  row({
    name: 'feature_flags',
    type: 'map of booleans',
    doc: 'Feature switches by name; unknown ones are logged.',
    read: (reader, entry, draft) => {
      const flags = map(
        entry.value,
        `error parsing feature flags: unsupported type ${goTypeName(entry.value)}`,
      );
      for (const item of flags.entries.values()) {
        reader.attempt(item, () => {
          if (item.value.kind !== 'boolean') {
            throw new OptionError(
              `error parsing feature flag ${quote(item.key)}: expected bool, got ${goTypeName(item.value)}`,
            );
          }
          draft.featureFlags[item.key] = item.value.value;
        });
      }
    },
  }),
  row({
    name: 'authorization',
    type: 'map',
    reload: 'yes',
    doc: 'Who may connect.',
    children: AUTHORIZATION_ROWS,
    read: readAuthorization,
  }),
  row({
    name: 'accounts',
    type: 'map or array of names',
    reload: 'yes',
    doc: 'Separate subject spaces, each with users.',
    children: ACCOUNT_ROWS,
    read: readAccounts,
  }),
  row({
    name: 'mappings',
    aliases: ['maps'],
    type: 'map',
    reload: 'yes',
    doc: 'Subject mappings of the default account: `source: destination`, `source: {destination, weight}` or an array of those.',
    children: DESTINATION_ROWS,
    read: (reader, entry, draft) => {
      draft.mappings = readMappings(reader, entry);
    },
  }),
  row({
    name: 'tls',
    type: 'map',
    reload: 'yes',
    doc: 'TLS of the client listener and of https monitoring.',
    children: TLS_ROWS,
    read: (reader, entry, draft) => {
      draft.tls = readTls(reader, entry, { path: 'tls', isServerToServer: false });
    },
  }),
  ...OPERATOR_ROWS,
  row({
    name: 'cluster',
    type: 'map',
    reload: 'partly',
    doc: 'Servers that share all subjects.',
    children: CLUSTER_ROWS,
    read: readCluster,
  }),
  row({
    name: 'gateway',
    type: 'map',
    doc: 'Connections between clusters.',
    children: GATEWAY_ROWS,
    read: readGateway,
  }),
  row({
    name: 'leafnodes',
    aliases: ['leaf'],
    type: 'map',
    reload: 'partly',
    doc: 'Servers that extend others.',
    children: LEAFNODE_ROWS,
    read: readLeafnodes,
  }),
  row({
    name: 'websocket',
    aliases: ['ws'],
    type: 'map',
    reload: 'its `tls` alone',
    doc: 'Clients over WebSocket.',
    children: WEBSOCKET_ROWS,
    read: readWebsocket,
  }),
  row({
    name: 'mqtt',
    type: 'map',
    reload: 'partly',
    doc: 'MQTT clients.',
    children: MQTT_ROWS,
    read: readMqtt,
  }),
  row({
    name: 'jetstream',
    type: 'boolean, `enabled`, `disabled` or map',
    default: 'disabled',
    reload: 'partly',
    doc: 'Streams and consumers.',
    children: JETSTREAM_ROWS,
    read: (reader, entry, draft) =>
      readJetStream(reader, entry, draft.jetStream, draft.positions.has('store_dir')),
  }),
  row({
    name: 'store_dir',
    aliases: ['storedir'],
    type: 'string',
    doc: 'Directory of JetStream’s store.',
    read: (_reader, entry, draft) => {
      draft.jetStream.storeDir = text(entry.value);
    },
  }),
  checkedBy('default_js_domain', 'map', 'JetStream domain of accounts, legacy.', readDefaultDomains),
];

function readDefaultDomains(reader: Reader, entry: ConfEntry): void {
  const domains = map(
    entry.value,
    `error default_js_domain config: unsupported type ${goTypeName(entry.value)}`,
  );
  for (const item of domains.entries.values()) reader.attempt(item, () => void text(item.value));
}

/** Tags are in lower case, without surrounding space, each once. */
function readTags(entry: ConfEntry): string[] {
  return [...new Set(textList(entry.value, 'tags').map((tag) => tag.trim().toLowerCase()))];
}

/** Reads the whole tree into the draft; what is wrong with it is in the reader. */
export function readTopLevel(reader: Reader, tree: ConfMap, draft: ConfigDraft): void {
  const names = new Map<string, string>();
  for (const { name, aliases } of TOP_LEVEL_ROWS) {
    for (const known of [name, ...aliases]) names.set(known, name);
  }
  for (const entry of tree.entries.values()) {
    const name = names.get(entry.key.toLowerCase());
    if (name !== undefined) draft.positions.set(name, entry.position);
  }
  reader.readBlock(tree, TOP_LEVEL_ROWS, draft, { path: '' });
}
