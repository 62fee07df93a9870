/**
 * Autobahn, section 6: UTF-8 in text messages.
 *
 * NATS is bytes, and nats-server takes text for binary (websocket.md §4.1): so does the built-in transport, whatever the bytes.
 * uWebSockets.js insists on UTF-8 in text, as the suite does.
 */
import { afterAll, beforeAll, describe, test } from 'vitest';
import {
  BINARY,
  type Chop,
  cut,
  echoing,
  fails,
  fragments,
  one,
  operation,
  passes,
} from '../../support/autobahn.ts';
import type { Daemon } from '../../support/daemon.ts';
import { startWebsocket, TRANSPORTS } from '../../support/websocket-daemon.ts';

const bytes = (hex: string): string => Buffer.from(hex, 'hex').toString('latin1');
const utf8 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

const HELLO = utf8('Hello-µ@ßöäüàá-UTF-8!!');
const KOSME = 'cebae1bdb9cf83cebcceb5';

/** Cases by section: payloads in hex, numbered from 1. */
const VALID: Record<string, readonly string[]> = {
  '6.7': ['00', 'c280', 'e0a080', 'f0908080'],
  '6.9': ['7f', 'dfbf', 'efbfbf', 'f48fbfbf'],
  // 6.11.5 is beyond the last code point.
  '6.11': ['ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf'],
  '6.22': [
    ...['efbfbe', 'efbfbf'],
    // The last two code points of planes 1 to 16.
    ...Array.from({ length: 16 }, (_, i) => [0xfffe, 0xffff].map((low) => (i + 1) * 0x10000 + low))
      .flat()
      .map((point) => Buffer.from(String.fromCodePoint(point)).toString('hex')),
  ],
  '6.23': ['efbfb9', 'efbfba', 'efbfbb', 'efbfbc', 'efbfbd', 'efbfbe', 'efbfbf'],
};
const INVALID: Record<string, readonly string[]> = {
  '6.8': ['f888808080', 'fc8480808080'],
  '6.10': ['f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf'],
  '6.12': ['80', 'bf', '80bf', '80bf80', '80bf80bf', '80bf80bf80', '80bf80bf80bf', allBytes(0x80, 0xbf, '')],
  '6.13': [
    allBytes(0xc0, 0xdf, '20'),
    allBytes(0xe0, 0xef, '20'),
    allBytes(0xf0, 0xf7, '20'),
    allBytes(0xf8, 0xfb, '20'),
    'fc20',
  ],
  '6.14': [
    'c0',
    'e080',
    'f08080',
    'f8808080',
    'fc80808080',
    'df',
    'efbf',
    'f7bfbf',
    'fbbfbfbf',
    'fdbfbfbfbf',
  ],
  '6.15': ['c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf'],
  '6.16': ['fe', 'ff', 'fefeffff'],
  '6.17': ['c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af'],
  '6.18': ['c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf'],
  '6.19': ['c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080'],
  '6.20': ['eda080', 'edadbf', 'edae80', 'edafbf', 'edb080', 'edbe80', 'edbfbf'],
  '6.21': [
    'eda080edb080',
    'eda080edbfbf',
    'edadbfedb080',
    'edadbfedbfbf',
    'edae80edb080',
    'edae80edbfbf',
    'edafbfedb080',
    'edafbfedbfbf',
  ],
};

function allBytes(from: number, to: number, behind: string): string {
  let text = '';
  for (let byte = from; byte <= to; byte++) text += byte.toString(16).padStart(2, '0') + behind;
  return text;
}

type Case = [string, Buffer[], Chop, string[]];

const good: Case[] = [
  ['6.1.1 no bytes', [one('')], 'together', []],
  ['6.1.2 no bytes in three fragments', fragments(['', '', '']), 'together', []],
  [
    '6.1.3 bytes in the middle one of three fragments',
    fragments(['', operation('middle'), '']),
    'together',
    [operation('middle')],
  ],
  ['6.2.1 one frame', [one(operation(HELLO))], 'together', [operation(HELLO)]],
  ['6.2.2 two fragments', fragments(cut(operation(HELLO), 22)), 'together', [operation(HELLO)]],
  ['6.2.3 fragments of a byte', fragments(cut(operation(HELLO), 1)), 'together', [operation(HELLO)]],
  [
    '6.2.4 fragments of a byte, κόσμε',
    fragments(cut(operation(bytes(KOSME)), 1)),
    'together',
    [operation(bytes(KOSME))],
  ],
  // Beginnings of κόσμε that end with a character.
  ...[2, 5, 7, 9, 11].map((length, i): Case => {
    const text = operation(bytes(KOSME.slice(0, 2 * length)));
    return [`6.5.${i + 1} κόσμε, the first ${length} bytes, octet by octet`, [one(text)], 'octets', [text]];
  }),
];
const bad: Case[] = [];
/** Messages that the suite wants refused. */
function refused(
  name: string,
  payload: string,
  frames: (text: string) => Buffer[],
  chop: Chop = 'together',
): void {
  bad.push([name, frames(operation(payload)), chop, [operation(payload)]]);
}
const WRONG = bytes(`${KOSME}eda080656469746564`);
const BEYOND = bytes(`${KOSME}f4908080656469746564`);
refused('6.3.1 a surrogate', WRONG, (text) => [one(text)]);
refused('6.3.2 a surrogate, fragments of a byte', WRONG, (text) => fragments(cut(text, 1)));
refused('6.4.1 a wrong second fragment', BEYOND, (text) => fragments(cut(text, 24)));
refused('6.4.2 wrong in its middle', BEYOND, (text) => fragments(cut(text, 27)));
refused('6.4.3 a frame in chops', BEYOND, (text) => [one(text)], 24);
refused('6.4.4 octet by octet', BEYOND, (text) => [one(text)], 'octets');
for (let length = 1; length <= 11; length++) {
  const isWhole = [2, 5, 7, 9, 11].includes(length);
  const payload = bytes(KOSME.slice(0, 2 * length));
  const name = `6.6.${length} κόσμε, the first ${length} bytes`;
  // As a message of its own, an incomplete character at its end would be refused; the operation ends behind it.
  if (isWhole) good.push([name, [one(operation(payload))], 'together', [operation(payload)]]);
  else refused(name, payload, (text) => [one(text)]);
}
for (const [section, list] of Object.entries(VALID))
  for (const [i, hex] of list.entries())
    good.push([
      `${section}.${i + 1} ${hex}`,
      [one(operation(bytes(hex)))],
      'together',
      [operation(bytes(hex))],
    ]);
for (const [section, list] of Object.entries(INVALID))
  for (const [i, hex] of list.entries())
    refused(`${section}.${i + 1} ${hex.slice(0, 20)}`, bytes(hex), (text) => [one(text)]);
refused('6.11.5 f4908080', bytes('f4908080'), (text) => [one(text)]);

describe.each(TRANSPORTS)('Autobahn over %s', (transport) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket(transport);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each(good)('%s', async (_name, frames, chop, operations) => {
    await passes(await echoing(daemon), frames, chop, operations);
  });

  test.each(
    bad,
  )(`%s: ${transport === 'ws' ? 'bytes like any others' : 'refused'}`, async (_name, frames, chop, operations) => {
    const client = await echoing(daemon);
    if (transport === 'ws') await passes(client, frames, chop, operations);
    else await fails(client, frames, chop, transport, 1007);
  });

  test.each(bad)('%s: in a binary message nobody minds', async (_name, _frames, _chop, [text]) => {
    await passes(await echoing(daemon), [one(text!, { opcode: BINARY })], 'together', [text!]);
  });
});
