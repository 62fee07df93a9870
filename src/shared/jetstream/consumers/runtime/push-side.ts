/**
 * The taking side of a push consumer (jetstream-consumers §5): whether somebody listens, how much may be under way to them,
 * and how fast.
 *
 * Flow control: `outstanding` counts bytes sent since the last answer. A request goes out at half the window, delivery
 * stops above it, and an answer takes off what was outstanding when its request was sent.
 */

import { wireText } from '../../../subject/wire-text.ts';
import { type Destination, EMPTY_BYTES, type InterestWatch, NO_TICKET } from '../../effects.ts';
import { randomId } from '../../names.ts';
import { durationMs } from '../../time.ts';
import type { Consumer } from './consumer.ts';
import type { DeliverySide, Taker } from './delivery-side.ts';
import { FLOW_CONTROL_REQUEST, idleHeartbeat } from './status-message.ts';

const WINDOW_MAX_BYTES = 32 * 1024 * 1024;
const WINDOW_FIRST_BYTES = WINDOW_MAX_BYTES / 16;
const REQUEST_ID_CHARACTERS = 4;

export class PushSide implements DeliverySide, InterestWatch, Taker {
  readonly #consumer: Consumer;
  subject: string;
  destination: Destination;
  /** Wire form of the deliver group; empty: none. */
  #group: string;
  readonly pinId = '';
  #heartbeatMs = 0;
  #beatMs = Infinity;
  #window = WINDOW_FIRST_BYTES;
  #outstanding = 0;
  /** Reply subject of the request that is not answered; empty: none. */
  #request = '';
  #requestedBytes = 0;
  /** Token bucket of the rate limit: bytes that may go at `#bucketMs`. */
  #bucket = 0;
  #bucketMs = 0;
  #resumeMs = Infinity;
  #listened: boolean;

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
    const { effects, clock } = consumer.engine;
    this.subject = wireText(consumer.config.deliverSubject);
    this.#group = wireText(consumer.config.deliverGroup);
    this.destination = effects.destination(consumer.account, this.subject);
    effects.watchInterest(this);
    this.#bucket = this.#burst();
    this.#bucketMs = clock.ms;
    this.#heartbeatMs = durationMs(consumer.config.idleHeartbeatNs);
    this.#listened = this.hasInterest;
    if (this.#listened) this.#startHeartbeat();
  }

  get account(): string {
    return this.#consumer.account;
  }

  #nowMs(): number {
    return this.#consumer.engine.clock.ms;
  }

  get waiting(): number {
    return 0;
  }

  /** Whether it is active: §5. */
  get hasInterest(): boolean {
    return this.destination.isBound(this.#group);
  }

  #flowControl(): boolean {
    return this.#consumer.config.flowControl;
  }

  get isOpen(): boolean {
    if (this.#flowControl() && this.#outstanding > this.#window) return false;
    return this.hasInterest;
  }

  interestChanged(): void {
    const listened = this.hasInterest;
    if (!listened) this.#beatMs = Infinity;
    else if (!this.#listened) this.#startHeartbeat();
    // Even if somebody listened before: the interest may have gone and come again meanwhile, and delivery have seen it gone.
    if (listened) this.#consumer.wake();
    this.#listened = listened;
    this.#consumer.touched();
    this.#consumer.interestChanged();
  }

  #startHeartbeat(): void {
    if (this.#heartbeatMs === 0) return;
    this.#beatMs = this.#nowMs() + this.#heartbeatMs;
    this.#consumer.arm(this.#beatMs);
  }

  take(bytes: number): Taker | null {
    return this.#mayPass(bytes) ? this : null;
  }

  #burst(): number {
    const { stream, engine } = this.#consumer;
    const { maxMsgSizeBytes } = stream.config;
    return maxMsgSizeBytes > 0 ? maxMsgSizeBytes : engine.options.maxPayloadBytes;
  }

  /** Takes the bytes from the bucket, or waits until it has them. Delivery comes back with the same message. */
  #mayPass(bytes: number): boolean {
    const { rateLimitBps } = this.#consumer.config;
    if (rateLimitBps <= 0) return true;
    const bytesPerMs = rateLimitBps / 8000;
    const burst = this.#burst();
    const nowMs = this.#nowMs();
    this.#bucket = Math.min(burst, this.#bucket + (nowMs - this.#bucketMs) * bytesPerMs);
    this.#bucketMs = nowMs;
    const needed = Math.min(bytes, burst);
    if (this.#bucket >= needed) {
      this.#bucket -= needed;
      return true;
    }
    this.#resumeMs = nowMs + Math.max(1, Math.ceil((needed - this.#bucket) / bytesPerMs));
    this.#consumer.arm(this.#resumeMs);
    return false;
  }

  served(_taker: Taker, bytes: number): void {
    if (this.#heartbeatMs > 0) this.#beatMs = this.#nowMs() + this.#heartbeatMs;
    if (!this.#flowControl()) return;
    this.#outstanding += bytes;
    if (this.#request === '') {
      if (this.#outstanding > this.#window / 2 || this.#isAckWindowFull()) this.#requestFlow();
    } else if (this.#outstanding - this.#requestedBytes >= this.#window) this.#requestedBytes += bytes;
  }

  /** With acknowledgement by flow control, only its answer makes room again. */
  #isAckWindowFull(): boolean {
    const { config, state } = this.#consumer;
    if (config.ackPolicy !== 'flow_control' || config.maxAckPending <= 0) return false;
    return state.pending.size >= config.maxAckPending;
  }

  #requestFlow(): void {
    const { engine, name, stream } = this.#consumer;
    const id = randomId(REQUEST_ID_CHARACTERS, engine.random);
    this.#request = `$JS.FC.${wireText(stream.name)}.${wireText(name)}.${id}`;
    this.#requestedBytes = this.#outstanding;
    engine.effects.send(
      this.account,
      this.subject,
      this.#request,
      FLOW_CONTROL_REQUEST,
      EMPTY_BYTES,
      NO_TICKET,
    );
  }

  /** @param subject of the answer. @returns whether it is the one that is waited for */
  flowAnswered(subject: string): boolean {
    if (subject !== this.#request || this.#request === '') return false;
    this.#window = Math.min(WINDOW_MAX_BYTES, this.#window * 2);
    this.#outstanding = Math.max(0, this.#outstanding - this.#requestedBytes);
    this.#request = '';
    this.#requestedBytes = 0;
    this.#consumer.wake();
    return true;
  }

  endOfMessages(): void {}

  nextDueMs(): number {
    return Math.min(this.#beatMs, this.#resumeMs);
  }

  tick(): void {
    const nowMs = this.#nowMs();
    if (this.#resumeMs <= nowMs) {
      this.#resumeMs = Infinity;
      this.#consumer.wake();
    }
    if (this.#beatMs > nowMs) return;
    this.#beatMs = nowMs + this.#heartbeatMs;
    if (this.hasInterest) this.#beat();
  }

  #beat(): void {
    const { config, engine, state } = this.#consumer;
    const status = idleHeartbeat(state.consumerSeq - 1, state.streamSeq - 1, this.#request);
    engine.effects.send(this.account, this.subject, '', status, EMPTY_BYTES, NO_TICKET);
    const owes = config.ackPolicy === 'flow_control' && state.pending.size > 0;
    if (owes && this.#request === '') this.#requestFlow();
  }

  updated(): void {
    const consumer = this.#consumer;
    const subject = wireText(consumer.config.deliverSubject);
    const group = wireText(consumer.config.deliverGroup);
    if (group !== this.#group) {
      this.#group = group;
      this.interestChanged();
    }
    if (subject !== this.subject) {
      const { effects } = consumer.engine;
      effects.unwatchInterest(this);
      this.subject = subject;
      this.destination = effects.destination(consumer.account, subject);
      effects.watchInterest(this);
      this.#request = '';
      this.#outstanding = 0;
      this.interestChanged();
    }
    consumer.wake();
  }

  close(): void {
    this.#consumer.engine.effects.unwatchInterest(this);
    this.#beatMs = Infinity;
    this.#resumeMs = Infinity;
  }
}
