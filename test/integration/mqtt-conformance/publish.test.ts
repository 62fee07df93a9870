/** Clauses 3.3 to 3.7: PUBLISH and its acknowledgements. */
import { describe, expect } from 'vitest';
import type { RawMqtt } from '../../support/mqtt.ts';
import {
  Broker,
  field,
  fresh,
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

const ended = (level: Level, reasonCode: number): unknown[] =>
  level === 5 ? [{ cmd: 'disconnect', reasonCode }] : [];

/** A client that is not allowed to publish below `deny/`. */
async function limited(more: Record<string, unknown> = {}, level: Level = 5): Promise<RawMqtt> {
  return broker.connected(level, { username: 'limited', password: Buffer.from('pw'), ...more });
}

describe('flags', () => {
  statement({ v3: '3.3.1-1', v5: '3.3.1-1' }, 'DUP is set on what is sent again', async (level) => {
    const [id, name] = [fresh(), fresh()];
    const first = await broker.kept(level, id);
    await subscribe(first, name, { qos: 1 });
    await broker.stored(name, 'x');
    expect((await first.until('publish')).dup).toBe(false);
    first.destroy();
    expect((await (await broker.kept(level, id)).until('publish')).dup).toBe(true);
  });

  statement({ v3: '3.3.1-2 4.3.1-1', v5: '3.3.1-2 4.3.1-1' }, 'QoS 0 has no DUP', async (level) => {
    const [subscriber, publisher, name] = [
      await broker.connected(level),
      await broker.connected(level),
      fresh(),
    ];
    await subscribe(subscriber, name);
    publish(publisher, name, 'x', { qos: 1, messageId: 1, dup: true });
    publish(publisher, name, 'y');
    await subscriber.until('publish', 2);
    expect(publishes(subscriber).map(({ qos, dup }) => [qos, dup])).toEqual([
      [0, false],
      [0, false],
    ]);
    if (level === 5)
      expect(await broker.ended(5, packet(0x38, field('a'), '00'))).toMatchObject(ended(5, 0x81));
  });

  statement({ v3: '3.3.1-3', v5: '3.3.1-3' }, 'DUP of the publisher is not passed on', async (level) => {
    for (const qos of [1, 2] as const) {
      const [subscriber, publisher, name] = [
        await broker.connected(level),
        await broker.connected(level),
        fresh(),
      ];
      await subscribe(subscriber, name, { qos });
      publish(publisher, name, 'x', { qos, messageId: 9, dup: true });
      expect((await subscriber.until('publish')).dup).toBe(false);
    }
  });

  statement({ v3: '3.3.1-4', v5: '3.3.1-4' }, 'QoS 3 does not exist', async (level) => {
    const hex = packet(0x36, field('a'), '0001', none(level));
    expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x81));
  });
});

describe('retained messages', () => {
  statement(
    { v3: '3.3.1-5 3.3.1-6 3.3.1-8', v5: '3.3.1-5 3.3.1-9' },
    'the last one is kept with its QoS, and sent with RETAIN',
    async (level) => {
      const name = fresh();
      for (const qos of [1, 2] as const) {
        const publisher = await broker.connected(level);
        publish(publisher, `${name}/${qos}`, 'before', { qos, messageId: 1, retain: true });
        publish(publisher, `${name}/${qos}`, 'last', { qos, messageId: 2, retain: true });
        await publisher.until(qos === 1 ? 'puback' : 'pubrec', 2);
      }
      const raw = await broker.connected(level);
      await subscribe(raw, `${name}/+`, { qos: 2 });
      await raw.until('publish', 2);
      const found = publishes(raw).map(({ topic, payload, qos, retain }) => [
        topic,
        String(payload),
        qos,
        retain,
      ]);
      expect(found.toSorted()).toEqual([
        [`${name}/1`, 'last', 1, true],
        [`${name}/2`, 'last', 2, true],
      ]);
    },
  );

  statement({ v3: '3.3.1-7' }, 'one of QoS 0 takes the place of another', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    await broker.stored(name, 'one', { retain: true });
    publish(raw, name, 'two', { retain: true });
    // Messages of QoS 0 and 1 of a client go the same way.
    publish(raw, fresh(), 'x', { qos: 1, messageId: 1, retain: true });
    await raw.until('puback');
    expect(await broker.retained(level, name)).toEqual(['two']);
  });

  statement(
    { v3: '3.3.1-9', v5: '3.3.1-12' },
    'those who subscribed before get them without RETAIN',
    async (level) => {
      const [raw, name] = [await broker.connected(level), fresh()];
      for (const qos of [0, 1, 2] as const) await subscribe(raw, `${name}/${qos}`, { qos });
      for (const qos of [0, 1, 2]) await broker.stored(`${name}/${qos}`, 'x', { retain: true });
      await raw.until('publish', 3);
      expect(publishes(raw).map(({ retain }) => retain)).toEqual([false, false, false]);
    },
  );

  statement({ v5: '3.3.1-13' }, 'or with it, as published', async () => {
    for (const raw of [await broker.connected(5), await broker.kept(5, fresh())]) {
      const name = fresh();
      for (const qos of [0, 1, 2] as const) await subscribe(raw, `${name}/${qos}`, { qos, rap: true });
      for (const qos of [0, 1, 2]) {
        await broker.stored(`${name}/${qos}`, 'x', { retain: true });
        await broker.stored(`${name}/${qos}`, 'y');
      }
      await raw.until('publish', 6);
      const found = publishes(raw).map(({ payload, retain }) => `${String(payload)} ${retain}`);
      expect(found.toSorted()).toEqual(['x true', 'x true', 'x true', 'y false', 'y false', 'y false']);
    }
  });

  statement(
    { v3: '3.3.1-10 3.3.1-11', v5: '3.3.1-6 3.3.1-7' },
    'an empty one removes it, is sent as any other, and isn’t kept',
    async (level) => {
      const [raw, name] = [await broker.connected(level), fresh()];
      await broker.stored(name, 'kept', { retain: true });
      await subscribe(raw, name, { qos: 1 });
      await raw.until('publish');
      await broker.stored(name, '', { retain: true });
      const last = await raw.until('publish', 2);
      expect([last.payload.length, last.retain]).toEqual([0, false]);
      expect(await broker.retained(level, name)).toEqual([]);
    },
  );

  statement(
    { v3: '3.3.1-12', v5: '3.3.1-8' },
    'one without RETAIN is not kept, and changes nothing',
    async (level) => {
      const name = fresh();
      await broker.stored(`${name}/a`, 'not kept');
      await broker.stored(`${name}/b`, 'kept', { retain: true });
      await broker.stored(`${name}/b`, 'not kept');
      await broker.stored(`${name}/b`, '');
      expect(await broker.retained(level, `${name}/#`)).toEqual(['kept']);
    },
  );

  statement({ v5: '3.3.1-10' }, 'Retain Handling 1: for subscriptions that are new', async () => {
    const [raw, name] = [await broker.connected(5), fresh()];
    await broker.stored(name, 'kept', { retain: true });
    await subscribe(raw, name, { rh: 1 });
    await raw.until('publish');
    await subscribe(raw, name, { rh: 1, qos: 1 });
    expect(await settled(raw)).toEqual(['kept']);
  });

  statement({ v5: '3.3.1-11' }, 'Retain Handling 2: never', async () => {
    const [raw, name] = [await broker.connected(5), fresh()];
    await broker.stored(name, 'kept', { retain: true });
    for (let i = 0; i < 2; i++) await subscribe(raw, name, { rh: 2 });
    expect(await settled(raw)).toEqual([]);
  });
});

describe('topics', () => {
  statement({ v3: '3.3.2-1', v5: '3.3.2-1' }, 'come first, as UTF-8', async (level) => {
    for (const hex of [packet(0x30), packet(0x30, '0005 61'), packet(0x30, field([0xc3]), none(level))])
      expect(await broker.ended(level, hex), hex).toMatchObject(ended(level, 0x81));
  });

  statement({ v3: '3.3.2-2', v5: '3.3.2-2' }, 'have no wildcards', async (level) => {
    for (const text of ['+', '#', 'a/+', 'a/#', 'a+'])
      expect(await broker.ended(level, packet(0x30, field(text), none(level)))).toMatchObject(
        ended(level, 0x90),
      );
  });

  statement({ v3: '3.3.2-3', v5: '3.3.2-3' }, 'match the filter they are sent for', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    await subscribe(raw, `${name}/+/x`);
    for (const text of ['a/x', 'b/x', 'a/y', 'x', 'a/b/x', '/x'])
      await broker.stored(`${name}/${text}`, text);
    expect(await settled(raw)).toEqual(['a/x', 'b/x', '/x']);
    expect(publishes(raw).map(({ topic }) => topic)).toEqual(
      ['a/x', 'b/x', '/x'].map((text) => `${name}/${text}`),
    );
  });
});

describe('properties', () => {
  statement(
    { v5: '3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20' },
    'arrive as they were, at each QoS, and of retained messages',
    async () => {
      const sent = {
        payloadFormatIndicator: true,
        responseTopic: 'a/b',
        correlationData: Buffer.from([1, 0, 255]),
        userProperties: { b: ['1', '2'], a: '3' },
        contentType: 'text/plain',
      };
      const name = fresh();
      const [subscriber, late] = [await broker.connected(5), await broker.connected(5)];
      const away = await broker.kept(5, fresh());
      for (const one of [subscriber, away]) await subscribe(one, name, { qos: 1 });
      await broker.stored(name, 'x', { properties: sent, retain: true });
      await subscribe(late, name);
      for (const one of [subscriber, away, late]) {
        const found = (await one.until('publish')).properties;
        expect(found).toEqual(sent);
        expect(Object.keys(found?.userProperties ?? {})).toEqual(['b', 'a']);
      }
    },
  );

  statement({ v5: '3.3.2-5 3.3.2-6' }, 'expiry: less by what it waited, and nothing afterwards', async () => {
    const [id, name] = [fresh(), fresh()];
    const first = await broker.kept(5, id);
    await subscribe(first, `${name}/#`, { qos: 1 });
    first.destroy();
    await broker.stored(`${name}/soon`, 'soon', { properties: { messageExpiryInterval: 1 } });
    await broker.stored(`${name}/late`, 'late', { properties: { messageExpiryInterval: 100 } });
    // What was stored last with the same interval is gone: so is the first.
    await broker.untilExpired();
    const second = await broker.kept(5, id);
    await second.until('publish');
    expect(await settled(second)).toEqual(['late']);
    expect((await second.until('publish')).properties?.messageExpiryInterval).toBeLessThan(100);
  });

  statement({ v5: '3.3.2-14' }, 'a response topic has no wildcards', async () => {
    for (const text of ['+', 'a/#'])
      expect(await broker.ended(5, packet(0x30, field('a'), properties(5, '08', field(text))))).toMatchObject(
        ended(5, 0x82),
      );
  });

  statement({ v5: '3.3.4-6' }, 'clients send no subscription identifier', async () => {
    const hex = packet(0x30, field('a'), properties(5, '0b01'));
    expect(await broker.ended(5, hex)).toMatchObject(ended(5, 0x82));
  });
});

describe('aliases', () => {
  const aliased = (topic: string, alias: number) => ({ topic, properties: { topicAlias: alias } });

  statement({ v5: '3.3.2-7' }, 'are the connection’s own', async () => {
    const [id, name] = [fresh(), fresh()];
    const first = await broker.kept(5, id);
    publish(first, name, 'x', aliased(name, 1));
    await settled(first);
    first.destroy();
    const second = await broker.kept(5, id);
    publish(second, '', 'x', aliased('', 1));
    expect((await second.until('disconnect')).reasonCode).toBe(0x82);
  });

  statement(
    { v5: '3.3.2-8 3.3.2-9 3.2.2-17' },
    '0, and more than the maximum, end the connection',
    async () => {
      for (const alias of ['0000', '0021', 'ffff']) {
        const hex = packet(0x30, field('a'), properties(5, `23${alias}`));
        expect(await broker.ended(5, hex)).toMatchObject(ended(5, 0x94));
      }
    },
  );

  statement({ v5: '3.3.2-12' }, 'all of those announced are taken', async () => {
    const [raw, name] = [await broker.connected(5), fresh()];
    const { topicAliasMaximum } = (await raw.until('connack')).properties!;
    await subscribe(raw, `${name}/#`);
    for (let i = 1; i <= topicAliasMaximum!; i++)
      publish(raw, `${name}/${i}`, 'x', aliased(`${name}/${i}`, i));
    for (let i = 1; i <= topicAliasMaximum!; i++) publish(raw, '', String(i), aliased('', i));
    await raw.until('publish', 2 * topicAliasMaximum!);
    const topics = Array.from({ length: topicAliasMaximum! }, (_, i) => `${name}/${i + 1}`);
    expect(publishes(raw).map(({ topic }) => topic)).toEqual([...topics, ...topics]);
    expect(payloads(raw).slice(topicAliasMaximum)).toEqual(topics.map((_, i) => String(i + 1)));
  });

  statement({ v5: '3.1.2-26 3.3.2-11' }, 'the server’s are not above the client’s maximum', async () => {
    const name = fresh();
    const raw = await broker.connected(5, { properties: { topicAliasMaximum: 2 } });
    await subscribe(raw, `${name}/#`);
    for (const level of ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd']) publish(raw, `${name}/${level}`, level);
    await raw.until('publish', 8);
    const aliases = publishes(raw).flatMap((one) => one.properties?.topicAlias ?? []);
    expect(aliases.length).toBeGreaterThan(0);
    expect(Math.max(...aliases)).toBeLessThanOrEqual(2);
  });

  statement({ v5: '3.1.2-27' }, 'there are none for a client that takes none', async () => {
    const [raw, name] = [await broker.connected(5), fresh()];
    await subscribe(raw, name, { qos: 1 });
    for (let i = 0; i < 3; i++) publish(raw, name, String(i));
    await settled(raw);
    for (const { topic, properties: found } of publishes(raw))
      expect([topic, found?.topicAlias]).toEqual([name, undefined]);
  });
});

describe('subscriptions that overlap', () => {
  statement({ v3: '3.3.5-1', v5: '3.3.4-2' }, 'the highest QoS is among what arrives', async (level) => {
    for (const kept of [false, true]) {
      const [id, name] = [fresh(), fresh()];
      const raw = kept ? await broker.kept(level, id) : await broker.connected(level, { clientId: id });
      await subscribe(raw, `${name}/#`, { qos: 0 });
      await subscribe(raw, `${name}/+`, { qos: 2 });
      const publisher = await broker.connected(level);
      publish(publisher, `${name}/x`, 'x', { qos: 2, messageId: 1 });
      await publisher.until('pubrec');
      await raw.until('publish');
      for (let i = 1; Math.max(...publishes(raw).map(({ qos }) => qos)) < 2; i++)
        await raw.until('publish', i + 1);
      expect(payloads(raw).every((text) => text === 'x')).toBe(true);
    }
  });

  statement({ v5: '3.3.4-3 3.3.4-4' }, 'one copy has all identifiers', async () => {
    const [raw, name] = [await broker.kept(5, fresh()), fresh()];
    await subscribe(raw, `${name}/+`, { qos: 1, id: 11 });
    await subscribe(raw, `${name}/#`, { qos: 2, id: 12 });
    await broker.stored(`${name}/x`, 'x');
    const { qos, properties: found } = await raw.until('publish');
    expect(qos).toBe(1);
    expect([found?.subscriptionIdentifier].flat().toSorted()).toEqual([11, 12]);
  });

  statement({ v5: '3.3.4-5' }, 'several copies have each its own', async () => {
    const [raw, name] = [await broker.connected(5), fresh()];
    await subscribe(raw, `${name}/+`, { qos: 1, id: 11 });
    await subscribe(raw, `${name}/#`, { qos: 2, id: 12 });
    await subscribe(raw, `${name}/x`, { qos: 0 });
    await broker.stored(`${name}/x`, 'x');
    await raw.until('publish', 3);
    const ids = publishes(raw).map((one) => one.properties?.subscriptionIdentifier);
    expect(ids.toSorted()).toEqual([11, 12, undefined]);
  });
});

describe('what is answered', () => {
  statement({ v3: '3.3.4-1', v5: '3.3.4-1' }, 'nothing, PUBACK, PUBREC, by QoS', async (level) => {
    const raw = await broker.connected(level);
    publish(raw, fresh(), 'x');
    expect(await settled(raw)).toEqual([]);
    publish(raw, fresh(), 'x', { qos: 1, messageId: 1 });
    await raw.until('puback');
    publish(raw, fresh(), 'x', { qos: 2, messageId: 2 });
    await raw.until('pubrec');
    expect(raw.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp', 'puback', 'pubrec']);
  });

  statement(
    { v3: '3.3.5-2' },
    'what may not be published is acknowledged, and goes nowhere',
    async (level) => {
      const watcher = await broker.connected(level);
      await subscribe(watcher, 'deny/#');
      const raw = await limited({}, level);
      publish(raw, 'deny/a', 'a', { qos: 1, messageId: 1 });
      publish(raw, 'deny/b', 'b', { qos: 2, messageId: 2 });
      await raw.until('puback');
      await raw.until('pubrec');
      raw.send({ cmd: 'pubrel', messageId: 2 });
      await raw.until('pubcomp');
      expect(await settled(watcher)).toEqual([]);
    },
  );

  statement({ v5: '3.4.2-1 3.5.2-1' }, 'reasons are those of PUBACK and PUBREC', async () => {
    const raw = await limited();
    for (const [topic, code] of [
      [fresh(), 0],
      ['deny/a', 0x87],
    ] as const) {
      publish(raw, topic, 'x', { qos: 1, messageId: code + 1 });
      publish(raw, topic, 'x', { qos: 2, messageId: code + 2 });
      const nth = code === 0 ? 1 : 2;
      expect((await raw.until('puback', nth)).reasonCode).toBe(code);
      expect((await raw.until('pubrec', nth)).reasonCode).toBe(code);
    }
    for (const hex of ['40 03 0001 92', '40 03 0001 01', '50 03 0001 92', '50 03 0001 8e'])
      expect(await broker.ended(5, hex)).toMatchObject(ended(5, 0x81));
  });

  statement({ v5: '3.6.2-1 3.7.2-1' }, 'reasons are those of PUBREL and PUBCOMP', async () => {
    const raw = await broker.connected(5);
    raw.send({ cmd: 'pubrel', messageId: 9 });
    expect((await raw.until('pubcomp')).reasonCode).toBe(0x92);
    raw.send({ cmd: 'pubrec', messageId: 9 });
    expect((await raw.until('pubrel')).reasonCode).toBe(0x92);
    for (const hex of ['62 03 0001 87', '62 03 0001 10', '70 03 0001 87'])
      expect(await broker.ended(5, hex)).toMatchObject(ended(5, 0x81));
  });
  statement(
    { v5: '3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3' },
    'acknowledgements fit the smallest client',
    async () => {
      const raw = await limited({ clientId: fresh(), properties: { maximumPacketSize: 20 } });
      publish(raw, 'deny/a', 'x', { qos: 1, messageId: 1 });
      publish(raw, 'deny/a', 'x', { qos: 2, messageId: 2 });
      raw.send({ cmd: 'pubrel', messageId: 9 });
      raw.send({ cmd: 'pubrec', messageId: 9 });
      await raw.until('puback');
      await raw.until('pubrec');
      await raw.until('pubcomp');
      await raw.until('pubrel');
      const found = raw.packets.slice(1) as { properties?: unknown; length?: number }[];
      for (const one of found) {
        expect(one.properties ?? {}).toEqual({});
        expect(one.length).toBe(3);
      }
    },
  );
});

describe('windows', () => {
  statement({ v5: '3.3.4-7' }, 'a client that sends more than Receive Maximum is cut off', async () => {
    const raw = await broker.connected(5);
    const { receiveMaximum } = (await raw.until('connack')).properties!;
    const name = fresh();
    const one = (id: number): string => packet(0x34, field(name), id.toString(16).padStart(4, '0'), '00');
    const all = Array.from({ length: receiveMaximum! + 1 }, (_, i) => one(i + 1));
    raw.write(all.join(''));
    expect((await raw.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x93 });
  });

  statement(
    { v5: '3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3' },
    'the server sends no more than the client’s, but everything else',
    async () => {
      for (const more of [{}, { clean: false, clientId: fresh() }]) {
        const name = fresh();
        const raw = await broker.connected(5, { properties: { receiveMaximum: 2 }, ...more });
        await subscribe(raw, name, { qos: 2 });
        const publisher = await broker.connected(5);
        for (let i = 1; i <= 5; i++) publish(publisher, name, String(i), { qos: 1, messageId: i });
        publish(publisher, name, 'qos 0');
        await publisher.until('puback', 5);
        await raw.until('publish', 3);
        await subscribe(raw, fresh());
        expect((await settled(raw)).toSorted()).toEqual(['1', '2', 'qos 0']);
        const first = publishes(raw).find(({ qos }) => qos === 1)!;
        raw.send({ cmd: 'puback', messageId: first.messageId! });
        await raw.until('publish', 4);
        expect(payloads(raw).at(-1)).toBe('3');
        expect((await settled(raw)).length).toBe(4);
      }
    },
  );
});

statement(
  { v5: '3.1.2-24 3.1.2-25' },
  'a packet larger than the client takes is not sent, and counts as sent',
  async () => {
    for (const more of [{}, { clean: false, clientId: fresh() }]) {
      const name = fresh();
      const raw = await broker.connected(5, {
        properties: { maximumPacketSize: 80, receiveMaximum: 1 },
        ...more,
      });
      await subscribe(raw, name, { qos: 1 });
      for (let i = 0; i < 3; i++) await broker.stored(name, 'x'.repeat(100));
      await broker.stored(name, 'small');
      expect((await raw.until('publish')).payload.toString()).toBe('small');
    }
  },
);

statement({ v5: '3.1.2-29' }, 'no Reason Strings and User Properties where they are not wanted', async () => {
  const raw = await limited({ properties: { requestProblemInformation: false } });
  raw.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['nothing'] });
  raw.send({ cmd: 'subscribe', messageId: 4, subscriptions: [{ topic: 'a/#/b', qos: 0 }] });
  publish(raw, 'deny/a', 'x', { qos: 1, messageId: 1 });
  await raw.until('unsuback');
  await raw.until('suback');
  await raw.until('puback');
  for (const one of raw.packets.slice(1))
    expect((one as { properties?: object }).properties ?? {}).toEqual({});
});

statement({ v5: '3.2.2-15' }, 'a packet larger than the server takes ends the connection', async () => {
  const raw = await broker.connected(5);
  const { maximumPacketSize } = (await raw.until('connack')).properties!;
  publish(raw, 'a', 'x'.repeat(maximumPacketSize!));
  expect((await raw.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x95 });
});
