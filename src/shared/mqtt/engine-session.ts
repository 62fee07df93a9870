import type { PermissionSet } from '../auth/permissions.ts';
import type { EngineAccount } from './engine-account.ts';
import type { MailMessage } from './mail.ts';
import { MailReader, MailWriter } from './mail.ts';
import type { FilterOptions } from './session-filter.ts';

/**
 * A session as the engine has it: what it subscribed to, what waits for it, and what of QoS 2 is under way.
 *
 * Each message that is queued for a session gets the session's next ordinal, and the ordinal is the packet identifier:
 * `ordinal mod PACKET_IDS + 1`. It is stored with the message, so a client that comes back after a crash finds the identifiers
 * it knows ([MQTT-4.4.0-1]) although nothing is written when a message is sent. Two messages under way can't have the same
 * one, because none is sent whose ordinal is PACKET_IDS or more beyond the oldest that waits.
 *
 * What is logged is the end of things: `done` removes an ordinal, `released` says that PUBREC came for it, `received`
 * and `completed` are the packet identifiers of the client's own QoS 2 PUBLISHes.
 */

export const PACKET_IDS = 0xffff;

export const LOG_DONE = 1;
export const LOG_RELEASED = 2;
export const LOG_RECEIVED = 3;
export const LOG_COMPLETED = 4;

export const QUEUED = 0;
export const SENT = 1;
export const RELEASED = 2;

/** A message that waits for a session. */
export interface QueueEntry {
  /** Sequence of the message in the account's stream. */
  readonly seq: number;
  readonly ordinal: number;
  readonly qos: number;
  readonly retain: boolean;
  /** RETAIN is what the publisher set. */
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
  /** When it, or its PUBREL, was sent last. Unix milliseconds. */
  sentMs: number;
  /** QUEUED, SENT or RELEASED. */
  state: number;
  /** It may have been sent before: DUP. */
  repeated: boolean;
}

/** The packet identifier of an entry. */
export function packetIdOf({ ordinal }: QueueEntry): number {
  return (ordinal % PACKET_IDS) + 1;
}

/** A subscription in the account's sublist. */
export class EngineFilter {
  /** Name of the shared subscription, or null. */
  readonly queue: string | null;
  readonly session: EngineSession;
  readonly subject: string;
  readonly options: FilterOptions;

  constructor(session: EngineSession, subject: string, options: FilterOptions) {
    this.session = session;
    this.queue = options.share;
    this.subject = subject;
    this.options = options;
  }
}

/** A will that waits for its delay. */
export interface DelayedWill {
  readonly dueMs: number;
  readonly message: MailMessage;
  readonly qos: number;
  readonly retain: boolean;
}

export class EngineSession {
  readonly account: EngineAccount;
  /** UTF-8 bytes, one character each. */
  readonly clientId: string;
  /** Sequence of its first record: never used again. 0 while nothing of it is stored. */
  number = 0;
  /** Sequence of its newest record. */
  recordSeq = 0;
  /** -1: not connected. */
  cid = -1;
  thread = -1;
  /** PUBLISHes of QoS 1 and 2 that may be under way. */
  window = 0;
  /** What isn't acknowledged for so long is sent again on the same connection; 0: on the next one alone. */
  ackWaitMs = 0;
  /** When to look for what to send again. Unix milliseconds. */
  ackDueMs = Infinity;
  expirySeconds = 0;
  /** Its messages are queued here; else its shard does what there is to do, and nothing outlives the connection. */
  kept = false;
  /** What its user may not receive, while it is or was connected in this run; null: nothing. */
  denied: PermissionSet | null = null;
  /** When a session without connection ends. */
  expiresAtMs = Infinity;
  will: DelayedWill | null = null;
  readonly filters = new Map<string, { options: FilterOptions; entries: EngineFilter[] }>();
  /** By ordinal, ascending. */
  readonly queue = new Map<number, QueueEntry>();
  /** Entries that aren't QUEUED. */
  inflight = 0;
  /** Everything below is SENT, RELEASED or gone. */
  nextToSend = 0;
  nextOrdinal = 0;
  readonly received = new Set<number>();
  #first = 0;

  constructor(account: EngineAccount, clientId: string) {
    this.account = account;
    this.clientId = clientId;
  }

  get logKey(): string {
    return String(this.number);
  }

  /** The oldest ordinal that waits; the next one to come when none does. */
  get firstOrdinal(): number {
    // Kept, since to find the first key of a Map whose first ones were deleted is a walk over all of those.
    while (this.#first < this.nextOrdinal && !this.queue.has(this.#first)) this.#first++;
    return this.#first;
  }

  /** Recovery found an entry: the oldest comes first. */
  restore(entry: QueueEntry): void {
    if (this.queue.size === 0) this.#first = entry.ordinal;
    this.queue.set(entry.ordinal, entry);
  }

  /** The entry under way that a packet identifier stands for. */
  entryOf(packetId: number): QueueEntry | undefined {
    const first = this.firstOrdinal;
    const offset = (((packetId - 1 - first) % PACKET_IDS) + PACKET_IDS) % PACKET_IDS;
    return this.queue.get(first + offset);
  }

  /** A change, as it is logged. */
  static logRecord(operation: number, value: number): Uint8Array {
    const bytes = new Uint8Array(9);
    bytes[0] = operation;
    new DataView(bytes.buffer).setFloat64(1, value, true);
    return bytes;
  }

  /** Everything that was logged, in short: what of the ordinals is done or released, what was received. */
  snapshot(): Uint8Array {
    const writer = new MailWriter().begin(1, this.nextOrdinal).f64(this.firstOrdinal);
    const done: number[] = [];
    const released: number[] = [];
    let expected = this.firstOrdinal;
    for (const { ordinal, state } of this.queue.values()) {
      for (; expected < ordinal; expected++) done.push(expected);
      expected = ordinal + 1;
      if (state === RELEASED) released.push(ordinal);
    }
    for (; expected < this.nextOrdinal; expected++) done.push(expected);
    for (const list of [done, released, [...this.received]]) {
      writer.u32(list.length);
      for (const value of list) writer.f64(value);
    }
    return writer.take();
  }

  /** The stored form: who it is and what it subscribed to. @param disconnectedAtMs 0: connected */
  record(disconnectedAtMs: number): Uint8Array {
    const writer = new MailWriter().begin(1, disconnectedAtMs).u32(this.expirySeconds).text(this.clientId);
    for (const { options } of this.filters.values()) writer.filter(options);
    return writer.take();
  }
}

/** What a session's log says: which ordinals need not be sent any more. */
export class SessionHistory {
  /** Everything below is done. */
  floor = 0;
  nextOrdinal = 0;
  readonly done = new Set<number>();
  readonly released = new Set<number>();
  readonly received = new Set<number>();

  constructor(snapshot: Uint8Array | null, records: readonly Uint8Array[]) {
    if (snapshot !== null) this.#load(new MailReader(snapshot));
    for (const record of records) {
      const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
      this.#apply(record[0]!, view.getFloat64(1, true));
    }
  }

  #load(reader: MailReader): void {
    reader.u8();
    this.nextOrdinal = reader.f64();
    this.floor = reader.f64();
    for (const set of [this.done, this.released, this.received]) {
      for (let count = reader.u32(); count > 0; count--) set.add(reader.f64());
    }
  }

  #apply(operation: number, value: number): void {
    if (operation === LOG_RECEIVED) this.received.add(value);
    else if (operation === LOG_COMPLETED) this.received.delete(value);
    else {
      (operation === LOG_DONE ? this.done : this.released).add(value);
      this.nextOrdinal = Math.max(this.nextOrdinal, value + 1);
    }
  }

  isDone(ordinal: number): boolean {
    return ordinal < this.floor || this.done.has(ordinal);
  }
}
