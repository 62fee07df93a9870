/**
 * The promise that distributed interest must keep: after the PONG that follows a SUB, every later publish of anybody
 * arrives; after the PONG that follows an UNSUB, none does. Connections outnumber the shards, so most pairs cross threads.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { shardCounts } from '../support/server-command.ts';

const CONNECTIONS = 7;

function messages(client: RawClient, from: number): string[] {
  return client.texts.slice(from).filter((text) => text.startsWith('MSG'));
}

describe.each(shardCounts())('causality, %i shard(s)', (shards) => {
  let daemon: Daemon;
  const clients: RawClient[] = [];

  async function connect(count: number): Promise<RawClient[]> {
    for (let index = 0; index < count; index += 1) {
      const client = await RawClient.connect({ port: daemon.port });
      await client.handshake({ no_responders: true });
      clients.push(client);
    }
    return clients;
  }

  beforeAll(async () => {
    daemon = await Daemon.start({ shards });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.end()));
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test('subscribe, publish, unsubscribe, publish: exactly the one in between', async () => {
    const peers = await connect(CONNECTIONS);
    const random = seededRandom(71);
    for (let round = 0; round < 300; round += 1) {
      const [subscriber, publisher] = [random.pick(peers), random.pick(peers)];
      const queue = random.below(3) === 0 ? 'q ' : '';
      const subject = random.below(2) === 0 ? `once.${round}` : `once.${round % 5}`;
      const from = subscriber.frames.length;
      await subscriber.sync(`SUB ${subject} ${queue}${round}\r\n`);
      await publisher.sync(`PUB ${subject} 1\r\nx\r\n`);
      await subscriber.sync(`UNSUB ${round}\r\n`);
      await publisher.sync(`PUB ${subject} 1\r\ny\r\n`);
      await subscriber.sync();
      expect(messages(subscriber, from)).toEqual([`MSG ${subject} ${round} 1\r\nx`]);
    }
  });

  test('a request sees a responder as soon as its PONG came, and its absence as soon as it left', async () => {
    const peers = await connect(CONNECTIONS);
    const random = seededRandom(72);
    for (const [index, client] of peers.entries()) await client.sync(`SUB inbox.${index}.* inbox\r\n`);
    for (let round = 0; round < 200; round += 1) {
      const [responder, requester] = [random.pick(peers), random.below(CONNECTIONS)];
      const client = peers[requester] as RawClient;
      const from = client.frames.length;
      await responder.sync(`SUB svc.${round} ${round}\r\n`);
      await client.sync(`PUB svc.${round} inbox.${requester}.1 0\r\n\r\n`);
      await responder.sync(`UNSUB ${round}\r\n`);
      await client.sync(`PUB svc.${round} inbox.${requester}.2 0\r\n\r\n`);
      const answers = client.texts.slice(from).filter((text) => text.startsWith('HMSG'));
      expect(answers).toEqual([expect.stringContaining(`HMSG inbox.${requester}.2 inbox `)]);
    }
  });

  test('publishing while others come and go: no doubles, no disorder, a steady subscriber misses nothing', async () => {
    const peers = await connect(CONNECTIONS);
    const [steady, ...others] = peers as [RawClient, ...RawClient[]];
    const publishers = others.slice(0, 3);
    const restless = others.slice(3);
    await steady.sync('SUB stream.> steady\r\n');
    const rounds = 40;
    const perRound = 25;
    const publish = async (publisher: RawClient, name: number): Promise<void> => {
      for (let round = 0; round < rounds; round += 1) {
        const batch = Array.from({ length: perRound }, (_, index) => {
          const payload = `${name} ${round * perRound + index}`;
          return `PUB stream.${name} ${payload.length}\r\n${payload}\r\n`;
        });
        await publisher.sync(batch.join(''));
      }
    };
    const comeAndGo = async (client: RawClient): Promise<void> => {
      for (let round = 0; round < rounds; round += 1) {
        await client.sync(`SUB stream.* a${round}\r\nSUB stream.> b${round}\r\n`);
        await client.sync(`UNSUB a${round}\r\nUNSUB b${round} ${1 + (round % 50)}\r\n`);
      }
    };
    await Promise.all([...publishers.map(publish), ...restless.map(comeAndGo)]);
    await Promise.all(peers.map((client) => client.sync()));
    for (const client of [steady, ...restless]) expectOrdered(client);
    const all = messages(steady, 0).map((text) => text.split('\r\n')[1]);
    expect(all).toHaveLength(publishers.length * rounds * perRound);
  });
});

/** Per subscription and publisher the numbers rise: neither doubled nor out of order. */
function expectOrdered(client: RawClient): void {
  const last = new Map<string, number>();
  for (const text of messages(client, 0)) {
    const [line = '', payload = ''] = text.split('\r\n');
    const [name, number] = payload.split(' ');
    const key = `${line.split(' ')[2]} ${name}`;
    expect(Number(number)).toBeGreaterThan(last.get(key) ?? -1);
    last.set(key, Number(number));
  }
}
