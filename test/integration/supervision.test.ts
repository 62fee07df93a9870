/**
 * What the death of a shard costs: its own connections and nothing else.
 *
 * Connections go to the shard with the fewest, the lowest number first, so a test knows where each of its connections is.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { Embedded } from '../support/embedded.ts';
import { RawClient } from '../support/raw-client.ts';

const SHARDS = 3;

let daemon: Embedded;
const clients: RawClient[] = [];

async function connect(fields: Record<string, unknown> = {}): Promise<RawClient> {
  const client = await RawClient.connect({ port: daemon.port });
  clients.push(client);
  await client.handshake(fields);
  return client;
}

/** `perShard` connections on each shard: the one at `[shard][n]` is on that shard. */
async function populate(perShard: number): Promise<RawClient[][]> {
  const byShard: RawClient[][] = Array.from({ length: SHARDS }, () => []);
  for (let n = 0; n < perShard; n += 1) {
    for (let shard = 0; shard < SHARDS; shard += 1) byShard[shard]?.push(await connect());
  }
  return byShard;
}

function messages(client: RawClient): string[] {
  return client.texts.filter((text) => text.startsWith('MSG'));
}

function numbered(from: number, to: number): string {
  let text = '';
  for (let n = from; n < to; n += 1) {
    const payload = String(n);
    text += `PUB flow ${payload.length}\r\n${payload}\r\n`;
  }
  return text;
}

function received(client: RawClient): number[] {
  return client.frames.filter((frame) => frame.op === 'MSG').map((frame) => Number(frame.payload));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await daemon.stop();
});

describe('the death of a shard', () => {
  test('closes its own connections, is logged, and another takes its place', async () => {
    daemon = await Embedded.start(SHARDS);
    const byShard = await populate(2);
    await daemon.replaceShard(1);
    expect(daemon.lines).toContainEqual(
      expect.stringMatching(/^Shard 1 died, its connections are closed: .*exited with code 1/),
    );
    for (const client of byShard[1] ?? []) await client.untilClosed();
    for (const client of [...(byShard[0] ?? []), ...(byShard[2] ?? [])]) {
      expect(await client.sync('SUB here 1\r\nPUB here 2\r\nok\r\n')).toBe(true);
      expect(messages(client)).toContain('MSG here 1 2\r\nok');
    }
    // The new shard is the emptiest: it gets the next connections.
    const [first, second] = [await connect(), await connect()];
    await first.sync('SUB new 1\r\n');
    await second.sync('SUB new 1\r\n');
    await byShard[0]?.[0]?.sync('PUB new 1\r\nx\r\n');
    for (const client of [first, second]) {
      expect(await client.sync()).toBe(true);
      expect(messages(client)).toEqual(['MSG new 1 1\r\nx']);
    }
    const varz = await daemon.monitoring('/varz');
    expect(varz.connections).toBe(6);
    expect(varz.total_connections).toBe(8);
    const closed = await daemon.monitoring('/connz?state=closed&sort=cid');
    expect(closed.connections).toEqual(
      [2, 5].map(() =>
        expect.objectContaining({
          ip: '127.0.0.1',
          kind: 'Client',
          type: 'nats',
          reason: 'Internal Error',
          start: expect.stringMatching(/^20/),
          stop: expect.stringMatching(/^20/),
        }),
      ),
    );
  });

  test('loses no message between the others, whatever is under way', async () => {
    daemon = await Embedded.start(SHARDS);
    const [[publisher], [victim], [subscriber]] = (await populate(1)) as [
      [RawClient],
      [RawClient],
      [RawClient],
    ];
    await subscriber.sync('SUB flow 1\r\n');
    await victim.sync('SUB flow 1\r\n');
    const rounds = 60;
    const perRound = 500;
    let replaced: Promise<void> = Promise.resolve();
    for (let round = 0; round < rounds; round += 1) {
      if (round === 20) replaced = daemon.replaceShard(1);
      expect(await publisher.sync(numbered(round * perRound, (round + 1) * perRound))).toBe(true);
    }
    await replaced;
    expect(await subscriber.sync()).toBe(true);
    expect(received(subscriber)).toEqual(range(0, rounds * perRound));
    await victim.untilClosed();
    const before = received(victim);
    expect(before).toEqual(range(0, before.length));
  });

  test('what it published and acknowledged before arrives', async () => {
    daemon = await Embedded.start(SHARDS);
    const [[subscriber], [victim]] = (await populate(1)) as [[RawClient], [RawClient]];
    await subscriber.sync('SUB flow 1\r\n');
    expect(await victim.sync(numbered(0, 5000))).toBe(true);
    await daemon.replaceShard(1);
    expect(await subscriber.sync()).toBe(true);
    expect(received(subscriber)).toEqual(range(0, 5000));
  });

  test('interest is learned again, in both directions', async () => {
    daemon = await Embedded.start(SHARDS);
    const byShard = await populate(1);
    const [zero, , two] = byShard.map((list) => list[0]) as [RawClient, RawClient, RawClient];
    await zero.sync('SUB plain 1\r\nSUB wild.* 2\r\nSUB work q 3\r\n');
    await two.sync('SUB plain 1\r\nSUB work q 3\r\n');
    await daemon.replaceShard(1);
    const fresh = await connect();
    // From the new shard to the old ones: what they were interested in before it existed.
    await fresh.sync(`PUB plain 1\r\na\r\nPUB wild.x 1\r\nb\r\n${'PUB work 1\r\nc\r\n'.repeat(20)}`);
    await zero.sync();
    await two.sync();
    expect(messages(zero).slice(0, 1)).toEqual(['MSG plain 1 1\r\na']);
    expect(messages(zero)).toContain('MSG wild.x 2 1\r\nb');
    expect(messages(two)).toContain('MSG plain 1 1\r\na');
    const work = [zero, two].flatMap(messages).filter((text) => text.startsWith('MSG work'));
    expect(work).toHaveLength(20);
    // And from the old ones to the new.
    await fresh.sync('SUB plain 1\r\n');
    await zero.sync('PUB plain 1\r\nd\r\n');
    await two.sync('PUB plain 1\r\ne\r\n');
    await fresh.sync();
    expect(messages(fresh).sort()).toEqual(['MSG plain 1 1\r\nd', 'MSG plain 1 1\r\ne']);
  });

  test('its interest is gone: a request has no responders, a queue group loses its members', async () => {
    daemon = await Embedded.start(SHARDS);
    const byShard = await populate(1);
    const [zero, victim, two] = byShard.map((list) => list[0]) as [RawClient, RawClient, RawClient];
    await victim.sync('SUB service 1\r\nSUB work q 2\r\n');
    await two.sync('SUB work q 2\r\n');
    const requester = await connect({ no_responders: true });
    await requester.sync('SUB inbox 1\r\n');
    await daemon.replaceShard(1);
    await requester.sync('PUB service inbox 0\r\n\r\n');
    expect(requester.texts.filter((text) => text.startsWith('HMSG'))).toHaveLength(1);
    await zero.sync('PUB work 1\r\nx\r\n'.repeat(30));
    await two.sync();
    expect(messages(two)).toHaveLength(30);
  });

  test('counters never fall, however often', async () => {
    daemon = await Embedded.start(SHARDS);
    const names = ['total_connections', 'in_msgs', 'in_bytes', 'out_msgs', 'out_bytes'] as const;
    let last = Object.fromEntries(names.map((name) => [name, 0]));
    const look = async (): Promise<Record<string, unknown>> => {
      const varz = await daemon.monitoring('/varz');
      for (const name of names) expect(varz[name]).toBeGreaterThanOrEqual(last[name] as number);
      last = Object.fromEntries(names.map((name) => [name, varz[name] as number]));
      return varz;
    };
    const keeper = await connect();
    await keeper.sync('SUB flow 1\r\n');
    for (const [round, shard] of [1, 2, 1, 2, 1].entries()) {
      const [a, b] = [await connect(), await connect()];
      await a.sync('PUB flow 5\r\nhello\r\n');
      await b.sync('PUB flow 5\r\nhello\r\n');
      expect(await keeper.sync()).toBe(true);
      await look();
      await daemon.replaceShard(shard);
      const varz = await look();
      expect(varz.in_msgs).toBe((round + 1) * 2);
      expect(varz.out_bytes).toBe((round + 1) * 10);
      expect(varz.total_connections).toBe(1 + (round + 1) * 2);
    }
    expect(messages(keeper)).toHaveLength(10);
  });

  test('every shard in turn, and all of them at once', async () => {
    daemon = await Embedded.start(SHARDS);
    for (const shard of [0, 1, 2]) {
      await connect();
      await daemon.replaceShard(shard);
    }
    const before = await populate(1);
    await Promise.all([0, 1, 2].map((shard) => daemon.replaceShard(shard)));
    for (const [client] of before as [RawClient][]) await client.untilClosed();
    const after = (await populate(2)).flat();
    for (const client of after) await client.sync('SUB all 1\r\n');
    for (const client of after) await client.sync('PUB all 1\r\nx\r\n');
    for (const client of after) {
      await client.sync();
      expect(messages(client)).toHaveLength(after.length);
    }
    expect((await daemon.monitoring('/varz')).connections).toBe(6);
  });

  test('the only shard of a server is replaced too', async () => {
    daemon = await Embedded.start(1);
    const client = await connect();
    await daemon.replaceShard(0);
    await client.untilClosed();
    const next = await connect();
    await next.sync('SUB a 1\r\nPUB a 1\r\nx\r\n');
    expect(messages(next)).toEqual(['MSG a 1 1\r\nx']);
  });

  test('publishers that waited for room in its ring go on', async () => {
    daemon = await Embedded.start(SHARDS, 'max_pending: 134217728\n');
    const byShard = await populate(20);
    const [[publisher], , [reader]] = byShard as [[RawClient], RawClient[], [RawClient]];
    await reader.sync('SUB flow 1\r\n');
    // One shard has so many subscribers that its ring is nearly always full: the publisher waits for it when it dies.
    for (const victim of byShard[1] ?? []) await victim.sync('SUB flow 1\r\n');
    const payload = 'r'.repeat(30_000);
    const burst = `PUB flow ${payload.length}\r\n${payload}\r\n`.repeat(128);
    const kills = 3;
    let published = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      const sent = publisher.sync(burst);
      // The first message of the burst is there, and the last is far from it.
      await reader.until((frames) => frames.filter(({ op }) => op === 'MSG').length > published, 'the burst');
      await daemon.replaceShard(1);
      expect(await sent).toBe(true);
      published += 128;
      for (let n = 0; n < 20; n += 1) await (await connect()).sync('SUB flow 1\r\n');
    }
    expect(await reader.sync()).toBe(true);
    expect(reader.frames.filter((frame) => frame.op === 'MSG')).toHaveLength(published);
  });

  test('connections of an account are given back to it', async () => {
    daemon = await Embedded.start(
      SHARDS,
      'accounts { A { users: [ { user: a, password: a } ], limits: { max_connections: 3 } } }\n',
    );
    const login = { user: 'a', pass: 'a' };
    for (let n = 0; n < 3; n += 1) await connect(login);
    const refused = await connect(login);
    await refused.untilClosed();
    expect(refused.texts).toContain("-ERR 'maximum account active connections exceeded'");
    await daemon.replaceShard(1);
    const allowed = await connect(login);
    expect(await allowed.sync()).toBe(true);
    const again = await connect(login);
    await again.untilClosed();
    expect(again.texts).toContain("-ERR 'maximum account active connections exceeded'");
  });

  test('connections on their way to it are closed, none is forgotten', async () => {
    daemon = await Embedded.start(2);
    const [keeper] = [await connect(), await connect()];
    for (let round = 0; round < 5; round += 1) {
      const killed = daemon.replaceShard(1);
      const arriving = await Promise.all(
        Array.from({ length: 40 }, () => RawClient.connect({ port: daemon.port })),
      );
      clients.push(...arriving);
      await killed;
      // Each is either served or closed.
      await Promise.all(arriving.map((client) => client.handshake()));
      for (const client of arriving) client.destroy();
    }
    expect(await keeper?.sync()).toBe(true);
  });

  test('the answer to a password check of the dead shard is not taken for one of the new', async () => {
    // Its cost makes the check take long enough for a shard to die and come back in the meantime.
    const hash = '$2b$12$R/YYXX/YkGpU3Hx9orsaI.38suKk0Oc6AliOXPRZQ.BNjOHHJaKAK';
    daemon = await Embedded.start(
      1,
      `authorization { timeout: 30, users: [ { user: u, password: "${hash}" } ] }\n`,
    );
    const right = await RawClient.connect({ port: daemon.port });
    clients.push(right);
    await right.info();
    right.send('CONNECT {"verbose":false,"user":"u","pass":"secret"}\r\n');
    // The check has been asked for once monitoring, which asks the same shard, has an answer.
    await daemon.monitoring('/connz');
    await daemon.replaceShard(0);
    const wrong = [];
    for (let n = 0; n < 3; n += 1) wrong.push(await connect({ user: 'u', pass: 'wrong' }));
    for (const client of wrong) {
      await client.untilClosed();
      expect(client.texts.at(-1)).toBe("-ERR 'Authorization Violation'");
    }
    expect(await (await connect({ user: 'u', pass: 'secret' })).sync()).toBe(true);
  });

  test('monitoring answers while shards come and go', async () => {
    daemon = await Embedded.start(SHARDS);
    await populate(2);
    const replaced = daemon.replaceShard(2);
    const pages = await Promise.all([
      daemon.monitoring('/connz?subs=1'),
      daemon.monitoring('/subsz?subs=1'),
      daemon.monitoring('/varz'),
      daemon.monitoring('/healthz'),
    ]);
    expect(pages.map((page) => Object.keys(page).length > 0)).toEqual([true, true, true, true]);
    await replaced;
    const connz = await daemon.monitoring('/connz');
    expect((connz.connections as { cid: number }[]).map(({ cid }) => cid)).toEqual([5, 6, 8, 9]);
  });
});
