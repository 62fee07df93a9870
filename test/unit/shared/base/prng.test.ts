import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/shared/base/prng.ts';

function draw(seed: number, count: number, bound: number): number[] {
  const random = new Prng(seed);
  return Array.from({ length: count }, () => random.below(bound));
}

describe('prng', () => {
  test('the same seed gives the same numbers, another seed others', () => {
    expect(draw(42, 50, 1000)).toEqual(draw(42, 50, 1000));
    expect(draw(42, 50, 1000)).not.toEqual(draw(43, 50, 1000));
  });

  test.each([0, -1, 1, 2 ** 31, -(2 ** 31), 2 ** 32, 1.5e15])('seed %d gives varied numbers', (seed) => {
    expect(new Set(draw(seed, 100, 2 ** 31)).size).toBe(100);
  });

  test('numbers are whole and within the bound', () => {
    for (const bound of [1, 2, 3, 7, 1000, 2 ** 31 - 1, 2 ** 31]) {
      for (const value of draw(9, 500, bound)) {
        expect(Number.isInteger(value) && value >= 0 && value < bound).toBe(true);
      }
    }
  });

  test('unit is in [0, 1)', () => {
    const random = new Prng(5);
    const values = Array.from({ length: 1000 }, () => random.unit());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
  });

  test.each([2, 3, 5, 10, 17])('%i values come about equally often', (bound) => {
    const counts = new Array<number>(bound).fill(0);
    for (const value of draw(2024, 10_000 * bound, bound)) counts[value]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    // Far beyond the 99.99 % quantile for 16 degrees of freedom: a broken generator is off by hundreds.
    expect(chiSquare).toBeLessThan(45);
  });
});
