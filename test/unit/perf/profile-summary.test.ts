import { expect, test } from 'vitest';

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number };
  children?: number[];
  positionTicks?: { line: number; ticks: number }[];
}
interface CpuProfile {
  nodes: ProfileNode[];
  samples: number[];
  timeDeltas: number[];
}
interface Summary {
  activeMs: number;
  idleMs: number;
  functions: { name: string; place: string; selfMs: number; totalMs: number }[];
  lines: { place: string; name: string; ticks: number }[];
}
/** What perf/profile.mjs relies on. */
interface ProfileSummary {
  summarise(profile: CpuProfile): Summary;
  summaryText(summary: Summary, options: { top: number; lines: boolean }): string;
}

const location = new URL('../../../perf/harness/profile-summary.mjs', import.meta.url).href;
const { summarise, summaryText }: ProfileSummary = await import(location);

function node(id: number, functionName: string, lineNumber: number, children: number[] = []): ProfileNode {
  const url = functionName.startsWith('(') ? '' : 'file:///srv/dist/shard.js';
  return { id, callFrame: { functionName, url, lineNumber, columnNumber: 0 }, children };
}

// (root) ─ read ─ parse ─ parse (recursive)
//        │      └ deliver
//        ├ deliver
//        └ (idle)
const profile: CpuProfile = {
  nodes: [
    node(1, '(root)', -1, [2, 6, 7]),
    node(2, 'read', 9, [3, 5]),
    { ...node(3, 'parse', 19, [4]), positionTicks: [{ line: 21, ticks: 2 }] },
    { ...node(4, 'parse', 19), positionTicks: [{ line: 21, ticks: 1 }] },
    { ...node(5, 'deliver', 39), positionTicks: [{ line: 44, ticks: 5 }] },
    node(6, 'deliver', 39),
    node(7, '(idle)', -1),
  ],
  samples: [3, 4, 5, 6, 7, 5],
  timeDeltas: [1000, 2000, 3000, 4000, 50_000, -10],
};

test('self time is added up by function, most first, without the idle time', () => {
  const summary = summarise(profile);
  expect(summary.activeMs).toBe(10);
  expect(summary.idleMs).toBe(50);
  expect(summary.functions.map(({ name, selfMs }) => [name, selfMs])).toEqual([
    ['deliver', 7],
    ['parse', 3],
  ]);
  expect(summary.functions[0]?.place).toBe('shard.js:40:1');
});

test('total time counts a function once however often it is on the stack', () => {
  const totals = new Map(summarise(profile).functions.map(({ name, totalMs }) => [name, totalMs]));
  expect(totals.get('parse')).toBe(3);
  expect(totals.get('deliver')).toBe(7);
});

test('the ticks of one line are added up over its call sites', () => {
  expect(summarise(profile).lines).toEqual([
    { place: 'shard.js:44', name: 'deliver', ticks: 5 },
    { place: 'shard.js:21', name: 'parse', ticks: 3 },
  ]);
});

test('the table is cut at the given length and shows shares of the active time', () => {
  const text = summaryText(summarise(profile), { top: 1, lines: true });
  expect(text).toMatch(/^active 10 ms, idle 50 ms\n/);
  expect(text).toMatch(/70\.0 % +70\.0 % +deliver +shard\.js:40:1/);
  expect(text).toMatch(/62\.5 % +shard\.js:44 +deliver/);
  expect(text).not.toContain('parse');
});
