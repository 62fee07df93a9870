import type { Account } from '../../shared/broker/account.ts';
import {
  type Destination,
  type DirectAnswers,
  type Effects,
  type EngineSubscription,
  type InterestWatch,
  NO_TICKET,
} from '../../shared/jetstream/effects.ts';
import type { StoredMessage } from '../../shared/jetstream/store/contract.ts';
import { EngineDestination } from './engine-destination.ts';
import { EngineListener } from './engine-listener.ts';
import { InterestWatches } from './interest-watches.ts';
import { Delivery } from './message-text.ts';
import { Outgoing } from './outgoing.ts';
import type { RingSender } from './ring-sender.ts';

/** From here on consumers deliver no more for the time being. */
const CONGESTED_BYTES = 512 * 1024;

/**
 * What the engine wants done: messages go to `outgoing` or, where nothing waits there, straight into a ring; subscriptions go to
 * the accounts of this thread.
 *
 * A ring shows its records in order. An acknowledgement that is held back there until the sync would hold back the deliveries
 * behind it, which needn't wait. So while consumers deliver before the sync (`sharesRings`), acknowledgements wait in
 * `outgoing` instead, and deliveries go past those. Where acknowledgements were held in the rings already when that began,
 * the deliveries of that one commit come behind them.
 */
export class EngineEffects implements Effects {
  readonly accounts = new Map<string, Account>();
  readonly outgoing = new Outgoing();
  readonly watches = new InterestWatches();
  /** A message found no room in a ring. */
  isBlocked = false;
  directAnswers?: DirectAnswers;
  /** Highest ticket that something held in the rings waits for. */
  heldTicket = 0;
  /** Asked whether nothing may be held back in the rings, for the sake of deliveries that don't wait. */
  sharesRings: () => boolean = () => false;
  readonly #sender: RingSender;
  readonly #delivery = new Delivery();
  readonly #listeners = new Map<EngineSubscription, EngineListener>();
  readonly #warn: (text: string) => void;
  /** The account of the last message sent: mostly it is that of the next one. */
  #lastAccount: Account | undefined = undefined;

  constructor(sender: RingSender, warn: (text: string) => void) {
    this.#sender = sender;
    this.#warn = warn;
  }

  send(
    account: string,
    subject: string,
    reply: string,
    headers: Uint8Array,
    payload: Uint8Array,
    ticket: number,
  ): void {
    const target = this.#accountOf(account);
    if (target !== undefined) this.outgoing.push(target, subject, reply, headers, payload, ticket);
  }

  acknowledge(
    account: string,
    bytes: Uint8Array,
    replyStart: number,
    replyEnd: number,
    prefix: Uint8Array,
    sequence: number,
    ticket: number,
  ): void {
    const target = this.#accountOf(account);
    if (target === undefined) return;
    const holds = ticket !== NO_TICKET;
    if (
      this.outgoing.length === 0 &&
      !this.isBlocked &&
      !(holds && this.sharesRings()) &&
      this.#sender.acknowledge(target, bytes, replyStart, replyEnd, prefix, sequence, holds)
    ) {
      if (holds) this.heldTicket = ticket;
    } else this.outgoing.pushAck(target, bytes, replyStart, replyEnd, prefix, sequence, ticket);
  }

  destination(account: string, subject: string): EngineDestination {
    return new EngineDestination(this.accounts.get(account)!, subject);
  }

  deliver(
    destination: Destination,
    message: StoredMessage,
    reply: DataView,
    replyBytes: number,
    headers: Uint8Array | null,
    withPayload: boolean,
  ): void {
    const target = destination as EngineDestination;
    const delivery = this.#delivery;
    delivery.set(message, reply, replyBytes, headers, withPayload);
    // What waits for the disk is to other subjects: answers to publishers and to acknowledgements.
    const isDirect = this.outgoing.withoutTicket === 0 && !this.isBlocked;
    if (!isDirect || !this.#sender.deliver(target, delivery)) this.outgoing.pushDelivery(target, delivery);
  }

  get congested(): boolean {
    return this.isBlocked || this.outgoing.bytes > CONGESTED_BYTES;
  }

  watchInterest(watch: InterestWatch): void {
    this.watches.add(watch);
  }

  unwatchInterest(watch: InterestWatch): void {
    this.watches.delete(watch);
  }

  #accountOf(name: string): Account | undefined {
    if (this.#lastAccount?.name !== name) this.#lastAccount = this.accounts.get(name);
    return this.#lastAccount;
  }

  subscribe(subscription: EngineSubscription): void {
    const { account, subject, queue } = subscription;
    const listener = new EngineListener(subject, queue, (message) => subscription.receive(message));
    this.#listeners.set(subscription, listener);
    this.accounts.get(account)?.subscribe(listener);
    this.watches.changed(account, subject);
  }

  unsubscribe(subscription: EngineSubscription): void {
    const listener = this.#listeners.get(subscription);
    if (listener === undefined) return;
    this.#listeners.delete(subscription);
    this.accounts.get(subscription.account)?.unsubscribe(listener);
    this.watches.changed(subscription.account, subscription.subject);
  }

  hasInterest(account: string, subject: string): boolean {
    return this.accounts.get(account)?.routeOf(subject).hasThreads === true;
  }

  warn(text: string): void {
    this.#warn(text);
  }
}
