/** A client that does not read: it is closed when its queue is full, and nobody else notices. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { shardCounts } from '../support/server-command.ts';

const PAYLOAD = 'p'.repeat(32_768);
const MESSAGE = `PUB flood ${PAYLOAD.length}\r\n${PAYLOAD}\r\n`;
const MESSAGES_PER_ROUND = 32;

describe.each(shardCounts())('slow consumer, %i shard(s)', (shards) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await Daemon.start({ config: 'max_pending: 4194304\nwrite_deadline: "20s"\n', shards });
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function client(): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port });
    await connection.handshake();
    return connection;
  }

  test('is closed beyond max_pending, readers keep receiving everything', async () => {
    const [slow, reader, publisher] = [await client(), await client(), await client()];
    await slow.sync('SUB flood 1\r\n');
    await reader.sync('SUB flood 1\r\n');
    slow.pause();
    const logged = daemon.untilLogged(/Slow Consumer Detected: MaxPending of 4194304 Exceeded/);
    let published = 0;
    let detected = false;
    void logged.then(() => {
      detected = true;
    });
    // The kernel's own buffers come on top of max_pending: publish until the server says so, within reason.
    while (!detected && published < 4000) {
      expect(await publisher.sync(MESSAGE.repeat(MESSAGES_PER_ROUND))).toBe(true);
      await reader.sync();
      published += MESSAGES_PER_ROUND;
    }
    await logged;
    slow.resume();
    await slow.untilClosed();
    expect(slow.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
    expect(await publisher.sync(MESSAGE)).toBe(true);
    expect(await reader.sync()).toBe(true);
    expect(reader.frames.filter((frame) => frame.op === 'MSG')).toHaveLength(published + 1);
    await reader.end();
    await publisher.end();
  });

  test('a reader that pauses below the limit gets everything afterwards', async () => {
    const [reader, publisher] = [await client(), await client()];
    await reader.sync('SUB flood 1\r\n');
    reader.pause();
    expect(await publisher.sync(MESSAGE.repeat(60))).toBe(true);
    reader.resume();
    expect(await reader.sync()).toBe(true);
    expect(reader.frames.filter((frame) => frame.op === 'MSG')).toHaveLength(60);
    await reader.end();
    await publisher.end();
  });
});
