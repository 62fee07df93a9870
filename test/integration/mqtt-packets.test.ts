/** Packet by packet: what OASIS 3.1.1 and 5.0 demand of a server, by the numbers of their statements. */
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { mqttPort, RawMqtt } from '../support/mqtt.ts';

const CONFIG = `
server_name: mqtt_packets
max_payload: 4096
jetstream { store_dir: "./store" }
mqtt { host: 127.0.0.1, port: -1 }
`;

let daemon: Daemon;
let port = 0;
let numbers = 0;
const open: RawMqtt[] = [];

beforeAll(async () => {
  daemon = await Daemon.start({ config: CONFIG, shards: 2 });
  port = await mqttPort(daemon);
});
afterEach(() => {
  for (const raw of open.splice(0)) raw.destroy();
});
afterAll(async () => {
  await daemon?.stop();
});

async function raw(version: 4 | 5 = 4): Promise<RawMqtt> {
  const made = await RawMqtt.open(port, version);
  open.push(made);
  return made;
}

async function connected(version: 4 | 5 = 4, more: Record<string, unknown> = {}): Promise<RawMqtt> {
  const made = await RawMqtt.connected(port, version, more);
  open.push(made);
  return made;
}

const topic = () => `p${numbers++}`;
const publish = (name: string, more: Record<string, unknown> = {}): Packet =>
  ({
    cmd: 'publish',
    topic: name,
    payload: Buffer.from('x'),
    qos: 0,
    retain: false,
    dup: false,
    ...more,
  }) as Packet;
const subscribe = (name: string, qos: 0 | 1 | 2, messageId = 1): Packet =>
  ({
    cmd: 'subscribe',
    messageId,
    subscriptions: [{ topic: name, qos, nl: false, rap: false, rh: 0 }],
  }) as Packet;

describe('CONNECT', () => {
  test.each([
    ['[MQTT-3.1.0-1] another packet first', 'c0 00'],
    ['[MQTT-3.1.2-1] another protocol name', '10 0d 0004 4d515455 04 02 003c 0001 61'],
    ['[MQTT-3.1.2-3] the reserved flag', '10 0d 0004 4d515454 04 03 003c 0001 61'],
    ['[MQTT-3.1.2-22] a password without user name', '10 10 0004 4d515454 04 42 003c 0001 61 0001 61'],
    ['HTTP', '474554202f6d71747420485454502f312e310d0a0d0a'],
    ['a length of five bytes', '10 ff ff ff ff 7f'],
    ['a packet that is too long for anything', '10 ff ff ff 7f'],
  ])('%s: closed without a packet', async (_name, bytes) => {
    const client = await raw();
    client.write(bytes);
    expect(await client.untilClosed()).toEqual([]);
  });

  test('[MQTT-3.1.2-2] another level: CONNACK 1', async () => {
    const client = await raw();
    client.write('10 0d 0004 4d515454 03 02 003c 0001 61');
    expect(await client.untilClosed()).toMatchObject([
      { cmd: 'connack', returnCode: 1, sessionPresent: false },
    ]);
  });

  test('[MQTT-3.1.3-8] no client id for a session that is kept: CONNACK 2 in 3.1.1', async () => {
    const client = await raw();
    client.write('10 0c 0004 4d515454 04 00 003c 0000');
    expect(await client.untilClosed()).toMatchObject([{ cmd: 'connack', returnCode: 2 }]);
  });

  test('[MQTT-3.1.3-6] 5.0 is given one either way', async () => {
    const client = await raw(5);
    client.write('10 0d 0004 4d515454 05 00 003c 00 0000');
    const packet = await client.until('connack');
    expect(packet).toMatchObject({
      reasonCode: 0,
      properties: { receiveMaximum: 1024, topicAliasMaximum: 32 },
    });
    expect(packet.properties?.assignedClientIdentifier).toMatch(/^[0-9A-Za-z]{22}$/);
  });

  test('[MQTT-3.1.0-2] a second one', async () => {
    const client = await connected();
    client.connect();
    expect((await client.untilClosed()).length).toBe(1);
    const five = await connected(5);
    five.connect();
    expect((await five.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x82 });
  });

  test('a broken one of 5.0 is told why', async () => {
    const client = await raw(5);
    client.connect({ properties: { receiveMaximum: 1, sessionExpiryInterval: 1 }, will: undefined });
    expect(await client.until('connack')).toMatchObject({ reasonCode: 0 });
    const broken = await raw(5);
    broken.write('10 11 0004 4d515454 05 02 003c 03 210000 0001 61');
    expect(await broken.untilClosed()).toMatchObject([{ cmd: 'connack', reasonCode: 0x82 }]);
  });

  test('an authentication method nobody has: 0x8C', async () => {
    const client = await raw(5);
    client.connect({ properties: { authenticationMethod: 'SCRAM-SHA-1' } });
    expect(await client.untilClosed()).toMatchObject([{ cmd: 'connack', reasonCode: 0x8c }]);
  });

  test('a client that says nothing is closed', async () => {
    const config = CONFIG.replace('port: -1', 'port: -1, authorization { timeout: "100ms" }');
    const impatient = await Daemon.start({ config, shards: 1 });
    try {
      const client = await RawMqtt.open(await mqttPort(impatient));
      expect(await client.untilClosed()).toEqual([]);
    } finally {
      await impatient.stop();
    }
  });

  test('what is sent before CONNACK is dealt with after it', async () => {
    const client = await raw();
    client.connect();
    client.send({ cmd: 'pingreq' });
    client.send(subscribe(topic(), 1));
    await client.until('suback');
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp', 'suback']);
  });
});

describe('what a connected client may not do', () => {
  test.each([
    ['[MQTT-3.3.1-4] QoS 3', '36 05 0001 61 0001', 0x81],
    ['[MQTT-3.3.2-2] a wildcard in a topic', '30 03 0001 2b', 0x90],
    ['[MQTT-1.5.3-2] U+0000', '30 03 0001 00', 0x81],
    ['a space in a topic', '30 05 0003 612062', 0x90],
    ['[MQTT-3.8.3-3] SUBSCRIBE without filter', '82 02 0001', 0x82],
    ['[MQTT-3.6.1-1] flags of PUBREL', '60 02 0001', 0x81],
    ['[MQTT-2.3.1-1] packet identifier 0', '32 05 0001 61 0000', 0x82],
    ['CONNACK', '20 02 0000', 0x82],
  ])('%s', async (_name, bytes, reason) => {
    const four = await connected();
    four.write(bytes);
    expect((await four.untilClosed()).length).toBe(1);
    // The same with an empty property block where 5.0 has one.
    const five = await connected(5);
    five.write(
      bytes === '82 02 0001'
        ? '82 03 0001 00'
        : bytes.replace(/^30 0(\d)(.*)$/, (_m, n, rest) => `30 0${Number(n) + 1}${rest} 00`),
    );
    expect((await five.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: reason });
  });

  test('more than max_payload: closed, 0x95', async () => {
    const four = await connected();
    four.send(publish(topic(), { payload: Buffer.alloc(4096) }));
    expect((await four.untilClosed()).length).toBe(1);
    const five = await connected(5);
    five.send(publish(topic(), { payload: Buffer.alloc(4096) }));
    expect((await five.untilClosed()).at(-1)).toMatchObject({ reasonCode: 0x95 });
  });

  test.each([
    ['alias 0', { topicAlias: 0 }, 'a', 0x94],
    ['an alias too high', { topicAlias: 33 }, 'a', 0x94],
    ['an alias nobody set', { topicAlias: 3 }, '', 0x82],
    ['a subscription identifier', { subscriptionIdentifier: 1 }, 'a', 0x82],
    ['a wildcard in the response topic', { responseTopic: 'a/#' }, 'a', 0x82],
  ])('5.0: %s', async (name, properties, text, reasonCode) => {
    const client = await connected(5);
    if (name === 'alias 0') client.write('30 07 0001 61 03 230000');
    else client.send(publish(text, { properties }));
    expect((await client.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode });
  });

  test('[MQTT-3.1.2-24] a keep alive that passed: the will is published', async () => {
    const name = topic();
    const watcher = await connected();
    watcher.send(subscribe(name, 0));
    await watcher.until('suback');
    const silent = {
      keepalive: 1,
      will: { topic: name, payload: Buffer.from('silent'), qos: 0, retain: false },
    };
    const five = await connected(5, silent);
    expect((await five.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x8d });
    expect(await watcher.until('publish')).toMatchObject({ topic: name, payload: Buffer.from('silent') });
  });

  test('5.0: DISCONNECT 0x04 has the will published, a session that ends can not be prolonged', async () => {
    const name = topic();
    const watcher = await connected();
    watcher.send(subscribe(name, 0));
    await watcher.until('suback');
    const will = { topic: name, payload: Buffer.from('w'), qos: 0, retain: false };
    const leaving = await connected(5, { will });
    leaving.send({ cmd: 'disconnect', reasonCode: 4 });
    await watcher.until('publish');
    const prolonging = await connected(5);
    prolonging.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 5 } });
    expect((await prolonging.untilClosed()).at(-1)).toMatchObject({ reasonCode: 0x82 });
  });
});

describe('SUBSCRIBE', () => {
  test('[MQTT-3.9.3-1] one code for each filter, in order', async () => {
    const filters = ['a', 'a+', 'b/#/c', 'c d', '$MQTT/x', '*', '#', 'e/+'];
    const packet: Packet = {
      cmd: 'subscribe',
      messageId: 7,
      subscriptions: filters.map((name, index) => ({ topic: name, qos: (index % 3) as 0 | 1 | 2 })),
    };
    const four = await connected();
    four.send(packet);
    expect(await four.until('suback')).toMatchObject({
      messageId: 7,
      granted: [0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1],
    });
    const five = await connected(5);
    five.send(packet);
    expect((await five.until('suback')).granted).toEqual([0, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0, 1]);
  });

  test('[MQTT-3.8.4-3] the same filter again replaces the first, and retained messages come again', async () => {
    const name = topic();
    const client = await connected();
    client.send(publish(name, { retain: true, qos: 1, messageId: 1 }));
    await client.until('puback');
    client.send(subscribe(name, 0));
    await client.until('publish');
    client.send(subscribe(name, 1, 2));
    expect(await client.until('publish', 2)).toMatchObject({ qos: 1, retain: true });
    client.send(publish(name, { qos: 1, messageId: 2, payload: Buffer.from('once') }));
    await client.until('publish', 3);
    client.send({ cmd: 'pingreq' });
    await client.until('pingresp');
    expect(client.packets.filter(({ cmd }) => cmd === 'publish').length).toBe(3);
  });

  test('[MQTT-3.10.4-5] UNSUBSCRIBE of what is not there; 5.0 says so', async () => {
    const packet: Packet = { cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['never'] };
    const four = await connected();
    four.send(packet);
    expect(await four.until('unsuback')).toMatchObject({ messageId: 9 });
    const five = await connected(5);
    five.send(packet);
    expect((await five.until('unsuback')).granted).toEqual([0x11]);
  });

  test('$share means nothing in 3.1.1', async () => {
    const name = topic();
    const client = await connected();
    client.send(subscribe(`$share/g/${name}`, 0));
    await client.until('suback');
    client.send(publish(`$share/g/${name}`));
    expect(await client.until('publish')).toMatchObject({ topic: `$share/g/${name}` });
  });
});

describe('QoS 2 from a client', () => {
  test.each([
    [4, true],
    [5, true],
    [4, false],
    [5, false],
  ] as const)('[MQTT-4.3.3-10] level %i, clean %s: a repeated PUBLISH is delivered once', async (version, clean) => {
    const name = topic();
    const watcher = await connected();
    watcher.send(subscribe(name, 1));
    await watcher.until('suback');
    const kept = version === 5 && !clean ? { properties: { sessionExpiryInterval: 100 } } : {};
    let client = await connected(version, { clean, clientId: name, ...kept });
    client.send(publish(name, { qos: 2, messageId: 5 }));
    await client.until('pubrec');
    client.send(publish(name, { qos: 2, messageId: 5, dup: true }));
    await client.until('pubrec', 2);
    if (!clean) {
      client.destroy();
      client = await connected(version, { clean, clientId: name, ...kept });
      expect(await client.until('connack')).toMatchObject({ sessionPresent: true });
      client.send(publish(name, { qos: 2, messageId: 5, dup: true }));
      await client.until('pubrec');
    }
    client.send({ cmd: 'pubrel', messageId: 5 });
    await client.until('pubcomp');
    client.send({ cmd: 'pubrel', messageId: 5 });
    const again = await client.until('pubcomp', 2);
    if (version === 5) expect(again.reasonCode).toBe(0x92);
    client.send(publish(name, { qos: 2, messageId: 5, payload: Buffer.from('new') }));
    expect(await watcher.until('publish', 2)).toMatchObject({ payload: Buffer.from('new') });
  });
});

describe.each([4, 5] as const)('QoS 1 and 2 to a client of level %i', (version) => {
  const kept = (clientId: string) => ({
    clean: false,
    clientId,
    ...(version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}),
  });

  test('[MQTT-4.4.0-1] after a reconnect: again with DUP and the same identifiers, in order, PUBREL where PUBREC came', async () => {
    const name = topic();
    const publisher = await connected();
    const first = await connected(version, kept(name));
    first.send(subscribe(`${name}/#`, 2));
    await first.until('suback');
    for (let i = 0; i < 4; i++)
      publisher.send(publish(`${name}/${i}`, { qos: i === 3 ? 1 : 2, messageId: i + 1 }));
    await first.until('publish', 4);
    const sent = first.packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
    first.send({ cmd: 'pubrec', messageId: sent[1]!.messageId! });
    await first.until('pubrel');
    first.send({ cmd: 'puback', messageId: sent[3]!.messageId! });
    first.send({ cmd: 'pingreq' });
    await first.until('pingresp');
    first.destroy();
    const second = await connected(version, kept(name));
    await second.until('publish', 2);
    const again = second.packets
      .slice(1)
      .map((packet) => [packet.cmd, packet.messageId, (packet as IPublishPacket).dup]);
    expect(again).toEqual([
      ['pubrel', sent[1]!.messageId, false],
      ['publish', sent[0]!.messageId, true],
      ['publish', sent[2]!.messageId, true],
    ]);
    for (const { messageId } of [sent[0]!, sent[2]!]) second.send({ cmd: 'pubrec', messageId: messageId! });
    await second.until('pubrel', 3);
    for (const { messageId } of sent.slice(0, 3)) second.send({ cmd: 'pubcomp', messageId: messageId! });
    second.send({ cmd: 'pingreq' });
    await second.until('pingresp');
    second.destroy();
    const third = await connected(version, kept(name));
    third.send({ cmd: 'pingreq' });
    await third.until('pingresp');
    expect(third.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
  });

  test('the same after kill -9', async () => {
    const name = topic();
    const publisher = await connected();
    const first = await connected(version, kept(name));
    first.send(subscribe(`${name}/#`, 2));
    await first.until('suback');
    for (let i = 0; i < 3; i++) publisher.send(publish(`${name}/${i}`, { qos: 2, messageId: i + 1 }));
    await publisher.until('pubrec', 3);
    await first.until('publish', 3);
    const ids = first.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.messageId] : []));
    first.send({ cmd: 'pubrec', messageId: ids[0]! });
    await first.until('pubrel');
    await daemon.stop('SIGKILL', true);
    daemon = await Daemon.start({ config: CONFIG, shards: 2, directory: daemon.directory });
    port = await mqttPort(daemon);
    const second = await connected(version, kept(name));
    await second.until('publish', 2);
    expect(second.packets.slice(1).map((packet) => [packet.cmd, packet.messageId])).toEqual([
      ['pubrel', ids[0]],
      ['publish', ids[1]],
      ['publish', ids[2]],
    ]);
  });

  test.each([
    true,
    false,
  ])('clean %s: no more under way than max_ack_pending or Receive Maximum', async (clean) => {
    const name = topic();
    const limit = version === 5 ? 2 : 1024;
    const properties =
      version === 5 ? { receiveMaximum: limit, sessionExpiryInterval: clean ? 0 : 50 } : undefined;
    const client = await connected(version, { clean, clientId: name, properties });
    client.send(subscribe(name, 1));
    await client.until('suback');
    const publisher = await connected();
    const total = limit + 5;
    for (let i = 0; i < total; i++)
      publisher.send(publish(name, { qos: 1, messageId: i + 1, payload: Buffer.from(String(i)) }));
    await publisher.until('puback', total);
    await client.until('publish', limit);
    client.send({ cmd: 'pingreq' });
    await client.until('pingresp');
    const seen = () => client.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet] : []));
    expect(seen().length).toBe(limit);
    for (let i = 0; i < total; i++) {
      await client.until('publish', i + 1);
      client.send({ cmd: 'puback', messageId: seen()[i]!.messageId! });
    }
    expect(seen().map(({ payload }) => String(payload))).toEqual(
      Array.from({ length: total }, (_, i) => String(i)),
    );
  });
});

describe('limits of a 5.0 client', () => {
  test('[MQTT-3.1.2-25] a packet larger than it takes is not sent', async () => {
    const name = topic();
    const client = await connected(5, { properties: { maximumPacketSize: 60 } });
    client.send(subscribe(name, 1));
    await client.until('suback');
    const publisher = await connected();
    publisher.send(publish(name, { payload: Buffer.alloc(100) }));
    publisher.send(publish(name, { payload: Buffer.from('small') }));
    expect(await client.until('publish')).toMatchObject({ payload: Buffer.from('small') });
  });

  test('[MQTT-3.3.2-11] the server sets no more aliases than it allows', async () => {
    const name = topic();
    const client = await connected(5, { properties: { topicAliasMaximum: 1 } });
    client.send(subscribe(`${name}/#`, 0));
    await client.until('suback');
    const publisher = await connected();
    for (const level of ['a', 'a', 'b', 'b']) publisher.send(publish(`${name}/${level}`));
    await client.until('publish', 4);
    const seen = client.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet] : []));
    expect(seen.map((packet) => [packet.topic, packet.properties?.topicAlias])).toEqual([
      [`${name}/a`, 1],
      ['', 1],
      [`${name}/b`, undefined],
      [`${name}/b`, undefined],
    ]);
  });

  test('a session ends when its time is over', async () => {
    const name = topic();
    const expiring = { clean: false, clientId: name, properties: { sessionExpiryInterval: 1 } };
    const will = {
      topic: name,
      payload: Buffer.from('over'),
      qos: 1,
      retain: false,
      properties: { willDelayInterval: 3600 },
    };
    const watcher = await connected();
    watcher.send(subscribe(name, 0));
    await watcher.until('suback');
    const first = await connected(5, { ...expiring, will });
    first.destroy();
    // The will's delay ends with the session. [MQTT-3.1.3-9]
    await watcher.until('publish');
    const second = await connected(5, expiring);
    expect(await second.until('connack')).toMatchObject({ sessionPresent: false });
  });

  test('shutdown is announced', async () => {
    const client = await connected(5);
    await daemon.stop('SIGTERM', true);
    expect((await client.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x8b });
    daemon = await Daemon.start({ config: CONFIG, shards: 2, directory: daemon.directory });
    port = await mqttPort(daemon);
  });
});
