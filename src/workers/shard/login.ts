import {
  type AuthPolicy,
  type AuthRejection,
  type AuthResult,
  allowsImplicitLogin,
  authenticate,
  compileAuthPolicy,
  describeCredentials,
  type Identity,
  isAuthAnnounced,
  isAuthRequired,
} from '../../shared/auth/authenticate.ts';
import type { PermissionSet } from '../../shared/auth/permissions.ts';
import { ResponseTracker } from '../../shared/auth/response-tracker.ts';
import { latin1 } from '../../shared/base/latin1.ts';
import type { Permissions, ServerOptions, WebsocketOptions } from '../../shared/base/options.ts';
import { API_LEVEL, COMPATIBLE_VERSION } from '../../shared/base/version.ts';
import type { Account } from '../../shared/broker/account.ts';
import {
  type ConnectDecodeResult,
  type ConnectOptions,
  connectViolation,
  DEFAULT_CONNECT_OPTIONS,
  decodeConnect,
} from '../../shared/protocol/nats/connect-options.ts';
import { CLOSE_REASON, ERR } from '../../shared/protocol/nats/errors.ts';
import { type InfoFields, infoLine } from '../../shared/protocol/nats/info.ts';
import { PARSE_CLOSED, PARSE_MORE, PARSE_PAUSED } from '../../shared/protocol/nats/parser.ts';
import type { ClientSession } from './client-session.ts';
import { type ClientConnection, STAGE_PROTOCOL } from './connection.ts';
import { isTraced, traceConnect } from './protocol-trace.ts';
import type { Shard } from './shard.ts';
import { effectiveMaxSubscriptions } from './subscribe-checks.ts';

/**
 * INFO, CONNECT, authentication and binding to an account (client-protocol.md §2–§4, §11; auth-accounts.md §2–§5).
 *
 * Passwords stored as bcrypt hashes are compared in main's pool: the connection isn't parsed further until the answer is
 * there, and its authentication timeout keeps running.
 */

/** The runtime's name in the place where nats-server has Go's. */
const RUNTIME = `node${process.version}`;

interface PendingPassword {
  connection: ClientConnection;
  result: AuthResult & { kind: 'bcrypt' };
}

export class Login {
  readonly #shard: Shard;
  readonly #session: ClientSession;
  #policy: AuthPolicy;
  /** Of WebSocket clients: their listener may have credentials of its own. */
  #websocketPolicy: AuthPolicy;
  #lastConnectText = '';
  #lastConnect: ConnectDecodeResult = { options: null, error: '' };
  #pending = new Map<number, PendingPassword>();
  #requests = 0;
  readonly #permissionSets = new Map<Permissions, PermissionSet>();

  constructor(shard: Shard, session: ClientSession) {
    this.#shard = shard;
    this.#session = session;
    this.#policy = compileAuthPolicy(shard.options);
    this.#websocketPolicy = this.#policy;
  }

  /** Takes over new options: users, passwords, limits. */
  applyOptions(): void {
    const { options } = this.#shard;
    this.#policy = compileAuthPolicy(options);
    this.#websocketPolicy = overridesAuth(options.websocket)
      ? compileAuthPolicy(withWebsocketAuth(options, options.websocket))
      : this.#policy;
    this.#permissionSets.clear();
  }

  #policyOf({ type }: ClientConnection): AuthPolicy {
    return type === 'WEBSOCKET' ? this.#websocketPolicy : this.#policy;
  }

  /** Whether the connection has to authenticate before it may do anything. */
  requiresAuth(connection: ClientConnection): boolean {
    return isAuthRequired(this.#policyOf(connection));
  }

  /** `no_auth_user` of the `websocket` block counts for who a client is, but is not told of, as in nats-server. */
  #announcesAuth(connection: ClientConnection): boolean {
    const policy = this.#policy;
    const isOwn = policy !== this.#policyOf(connection);
    const isGenerated = this.#shard.options.noAuthUserGenerated === true;
    if (isOwn) return policy.noAuthUser === '';
    return isAuthAnnounced(policy) || (isGenerated && isAuthRequired(policy));
  }

  // INFO

  sendInfo(connection: ClientConnection): void {
    const { proxyProtocol } = this.#shard.options;
    const fields = this.#infoFields(connection);
    if (proxyProtocol && !connection.tlsFirst) delete fields.clientIp;
    connection.outbox.appendLatin1(infoLine(fields));
  }

  /** The INFO that follows the first PONG (client-protocol.md §4.3). */
  sendConnectInfo(connection: ClientConnection): void {
    const fields = this.#infoFields(connection);
    fields.maxPayload = connection.maxPayloadBytes;
    // The first INFO hides that there are users when nobody needs to show who he is; this one doesn't, but knows nothing
    // of the `websocket` block.
    fields.authRequired = isAuthRequired(this.#policy);
    fields.connectInfo = true;
    fields.remoteAccount = connection.account.name;
    if (connection.account.name === this.#shard.options.systemAccount) fields.accountIsSystem = true;
    connection.outbox.appendLatin1(infoLine(fields));
  }

  /** An INFO in between: lame duck, changed URLs. Only clients that understand it get it. */
  sendAsyncInfo(connection: ClientConnection, lameDuck: boolean): void {
    if (connection.connect.protocol < 1 || !connection.firstPongSent) return;
    const fields = this.#infoFields(connection);
    fields.maxPayload = connection.maxPayloadBytes;
    if (lameDuck) {
      fields.lameDuckMode = true;
      delete fields.connectUrls;
    }
    connection.outbox.appendLatin1(infoLine(fields));
  }

  #infoFields(connection: ClientConnection): InfoFields {
    const { identity, options } = this.#shard;
    const { websocket } = options;
    const overWebsocket = connection.websocket !== null && websocket !== null;
    // There is no upgrade to TLS inside a WebSocket: it has it or not.
    const tls = overWebsocket ? websocket.tls : options.tls;
    const allowNonTls = !overWebsocket && options.allowNonTls;
    const connectUrls = overWebsocket ? identity.websocketConnectUrls : identity.connectUrls;
    return {
      serverId: identity.serverId,
      serverName: identity.serverName,
      version: COMPATIBLE_VERSION,
      go: RUNTIME,
      host: overWebsocket ? identity.websocketHost : identity.infoHost,
      port: overWebsocket ? identity.websocketPort : identity.infoPort,
      headers: !options.noHeaderSupport,
      authRequired: this.#announcesAuth(connection),
      tlsRequired: tls !== null && (!allowNonTls || connection.tlsFirst),
      tlsVerify: tls?.verify === true,
      tlsAvailable: tls !== null && (overWebsocket || (allowNonTls && !connection.tlsFirst)),
      maxPayload: options.maxPayloadBytes,
      jetstream: options.jetStream !== null,
      clientId: connection.cid,
      clientIp: connection.remoteAddress,
      domain: options.jetStream?.domain ?? '',
      ...(connectUrls.length > 0 ? { connectUrls } : {}),
      apiLevel: API_LEVEL,
      xkey: identity.xkey,
    };
  }

  // CONNECT

  /** INFO is out: from now on the client has so long to authenticate, or else is pinged. */
  awaitConnect(connection: ClientConnection): void {
    const { keepalive } = this.#session;
    connection.gated = this.requiresAuth(connection);
    if (connection.gated) {
      const { authorization, websocket } = this.#shard.options;
      const ownMs = connection.type === 'WEBSOCKET' ? (websocket?.authTimeoutMs ?? 0) : 0;
      keepalive.awaitAuthentication(connection, ownMs > 0 ? ownMs : authorization.timeoutMs);
      return;
    }
    keepalive.start(connection, false);
    this.register(connection, this.#shard.globalAccount);
    this.#setMode(connection);
  }

  /** Something else than CONNECT came first although authentication is required. */
  withoutConnect(connection: ClientConnection): number {
    if (!allowsImplicitLogin(this.#policyOf(connection), connection.type)) return this.#rejected(connection);
    const result = this.#authenticate(connection);
    return result.kind === 'accepted'
      ? this.#accepted(connection, result.identity)
      : this.#rejected(connection);
  }

  connect(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): number {
    const shard = this.#shard;
    if (shard.options.log.trace) traceConnect(shard, connection, latin1(bytes, start, end));
    const decoded = this.#decode(connection, bytes, start, end);
    if (decoded.options === null) {
      shard.log('error', `${connection.label} - ${decoded.error}`);
      return this.#session.closeNow(connection, CLOSE_REASON.protocolViolation);
    }
    const again = connection.connectReceived;
    connection.connect = withCookies(decoded.options, connection);
    connection.connectReceived = true;
    if (again || connection.subscriptionCount > 0) this.#forgetAccount(connection);
    const result = this.#authenticate(connection);
    if (result.kind === 'accepted') return this.#accepted(connection, result.identity);
    if (result.kind === 'rejected') return this.#rejected(connection, result.rejection);
    this.comparePassword(connection, result);
    return PARSE_PAUSED;
  }

  /** The pool compared a password. */
  passwordChecked(request: number, matches: boolean): void {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    if (pending === undefined || pending.connection.closed) return;
    const { connection, result } = pending;
    connection.passwordHash = result.hash;
    if (connection.mqtt !== null) {
      const next = this.#shard.mqtt!.login.passwordCompared(connection, result.identity, matches);
      if (next === PARSE_MORE) this.#shard.input.resume(connection);
      return;
    }
    const outcome = matches ? this.#accepted(connection, result.identity) : this.#rejected(connection);
    if (outcome !== PARSE_CLOSED) this.#shard.input.resume(connection);
  }

  /**
   * Decodes the CONNECT options. Clients of one kind send the same text again and again, and nothing changes decoded
   * options: so they share one object.
   */
  #decode(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): ConnectDecodeResult {
    if (connection.connect !== DEFAULT_CONNECT_OPTIONS) {
      return decodeConnect(bytes.subarray(start, end), connection.connect);
    }
    const text = latin1(bytes, start, end);
    if (text === this.#lastConnectText) return this.#lastConnect;
    const decoded = decodeConnect(bytes.subarray(start, end), DEFAULT_CONNECT_OPTIONS);
    this.#lastConnectText = text;
    this.#lastConnect = decoded;
    return decoded;
  }

  #authenticate(connection: ClientConnection): AuthResult {
    return authenticate(this.#policyOf(connection), {
      credentials: connection.connect,
      connectionType: connection.type,
      fromTrustedProxy: false,
    });
  }

  #rejected(connection: ClientConnection, rejection: AuthRejection = 'authentication-failure'): number {
    const who = describeCredentials(connection.connect);
    this.#shard.log('error', `${connection.label} - authentication error${who}`);
    const reason =
      rejection === 'proxy-required' ? CLOSE_REASON.proxyRequired : CLOSE_REASON.authenticationFailure;
    return this.#session.errorAndClose(connection, ERR.authorizationViolation, reason);
  }

  #accepted(connection: ClientConnection, identity: Identity): number {
    const account = this.#shard.accountsByName.get(identity.account);
    if (account === undefined) return this.#rejected(connection);
    connection.authenticatedUser = identity.label === 'token' ? '[REDACTED]' : identity.user;
    connection.userLabel = identity.label;
    return this.#bind(connection, account, identity.permissions);
  }

  /** The connection now belongs to the account, with these permissions. */
  #bind(connection: ClientConnection, account: Account, permissions: Permissions | null): number {
    const shard = this.#shard;
    connection.gated = false;
    const violation = connectViolation(connection.connect, !shard.options.noHeaderSupport);
    if (violation !== null) return this.#session.errorAndClose(connection, violation.error, violation.reason);
    if (!this.register(connection, account)) {
      return this.#accountFull(connection, account);
    }
    this.setPermissions(connection, permissions);
    this.#setMode(connection);
    connection.rttMs = Date.now() - connection.startedAtMs;
    connection.lastActivityMs = Date.now();
    if (connection.connectReceived) {
      this.#session.keepalive.start(connection, true);
      this.#session.ok(connection);
    } else {
      this.#session.keepalive.start(connection, false);
    }
    return PARSE_MORE;
  }

  /** Takes over a user's permissions. */
  setPermissions(connection: ClientConnection, permissions: Permissions | null): void {
    connection.permissions = permissions === null ? null : this.#permissionSet(permissions);
    const responses = permissions?.responses ?? null;
    connection.responses = responses === null ? null : new ResponseTracker(responses);
    if (connection.subscriptions === null) return;
    for (const subscription of connection.subscriptions.values()) connection.account.refilter(subscription);
  }

  #permissionSet(permissions: Permissions): PermissionSet {
    let set = this.#permissionSets.get(permissions);
    if (set === undefined) {
      set = this.#shard.newPermissionSet(permissions);
      this.#permissionSets.set(permissions, set);
    }
    return set;
  }

  /** Copies what the hot path needs out of the CONNECT options. */
  #setMode(connection: ClientConnection): void {
    const { connect, account } = connection;
    const { options } = this.#shard;
    connection.verbose = connect.verbose;
    connection.pedantic = connect.pedantic;
    connection.echo = connect.echo;
    connection.headers = connect.headers && !options.noHeaderSupport;
    connection.maxPayloadBytes = lowest(options.maxPayloadBytes, account.limits.maxPayloadBytes);
    connection.maxControlLineBytes = options.maxControlLineBytes;
    connection.observesDeliveries = connection.responses !== null || isTraced(this.#shard, connection);
    connection.plainPublish =
      !connect.verbose &&
      !connect.pedantic &&
      account.mappings === null &&
      !isTraced(this.#shard, connection);
  }

  /** Options changed: everything derived from them is taken over again. */
  refresh(connection: ClientConnection): void {
    if (!connection.gated && connection.mqtt === null) this.#setMode(connection);
  }

  /**
   * Authenticates an open connection again with what its CONNECT said (reload). It is closed when that is refused now, or
   * leads to another account.
   */
  reauthenticate(connection: ClientConnection): void {
    if (connection.mqtt !== null) {
      this.#shard.mqtt!.login.reauthenticate(connection);
      return;
    }
    if (connection.stage !== STAGE_PROTOCOL) {
      connection.gated = this.requiresAuth(connection);
      return;
    }
    if (connection.gated) {
      if (!this.requiresAuth(connection)) this.awaitConnect(connection);
      return;
    }
    const result = this.#authenticate(connection);
    if (result.kind === 'rejected') this.#dismiss(connection, result.rejection);
    else if (result.kind === 'accepted') this.#takeOver(connection, result.identity);
    // A hash that was compared before needs no new comparison; a changed one does.
    else if (connection.passwordHash === result.hash) this.#takeOver(connection, result.identity);
    else this.#recheck(connection, result);
  }

  /** A user that is gone is closed without a word, as in nats-server; wrong credentials are an error. */
  #dismiss(connection: ClientConnection, rejection: AuthRejection): void {
    const { user } = connection.connect;
    const policy = this.#policyOf(connection);
    if (
      user !== '' &&
      user === connection.authenticatedUser &&
      !policy.users.has(user) &&
      policy.users.size > 0
    ) {
      this.#session.closeNow(connection, CLOSE_REASON.clientClosed);
    } else {
      this.#rejected(connection, rejection);
    }
  }

  #recheck(connection: ClientConnection, result: AuthResult & { kind: 'bcrypt' }): void {
    connection.blocked = true;
    connection.paused = true;
    connection.stream.pause();
    this.comparePassword(connection, result);
  }

  /** Has the pool compare a password; the connection isn't to be parsed until the answer is there. */
  comparePassword(connection: ClientConnection, result: AuthResult & { kind: 'bcrypt' }): void {
    const request = this.#requests++;
    this.#pending.set(request, { connection, result });
    this.#shard.post({ kind: 'bcrypt', request, password: result.password, hash: result.hash });
  }

  #takeOver(connection: ClientConnection, identity: Identity): void {
    if (identity.account !== connection.account.name) {
      this.#session.closeNow(connection, CLOSE_REASON.clientClosed);
      return;
    }
    this.setPermissions(connection, identity.permissions);
    this.#session.dropForbiddenSubscriptions(connection);
  }

  /** Closes the connection if the account's limits, lowered by a reload, have no place for it or for what it has. */
  enforceLimits(connection: ClientConnection): void {
    if (this.#leavesFullAccount(connection)) {
      this.#accountFull(connection, connection.account);
      return;
    }
    // Unlike a SUB too many, which is refused alone.
    const limit = effectiveMaxSubscriptions(connection, this.#shard.options.maxSubscriptions);
    if (limit <= 0 || connection.subscriptionCount <= limit) return;
    this.#shard.log('error', `${connection.label} - maximum subscriptions exceeded`);
    this.#session.errorAndClose(
      connection,
      ERR.maximumSubscriptionsExceeded,
      CLOSE_REASON.maximumSubscriptionsExceeded,
    );
  }

  // Accounts

  /** Counts the connection in the account, over all shards. @returns false when the account has no room */
  register(connection: ClientConnection, account: Account): boolean {
    if (connection.registered && connection.account === account) return true;
    this.unregister(connection);
    const count = this.#countInAccount(account, 1);
    const limit = account.limits.maxConnections;
    if (limit >= 0 && count > limit) {
      this.#countInAccount(account, -1);
      return false;
    }
    connection.account = account;
    connection.registered = true;
    return true;
  }

  unregister(connection: ClientConnection): void {
    if (!connection.registered) return;
    connection.registered = false;
    this.#countInAccount(connection.account, -1);
  }

  /**
   * After a reload the account may have more connections than it is allowed. All shards look at the same time, so each gives
   * up a place only while it sees too many taken: in the end exactly as many are left as allowed.
   */
  #leavesFullAccount(connection: ClientConnection): boolean {
    if (!connection.registered) return false;
    const { accountConnections, ownAccountConnections } = this.#shard;
    const { index, limits } = connection.account;
    if (limits.maxConnections < 0) return false;
    for (;;) {
      const count = Atomics.load(accountConnections, index);
      if (count <= limits.maxConnections) return false;
      if (Atomics.compareExchange(accountConnections, index, count, count - 1) !== count) continue;
      ownAccountConnections[index]!--;
      connection.registered = false;
      return true;
    }
  }

  #accountFull(connection: ClientConnection, account: Account): number {
    const user = connection.userLabel === '' ? '' : ` - ${connection.userLabel}`;
    this.#shard.log(
      'error',
      `${connection.label} - maximum account active connections exceeded - Account:${account.name}${user}`,
    );
    return this.#session.errorAndClose(
      connection,
      ERR.maximumAccountConnectionsExceeded,
      CLOSE_REASON.maximumAccountConnectionsExceeded,
    );
  }

  /** @returns connections of the account over all shards */
  #countInAccount({ index }: Account, change: number): number {
    const { accountConnections, ownAccountConnections } = this.#shard;
    ownAccountConnections[index]! += change;
    return Atomics.add(accountConnections, index, change) + change;
  }

  /** A second CONNECT starts anew: subscriptions end, the account is left. */
  #forgetAccount(connection: ClientConnection): void {
    this.#session.dropSubscriptions(connection);
    connection.subscriptions = null;
    connection.memo = null;
    this.unregister(connection);
  }
}

/** The lower of two limits where a negative one means "none". */
function lowest(server: number, account: number): number {
  if (account < 0) return server;
  return server < 0 ? account : Math.min(server, account);
}

/** Credentials of its own replace the global ones, all of them (websocket.md §3). */
function overridesAuth(websocket: WebsocketOptions | null): websocket is WebsocketOptions {
  return (
    websocket !== null && [websocket.user, websocket.token, websocket.noAuthUser].some((text) => text !== '')
  );
}

function withWebsocketAuth(options: ServerOptions, websocket: WebsocketOptions): ServerOptions {
  const { user, password, token, noAuthUser } = websocket;
  return { ...options, noAuthUser, authorization: { ...options.authorization, user, password, token } };
}

/** Cookies fill what CONNECT left empty. */
function withCookies(options: ConnectOptions, { websocket }: ClientConnection): ConnectOptions {
  const cookies = websocket?.cookies ?? null;
  if (cookies === null) return options;
  const { jwt, user, pass, authToken } = options;
  return {
    ...options,
    jwt: jwt === '' ? cookies.jwt : jwt,
    user: user === '' ? cookies.user : user,
    pass: pass === '' ? cookies.pass : pass,
    authToken: authToken === '' ? cookies.token : authToken,
  };
}
