import { PermissionSet } from '../auth/permissions.ts';
import type { MessageFrame } from '../base/message-frame.ts';
import type { Outbox } from '../base/outbox.ts';
import type { Route } from './route.ts';

/**
 * Writes a message for a subscriber that doesn't speak the NATS protocol. The router writes for those who do by itself, so
 * they pay one comparison for the others.
 */
export interface DeliveryEncoder {
  /** @param number tells messages apart: the same for all subscribers of one */
  deliver(
    route: Route,
    subscription: Subscription,
    frame: MessageFrame,
    publisher: Subscriber | null,
    number: number,
  ): void;
}

/** A local connection as the broker sees it: somewhere messages can be delivered. */
export interface Subscriber {
  readonly outbox: Outbox;
  /** Null: NATS protocol. */
  readonly encoder: DeliveryEncoder | null;
  /** HMSG may be sent; otherwise header blocks are stripped. */
  headers: boolean;
  /** Gets its own publishes. */
  echo: boolean;
  outMsgs: number;
  outBytes: number;
  /** The host wants to know of each delivery (`allow_responses`, protocol trace). */
  observesDeliveries: boolean;
  /** JSON list of the deny rules for deliveries; empty or absent: none. Other threads heed it when they pick queue members. */
  readonly deliveryFilter?: string;
  /** Deny rules apply to deliveries on wildcard subscriptions: decided once per route. */
  deniesDelivery(subject: string, queue: string | null): boolean;
  /** Whether deny rules apply to some of the subjects that a pattern matches; absent: there are none. */
  deniesSome?(pattern: string): boolean;
}

/** One SUB of a local connection. */
export class Subscription {
  readonly thread = -1;
  readonly subject: string;
  readonly queue: string | null;
  readonly subscriber: Subscriber;
  /** The sid, one character a byte: short enough that writing its characters one by one costs nothing. */
  readonly sid: string;
  /** The subscriber's `deliveryFilter` as announced to other threads (queue subscriptions only). */
  filter: string;
  /** A member of a queue group whose session the MQTT engine keeps. */
  isKept = false;
  /** Deliveries after which it ends; 0 is never. */
  maxDeliveries = 0;
  delivered = 0;
  removed = false;
  /** What the subscriber's encoder knows of it. */
  attachment: object | null = null;

  constructor(subscriber: Subscriber, subject: string, queue: string | null, sid: string) {
    this.subscriber = subscriber;
    this.subject = subject;
    this.queue = queue;
    this.sid = sid;
    this.filter = queue === null ? '' : (subscriber.deliveryFilter ?? '');
  }
}

/** In front of a filter: the MQTT engine keeps the sessions of these members. */
export const KEPT_MEMBER = '+';

/** Interest of another thread: it delivers to its own connections. */
export class ThreadInterest {
  readonly thread: number;
  readonly subject: string;
  readonly queue: string | null;
  /** Members of the queue group over there; for plain interest 1. */
  weight: number;
  /** The MQTT engine keeps the sessions of its members. */
  readonly isKept: boolean;
  readonly #filter: PermissionSet | null;

  /** @param traits as announced: `KEPT_MEMBER` or nothing, then the filter */
  constructor(thread: number, subject: string, queue: string | null, weight: number, traits = '') {
    this.thread = thread;
    this.subject = subject;
    this.queue = queue;
    this.weight = weight;
    this.isKept = traits.startsWith(KEPT_MEMBER);
    const filter = this.isKept ? traits.slice(KEPT_MEMBER.length) : traits;
    this.#filter = filter === '' ? null : filterOf(filter);
  }

  /** Whether there are subjects among those of a pattern that its members may not be given. */
  deniesSome(pattern: string): boolean {
    return this.#filter?.deniesSome(pattern) === true;
  }

  /** Whether its members may not be given a message on this subject. */
  denies(subject: string): boolean {
    return this.#filter?.deniesDelivery(subject, this.queue) === true;
  }
}

/** Compiles a subscriber's `deliveryFilter`. */
export function filterOf(filter: string): PermissionSet {
  const deny = JSON.parse(filter) as string[];
  return new PermissionSet({ publish: null, subscribe: { allow: null, deny }, responses: null }, 0);
}

/** What an account's sublist holds: a local subscription, or another thread's interest. */
export type Interest = Subscription | ThreadInterest;
