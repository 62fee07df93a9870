import { describe, expect, test } from 'vitest';
import {
  compileTransform,
  sourceMatches,
  Transform,
  TransformError,
} from '../../../../src/shared/subject/transform.ts';
import { wireText } from '../../../../src/shared/subject/wire-text.ts';

function compile(source: string, destination: string, strict = false): Transform {
  const transform = compileTransform(wireText(source), wireText(destination), strict);
  if (transform instanceof TransformError) throw transform;
  return transform;
}

/** What a publish becomes in an account with the one mapping, as nats-server 2.15.1 delivers it. */
function map(source: string, destination: string, subject: string, random = () => 0): string {
  const transform = compile(source, destination);
  return sourceMatches(subject, wireText(source)) ? transform.apply(subject, random) : subject;
}

// Source, destination, published subject, delivered subject: observed on nats-server 2.15.1, in wire form.
const DELIVERIES: [string, string, string, string][] = [
  ['c0.*.*', 'o.{{partition(10,1,2)}}.$1', 'c0.a.b', 'o.6.a'],
  ['c0.*.*', 'o.{{partition(10,1,2)}}.$1', 'c0.b.a', 'o.8.b'],
  ['c0.*.*', 'o.{{partition(10,1,2)}}.$1', 'c0.abc.d', 'o.3.abc'],
  ['c1.*.*', 'o.{{partition(10)}}', 'c1.a.b', 'o.2'],
  ['c2', 'o.{{partition(10)}}', 'c2', 'o.0'],
  ['c3', 'o.{{partition(10,1)}}', 'c3', 'o.9'],
  ['c4.*', 'o.{{partition(-3,1)}}', 'c4.a', 'o.3826002220'],
  ['c4.*', 'o.{{partition(-3,1)}}', 'c4.b', 'o.3876335077'],
  ['c5.*', 'o.{{partition(10,0)}}', 'c5.a', 'o.3'],
  ['c5.*', 'o.{{partition(10,0)}}', 'c5.b', 'o.3'],
  ['c6.*', 'o.{{partition(10,-1)}}', 'c6.a', 'o.6'],
  ['c7.*', 'o.{{partition(0,1)}}', 'c7.a', 'o.0'],
  ['c8.*', 'o.{{partition(10,1,1)}}', 'c8.ab', 'o.3'],
  ['c10.*', 'o.$0.$-1.$+1.$01.$x.$', 'c10.a', 'o.c10.c10.a.a.$x.$'],
  ['c11.*', 'o.{{wildcard(0)}}.{{wildcard(-1)}}.{{wildcard(+1)}}', 'c11.a', 'o.c11.c11.a'],
  ['c12.*', 'o.{{split(1,-)}}.x', 'c12.a-b', 'o.a.b.x'],
  ['c12.*', 'o.{{split(1,-)}}.x', 'c12.-a-b-', 'o.a.b.x'],
  ['c12.*', 'o.{{split(1,-)}}.x', 'c12.a--b', 'o.a.b.x'],
  ['c12.*', 'o.{{split(1,-)}}.x', 'c12.abc', 'o.abc.x'],
  ['c13.*', 'o.{{split(1,-)}}', 'c13.a', 'o.a'],
  ['c14.*', 'o.{{split(1,)}}', 'c14.abc', 'o.a.b.c'],
  ['c14.*', 'o.{{split(1,)}}', 'c14.\u00c3\u00a91', 'o.\u00c3\u00a9.1'],
  ['c14.*', 'o.{{split(1,)}}', 'c14.\u0080\u00ffa', 'o.\u0080.\u00ff.a'],
  ['c15.*', 'o.{{split(1,ab)}}', 'c15.1ab2ab', 'o.1.2'],
  ['c17.*', 'o.{{splitFromLeft(1,3)}}', 'c17.abcdef', 'o.abc.def'],
  ['c17.*', 'o.{{splitFromLeft(1,3)}}', 'c17.abc', 'o.abc'],
  ['c17.*', 'o.{{splitFromLeft(1,3)}}', 'c17.ab', 'o.ab'],
  ['c17.*', 'o.{{splitFromLeft(1,3)}}', 'c17.abcd', 'o.abc.d'],
  ['c18.*', 'o.{{splitFromLeft(1,0)}}.{{splitFromLeft(1,-2)}}', 'c18.abcdef', 'o.abcdef.abcdef'],
  ['c19.*', 'o.{{splitFromRight(1,3)}}', 'c19.abcdefg', 'o.abcd.efg'],
  ['c19.*', 'o.{{splitFromRight(1,3)}}', 'c19.abc', 'o.abc'],
  ['c19.*', 'o.{{splitFromRight(1,3)}}', 'c19.ab', 'o.ab'],
  ['c19.*', 'o.{{splitFromRight(1,3)}}', 'c19.abcd', 'o.a.bcd'],
  ['c20.*', 'o.{{splitFromRight(1,0)}}.{{splitFromRight(1,-1)}}', 'c20.abcdefg', 'o.abcdefg.abcdefg'],
  ['c21.*', 'o.{{sliceFromLeft(1,3)}}', 'c21.abcdefgh', 'o.abc.def.gh'],
  ['c21.*', 'o.{{sliceFromLeft(1,3)}}', 'c21.abcdef', 'o.abc.def'],
  ['c21.*', 'o.{{sliceFromLeft(1,3)}}', 'c21.abc', 'o.abc'],
  ['c21.*', 'o.{{sliceFromLeft(1,3)}}', 'c21.ab', 'o.ab'],
  ['c22.*', 'o.{{sliceFromLeft(1,0)}}.{{sliceFromLeft(1,-1)}}', 'c22.abcd', 'o.abcd.abcd'],
  ['c23.*', 'o.{{sliceFromRight(1,3)}}', 'c23.abcdefgh', 'o.ab.cde.fgh'],
  ['c23.*', 'o.{{sliceFromRight(1,3)}}', 'c23.abcdef', 'o.abc.def'],
  ['c23.*', 'o.{{sliceFromRight(1,3)}}', 'c23.abc', 'o.abc'],
  ['c23.*', 'o.{{sliceFromRight(1,3)}}', 'c23.ab', 'o.ab'],
  ['c24.*', 'o.{{sliceFromRight(1,0)}}.{{sliceFromRight(1,-1)}}', 'c24.abcd', 'o.abcd.abcd'],
  ['c25.*', 'o.{{left(1,3)}}.{{right(1,3)}}', 'c25.abcdefgh', 'o.abc.fgh'],
  ['c25.*', 'o.{{left(1,3)}}.{{right(1,3)}}', 'c25.ab', 'o.ab.ab'],
  ['c25.*', 'o.{{left(1,3)}}.{{right(1,3)}}', 'c25.abc', 'o.abc.abc'],
  [
    'c26.*',
    'o.{{left(1,0)}}.{{right(1,0)}}.{{left(1,-1)}}.{{right(1,-1)}}',
    'c26.abcd',
    'o.abcd.abcd.abcd.abcd',
  ],
  [
    'c27.*',
    'o.x{{wildcard(1)}}.{{wildcard(1)}}x.{{}}.{{{wildcard(1)}}}.{{ wildcard ( 1 ) }}',
    'c27.a',
    'o.x{{wildcard(1)}}.{{wildcard(1)}}x.{{}}.a.a',
  ],
  ['c28.>', 'o.>', 'c28.a', 'o.a'],
  ['c28.>', 'o.>', 'c28.a.b.c', 'o.a.b.c'],
  ['c28.>', 'o.>', 'c28.*', 'o.*'],
  ['c28.>', 'o.>', 'c28.>', 'o.>'],
  ['c28.>', 'o.>', 'c28.a.>', 'o.a.>'],
  ['c29.*.>', 'o.$1.z.>', 'c29.a.b.c', 'o.a.z.b.c'],
  ['c29.*.>', 'o.$1.z.>', 'c29.a.*', 'o.a.z.*'],
  ['c30.*', 'o.z', 'c30.a', 'o.z'],
  ['c31.*.k', 'o.{{y}}{{wildcard(1)}}', 'c31.a.k', 'o.a'],
  ['c32.*', 'o.$1', 'c32.*', 'o.*'],
  ['c32.*', 'o.$1', 'c32.>', 'c32.>'],
  ['c32.*', 'o.$1', 'c32.a.b', 'c32.a.b'],
  ['c33.*.*', 'o.$2.$1', 'c33.a.*', 'o.*.a'],
  ['c33.*.*', 'o.$2.$1', 'c33.*.b', 'o.b.*'],
  ['c33.*.*', 'o.$2.$1', 'c33.a.>', 'c33.a.>'],
  ['c34.*', 'o.{{left(1,2)}}', 'c34.\u00c3\u00a91', 'o.\u00c3\u00a9'],
  ['c35.a*', 'o.lit', 'c35.a*', 'o.lit'],
  ['c35.a*', 'o.lit', 'c35.ab', 'c35.ab'],
  ['c36.*', 'o.{{ random( 1 ) }}.{{left( 1 , 2 )}}', 'c36.abc', 'o.0.ab'],
  ['c37.*', 'o.{{split( 1 ,-)}}', 'c37.a-b', 'o.a.b'],
  ['c38.*', '\u00e9.$1', 'c38.a', '\u00c3\u00a9.a'],
  ['c39.b.*', 'o.{{split(1, -)}}', 'c39.b.a-b', 'o.a.b'],
];

// Source, destination, error: observed on nats-server 2.15.1.
const ERRORS: [string, string, string][] = [
  ['foo.*', 'bar.*', 'invalid subject'],
  ['foo.*', 'bar.>', 'invalid subject'],
  ['foo.>', 'bar', 'invalid subject'],
  ['foo', 'bar.$1', 'invalid mapping destination: wildcard index out of range in $1'],
  ['foo.*', 'bar.$2', 'invalid mapping destination: wildcard index out of range in $2: [2]'],
  ['foo', 'bar.$0', 'invalid mapping destination: wildcard index out of range in $0'],
  ['foo.*', 'bar.{{foo(1)}}', 'invalid mapping destination: unknown function in {{foo(1)}}'],
  [
    'foo.*',
    'bar.{{wildcard(2)}}',
    'invalid mapping destination: wildcard index out of range in {{wildcard(2)}}: [2]',
  ],
  [
    'foo.*',
    'bar.{{wildcard()}}',
    'invalid mapping destination: not enough arguments passed to the function in {{wildcard()}}',
  ],
  [
    'foo.*',
    'bar.{{wildcard(a)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(a)}}',
  ],
  [
    'foo.*',
    'bar.{{wildcard(1,2)}}',
    'invalid mapping destination: too many arguments passed to the function in {{wildcard(1,2)}}',
  ],
  ['foo.*', 'bar.{{wildcard}}', 'invalid mapping destination: unknown function in {{wildcard}}'],
  ['foo.*', 'bar.{{WILDCARD(1)}}', 'invalid mapping destination: unknown function in {{WILDCARD(1)}}'],
  [
    'foo',
    'bar.{{wildcard(1)}}',
    'invalid mapping destination: wildcard index out of range in {{wildcard(1)}}',
  ],
  [
    'foo.*',
    'bar.{{partition()}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{partition()}}',
  ],
  [
    'foo.*',
    'bar.{{partition(10,2)}}',
    'invalid mapping destination: wildcard index out of range in {{partition(10,2)}}: [2]',
  ],
  [
    'foo.*',
    'bar.{{partition(a,1)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{partition(a,1)}}',
  ],
  [
    'foo.*',
    'bar.{{partition(10,a)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{partition(10,a)}}',
  ],
  [
    'foo.*',
    'bar.{{partition(2147483648)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{partition(2147483648)}}',
  ],
  [
    'foo.*',
    'bar.{{partition(4294967296)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{partition(4294967296)}}',
  ],
  [
    'foo.*',
    'bar.{{random()}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{random()}}',
  ],
  [
    'foo',
    'bar.{{random(a)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{random(a)}}',
  ],
  [
    'foo',
    'bar.{{random(1,2)}}',
    'invalid mapping destination: not enough arguments passed to the function in {{random(1,2)}}',
  ],
  [
    'foo.*',
    'bar.{{split(1)}}',
    'invalid mapping destination: not enough arguments passed to the function in {{split(1)}}',
  ],
  [
    'foo.*',
    'bar.{{split(1,- )}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{split(1,- )}}',
  ],
  [
    'foo.*',
    'bar.{{split(2,-)}}',
    'invalid mapping destination: wildcard index out of range in {{split(2,-)}}: [2]',
  ],
  [
    'foo.*',
    'bar.{{split(a,-)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{split(a,-)}}',
  ],
  [
    'foo.*',
    'bar.{{split(1,-,x)}}',
    'invalid mapping destination: too many arguments passed to the function in {{split(1,-,x)}}',
  ],
  [
    'foo.*',
    'bar.{{split(1,a b)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{split(1,a b)}}',
  ],
  [
    'foo.*',
    'bar.{{split()}}',
    'invalid mapping destination: not enough arguments passed to the function in {{split()}}',
  ],
  ['foo', 'bar.{{split(1,-)}}', 'invalid mapping destination: wildcard index out of range in {{split(1,-)}}'],
  [
    'foo.*',
    'bar.{{SPLITFROMLEFT(1,3)}}',
    'invalid mapping destination: unknown function in {{SPLITFROMLEFT(1,3)}}',
  ],
  [
    'foo.*',
    'bar.{{splitFromLeft(1)}}',
    'invalid mapping destination: not enough arguments passed to the function in {{splitFromLeft(1)}}',
  ],
  [
    'foo.*',
    'bar.{{splitFromLeft(1,a)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{splitFromLeft(1,a)}}',
  ],
  [
    'foo.*',
    'bar.{{splitFromLeft(1,2,3)}}',
    'invalid mapping destination: too many arguments passed to the function in {{splitFromLeft(1,2,3)}}',
  ],
  [
    'foo.*',
    'bar.{{splitFromLeft(2,2)}}',
    'invalid mapping destination: wildcard index out of range in {{splitFromLeft(2,2)}}: [2]',
  ],
  [
    'foo.*',
    'bar.{{left(1)}}',
    'invalid mapping destination: not enough arguments passed to the function in {{left(1)}}',
  ],
  [
    'foo.*',
    'bar.{{right(1,99999999999)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{right(1,99999999999)}}',
  ],
  ['foo.*', 'bar.{{wildcard(1)}} ', 'invalid mapping destination: invalid transform'],
  ['foo.*', 'bar.{{x wildcard(1)}}', 'invalid mapping destination: unknown function in {{x wildcard(1)}}'],
  ['foo.*', 'bar.{{wildcard(1)x}}', 'invalid mapping destination: unknown function in {{wildcard(1)x}}'],
  [
    'foo.*',
    'bar.{{wildcard(1))}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(1))}}',
  ],
  ['foo.*', 'bar..x', 'invalid mapping destination: invalid transform'],
  ['foo.*', 'bar.a b', 'invalid mapping destination: invalid transform'],
  ['foo.*', '>', 'invalid subject'],
  [
    'foo.*',
    'bar.{{left(1,3)}}.{{wildcard(3)}}',
    'invalid mapping destination: wildcard index out of range in {{wildcard(3)}}: [3]',
  ],
  ['foo.*', 'bar.$1.>', 'invalid subject'],
  ['foo.>', 'bar.>.x', 'invalid mapping destination: invalid transform in x'],
  ['foo.>', '$1.>', 'invalid mapping destination: wildcard index out of range in $1: [1]'],
  [
    'foo.*.*',
    'b.{{wildcard(3)}}',
    'invalid mapping destination: wildcard index out of range in {{wildcard(3)}}: [3]',
  ],
  [
    'foo.*.*',
    'b.{{partition(3,1,5,6)}}',
    'invalid mapping destination: wildcard index out of range in {{partition(3,1,5,6)}}: [5]',
  ],
  [
    'foo.*',
    'bar.{{wildcard(99999999999999999999)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(99999999999999999999)}}',
  ],
  [
    'foo.*',
    'bar.{{wildcard(1_0)}}',
    'invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(1_0)}}',
  ],
];

// Accepted by nats-server 2.15.1.
const ACCEPTED: [string, string][] = [
  ['foo.>', 'bar.>'],
  ['foo.*', 'bar.$0'],
  ['foo.*', 'bar.$-1'],
  ['foo.*', 'bar.$x'],
  ['foo', 'bar.$x'],
  ['foo.*', 'bar.$'],
  ['foo.*', 'bar.{{wildcard(0)}}'],
  ['foo.*', 'bar.{{wildcard(-1)}}'],
  ['foo.*', 'bar.{{ wildcard ( 1 ) }}'],
  ['foo.*', 'bar.{{Wildcard(1)}}'],
  ['foo.*', 'bar.{{partition(10)}}'],
  ['foo.*', 'bar.{{partition(10,1)}}'],
  ['foo.*', 'bar.{{partition(10,0)}}'],
  ['foo.*', 'bar.{{partition(-1)}}'],
  ['foo.*', 'bar.{{partition(0)}}'],
  ['foo.*', 'bar.{{partition(2147483647)}}'],
  ['foo', 'bar.{{partition(10,1)}}'],
  ['foo', 'bar.{{partition(10)}}'],
  ['foo.*', 'bar.{{partition(10,1,1)}}'],
  ['foo.*', 'bar.{{random(5)}}'],
  ['foo', 'bar.{{random(5)}}'],
  ['foo', 'bar.{{random(0)}}'],
  ['foo', 'bar.{{random(-5)}}'],
  ['foo.*', 'bar.{{split(1,-)}}'],
  ['foo.*', 'bar.{{split(1, -)}}'],
  ['foo.*', 'bar.{{split(1,)}}'],
  ['foo.*', 'bar.{{split(1, )}}'],
  ['foo.*', 'bar.{{split(1,.)}}'],
  ['foo.*', 'bar.{{split(1,ab)}}'],
  ['foo.*', 'bar.{{splitFromLeft(1,3)}}'],
  ['foo.*', 'bar.{{splitfromleft(1,3)}}'],
  ['foo.*', 'bar.{{SplitFromLeft(1,3)}}'],
  ['foo.*', 'bar.{{splitFromLeft(1,-1)}}'],
  ['foo.*', 'bar.{{splitFromRight(1,3)}}'],
  ['foo.*', 'bar.{{sliceFromLeft(1,3)}}'],
  ['foo.*', 'bar.{{sliceFromRight(1,0)}}'],
  ['foo.*', 'bar.{{left(1,3)}}'],
  ['foo.*', 'bar.{{Right(1,3)}}'],
  ['foo.*', 'bar.x{{wildcard(1)}}'],
  ['foo.*', 'bar.{{wildcard(1)}}x'],
  ['foo.*', 'bar.{{}}'],
  ['foo.*', 'bar.{{'],
  ['foo.*', 'bar.{{{wildcard(1)}}}'],
  ['>', 'foo.>'],
  ['>', '>'],
  ['foo.*.*', 'bar.$1'],
  ['foo', 'foo'],
  ['foo.>', '>'],
  ['foo.*', 'bar.{{split(1,>)}}'],
  ['foo.*', 'bar.{{partition(10, 1)}}'],
  ['foo.*', 'bar.{{partition( 10 ,1 )}}'],
  ['foo.*', '{{wildcard(1)}}'],
  ['foo.*', 'bar.$99999999999999999999'],
  ['foo.*', 'bar.$01'],
  ['foo.*', 'bar.$+1'],
  ['foo.*', 'bar.{{wildcard(+1)}}'],
  ['foo.*', 'bar.{{split(1,\t)}}'],
  ['foo.*', 'bar.{{Left(1, 2)}}'],
];

test.each(DELIVERIES)('%j → %j: %j becomes %j', (source, destination, subject, expected) => {
  expect(map(source, destination, subject)).toBe(expected);
});

test.each(ERRORS)('%j → %j is refused: %s', (source, destination, message) => {
  const result = compileTransform(wireText(source), wireText(destination));
  expect(result).toBeInstanceOf(TransformError);
  expect((result as TransformError).message).toBe(message);
});

test.each(ACCEPTED)('%j → %j is accepted', (source, destination) => {
  expect(compileTransform(wireText(source), wireText(destination))).toBeInstanceOf(Transform);
});

describe('partition', () => {
  test.each([
    ['foo.*.*', 'bar.{{partition(10,1,2)}}', 'foo.a.b', 'bar.6'],
    ['foo.*.*', 'bar.{{partition(10,1,2)}}', 'foo.b.a', 'bar.8'],
    ['foo.*.*', 'bar.{{partition(10,1,2)}}', 'foo.abc.d', 'bar.3'],
    ['foo.*.*', 'bar.{{partition(10)}}', 'foo.a.b', 'bar.4'],
    ['foo', 'bar.{{partition(10)}}', 'foo', 'bar.3'],
    ['k0.aa.bb', 'm.{{partition(1000000,1)}}', 'k0.aa.bb', 'm.956244'],
  ])('%j → %j: %j becomes %j', (source, destination, subject, expected) => {
    expect(map(source, destination, subject)).toBe(expected);
  });
});

describe('random', () => {
  test('covers its range and no more', () => {
    const { destination } = compile('foo', 'bar.{{random(4)}}');
    const results = [0, 0.25, 0.5, 0.75, 0.999999].map((value) =>
      map('foo', destination, 'foo', () => value),
    );
    expect(results).toEqual(['bar.0', 'bar.1', 'bar.2', 'bar.3', 'bar.3']);
    expect(map('foo', 'bar.{{random(-5)}}', 'foo', () => 0.999)).toBe('bar.4');
  });
});

test('a result may be no valid subject', () => {
  expect(map('foo.*', 'bar.{{split(1,-)}}', 'foo.--')).toBe('bar.');
});

test('an empty source stands for all subjects', () => {
  expect(compile('', 'x.>').apply('a.b', () => 0)).toBe('x.a.b');
});

test('a wildcard in the published subject is covered by an equal or wider one only', () => {
  expect(sourceMatches('foo.*', 'foo.*')).toBe(true);
  expect(sourceMatches('foo.>', 'foo.*')).toBe(false);
  expect(sourceMatches('foo..a', 'foo.>')).toBe(false);
});

describe('for imports', () => {
  test.each([
    ['foo.*', 'bar.x', 'invalid mapping destination: not using all of the token wildcard(s) in bar.x'],
    ['foo.*.*', 'bar.$1', 'invalid mapping destination: not using all of the token wildcard(s) in bar.$1'],
    [
      'foo.*',
      'bar.{{partition(3,1)}}',
      'invalid mapping destination: the only mapping function allowed for import transforms is {{Wildcard()}} in {{partition(3,1)}}',
    ],
  ])('%j → %j is refused', (source, destination, message) => {
    expect(compileTransform(source, destination, true)).toEqual(new TransformError(message));
  });

  test('takes wildcards in any order', () => {
    expect(compile('foo.*.*', 'bar.{{wildcard(2)}}.$1', true).apply('foo.a.b', () => 0)).toBe('bar.b.a');
  });
});
