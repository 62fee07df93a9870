/** Chapters 1 and 2: strings, integers, flags, packet identifiers, properties. */
import { describe, expect } from 'vitest';
import {
  Broker,
  connectPacket,
  disconnect,
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

/** Ends of strings that are none: a surrogate, an overlong form, a lonely continuation, a cut sequence. */
const ILL_FORMED = [[0xed, 0xa0, 0x80], [0xc0, 0xaf], [0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80], [0xff]];

/** Packets of a connected client with a string in each place that has one. */
function packetsWith(level: Level, text: readonly number[]): string[] {
  const common = [
    packet(0x30, field(text), none(level)),
    packet(0x82, '0001', none(level), field(text), '00'),
    packet(0xa2, '0001', none(level), field(text)),
  ];
  if (level === 4) return common;
  const withProperty = (id: string, ...values: string[]) =>
    packet(0x30, field('a'), properties(5, id, ...values));
  return [
    ...common,
    withProperty('08', field(text)),
    withProperty('03', field(text)),
    withProperty('26', field(text), field('v')),
    withProperty('26', field('k'), field(text)),
  ];
}

describe('strings', () => {
  statement({ v3: '1.5.3-1', v5: '1.5.4-1' }, 'ill-formed UTF-8 ends the connection', async (level) => {
    for (const bytes of ILL_FORMED) {
      for (const hex of packetsWith(level, bytes).slice(0, 3)) {
        const answers = await broker.ended(level, hex);
        expect(answers, hex).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x81 }] : []);
      }
      const answers = await broker.rejected(level, connectPacket(level, { payload: field(bytes) }));
      expect(answers.length).toBe(1);
    }
  });

  statement({ v3: '1.5.3-2', v5: '1.5.4-2' }, 'so does U+0000', async (level) => {
    for (const hex of packetsWith(level, [0x61, 0, 0x62])) {
      const answers = await broker.ended(level, hex);
      expect(answers, hex).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x81 }] : []);
    }
  });

  statement({ v3: '1.5.3-3', v5: '1.5.4-3' }, 'a byte order mark is a character', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    await subscribe(raw, `${name}/\ufeffa`);
    publish(raw, `${name}/a`, 'without');
    publish(raw, `${name}/\ufeffa`, 'with');
    expect(await settled(raw)).toEqual(['with']);
    expect(publishes(raw)[0]?.topic).toBe(`${name}/\ufeffa`);
  });

  statement({ v5: '1.5.7-1 3.3.2-13 3.3.2-19' }, 'in properties too, and in both of a pair', async () => {
    for (const bytes of ILL_FORMED)
      for (const hex of packetsWith(5, bytes).slice(3))
        expect(await broker.ended(5, hex), hex).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x81 }]);
  });
});

statement({ v5: '1.5.5-1' }, 'lengths take as few bytes as they can', async (level) => {
  const [raw, name] = [await broker.connected(level), fresh()];
  await subscribe(raw, name);
  const head = 2 + name.length + 1;
  for (const remaining of [127, 128, 16_383, 16_384]) {
    const before = raw.bytes.length;
    publish(raw, name, 'x'.repeat(remaining - head));
    await settled(raw);
    const lengthBytes = remaining < 128 ? 1 : remaining < 16_384 ? 2 : 3;
    // PINGRESP takes two bytes.
    expect(raw.bytes.length - before - 2).toBe(1 + lengthBytes + remaining);
  }
});

describe('reserved flags', () => {
  const wrong = (level: Level): [string, string][] => [
    ['PUBACK', packet(0x41, '0001')],
    ['PUBREC', packet(0x52, '0001')],
    ['PUBREL', packet(0x60, '0001')],
    ['PUBCOMP', packet(0x78, '0001')],
    ['SUBSCRIBE', packet(0x80, '0001', none(level), field('a'), '00')],
    ['UNSUBSCRIBE', packet(0xa0, '0001', none(level), field('a'))],
    ['PINGREQ', packet(0xc1)],
    ['DISCONNECT', packet(0xe2)],
  ];

  statement(
    { v3: '2.2.2-1 2.2.2-2', v5: '2.1.3-1' },
    'end the connection when they are not what they have to be',
    async (level) => {
      for (const [name, hex] of wrong(level)) {
        const answers = await broker.ended(level, hex);
        expect(answers, name).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x81 }] : []);
      }
      const connect = connectPacket(level, { payload: field('a') }).replace(/^10/, '11');
      const refused = await broker.rejected(level, connect);
      expect(refused.every((one) => one.cmd === 'connack' && one.reasonCode === 0x81)).toBe(true);
    },
  );

  statement({ v3: '3.6.1-1', v5: '3.6.1-1' }, 'of PUBREL are 0010', async (level) => {
    for (const first of [0x60, 0x61, 0x63, 0x6a]) {
      const answers = await broker.ended(level, packet(first, '0001'));
      expect(answers).toMatchObject(level === 5 ? [{ reasonCode: 0x81 }] : []);
    }
  });

  statement({ v3: '3.8.1-1', v5: '3.8.1-1' }, 'of SUBSCRIBE are 0010', async (level) => {
    for (const first of [0x80, 0x81, 0x83, 0x8a]) {
      const answers = await broker.ended(level, packet(first, '0001', none(level), field('a'), '00'));
      expect(answers).toMatchObject(level === 5 ? [{ reasonCode: 0x81 }] : []);
    }
  });

  statement({ v3: '3.10.1-1', v5: '3.10.1-1' }, 'of UNSUBSCRIBE are 0010', async (level) => {
    for (const first of [0xa0, 0xa1, 0xa3, 0xaa]) {
      const answers = await broker.ended(level, packet(first, '0001', none(level), field('a')));
      expect(answers).toMatchObject(level === 5 ? [{ reasonCode: 0x81 }] : []);
    }
  });

  statement({ v3: '3.14.1-1', v5: '3.14.1-1' }, 'of DISCONNECT are 0', async (level) => {
    for (const first of [0xe1, 0xe2, 0xe8]) {
      const answers = await broker.ended(level, packet(first));
      expect(answers).toMatchObject(level === 5 ? [{ cmd: 'disconnect', reasonCode: 0x81 }] : []);
    }
  });

  statement({ v5: '3.15.1-1' }, 'of AUTH are 0', async () => {
    const auth = properties(5, '15', field('X'));
    for (const first of [0xf1, 0xf8])
      expect(await broker.ended(5, packet(first, '19', auth))).toMatchObject([{ reasonCode: 0x81 }]);
  });
});

describe('packet identifiers', () => {
  statement({ v3: '2.3.1-1', v5: '2.2.1-3' }, 'a client’s are not 0', async (level) => {
    for (const hex of [
      packet(0x32, field('a'), '0000', none(level)),
      packet(0x34, field('a'), '0000', none(level)),
      packet(0x82, '0000', none(level), field('a'), '00'),
      packet(0xa2, '0000', none(level), field('a')),
    ])
      expect(await broker.ended(level, hex)).toMatchObject(level === 5 ? [{ reasonCode: 0x82 }] : []);
  });

  statement({ v3: '2.3.1-5', v5: '2.2.1-2' }, 'QoS 0 has none', async (level) => {
    const [raw, name] = [await broker.connected(level), fresh()];
    await subscribe(raw, name, { qos: 2 });
    const before = raw.bytes.length;
    raw.write(packet(0x30, field(name), none(level), '0102'));
    await raw.until('publish');
    expect(raw.bytes.subarray(before).toString('hex')).toBe(packet(0x30, field(name), none(level), '0102'));
  });

  statement(
    { v3: '2.3.1-4 4.3.2-1 4.3.3-1', v5: '2.2.1-4 4.3.2-1 4.3.3-1' },
    'the server’s are not 0 and in use once',
    async (level) => {
      const [raw, name] = [await broker.connected(level), fresh()];
      await subscribe(raw, `${name}/#`, { qos: 2 });
      const publisher = await broker.connected(level);
      for (let i = 1; i <= 100; i++)
        publish(publisher, `${name}/${i % 2}`, String(i), { qos: i % 2 === 0 ? 1 : 2, messageId: i });
      await raw.until('publish', 100);
      const ids = publishes(raw).map(({ messageId }) => messageId!);
      expect(new Set(ids).size).toBe(100);
      expect(Math.min(...ids)).toBeGreaterThan(0);
    },
  );

  statement({ v3: '2.3.1-6', v5: '2.2.1-5' }, 'answers have that of their PUBLISH', async (level) => {
    const raw = await broker.connected(level);
    const ids = [5, 65_535, 1];
    for (const messageId of ids) {
      publish(raw, fresh(), 'x', { qos: 1, messageId });
      publish(raw, fresh(), 'x', { qos: 2, messageId: messageId ^ 0x100 });
    }
    await raw.until('puback', 3);
    await raw.until('pubrec', 3);
    for (const id of ids) raw.send({ cmd: 'pubrel', messageId: id ^ 0x100 });
    await raw.until('pubcomp', 3);
    const answered = (cmd: string) =>
      raw.packets.flatMap((one) => (one.cmd === cmd && 'messageId' in one ? [one.messageId] : []));
    expect(answered('puback')).toEqual(ids);
    expect(answered('pubrec')).toEqual(ids.map((id) => id ^ 0x100));
    expect(answered('pubcomp')).toEqual(ids.map((id) => id ^ 0x100));
  });

  statement({ v3: '2.3.1-7', v5: '2.2.1-6' }, 'and of their SUBSCRIBE and UNSUBSCRIBE', async (level) => {
    const raw = await broker.connected(level);
    for (const messageId of [9, 65_535]) {
      raw.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: fresh(), qos: 0 }] });
      raw.send({ cmd: 'unsubscribe', messageId: messageId - 1, unsubscriptions: [fresh()] });
    }
    await raw.until('suback', 2);
    await raw.until('unsuback', 2);
    const ids = raw.packets.slice(1).map((one) => one.messageId);
    expect(ids.toSorted()).toEqual([65_534, 65_535, 8, 9]);
  });
});

statement({ v5: '2.2.2-1' }, 'no properties are a length of 0, which may not be missing', async () => {
  const raw = await broker.connected(5);
  const name = fresh();
  const before = raw.bytes.length;
  await subscribe(raw, name);
  expect(raw.bytes.subarray(before).toString('hex')).toBe(packet(0x90, '004d', '00', '00'));
  raw.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: [name] });
  await raw.until('unsuback');
  expect(raw.bytes.subarray(before + 6).toString('hex')).toBe(packet(0xb0, '0003', '00', '00'));
  for (const hex of [
    packet(0x30, field('a')),
    packet(0x82, '0001'),
    packet(0xa2, '0001'),
    packet(0xe0, '0005'),
  ])
    expect(await broker.ended(5, hex), hex).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x81 }]);
});

statement(
  { v3: '7.0.0-2' },
  'nothing but the specification is needed: CONNECT, SUBSCRIBE, PUBLISH, DISCONNECT by hand',
  async (level) => {
    const raw = await broker.open(level);
    const name = fresh();
    raw.write(connectPacket(level, { payload: field('') }));
    raw.write(packet(0x82, '0001', field(name), '00'));
    await raw.until('suback');
    raw.write(packet(0x30, field(name), '6869'));
    await raw.until('publish');
    expect(raw.bytes.toString('hex')).toBe(
      `20020000${packet(0x90, '0001', '00')}${packet(0x30, field(name), '6869')}`,
    );
    expect(payloads(raw)).toEqual(['hi']);
    await disconnect(raw);
  },
);
