/**
 * Which server the tests run against, decided in this one place.
 *
 * `NATSD_TEST_SERVER=/path/to/nats-server` runs every suite against that binary, which is how the suites themselves
 * are proved right; without it they run the built natsd.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ServerCommand {
  file: string;
  args: string[];
  /** False for the reference server: flags of natsd's own (`--shards`) are left out then. */
  isNatsd: boolean;
}

const BUILT_NATSD = fileURLToPath(new URL('../../dist/natsd.js', import.meta.url));

/** The command that starts the server under test. */
export function serverUnderTest(): ServerCommand {
  const other = process.env.NATSD_TEST_SERVER;
  if (other !== undefined && other !== '') return referenceCommand(other);
  return { file: process.execPath, args: [BUILT_NATSD], isNatsd: true };
}

/** The command that starts the nats-server binary at `path`. */
export function referenceCommand(path: string): ServerCommand {
  return { file: path, args: [], isNatsd: false };
}

/** Path of a nats-server binary: `NATS_SERVER`, else the first one on `PATH`, else `null`. */
export function findReferenceServer(): string | null {
  const named = process.env.NATS_SERVER;
  if (named !== undefined && named !== '') return named;
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const candidate = join(directory, 'nats-server');
    if (directory !== '' && existsSync(candidate)) return candidate;
  }
  return null;
}

/** Shard counts worth running: the reference server has no shards, so one run of it is enough. */
export function shardCounts(): number[] {
  return serverUnderTest().isNatsd ? [1, 3] : [1];
}

/** Hard limit of open files of a process: a Node process raises its soft limit to it at start. */
export function openFileLimit(): number {
  const answer = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return answer === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(answer);
}
