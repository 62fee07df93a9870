// Medians, ratios of pairs, and the verdict on a goal.

/** @param {number[]} values at least one */
export function median(values) {
  if (values.length === 0) throw new Error('no values');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @typedef {{ natsd: number | null, reference: number | null, ratio: number | null, low: number | null,
 *   high: number | null }} Comparison medians of each server, the median of the pairs' ratios and its extremes
 */

/**
 * Ratios are taken within each pair, where both servers met the machine in the same mood.
 *
 * @param {number[]} natsd one value a pair; empty when natsd was not run
 * @param {number[]} reference likewise
 * @returns {Comparison}
 */
export function compare(natsd, reference) {
  const ratios = natsd.slice(0, reference.length).map((value, pair) => value / reference[pair]);
  return {
    natsd: natsd.length ? median(natsd) : null,
    reference: reference.length ? median(reference) : null,
    ratio: ratios.length ? median(ratios) : null,
    low: ratios.length ? Math.min(...ratios) : null,
    high: ratios.length ? Math.max(...ratios) : null,
  };
}

/**
 * @param {import('./goals.mjs').Goal | null} goal
 * @param {Comparison} comparison
 * @returns {'aim' | 'met' | 'missed' | null} null: nothing to judge
 */
export function verdict(goal, comparison) {
  if (!goal) return null;
  const figureOf = (/** @type {'ratio' | 'natsd'} */ of) =>
    of === 'ratio' ? comparison.ratio : comparison.natsd;
  const figure = figureOf(goal.of);
  if (figure === null) return null;
  const reaches = (/** @type {number | null} */ value, /** @type {number} */ bound) =>
    value !== null && (goal.better === 'more' ? value >= bound : value <= bound);
  if (!reaches(figure, goal.required)) return 'missed';
  return reaches(figureOf(goal.aimOf ?? goal.of), goal.aim) ? 'aim' : 'met';
}
