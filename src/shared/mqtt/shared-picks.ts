import { filterOf } from '../broker/subscription.ts';
import type { Recipient } from './engine-account.ts';
import type { EngineFilter, EngineSession } from './engine-session.ts';
import { type MailMessage, MailReader } from './mail.ts';

/**
 * Which session of a shared subscription gets a message of QoS 1 or 2 [MQTT-4.8.2-4]. The publisher's shard chooses between
 * sessions that are kept and everybody else (other MQTT clients, NATS clients of the queue group), by their numbers. Of
 * sessions that are kept it leaves the choice to the engine, which stores the copy in the step in which it takes in the
 * publish: PUBACK and PUBREC carry the ticket of both.
 *
 * A shard may choose by what was true a moment ago: should none of these sessions be connected any more, the others get the
 * message. Where nobody is connected a session that has left gets it when it comes back. [MQTT-4.5.0-1]
 */

const DOLLAR = '$';

export interface SharedPicksHost {
  /** From 0 to 1. */
  random(): number;
  /**
   * Gives a message to a member of a queue group whose session isn't kept.
   *
   * @returns false when there is none
   */
  sendToOthers(account: number, share: string, message: MailMessage): boolean;
}

export class SharedPicks {
  readonly #host: SharedPicksHost;
  readonly #isFull: (member: EngineFilter) => boolean;
  /** A session found with a full queue. */
  #full: EngineSession | null = null;

  constructor(host: SharedPicksHost, isFull: (member: EngineFilter) => boolean) {
    this.#host = host;
    this.#isFull = isFull;
  }

  /**
   * Picks the session that gets a message.
   *
   * @param members of the shared subscription, as far as their sessions are kept
   * @param message as `MailWriter.message` writes it
   * @returns null when it is none, or somebody else got the message; `full` then says whose queue had no room for it
   */
  pick(
    account: number,
    members: readonly EngineFilter[],
    subject: string,
    qos: number,
    share: string,
    message: Uint8Array,
  ): Recipient | null {
    this.#full = null;
    const first = Math.floor(this.#host.random() * members.length);
    const connected = this.#find(members, first, subject, qos, true);
    if (connected !== null) return connected;
    if (this.#host.sendToOthers(account, share, new MailReader(message).message())) {
      this.#full = null;
      return null;
    }
    return this.#find(members, first, subject, qos, false);
  }

  get full(): EngineSession | null {
    return this.#full;
  }

  #find(
    members: readonly EngineFilter[],
    first: number,
    subject: string,
    qos: number,
    isConnected: boolean,
  ): Recipient | null {
    for (let i = 0; i < members.length; i++) {
      const member = members[(first + i) % members.length]!;
      const { session, options } = member;
      if (!session.kept || session.cid >= 0 !== isConnected) continue;
      if (options.skipsDollar && subject.startsWith(DOLLAR)) continue;
      if (session.denied?.deniesDelivery(subject, options.share) === true) continue;
      if (this.#isFull(member)) {
        this.#full = session;
        continue;
      }
      const { retainAsPublished, subscriptionId } = options;
      const subscriptionIds = subscriptionId === 0 ? [] : [subscriptionId];
      return { session, qos: Math.min(qos, options.qos), retainAsPublished, subscriptionIds };
    }
    return null;
  }
}

/** Takes over what a session's user may not receive. @param filter `deliveryFilter` of the connection */
export function setDenied(session: EngineSession, filter: string): void {
  session.denied = filter === '' ? null : filterOf(filter);
}
