/** The type declarations of the package, as a program that imports natsd sees them. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type * as Real from '../../src/main/embed.ts';
import type * as Declared from '../../src/main/embed-public.d.ts';
import { importEmbed } from '../support/embedded.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// Does not compile when the implementation and what is declared of it differ.
const declared = (real: typeof Real): typeof Declared => real;

const CONSUMER = `
import { ConfigurationError, type EmbeddedServer, StartError, startServer } from 'natsd';
export async function run(): Promise<string> {
  const server: EmbeddedServer = await startServer('port: -1', { handOff: 'duplicate' });
  const port: number = server.port;
  await server.stop();
  try {
    await startServer();
  } catch (error) {
    if (error instanceof ConfigurationError || error instanceof StartError) return error.message;
  }
  return server.url + port;
}
`;

describe('type declarations', () => {
  let directory = '';

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'natsd-types-'));
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(ROOT, join(directory, 'node_modules', 'natsd'));
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  /** @returns what the compiler says of a file; empty: nothing */
  async function compile(source: string): Promise<string> {
    writeFileSync(join(directory, 'consumer.ts'), source);
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022'];
    try {
      await promisify(execFile)(
        join(ROOT, 'node_modules/.bin/tsc'),
        [...flags, '--types', '', 'consumer.ts'],
        { cwd: directory, timeout: 60_000, killSignal: 'SIGKILL' },
      );
      return '';
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  }

  test('are those of what is built', async () => {
    const built = declared(await importEmbed());
    expect(Object.keys(built).sort()).toEqual(['ConfigurationError', 'StartError', 'startServer']);
  });

  test('fit a program that uses all of them', async () => {
    expect(await compile(CONSUMER)).toBe('');
  });

  test('are no any', async () => {
    const wrong = await compile(`${CONSUMER}startServer(1);\n(await startServer()).nothing;\n`);
    expect(wrong).toMatch(/'number' is not assignable/);
    expect(wrong).toMatch(/'nothing' does not exist/);
  });
});
