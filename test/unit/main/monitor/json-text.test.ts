import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeJson, JsonText, type JsonValue } from '../../../../src/main/monitor/format.ts';

test('JSON that is text already looks as if it had been encoded in its place', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = value as JsonValue;
      const text = new JsonText(encodeJson(json, ''));
      for (const indent of ['', '  ']) {
        expect(encodeJson({ a: [text], b: text }, indent)).toBe(encodeJson({ a: [json], b: json }, indent));
      }
    }),
    { seed: 11 },
  );
});

test.each([
  '"\\\\"',
  '"\\"{[,"',
  '18446744073709551615',
  '[{},[],{"a":[]}]',
  '{"a:b":"c,d"}',
])('keeps %s', (text) => {
  expect(encodeJson(new JsonText(text), '  ').replaceAll(/\n\s*/g, '').replaceAll('": ', '":')).toBe(text);
});
