import { expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { RowNumbers } from '../../../../../src/shared/jetstream/store/row-numbers.ts';

test('rows have the numbers of the order in which they came, also when used again', () => {
  const random = new Prng(5);
  const numbers = new RowNumbers();
  for (const count of [3, 10_000, 50]) {
    numbers.clear();
    const known = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      // Near each other, far apart, and as large as they can be.
      const row = [random.below(count), random.below(count) * 4096, 0xffff_fffe - random.below(9)][i % 3]!;
      if (!known.has(row)) known.set(row, known.size);
      expect(numbers.numberOf(row)).toBe(known.get(row));
    }
    expect(numbers.size).toBe(known.size);
    for (const [row, number] of known) expect(numbers.rowOf(number)).toBe(row);
  }
});
