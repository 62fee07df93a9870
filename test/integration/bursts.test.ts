/**
 * Bursts of messages of one size to two subscribers, round after round: sizes around the read buffer's and the rings'
 * records, where a stopped and resumed reader must lose neither a message nor its own turn.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { shardCounts } from '../support/server-command.ts';

const ROUNDS = 12;
const BURST_BYTES = 1 << 20;

describe.each(shardCounts())('bursts, %i shard(s)', (shards) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await Daemon.start({ shards });
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each([
    0, 1, 100, 1000, 4096, 16_384, 30_000, 32_768, 40_000, 65_514, 65_536, 100_000, 500_000, 1_048_576,
  ])('%i bytes', async (size) => {
    const clients: RawClient[] = [];
    for (let index = 0; index < 3; index += 1) {
      const client = await RawClient.connect({ port: daemon.port });
      await client.handshake();
      clients.push(client);
    }
    const [publisher, ...subscribers] = clients as [RawClient, ...RawClient[]];
    for (const subscriber of subscribers) await subscriber.sync(`SUB burst.${size} 1\r\n`);
    const count = Math.max(2, Math.min(1000, Math.floor(BURST_BYTES / (size + 1))));
    const payload = 'b'.repeat(size);
    const burst = `PUB burst.${size} ${size}\r\n${payload}\r\n`.repeat(count);
    for (let round = 1; round <= ROUNDS; round += 1) {
      expect(await publisher.sync(burst)).toBe(true);
      for (const subscriber of subscribers) {
        expect(await subscriber.sync()).toBe(true);
        const received = subscriber.frames.filter((frame) => frame.op === 'MSG');
        expect(received).toHaveLength(round * count);
        expect(received.at(-1)?.payload).toBe(payload);
      }
    }
    await Promise.all(clients.map((client) => client.end()));
  });
});
