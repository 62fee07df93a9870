import { isNkey } from '../../shared/auth/nkey.ts';
import { authTimeoutMs } from './authorization-block.ts';
import { type ConfEntry, type ConfMap, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { checkUrl, compressionRow, flagRow, LISTEN_ROWS, writeTimeoutRow } from './listener-rows.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy, row, textRow } from './row.ts';
import { checkedTlsRow } from './tls-block.ts';
import { array, durationText, map, text, textList } from './value.ts';

/** The `leafnodes` block: checked, not acted on. Facts: configuration reference §3.9. */

const OLDEST_MINIMUM = [2, 8, 0] as const;

const LEAF_USER_ROWS: OptionRow<{ user: string }>[] = [
  textRow('user', {
    name: 'user',
    aliases: ['username'],
    doc: 'Name of the user.',
  }),
  checked(['pass', 'password'], 'string', 'Password.'),
  checked('account', 'string', 'Account the leaf node is bound to.'),
  flagRow('proxy_required', 'Only through a trusted proxy.'),
];

const LEAF_AUTHORIZATION_ROWS: OptionRow<unknown>[] = [
  checked(['user', 'username'], 'string', 'User name.'),
  checked(['pass', 'password'], 'string', 'Password.'),
  checkedBy('nkey', 'string', 'Public user key.', (_reader, entry) => {
    if (isNkey('user', text(entry.value))) return;
    throw new OptionError('Not a valid public nkey for leafnode authorization');
  }),
  checked('account', 'string', 'Account leaf nodes are bound to.'),
  checkedBy('timeout', 'number or duration', 'Seconds to authenticate.', (r, e) => void authTimeoutMs(r, e)),
  checkedBy(
    'users',
    'array of maps',
    'Users of leaf nodes.',
    (reader, entry) => {
      const list = array(entry.value, `Expected users field to be an array, got ${goTypeName(entry.value)}`);
      const seen = new Set<string>();
      for (const element of list.values) {
        reader.attempt(element, () => {
          const draft = { user: '' };
          const block = map(element, `Expected user entry to be a map/struct, got ${goTypeName(element)}`);
          reader.readBlock(block, LEAF_USER_ROWS, draft, { path: 'leafnodes.authorization.users' });
          if (seen.has(draft.user))
            throw new OptionError(`duplicate user ${quote(draft.user)} detected in leafnode authorization`);
          seen.add(draft.user);
        });
      }
    },
    { children: LEAF_USER_ROWS },
  ),
  flagRow('proxy_required', 'Only through a trusted proxy.'),
];

const PROXY_ROWS: OptionRow<{ url: string; username: string; password: string }>[] = [
  textRow('url', {
    name: 'url',
    type: 'URL',
    doc: 'HTTP proxy.',
  }),
  textRow('username', {
    name: 'username',
    doc: 'User of the proxy.',
  }),
  textRow('password', {
    name: 'password',
    doc: 'Password of the proxy.',
  }),
  checked('timeout', 'duration', 'Time to get through the proxy.'),
];

const MIGRATE_ROWS: OptionRow<unknown>[] = [
  checkedBy('leader_migrate_delay', 'duration', 'Wait before leaders move.', (_reader, entry) => {
    durationText(entry.value, entry.key);
  }),
];

interface RemoteDraft {
  urls: string[];
  account: string;
  credentials: string;
  nkey: string;
}

function addUrl(draft: RemoteDraft, source: string): void {
  const url = checkUrl(source, 'leafnode');
  const isWebsocket = /^wss?:$/.test(url.protocol);
  for (const earlier of draft.urls) {
    if (/^wss?:/i.test(earlier) !== isWebsocket) {
      throw new OptionError(
        'remote leaf node configuration cannot have a mix of websocket and non-websocket urls',
      );
    }
  }
  draft.urls.push(source);
}

const REMOTE_ROWS: OptionRow<RemoteDraft>[] = [
  row({
    name: 'url',
    type: 'URL',
    doc: 'Address of the hub; port 7422 unless given.',
    read: (_reader, entry, draft) => addUrl(draft, text(entry.value)),
  }),
  row({
    name: 'urls',
    type: 'array of URLs',
    doc: 'Addresses of several hubs.',
    read: (reader, entry, draft) => {
      for (const element of array(entry.value).values) {
        reader.attempt(element, () => addUrl(draft, text(element)));
      }
    },
  }),
  textRow('account', {
    name: 'account',
    aliases: ['local'],
    default: '$G',
    doc: 'Local account.',
  }),
  textRow('credentials', {
    name: 'credentials',
    aliases: ['creds'],
    type: 'path',
    doc: 'Credentials file; `~` and `$VARIABLES` are expanded.',
  }),
  row({
    name: 'nkey',
    aliases: ['seed'],
    type: 'string',
    doc: 'User seed; exclusive with credentials.',
    read: (_reader, entry, draft) => {
      draft.nkey = text(entry.value);
      if (!/^SU[A-Z2-7]{56}$/.test(draft.nkey)) {
        throw new OptionError(`Remote leafnode nkey is not a valid seed: ${quote(draft.nkey)}`);
      }
    },
  }),
  checkedTlsRow('leafnodes.remotes.tls', false),
  flagRow('hub', 'This side is the hub.'),
  checkedBy(
    ['deny_imports', 'deny_import'],
    'string or array',
    'Subjects not taken from the hub.',
    (_r, e) => {
      textList(e.value, 'deny_imports');
    },
  ),
  checkedBy(['deny_exports', 'deny_export'], 'string or array', 'Subjects not given to the hub.', (_r, e) => {
    textList(e.value, 'deny_exports');
  }),
  flagRow(['no_randomize', 'dont_randomize'], 'Try the URLs in order.'),
  flagRow(
    ['ws_compression', 'ws_compress', 'websocket_compress', 'websocket_compression'],
    'Compress over WebSocket.',
  ),
  flagRow(['ws_no_masking', 'websocket_no_masking'], "Don't mask WebSocket frames."),
  checkedBy(
    ['jetstream_cluster_migrate', 'js_cluster_migrate'],
    'boolean or map',
    'Move stream leaders away while disconnected.',
    (reader, entry) => {
      if (entry.value.kind === 'boolean') return;
      const block = map(
        entry.value,
        `Expected boolean or map for jetstream_cluster_migrate, got ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, MIGRATE_ROWS, null, { path: 'leafnodes.remotes.jetstream_cluster_migrate' });
    },
    { default: 'false', children: MIGRATE_ROWS },
  ),
  flagRow(['isolate_leafnode_interest', 'isolate'], "Don't tell the hub of other leaf nodes' interest."),
  flagRow('request_isolation', 'Ask the hub for the same.'),
  compressionRow<RemoteDraft>('s2_auto', 'yes', () => {}),
  checkedBy('first_info_timeout', 'duration', 'Wait for the first INFO.', checkDurationText, {
    default: '1s',
  }),
  checkedBy('dial_timeout', 'duration', 'Wait for the connection.', checkDurationText, { default: '1s' }),
  flagRow('disabled', 'Keep the remote out of use.', 'yes'),
  flagRow('ignore_discovered_servers', 'Use the given URLs only.'),
  checkedBy('proxy', 'map', 'HTTP proxy, for WebSocket URLs.', readProxy, { children: PROXY_ROWS }),
];

function checkDurationText(_reader: Reader, entry: ConfEntry): void {
  durationText(entry.value, entry.key);
}

function readProxy(reader: Reader, entry: ConfEntry): void {
  const draft = { url: '', username: '', password: '' };
  const block = map(entry.value, `Expected proxy to be a map/struct, got ${goTypeName(entry.value)}`);
  const errorsBefore = reader.errors.length;
  reader.readBlock(block, PROXY_ROWS, draft, { path: 'leafnodes.remotes.proxy' });
  if (reader.errors.length > errorsBefore || draft.url === '') return;
  const scheme = URL.canParse(draft.url) ? new URL(draft.url).protocol.replace(':', '') : '';
  if (scheme !== 'http' && scheme !== 'https') {
    throw new OptionError(`proxy URL scheme must be http or https, got: ${scheme}`);
  }
  if ((draft.username === '') !== (draft.password === '')) {
    throw new OptionError('proxy username and password must both be specified or both be empty');
  }
}

function checkMinimumVersion(_reader: Reader, entry: ConfEntry): void {
  const match = /^v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-.*)?$/.exec(text(entry.value));
  if (match === null) throw new OptionError("invalid leafnode's minimum version: invalid semver");
  for (let i = 0; i < OLDEST_MINIMUM.length; i++) {
    const difference = Number(match[i + 1]) - OLDEST_MINIMUM[i]!;
    if (difference > 0) return;
    if (difference < 0) throw new OptionError('the minimum version should be at least 2.8.0');
  }
}

/** Rows of the `leafnodes` block. */
export const LEAFNODE_ROWS: OptionRow<ConfigDraft>[] = [
  ...LISTEN_ROWS,
  checkedBy(
    'authorization',
    'map',
    'Users of leaf nodes.',
    (reader, entry) => {
      reader.readBlock(map(entry.value), LEAF_AUTHORIZATION_ROWS, null, { path: 'leafnodes.authorization' });
    },
    { children: LEAF_AUTHORIZATION_ROWS },
  ),
  checkedTlsRow('leafnodes.tls', false),
  checked(['advertise', 'leafnode_advertise'], 'string', 'Address given to leaf nodes.'),
  flagRow('no_advertise', "Don't gossip addresses to leaf nodes."),
  checkedBy(
    ['min_version', 'minimum_version'],
    'string',
    'Oldest server that may connect.',
    checkMinimumVersion,
  ),
  compressionRow<ConfigDraft>('s2_auto', 'yes', (draft, mode) => draft.compressionModes.push(mode)),
  flagRow(['isolate_leafnode_interest', 'isolate'], "Don't tell leaf nodes of each other's interest."),
  checkedBy(
    ['reconnect', 'reconnect_delay', 'reconnect_interval'],
    'duration',
    'Wait before a remote is tried again.',
    (_reader, entry) => {
      if (entry.value.kind !== 'integer') durationText(entry.value, entry.key);
    },
    { default: '1s' },
  ),
  checkedBy('dial_timeout', 'duration', 'Wait for the connection to a remote.', checkDurationText, {
    default: '1s',
  }),
  checked('write_deadline', 'duration', 'Time a write may take.', 'inherited'),
  writeTimeoutRow('retry'),
  checkedBy('remotes', 'array of maps', 'Hubs to connect to.', readRemotes, {
    reload: 'added, removed, disabled',
    children: REMOTE_ROWS,
  }),
];

function readRemotes(reader: Reader, entry: ConfEntry): void {
  const list = array(entry.value, `Expected remotes field to be an array, got ${goTypeName(entry.value)}`);
  const seen = new Set<string>();
  for (const element of list.values) {
    reader.attempt(element, () => {
      const block = map(
        element,
        `Expected remote leafnode entry to be a map/struct, got ${goTypeName(element)}`,
      );
      readRemote(reader, block, seen);
    });
  }
}

function readRemote(reader: Reader, block: ConfMap, seen: Set<string>): void {
  const draft: RemoteDraft = { urls: [], account: '', credentials: '', nkey: '' };
  reader.readBlock(block, REMOTE_ROWS, draft, { path: 'leafnodes.remotes' });
  if (draft.credentials !== '' && draft.nkey !== '') {
    throw new OptionError('Remote leafnode has both creds and nkey set. They are mutually exclusive');
  }
  if (draft.urls.length === 0) return;
  const account = draft.account === '' ? '$G' : draft.account;
  const credentials = draft.credentials === '' ? '' : `, credentials=${quote(draft.credentials)}`;
  const label = `urls=[${draft.urls.map(quote).join(' ')}], account=${quote(account)}${credentials}`;
  if (seen.has(label)) throw new OptionError(`duplicate remote ${label}`);
  seen.add(label);
}

/** Checks the `leafnodes` block. */
export function readLeafnodes(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected map to define a leafnode, got ${goTypeName(entry.value)}`);
  reader.readBlock(block, LEAFNODE_ROWS, draft, { path: 'leafnodes' });
  for (const option of block.entries.values()) {
    if (['port', 'listen'].includes(option.key.toLowerCase())) draft.hasLeafnodeListener = true;
  }
}
