import { hashLatin1, latin1, latin1Bytes } from '../../shared/base/latin1.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import type { Route } from '../../shared/broker/route.ts';
import { BLOCKED } from '../../shared/broker/router.ts';
import type { Subscription } from '../../shared/broker/subscription.ts';
import { ERR, publishReplyViolation, publishViolation } from '../../shared/protocol/nats/errors.ts';
import { PARSE_BLOCKED, PARSE_MORE } from '../../shared/protocol/nats/parser.ts';
import { isValidPublishSubject, subjectMatches } from '../../shared/subject/subject.ts';
import { clientInfo } from './client-info.ts';
import type { ClientSession } from './client-session.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

/**
 * The parts of publishing that most messages don't need (client-protocol.md §5): mapping, permissions, reserved subjects,
 * verbose and pedantic connections, tracing, no responders. Order as in nats-server: mapping → statistics → reserved
 * subjects and permission → reserved reply → +OK → delivery → no responders.
 */
const GATEWAY_REPLY_PREFIX = '_GR_.';
const RAFT_PREFIX = '$NRG.';
const SERVICE_REPLY_PREFIX = '_R_.';
const ACK_PREFIX = '$JS.ACK.';

export class PublishChecks {
  readonly #shard: Shard;
  readonly #session: ClientSession;
  readonly #random: () => number;

  constructor(shard: Shard, session: ClientSession) {
    this.#shard = shard;
    this.#session = session;
    this.#random = () => shard.random.unit();
  }

  /** The general path of a publish. @returns PARSE_MORE or PARSE_BLOCKED */
  publish(connection: ClientConnection, frame: MessageFrame): number {
    const { account, pedantic } = connection;
    // A message that was put off has been traced, checked and admitted already.
    const again = connection.resumedBlocked;
    connection.resumedBlocked = false;
    if (!again) {
      this.#session.traceMessage(connection, frame);
      if (pedantic) this.#checkPedantic(connection, frame);
    }
    let subject: string | null = null;
    if (account.mappings !== null) {
      subject = account.mappings.map(latin1(frame.bytes, frame.subjectStart, frame.subjectEnd), this.#random);
    }
    const route =
      subject === null
        ? account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd)
        : account.routeOf(subject);
    if (
      (!again && !this.#subjectAllowed(connection, route)) ||
      (frame.replyBytes !== 0 && !this.replyAllowed(connection, frame))
    ) {
      return PARSE_MORE;
    }
    const delivered = this.#deliver(connection, route, frame, subject);
    if (delivered === BLOCKED) {
      connection.resumedBlocked = true;
      return PARSE_BLOCKED;
    }
    return PARSE_MORE;
  }

  /** Publishing with a reply that only the server may hand out. */
  replyAllowed(connection: ClientConnection, frame: MessageFrame): boolean {
    const first = frame.bytes[frame.tailStart];
    // All reserved prefixes begin with '_' or '$'; most inboxes begin with '_INBOX', so look at the second byte too.
    if (first !== 0x5f && first !== 0x24) return true;
    const second = frame.bytes[frame.tailStart + 1];
    if (second !== 0x52 && second !== 0x47 && second !== 0x4a) return true;
    const reply = latin1(frame.bytes, frame.tailStart, frame.tailStart + frame.replyBytes);
    const reserved =
      reply.startsWith(SERVICE_REPLY_PREFIX) ||
      (reply.startsWith(GATEWAY_REPLY_PREFIX) && reply.length > GATEWAY_REPLY_PREFIX.length) ||
      (reply.startsWith(ACK_PREFIX) && reply.length > ACK_PREFIX.length);
    if (!reserved) return true;
    this.#session.error(connection, publishReplyViolation(reply));
    this.#logViolation(connection, `Publish Violation - ${this.#who(connection)}Reply "${reply}"`);
    return false;
  }

  /** Tells a requester that nobody listens: written to its own plain subscription that matches the reply. */
  noResponders(connection: ClientConnection, route: Route, frame: MessageFrame): void {
    if (connection.subscriptions === null) return;
    const reply = latin1(frame.bytes, frame.tailStart, frame.tailStart + frame.replyBytes);
    const subscription = this.#replySubscription(connection, reply);
    if (subscription === null) return;
    const header = `NATS/1.0 503\r\nNats-Subject: ${route.subject}\r\n\r\n`;
    connection.outbox.appendLatin1(
      `HMSG ${reply} ${subscription.sid} ${header.length} ${header.length}\r\n${header}\r\n`,
    );
    connection.outMsgs++;
    connection.outBytes += header.length;
  }

  #replySubscription(connection: ClientConnection, reply: string): Subscription | null {
    // The route of the reply holds the account's matching subscriptions; a requester has few of its own.
    for (const subscription of connection.account.routeOf(reply).plain) {
      if (subscription.subscriber === connection && !subscription.removed) return subscription;
    }
    for (const subscription of connection.subscriptions!.values()) {
      if (subscription.queue === null && subjectMatches(reply, subscription.subject)) return subscription;
    }
    return null;
  }

  #checkPedantic(connection: ClientConnection, frame: MessageFrame): void {
    const subject = latin1(frame.bytes, frame.subjectStart, frame.subjectEnd);
    if (!isValidPublishSubject(subject)) this.#session.error(connection, ERR.invalidPublishSubject);
  }

  #subjectAllowed(connection: ClientConnection, route: Route): boolean {
    const { permissions, account } = connection;
    const { subject } = route;
    const reserved =
      (subject.startsWith(GATEWAY_REPLY_PREFIX) && subject.length > GATEWAY_REPLY_PREFIX.length) ||
      (subject.startsWith(RAFT_PREFIX) && account.name !== this.#shard.options.systemAccount);
    const permitted =
      permissions === null ||
      route.permits(permissions) ||
      connection.responses?.take(subject, this.#shard.nowMs) === true;
    if (permitted && !reserved) return true;
    this.#session.error(connection, publishViolation(subject));
    this.#logViolation(connection, `Publish Violation - ${this.#who(connection)}Subject "${subject}"`);
    return false;
  }

  #deliver(connection: ClientConnection, route: Route, frame: MessageFrame, mapped: string | null): number {
    const { bytes, subjectStart, subjectEnd, subjectHash } = frame;
    if (mapped !== null && route.hasThreads) this.#substituteSubject(frame, mapped);
    // +OK precedes what the publish delivers to its own connection, but a message put off is acknowledged only once.
    const verbose = connection.verbose && !this.#mayBlock(route);
    if (verbose) this.#session.ok(connection);
    let delivered = route.isDirectGet ? this.#shard.directGets.answer(connection.account, route, frame) : 0;
    if (delivered === 0) {
      delivered =
        route.isApiRequest && !this.#sendClient(connection, route, frame)
          ? BLOCKED
          : this.#shard.router.publish(connection.account, route, connection, frame);
    }
    frame.subjectHash = subjectHash;
    if (mapped !== null && frame.bytes !== bytes) this.#restore(frame, bytes);
    frame.subjectStart = subjectStart;
    frame.subjectEnd = subjectEnd;
    if (delivered === BLOCKED) return BLOCKED;
    if (connection.verbose && !verbose) this.#session.ok(connection);
    if (delivered === 0 && frame.replyBytes !== 0 && connection.connect.noResponders) {
      this.noResponders(connection, route, frame);
    }
    return delivered;
  }

  /** Tells the persistence thread who asks. @returns false when its ring has no room for the request */
  #sendClient(connection: ClientConnection, route: Route, frame: MessageFrame): boolean {
    const { links, options } = this.#shard;
    if (links === null || options.jetStream === null) return true;
    const persistence = links.threads - 1;
    if (!route.threads.includes(persistence)) return true;
    if (!links.hasRoomFor(persistence, frame, route.groups)) return false;
    links.sendClient(persistence, frame.subjectHash, clientInfo(connection));
    return true;
  }

  #mayBlock(route: Route): boolean {
    return route.hasThreads;
  }

  /** A mapped subject travels to other threads as part of the message: the frame is rebuilt with it in front. */
  #substituteSubject(frame: MessageFrame, subject: string): void {
    const subjectBytes = latin1Bytes(subject);
    const tailBytes = frame.tailEnd - frame.tailStart;
    const whole = new Uint8Array(subjectBytes.length + tailBytes + 16);
    whole.set(subjectBytes);
    whole.set(frame.bytes.subarray(frame.tailStart, frame.tailEnd), subjectBytes.length);
    this.#shift = subjectBytes.length - frame.tailStart;
    this.#view = frame.view;
    frame.bytes = whole;
    frame.view = new DataView(whole.buffer);
    frame.subjectStart = 0;
    frame.subjectEnd = subjectBytes.length;
    frame.subjectHash = hashLatin1(subject);
    frame.tailStart += this.#shift;
    frame.tailEnd += this.#shift;
    frame.payloadStart += this.#shift;
  }

  #shift = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));

  #restore(frame: MessageFrame, bytes: Uint8Array): void {
    frame.bytes = bytes;
    frame.view = this.#view;
    frame.tailStart -= this.#shift;
    frame.tailEnd -= this.#shift;
    frame.payloadStart -= this.#shift;
  }

  #who(connection: ClientConnection): string {
    return connection.authenticatedUser === '' ? '' : `User "${connection.authenticatedUser}", `;
  }

  #logViolation(connection: ClientConnection, text: string): void {
    this.#shard.log('error', `${connection.label} - ${text}`);
  }
}
