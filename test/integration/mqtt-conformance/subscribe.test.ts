import { describe, expect } from 'vitest';
import type { RawMqtt } from '../../support/mqtt.ts';
import {
  Broker,
  connectPacket,
  field,
  fresh,
  type Level,
  none,
  packet,
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

/** Codes of a SUBACK; those of 3.1.1 stand for the same. */
const failed = (level: Level, reason: number): number => (level === 5 ? reason : 0x80);

function subscribeAll(raw: RawMqtt, filters: readonly [string, 0 | 1 | 2][], messageId: number): void {
  const subscriptions = filters.map(([topic, qos]) => ({ topic, qos }));
  raw.send({ cmd: 'subscribe', messageId, subscriptions });
}

describe('SUBSCRIBE', () => {
  statement({ v3: '3.8.3-1', v5: '3.8.3-1' }, 'its filters are UTF-8', async (level) => {
    for (const bad of [
      [0xed, 0xa0, 0x80],
      [0x61, 0],
    ]) {
      const hex = packet(0x82, '0001', none(level), field(bad), '00');
      expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x81));
    }
  });

  statement({ v3: '3.8.3-2' }, 'filters with wildcards are supported', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    subscribeAll(
      raw,
      [
        [`${name}/+`, 1],
        [`${name}/a/#`, 0],
      ],
      1,
    );
    expect((await raw.until('suback')).granted).toEqual([1, 0]);
    publish(raw, `${name}/x`, '+');
    publish(raw, `${name}/a/b/c`, '#');
    expect(await settled(raw)).toEqual(['+', '#']);
  });

  statement({ v3: '3.8.3-3', v5: '3.8.3-2' }, 'has one filter at least', async (level) => {
    const hex = packet(0x82, '0001', none(level));
    expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x82));
  });

  statement({ v3: '3-8.3-4', v5: '3.8.3-5' }, 'has its reserved bits 0, and no QoS 3', async (level) => {
    const options = level === 5 ? ['40', '80', 'c1', '03'] : ['04', '08', '10', '80', '03'];
    for (const one of options) {
      const hex = packet(0x82, '0001', none(level), field('a'), one);
      expect(await broker.ended(level, hex), one).toMatchObject(ended(level, 0x81));
    }
  });

  statement({ v5: '3.8.3-3' }, 'No Local: not what the same client published', async () => {
    for (const qos of [0, 1, 2] as const) {
      const name = fresh();
      for (const raw of [await broker.connected(5), await broker.kept(5, fresh())]) {
        await subscribe(raw, name, { qos, nl: true });
        publish(raw, name, 'own', { qos: 1, messageId: 1 });
        await raw.until('puback');
        await broker.stored(name, 'foreign');
        await raw.until('publish');
        expect((await settled(raw))[0]).toBe('foreign');
        raw.destroy();
      }
    }
  });

  statement({ v5: '3.8.3-4' }, 'No Local and shared: an error', async () => {
    const hex = packet(0x82, '0001', '00', field('$share/g/a'), '04');
    expect(await broker.ended(5, hex)).toMatchObject(ended(5, 0x82));
  });

  statement(
    {
      v3: '3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2',
      v5: '3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2',
    },
    'one SUBACK with its identifier, and a code for each filter in order',
    async (level) => {
      const raw = await broker.connected(level, { username: 'limited', password: Buffer.from('pw') });
      const name = fresh();
      const wishes: [string, 0 | 1 | 2, number][] = [
        [`${name}/a`, 2, 2],
        ['b/#/c', 1, failed(level, 0x8f)],
        [`${name}/c`, 0, 0],
        ['deny/x', 0, failed(level, 0x87)],
        [`${name}/d`, 1, 1],
        ['e+', 2, failed(level, 0x8f)],
      ];
      subscribeAll(
        raw,
        wishes.map(([filter, qos]) => [filter, qos]),
        4711,
      );
      const { messageId, granted } = await raw.until('suback');
      expect([messageId, granted]).toEqual([4711, wishes.map(([, , code]) => code)]);
      for (const topic of ['a', 'c', 'd']) publish(raw, `${name}/${topic}`, topic);
      expect(await settled(raw)).toEqual(['a', 'c', 'd']);
      expect(raw.packets.filter(({ cmd }) => cmd === 'suback').length).toBe(1);
    },
  );

  statement(
    { v3: '3.8.4-3', v5: '3.8.4-3 3.8.4-4' },
    'the same filter again takes the place of the first: retained messages come again, nothing is lost',
    async (level) => {
      for (const kept of [false, true]) {
        const [id, name] = [fresh(), fresh()];
        const raw = kept ? await broker.kept(level, id) : await broker.connected(level, { clientId: id });
        await broker.stored(name, 'retained', { retain: true });
        await subscribe(raw, name);
        await raw.until('publish');
        const publisher = await broker.connected(level);
        for (let i = 1; i <= 50; i++) {
          publish(publisher, name, String(i), { qos: 1, messageId: i });
          if (i === 25) subscribeAll(raw, [[name, 1]], 9);
        }
        await publisher.until('puback', 50);
        const retained = (found: string[]): number => found.filter((text) => text === 'retained').length;
        // Retained messages come another way than those that are published now.
        const isAll = (found: string[]): boolean => new Set(found).size === 51 && retained(found) >= 2;
        for (let i = 52; !isAll(await settled(raw)); i++) await raw.until('publish', i);
        const found = await settled(raw);
        expect(retained(found)).toBe(2);
        // One that was published in between may come by the old subscription and the new one.
        expect([...new Set(found.filter((text) => text !== 'retained'))].toSorted()).toEqual(
          Array.from({ length: 50 }, (_, i) => String(i + 1)).toSorted(),
        );
      }
    },
  );

  for (const [published, granted] of [
    [0, 2],
    [1, 0],
    [1, 2],
    [2, 1],
    [2, 2],
  ] as const)
    statement(
      { v3: '3.8.4-6', v5: '3.8.4-8' },
      `published at ${published}, granted ${granted}: the lower of both`,
      async (level) => {
        const [subscriber, publisher, name] = [
          await broker.connected(level),
          await broker.connected(level),
          fresh(),
        ];
        await subscribe(subscriber, name, { qos: granted });
        publish(publisher, name, 'x', published === 0 ? {} : { qos: published, messageId: 1 });
        expect((await subscriber.until('publish')).qos).toBe(Math.min(published, granted));
      },
    );
});

describe('UNSUBSCRIBE', () => {
  statement({ v3: '3.10.3-1', v5: '3.10.3-1' }, 'its filters are UTF-8', async (level) => {
    for (const bad of [
      [0xc0, 0xaf],
      [0x61, 0],
    ]) {
      const hex = packet(0xa2, '0001', none(level), field(bad));
      expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x81));
    }
  });

  statement({ v3: '3.10.3-2', v5: '3.10.3-2' }, 'has one filter at least', async (level) => {
    expect(await broker.ended(level, packet(0xa2, '0001', none(level)))).toMatchObject(ended(level, 0x82));
  });

  statement(
    { v3: '3.10.4-1 3.10.4-2', v5: '3.10.4-1 3.10.4-2' },
    'the very filter ends, and nothing new comes for it',
    async (level) => {
      const [raw, name] = [await broker.connected(level), fresh()];
      for (const filter of [`${name}/+`, `${name}/x`, `${name}/#`]) await subscribe(raw, filter);
      raw.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [`${name}/#`, `${name}/x`] });
      await raw.until('unsuback');
      publish(raw, `${name}/x`, 'x');
      publish(raw, `${name}/x/y`, 'y');
      expect(await settled(raw)).toEqual(['x']);
      raw.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [`${name}/x`, `${name}/y`] });
      await raw.until('unsuback', 2);
      publish(raw, `${name}/x`, 'still by +');
      expect(await settled(raw)).toEqual(['x', 'still by +']);
    },
  );

  for (const kept of [false, true])
    statement(
      { v3: '3.10.4-3', v5: '3.10.4-3' },
      `what was begun is completed (session kept: ${kept})`,
      async (level) => {
        const [id, name] = [fresh(), fresh()];
        const raw = kept ? await broker.kept(level, id) : await broker.connected(level, { clientId: id });
        await subscribe(raw, name, { qos: 2 });
        await broker.stored(name, 'x');
        const publisher = await broker.connected(level);
        publish(publisher, name, 'y', { qos: 2, messageId: 1 });
        await raw.until('publish', 2);
        raw.send({ cmd: 'unsubscribe', messageId: 12, unsubscriptions: [name] });
        await raw.until('unsuback');
        const second = await raw.until('publish', 2);
        expect(second.qos).toBe(2);
        raw.send({ cmd: 'pubrec', messageId: second.messageId! });
        const { messageId, reasonCode } = await raw.until('pubrel');
        expect([messageId, reasonCode ?? 0]).toEqual([second.messageId, 0]);
      },
    );

  statement(
    { v3: '3.10.4-4 3.10.4-5 3.10.4-6', v5: '3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2' },
    'one UNSUBACK, whatever there was',
    async (level) => {
      const [raw, name] = [await broker.connected(level), fresh()];
      await subscribe(raw, `${name}/b`);
      raw.send({
        cmd: 'unsubscribe',
        messageId: 12,
        unsubscriptions: [`${name}/a`, `${name}/b`, `${name}/c`],
      });
      const answer = await raw.until('unsuback');
      expect(answer.messageId).toBe(12);
      if (level === 5) expect(answer.granted).toEqual([0x11, 0, 0x11]);
      publish(raw, `${name}/b`, 'x');
      expect(await settled(raw)).toEqual([]);
      expect(raw.packets.filter(({ cmd }) => cmd === 'unsuback').length).toBe(1);
    },
  );
});

statement(
  { v5: '3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4' },
  'SUBACK, UNSUBACK and DISCONNECT fit the smallest client',
  async () => {
    const raw = await broker.connected(5, { clientId: fresh(), properties: { maximumPacketSize: 20 } });
    raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#/b', qos: 0 }] });
    raw.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['nothing'] });
    await raw.until('suback');
    await raw.until('unsuback');
    raw.write('00 00');
    const [, , , farewell] = await raw.untilClosed();
    expect(farewell).toMatchObject({ cmd: 'disconnect', reasonCode: 0x82 });
    for (const one of raw.packets.slice(1)) {
      expect((one as { properties?: object }).properties ?? {}).toEqual({});
      expect(one.length).toBeLessThanOrEqual(4);
    }
  },
);

statement({ v3: '3.12.4-1', v5: '3.12.4-1' }, 'PINGREQ is answered', async (level) => {
  const raw = await broker.connected(level);
  for (let i = 0; i < 3; i++) await settled(raw);
  expect(raw.bytes.subarray(-6).toString('hex')).toBe('d000d000d000');
});

describe('DISCONNECT of the server', () => {
  statement({ v5: '3.14.0-1' }, 'doesn’t come before a CONNACK that accepts', async () => {
    for (const hex of [
      'c000',
      packet(0x30, field('a'), '00'),
      connectPacket(5, { flags: 3, payload: field('a') }),
      connectPacket(5, { flags: 0x82, payload: field('a') + field('nobody') }),
      connectPacket(5, { properties: properties(5, '210000'), payload: field('a') }),
      '10ffffffff7f',
    ]) {
      const answers = await broker.rejected(5, hex);
      expect(answers.filter(({ cmd }) => cmd === 'disconnect')).toEqual([]);
    }
  });

  statement(
    { v5: '3.14.2-2 3.14.4-1 3.14.4-2 4.13.2-1' },
    'has no Session Expiry Interval, is the last packet, and the connection ends',
    async () => {
      const raw = await broker.kept(5, fresh());
      raw.write(`0000${packet(0xc0)}${packet(0x82, '0001', '00', field('a'), '00')}`);
      const [farewell, ...rest] = (await raw.untilClosed()).slice(1);
      expect(rest).toEqual([]);
      expect(farewell).toMatchObject({ cmd: 'disconnect', reasonCode: 0x82 });
      expect(
        (farewell as { properties?: object }).properties?.['sessionExpiryInterval' as never],
      ).toBeUndefined();
    },
  );
});

describe('errors', () => {
  statement(
    { v3: '4.8.0-1', v5: '4.13.1-1' },
    'a packet against the rules ends the connection',
    async (level) => {
      const bad: [string, string, number][] = [
        ['type 0', '0000', 0x82],
        ['CONNACK', '20020000', 0x82],
        ['SUBACK', packet(0x90, '0001', none(level), '00'), 0x82],
        ['UNSUBACK', packet(0xb0, '0001'), 0x82],
        ['PINGRESP', 'd000', 0x82],
        ['PINGREQ with content', 'c00100', 0x81],
        ['a PUBACK of a byte', '400100', 0x81],
        ['a PUBACK of 0', '40020000', 0x82],
        ['an empty filter', packet(0x82, '0001', none(level), field(''), '00'), 0x81],
        ['a length of five bytes', '30ffffffff01', 0x81],
      ];
      if (level === 4)
        bad.push(
          ['AUTH', 'f000', 0],
          ['DISCONNECT with content', 'e00100', 0],
          ['PUBACK of 3 bytes', '4003000100', 0],
        );
      else
        bad.push(
          ['a property twice', packet(0x30, field('a'), properties(5, '01000100')), 0x82],
          ['a property of other packets', packet(0x30, field('a'), properties(5, '210001')), 0x81],
          ['no property at all', packet(0x30, field('a'), properties(5, '7f00')), 0x81],
          ['retain handling 3', packet(0x82, '0001', '00', field('a'), '30'), 0x82],
          ['subscription identifier 0', packet(0x82, '0001', '020b00', field('a'), '00'), 0x82],
          [
            'a session that ends now, kept by DISCONNECT',
            packet(0xe0, '00', properties(5, '1100000005')),
            0x82,
          ],
        );
      for (const [text, hex, reason] of bad)
        expect(await broker.ended(level, hex), text).toMatchObject(ended(level, reason));
    },
  );
});

describe('topics', () => {
  statement({ v3: '4.7.1-1', v5: '4.7.0-1' }, 'names have no wildcards', async (level) => {
    for (const text of ['+', '#', 'a/#', '+/a']) {
      const hex = packet(0x30, field(text), none(level));
      expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x90));
    }
  });

  statement({ v3: '4.7.1-2', v5: '4.7.1-1' }, '# stands alone or behind a /, and last', async (level) => {
    const raw = await broker.connected(level);
    const filters = ['#', 'a/#', '/#', '+/#', 'a#', '#/a', 'a/#/b', 'a/b#', '##'];
    subscribeAll(
      raw,
      filters.map((filter) => [filter, 0]),
      1,
    );
    const wrong = failed(level, 0x8f);
    expect((await raw.until('suback')).granted).toEqual([0, 0, 0, 0, wrong, wrong, wrong, wrong, wrong]);
    const [second, name] = [await broker.connected(level), fresh()];
    await subscribe(second, `${name}/#`);
    for (const text of ['', '/', '/a', '/a/b', 'x']) await broker.stored(name + text, text);
    expect(await settled(second)).toEqual(['', '/', '/a', '/a/b']);
  });

  statement({ v3: '4.7.1-3', v5: '4.7.1-2' }, '+ takes a whole level', async (level) => {
    const raw = await broker.connected(level);
    const filters = ['+', 'a/+', '+/a', '/+', 'a/+/b', 'a+', '+a', 'a/b+', '+/b+'];
    subscribeAll(
      raw,
      filters.map((filter) => [filter, 0]),
      1,
    );
    const wrong = failed(level, 0x8f);
    expect((await raw.until('suback')).granted).toEqual([0, 0, 0, 0, 0, wrong, wrong, wrong, wrong]);
    const [second, name] = [await broker.connected(level), fresh()];
    await subscribe(second, `${name}/+`);
    for (const text of ['', '/', '/a', '/a/b']) await broker.stored(name + text, text);
    expect(await settled(second)).toEqual(['/', '/a']);
  });

  statement(
    { v3: '4.7.2-1', v5: '4.7.2-1' },
    'wildcards in front leave out topics that begin with $',
    async (level) => {
      const name = `$${fresh()}`;
      const raw = await broker.connected(level);
      const [first, ...rest] = name.split('/');
      const filters = ['#', `+/${rest.join('/')}`, '+/#'];
      await broker.stored(`${name}/kept`, 'kept', { retain: true });
      for (const filter of filters) await subscribe(raw, filter, { qos: 1 });
      for (const qos of [0, 1] as const) publish(raw, name, 'x', qos === 0 ? {} : { qos, messageId: 1 });
      await raw.until('puback');
      await settled(raw);
      expect(publishes(raw).filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
      await subscribe(raw, `${first}/#`);
      await raw.until('publish');
      expect((await settled(raw)).at(-1)).toBe('kept');
    },
  );

  statement({ v3: '4.7.3-1', v5: '4.7.3-1' }, 'and filters have a character at least', async (level) => {
    const reason = level === 5 ? 0x82 : 0;
    expect(await broker.ended(level, packet(0x30, field(''), none(level)))).toMatchObject(
      ended(level, reason),
    );
    const hex = packet(0x82, '0001', none(level), field(''), '00');
    expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x81));
  });

  statement({ v3: '4.7.3-2', v5: '4.7.3-2' }, 'have no U+0000', async (level) => {
    const bad = field([0x61, 0, 0x62]);
    expect(await broker.ended(level, packet(0x30, bad, none(level)))).toMatchObject(ended(level, 0x81));
    const hex = packet(0x82, '0001', none(level), bad, '00');
    expect(await broker.ended(level, hex)).toMatchObject(ended(level, 0x81));
  });

  statement({ v3: '4.7.3-4', v5: '4.7.3-4' }, 'are compared byte by byte', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    await subscribe(raw, `${name}/\u00e4.b*`);
    for (const text of ['\u00c4.b*', 'a\u0308.b*', '\u00e4/b*', '\u00e4.bc', '\u00e4.b*'])
      publish(raw, `${name}/${text}`, text);
    await settled(raw);
    expect(publishes(raw).map(({ topic }) => topic)).toEqual([`${name}/\u00e4.b*`]);
  });
});
