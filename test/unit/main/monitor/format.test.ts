import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeJson,
  formatDuration,
  formatRtt,
  formatTime,
  formatUptime,
  sortedMap,
} from '../../../../src/main/monitor/format.ts';
import { timeMs } from './sample-source.ts';

describe('uptime', () => {
  test.each([
    [0, '0s'],
    [999, '0s'],
    [5_000, '5s'],
    [125_000, '2m5s'],
    [3_603_000, '1h0m3s'],
    [93_784_000, '1d2h3m4s'],
    [31_536_000_000, '1y0d0h0m0s'],
    [-5, '0s'],
  ])('%d ms is %s', (durationMs, text) => {
    expect(formatUptime(durationMs)).toBe(text);
  });
});

describe('durations', () => {
  test.each([
    [0, '0s'],
    [15, '15ns'],
    [1_500, '1.5µs'],
    [137_000, '137µs'],
    [1_234_000, '1.234ms'],
    [151_356_808, '151.356808ms'],
    [2_500_000_000, '2.5s'],
    [90_000_000_000, '1m30s'],
    [7_200_500_000_000, '2h0m0.5s'],
    [-1_000_000, '-1ms'],
  ])('%d ns is %s', (nanos, text) => {
    expect(formatDuration(nanos)).toBe(text);
  });

  test('an rtt below a millisecond is cut to whole microseconds', () => {
    expect([0, 0.0005, 0.13799, 1.234567].map(formatRtt)).toEqual(['0s', '500ns', '137µs', '1.234567ms']);
  });
});

describe('times', () => {
  test.each([
    '2026-11-20T12:17:33Z',
    '2026-11-20T12:17:33.9Z',
    '2026-11-20T12:17:33.000001Z',
  ])('%s', (text) => {
    expect(formatTime(timeMs(text))).toBe(text);
  });

  test('no time is the zero time', () => {
    expect(formatTime(0)).toBe('0001-01-01T00:00:00Z');
  });

  test('a fraction never rounds up into the next second', () => {
    expect(formatTime(1999.99999)).toBe('1970-01-01T00:00:01.999999Z');
  });
});

describe('JSON', () => {
  test('escapes what HTML and JavaScript would take for themselves', () => {
    expect(encodeJson('s1.> <&> \u2028\u2029 "\\\n', '')).toBe(
      '"s1.\\u003e \\u003c\\u0026\\u003e \\u2028\\u2029 \\"\\\\\\n"',
    );
  });

  test('a lone surrogate becomes the replacement character', () => {
    expect(encodeJson('a\ud800b', '')).toBe('"a\ufffdb"');
  });

  test('bigints are plain numbers, undefined members are left out, empty lists stay', () => {
    const value = { reserved: 18446744073709551615n, gone: undefined, none: null, list: [], map: {} };
    expect(encodeJson(value, '')).toBe('{"reserved":18446744073709551615,"none":null,"list":[],"map":{}}');
  });

  test('maps are sorted and keep a key called __proto__', () => {
    const map = sortedMap([
      ['b', 1],
      ['__proto__', 2],
      ['a', 3],
    ]);
    expect(encodeJson(map, '')).toBe('{"__proto__":2,"a":3,"b":1}');
  });

  test('whatever is encoded parses back to the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('', '  ', '   '), (value, indent) => {
        const plain = JSON.parse(JSON.stringify(value));
        const text = encodeJson(plain, indent);
        expect(JSON.parse(text)).toEqual(plain);
        expect(text).not.toMatch(/[<>&]/);
      }),
      { seed: 4222, numRuns: 300 },
    );
  });
});
