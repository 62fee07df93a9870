import { expect, test } from 'vitest';

interface Case {
  id: string;
  title: string;
  rows: { metric: string; label: string }[];
}
/** What perf/run.mjs relies on. */
interface Cases {
  cases: Case[];
  selectCases(words: string[]): Case[];
}

const location = new URL('../../../perf/harness/cases.mjs', import.meta.url).href;
const { cases, selectCases }: Cases = await import(location);
const idsOf = (...words: string[]): string[] => selectCases(words).map(({ id }) => id);

test('every case and every row has a name of its own', () => {
  expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
  const labels = cases.flatMap(({ rows }) => rows.map(({ label }) => label));
  expect(new Set(labels).size).toBe(labels.length);
});

test('a group means its cases, the long ones last', () => {
  const jetstream = idsOf('jetstream');
  expect(jetstream.every((id) => id.startsWith('jetstream/'))).toBe(true);
  expect(jetstream.at(-1)).toBe('jetstream/restart-10M');
  expect(idsOf('consumers')).toContain('consumers/kv');
  expect(idsOf('Core', 'ring')).toContain('ring/pair-128B');
});

test('a whole id means one case, with a dash as well; a part of it or of a title all that contain it', () => {
  expect(idsOf('consumers/pull')).toEqual(['consumers/pull']);
  expect(idsOf('consumers-pull')).toEqual(['consumers/pull']);
  expect(idsOf('jetstream-4kb')).toEqual(['jetstream/4KB']);
  expect(idsOf('consumers/pul')).toEqual(['consumers/pull', 'consumers/pull-ack']);
  expect(idsOf('flow control')).toEqual(['consumers/push-fc']);
  expect(idsOf('nonsense')).toEqual([]);
  expect(idsOf()).toHaveLength(cases.length);
});
