/** The taking side of a pull consumer: its requests, from their arrival to their last status (jetstream-consumers §6, §7). */
import { needsHigherLevel } from '../../api-level.ts';
import { EMPTY_BYTES, NO_TICKET } from '../../effects.ts';
import type { Consumer } from './consumer.ts';
import type { DeliverySide } from './delivery-side.ts';
import { Pinning } from './pinning.ts';
import { type PullRequest, parsePullRequest, requestProblem } from './pull-request.ts';
import {
  EXCEEDED_MAX_WAITING,
  idleHeartbeat,
  NO_MESSAGES,
  PIN_MISMATCH,
  pendingLines,
  REQUESTS_PENDING,
  REQUIRED_LEVEL,
  statusMessage,
} from './status-message.ts';
import { WaitingQueue, WaitingRequest } from './waiting-queue.ts';

/** A full queue is cleaned at most so often. */
const CLEAN_EVERY_MS = 1000;
const DEFAULT_MAX_WAITING = 512;

export class PullSide implements DeliverySide {
  readonly #consumer: Consumer;
  readonly #queue = new WaitingQueue();
  readonly pinning: Pinning | null;
  #dueMs = Infinity;
  #cleanedMs = 0;

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
    this.pinning = consumer.config.priorityPolicy === 'pinned_client' ? new Pinning(consumer) : null;
  }

  get isOpen(): boolean {
    return this.#queue.first !== null;
  }

  get waiting(): number {
    this.#dropUnwanted();
    return this.#queue.size;
  }

  get hasInterest(): boolean {
    for (let at = this.#queue.first; at !== null; at = at.after) if (at.destination.hasInterest) return true;
    return false;
  }

  #nowMs(): number {
    return this.#consumer.engine.clock.ms;
  }

  /** A message on MSG.NEXT, or what follows a `+NXT`. */
  receive(reply: string, headers: Uint8Array, body: Uint8Array): void {
    if (reply === '') return;
    if (needsHigherLevel(headers)) {
      this.#send(reply, REQUIRED_LEVEL);
      return;
    }
    const request = parsePullRequest(body);
    const problem =
      typeof request === 'string'
        ? `400 Bad Request - ${request}`
        : requestProblem(request, this.#consumer.config);
    if (problem !== null) this.#send(reply, statusMessage(problem));
    else if (typeof request !== 'string') this.#admit(request, reply);
  }

  #admit(request: PullRequest, reply: string): void {
    const consumer = this.#consumer;
    consumer.touched();
    if (request.pinId !== '' && this.pinning?.renew(request.pinId) === false) {
      this.#send(reply, PIN_MISMATCH);
      return;
    }
    const refusal = request.noWait ? this.#impatientProblem(request) : null;
    if (refusal !== null) {
      this.#send(reply, refusal);
      return;
    }
    if (this.#isFull() && this.#nowMs() - this.#cleanedMs > CLEAN_EVERY_MS) {
      this.#cleanedMs = this.#nowMs();
      this.#dropUnwanted();
    }
    if (this.#isFull()) {
      if (request.heartbeatMs === 0) this.#send(reply, EXCEEDED_MAX_WAITING);
      return;
    }
    if (consumer.config.priorityPolicy !== 'prioritized') request.priority = 0;
    const destination = consumer.engine.effects.destination(consumer.account, reply);
    const waiting = new WaitingRequest(request, destination, reply, this.#nowMs());
    this.#queue.add(waiting);
    this.#arm(waiting.dueMs);
    consumer.wake();
  }

  #isFull(): boolean {
    const { maxWaiting } = this.#consumer.config;
    return this.#queue.size >= (maxWaiting > 0 ? maxWaiting : DEFAULT_MAX_WAITING);
  }

  /** Why a request that doesn't wait is refused at once. */
  #impatientProblem(request: PullRequest): Uint8Array | null {
    const consumer = this.#consumer;
    const available = consumer.numPending + consumer.redeliveries.size;
    if (available === 0) return request.expiresMs === 0 ? NO_MESSAGES : null;
    let wanted = 0;
    for (let at = this.#queue.first; at !== null; at = at.after) {
      if (at.destination.hasInterest) wanted += at.left;
    }
    return available < wanted ? REQUESTS_PENDING : null;
  }

  take(bytes: number): WaitingRequest | null {
    for (let at = this.#queue.first; at !== null; ) {
      const next = at.after;
      if (at.expiresMs <= this.#nowMs()) this.#end(at, '408 Request Timeout');
      else if (!at.destination.hasInterest) this.#queue.remove(at);
      else if (this.#mayHave(at)) {
        if (!at.limitsBytes || bytes <= at.bytesLeft) return at;
        this.#end(at, '409 Message Size Exceeds MaxBytes');
      }
      at = next;
    }
    return null;
  }

  /** Whether it is this request's turn, by the rules of its priority group. */
  #mayHave(request: WaitingRequest): boolean {
    if (this.pinning !== null) {
      const isPinned = this.pinning.admits(request);
      if (isPinned === null) this.#end(request, '423 Nats-Wrong-Pin-Id');
      return isPinned === true;
    }
    const { minPending, minAckPending } = request;
    if (minPending <= 0 && minAckPending <= 0) return true;
    const consumer = this.#consumer;
    const enoughPending = minPending > 0 && consumer.numPending >= minPending;
    return enoughPending || (minAckPending > 0 && consumer.state.pending.size >= minAckPending);
  }

  served(request: WaitingRequest, bytes: number): void {
    request.delivered++;
    request.left--;
    if (request.heartbeatMs > 0) request.beatMs = this.#nowMs() + request.heartbeatMs;
    if (request.limitsBytes) {
      request.bytesLeft -= bytes;
      if (request.bytesLeft <= 0) {
        this.#queue.remove(request);
        return;
      }
    }
    if (request.left > 0) this.#queue.rotate(request);
    else if (request.limitsBytes) this.#end(request, '409 Batch Completed');
    else this.#queue.remove(request);
  }

  endOfMessages(): void {
    if (this.#queue.impatient === 0) return;
    for (let at = this.#queue.first; at !== null; ) {
      const next = at.after;
      if (at.noWait && (at.delivered > 0 || at.expiresMs === Infinity)) {
        this.#queue.remove(at);
        this.#send(at.reply, NO_MESSAGES);
      }
      at = next;
    }
  }

  nextDueMs(): number {
    return Math.min(this.#dueMs, this.pinning?.dueMs ?? Infinity);
  }

  tick(): void {
    const nowMs = this.#nowMs();
    if (this.pinning?.expire(nowMs) === true) this.#consumer.wake();
    if (this.#dueMs > nowMs) return;
    this.#dueMs = Infinity;
    for (let at = this.#queue.first; at !== null; ) {
      const next = at.after;
      if (!at.destination.hasInterest) this.#queue.remove(at);
      else if (at.expiresMs <= nowMs) this.#end(at, '408 Request Timeout');
      else {
        if (at.beatMs <= nowMs) this.#beat(at, nowMs);
        this.#dueMs = Math.min(this.#dueMs, at.dueMs);
      }
      at = next;
    }
  }

  #beat(request: WaitingRequest, nowMs: number): void {
    const { state } = this.#consumer;
    request.beatMs = nowMs + request.heartbeatMs;
    this.#send(request.reply, idleHeartbeat(state.consumerSeq - 1, state.streamSeq - 1, ''));
  }

  updated(): void {
    this.#consumer.wake();
  }

  close(status: Uint8Array | null): void {
    for (let at = this.#queue.first; at !== null; at = this.#queue.first) {
      this.#queue.remove(at);
      if (status !== null) this.#send(at.reply, status);
    }
  }

  /** Tells everybody who waits how much is left, and ends their requests: `409 Server Shutdown`. */
  endAll(status: string): void {
    for (let at = this.#queue.first; at !== null; at = this.#queue.first) this.#end(at, status);
  }

  #dropUnwanted(): void {
    for (let at = this.#queue.first; at !== null; ) {
      const next = at.after;
      if (at.expiresMs <= this.#nowMs()) this.#end(at, '408 Request Timeout');
      else if (!at.destination.hasInterest) this.#queue.remove(at);
      at = next;
    }
  }

  #end(request: WaitingRequest, status: string): void {
    this.#queue.remove(request);
    // Its client was there until now.
    this.#consumer.touched();
    this.#send(request.reply, statusMessage(status, pendingLines(request.left, request.bytesLeft)));
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    this.#consumer.arm(dueMs);
  }

  #send(reply: string, status: Uint8Array): void {
    const { engine, account } = this.#consumer;
    engine.effects.send(account, reply, '', status, EMPTY_BYTES, NO_TICKET);
  }
}
