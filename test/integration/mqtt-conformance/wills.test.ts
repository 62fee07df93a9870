/** Wills: clauses 3.1.2.5 to 3.1.2.7 and 3.1.3.2 to 3.1.3.4. */
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
  payloads,
  publish,
  publishes,
  settled,
  statement,
  subscribe,
} from '../../support/mqtt-conformance.ts';

const broker = Broker.forTests();

function will(topic: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { will: { topic, payload: 'will', qos: 1, retain: false, ...more } };
}

async function watch(level: Level, filter: string, rap = false): Promise<RawMqtt> {
  const raw = await broker.connected(level);
  await subscribe(raw, filter, { qos: 2, ...(level === 5 ? { rap } : {}) });
  return raw;
}

const refused = (level: Level, reason: number): unknown[] =>
  level === 5 ? [{ cmd: 'connack', reasonCode: reason }] : [];

describe('the flags', () => {
  statement({ v3: '3.1.2-9', v5: '3.1.2-9' }, 'a will that is announced is there', async (level) => {
    for (const payload of [field('a'), field('a') + none(level) + field('t')]) {
      const answers = await broker.rejected(level, connectPacket(level, { flags: 6, payload }));
      expect(answers).toMatchObject(refused(level, 0x81));
    }
  });

  statement({ v3: '3.1.2-11 3.1.2-13', v5: '3.1.2-11' }, 'no will has no QoS', async (level) => {
    for (const flags of [0x0a, 0x12, 0x1a]) {
      const answers = await broker.rejected(level, connectPacket(level, { flags, payload: field('a') }));
      expect(answers).toMatchObject(refused(level, 0x81));
    }
  });

  statement({ v3: '3.1.2-15', v5: '3.1.2-13' }, 'no will is not retained', async (level) => {
    const hex = connectPacket(level, { flags: 0x22, payload: field('a') });
    expect(await broker.rejected(level, hex)).toMatchObject(refused(level, 0x81));
  });

  statement({ v3: '3.1.2-14', v5: '3.1.2-12' }, 'QoS 0, 1 and 2 are there, 3 is not', async (level) => {
    const payload = field('a') + none(level) + field('t') + field('x');
    const answers = await broker.rejected(level, connectPacket(level, { flags: 0x1e, payload }));
    expect(answers).toMatchObject(refused(level, 0x81));
    const name = fresh();
    const watcher = await watch(level, name);
    for (const qos of [0, 1, 2]) {
      (await broker.connected(level, will(name, { qos }))).destroy();
      expect((await watcher.until('publish', qos + 1)).qos).toBe(qos);
    }
  });

  statement({ v3: '3.1.3-10', v5: '3.1.3-11' }, 'the topic is UTF-8', async (level) => {
    const payload = field('a') + none(level) + field([0xed, 0xa0, 0x80]) + field('x');
    const answers = await broker.rejected(level, connectPacket(level, { flags: 6, payload }));
    expect(answers).toMatchObject(refused(level, 0x81));
  });
});

describe('what becomes of it', () => {
  statement(
    { v3: '3.1.2-8', v5: '3.1.2-7 3.1.2-8' },
    'a connection that breaks, or breaks the rules, publishes it',
    async (level) => {
      const name = fresh();
      const watcher = await watch(level, name);
      (await broker.connected(level, will(name))).destroy();
      await watcher.until('publish');
      const raw = await broker.connected(level, will(name));
      raw.write('00 00');
      await raw.untilClosed();
      await watcher.until('publish', 2);
      const first = await broker.connected(level, { clientId: name, ...will(name) });
      await broker.connected(level, { clientId: name });
      await first.untilClosed();
      await watcher.until('publish', 3);
    },
  );

  statement({ v3: '3.1.2-10 3.14.4-3', v5: '3.1.2-10 3.14.4-3' }, 'DISCONNECT discards it', async (level) => {
    const name = fresh();
    const watcher = await watch(level, name);
    await disconnect(await broker.connected(level, will(name)));
    const id = fresh();
    await disconnect(await broker.connected(level, { ...keptSession(level, id), ...will(name) }));
    (await broker.kept(level, id)).destroy();
    publish(watcher, name, 'after');
    await watcher.until('publish');
    expect(payloads(watcher)).toEqual(['after']);
  });

  statement(
    { v5: '3.14.2-1' },
    'DISCONNECT 0x04 doesn’t; codes of servers end the connection too',
    async () => {
      const name = fresh();
      const watcher = await watch(5, name);
      await disconnect(await broker.connected(5, will(name)), 4);
      await watcher.until('publish');
      expect(await broker.ended(5, 'e0018b')).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x81 }]);
      expect(await broker.ended(5, 'e00101')).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x81 }]);
    },
  );

  statement({ v3: '3.1.2-12' }, 'without one nothing is published', async (level) => {
    const name = fresh();
    const watcher = await watch(level, `${name}/#`);
    const raw = await broker.connected(level, { clientId: name });
    raw.destroy();
    // The end of that connection is known once its client id is free.
    await broker.connected(level, { clientId: name });
    expect(await settled(watcher)).toEqual([]);
  });

  statement(
    { v3: '3.1.2-16', v5: '3.1.2-14' },
    'it is not retained where it doesn’t say so',
    async (level) => {
      const name = fresh();
      const watcher = await watch(level, name, true);
      (await broker.connected(level, will(name))).destroy();
      expect((await watcher.until('publish')).retain).toBe(false);
      expect(await broker.retained(level, name)).toEqual([]);
    },
  );

  statement({ v3: '3.1.2-17', v5: '3.1.2-15' }, 'it is retained where it says so', async (level) => {
    const name = fresh();
    const watcher = await watch(level, name);
    (await broker.connected(level, will(name, { retain: true }))).destroy();
    await watcher.until('publish');
    expect(await broker.retained(level, name)).toEqual(['will']);
  });

  statement({ v5: '3.1.3-9' }, 'a new connection before its delay is over cancels it', async () => {
    const [id, name] = [fresh(), fresh()];
    const watcher = await watch(5, `${name}/#`);
    const delayed = (topic: string, seconds: number) =>
      will(topic, { properties: { willDelayInterval: seconds } });
    (await broker.connected(5, { ...keptSession(5, id), ...delayed(`${name}/cancelled`, 1) })).destroy();
    await broker.kept(5, id);
    // One with the same delay that began later is out: so the first would be.
    (await broker.connected(5, { ...keptSession(5, fresh()), ...delayed(`${name}/due`, 1) })).destroy();
    await watcher.until('publish');
    expect(publishes(watcher).map(({ topic }) => topic)).toEqual([`${name}/due`]);
  });

  statement({ v5: '3.1.3-10' }, 'its user properties keep their order', async () => {
    const name = fresh();
    const watcher = await watch(5, name);
    const userProperties = { z: '1', a: ['2', '3'], m: '4' };
    (await broker.connected(5, will(name, { properties: { userProperties } }))).destroy();
    const found = (await watcher.until('publish')).properties?.userProperties;
    expect(found).toEqual(userProperties);
    expect(Object.keys(found ?? {})).toEqual(['z', 'a', 'm']);
  });
});
