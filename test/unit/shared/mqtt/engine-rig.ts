import { expect } from 'vitest';
import { Prng } from '../../../../src/shared/base/prng.ts';
import type { Effects } from '../../../../src/shared/jetstream/effects.ts';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
import { MqttEngine } from '../../../../src/shared/mqtt/engine.ts';
import * as mail from '../../../../src/shared/mqtt/mail.ts';
import type { FilterOptions } from '../../../../src/shared/mqtt/session-filter.ts';
import { parseFilter } from '../../../../src/shared/protocol/mqtt/topic-filter.ts';
import { SimulatedDisk } from '../../../simulation/disk.ts';
import { open } from '../jetstream/store/harness.ts';

export const QUEUE_MAX_MSGS = 200;
const FOREVER = 0xffffffff;
const NO_HEADERS = new Uint8Array(0);

/** What the engine said to a connection. */
export interface Said {
  kind: number;
  cid: number;
  /** The record's numbers and texts in order, as far as the tests look at them. */
  fields: unknown[];
}

/** An engine on a disk that can crash; what it sends is seen once the store has kept what it promises. */
export class Rig implements Pick<Effects, 'send' | 'congested' | 'warn'> {
  readonly congested = false;
  readonly warnings: string[] = [];
  /** What the account may store, and what it is said to. */
  maxBytes = Infinity;
  countedBytes = 0;
  disk: SimulatedDisk;
  store: Store;
  engine: MqttEngine;
  readonly clock = { ms: 1_800_000_000_000, nanos: 0 };
  readonly random = new Prng(4711);
  /** The queue groups have members whose sessions aren't kept, and what those got. */
  hasOthers = false;
  readonly others: string[] = [];
  readonly published: { subject: string; payload: string }[] = [];
  #outgoing: { ticket: number; said: Said }[] = [];
  #said: Said[] = [];
  #cids = 100;

  constructor() {
    this.disk = new SimulatedDisk();
    this.store = open(this.disk);
    this.engine = this.#boot();
  }

  #boot(): MqttEngine {
    const engine = new MqttEngine({
      store: this.store,
      effects: this,
      clock: this.clock,
      queueMaxMsgs: QUEUE_MAX_MSGS,
      random: () => this.random.unit(),
      sendToOthers: (_account, share, { subject, payload }) => {
        if (!this.hasOthers) return false;
        this.others.push(`${share} ${subject} ${Buffer.from(payload)}`);
        return true;
      },
      quota: {
        allows: (_account, bytes) => this.countedBytes + bytes <= this.maxBytes,
        setBytes: (_account, bytes) => {
          this.countedBytes = bytes;
        },
      },
    });
    engine.setAccounts({ $G: 0, $MQTT: 1 });
    return engine;
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  send(
    account: string,
    subject: string,
    _reply: string,
    _headers: Uint8Array,
    payload: Uint8Array,
    ticket: number,
  ): void {
    if (account === '$G') {
      this.published.push({ subject, payload: Buffer.from(payload).toString() });
      return;
    }
    expect(subject).toBe('shard.0');
    for (const reader = mail.MailReader.ofBatch(payload); reader.next(); )
      this.#outgoing.push({ ticket, said: decode(reader) });
  }

  /** Commits and hands out what may leave. */
  commit(): Said[] {
    while (this.engine.hasMore) this.engine.advance();
    this.engine.flush();
    expect(this.store.commit(true)).toBeNull();
    for (const { ticket, said } of this.#outgoing) {
      expect(ticket).toBeLessThanOrEqual(this.store.syncedTicket);
      this.#said.push(said);
    }
    this.#outgoing = [];
    return this.#said.splice(0);
  }

  /** The machine crashes: what wasn't synced is lost or torn. */
  crash(seed: number): void {
    this.disk = this.disk.crashed(new Prng(seed));
    this.#outgoing = [];
    this.#said = [];
    this.store = open(this.disk);
    this.engine = this.#boot();
  }

  connect(
    clientId: string,
    { clean = false, expiry = FOREVER, window = 10, ackWaitMs = 0, denied = '' } = {},
  ): number {
    const cid = this.#cids++;
    const record = new mail.MailBatch().begin(mail.MAIL_CONNECT, cid).u32(0).u32(0).text(clientId);
    record
      .u8(clean ? 1 : 0)
      .u32(expiry)
      .u32(window)
      .u8(!clean || expiry > 0 ? 1 : 0)
      .u32(ackWaitMs)
      .text(denied);
    this.engine.receive(record.end().take());
    return cid;
  }

  close(cid: number, expiry = FOREVER): void {
    this.engine.receive(new mail.MailBatch().begin(mail.MAIL_CLOSE, cid).u32(expiry).u8(0).end().take());
  }

  subscribeTo(cid: number, filter: string, qos: number, subscriptionId = 0): void {
    const options: FilterOptions = {
      ...parseFilter(Buffer.from(filter), true)!,
      filter,
      qos,
      noLocal: false,
      retainAsPublished: false,
      subscriptionId,
    };
    const record = new mail.MailBatch().begin(mail.MAIL_SUBSCRIBE, cid).u32(1).bytes(Uint8Array.of(qos));
    this.engine.receive(record.u8(1).filter(options).end().take());
  }

  publish(
    cid: number,
    subject: string,
    payload: string,
    qos: number,
    packetId: number,
    retain = false,
    groups: { readonly [name: string]: 'kept' | 'served' } = {},
  ): void {
    const record = new mail.MailBatch()
      .begin(mail.MAIL_PUBLISH, cid)
      .u32(0)
      .u8(qos)
      .u8(retain ? 1 : 0)
      .u32(packetId)
      .u32(Object.keys(groups).length);
    for (const [name, who] of Object.entries(groups)) record.u8(who === 'served' ? 1 : 0).text(name);
    const message = { subject, reply: '', headers: NO_HEADERS, payload: Buffer.from(payload) };
    this.engine.receive(record.message(message).end().take());
  }

  /** The shard hands over a message of a shared subscription. */
  keep(cid: number, subject: string, payload: string, qos: number): void {
    const record = new mail.MailBatch().begin(mail.MAIL_KEEP, cid).u8(qos).u8(0).u32(0);
    const message = { subject, reply: '', headers: NO_HEADERS, payload: Buffer.from(payload) };
    this.engine.receive(record.message(message).end().take());
  }

  acknowledge(cid: number, type: number, packetId: number): void {
    this.engine.receive(
      new mail.MailBatch().begin(mail.MAIL_ACKNOWLEDGE, cid).u8(type).u32(packetId).u8(0).end().take(),
    );
  }
}

function decode(reader: mail.MailReader): Said {
  const [kind, cid] = [reader.u8(), reader.f64()];
  const fields: unknown[] = [];
  if (kind === mail.MAIL_CONNECTED) {
    fields.push(reader.u8(), reader.u8());
    for (let count = reader.u32(); count > 0; count--) fields.push(reader.u32());
    while (reader.hasMore) fields.push(reader.filter().filter);
  } else if (kind === mail.MAIL_ANSWER) fields.push(reader.u8(), reader.u32(), reader.u8());
  else if (kind === mail.MAIL_DELIVER) {
    const [packetId, qos, flags] = [reader.u32(), reader.u8(), reader.u8()];
    for (let count = reader.u32(); count > 0; count--) reader.u32();
    fields.push(packetId, qos, flags, Buffer.from(reader.message().payload).toString());
  } else if (kind === mail.MAIL_RETAINED) {
    reader.u8();
    reader.u32();
    while (reader.hasMore) fields.push(reader.u8(), Buffer.from(reader.message().payload).toString());
  } else if (kind === mail.MAIL_TAKEOVER) fields.push(reader.u8());
  return { kind, cid, fields };
}

/** Fields of the records of one kind, and to one connection. */
export const only = (said: Said[], kind: number, cid?: number): unknown[][] =>
  said
    .filter((one) => one.kind === kind && (cid === undefined || one.cid === cid))
    .map(({ fields }) => fields);
