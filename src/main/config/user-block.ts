import { isNkey } from '../../shared/auth/nkey.ts';
import type { ConnectionType, Permissions, UserOptions } from '../../shared/base/options.ts';
import { type ConfEntry, type ConfMap, goValueText, type Position } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';

import { OptionError } from './option-error.ts';
import { PERMISSION_ROWS, readPermissions } from './permissions-block.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, row, textRow } from './row.ts';
import { array, map, textList } from './value.ts';

/** `users` of the authorization block and of accounts. */

const CONNECTION_TYPES: readonly ConnectionType[] = [
  'STANDARD',
  'WEBSOCKET',
  'LEAFNODE',
  'LEAFNODE_WS',
  'MQTT',
  'MQTT_WS',
  'IN_PROCESS',
];

interface UserDraft {
  user: string;
  password: string;
  nkey: string;
  permissions: Permissions | null;
  connectionTypes: ConnectionType[];
  proxyRequired: boolean;
}

/** Rows of a user entry. */
export const USER_ROWS: OptionRow<UserDraft>[] = [
  textRow('user', {
    name: 'user',
    aliases: ['username'],
    reload: 'yes',
    doc: 'Name of the user.',
  }),
  textRow('password', {
    name: 'pass',
    aliases: ['password'],
    reload: 'yes',
    doc: 'Password, plain or as a bcrypt hash.',
  }),
  textRow('nkey', {
    name: 'nkey',
    reload: 'yes',
    doc: 'Public user key (`U…`); exclusive with user and password.',
  }),
  row({
    name: 'permissions',
    aliases: ['permission', 'authorization'],
    type: 'map',
    reload: 'yes',
    doc: 'What the user may publish and subscribe to.',
    children: PERMISSION_ROWS,
    read: (reader, entry, draft) => {
      draft.permissions = readPermissions(reader, entry);
    },
  }),
  row({
    name: 'allowed_connection_types',
    aliases: ['connection_types', 'clients'],
    type: 'string or array',
    default: 'all',
    reload: 'yes',
    doc: `Kinds of connection the user may come over: ${CONNECTION_TYPES.join(', ')}.`,
    read: (_reader, entry, draft) => {
      draft.connectionTypes = connectionTypes(entry);
    },
  }),
  booleanRow('proxyRequired', {
    name: 'proxy_required',
    reload: 'yes',
    doc: 'Only through a trusted proxy.',
  }),
];

function connectionTypes(entry: ConfEntry): ConnectionType[] {
  const names = textList(entry.value, 'allowed connection types').map((name) => name.toUpperCase());
  const known = CONNECTION_TYPES.filter((type) => names.includes(type));
  const unknown = names.filter((name) => !CONNECTION_TYPES.some((type) => type === name));
  if (unknown.length > 0) {
    throw new OptionError(`invalid connection types [${unknown.map(quote).join(' ')}]`);
  }
  return known;
}

/** Where a `users` array stands. */
interface UsersContext {
  path: 'authorization.users' | 'accounts.users';
  account: string;
  /** Position of messages about duplicates: the block's, since a duplicate is a matter of two. */
  blockPosition: Position;
}

/** Reads a `users` array into the draft. Names and nkeys must be unique over the whole file. */
export function readUsers(
  reader: Reader,
  entry: ConfEntry,
  draft: ConfigDraft,
  context: UsersContext,
): number {
  const list = array(entry.value, `Expected users field to be an array, got ${goValueText(entry.value)}`);
  let count = 0;
  for (const element of list.values) {
    reader.attempt(element, () => {
      const block = map(element, `Expected user entry to be a map/struct, got ${goValueText(element)}`);
      if (readUser(reader, block, draft, context)) count++;
    });
  }
  return count;
}

function readUser(reader: Reader, block: ConfMap, draft: ConfigDraft, context: UsersContext): boolean {
  const errorsBefore = reader.errors.length;
  const user: UserDraft = {
    user: '',
    password: '',
    nkey: '',
    permissions: null,
    connectionTypes: [],
    proxyRequired: false,
  };
  reader.readBlock(block, USER_ROWS, user, { path: context.path });
  if (user.nkey !== '' && !isNkey('user', user.nkey)) {
    throw new OptionError('Not a valid public nkey for a user');
  }
  if (user.nkey !== '' && (user.user !== '' || user.password !== '')) {
    throw new OptionError('Nkey users do not take usernames or passwords');
  }
  if (reader.errors.length > errorsBefore) return false;
  if (user.nkey === '' && user.user === '') throw new OptionError('User entry requires a user');
  const identity = user.nkey === '' ? user.user : user.nkey;
  if (draft.identities.has(identity)) {
    const what = user.nkey === '' ? 'user' : 'nkey';
    throw new OptionError(`Duplicate ${what} ${quote(identity)} detected`, context.blockPosition);
  }
  draft.identities.add(identity);
  draft.users.push(userOptions(user, context.account));
  return true;
}

function userOptions(user: UserDraft, account: string): UserOptions {
  return {
    user: user.user,
    password: user.password,
    account,
    permissions: user.permissions,
    allowedConnectionTypes: user.connectionTypes,
    proxyRequired: user.proxyRequired,
  };
}
