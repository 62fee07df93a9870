import { expect, test } from 'vitest';

interface Goal {
  of: 'ratio' | 'natsd';
  better: 'more' | 'less';
  required: number;
  aim: number;
  aimOf?: 'ratio' | 'natsd';
}
interface Comparison {
  natsd: number | null;
  reference: number | null;
  ratio: number | null;
  low: number | null;
  high: number | null;
}
/** What perf/run.mjs relies on. */
interface Statistics {
  median(values: number[]): number;
  compare(natsd: number[], reference: number[]): Comparison;
  verdict(goal: Goal | null, comparison: Comparison): 'aim' | 'met' | 'missed' | null;
}

const location = new URL('../../../perf/harness/statistics.mjs', import.meta.url).href;
const { median, compare, verdict }: Statistics = await import(location);

test('the median of an even number of values lies between the middle two, whatever their order', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([10, 1, 4, 2])).toBe(3);
  expect(median([100, 9, 11])).toBe(11);
  expect(() => median([])).toThrow('no values');
});

test('the ratio is the median of the ratios of pairs, not the ratio of medians', () => {
  // Of the medians it would be 50 / 40; the pairs say 2, 0.75 and 5.
  expect(compare([100, 30, 50], [50, 40, 10])).toEqual({
    natsd: 50,
    reference: 40,
    ratio: 2,
    low: 0.75,
    high: 5,
  });
});

test('one server alone gives its median and nothing to compare', () => {
  expect(compare([3, 1, 2], [])).toEqual({ natsd: 2, reference: null, ratio: null, low: null, high: null });
  expect(compare([], [4])).toEqual({ natsd: null, reference: 4, ratio: null, low: null, high: null });
});

test('a goal is judged on the ratio or on natsd alone, in its direction, bounds included', () => {
  const faster: Goal = { of: 'ratio', better: 'more', required: 2, aim: 3 };
  expect(verdict(faster, compare([30], [10]))).toBe('aim');
  expect(verdict(faster, compare([20], [10]))).toBe('met');
  expect(verdict(faster, compare([19], [10]))).toBe('missed');
  const smaller: Goal = { of: 'natsd', better: 'less', required: 15, aim: 8 };
  expect(verdict(smaller, compare([8], []))).toBe('aim');
  expect(verdict(smaller, compare([15], [1]))).toBe('met');
  expect(verdict(smaller, compare([15.1], [39]))).toBe('missed');
});

test('an aim may be on another figure than what is required', () => {
  const goal: Goal = { of: 'ratio', better: 'less', required: 1, aim: 1000, aimOf: 'natsd' };
  expect(verdict(goal, compare([900], [950]))).toBe('aim');
  expect(verdict(goal, compare([1500], [2000]))).toBe('met');
  expect(verdict(goal, compare([900], [800]))).toBe('missed');
});

test('without a figure or without a goal there is no verdict', () => {
  expect(verdict({ of: 'ratio', better: 'more', required: 2, aim: 3 }, compare([5], []))).toBeNull();
  expect(verdict(null, compare([5], [1]))).toBeNull();
});
