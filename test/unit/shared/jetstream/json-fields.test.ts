import { describe, expect, test } from 'vitest';
import { decodeJson, fieldReaders } from '../../../../src/shared/jetstream/json-fields.ts';
import { JsonObject, jsonInteger, jsonString } from '../../../../src/shared/jetstream/json-object.ts';
import { emptyStreamConfig, STREAM_CONFIG_READERS } from '../../../../src/shared/jetstream/stream-config.ts';

const READERS = fieldReaders(STREAM_CONFIG_READERS);

function decode(text: string, strict = true) {
  const target = emptyStreamConfig();
  const decoding = { target, readers: READERS, type: 'StreamConfigRequest', strict };
  return { error: decodeJson(Buffer.from(text, 'utf8'), decoding)?.message ?? null, target };
}

/** What nats-server 2.15.1 said to these, recorded. */
const RECORDED: readonly (readonly [string, string])[] = [
  [
    '{"name":1}',
    'json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string',
  ],
  [
    '{"max_msgs":"x"}',
    'json: cannot unmarshal string into Go struct field StreamConfigRequest.max_msgs of type int64',
  ],
  [
    '{"max_msgs":1.5}',
    'json: cannot unmarshal number 1.5 into Go struct field StreamConfigRequest.max_msgs of type int64',
  ],
  [
    '{"max_msgs":1e3}',
    'json: cannot unmarshal number 1e3 into Go struct field StreamConfigRequest.max_msgs of type int64',
  ],
  [
    '{"max_msg_size":3000000000}',
    'json: cannot unmarshal number 3000000000 into Go struct field StreamConfigRequest.max_msg_size of type int32',
  ],
  [
    '{"subjects":"a"}',
    'json: cannot unmarshal string into Go struct field StreamConfigRequest.subjects of type []string',
  ],
  ['{"subjects":[1]}', 'json: cannot unmarshal number into StreamConfigRequest.subjects.0 of type string'],
  ['{"foo":1,"name":2}', 'json: unknown field "foo"'],
  [
    '{"name":2,"foo":1}',
    'json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string',
  ],
  ['[]', 'json: cannot unmarshal array into Go value of type server.StreamConfigRequest'],
  ['true', 'json: cannot unmarshal bool into Go value of type server.StreamConfigRequest'],
  ['{"name":"S"} {"a":1}', 'json: unknown field "a"'],
  ['{"retention":"zz"}', 'can not unmarshal "\\"zz\\""'],
  ['{"retention":null}', 'can not unmarshal "null"'],
  ['{"compression":"zz"}', 'unknown compression algorithm'],
  ['{"mirror":{"foo":1}}', 'json: unknown field "foo"'],
  [
    '{"mirror":{"opt_start_time":"x"}}',
    'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
  ],
  [
    '{"mirror":{"opt_start_time":5}}',
    'json: cannot unmarshal number into Go struct field StreamConfigRequest.mirror.opt_start_time of type time.Time',
  ],
  [
    '{"mirror":{"opt_start_seq":-1}}',
    'json: cannot unmarshal number -1 into Go struct field StreamConfigRequest.mirror.opt_start_seq of type uint64',
  ],
  [
    '{"metadata":{"a":1}}',
    'json: cannot unmarshal number into Go struct field StreamConfigRequest.metadata.a of type string',
  ],
  [
    '{"metadata":[]}',
    'json: cannot unmarshal array into Go struct field StreamConfigRequest.metadata of type map[string]string',
  ],
  [
    '{"sources":[{"name":"A","external":{"api":1}}]}',
    'json: cannot unmarshal number into Go struct field StreamConfigRequest.sources.0.external.api of type string',
  ],
  [
    '{"sources":{}}',
    'json: cannot unmarshal object into Go struct field StreamConfigRequest.sources of type []*server.StreamSource',
  ],
  [
    '{"sources":[5]}',
    'json: cannot unmarshal number into StreamConfigRequest.sources.0 of type server.StreamSource',
  ],
  [
    '{"max_age":"1s"}',
    'json: cannot unmarshal string into Go struct field StreamConfigRequest.max_age of type time.Duration',
  ],
  [
    '{"first_seq":18446744073709551616}',
    'json: cannot unmarshal number 18446744073709551616 into Go struct field StreamConfigRequest.first_seq of type uint64',
  ],
];

describe('reading fields', () => {
  test.each(RECORDED)('%s', (text, message) => {
    expect(decode(text).error).toBe(message);
  });

  test('names match without regard to case, and the last of equal ones wins', () => {
    expect(decode('{"NAME":"a","name":"b"}').target.name).toBe('b');
  });

  test('unknown fields pass when they may', () => {
    expect(decode('{"foo":1,"name":"S"}', false)).toMatchObject({ error: null, target: { name: 'S' } });
  });

  test('a name of the prototype is a name like any other', () => {
    const { error, target } = decode('{"metadata":{"__proto__":"x","constructor":"y"}}');
    expect(error).toBeNull();
    expect([...target.metadata]).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(decode('{"__proto__":{"name":"x"}}').error).toBe('json: unknown field "__proto__"');
  });

  test('null is the zero value', () => {
    expect(decode('{"subjects":null,"mirror":null,"max_msgs":null,"name":null}').error).toBeNull();
  });
});

describe('writing', () => {
  test('escapes what Go escapes', () => {
    expect(jsonString('<&>\u2028"\\\n\u0001é')).toBe('"\\u003c\\u0026\\u003e\\u2028\\"\\\\\\n\\u0001é"');
  });

  test('integers at the ends of their types come back as they were sent', () => {
    expect(jsonInteger(Number(2n ** 63n - 1n))).toBe('9223372036854775807');
    expect(jsonInteger(Number(2n ** 64n - 1n))).toBe('18446744073709551615');
    expect(jsonInteger(2 ** 53)).toBe('9007199254740992');
    expect(jsonInteger(-1)).toBe('-1');
  });

  test('fields keep their order, and those without a value are left out', () => {
    const json = new JsonObject().stringUnlessEmpty('a', '').integer('b', 0).integerUnlessZero('c', 0n);
    expect(json.boolUnlessFalse('d', true).fields('{"e":1}').end()).toBe('{"b":0,"d":true,"e":1}');
  });
});
