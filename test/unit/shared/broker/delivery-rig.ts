import { hashLatin1, latin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { MessageFrame } from '../../../../src/shared/base/message-frame.ts';
import { ChunkPool, Outbox, type SharedPayload } from '../../../../src/shared/base/outbox.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import { Account, type InterestAnnouncer } from '../../../../src/shared/broker/account.ts';
import type { Route } from '../../../../src/shared/broker/route.ts';
import { Router, type RouterHost } from '../../../../src/shared/broker/router.ts';
import { type Subscriber, Subscription } from '../../../../src/shared/broker/subscription.ts';
import type { ThreadLinks } from '../../../../src/shared/broker/thread-links.ts';

/** Pieces of a thread without sockets: subscribers whose output is read as text, and messages made from text. */

const UNLIMITED = { maxConnections: -1, maxSubscriptions: -1, maxPayloadBytes: -1, maxLeafnodes: -1 };

export class TestSubscriber implements Subscriber {
  readonly outbox = new Outbox(new ChunkPool(), {
    outboxDirty: () => undefined,
    outboxFilled: () => undefined,
  });
  readonly encoder = null;
  headers = true;
  echo = true;
  outMsgs = 0;
  outBytes = 0;
  observesDeliveries = false;
  denies: (subject: string, queue: string | null) => boolean = () => false;
  readonly name: string;

  constructor(name = '') {
    this.name = name;
  }

  deniesDelivery(subject: string, queue: string | null): boolean {
    return this.denies(subject, queue);
  }

  /** What was written since the last call. */
  received(): string {
    const parts = this.outbox.takeParts();
    const text = parts.map(({ bytes }) => latin1(bytes, 0, bytes.length)).join('');
    this.outbox.recycle(parts);
    return text;
  }
}

export interface TestMessage {
  subject: string;
  reply?: string;
  /** Header block; undefined is PUB. */
  headers?: string;
  payload?: string;
  owner?: SharedPayload;
  /** The MQTT engine gives it to members whose session it keeps. */
  passesKept?: boolean;
  /** The sizes as the publisher wrote them. */
  sizes?: string;
}

/** The bytes behind `MSG subject sid `. */
export function tailOf({ reply = '', headers, payload = '', sizes }: TestMessage): string {
  const total = (headers ?? '').length + payload.length;
  const written = sizes ?? (headers === undefined ? `${total}` : `${headers.length} ${total}`);
  return `${reply === '' ? '' : `${reply} `}${written}\r\n${headers ?? ''}${payload}\r\n`;
}

/** A frame in memory of its own, with junk around it; `frame` is filled again if given. */
export function frameOf(message: TestMessage, frame = new MessageFrame()): MessageFrame {
  const { subject, reply = '', headers, payload = '', owner } = message;
  const before = 5 + (subject.length % 4);
  const tail = tailOf(message);
  const text = `${'#'.repeat(before)}${subject} ${tail}${'#'.repeat(16)}`;
  frame.bytes = latin1Bytes(text);
  frame.view = new DataView(frame.bytes.buffer);
  frame.subjectStart = before;
  frame.subjectEnd = before + subject.length;
  frame.subjectHash = hashLatin1(subject);
  frame.tailStart = frame.subjectEnd + 1;
  frame.tailEnd = frame.tailStart + tail.length;
  frame.replyBytes = reply.length;
  frame.headerBytes = headers === undefined ? -1 : headers.length;
  frame.payloadBytes = (headers ?? '').length + payload.length;
  frame.payloadStart = frame.tailEnd - 2 - frame.payloadBytes;
  frame.payloadOwner = owner ?? null;
  frame.passesKept = message.passesKept === true;
  return frame;
}

export function testAccount(
  announcer: InterestAnnouncer | null = null,
  cacheRoutes = true,
  index = 0,
): Account {
  return new Account(index, `A${index}`, UNLIMITED, announcer, cacheRoutes);
}

/** An account and a router of one thread. */
export class Rig implements RouterHost {
  readonly account: Account;
  readonly router: Router;
  readonly observed: string[] = [];
  readonly ended: Subscription[] = [];

  constructor(seed = 1, links: ThreadLinks | null = null, account = testAccount()) {
    this.account = account;
    this.router = new Router(this, links, new Prng(seed));
  }

  subscriptionExhausted(subscription: Subscription): void {
    this.ended.push(subscription);
    this.account.unsubscribe(subscription);
  }

  messageDelivered(subscription: Subscription, route: Route, frame: MessageFrame): void {
    const reply = latin1(frame.bytes, frame.tailStart, frame.tailStart + frame.replyBytes);
    this.observed.push(`${subscription.sid} ${route.subject} ${reply}`);
  }

  subscribe(
    subscriber: TestSubscriber,
    subject: string,
    sid = '1',
    queue: string | null = null,
    max = 0,
  ): Subscription {
    const subscription = new Subscription(subscriber, subject, queue, sid);
    subscription.maxDeliveries = max;
    if (!this.account.subscribe(subscription)) throw new Error(`cannot subscribe to ${subject}`);
    return subscription;
  }

  publish(message: TestMessage, publisher: TestSubscriber | null = null): number {
    const frame = frameOf(message);
    const { account } = this;
    const route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
    return this.router.publish(account, route, publisher, frame);
  }
}
