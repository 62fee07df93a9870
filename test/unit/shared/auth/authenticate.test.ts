import { describe, expect, test } from 'vitest';
import {
  type AuthPolicy,
  type AuthResult,
  allowsImplicitLogin,
  authenticate,
  type Credentials,
  compileAuthPolicy,
  describeCredentials,
  isAuthAnnounced,
  isAuthRequired,
  isBcrypt,
} from '../../../../src/shared/auth/authenticate.ts';
import type {
  AccountOptions,
  AuthorizationOptions,
  ConnectionType,
  Permissions,
  UserOptions,
} from '../../../../src/shared/base/options.ts';

const HASH = '$2a$04$OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO';
const denyD: Permissions = { publish: { allow: null, deny: ['d'] }, subscribe: null, responses: null };
const denyX: Permissions = { publish: null, subscribe: { allow: null, deny: ['x'] }, responses: null };

function user(name: string, password: string, more: Partial<UserOptions> = {}): UserOptions {
  return {
    user: name,
    password,
    account: '$G',
    permissions: null,
    allowedConnectionTypes: [],
    proxyRequired: false,
    ...more,
  };
}

function account(name: string, defaultPermissions: Permissions | null): AccountOptions {
  const limits = { maxConnections: -1, maxSubscriptions: -1, maxPayloadBytes: -1, maxLeafnodes: -1 };
  return { name, jetStream: null, limits, mappings: [], defaultPermissions };
}

interface Setup {
  users?: UserOptions[];
  authorization?: Partial<AuthorizationOptions>;
  accounts?: AccountOptions[];
  noAuthUser?: string;
}

function policy({ users = [], authorization = {}, accounts = [], noAuthUser = '' }: Setup): AuthPolicy {
  return compileAuthPolicy({
    users,
    accounts,
    noAuthUser,
    authorization: {
      user: '',
      password: '',
      token: '',
      timeoutMs: 2000,
      proxyRequired: false,
      defaultPermissions: null,
      ...authorization,
    },
  });
}

function login(
  by: AuthPolicy,
  credentials: Partial<Credentials> = {},
  connectionType: ConnectionType = 'STANDARD',
  fromTrustedProxy = false,
): AuthResult {
  const complete = { user: '', pass: '', authToken: '', nkey: '', ...credentials };
  return authenticate(by, { credentials: complete, connectionType, fromTrustedProxy });
}

function accepted(
  user: string,
  label: string,
  account = '$G',
  permissions: Permissions | null = null,
): AuthResult {
  return { kind: 'accepted', identity: { account, user, label, permissions } };
}

const failed: AuthResult = { kind: 'rejected', rejection: 'authentication-failure' };
const proxyRequired: AuthResult = { kind: 'rejected', rejection: 'proxy-required' };

test('an open server takes everybody and looks at nothing', () => {
  const open = policy({});
  expect(isAuthRequired(open)).toBe(false);
  expect(isAuthAnnounced(open)).toBe(false);
  expect(login(open, { user: 'x', pass: 'y', authToken: 'z' })).toEqual(accepted('', ''));
});

describe('users', () => {
  const users = [
    user('a', 'p'),
    user('b', 'p', { permissions: denyX }),
    user('c', 'p', { account: 'A' }),
    user('h', HASH, { account: 'A' }),
    user('e', ''),
    user('m', 'p', { allowedConnectionTypes: ['MQTT', 'WEBSOCKET'] }),
    user('v', 'p', { proxyRequired: true }),
    user('\u00e9', '\u00fc'),
  ];
  const by = policy({ users, authorization: { defaultPermissions: denyD }, accounts: [account('A', denyX)] });

  test('have to show their password', () => {
    expect(isAuthRequired(by)).toBe(true);
    expect(isAuthAnnounced(by)).toBe(true);
    expect(login(by, { user: 'a', pass: 'p' })).toEqual(accepted('a', 'user:a', '$G', denyD));
    expect(login(by, { user: '\u00e9', pass: '\u00fc' })).toEqual(
      accepted('\u00e9', 'user:\u00e9', '$G', denyD),
    );
    expect(login(by, { user: 'e' })).toEqual(accepted('e', 'user:e', '$G', denyD));
  });

  test.each<Partial<Credentials>>([
    { user: 'a' },
    { user: 'a', pass: 'P' },
    { user: 'a', pass: 'pp' },
    { user: 'A', pass: 'p' },
    { user: 'z', pass: 'p' },
    { user: '__proto__', pass: '' },
    { pass: 'p' },
    { authToken: 'p' },
    { nkey: 'UABC' },
    {},
  ])('are not found by %j', (credentials) => {
    expect(login(by, credentials)).toEqual(failed);
  });

  test('have the defaults of their account when they have no permissions', () => {
    expect(login(by, { user: 'b', pass: 'p' })).toEqual(accepted('b', 'user:b', '$G', denyX));
    expect(login(by, { user: 'c', pass: 'p' })).toEqual(accepted('c', 'user:c', 'A', denyX));
    const elsewhere = policy({
      users,
      authorization: { defaultPermissions: denyD },
      accounts: [account('A', null)],
    });
    expect(login(elsewhere, { user: 'c', pass: 'p' })).toEqual(accepted('c', 'user:c', 'A', null));
  });

  test('with a hash need it checked', () => {
    expect(login(by, { user: 'h', pass: 'secret' })).toEqual({
      kind: 'bcrypt',
      hash: HASH,
      password: 'secret',
      identity: { account: 'A', user: 'h', label: 'user:h', permissions: denyX },
    });
  });

  test('may be bound to kinds of connections', () => {
    expect(login(by, { user: 'm', pass: 'p' })).toEqual(failed);
    expect(login(by, { user: 'm', pass: 'p' }, 'MQTT')).toEqual(accepted('m', 'user:m', '$G', denyD));
  });

  test('may have to come through a proxy', () => {
    expect(login(by, { user: 'v', pass: 'p' })).toEqual(proxyRequired);
    expect(login(by, { user: 'v', pass: 'p' }, 'STANDARD', true)).toEqual(
      accepted('v', 'user:v', '$G', denyD),
    );
    expect(login(by, { user: 'v', pass: 'x' }, 'STANDARD', true)).toEqual(failed);
  });

  describe('and no_auth_user', () => {
    const withNoAuthUser = (noAuthUser: string): AuthPolicy => policy({ users, noAuthUser });

    test('stands for connections without credentials', () => {
      const anonymous = withNoAuthUser('c');
      expect(isAuthRequired(anonymous)).toBe(true);
      expect(isAuthAnnounced(anonymous)).toBe(false);
      expect(login(anonymous)).toEqual(accepted('c', 'user:c', 'A'));
      expect(login(anonymous, { user: 'a', pass: 'p' })).toEqual(accepted('a', 'user:a'));
      expect(login(anonymous, { pass: 'p' })).toEqual(failed);
      expect(login(anonymous, { authToken: 'p' })).toEqual(failed);
      expect(login(anonymous, { user: 'z' })).toEqual(failed);
    });

    test.each<[string, ConnectionType, boolean]>([
      ['c', 'STANDARD', true],
      ['m', 'STANDARD', false],
      ['m', 'MQTT', true],
      ['v', 'STANDARD', false],
      ['', 'STANDARD', false],
      ['z', 'STANDARD', false],
    ])('%j over %s logs in without CONNECT: %s', (name, connectionType, expected) => {
      expect(allowsImplicitLogin(withNoAuthUser(name), connectionType)).toBe(expected);
    });

    test('does not override what the user is bound to', () => {
      expect(login(withNoAuthUser('m'))).toEqual(failed);
      expect(login(withNoAuthUser('v'))).toEqual(proxyRequired);
      expect(login(withNoAuthUser('h'))).toEqual(failed);
    });
  });
});

describe('a token', () => {
  const by = policy({ authorization: { token: 'tok', defaultPermissions: denyD } });

  test('is enough', () => {
    expect(isAuthRequired(by)).toBe(true);
    expect(login(by, { authToken: 'tok' })).toEqual(accepted('', 'token'));
    expect(login(by, { authToken: 'tok', user: 'any' })).toEqual(accepted('', 'token'));
  });

  test.each<Partial<Credentials>>([
    {},
    { user: 'tok' },
    { pass: 'tok' },
    { authToken: 'x' },
  ])('is not in %j', (credentials) => {
    expect(login(by, credentials)).toEqual(failed);
  });

  test('may be a hash, and bound to a proxy', () => {
    const hashed = policy({ authorization: { token: HASH } });
    expect(login(hashed, { authToken: 'x' })).toMatchObject({ kind: 'bcrypt', hash: HASH, password: 'x' });
    const behind = policy({ authorization: { token: 'tok', proxyRequired: true } });
    expect(login(behind, { authToken: 'tok' })).toEqual(proxyRequired);
    expect(login(behind, { authToken: 'tok' }, 'STANDARD', true)).toEqual(accepted('', 'token'));
  });
});

describe('a single user', () => {
  const by = policy({ authorization: { user: 'a', password: 'p', defaultPermissions: denyD } });

  test('has no default permissions', () => {
    expect(login(by, { user: 'a', pass: 'p' })).toEqual(accepted('a', 'user:a'));
  });

  test.each<Partial<Credentials>>([
    {},
    { user: 'a' },
    { user: 'a', pass: 'x' },
    { pass: 'p' },
    { authToken: 'p' },
  ])('is not %j', (credentials) => {
    expect(login(by, credentials)).toEqual(failed);
  });

  test('may have a hash, and be bound to a proxy', () => {
    const hashed = policy({ authorization: { user: 'a', password: HASH } });
    expect(login(hashed, { user: 'a', pass: 'x' })).toMatchObject({
      kind: 'bcrypt',
      hash: HASH,
      password: 'x',
    });
    expect(login(hashed, { user: 'b', pass: 'x' })).toEqual(failed);
    const behind = policy({ authorization: { user: 'a', password: 'p', proxyRequired: true } });
    expect(login(behind, { user: 'a', pass: 'p' })).toEqual(proxyRequired);
    expect(login(behind, { user: 'a', pass: 'p' }, 'STANDARD', true)).toEqual(accepted('a', 'user:a'));
  });
});

test.each([
  ['$2a$11$abc', true],
  ['$2b$04$', true],
  ['$2x$10$x', true],
  ['$2y$10$x', true],
  ['$2c$10$x', false],
  ['$2a$1$x', false],
  ['x$2a$10$x', false],
  ['', false],
])('%j is a hash: %s', (stored, expected) => {
  expect(isBcrypt(stored)).toBe(expected);
});

test.each<[Partial<Credentials>, string]>([
  [{}, ''],
  [{ pass: 'secret' }, ''],
  [{ user: 'a', pass: 'secret' }, ' - User "a"'],
  [{ nkey: 'UABC', user: 'a' }, ' - Nkey "UABC"'],
  [{ authToken: 'secret' }, ' - Token "[REDACTED]"'],
  [{ authToken: 'secret', user: 'u' }, ' - User "u"'],
])('%j is logged as %j', (credentials, expected) => {
  expect(describeCredentials({ user: '', pass: '', authToken: '', nkey: '', ...credentials })).toBe(expected);
});
