import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { SubjectTable } from '../../../../../src/shared/jetstream/store/subject-table.ts';

const encoder = new TextEncoder();

function rowOf(table: SubjectTable, text: string): number {
  const bytes = encoder.encode(text);
  return table.find(bytes, 0, bytes.length);
}

function add(table: SubjectTable, text: string, sequence: number): number {
  const bytes = encoder.encode(text);
  const row = table.intern(bytes, 0, bytes.length);
  table.add(row, sequence);
  return row;
}

function remove(table: SubjectTable, text: string): void {
  const row = rowOf(table, text);
  if (table.subtract(row) === 0) table.release(row);
}

interface Known {
  first: number;
  last: number;
  count: number;
}

function agrees(table: SubjectTable, name: string, { first, last, count }: Known): boolean {
  const row = rowOf(table, name);
  if (row < 0 || table.text(row) !== name) return false;
  return table.first(row) === first && table.last(row) === last && table.count(row) === count;
}

/** Long enough that thousands of them fill pages of texts. */
const nameOf = (i: number) => `subject.${i}.${'x'.repeat(i % 90)}`;

describe('many subjects', () => {
  test.each([
    ['sequences of 32 bits', 0],
    ['sequences that come to need more', 2 ** 32 - 20_000],
    ['sequences that always need more', 2 ** 45],
  ])('come, go and come again: %s', (_, base) => {
    const random = new Prng(3);
    const table = new SubjectTable();
    const known = new Map<string, Known>();
    const names: string[] = [];
    for (let step = 1; step <= 40_000; step++) {
      const name = nameOf(random.below(20_000));
      const entry = known.get(name);
      const sequence = base + step;
      add(table, name, sequence);
      if (entry !== undefined) {
        entry.last = sequence;
        entry.count++;
      } else {
        known.set(name, { first: sequence, last: sequence, count: 1 });
        names.push(name);
      }
      // First there are ever more, then ever fewer.
      for (let i = step < 25_000 ? 0 : random.below(4); i > 0 && names.length > 0; i--) {
        const at = random.below(names.length);
        const gone = names[at]!;
        remove(table, gone);
        if (--known.get(gone)!.count > 0) continue;
        known.delete(gone);
        names[at] = names[names.length - 1]!;
        names.pop();
      }
      if (step % 20_000 === 0) {
        expect(table.size).toBe(known.size);
        const wrong = [...known].filter(([name, entry]) => !agrees(table, name, entry));
        expect(wrong).toEqual([]);
      }
    }
    expect(rowOf(table, nameOf(20_001))).toBe(-1);
  });

  test('cost what their rows and texts take, and nothing once they are forgotten', () => {
    const table = new SubjectTable();
    const empty = table.memoryBytes;
    for (let i = 0; i < 100_000; i++) add(table, `s.${100_000 + i}`, i + 1);
    // Six words, at most four slots, eight bytes of text; a page of each may have just begun.
    expect(table.memoryBytes).toBeLessThan(100_000 * (24 + 16 + 8) + 500_000);
    table.clear();
    expect(table.memoryBytes).toBe(empty);
    expect([table.size, rowOf(table, 's.100000')]).toEqual([0, -1]);
    expect(table.first(add(table, 's.100000', 7))).toBe(7);
  });

  test('texts that are not needed give their room back', () => {
    const table = new SubjectTable();
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 500; i++) add(table, `${round}.${'y'.repeat(100)}.${i}`, 1 + i);
      for (let i = 0; i < 500; i++)
        if (i % 100 > 0 || round > 10) remove(table, `${round}.${'y'.repeat(100)}.${i}`);
    }
    expect(table.size).toBe(55);
    expect(table.memoryBytes).toBeLessThan(300_000);
    for (let round = 0; round <= 10; round++)
      for (let i = 0; i < 500; i += 100)
        expect(rowOf(table, `${round}.${'y'.repeat(100)}.${i}`)).toBeGreaterThanOrEqual(0);
  });
});

describe('rows', () => {
  test('the longest subject is a row like others', () => {
    const table = new SubjectTable();
    const texts = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => letter.repeat(65_535));
    for (const text of texts) add(table, text, 1);
    for (const text of texts) expect(table.text(rowOf(table, text))).toBe(text);
  });

  test('a lower bound for the first is told, until there is an exact one', () => {
    const table = new SubjectTable();
    const row = add(table, 's', 5);
    add(table, 's', 6);
    expect(table.isInexact(row)).toBe(false);
    table.setFirst(row, 2 ** 40, true);
    expect([table.first(row), table.last(row), table.isInexact(row)]).toEqual([2 ** 40, 6, true]);
    table.setFirst(row, 3, false);
    expect([table.first(row), table.isInexact(row), table.textLength(row)]).toEqual([3, false, 1]);
  });

  test('a row that is reused has another version; when they begin anew everything remembered is void', () => {
    const table = new SubjectTable();
    const row = add(table, 's.0', 1);
    table.setFirst(row, 1, true);
    const { epoch } = table;
    const versions = [table.version(row)];
    for (let i = 1; i < 64; i++) {
      remove(table, `s.${i - 1}`);
      expect(add(table, `s.${i}`, 1)).toBe(row);
      expect(table.isInexact(row)).toBe(false);
      versions.push(table.version(row));
    }
    expect(new Set(versions).size).toBe(64);
    expect(table.epoch).toBe(epoch);
    remove(table, 's.63');
    expect(table.epoch).toBe(epoch + 1);
  });
});
