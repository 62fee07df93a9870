/**
 * Hostile and broken clients: fuzzed bytes, names of extreme length, crowds that never log in.
 *
 * The measure is always the same: a well-behaved pair keeps exchanging messages on the same server throughout.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts';
import { openFileLimit, shardCounts } from '../support/server-command.ts';

const VALID = [
  'CONNECT {"verbose":false,"pedantic":true,"protocol":1,"headers":true,"no_responders":true}\r\n',
  'SUB fuzz.> 1\r\nSUB fuzz.a q 2\r\nUNSUB 1 5\r\n',
  'PUB fuzz.a 5\r\nhello\r\nPUB fuzz.b reply.c 0\r\n\r\n',
  'HPUB fuzz.a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n',
  'PING\r\nPONG\r\n+OK\r\nUNSUB 2\r\n',
];

function mutated(random: SeededRandom): Buffer {
  const count = 1 + random.below(4);
  const bytes = Buffer.from(Array.from({ length: count }, () => random.pick(VALID)).join(''), 'latin1');
  for (let edits = random.below(4); edits > 0; edits -= 1)
    bytes[random.below(bytes.length)] = random.below(256);
  const cut = random.below(3) === 0 ? random.below(bytes.length) : bytes.length;
  return bytes.subarray(0, cut);
}

function noise(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: 1 + random.below(200) }, () => random.below(256)));
}

/** Two clients that talk to each other; `exchange` fails when anything is lost, doubled or late. */
class WellBehavedPair {
  private round = 0;
  private readonly sender: RawClient;
  private readonly receiver: RawClient;

  private constructor(sender: RawClient, receiver: RawClient) {
    this.sender = sender;
    this.receiver = receiver;
  }

  static async connect(port: number): Promise<WellBehavedPair> {
    const [sender, receiver] = [await RawClient.connect({ port }), await RawClient.connect({ port })];
    await sender.handshake();
    await receiver.handshake();
    expect(await receiver.sync('SUB good.pair 1\r\n')).toBe(true);
    return new WellBehavedPair(sender, receiver);
  }

  async exchange(): Promise<void> {
    this.round += 1;
    const from = this.receiver.frames.length;
    const payload = `round ${this.round}`;
    expect(await this.sender.sync(`PUB good.pair ${payload.length}\r\n${payload}\r\n`)).toBe(true);
    expect(await this.receiver.sync()).toBe(true);
    const messages = this.receiver.texts.slice(from).filter((text) => text.startsWith('MSG'));
    expect(messages).toEqual([`MSG good.pair 1 ${payload.length}\r\n${payload}`]);
  }

  async end(): Promise<void> {
    await this.sender.end();
    await this.receiver.end();
  }
}

describe.each(shardCounts())('bad input, %i shard(s)', (shards) => {
  let daemon: Daemon;
  let pair: WellBehavedPair;
  beforeAll(async () => {
    daemon = await Daemon.start({ config: 'max_control_line: 16384\n', shards });
    pair = await WellBehavedPair.connect(daemon.port);
  });
  afterAll(async () => {
    await pair?.end();
    await daemon?.stop();
  });

  test.each([
    ['mutated protocol', 11, mutated],
    ['raw bytes', 12, noise],
  ] as const)('%s on many connections (seed %i)', async (_name, seed, make) => {
    const random = seededRandom(seed);
    for (let round = 0; round < 30; round += 1) {
      const crowd = await Promise.all(
        Array.from({ length: 10 }, () => RawClient.connect({ port: daemon.port })),
      );
      for (const client of crowd) client.send(make(random));
      for (const client of crowd) if (random.below(2) === 0) client.send(make(random));
      await pair.exchange();
      for (const client of crowd) {
        if (random.below(3) === 0) client.destroy();
        else await client.end();
      }
    }
    expect(daemon.exit).toBeNull();
    await pair.exchange();
  });

  test('a connection reset in the middle of a payload', async () => {
    for (let count = 0; count < 20; count += 1) {
      const client = await RawClient.connect({ port: daemon.port });
      await client.handshake();
      await client.flush(`SUB > 1\r\nPUB half 1000000\r\n${'x'.repeat(10_000 * count)}`);
      client.destroy();
    }
    await pair.exchange();
  });

  test('a subject of 4,000 tokens', async () => {
    const client = await RawClient.connect({ port: daemon.port });
    await client.handshake();
    const subject = Array.from({ length: 4000 }, () => 't').join('.');
    await client.sync(
      `SUB ${subject} 1\r\nSUB ${subject.slice(0, -1)}* 2\r\nSUB t.> 3\r\nPUB ${subject} 1\r\nx\r\n`,
    );
    expect(client.texts.filter((text) => text.startsWith('MSG')).sort()).toEqual(
      ['1', '2', '3'].map((sid) => `MSG ${subject} ${sid} 1\r\nx`),
    );
    expect(await client.sync(`UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\nPUB ${subject} 1\r\nx\r\n`)).toBe(true);
    expect(client.texts.filter((text) => text.startsWith('MSG'))).toHaveLength(3);
    await client.end();
    await pair.exchange();
  });

  test('sids, queue names and replies of 4,000 bytes', async () => {
    const client = await RawClient.connect({ port: daemon.port });
    await client.handshake();
    const long = 'l'.repeat(4000);
    await client.sync(
      `SUB long.x ${long} 1\r\nSUB long.y ${long}\r\nPUB long.x ${long} 1\r\nx\r\nPUB long.y 1\r\ny\r\n`,
    );
    expect(client.texts.filter((text) => text.startsWith('MSG'))).toEqual([
      `MSG long.x 1 ${long} 1\r\nx`,
      `MSG long.y ${long} 1\r\ny`,
    ]);
    await client.end();
    await pair.exchange();
  });

  test.each([
    '{"verbose":false,"__proto__":{"pedantic":true,"user":"x"}}',
    '{"verbose":false,"constructor":{"prototype":{"echo":false}}}',
    '{"verbose":false,"toString":1,"hasOwnProperty":2,"valueOf":null}',
  ])('CONNECT with names of the object prototype: %s', async (json) => {
    const client = await RawClient.connect({ port: daemon.port });
    expect(await client.sync(`CONNECT ${json}\r\nSUB __proto__.constructor 1\r\nSUB toString q 2\r\n`)).toBe(
      true,
    );
    await client.sync('PUB __proto__.constructor 1\r\na\r\nPUB toString 1\r\nb\r\nPUB valueOf 1\r\nc\r\n');
    expect(client.texts.filter((text) => text.startsWith('MSG'))).toEqual([
      'MSG __proto__.constructor 1 1\r\na',
      'MSG toString 2 1\r\nb',
    ]);
    await client.end();
    await pair.exchange();
  });

  test('JSON nested a thousand levels deep', async () => {
    const client = await RawClient.connect({ port: daemon.port });
    client.send(`CONNECT {"x":${'['.repeat(1000)}${']'.repeat(1000)}}\r\nPING\r\n`);
    await client.until((frames) => frames.some((frame) => frame.op === 'PONG'), 'PONG or close');
    await client.end();
    await pair.exchange();
  });

  test('a churn of subscriptions on the same subjects', async () => {
    const crowd = await Promise.all(
      Array.from({ length: 6 }, () => RawClient.connect({ port: daemon.port })),
    );
    for (const client of crowd) await client.handshake();
    for (let round = 0; round < 20; round += 1) {
      const operations = Array.from(
        { length: 100 },
        (_, sid) => `SUB churn.${sid % 10}.* ${sid}\r\nPUB churn.${sid % 10}.x 1\r\nm\r\nUNSUB ${sid}\r\n`,
      ).join('');
      expect(await Promise.all(crowd.map((client) => client.sync(operations)))).not.toContain(false);
    }
    const from = crowd.map((client) => client.frames.length);
    expect(await crowd[0]?.sync('PUB churn.1.x 1\r\nm\r\n')).toBe(true);
    await Promise.all(crowd.map((client) => client.sync()));
    for (const [index, client] of crowd.entries()) {
      expect(client.texts.slice(from[index]).filter((text) => text.startsWith('MSG'))).toEqual([]);
      await client.end();
    }
    await pair.exchange();
  });
});

const CROWD_PROGRAM = fileURLToPath(new URL('../support/connection-crowd.mjs', import.meta.url));
const CROWD_SIZE = 10_000;
/** Files a server needs besides the connections. */
const SPARE_FILES = 500;

async function crowdAnswer(crowd: ChildProcess): Promise<string> {
  const [chunk] = (await once(crowd.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return chunk.toString().trim();
}

describe.each(shardCounts().slice(-1))('a crowd that never logs in, %i shard(s)', (shards) => {
  test('half-open connections do not disturb others', { timeout: 60_000 }, async () => {
    const size = Math.min(CROWD_SIZE, openFileLimit() - SPARE_FILES);
    const daemon = await Daemon.start({ shards });
    const pair = await WellBehavedPair.connect(daemon.port);
    const crowd = spawn(process.execPath, [CROWD_PROGRAM, String(daemon.port), String(size)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      expect(await crowdAnswer(crowd)).toBe(`connected ${size}`);
      for (let round = 0; round < 20; round += 1) await pair.exchange();
      crowd.stdin?.write('reset\n');
      expect(await crowdAnswer(crowd)).toBe('gone');
      for (let round = 0; round < 20; round += 1) await pair.exchange();
    } finally {
      crowd.kill('SIGKILL');
      await pair.end();
      await daemon.stop();
    }
  });
});
