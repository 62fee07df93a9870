import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/shared/base/prng.ts';
import type { Effects } from '../../../../src/shared/jetstream/effects.ts';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
import { MqttEngine } from '../../../../src/shared/mqtt/engine.ts';
import { EngineSession, PACKET_IDS } from '../../../../src/shared/mqtt/engine-session.ts';
import * as mail from '../../../../src/shared/mqtt/mail.ts';
import type { FilterOptions } from '../../../../src/shared/mqtt/session-filter.ts';
import { PUBACK, PUBCOMP, PUBREC, PUBREL } from '../../../../src/shared/protocol/mqtt/packet-types.ts';
import { parseFilter } from '../../../../src/shared/protocol/mqtt/topic-filter.ts';
import { SimulatedDisk } from '../../../simulation/disk.ts';
import { open, settle } from '../jetstream/store/harness.ts';

const QUEUE_MAX_MSGS = 200;
const FOREVER = 0xffffffff;
const NO_HEADERS = new Uint8Array(0);

/** What the engine said to a connection. */
interface Said {
  kind: number;
  cid: number;
  /** The record's numbers and texts in order, as far as the tests look at them. */
  fields: unknown[];
}

/** An engine on a disk that can crash; what it sends is seen once the store has kept what it promises. */
class Rig implements Pick<Effects, 'send' | 'congested' | 'warn'> {
  readonly congested = false;
  readonly warnings: string[] = [];
  /** What the account may store, and what it is said to. */
  maxBytes = Infinity;
  countedBytes = 0;
  disk: SimulatedDisk;
  store: Store;
  engine: MqttEngine;
  readonly clock = { ms: 1_800_000_000_000, nanos: 0 };
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

  connect(clientId: string, { clean = false, expiry = FOREVER, window = 10, ackWaitMs = 0 } = {}): number {
    const cid = this.#cids++;
    const record = new mail.MailBatch().begin(mail.MAIL_CONNECT, cid).u32(0).u32(0).text(clientId);
    record
      .u8(clean ? 1 : 0)
      .u32(expiry)
      .u32(window)
      .u8(!clean || expiry > 0 ? 1 : 0)
      .u32(ackWaitMs);
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
  ): void {
    const record = new mail.MailBatch()
      .begin(mail.MAIL_PUBLISH, cid)
      .u32(0)
      .u8(qos)
      .u8(retain ? 1 : 0)
      .u32(packetId);
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

const only = (said: Said[], kind: number, cid?: number): unknown[][] =>
  said
    .filter((one) => one.kind === kind && (cid === undefined || one.cid === cid))
    .map(({ fields }) => fields);

test('a message nobody waits for is acknowledged and not stored', () => {
  const rig = new Rig();
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  rig.publish(publisher, 'a.b', 'x', 1, 7);
  expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 7, 0]]);
  expect(rig.store.streams()).toEqual([]);
});

test('a message goes when the last session has acknowledged it', () => {
  const rig = new Rig();
  const sessions = ['a', 'b'].map((id) => rig.connect(id));
  for (const cid of sessions) rig.subscribeTo(cid, 'x/#', 1);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  rig.commit();
  const stream = rig.store.streams()[0]!;
  const before = stream.messages;
  rig.publish(publisher, 'x', 'm', 1, 1);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([
    [1, 1, 0, 'm'],
    [1, 1, 0, 'm'],
  ]);
  rig.acknowledge(sessions[0]!, PUBACK, 1);
  expect(stream.messages).toBe(before + 1);
  rig.acknowledge(sessions[1]!, PUBACK, 1);
  expect(stream.messages).toBe(before);
});

test('overlapping filters: one copy, of the highest QoS', () => {
  const rig = new Rig();
  const cid = rig.connect('a');
  rig.subscribeTo(cid, 'x/+', 1, 1);
  rig.subscribeTo(cid, 'x/#', 2, 2);
  rig.publish(rig.connect('p'), 'x.y', 'm', 2, 1);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([[1, 2, 0, 'm']]);
});

test('the window bounds what is under way', () => {
  const rig = new Rig();
  const cid = rig.connect('a', { window: 3 });
  rig.subscribeTo(cid, 'x', 1);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  for (let i = 0; i < 100; i++) rig.publish(publisher, 'x', String(i), 1, 1);
  expect(only(rig.commit(), mail.MAIL_DELIVER).length).toBe(3);
  for (let i = 0; i < 97; i++) rig.acknowledge(cid, PUBACK, i + 1);
  const delivered = only(rig.commit(), mail.MAIL_DELIVER);
  expect(delivered.map(([id, , , payload]) => [id, payload])).toEqual(
    Array.from({ length: 97 }, (_, i) => [i + 4, String(i + 3)]),
  );
});

test('packet identifiers go round, and stand for the message under way', () => {
  const session = new EngineSession(null as never, 'a');
  const entry = (ordinal: number) => {
    const message = { seq: ordinal, qos: 1, retain: false, retainAsPublished: false, subscriptionIds: [] };
    session.restore({ ordinal, ...message, sentMs: 0, state: 1, repeated: false });
    session.nextOrdinal = ordinal + 1;
  };
  for (const ordinal of [PACKET_IDS - 2, PACKET_IDS - 1, PACKET_IDS, PACKET_IDS + 1]) entry(ordinal);
  const found = [PACKET_IDS - 1, PACKET_IDS, 1, 2, 3].map((packetId) => session.entryOf(packetId)?.ordinal);
  expect(found).toEqual([PACKET_IDS - 2, PACKET_IDS - 1, PACKET_IDS, PACKET_IDS + 1, undefined]);
  session.queue.delete(PACKET_IDS - 2);
  expect(session.firstOrdinal).toBe(PACKET_IDS - 1);
});

describe('ack_wait', () => {
  test('what is not acknowledged for so long is sent again, with DUP and its identifier, in order', () => {
    const rig = new Rig();
    const cid = rig.connect('a', { ackWaitMs: 1000 });
    rig.subscribeTo(cid, 'x', 2);
    const publisher = rig.connect('p', { clean: true, expiry: 0 });
    for (let i = 0; i < 3; i++) rig.publish(publisher, 'x', String(i), 2, i + 1);
    rig.commit();
    rig.acknowledge(cid, PUBREC, 2);
    rig.commit();
    rig.clock.ms += 999;
    rig.engine.tick();
    expect(rig.commit()).toEqual([]);
    rig.clock.ms += 1;
    expect(rig.engine.nextDueMs()).toBe(rig.clock.ms);
    rig.engine.tick();
    const said = rig.commit();
    expect(only(said, mail.MAIL_DELIVER, cid)).toEqual([
      [1, 2, 2, '0'],
      [3, 2, 2, '2'],
    ]);
    expect(only(said, mail.MAIL_ANSWER, cid)).toEqual([[PUBREL, 2, 0]]);
    for (const id of [1, 3]) rig.acknowledge(cid, PUBREC, id);
    for (const id of [1, 2, 3]) rig.acknowledge(cid, PUBCOMP, id);
    rig.commit();
    rig.clock.ms += 1000;
    rig.engine.tick();
    expect(rig.commit()).toEqual([]);
    expect(rig.engine.nextDueMs()).toBe(Infinity);
  });

  test('counts from the last time, and not for who left', () => {
    const rig = new Rig();
    const cid = rig.connect('a', { ackWaitMs: 1000 });
    rig.subscribeTo(cid, 'x', 1);
    const publisher = rig.connect('p', { clean: true, expiry: 0 });
    rig.publish(publisher, 'x', 'early', 1, 1);
    rig.clock.ms += 600;
    rig.publish(publisher, 'x', 'late', 1, 1);
    rig.commit();
    const repeated = (afterMs: number) => {
      rig.clock.ms += afterMs;
      rig.engine.tick();
      return only(rig.commit(), mail.MAIL_DELIVER, cid).map(([, , , payload]) => payload);
    };
    expect([repeated(400), repeated(600), repeated(400)]).toEqual([['early'], ['late'], ['early']]);
    rig.close(cid);
    expect(repeated(5000)).toEqual([]);
  });

  test('0: nothing is sent again on the same connection [MQTT-4.4.0-1]', () => {
    const rig = new Rig();
    const cid = rig.connect('a');
    rig.subscribeTo(cid, 'x', 1);
    rig.publish(rig.connect('p'), 'x', 'm', 1, 1);
    rig.commit();
    rig.clock.ms += 1_000_000;
    rig.engine.tick();
    expect(rig.commit()).toEqual([]);
  });
});

test('[MQTT-4.8.2-4] a message of a shared subscription is the session’s, over a crash too', () => {
  const rig = new Rig();
  const cid = rig.connect('a');
  rig.subscribeTo(cid, '$share/g/x', 2);
  rig.publish(rig.connect('p'), 'x', 'not by itself', 1, 1);
  rig.keep(cid, 'x', 'chosen', 2);
  expect(only(rig.commit(), mail.MAIL_DELIVER, cid)).toEqual([[1, 2, 0, 'chosen']]);
  rig.crash(1);
  const again = rig.connect('a');
  expect(only(rig.commit(), mail.MAIL_DELIVER, again)).toEqual([[1, 2, 2, 'chosen']]);
});

test('what a connection is given of a shared subscription while another takes its session is the session’s', () => {
  const rig = new Rig();
  const first = rig.connect('a');
  rig.subscribeTo(first, '$share/g/x', 1);
  const second = rig.connect('a');
  rig.keep(first, 'x', 'late', 1);
  rig.close(first);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([[1, 1, 0, 'late']]);
  rig.keep(first, 'x', 'closed', 1);
  expect(rig.commit()).toEqual([]);
  // A session that ended has nothing any more.
  const clean = rig.connect('a', { clean: true, expiry: 0 });
  rig.keep(second, 'x', 'ended', 1);
  rig.close(second);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([]);
  rig.close(clean, 0);
});

describe('taking over', () => {
  test('the connection before is told, and the next one has the session once it is closed', () => {
    const rig = new Rig();
    const first = rig.connect('a');
    rig.subscribeTo(first, 'x', 1);
    rig.commit();
    const second = rig.connect('a');
    rig.publish(rig.connect('p'), 'x', 'm', 1, 1);
    const said = rig.commit();
    expect(only(said, mail.MAIL_TAKEOVER, first)).toEqual([[0]]);
    expect([...only(said, mail.MAIL_CONNECTED, second), ...only(said, mail.MAIL_DELIVER)]).toEqual([]);
    rig.close(first);
    const then = rig.commit();
    expect(only(then, mail.MAIL_CONNECTED, second)).toEqual([[0, 1, 'x']]);
    expect(only(then, mail.MAIL_DELIVER, second)).toEqual([[1, 1, 0, 'm']]);
  });

  test('what came on the connection before counts, though it is seen behind the CONNECT', () => {
    const rig = new Rig();
    const first = rig.connect('a');
    rig.subscribeTo(first, 'x', 2);
    const publisher = rig.connect('p', { clean: true, expiry: 0 });
    for (const payload of ['one', 'two', 'three']) rig.publish(publisher, 'x', payload, 2, 1);
    rig.commit();
    rig.acknowledge(first, PUBREC, 2);
    rig.commit();
    const second = rig.connect('a');
    rig.acknowledge(first, PUBREC, 1);
    rig.acknowledge(first, PUBCOMP, 2);
    rig.publish(first, 'y', 'z', 2, 9);
    rig.close(first);
    const said = rig.commit();
    expect(only(said, mail.MAIL_CONNECTED, second)).toEqual([[0, 1, 9, 'x']]);
    expect(only(said, mail.MAIL_ANSWER, second)).toEqual([[PUBREL, 1, 0]]);
    expect(only(said, mail.MAIL_DELIVER, second)).toEqual([[3, 2, 2, 'three']]);
  });

  test('of several that come meanwhile the last one has it', () => {
    const rig = new Rig();
    const first = rig.connect('a');
    const [second, third] = [rig.connect('a'), rig.connect('a')];
    const said = rig.commit();
    expect(said.filter(({ kind }) => kind === mail.MAIL_TAKEOVER).map(({ cid }) => cid)).toEqual([
      first,
      second,
    ]);
    rig.close(second);
    expect(rig.commit()).toEqual([]);
    rig.close(first);
    expect(rig.commit().map(({ kind, cid }) => [kind, cid])).toEqual([[mail.MAIL_CONNECTED, third]]);
  });

  test('one that leaves before it has it is forgotten', () => {
    const rig = new Rig();
    const first = rig.connect('a');
    rig.close(rig.connect('a'));
    rig.close(first);
    expect(only(rig.commit(), mail.MAIL_CONNECTED)).toEqual([[0, 0]]);
    const third = rig.connect('a');
    expect(only(rig.commit(), mail.MAIL_CONNECTED, third)).toEqual([[0, 1]]);
  });

  test('a clean start has a session of its own', () => {
    const rig = new Rig();
    const first = rig.connect('a');
    rig.subscribeTo(first, 'x', 1);
    const second = rig.connect('a', { clean: true });
    expect(only(rig.commit(), mail.MAIL_TAKEOVER, first)).toEqual([[1]]);
    rig.close(first);
    expect(only(rig.commit(), mail.MAIL_CONNECTED, second)).toEqual([[0, 0]]);
  });
});

test('a thread that died: its clients may come back', () => {
  const rig = new Rig();
  rig.subscribeTo(rig.connect('a'), 'x', 1);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  rig.engine.threadLost(0);
  rig.publish(publisher, 'x', 'm', 1, 0);
  rig.commit();
  const back = rig.connect('a');
  expect(only(rig.commit(), mail.MAIL_DELIVER, back)).toEqual([[1, 1, 0, 'm']]);
});

test('a thread that died has nobody who waits for a session', () => {
  const rig = new Rig();
  rig.connect('a');
  const waiting = rig.connect('a');
  rig.engine.threadLost(0);
  expect(only(rig.commit(), mail.MAIL_CONNECTED, waiting)).toEqual([]);
});

test('sessions end when their time is over, and only then', () => {
  const rig = new Rig();
  rig.close(rig.connect('a', { expiry: 10 }), 10);
  rig.clock.ms += 9_000;
  rig.engine.tick();
  rig.commit();
  rig.close(rig.connect('a', { expiry: 10 }), 10);
  expect(only(rig.commit(), mail.MAIL_CONNECTED)).toEqual([[0, 1]]);
  rig.clock.ms += 10_000;
  expect(rig.engine.nextDueMs()).toBeLessThanOrEqual(rig.clock.ms);
  rig.engine.tick();
  expect(rig.store.streams()[0]!.messages).toBe(0);
  rig.connect('a');
  expect(only(rig.commit(), mail.MAIL_CONNECTED)).toEqual([[0, 0]]);
});

describe('after a crash', () => {
  test('what was acknowledged is there, whatever the crash tears', () => {
    for (let seed = 1; seed <= 60; seed++) survives(seed);
  });

  /** Random work, a crash between two commits, and a look at what came back. */
  function survives(seed: number): void {
    const rig = new Rig();
    const random = new Prng(seed);
    let cid = rig.connect('a', { window: 5 });
    rig.subscribeTo(cid, 'x/#', 2);
    const publisher = rig.connect('p');
    // Somebody who is away keeps every message alive: what the other one has done must be known all the same.
    const away = rig.connect('b');
    rig.subscribeTo(away, 'x/#', 1);
    rig.close(away);
    rig.commit();
    const accepted: string[] = [];
    const finished = new Set<string>();
    const underWay = new Map<number, { payload: string; released: boolean; qos: number }>();
    let sent = 0;
    for (let round = 0; round < 40; round++) {
      const batch: string[] = [];
      // Enough for checkpoints in between.
      rig.publish(publisher, 'filler', 'f'.repeat(2000), 1, 1, true);
      for (let i = random.below(4); i > 0; i--) {
        batch.push(String(sent));
        rig.publish(publisher, 'x.y', String(sent++), 1 + random.below(2), (sent % 60_000) + 1);
      }
      const acknowledged: { packetId: number; done: boolean }[] = [];
      for (const [packetId, { qos, released }] of underWay) {
        if (random.below(2) === 0) continue;
        rig.acknowledge(cid, qos === 1 ? PUBACK : released ? PUBCOMP : PUBREC, packetId);
        acknowledged.push({ packetId, done: qos === 1 || released });
      }
      if (round === 25) {
        rig.crash(seed * 31);
        break;
      }
      const said = rig.commit();
      if (random.below(3) === 0) settle(rig.store, rig.clock.ms);
      accepted.push(...batch);
      for (const { packetId, done } of acknowledged) {
        const entry = underWay.get(packetId)!;
        if (done) {
          finished.add(entry.payload);
          underWay.delete(packetId);
        } else entry.released = true;
      }
      for (const [packetId, qos, , payload] of only(said, mail.MAIL_DELIVER, cid))
        underWay.set(packetId as number, { payload: payload as string, released: false, qos: qos as number });
    }
    cid = rig.connect('a', { window: 1000 });
    const back = rig.commit();
    const delivered = only(back, mail.MAIL_DELIVER, cid);
    const payloads = delivered.map(([, , , payload]) => payload as string);
    // PUBREC of QoS 2 was promised to the client: never a PUBLISH again, but a PUBREL.
    const released = [...underWay].filter(([, entry]) => entry.released);
    const promised = only(back, mail.MAIL_ANSWER, cid).map(([, packetId]) => packetId);
    for (const [packetId, entry] of released) {
      expect(payloads, `seed ${seed}`).not.toContain(entry.payload);
      if (!promised.includes(packetId)) finished.add(entry.payload);
    }
    const waiting = accepted.filter((payload) => !finished.has(payload));
    const unreleased = waiting.filter((payload) => !released.some(([, entry]) => entry.payload === payload));
    // What was acknowledged to the publisher and not by the subscriber comes again; the acknowledgements of the last
    // moment may or may not have been kept.
    const lastMoment = new Set([...underWay.values()].map(({ payload }) => payload));
    for (const payload of unreleased) {
      if (!lastMoment.has(payload)) expect(payloads, `seed ${seed}`).toContain(payload);
    }
    for (const payload of finished) expect(payloads, `seed ${seed}`).not.toContain(payload);
    expect(
      [...payloads].sort((a, b) => Number(a) - Number(b)),
      `seed ${seed}`,
    ).toEqual(payloads);
    // [MQTT-4.4.0-1]: the identifiers the client knows.
    for (const [packetId, entry] of underWay) {
      const again = delivered.find(([, , , payload]) => payload === entry.payload);
      if (again !== undefined) expect(again[0], `seed ${seed}`).toBe(packetId);
    }
  }

  test('received QoS 2 identifiers, retained messages and subscriptions', () => {
    const rig = new Rig();
    const publisher = rig.connect('p');
    rig.subscribeTo(publisher, 'own/#', 1);
    rig.publish(publisher, 'r.a', 'old', 0, 0, true);
    rig.publish(publisher, 'r.a', 'kept', 2, 5, true);
    rig.publish(publisher, 'r.b', 'gone', 1, 6, true);
    rig.publish(publisher, 'r.b', '', 1, 7, true);
    rig.publish(publisher, 'x', 'done', 2, 8);
    rig.acknowledge(publisher, PUBREL, 8);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([
      [PUBREC, 5, 0],
      [PUBACK, 6, 0],
      [PUBACK, 7, 0],
      [PUBREC, 8, 0],
      [PUBCOMP, 8, 0],
    ]);
    rig.crash(1);
    const back = rig.connect('p');
    rig.subscribeTo(back, 'r/#', 0);
    const said = rig.commit();
    expect(only(said, mail.MAIL_CONNECTED)).toEqual([[0, 1, 5, 'own/#']]);
    expect(only(said, mail.MAIL_RETAINED)).toEqual([[0, 'kept']]);
  });
});

test('what an account may store bounds sessions, queued and retained messages', () => {
  const rig = new Rig();
  const subscriber = rig.connect('a');
  rig.subscribeTo(subscriber, 'x', 1);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  rig.commit();
  expect(rig.countedBytes).toBeGreaterThan(0);
  rig.maxBytes = rig.countedBytes + 1000;
  rig.publish(publisher, 'x', 'y'.repeat(500), 1, 1);
  rig.publish(publisher, 'x', 'y'.repeat(500), 1, 2);
  rig.publish(publisher, 'r', 'y'.repeat(500), 1, 3, true);
  expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([
    [PUBACK, 1, 0],
    [PUBACK, 2, 0x97],
    [PUBACK, 3, 0x97],
  ]);
  rig.maxBytes = rig.countedBytes;
  rig.connect('b');
  expect(only(rig.commit(), mail.MAIL_CONNECTED)).toEqual([[0x88, 0]]);
  rig.acknowledge(subscriber, PUBACK, 1);
  rig.commit();
  rig.publish(publisher, 'r', 'y'.repeat(100), 1, 4, true);
  expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 4, 0]]);
});

test('retained messages come in portions, those of later are not among them', () => {
  const rig = new Rig();
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  for (let i = 0; i < 300; i++) rig.publish(publisher, `r.${i}`, 'y'.repeat(1000), 0, 0, true);
  const reader = rig.connect('a', { clean: true, expiry: 0 });
  rig.subscribeTo(reader, 'r/#', 0);
  rig.engine.advance();
  rig.publish(publisher, 'r.299', 'new', 0, 0, true);
  expect(rig.engine.hasMore).toBe(true);
  const received = only(rig.commit(), mail.MAIL_RETAINED, reader).flat();
  expect(received.filter((field) => typeof field === 'string').length).toBe(299);
  expect(received).not.toContain('new');
  rig.subscribeTo(reader, 'r/#', 0);
  rig.engine.advance();
  rig.close(reader, 0);
  expect(rig.commit().length).toBeGreaterThan(0);
  expect(rig.engine.hasMore).toBe(false);
});

test('a full queue takes no more, and the log is told once a minute', () => {
  const rig = new Rig();
  const subscriber = rig.connect('a');
  rig.subscribeTo(subscriber, 'x', 1);
  rig.close(subscriber);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  for (let i = 0; i < QUEUE_MAX_MSGS + 5; i++) rig.publish(publisher, 'x', String(i), 1, i + 1);
  expect(only(rig.commit(), mail.MAIL_ANSWER).at(-1)).toEqual([PUBACK, QUEUE_MAX_MSGS + 5, 0]);
  expect(rig.warnings).toEqual([expect.stringContaining('queue of session "a" in account "$G" is full')]);
  rig.clock.ms += 60_000;
  rig.publish(publisher, 'x', 'late', 1, 1);
  expect(rig.warnings.length).toBe(2);
  expect(rig.warnings[1]).toContain('so far: 6');
  rig.connect('a', { window: 1000 });
  expect(only(rig.commit(), mail.MAIL_DELIVER).length).toBe(QUEUE_MAX_MSGS);
});
