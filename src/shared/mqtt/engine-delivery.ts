import { EMPTY_BYTES } from '../jetstream/effects.ts';
import type { Store } from '../jetstream/store/contract.ts';
import type { Clock } from '../jetstream/time.ts';
import { PUBREL } from '../protocol/mqtt/packet-types.ts';
import { REASON } from '../protocol/mqtt/reason-codes.ts';
import type { EngineOutbox } from './engine-outbox.ts';
import {
  type EngineSession,
  LOG_DONE,
  PACKET_IDS,
  packetIdOf,
  QUEUED,
  type QueueEntry,
  RELEASED,
  SENT,
} from './engine-session.ts';
import { MAIL_DELIVER } from './mail.ts';

/** What sessions are sent of their queues: the first time, when a client is back, and after `ack_wait`. */
export class EngineDelivery {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #outbox: EngineOutbox;
  readonly #time: (session: EngineSession) => void;
  #freshSeq = -1;
  #fresh: Uint8Array = EMPTY_BYTES;

  /** @param time notes that a session has something due */
  constructor(
    { store, clock }: { readonly store: Store; readonly clock: Clock },
    outbox: EngineOutbox,
    time: (session: EngineSession) => void,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#outbox = outbox;
    this.#time = time;
  }

  /** The message that was stored last, in the form it travels: it need not be read again. -1: none */
  takeFresh(seq: number, message: Uint8Array): void {
    this.#freshSeq = seq;
    this.#fresh = message;
  }

  /** A client is back: PUBRELs go again, then everything that isn't acknowledged, in order. [MQTT-4.4.0-1], [MQTT-4.6.0-1] */
  resume(session: EngineSession): void {
    session.nextToSend = session.firstOrdinal;
    session.inflight = 0;
    for (const entry of session.queue.values()) {
      if (entry.state === RELEASED) {
        session.inflight++;
        this.#outbox.answer(session, PUBREL, packetIdOf(entry), REASON.success, this.#store.ticket);
        this.awaitAck(session, entry);
      } else if (entry.state === SENT) {
        entry.state = QUEUED;
        entry.repeated = true;
      }
    }
    this.pump(session);
  }

  /** Sends what the window has room for. */
  pump(session: EngineSession): void {
    const first = session.firstOrdinal;
    while (session.inflight < session.window && session.nextToSend < session.nextOrdinal) {
      if (session.nextToSend - first >= PACKET_IDS) return;
      const entry = session.queue.get(session.nextToSend++);
      if (entry === undefined || entry.state !== QUEUED) continue;
      const message = entry.seq === this.#freshSeq ? this.#fresh : session.account.load(entry.seq);
      if (message === null) {
        if (session.account.isUnreadable) {
          // The disk fails. It is tried again when the session does anything.
          session.nextToSend--;
          return;
        }
        this.finish(session, entry);
        continue;
      }
      entry.state = SENT;
      session.inflight++;
      this.#deliver(session, entry, message);
    }
  }

  #deliver(session: EngineSession, entry: QueueEntry, message: Uint8Array): void {
    const flags = (entry.retain ? 1 : 0) | (entry.repeated ? 2 : 0) | (entry.retainAsPublished ? 4 : 0);
    const records = this.#outbox.begin(session, MAIL_DELIVER, this.#store.ticket);
    records.u32(packetIdOf(entry)).u8(entry.qos).u8(flags).u32(entry.subscriptionIds.length);
    for (const id of entry.subscriptionIds) records.u32(id);
    records.raw(message);
    this.awaitAck(session, entry);
  }

  /** Notes when something was sent that the client has to acknowledge in time. */
  awaitAck(session: EngineSession, entry: QueueEntry): void {
    if (session.ackWaitMs === 0) return;
    const { ms } = this.#clock;
    entry.sentMs = ms;
    if (session.ackDueMs < Infinity) return;
    session.ackDueMs = ms + session.ackWaitMs;
    this.#time(session);
  }

  /** Sends again what has not been acknowledged for `ack_wait`, in order and with its identifier (mqtt.md §7). */
  repeat(session: EngineSession, ms: number): void {
    session.ackDueMs = Infinity;
    let left = session.inflight;
    let oldestMs = Infinity;
    for (const entry of session.queue.values()) {
      if (left === 0) break;
      if (entry.state === QUEUED) continue;
      left--;
      if (entry.sentMs + session.ackWaitMs <= ms) this.#sendAgain(session, entry);
      oldestMs = Math.min(oldestMs, entry.sentMs);
    }
    session.ackDueMs = oldestMs + session.ackWaitMs;
  }

  #sendAgain(session: EngineSession, entry: QueueEntry): void {
    entry.sentMs = this.#clock.ms;
    if (entry.state === RELEASED) {
      this.#outbox.answer(session, PUBREL, packetIdOf(entry), REASON.success, this.#store.ticket);
      return;
    }
    const message = session.account.load(entry.seq);
    entry.repeated = true;
    if (message !== null) this.#deliver(session, entry, message);
  }

  finish(session: EngineSession, entry: QueueEntry): void {
    // Removing the message says the same. An ordinal that nothing tells of any more may be given again.
    if (!session.account.isLastFor(entry.seq)) session.account.log(session, LOG_DONE, entry.ordinal);
    session.account.finish(session, entry);
  }
}
