import type { Outbox } from '../base/outbox.ts';

/** A local connection as the broker sees it: somewhere messages can be delivered. */
export interface Subscriber {
  readonly outbox: Outbox;
  /** HMSG may be sent; otherwise header blocks are stripped. */
  headers: boolean;
  /** Gets its own publishes. */
  echo: boolean;
  outMsgs: number;
  outBytes: number;
  /** The host wants to know of each delivery (`allow_responses`, protocol trace). */
  observesDeliveries: boolean;
  /** Deny rules apply to deliveries on wildcard subscriptions: decided once per route. */
  deniesDelivery(subject: string, queue: string | null): boolean;
}

/** One SUB of a local connection. */
export class Subscription {
  readonly thread = -1;
  readonly subject: string;
  readonly queue: string | null;
  readonly subscriber: Subscriber;
  /** The sid, one character a byte: short enough that writing its characters one by one costs nothing. */
  readonly sid: string;
  /** Deliveries after which it ends; 0 is never. */
  maxDeliveries = 0;
  delivered = 0;
  removed = false;

  constructor(subscriber: Subscriber, subject: string, queue: string | null, sid: string) {
    this.subscriber = subscriber;
    this.subject = subject;
    this.queue = queue;
    this.sid = sid;
  }
}

/** Interest of another thread: it delivers to its own connections. */
export class ThreadInterest {
  readonly thread: number;
  readonly subject: string;
  readonly queue: string | null;
  /** Members of the queue group over there; for plain interest 1. */
  weight: number;

  constructor(thread: number, subject: string, queue: string | null, weight: number) {
    this.thread = thread;
    this.subject = subject;
    this.queue = queue;
    this.weight = weight;
  }
}

/** What an account's sublist holds: a local subscription, or another thread's interest. */
export type Interest = Subscription | ThreadInterest;
