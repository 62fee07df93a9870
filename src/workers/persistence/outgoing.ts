import { hashLatin1 } from '../../shared/base/latin1.ts';
import { WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import { MessageFrame } from '../../shared/base/message-frame.ts';
import { SIZES_MAX_BYTES, writeLineEnd, writeSizes } from '../../shared/base/message-sizes.ts';
import type { Account } from '../../shared/broker/account.ts';
import { NO_TICKET } from '../../shared/jetstream/effects.ts';
import type { EngineDestination } from './engine-destination.ts';
import { ackBytes, type Delivery, writeAck } from './message-text.ts';

/**
 * Messages of the engine that haven't left yet, in order. The first one that has to wait, for the disk or for room in a ring,
 * holds back all behind it: acknowledgements stay in the order of the messages, and nothing is ever dropped. Deliveries
 * alone may pass what waits for the disk (`engine-effects.ts`).
 *
 * They are kept as routes take them, one behind the other in one buffer, so that an acknowledgement costs neither an object nor
 * a string:
 *
 *   ┌─────────┬────────────────────┬─────────────────────────────┐
 *   │ subject │ shown subject      │ [reply ]sizes\r\npayload\r\n │  …
 *   └─────────┴────────────────────┴─────────────────────────────┘
 *              of deliveries only
 */

const FIRST_BYTES = 256 * 1024;
/** A larger buffer isn't kept once it is empty. */
const KEEP_BYTES = 4 * 1024 * 1024;
const FIRST_ENTRIES = 1024;

/** Integers of an entry. */
const START = 0;
const SUBJECT_BYTES = 1;
const SUBJECT_HASH = 2;
const SHOWN_BYTES = 3;
const REPLY_BYTES = 4;
const HEADER_BYTES = 5;
const PAYLOAD_BYTES = 6;
const TAIL_BYTES = 7;
const TARGET = 8;
const ENTRY_INTS = 9;

const SPACE = 32;

/** Who gets a message: whoever listens in the account, or those at a destination. */
export type OutgoingTarget = Account | EngineDestination;

export class Outgoing {
  readonly #frame = new MessageFrame();
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  /** Where the next message begins. */
  #end = 0;
  #entries = new Int32Array(FIRST_ENTRIES * ENTRY_INTS);
  #tickets = new Float64Array(FIRST_ENTRIES);
  /** Targets of the entries; messages in a row to the same one share it. */
  #targets: OutgoingTarget[] = [];
  #lastTarget: OutgoingTarget | null = null;
  #head = 0;
  #tail = 0;
  /** Messages that wait without a ticket: for room, or for those before them. */
  withoutTicket = 0;

  /** Messages that wait. */
  get length(): number {
    return this.#tail - this.#head;
  }

  /** Their bytes, those of messages that have left just now included. */
  get bytes(): number {
    return this.#end;
  }

  /** The highest ticket that is waited for; 0 for none. Tickets only grow. */
  get wantedTicket(): number {
    for (let at = this.#tail - 1; at >= this.#head; at--)
      if (this.#tickets[at]! > 0) return this.#tickets[at]!;
    return 0;
  }

  /** @param subject latin1 @param reply latin1, empty for none */
  push(
    account: Account,
    subject: string,
    reply: string,
    headers: Uint8Array,
    payload: Uint8Array,
    ticket: number,
  ): void {
    const total = headers.length + payload.length;
    this.#reserve(subject.length + reply.length + SIZES_MAX_BYTES + total);
    let at = this.#writeLatin1(this.#end, subject);
    const tail = at;
    if (reply !== '') {
      at = this.#writeLatin1(at, reply);
      this.#bytes[at++] = SPACE;
    }
    at = writeSizes(this.#bytes, at, headers.length, total);
    this.#bytes.set(headers, at);
    this.#bytes.set(payload, at + headers.length);
    at = writeLineEnd(this.#bytes, at + total);
    const entry = this.#add(account, ticket);
    this.#describe(
      entry,
      subject.length,
      hashLatin1(subject),
      0,
      reply.length,
      headers.length,
      total,
      at - tail,
    );
    this.#end = at;
  }

  /**
   * An acknowledgement: `<prefix>"seq":<sequence>}` to the subject `bytes[start, end)`.
   *
   * @param prefix what the JSON object begins with
   */
  pushAck(
    account: Account,
    bytes: Uint8Array,
    start: number,
    end: number,
    prefix: Uint8Array,
    sequence: number,
    ticket: number,
  ): void {
    const subjectBytes = end - start;
    this.#reserve(subjectBytes + SIZES_MAX_BYTES + ackBytes(prefix, sequence));
    const target = this.#bytes;
    let at = this.#end;
    let hash = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!;
      hash = (Math.imul(hash, 31) + byte) | 0;
      target[at++] = byte;
    }
    const tail = at;
    const payload = ackBytes(prefix, sequence);
    at = writeAck(target, writeSizes(target, at, 0, payload), prefix, sequence);
    at = writeLineEnd(this.#bytes, at);
    const entry = this.#add(account, ticket);
    this.#describe(entry, subjectBytes, hash, 0, 0, 0, payload, at - tail);
    this.#end = at;
  }

  /** A stored message to those at a destination, who see its own subject; see `Effects.deliver`. */
  pushDelivery(destination: EngineDestination, delivery: Delivery): void {
    const { shownBytes, replyBytes, headerBytes, totalBytes, tailBytes } = delivery;
    const to = destination.subjectBytes;
    this.#reserve(to.length + shownBytes + tailBytes);
    const target = this.#bytes;
    const start = this.#end;
    for (let i = 0; i < to.length; i++) target[start + i] = to[i]!;
    const end = delivery.write(target, this.#view, start + to.length);
    const entry = this.#add(destination, NO_TICKET);
    const { subjectHash } = destination;
    this.#describe(entry, to.length, subjectHash, shownBytes, replyBytes, headerBytes, totalBytes, tailBytes);
    this.#end = end;
  }

  /**
   * Sends what may leave.
   *
   * @param ticket up to here the store keeps what was promised
   * @param send false when there is no room for it; what it pushes goes behind everything else
   * @returns false when a message found no room
   */
  release(ticket: number, send: (target: OutgoingTarget, frame: MessageFrame) => boolean): boolean {
    while (this.#head < this.#tail) {
      const at = this.#head;
      if (this.#tickets[at]! > ticket) break;
      if (!send(this.#targetOf(at), this.#frameOf(at))) {
        this.#compact();
        return false;
      }
      if (this.#tickets[at] === NO_TICKET) this.withoutTicket--;
      this.#head++;
    }
    this.#compact();
    return true;
  }

  /** Forgets what promises more than the store kept. @returns how many messages */
  dropAbove(ticket: number): number {
    let kept = this.#head;
    for (let at = this.#head; at < this.#tail; at++) {
      if (this.#tickets[at]! > ticket) continue;
      this.#moveEntry(at, kept);
      kept++;
    }
    const dropped = this.#tail - kept;
    this.#tail = kept;
    return dropped;
  }

  #targetOf(index: number): OutgoingTarget {
    return this.#targets[this.#entries[index * ENTRY_INTS + TARGET]!]!;
  }

  #frameOf(index: number): MessageFrame {
    const entries = this.#entries;
    const at = index * ENTRY_INTS;
    const frame = this.#frame;
    const start = entries[at + START]!;
    frame.bytes = this.#bytes;
    frame.view = this.#view;
    frame.subjectStart = start;
    frame.subjectEnd = start + entries[at + SUBJECT_BYTES]!;
    frame.subjectHash = entries[at + SUBJECT_HASH]!;
    frame.shownBytes = entries[at + SHOWN_BYTES]!;
    frame.tailStart = frame.subjectEnd + frame.shownBytes;
    frame.tailEnd = frame.tailStart + entries[at + TAIL_BYTES]!;
    frame.replyBytes = entries[at + REPLY_BYTES]!;
    const headerBytes = entries[at + HEADER_BYTES]!;
    frame.headerBytes = headerBytes > 0 ? headerBytes : -1;
    frame.payloadBytes = entries[at + PAYLOAD_BYTES]!;
    frame.payloadStart = frame.tailEnd - frame.payloadBytes - 2;
    return frame;
  }

  #add(target: OutgoingTarget, ticket: number): number {
    if (this.#tail === this.#tickets.length) this.#growEntries();
    const index = this.#tail++;
    if (target !== this.#lastTarget) {
      this.#lastTarget = target;
      this.#targets.push(target);
    }
    this.#tickets[index] = ticket;
    if (ticket === NO_TICKET) this.withoutTicket++;
    this.#entries[index * ENTRY_INTS + TARGET] = this.#targets.length - 1;
    return index * ENTRY_INTS;
  }

  #describe(
    at: number,
    subjectBytes: number,
    subjectHash: number,
    shownBytes: number,
    replyBytes: number,
    headerBytes: number,
    payloadBytes: number,
    tailBytes: number,
  ): void {
    const entries = this.#entries;
    entries[at + START] = this.#end;
    entries[at + SUBJECT_BYTES] = subjectBytes;
    entries[at + SUBJECT_HASH] = subjectHash;
    entries[at + SHOWN_BYTES] = shownBytes;
    entries[at + REPLY_BYTES] = replyBytes;
    entries[at + HEADER_BYTES] = headerBytes;
    entries[at + PAYLOAD_BYTES] = payloadBytes;
    entries[at + TAIL_BYTES] = tailBytes;
  }

  #moveEntry(from: number, to: number): void {
    if (from === to) return;
    this.#entries.copyWithin(to * ENTRY_INTS, from * ENTRY_INTS, (from + 1) * ENTRY_INTS);
    this.#tickets[to] = this.#tickets[from]!;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes + WORD_SLACK_BYTES;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#setBytes(larger);
  }

  #setBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #growEntries(): void {
    const entries = new Int32Array(this.#entries.length * 2);
    entries.set(this.#entries);
    this.#entries = entries;
    const tickets = new Float64Array(this.#tickets.length * 2);
    tickets.set(this.#tickets);
    this.#tickets = tickets;
  }

  /** Gives back the place of what has left, when that is all or most. */
  #compact(): void {
    if (this.#head === 0) return;
    if (this.#head === this.#tail) {
      this.#targets.length = 0;
      this.#lastTarget = null;
      this.#head = 0;
      this.#tail = 0;
      this.#end = 0;
      if (this.#bytes.length > KEEP_BYTES) this.#setBytes(new Uint8Array(FIRST_BYTES));
      return;
    }
    if (this.#head * 2 < this.#tail) return;
    const first = this.#entries[this.#head * ENTRY_INTS + START]!;
    const firstTarget = this.#entries[this.#head * ENTRY_INTS + TARGET]!;
    this.#bytes.copyWithin(0, first, this.#end);
    this.#end -= first;
    for (let at = this.#head; at < this.#tail; at++) {
      const to = at - this.#head;
      this.#moveEntry(at, to);
      this.#entries[to * ENTRY_INTS + START]! -= first;
      this.#entries[to * ENTRY_INTS + TARGET]! -= firstTarget;
    }
    this.#targets.splice(0, firstTarget);
    this.#tail -= this.#head;
    this.#head = 0;
  }

  #writeLatin1(start: number, text: string): number {
    const bytes = this.#bytes;
    for (let i = 0; i < text.length; i++) bytes[start + i] = text.charCodeAt(i);
    return start + text.length;
  }
}
