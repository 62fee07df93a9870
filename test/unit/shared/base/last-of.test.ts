import { expect, test } from 'vitest';
import { lastOf } from '../../../../src/shared/base/last-of.ts';

test('the last of a list, or nothing', () => {
  expect(lastOf(['a', 'b'])).toBe('b');
  expect(lastOf([null])).toBe(null);
  expect(lastOf([])).toBe(undefined);
});
