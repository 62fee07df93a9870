import { writeDecimal } from '../../../shared/base/decimal.ts';
import { hashLatin1, latin1Bytes } from '../../../shared/base/latin1.ts';
import { WORD_SLACK_BYTES } from '../../../shared/base/limits.ts';
import { MessageFrame } from '../../../shared/base/message-frame.ts';
import { MQTT_INTERNAL_ACCOUNT } from '../../../shared/base/options.ts';
import { internalSubscriber } from '../../../shared/broker/internal-subscriber.ts';
import type { Route } from '../../../shared/broker/route.ts';
import { BLOCKED } from '../../../shared/broker/router.ts';
import { type DeliveryEncoder, Subscription } from '../../../shared/broker/subscription.ts';
import {
  ENGINE_SUBJECT,
  MAIL_BATCH_BYTES,
  MailBatch,
  type MailWriter,
  shardSubject,
} from '../../../shared/mqtt/mail.ts';
import type { Shard } from '../shard.ts';

/**
 * Records to and from the MQTT engine of the persistence thread (shared/mqtt/mail.ts).
 *
 * Records of one turn travel together. What arrives is kept until the rings are drained and handled then: what a record causes may look at the rings again.
 * What finds no room waits here, and no client that would add to it is parsed further (`isBlocked`); what is added
 * without a client, the ends of connections, is bounded by their number.
 */
const RETRY_MS = 5;
const SIZE_DIGITS = 10;
/** A line's end, and a payload's. */
const CR = 13;
const LF = 10;
const TAIL_BYTES = 2;

export class EngineMail implements DeliveryEncoder {
  readonly #shard: Shard;
  readonly #handle: (record: Uint8Array) => void;
  readonly #frame = new MessageFrame();
  readonly #subject = latin1Bytes(ENGINE_SUBJECT);
  readonly #hash = hashLatin1(ENGINE_SUBJECT);
  #scratch = new Uint8Array(4096);
  #view = new DataView(this.#scratch.buffer);
  readonly #batch = new MailBatch();
  /** The batch found no room. */
  #blocked = false;
  #arrived: Uint8Array[] = [];
  #handling = false;
  #retry: NodeJS.Timeout | null = null;

  constructor(shard: Shard, handle: (record: Uint8Array) => void) {
    this.#shard = shard;
    this.#handle = handle;
  }

  /** Listens for records to this shard; the account must be there. */
  listen(): void {
    const account = this.#shard.accountsByName.get(MQTT_INTERNAL_ACCOUNT);
    account?.subscribe(
      new Subscription(internalSubscriber(this), shardSubject(this.#shard.thread), null, ''),
    );
  }

  /** Whether records wait for room: what adds to them has to wait too. */
  get isBlocked(): boolean {
    return this.#blocked && !this.flush();
  }

  /** Begins a record, which `end` ends. */
  begin(kind: number, cid: number): MailBatch {
    return this.#batch.begin(kind, cid);
  }

  /** The record is complete: it leaves with the turn. */
  end(): void {
    this.#batch.end();
    if (this.#batch.length > MAIL_BATCH_BYTES && !this.#blocked) this.flush();
    this.#shard.needTurn();
  }

  /** The record is complete, in the midst of a delivery: it leaves at the turn's end. */
  endLater(): void {
    this.#batch.end();
    this.#shard.needTurn();
  }

  /** What waits to leave. */
  get waitingBytes(): number {
    return this.#batch.length;
  }

  /** Sends a record that was written elsewhere. */
  send(record: MailWriter): void {
    this.#batch.add(record);
    this.end();
  }

  readonly #tryAgain = (): void => {
    this.#retry = null;
    this.#shard.beginTurn();
    this.flush();
  };

  /** Sends what there is. @returns false when it has to wait for room */
  flush(): boolean {
    if (this.#batch.length === 0) return true;
    this.#blocked = !this.#publish(this.#batch.view());
    if (!this.#blocked) this.#batch.clear();
    else this.#retry ??= setTimeout(this.#tryAgain, RETRY_MS);
    return !this.#blocked;
  }

  #publish(record: Uint8Array): boolean {
    const account = this.#shard.accountsByName.get(MQTT_INTERNAL_ACCOUNT);
    if (account === undefined) return true;
    const subject = this.#subject;
    const needed = subject.length + SIZE_DIGITS + record.length + 2 * TAIL_BYTES + WORD_SLACK_BYTES;
    if (needed > this.#scratch.length) {
      this.#scratch = new Uint8Array(needed * 2);
      this.#view = new DataView(this.#scratch.buffer);
    }
    const bytes = this.#scratch;
    const frame = this.#frame;
    bytes.set(subject);
    frame.bytes = bytes;
    frame.view = this.#view;
    frame.subjectStart = 0;
    frame.subjectEnd = subject.length;
    frame.subjectHash = this.#hash;
    frame.tailStart = subject.length;
    let at = writeDecimal(bytes, subject.length, record.length);
    bytes[at++] = CR;
    bytes[at++] = LF;
    frame.replyBytes = 0;
    frame.headerBytes = -1;
    frame.payloadStart = at;
    frame.payloadBytes = record.length;
    bytes.set(record, at);
    at += record.length;
    bytes[at++] = CR;
    bytes[at++] = LF;
    frame.tailEnd = at;
    frame.payloadOwner = null;
    const route = account.route(this.#hash, bytes, 0, subject.length);
    return this.#shard.router.publish(account, route, null, frame) !== BLOCKED;
  }

  /** A record arrived: rings are shared memory, so it is copied. */
  deliver(_route: Route, _subscription: Subscription, frame: MessageFrame): void {
    this.#arrived.push(frame.bytes.slice(frame.payloadStart, frame.payloadStart + frame.payloadBytes));
  }

  /** Handles what arrived. */
  takeArrived(): void {
    if (this.#handling || this.#arrived.length === 0) return;
    this.#handling = true;
    // What a record causes may bring further ones.
    while (this.#arrived.length > 0) {
      const records = this.#arrived;
      this.#arrived = [];
      for (const record of records) this.#handle(record);
    }
    this.#handling = false;
  }

  stop(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
  }
}
