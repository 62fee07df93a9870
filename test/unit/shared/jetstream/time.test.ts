import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalTime,
  formatDuration,
  formatTime,
  joinTime,
  parseDuration,
  parseTime,
  splitTime,
  TimeError,
  ZERO_TIME_NS,
} from '../../../../src/shared/jetstream/time.ts';

describe('times', () => {
  test.each([
    [0n, '1970-01-01T00:00:00Z'],
    [ZERO_TIME_NS, '0001-01-01T00:00:00Z'],
    [-1n, '1969-12-31T23:59:59.999999999Z'],
    [1_700_000_000_120_000_000n, '2023-11-14T22:13:20.12Z'],
  ])('%s is %s and back', (time, text) => {
    expect(formatTime(time)).toBe(text);
    expect(parseTime(text)).toBe(time);
  });

  test('every time survives', () => {
    const range = { min: ZERO_TIME_NS, max: 253_402_300_799_999_999_999n };
    fc.assert(
      fc.property(fc.bigInt(range), (time) => {
        expect(parseTime(formatTime(time))).toBe(time);
        const { ms, nanos } = splitTime(time);
        expect(nanos).toBeGreaterThanOrEqual(0);
        expect(joinTime(ms, nanos)).toBe(time);
      }),
      { seed: 21, numRuns: 300 },
    );
  });

  test('zones', () => {
    expect(parseTime('2024-01-02T03:04:05+01:00')).toBe(parseTime('2024-01-02T02:04:05Z'));
    expect(canonicalTime('2024-01-02T03:04:05.600+01:00')).toBe('2024-01-02T03:04:05.6+01:00');
    expect(canonicalTime('2024-01-02T03:04:05+00:00')).toBe('2024-01-02T03:04:05Z');
  });

  test.each([
    ['2024-13-01T00:00:00Z', ': month out of range'],
    ['2024-02-30T00:00:00Z', ': day out of range'],
    ['2024-02-29T24:00:00Z', ': hour out of range'],
    ['2024-02-29T00:00:00Zx', ': extra text: "x"'],
    ['2024-02-29 00:00:00Z', ' as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T"'],
  ])('%s is refused', (text, detail) => {
    expect(parseTime(text)).toEqual(new TimeError(`parsing time "${text}"${detail}`));
  });
});

describe('durations', () => {
  test.each([
    [0n, '0s'],
    [1n, '1ns'],
    [1500n, '1.5µs'],
    [100_000_000n, '100ms'],
    [1_500_000_000n, '1.5s'],
    [60_000_000_000n, '1m0s'],
    [5_400_000_000_000n, '1h30m0s'],
    [-1_000_000_000n, '-1s'],
  ])('%s is %s and back', (nanos, text) => {
    expect(formatDuration(nanos)).toBe(text);
    expect(parseDuration(text)).toBe(nanos);
  });

  test.each(['', '1', 's', '1x', '1s ', '.s', '--1s', '9999999999999h', '1e3s'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test('every duration survives', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), (nanos) => {
        expect(parseDuration(formatDuration(nanos))).toBe(nanos);
      }),
      { seed: 22, numRuns: 300 },
    );
  });
});
