import { isNkey } from '../../shared/auth/nkey.ts';
import {
  type AccountJetStreamOptions,
  type AccountLimits,
  type AccountOptions,
  GLOBAL_ACCOUNT,
  UNLIMITED_JETSTREAM,
} from '../../shared/base/options.ts';
import {
  EXPORT_ROWS,
  IMPORT_ROWS,
  type ImportReference,
  readExports,
  readImports,
  readMessageTrace,
  TRACE_ROWS,
} from './account-sharing.ts';
import { type ConfEntry, type ConfValue, goTypeName, goValueText, type Position } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { DESTINATION_ROWS, readMappings } from './mappings-block.ts';
import { OptionError } from './option-error.ts';
import { PERMISSION_ROWS, readPermissions } from './permissions-block.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checkedBy, row } from './row.ts';
import { readUsers, USER_ROWS } from './user-block.ts';
import { boolean, integer, isText, map, storageSize, text } from './value.ts';

/** The `accounts` block. Facts: configuration reference §3.5. */

interface AccountDraft {
  options: AccountOptions;
  config: ConfigDraft;
  imports: ImportReference[];
}

/** An account without limits, mappings or permissions. */
export function plainAccount(name: string): AccountOptions {
  return {
    name,
    jetStream: null,
    limits: { maxConnections: -1, maxSubscriptions: -1, maxPayloadBytes: -1, maxLeafnodes: -1 },
    mappings: [],
    defaultPermissions: null,
  };
}

function limitRow(
  name: string,
  alias: string,
  doc: string,
  set: (limits: AccountLimits, limit: number) => void,
): OptionRow<AccountLimits> {
  return row({
    name,
    aliases: [alias],
    type: 'integer',
    default: '-1',
    reload: 'yes',
    doc,
    read: (_reader, entry, limits) => set(limits, integer(entry.value)),
  });
}

const LIMIT_ROWS: OptionRow<AccountLimits>[] = [
  limitRow('max_connections', 'max_conn', 'Client connections.', (limits, limit) => {
    limits.maxConnections = limit;
  }),
  limitRow('max_subscriptions', 'max_subs', 'Subscriptions per connection.', (limits, limit) => {
    limits.maxSubscriptions = limit;
  }),
  limitRow('max_payload', 'max_pay', 'Bytes of a message.', (limits, limit) => {
    limits.maxPayloadBytes = limit;
  }),
  limitRow('max_leafnodes', 'max_leafs', 'Leaf node connections.', (limits, limit) => {
    limits.maxLeafnodes = limit;
  }),
];

function accountSize(entry: ConfEntry): number {
  try {
    return storageSize(entry.value, entry.key);
  } catch {
    throw new OptionError(
      `Expected a parseable size for ${quote(entry.key)}, got ${goValueText(entry.value)}`,
    );
  }
}

interface AccountJetStreamDraft {
  jetStream: AccountJetStreamOptions;
}

function sizeRow(
  names: readonly [string, ...string[]],
  doc: string,
  set: (jetStream: AccountJetStreamOptions, size: number) => void,
): OptionRow<AccountJetStreamDraft> {
  const [name, ...aliases] = names;
  return row({
    name,
    aliases,
    type: 'size',
    default: '-1',
    reload: 'yes',
    doc,
    read: (_reader, entry, draft) => set(draft.jetStream, accountSize(entry)),
  });
}

const JETSTREAM_ROWS: OptionRow<AccountJetStreamDraft>[] = [
  sizeRow(['max_memory', 'max_mem', 'mem', 'memory'], 'Bytes of memory storage.', (jetStream, size) => {
    jetStream.maxMemoryBytes = size;
  }),
  sizeRow(
    ['max_store', 'max_file', 'max_disk', 'store', 'disk'],
    'Bytes of file storage.',
    (jetStream, size) => {
      jetStream.maxStoreBytes = size;
    },
  ),
  sizeRow(['max_streams', 'streams'], 'Streams.', (jetStream, size) => {
    jetStream.maxStreams = size;
  }),
  sizeRow(['max_consumers', 'consumers'], 'Consumers.', (jetStream, size) => {
    jetStream.maxConsumers = size;
  }),
  row({
    name: 'max_bytes_required',
    aliases: ['max_stream_bytes', 'max_bytes'],
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Streams must have a size limit.',
    read: (_reader, entry, draft) => {
      draft.jetStream.maxBytesRequired = boolean(entry.value);
    },
  }),
  sizeRow(
    ['memory_max_stream_bytes', 'mem_max_stream_bytes'],
    'Bytes of one memory stream.',
    (jetStream, size) => {
      jetStream.memoryMaxStreamBytes = size;
    },
  ),
  sizeRow(
    ['store_max_stream_bytes', 'disk_max_stream_bytes'],
    'Bytes of one file stream.',
    (jetStream, size) => {
      jetStream.storeMaxStreamBytes = size;
    },
  ),
  sizeRow(['max_ack_pending'], 'Unacknowledged messages of one consumer.', (jetStream, size) => {
    jetStream.maxAckPending = size;
  }),
  checkedBy(
    'cluster_traffic',
    '`system` or `owner`',
    'Account that carries replication.',
    (_reader, entry) => {
      const traffic = text(entry.value);
      if (!['system', 'owner', ''].includes(traffic)) {
        throw new OptionError(
          `Expected 'system' or 'owner' string value for ${quote(entry.key)}, got ${traffic}`,
        );
      }
    },
    { reload: 'yes' },
  ),
];

function readAccountJetStream(reader: Reader, entry: ConfEntry, account: AccountOptions): void {
  const { value } = entry;
  if (value.kind === 'boolean') {
    account.jetStream = value.value ? { ...UNLIMITED_JETSTREAM } : null;
    return;
  }
  if (isText(value)) {
    const word = text(value);
    if (!/^(enabled?|disabled?)$/i.test(word))
      throw new OptionError(`Expected 'enabled' or 'disabled' for string value, got '${word}'`);
    account.jetStream = /^enabled?$/i.test(word) ? { ...UNLIMITED_JETSTREAM } : null;
    return;
  }
  const block = map(value, `Expected map, bool or string to define JetStream, got ${goTypeName(value)}`);
  const jetStream = { ...UNLIMITED_JETSTREAM };
  account.jetStream = jetStream;
  reader.readBlock(block, JETSTREAM_ROWS, { jetStream }, { path: 'accounts.jetstream' });
}

/** Rows of one account. */
export const ACCOUNT_ROWS: OptionRow<AccountDraft>[] = [
  row({
    name: 'nkey',
    type: 'string',
    reload: 'yes',
    doc: 'Public account key.',
    read: (_reader, entry) => {
      const key = text(entry.value);
      if (isNkey('account', key)) return;
      throw new OptionError(`Not a valid public nkey for an account: ${quote(key)}`);
    },
  }),
  row({
    name: 'users',
    type: 'array of maps',
    reload: 'yes',
    doc: 'Users of the account.',
    children: USER_ROWS,
    read: (reader, entry, draft) => {
      const { config } = draft;
      const added = readUsers(reader, entry, config, {
        path: 'accounts.users',
        account: draft.options.name,
        blockPosition: entry.position,
      });
      if (added === 0) return;
      if (config.authorization.user !== '')
        throw new OptionError('Can not have a single user/pass and accounts');
      if (config.authorization.token !== '') throw new OptionError('Can not have a token and accounts');
    },
  }),
  row({
    name: 'default_permissions',
    type: 'map',
    reload: 'yes',
    doc: 'Permissions of users that have none of their own.',
    children: PERMISSION_ROWS,
    read: (reader, entry, draft) => {
      draft.options.defaultPermissions = readPermissions(reader, entry);
    },
  }),
  row({
    name: 'limits',
    type: 'map',
    reload: 'yes',
    doc: 'Limits of the account; -1 is unlimited.',
    children: LIMIT_ROWS,
    read: (reader, entry, draft) => {
      const block = map(
        entry.value,
        `Expected account limits to be a map/struct, got ${goValueText(entry.value)}`,
      );
      reader.readBlock(block, LIMIT_ROWS, draft.options.limits, {
        path: 'accounts.limits',
        unknown: (name) => `Unknown field ${name} parsing account limits`,
      });
    },
  }),
  row({
    name: 'mappings',
    aliases: ['maps'],
    type: 'map',
    reload: 'yes',
    doc: 'Subject mappings of the account.',
    children: DESTINATION_ROWS,
    read: (reader, entry, draft) => {
      draft.options.mappings = readMappings(reader, entry);
    },
  }),
  row({
    name: 'exports',
    type: 'array of maps',
    reload: 'yes',
    doc: 'What other accounts may import.',
    children: EXPORT_ROWS,
    read: (reader, entry) => readExports(reader, entry),
  }),
  row({
    name: 'imports',
    type: 'array of maps',
    reload: 'yes',
    doc: 'What is taken from other accounts.',
    children: IMPORT_ROWS,
    read: (reader, entry, draft) => {
      draft.imports = readImports(reader, entry);
    },
  }),
  row({
    name: 'jetstream',
    type: 'boolean, `enabled`, `disabled` or map',
    default: 'disabled',
    reload: 'yes',
    doc: 'JetStream of the account.',
    children: JETSTREAM_ROWS,
    read: (reader, entry, draft) => readAccountJetStream(reader, entry, draft.options),
  }),
  row({
    name: 'msg_trace',
    aliases: ['trace_dest'],
    type: 'subject or map',
    reload: 'yes',
    doc: 'Trace messages that carry a trace header.',
    children: TRACE_ROWS,
    read: (reader, entry) => readMessageTrace(reader, entry),
  }),
];

function declare(draft: ConfigDraft, name: string, position: Position): AccountOptions {
  if (name === GLOBAL_ACCOUNT) throw new OptionError(`${quote(name)} is a Reserved Account`, position);
  if (draft.accounts.has(name)) throw new OptionError(`Duplicate Account Entry: ${name}`, position);
  const account = plainAccount(name);
  draft.accounts.set(name, account);
  return account;
}

/** Reads the `accounts` block: an array of names, or a map of name to block. */
export function readAccounts(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const { value } = entry;
  if (value.kind === 'array') {
    for (const element of value.values) {
      reader.attempt(element, () => {
        if (!isText(element)) throw new OptionError('Expected account name to be a string');
        declare(draft, text(element), element.position);
      });
    }
    return;
  }
  const imports: ImportReference[] = [];
  for (const account of map(value, accountsType(value)).entries.values()) {
    reader.attempt(account, () => {
      if (account.usedAsVariable && account.value.kind !== 'map') return;
      const block = map(account.value, 'Expected map entries for accounts');
      const accountDraft = {
        options: declare(draft, account.key, account.position),
        config: draft,
        imports: [],
      };
      reader.readBlock(block, ACCOUNT_ROWS, accountDraft, { path: 'accounts' });
      imports.push(...accountDraft.imports);
    });
  }
  for (const { kind, account } of imports) {
    if (account === '' || draft.accounts.has(account)) continue;
    reader.error(entry.position, `${quote(account)} account not defined for ${kind} import`);
  }
}

function accountsType(value: ConfValue): string {
  return `Expected accounts to be a map or an array of names, got ${goTypeName(value)}`;
}
