import {
  type AuthPolicy,
  type AuthResult,
  authenticate,
  compileAuthPolicy,
  describeCredentials,
  type Identity,
  isAuthRequired,
} from '../../../shared/auth/authenticate.ts';
import { PARSE_MORE, PARSE_PAUSED } from '../../../shared/base/parse-outcome.ts';
import type { ConnectPacket } from '../../../shared/protocol/mqtt/connect.ts';
import { REASON } from '../../../shared/protocol/mqtt/reason-codes.ts';
import { CLOSE_REASON } from '../../../shared/protocol/nats/errors.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import type { MqttSession } from './mqtt-session.ts';

/** Who an MQTT client is (mqtt.md §4): its user name and password are those of a NATS user, or of the `mqtt` block. */

const AUTH_TIMEOUT_DEFAULT_MS = 2000;

export class MqttLogin {
  readonly #shard: Shard;
  readonly #session: MqttSession;
  #policy: AuthPolicy;
  /** CONNECTs whose passwords are being compared. */
  readonly #waiting = new Map<ClientConnection, ConnectPacket>();

  constructor(shard: Shard, session: MqttSession) {
    this.#shard = shard;
    this.#session = session;
    this.#policy = this.#compile();
  }

  applyOptions(): void {
    this.#policy = this.#compile();
  }

  #compile(): AuthPolicy {
    const { options } = this.#shard;
    const { mqtt } = options;
    if (mqtt === null || (mqtt.user === '' && mqtt.token === '' && mqtt.noAuthUser === ''))
      return compileAuthPolicy(options);
    const { user, password, token, noAuthUser } = mqtt;
    return compileAuthPolicy({
      ...options,
      users: user === '' && token === '' ? options.users : [],
      authorization: { ...options.authorization, user, password, token },
      noAuthUser,
    });
  }

  /** The client has so long to send its CONNECT, authentication or not. */
  awaitConnect(connection: ClientConnection): void {
    const { authorization, mqtt } = this.#shard.options;
    connection.gated = true;
    const ownMs = mqtt?.authTimeoutMs ?? 0;
    const timeoutMs = ownMs > 0 ? ownMs : Math.max(authorization.timeoutMs, AUTH_TIMEOUT_DEFAULT_MS);
    connection.timer = setTimeout(this.#timedOut, timeoutMs, connection);
  }

  readonly #timedOut = (connection: ClientConnection): void => {
    connection.timer = null;
    if (connection.closed) return;
    this.#shard.log('debug', `${connection.label} - Authentication Timeout`);
    this.#shard.close(connection, CLOSE_REASON.authenticationTimeout);
  };

  /** Authenticates; an accepted client goes on in `MqttSession.admitted`. */
  connect(connection: ClientConnection, packet: ConnectPacket): number {
    const password = packet.password ?? '';
    connection.connect = {
      ...connection.connect,
      user: packet.userName ?? '',
      pass: password,
      authToken: password,
    };
    connection.connectReceived = true;
    const result = this.#authenticate(connection);
    if (result.kind === 'accepted') return this.#accepted(connection, result.identity, packet);
    if (result.kind === 'rejected') return this.#rejected(connection);
    this.#waiting.set(connection, packet);
    this.#shard.session.login.comparePassword(connection, result);
    return PARSE_PAUSED;
  }

  #authenticate(connection: ClientConnection): AuthResult {
    return authenticate(this.#policy, {
      credentials: connection.connect,
      connectionType: connection.type,
      fromTrustedProxy: false,
    });
  }

  /** The pool compared a password: of a CONNECT, or after a reload. */
  passwordCompared(connection: ClientConnection, identity: Identity, matches: boolean): number {
    const packet = this.#waiting.get(connection);
    this.#waiting.delete(connection);
    if (packet !== undefined)
      return matches ? this.#accepted(connection, identity, packet) : this.#rejected(connection);
    return matches ? this.#takeOver(connection, identity) : this.#dismiss(connection);
  }

  forget(connection: ClientConnection): void {
    this.#waiting.delete(connection);
  }

  #rejected(connection: ClientConnection): number {
    this.#shard.log(
      'error',
      `${connection.label} - authentication error${describeCredentials(connection.connect)}`,
    );
    return this.#session.refuse(connection, REASON.notAuthorized, CLOSE_REASON.authenticationFailure);
  }

  #accepted(connection: ClientConnection, identity: Identity, packet: ConnectPacket): number {
    const { accountsByName, options } = this.#shard;
    const { login } = this.#shard.session;
    const account = accountsByName.get(identity.account);
    if (account === undefined) return this.#rejected(connection);
    connection.authenticatedUser = identity.label === 'token' ? '[REDACTED]' : identity.user;
    connection.userLabel = identity.label;
    if (!login.register(connection, account)) {
      this.#shard.log('error', `${connection.label} - maximum account active connections exceeded`);
      const reason = CLOSE_REASON.maximumAccountConnectionsExceeded;
      return this.#session.refuse(connection, REASON.quotaExceeded, reason);
    }
    connection.gated = false;
    login.setPermissions(connection, identity.permissions);
    const limit = account.limits.maxPayloadBytes;
    connection.maxPayloadBytes =
      limit < 0 ? options.maxPayloadBytes : Math.min(limit, options.maxPayloadBytes);
    if (connection.timer !== null) clearTimeout(connection.timer);
    connection.timer = null;
    return this.#session.admitted(connection, packet);
  }

  /** After a reload: with what its CONNECT said, the client may still be who it was. */
  reauthenticate(connection: ClientConnection): void {
    if (connection.gated || !connection.connectReceived) return;
    const result = this.#authenticate(connection);
    if (result.kind === 'rejected') this.#dismiss(connection);
    else if (result.kind === 'accepted' || connection.passwordHash === result.hash)
      this.#takeOver(connection, result.identity);
    else this.#shard.session.login.comparePassword(connection, result);
  }

  #dismiss(connection: ClientConnection): number {
    return this.#session.end(connection, REASON.notAuthorized, CLOSE_REASON.authenticationFailure);
  }

  #takeOver(connection: ClientConnection, identity: Identity): number {
    if (identity.account !== connection.account.name)
      return this.#session.end(connection, REASON.administrativeAction, CLOSE_REASON.clientClosed);
    this.#shard.session.login.setPermissions(connection, identity.permissions);
    this.#session.dropForbidden(connection);
    return PARSE_MORE;
  }

  /** Whether connections have to authenticate at all. */
  get authRequired(): boolean {
    return isAuthRequired(this.#policy);
  }
}
