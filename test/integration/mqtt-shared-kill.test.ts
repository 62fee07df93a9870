/**
 * kill -9 right behind PUBACK and PUBREC of a message for a shared subscription. Publisher and member are on different shards, the
 * member's is busy, and each write of the store takes so long that nothing which is written later than the answer leaves
 * can be there afterwards.
 */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { Faults } from '../support/faults.ts';
import { mqttPort, RawMqtt } from '../support/mqtt.ts';
import { keptSession, publish, publishes, subscribe } from '../support/mqtt-conformance.ts';
import { RawClient } from '../support/raw-client.ts';

const CONFIG = 'server_name: shared\njetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n';
const TOPIC = 'shared/kill';
/** Work for a shard that takes longer than a write of the store: what it hands on meanwhile comes behind the answer. */
const LISTENERS = 500;
const BURST = 'PUB busy 0\r\n\r\n'.repeat(4500);
const faults = Faults.make();
const open: RawMqtt[] = [];
let daemon: Daemon | null = null;

async function connected(clientId: string): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(await mqttPort(daemon!), 5, keptSession(5, clientId));
  open.push(raw);
  return raw;
}

/** A NATS client on the shard that the third connection comes to, the one of the first. */
async function neighbour(): Promise<RawClient> {
  const client = await RawClient.connect({ port: daemon!.port });
  await client.handshake();
  await client.sync(Array.from({ length: LISTENERS }, (_, sid) => `SUB busy ${sid}\r\n`).join(''));
  return client;
}

/** What the session has, as it comes; nothing of it is ever acknowledged. */
async function received(member: RawMqtt, count: number): Promise<string[]> {
  await member.until('publish', count);
  return publishes(member).map(({ payload }) => String(payload));
}

describe.skipIf(faults === null)('killed behind the answer', () => {
  afterEach(async () => {
    faults!.clear();
    for (const raw of open.splice(0)) raw.destroy();
    await daemon?.stop();
    daemon = null;
  });
  afterAll(() => faults!.remove());

  test.each([1, 2] as const)('QoS %i: the session of the member has the message', async (qos) => {
    const { environment } = faults!;
    daemon = await Daemon.start({ shards: 2, config: CONFIG, environment });
    const { directory } = daemon;
    const first = await connected('member');
    await subscribe(first, `$share/g/${TOPIC}`, { qos: 2 });
    const sent: string[] = [];
    for (let round = 1; round <= 4; round++) {
      sent.push(String(round));
      const publisher = await connected(`publisher ${round}`);
      const busy = await neighbour();
      faults!.set('slow');
      busy.send(BURST);
      publish(publisher, TOPIC, String(round), { qos, messageId: 1 });
      await publisher.until(qos === 1 ? 'puback' : 'pubrec');
      await daemon.stop('SIGKILL', true);
      faults!.clear();
      busy.destroy();
      for (const raw of open.splice(0)) raw.destroy();
      daemon = await Daemon.start({ shards: 2, config: CONFIG, environment, directory });
      const member = await connected('member');
      expect(await received(member, round)).toEqual(sent);
    }
  }, 60_000);

  test('nobody is connected: it waits for the member', async () => {
    daemon = await Daemon.start({ shards: 2, config: CONFIG });
    const { directory } = daemon;
    const first = await connected('member');
    await subscribe(first, `$share/g/${TOPIC}`, { qos: 1 });
    first.send({ cmd: 'disconnect', reasonCode: 0 });
    await first.untilClosed();
    const publisher = await connected('publisher');
    publish(publisher, TOPIC, 'x', { qos: 1, messageId: 1 });
    await publisher.until('puback');
    await daemon.stop('SIGKILL', true);
    daemon = await Daemon.start({ shards: 2, config: CONFIG, directory });
    expect(await received(await connected('member'), 1)).toEqual(['x']);
  }, 30_000);
});
