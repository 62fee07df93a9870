/** Statements about servers that can't do everything: with `reject_qos2_publish`, and with a store that is full. */
import { describe, expect } from 'vitest';
import { Broker, fresh, publish, statement, subscribe } from '../../support/mqtt-conformance.ts';

const broker = Broker.forTests('mqtt { listen: "127.0.0.1:-1", reject_qos2_publish: true }\n');

statement(
  { v5: '3.2.2-9 3.2.2-10' },
  'the highest QoS is announced, subscriptions of any are taken',
  async () => {
    const raw = await broker.connected(5);
    expect((await raw.until('connack')).properties?.maximumQoS).toBe(1);
    for (const qos of [0, 1, 2] as const) await subscribe(raw, fresh(), { qos });
    const codes = raw.packets.flatMap((one) => (one.cmd === 'suback' ? one.granted : []));
    expect(codes).toEqual([0, 1, 2]);
  },
);

statement({ v5: '3.2.2-11' }, 'a PUBLISH above it ends the connection', async () => {
  const raw = await broker.connected(5);
  publish(raw, fresh(), 'x', { qos: 2, messageId: 1 });
  expect((await raw.untilClosed()).at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x9b });
});

statement({ v5: '3.2.2-12' }, 'a will above it is refused', async () => {
  const raw = await broker.open(5);
  raw.connect({ will: { topic: fresh(), payload: 'x', qos: 2, retain: false } });
  expect(await raw.untilClosed()).toMatchObject([{ cmd: 'connack', reasonCode: 0x9b }]);
});

describe('a store that is full', () => {
  const account = 'A { jetstream { max_file: 200KB }, users: [ { user: guest, password: pw } ] }';
  const full = Broker.forTests(
    undefined,
    `server_name: full\nno_auth_user: guest\naccounts { ${account} }\n`,
  );

  statement({ v3: '4.8.0-2' }, 'what can not be kept ends the connection', async (level) => {
    const raw = await full.connected(level);
    const name = fresh();
    for (let i = 1; i <= 10; i++)
      publish(raw, `${name}/${i}`, 'x'.repeat(60_000), { qos: 1, messageId: i, retain: true });
    const answers = (await raw.untilClosed()).slice(1);
    expect(answers.length).toBeLessThan(10);
    expect(new Set(answers.map(({ cmd }) => cmd))).toEqual(new Set(['puback']));
    // Another connection is good.
    await subscribe(await full.connected(level), name);
  });
});
