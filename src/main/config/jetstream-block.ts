import { type ConfEntry, goTypeName } from './conf-value.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy } from './row.ts';
import { boolean, duration, durationText, integer, isText, map, text } from './value.ts';

/** The `jetstream` block: checked, not acted on. Facts: configuration reference §3.10. */

const MIN_CONCURRENT_IO = 4;
const MAX_CONCURRENT_IO = 8192;

const BATCH_ROWS: OptionRow<unknown>[] = [
  checked('max_inflight_per_stream', 'integer', 'Open batches of a stream.'),
  checked('max_inflight_total', 'integer', 'Open batches of all streams.'),
  checked('max_msgs', 'integer', 'Messages of a batch.'),
  checked('timeout', 'duration', 'Life of an open batch.'),
];

const LIMIT_ROWS: OptionRow<unknown>[] = [
  checked('max_ack_pending', 'integer', 'Unacknowledged messages of a consumer.'),
  checked('max_ha_assets', 'integer', 'Replicated streams and consumers of a server.'),
  checked('max_request_batch', 'integer', 'Messages of one pull request.'),
  checkedBy('duplicate_window', 'duration', 'Longest window of message ids.', (_reader, entry) => {
    durationText(entry.value, entry.key);
  }),
  checkedBy(
    'batch',
    'map',
    'Limits of atomic batches.',
    (reader, entry) => {
      const block = map(entry.value, `Expected a map to define batch limits, got ${goTypeName(entry.value)}`);
      reader.readBlock(block, BATCH_ROWS, null, { path: 'jetstream.limits.batch' });
    },
    { children: BATCH_ROWS },
  ),
];

const CIPHERS = ['chacha', 'chachapoly', 'aes'];

function checkCipher(_reader: Reader, entry: ConfEntry): void {
  const cipher = text(entry.value);
  if (!CIPHERS.includes(cipher.toLowerCase())) throw new OptionError(`Unknown cipher type: ${quote(cipher)}`);
}

const TPM_ROWS: OptionRow<unknown>[] = [
  checked('keys_file', 'string', 'File of sealed keys.'),
  checked('encryption_password', 'string', 'Password of the sealed keys.'),
  checked('srk_password', 'string', 'Password of the storage root key.'),
  checked('pcr', 'integer', 'Platform configuration register.'),
  checkedBy('cipher', 'string', 'Cipher of stored messages.', checkCipher),
];

/** Rows of the `jetstream` block. */
export const JETSTREAM_ROWS: OptionRow<unknown>[] = [
  checkedBy(
    ['enabled', 'enable'],
    'boolean',
    'Switch JetStream off in spite of the block.',
    (_r, e) => {
      boolean(e.value);
    },
    { default: 'true', reload: 'yes' },
  ),
  checked(['store_dir', 'store', 'storedir'], 'string', 'Directory of the store; `/jetstream` is appended.'),
  checked(
    ['max_memory_store', 'max_mem_store', 'max_mem'],
    'size',
    'Bytes of memory storage.',
    '75 % of RAM',
    'increase',
  ),
  checked(
    ['max_file_store', 'max_file'],
    'size',
    'Bytes of file storage.',
    '75 % of the free disk',
    'increase',
  ),
  checked('domain', 'string', 'JetStream domain, without `.`, `*`, `>`.'),
  checked('strict', 'boolean', 'Refuse unknown fields in API requests.', 'true'),
  checkedBy(
    ['sync_interval', 'sync'],
    'duration or `always`',
    'When written messages are synced to disk.',
    (reader, entry) => {
      if (isText(entry.value) && text(entry.value).toLowerCase() === 'always') return;
      duration(reader, entry);
    },
    { default: 'always' },
  ),
  checked(['key', 'ek', 'encryption_key'], 'string', 'Key that stored messages are encrypted with.'),
  checked(['prev_key', 'prev_ek', 'prev_encryption_key'], 'string', 'The key before.'),
  checkedBy('cipher', '`chacha`, `chachapoly` or `aes`', 'Cipher of stored messages.', checkCipher, {
    default: 'chacha',
  }),
  checked('unique_tag', 'string', 'Prefix of tags that replicas may not share.'),
  checked('extension_hint', 'string', '`will_extend` or `no_extend`: whether a leaf node extends a cluster.'),
  checked('max_outstanding_catchup', 'size', 'Bytes on their way to a catching-up peer.', '64MB'),
  checked('max_buffered_size', 'size', 'Bytes waiting for a stream.', '128MB'),
  checked('max_buffered_msgs', 'integer', 'Messages waiting for a stream.', '100000'),
  checked('request_queue_limit', 'integer', 'Waiting API requests.', '10000'),
  checked('info_queue_limit', 'integer', 'Waiting API info requests.', 'request_queue_limit'),
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
  checkedBy(
    'limits',
    'map',
    'Limits of all streams and consumers.',
    (reader, entry) => {
      const block = map(
        entry.value,
        `Expected a map to define JetStreamLimits, got ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, LIMIT_ROWS, null, { path: 'jetstream.limits' });
    },
    { children: LIMIT_ROWS },
  ),
  checkedBy(
    'tpm',
    'map',
    'Keys sealed by a trusted platform module.',
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

/** Checks the `jetstream` option: a boolean, a word or the block. @param hasTopStoreDir the top level names a store too */
export function readJetStream(reader: Reader, entry: ConfEntry, hasTopStoreDir: boolean): void {
  const { value } = entry;
  if (value.kind === 'boolean') return;
  if (isText(value)) {
    if (/^(enabled?|disabled?)$/i.test(text(value))) return;
    throw new OptionError(`Expected 'enabled' or 'disabled' for string value, got '${text(value)}'`);
  }
  const block = map(value, `Expected map, bool or string to define JetStream, got ${goTypeName(value)}`);
  reader.readBlock(block, JETSTREAM_ROWS, null, { path: 'jetstream' });
  for (const option of block.entries.values()) {
    const isStore = ['store', 'store_dir', 'storedir'].includes(option.key.toLowerCase());
    if (isStore && hasTopStoreDir) reader.error(option.position, "Duplicate 'store_dir' configuration");
  }
}
