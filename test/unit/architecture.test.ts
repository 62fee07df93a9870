import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { NATSD_VERSION } from '../../src/shared/base/version.ts';
import {
  importsOf,
  importViolations,
  namingViolations,
  purityViolations,
  styleViolations,
  topLevelViolations,
} from '../support/architecture.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface SourceFile {
  path: string;
  text: string;
}

function sourceFiles(): SourceFile[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => `src/${name.split(sep).join('/')}`)
    .filter((path) => path.endsWith('.ts') && !/\/(node_modules|dist)\//.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const sources = sourceFiles();

function violations(check: (path: string, text: string) => string[]): string[] {
  return sources.flatMap(({ path, text }) => check(path, text));
}

test('the tree is read', () => {
  expect(sources.map(({ path }) => path)).toContain('src/shared/ring/ring.ts');
  expect(sources.length).toBeGreaterThan(10);
});

describe('imports point down', () => {
  test('in every file', () => {
    expect(violations(importViolations)).toEqual([]);
  });

  test('every form of import is seen', () => {
    const text = `
      import './a.ts';
      import b, { c as d, type E } from './b.ts';
      import * as f from './f.ts';
      import type { G } from './g.ts';
      export * from './h.ts';
      export { i } from './i.ts';
      type J = import('./j.ts').J;
      const k = () => import('./k.ts');
      const l = (name: string) => import(name);
      // import './comment.ts';
      const m = "import './text.ts'";
    `;
    expect(importsOf('x.ts', text)).toEqual([
      { specifier: './a.ts', names: ['*'] },
      { specifier: './b.ts', names: ['default', 'c', 'E'] },
      { specifier: './f.ts', names: ['*'] },
      { specifier: './g.ts', names: ['G'] },
      { specifier: './h.ts', names: ['*'] },
      { specifier: './i.ts', names: ['i'] },
      { specifier: './j.ts', names: ['*'] },
      { specifier: './k.ts', names: ['*'] },
      { specifier: '<computed>', names: ['*'] },
    ]);
  });

  test.each([
    ['src/main/natsd.ts', '../workers/shard/shard.ts', 'contract.ts'],
    ['src/main/monitor/http.ts', '../../workers/shard/contract/x.ts', 'contract.ts'],
    ['src/main/natsd.ts', '../../test/support/daemon.ts', 'outside src'],
    ['src/workers/shard/shard.ts', '../persistence/persistence.ts', 'another role'],
    ['src/workers/shard/shard.ts', '../persistence/contract.ts', 'another role'],
    ['src/workers/shard/shard.ts', '../../main/log/log.ts', 'never main'],
    ['src/shared/broker/router.ts', '../../workers/shard/contract.ts', 'neither main nor workers'],
    ['src/shared/broker/router.ts', '../../main/log/log.ts', 'neither main nor workers'],
    ['src/shared/broker/router.ts', '../jetstream/stream.ts', 'broker never'],
    ['src/shared/jetstream/store/log.ts', '../../broker/router.ts', 'jetstream never'],
    ['src/shared/protocol/mqtt/engine.ts', '../nats/parser.ts', 'never another protocol'],
    ['src/shared/protocol/mqtt/engine.ts', '../../broker/router.ts', 'never another protocol'],
    ['src/shared/protocol/mqtt/engine.ts', '../../ring/ring.ts', 'never another protocol'],
    ['src/shared/base/limits.ts', '../subject/subject.ts', 'base imports base'],
    ['src/shared/ring/ring.ts', '../base/assert.ts', 'ring package'],
    ['src/shared/ring/ring.ts', 'node:buffer', 'ring package'],
    ['src/shared/auth/auth.ts', 'node:fs', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'node:net', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'node:tls', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'node:worker_threads', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'node:timers/promises', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'fs', 'only modules of Node'],
    ['src/shared/auth/auth.ts', 'bcryptjs', 'no packages'],
  ])('%s may not import %s', (path, specifier, reason) => {
    for (const statement of [`import { x } from '${specifier}';`, `import type { x } from '${specifier}';`]) {
      expect(importViolations(path, statement)).toEqual([expect.stringContaining(reason)]);
    }
  });

  test.each([
    ["import { randomBytes } from 'node:crypto';", 'randomBytes'],
    ["import crypto from 'node:crypto';", 'default'],
    ["import * as crypto from 'node:crypto';", '*'],
    ["import { createHash, webcrypto } from 'node:crypto';", 'webcrypto'],
    ["import { generateKeyPairSync } from 'node:crypto';", 'generateKeyPairSync'],
    ["import { inflateRaw } from 'node:zlib';", 'inflateRaw'],
  ])('shared may not: %s', (statement, name) => {
    expect(importViolations('src/shared/auth/nkey.ts', statement)).toEqual([
      expect.stringContaining(`may not use "${name}"`),
    ]);
  });

  test.each([
    ['src/main/natsd.ts', '../workers/shard/contract.ts'],
    ['src/main/natsd.ts', './monitor/http.ts'],
    ['src/main/natsd.ts', '../shared/broker/router.ts'],
    ['src/main/natsd.ts', 'node:net'],
    ['src/workers/shard/shard.ts', './transports/tcp.ts'],
    ['src/workers/shard/shard.ts', '../../shared/protocol/nats/parser.ts'],
    ['src/workers/shard/shard.ts', 'ws'],
    ['src/shared/protocol/mqtt/engine.ts', './packets.ts'],
    ['src/shared/protocol/mqtt/engine.ts', '../../subject/subject.ts'],
    ['src/shared/protocol/mqtt/engine.ts', '../../auth/permissions.ts'],
    ['src/shared/jetstream/store/log.ts', '../stream.ts'],
    ['src/shared/broker/router.ts', '../protocol/nats/parser.ts'],
    ['src/shared/mail/records.ts', '../ring/ring.ts'],
    ['src/shared/ring/ring.ts', './layout.ts'],
  ])('%s may import %s', (path, specifier) => {
    expect(importViolations(path, `import { x } from '${specifier}';`)).toEqual([]);
  });

  test('shared may compute with Node', () => {
    const text =
      "import { createHash, verify } from 'node:crypto'; import { inflateRawSync } from 'node:zlib';";
    expect(importViolations('src/shared/auth/nkey.ts', text)).toEqual([]);
  });
});

describe('shared is pure', () => {
  test('in every file', () => {
    expect(violations(purityViolations)).toEqual([]);
  });

  test.each([
    ['const at = Date.now();', 'Date.now'],
    ["const at = Date['now']();", 'Date.now'],
    ['const at = new Date();', 'new Date()'],
    ['const at = Date();', 'new Date()'],
    ['const chance = Math.random();', 'Math.random'],
    ['const at = performance.now();', 'performance'],
    ['setTimeout(() => {}, 1);', 'setTimeout'],
    ['setInterval(() => {}, 1);', 'setInterval'],
    ['const later = setImmediate;', 'setImmediate'],
    ['queueMicrotask(() => {});', 'queueMicrotask'],
    ['const done = new Promise(() => {});', 'Promise'],
    ['type Done = Promise<void>;', 'Promise'],
    ['const f = async () => {};', 'async'],
    ['class A { async f() {} }', 'async'],
    ['await 1;', 'await'],
    ["const f = () => import('./x.ts');", 'import()'],
    ['const id = crypto.randomUUID();', 'crypto'],
    ['process.nextTick(() => {});', 'process'],
    ['const now = globalThis.Date.now;', 'globalThis'],
    ['const all = { process };', 'process'],
  ])('%s is noticed', (text, use) => {
    expect(purityViolations('src/shared/base/x.ts', text)).toContain(`src/shared/base/x.ts:1: uses ${use}`);
  });

  test('what only looks like it is not', () => {
    const text = `
      // Date.now() in a comment
      const text = 'Math.random() setTimeout Promise';
      const when = new Date(0);
      function run(process: { fetch: number; async: boolean }, performance: number) {
        return process.fetch + performance + (process.async ? 1 : 0) + Date.parse('2024');
      }
      const options = { fetch: 1, crypto: 2 };
      const { console, crypto: performed } = options;
      const use = (...queueMicrotask) => [console, performed, queueMicrotask];
    `;
    expect(purityViolations('src/shared/base/x.ts', text)).toEqual([]);
  });

  test('main and workers hold clocks', () => {
    expect(purityViolations('src/main/natsd.ts', 'await Promise.resolve(Date.now());')).toEqual([]);
  });
});

describe('style', () => {
  test('in every file', () => {
    expect(violations(styleViolations)).toEqual([]);
  });

  test.each([
    ['x\n'.repeat(601), '601 lines'],
    [`function f() {${'\n'.repeat(70)}}`, 'a function of 71 lines'],
    [`const f = () => {${'\n'.repeat(70)}};`, 'a function of 71 lines'],
    [`class A { f() {${'\n'.repeat(70)}} }`, 'a function of 71 lines'],
    ['const x = y as any;', 'any'],
    ['function f(x: any[]) {}', 'any'],
    ['enum Colour { Red }', 'enum'],
    ['const enum Colour { Red }', 'enum'],
    ['class A { get #size() { return 1; } }', 'a private getter'],
    ['class A { set #size(value) {} }', 'a private setter'],
  ])('sample %# is noticed', (text, message) => {
    expect(styleViolations('src/x.ts', text)).toEqual([expect.stringContaining(message)]);
  });

  test('the bounds themselves are allowed', () => {
    expect(styleViolations('src/x.ts', 'x\n'.repeat(600))).toEqual([]);
    expect(styleViolations('src/x.ts', `function f() {${'\n'.repeat(69)}}`)).toEqual([]);
    expect(styleViolations('src/x.ts', "const any = 'enum'; // as any")).toEqual([]);
    expect(styleViolations('src/x.ts', 'class A { constructor() {} get a() {} #get() {} }')).toEqual([]);
  });
});

describe('names', () => {
  test('in every file', () => {
    expect(violations(namingViolations)).toEqual([]);
  });

  test.each([
    'src/shared/utils.ts',
    'src/shared/helpers/x.ts',
    'src/main/string-utils.ts',
    'src/util.ts',
  ])('%s is noticed', (path) => {
    expect(namingViolations(path, 'const x = 1;')).toHaveLength(1);
  });

  test('a file that only passes on is noticed, one that also does something is not', () => {
    const passing = "export * from './a.ts';\nexport { b } from './b.ts';\n";
    expect(namingViolations('src/shared/x.ts', passing)).toEqual(['src/shared/x.ts: a barrel file']);
    expect(namingViolations('src/shared/x.ts', `${passing}export const c = 1;`)).toEqual([]);
    expect(namingViolations('src/shared/utility-meter.ts', 'const x = 1;')).toEqual([]);
  });
});

describe('the repository', () => {
  const gitignore = readFileSync(join(root, '.gitignore'), 'utf8');

  test('has a top level of known entries', () => {
    expect(topLevelViolations(readdirSync(root), gitignore)).toEqual([]);
  });

  test('another entry at the top is noticed', () => {
    const entries = ['src', '.git', 'node_modules', 'run.log', 'scripts', 'NOTES.md', 'distribution'];
    expect(topLevelViolations(entries, gitignore)).toEqual(['scripts', 'NOTES.md', 'distribution']);
    expect(topLevelViolations(['src', 'node_modules'], '')).toEqual(['node_modules']);
  });

  test('has one version', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(NATSD_VERSION).toBe(manifest.version);
  });
});
