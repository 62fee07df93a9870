import { expect, test } from 'vitest';
import { decimalDigits, writeDecimal, writeDigits } from '../../../../src/shared/base/decimal.ts';

const NUMBERS = [0, 1, 9, 10, 99, 100, 999_999_999, 1_000_000_000, 1_000_000_001, 2 ** 31, 2 ** 32, 10 ** 15];

test('numbers are written as they are printed', () => {
  const bytes = new Uint8Array(40);
  for (const value of [...NUMBERS, Number.MAX_SAFE_INTEGER]) {
    const end = writeDecimal(bytes, 3, value);
    expect(Buffer.from(bytes.subarray(3, end)).toString()).toBe(String(value));
    expect(decimalDigits(value)).toBe(String(value).length);
  }
});

test('leading zeros fill up', () => {
  const bytes = new Uint8Array(10);
  expect(writeDigits(bytes, 1, 42, 6)).toBe(7);
  expect(Buffer.from(bytes.subarray(1, 7)).toString()).toBe('000042');
});
