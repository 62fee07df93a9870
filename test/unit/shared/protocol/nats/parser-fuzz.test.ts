import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { latin1Bytes } from '../../../../../src/shared/base/latin1.ts';
import { PARSE_BLOCKED, PARSE_CLOSED, PARSE_PAUSED } from '../../../../../src/shared/protocol/nats/parser.ts';
import { type SeededRandom, seededRandom } from '../../../../support/seeded-random.ts';
import { ParserHost } from './parser-host.ts';

/**
 * Hostile input. The host that the tests drive throws when the parser writes outside of its sentinel and slack, keeps more
 * than a line's limit of an unfinished line, or asks for more of a message that is complete; so "doesn't throw" says a lot.
 * What is left to be checked: the same bytes yield the same calls whatever the pieces they come in.
 */

const VALID = [
  'PING\r\n',
  'PONG\r\n',
  '+OK\r\n',
  'CONNECT {"verbose":false,"headers":true}\r\n',
  'INFO {}\r\n',
  'SUB foo.* q 17\r\n',
  'UNSUB 17 3\r\n',
  'PUB foo 5\r\nhello\r\n',
  'PUB foo 5\r\nhello\r\n',
  'PUB foo 5\r\nworld\r\n',
  'PUB foo.bar _INBOX.x 2\r\nhi\r\n',
  'pub\tfoo\tbar  0\n\r\n',
  'HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n',
  'HPUB foo r 0 3\r\nabc\r\n',
  "-ERR 'x'\r\n",
];
const FRAGMENTS = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '\0',
  'PUB ',
  'PIN',
  '999999999',
  '-1',
  '0',
  'a'.repeat(40),
];

function mutate(bytes: number[], random: SeededRandom): void {
  const at = random.below(bytes.length + 1);
  switch (random.below(5)) {
    case 0:
      bytes.splice(at, 1);
      break;
    case 1:
      bytes.splice(at, 0, random.below(256));
      break;
    case 2:
      if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random.below(8));
      break;
    case 3:
      bytes.splice(at, 0, ...latin1Bytes(random.pick(FRAGMENTS)));
      break;
    default:
      bytes.splice(at, random.below(20));
  }
}

function mutatedStream(random: SeededRandom): Uint8Array {
  let text = '';
  for (let count = 1 + random.below(12); count > 0; count--) text += random.pick(VALID);
  const bytes = [...latin1Bytes(text)];
  for (let count = random.below(4); count > 0; count--) mutate(bytes, random);
  return Uint8Array.from(bytes);
}

interface Setting {
  maxPayloadBytes: number;
  maxControlLineBytes: number;
  gated: boolean;
  headers: boolean;
}

function hostWith(setting: Setting): ParserHost {
  const host = new ParserHost();
  Object.assign(host.client, setting);
  return host;
}

function inPieces(setting: Setting, stream: Uint8Array, random: SeededRandom, most: number): ParserHost {
  const host = hostWith(setting);
  for (let at = 0; at < stream.length; ) {
    const size = 1 + random.below(most);
    host.feed(stream.subarray(at, at + size), random.below(5));
    at += size;
  }
  return host;
}

function randomSetting(random: SeededRandom): Setting {
  return {
    maxPayloadBytes: random.pick([-1, 0, 4, 5, 1024]),
    maxControlLineBytes: random.pick([8, 20, 64, 4096]),
    gated: random.below(4) === 0,
    headers: random.below(4) !== 0,
  };
}

/** The calls, but for which of two ends a connection meets when both are due: the one seen first depends on the pieces. */
function comparable(host: ParserHost): string[] {
  return host.outcome === PARSE_CLOSED ? host.events.slice(0, -1) : host.events;
}

describe('mutated streams', () => {
  test.each([1, 2, 3, 4])('whole, in pieces and byte by byte, seed %i', (seed) => {
    const random = seededRandom(seed);
    for (let round = 0; round < 1500; round++) {
      const stream = mutatedStream(random);
      const setting = randomSetting(random);
      const whole = hostWith(setting);
      whole.feed(stream);
      for (const most of [1, 9, 100]) {
        const pieces = inPieces(setting, stream, random, most);
        expect(comparable(pieces), JSON.stringify({ round, most, setting })).toEqual(comparable(whole));
        expect(pieces.outcome).toBe(whole.outcome);
      }
    }
  });

  test.each([5, 6])('blocked and paused at random, seed %i', (seed) => {
    const random = seededRandom(seed);
    for (let round = 0; round < 1500; round++) {
      const stream = mutatedStream(random);
      const setting = { ...randomSetting(random), gated: false };
      const whole = hostWith(setting);
      whole.feed(stream);
      const host = hostWith(setting);
      host.sink.decide = (event, usual) => {
        if (usual === PARSE_CLOSED) return usual;
        if (event === 'PING' || event === 'PONG') return random.below(3) === 0 ? PARSE_PAUSED : usual;
        return random.pick([usual, usual, PARSE_BLOCKED, PARSE_PAUSED]);
      };
      host.feed(stream);
      for (let turns = 0; host.outcome === PARSE_BLOCKED || host.outcome === PARSE_PAUSED; turns++) {
        if (turns > 1000) throw new Error('makes no progress');
        host.resume();
      }
      expect(host.events, `round ${round}`).toEqual(whole.events);
      expect(host.outcome).toBe(whole.outcome);
    }
  });
});

describe('arbitrary bytes', () => {
  const operation = fc.constantFrom(
    'PUB ',
    'HPUB ',
    'SUB ',
    'UNSUB ',
    'CONNECT',
    'INFO ',
    'PING',
    'PONG',
    '-ERR ',
    '+OK',
    '',
  );
  const piece = fc
    .tuple(operation, fc.uint8Array({ maxLength: 80 }))
    .map(([text, bytes]) => Uint8Array.from([...latin1Bytes(text), ...bytes]));

  test('every call and every end is orderly', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, gated) => {
        const setting = { maxPayloadBytes: 1000, maxControlLineBytes: 30, gated, headers: true };
        const host = hostWith(setting);
        for (const bytes of pieces) host.feed(bytes);
        const whole = hostWith(setting);
        whole.feed(Uint8Array.from(pieces.flatMap((bytes) => [...bytes])));
        expect(comparable(host)).toEqual(comparable(whole));
      }),
      { seed: 7, numRuns: 3000 },
    );
  });

  test('an unfinished message is asked for by exactly what it lacks', () => {
    const random = seededRandom(11);
    for (let round = 0; round < 500; round++) {
      const size = random.below(3000);
      const line = random.pick([`PUB a ${size}\r\n`, `pub  a\t${size}\n`, `HPUB a ${size >> 1} ${size}\r\n`]);
      const host = new ParserHost();
      host.feed(line);
      expect(host.parser.neededBytes).toBe(line.length + size + 2);
      host.feed('x'.repeat(random.below(size + 1)));
      expect(host.parser.neededBytes).toBe(line.length + size + 2);
      expect(host.events).toEqual([]);
    }
  });
});
