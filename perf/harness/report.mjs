// The table: as text for a terminal, as Markdown for RESULTS.md.

import { statfsSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';

/** @param {number | null} value @param {import('./goals.mjs').Row['unit']} unit */
export function figure(value, unit) {
  if (value === null) return '–';
  if (unit === 'rate') return `${magnitude(value)}/s`;
  if (unit === 'us') return `${value.toFixed(1)} µs`;
  if (unit === 'ms') return `${value.toFixed(0)} ms`;
  if (unit === 'times') return `${value.toFixed(2)}×`;
  if (unit === 'ns') return value >= 10_000 ? `${(value / 1000).toFixed(1)} µs` : `${value.toFixed(0)} ns`;
  const kib = value / 1024;
  return kib >= 1024 ? `${(kib / 1024).toFixed(1)} MB` : `${kib.toFixed(1)} KB`;
}

/** @param {number} value */
function magnitude(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)} k`;
  return value.toFixed(0);
}

/** @param {import('./statistics.mjs').Comparison} comparison */
function ratioText({ ratio, low, high }) {
  if (ratio === null || low === null || high === null) return '–';
  return `${ratio.toFixed(2)}× (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** @param {import('./goals.mjs').Row} row */
function goalText({ goal, unit }) {
  if (!goal) return '–';
  const bound = (/** @type {'ratio' | 'natsd'} */ of, /** @type {number} */ value) =>
    of === 'ratio' ? `${value}×` : figure(value, unit);
  const aim = bound(goal.aimOf ?? goal.of, goal.aim);
  return `${goal.better === 'more' ? '≥' : '≤'} ${bound(goal.of, goal.required)}, aim ${aim}`;
}

const VERDICTS = { aim: 'aim met', met: 'met', missed: 'MISSED' };

/** @param {'aim' | 'met' | 'missed' | null} verdict */
const verdictText = (verdict) => (verdict ? VERDICTS[verdict] : '–');

const COLUMNS = [
  'case',
  'natsd',
  'nats-server',
  'ratio (range)',
  'target',
  '',
  'CPU/msg natsd',
  'nats-server',
  'ratio (range)',
  '≤ 0.7×, aim 0.4×',
];

/**
 * @typedef {{ row: import('./goals.mjs').Row, comparison: import('./statistics.mjs').Comparison,
 *   verdict: 'aim' | 'met' | 'missed' | null, cpu: import('./statistics.mjs').Comparison | null,
 *   cpuVerdict: 'aim' | 'met' | 'missed' | null }} RowResult
 */

/** @param {RowResult} result */
function cells({ row, comparison, verdict, cpu, cpuVerdict }) {
  return [
    row.label,
    figure(comparison.natsd, row.unit),
    figure(comparison.reference, row.unit),
    ratioText(comparison),
    goalText(row),
    verdictText(verdict),
    ...(cpu
      ? [figure(cpu.natsd, 'ns'), figure(cpu.reference, 'ns'), ratioText(cpu), verdictText(cpuVerdict)]
      : []),
  ];
}

/** @param {RowResult[]} results @returns {string} aligned columns */
export function textTable(results) {
  const lines = [COLUMNS, ...results.map(cells)];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      line.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[0]))),
    )
    .map((line) => line.join('  ').trimEnd())
    .join('\n');
}

/** @param {RowResult[]} results */
export function markdownTable(results) {
  const line = (/** @type {string[]} */ texts) =>
    `| ${COLUMNS.map((_, column) => texts[column] ?? '').join(' | ')} |`;
  const rule = COLUMNS.map((_, column) => (column ? '---:' : '---'));
  return [line(COLUMNS), line(rule), ...results.map((result) => line(cells(result)))].join('\n');
}

/** The machine and the versions, one line each. @param {import('./server.mjs').Product[]} products */
export function environment(products) {
  const processors = cpus();
  return [
    `${processors[0]?.model.trim() ?? 'unknown processor'}, ${processors.length} cores, ${arch()}, Linux ${release()}`,
    `Node ${process.versions.node} (V8 ${process.versions.v8})`,
    ...products.map(({ name, version }) => (version.startsWith(name) ? version : `${name} ${version}`)),
  ];
}

/** statfs(2) `f_type` of the file systems one is likely to meet. */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs: nothing is synced there, --store names another directory'],
]);

/** What JetStream's files are written to, on one line. @param {string} directory */
export function fileSystem(directory) {
  const { type } = statfsSync(directory);
  return `stores on ${FILE_SYSTEMS.get(type) ?? `file system 0x${type.toString(16)}`}`;
}
