/** Autobahn, section 9: sizes up to the limits, in one frame, in fragments and in chops, and many messages. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BINARY,
  type Chop,
  cut,
  echoing,
  echoOf,
  fragments,
  one,
  operation,
  operationOf,
  passes,
  received,
  send,
  TEXT,
} from '../../support/autobahn.ts';
import type { Daemon } from '../../support/daemon.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startWebsocket, TRANSPORTS } from '../../support/websocket-daemon.ts';

const KB = 1024;
const MB = 1024 * KB;
/** The longest message of uWebSockets.js is eight times this. */
const MAX_PAYLOAD = MB;

/** Operations of a quarter of a megabyte, so many bytes in all. */
function operations(bytes: number): string[] {
  const size = Math.min(bytes, 256 * KB);
  return new Array<string>(bytes / size).fill(operationOf(size));
}

const CASES: [string, () => Buffer[], Chop, number][] = [];
for (const [section, opcode] of [
  ['9.1', TEXT],
  ['9.2', BINARY],
] as const)
  for (const [i, bytes] of [64 * KB, 256 * KB, MB, 4 * MB, 8 * MB].entries())
    CASES.push([
      `${section}.${i + 1} a message of ${bytes} bytes`,
      () => [one(operations(bytes).join(''), { opcode })],
      'together',
      bytes,
    ]);
for (const [section, opcode] of [
  ['9.3', TEXT],
  ['9.4', BINARY],
] as const)
  for (const [i, piece] of [64, 256, KB, 4 * KB, 16 * KB, 64 * KB, 256 * KB, MB, 4 * MB].entries())
    CASES.push([
      `${section}.${i + 1} 4 MB in fragments of ${piece} bytes`,
      () => fragments(cut(operations(4 * MB).join(''), piece), opcode),
      'together',
      4 * MB,
    ]);
for (const [section, opcode] of [
  ['9.5', TEXT],
  ['9.6', BINARY],
] as const)
  for (const [i, chop] of [64, 128, 256, 512, KB, 2 * KB].entries())
    CASES.push([
      `${section}.${i + 1} 1 MB in chops of ${chop} bytes`,
      () => [one(operations(MB).join(''), { opcode })],
      chop,
      MB,
    ]);

describe.each(TRANSPORTS)('Autobahn over %s', (transport) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket(transport, '', `max_payload: ${MAX_PAYLOAD}`);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each(CASES)('%s', async (_name, frames, chop, bytes) => {
    // What is echoed goes to a TCP client, which takes it as fast as it comes.
    const [client, reader] = [await echoing(daemon), await RawClient.connect({ port: daemon.port })];
    await reader.handshake();
    await client.sync('UNSUB 1\r\n');
    await reader.sync('SUB echo 1\r\n');
    await send(client, frames(), chop);
    expect(await client.sync('PUB echo 4\r\nlast\r\n')).toBe(true);
    const all = operations(bytes);
    await reader.until((found) => found.some(({ payload }) => payload === 'last'), 'the last message');
    const messages = reader.frames.filter(({ op }) => op === 'MSG').map(({ payload }) => payload);
    const expected = all.map((text) => text.slice(text.indexOf('\r\n') + 2, -2));
    expect(messages.length).toBe(all.length + 1);
    expect(messages.slice(0, -1).every((payload, i) => payload === expected[i])).toBe(true);
    client.destroy();
    reader.destroy();
  });

  for (const [section, opcode] of [
    ['9.7', TEXT],
    ['9.8', BINARY],
  ] as const)
    test.each(
      [0, 16, 64, 256, KB, 4 * KB].map((bytes, i) => [i + 1, bytes] as const),
    )(`${section}.%i 1000 messages of %i bytes, there and back one by one`, async (_number, bytes) => {
      const client = await echoing(daemon);
      const text = operation('x'.repeat(bytes));
      const echo = echoOf(text);
      for (let i = 0; i < 1000; i++) {
        const from = client.frames.length;
        client.send(text, { opcode });
        await client.until(() => received(client, from).length >= echo.length, 'the echo');
        expect(received(client, from) === echo).toBe(true);
      }
      client.destroy();
    });

  test('9.1.6 9.2.6 a message of 16 MB: as long as any, or more than the transport takes', async () => {
    const client = await echoing(daemon);
    await client.sync('UNSUB 1\r\n');
    const frames = [one(operations(16 * MB).join(''), { opcode: BINARY })];
    if (transport === 'ws') await passes(client, frames, 'together', []);
    else {
      await send(client, frames);
      await client.untilClosed();
    }
    const other = await echoing(daemon);
    expect(await other.sync()).toBe(true);
    other.destroy();
  });

  test('an operation of max_payload and one byte more', async () => {
    const client = await echoing(daemon);
    const text = operation('x'.repeat(MAX_PAYLOAD));
    await passes(client, [one(text, { opcode: BINARY })], 'together', [text]);
    const second = await echoing(daemon);
    second.send(operation('x'.repeat(MAX_PAYLOAD + 1)));
    await second.untilClosed();
    expect(second.text).toMatch(/-ERR 'Maximum Payload Violation'\r\n$/);
    expect(second.closeFrame?.status).toBe(1009);
  });
});
