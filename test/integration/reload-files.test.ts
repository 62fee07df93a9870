/** The ports file follows its option: a harness finds it where the configuration says, before and after a reload. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { serverUnderTest } from '../support/server-command.ts';

test('ports_file_dir moves the ports file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-test-'));
  const [first, second] = [join(directory, 'first'), join(directory, 'second')];
  const configFile = join(directory, 'server.conf');
  for (const name of [first, second]) mkdirSync(name);
  const configure = (target: string): void =>
    writeFileSync(configFile, `listen: "127.0.0.1:-1"\nports_file_dir: "${target}"\n`);
  const until = async (target: string, isThere: boolean): Promise<void> => {
    const watcher = watch(target);
    try {
      while (readdirSync(target).some((name) => name.endsWith('.ports')) !== isThere) {
        await once(watcher, 'change');
      }
    } finally {
      watcher.close();
    }
  };
  configure(first);
  const { file, args } = serverUnderTest();
  const child = spawn(file, [...args, '-c', configFile], { stdio: 'ignore' });
  try {
    await until(first, true);
    configure(second);
    child.kill('SIGHUP');
    await until(second, true);
    await until(first, false);
    child.kill('SIGTERM');
    await once(child, 'exit');
    expect(readdirSync(second)).toEqual([]);
  } finally {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});
