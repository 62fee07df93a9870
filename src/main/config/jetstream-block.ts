import type { BatchOptions, JetStreamEncryption } from '../../shared/base/options.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, checked, checkedBy, integerRow, row, sizeRow, textRow } from './row.ts';
import { duration, durationText, integer, isText, map, text } from './value.ts';

/** The `jetstream` block. Facts: configuration reference §3.10. */

/** Consumers of a stream without a limit of its own or of its account, as in nats-server 2.15. */
export const DEFAULT_MAX_CONSUMERS = 1000;

/** What the block says; unset stays unset. */
export interface JetStreamDraft {
  enabled: boolean;
  storeDir: string;
  maxMemoryBytes: number | null;
  maxStoreBytes: number | null;
  domain: string;
  strict: boolean;
  syncIntervalMs: number | 'always';
  deliverAfterSync: boolean;
  /** Empty: no encryption. */
  key: string;
  previousKey: string;
  cipher: JetStreamEncryption['cipher'];
  maxDuplicateWindowMs: number;
  maxAckPending: number;
  maxRequestBatch: number;
  /** -1 is none. */
  defaultMaxConsumers: number;
  batch: BatchOptions;
  /** 0 is the default. */
  requestQueueLimit: number;
  /** 0 is that of all requests. */
  infoQueueLimit: number;
}

export function emptyJetStreamDraft(): JetStreamDraft {
  return {
    enabled: false,
    storeDir: '',
    maxMemoryBytes: null,
    maxStoreBytes: null,
    domain: '',
    strict: true,
    syncIntervalMs: 'always',
    deliverAfterSync: false,
    key: '',
    previousKey: '',
    cipher: 'chacha20-poly1305',
    maxDuplicateWindowMs: 0,
    maxAckPending: 0,
    maxRequestBatch: 0,
    defaultMaxConsumers: DEFAULT_MAX_CONSUMERS,
    batch: { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutMs: 10_000 },
    requestQueueLimit: 0,
    infoQueueLimit: 0,
  };
}

/** Requests that may wait when nothing is configured. */
export const DEFAULT_REQUEST_QUEUE_LIMIT = 10_000;
const MIN_CONCURRENT_IO = 4;
const MAX_CONCURRENT_IO = 8192;

function batchRow(
  name: string,
  doc: string,
  set: (batch: BatchOptions, count: number) => void,
): OptionRow<BatchOptions> {
  return row({
    name,
    type: 'integer',
    reload: 'yes',
    doc,
    read: (_reader, entry, batch) => {
      const count = integer(entry.value);
      // Zero is "the default", as in nats-server.
      if (count > 0) set(batch, count);
    },
  });
}

const BATCH_ROWS: OptionRow<BatchOptions>[] = [
  batchRow('max_inflight_per_stream', 'Open batches of a stream.', (batch, count) => {
    batch.maxInflightPerStream = count;
  }),
  batchRow('max_inflight_total', 'Open batches of all streams.', (batch, count) => {
    batch.maxInflightTotal = count;
  }),
  batchRow('max_msgs', 'Messages of a batch.', (batch, count) => {
    batch.maxMsgs = count;
  }),
  row({
    name: 'timeout',
    type: 'duration',
    reload: 'yes',
    doc: 'Life of an open batch.',
    read: (reader, entry, batch) => {
      const timeoutMs = duration(reader, entry);
      if (timeoutMs > 0) batch.timeoutMs = timeoutMs;
    },
  }),
];

const LIMIT_ROWS: OptionRow<JetStreamDraft>[] = [
  integerRow('maxAckPending', {
    name: 'max_ack_pending',
    reload: 'yes',
    doc: 'Unacknowledged messages of a consumer.',
  }),
  checked('max_ha_assets', 'integer', 'Replicated streams and consumers of a server.'),
  integerRow('maxRequestBatch', {
    name: 'max_request_batch',
    reload: 'yes',
    doc: 'Messages of one pull request.',
  }),
  row({
    name: 'default_max_consumers',
    type: 'integer',
    default: String(DEFAULT_MAX_CONSUMERS),
    reload: 'yes',
    doc: 'Consumers of a stream where neither it nor its account says how many; -1 is unlimited.',
    read: (_reader, entry, draft) => {
      draft.defaultMaxConsumers = integer(entry.value) || DEFAULT_MAX_CONSUMERS;
    },
  }),
  row({
    name: 'duplicate_window',
    type: 'duration',
    reload: 'yes',
    doc: 'Longest window of message ids.',
    read: (_reader, entry, draft) => {
      draft.maxDuplicateWindowMs = durationText(entry.value, entry.key);
    },
  }),
  row({
    name: 'batch',
    type: 'map',
    doc: 'Limits of atomic batches.',
    children: BATCH_ROWS,
    read: (reader, entry, draft) => {
      const block = map(entry.value, `Expected a map to define batch limits, got ${goTypeName(entry.value)}`);
      reader.readBlock(block, BATCH_ROWS, draft.batch, { path: 'jetstream.limits.batch' });
    },
  }),
];

const CIPHERS = new Map<string, JetStreamEncryption['cipher']>([
  ['chacha', 'chacha20-poly1305'],
  ['chachapoly', 'chacha20-poly1305'],
  ['aes', 'aes-256-gcm'],
]);

function cipherOf(entry: ConfEntry): JetStreamEncryption['cipher'] {
  const name = text(entry.value);
  const cipher = CIPHERS.get(name.toLowerCase());
  if (cipher === undefined) throw new OptionError(`Unknown cipher type: ${quote(name)}`);
  return cipher;
}

const TPM_ROWS: OptionRow<unknown>[] = [
  checked('keys_file', 'string', 'File of sealed keys.'),
  checked('encryption_password', 'string', 'Password of the sealed keys.'),
  checked('srk_password', 'string', 'Password of the storage root key.'),
  checked('pcr', 'integer', 'Platform configuration register.'),
  checkedBy('cipher', 'string', 'Cipher of stored messages.', (_reader, entry) => void cipherOf(entry)),
];

/** Rows of the `jetstream` block. */
export const JETSTREAM_ROWS: OptionRow<JetStreamDraft>[] = [
  booleanRow('enabled', {
    name: 'enabled',
    aliases: ['enable'],
    default: 'true',
    doc: 'Switch JetStream off in spite of the block.',
  }),
  textRow('storeDir', {
    name: 'store_dir',
    aliases: ['store', 'storedir'],
    doc: 'Directory of the store; `/jetstream` is appended.',
  }),
  sizeRow('maxMemoryBytes', {
    name: 'max_memory_store',
    aliases: ['max_mem_store', 'max_mem'],
    default: '75 % of RAM',
    reload: 'increase',
    doc: 'Bytes of memory storage.',
  }),
  sizeRow('maxStoreBytes', {
    name: 'max_file_store',
    aliases: ['max_file'],
    default: '75 % of the free disk',
    reload: 'increase',
    doc: 'Bytes of file storage.',
  }),
  row({
    name: 'domain',
    type: 'string',
    doc: 'JetStream domain, without `.`, `*`, `>`.',
    read: (_reader, entry, draft) => {
      const domain = text(entry.value);
      if (/[.*>]/.test(domain)) throw new OptionError('invalid domain name: may not contain ".", "*" or ">"');
      draft.domain = domain;
    },
  }),
  booleanRow('strict', {
    name: 'strict',
    default: 'true',
    doc: 'Refuse unknown fields in API requests.',
  }),
  row({
    name: 'sync_interval',
    aliases: ['sync'],
    type: 'duration or `always`',
    default: 'always',
    doc: 'When written messages are synced to disk.',
    read: (reader, entry, draft) => {
      const always = isText(entry.value) && text(entry.value).toLowerCase() === 'always';
      draft.syncIntervalMs = always ? 'always' : duration(reader, entry);
    },
  }),
  booleanRow('deliverAfterSync', {
    name: 'deliver_after_sync',
    default: 'false',
    doc: 'With `sync_interval: always`: consumers that acknowledge (`explicit`, `all`) get a message after its sync, as all others always do. Otherwise as soon as it is stored: a crash may take back what was delivered, unless its publish was acknowledged.',
  }),
  textRow('key', {
    name: 'key',
    aliases: ['ek', 'encryption_key'],
    doc: 'Key that everything stored is encrypted with. A store in clear is encrypted then; an encrypted one needs its key from then on.',
  }),
  textRow('previousKey', {
    name: 'prev_key',
    aliases: ['prev_ek', 'prev_encryption_key'],
    doc: 'The key before, for the start that changes to another one.',
  }),
  row({
    name: 'cipher',
    type: '`chacha`, `chachapoly` or `aes`',
    default: 'chacha',
    doc: 'Cipher of stored messages; streams that are there keep theirs.',
    read: (_reader, entry, draft) => {
      draft.cipher = cipherOf(entry);
    },
  }),
  checked('unique_tag', 'string', 'Prefix of tags that replicas may not share.'),
  checked('extension_hint', 'string', '`will_extend` or `no_extend`: whether a leaf node extends a cluster.'),
  checked('max_outstanding_catchup', 'size', 'Bytes on their way to a catching-up peer.', '64MB'),
  checked('max_buffered_size', 'size', 'Bytes waiting for a stream.', '128MB'),
  checked('max_buffered_msgs', 'integer', 'Messages waiting for a stream.', '100000'),
  row({
    name: 'request_queue_limit',
    type: 'integer',
    default: '10000',
    doc: 'Waiting API requests.',
    read: (_reader, entry, draft) => {
      draft.requestQueueLimit = Math.max(0, integer(entry.value));
    },
  }),
  row({
    name: 'info_queue_limit',
    type: 'integer',
    default: 'request_queue_limit',
    doc: 'Waiting API info requests.',
    read: (_reader, entry, draft) => {
      draft.infoQueueLimit = Math.max(0, integer(entry.value));
    },
  }),
  checked('meta_compact', 'integer', 'Entries after which metadata is compacted.', '0', 'yes'),
  checked('meta_compact_size', 'size', 'Bytes after which metadata is compacted.', '0', 'yes'),
  checked('meta_compact_sync', 'boolean', 'Sync after compaction.', 'false', 'yes'),
  checkedBy(
    'max_concurrent_io',
    'integer',
    'Concurrent disk operations.',
    (_reader, entry) => {
      const count = integer(entry.value);
      if (count >= MIN_CONCURRENT_IO && count <= MAX_CONCURRENT_IO) return;
      throw new OptionError(
        `Expected an absolute size for ${quote(entry.key)} between ${MIN_CONCURRENT_IO} and ${MAX_CONCURRENT_IO}, got ${count}`,
      );
    },
    { default: '4096' },
  ),
  row({
    name: 'limits',
    type: 'map',
    doc: 'Limits of all streams and consumers.',
    children: LIMIT_ROWS,
    read: (reader, entry, draft) => {
      const block = map(
        entry.value,
        `Expected a map to define JetStreamLimits, got ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, LIMIT_ROWS, draft, { path: 'jetstream.limits' });
    },
  }),
  checkedBy(
    'tpm',
    'map',
    'Keys sealed by a trusted platform module; nats-server has it on Windows only.',
    (reader, entry) => {
      const block = map(
        entry.value,
        `Expected a map to define JetStreamLimits, got ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, TPM_ROWS, null, { path: 'jetstream.tpm' });
    },
    { children: TPM_ROWS },
  ),
];

/** Reads the `jetstream` option: a boolean, a word or the block. @param hasTopStoreDir the top level names a store too */
export function readJetStream(
  reader: Reader,
  entry: ConfEntry,
  draft: JetStreamDraft,
  hasTopStoreDir: boolean,
): void {
  const { value } = entry;
  if (value.kind === 'boolean') {
    draft.enabled = value.value;
    return;
  }
  if (isText(value)) {
    const word = text(value);
    if (!/^(enabled?|disabled?)$/i.test(word))
      throw new OptionError(`Expected 'enabled' or 'disabled' for string value, got '${word}'`);
    draft.enabled = /^enabled?$/i.test(word);
    return;
  }
  const block = map(value, `Expected map, bool or string to define JetStream, got ${goTypeName(value)}`);
  draft.enabled = true;
  reader.readBlock(block, JETSTREAM_ROWS, draft, { path: 'jetstream' });
  for (const option of block.entries.values()) {
    const isStore = ['store', 'store_dir', 'storedir'].includes(option.key.toLowerCase());
    if (isStore && hasTopStoreDir) reader.error(option.position, "Duplicate 'store_dir' configuration");
  }
}
