import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/shared/base/prng.ts';
import { EngineSession, PACKET_IDS } from '../../../../src/shared/mqtt/engine-session.ts';
import * as mail from '../../../../src/shared/mqtt/mail.ts';
import { PUBACK, PUBCOMP, PUBREC, PUBREL } from '../../../../src/shared/protocol/mqtt/packet-types.ts';
import { settle } from '../jetstream/store/harness.ts';
import { only, QUEUE_MAX_MSGS, Rig } from './engine-rig.ts';

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

test('taking over: what the connection before has acknowledged is done with, though heard later', () => {
  const rig = new Rig();
  const first = rig.connect('a');
  rig.subscribeTo(first, 'x', 2);
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  for (const [qos, payload] of [
    [1, 'one'],
    [2, 'two'],
    [1, 'three'],
  ] as const)
    rig.publish(publisher, 'x', payload, qos, 0);
  rig.acknowledge(first, PUBREC, 2);
  const second = rig.connect('a');
  rig.acknowledge(first, PUBACK, 1);
  rig.acknowledge(first, PUBCOMP, 2);
  rig.close(first);
  rig.commit();
  rig.close(second);
  const third = rig.connect('a');
  const said = rig.commit();
  expect(only(said, mail.MAIL_DELIVER, third)).toEqual([[3, 1, 2, 'three']]);
  expect(only(said, mail.MAIL_ANSWER, third)).toEqual([]);
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
