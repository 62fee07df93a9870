import { latin1 } from '../base/latin1.ts';
import type { FilterOptions } from './session-filter.ts';

/**
 * What shards and the engine of the persistence thread say to each other about MQTT.
 *
 * Records travel as payloads of NATS messages in an account that nobody can log in to (`MQTT_INTERNAL_ACCOUNT`), over the
 * rings that carry everything else: so they keep their order with publishes, and back-pressure is what it is for clients.
 * The engine listens on `engine`, shard n on `shard.n`.
 *
 * ```
 *   length u32 │ kind u8 │ cid f64 │ fields by kind; texts and byte strings with their length (u32) in front │ little-endian
 * ```
 *
 * Many records share one payload (`MailBatch`): a record that stands alone costs as much as a message of its own.
 *
 * Subjects and client ids are texts of the wire: one character a byte (client ids: the UTF-8 bytes).
 */

export const ENGINE_SUBJECT = 'engine';

/** Subject a shard listens on. */
export function shardSubject(thread: number): string {
  return `shard.${thread}`;
}

// shard → engine
export const MAIL_CONNECT = 1;
export const MAIL_CLOSE = 2;
export const MAIL_SUBSCRIBE = 3;
export const MAIL_UNSUBSCRIBE = 4;
export const MAIL_PUBLISH = 5;
export const MAIL_ACKNOWLEDGE = 6;
export const MAIL_KEEP = 7;
export const MAIL_DENY = 8;
// engine → shard
export const MAIL_CONNECTED = 33;
export const MAIL_TAKEOVER = 34;
export const MAIL_SUBSCRIBED = 35;
export const MAIL_UNSUBSCRIBED = 36;
export const MAIL_ANSWER = 37;
export const MAIL_DELIVER = 38;
export const MAIL_RETAINED = 39;

/** A batch is sent when it is this long: well below what a ring takes as one record. */
export const MAIL_BATCH_BYTES = 8 * 1024;

/** A message as it travels and is stored. */
export interface MailMessage {
  readonly subject: string;
  readonly reply: string;
  /** Whole header block. */
  readonly headers: Uint8Array;
  readonly payload: Uint8Array;
}

/** Up to here a loop is faster than `set`. */
const COPY_LOOP_MAX_BYTES = 64;

export class MailWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Begins a record. */
  begin(kind: number, cid: number): this {
    this.#length = 0;
    return this.u8(kind).f64(cid);
  }

  get length(): number {
    return this.#length;
  }

  /** Forgets everything written. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** Overwrites four bytes. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#bytes[at] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  f64(value: number): this {
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
    return this;
  }

  bytes(source: Uint8Array): this {
    return this.u32(source.length).raw(source);
  }

  /** Bytes as they are. */
  raw(source: Uint8Array): this {
    const count = source.length;
    const at = this.#room(count);
    if (count > COPY_LOOP_MAX_BYTES) this.#bytes.set(source, at);
    else for (let i = 0; i < count; i++) this.#bytes[at + i] = source[i]!;
    return this;
  }

  /** One character a byte. */
  text(value: string): this {
    this.u32(value.length);
    const at = this.#room(value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
    return this;
  }

  message({ subject, reply, headers, payload }: MailMessage): this {
    return this.text(subject).text(reply).bytes(headers).bytes(payload);
  }

  filter(options: FilterOptions): this {
    const { filter, subject, parentSubject, qos, noLocal, retainAsPublished, subscriptionId } = options;
    const flags = (noLocal ? 1 : 0) | (retainAsPublished ? 2 : 0) | (options.skipsDollar ? 4 : 0);
    this.text(filter)
      .text(subject)
      .text(parentSubject ?? '')
      .text(options.share ?? '');
    return this.u8(qos).u8(flags).u32(subscriptionId);
  }

  /** A view of the record, good until the next `begin`. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** The last text, so that what repeats is the same string and is decoded once. */
export class TextMemo {
  #bytes = new Uint8Array(0);
  #text = '';

  text(bytes: Uint8Array, start: number, end: number): string {
    if (this.#isKnown(bytes, start, end)) return this.#text;
    this.#bytes = bytes.slice(start, end);
    this.#text = latin1(bytes, start, end);
    return this.#text;
  }

  #isKnown(bytes: Uint8Array, start: number, end: number): boolean {
    const known = this.#bytes;
    if (known.length !== end - start) return false;
    for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
    return true;
  }
}

/** Records one behind the other. */
export class MailBatch extends MailWriter {
  /** Where the record under way has its length. */
  #open = -1;

  /** Ends the record before and begins one. */
  override begin(kind: number, cid: number): this {
    this.end();
    this.#open = this.length;
    return this.u32(0).u8(kind).f64(cid);
  }

  end(): this {
    if (this.#open >= 0) this.patchU32(this.#open, this.length - this.#open - LENGTH_BYTES);
    this.#open = -1;
    return this;
  }

  /** Adds a record that was written elsewhere. */
  add(record: MailWriter): this {
    return this.end().bytes(record.view());
  }

  override clear(): this {
    this.#open = -1;
    return super.clear();
  }
}

const LENGTH_BYTES = 4;
const NO_GROUPS: ReadonlyMap<string, boolean> = new Map();

/** Reads records; what wrote them is this server, so their form is right. */
export class MailReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** A batch: `next` goes to its first record. */
  static ofBatch(bytes: Uint8Array): MailReader {
    const reader = new MailReader(bytes);
    reader.#end = 0;
    return reader;
  }

  /** Goes to the next record of a batch. @returns false when there is none */
  next(): boolean {
    this.#at = this.#end;
    if (this.#at >= this.#bytes.length) return false;
    this.#end += LENGTH_BYTES;
    this.#end += this.u32();
    return true;
  }

  get hasMore(): boolean {
    return this.#at < this.#end;
  }

  /** What is left of the record; a view. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  u8(): number {
    return this.#bytes[this.#at++]!;
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  /** A view. */
  bytes(): Uint8Array {
    const length = this.u32();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    const length = this.u32();
    this.#at += length;
    return length === 0 ? '' : latin1(this.#bytes, this.#at - length, this.#at);
  }

  /** A text that mostly is the one before. */
  repeatedText(memo: TextMemo): string {
    const length = this.u32();
    this.#at += length;
    return memo.text(this.#bytes, this.#at - length, this.#at);
  }

  /** Queue groups of a publish: whether a member has it, or the engine is to pick one. */
  groups(): ReadonlyMap<string, boolean> {
    const count = this.u32();
    if (count === 0) return NO_GROUPS;
    const groups = new Map<string, boolean>();
    for (let left = count; left > 0; left--) {
      const isServed = this.u8() === 1;
      groups.set(this.text(), isServed);
    }
    return groups;
  }

  message(): MailMessage {
    return { subject: this.text(), reply: this.text(), headers: this.bytes(), payload: this.bytes() };
  }

  filter(): FilterOptions {
    const [filter, subject, parent, share] = [this.text(), this.text(), this.text(), this.text()];
    const [qos, flags, subscriptionId] = [this.u8(), this.u8(), this.u32()];
    return {
      filter,
      subject,
      parentSubject: parent === '' ? null : parent,
      share: share === '' ? null : share,
      qos,
      noLocal: (flags & 1) !== 0,
      retainAsPublished: (flags & 2) !== 0,
      skipsDollar: (flags & 4) !== 0,
      subscriptionId,
    };
  }
}
