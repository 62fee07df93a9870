import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hasEmptyToken,
  hasWildcard,
  isSubsetMatch,
  isValidLiteralSubject,
  isValidPublishSubject,
  isValidSubject,
  isValidSubscribeSubject,
  subjectMatches,
  subjectsCollide,
  tokenCount,
} from '../../../../src/shared/subject/subject.ts';

const token = fc.constantFrom('a', 'b', 'ab', '*', '>', 'a*', '>b', '', '\x00', '\xff');
const anySubject = fc.array(token, { maxLength: 5 }).map((tokens) => tokens.join('.'));
const validPattern = anySubject.filter(isValidSubscribeSubject);
const literal = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'a*'), { minLength: 1, maxLength: 5 })
  .map((tokens) => tokens.join('.'));
const options = { seed: 20_150, numRuns: 3000 };

/** The rules once more, on arrays of tokens. */
function naiveMatches(subject: string[], pattern: string[]): boolean {
  if (pattern.length === 1 && pattern[0] === '>') return subject.length > 0;
  if (subject.length === 0 || pattern.length === 0) return subject.length === pattern.length;
  if (pattern[0] !== '*' && pattern[0] !== subject[0]) return false;
  return naiveMatches(subject.slice(1), pattern.slice(1));
}

describe('validity', () => {
  test.each([
    ['foo', true],
    ['foo.*.bar', true],
    ['foo.>', true],
    ['>', true],
    ['*', true],
    ['foo*', true],
    ['a>b.c', true],
    ['>a.b', true],
    ['a>.b', true],
    ['foo.\x01\xff', true],
    ['', false],
    ['.', false],
    ['.foo', false],
    ['foo.', false],
    ['foo..bar', false],
    ['>.foo', false],
    ['foo.>.bar', false],
    ['foo.>.', false],
  ])('subscribe to %j: %s', (subject, valid) => {
    expect(isValidSubscribeSubject(subject)).toBe(valid);
  });

  test.each([
    ['foo.bar', true],
    ['foo*.b>r', true],
    ['foo.b\far', true],
    ['foo.*', false],
    ['foo.>', false],
    ['>.foo', false],
    ['*', false],
    ['foo..bar', false],
    ['', false],
  ])('publish to %j: %s', (subject, valid) => {
    expect(isValidPublishSubject(subject)).toBe(valid);
    expect(isValidLiteralSubject(subject)).toBe(valid);
  });

  test.each([
    'a b',
    'a\tb',
    'a\rb',
    'a\nb',
    'a\fb',
    ' ',
    'a. .b',
    '',
    'a..b',
    '>.a',
  ])('no subject: %j', (subject) => {
    expect(isValidSubject(subject)).toBe(false);
  });

  test.each(['a', 'a.*.>', 'a\x0bb', '\xe9'])('a subject: %j', (subject) => {
    expect(isValidSubject(subject)).toBe(true);
  });

  test('agrees with the rules on tokens', () => {
    fc.assert(
      fc.property(anySubject, (subject) => {
        const tokens = subject.split('.');
        const empty = tokens.includes('');
        expect(hasEmptyToken(subject)).toBe(empty);
        expect(isValidSubscribeSubject(subject)).toBe(!empty && !tokens.slice(0, -1).includes('>'));
        expect(isValidLiteralSubject(subject)).toBe(!empty && !tokens.includes('>') && !tokens.includes('*'));
        expect(tokenCount(subject)).toBe(subject === '' ? 0 : tokens.length);
      }),
      options,
    );
  });
});

test.each([
  ['foo', false],
  ['*', true],
  ['>', true],
  ['foo.*', true],
  ['*.foo', true],
  ['foo.*.bar', true],
  ['foo.>', true],
  ['foo*', false],
  ['foo.*a', false],
  ['foo.a*.b', false],
  ['foo.>b', false],
  ['', false],
])('wildcard in %j: %s', (subject, expected) => {
  expect(hasWildcard(subject)).toBe(expected);
});

describe('matching', () => {
  test.each([
    ['foo', 'foo', true],
    ['foo', 'foo.>', false],
    ['foo.bar', 'foo.>', true],
    ['foo.bar.baz', 'foo.*', false],
    ['foo.bar', '*.*', true],
    ['foo.bar', '>', true],
    ['foo.*', 'foo.*', true],
    ['foo.*', 'foo.>', true],
    ['foo.*', 'foo.bar', false],
    ['foo.>', 'foo.*', true],
    ['foo.a>', 'foo.*', true],
    ['foo*', 'foo*', true],
    ['foox', 'foo*', false],
    ['foo..bar', 'foo.>', false],
    ['foo..bar', 'foo.*.bar', false],
    ['foo.', '>', false],
    ['', '>', false],
  ])('publish on %j, subscription %j: %s', (subject, pattern, expected) => {
    expect(subjectMatches(subject, pattern)).toBe(expected);
  });

  test.each([
    ['foo.*', 'foo.*', true],
    ['foo.*', 'foo.>', true],
    ['foo.>', 'foo.*', false],
    ['foo.>', 'foo.>', true],
    ['foo.*.>', 'foo.>', true],
    ['foo.>', 'foo.*.>', false],
    ['*', 'foo', false],
    ['foo', '*', true],
    ['>', '*', false],
    ['*', '>', true],
    ['foo.bar', 'foo', false],
    ['foo', 'foo.bar', false],
  ])('%j within %j: %s', (subject, pattern, expected) => {
    expect(isSubsetMatch(subject, pattern)).toBe(expected);
  });

  test('agrees with the rules on tokens', () => {
    fc.assert(
      fc.property(anySubject, validPattern, (subject, pattern) => {
        const tokens = subject.split('.');
        const expected = !tokens.includes('') && naiveMatches(tokens, pattern.split('.'));
        expect(subjectMatches(subject, pattern)).toBe(expected);
      }),
      options,
    );
  });

  test('a subset is matched whenever its members are', () => {
    fc.assert(
      fc.property(literal, validPattern, validPattern, (subject, inner, outer) => {
        if (isSubsetMatch(inner, outer) && subjectMatches(subject, inner)) {
          expect(subjectMatches(subject, outer)).toBe(true);
        }
      }),
      options,
    );
  });

  test('patterns that share a subject collide', () => {
    fc.assert(
      fc.property(literal, validPattern, validPattern, (subject, a, b) => {
        if (subjectMatches(subject, a) && subjectMatches(subject, b))
          expect(subjectsCollide(a, b)).toBe(true);
        expect(subjectsCollide(a, b)).toBe(subjectsCollide(b, a));
      }),
      options,
    );
  });

  test.each([
    ['foo.*', '*.bar', true],
    ['foo.>', '*.bar.baz', true],
    ['foo.>', 'foo', false],
    ['foo.*', 'bar.*', false],
    ['foo.*', 'foo.*.*', false],
    ['>', 'foo', true],
    ['foo', 'foo', true],
    ['foo', 'foo.', false],
    ['a.*.c', 'a.b.*', true],
    ['a.*.c', 'a.b.d', false],
  ])('%j and %j collide: %s', (a, b, expected) => {
    expect(subjectsCollide(a, b)).toBe(expected);
  });

  test('copes with thousands of tokens', () => {
    const deep = Array.from({ length: 4000 }, () => 'a').join('.');
    const wild = Array.from({ length: 4000 }, () => '*').join('.');
    expect(subjectMatches(deep, wild)).toBe(true);
    expect(subjectMatches(`${deep}.a`, wild)).toBe(false);
    expect(isSubsetMatch(wild, '>')).toBe(true);
    expect(tokenCount(deep)).toBe(4000);
  });
});
