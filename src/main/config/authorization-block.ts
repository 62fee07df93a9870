import { isNkey } from '../../shared/auth/nkey.ts';
import { GLOBAL_ACCOUNT } from '../../shared/base/options.ts';
import { type ConfEntry, goTypeName, goValueText } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { OptionError } from './option-error.ts';
import { PERMISSION_ROWS, readPermissions } from './permissions-block.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checkedBy, row } from './row.ts';
import { readUsers, USER_ROWS } from './user-block.ts';
import { array, boolean, map, secondsOrDuration, text, textList } from './value.ts';

/** The top-level `authorization` block. Facts: configuration reference §3.3. */

const HIGH_TIMEOUT_MS = 60_000;

/**
 * Reads an authentication timeout, in seconds or as a duration; milliseconds. More than a minute earns a warning, since
 * `1m` without quotes is a million seconds.
 */
export function authTimeoutMs(reader: Reader, entry: ConfEntry): number {
  const { value } = entry;
  const timeoutMs = secondsOrDuration(
    value,
    "error parsing authorization config, 'timeout' wrong type",
    (reason) => `error parsing authorization config, 'timeout' ${reason}`,
  );
  if (timeoutMs > HIGH_TIMEOUT_MS) {
    reader.warnUse(
      entry,
      `timeout of ${goValueText(value)} (${(timeoutMs / 1000).toFixed(6)} seconds) is high, consider keeping it under 60 seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example`,
    );
  }
  return timeoutMs;
}

const CALLOUT_ROWS: OptionRow<unknown>[] = [
  checkedBy('issuer', 'string', 'Public account key that signs the answers; required.', (_reader, entry) => {
    const issuer = text(entry.value);
    if (isNkey('account', issuer)) return;
    throw new OptionError(`Expected callout user to be a valid public account nkey, got ${quote(issuer)}`);
  }),
  checkedBy(['account', 'acc'], 'string', 'Account of the auth service.', (_r, e) => void text(e.value), {
    default: '$G',
  }),
  checkedBy(
    ['auth_users', 'users'],
    'array of strings',
    'Users that are not delegated; required.',
    (_r, e) => {
      const list = array(e.value, `Expected auth_users field to be an array, got ${goTypeName(e.value)}`);
      for (const element of list.values) text(element);
    },
  ),
  checkedBy(['xkey', 'key'], 'string', 'Public curve key that requests are encrypted for.', (_r, e) => {
    const key = text(e.value);
    if (isNkey('curve', key)) return;
    throw new OptionError(`Expected callout xkey to be a valid public xkey, got ${quote(key)}`);
  }),
  checkedBy('allowed_accounts', 'array of strings', 'Accounts whose users are delegated.', (_r, e) => {
    textList(e.value, 'allowed_accounts');
  }),
];

/** Rows of the top-level `authorization` block. */
export const AUTHORIZATION_ROWS: OptionRow<ConfigDraft>[] = [
  row({
    name: 'user',
    aliases: ['username'],
    type: 'string',
    reload: 'yes',
    doc: 'Name of the single user.',
    read: (_reader, entry, draft) => {
      draft.authorization.user = text(entry.value);
    },
  }),
  row({
    name: 'pass',
    aliases: ['password'],
    type: 'string',
    reload: 'yes',
    doc: 'Its password, plain or as a bcrypt hash.',
    read: (_reader, entry, draft) => {
      draft.authorization.password = text(entry.value);
    },
  }),
  row({
    name: 'token',
    type: 'string',
    reload: 'yes',
    doc: 'Token that stands in for user and password, plain or as a bcrypt hash.',
    read: (_reader, entry, draft) => {
      draft.authorization.token = text(entry.value);
    },
  }),
  row({
    name: 'timeout',
    type: 'number or duration',
    default: '2, with TLS its timeout + 1',
    reload: 'yes',
    doc: 'Seconds a client may take to authenticate.',
    read: (reader, entry, draft) => {
      draft.authorization.timeoutMs = authTimeoutMs(reader, entry);
      draft.hasAuthorizationTimeout = draft.authorization.timeoutMs !== 0;
    },
  }),
  row({
    name: 'users',
    type: 'array of maps',
    reload: 'yes',
    doc: 'Users of the default account; exclusive with the single user and the token.',
    children: USER_ROWS,
    read: (reader, entry, draft) => {
      const blockPosition = draft.positions.get('authorization') ?? entry.position;
      readUsers(reader, entry, draft, {
        path: 'authorization.users',
        account: GLOBAL_ACCOUNT,
        blockPosition,
      });
    },
  }),
  row({
    name: 'default_permissions',
    aliases: ['default_permission', 'permissions'],
    type: 'map',
    reload: 'yes',
    doc: 'Permissions of users that have none of their own.',
    children: PERMISSION_ROWS,
    read: (reader, entry, draft) => {
      draft.authorization.defaultPermissions = readPermissions(reader, entry);
    },
  }),
  row({
    name: 'auth_callout',
    aliases: ['auth_hook'],
    type: 'map',
    reload: 'yes',
    doc: 'Delegate authentication to a service.',
    children: CALLOUT_ROWS,
    read: (reader, entry) => {
      const block = map(
        entry.value,
        `Expected authorization callout to be a map/struct, got ${goValueText(entry.value)}`,
      );
      reader.readBlock(block, CALLOUT_ROWS, null, { path: 'authorization.auth_callout' });
    },
  }),
  row({
    name: 'proxy_required',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'The single user or the token must come through a trusted proxy.',
    read: (_reader, entry, draft) => {
      draft.authorization.proxyRequired = boolean(entry.value);
    },
  }),
];

/** Reads the top-level `authorization` block. */
export function readAuthorization(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  draft.hasAuthorization = true;
  reader.readBlock(map(entry.value), AUTHORIZATION_ROWS, draft, { path: 'authorization' });
  const { user, password, token } = draft.authorization;
  const hasSingleUser = user !== '' || password !== '';
  if (hasSingleUser && token !== '') throw new OptionError('Cannot have a user/pass and token');
  if (user !== '' && draft.users.length > 0) {
    throw new OptionError('Can not have a single user/pass and a users array');
  }
  if (token !== '' && draft.users.length > 0) throw new OptionError('Can not have a token and a users array');
}

/** Rows of the smaller `authorization` blocks: a single user, and what else the listener knows. */
export function singleUserRows(extra: readonly OptionRow<unknown>[]): OptionRow<unknown>[] {
  return [
    checkedBy(['user', 'username'], 'string', 'User name.', (_r, e) => void text(e.value), { reload: 'yes' }),
    checkedBy(['pass', 'password'], 'string', 'Password.', (_r, e) => void text(e.value), { reload: 'yes' }),
    checkedBy(
      'timeout',
      'number or duration',
      'Seconds to authenticate.',
      (r, e) => void authTimeoutMs(r, e),
      {
        default: '2',
        reload: 'yes',
      },
    ),
    ...extra,
  ];
}
