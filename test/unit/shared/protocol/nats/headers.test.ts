import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  findHeader,
  headerText,
  noRespondersHeader,
  removeHeader,
  setHeader,
  statusHeader,
} from '../../../../../src/shared/protocol/nats/headers.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (block: Uint8Array): string => Buffer.from(block).toString('latin1');

const block = bytes('NATS/1.0\r\nA: one\r\nAB:two\r\nB:   three \r\nA: again\r\nE:\r\n\r\n');

describe('look-up', () => {
  test.each([
    ['A', 'one'],
    ['AB', 'two'],
    ['B', 'three '],
    ['E', ''],
    ['a', null],
    ['C', null],
    ['NATS/1.0', null],
    ['one', null],
    ['', null],
  ])('of %j gives %j', (name, expected) => {
    expect(headerText(block, name)).toBe(expected);
  });

  test('takes a name only at the start of a line', () => {
    expect(headerText(bytes('NATS/1.0\r\nX: A: no\r\n\r\n'), 'A')).toBeNull();
    expect(headerText(bytes('NATS/1.0\r\nX: y\nA: no\r\n\r\n'), 'A')).toBeNull();
    expect(headerText(bytes('A: no\r\n\r\n'), 'A')).toBeNull();
  });

  test('takes a value only when the line ends', () => {
    expect(headerText(bytes('NATS/1.0\r\nA: cut'), 'A')).toBeNull();
    expect(headerText(bytes('NATS/1.0\r\nA'), 'A')).toBeNull();
  });

  test('is a view', () => {
    expect(findHeader(block, 'AB')?.buffer).toBe(block.buffer);
  });

  test('reads no further than the block', () => {
    const whole = bytes('NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n');
    expect(headerText(whole.subarray(0, 16), 'B')).toBeNull();
  });
});

describe('removal', () => {
  test('takes out all of the name', () => {
    expect(text(removeHeader(block, 'A'))).toBe('NATS/1.0\r\nAB:two\r\nB:   three \r\nE:\r\n\r\n');
    expect(text(removeHeader(bytes('NATS/1.0\r\nA: 1\r\nA: 2\r\nB: 3\r\n\r\n'), 'A'))).toBe(
      'NATS/1.0\r\nB: 3\r\n\r\n',
    );
  });

  test('gives back the same block when there is nothing to remove', () => {
    expect(removeHeader(block, 'none')).toBe(block);
  });

  test('leaves nothing of a block without headers, but a status stays', () => {
    expect(removeHeader(bytes('NATS/1.0\r\nA: 1\r\n\r\n'), 'A')).toHaveLength(0);
    expect(text(removeHeader(bytes('NATS/1.0 503\r\nA: 1\r\n\r\n'), 'A'))).toBe('NATS/1.0 503\r\n\r\n');
  });
});

describe('setting', () => {
  test('makes a block', () => {
    expect(text(setHeader(new Uint8Array(0), 'A', 'x'))).toBe('NATS/1.0\r\nA: x\r\n\r\n');
  });

  test('replaces and appends', () => {
    expect(text(setHeader(bytes('NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n'), 'A', 'x'))).toBe(
      'NATS/1.0\r\nB: 2\r\nA: x\r\n\r\n',
    );
    expect(text(setHeader(bytes('NATS/1.0 100 Idle\r\n\r\n'), 'A', 'x'))).toBe(
      'NATS/1.0 100 Idle\r\nA: x\r\n\r\n',
    );
  });

  test('encodes values as UTF-8', () => {
    expect(Buffer.from(setHeader(bytes(''), 'A', '\u00e9')).toString('utf8')).toContain('A: \u00e9\r\n');
  });
});

describe('status', () => {
  test('is written', () => {
    expect(text(statusHeader(503))).toBe('NATS/1.0 503\r\n\r\n');
    expect(text(statusHeader(100, 'Idle Heartbeat'))).toBe('NATS/1.0 100 Idle Heartbeat\r\n\r\n');
  });

  test('of no responders has the length that clients compute', () => {
    const header = noRespondersHeader('some.subject');
    expect(text(header)).toBe('NATS/1.0 503\r\nNats-Subject: some.subject\r\n\r\n');
    expect(header).toHaveLength(32 + 'some.subject'.length);
  });
});

describe('any bytes', () => {
  const piece = fc.constantFrom(
    'NATS/1.0',
    '\r\n',
    '\r',
    '\n',
    'A',
    'B',
    ':',
    ' ',
    'A: x\r\n',
    'B: y\r\n',
    '\xff',
  );
  const anyBlock = fc.array(piece, { maxLength: 12 }).map((pieces) => bytes(pieces.join('')));

  test('are read without harm, and a removed header is gone', () => {
    fc.assert(
      fc.property(anyBlock, (any) => {
        expect(findHeader(removeHeader(any, 'A'), 'A')).toBeNull();
      }),
      { seed: 20_155, numRuns: 3000 },
    );
  });

  test('of well-formed blocks keep all other headers when one is set', () => {
    const header = fc.tuple(fc.constantFrom('A', 'B', 'C', 'AB'), fc.stringMatching(/^[!-~]{0,5}$/));
    fc.assert(
      fc.property(fc.array(header, { maxLength: 6 }), fc.stringMatching(/^[!-~]{0,5}$/), (headers, value) => {
        const lines = headers.map(([name, each]) => `${name}: ${each}\r\n`).join('');
        const result = setHeader(bytes(`NATS/1.0\r\n${lines}\r\n`), 'A', value);
        const kept = headers.filter(([name]) => name !== 'A').map(([name, each]) => `${name}: ${each}\r\n`);
        expect(text(result)).toBe(`NATS/1.0\r\n${kept.join('')}A: ${value}\r\n\r\n`);
      }),
      { seed: 20_156, numRuns: 1000 },
    );
  });
});
