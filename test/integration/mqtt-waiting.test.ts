/** `ack_wait` and `js_api_timeout`: what a client that doesn't acknowledge is sent, and one whose session isn't found. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { Faults } from '../support/faults.ts';
import { mqttPort, RawMqtt } from '../support/mqtt.ts';
import { fresh, keptSession, publish, publishes, settled, subscribe } from '../support/mqtt-conformance.ts';

const config = (more: string): string =>
  `server_name: waiting\njetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1", ${more} }\n`;
const open: RawMqtt[] = [];

async function connected(port: number, level: 4 | 5, more: Record<string, unknown> = {}): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(port, level, more);
  open.push(raw);
  return raw;
}

afterEach(() => {
  for (const raw of open.splice(0)) raw.destroy();
});

describe('ack_wait', () => {
  let daemon: Daemon;
  let port: number;
  beforeAll(async () => {
    daemon = await Daemon.start({ shards: 2, config: config('ack_wait: "1s"') });
    port = await mqttPort(daemon);
  });
  afterAll(() => daemon.stop());

  test.each([
    true,
    false,
  ])('3.1.1, clean session %s: again with DUP, the same identifier, in order; PUBREL too', async (clean) => {
    const name = fresh();
    const raw = await connected(port, 4, { clientId: name, clean });
    await subscribe(raw, `${name}/#`, { qos: 2 });
    const publisher = await connected(port, 4);
    for (const qos of [1, 2] as const)
      publish(publisher, `${name}/${qos}`, `qos ${qos}`, { qos, messageId: qos });
    await raw.until('publish', 6);
    const found = publishes(raw).map(({ payload, messageId, dup, qos }) => [
      String(payload),
      messageId,
      dup,
      qos,
    ]);
    const [first, second] = found as [unknown[], unknown[]];
    const again = [
      [first[0], first[1], true, first[3]],
      [second[0], second[1], true, second[3]],
    ];
    expect(found.slice(0, 6)).toEqual([first, second, ...again, ...again]);
    expect([first[2], second[2]]).toEqual([false, false]);
    expect([first[0], second[0]].toSorted()).toEqual(['qos 1', 'qos 2']);
    const idOf = (qos: number): number => publishes(raw).find((one) => one.qos === qos)!.messageId!;
    raw.send({ cmd: 'puback', messageId: idOf(1) });
    raw.send({ cmd: 'pubrec', messageId: idOf(2) });
    await raw.until('pubrel');
    await settled(raw);
    const count = publishes(raw).length;
    await raw.until('pubrel', 3);
    expect((await raw.until('pubrel', 3)).messageId).toBe(idOf(2));
    raw.send({ cmd: 'pubcomp', messageId: idOf(2) });
    expect((await settled(raw)).length).toBe(count);
  });

  test('[MQTT-4.4.0-1] 5.0: not on the same connection', async () => {
    const name = fresh();
    const [five, four] = [
      await connected(port, 5, keptSession(5, name)),
      await connected(port, 4, keptSession(4, `${name}4`)),
    ];
    const clean = await connected(port, 5);
    for (const raw of [five, four, clean]) await subscribe(raw, name, { qos: 1 });
    publish(await connected(port, 5), name, 'x', { qos: 1, messageId: 1 });
    // The other version gets it three times in that while.
    await four.until('publish', 3);
    expect(await settled(five)).toEqual(['x']);
    expect(await settled(clean)).toEqual(['x']);
  });
});

const faults = Faults.make();

describe.skipIf(faults === null)('js_api_timeout', () => {
  let daemon: Daemon;
  beforeAll(async () => {
    const environment = faults!.environment;
    daemon = await Daemon.start({ shards: 2, config: config('js_api_timeout: "300ms"'), environment });
  });
  afterAll(async () => {
    faults!.clear();
    await daemon.stop();
    faults!.remove();
  });

  test('a CONNECT that the store doesn’t answer is refused, until it does', async () => {
    const port = await mqttPort(daemon);
    faults!.set('hang');
    for (const level of [4, 5] as const) {
      const raw = await RawMqtt.open(port, level);
      open.push(raw);
      raw.connect(keptSession(level, fresh()));
      const refusal = level === 5 ? { reasonCode: 0x88 } : { returnCode: 3 };
      expect(await raw.untilClosed()).toMatchObject([{ cmd: 'connack', sessionPresent: false, ...refusal }]);
    }
    await daemon.untilLogged(/unable to connect: the store has not answered for 300 ms/);
    faults!.clear();
    for (let accepted = false; !accepted; ) {
      const raw = await RawMqtt.open(port, 4);
      open.push(raw);
      raw.connect(keptSession(4, fresh()));
      accepted = (await raw.until('connack')).returnCode === 0;
    }
  });
});
