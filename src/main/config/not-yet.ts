import type { ConfValue } from './conf-value.ts';

/**
 * What the configuration may say and natsd can't do yet: the only list of it.
 *
 * `stop` where going on without the option would let someone in, let something out or lose data that the configuration
 * meant to protect; `warn` where the rest of the server works as configured. A row is removed with the feature's arrival.
 */
export interface NotYet {
  action: 'stop' | 'warn';
  reason: string;
  /** Values that ask for nothing: only `false`, or what the function says. */
  harmless?: 'false' | ((value: ConfValue) => boolean);
}

const NO_OPERATOR_MODE = 'operator mode (JWT accounts) does not exist, so nobody could be told apart';
const NO_PROXY_SIGNATURES = 'connections of trusted proxies are not verified';
const NO_NKEYS = 'nkey authentication does not exist, so the user could not be verified';
const NO_LISTENER = 'its listener and connections do not exist';
const ONE_ACCOUNT_ONLY =
  'subjects are not carried from one account to another, and who may see them would be undecided';
const NO_CLUSTER = 'streams are not replicated';
const NO_SUCH_QUEUE = 'natsd has no such queue, its rings bound what waits';

/** What a `tls` block may ask of the certificates that clients show. */
function clientCertificates(tls: string): [string, NotYet][] {
  const mapping = 'certificates are verified but not mapped to users';
  const revocation = 'revoked client certificates would be let in';
  return [
    [`${tls}.verify_and_map`, { action: 'stop', reason: mapping, harmless: 'false' }],
    [`${tls}.ocsp_peer`, { action: 'stop', reason: revocation, harmless: 'false' }],
  ];
}

export const NOT_YET: ReadonlyMap<string, NotYet> = new Map<string, NotYet>([
  [
    'jetstream.tpm',
    {
      action: 'stop',
      reason: 'there is no access to a trusted platform module, use "key"',
      harmless: namesNoKeysFile,
    },
  ],
  ['jetstream.unique_tag', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.extension_hint', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.max_outstanding_catchup', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.max_buffered_size', { action: 'warn', reason: NO_SUCH_QUEUE }],
  ['jetstream.max_buffered_msgs', { action: 'warn', reason: NO_SUCH_QUEUE }],
  ['jetstream.meta_compact', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.meta_compact_size', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.meta_compact_sync', { action: 'warn', reason: NO_CLUSTER }],
  ['jetstream.max_concurrent_io', { action: 'warn', reason: 'one thread does all disk operations' }],
  ['jetstream.limits.max_ha_assets', { action: 'warn', reason: NO_CLUSTER }],
  ['accounts.jetstream.cluster_traffic', { action: 'warn', reason: NO_CLUSTER }],
  ['default_js_domain', { action: 'warn', reason: 'JetStream domains do not exist' }],
  ['operator', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['trusted_keys', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['resolver', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['resolver_tls', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['resolver_preload', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['resolver_pinned_accounts', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['default_sentinel', { action: 'stop', reason: NO_OPERATOR_MODE }],
  ['proxies', { action: 'stop', reason: NO_PROXY_SIGNATURES }],
  ['authorization.proxy_required', { action: 'stop', reason: NO_PROXY_SIGNATURES, harmless: 'false' }],
  ['authorization.users.proxy_required', { action: 'stop', reason: NO_PROXY_SIGNATURES, harmless: 'false' }],
  ['accounts.users.proxy_required', { action: 'stop', reason: NO_PROXY_SIGNATURES, harmless: 'false' }],
  ['authorization.users.nkey', { action: 'stop', reason: NO_NKEYS }],
  ['accounts.users.nkey', { action: 'stop', reason: NO_NKEYS }],
  [
    'authorization.auth_callout',
    { action: 'stop', reason: 'the auth service would never be asked, and its users could not be verified' },
  ],
  ['accounts.exports', { action: 'stop', reason: ONE_ACCOUNT_ONLY, harmless: isEmpty }],
  ['accounts.imports', { action: 'stop', reason: ONE_ACCOUNT_ONLY, harmless: isEmpty }],
  ['accounts.nkey', { action: 'warn', reason: 'account keys are not used' }],
  ['accounts.msg_trace', { action: 'warn', reason: 'message tracing does not exist' }],
  ...['tls', 'websocket.tls', 'mqtt.tls'].flatMap(clientCertificates),
  [
    'ocsp',
    {
      action: 'stop',
      reason: 'responses are not stapled to the server certificate',
      harmless: asksNoStapling,
    },
  ],
  ['ocsp_cache', { action: 'warn', reason: 'OCSP responses are not fetched', harmless: 'false' }],
  ['cluster', { action: 'warn', reason: NO_LISTENER }],
  ['gateway', { action: 'warn', reason: NO_LISTENER, harmless: isEmpty }],
  ['leafnodes', { action: 'warn', reason: NO_LISTENER }],
  ['mqtt.js_domain', { action: 'warn', reason: 'JetStream domains do not exist' }],
  ['mqtt.stream_replicas', { action: 'warn', reason: NO_CLUSTER }],
  [
    'mqtt.consumer_memory_storage',
    { action: 'warn', reason: 'MQTT sessions need no consumers', harmless: 'false' },
  ],
  ['prof_port', { action: 'warn', reason: 'there is no profiling port; use Node.js inspector flags' }],
  ['prof_block_rate', { action: 'warn', reason: 'there is no profiling port; use Node.js inspector flags' }],
]);

/** Command-line flags of features that don't exist yet, and the option each stands for. */
export const NOT_YET_FLAGS: ReadonlyMap<string, string> = new Map([
  ['routes', 'cluster'],
  ['cluster', 'cluster'],
  ['cluster_listen', 'cluster'],
  ['cluster_name', 'cluster'],
  ['cluster_advertise', 'cluster'],
  ['no_advertise', 'cluster'],
  ['connect_retries', 'cluster'],
  ['profile', 'prof_port'],
]);

/** `false` and `never` switch stapling off; `auto` staples only for certificates that demand it. */
function asksNoStapling(value: ConfValue): boolean {
  if (value.kind === 'boolean') return !value.value;
  if (value.kind !== 'map') return false;
  for (const entry of value.entries.values()) {
    if (entry.key.toLowerCase() !== 'mode' || entry.value.kind !== 'string') continue;
    return entry.value.value.toLowerCase() === 'never';
  }
  return false;
}

/** Nothing is sealed then. */
function namesNoKeysFile(value: ConfValue): boolean {
  if (value.kind !== 'map') return false;
  for (const entry of value.entries.values()) {
    if (entry.key.toLowerCase() !== 'keys_file') continue;
    return entry.value.kind === 'string' && entry.value.value === '';
  }
  return true;
}

function isEmpty(value: ConfValue): boolean {
  if (value.kind === 'array') return value.values.length === 0;
  return value.kind === 'map' && value.entries.size === 0;
}
