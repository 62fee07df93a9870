/** Runs the server under test to its end, for invocations that only answer and exit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { serverUnderTest } from './server-command.ts';
import { GUARD_MS } from './waiting.ts';

export interface RunResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Starts the server with `args` and waits until it exits. */
export async function runServer(
  args: string[],
  environment: Record<string, string> = {},
): Promise<RunResult> {
  const command = serverUnderTest();
  const child = spawn(command.file, [...command.args, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A server that starts after all must not outlive the test that expected it to refuse.
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const guard = setTimeout(kill, GUARD_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(guard);
  process.off('exit', kill);
  return { code, stdout, stderr };
}
