/** Pull requests that wait for messages (jetstream-consumers §6.4). */
import type { Destination } from '../../effects.ts';
import type { PullRequest } from './pull-request.ts';

/** A request in the queue. */
export class WaitingRequest {
  readonly destination: Destination;
  /** Wire form. */
  readonly reply: string;
  /** Messages still wanted. */
  left: number;
  /** Whether there is a byte budget. */
  readonly limitsBytes: boolean;
  /** Of the byte budget; 0 without one. */
  bytesLeft: number;
  readonly noWait: boolean;
  /** Infinity: until it is served. Unix milliseconds. */
  readonly expiresMs: number;
  /** 0: none. */
  readonly heartbeatMs: number;
  /** Next heartbeat, Infinity without. */
  beatMs: number;
  readonly minPending: number;
  readonly minAckPending: number;
  readonly priority: number;
  /** Pin the request carries, or was given. */
  pinId: string;
  delivered = 0;
  before: WaitingRequest | null = null;
  after: WaitingRequest | null = null;

  constructor(request: PullRequest, destination: Destination, reply: string, nowMs: number) {
    this.destination = destination;
    this.reply = reply;
    this.left = request.batch;
    this.limitsBytes = request.maxBytes > 0;
    this.bytesLeft = request.maxBytes;
    this.noWait = request.noWait;
    this.expiresMs = request.expiresMs === 0 ? Infinity : nowMs + request.expiresMs;
    this.heartbeatMs = request.heartbeatMs;
    this.beatMs = request.heartbeatMs === 0 ? Infinity : nowMs + request.heartbeatMs;
    this.minPending = request.minPending;
    this.minAckPending = request.minAckPending;
    this.priority = request.priority;
    this.pinId = request.pinId;
  }

  /** When it wants to be looked at. */
  get dueMs(): number {
    return Math.min(this.expiresMs, this.beatMs);
  }
}

/** A list with ends on both sides; those of lower priority numbers first, equals in order of arrival. */
export class WaitingQueue {
  first: WaitingRequest | null = null;
  last: WaitingRequest | null = null;
  size = 0;
  /** Those with `noWait`. */
  impatient = 0;

  /** Puts a request behind those of its priority. */
  add(request: WaitingRequest): void {
    let before = this.last;
    while (before !== null && before.priority > request.priority) before = before.before;
    request.before = before;
    request.after = before === null ? this.first : before.after;
    if (before === null) this.first = request;
    else before.after = request;
    if (request.after === null) this.last = request;
    else request.after.before = request;
    this.size++;
    if (request.noWait) this.impatient++;
  }

  remove(request: WaitingRequest): void {
    if (request.before === null) this.first = request.after;
    else request.before.after = request.after;
    if (request.after === null) this.last = request.before;
    else request.after.before = request.before;
    request.before = null;
    request.after = null;
    this.size--;
    if (request.noWait) this.impatient--;
  }

  /** The request has been served and wants more: the next one's turn. */
  rotate(request: WaitingRequest): void {
    if (request.after === null || request.after.priority > request.priority) return;
    this.remove(request);
    this.add(request);
  }
}
