/**
 * Normative statements of OASIS MQTT 5.0, by id. Where 3.1.1 says the same under another id it stands in parentheses.
 *
 * | ids                                                            | where                                                 |
 * | -------------------------------------------------------------- | ----------------------------------------------------- |
 * | 1.5.4-1, -2                                                     | unit protocol/mqtt/parser, mqtt-packets               |
 * | 1.5.4-3                                                         | here                                                  |
 * | 2.1.3-1, 2.2.1-3                                                | unit protocol/mqtt/parser, mqtt-packets               |
 * | 2.2.1-4, -5, -6                                                 | here                                                  |
 * | 3.1.0-1, -2; 3.1.2-1, -2, -3, -11, -12, -13, -22                | unit protocol/mqtt/parser, mqtt-packets               |
 * | 3.1.2-4, -24, -25                                               | mqtt-clients, mqtt-packets                            |
 * | 3.1.2-5, -6, -7, -8, -10, -14, -15, -23, -27, -28, -29          | here                                                  |
 * | 3.1.3-4, -6, -8                                                 | unit protocol/mqtt/parser, mqtt-packets               |
 * | 3.1.3-5, -7; 3.1.4-5, -6; 3.2.0-1, -2; 3.2.2-2, -3, -6, -7, -16 | here                                                  |
 * | 3.1.3-9; 3.1.4-3                                                | mqtt-packets; mqtt-clients                            |
 * | 3.3.1-2, -4; 3.3.2-2, -14; 3.3.4-6                              | unit protocol/mqtt/parser, mqtt-packets               |
 * | 3.3.1-1, -3, -5 to -13; 3.3.2-4 to -7, -15 to -18, -20          | here                                                  |
 * | 3.3.2-8; 3.3.4-1, -2, -3, -4, -7, -9                            | mqtt-packets; here                                    |
 * | 3.6.1-1; 3.8.1-1; 3.8.3-2, -4, -5; 3.10.1-1; 3.10.3-2; 3.14.1-1 | unit protocol/mqtt/parser, mqtt-packets               |
 * | 3.8.3-3; 3.8.4-1, -2, -5 to -8; 3.10.4-1 to -6; 3.12.4-1        | here                                                  |
 * | 3.8.4-3; 3.9.3-1; 3.10.4-5                                      | mqtt-packets                                          |
 * | 3.14.2-2; 3.14.4-3                                              | here                                                  |
 * | 4.3.1-1; 4.3.2-2, -4; 4.3.3-10                                  | here; mqtt-packets                                    |
 * | 4.3.3, 4.5.0-1, 4.6.0-6 over kill -9                            | mqtt-kill                                             |
 * | 4.4.0-1                                                         | mqtt-packets                                          |
 * | 4.6.0-5, -6; 4.7.3-4                                            | here                                                  |
 * | 4.7.1-1, -2; 4.7.2-1; 4.8.2-1, -2                               | unit protocol/mqtt/topic-mapping                      |
 * | 4.7.3-1; 4.8.2-3                                                | unit protocol/mqtt/parser; mqtt-clients               |
 * | 4.9.0-2, -3; 4.12.0-1, -6; 4.13.1-1                             | here                                                  |
 *
 * Statements that bind the client alone (3.1.2-20, 3.3.1-4 of senders, 4.12.0-7 …) have no test of the server.
 */
import type { ISubscriptionMap } from 'mqtt';
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { mqttPort, RawMqtt } from '../support/mqtt.ts';

let daemon: Daemon;
let port: number;
const open: RawMqtt[] = [];
let names = 0;

beforeAll(async () => {
  daemon = await Daemon.start({
    shards: 2,
    config: 'server_name: conform\njetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n',
  });
  port = await mqttPort(daemon);
});
afterEach(() => {
  for (const raw of open.splice(0)) raw.destroy();
});
afterAll(() => daemon.stop());

const topic = () => `conform/${names++}`;
const KEPT = { clean: false, properties: { sessionExpiryInterval: 1000 } };

async function connected(more: Record<string, unknown> = {}, version: 4 | 5 = 5): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(port, version, more);
  open.push(raw);
  return raw;
}

interface Wish {
  qos?: 0 | 1 | 2;
  nl?: boolean;
  rap?: boolean;
  rh?: 0 | 1 | 2;
  id?: number;
}

async function subscribe(raw: RawMqtt, filter: string, { qos = 0, id, ...rest }: Wish = {}): Promise<void> {
  const properties = id === undefined ? {} : { properties: { subscriptionIdentifier: id } };
  const before = raw.packets.filter(({ cmd }) => cmd === 'suback').length;
  const subscriptions = [{ topic: filter, qos, ...rest }];
  raw.send({ cmd: 'subscribe', messageId: 77, subscriptions, ...properties } as Packet);
  await raw.until('suback', before + 1);
}

function publish(raw: RawMqtt, name: string, payload: string, more: Partial<IPublishPacket> = {}): void {
  raw.send({ cmd: 'publish', topic: name, payload, qos: 0, retain: false, dup: false, ...more });
}

/** Publishes at QoS 1 and waits until the server has it. */
async function stored(name: string, payload: string, more: Partial<IPublishPacket> = {}): Promise<void> {
  const raw = await connected();
  publish(raw, name, payload, { qos: 1, messageId: 1, ...more });
  await raw.until('puback');
  raw.destroy();
}

const payloads = (raw: RawMqtt): string[] =>
  raw.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []));

/** Everything the client has been sent by now: the answer to a PINGREQ comes behind it. */
async function settled(raw: RawMqtt): Promise<string[]> {
  const before = raw.packets.filter(({ cmd }) => cmd === 'pingresp').length;
  raw.send({ cmd: 'pingreq' });
  await raw.until('pingresp', before + 1);
  return payloads(raw);
}

describe('CONNECT and sessions', () => {
  test('[MQTT-3.2.0-1] [MQTT-3.2.0-2] CONNACK comes first, and once', async () => {
    const raw = await RawMqtt.open(port, 5);
    open.push(raw);
    raw.connect();
    raw.send({ cmd: 'pingreq' });
    await raw.until('pingresp');
    expect(raw.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
  });

  test('[MQTT-3.1.3-5] an identifier of 23 letters and digits', async () => {
    await connected({ clientId: 'abcdefghijklmnopqrstuv0' });
    await connected({ clientId: 'ABCDEFGHIJKLMNOPQRSTUV9' }, 4);
  });

  test('[MQTT-3.1.3-7] [MQTT-3.2.2-16] an identifier that was not given is assigned, each its own', async () => {
    const ids = [];
    for (let i = 0; i < 2; i++)
      ids.push((await (await connected()).until('connack')).properties?.assignedClientIdentifier);
    expect(new Set(ids).size).toBe(2);
    expect(ids.every((id) => (id?.length ?? 0) > 0)).toBe(true);
  });

  test('[MQTT-3.1.2-6] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-3.1.2-5] [MQTT-3.1.2-23] sessions that are there, and not', async () => {
    const clientId = topic();
    const present = async (more: Record<string, unknown>) => {
      const raw = await connected({ clientId, ...more });
      const { sessionPresent } = await raw.until('connack');
      raw.send({ cmd: 'disconnect', reasonCode: 0 } as Packet);
      await raw.untilClosed();
      return sessionPresent;
    };
    expect(await present(KEPT)).toBe(false);
    expect(await present(KEPT)).toBe(true);
    expect(await present({ ...KEPT, clean: true })).toBe(false);
    expect(await present({ clean: false })).toBe(true);
    // That one ended with its connection.
    expect(await present(KEPT)).toBe(false);
  });

  test('[MQTT-4.12.0-1] [MQTT-3.2.2-6] [MQTT-3.2.2-7] a method of authentication nobody knows: refused and closed', async () => {
    const raw = await RawMqtt.open(port, 5);
    open.push(raw);
    raw.connect({ properties: { authenticationMethod: 'SCRAM-SHA-1' } });
    const packets = await raw.untilClosed();
    expect(packets).toMatchObject([{ cmd: 'connack', reasonCode: 0x8c, sessionPresent: false }]);
  });

  test('[MQTT-4.12.0-6] without a method none is answered, and AUTH is an error', async () => {
    const raw = await connected();
    expect((await raw.until('connack')).properties?.authenticationMethod).toBeUndefined();
    raw.send({ cmd: 'auth', reasonCode: 0x19, properties: { authenticationMethod: 'X' } } as Packet);
    expect((await raw.until('disconnect')).reasonCode).toBe(0x82);
    await raw.untilClosed();
    expect(raw.packets.some(({ cmd }) => cmd === 'auth')).toBe(false);
  });

  test('[MQTT-3.1.4-6] what follows a refused CONNECT does nothing', async () => {
    const [watcher, name] = [await connected(), topic()];
    await subscribe(watcher, name);
    const raw = await RawMqtt.open(port, 5);
    open.push(raw);
    raw.connect({ properties: { authenticationMethod: 'X' } });
    publish(raw, name, 'from nobody');
    await raw.untilClosed();
    publish(watcher, name, 'own');
    await watcher.until('publish');
    expect(payloads(watcher)).toEqual(['own']);
  });

  test('[MQTT-3.1.2-28] [MQTT-3.1.2-29] no Response Information, no Reason Strings where they are not wanted', async () => {
    const raw = await connected({ properties: { requestProblemInformation: false } });
    expect((await raw.until('connack')).properties?.responseInformation).toBeUndefined();
    raw.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['nothing'] });
    expect((await raw.until('unsuback')).properties?.reasonString).toBeUndefined();
  });

  test('[MQTT-3.14.2-2] a session that ends now can not be kept by DISCONNECT', async () => {
    const raw = await connected();
    raw.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 10 } } as Packet);
    expect((await raw.until('disconnect')).reasonCode).toBe(0x82);
  });

  test('[MQTT-4.13.1-1] a malformed packet: its reason, then the end', async () => {
    const raw = await connected();
    raw.write('36 05 0001 61 0001');
    expect((await raw.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x81 });
  });

  test('[MQTT-3.12.4-1] PINGRESP', async () => {
    expect(await settled(await connected())).toEqual([]);
  });
});

describe('wills', () => {
  const will = (name: string, retain = false) => ({ will: { topic: name, payload: 'will', qos: 1, retain } });

  test('[MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-14] a lost connection publishes it; it is not retained', async () => {
    const [watcher, name] = [await connected(), topic()];
    await subscribe(watcher, name, { rap: true });
    (await connected(will(name))).destroy();
    expect(await watcher.until('publish')).toMatchObject({ retain: false, qos: 0 });
    const late = await connected();
    await subscribe(late, name);
    expect(await settled(late)).toEqual([]);
  });

  test('[MQTT-3.1.2-15] retained where it says so', async () => {
    const [watcher, name] = [await connected(), topic()];
    await subscribe(watcher, name);
    (await connected(will(name, true))).destroy();
    await watcher.until('publish');
    const late = await connected();
    await subscribe(late, name);
    expect(await late.until('publish')).toMatchObject({ retain: true });
  });

  test('[MQTT-3.1.2-10] [MQTT-3.14.4-3] DISCONNECT removes it, but not with reason 0x04', async () => {
    const [watcher, name] = [await connected(), topic()];
    await subscribe(watcher, name);
    for (const reasonCode of [0, 4]) {
      const raw = await connected(will(name));
      raw.send({ cmd: 'disconnect', reasonCode } as Packet);
      await raw.untilClosed();
      publish(watcher, name, `after ${reasonCode}`);
      await watcher.until('publish', reasonCode === 0 ? 1 : 3);
    }
    expect(payloads(watcher).toSorted()).toEqual(['after 0', 'after 4', 'will']);
  });
});

describe('PUBLISH and retained messages', () => {
  test('[MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] replaced, removed, left alone', async () => {
    const name = topic();
    const kept = async () => {
      const raw = await connected();
      await subscribe(raw, `${name}/#`);
      await raw.until('publish');
      return settled(raw);
    };
    await stored(name, 'one', { retain: true });
    await stored(name, 'two', { retain: true });
    await stored(name, 'not kept');
    await stored(`${name}/last`, 'last', { retain: true });
    expect((await kept()).toSorted()).toEqual(['last', 'two']);
    await stored(name, '', { retain: true });
    expect(await kept()).toEqual(['last']);
  });

  test('[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] Retain Handling', async () => {
    const name = topic();
    await stored(name, 'kept', { retain: true });
    const raw = await connected();
    await subscribe(raw, name, { rh: 2 });
    expect(await settled(raw)).toEqual([]);
    await subscribe(raw, name, { rh: 1 });
    expect(await settled(raw)).toEqual([]);
    await subscribe(raw, name, { rh: 0 });
    await raw.until('publish');
    expect(await settled(raw)).toEqual(['kept']);
    const fresh = await connected();
    await subscribe(fresh, name, { rh: 1 });
    expect((await fresh.until('publish')).retain).toBe(true);
  });

  test('[MQTT-3.3.1-12] [MQTT-3.3.1-13] Retain As Published', async () => {
    const [plain, asPublished, name] = [await connected(), await connected(), topic()];
    await subscribe(plain, name);
    await subscribe(asPublished, name, { rap: true });
    await stored(name, 'x', { retain: true });
    expect([(await plain.until('publish')).retain, (await asPublished.until('publish')).retain]).toEqual([
      false,
      true,
    ]);
  });

  test('[MQTT-3.3.1-1] [MQTT-3.3.1-3] DUP of the publisher is not passed on', async () => {
    const [subscriber, publisher, name] = [await connected(), await connected(), topic()];
    await subscribe(subscriber, name, { qos: 1 });
    publish(publisher, name, 'x', { qos: 1, messageId: 9, dup: true });
    expect((await subscriber.until('publish')).dup).toBe(false);
  });

  test('[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] what a message says arrives as it was', async () => {
    const [subscriber, publisher, name] = [await connected(), await connected(), topic()];
    await subscribe(subscriber, name);
    const properties = {
      payloadFormatIndicator: true,
      responseTopic: 'a/b',
      correlationData: Buffer.from([1, 0, 255]),
      userProperties: { b: ['1', '2'], a: '3' },
      contentType: 'text/plain',
    };
    publish(publisher, name, 'x', { properties });
    const received = (await subscriber.until('publish')).properties;
    expect(received).toEqual(properties);
    expect(Object.keys(received?.userProperties ?? {})).toEqual(['b', 'a']);
  });

  test('[MQTT-3.3.2-5] [MQTT-3.3.2-6] expiry: less by what it waited, and nothing afterwards', async () => {
    const [clientId, name] = [topic(), topic()];
    const first = await connected({ clientId, ...KEPT });
    await subscribe(first, `${name}/#`, { qos: 1 });
    first.destroy();
    await stored(`${name}/soon`, 'soon', { properties: { messageExpiryInterval: 1 } });
    await stored(`${name}/late`, 'late', { properties: { messageExpiryInterval: 100 } });
    await stored(name, 'kept for a second', { retain: true, properties: { messageExpiryInterval: 1 } });
    // What was stored last with the same interval is gone: so is the first.
    for (let found = ['']; found.length > 0; ) {
      const reader = await connected();
      await subscribe(reader, name);
      found = await settled(reader);
      reader.destroy();
    }
    const second = await connected({ clientId, ...KEPT });
    await second.until('publish');
    expect(await settled(second)).toEqual(['late']);
    expect((await second.until('publish')).properties?.messageExpiryInterval).toBeLessThan(100);
  });

  test('[MQTT-3.3.2-7] an alias is the connection’s own', async () => {
    const [first, second, name] = [await connected(), await connected(), topic()];
    publish(first, name, 'x', { properties: { topicAlias: 1 } });
    await settled(first);
    publish(second, '', 'x', { properties: { topicAlias: 1 } });
    expect((await second.until('disconnect')).reasonCode).toBe(0x82);
  });

  test('[MQTT-3.1.2-27] no alias for a client that takes none', async () => {
    const [subscriber, name] = [await connected(), topic()];
    await subscribe(subscriber, name);
    for (let i = 0; i < 3; i++) publish(subscriber, name, String(i));
    await settled(subscriber);
    for (const packet of subscriber.packets)
      if (packet.cmd === 'publish')
        expect([packet.topic, packet.properties?.topicAlias]).toEqual([name, undefined]);
  });

  test('[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] overlapping subscriptions: the highest QoS, all identifiers', async () => {
    const [subscriber, name] = [await connected({ clientId: topic(), ...KEPT }), topic()];
    await subscribe(subscriber, `${name}/+`, { qos: 1, id: 11 });
    await subscribe(subscriber, `${name}/#`, { qos: 2, id: 12 });
    await stored(`${name}/x`, 'x', { qos: 1 });
    const { qos, properties } = await subscriber.until('publish');
    expect(qos).toBe(1);
    expect([properties?.subscriptionIdentifier].flat().toSorted()).toEqual([11, 12]);
  });

  test('[MQTT-3.3.4-7] [MQTT-3.3.4-9] [MQTT-4.9.0-2] [MQTT-4.9.0-3] Receive Maximum holds back QoS 1, nothing else', async () => {
    const name = topic();
    const subscriber = await connected({ properties: { receiveMaximum: 2 } });
    await subscribe(subscriber, name, { qos: 1 });
    const publisher = await connected();
    for (let i = 1; i <= 5; i++) publish(publisher, name, String(i), { qos: 1, messageId: i });
    publish(publisher, name, 'qos 0');
    await publisher.until('puback', 5);
    await subscriber.until('publish', 3);
    expect((await settled(subscriber)).toSorted()).toEqual(['1', '2', 'qos 0']);
    subscriber.send({ cmd: 'puback', messageId: (await subscriber.until('publish')).messageId! });
    await subscriber.until('publish', 4);
    expect(payloads(subscriber).at(-1)).toBe('3');
  });

  test('[MQTT-2.2.1-4] [MQTT-2.2.1-5] [MQTT-4.3.2-2] [MQTT-4.3.2-4] identifiers: not 0, each its own, and answered with the same', async () => {
    const [subscriber, publisher, name] = [await connected(), await connected(), topic()];
    await subscribe(subscriber, name, { qos: 1 });
    for (const messageId of [5, 65_535, 1]) publish(publisher, name, 'x', { qos: 1, messageId });
    await publisher.until('puback', 3);
    const answered = publisher.packets.flatMap((one) => (one.cmd === 'puback' ? [one.messageId] : []));
    expect(answered).toEqual([5, 65_535, 1]);
    await subscriber.until('publish', 3);
    const ids = subscriber.packets.flatMap((one) => (one.cmd === 'publish' ? [one.messageId!] : []));
    expect(new Set(ids).size).toBe(3);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });

  test.each([
    0, 1, 2,
  ] as const)('[MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT-4.3.1-1] order at QoS %i', async (qos) => {
    const [subscriber, publisher, name] = [await connected(), await connected(), topic()];
    await subscribe(subscriber, name, { qos });
    const sent = Array.from({ length: 100 }, (_, i) => String(i));
    for (const [i, payload] of sent.entries())
      publish(publisher, name, payload, qos === 0 ? {} : { qos, messageId: i + 1 });
    await subscriber.until('publish', 100);
    expect(payloads(subscriber)).toEqual(sent);
  });

  test('[MQTT-4.7.3-4] [MQTT-1.5.4-3] topics are compared byte by byte: case, and a byte order mark', async () => {
    const [subscriber, name] = [await connected(), topic()];
    await subscribe(subscriber, `${name}/\ufeffä`);
    publish(subscriber, `${name}/\ufeffÄ`, 'case');
    publish(subscriber, `${name}/ä`, 'no mark');
    publish(subscriber, `${name}/\ufeffä`, 'same');
    expect(await settled(subscriber)).toEqual(['same']);
    expect((await subscriber.until('publish')).topic).toBe(`${name}/\ufeffä`);
  });
});

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  test('[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] one SUBACK with its identifier and a code for each filter', async () => {
    const raw = await connected();
    const wishes: [string, 0 | 1 | 2][] = [
      ['a', 2],
      ['b/#/c', 1],
      ['c', 0],
    ];
    const subscriptions = wishes.map(([name, qos]) => ({ topic: name, qos }));
    raw.send({ cmd: 'subscribe', messageId: 4711, subscriptions });
    expect(await raw.until('suback')).toMatchObject({ messageId: 4711, granted: [2, 0x8f, 0] });
  });

  test.each([
    [1, 2, 1],
    [2, 1, 1],
    [0, 2, 0],
  ] as const)('[MQTT-3.8.4-8] published at %i, granted %i: sent at %i', async (published, granted, sent) => {
    const [subscriber, publisher, name] = [await connected(), await connected(), topic()];
    await subscribe(subscriber, name, { qos: granted });
    publish(publisher, name, 'x', published === 0 ? {} : { qos: published, messageId: 1 });
    expect((await subscriber.until('publish')).qos).toBe(sent);
  });

  test('[MQTT-3.8.3-3] No Local', async () => {
    const [raw, other, name] = [await connected(), await connected(), topic()];
    await subscribe(raw, name, { nl: true });
    publish(raw, name, 'own');
    await settled(raw);
    publish(other, name, 'foreign');
    await raw.until('publish');
    expect(await settled(raw)).toEqual(['foreign']);
  });

  test('[MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-6] the very filter ends, and UNSUBACK says so of each', async () => {
    const [raw, name] = [await connected(), topic()];
    const filters: ISubscriptionMap = { [`${name}/+`]: { qos: 0 }, [`${name}/x`]: { qos: 0 } };
    for (const filter of Object.keys(filters)) await subscribe(raw, filter);
    raw.send({ cmd: 'unsubscribe', messageId: 12, unsubscriptions: [`${name}/x`, `${name}/y`] });
    expect(await raw.until('unsuback')).toMatchObject({ messageId: 12, granted: [0, 0x11] });
    publish(raw, `${name}/x`, 'x');
    expect(await settled(raw)).toEqual(['x']);
  });

  test.each([
    true,
    false,
  ])('[MQTT-3.10.4-3] what was begun is completed after UNSUBSCRIBE (clean %s)', async (clean) => {
    const name = topic();
    const raw = await connected({ clientId: topic(), ...(clean ? {} : KEPT) });
    await subscribe(raw, name, { qos: 2 });
    await stored(name, 'x', { qos: 1 });
    const publisher = await connected();
    publish(publisher, name, 'y', { qos: 2, messageId: 1 });
    await raw.until('publish', 2);
    raw.send({ cmd: 'unsubscribe', messageId: 12, unsubscriptions: [name] });
    await raw.until('unsuback');
    const second = await raw.until('publish', 2);
    expect(second.qos).toBe(2);
    raw.send({ cmd: 'pubrec', messageId: second.messageId! });
    expect(await raw.until('pubrel')).toMatchObject({ messageId: second.messageId, reasonCode: 0 });
  });
});
