/** Every statement of the two specifications has a test in this folder, or a reason why it can't have one. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { STATEMENTS, UNTESTED } from './statements.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/** Ids that tests of this folder are named after: `statement({ v3: '…', v5: '…' }, …)`. */
function tested(version: 3 | 5): Set<string> {
  const ids = new Set<string>();
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'))) {
    const source = readFileSync(`${FOLDER}${file}`, 'utf8');
    for (const [, list] of source.matchAll(new RegExp(`\\bv${version}:\\s*'([^']*)'`, 'g')))
      for (const id of (list as string).split(' ')) ids.add(id);
  }
  ids.delete('…');
  return ids;
}

describe.each([3, 5] as const)('statements of version %i', (version) => {
  const known = new Set(STATEMENTS[version]);

  test('each has a test or a reason', () => {
    const covered = tested(version);
    const missing = [...known].filter((id) => !covered.has(id) && UNTESTED[version][id] === undefined);
    expect(missing).toEqual([]);
  });

  test('none has both', () => {
    expect(Object.keys(UNTESTED[version]).filter((id) => tested(version).has(id))).toEqual([]);
  });

  test('tests and reasons are of statements that exist', () => {
    const named = [...tested(version), ...Object.keys(UNTESTED[version])];
    expect(named.filter((id) => !known.has(id))).toEqual([]);
  });
});
