import { expect, test } from 'vitest';
import { Linger } from '../../../../src/workers/persistence/linger.ts';

/** Which of so many chances were looked at. */
function lookedAt(linger: Linger, chances: number, hasWork: boolean): number[] {
  const looked: number[] = [];
  for (let chance = 0; chance < chances; chance++) {
    const found = linger.until(() => {
      if (looked.at(-1) !== chance) looked.push(chance);
      return hasWork;
    });
    expect(found).toBe(hasWork && looked.at(-1) === chance);
  }
  return looked;
}

test('is repeated as long as it pays', () => {
  expect(lookedAt(new Linger(), 5, true)).toEqual([0, 1, 2, 3, 4]);
});

test('becomes rare when it does not, and starts anew when it does', () => {
  const linger = new Linger();
  expect(lookedAt(linger, 30, false)).toEqual([0, 2, 5, 10, 19]);
  expect(lookedAt(linger, 10, true)).toEqual([6, 7, 8, 9]);
  expect(lookedAt(linger, 3, false)).toEqual([0, 2]);
});

test('work that comes meanwhile is found', () => {
  let looks = 0;
  expect(new Linger().until(() => ++looks === 3)).toBe(true);
});
