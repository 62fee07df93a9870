import { beforeEach, describe, expect, test } from 'vitest';
import { FirstPortion } from '../../../../src/workers/persistence/first-portion.ts';

const SYNC_MICROS = 300;

describe('the first portion', () => {
  let nowMs: number;
  let portion: FirstPortion;
  beforeEach(() => {
    nowMs = 1000;
    portion = new FirstPortion(() => nowMs);
  });

  test('is small after a rest longer than a sync', () => {
    portion.rest();
    nowMs += 0.301;
    const bytes = portion.limitBytes(SYNC_MICROS);
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(64 * 1024);
  });

  test('is everything after a rest no longer than a sync', () => {
    portion.rest();
    nowMs += 0.299;
    expect(portion.limitBytes(SYNC_MICROS)).toBe(Infinity);
  });

  test('is everything when the thread did not rest', () => {
    expect(portion.limitBytes(SYNC_MICROS)).toBe(Infinity);
  });

  test('is small once for each rest', () => {
    portion.rest();
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBeLessThan(Infinity);
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBe(Infinity);
    portion.rest();
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBeLessThan(Infinity);
  });
});
