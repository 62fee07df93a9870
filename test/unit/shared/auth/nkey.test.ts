import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeNkey,
  encodeNkey,
  isNkey,
  NKEY_PREFIX,
  type NkeyKind,
} from '../../../../src/shared/auth/nkey.ts';

// Ids that nats-server 2.15.1 gave itself.
test.each([
  ['server', 'NBFNSAA4Y2GJIJ2HZFOLVLKZCAPZBIQCTA3SDPYMDQVXURI7IVEO67T4'],
  ['curve', 'XAJ3CXSOG3YKDO7XPJ7IOEGIVAZOCNEZQKAU3CWRC2A3WM52OI7WCOO5'],
] as const)('reads a %s key of nats-server', (kind, text) => {
  const key = decodeNkey(text);
  expect(key?.kind).toBe(kind);
  expect(encodeNkey(kind, key!.raw)).toBe(text);
  expect(isNkey(kind, text)).toBe(true);
  expect(isNkey('user', text)).toBe(false);
});

test.each<[NkeyKind, string]>([
  ['account', 'A'],
  ['cluster', 'C'],
  ['server', 'N'],
  ['operator', 'O'],
  ['user', 'U'],
  ['curve', 'X'],
])('a key of kind %s begins with %s', (kind, letter) => {
  expect(encodeNkey(kind, new Uint8Array(32))).toMatch(new RegExp(`^${letter}[A-Z2-7]{55}$`));
});

test('what is encoded is decoded, and no single character may differ', () => {
  const kind = fc.constantFrom(...(Object.keys(NKEY_PREFIX) as NkeyKind[]));
  fc.assert(
    fc.property(
      kind,
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.nat(55),
      fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'),
      (anyKind, raw, at, character) => {
        const text = encodeNkey(anyKind, raw);
        expect(decodeNkey(text)).toEqual({ kind: anyKind, raw });
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        if (changed !== text) expect(decodeNkey(changed)).toBeNull();
      },
    ),
    { seed: 20_158, numRuns: 1000 },
  );
});

test.each([
  '',
  'N',
  'n'.repeat(56),
  'N'.repeat(55),
  'N'.repeat(57),
  '!'.repeat(56),
  '\u0130'.repeat(56),
])('%j is no key', (text) => {
  expect(decodeNkey(text)).toBeNull();
});

test('raw keys of another length are a programming error', () => {
  expect(() => encodeNkey('server', new Uint8Array(31))).toThrow('31 bytes');
});
