/**
 * Who a connection is: the decision at CONNECT for the users, the token or the single user of the configuration
 * (auth-accounts §2, §3).
 *
 * Methods are asked in order and the first that feels responsible decides, so further ones (nkeys, operator mode) are
 * further members of the list. Checking a bcrypt hash takes tens of milliseconds of CPU and is done elsewhere: where it is
 * needed the decision says so, together with what holds if the hash matches.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type ConnectionType,
  GLOBAL_ACCOUNT,
  type Permissions,
  type ServerOptions,
  type UserOptions,
} from '../base/options.ts';

/** What a connection shows; the options of a CONNECT are of this shape. */
export interface Credentials {
  readonly user: string;
  readonly pass: string;
  readonly authToken: string;
  readonly nkey: string;
}

/** A connection that wants in. */
export interface AuthRequest {
  readonly credentials: Credentials;
  readonly connectionType: ConnectionType;
  /** Whether a trusted proxy has vouched for the connection. */
  readonly fromTrustedProxy: boolean;
}

/** Who the connection is from now on. */
export interface Identity {
  readonly account: string;
  /** User name; empty for a token and where no authentication is configured. */
  readonly user: string;
  /** The user as the log and monitoring show it: `user:x`, `token`, or empty. */
  readonly label: string;
  /** The same object for each connection of the user. */
  readonly permissions: Permissions | null;
}

export type AuthRejection = 'authentication-failure' | 'proxy-required';

export type AuthResult =
  | { kind: 'accepted'; identity: Identity }
  /** Accepted if `password` is the one of `hash`, else rejected as `authentication-failure`. */
  | { kind: 'bcrypt'; hash: string; password: string; identity: Identity }
  | { kind: 'rejected'; rejection: AuthRejection };

/** The configuration as authentication needs it. */
export interface AuthPolicy {
  readonly users: ReadonlyMap<string, UserOptions>;
  readonly noAuthUser: string;
  readonly token: string;
  readonly singleUser: string;
  readonly singlePassword: string;
  readonly singleProxyRequired: boolean;
  /** `default_permissions` by account, of accounts that have any. */
  readonly defaultPermissions: ReadonlyMap<string, Permissions>;
}

/** A method: its decision, or null when it is not the one to decide. */
type Authenticator = (policy: AuthPolicy, request: AuthRequest) => AuthResult | null;

const BCRYPT = /^\$2[abxy]\$\d{2}\$/;

/** Whether a stored password or token is a bcrypt hash. */
export function isBcrypt(stored: string): boolean {
  return BCRYPT.test(stored);
}

/** Extracts from the options what authentication needs; do it once, not for each connection. */
export function compileAuthPolicy(
  options: Pick<ServerOptions, 'users' | 'authorization' | 'accounts' | 'noAuthUser'>,
): AuthPolicy {
  const { authorization } = options;
  const defaultPermissions = new Map<string, Permissions>();
  if (authorization.defaultPermissions !== null) {
    defaultPermissions.set(GLOBAL_ACCOUNT, authorization.defaultPermissions);
  }
  for (const account of options.accounts) {
    if (account.defaultPermissions !== null) defaultPermissions.set(account.name, account.defaultPermissions);
  }
  return {
    users: new Map(options.users.map((user) => [user.user, user])),
    noAuthUser: options.noAuthUser,
    token: authorization.token,
    singleUser: authorization.user,
    singlePassword: authorization.password,
    singleProxyRequired: authorization.proxyRequired,
    defaultPermissions,
  };
}

/** Whether a connection has to authenticate at all. */
export function isAuthRequired(policy: AuthPolicy): boolean {
  return policy.users.size > 0 || policy.token !== '' || policy.singleUser !== '';
}

/** Whether INFO says `auth_required`: not when connections without credentials are some user anyway. client-protocol §4.1. */
export function isAuthAnnounced(policy: AuthPolicy): boolean {
  return isAuthRequired(policy) && policy.noAuthUser === '';
}

/**
 * Whether a connection that sends something else before CONNECT is logged in as `no_auth_user`, by an `authenticate` of
 * empty credentials. If not, and authentication is required, that is an authorization violation. client-protocol §2.
 */
export function allowsImplicitLogin(policy: AuthPolicy, connectionType: ConnectionType): boolean {
  const user = policy.users.get(policy.noAuthUser);
  return user !== undefined && !user.proxyRequired && allowsConnectionType(user, connectionType);
}

function allowsConnectionType(user: UserOptions, connectionType: ConnectionType): boolean {
  return user.allowedConnectionTypes.length === 0 || user.allowedConnectionTypes.includes(connectionType);
}

/** Compares secrets in time that depends on neither. */
function sameSecret(a: string, b: string): boolean {
  const digest = (secret: string): Buffer => createHash('sha256').update(secret, 'utf8').digest();
  return timingSafeEqual(digest(a), digest(b));
}

const FAILED: AuthResult = { kind: 'rejected', rejection: 'authentication-failure' };
const PROXY_REQUIRED: AuthResult = { kind: 'rejected', rejection: 'proxy-required' };

function checkSecret(stored: string, shown: string, identity: Identity): AuthResult {
  if (isBcrypt(stored)) return { kind: 'bcrypt', hash: stored, password: shown, identity };
  return sameSecret(stored, shown) ? { kind: 'accepted', identity } : FAILED;
}

function userIdentity(policy: AuthPolicy, user: UserOptions): Identity {
  return {
    account: user.account,
    user: user.user,
    label: `user:${user.user}`,
    permissions: user.permissions ?? policy.defaultPermissions.get(user.account) ?? null,
  };
}

function hasNone({ user, pass, authToken }: Credentials): boolean {
  return user === '' && pass === '' && authToken === '';
}

/** Without any configured method everybody is in the default account, whatever they show. */
function openServer(policy: AuthPolicy): AuthResult | null {
  if (isAuthRequired(policy)) return null;
  return { kind: 'accepted', identity: { account: GLOBAL_ACCOUNT, user: '', label: '', permissions: null } };
}

function configuredUser(policy: AuthPolicy, request: AuthRequest): AuthResult | null {
  const { credentials } = request;
  const anonymous = hasNone(credentials) && policy.noAuthUser !== '';
  const name = anonymous ? policy.noAuthUser : credentials.user;
  if (policy.users.size === 0 || name === '') return null;
  const user = policy.users.get(name);
  if (user === undefined || !allowsConnectionType(user, request.connectionType)) return FAILED;
  if (user.proxyRequired && !request.fromTrustedProxy) return PROXY_REQUIRED;
  const identity = userIdentity(policy, user);
  if (!anonymous) return checkSecret(user.password, credentials.pass, identity);
  // Nobody knows the password that a hash stands for; nats-server refuses such a no_auth_user too.
  return isBcrypt(user.password) ? FAILED : { kind: 'accepted', identity };
}

function singleToken(policy: AuthPolicy, { credentials, fromTrustedProxy }: AuthRequest): AuthResult | null {
  if (policy.token === '') return null;
  if (policy.singleProxyRequired && !fromTrustedProxy) return PROXY_REQUIRED;
  const identity: Identity = { account: GLOBAL_ACCOUNT, user: '', label: 'token', permissions: null };
  return checkSecret(policy.token, credentials.authToken, identity);
}

function singleUser(policy: AuthPolicy, { credentials, fromTrustedProxy }: AuthRequest): AuthResult | null {
  const name = policy.singleUser;
  if (name === '') return null;
  if (policy.singleProxyRequired && !fromTrustedProxy) return PROXY_REQUIRED;
  if (credentials.user !== name) return FAILED;
  const identity: Identity = {
    account: GLOBAL_ACCOUNT,
    user: name,
    label: `user:${name}`,
    permissions: null,
  };
  return checkSecret(policy.singlePassword, credentials.pass, identity);
}

const AUTHENTICATORS: readonly Authenticator[] = [openServer, configuredUser, singleToken, singleUser];

/** Decides on the credentials of a CONNECT (or of an implicit login, where they are empty). */
export function authenticate(policy: AuthPolicy, request: AuthRequest): AuthResult {
  for (const authenticator of AUTHENTICATORS) {
    const result = authenticator(policy, request);
    if (result !== null) return result;
  }
  return FAILED;
}

/**
 * The credentials as the log of a failure shows them, secrets left out: ` - User "x"`, ` - Nkey "U…"`,
 * ` - Token "[REDACTED]"`, or empty. To be put behind `authentication error`.
 */
export function describeCredentials(credentials: Credentials): string {
  if (credentials.nkey !== '') return ` - Nkey ${JSON.stringify(credentials.nkey)}`;
  if (credentials.user !== '') return ` - User ${JSON.stringify(credentials.user)}`;
  return credentials.authToken === '' ? '' : ' - Token "[REDACTED]"';
}
