import { expect, test } from 'vitest';
import { formatBytes } from '../../../../src/main/config/byte-size.ts';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KB'],
  [20_000_000, '19.07 MB'],
  [1024 ** 4, '1.00 TB'],
  [2 ** 70, '1048576.00 PB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
