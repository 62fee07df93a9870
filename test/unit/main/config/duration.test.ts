import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDurationMs, parseDuration } from '../../../../src/main/config/duration.ts';
import { quote } from '../../../../src/main/config/quote.ts';

describe('durations', () => {
  test.each([
    ['1h30m', 5_400_000_000_000n],
    ['1.5s', 1_500_000_000n],
    ['-2ms', -2_000_000n],
    ['.5us', 500n],
    ['1µs', 1000n],
    ['0', 0n],
    ['100ns', 100n],
  ])('%s', (text, nanoseconds) => {
    expect(parseDuration(text)).toEqual({ nanoseconds });
  });

  test.each([
    ['foo', 'time: invalid duration "foo"'],
    ['', 'time: invalid duration ""'],
    ['2x', 'time: unknown unit "x" in duration "2x"'],
    ['1d', 'time: unknown unit "d" in duration "1d"'],
    ['5', 'time: missing unit in duration "5"'],
    ['.s', 'time: invalid duration ".s"'],
    ['9999999999h', 'time: invalid duration "9999999999h"'],
    [`${'9'.repeat(100_000)}h`, `time: invalid duration "${'9'.repeat(100_000)}h"`],
  ])('refuses %.20s', (text, error) => {
    expect(parseDuration(text)).toEqual({ error });
  });

  test.each([
    [120_000, '2m0s'],
    [1500, '1.5s'],
    [250, '250ms'],
    [0, '0s'],
    [3_723_000, '1h2m3s'],
    [-1000, '-1s'],
    [0.0015, '1.5µs'],
    [0.000002, '2ns'],
  ])('%d ms prints as %s', (durationMs, text) => {
    expect(formatDurationMs(durationMs)).toBe(text);
  });

  test('what is printed is read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 1e12 }), (durationMs) => {
        expect(parseDuration(formatDurationMs(durationMs))).toEqual({
          nanoseconds: BigInt(durationMs) * 1_000_000n,
        });
      }),
      { seed: 3 },
    );
  });
});

test.each([
  ['a"b\\', '"a\\"b\\\\"'],
  ['a\nb\x01', '"a\\nb\\x01"'],
  ['é€', '"é€"'],
  ['\ufeffport', '"\\ufeffport"'],
  ['\u{e0001}', '"\\U000e0001"'],
])('quotes %j', (text, quoted) => {
  expect(quote(text)).toBe(quoted);
});
