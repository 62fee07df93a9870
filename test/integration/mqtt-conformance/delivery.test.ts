/** Clauses 4.1 to 4.6: state, QoS, what is sent again, order. */
import { describe, expect } from 'vitest';
import type { RawMqtt } from '../../support/mqtt.ts';
import {
  Broker,
  disconnect,
  fresh,
  type Level,
  payloads,
  publish,
  publishes,
  settled,
  statement,
  subscribe,
} from '../../support/mqtt-conformance.ts';

const broker = Broker.forTests();

/** Cuts a connection off, and waits for the same session's next one. */
async function reconnected(raw: RawMqtt, level: Level, id: string): Promise<RawMqtt> {
  raw.destroy();
  return broker.kept(level, id);
}

/** A session that subscribed, and the topic. */
async function subscriber(level: Level, qos: 0 | 1 | 2): Promise<{ id: string; name: string; raw: RawMqtt }> {
  const [id, name] = [fresh(), fresh()];
  const raw = await broker.kept(level, id);
  await subscribe(raw, `${name}/#`, { qos });
  return { id, name, raw };
}

/** Publishes and waits for what says that the server has it. */
async function sent(level: Level, topic: string, texts: readonly string[], qos: 1 | 2): Promise<RawMqtt> {
  const raw = await broker.connected(level);
  for (const [i, text] of texts.entries()) publish(raw, topic, text, { qos, messageId: i + 1 });
  await raw.until(qos === 1 ? 'puback' : 'pubrec', texts.length);
  return raw;
}

describe('session state', () => {
  statement(
    { v3: '4.1.0-1 4.1.0-2', v5: '4.1.0-1' },
    'lasts as long as the connection at least',
    async (level) => {
      const [raw, name] = [
        await broker.connected(level, level === 5 ? { properties: { sessionExpiryInterval: 1 } } : {}),
        fresh(),
      ];
      await subscribe(raw, name, { qos: 1 });
      await broker.untilExpired();
      await broker.stored(name, 'x');
      expect((await raw.until('publish')).payload.toString()).toBe('x');
    },
  );

  statement({ v5: '4.1.0-2' }, 'goes when its time is over', async () => {
    const [id, name] = [fresh(), fresh()];
    const watcher = await broker.connected(5);
    await subscribe(watcher, name);
    // The will is published when the session ends: its own delay is longer.
    const will = {
      topic: name,
      payload: 'over',
      qos: 0,
      retain: false,
      properties: { willDelayInterval: 3600 },
    };
    const short = { clientId: id, clean: false, properties: { sessionExpiryInterval: 1 } };
    const raw = await broker.connected(5, { ...short, will });
    await subscribe(raw, `${name}/x`, { qos: 1 });
    raw.destroy();
    await watcher.until('publish');
    const again = await broker.connected(5, short);
    expect((await again.until('connack')).sessionPresent).toBe(false);
    await broker.stored(`${name}/x`, 'x');
    expect(await settled(again)).toEqual([]);
  });

  statement(
    { v3: '4.5.0-1', v5: '4.5.0-1' },
    'of each that subscribed gets the message, connected or not',
    async (level) => {
      const name = fresh();
      const ids = [fresh(), fresh(), fresh()];
      for (const id of ids) {
        const raw = await broker.kept(level, id);
        await subscribe(raw, name, { qos: 1 });
        await disconnect(raw);
      }
      const here = await broker.kept(level, ids[0]!);
      await sent(level, name, ['x'], 1);
      await here.until('publish');
      for (const id of ids.slice(1))
        expect((await (await broker.kept(level, id)).until('publish')).qos).toBe(1);
    },
  );
});

describe('QoS 1', () => {
  statement(
    { v3: '4.3.2-2', v5: '4.3.2-4 4.3.2-5' },
    'PUBACK has the identifier; the next with it is a new message',
    async (level) => {
      const { name, raw } = await subscriber(level, 1);
      const publisher = await broker.connected(level);
      for (const dup of [false, false, true])
        publish(publisher, `${name}/x`, 'x', { qos: 1, messageId: 7, dup });
      await publisher.until('puback', 3);
      expect(publisher.packets.slice(1).map(({ messageId }) => messageId)).toEqual([7, 7, 7]);
      await raw.until('publish', 3);
    },
  );

  statement(
    { v5: '4.3.2-2 4.3.2-3' },
    'is new the first time, and unacknowledged until PUBACK',
    async (level) => {
      const { id, name, raw } = await subscriber(level, 1);
      await sent(level, `${name}/x`, ['a', 'b'], 1);
      await raw.until('publish', 2);
      expect(publishes(raw).map(({ dup, qos }) => [dup, qos])).toEqual([
        [false, 1],
        [false, 1],
      ]);
      const [first, second] = publishes(raw);
      raw.send({ cmd: 'puback', messageId: first!.messageId! });
      await settled(raw);
      const next = await reconnected(raw, level, id);
      const again = await next.until('publish');
      expect([again.messageId, again.dup]).toEqual([second!.messageId, true]);
      expect(await settled(next)).toEqual(['b']);
    },
  );
});

describe('QoS 2 from a client', () => {
  for (const kept of [false, true])
    statement(
      { v3: '4.3.3-2', v5: '4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12' },
      `is delivered once (session kept: ${kept})`,
      async (level) => {
        const { name, raw } = await subscriber(level, 2);
        const id = fresh();
        let publisher = kept ? await broker.kept(level, id) : await broker.connected(level);
        publish(publisher, `${name}/x`, 'first', { qos: 2, messageId: 5 });
        expect((await publisher.until('pubrec')).messageId).toBe(5);
        publish(publisher, `${name}/x`, 'first', { qos: 2, messageId: 5, dup: true });
        await publisher.until('pubrec', 2);
        if (kept) {
          publisher = await reconnected(publisher, level, id);
          publish(publisher, `${name}/x`, 'first', { qos: 2, messageId: 5, dup: true });
          await publisher.until('pubrec');
        }
        publisher.send({ cmd: 'pubrel', messageId: 5 });
        expect((await publisher.until('pubcomp')).messageId).toBe(5);
        publish(publisher, `${name}/x`, 'second', { qos: 2, messageId: 5 });
        await publisher.until('pubrec', kept ? 2 : 3);
        await raw.until('publish', 2);
        expect(await settled(raw)).toEqual(['first', 'second']);
      },
    );

  statement({ v5: '4.3.3-9' }, 'after a PUBREC that refuses, the identifier is free', async () => {
    const { name, raw } = await subscriber(5, 2);
    const publisher = await broker.connected(5, { username: 'limited', password: Buffer.from('pw') });
    publish(publisher, 'deny/x', 'x', { qos: 2, messageId: 5 });
    expect((await publisher.until('pubrec')).reasonCode).toBe(0x87);
    publish(publisher, `${name}/x`, 'new', { qos: 2, messageId: 5 });
    expect((await publisher.until('pubrec', 2)).reasonCode ?? 0).toBe(0);
    expect((await raw.until('publish')).payload.toString()).toBe('new');
  });

  statement({ v5: '4.3.3-13' }, 'goes on though the message expired', async () => {
    const raw = await broker.kept(5, fresh());
    publish(raw, fresh(), 'x', { qos: 2, messageId: 5, properties: { messageExpiryInterval: 1 } });
    await raw.until('pubrec');
    await broker.untilExpired();
    raw.send({ cmd: 'pubrel', messageId: 5 });
    expect((await raw.until('pubcomp')).reasonCode ?? 0).toBe(0);
  });
});

describe('QoS 2 to a client', () => {
  statement(
    { v5: '4.3.3-2 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6' },
    'is sent until PUBREC, and PUBREL until PUBCOMP',
    async (level) => {
      const { id, name, raw } = await subscriber(level, 2);
      await sent(level, `${name}/x`, ['x'], 2);
      const first = await raw.until('publish');
      expect([first.qos, first.dup]).toEqual([2, false]);
      const second = await reconnected(raw, level, id);
      const repeated = await second.until('publish');
      expect([repeated.messageId, repeated.dup]).toEqual([first.messageId, true]);
      second.send({ cmd: 'pubrec', messageId: first.messageId! });
      expect((await second.until('pubrel')).messageId).toBe(first.messageId);
      const third = await reconnected(second, level, id);
      expect((await third.until('pubrel')).messageId).toBe(first.messageId);
      third.send({ cmd: 'pubcomp', messageId: first.messageId! });
      expect(await settled(third)).toEqual([]);
      const fourth = await reconnected(third, level, id);
      expect(await settled(fourth)).toEqual([]);
      expect(fourth.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
    },
  );

  statement({ v5: '4.3.3-7' }, 'once it was sent it doesn’t expire', async () => {
    const { id, name, raw } = await subscriber(5, 2);
    const publisher = await broker.connected(5);
    publish(publisher, `${name}/x`, 'x', { qos: 2, messageId: 1, properties: { messageExpiryInterval: 1 } });
    const first = await raw.until('publish');
    raw.destroy();
    await broker.untilExpired();
    const again = await (await broker.kept(5, id)).until('publish');
    expect([again.messageId, again.dup, again.payload.toString()]).toEqual([first.messageId, true, 'x']);
  });
});

describe('what is sent again', () => {
  statement(
    { v3: '4.4.0-1 4.6.0-1', v5: '4.4.0-1 4.6.0-1' },
    'after a reconnect: all that is unacknowledged, with its identifier, in order',
    async (level) => {
      const { id, name, raw } = await subscriber(level, 2);
      const publisher = await broker.connected(level);
      for (let i = 0; i < 4; i++)
        publish(publisher, `${name}/${i}`, String(i), { qos: i === 3 ? 1 : 2, messageId: i + 1 });
      await raw.until('publish', 4);
      const before = publishes(raw);
      raw.send({ cmd: 'pubrec', messageId: before[1]!.messageId! });
      await raw.until('pubrel');
      raw.send({ cmd: 'puback', messageId: before[3]!.messageId! });
      await settled(raw);
      const next = await reconnected(raw, level, id);
      await next.until('publish', 2);
      await settled(next);
      const again = next.packets.slice(1, -1);
      expect(again.map((one) => [one.cmd, one.messageId, one.cmd === 'publish' && one.dup])).toEqual([
        ['pubrel', before[1]!.messageId, false],
        ['publish', before[0]!.messageId, true],
        ['publish', before[2]!.messageId, true],
      ]);
    },
  );

  statement(
    { v5: '4.4.0-2 4.8.2-6' },
    'not what was refused by PUBACK or PUBREC, nor to another member of a share',
    async () => {
      const { id, name, raw } = await subscriber(5, 2);
      await sent(5, `${name}/x`, ['one'], 1);
      await sent(5, `${name}/x`, ['two'], 2);
      await raw.until('publish', 2);
      const [one, two] = publishes(raw);
      raw.send({ cmd: 'puback', messageId: one!.messageId!, reasonCode: 0x97 });
      raw.send({ cmd: 'pubrec', messageId: two!.messageId!, reasonCode: 0x80 });
      await settled(raw);
      expect(raw.packets.some(({ cmd }) => cmd === 'pubrel')).toBe(false);
      expect(await settled(await reconnected(raw, 5, id))).toEqual([]);
      const members = [await broker.connected(5), await broker.kept(5, fresh())];
      for (const member of members) await subscribe(member, `$share/g/${name}/y`, { qos: 2 });
      await sent(5, `${name}/y`, ['three'], 2);
      await Promise.race(members.map((member) => member.until('publish').catch(() => undefined)));
      for (const member of members)
        for (const { messageId } of publishes(member))
          member.send({ cmd: 'pubrec', messageId: messageId!, reasonCode: 0x80 });
      const found = [];
      for (const member of members) found.push(...(await settled(member)));
      expect(found).toEqual(['three']);
    },
  );
});

describe('order', () => {
  for (const qos of [0, 1, 2] as const)
    statement(
      { v3: '4.6.0-5 4.6.0-6', v5: '4.6.0-5 4.6.0-6' },
      `of what a client publishes is kept at QoS ${qos}`,
      async (level) => {
        const texts = Array.from({ length: 100 }, (_, i) => String(i));
        for (const raw of [await broker.connected(level), await broker.kept(level, fresh())]) {
          const name = fresh();
          await subscribe(raw, name, { qos });
          const publisher = await broker.connected(level);
          for (const [i, text] of texts.entries())
            publish(publisher, name, text, qos === 0 ? {} : { qos, messageId: i + 1 });
          await raw.until('publish', 100);
          expect(payloads(raw)).toEqual(texts);
        }
      },
    );

  statement(
    { v3: '4.6.0-3 4.6.0-4', v5: '4.6.0-3 4.6.0-4' },
    'of PUBACK, PUBREC and PUBREL is that of what they answer',
    async (level) => {
      const { name, raw } = await subscriber(level, 2);
      const ids = [9, 3, 7, 1, 5];
      const publisher = await broker.connected(level);
      for (const messageId of ids) publish(publisher, `${name}/x`, 'x', { qos: 2, messageId });
      for (const messageId of ids) publish(publisher, fresh(), 'x', { qos: 1, messageId: messageId + 100 });
      await publisher.until('pubrec', 5);
      await publisher.until('puback', 5);
      const answers = (cmd: string, from: RawMqtt) =>
        from.packets.flatMap((one) => (one.cmd === cmd && 'messageId' in one ? [one.messageId] : []));
      expect(answers('pubrec', publisher)).toEqual(ids);
      expect(answers('puback', publisher)).toEqual(ids.map((id) => id + 100));
      await raw.until('publish', 5);
      const received = publishes(raw)
        .map(({ messageId }) => messageId!)
        .toReversed();
      for (const messageId of received) raw.send({ cmd: 'pubrec', messageId });
      await raw.until('pubrel', 5);
      expect(answers('pubrel', raw)).toEqual(received);
    },
  );
});

describe('shared subscriptions', () => {
  statement({ v5: '4.8.2-1 4.8.2-2' }, 'have a name without wildcards, and a filter', async () => {
    const raw = await broker.connected(5);
    const filters = [
      '$share/g/a',
      '$share/g//',
      '$share//a',
      '$share/g',
      '$share/g/',
      '$share/+/a',
      '$share/g#/a',
      '$share/',
    ];
    raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 0 })) });
    expect((await raw.until('suback')).granted).toEqual([0, 0, ...new Array(6).fill(0x8f)]);
  });

  statement({ v5: '4.8.2-3' }, 'are delivered at the QoS of the member', async () => {
    for (const qos of [0, 1, 2] as const)
      for (const raw of [await broker.connected(5), await broker.kept(5, fresh())]) {
        const name = fresh();
        await subscribe(raw, `$share/g/${name}`, { qos });
        await sent(5, name, ['x'], 2);
        expect((await raw.until('publish')).qos).toBe(qos);
      }
  });

  for (const released of [false, true])
    statement(
      { v5: '4.8.2-4' },
      `of QoS 2: the member gets the rest when it comes back (PUBREC sent: ${released})`,
      async () => {
        const [id, name] = [fresh(), fresh()];
        const raw = await broker.kept(5, id);
        await subscribe(raw, `$share/g/${name}`, { qos: 2 });
        await sent(5, name, ['x'], 2);
        const first = await raw.until('publish');
        const other = await broker.connected(5);
        await subscribe(other, `$share/g/${name}`, { qos: 2 });
        if (released) {
          raw.send({ cmd: 'pubrec', messageId: first.messageId! });
          await raw.until('pubrel');
        }
        const again = await reconnected(raw, 5, id);
        const { messageId } = await again.until(released ? 'pubrel' : 'publish');
        expect(messageId).toBe(first.messageId);
        expect(await settled(other)).toEqual([]);
      },
    );

  statement({ v5: '4.8.2-5' }, 'of QoS 2: when the session ends nobody else gets it', async () => {
    for (const kept of [false, true]) {
      const [id, name] = [fresh(), fresh()];
      const raw = kept ? await broker.kept(5, id) : await broker.connected(5, { clientId: id });
      await subscribe(raw, `$share/g/${name}`, { qos: 2 });
      await sent(5, name, ['x'], 2);
      await raw.until('publish');
      const other = await broker.connected(5);
      await subscribe(other, `$share/g/${name}`, { qos: 2 });
      raw.destroy();
      const clean = await broker.connected(5, { clientId: id });
      expect((await clean.until('connack')).sessionPresent).toBe(false);
      expect(await settled(clean)).toEqual([]);
      expect(await settled(other)).toEqual([]);
      other.destroy();
    }
  });
});
