/**
 * Limits that reach over threads: of accounts, and of what may wait for a client that does not read.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { Embedded } from '../support/embedded.ts';
import { RawClient } from '../support/raw-client.ts';

const PAYLOAD = 'p'.repeat(32_768);
const MESSAGE = `PUB flood ${PAYLOAD.length}\r\n${PAYLOAD}\r\n`;
/** Far more than the kernel's buffers of both ends hold. */
const FLOOD_ROUNDS = 40;
const MESSAGES_PER_ROUND = 32;

interface ClosedConnection {
  cid: number;
  reason: string;
  pending_bytes: number;
  subscriptions: number;
}

describe.each([1, 3])('limits, %i shard(s)', (shards) => {
  let daemon: Embedded;
  const clients: RawClient[] = [];

  async function start(config: string): Promise<void> {
    daemon = await Embedded.start(shards, config);
  }

  async function client(fields: Record<string, unknown> = {}): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port });
    clients.push(connection);
    await connection.handshake(fields);
    return connection;
  }

  /** The reason of a connection that is the `count`th to be closed, or an earlier one. */
  async function closedReason(cid: unknown, count = 1): Promise<string | undefined> {
    await daemon.closeReasons(count);
    const connz = await daemon.monitoring('/connz?state=closed');
    return (connz.connections as ClosedConnection[]).find((connection) => connection.cid === cid)?.reason;
  }

  afterEach(async () => {
    for (const connection of clients.splice(0)) connection.destroy();
    await daemon.stop();
  });

  describe('of an account', () => {
    const account = (limits: string): string =>
      `accounts { A { users: [ { user: a, password: a } ], limits { ${limits} } }, B { users: [ { user: b, password: b } ] } }\n`;
    const a = { user: 'a', pass: 'a' };
    const b = { user: 'b', pass: 'b' };

    test('connections count over all shards', async () => {
      await start(account('max_connections: 4'));
      const inside = [];
      for (let n = 0; n < 4; n += 1) inside.push(await client(a));
      for (let n = 0; n < 3; n += 1) {
        const refused = await client(a);
        await refused.untilClosed();
        expect(refused.texts.at(-1)).toBe("-ERR 'maximum account active connections exceeded'");
        const { client_id } = await refused.info();
        expect(await closedReason(client_id, n + 1)).toBe('Maximum Account Connections Exceeded');
      }
      expect(await (await client(b)).sync()).toBe(true);
      await inside.shift()?.end();
      const next = await client(a);
      expect(await next.sync()).toBe(true);
      for (const connection of inside) expect(await connection.sync()).toBe(true);
    });

    test('a storm of connections: exactly as many as allowed', async () => {
      await start(account('max_connections: 7'));
      const connections = await Promise.all(Array.from({ length: 40 }, () => client(a)));
      await Promise.all(connections.map((connection) => connection.sync()));
      expect(connections.filter((connection) => !connection.closed)).toHaveLength(7);
    });

    test('subscriptions count for each connection', async () => {
      await start(account('max_subscriptions: 2'));
      const [one, two] = [await client(a), await client(a)];
      for (const connection of [one, two]) {
        await connection.sync('SUB x 1\r\nSUB y 2\r\nSUB z 3\r\n');
        expect(connection.texts.filter((text) => text.startsWith('-ERR'))).toEqual([
          "-ERR 'maximum subscriptions exceeded'",
        ]);
        await connection.sync('UNSUB 1\r\nSUB z 3\r\n');
        expect(connection.texts.filter((text) => text.startsWith('-ERR'))).toHaveLength(1);
      }
      const other = await client(b);
      await other.sync('SUB x 1\r\nSUB y 2\r\nSUB z 3\r\n');
      expect(other.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
    });

    test('payloads, announced after CONNECT', async () => {
      await start(`max_payload: 1000\n${account('max_payload: 100')}`);
      const limited = await client(a);
      const infos = limited.frames.filter((frame) => frame.op === 'INFO').map((frame) => frame.line);
      expect(infos.map((line) => JSON.parse(line.slice(5)).max_payload)).toEqual([1000, 100]);
      expect(await limited.sync(`PUB x 100\r\n${'x'.repeat(100)}\r\n`)).toBe(true);
      limited.send(`PUB x 101\r\n${'x'.repeat(101)}\r\n`);
      await limited.untilClosed();
      expect(limited.texts.at(-1)).toBe("-ERR 'Maximum Payload Violation'");
      const free = await client(b);
      expect(await free.sync(`PUB x 1000\r\n${'x'.repeat(1000)}\r\n`)).toBe(true);
    });
  });

  describe('of a client that does not read', () => {
    /** Connections alternate over the shards, so the slow one, the reader and the publisher have different ones. */
    async function flood(
      config: string,
    ): Promise<{ slow: RawClient; reader: RawClient; publisher: RawClient }> {
      await start(config);
      const [slow, reader, publisher] = [await client(), await client(), await client()];
      await slow.sync('SUB flood 1\r\n');
      await reader.sync('SUB flood 1\r\n');
      slow.pause();
      return { slow, reader, publisher };
    }

    async function publishUntil(
      publisher: RawClient,
      reader: RawClient,
      done: () => boolean,
    ): Promise<number> {
      let published = 0;
      for (let round = 0; round < FLOOD_ROUNDS && !done(); round += 1) {
        expect(await publisher.sync(MESSAGE.repeat(MESSAGES_PER_ROUND))).toBe(true);
        expect(await reader.sync()).toBe(true);
        published += MESSAGES_PER_ROUND;
      }
      return published;
    }

    function count(connection: RawClient): number {
      return connection.frames.filter((frame) => frame.op === 'MSG').length;
    }

    test('max_pending closes it, and nobody else is hurt', async () => {
      const { slow, reader, publisher } = await flood('max_pending: 4194304\nwrite_deadline: "20s"\n');
      let detected = false;
      const logged = daemon.untilLogged(/Slow Consumer Detected: MaxPending of 4194304 Exceeded/).then(() => {
        detected = true;
      });
      const published = await publishUntil(publisher, reader, () => detected);
      await logged;
      expect(count(reader)).toBe(published);
      const { client_id } = await slow.info();
      expect(await closedReason(client_id)).toBe('Slow Consumer (Pending Bytes)');
      const varz = await daemon.monitoring('/varz');
      expect(varz.slow_consumers).toBe(1);
      expect(varz.slow_consumer_stats).toMatchObject({ clients: 1 });
    });

    test('write_deadline closes it', async () => {
      const { slow, reader, publisher } = await flood('write_deadline: "2s"\n');
      let detected = false;
      const logged = daemon
        .untilLogged(
          /Slow Consumer Detected: WriteDeadline of 2s exceeded with \d+ chunks of \d+ total bytes\./,
        )
        .then(() => {
          detected = true;
        });
      const published = await publishUntil(publisher, reader, () => detected);
      await logged;
      slow.resume();
      await slow.untilClosed();
      expect(count(slow)).toBeLessThan(published);
      expect(slow.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
      const { client_id } = await slow.info();
      expect(await closedReason(client_id)).toBe('Slow Consumer (Write Deadline)');
      expect((await daemon.monitoring('/varz')).slow_consumers).toBe(1);
      expect(await reader.sync()).toBe(true);
    });

    test('write_timeout: retry keeps it while it makes progress', async () => {
      const { slow, reader, publisher } = await flood('write_deadline: "3s"\nwrite_timeout: retry\n');
      let detected = false;
      const logged = daemon
        .untilLogged(/Slow Consumer Detected: WriteDeadline of 3s exceeded/)
        .then((found) => {
          detected = true;
          return found;
        });
      const published = await publishUntil(publisher, reader, () => detected);
      const line = await logged;
      // Now it has another 3 s.
      slow.resume();
      await daemon.untilLogged(
        /Slow Consumer Recovered: Flush took \d+\.\d{3}s with \d+ chunks of \d+ total bytes\./,
        line,
      );
      expect(await slow.sync()).toBe(true);
      expect(count(slow)).toBe(published);
      expect((await daemon.monitoring('/varz')).write_timeout).toBe('retry');
    });

    test('write_timeout: retry gives it up when not a byte was written', async () => {
      const { slow, reader, publisher } = await flood(
        'debug: true\nwrite_deadline: "1s"\nwrite_timeout: retry\n',
      );
      const { client_id } = await slow.info();
      const closed = daemon.untilLogged(/Client connection closed: Slow Consumer \(Write Deadline\)/);
      await publishUntil(publisher, reader, () => false);
      await closed;
      expect(await closedReason(client_id)).toBe('Slow Consumer (Write Deadline)');
      const detections = daemon.lines.filter((line) => /Slow Consumer \w+: WriteDeadline of 1s/.test(line));
      expect((await daemon.monitoring('/varz')).slow_consumers).toBe(detections.length);
    });

    test('no_fast_producer_stall drops what it cannot take, and it stays', async () => {
      const { slow, reader, publisher } = await flood(
        'max_pending: 2097152\nwrite_deadline: "20s"\nno_fast_producer_stall: true\n',
      );
      const published = await publishUntil(publisher, reader, () => false);
      expect(count(reader)).toBe(published);
      slow.resume();
      expect(await slow.sync()).toBe(true);
      const received = count(slow);
      expect(received).toBeLessThan(published);
      expect(
        slow.frames.filter((frame) => frame.op === 'MSG').every(({ payload }) => payload === PAYLOAD),
      ).toBe(true);
      // Having caught up it gets everything again.
      expect(await publisher.sync(MESSAGE.repeat(3))).toBe(true);
      expect(await slow.sync()).toBe(true);
      expect(count(slow)).toBe(received + 3);
      const varz = await daemon.monitoring('/varz');
      expect(varz.slow_consumers).toBe(0);
      expect(varz.stalled_clients).toBe(0);
    });

    test.runIf(shards === 1)('a producer that is too fast for it is stalled', async () => {
      const { slow, publisher, reader } = await flood('max_pending: 8388608\nwrite_deadline: "20s"\n');
      let detected = false;
      const logged = daemon.untilLogged(/MaxPending of 8388608 Exceeded/).then(() => {
        detected = true;
      });
      const few = MESSAGE.repeat(4);
      for (let round = 0; round < 1000 && !detected; round += 1) {
        expect(await publisher.sync(few)).toBe(true);
        expect(await reader.sync()).toBe(true);
      }
      await logged;
      expect((await daemon.monitoring('/varz')).stalled_clients).toBeGreaterThan(0);
      const { client_id } = await publisher.info();
      const connz = await daemon.monitoring(`/connz?cid=${client_id}`);
      expect((connz.connections as { stalls: number }[])[0]?.stalls).toBeGreaterThan(0);
      slow.destroy();
    });
  });
});
