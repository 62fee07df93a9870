import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { latin1Bytes } from '../../../../../src/shared/base/latin1.ts';
import { SCRATCH_KEEP_BYTES } from '../../../../../src/shared/base/limits.ts';
import {
  PARSE_BLOCKED,
  PARSE_CLOSED,
  PARSE_MORE,
  PARSE_PAUSED,
} from '../../../../../src/shared/protocol/nats/parser.ts';
import { ParserHost, publishEvent } from './parser-host.ts';

function parseWhole(text: string, prepare?: (host: ParserHost) => void): ParserHost {
  const host = new ParserHost();
  prepare?.(host);
  host.feed(text);
  return host;
}

/** PUB or HPUB as it is reported; `sizes` is the end of the line. */
function published(
  subject: string,
  reply: string,
  headerBytes: number,
  sizes: string,
  payload: string,
): string {
  const tail = `${reply === '' ? '' : `${reply} `}${sizes}\r\n${payload}\r\n`;
  return publishEvent(subject, reply, headerBytes, payload, tail);
}

/** client-protocol §1, §5, §6: what is written, and what must be reported. */
const OPERATIONS: [text: string, events: string[]][] = [
  ['PING\r\n', ['PING']],
  ['ping\n', ['PING']],
  ['pInG\r\n', ['PING']],
  ['PINGFOO\r\n', ['PING']],
  ['PING  xx\r\n', ['PING']],
  ['PONG\r\n', ['PONG']],
  ['ponG blah\n', ['PONG']],
  ['+OK\r\n', []],
  ['+ok whatever it says\r\n', []],
  ['CONNECT {}\r\n', ['CONNECT {}']],
  ['CONNECT{"verbose":false}\r\n', ['CONNECT {"verbose":false}']],
  ['connect \t {"a": 1} \n', ['CONNECT {"a": 1} ']],
  ['CONNECT\r\n', ['CONNECT ']],
  ['CONNECT\n', ['CONNECT ']],
  ['INFO {}\r\n', ['INFO {}']],
  ['info{"a":1}\n', ['INFO {"a":1}']],
  ['SUB foo 1\r\n', ['SUB ["foo","1"]']],
  ['sub foo bar 1\r\n', ['SUB ["foo","bar","1"]']],
  ['SuB\t foo \t q  1 \t\r\n', ['SUB ["foo","q","1"]']],
  ['SUB foo 1\n', ['SUB ["foo","1"]']],
  ['SUB foo\r\n', ['SUB ["foo"]']],
  ['SUB  \r\n', ['SUB []']],
  ['SUB a b c d\r\n', ['SUB ["a","b","c","d"]']],
  ['SUB a b c d e f g h\r\n', ['SUB ["a","b","c","d","e"]']],
  ['SUB f\0o \xff\x01\r\n', ['SUB ["f\\u0000o","ÿ\\u0001"]']],
  ['UNSUB 1\r\n', ['UNSUB ["1"]']],
  ['unsub\t1  5\n', ['UNSUB ["1","5"]']],
  ['PUB foo 5\r\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB foo 0\r\n\r\n', [published('foo', '', -1, '0', '')]],
  ['PUB foo bar 5\r\nhello\r\n', [published('foo', 'bar', -1, '5', 'hello')]],
  ['pub foo 5\r\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB foo 5\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB \t foo \t bar\t5\t\r\nhello\r\n', [published('foo', 'bar', -1, '5', 'hello')]],
  ['PUB foo  5\r\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB foo 5 \r\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB  foo 5\r\nhello\r\n', [published('foo', '', -1, '5', 'hello')]],
  ['PUB foo\tbar 5\r\nhello\r\n', [published('foo', 'bar', -1, '5', 'hello')]],
  ['PUB foo 0005\r\nhello\r\n', [published('foo', '', -1, '0005', 'hello')]],
  ['PUB foo 000000005\r\nhello\r\n', [published('foo', '', -1, '000000005', 'hello')]],
  ['PUB foo 4\r\n\r\n\r\n\r\n', [published('foo', '', -1, '4', '\r\n\r\n')]],
  ['PUB f\0\xfe 1\r\nx\r\n', [published('f\0\xfe', '', -1, '1', 'x')]],
  ['PUB fo\ro 1\r\nx\r\n', [published('fo\ro', '', -1, '1', 'x')]],
  [
    'HPUB foo 12 17\r\nNATS/1.0\r\n\r\nhello\r\n',
    [published('foo', '', 12, '12 17', 'NATS/1.0\r\n\r\nhello')],
  ],
  ['hpub foo bar 12 12\r\nNATS/1.0\r\n\r\n\r\n', [published('foo', 'bar', 12, '12 12', 'NATS/1.0\r\n\r\n')]],
  ['HPUB foo 0 005\r\nhello\r\n', [published('foo', '', 0, '0 005', 'hello')]],
  ['HPUB  foo\tbar  3 \t 5 \nabcde\r\n', [published('foo', 'bar', 3, '3 5', 'abcde')]],
];

/** Whatever ends the connection, and how. */
const REFUSALS: [text: string, event: string][] = [
  [' PING\r\n', 'unknown'],
  ['\r\n', 'unknown'],
  ['\n', 'unknown'],
  ['F', 'unknown'],
  ['PX', 'unknown'],
  ['PUT', 'unknown'],
  ['PINX', 'unknown'],
  ['+OX', 'unknown'],
  ['-ERX', 'unknown'],
  ['SUX', 'unknown'],
  ['UNX', 'unknown'],
  ['CX', 'unknown'],
  ['INFX', 'unknown'],
  ['HPUX', 'unknown'],
  ['MSG foo 1 0\r\n\r\n', 'unknown'],
  ['HMSG foo 1 0 0\r\n\r\n', 'unknown'],
  ['RS+ a\r\n', 'unknown'],
  ['LS+ a\r\n', 'unknown'],
  ['A+ a\r\n', 'unknown'],
  ['GET / HTTP/1.1\r\n', 'unknown'],
  ['PUB\r\n', 'unknown'],
  ['PUBfoo 1\r\n', 'unknown'],
  ['SUB\r\n', 'unknown'],
  ['SUBfoo 1\r\n', 'unknown'],
  ['UNSUB\r\n', 'unknown'],
  ['-ERR\r\n', 'unknown'],
  ['\x10UB foo 1\r\n', 'unknown'],
  ["-ERR 'whatever'\r\n", "-ERR 'whatever'"],
  ["-err\t'whatever' \n", "-ERR 'whatever' "],
  ['PUB foo\r\n', 'bad: processPub Parse Error: foo'],
  ['PUB  \r\n', 'bad: processPub Parse Error: '],
  ['PUB foo bar baz 1\r\n', 'bad: processPub Parse Error: foo bar baz 1'],
  ['PUB foo -1\r\n', 'bad: processPub Bad or Missing Size: foo -1'],
  ['PUB foo +1\r\n', 'bad: processPub Bad or Missing Size: foo +1'],
  ['PUB foo 1x\r\n', 'bad: processPub Bad or Missing Size: foo 1x'],
  ['PUB foo 1.0\r\n', 'bad: processPub Bad or Missing Size: foo 1.0'],
  ['PUB foo 0000000001\r\n', 'bad: processPub Bad or Missing Size: foo 0000000001'],
  ['PUB foo 1\r\r\n', 'bad: processPub Bad or Missing Size: foo 1\r'],
  ['HPUB foo 1\r\n', 'bad: processHeaderPub Parse Error: foo 1'],
  ['HPUB foo a b 1 2\r\n', 'bad: processHeaderPub Parse Error: foo a b 1 2'],
  ['HPUB foo x 2\r\n', 'bad: processHeaderPub Bad or Missing Header Size: foo x 2'],
  ['HPUB foo 1 y\r\n', 'bad: processHeaderPub Bad or Missing Total Size: foo 1 y'],
  ['HPUB foo 3 2\r\n', 'bad: processHeaderPub Header Size larger then TotalSize: foo 3 2'],
  ['PUB foo 1048577\r\n', 'max payload: 1048577'],
  ['HPUB foo 0 1048577\r\n', 'max payload: 1048577'],
  ['PUB foo 1\r\nx\n', 'unknown'],
  ['PUB foo 1\r\nxy\r\n', 'unknown'],
  ['PUB foo 1\r\nx\rz', 'unknown'],
  ['PUB foo 0\r\nx', 'unknown'],
  ['PUB  foo 1\r\nxy', 'unknown'],
];

describe('operations', () => {
  test.each(OPERATIONS)('%j', (text, events) => {
    const host = parseWhole(text);
    expect(host.events).toEqual(events);
    expect([host.outcome, host.rest.length]).toEqual([PARSE_MORE, 0]);
  });

  test.each(REFUSALS)('%j closes', (text, event) => {
    const host = parseWhole(`PING\r\n${text}`);
    expect(host.events).toEqual(['PING', event]);
    expect(host.outcome).toBe(PARSE_CLOSED);
  });

  test('HPUB without header support closes', () => {
    const host = parseWhole('HPUB foo 0 1\r\nx\r\n', ({ client }) => {
      client.headers = false;
    });
    expect(host.events).toEqual(['bad: message headers not supported: foo 0 1']);
  });

  test('nothing is reported behind an operation that closed', () => {
    expect(parseWhole('FOO\r\nPING\r\n').events).toEqual(['unknown']);
  });

  test('an unlimited payload is taken', () => {
    const host = parseWhole('PUB foo 999999999\r\nx', ({ client }) => {
      client.maxPayloadBytes = -1;
    });
    expect([host.outcome, host.parser.neededBytes]).toEqual([
      PARSE_MORE,
      'PUB foo 999999999\r\n'.length + 999_999_999 + 2,
    ]);
  });
});

describe('split anywhere', () => {
  const all = OPERATIONS.map(([text]) => text).join('');
  const expected = OPERATIONS.flatMap(([, events]) => events);

  test('all operations in one piece', () => {
    expect(parseWhole(all).events).toEqual(expected);
  });

  test('every offset of every operation', () => {
    for (const [text, events] of OPERATIONS) {
      for (let at = 0; at <= text.length; at++) {
        const host = new ParserHost();
        host.feed(text.slice(0, at));
        host.feed(text.slice(at));
        expect(host.events, `${JSON.stringify(text)} at ${at}`).toEqual(events);
      }
    }
  });

  test.each([1, 2, 3, 7])('pieces of %i bytes', (size) => {
    const host = new ParserHost();
    for (let at = 0; at < all.length; at += size) host.feed(all.slice(at, at + size));
    expect(host.events).toEqual(expected);
    expect(host.rest).toHaveLength(0);
  });

  test('a refusal comes the same whatever the pieces', () => {
    for (const [text, event] of REFUSALS) {
      const host = new ParserHost();
      for (const character of text) host.feed(character);
      expect(host.events, JSON.stringify(text)).toEqual([event]);
    }
  });

  test('a large message is asked for by its length and taken in one piece', () => {
    const payload = 'p'.repeat(200_000);
    for (const line of ['PUB foo 200000\r\n', 'pub  foo 200000\n', 'HPUB foo 3 200000\r\n']) {
      const text = `${line}${payload}\r\n`;
      const host = new ParserHost();
      host.feed(text.slice(0, 500));
      expect(host.parser.neededBytes).toBe(text.length);
      host.feed(text.slice(500));
      expect(host.events).toHaveLength(1);
      expect(host.events[0]).toContain(payload);
    }
  });

  test('a wrong byte behind the payload is refused before the rest of the terminator is there', () => {
    for (const line of ['PUB foo 2', 'PUB  foo 2', 'HPUB foo 0 2']) {
      const host = new ParserHost();
      host.feed(`${line}\r\nab`);
      expect(host.outcome).toBe(PARSE_MORE);
      host.feed('c');
      expect(host.events).toEqual(['unknown']);
    }
  });
});

describe('control line limit', () => {
  /** Arguments of exactly `bytes` bytes. */
  const args = (bytes: number): string => `${'a'.repeat(bytes - 2)} 0`;

  test.each(['\r\n', '\n'])('4096 bytes pass, 4097 do not (line end %j)', (end) => {
    for (const op of ['PUB ', 'pub   ', 'PUB\t']) {
      const host = parseWhole(`${op}${args(4096)}${end}\r\n`);
      expect(host.events).toEqual([published('a'.repeat(4094), '', -1, '0', '')]);
      expect(parseWhole(`${op}${args(4097)}${end}\r\n`).events).toEqual(['max control line']);
    }
    expect(parseWhole(`SUB ${args(4096)}${end}`).events).toHaveLength(1);
    expect(parseWhole(`SUB ${args(4097)}${end}`).events).toEqual(['max control line']);
    expect(parseWhole(`CONNECT ${args(4097)}${end}`).events).toEqual(['max control line']);
    expect(parseWhole(`-ERR ${args(4097)}${end}`).events).toEqual(['max control line']);
  });

  test('blanks behind the arguments count, blanks in front do not', () => {
    expect(parseWhole(`PUB ${args(4096)} \r\n\r\n`).events).toEqual(['max control line']);
    expect(parseWhole(`PUB${' '.repeat(9000)}${args(4096)}\r\n\r\n`).events).toHaveLength(1);
  });

  test('an unfinished line is refused once it is too long', () => {
    const host = parseWhole(`PUB ${'a'.repeat(4096)}`);
    expect([host.events, host.outcome]).toEqual([[], PARSE_MORE]);
    host.feed('a');
    expect(host.events).toEqual(['max control line']);
  });

  test('a line that is just long enough may be split before and behind its CR', () => {
    const line = `PUB ${args(4096)}\r\n\r\n`;
    for (const at of [4100, 4101, 4102, 4103]) {
      const host = parseWhole(line.slice(0, at));
      host.feed(line.slice(at));
      expect(host.events).toHaveLength(1);
      expect(host.outcome).toBe(PARSE_MORE);
    }
  });

  test('blanks without end are not kept', () => {
    for (const [op, rest, event] of [
      ['PUB', 'foo 1\r\nx\r\n', published('foo', '', -1, '1', 'x')],
      ['unsub', '1\r\n', 'UNSUB ["1"]'],
      ['CONNECT', '{}\r\n', 'CONNECT {}'],
    ] as const) {
      const host = parseWhole(`PING\r\n${op}`);
      for (let i = 0; i < 5; i++) host.feed(' \t'.repeat(2500));
      expect(host.rest).toHaveLength(op.length + 1);
      host.feed(rest);
      expect(host.events).toEqual(['PING', event]);
    }
  });

  test('a PING with endless garbage is not kept', () => {
    const host = parseWhole('PI');
    host.feed('NG');
    for (let i = 0; i < 20; i++) {
      host.feed('PUB foo 1 '.repeat(1000));
      expect(host.rest).toHaveLength(0);
    }
    expect(host.events).toEqual([]);
    host.feed('\nPUB foo 1\r\nx\r\n');
    expect(host.events).toEqual(['PING', published('foo', '', -1, '1', 'x')]);
  });
});

describe('gate', () => {
  const gated = ({ client }: ParserHost): void => {
    client.gated = true;
  };

  test.each(['CONNECT {}\r\nPING\r\n', 'connect{}\nping\n'])('CONNECT opens it: %j', (text) => {
    for (let at = 0; at <= text.length; at++) {
      const host = parseWhole(text.slice(0, at), gated);
      host.feed(text.slice(at));
      expect(host.events).toEqual(['CONNECT {}', 'PING']);
    }
  });

  test.each(['PING\r\n', 'p', ' ', '\r\n', 'SUB a 1\r\n', '\0', '#'])('anything else closes: %j', (text) => {
    expect(parseWhole(text, gated).events).toEqual(['first byte']);
  });

  test('the sink may let the first byte pass', () => {
    const host = parseWhole('PING\r\nPING\r\n', (fresh) => {
      gated(fresh);
      fresh.sink.decide = (event, usual) => {
        if (event !== 'first byte') return usual;
        fresh.client.gated = false;
        return PARSE_MORE;
      };
    });
    expect(host.events).toEqual(['first byte', 'PING', 'PING']);
  });

  test('a first byte that waits for an answer is presented again', () => {
    const host = parseWhole('PING\r\n', (fresh) => {
      gated(fresh);
      fresh.sink.decide = (event, usual) => (event === 'first byte' ? PARSE_PAUSED : usual);
    });
    expect([host.outcome, host.rest.length]).toEqual([PARSE_PAUSED, 6]);
    host.client.gated = false;
    host.resume();
    expect(host.events).toEqual(['first byte', 'PING']);
  });
});

describe('outcomes', () => {
  const TEXT = `PING\r\n${OPERATIONS.map(([text]) => text).join('')}PUB a 1\r\nx\r\n`.repeat(2);
  const EVENTS = parseWhole(TEXT).events;

  test('what is blocked comes again, at every operation', () => {
    for (const chance of [1, 2, 5]) {
      const host = new ParserHost();
      let asked = 0;
      host.sink.decide = (event, usual) => {
        // PING and PONG are never put off: their line may be consumed already.
        if (event === 'PING' || event === 'PONG') return usual;
        return ++asked % (chance + 1) === 0 ? usual : PARSE_BLOCKED;
      };
      host.feed(TEXT);
      for (let i = 0; i < 1000 && host.outcome === PARSE_BLOCKED; i++) host.resume();
      expect(host.outcome).toBe(PARSE_MORE);
      expect(host.events).toEqual(EVENTS);
    }
  });

  test('what is paused is taken, and nothing behind it', () => {
    const host = new ParserHost();
    host.sink.decide = () => PARSE_PAUSED;
    host.feed(TEXT);
    let operations = 0;
    for (; host.outcome === PARSE_PAUSED; host.resume()) {
      operations++;
      expect(host.events).toHaveLength(operations);
    }
    expect(operations).toBe(EVENTS.length);
    expect(host.events).toEqual(EVENTS);
  });

  test('a closed connection is left alone', () => {
    const host = new ParserHost();
    host.sink.decide = (event, usual) => (event === 'PONG' ? PARSE_CLOSED : usual);
    host.feed('PING\r\nPONG\r\nPING\r\n');
    expect(host.events).toEqual(['PING', 'PONG']);
    expect(host.outcome).toBe(PARSE_CLOSED);
  });
});

describe('canonical form', () => {
  test('a message is rewritten into memory that is not the publisher’s, so nobody may refer to it', () => {
    const host = new ParserHost();
    const released = { references: 1, release: () => undefined };
    const owners: unknown[] = [];
    host.sink.decide = (_event, usual) => {
      owners.push(host.parser.frame.payloadOwner);
      return usual;
    };
    for (const line of ['PUB foo 3', 'PUB foo  3']) {
      host.parser.frame.payloadOwner = released;
      host.feed(`${line}\r\nabc\r\n`);
    }
    expect(owners).toEqual([released, null]);
  });

  test('messages larger than the kept buffer are rewritten too', () => {
    for (const size of [SCRATCH_KEEP_BYTES - 60, SCRATCH_KEEP_BYTES, SCRATCH_KEEP_BYTES * 3]) {
      const payload = 'abcdefg'.repeat(size).slice(0, size);
      const host = parseWhole(`pub\tfoo  bar ${size}\n${payload}\r\nPING\r\n`);
      expect(host.events).toEqual([published('foo', 'bar', -1, String(size), payload), 'PING']);
    }
  });
});

/** The messages of a well-formed stream of publishes, found the plain way. */
function referencePublishes(stream: string): string[] {
  const events: string[] = [];
  let rest = stream;
  while (rest !== '') {
    const lineEnd = rest.indexOf('\r\n');
    const [, subject = '', ...more] = rest.slice(0, lineEnd).split(' ');
    const sizeText = more.pop() ?? '';
    const payload = rest.slice(lineEnd + 2, lineEnd + 2 + Number(sizeText));
    events.push(published(subject, more[0] ?? '', -1, sizeText, payload));
    rest = rest.slice(lineEnd + 2 + payload.length + 2);
  }
  return events;
}

describe('repeated lines', () => {
  test('every length of line from 1 to 140, repeated and then different in one byte', () => {
    for (let length = 1; length <= 140; length++) {
      const subject = 'abcdefghij'.repeat(14).slice(0, length);
      for (let differs = 0; differs < length; differs += length > 20 ? 7 : 1) {
        const other = `${subject.slice(0, differs)}#${subject.slice(differs + 1)}`;
        const stream = [subject, subject, subject, other, subject, other, other, other]
          .map((name, index) => `PUB ${name} 2\r\n${index}x\r\n`)
          .join('');
        const host = parseWhole(stream);
        expect(host.events).toEqual(referencePublishes(stream));
        if (length < 110) expect(host.sink.remembered).toBeGreaterThanOrEqual(4);
      }
    }
  });

  test('a size that differs in its last digit only', () => {
    const stream = ['5', '5', '5', '6', '5', '05', '05', '05', '5']
      .map((size) => `PUB foo ${size}\r\n${'abcdefg'.slice(0, Number(size))}\r\n`)
      .join('');
    expect(parseWhole(stream).events).toEqual(referencePublishes(stream));
  });

  test('a recognised line is checked against a limit that has shrunk', () => {
    const host = parseWhole('PUB foo 5\r\nhello\r\n'.repeat(3));
    expect(host.sink.remembered).toBe(2);
    host.client.maxPayloadBytes = 4;
    host.feed('PUB foo 5\r\nhello\r\n');
    expect(host.events.at(-1)).toBe('max payload: 5');
  });

  test('a recognised line is recognised under no limit at all', () => {
    const host = parseWhole('PUB foo 5\r\nhello\r\n'.repeat(3));
    host.client.maxPayloadBytes = -1;
    host.feed('PUB foo 5\r\nhello\r\n');
    expect([host.events.length, host.sink.remembered]).toEqual([4, 3]);
  });

  test('the terminator of a recognised line is checked', () => {
    for (const wrong of ['hello\n\n', 'hellox\n', 'hello\rx', 'hellooo']) {
      const host = parseWhole('PUB foo 5\r\nhello\r\n'.repeat(3));
      host.feed(`PUB foo 5\r\n${wrong}`);
      expect(host.events.slice(3)).toEqual(['unknown']);
    }
  });

  test('a recognised line that is not complete waits', () => {
    const message = 'PUB foo 5\r\nhello\r\n';
    for (let at = 0; at < message.length; at++) {
      const host = parseWhole(`${message.repeat(3)}${message.slice(0, at)}`);
      expect(host.events).toHaveLength(3);
      host.feed(message.slice(at) + message);
      expect(host.events).toEqual(referencePublishes(message.repeat(5)));
    }
  });

  test('a blocked message of a recognised line comes again', () => {
    const host = parseWhole('PUB foo 5\r\nhello\r\n'.repeat(3));
    let blocked = 0;
    host.sink.decide = (_event, usual) => (++blocked <= 3 ? PARSE_BLOCKED : usual);
    host.feed('PUB foo 5\r\nhello\r\n'.repeat(2));
    while (host.outcome === PARSE_BLOCKED) host.resume();
    expect(host.events).toHaveLength(5);
  });

  test('random streams with and without recognition, in random pieces', () => {
    const token = fc.stringMatching(/^[a-c.]{1,6}$/);
    const message = fc.record({
      subject: token,
      reply: fc.option(token, { nil: '', freq: 4 }),
      size: fc.constantFrom(0, 1, 2, 5, 13),
      zeros: fc.constantFrom('', '', '', '0', '00'),
      times: fc.integer({ min: 1, max: 5 }),
    });
    const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), cuts, (messages, sizes) => {
        let serial = 0;
        const stream = messages
          .flatMap(({ times, ...rest }) => Array.from({ length: times }, () => rest))
          .map(({ subject, reply, size, zeros }) => {
            const payload = String(serial++).padEnd(size, '\r\n').slice(0, size);
            return `PUB ${subject} ${reply === '' ? '' : `${reply} `}${zeros}${size}\r\n${payload}\r\n`;
          })
          .join('');
        const host = new ParserHost();
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const size = sizes[cut % sizes.length]!;
          host.feed(stream.slice(at, at + size));
          at += size;
        }
        expect(host.events).toEqual(referencePublishes(stream));
      }),
      { seed: 20260, numRuns: 400 },
    );
  });
});

test('the sentinel replaces the byte behind the end, and no other', () => {
  const text = latin1Bytes('PUB foo 5\r\nhello\r\nPIN');
  const bytes = new Uint8Array(text.length + 16).fill(0x47);
  bytes.set(text);
  const host = new ParserHost();
  host.parser.parse(host.client, bytes, new DataView(bytes.buffer), 0, text.length);
  expect(bytes[text.length]).toBe(0x0a);
  expect([...bytes.subarray(text.length + 1)]).toEqual(new Array(15).fill(0x47));
  expect([...bytes.subarray(0, text.length)]).toEqual([...text]);
});
