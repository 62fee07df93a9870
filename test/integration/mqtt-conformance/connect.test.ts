/** Clauses 3.1 and 3.2 without wills: CONNECT, CONNACK, and the sessions they begin. */
import type { Packet } from 'mqtt-packet';
import { describe, expect } from 'vitest';
import type { RawMqtt } from '../../support/mqtt.ts';
import {
  Broker,
  connectPacket,
  disconnect,
  field,
  fresh,
  keptSession,
  type Level,
  none,
  packet,
  payloads,
  properties,
  publish,
  publishes,
  settled,
  statement,
  subscribe,
} from '../../support/mqtt-conformance.ts';

const broker = Broker.forTests();

/** A refused CONNECT is answered with these codes, or not at all where 3.1.1 wants it so. */
function refusal(level: Level, reason: number, code: number | null): unknown[] {
  if (level === 5) return [{ cmd: 'connack', reasonCode: reason, sessionPresent: false }];
  return code === null ? [] : [{ cmd: 'connack', returnCode: code, sessionPresent: false }];
}

async function present(raw: RawMqtt): Promise<boolean> {
  return (await raw.until('connack')).sessionPresent;
}

describe('the packet', () => {
  statement({ v3: '3.1.0-1', v5: '3.1.0-1' }, 'is the first', async (level) => {
    for (const hex of ['c000', packet(0x30, field('a'), none(level)), 'e000'])
      expect(await broker.rejected(level, hex)).toEqual([]);
  });

  statement({ v3: '3.1.0-2', v5: '3.1.0-2' }, 'comes once', async (level) => {
    const answers = await broker.ended(level, connectPacket(level, { payload: field('b') }));
    expect(answers).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x82 }] : []);
  });

  statement({ v3: '3.1.2-1', v5: '3.1.2-1' }, 'of another protocol is refused', async (level) => {
    for (const name of ['MQTU', 'mqtt', 'MQIsdp', 'MQTTT', ''])
      expect(await broker.rejected(level, connectPacket(level, { name, payload: field('a') }))).toEqual([]);
  });

  statement({ v3: '3.1.2-2', v5: '3.1.2-2' }, 'of another version is refused with a code', async () => {
    for (const other of [0, 3, 6, 0x84]) {
      const hex = connectPacket(4, { level: other, payload: field('a') });
      expect(await broker.rejected(4, hex)).toMatchObject([{ cmd: 'connack', returnCode: 1 }]);
    }
  });

  statement({ v3: '3.1.2-3', v5: '3.1.2-3' }, 'has its reserved flag 0', async (level) => {
    const answers = await broker.rejected(level, connectPacket(level, { flags: 3, payload: field('a') }));
    expect(answers).toMatchObject(refusal(level, 0x81, null));
  });

  statement({ v3: '3.1.4-1', v5: '3.1.4-1' }, 'that is malformed ends the connection', async (level) => {
    const broken: [string, string][] = [
      ['a field beyond the end', connectPacket(level, { payload: '0009 61' })],
      ['more than its content', connectPacket(level, { payload: `${field('a')}00` })],
      ['no payload', connectPacket(level, { payload: '' })],
    ];
    for (const [text, hex] of broken)
      expect(await broker.rejected(level, hex), text).toMatchObject(refusal(level, 0x81, null));
    expect(await broker.rejected(level, '10ffffffff7f')).toEqual([]);
  });

  statement(
    { v3: '3.1.3-1', v5: '3.1.3-1' },
    'has id, will, user name and password in this order',
    async (level) => {
      const [watcher, name] = [await broker.connected(level), fresh()];
      await subscribe(watcher, name);
      const will = none(level) + field(name) + field('farewell');
      const raw = await broker.open(level);
      raw.write(
        connectPacket(level, {
          flags: 0xc6,
          payload: field(fresh()) + will + field('limited') + field('pw'),
        }),
      );
      await raw.until('connack');
      publish(raw, 'deny/x', 'x', { qos: 1, messageId: 1 });
      // Whoever is `limited` may not.
      if (level === 5) expect((await raw.until('puback')).reasonCode).toBe(0x87);
      raw.destroy();
      expect((await watcher.until('publish')).payload.toString()).toBe('farewell');
    },
  );

  statement(
    { v3: '3.1.2-18 3.1.2-20', v5: '3.1.2-16 3.1.2-18' },
    'has no user name and password that its flags don’t tell of',
    async (level) => {
      for (const flags of [0x02, 0x82]) {
        const more = field('guest') + (flags === 0x82 ? field('pw') : '');
        const answers = await broker.rejected(
          level,
          connectPacket(level, { flags, payload: field('a') + more }),
        );
        expect(answers).toMatchObject(refusal(level, 0x81, null));
      }
    },
  );

  statement(
    { v3: '3.1.2-19 3.1.2-21', v5: '3.1.2-17 3.1.2-19' },
    'has those that its flags tell of',
    async (level) => {
      for (const [flags, payload] of [
        [0x82, field('a')],
        [0xc2, field('a') + field('guest')],
      ] as const) {
        const answers = await broker.rejected(level, connectPacket(level, { flags, payload }));
        expect(answers).toMatchObject(refusal(level, 0x81, null));
      }
    },
  );

  statement({ v3: '3.1.2-22' }, 'has no password without user name', async (level) => {
    const hex = connectPacket(level, { flags: 0x42, payload: field('a') + field('pw') });
    expect(await broker.rejected(level, hex)).toEqual([]);
  });

  statement({ v3: '3.1.3-11', v5: '3.1.3-12' }, 'has a user name of UTF-8', async (level) => {
    for (const user of [
      [0xc0, 0xaf],
      [0x61, 0],
    ]) {
      const hex = connectPacket(level, { flags: 0x82, payload: field('a') + field(user) });
      expect(await broker.rejected(level, hex)).toMatchObject(refusal(level, 0x81, null));
    }
  });
});

describe('the client identifier', () => {
  statement({ v3: '3.1.3-2', v5: '3.1.3-2' }, 'tells sessions apart', async (level) => {
    const [one, other, name] = [fresh(), fresh(), fresh()];
    const first = await broker.kept(level, one);
    await subscribe(first, name, { qos: 1 });
    await disconnect(first);
    expect(await present(await broker.kept(level, other))).toBe(false);
    expect(await present(await broker.kept(level, one))).toBe(true);
  });

  statement({ v3: '3.1.3-3', v5: '3.1.3-3' }, 'is there, and first', async (level) => {
    const hex = connectPacket(level, { payload: '' });
    expect(await broker.rejected(level, hex)).toMatchObject(refusal(level, 0x81, null));
  });

  statement({ v3: '3.1.3-4', v5: '3.1.3-4' }, 'is UTF-8', async (level) => {
    const hex = connectPacket(level, { payload: field([0xed, 0xa0, 0x80]) });
    expect(await broker.rejected(level, hex)).toMatchObject(refusal(level, 0x85, 2));
  });

  statement({ v3: '3.1.3-5', v5: '3.1.3-5' }, 'may be 1 to 23 letters and digits', async (level) => {
    for (const id of ['abcdefghijklmnopqrstuvw', 'xyzABCDEFGHIJKLMNOPQRST', 'UVWXYZ0123456789', '7'])
      expect((await (await broker.connected(level, { clientId: id })).until('connack')).cmd).toBe('connack');
  });

  statement(
    { v3: '3.1.3-6', v5: '3.1.3-6 3.1.3-7 3.2.2-16' },
    'that is empty is replaced by a new one',
    async (level) => {
      const [one, other] = [await broker.connected(level), await broker.connected(level)];
      // Neither took the other's place.
      expect(await settled(one)).toEqual([]);
      expect(await settled(other)).toEqual([]);
      if (level === 4) return;
      const ids = [];
      for (const raw of [one, other])
        ids.push((await raw.until('connack')).properties?.assignedClientIdentifier);
      expect(new Set(ids).size).toBe(2);
      for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z]{22}$/);
      // As if the client had named itself so.
      const name = fresh();
      const kept = await broker.open(5);
      kept.write(
        connectPacket(5, { flags: 0, properties: properties(5, '11 000003e8'), payload: field('') }),
      );
      await kept.until('connack');
      await subscribe(kept, name, { qos: 1 });
      const clientId = (await kept.until('connack')).properties!.assignedClientIdentifier!;
      kept.destroy();
      expect(await present(await broker.kept(5, clientId))).toBe(true);
    },
  );

  statement({ v3: '3.1.3-7 3.1.3-8' }, 'that is empty needs a clean session', async (level) => {
    const hex = connectPacket(level, { flags: 0, payload: field('') });
    expect(await broker.rejected(level, hex)).toMatchObject([{ cmd: 'connack', returnCode: 2 }]);
  });

  statement({ v3: '3.1.3-9', v5: '3.1.3-8' }, 'that is refused has its code, and the end', async (level) => {
    const hex = connectPacket(level, { payload: field([0x61, 0, 0x62]) });
    expect(await broker.rejected(level, hex)).toMatchObject(refusal(level, 0x85, 2));
  });
});

describe('sessions', () => {
  statement(
    { v3: '3.1.2-6 3.1.4-3 3.2.2-1', v5: '3.1.2-4 3.1.4-4 3.2.2-2' },
    'a clean start discards what there was',
    async (level) => {
      const [id, name] = [fresh(), fresh()];
      const first = await broker.kept(level, id);
      await subscribe(first, name, { qos: 1 });
      await disconnect(first);
      await broker.stored(name, 'missed');
      const clean = await broker.connected(level, { ...keptSession(level, id), clean: true });
      expect(await present(clean)).toBe(false);
      publish(clean, name, 'not subscribed');
      expect(await settled(clean)).toEqual([]);
      await disconnect(clean);
      if (level === 5) return;
      // A clean session of 3.1.1 leaves nothing either.
      expect(await present(await broker.kept(level, id))).toBe(false);
    },
  );

  statement(
    { v3: '3.1.2-4 3.1.2-5 3.2.2-2', v5: '3.1.2-5 3.1.2-23 3.2.2-3' },
    'one that is there is resumed, with what it missed',
    async (level) => {
      const [id, name] = [fresh(), fresh()];
      const first = await broker.kept(level, id);
      await subscribe(first, name, { qos: 2 });
      first.destroy();
      await broker.stored(name, 'one', { qos: 1 });
      const publisher = await broker.connected(level);
      publish(publisher, name, 'two', { qos: 2, messageId: 1 });
      await publisher.until('pubrec');
      const second = await broker.kept(level, id);
      expect(await present(second)).toBe(true);
      await second.until('publish', 2);
      expect(publishes(second).map(({ payload, qos }) => [String(payload), qos])).toEqual([
        ['one', 1],
        ['two', 2],
      ]);
    },
  );

  statement({ v3: '3.2.2-3', v5: '3.1.2-6' }, 'one that isn’t there is made', async (level) => {
    const [id, name] = [fresh(), fresh()];
    const first = await broker.kept(level, id);
    expect(await first.until('connack')).toMatchObject(
      level === 5 ? { sessionPresent: false, reasonCode: 0 } : { sessionPresent: false, returnCode: 0 },
    );
    await subscribe(first, name, { qos: 1 });
    await disconnect(first);
    expect(await present(await broker.kept(level, id))).toBe(true);
  });

  statement({ v3: '3.1.2-7' }, 'retained messages are none of theirs', async (level) => {
    const name = fresh();
    const raw = await broker.connected(level);
    publish(raw, name, 'stays', { qos: 1, messageId: 1, retain: true });
    await raw.until('puback');
    await disconnect(raw);
    expect(await broker.retained(level, name)).toEqual(['stays']);
  });

  statement(
    { v3: '3.1.4-2', v5: '3.1.4-3' },
    'the client before has to go, on whatever shard',
    async (level) => {
      for (let i = 0; i < 4; i++) {
        const clientId = fresh();
        const old = await broker.connected(level, { clientId });
        const young = await broker.connected(level, { clientId });
        const answers = (await old.untilClosed()).slice(1);
        expect(answers).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x8e }] : []);
        expect(await settled(young)).toEqual([]);
      }
    },
  );
});

describe('CONNACK', () => {
  statement(
    { v3: '3.1.4-4 3.2.0-1', v5: '3.1.4-5 3.2.0-1 3.2.0-2' },
    'comes first, says 0, and comes once',
    async (level) => {
      const raw = await broker.open(level);
      raw.connect();
      raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: fresh(), qos: 1 }] });
      raw.send({ cmd: 'pingreq' });
      await raw.until('pingresp');
      await raw.until('suback');
      expect(raw.packets[0]).toMatchObject(level === 5 ? { reasonCode: 0 } : { returnCode: 0 });
      expect(raw.packets.map(({ cmd }) => cmd).toSorted()).toEqual(['connack', 'pingresp', 'suback']);
      expect(raw.packets[0]?.cmd).toBe('connack');
    },
  );

  statement({ v5: '3.2.2-1' }, 'has its reserved flags 0', async () => {
    const id = fresh();
    const first = await broker.kept(5, id);
    expect(first.bytes[2]).toBe(0);
    first.destroy();
    expect((await broker.kept(5, id)).bytes[2]).toBe(1);
    const refused = await broker.open(5);
    refused.connect({ properties: { authenticationMethod: 'X' } });
    await refused.untilClosed();
    expect(refused.bytes[2]).toBe(0);
  });

  statement(
    { v3: '3.2.2-4 3.2.2-5', v5: '3.1.4-2 3.2.2-6 3.2.2-7' },
    'of a refusal has no session, and is the last',
    async (level) => {
      const clientId = fresh();
      await broker.kept(level, clientId);
      const raw = await broker.open(level);
      raw.connect({ ...keptSession(level, clientId), username: 'guest', password: Buffer.from('wrong') });
      raw.send({ cmd: 'pingreq' });
      expect(await raw.untilClosed()).toMatchObject(refusal(level, 0x87, 5));
    },
  );

  statement({ v3: '3.2.2-6' }, 'is left out where no return code fits', async (level) => {
    const will = field('a/+') + field('x');
    const hex = connectPacket(level, { flags: 6, payload: field('a') + will });
    expect(await broker.rejected(level, hex)).toEqual([]);
  });

  statement({ v5: '3.2.2-8' }, 'has one of its reason codes', async (level) => {
    const defined = [
      0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
      0x9b, 0x9c, 0x9d, 0x9f,
    ];
    for (const hex of [
      connectPacket(level, { flags: 3, payload: field('a') }),
      connectPacket(level, { payload: field([0xff]) }),
      connectPacket(level, { flags: 0x82, payload: field('a') + field('nobody') }),
      connectPacket(level, { flags: 6, payload: field('a') + none(5) + field('+') + field('x') }),
      connectPacket(level, { properties: properties(5, '15', field('X')), payload: field('a') }),
      connectPacket(level, { properties: properties(5, '210000'), payload: field('a') }),
    ]) {
      const [answer, ...rest] = await broker.rejected(level, hex);
      expect(rest).toEqual([]);
      expect(defined).toContain((answer as { reasonCode: number }).reasonCode);
    }
  });

  statement({ v5: '3.2.2-19 3.2.2-20 3.2.2-22 3.1.2-28' }, 'says no more than it has to', async () => {
    const found = (await (await broker.connected(5, { clientId: fresh(), keepalive: 100 })).until('connack'))
      .properties;
    expect(found).toEqual({
      receiveMaximum: 1024,
      maximumPacketSize: expect.any(Number),
      topicAliasMaximum: 32,
    });
  });

  statement(
    { v3: '3.1.4-5', v5: '3.1.4-6' },
    'of a refusal: what the client sent behind does nothing',
    async (level) => {
      const [watcher, name] = [await broker.connected(level), fresh()];
      await subscribe(watcher, `${name}/#`);
      const raw = await broker.open(level);
      raw.connect({ username: 'guest', password: Buffer.from('wrong') });
      publish(raw, `${name}/x`, 'from nobody');
      await raw.untilClosed();
      publish(watcher, `${name}/y`, 'own');
      await watcher.until('publish');
      expect(payloads(watcher)).toEqual(['own']);
    },
  );
});

statement(
  { v5: '4.12.0-1 4.12.0-4' },
  'a method of authentication nobody knows: refused and closed',
  async () => {
    const raw = await broker.open(5);
    raw.connect({
      properties: { authenticationMethod: 'SCRAM-SHA-1', authenticationData: Buffer.from('x') },
    });
    expect(await raw.untilClosed()).toMatchObject([
      { cmd: 'connack', reasonCode: 0x8c, sessionPresent: false },
    ]);
  },
);

statement(
  { v5: '4.12.0-6 4.12.0-7 3.15.2-1' },
  'without a method none is answered, and any AUTH is an error',
  async () => {
    for (const [reason, code] of [
      [0x18, 0x82],
      [0x19, 0x82],
      [0x00, 0x81],
      [0x87, 0x81],
    ]) {
      const raw = await broker.connected(5);
      expect((await raw.until('connack')).properties?.authenticationMethod).toBeUndefined();
      const block = properties(5, '15', field('X'));
      raw.write(packet(0xf0, reason!.toString(16).padStart(2, '0'), block));
      const answers = (await raw.untilClosed()).slice(1) as Packet[];
      expect(answers).toMatchObject([{ cmd: 'disconnect', reasonCode: code }]);
    }
  },
);

statement(
  { v3: '3.1.2-24', v5: '3.1.2-22 3.2.2-22' },
  'who is silent for too long is cut off, as if the network had failed',
  async (level) => {
    const [watcher, name] = [await broker.connected(level), fresh()];
    await subscribe(watcher, name);
    const will = { topic: name, payload: Buffer.from('silent'), qos: 0, retain: false };
    const raw = await broker.connected(level, { keepalive: 1, will });
    const answers = (await raw.untilClosed()).slice(1);
    expect(answers).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x8d }] : []);
    expect((await watcher.until('publish')).payload.toString()).toBe('silent');
  },
);
