/**
 * Autobahn, section 7: the end of connections.
 *
 * uWebSockets.js answers close frames itself: at once, so that long output in front may be lost; and with a status only where it
 * is one of 1000 to 1011 or 4000 and more. natsd is told afterwards.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CLOSE,
  closeFrame,
  echoing,
  echoOf,
  fragments,
  one,
  operation,
  operationOf,
  PING,
  pongs,
  received,
  send,
} from '../../support/autobahn.ts';
import type { Daemon } from '../../support/daemon.ts';
import type { WebsocketClient } from '../../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS } from '../../support/websocket-daemon.ts';
import { clientFrame } from '../../support/websocket-frames.ts';

const HELLO = operation('Hello, world!');
const ping = (text: string): Buffer => clientFrame(text, { opcode: PING });

/** What comes behind a close frame does nothing: name, frames, operations in front of it. */
const SEQUENCES: [string, Buffer[], string[]][] = [
  ['7.1.1 a message, then a close', [one(HELLO), closeFrame(1000)], [HELLO]],
  ['7.1.2 two closes', [closeFrame(1000), closeFrame(1000)], []],
  ['7.1.3 a ping behind a close', [closeFrame(1000), ping('late')], []],
  ['7.1.4 a message behind a close', [closeFrame(1000), one(HELLO)], []],
  [
    '7.1.5 a close in the middle of a message',
    ((pieces) => [pieces[0]!, closeFrame(1000), pieces[1]!])(
      fragments(['PUB echo 18\r\nfragment1', 'fragment2\r\n']),
    ),
    [],
  ],
  [
    '7.1.6 256 KB, then a close and a ping',
    [one(operationOf(256 * 1024)), closeFrame(1000), ping('late')],
    [operationOf(256 * 1024)],
  ],
];

/** Closes that are answered in kind: name, payload. */
const ANSWERED: [string, Buffer, number, string][] = [
  ['7.3.1 without payload', clientFrame('', { opcode: CLOSE }), 0, ''],
  ['7.3.3 a status', closeFrame(1000), 1000, ''],
  ['7.3.4 a status and a reason', closeFrame(1000, 'Hello World!'), 1000, 'Hello World!'],
  ['7.3.5 the longest reason', closeFrame(1000, '*'.repeat(123)), 1000, '*'.repeat(123)],
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map(
    (status, i): [string, Buffer, number, string] => [
      `7.7.${i + 1} status ${status}`,
      closeFrame(status),
      status,
      '',
    ],
  ),
];

/** Closes that are errors. */
const REFUSED: [string, Buffer, number][] = [
  ['7.3.2 a payload of one byte', clientFrame('a', { opcode: CLOSE }), 1002],
  ['7.3.6 a reason of 124 bytes', closeFrame(1000, '*'.repeat(124)), 1002],
  [
    '7.5.1 a reason that is no UTF-8',
    closeFrame(1000, Buffer.from('cebae1bdb9cf83cebcceb5eda080656469746564', 'hex')),
    1007,
  ],
  ...[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].map((status, i): [string, Buffer, number] => [
    `7.9.${i + 1} status ${status}`,
    closeFrame(status),
    1002,
  ]),
  ['7.13.1 status 5000', closeFrame(5000), 1002],
  ['7.13.2 status 65535', closeFrame(65_535), 1002],
];

describe.each(TRANSPORTS)('Autobahn over %s', (transport) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket(transport);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function watching(): Promise<WebsocketClient> {
    return echoing(daemon);
  }

  test.each(SEQUENCES)('%s', async (_name, frames, operations) => {
    const watcher = await watching();
    const client = await echoing(daemon);
    const before = received(client).length;
    await send(client, frames);
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status: 1000, text: '' });
    expect(client.frames.filter(({ opcode }) => opcode === CLOSE).length).toBe(1);
    expect(client.frames.at(-1)?.opcode).toBe(CLOSE);
    expect(pongs(client)).toEqual([]);
    const expected = operations.map(echoOf).join('');
    const echoed = received(client).slice(before);
    expect(transport === 'ws' ? echoed === expected : expected.startsWith(echoed)).toBe(true);
    // Nor did anybody else get more.
    await watcher.sync(operation('last'));
    await watcher.until(() => watcher.text.includes(echoOf(operation('last'))), 'the last message');
    expect(received(watcher).endsWith(`${expected}${echoOf(operation('last'))}PONG\r\n`)).toBe(true);
    watcher.destroy();
  });

  test.each(ANSWERED)('%s', async (_name, frame, status, text) => {
    const client = await echoing(daemon);
    await send(client, [frame]);
    await client.untilClosed();
    const isPassed = transport === 'ws' || status < 3000 || status >= 4000;
    expect(client.closeFrame).toEqual({ status: isPassed ? status : 0, text });
  });

  test.each(REFUSED)('%s', async (_name, frame, status) => {
    const client = await echoing(daemon);
    await send(client, [frame, one(HELLO)]);
    await client.untilClosed();
    if (transport === 'ws') expect(client.closeFrame?.status).toBe(status);
    else expect([undefined, 0]).toContain(client.closeFrame?.status);
    // A whole line's start: a server's random name may hold these letters too.
    expect(client.text).not.toMatch(/^MSG /m);
  });
});
