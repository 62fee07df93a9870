/**
 * Accepted connections on their way from main to a shard, by both ways where this Node has both: nothing is lost, and
 * nothing is left behind.
 */
import { existsSync, readdirSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { canTransferSockets, type HandOffMethod } from '../../src/main/listen/hand-off.ts';
import { certificates } from '../support/certificates.ts';
import { Embedded } from '../support/embedded.ts';
import { RawClient, type RawClientOptions } from '../support/raw-client.ts';

const METHODS: HandOffMethod[] = canTransferSockets(process.version)
  ? ['transfer', 'duplicate']
  : ['duplicate'];
const VARIANTS = METHODS.flatMap((method) => [1, 3].map((shards) => [method, shards] as const));
const HAS_PROC = existsSync('/proc/self/fd');

function tlsConfig(): string {
  const { server } = certificates();
  return `tls { cert_file: "${server.certFile}", key_file: "${server.keyFile}" }\n`;
}

describe.each(VARIANTS)('hand-off by %s, %i shard(s)', (method, shards) => {
  let daemon: Embedded;
  const clients: RawClient[] = [];

  async function start(config = ''): Promise<void> {
    daemon = await Embedded.start(shards, config, { handOff: method });
  }

  async function client(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port, ...options });
    clients.push(connection);
    return connection;
  }

  afterEach(async () => {
    for (const connection of clients.splice(0)) connection.destroy();
    await daemon.stop();
  });

  test('what the client sends before the hand-off is not lost', async () => {
    await start();
    const count = 60;
    const payload = 'early'.repeat(20_000);
    const message = `PUB early ${payload.length}\r\n${payload}\r\n`;
    const connections = await Promise.all(
      Array.from({ length: count }, () => client({ preamble: Buffer.from(`SUB early 1\r\n${message}`) })),
    );
    for (const connection of connections) {
      await connection.until(
        (frames) => frames.some((frame) => frame.payload === payload),
        'its own message',
      );
      expect(await connection.sync()).toBe(true);
    }
  });

  test('a client that sends everything and leaves is served to the end', async () => {
    await start();
    const reader = await client();
    await reader.sync('SUB last.* 1\r\n');
    const count = 100;
    for (let n = 0; n < count; n += 1) {
      const socket = connectSocket(daemon.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end(`PUB last.${n} 4\r\nword\r\n`);
      socket.resume();
    }
    await reader.until(
      (frames) => frames.filter((frame) => frame.op === 'MSG').length === count,
      'a word of each',
    );
  });

  test('big messages in both directions, to a reader that stops in between', async () => {
    await start();
    const [reader, publisher] = [await client(), await client()];
    await reader.handshake();
    await publisher.handshake();
    await reader.sync('SUB big 1\r\n');
    reader.pause();
    const payload = 'b'.repeat(1 << 20);
    const count = 16;
    const sent = publisher.sync(`PUB big ${payload.length}\r\n${payload}\r\n`.repeat(count));
    expect(await sent).toBe(true);
    reader.resume();
    expect(await reader.sync()).toBe(true);
    const got = reader.frames.filter((frame) => frame.op === 'MSG');
    expect(got).toHaveLength(count);
    expect(got.every((frame) => frame.payload === payload)).toBe(true);
    await reader.end();
    await publisher.end();
  });

  test('TLS starts on the shard', async () => {
    await start(tlsConfig());
    const { ca } = certificates();
    const connections = await Promise.all(
      Array.from({ length: 6 }, () => client({ transport: 'tls', ca, host: '127.0.0.1' })),
    );
    for (const connection of connections) expect(await connection.handshake()).toBe(true);
    const [reader, publisher] = connections as [RawClient, RawClient];
    const payload = 't'.repeat(300_000);
    await reader.sync('SUB t 1\r\n');
    expect(await publisher.sync(`PUB t ${payload.length}\r\n${payload}\r\n`)).toBe(true);
    await reader.sync();
    expect(reader.frames.find((frame) => frame.op === 'MSG')?.payload).toBe(payload);
  });

  test('one too many is told so, after INFO', async () => {
    await start('max_connections: 4\n');
    const served: RawClient[] = [];
    for (let n = 0; n < 4; n += 1) {
      const connection = await client();
      expect(await connection.handshake()).toBe(true);
      served.push(connection);
    }
    for (let n = 0; n < 3; n += 1) {
      const refused = await client();
      await refused.untilClosed();
      expect(refused.texts).toEqual([
        expect.stringMatching(/^INFO \{/),
        "-ERR 'maximum connections exceeded'",
      ]);
    }
    // Refused ones never count: as soon as one leaves there is room for one.
    await served.pop()?.end();
    const next = await client();
    expect(await next.handshake()).toBe(true);
    const varz = await daemon.monitoring('/varz');
    expect(varz.connections).toBe(4);
    expect(varz.total_connections).toBe(8);
  });

  test('a storm of connections beyond the limit: exactly the limit is served', async () => {
    await start('max_connections: 10\n');
    const connections = await Promise.all(Array.from({ length: 50 }, () => client()));
    const answers = await Promise.all(connections.map((connection) => connection.handshake()));
    expect(answers.filter((served) => served)).toHaveLength(10);
    const refused = connections.filter((connection) => connection.closed);
    expect(refused).toHaveLength(40);
    for (const { texts } of refused) expect(texts.at(-1)).toBe("-ERR 'maximum connections exceeded'");
  });

  test.skipIf(!HAS_PROC)('no descriptor is left of two thousand connections', async () => {
    await start('max_closed_clients: 10\n');
    const keeper = await client();
    await keeper.handshake();
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const wave = async (): Promise<void> => {
      const connections = await Promise.all(Array.from({ length: 100 }, () => client()));
      await Promise.all(connections.map((connection) => connection.handshake()));
      // Both ends close first in turn: EOF, reset, and the server's own close.
      for (const [index, connection] of connections.entries()) {
        if (index % 3 === 0) connection.destroy();
        else if (index % 3 === 1) connection.send('nonsense\r\n');
      }
      await Promise.all(
        connections.map((connection, index) =>
          index % 3 === 2 ? connection.end() : connection.untilClosed(),
        ),
      );
      clients.length = 0;
      clients.push(keeper);
    };
    await wave();
    await daemon.monitoring('/varz');
    const before = descriptors();
    for (let round = 0; round < 20; round += 1) await wave();
    // A descriptor is closed a turn after its connection: asking the shards gives them turns.
    for (let asked = 0; asked < 500 && descriptors() > before; asked += 1) await daemon.monitoring('/connz');
    expect(descriptors()).toBeLessThanOrEqual(before);
    expect((await daemon.monitoring('/varz')).connections).toBe(1);
    expect(await keeper.sync()).toBe(true);
  });
});
