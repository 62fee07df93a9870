import { expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { PatternTrie } from '../../../../../src/shared/jetstream/store/pattern-trie.ts';
import { subjectMatches } from '../../../../../src/shared/subject/subject.ts';

const TOKENS = ['a', 'b', 'ab', 'Aa', 'BB', 'c'];

test('it matches what comparing with each pattern matches', () => {
  const prng = new Prng(9);
  let matches = 0;
  for (let round = 0; round < 3000; round++) {
    const patterns = Array.from({ length: 1 + prng.below(6) }, () => {
      const tokens = Array.from({ length: 1 + prng.below(4) }, () =>
        prng.below(4) === 0 ? '*' : TOKENS[prng.below(TOKENS.length)]!,
      );
      if (prng.below(4) === 0) tokens.push('>');
      return tokens.join('.');
    });
    const trie = new PatternTrie(patterns.map((pattern) => Buffer.from(pattern)));
    for (let i = 0; i < 10; i++) {
      const tokens = Array.from({ length: 1 + prng.below(5) }, () => TOKENS[prng.below(TOKENS.length)]!);
      const subject = tokens.join('.');
      const expected = patterns.some((pattern) => subjectMatches(subject, pattern));
      if (expected) matches++;
      expect([subject, patterns, trie.matches(Buffer.from(`x${subject}x`), 1, subject.length + 1)]).toEqual([
        subject,
        patterns,
        expected,
      ]);
    }
  }
  expect(matches).toBeGreaterThan(2000);
});
