import { describe, expect, test } from 'vitest';
import { AssertionError, assert, unreachable } from '../../../../src/shared/base/assert.ts';

describe('assert', () => {
  test('says nothing when the condition holds', () => {
    expect(assert(true, 'never seen')).toBeUndefined();
  });

  test('throws a typed error with the message', () => {
    const failing = (): void => assert(false, 'lastSeq fell');
    expect(failing).toThrow(AssertionError);
    expect(failing).toThrow(/^lastSeq fell$/);
  });

  test('narrows for the compiler', () => {
    const value: string | null = JSON.parse('"text"') as string | null;
    assert(value !== null, 'no value');
    expect(value.length).toBe(4);
  });
});

test('unreachable names the value that had no case', () => {
  expect(() => unreachable('third' as never, 'no such policy')).toThrow(
    new AssertionError('no such policy: third'),
  );
});
