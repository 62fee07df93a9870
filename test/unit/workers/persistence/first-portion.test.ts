import { beforeEach, describe, expect, test } from 'vitest';
import { FirstPortion, WHOLE_RINGS_BYTES } from '../../../../src/workers/persistence/first-portion.ts';

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
    expect(portion.limitBytes(SYNC_MICROS)).toBe(WHOLE_RINGS_BYTES);
  });

  test('is everything when the thread did not rest', () => {
    expect(portion.limitBytes(SYNC_MICROS)).toBe(WHOLE_RINGS_BYTES);
  });

  test('is small once for each rest', () => {
    portion.rest();
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBeLessThan(WHOLE_RINGS_BYTES);
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBe(WHOLE_RINGS_BYTES);
    portion.rest();
    nowMs += 1;
    expect(portion.limitBytes(SYNC_MICROS)).toBeLessThan(WHOLE_RINGS_BYTES);
  });
});
