import { describe, expect, test } from 'vitest';
import type { MappingDestination, MappingOptions } from '../../../../src/shared/base/options.ts';
import { MappingError, MappingSet, mappingProblem } from '../../../../src/shared/subject/mapping.ts';

type Destination = [subject: string, weight: number, cluster?: string];

function mapping(source: string, ...destinations: Destination[]): MappingOptions {
  return {
    source,
    destinations: destinations.map(
      ([subject, weight, cluster = '']): MappingDestination => ({ subject, weight, cluster }),
    ),
  };
}

function compile(mappings: MappingOptions[], cluster = ''): MappingSet {
  const set = MappingSet.compile(mappings, cluster);
  if (set instanceof MappingError) throw set;
  return set;
}

const never = (): number => {
  throw new Error('nothing here depends on chance');
};

/** The outcomes of 100 draws, evenly spread, by how often each comes up. */
function shares(set: MappingSet, subject: string): Map<string | null, number> {
  const counts = new Map<string | null, number>();
  for (let draw = 0; draw < 100; draw++) {
    const outcome = set.map(subject, () => draw / 100);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

test('leaves alone what no source matches', () => {
  const set = compile([mapping('foo', ['bar', 100]), mapping('a.*', ['b.$1', 100])]);
  expect(set.map('other', never)).toBeNull();
  expect(set.map('foo.x', never)).toBeNull();
  expect(set.map('a.b.c', never)).toBeNull();
  expect(set.map('a.', never)).toBeNull();
});

test('maps once, by the first source that matches', () => {
  const set = compile([
    mapping('a.*', ['b.$1', 100]),
    mapping('a.x', ['c', 100]),
    mapping('b.>', ['d.>', 100]),
  ]);
  expect(set.map('a.x', never)).toBe('b.x');
  expect(set.map('b.x', never)).toBe('d.x');
});

test('works on the wire form of what the configuration says', () => {
  const set = compile([mapping('é.*', ['ü.$1', 100])]);
  const wire = (text: string): string => Buffer.from(text).toString('latin1');
  expect(set.map(wire('é.x'), never)).toBe(wire('ü.x'));
  expect(set.map('é.x', never)).toBeNull();
});

describe('weights', () => {
  test('draw between destinations', () => {
    const set = compile([mapping('foo', ['a', 30], ['b', 70])]);
    expect(shares(set, 'foo')).toEqual(
      new Map([
        ['a', 30],
        ['b', 70],
      ]),
    );
  });

  test('below 100 leave the rest unchanged', () => {
    const set = compile([mapping('foo', ['a', 25])]);
    expect(shares(set, 'foo')).toEqual(
      new Map([
        ['a', 25],
        [null, 75],
      ]),
    );
  });

  test('below 100 with the source among them drop the rest', () => {
    const set = compile([mapping('foo', ['foo', 50], ['a', 20])]);
    expect(shares(set, 'foo')).toEqual(
      new Map([
        ['foo', 50],
        ['a', 20],
        ['', 30],
      ]),
    );
  });

  test('of zero are never drawn', () => {
    const set = compile([mapping('foo', ['a', 0], ['b', 100])]);
    expect(set.map('foo', never)).toBe('b');
    expect(compile([mapping('foo', ['a', 0])]).map('foo', never)).toBeNull();
    expect(compile([mapping('foo')]).map('foo', never)).toBeNull();
  });
});

describe('clusters', () => {
  const mappings = [mapping('foo', ['any', 100], ['west', 40, 'W'], ['east', 100, 'E'])];

  test('have their own destinations', () => {
    expect(compile(mappings, 'E').map('foo', never)).toBe('east');
    expect(compile(mappings, 'other').map('foo', never)).toBe('any');
    expect(compile(mappings, '').map('foo', never)).toBe('any');
  });

  test('have weights of their own', () => {
    expect(shares(compile(mappings, 'W'), 'foo')).toEqual(
      new Map([
        ['west', 40],
        [null, 60],
      ]),
    );
  });
});

test('a partition of a literal source is what nats-server makes of it', () => {
  const partition = mapping('foo', ['bar.{{partition(10)}}', 100]);
  expect(compile([partition]).map('foo', never)).toBe('bar.1');
  expect(compile([mapping('other', ['x', 100]), partition]).map('foo', never)).toBe('bar.3');
});

test('a random function draws', () => {
  const set = compile([mapping('foo', ['bar.{{random(2)}}', 100])]);
  expect(set.map('foo', () => 0.6)).toBe('bar.1');
});

describe('problems', () => {
  test.each<[MappingOptions, string]>([
    [mapping('foo', ['a', 60], ['b', 50]), 'total weight needs to be <= 100'],
    [mapping('foo', ['a', 60], ['a', 10]), 'duplicate entry for "a"'],
    [mapping('foo', ['a', 60], ['a', 10, 'X']), 'duplicate entry for "a"'],
    [mapping('foo', ['a b', 60]), 'invalid mapping destination: invalid transform'],
    [mapping('foo', ['b.$1', 60]), 'invalid mapping destination: wildcard index out of range in $1'],
    [mapping('foo', ['a', 60], ['b.*', 10, 'X']), 'invalid subject'],
  ])('%j', (options, problem) => {
    expect(mappingProblem(options)).toBe(problem);
    const error = MappingSet.compile([options], '');
    expect(error).toEqual(new MappingError(`Error adding mapping for "foo" : ${problem}`));
  });

  test.each(['', 'foo..x', 'foo. x', 'foo.>.x'])('the source %j', (source) => {
    const error = MappingSet.compile([mapping(source, ['a', 100])], '');
    expect(error).toEqual(new MappingError(`Subject "${source}" is not a valid subject`));
  });

  test('weights of different clusters do not add up', () => {
    expect(mappingProblem(mapping('foo', ['a', 60], ['b', 50, 'X']))).toBeNull();
  });
});
