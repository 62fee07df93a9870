/** Autobahn, sections 1 to 5 and 10: framing, pings, reserved bits and opcodes, fragmentation. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BINARY,
  type Chop,
  cut,
  echoing,
  fails,
  fragments,
  one,
  operation,
  operationOf,
  PING,
  PONG,
  passes,
  pongs,
  send,
  TEXT,
} from '../../support/autobahn.ts';
import type { Daemon } from '../../support/daemon.ts';
import { startWebsocket, TRANSPORTS } from '../../support/websocket-daemon.ts';
import { clientFrame } from '../../support/websocket-frames.ts';

const HELLO = operation('Hello, world!');
const SMALL = 'Hello, world!';

/** Cases of messages that are echoed: frames, chop, operations. */
const ECHOED: [string, Buffer[], Chop, string[]][] = [];
for (const [section, opcode] of [
  ['1.1', TEXT],
  ['1.2', BINARY],
] as const) {
  for (const [i, length] of [0, 125, 126, 127, 128, 65_535, 65_536].entries()) {
    const text = operationOf(length);
    ECHOED.push([
      `${section}.${i + 1} ${length} bytes`,
      [one(text, { opcode })],
      'together',
      text === '' ? [] : [text],
    ]);
  }
  const long = operationOf(65_536);
  ECHOED.push([`${section}.8 65536 bytes in chops of 997`, [one(long, { opcode })], 997, [long]]);
}
const [START, END] = ['PUB echo 18\r\nfragment1', 'fragment2\r\n'];
const WHOLE = START + END;
const ping = (text: string): Buffer => clientFrame(text, { opcode: PING });
for (const [i, chop] of (['together', 'frames', 'octets'] as const).entries()) {
  ECHOED.push([`5.${3 + i} two fragments, ${chop}`, fragments([START, END]), chop, [WHOLE]]);
  const [first, last] = fragments([START, END]) as [Buffer, Buffer];
  ECHOED.push([
    `5.${6 + i} a ping between two fragments, ${chop}`,
    [first, ping('pongme'), last],
    chop,
    [WHOLE],
  ]);
}
const five = fragments(cut(operation('fragment1fragment2fragment3fragment4fragment5'), 13));
const withPings = [
  ...five.slice(0, 2),
  ping('pongme 1'),
  ...five.slice(2, 4),
  ping('pongme 2'),
  ...five.slice(4),
];
for (const [i, chop] of (['together', 'octets'] as const).entries())
  ECHOED.push([
    `5.${19 + i} pings between many fragments, ${chop}`,
    withPings,
    chop,
    [operation('fragment1fragment2fragment3fragment4fragment5')],
  ]);
ECHOED.push([
  '10.1.1 65536 bytes in fragments of 1300',
  fragments(cut(operationOf(65_536), 1300)),
  'together',
  [operationOf(65_536)],
]);

/** Cases that fail the connection. */
const FAILED: [string, Buffer[], Chop][] = [
  ['2.5 a ping of 126 bytes', [ping('x'.repeat(126))], 'together'],
  ['3.1 RSV 1', [one(HELLO, { reserved: 0x10 })], 'together'],
  ['3.2 RSV 2 behind a message', [one(HELLO), one(HELLO, { reserved: 0x20 }), ping('')], 'together'],
  ['3.3 RSV 3, frame by frame', [one(HELLO), one(HELLO, { reserved: 0x30 }), ping('')], 'frames'],
  ['3.4 RSV 4, octet by octet', [one(HELLO), one(HELLO, { reserved: 0x40 }), ping('')], 'octets'],
  ['3.5 RSV 5, binary', [one(HELLO, { opcode: BINARY, reserved: 0x50 })], 'together'],
  ['3.6 RSV 6, a ping', [clientFrame('x', { opcode: PING, reserved: 0x60 })], 'together'],
  ['3.7 RSV 7, a close', [clientFrame('', { opcode: 8, reserved: 0x70 })], 'together'],
  [
    '5.1 a ping in two fragments',
    [clientFrame('a', { opcode: PING, fin: false }), clientFrame('b', { opcode: 0 })],
    'together',
  ],
  [
    '5.2 a pong in two fragments',
    [clientFrame('a', { opcode: PONG, fin: false }), clientFrame('b', { opcode: 0 })],
    'together',
  ],
  [
    '5.15 a continuation behind a finished message',
    [...fragments([START, END]), clientFrame('x', { opcode: 0, fin: false }), one(HELLO)],
    'together',
  ],
  [
    '5.16 continuations of nothing, not final',
    [0, 1].flatMap(() => [clientFrame('f', { opcode: 0, fin: false }), ...fragments([START, END])]),
    'together',
  ],
  [
    '5.17 continuations of nothing, final',
    [0, 1].flatMap(() => [clientFrame('f', { opcode: 0 }), ...fragments([START, END])]),
    'together',
  ],
  ['5.18 both fragments are text', [one(START, { fin: false }), one(END)], 'together'],
];
for (const [i, opcode] of [3, 4, 5, 6, 7].entries()) {
  const before = i < 2 ? [] : [one(HELLO)];
  const odd = clientFrame(i === 0 ? '' : SMALL, { opcode });
  FAILED.push([`4.1.${i + 1} opcode ${opcode}`, [...before, odd, ping('')], i === 4 ? 'octets' : 'together']);
}
for (const [i, opcode] of [11, 12, 13, 14, 15].entries()) {
  const before = i < 2 ? [] : [one(HELLO)];
  const odd = clientFrame(i === 0 ? '' : SMALL, { opcode });
  FAILED.push([`4.2.${i + 1} opcode ${opcode}`, [...before, odd, ping('')], i === 4 ? 'octets' : 'together']);
}
for (const [i, chop] of (['together', 'frames', 'octets'] as const).entries()) {
  const stray = (fin: boolean) => [clientFrame('non-continuation', { opcode: 0, fin }), one(HELLO)];
  FAILED.push([`5.${9 + i} a final continuation of nothing, ${chop}`, stray(true), chop]);
  FAILED.push([`5.${12 + i} a continuation of nothing, ${chop}`, stray(false), chop]);
}

/** Cases of pings and pongs: what is sent, how, and the pongs that come. */
const PINGS: [string, Buffer[], Chop, string[]][] = [
  ['2.1 without payload', [ping('')], 'together', ['']],
  ['2.2 with text', [ping(SMALL)], 'together', [SMALL]],
  [
    '2.3 with bytes',
    [ping('\x00\xff\xfe\xfd\xfc\xfb\x00\xff')],
    'together',
    ['\x00\xff\xfe\xfd\xfc\xfb\x00\xff'],
  ],
  ['2.4 of 125 bytes', [ping('\xfe'.repeat(125))], 'together', ['\xfe'.repeat(125)]],
  ['2.6 of 125 bytes, octet by octet', [ping('\xfe'.repeat(125))], 'octets', ['\xfe'.repeat(125)]],
  ['2.7 a pong without payload', [clientFrame('', { opcode: PONG })], 'together', []],
  ['2.8 a pong with payload', [clientFrame('unsolicited', { opcode: PONG })], 'together', []],
  [
    '2.9 a pong, then a ping',
    [clientFrame('unsolicited', { opcode: PONG }), ping('our')],
    'together',
    ['our'],
  ],
];
for (const [i, chop] of (['together', 'octets'] as const).entries()) {
  const texts = Array.from({ length: 10 }, (_, n) => `payload-${n}`);
  PINGS.push([`2.${10 + i} ten pings, ${chop}`, texts.map(ping), chop, texts]);
}

describe.each(TRANSPORTS)('Autobahn over %s', (transport) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket(transport);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each(ECHOED)('%s', async (_name, frames, chop, operations) => {
    await passes(await echoing(daemon), frames, chop, operations);
  });

  test.each(PINGS)('%s', async (_name, frames, chop, expected) => {
    const client = await echoing(daemon);
    await send(client, frames, chop);
    await client.until(() => pongs(client).length >= expected.length, 'the pongs');
    expect(await client.sync(HELLO)).toBe(true);
    expect(pongs(client)).toEqual(expected);
    client.destroy();
  });

  test.each(FAILED)('%s', async (_name, frames, chop) => {
    await fails(await echoing(daemon), frames, chop, transport);
    const other = await echoing(daemon);
    expect(await other.sync()).toBe(true);
    other.destroy();
  });
});
