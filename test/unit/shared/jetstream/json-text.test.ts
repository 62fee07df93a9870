import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  JsonError,
  type JsonNode,
  parseJson,
  parseWholeJson,
} from '../../../../src/shared/jetstream/json-text.ts';

function plainValue(node: JsonNode): unknown {
  switch (node.kind) {
    case 'null':
      return null;
    case 'bool':
      return node.text === 'true';
    case 'number':
      return Number(node.text);
    case 'string':
      return node.text;
    case 'array':
      return node.items.map(plainValue);
    case 'object':
      return Object.fromEntries(node.members.map(([name, value]) => [name, plainValue(value)]));
  }
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** What nats-server 2.15.1 said to these, recorded. */
const RECORDED: readonly (readonly [string, string])[] = [
  ['{', 'unexpected EOF'],
  ['{"name":"S"', 'unexpected EOF'],
  ['{"name":"S","foo":[1,}', "invalid character '}' looking for beginning of value at offset 22"],
  ['abc', "invalid character 'a' looking for beginning of value at offset 1"],
  ['{"name":"S",}', "invalid character '}' looking for beginning of object key string at offset 13"],
  ['{"name":"S"}x', "invalid character 'x' looking for beginning of value at offset 13"],
  ['{"name":"a\tb"}', "invalid character '\\t' in string at offset 11"],
  ['{"name":"\\x"}', 'invalid escape sequence `\\x` in string at offset 11'],
  ['{"name":"S" "b":1}', `invalid character '"' after object key:value pair at offset 13`],
  ["{'name':1}", "invalid character '\\'' looking for beginning of object key string at offset 2"],
  ['{"name":tru}', "invalid character '}' in literal true (expecting 'e') at offset 12"],
  ['{"name":01}', "invalid character '1' after object key:value pair at offset 10"],
  ['{"name":-}', "invalid character '}' in numeric literal at offset 10"],
  ['{"name":1.}', "invalid character '}' in numeric literal at offset 11"],
  ['\x00', "invalid character '\\x00' looking for beginning of value at offset 1"],
  ['{"a":"\\u12"}', 'invalid escape sequence `\\u12"}` in string at offset 12'],
];

describe('parsing', () => {
  test.each(RECORDED)('%j is refused', (text, message) => {
    expect(parseJson(text).error?.message).toBe(message);
  });

  test('values in front of an error are kept', () => {
    const { values, error } = parseJson('{"a":1} x');
    expect(values.map(plainValue)).toEqual([{ a: 1 }]);
    expect(error).toBeInstanceOf(JsonError);
  });

  test('several values, and none', () => {
    expect(parseJson(' 1 [2] ').values.map(plainValue)).toEqual([1, [2]]);
    expect(parseJson(' \n')).toEqual({ values: [], error: null });
  });

  test('numbers keep their digits', () => {
    expect(parseJson('18446744073709551615').values[0]?.text).toBe('18446744073709551615');
  });

  test('raw is the text of the value', () => {
    expect(parseJson(' { "a" : [ 1 ] } ').values[0]?.members[0]?.[1].raw).toBe('[ 1 ]');
  });

  test('nesting without end is refused, not followed', () => {
    expect(parseJson('['.repeat(100_000)).error?.message).toMatch(/^exceeded max depth/);
  });

  test('agrees with JSON.parse on whatever JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const { values, error } = parseJson(bytesOf(text));
        expect(error).toBeNull();
        expect(values.map(plainValue)).toEqual([JSON.parse(text)]);
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  test('fails where JSON.parse fails, and with a value where it does not', () => {
    const alphabet = fc.constantFrom(...'{}[]",:\\ntfu0123456789.eE+- ax\n');
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 20 }), (text) => {
        const { values, error } = parseJson(text);
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(error === null && values.length === 1).toBe(valid);
      }),
      { seed: 12, numRuns: 3000 },
    );
  });
});

describe('a text of one value', () => {
  test.each([
    ['', 'unexpected end of JSON input'],
    [' ', 'unexpected end of JSON input'],
    ['{', 'unexpected end of JSON input'],
    ['x', "invalid character 'x' looking for beginning of value"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{} x', "invalid character 'x' after top-level value"],
    ['{}{}', "invalid character '{' after top-level value"],
  ])('%j is refused', (text, message) => {
    expect(parseWholeJson(text)).toEqual(new JsonError(message));
  });

  test('may have blanks around it', () => {
    expect(parseWholeJson(' \n{"a":1}\t ')).toMatchObject({ kind: 'object', raw: '{"a":1}' });
  });
});
