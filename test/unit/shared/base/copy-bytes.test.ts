import { expect, test } from 'vitest';
import { copyBytes } from '../../../../src/shared/base/copy-bytes.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const LENGTH = 4096;
const KINDS = ['private', 'shared'] as const;

function memory(kind: (typeof KINDS)[number], fill: (index: number) => number): Uint8Array {
  const buffer = kind === 'shared' ? new SharedArrayBuffer(LENGTH + 8) : new ArrayBuffer(LENGTH + 8);
  // Not at the buffer's beginning, so that offsets of the array and of its buffer differ.
  const bytes = new Uint8Array(buffer, 8);
  for (let i = 0; i < LENGTH; i++) bytes[i] = fill(i);
  return bytes;
}

for (const from of KINDS) {
  for (const to of KINDS) {
    test(`copies stretches of any length and place, from ${from} to ${to} memory`, () => {
      const random = seededRandom(3);
      const source = memory(from, () => random.below(256));
      const target = memory(to, () => 0);
      const model = new Uint8Array(LENGTH);
      for (let round = 0; round < 300; round++) {
        const length = round === 0 ? 0 : random.below(LENGTH);
        const start = random.below(LENGTH - length + 1);
        const at = random.below(LENGTH - length + 1);
        copyBytes(target, at, source, start, start + length);
        model.set(source.slice(start, start + length), at);
        expect(Buffer.compare(target, model)).toBe(0);
      }
    });
  }
}
