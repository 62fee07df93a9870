import { copyBytes } from '../base/copy-bytes.ts';
import { copyWords } from '../base/copy-words.ts';
import {
  OUTPUT_CHUNK_BYTES,
  SCRATCH_KEEP_BYTES,
  SHARE_MIN_BYTES,
  WORD_COPY_MAX_BYTES,
} from '../base/limits.ts';
import type { MessageFrame } from '../base/message-frame.ts';
import type { Prng } from '../base/prng.ts';
import type { MessageRun } from '../mail/message-run.ts';
import type { Account } from './account.ts';
import { HEAD_EXTRA_BYTES, Route, type RouteGroup } from './route.ts';
import type { Subscriber, Subscription } from './subscription.ts';
import type { ThreadLinks } from './thread-links.ts';

/**
 * Delivers a message along a route.
 *
 * A router knows three kinds of destination: a local subscription, another thread, and (later) a peer connection, which
 * is local to some thread. It decides who gets a message and writes the protocol bytes into outboxes; it does no I/O.
 *
 * Order: per publisher and subscriber it is the order of publishing, since a message is fully handed on (outboxes
 * appended, ring records written) before the next one is looked at. A message that doesn't fit into the ring of one
 * of its threads isn't delivered anywhere: BLOCKED is returned, and the caller presents it again later.
 */

/** Nothing was delivered: a ring is full. */
export const BLOCKED = -1;

/** What the router tells its thread. */
export interface RouterHost {
  /** The subscription has had its last message (UNSUB with max). */
  subscriptionExhausted(subscription: Subscription): void;
  /** A subscriber that asked for it was given a message. */
  messageDelivered(subscription: Subscription, route: Route, frame: MessageFrame): void;
}

const NO_QUEUES: readonly Uint8Array[] = [];
const CR = 13;
const LF = 10;
const SPACE = 32;
const LETTER_H = 72;
/** `MSG ` */
const MSG_AND_SPACE = 0x2047534d;

export class Router {
  readonly #host: RouterHost;
  readonly #links: ThreadLinks | null;
  readonly #random: Prng;
  /** HPUB for a subscriber without headers: the tail without its header block, built at most once a message. */
  readonly #strippedScratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  #stripped = this.#strippedScratch;
  #strippedBytes = 0;
  #publisher: Subscriber | null = null;
  /** Messages so far: tells them apart for encoders. */
  #number = 0;
  /** Queue groups picked for each thread by the message under way. */
  readonly #picked: RouteGroup[][] = [];
  readonly #pickedThreads: number[] = [];
  // Of the last message that passes kept members over (`MessageFrame.passesKept`)
  /** Groups of which the MQTT engine is to pick a member. */
  readonly keptGroups: string[] = [];
  /** Groups of which another member has it. */
  readonly servedGroups: string[] = [];
  /** The head of a message that is shown under another subject than the one it is routed by. */
  readonly #shown = Route.member(new Route('', 0, 0));

  constructor(host: RouterHost, links: ThreadLinks | null, random: Prng) {
    this.#host = host;
    this.#links = links;
    this.#random = random;
    for (let thread = 0; links !== null && thread < links.threads; thread++) this.#picked.push([]);
  }

  /**
   * Delivers to every destination of the route.
   * @param publisher the local connection that published, or null; with `echo` false it gets nothing
   * @returns how many subscriptions and threads got it, or BLOCKED
   */
  publish(account: Account, route: Route, publisher: Subscriber | null, frame: MessageFrame): number {
    this.#strippedBytes = 0;
    if (this.keptGroups.length > 0) this.keptGroups.length = 0;
    if (this.servedGroups.length > 0) this.servedGroups.length = 0;
    if (route.hasThreads && !this.#hasRoom(route, frame)) return BLOCKED;
    this.#publisher = publisher;
    this.#number++;
    let delivered = this.#deliverPlain(route, publisher, frame);
    if (route.onlyPlain) return delivered;
    const { groups } = route;
    for (let i = 0; i < groups.length; i++) {
      const served = this.#deliverGroup(groups[i]!, route, publisher, frame);
      delivered += served;
      if (served > 0 && frame.passesKept) this.servedGroups.push(groups[i]!.name);
    }
    if (route.hasThreads) delivered += this.#sendToThreads(account, route, frame);
    return delivered;
  }

  /** Delivers a message that another thread sent: to plain subscriptions if `plain`, and to the groups named. */
  deliverFromThread(
    account: Account,
    route: Route,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void {
    this.#strippedBytes = 0;
    this.#publisher = null;
    this.#number++;
    if (plain) this.#deliverPlain(route, null, frame);
    for (const queue of queues) {
      const whole = route.groups.find((candidate) => sameBytes(candidate.nameBytes, queue));
      if (whole === undefined) continue;
      // Should there be none but kept members by now, one of them gets it like any other message.
      const group = frame.passesKept && hasOrdinary(whole) ? whole.ordinary : whole;
      if (this.#deliverToLocalMember(group, route, null, frame, this.#random.below(group.locals.length || 1)))
        continue;
      // The members left while the message was on its way: those of another thread get it. They may be leaving too, and
      // coming back elsewhere: that must end some time.
      if (group.threads.length > 0 && hops < this.#links!.threads) {
        this.#links!.forwardMessage(this.#pickThread(group), account.index, frame, group, hops + 1);
      }
    }
  }

  /** Delivers the messages of a run to plain subscriptions. Their route is looked up once, and again when interest changes. */
  deliverRun(account: Account, run: MessageRun): void {
    const { frame } = run;
    let route: Route | null = null;
    let version = -1;
    while (run.next()) {
      if (route === null || version !== account.version) {
        route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
        version = account.version;
      }
      this.deliverFromThread(account, route, frame, true, NO_QUEUES, 0);
    }
  }

  #deliverPlain(route: Route, publisher: Subscriber | null, frame: MessageFrame): number {
    const { plain } = route;
    let delivered = 0;
    for (let i = 0; i < plain.length; i++) {
      const subscription = plain[i]!;
      const subscriber = subscription.subscriber;
      if (subscription.removed || subscriber.outbox.refusing) continue;
      if (subscriber === publisher && !subscriber.echo) continue;
      this.#deliver(route, subscription, subscriber, frame);
      delivered++;
    }
    return delivered;
  }

  /** @returns 1 when a local member took it or a thread was picked for it */
  #deliverGroup(whole: RouteGroup, route: Route, publisher: Subscriber | null, frame: MessageFrame): number {
    const passesKept = frame.passesKept && whole.kept > 0;
    if (passesKept && this.#random.below(whole.total) < whole.kept) return this.#leaveToEngine(whole);
    const group = passesKept ? whole.ordinary! : whole;
    const pick = group.total === 1 ? 0 : this.#random.below(group.total);
    if (pick < group.locals.length) {
      if (this.#deliverToLocalMember(group, route, publisher, frame, pick)) return 1;
      if (group.threads.length === 0) return passesKept ? this.#leaveToEngine(whole) : 0;
    }
    const thread = this.#pickThread(group);
    if (this.#picked[thread]!.length === 0) this.#pickedThreads.push(thread);
    this.#picked[thread]!.push(group);
    return 1;
  }

  #leaveToEngine({ name }: RouteGroup): number {
    this.keptGroups.push(name);
    return 0;
  }

  /** Walks the members from a random one on; the first that can take the message gets it. */
  #deliverToLocalMember(
    group: RouteGroup,
    route: Route,
    publisher: Subscriber | null,
    frame: MessageFrame,
    start: number,
  ): boolean {
    const { locals } = group;
    for (let i = 0; i < locals.length; i++) {
      const at = start + i;
      const subscription = locals[at < locals.length ? at : at - locals.length]!;
      const subscriber = subscription.subscriber;
      if (subscription.removed || subscriber.outbox.refusing) continue;
      if (subscriber === publisher && !subscriber.echo) continue;
      this.#deliver(route, subscription, subscriber, frame);
      return true;
    }
    return false;
  }

  #pickThread(group: RouteGroup): number {
    const { threads, weights } = group;
    if (threads.length === 1) return threads[0]!;
    let pick = this.#random.below(group.total - group.locals.length);
    for (let i = 0; i < threads.length; i++) {
      pick -= weights[i]!;
      if (pick < 0) return threads[i]!;
    }
    return threads[0]!;
  }

  #hasRoom(route: Route, frame: MessageFrame): boolean {
    const links = this.#links!;
    for (const thread of route.threads) if (!links.hasRoomFor(thread, frame, route.groups)) return false;
    for (const group of route.groups) {
      for (const thread of group.threads) if (!links.hasRoomFor(thread, frame, route.groups)) return false;
    }
    return true;
  }

  #sendToThreads(account: Account, route: Route, frame: MessageFrame): number {
    const links = this.#links!;
    for (const thread of route.threads) {
      const groups = this.#picked[thread]!;
      links.sendMessage(thread, account.index, frame, true, groups, 0);
      if (groups.length > 0) groups.length = 0;
    }
    if (this.#pickedThreads.length === 0) return route.threads.length;
    for (const thread of this.#pickedThreads) {
      const groups = this.#picked[thread]!;
      if (groups.length === 0) continue;
      links.sendMessage(thread, account.index, frame, false, groups, 0);
      groups.length = 0;
    }
    this.#pickedThreads.length = 0;
    return route.threads.length;
  }

  /** Appends `[H]MSG subject sid [reply] sizes CRLF payload CRLF` to the subscriber's outbox. */
  #deliver(route: Route, subscription: Subscription, subscriber: Subscriber, frame: MessageFrame): void {
    const withHeaders = frame.headerBytes > 0 && subscriber.headers;
    if (subscriber.encoder !== null) {
      const shown = this.#shownRoute(route, frame);
      subscriber.encoder.deliver(shown, subscription, frame, this.#publisher, this.#number);
    } else if (frame.headerBytes >= 0 && !withHeaders) {
      this.#deliverStripped(this.#shownRoute(route, frame), subscription, subscriber, frame);
    } else {
      const outbox = subscriber.outbox;
      const headStart = withHeaders ? 0 : 1;
      const { shownBytes } = frame;
      const headBytes = (shownBytes === 0 ? route.headBytes : shownBytes + HEAD_EXTRA_BYTES) - headStart;
      const sid = subscription.sid;
      const tailBytes = frame.tailEnd - frame.tailStart;
      const sidBytes = sid.length;
      const needed = headBytes + sidBytes + 1 + tailBytes;
      if (outbox.position + needed > outbox.limit && !this.#makeRoom(outbox, needed)) {
        this.#deliverLarge(this.#shownRoute(route, frame), subscription, frame, headStart);
      } else {
        let at = outbox.position;
        const target = outbox.view;
        const bytes = outbox.bytes;
        if (shownBytes === 0) copyWords(target, at, route.headView, headStart, headBytes);
        else writeShownHead(bytes, target, at, frame, withHeaders);
        at += headBytes;
        for (let i = 0; i < sidBytes; i++) bytes[at + i] = sid.charCodeAt(i);
        at += sidBytes;
        bytes[at++] = SPACE;
        if (tailBytes <= WORD_COPY_MAX_BYTES) copyWords(target, at, frame.view, frame.tailStart, tailBytes);
        else copyBytes(bytes, at, frame.bytes, frame.tailStart, frame.tailEnd);
        outbox.position = at + tailBytes;
        if (!outbox.dirty) outbox.touch();
      }
      subscriber.outBytes += frame.payloadBytes;
    }
    subscriber.outMsgs++;
    if (subscriber.observesDeliveries)
      this.#host.messageDelivered(subscription, this.#shownRoute(route, frame), frame);
    if (++subscription.delivered === subscription.maxDeliveries)
      this.#host.subscriptionExhausted(subscription);
  }

  /** The route with the subject that subscribers see. */
  #shownRoute(route: Route, frame: MessageFrame): Route {
    const { shownBytes, bytes, tailStart } = frame;
    return shownBytes === 0 ? route : this.#shown.become(0, bytes, tailStart - shownBytes, tailStart);
  }

  /** @returns false when the bytes are too many to be placed in one piece */
  #makeRoom(outbox: Subscriber['outbox'], needed: number): boolean {
    if (needed > OUTPUT_CHUNK_BYTES / 2) return false;
    outbox.reserve(needed);
    return true;
  }

  #deliverLarge(route: Route, subscription: Subscription, frame: MessageFrame, headStart: number): void {
    const outbox = subscription.subscriber.outbox;
    outbox.append(route.head, headStart, route.headBytes);
    outbox.appendLatin1(`${subscription.sid} `);
    const owner = frame.payloadOwner;
    if (owner === null || frame.payloadBytes < SHARE_MIN_BYTES) {
      outbox.append(frame.bytes, frame.tailStart, frame.tailEnd);
      return;
    }
    outbox.append(frame.bytes, frame.tailStart, frame.payloadStart);
    outbox.appendShared(frame.bytes.subarray(frame.payloadStart, frame.tailEnd), owner);
  }

  /** A message with a header block (maybe empty) for a subscriber that takes none: MSG with the body only. */
  #deliverStripped(
    route: Route,
    subscription: Subscription,
    subscriber: Subscriber,
    frame: MessageFrame,
  ): void {
    if (this.#strippedBytes === 0) this.#strip(frame);
    const outbox = subscriber.outbox;
    outbox.append(route.head, 1, route.headBytes);
    outbox.appendLatin1(`${subscription.sid} `);
    outbox.append(this.#stripped, 0, this.#strippedBytes);
    subscriber.outBytes += frame.payloadBytes - frame.headerBytes;
  }

  #strip(frame: MessageFrame): void {
    const bodyBytes = frame.payloadBytes - frame.headerBytes;
    const needed = frame.replyBytes + 16 + bodyBytes + 4;
    const target = needed <= SCRATCH_KEEP_BYTES ? this.#strippedScratch : new Uint8Array(needed);
    this.#stripped = target;
    const source = frame.bytes;
    let at = 0;
    for (let i = 0; i < frame.replyBytes; i++) target[at++] = source[frame.tailStart + i]!;
    if (frame.replyBytes > 0) target[at++] = SPACE;
    // With an empty block the size goes out as the publisher wrote it; otherwise it is a new number.
    const digits = frame.headerBytes === 0 ? lastToken(frame) : String(bodyBytes);
    for (let i = 0; i < digits.length; i++) target[at++] = digits.charCodeAt(i);
    target[at++] = CR;
    target[at++] = LF;
    copyBytes(target, at, source, frame.payloadStart + frame.headerBytes, frame.tailEnd);
    this.#strippedBytes = at + bodyBytes + 2;
  }
}

/** Writes `[H]MSG <shown subject> `, and up to three bytes more. */
function writeShownHead(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  frame: MessageFrame,
  withHeaders: boolean,
): void {
  let at = start;
  if (withHeaders) bytes[at++] = LETTER_H;
  view.setInt32(at, MSG_AND_SPACE, true);
  at += 4;
  copyWords(view, at, frame.view, frame.tailStart - frame.shownBytes, frame.shownBytes);
  bytes[at + frame.shownBytes] = SPACE;
}

/** The size as it stands at the end of the control line. */
function lastToken(frame: MessageFrame): string {
  const end = frame.payloadStart - 2;
  let start = end;
  while (start > frame.tailStart && frame.bytes[start - 1] !== SPACE) start--;
  return String.fromCharCode(...frame.bytes.subarray(start, end));
}

/** Whether a group has kept members and others. */
function hasOrdinary(group: RouteGroup): group is RouteGroup & { ordinary: RouteGroup } {
  return group.ordinary !== null && group.ordinary.total > 0;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
