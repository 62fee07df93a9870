import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfigFile } from '../../../../src/main/config/conf-parser.ts';
import { ConfigError, type ConfMap, type ConfValue } from '../../../../src/main/config/conf-value.ts';
import { configDigest } from '../../../../src/main/config/digest.ts';

interface Sources {
  files?: Record<string, string | Uint8Array>;
  env?: Record<string, string>;
}

function parse(text: string | Uint8Array, { files = {}, env = {} }: Sources = {}): ConfMap {
  const all = new Map(Object.entries({ ...files, 'x.conf': text }));
  return parseConfigFile('x.conf', {
    env,
    readFile: (path) => {
      const content = all.get(path);
      if (content === undefined) throw new Error(`open ${path}: no such file or directory`);
      return Buffer.from(content);
    },
  });
}

function failure(text: string | Uint8Array, sources: Sources = {}): string {
  try {
    parse(text, sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('expected the configuration to be refused');
}

type Plain = string | bigint | number | boolean | Plain[] | { [key: string]: Plain };

function plain(value: ConfValue): Plain {
  if (value.kind === 'array') return value.values.map(plain);
  if (value.kind !== 'map') return value.value;
  return Object.fromEntries([...value.entries.values()].map((entry) => [entry.key, plain(entry.value)]));
}

function parsedValue(text: string, sources: Sources = {}): Plain {
  return plain(parse(`x: ${text}\n`, sources).entries.get('x')!.value);
}

describe('structure', () => {
  test.each([
    ['a: 1\nb = 2\nc 3', { a: 1n, b: 2n, c: 3n }],
    ['{ "a": 1, "b": { "c": [1, "d"] }, }', { a: 1n, b: { c: [1n, 'd'] } }],
    ['{ a: 1', { a: 1n }],
    ['a: 1 }', { a: 1n }],
    ['a: 1; b: 2, c: 3 # d: 4\n// e: 5\n', { a: 1n, b: 2n, c: 3n }],
    ['a {\n b:\n 1\n c { d: x } }', { a: { b: 1n, c: { d: 'x' } } }],
    ['a\n: 1', { a: 1n }],
    ['a: [ 1\n# x\n2, 3 // y\n]', { a: [1n, 2n, 3n] }],
    ['a: [1,2,3]', { a: [1n, 2n, 3n] }],
    ['a: [[1],[{b: 2}]]', { a: [[1n], [{ b: 2n }]] }],
    ['a: 1\na: 2', { a: 2n }],
    ['\'a b\': 1, "c d" 2', { 'a b': 1n, 'c d': 2n }],
    ['\ufeffa: 1', { a: 1n }],
    ['a: 1\r\nb: x\r\n', { a: 1n, b: 'x' }],
    ['', {}],
    ['}', {}],
  ])('%j', (text, expected) => {
    expect(plain(parse(text))).toEqual(expected);
  });

  test('keys keep the way they are written and where', () => {
    const entries = [...parse('Port: 1\n  x { y: 2 }\n').entries.values()];
    expect(entries.map(({ key, position }) => [key, position.line, position.column])).toEqual([
      ['Port', 1, 0],
      ['x', 2, 3],
    ]);
  });

  test('no key reaches a prototype', () => {
    const tree = parse('__proto__ { polluted: true }\nconstructor: 1');
    expect([...tree.entries.keys()]).toEqual(['__proto__', 'constructor']);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('values', () => {
  test.each<[string, Plain]>([
    ['"a\\tb\\x41\\"\\\\"', 'a\tbA"\\'],
    ['"\\xe2\\x82\\xac"', '€'],
    ["'a\\n'", 'a\\n'],
    ['a\\x41b', 'aAb'],
    ['nats://a:1/b', 'nats://a:1/b'],
    ['(\nfoo)\n)', '\nfoo)\n'],
    ['yes', true],
    ['OFF', false],
    ['"true"', 'true'],
    ['-5', -5n],
    ['8M', 8_000_000n],
    ['8MB', 8_388_608n],
    ['8mib', 8_388_608n],
    ['2Ki', 2048n],
    ['-1k', -1000n],
    ['9223372036854775807', 9223372036854775807n],
    ['1.5', 1.5],
    ['-0.25', -0.25],
    ['2024-02-29T10:11:12Z', '2024-02-29T10:11:12Z'],
    ['127.0.0.1:4222', '127.0.0.1:4222'],
    ['127.0.0.1:-1', '127.0.0.1:-1'],
    ['10s', '10s'],
    ['1h30m', '1h30m'],
    ['2m', 2_000_000n],
    ['0x10', '0x10'],
    ['4_222', '4_222'],
    ['5kk', '5kk'],
    ['5e3', '5e3'],
    ['$2a$10$abc', '$2a$10$abc'],
    ['é', 'é'],
  ])('%s', (text, expected) => {
    expect(parsedValue(text)).toEqual(expected);
  });
});

describe('errors', () => {
  const topEnd = "Expected a top-level value to end with a new line, comment or EOF, but got '%' instead.";
  const mapEnd = 'Expected a map value terminator "," or a map terminator "}", but got \'%\' instead.';
  test.each([
    ['port:\n4222', "Parse error on line 2: 'Expected value but found new line'"],
    ['port: 4222 host: a', `Parse error on line 1: '${topEnd.replace('%', 'h')}'`],
    ['a { user: a b: c }', `Parse error on line 1: '${mapEnd.replace('%', 'b')}'`],
    ['x: [1,,2]', "Parse error on line 1: 'Unexpected array value terminator ','.'"],
    [
      'x: [a b]',
      'Parse error on line 1: \'Expected an array value terminator "," or an array terminator "]", but got \'b\' instead.\'',
    ],
    [
      'x: "a\\q"',
      "Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'",
    ],
    ['x: "\\x4z"', "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4z''"],
    ['x: "abc\n', "Parse error on line 2: 'Unexpected EOF.'"],
    ["x: 'abc", "Parse error on line 1: 'Unexpected EOF.'"],
    ['x: .5', "Parse error on line 1: 'Floats must start with a digit'"],
    ['x: 5.\n', "Parse error on line 2: 'Floats must have a digit after the '.', but got '\\n' instead.'"],
    ['x: (foo)\n', "Parse error on line 2: 'Unexpected EOF processing block.'"],
    ['x: { a: 1\n', "Parse error on line 2: 'Unexpected EOF processing map.'"],
    ['x: 0.0.0.0:x', `Parse error on line 1: '${topEnd.replace('%', 'x')}'`],
    ['x: 8 MB', `Parse error on line 1: '${topEnd.replace('%', 'M')}'`],
    ['x: -a', "Parse error on line 1: 'Expected a digit but got 'a'.'"],
    ['x: 1-2', "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.'"],
    ['x: 2024-a', "Parse error on line 1: 'Expected digit in ISO8601 datetime, but found 'a' instead.'"],
    ['x: 2024-13\n', "Parse error on line 2: 'Expected '-' in ISO8601 datetime, but found '\\n' instead.'"],
    ['x: 2023-02-29T00:00:00Z', "expected Zulu formatted DateTime, but got '2023-02-29T00:00:00Z'"],
    ['x: 9223372036854775808', "integer '9223372036854775808' is out of the range"],
    ['x: 99999999e', "integer '99999999' is out of the range"],
    ['= 3', "Parse error on line 1: 'Unexpected key separator '=''"],
    ['x: { : 3 }', "Parse error on line 1: 'Unexpected key separator ':'.'"],
    ['/* no */', "Parse error on line 1: 'Unexpected EOF.'"],
    ['port\n', 'config is invalid (x.conf:2:1)'],
    ['x: "é" y', `Parse error on line 1: '${topEnd.replace('%', 'y')}'`],
    ['x: a\0b', "Parse error on line 1: 'Unexpected zero byte: not a text file'"],
  ])('%j', (text, expected) => {
    expect(failure(text)).toBe(expected);
  });
});

describe('variables', () => {
  test('are looked up outwards, among what stands before', () => {
    const tree = parse('a: 1\nx { b: 2, y { c: $b, d: $a } }');
    expect(plain(tree)).toEqual({ a: 1n, x: { b: 2n, y: { c: 2n, d: 1n } } });
    expect(tree.entries.get('a')!.usedAsVariable).toBe(true);
    expect(tree.entries.get('x')!.usedAsVariable).toBe(false);
    expect(failure('x { y: 3 }\nport: $y')).toBe("variable reference for 'y' on line 2 can not be found");
    expect(failure('x: $port\nport: 3')).toBe("variable reference for 'port' on line 1 can not be found");
  });

  test('a value of the environment is read as configuration, and keeps its text', () => {
    expect(parsedValue('$A', { env: { A: '8MB' } })).toBe(8_388_608n);
    expect(parsedValue('$A', { env: { A: '"a b"' } })).toBe('a b');
    expect(parsedValue('$A', { env: { A: '[1,2]' } })).toEqual([1n, 2n]);
    expect(parsedValue('$A', { env: { A: '' } })).toBe('');
    const value = parse('x: $A', { env: { A: '007' } }).entries.get('x')!.value;
    expect(value).toMatchObject({ kind: 'integer', source: '007', fromEnvironment: true });
  });

  test('environment errors', () => {
    expect(failure('x: $A', { env: { A: 'a b' } })).toBe(
      "variable reference for 'A' on line 1 could not be parsed: Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'",
    );
    const cycle = failure('x: $A', { env: { A: '$B', B: '$A' } });
    expect(cycle).toMatch(/^variable reference for 'A' .*variable reference cycle for 'A'$/);
    expect(failure('x: $toString')).toBe("variable reference for 'toString' on line 1 can not be found");
  });

  test('what variables unfold to is bounded', () => {
    let text = `a0: "${'x'.repeat(1000)}"\n`;
    for (let i = 1; i < 60; i++) text += `a${i}: [$a${i - 1},$a${i - 1}]\n`;
    expect(failure(text)).toMatch(/unfolds to more than/);
  });
});

describe('includes', () => {
  test('merge into the map they stand in, relative to the including file', () => {
    const files = { 'd/b.conf': 'b: 1\ninclude "c.conf"', 'd/c.conf': 'c: 2' };
    expect(plain(parse('a { include d/b.conf\n d: $c }', { files }))).toEqual({ a: { b: 1n, c: 2n, d: 2n } });
    const entry = parse('include d/b.conf', { files }).entries.get('c')!;
    expect(entry.position).toEqual({ file: 'd/c.conf', line: 1, column: 0 });
  });

  test('variables of the includer are not visible inside', () => {
    expect(failure('v: 1\ninclude i.conf', { files: { 'i.conf': 'w: $v' } })).toBe(
      "error parsing include file 'i.conf', variable reference for 'v' on line 1 can not be found",
    );
  });

  test('errors', () => {
    expect(failure('include foo.conf')).toBe(
      "error parsing include file 'foo.conf', open foo.conf: no such file or directory",
    );
    expect(failure('include\n')).toBe("Parse error on line 2: 'Expected include value but found new line'");
    expect(failure('include {a}')).toBe(
      "Parse error on line 1: 'Expected include value but found start of a map'",
    );
    expect(failure('include "foo')).toBe("Parse error on line 1: 'Unexpected EOF in double quoted include'");
    expect(failure('include x.conf')).toMatch(/does the file include itself\?$/);
    expect(failure('include x.conf\ninclude x.conf')).toMatch(/does the file include itself\?$/);
  });

  test('only the word alone is the keyword', () => {
    expect(plain(parse('include: a, included b'))).toEqual({ include: 'a', included: 'b' });
  });
});

describe('hostile input', () => {
  test('nesting is bounded', () => {
    expect(failure(`x: ${'['.repeat(100_000)}`)).toMatch(/nested more than 512 deep/);
    expect(failure('x {'.repeat(100_000))).toMatch(/nested more than 512 deep/);
  });

  test('a number of a million digits is refused', () => {
    expect(failure(`x: ${'9'.repeat(1_000_000)}`)).toMatch(/is out of the range$/);
  });

  test('a file that cannot be read', () => {
    const source = { env: {}, readFile: () => Promise.reject as never };
    expect(() =>
      parseConfigFile('y', { ...source, readFile: () => raise('read y: is a directory') }),
    ).toThrow(new ConfigError('CONFIG_FILE', 'read y: is a directory'));
  });

  const words = [
    'a',
    'x',
    ' ',
    '\n',
    '{',
    '}',
    '[',
    ']',
    ':',
    '=',
    ',',
    ';',
    '"',
    "'",
    '(',
    ')',
    '$',
    '$A',
    '\\',
  ];
  const more = [
    '-',
    '.',
    '1',
    '8MB',
    '2024-',
    'include ',
    '#',
    '//',
    'true',
    '\\x4',
    'é',
    '\r',
    '\t',
    '$2a$',
  ];

  test('any text is parsed or refused with a ConfigError, and a parsed one has a digest', () => {
    const text = fc
      .array(fc.constantFrom(...words, ...more), { maxLength: 60 })
      .map((parts) => parts.join(''));
    const source = fc.oneof(text, fc.string(), fc.uint8Array({ maxLength: 200 }));
    fc.assert(
      fc.property(source, (content) => {
        try {
          const tree = parse(content, { env: { A: '$A' }, files: { a: 'a: 1' } });
          expect(configDigest(tree)).toMatch(/^sha256:[0-9a-f]{64}$/);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { seed: 20_151, numRuns: 20_000 },
    );
  });

  test('what JSON can say is read as JSON reads it', () => {
    const json = fc.dictionary(
      fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/),
      fc.oneof(
        fc.integer(),
        fc.boolean(),
        fc.stringMatching(/^[ -!#-[\]-~é\n]*$/),
        fc.array(fc.oneof(fc.integer(), fc.boolean()), { maxLength: 4 }),
      ),
      { maxKeys: 6, noNullPrototype: true },
    );
    fc.assert(
      fc.property(json, fc.boolean(), (value, indented) => {
        const text = JSON.stringify(value, null, indented ? 2 : 0);
        fc.pre(!/\\[^ntr"\\]/.test(text));
        const numbers = (inner: unknown): unknown => {
          if (typeof inner === 'number') return BigInt(inner);
          return Array.isArray(inner) ? inner.map(numbers) : inner;
        };
        const expected = Object.fromEntries(Object.entries(value).map(([key, v]) => [key, numbers(v)]));
        expect(plain(parse(text))).toEqual(expected);
      }),
      { seed: 7, numRuns: 1000 },
    );
  });
});

function raise(message: string): never {
  throw new Error(message);
}

describe('digest', () => {
  test('is that of the sorted JSON, whatever the layout', () => {
    const digest = 'sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e';
    expect(configDigest(parse('port: 4222'))).toBe(digest);
    expect(configDigest(parse('{ "port": 4222, }\n# x'))).toBe(digest);
  });

  test.each([
    ['server_name: (\nfoo\n)\n', '21bf7856a0d1593958ecb629391ce3b3ab4ee3229515d0b2b066e78e3310ed89'],
    ['server_name: "a\\x4142b"', '43df260dc6b493d489c9f0613d504974a7834e91ec83faa461c79335fb9c1316'],
    ['debug: on', 'eca738dbc8155b8e2da07ff1a72a27aea10ba0fe3256289ad8b18ef5846bec7e'],
    ['port: 1\nPORT: 2', 'd794e9d597d1456099827d89e7dcfc1f2d9c22e7d1374c7532446450e7d67e20'],
  ])('%j as nats-server 2.15.1 printed it', (text, hex) => {
    expect(configDigest(parse(text))).toBe(`sha256:${hex}`);
  });
});
