import { CLOSE_REASON, ERR } from '../../shared/protocol/nats/errors.ts';
import { PARSE_MORE } from '../../shared/protocol/nats/parser.ts';
import type { ClientSession } from './client-session.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

/**
 * PING, PONG and stale connections (client-protocol.md §10). Each connection has one timer at a time: the authentication
 * timeout first, then the PING timer.
 */
const FIRST_PING_MAX_MS = 2000;
const FIRST_PING_JITTER = 0.2;
/** Without a fresh round trip time a PING is sent even to a busy connection. */
const RTT_VALID_MS = 3_600_000;

export class Keepalive {
  readonly #shard: Shard;
  readonly #session: ClientSession;

  constructor(shard: Shard, session: ClientSession) {
    this.#shard = shard;
    this.#session = session;
  }

  /** Arms the authentication timeout. */
  awaitAuthentication(connection: ClientConnection, timeoutMs: number): void {
    this.stop(connection);
    connection.timer = setTimeout(this.#authenticationTimeout, timeoutMs, connection);
  }

  /** Arms the PING timer: soon after CONNECT, for the round trip time. */
  start(connection: ClientConnection, afterConnect: boolean): void {
    this.stop(connection);
    const pingIntervalMs = this.#intervalMs(connection);
    const jitter = 1 + this.#shard.random.unit() * FIRST_PING_JITTER;
    const delayMs = afterConnect ? Math.min(FIRST_PING_MAX_MS, pingIntervalMs) * jitter : pingIntervalMs;
    connection.timer = setTimeout(this.#tick, delayMs, connection);
  }

  #intervalMs({ type }: ClientConnection): number {
    const { pingIntervalMs, websocket } = this.#shard.options;
    const ownMs = type === 'WEBSOCKET' ? (websocket?.pingIntervalMs ?? 0) : 0;
    return ownMs > 0 ? ownMs : pingIntervalMs;
  }

  stop(connection: ClientConnection): void {
    if (connection.timer !== null) clearTimeout(connection.timer);
    connection.timer = null;
  }

  ping(connection: ClientConnection): number {
    connection.lastInputMs = this.#shard.nowMs;
    if (this.#shard.options.log.trace) this.#traceBoth(connection, '[PING]', '[PONG]');
    connection.outbox.appendLatin1('PONG\r\n');
    if (connection.connectReceived && !connection.firstPongSent) {
      connection.firstPongSent = true;
      if (connection.connect.protocol >= 1) this.#session.login.sendConnectInfo(connection);
    }
    return PARSE_MORE;
  }

  pong(connection: ClientConnection): number {
    if (this.#shard.options.log.trace) this.#traceBoth(connection, '[PONG]', '');
    connection.pingsOut = 0;
    if (connection.pingSentAtMs > 0) {
      connection.rttMs = Math.max(performance.now() - connection.pingSentAtMs, 0.001);
      connection.rttAtMs = Date.now();
      connection.pingSentAtMs = 0;
    }
    return PARSE_MORE;
  }

  sendPing(connection: ClientConnection): void {
    connection.pingsOut++;
    connection.pingSentAtMs = performance.now();
    if (this.#shard.options.log.trace) this.#shard.log('trace', `${connection.label} - ->> [PING]`);
    connection.outbox.appendLatin1('PING\r\n');
  }

  #traceBoth(connection: ClientConnection, incoming: string, outgoing: string): void {
    this.#shard.log('trace', `${connection.label} - <<- ${incoming}`);
    if (outgoing !== '') this.#shard.log('trace', `${connection.label} - ->> ${outgoing}`);
  }

  readonly #tick = (connection: ClientConnection): void => {
    connection.timer = null;
    if (connection.closed) return;
    const { pingMax } = this.#shard.options;
    const pingIntervalMs = this.#intervalMs(connection);
    const nowMs = Date.now();
    const rttKnown = connection.rttAtMs > 0 && nowMs - connection.rttAtMs < RTT_VALID_MS;
    if (nowMs - connection.lastInputMs < pingIntervalMs && rttKnown) {
      connection.pingsOut = 0;
    } else if (connection.pingsOut + 1 > pingMax) {
      this.#shard.log('debug', `${connection.label} - Stale Client Connection - Closing`);
      this.#shard.countStale();
      this.#session.errorAndClose(connection, ERR.staleConnection, CLOSE_REASON.staleConnection);
      return;
    } else {
      this.sendPing(connection);
    }
    connection.timer = setTimeout(this.#tick, pingIntervalMs, connection);
  };

  readonly #authenticationTimeout = (connection: ClientConnection): void => {
    connection.timer = null;
    if (connection.closed) return;
    this.#shard.log('debug', `${connection.label} - Authorization Timeout`);
    this.#session.errorAndClose(connection, ERR.authenticationTimeout, CLOSE_REASON.authenticationTimeout);
  };
}
