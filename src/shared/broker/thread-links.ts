import { latin1, latin1Bytes } from '../base/latin1.ts';
import { LARGE_IN_FLIGHT_MAX_BYTES, RING_CONTROL_RESERVE_BYTES, WORD_SLACK_BYTES } from '../base/limits.ts';
import { MessageFrame } from '../base/message-frame.ts';
import * as record from '../mail/records.ts';
import type { Doorbell } from '../ring/doorbell.ts';
import type { RingConsumer, RingProducer } from '../ring/ring.ts';
import type { RouteGroup } from './route.ts';

/**
 * This thread's ends of the rings to and from every other thread.
 *
 * Client data that finds a ring full is refused (`hasRoomFor`) and the connection that brought it stops being read, so no
 * thread ever waits for another. Changes of interest must not be refused: a part of each ring is theirs alone, and
 * should even that be full they queue here, which `hasControlBacklog` shows; a connection whose SUB queued is not parsed
 * further until the backlog is written, since its PONG may not overtake the change. Everything else to that thread waits
 * behind the backlog, so that records stay in order.
 *
 * Payloads larger than a ring record travel as a SharedArrayBuffer through a message port; the record in the ring marks
 * their place. The bytes under way are counted in shared memory, since no ring bounds them.
 */

/** The ends of the rings between this thread and one other, and the way for large payloads. */
export interface ThreadLink {
  producer: RingProducer;
  consumer: RingConsumer;
  /** Bytes of large payloads on the way: [0] from this thread, as the receiver counts them down. */
  largeSent: Int32Array;
  /** The same counter of the other direction, which this thread counts down. */
  largeReceived: Int32Array;
  /** Posts a payload; it must be there for the other side's `takeLarge` when this returns. */
  postLarge(payload: SharedArrayBuffer): void;
  takeLarge(): SharedArrayBuffer | null;
}

/** What arrives from other threads. Offsets are valid only during the call. */
export interface ThreadLinkSink {
  messageArrived(
    thread: number,
    accountIndex: number,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void;
  interestChanged(
    thread: number,
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
  ): void;
}

export class ThreadLinks {
  readonly threads: number;
  readonly self: number;
  readonly #links: (ThreadLink | null)[];
  readonly #doorbell: Doorbell;
  readonly #sink: ThreadLinkSink;
  /** Records that found no room in the ring, per thread. */
  readonly #backlog: { type: number; bytes: Uint8Array }[][] = [];
  #backlogs = 0;
  readonly #frame = new MessageFrame();
  readonly #queues: Uint8Array[] = [];
  #draining = -1;

  constructor(self: number, threads: number, doorbell: Doorbell, sink: ThreadLinkSink) {
    this.self = self;
    this.threads = threads;
    this.#links = new Array(threads).fill(null);
    this.#doorbell = doorbell;
    this.#sink = sink;
    for (let thread = 0; thread < threads; thread++) this.#backlog.push([]);
  }

  /** Connects to a thread, or (null) forgets one that died with everything that was queued for it. */
  setLink(thread: number, link: ThreadLink | null): void {
    this.#links[thread] = link;
    if (this.#backlog[thread]!.length > 0) this.#backlogs--;
    this.#backlog[thread] = [];
  }

  isLinked(thread: number): boolean {
    return this.#links[thread] != null;
  }

  /** Interest changes are waiting for room in some ring. */
  get hasControlBacklog(): boolean {
    return this.#backlogs > 0;
  }

  /** Whether `frame` with at most these groups fits into the ring to `thread`; if not, its consumer is asked for room. */
  hasRoomFor(thread: number, frame: MessageFrame, groups: readonly RouteGroup[]): boolean {
    const link = this.#links[thread];
    // A thread that died has no interest any more; its route is about to be rebuilt.
    if (link == null) return true;
    if (this.#backlog[thread]!.length > 0) return false;
    const { producer } = link;
    const length = this.#recordLength(link, frame, groups);
    if (this.#isLarge(link, frame, groups)) {
      const underWay = Atomics.load(link.largeSent, 0);
      if (underWay > 0 && underWay + frame.payloadBytes > LARGE_IN_FLIGHT_MAX_BYTES) {
        // Room in the ring is freed together with the payload, so the same request serves.
        return this.#retryAfterRequest(producer, length);
      }
    }
    if (producer.tryClaim(record.RECORD_MESSAGE, length, RING_CONTROL_RESERVE_BYTES) >= 0) {
      producer.abort();
      return true;
    }
    if (producer.requestRoom(producer.capacityBytes / 4)) return false;
    return this.#retryAfterRequest(producer, length);
  }

  /** Sends a message; `hasRoomFor` said yes. To a thread that died it goes nowhere. */
  sendMessage(
    thread: number,
    accountIndex: number,
    frame: MessageFrame,
    plain: boolean,
    groups: readonly RouteGroup[],
    hops: number,
  ): void {
    const link = this.#links[thread];
    if (link == null) return;
    const length = this.#recordLength(link, frame, groups);
    const offset = link.producer.tryClaim(record.RECORD_MESSAGE, length);
    if (offset < 0) throw new Error('thread link: no room for a message that was promised some');
    const flags = (plain ? record.FLAG_PLAIN : 0) | (hops << record.HOPS_SHIFT);
    this.#writeMessage(
      link,
      link.producer.bytes,
      link.producer.view,
      offset,
      accountIndex,
      frame,
      groups,
      flags,
    );
    link.producer.commit();
  }

  /** Sends a queue message on to another member; it may not be lost, so it queues when the ring is full. */
  forwardMessage(
    thread: number,
    accountIndex: number,
    frame: MessageFrame,
    group: RouteGroup,
    hops: number,
  ): void {
    const link = this.#links[thread];
    if (link == null) return;
    if (this.hasRoomFor(thread, frame, [group])) {
      this.sendMessage(thread, accountIndex, frame, false, [group], hops);
      return;
    }
    const bytes = new Uint8Array(this.#recordLength(link, frame, [group]));
    const flags = hops << record.HOPS_SHIFT;
    this.#writeMessage(link, bytes, new DataView(bytes.buffer), 0, accountIndex, frame, [group], flags);
    this.#enqueue(thread, record.RECORD_MESSAGE, bytes);
  }

  /** Tells one thread, or all (`thread` -1), this thread's interest. Never refused. */
  sendInterest(
    thread: number,
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
  ): void {
    const queueBytes = queue === null ? 0 : queue.length;
    const bytes = new Uint8Array(record.INTEREST_BYTES + subject.length + queueBytes);
    const view = new DataView(bytes.buffer);
    view.setInt32(record.INTEREST_ACCOUNT, accountIndex, true);
    view.setInt32(record.INTEREST_WEIGHT, weight, true);
    view.setInt32(record.INTEREST_SUBJECT_LENGTH, subject.length, true);
    view.setInt32(record.INTEREST_QUEUE_LENGTH, queue === null ? -1 : queueBytes, true);
    bytes.set(latin1Bytes(subject), record.INTEREST_BYTES);
    if (queue !== null) bytes.set(latin1Bytes(queue), record.INTEREST_BYTES + subject.length);
    for (let other = 0; other < this.threads; other++) {
      if (other === this.self || (thread >= 0 && other !== thread) || this.#links[other] == null) continue;
      this.#sendControl(other, record.RECORD_INTEREST, bytes);
    }
  }

  /** Makes everything sent so far visible and wakes the threads it is for. Must come before any PONG is written. */
  publish(): void {
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link == null) continue;
      if (this.#backlogs > 0 && this.#backlog[thread]!.length > 0) this.#writeBacklog(thread, link);
      if (link.producer.publish()) this.#doorbell.ring(thread);
    }
  }

  /** True when nothing has arrived. */
  isEmpty(): boolean {
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link != null && !link.consumer.isEmpty()) return false;
    }
    return true;
  }

  /** Handles everything that other threads published before the call. @returns records handled */
  drain(): number {
    let handled = 0;
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link == null || link.consumer.isEmpty()) continue;
      this.#draining = thread;
      this.#frame.bytes = link.consumer.bytes;
      this.#frame.view = link.consumer.view;
      handled += link.consumer.drain(this.#handle);
      if (link.consumer.roomRequested()) this.#doorbell.ring(thread);
    }
    return handled;
  }

  readonly #handle = (type: number, offset: number): void => {
    if (type === record.RECORD_MESSAGE) this.#receiveMessage(this.#links[this.#draining]!, offset);
    else if (type === record.RECORD_INTEREST) this.#receiveInterest(this.#links[this.#draining]!, offset);
    else throw new Error(`thread link: unknown record type ${type}`);
  };

  #retryAfterRequest(producer: RingProducer, length: number): boolean {
    for (;;) {
      if (producer.tryClaim(record.RECORD_MESSAGE, length, RING_CONTROL_RESERVE_BYTES) >= 0) {
        producer.abort();
        return true;
      }
      if (producer.requestRoom(producer.capacityBytes / 4)) return false;
    }
  }

  #isLarge(link: ThreadLink, frame: MessageFrame, groups: readonly RouteGroup[]): boolean {
    return this.#fullLength(frame, groups) > link.producer.maxRecordBytes;
  }

  #fullLength(frame: MessageFrame, groups: readonly RouteGroup[]): number {
    let length = record.MESSAGE_BYTES + WORD_SLACK_BYTES + (frame.subjectEnd - frame.subjectStart);
    length += frame.tailEnd - frame.tailStart;
    for (let i = 0; i < groups.length; i++) length += groups[i]!.nameBytes.length + 2;
    return length;
  }

  #recordLength(link: ThreadLink, frame: MessageFrame, groups: readonly RouteGroup[]): number {
    const length = this.#fullLength(frame, groups);
    return length > link.producer.maxRecordBytes ? length - frame.payloadBytes - 2 : length;
  }

  #writeMessage(
    link: ThreadLink,
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    accountIndex: number,
    frame: MessageFrame,
    groups: readonly RouteGroup[],
    flags: number,
  ): void {
    const large = this.#isLarge(link, frame, groups);
    if (large) this.#postLarge(link, frame);
    const subjectBytes = frame.subjectEnd - frame.subjectStart;
    const tailEnd = large ? frame.payloadStart : frame.tailEnd;
    const tailBytes = tailEnd - frame.tailStart;
    view.setInt32(offset + record.MESSAGE_ACCOUNT, accountIndex, true);
    view.setInt32(offset + record.MESSAGE_HASH, frame.subjectHash, true);
    view.setInt32(offset + record.MESSAGE_SUBJECT_LENGTH, subjectBytes, true);
    view.setInt32(offset + record.MESSAGE_REPLY_LENGTH, frame.replyBytes, true);
    view.setInt32(offset + record.MESSAGE_HEADER_LENGTH, frame.headerBytes, true);
    view.setInt32(offset + record.MESSAGE_PAYLOAD_LENGTH, frame.payloadBytes, true);
    view.setInt32(offset + record.MESSAGE_TAIL_LENGTH, tailBytes, true);
    view.setInt32(offset + record.MESSAGE_FLAGS, flags | (large ? record.FLAG_LARGE : 0), true);
    let at = offset + record.MESSAGE_BYTES;
    for (let i = 0; i < subjectBytes; i++) bytes[at + i] = frame.bytes[frame.subjectStart + i]!;
    at += subjectBytes;
    bytes.set(frame.bytes.subarray(frame.tailStart, tailEnd), at);
    at += tailBytes;
    const queuesStart = at;
    for (let i = 0; i < groups.length; i++) {
      const name = groups[i]!.nameBytes;
      view.setUint16(at, name.length, true);
      bytes.set(name, at + 2);
      at += name.length + 2;
    }
    view.setInt32(offset + record.MESSAGE_QUEUES_LENGTH, at - queuesStart, true);
  }

  /** Subject, tail and payload in one piece, as the receiver will use it. */
  #postLarge(link: ThreadLink, frame: MessageFrame): void {
    const subjectBytes = frame.subjectEnd - frame.subjectStart;
    const tailBytes = frame.tailEnd - frame.tailStart;
    const whole = new Uint8Array(new SharedArrayBuffer(subjectBytes + tailBytes + WORD_SLACK_BYTES));
    whole.set(frame.bytes.subarray(frame.subjectStart, frame.subjectEnd));
    whole.set(frame.bytes.subarray(frame.tailStart, frame.tailEnd), subjectBytes);
    Atomics.add(link.largeSent, 0, frame.payloadBytes);
    link.postLarge(whole.buffer);
  }

  #sendControl(thread: number, type: number, bytes: Uint8Array): void {
    const { producer } = this.#links[thread]!;
    if (this.#backlog[thread]!.length === 0) {
      const offset = producer.tryClaim(type, bytes.length);
      if (offset >= 0) {
        producer.bytes.set(bytes, offset);
        producer.commit();
        return;
      }
    }
    this.#enqueue(thread, type, bytes);
  }

  #enqueue(thread: number, type: number, bytes: Uint8Array): void {
    const backlog = this.#backlog[thread]!;
    if (backlog.length === 0) this.#backlogs++;
    backlog.push({ type, bytes });
    this.#links[thread]!.producer.requestRoom();
  }

  #writeBacklog(thread: number, link: ThreadLink): void {
    const backlog = this.#backlog[thread]!;
    let written = 0;
    while (written < backlog.length) {
      const { type, bytes } = backlog[written]!;
      const offset = link.producer.tryClaim(type, bytes.length);
      if (offset < 0) {
        if (link.producer.requestRoom()) break;
        continue;
      }
      link.producer.bytes.set(bytes, offset);
      link.producer.commit();
      written++;
    }
    backlog.splice(0, written);
    if (backlog.length === 0) this.#backlogs--;
  }

  #receiveMessage(link: ThreadLink, offset: number): void {
    const frame = this.#frame;
    const { bytes, view } = link.consumer;
    const flags = view.getInt32(offset + record.MESSAGE_FLAGS, true);
    const tailBytes = view.getInt32(offset + record.MESSAGE_TAIL_LENGTH, true);
    frame.bytes = bytes;
    frame.view = view;
    frame.payloadOwner = null;
    frame.subjectHash = view.getInt32(offset + record.MESSAGE_HASH, true);
    frame.subjectStart = offset + record.MESSAGE_BYTES;
    frame.subjectEnd = frame.subjectStart + view.getInt32(offset + record.MESSAGE_SUBJECT_LENGTH, true);
    frame.tailStart = frame.subjectEnd;
    frame.tailEnd = frame.tailStart + tailBytes;
    frame.replyBytes = view.getInt32(offset + record.MESSAGE_REPLY_LENGTH, true);
    frame.headerBytes = view.getInt32(offset + record.MESSAGE_HEADER_LENGTH, true);
    frame.payloadBytes = view.getInt32(offset + record.MESSAGE_PAYLOAD_LENGTH, true);
    const queues = this.#readQueues(
      link,
      frame.tailEnd,
      view.getInt32(offset + record.MESSAGE_QUEUES_LENGTH, true),
    );
    if ((flags & record.FLAG_LARGE) !== 0) this.#attachLarge(link, frame);
    else frame.payloadStart = frame.tailEnd - frame.payloadBytes - 2;
    const accountIndex = view.getInt32(offset + record.MESSAGE_ACCOUNT, true);
    const hops = (flags >> record.HOPS_SHIFT) & record.HOPS_MASK;
    this.#sink.messageArrived(
      this.#draining,
      accountIndex,
      frame,
      (flags & record.FLAG_PLAIN) !== 0,
      queues,
      hops,
    );
    frame.bytes = bytes;
    frame.view = view;
  }

  #readQueues(link: ThreadLink, start: number, length: number): readonly Uint8Array[] {
    const queues = this.#queues;
    queues.length = 0;
    for (let at = start; at < start + length; ) {
      const nameBytes = link.consumer.view.getUint16(at, true);
      queues.push(link.consumer.bytes.subarray(at + 2, at + 2 + nameBytes));
      at += nameBytes + 2;
    }
    return queues;
  }

  /** Points the frame at the message that came beside the ring; outboxes may keep it. */
  #attachLarge(link: ThreadLink, frame: MessageFrame): void {
    const shared = link.takeLarge();
    if (shared === null) throw new Error('thread link: a large payload is missing');
    Atomics.sub(link.largeReceived, 0, frame.payloadBytes);
    frame.bytes = new Uint8Array(shared);
    frame.view = new DataView(shared);
    frame.subjectEnd -= frame.subjectStart;
    frame.payloadStart = frame.subjectEnd + (frame.tailEnd - frame.tailStart);
    frame.tailStart = frame.subjectEnd;
    frame.subjectStart = 0;
    frame.tailEnd = frame.payloadStart + frame.payloadBytes + 2;
    frame.payloadOwner = { references: 0, release: () => undefined };
  }

  #receiveInterest(link: ThreadLink, offset: number): void {
    const { bytes, view } = link.consumer;
    const subjectStart = offset + record.INTEREST_BYTES;
    const subjectEnd = subjectStart + view.getInt32(offset + record.INTEREST_SUBJECT_LENGTH, true);
    const queueBytes = view.getInt32(offset + record.INTEREST_QUEUE_LENGTH, true);
    this.#sink.interestChanged(
      this.#draining,
      view.getInt32(offset + record.INTEREST_ACCOUNT, true),
      latin1(bytes, subjectStart, subjectEnd),
      queueBytes < 0 ? null : latin1(bytes, subjectEnd, subjectEnd + queueBytes),
      view.getInt32(offset + record.INTEREST_WEIGHT, true),
    );
  }
}
