import { latin1 } from '../../shared/base/latin1.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import type { Route } from '../../shared/broker/route.ts';
import { BLOCKED } from '../../shared/broker/router.ts';
import { Subscription } from '../../shared/broker/subscription.ts';
import {
  CLOSE_REASON,
  type CloseReason,
  ERR,
  errLine,
  goQuote,
  subscriptionViolation,
} from '../../shared/protocol/nats/errors.ts';
import {
  type ClientParser,
  PARSE_BLOCKED,
  PARSE_CLOSED,
  PARSE_MORE,
  PARSE_PAUSED,
  type ParserSink,
} from '../../shared/protocol/nats/parser.ts';
import type { ClientConnection } from './connection.ts';
import { Keepalive } from './keepalive.ts';
import { Login } from './login.ts';
import { traceDelivery, traceIn, traceMessage } from './protocol-trace.ts';
import { PublishChecks } from './publish-checks.ts';
import type { Shard } from './shard.ts';
import { subscriptionRefusal } from './subscribe-checks.ts';

/**
 * What the operations of the client protocol do (client-protocol.md §2–§6): the parser's sink. One instance serves all
 * connections of the shard.
 */
export class ClientSession implements ParserSink<ClientConnection> {
  readonly login: Login;
  readonly keepalive: Keepalive;
  readonly #shard: Shard;
  readonly #checks: PublishChecks;

  constructor(shard: Shard) {
    this.#shard = shard;
    this.login = new Login(shard, this);
    this.keepalive = new Keepalive(shard, this);
    this.#checks = new PublishChecks(shard, this);
  }

  // Output of protocol lines

  /** Sends `-ERR`; the connection stays. */
  error(connection: ClientConnection, text: string): void {
    if (connection.closed || connection.mqtt !== null) return;
    if (this.#shard.options.log.trace) this.#shard.log('trace', `${connection.label} - ->> [-ERR ${text}]`);
    connection.outbox.appendLatin1(errLine(text));
  }

  /** Sends `-ERR` and closes. */
  errorAndClose(connection: ClientConnection, text: string, reason: CloseReason): number {
    this.error(connection, text);
    return this.closeNow(connection, reason);
  }

  closeNow(connection: ClientConnection, reason: CloseReason): number {
    this.#shard.close(connection, reason);
    return PARSE_CLOSED;
  }

  ok(connection: ClientConnection): void {
    if (!connection.verbose) return;
    if (this.#shard.options.log.trace) this.#shard.log('trace', `${connection.label} - ->> [OK]`);
    connection.outbox.appendLatin1('+OK\r\n');
  }

  // Parser sink

  firstByte(connection: ClientConnection): number {
    return this.login.withoutConnect(connection);
  }

  connect(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): number {
    return this.login.connect(connection, bytes, start, end);
  }

  publish(connection: ClientConnection, parser: ClientParser<ClientConnection>): number {
    const frame = parser.frame;
    const { account } = connection;
    connection.inMsgs++;
    connection.inBytes += frame.payloadBytes;
    if (!connection.plainPublish)
      return this.#undoIfBlocked(connection, frame, this.#checks.publish(connection, frame));
    const memo = parser.memo;
    let route: Route;
    if (memo === null) {
      route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
    } else {
      const remembered = memo.route as Route | null;
      if (remembered !== null && !remembered.stale && remembered.generation === account.generation) {
        route = remembered;
      } else {
        route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
        memo.route = route;
      }
    }
    if (route.reserved || (connection.permissions !== null && !route.permits(connection.permissions))) {
      return this.#undoIfBlocked(connection, frame, this.#checks.publish(connection, frame));
    }
    if (frame.replyBytes !== 0 && !this.#checks.replyAllowed(connection, frame)) return PARSE_MORE;
    const delivered = this.#shard.router.publish(account, route, connection, frame);
    if (delivered > 0) return PARSE_MORE;
    if (delivered === BLOCKED) return this.#undoIfBlocked(connection, frame, PARSE_BLOCKED);
    if (frame.replyBytes !== 0 && connection.connect.noResponders)
      this.#checks.noResponders(connection, route, frame);
    return PARSE_MORE;
  }

  /** A message that was put off is counted when it is presented again. */
  #undoIfBlocked(connection: ClientConnection, frame: MessageFrame, outcome: number): number {
    if (outcome === PARSE_BLOCKED) {
      connection.inMsgs--;
      connection.inBytes -= frame.payloadBytes;
    }
    return outcome;
  }

  subscribe(connection: ClientConnection, parser: ClientParser<ClientConnection>): number {
    const { argCount, argStart, argEnd, frame } = parser;
    const { bytes } = frame;
    this.#trace(connection, 'SUB', parser);
    connection.noteInput(this.#shard.nowMs);
    if (argCount < 2 || argCount > 3) return this.#badSubscribe(connection, parser, 'processSub Parse Error');
    const subject = latin1(bytes, argStart[0]!, argEnd[0]!);
    const queue = argCount === 3 ? latin1(bytes, argStart[1]!, argEnd[1]!) : null;
    const sid = latin1(bytes, argStart[argCount - 1]!, argEnd[argCount - 1]!);
    const refusal = subscriptionRefusal(connection, this.#shard, subject, queue);
    if (refusal !== '') {
      this.error(connection, refusal);
      if (refusal !== ERR.maximumSubscriptionsExceeded) {
        this.#shard.log(
          'error',
          `${connection.label} - Subscription Violation - ${describeSubscription(connection, subject, queue, sid)}`,
        );
      }
      return PARSE_MORE;
    }
    connection.subscriptions ??= new Map();
    if (!connection.subscriptions.has(sid)) {
      const subscription = new Subscription(connection, subject, queue, sid);
      if (!connection.account.subscribe(subscription)) {
        this.error(connection, ERR.invalidSubject);
        return PARSE_MORE;
      }
      connection.subscriptions.set(sid, subscription);
      this.#shard.countSubscriptions(1);
    }
    this.ok(connection);
    return this.#afterInterest();
  }

  unsubscribe(connection: ClientConnection, parser: ClientParser<ClientConnection>): number {
    const { argCount, argStart, argEnd, frame } = parser;
    this.#trace(connection, 'UNSUB', parser);
    connection.noteInput(this.#shard.nowMs);
    if (argCount < 1 || argCount > 2)
      return this.#badSubscribe(connection, parser, 'processUnsub Parse Error');
    const sid = latin1(frame.bytes, argStart[0]!, argEnd[0]!);
    const max = argCount === 2 ? parseMax(frame.bytes, argStart[1]!, argEnd[1]!) : 0;
    const subscription = connection.subscriptions?.get(sid);
    if (subscription !== undefined) {
      if (max > subscription.delivered) subscription.maxDeliveries = max;
      else this.removeSubscription(connection, subscription);
    }
    this.ok(connection);
    return this.#afterInterest();
  }

  /** Ends a subscription: UNSUB, or its last message was delivered. */
  removeSubscription(connection: ClientConnection, subscription: Subscription): void {
    if (!connection.account.unsubscribe(subscription)) return;
    connection.subscriptions?.delete(subscription.sid);
    this.#shard.countSubscriptions(-1);
    if (this.#shard.options.log.trace && subscription.maxDeliveries > 0) {
      this.#shard.log('trace', `${connection.label} - <-> [DELSUB ${subscription.sid}]`);
    }
  }

  info(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): number {
    try {
      JSON.parse(new TextDecoder().decode(bytes.slice(start, end)));
    } catch {
      return this.closeNow(connection, CLOSE_REASON.protocolViolation);
    }
    return PARSE_MORE;
  }

  clientError(connection: ClientConnection, bytes: Uint8Array, start: number, end: number): number {
    this.#shard.log('error', `${connection.label} - Client Error ${latin1(bytes, start, end)}`);
    return this.closeNow(connection, CLOSE_REASON.parseError);
  }

  ping(connection: ClientConnection): number {
    return this.keepalive.ping(connection);
  }

  pong(connection: ClientConnection): number {
    return this.keepalive.pong(connection);
  }

  badArguments(
    connection: ClientConnection,
    reason: string,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): number {
    const text = reason.startsWith('message headers') ? reason : `${reason}: "${latin1(bytes, start, end)}"`;
    this.#shard.log('error', `${connection.label} - ${text}`);
    return this.closeNow(connection, CLOSE_REASON.protocolViolation);
  }

  maxPayloadExceeded(connection: ClientConnection, payloadBytes: number): number {
    this.#shard.log(
      'error',
      `${connection.label} - maximum payload exceeded: ${payloadBytes} vs ${connection.maxPayloadBytes}`,
    );
    return this.errorAndClose(connection, ERR.maximumPayloadViolation, CLOSE_REASON.maximumPayloadExceeded);
  }

  maxControlLineExceeded(connection: ClientConnection): number {
    this.#shard.log('error', `${connection.label} - maximum control line exceeded`);
    return this.errorAndClose(
      connection,
      ERR.maximumControlLineExceeded,
      CLOSE_REASON.maximumControlLineExceeded,
    );
  }

  unknownOperation(connection: ClientConnection, bytes: Uint8Array, position: number, end: number): number {
    const snippet = JSON.stringify(latin1(bytes, position, Math.min(end, position + 32)));
    this.#shard.log(
      'error',
      `${connection.label} - Client parser ERROR, state=0, i=${position}: proto='${snippet}...'`,
    );
    return this.errorAndClose(connection, ERR.unknownProtocolOperation, CLOSE_REASON.protocolViolation);
  }

  headersEnabled(connection: ClientConnection): boolean {
    return connection.headers;
  }

  /** Removes what the connection left in the account; it is closed. */
  ended(connection: ClientConnection): void {
    this.keepalive.stop(connection);
    this.dropSubscriptions(connection);
    this.login.unregister(connection);
  }

  /** Ends all subscriptions (close, or a second CONNECT); the map stays for a last look by monitoring. */
  dropSubscriptions(connection: ClientConnection): void {
    if (connection.subscriptions === null) return;
    for (const subscription of connection.subscriptions.values()) {
      if (connection.account.unsubscribe(subscription)) this.#shard.countSubscriptions(-1);
    }
  }

  /** After a change of permissions: subscriptions that are not allowed any more end, with an error each. */
  dropForbiddenSubscriptions(connection: ClientConnection): void {
    const { permissions, subscriptions } = connection;
    if (permissions === null || subscriptions === null) return;
    for (const subscription of [...subscriptions.values()]) {
      const { subject, queue, sid } = subscription;
      if (permissions.canSubscribe(subject, queue)) continue;
      this.error(connection, `${subscriptionViolation(subject, queue)} (sid ${goQuote(sid)})`);
      this.removeSubscription(connection, subscription);
    }
  }

  /** A connection that observes its deliveries got a message. */
  delivered(subscription: Subscription, route: Route, frame: MessageFrame): void {
    const connection = subscription.subscriber as ClientConnection;
    if (connection.responses !== null && frame.replyBytes > 0) {
      const reply = latin1(frame.bytes, frame.tailStart, frame.tailStart + frame.replyBytes);
      connection.responses.track(reply, this.#shard.nowMs);
    }
    traceDelivery(this.#shard, connection, subscription, route, frame);
  }

  /** Traces a message; called for connections that don't take the fast path. */
  traceMessage(connection: ClientConnection, frame: MessageFrame): void {
    if (this.#shard.options.log.trace) traceMessage(this.#shard, connection, frame);
  }

  /** The PONG of this connection may not overtake its interest: when that waits for room in a ring, so does the rest. */
  #afterInterest(): number {
    return this.#shard.waitsForRings ? PARSE_PAUSED : PARSE_MORE;
  }

  #badSubscribe(
    connection: ClientConnection,
    parser: ClientParser<ClientConnection>,
    reason: string,
  ): number {
    const start = parser.argCount > 0 ? parser.argStart[0]! : 0;
    const end = parser.argCount > 0 ? parser.argEnd[parser.argCount - 1]! : 0;
    return this.badArguments(connection, reason, parser.frame.bytes, start, end);
  }

  #trace(connection: ClientConnection, operation: string, parser: ClientParser<ClientConnection>): void {
    if (!this.#shard.options.log.trace) return;
    const { argCount, argStart, argEnd, frame } = parser;
    const args = argCount === 0 ? '' : ` ${latin1(frame.bytes, argStart[0]!, argEnd[argCount - 1]!)}`;
    traceIn(this.#shard, connection, `[${operation}${args}]`);
  }
}

/** Largest max that nats-server's 64-bit counter holds; beyond it the number counts as none. */
const MAX_DELIVERIES_LIMIT = 2 ** 63;

/** UNSUB's max: anything that isn't a positive number removes the subscription at once. */
function parseMax(bytes: Uint8Array, start: number, end: number): number {
  let max = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return 0;
    max = max * 10 + digit;
  }
  return max >= MAX_DELIVERIES_LIMIT ? 0 : max;
}

function describeSubscription(
  connection: ClientConnection,
  subject: string,
  queue: string | null,
  sid: string,
): string {
  const user = connection.userLabel === '' ? '' : `User "${connection.authenticatedUser}", `;
  return `${user}Subject "${subject}", ${queue === null ? '' : `Queue "${queue}", `}SID ${sid}`;
}
