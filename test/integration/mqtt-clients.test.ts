/** MQTT.js against the server, 3.1.1 and 5.0, and NATS clients on the other side. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import type { IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { MqttPeer, mqttPort } from '../support/mqtt.ts';

const config = (daemon: string) => `
server_name: mqtt_test
jetstream { store_dir: "${daemon}" }
mqtt { host: 127.0.0.1, port: -1 }
`;

describe.each([
  [4, 1],
  [5, 1],
  [4, 3],
  [5, 3],
] as const)('MQTT level %i, %i shard(s)', (protocolVersion, shards) => {
  let daemon: Daemon;
  let port = 0;
  let numbers = 0;
  const open: { end(): Promise<unknown> }[] = [];

  async function peer(options: IClientOptions = {}): Promise<MqttPeer> {
    const made = await MqttPeer.connect(port, { protocolVersion, ...options });
    open.push(made);
    return made;
  }

  async function nats(): Promise<NatsConnection> {
    const made = await connect({ servers: `127.0.0.1:${daemon.port}`, reconnect: false });
    open.push({ end: () => made.close() });
    return made;
  }

  /** A topic that no other test uses. */
  const topic = () => `t${protocolVersion}${shards}${numbers++}`;
  const kept = (clientId: string): IClientOptions => ({
    clientId,
    clean: false,
    ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
  });

  beforeAll(async () => {
    daemon = await Daemon.start({ config: config('./store'), shards });
    port = await mqttPort(daemon);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.end()));
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each([
    [0, 0, 0],
    [0, 2, 0],
    [1, 0, 0],
    [1, 1, 1],
    [1, 2, 1],
    [2, 1, 1],
    [2, 2, 2],
  ] as const)('published at %i, subscribed at %i, received at %i', async (published, subscribed, received) => {
    const [publisher, subscriber] = [await peer(), await peer()];
    const name = topic();
    await subscriber.client.subscribeAsync(name, { qos: subscribed });
    for (let i = 0; i < 20; i++) await publisher.client.publishAsync(name, `m${i}`, { qos: published });
    const messages = await subscriber.received(20);
    expect(messages.map(({ payload }) => payload)).toEqual(Array.from({ length: 20 }, (_, i) => `m${i}`));
    expect(new Set(messages.map(({ qos, retain }) => `${qos} ${retain}`))).toEqual(
      new Set([`${received} false`]),
    );
  });

  test('filters: wildcards, the parent of #, empty levels, dots, $ topics', async () => {
    const [publisher, subscriber] = [await peer(), await peer()];
    const name = topic();
    await subscriber.client.subscribeAsync([`${name}/#`, `${name}x/+/c`]);
    const all = await peer();
    await all.client.subscribeAsync('#');
    const sent = [
      name,
      `${name}/`,
      `${name}//b`,
      `${name}/a.b`,
      `${name}x/b/c`,
      `${name}x/b`,
      `$${name}`,
      'end',
      name,
    ];
    for (const text of sent) await publisher.client.publishAsync(text, text, { qos: 1 });
    const wanted = [name, `${name}/`, `${name}//b`, `${name}/a.b`, `${name}x/b/c`, name];
    expect((await subscriber.received(wanted.length)).map((message) => message.topic)).toEqual(wanted);
    // [MQTT-4.7.2-1]
    expect((await all.received(8)).map((message) => message.topic)).toEqual(
      sent.filter((text) => !text.startsWith('$')),
    );
  });

  test('of many topics below one level each message comes under its own', async () => {
    const [publisher, near, far] = [await peer(), await peer(), await peer()];
    const client = await nats();
    const name = topic();
    for (const subscriber of [near, far]) await subscriber.client.subscribeAsync(`${name}/#`);
    const texts = Array.from({ length: 20 }, (_, i) => String(i));
    for (const text of texts) await publisher.client.publishAsync(`${name}/${text}`, text, { qos: 1 });
    for (const text of texts) client.publish(`${name}.nats.${text}`, `nats/${text}`);
    const expected = [...texts, ...texts.map((text) => `nats/${text}`)];
    for (const subscriber of [near, far]) {
      const messages = await subscriber.received(expected.length);
      expect(messages.map(({ payload }) => payload)).toEqual(expected);
      expect(messages.map((message) => message.topic)).toEqual(expected.map((text) => `${name}/${text}`));
    }
  });

  test('retained messages: sent to new subscriptions, replaced, removed by an empty one', async () => {
    const publisher = await peer();
    const name = topic();
    await publisher.client.publishAsync(`${name}/a`, 'old', { retain: true });
    await publisher.client.publishAsync(`${name}/a`, 'new', { retain: true, qos: 1 });
    await publisher.client.publishAsync(`${name}/b/c`, 'other', { retain: true, qos: 2 });
    await publisher.client.publishAsync(`${name}/gone`, 'x', { retain: true, qos: 1 });
    await publisher.client.publishAsync(`${name}/gone`, '', { retain: true, qos: 1 });
    const subscriber = await peer();
    await subscriber.client.subscribeAsync(`${name}/#`, { qos: 1 });
    const messages = await subscriber.received(2);
    const found = messages.map(({ payload, qos, retain }) => [payload, qos, retain]).sort();
    expect(found).toEqual([
      ['new', 1, true],
      ['other', 1, true],
    ]);
    // Behind them comes what is published now, without the flag. [MQTT-3.3.1-9]
    await publisher.client.publishAsync(`${name}/live`, 'live', { retain: true });
    expect((await subscriber.received(3))[2]).toMatchObject({ payload: 'live', retain: false });
  });

  test('a payload of hundreds of kilobytes arrives whole, at every QoS', async () => {
    const [publisher, subscriber] = [await peer(), await peer()];
    const name = topic();
    await subscriber.client.subscribeAsync(name, { qos: 2 });
    const payload = Buffer.from(Uint8Array.from({ length: 600_000 }, (_, i) => (i * 31) & 0xff));
    for (const qos of [0, 1, 2] as const) await publisher.client.publishAsync(name, payload, { qos });
    const messages = await subscriber.received(3);
    for (const message of messages) expect(message.payload === payload.toString('latin1')).toBe(true);
  });

  test('will: published when the connection breaks, not after DISCONNECT', async () => {
    const subscriber = await peer();
    const name = topic();
    await subscriber.client.subscribeAsync(`${name}/#`, { qos: 1 });
    const will = (end: string) => ({
      topic: `${name}/${end}`,
      payload: Buffer.from(end),
      qos: 1 as const,
      retain: true,
    });
    const leaving = await peer({ will: will('left') });
    await leaving.end();
    const breaking = await peer({ will: will('broke') });
    breaking.drop();
    expect(await subscriber.received(1)).toMatchObject([{ topic: `${name}/broke`, qos: 1 }]);
    const late = await peer();
    await late.client.subscribeAsync(`${name}/#`);
    expect(await late.received(1)).toMatchObject([{ payload: 'broke', retain: true }]);
  });

  test('[MQTT-3.1.4-3] a second connection takes the client id, whichever shard it is on', async () => {
    const clientId = topic();
    let holder = await peer({ clientId });
    for (let i = 0; i < 4; i++) {
      const next = await peer({ clientId });
      await holder.untilClosed();
      if (protocolVersion === 5) expect(holder.disconnectReason).toBe(0x8e);
      holder = next;
    }
    const name = topic();
    await holder.client.subscribeAsync(name);
    await holder.client.publishAsync(name, 'alive', { qos: 1 });
    await holder.received(1);
  });

  test('a session that is kept gets what it missed, in order, and nothing twice', async () => {
    const clientId = topic();
    const name = topic();
    const first = await peer(kept(clientId));
    expect(first.sessionPresent).toBe(false);
    await first.client.subscribeAsync(`${name}/#`, { qos: 2 });
    await first.end();
    const publisher = await peer();
    await publisher.client.publishAsync(`${name}/zero`, 'lost', { qos: 0 });
    for (let i = 0; i < 30; i++) await publisher.client.publishAsync(`${name}/${i}`, String(i), { qos: 1 });
    const second = await MqttPeer.connect(port, { protocolVersion, ...kept(clientId) });
    open.push(second);
    expect(second.sessionPresent).toBe(true);
    const messages = await second.received(30);
    expect(messages.map(({ payload }) => payload)).toEqual(Array.from({ length: 30 }, (_, i) => String(i)));
    await publisher.client.publishAsync(`${name}/now`, 'now', { qos: 2 });
    expect((await second.received(31))[30]).toMatchObject({ payload: 'now', qos: 2 });
    await second.end();
    const third = await peer(kept(clientId));
    await publisher.client.publishAsync(`${name}/after`, 'after', { qos: 1 });
    expect((await third.received(1))[0]?.payload).toBe('after');
    await third.end();
    // [MQTT-3.1.2-4] (3.1.1: 3.1.2-6)
    const clean = await peer({ clientId });
    expect(clean.sessionPresent).toBe(false);
  });

  test('UNSUBSCRIBE ends it', async () => {
    const [publisher, subscriber] = [await peer(), await peer()];
    const name = topic();
    await subscriber.client.subscribeAsync([`${name}/a`, `${name}/b`], { qos: 1 });
    await subscriber.client.unsubscribeAsync(`${name}/a`);
    await publisher.client.publishAsync(`${name}/a`, 'a', { qos: 1 });
    await publisher.client.publishAsync(`${name}/b`, 'b', { qos: 1 });
    expect(await subscriber.received(1)).toMatchObject([{ payload: 'b' }]);
  });

  test('from MQTT to NATS, and into a stream', async () => {
    const client = await nats();
    const name = topic();
    const manager = await jetstreamManager(client);
    await manager.streams.add({ name: `S${name}`, subjects: [`${name}.>`] });
    const subscription = client.subscribe(`${name}.*.c`);
    await client.flush();
    const publisher = await peer();
    await publisher.client.publishAsync(`${name}/b/c`, 'hello', { qos: 1 });
    for await (const message of subscription) {
      expect([message.subject, message.string()]).toEqual([`${name}.b.c`, 'hello']);
      expect(message.headers?.get('Nmqtt-Pub')).toBe('1');
      break;
    }
    const stored = await manager.streams.getMessage(`S${name}`, { last_by_subj: `${name}.b.c` });
    expect(stored?.string()).toBe('hello');
  });

  test('from NATS and JetStream to MQTT at QoS 0, whatever was subscribed', async () => {
    const client = await nats();
    const name = topic();
    const manager = await jetstreamManager(client);
    await manager.streams.add({ name: `S${name}`, subjects: [`${name}.>`] });
    const subscriber = await peer();
    await subscriber.client.subscribeAsync(`${name}/+/c`, { qos: 2 });
    client.publish(`${name}.b.c`, 'core');
    await jetstream(client).publish(`${name}.x//y.c`, 'stream');
    const messages = await subscriber.received(2);
    expect(messages.map((message) => [message.topic, message.payload, message.qos])).toEqual([
      [`${name}/b/c`, 'core', 0],
      [`${name}/x.y/c`, 'stream', 0],
    ]);
  });

  test('what was acknowledged survives kill -9: sessions, messages, retained ones, QoS 2 under way', async () => {
    const clientId = topic();
    const name = topic();
    const first = await peer(kept(clientId));
    await first.client.subscribeAsync(`${name}/#`, { qos: 2 });
    await first.end();
    const publisher = await MqttPeer.connect(port, { protocolVersion });
    for (let i = 0; i < 10; i++) {
      const qos = i % 2 === 0 ? 1 : 2;
      await publisher.client.publishAsync(`${name}/${i}`, String(i), { qos, retain: i === 9 });
    }
    publisher.drop();
    await daemon.stop('SIGKILL', true);
    daemon = await Daemon.start({ config: config('./store'), shards, directory: daemon.directory });
    port = await mqttPort(daemon);
    const second = await MqttPeer.connect(port, { protocolVersion, ...kept(clientId) });
    open.push(second);
    expect(second.sessionPresent).toBe(true);
    const messages = await second.received(10);
    expect(messages.map(({ payload }) => payload).sort()).toEqual([...'0123456789']);
    const late = await peer();
    await late.client.subscribeAsync(`${name}/#`);
    expect(await late.received(1)).toMatchObject([{ topic: `${name}/9`, payload: '9', retain: true }]);
  });

  if (protocolVersion === 5) {
    test('user properties are NATS headers, and what else a message says comes through', async () => {
      const client = await nats();
      const name = topic();
      const subscription = client.subscribe(name);
      await client.flush();
      const [publisher, subscriber] = [await peer(), await peer()];
      await subscriber.client.subscribeAsync(name, { qos: 1 });
      const properties = {
        payloadFormatIndicator: true,
        contentType: 'text/plain; charset="ü"',
        responseTopic: 're/ply',
        correlationData: Buffer.from([0, 1, 255]),
        messageExpiryInterval: 1000,
        userProperties: { colour: ['red', 'green'], 'Nats-Msg-Id': '1', 'sp ace': 'ü' },
      };
      await publisher.client.publishAsync(name, 'body', { qos: 1, properties });
      const [received] = await subscriber.received(1);
      expect(received?.packet.properties).toEqual({
        ...properties,
        messageExpiryInterval: expect.any(Number),
      });
      for await (const message of subscription) {
        expect(message.headers?.values('colour')).toEqual(['red', 'green']);
        expect(message.headers?.has('Nats-Msg-Id')).toBe(false);
        expect(message.reply).toBe('re.ply');
        break;
      }
      const block = headers();
      block.append('trace', 'abc');
      client.publish(name, 'from nats', { headers: block, reply: 'answer.here' });
      expect((await subscriber.received(2))[1]?.packet.properties).toEqual({
        userProperties: { trace: 'abc' },
        responseTopic: 'answer/here',
      });
    });

    test('a NATS responder answers an MQTT request', async () => {
      const client = await nats();
      const name = topic();
      client.subscribe(name, {
        callback: (_error, message) => void message.respond(`re: ${message.string()}`),
      });
      await client.flush();
      const requester = await peer();
      await requester.client.subscribeAsync(`${name}/answers`);
      const properties = { responseTopic: `${name}/answers` };
      await requester.client.publishAsync(name, 'question', { properties });
      expect(await requester.received(1)).toMatchObject([{ payload: 're: question' }]);
    });

    test('[MQTT-4.8.2-3] shared subscriptions: one member gets it, MQTT or NATS', async () => {
      const name = topic();
      const members = [await peer(), await peer(kept(topic())), await peer()];
      for (const member of members) await member.client.subscribeAsync(`$share/team/${name}/#`, { qos: 1 });
      const client = await nats();
      let viaNats = 0;
      client.subscribe(`${name}.>`, { queue: 'team', callback: () => void viaNats++ });
      await client.flush();
      const [publisher, everything] = [await peer(), await peer()];
      await everything.client.subscribeAsync(`${name}/#`, { qos: 1 });
      for (let i = 0; i < 200; i++) await publisher.client.publishAsync(`${name}/x`, String(i), { qos: 1 });
      await everything.received(200);
      // Behind all others: when the marker is there, so is what came before it.
      for (const member of members) await member.client.subscribeAsync(`${name}-end`, { qos: 1 });
      await publisher.client.publishAsync(`${name}-end`, 'end', { qos: 1 });
      for (const member of members) await member.receivedText('end');
      const counts = members.map(
        ({ messages }) => messages.filter((message) => message.topic === `${name}/x`).length,
      );
      await client.flush();
      expect(counts.reduce((sum, count) => sum + count, viaNats)).toBe(200);
      expect(counts.filter((count) => count > 0).length).toBeGreaterThan(1);
    });

    test('no local, retain as published, retain handling, subscription identifiers', async () => {
      const name = topic();
      const [own, other] = [await peer(), await peer()];
      await own.client.subscribeAsync(`${name}/#`, {
        qos: 1,
        nl: true,
        properties: { subscriptionIdentifier: 5 },
      });
      await other.client.subscribeAsync(`${name}/#`, {
        qos: 0,
        rap: true,
        properties: { subscriptionIdentifier: 300 },
      });
      await own.client.publishAsync(`${name}/a`, 'mine', { qos: 1, retain: true });
      await other.client.publishAsync(`${name}/b`, 'theirs', { qos: 1 });
      expect(await other.received(2)).toMatchObject([
        { payload: 'mine', retain: true, packet: { properties: { subscriptionIdentifier: 300 } } },
        { payload: 'theirs', retain: false },
      ]);
      expect(await own.received(1)).toMatchObject([
        { payload: 'theirs', packet: { properties: { subscriptionIdentifier: 5 } } },
      ]);
      const third = await peer();
      await third.client.subscribeAsync(`${name}/#`, { qos: 0, rh: 2 });
      await third.client.subscribeAsync(`${name}/#`, { qos: 0, rh: 1 });
      await third.client.publishAsync(`${name}/c`, 'first', { qos: 1 });
      expect(await third.received(1)).toMatchObject([{ payload: 'first' }]);
      await third.client.subscribeAsync(`${name}/#`, { qos: 0, rh: 0 });
      expect((await third.received(2))[1]).toMatchObject({ payload: 'mine', retain: true });
    });

    test('a will waits for its delay and is cancelled by a new connection', async () => {
      const name = topic();
      const clientId = topic();
      const subscriber = await peer();
      await subscriber.client.subscribeAsync(`${name}/#`);
      const will = (payload: string, willDelayInterval: number) => ({
        will: {
          topic: `${name}/will`,
          payload: Buffer.from(payload),
          qos: 1 as const,
          properties: { willDelayInterval },
        },
      });
      const first = await peer({ ...kept(clientId), ...will('cancelled', 3600) });
      first.drop();
      await first.untilClosed();
      const second = await peer({ ...kept(clientId), ...will('after one second', 1) });
      expect(second.sessionPresent).toBe(true);
      second.drop();
      expect(await subscriber.received(1)).toMatchObject([{ payload: 'after one second' }]);
    });

    test('message expiry: what is too old is not delivered', async () => {
      const clientId = topic();
      const name = topic();
      const session = await peer(kept(clientId));
      await session.client.subscribeAsync(`${name}/#`, { qos: 1 });
      await session.end();
      const publisher = await peer();
      const publish = (payload: string, messageExpiryInterval: number) =>
        publisher.client.publishAsync(`${name}/${payload}`, payload, {
          qos: 1,
          properties: { messageExpiryInterval },
        });
      await publish('short', 0);
      await publish('long', 100);
      const back = await MqttPeer.connect(port, { protocolVersion, ...kept(clientId) });
      open.push(back);
      const [message] = await back.received(1);
      expect(message?.payload).toBe('long');
      expect(message?.packet.properties?.messageExpiryInterval).toBeLessThanOrEqual(100);
    });

    test('topic aliases in both directions', async () => {
      const name = topic();
      const subscriber = await peer({ properties: { topicAliasMaximum: 3 }, autoUseTopicAlias: false });
      await subscriber.client.subscribeAsync(`${name}/#`);
      const publisher = await peer({ autoAssignTopicAlias: true });
      for (let i = 0; i < 12; i++)
        await publisher.client.publishAsync(`${name}/${i % 4}`, String(i), { qos: 1 });
      const messages = await subscriber.received(12);
      expect(messages.map((message) => message.payload)).toEqual(
        Array.from({ length: 12 }, (_, i) => String(i)),
      );
    });
  }
});
