import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ConnectOptions,
  connectViolation,
  DEFAULT_CONNECT_OPTIONS,
  decodeConnect,
} from '../../../../../src/shared/protocol/nats/connect-options.ts';

/** @param json text of one character a byte */
function decode(json: string, previous: ConnectOptions = DEFAULT_CONNECT_OPTIONS): ConnectOptions | null {
  return decodeConnect(Buffer.from(json, 'latin1'), previous).options;
}

test('takes over every field', () => {
  const options: ConnectOptions = {
    verbose: false,
    pedantic: false,
    tlsRequired: true,
    authToken: 't',
    user: 'u',
    pass: 'p',
    jwt: 'j',
    nkey: 'n',
    sig: 's',
    name: 'nm',
    lang: 'l',
    version: 'v',
    protocol: 1,
    echo: false,
    headers: true,
    noResponders: true,
    account: 'a',
    newAccount: true,
    import: { allow: ['x', ''], deny: null },
    export: { allow: null, deny: [] },
    remoteAccount: 'r',
    proxySig: 'ps',
  };
  const json = {
    verbose: false,
    pedantic: false,
    tls_required: true,
    auth_token: 't',
    user: 'u',
    pass: 'p',
    jwt: 'j',
    nkey: 'n',
    sig: 's',
    name: 'nm',
    lang: 'l',
    version: 'v',
    protocol: 1,
    echo: false,
    headers: true,
    no_responders: true,
    account: 'a',
    new_account: true,
    import: { allow: ['x', null], other: 1 },
    export: { allow: null, deny: [] },
    remote_account: 'r',
    proxy_sig: 'ps',
  };
  expect(decode(JSON.stringify(json))).toEqual(options);
  expect(decode(JSON.stringify(json, null, '\t'))).toEqual(options);
});

test('starts from the defaults, which it leaves alone', () => {
  expect(decode('{}')).toEqual(DEFAULT_CONNECT_OPTIONS);
  expect(decode('{}')).not.toBe(DEFAULT_CONNECT_OPTIONS);
  expect(DEFAULT_CONNECT_OPTIONS).toMatchObject({
    verbose: true,
    pedantic: true,
    echo: true,
    headers: false,
    protocol: 0,
  });
});

test('keeps what an earlier CONNECT said', () => {
  const first = decode('{"user":"u","pass":"p","verbose":false,"protocol":1}')!;
  const second = decode('{"pass":"q","user":null,"verbose":null}', first)!;
  expect(second).toEqual({ ...first, pass: 'q' });
  expect(first.pass).toBe('p');
});

// Each case as nats-server 2.15.1 takes it.
describe('accepts', () => {
  test.each<[string, Partial<ConnectOptions>]>([
    ['null', {}],
    [' \t\r\n{ } ', {}],
    ['{"verbose":null}', {}],
    ['{"protocol":-0}', { protocol: 0 }],
    ['{"protocol":2}', { protocol: 2 }],
    ['{"protocol":-1}', { protocol: -1 }],
    ['{"protocol":1,"protocol":0}', { protocol: 0 }],
    ['{"VERBOSE":false,"verbose":true}', { verbose: true }],
    ['{"verbose":false,"VERBOSE":true,"verbose":false}', { verbose: false }],
    ['{"verbo\u00c5\u00bfe":false}', { verbose: false }],
    ['{"\\u0076erbose":false}', { verbose: false }],
    ['{"server_id":1,"cluster":{"a":[1,{"verbose":false}]},"xkey":"}"}', {}],
    ['{"name":"a,}\\"{]","lang":"\\\\"}', { name: 'a,}"{]', lang: '\\' }],
    ['{"name":"a\xffb"}', { name: 'a\ufffdb' }],
    ['{"name":"\xc3\xa9"}', { name: '\u00e9' }],
    ['{"name":"\\ud800"}', { name: '\ufffd' }],
    ['{"name":"\\u0000"}', { name: '\0' }],
    ['{"import":null}', {}],
    ['{"export":{"x":7}}', { export: { allow: null, deny: null } }],
    ['{"import":{"Allow":["x"]}}', { import: { allow: ['x'], deny: null } }],
  ])('%j', (json, expected) => {
    expect(decode(json)).toEqual({ ...DEFAULT_CONNECT_OPTIONS, ...expected });
  });

  test.each(['__proto__', 'constructor', 'toString'])('the name %s as any other', (name) => {
    const options = decode(`{"${name}":{"verbose":false,"admin":true}}`)!;
    expect(options).toEqual(DEFAULT_CONNECT_OPTIONS);
    expect(Object.getPrototypeOf(options)).toBe(Object.prototype);
    expect(Object.keys(options)).toEqual(Object.keys(DEFAULT_CONNECT_OPTIONS));
  });

  test('deep nesting', () => {
    expect(decode(`{"a":${'['.repeat(50_000)}${']'.repeat(50_000)},"user":"u"}`)?.user).toBe('u');
  });
});

describe('refuses', () => {
  test.each([
    '',
    ' ',
    '[]',
    '"x"',
    '1',
    'true',
    '{}{}',
    '{"verbose":false',
    '{verbose:false}',
    "{'verbose':false}",
    '{"verbose":false,}',
    '\xef\xbb\xbf{}',
    '{"name":"\x01"}',
    '{"protocol":1.0}',
    '{"protocol":0.0}',
    '{"protocol":1e0}',
    '{"protocol":"1"}',
    '{"protocol":true}',
    '{"protocol":9223372036854775808}',
    '{"protocol":99999999999999999999}',
    '{"verbose":1}',
    '{"verbose":"true"}',
    '{"tls_required":"x"}',
    '{"user":1}',
    '{"lang":{}}',
    '{"sig":[],"verbose":false}',
    '{"proxy_sig":1}',
    '{"remote_account":5}',
    '{"import":1}',
    '{"import":[]}',
    '{"import":{"allow":"x"}}',
    '{"import":{"allow":[1]}}',
    '{"export":{"Allow":7}}',
    '{"protocol":1,"PROTOCOL":"x"}',
  ])('%j', (json) => {
    const result = decodeConnect(Buffer.from(json, 'latin1'), DEFAULT_CONNECT_OPTIONS);
    expect(result.options).toBeNull();
    expect(result.error).not.toBe('');
  });

  test('with a reason', () => {
    expect(decodeConnect(Buffer.from('{"User":1}'), DEFAULT_CONNECT_OPTIONS).error).toBe(
      'invalid value for CONNECT field "user"',
    );
    expect(decodeConnect(Buffer.from('[]'), DEFAULT_CONNECT_OPTIONS).error).toBe(
      'CONNECT JSON is not an object',
    );
  });
});

test('finds members wherever they are', () => {
  const noise = fc.jsonValue({ maxDepth: 4 });
  const key = fc
    .string({ maxLength: 6 })
    .filter((name) => !/^(user|pass|jwt|nkey|sig|name|lang|echo)$/i.test(name));
  fc.assert(
    fc.property(fc.dictionary(key, noise, { maxKeys: 5 }), fc.string(), fc.nat(4), (others, user, indent) => {
      const json = JSON.stringify({ ...others, user }, null, indent);
      const options = decodeConnect(Buffer.from(json), DEFAULT_CONNECT_OPTIONS).options;
      expect(options).toEqual({ ...DEFAULT_CONNECT_OPTIONS, user: user.toWellFormed() });
    }),
    { seed: 20_153, numRuns: 1000 },
  );
});

test('never throws, and accepts nothing that is not JSON', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('{', '}', '[', ']', '"user"', '"', ':', ',', 'null', '1', 'true', '\\', ' '), {
        maxLength: 10,
      }),
      (pieces) => {
        const text = pieces.join('');
        const { options } = decodeConnect(Buffer.from(text), DEFAULT_CONNECT_OPTIONS);
        if (options !== null) expect(() => JSON.parse(text)).not.toThrow();
      },
    ),
    { seed: 20_154, numRuns: 3000 },
  );
});

describe('violations', () => {
  const violation = (json: string, headersSupported = true): string | undefined =>
    connectViolation(decode(json)!, headersSupported)?.error;

  test.each([
    ['{}', undefined],
    ['{"protocol":1,"headers":true,"no_responders":true}', undefined],
    ['{"protocol":2}', 'invalid client protocol'],
    ['{"protocol":-1}', 'invalid client protocol'],
    ['{"no_responders":true}', 'no responders requires headers support'],
    ['{"account":"x","protocol":2}', 'Authorization Violation'],
    ['{"new_account":true}', 'Authorization Violation'],
  ])('%s: %s', (json, expected) => {
    expect(violation(json)).toBe(expected);
  });

  test('headers that the server lacks do not help', () => {
    expect(violation('{"headers":true,"no_responders":true}', false)).toBe(
      'no responders requires headers support',
    );
  });

  test('have a reason', () => {
    expect(connectViolation(decode('{"protocol":7}')!, true)?.reason).toBe('Bad Client Protocol Version');
    expect(connectViolation(decode('{"no_responders":true}')!, true)?.reason).toBe(
      'No Responders Requires Headers',
    );
    expect(connectViolation(decode('{"account":"x"}')!, true)?.reason).toBe('Authentication Failure');
  });
});
