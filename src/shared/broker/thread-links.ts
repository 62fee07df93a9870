import { copyBytes } from '../base/copy-bytes.ts';
import { RING_CONTROL_RESERVE_BYTES } from '../base/limits.ts';
import { MessageFrame } from '../base/message-frame.ts';
import type { SharedPayload } from '../base/outbox.ts';
import { clientBytes, readClient } from '../mail/client-record.ts';
import { type InterestRecord, interestBytes, readInterest } from '../mail/interest-record.ts';
import {
  type MessageFields,
  messageFlags,
  messageLength,
  readMessage,
  readQueues,
  recordLengthFor,
  writeMessage,
  writeMessageFields,
} from '../mail/message-record.ts';
import { MessageRun, type RunMessage, type RunTarget } from '../mail/message-run.ts';
import * as record from '../mail/records.ts';
import type { Doorbell } from '../ring/doorbell.ts';
import type { RingConsumer, RingProducer } from '../ring/ring.ts';
import { hasLargeRoom, largeRoomRequested } from './large-records.ts';
import type { RouteGroup } from './route.ts';
import { RunWriter } from './run-writer.ts';

/**
 * This thread's ends of the rings to and from every other thread.
 *
 * Client data that finds a ring full is refused (`hasRoomFor`) and the connection that brought it stops being read, so no
 * thread ever waits for another. Changes of interest must not be refused: a part of each ring is theirs alone, and
 * should even that be full they queue here, which `hasControlBacklog` shows; a connection whose SUB queued is not parsed
 * further until the backlog is written, since its PONG may not overtake the change. Everything else to that thread waits
 * behind the backlog, so that records stay in order.
 *
 * A record longer than the ring takes (a large payload, or hundreds of queue groups) travels as a SharedArrayBuffer through
 * a message port; a short record in the ring marks its place. The bytes under way are counted in shared memory, since no
 * ring bounds them: past the limit messages are refused as if the ring were full, and the receiver rings when half is gone.
 *
 * What promises something that isn't durable yet is written into the rings all the same, and not shown (`hold`): so it is
 * copied once, and it stays in order with what is sent behind it, which is held back with it.
 *
 * `hasRoomFor` is asked before queue groups pick their members, `sendMessage` knows which were picked. The promise must
 * therefore hold for any part of the groups, and a part may fit into the ring where the whole does not.
 */

/**
 * Messages after which a thread is shown what is there before the turn is over, so that it works while this one does. Showing
 * each by itself would halve what a ring carries.
 */
const SHOW_EVERY_MSGS = 64;

const NO_GROUPS: readonly RouteGroup[] = [];

/** The ends of the rings between this thread and one other, and the way for large payloads. */
export interface ThreadLink {
  producer: RingProducer;
  consumer: RingConsumer;
  /** Counters of what this thread sends beside the ring (records.ts); the receiver counts down. */
  largeSent: Int32Array;
  /** The same of the other direction, which this thread counts down. */
  largeReceived: Int32Array;
  /** Posts a large record; it must be there for the other side's `takeLarge` when this returns. */
  postLarge(record: SharedArrayBuffer): void;
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
  /** The run's frame is at none of its messages yet. */
  runArrived(thread: number, run: MessageRun): void;
  interestChanged(thread: number, interest: InterestRecord): void;
  /**
   * Who publishes the message that comes next from that thread.
   *
   * @param subjectHash of that message
   * @param client `ClientInfo` as JSON (jetstream-api §9)
   */
  clientArrived?(thread: number, subjectHash: number, client: string): void;
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
  /** Threads whose ring refused something that still waits. */
  readonly #roomWanted: boolean[] = [];
  /** Threads to which too many large payloads are under way. */
  readonly #largeRoomWanted: boolean[] = [];
  readonly #frame = new MessageFrame();
  readonly #queues: Uint8Array[] = [];
  readonly #run = new MessageRun();
  readonly #runWriters: RunWriter[] = [];
  #draining = -1;
  /** Messages sent to each thread since it was last shown any. */
  readonly #unseen: number[] = [];
  /** From `hold` to `showHeld`: how far each ring may be shown. */
  #holding = false;
  readonly #heldFrom: number[] = [];
  /** How far each ring may be shown when what `noteHeld` was called for is done. */
  readonly #noted: number[] = [];
  #hasNote = false;
  /** How far the rings were at each change of interest that is held back. */
  #barriers: number[][] = [];
  /** The thread of whose ring a portion was taken; -1: all of each was. */
  #left = -1;
  /** Threads that were shown something and haven't been rung. */
  readonly #unrung: boolean[] = [];

  constructor(self: number, threads: number, doorbell: Doorbell, sink: ThreadLinkSink) {
    this.self = self;
    this.threads = threads;
    this.#links = new Array(threads).fill(null);
    this.#doorbell = doorbell;
    this.#sink = sink;
    for (let thread = 0; thread < threads; thread++) {
      this.#backlog.push([]);
      this.#roomWanted.push(false);
      this.#largeRoomWanted.push(false);
      this.#unseen.push(0);
      this.#heldFrom.push(0);
      this.#noted.push(0);
      this.#unrung.push(false);
      this.#runWriters.push(new RunWriter());
    }
  }

  /** Connects to a thread, or (null) forgets one that died with everything that was queued for it. */
  setLink(thread: number, link: ThreadLink | null): void {
    this.#links[thread] = link;
    if (this.#backlog[thread]!.length > 0) this.#backlogs--;
    this.#backlog[thread] = [];
    this.#runWriters[thread]!.end();
    if (link === null) return;
    this.#heldFrom[thread] = link.producer.mark;
    this.#noted[thread] = link.producer.mark;
    for (const barrier of this.#barriers) barrier[thread] = link.producer.mark;
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
    let length = messageLength(frame, groups);
    if (length > producer.maxRecordBytes) {
      if (!hasLargeRoom(link.largeSent, length)) {
        this.#largeRoomWanted[thread] = true;
        return false;
      }
      const fewest = groups.length === 0 ? length : messageLength(frame, NO_GROUPS);
      length = fewest > producer.maxRecordBytes ? record.LARGE_BYTES : producer.maxRecordBytes;
    }
    for (;;) {
      if (producer.tryClaim(record.RECORD_MESSAGE, length, RING_CONTROL_RESERVE_BYTES) >= 0) {
        producer.abort();
        return true;
      }
      this.#roomWanted[thread] = true;
      if (producer.requestRoom(producer.capacityBytes / 4)) return false;
    }
  }

  /**
   * Sends a message; `hasRoomFor` said yes. To a thread that died it goes nowhere. Where the room is gone after all (local
   * deliveries of the same message ended subscriptions, whose announcements took it) the message queues behind them.
   */
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
    const { producer } = link;
    const flags = messageFlags(frame, plain, hops);
    const length = messageLength(frame, groups);
    if (length > producer.maxRecordBytes) {
      const shared = new SharedArrayBuffer(length);
      writeMessage(new Uint8Array(shared), new DataView(shared), 0, accountIndex, frame, groups, flags);
      this.#sendLarge(thread, link, record.RECORD_MESSAGE, shared);
      return;
    }
    if (this.#backlogs === 0 || this.#backlog[thread]!.length === 0) {
      const offset = producer.tryClaim(record.RECORD_MESSAGE, length);
      if (offset >= 0) {
        writeMessage(producer.bytes, producer.view, offset, accountIndex, frame, groups, flags);
        producer.commit();
        if (++this.#unseen[thread]! >= SHOW_EVERY_MSGS) this.#show(thread, link);
        return;
      }
    }
    const bytes = new Uint8Array(length);
    writeMessage(bytes, new DataView(bytes.buffer), 0, accountIndex, frame, groups, flags);
    this.#enqueue(thread, record.RECORD_MESSAGE, bytes);
  }

  /**
   * Claims room for a message whose bytes the caller writes by itself, into the memory of `bytesTo`: subject, shown subject and
   * tail, one behind the other.
   *
   * @param length of the three together
   * @returns where they begin; -1 when the message has to go another way, through `hasRoomFor` and `sendMessage`
   */
  claimMessage(thread: number, length: number): number {
    const link = this.#links[thread];
    if (link == null || this.#backlog[thread]!.length > 0) return -1;
    const recordLength = recordLengthFor(length);
    if (recordLength > link.producer.maxRecordBytes) return -1;
    const offset = link.producer.tryClaim(record.RECORD_MESSAGE, recordLength, RING_CONTROL_RESERVE_BYTES);
    return offset < 0 ? -1 : offset + record.MESSAGE_BYTES;
  }

  /** The memory of the ring to a thread that is connected. */
  bytesTo(thread: number): Uint8Array {
    return this.#links[thread]!.producer.bytes;
  }

  viewTo(thread: number): DataView {
    return this.#links[thread]!.producer.view;
  }

  /** Sends the message that was claimed at `start`. @param promises call `hold` before: it isn't shown until it is true */
  sendClaimed(thread: number, start: number, fields: MessageFields, promises: boolean): void {
    const link = this.#links[thread]!;
    const { producer } = link;
    const flags = promises ? record.FLAG_PROMISE : 0;
    writeMessageFields(producer.view, start - record.MESSAGE_BYTES, fields, flags);
    producer.commit();
    if (++this.#unseen[thread]! >= SHOW_EVERY_MSGS) this.#show(thread, link);
  }

  /**
   * Adds a message to the run to its target, or begins one. The caller writes shown subject and tail by itself, into the memory
   * of `bytesTo`, before anything else is sent.
   *
   * @returns where they begin; -1 when the message has to go another way, through `hasRoomFor` and `sendMessage`
   */
  sendInRun(thread: number, target: RunTarget, message: RunMessage): number {
    const link = this.#links[thread];
    if (link == null || this.#backlog[thread]!.length > 0) return -1;
    const { producer } = link;
    const writer = this.#runWriters[thread]!;
    const at = writer.add(producer, target, message);
    if (at >= 0) return at;
    // Before the next record, for this one's text is still to be written.
    if (writer.isFor(target) || ++this.#unseen[thread]! >= SHOW_EVERY_MSGS) this.#show(thread, link);
    return writer.begin(producer, target, message);
  }

  /** Sends a queue message on to another member. It may not be lost nor put off, so it queues when the ring is full. */
  forwardMessage(
    thread: number,
    accountIndex: number,
    frame: MessageFrame,
    group: RouteGroup,
    hops: number,
  ): void {
    this.sendMessage(thread, accountIndex, frame, false, [group], hops);
  }

  /** Tells one thread, or all (`thread` -1), this thread's interest. Never refused. */
  sendInterest(
    thread: number,
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
    filter = '',
  ): void {
    const bytes = interestBytes({ accountIndex, subject, queue, weight, filter });
    for (let other = 0; other < this.threads; other++) {
      if (other === this.self || (thread >= 0 && other !== thread) || this.#links[other] == null) continue;
      this.#sendControl(other, record.RECORD_INTEREST, bytes);
    }
    if (thread < 0) this.#showInterest();
  }

  /**
   * Nobody may see a message that was sent behind a change of interest before everybody can see the change: whoever gets it could
   * answer through a third thread. So the change is shown at once, or in one step of its own where things are held back.
   */
  #showInterest(): void {
    if (this.#holding) this.#barriers.push(this.#takeMarks([]));
    else this.#showAll();
  }

  /** Tells a thread who publishes the message that is sent to it next. Never refused: ask `hasRoomFor` the message before. */
  sendClient(thread: number, subjectHash: number, client: Uint8Array): void {
    if (this.#links[thread] == null) return;
    this.#sendControl(thread, record.RECORD_CLIENT, clientBytes(subjectHash, client));
  }

  /** Makes everything sent so far visible and wakes the threads it is for. Must come before any PONG is written. */
  publish(): void {
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link == null) continue;
      if (this.#backlogs > 0 && this.#backlog[thread]!.length > 0) this.#writeBacklog(thread, link);
    }
    while (this.#barriers.length > 0 && this.#isShown(this.#barriers[0]!)) {
      this.#showAll(this.#barriers.shift());
    }
    this.#showAll();
    for (let thread = 0; thread < this.threads; thread++) if (this.#unrung[thread]) this.#ring(thread);
  }

  /** Shows every thread what it may see, but rings none: that takes long enough for one to answer before the next can see. */
  #showAll(marks = this.#bounds()): void {
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link != null && this.#showTo(thread, link, marks)) this.#unrung[thread] = true;
    }
  }

  /** Whether what is held back begins behind these marks. */
  #isShown(marks: readonly number[]): boolean {
    if (!this.#holding) return true;
    return marks.every((mark, thread) => ((mark - this.#heldFrom[thread]!) | 0) <= 0);
  }

  /** Shows one thread what it may see. */
  #show(thread: number, link: ThreadLink): void {
    if (this.#showTo(thread, link, this.#bounds()) || this.#unrung[thread]) this.#ring(thread);
  }

  #ring(thread: number): void {
    this.#unrung[thread] = false;
    this.#doorbell.ring(thread);
  }

  /** How far each ring may be shown; null: as far as it goes. */
  #bounds(): readonly number[] | null {
    return this.#holding ? this.#heldFrom : null;
  }

  /** @returns whether there was anything to show */
  #showTo(thread: number, { producer }: ThreadLink, marks: readonly number[] | null): boolean {
    this.#unseen[thread] = 0;
    this.#runWriters[thread]!.end();
    return marks === null ? producer.publish() : producer.publishTo(marks[thread]!);
  }

  // What isn't durable yet

  /** Whether something is held back. */
  get holding(): boolean {
    return this.#holding;
  }

  /** What is sent from here on is not shown to anybody before `showHeld`; no more is held for long, since it takes up room. */
  hold(): void {
    if (this.#holding) return;
    this.#holding = true;
    this.#hasNote = false;
    this.#takeMarks(this.#heldFrom);
  }

  /** Remembers how far the rings are: that much may be shown by `showNoted`. */
  noteHeld(): void {
    this.#hasNote = this.#holding;
    if (this.#holding) this.#takeMarks(this.#noted);
  }

  /** Lets `publish` show what was sent before `noteHeld`. */
  showNoted(): void {
    if (!this.#hasNote) return;
    this.#hasNote = false;
    for (let thread = 0; thread < this.threads; thread++) this.#heldFrom[thread] = this.#noted[thread]!;
  }

  /** Lets `publish` show everything. */
  showHeld(): void {
    this.#holding = false;
    this.#hasNote = false;
  }

  /** Takes back the promises that are held: they will never be true. @returns how many */
  withdrawPromises(): number {
    if (!this.#holding) return 0;
    // What may be shown is out of reach then.
    this.publish();
    let withdrawn = 0;
    for (const link of this.#links) {
      if (link == null) continue;
      const { producer } = link;
      withdrawn += producer.withdraw((type, offset) => {
        if (type !== record.RECORD_MESSAGE) return false;
        return (producer.view.getInt32(offset + record.MESSAGE_FLAGS, true) & record.FLAG_PROMISE) !== 0;
      });
    }
    return withdrawn;
  }

  #takeMarks(marks: number[]): number[] {
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      this.#runWriters[thread]!.end();
      marks[thread] = link == null ? 0 : link.producer.mark;
    }
    return marks;
  }

  /** True when a ring that refused something has room again: to be asked before sleeping, or the wake-up could be missed. */
  roomFreed(): boolean {
    let freed = false;
    for (let thread = 0; thread < this.threads; thread++) {
      const link = this.#links[thread];
      if (link == null) continue;
      // The bell that answered the request made no sound if it rang while this thread was awake.
      if (this.#roomWanted[thread] && !link.producer.roomRequestPending()) {
        this.#roomWanted[thread] = false;
        freed = true;
      }
      if (this.#largeRoomWanted[thread] && Atomics.load(link.largeSent, record.LARGE_ROOM_WANTED) === 0) {
        this.#largeRoomWanted[thread] = false;
        freed = true;
      }
    }
    return freed;
  }

  /** True when nothing has arrived. */
  isEmpty(): boolean {
    for (const link of this.#links) if (link != null && !link.consumer.isEmpty()) return false;
    return true;
  }

  /** Handles everything that other threads published before the call. @returns records handled */
  drain(): number {
    // First what a portion left: what others have published since may rest upon it.
    let handled = this.#drainFrom(this.#left);
    this.#left = -1;
    for (let thread = 0; thread < this.threads; thread++) handled += this.#drainFrom(thread);
    return handled;
  }

  /** The same, but if one thread alone has published anything, no more of it than `limitBytes`; at least one record. */
  drainPortion(limitBytes: number): number {
    let sender = -1;
    for (let thread = 0; thread < this.threads; thread++) {
      if (this.#links[thread]?.consumer.isEmpty() !== false) continue;
      if (sender >= 0) return this.drain();
      sender = thread;
    }
    if (sender < 0) return 0;
    this.#left = this.#links[sender]!.consumer.pendingBytes() > limitBytes ? sender : -1;
    return this.#drainFrom(sender, limitBytes);
  }

  /** Whether a portion left some of what had been published before. */
  get hasLeft(): boolean {
    return this.#left >= 0;
  }

  #drainFrom(thread: number, limitBytes?: number): number {
    const link = this.#links[thread];
    if (link == null || link.consumer.isEmpty()) return 0;
    this.#draining = thread;
    this.#frame.bytes = link.consumer.bytes;
    this.#frame.view = link.consumer.view;
    const handled = link.consumer.drain(this.#handle, limitBytes);
    if (link.consumer.roomRequested() || largeRoomRequested(link.largeReceived)) this.#doorbell.ring(thread);
    return handled;
  }

  readonly #handle = (type: number, offset: number, length: number): void => {
    const link = this.#links[this.#draining]!;
    const { bytes, view } = link.consumer;
    if (type !== record.RECORD_LARGE) {
      this.#receive(type, bytes, view, offset, length, null);
      return;
    }
    const shared = link.takeLarge();
    if (shared === null) throw new Error('thread link: a large record is missing');
    Atomics.sub(link.largeReceived, record.LARGE_UNDER_WAY, shared.byteLength);
    // Nothing but the outboxes that refer to it keeps this memory: outboxes may, and there is nothing to release.
    const owner: SharedPayload = { references: 0, release: () => undefined };
    const innerType = view.getInt32(offset + record.LARGE_TYPE, true);
    this.#receive(innerType, new Uint8Array(shared), new DataView(shared), 0, shared.byteLength, owner);
  };

  #receive(
    type: number,
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    length: number,
    owner: SharedPayload | null,
  ): void {
    if (type === record.RECORD_MESSAGE) this.#receiveMessage(bytes, view, offset, owner);
    else if (type === record.RECORD_RUN)
      this.#sink.runArrived(this.#draining, this.#run.open(bytes, view, offset, length));
    else if (type === record.RECORD_INTEREST) this.#receiveInterest(bytes, view, offset);
    else if (type === record.RECORD_CLIENT) this.#receiveClient(bytes, view, offset);
    else throw new Error(`thread link: unknown record type ${type}`);
  }

  /** Posts a record, and marks its place in the ring. */
  #sendLarge(thread: number, link: ThreadLink, type: number, shared: SharedArrayBuffer): void {
    Atomics.add(link.largeSent, record.LARGE_UNDER_WAY, shared.byteLength);
    link.postLarge(shared);
    const mark = new Uint8Array(record.LARGE_BYTES);
    new DataView(mark.buffer).setInt32(record.LARGE_TYPE, type, true);
    this.#sendControl(thread, record.RECORD_LARGE, mark);
  }

  #sendControl(thread: number, type: number, bytes: Uint8Array): void {
    const link = this.#links[thread]!;
    const { producer } = link;
    if (bytes.length > producer.maxRecordBytes) {
      const shared = new SharedArrayBuffer(bytes.length);
      copyBytes(new Uint8Array(shared), 0, bytes, 0, bytes.length);
      this.#sendLarge(thread, link, type, shared);
      return;
    }
    if (this.#backlog[thread]!.length === 0) {
      const offset = producer.tryClaim(type, bytes.length);
      if (offset >= 0) {
        copyBytes(producer.bytes, offset, bytes, 0, bytes.length);
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
    this.#roomWanted[thread] = true;
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
      copyBytes(link.producer.bytes, offset, bytes, 0, bytes.length);
      link.producer.commit();
      written++;
    }
    backlog.splice(0, written);
    if (backlog.length === 0) this.#backlogs--;
  }

  #receiveMessage(bytes: Uint8Array, view: DataView, offset: number, owner: SharedPayload | null): void {
    const frame = this.#frame;
    const flags = view.getInt32(offset + record.MESSAGE_FLAGS, true);
    frame.payloadOwner = owner;
    const queuesBytes = readMessage(frame, bytes, view, offset);
    frame.passesKept = (flags & record.FLAG_PASSES_KEPT) !== 0;
    if (queuesBytes > 0 || this.#queues.length > 0)
      readQueues(this.#queues, bytes, view, frame.tailEnd, queuesBytes);
    const accountIndex = view.getInt32(offset + record.MESSAGE_ACCOUNT, true);
    const hops = (flags >> record.HOPS_SHIFT) & record.HOPS_MASK;
    const plain = (flags & record.FLAG_PLAIN) !== 0;
    this.#sink.messageArrived(this.#draining, accountIndex, frame, plain, this.#queues, hops);
    frame.payloadOwner = null;
  }

  #receiveClient(bytes: Uint8Array, view: DataView, offset: number): void {
    const { subjectHash, client } = readClient(bytes, view, offset);
    this.#sink.clientArrived?.(this.#draining, subjectHash, client);
  }

  #receiveInterest(bytes: Uint8Array, view: DataView, offset: number): void {
    this.#sink.interestChanged(this.#draining, readInterest(bytes, view, offset));
  }
}
