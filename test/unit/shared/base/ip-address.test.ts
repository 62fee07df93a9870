import { isIPv4 as nodeIsIPv4, isIPv6 as nodeIsIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isIPv4, isIPv6 } from '../../../../src/shared/base/ip-address.ts';

const SAMPLES = [
  '127.0.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '256.1.1.1',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '1.2.3.4.',
  '',
  'a.b.c.d',
  '::',
  '::1',
  'fe80::1',
  '2001:db8::ff00:42:8329',
  '::ffff:1.2.3.4',
  '1::2::3',
  ':',
  '12345::',
  'g::1',
  '::1]',
  '1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '::1.2.3',
  '[::1]',
  '::1/64',
  ' ::1',
];

describe('addresses', () => {
  test.each(SAMPLES)('%s is judged as node:net does', (text) => {
    expect(isIPv4(text)).toBe(nodeIsIPv4(text));
    expect(isIPv6(text)).toBe(nodeIsIPv6(text));
  });

  test('generated addresses are recognised', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => isIPv4(text) && !isIPv6(text)),
      { seed: 7 },
    );
    fc.assert(
      fc.property(fc.ipV6(), (text) => isIPv6(text) === nodeIsIPv6(text)),
      { seed: 7 },
    );
  });

  test('arbitrary text is judged as node:net does', () => {
    const text = fc.string({
      unit: fc.constantFrom('0', '1', '2', '5', '9', '.', ':', 'a', 'f', 'g'),
      maxLength: 20,
    });
    fc.assert(
      fc.property(text, (t) => isIPv4(t) === nodeIsIPv4(t) && isIPv6(t) === nodeIsIPv6(t)),
      { seed: 7, numRuns: 2000 },
    );
  });
});
