import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashLatin1, latin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { hashBytes } from '../../../../src/shared/protocol/nats/parser.ts';

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

describe('latin1', () => {
  test('every byte is one character and back', () => {
    const text = latin1(ALL_BYTES, 0, 256);
    expect(text).toBe(Buffer.from(ALL_BYTES).toString('latin1'));
    expect(latin1Bytes(text)).toEqual(ALL_BYTES);
  });

  test.each([0, 1, 2047, 2048, 2049, 4096, 100_000])('%i bytes', (length) => {
    const bytes = Uint8Array.from({ length: length + 7 }, (_, index) => (index * 31) & 255);
    expect(latin1(bytes, 3, 3 + length)).toBe(Buffer.from(bytes.subarray(3, 3 + length)).toString('latin1'));
  });

  test('slack is zero and not part of the text', () => {
    expect([...latin1Bytes('ab', 3)]).toEqual([97, 98, 0, 0, 0]);
    expect([...latin1Bytes('', 0)]).toEqual([]);
  });
});

describe('hash', () => {
  test('is the one that the parser computes over bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(hashLatin1(latin1(bytes, 0, bytes.length))).toBe(hashBytes(bytes, 0, bytes.length));
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  test('looks at the given range only', () => {
    expect(hashBytes(latin1Bytes('xxfoo.baryy'), 2, 9)).toBe(hashLatin1('foo.bar'));
    expect(hashLatin1('')).toBe(0);
  });
});
