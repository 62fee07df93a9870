import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ParameterError, Parameters } from '../../../../src/main/monitor/parameters.ts';

describe('booleans', () => {
  test.each(['1', 't', 'T', 'TRUE', 'true', 'True'])('%s is true', (word) => {
    expect(new Parameters(`auth=${word}`).boolean('auth')).toBe(true);
  });

  test.each(['0', 'f', 'F', 'FALSE', 'false', 'False', ''])('"%s" is false', (word) => {
    expect(new Parameters(`auth=${word}`).boolean('auth')).toBe(false);
  });
});

test.each<[string, (parameters: Parameters) => unknown, string]>([
  [
    'subs=zzz',
    (p) => p.subscriptionDetail('subs'),
    `Error decoding boolean for 'subs': strconv.ParseBool: parsing "zzz": invalid syntax`,
  ],
  [
    'limit=zz',
    (p) => p.integer('limit'),
    `Error decoding int for 'limit': strconv.Atoi: parsing "zz": invalid syntax`,
  ],
  [
    // A plus sign in a query string is a space.
    'limit=+5',
    (p) => p.integer('limit'),
    `Error decoding int for 'limit': strconv.Atoi: parsing " 5": invalid syntax`,
  ],
  [
    'limit=99999999999999999999',
    (p) => p.integer('limit'),
    `Error decoding int for 'limit': strconv.Atoi: parsing "99999999999999999999": value out of range`,
  ],
  [
    'cid=-1',
    (p) => p.unsigned('cid'),
    `Error decoding uint64 for 'cid': strconv.ParseUint: parsing "-1": invalid syntax`,
  ],
  [
    'cid=99999999999999999999',
    (p) => p.unsigned('cid'),
    `Error decoding uint64 for 'cid': strconv.ParseUint: parsing "99999999999999999999": value out of range`,
  ],
  ['state=zzz', (p) => p.state('state'), 'Error decoding state for zzz'],
])('%s is refused in nats-server words', (query, decode, message) => {
  expect(() => decode(new Parameters(query))).toThrow(new ParameterError(message));
});

test('the first value of a repeated parameter counts', () => {
  expect(new Parameters('acc=A&acc=B').text('acc')).toBe('A');
});

test('pairs with a semicolon or a broken escape are ignored', () => {
  const parameters = new Parameters('x=1;acc=B&acc=%zz&subs=1');
  expect([parameters.text('acc'), parameters.boolean('subs')]).toEqual(['', true]);
});

test('names and values are unescaped', () => {
  expect(new Parameters('%61cc=my+%24G').text('acc')).toBe('my $G');
});

test('states and details do not mind their case', () => {
  const parameters = new Parameters('state=ALL&subs=DETAIL');
  expect([parameters.state('state'), parameters.subscriptionDetail('subs')]).toEqual(['all', 'detail']);
});

test('numbers keep their sign and are clamped to exact ones', () => {
  const parameters = new Parameters('a=-3&b=9223372036854775807&c=18446744073709551615&d=%2B7');
  expect([
    parameters.integer('a'),
    parameters.integer('b'),
    parameters.unsigned('c'),
    parameters.integer('d'),
  ]).toEqual([-3, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 7]);
});

test('any query string is decoded or refused, never worse', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (value, noise) => {
      const parameters = new Parameters(`${noise}&limit=${value}`);
      try {
        expect(Number.isSafeInteger(parameters.integer('limit'))).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(ParameterError);
      }
    }),
    { seed: 8222, numRuns: 500 },
  );
});
