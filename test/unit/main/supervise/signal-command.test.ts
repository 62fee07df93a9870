import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  isServerProcess,
  runSignalCommand,
  type SignalHost,
  systemHost,
} from '../../../../src/main/supervise/signal-command.ts';

/** A machine where pid 10 is this command and `running` are servers; only those can be signalled. */
function machine(running: number[] | null, files: Record<string, string> = {}) {
  const sent: string[] = [];
  const host: SignalHost = {
    selfPid: 10,
    serverPids: () => running,
    readFile: (path) => files[path] ?? null,
    kill(pid, signal) {
      if (!running?.includes(pid)) throw Object.assign(new Error('kill ESRCH'), { code: 'ESRCH' });
      sent.push(`${signal} ${pid}`);
    },
  };
  return { host, sent };
}

describe('what is sent', () => {
  test.each([
    ['stop', 'SIGKILL'],
    ['quit', 'SIGINT'],
    ['term', 'SIGTERM'],
    ['reopen', 'SIGUSR1'],
    ['reload', 'SIGHUP'],
    ['ldm', 'SIGUSR2'],
  ])('%s is %s', (command, signal) => {
    const { host, sent } = machine([10, 184]);
    expect(runSignalCommand(command, host)).toBeNull();
    expect(sent).toEqual([`${signal} 184`]);
  });

  test.each([
    ['reload=184', [184]],
    ['reload=+184', [184]],
    ['reload=*', [184, 185, 232]],
    ['reload=18*', [184, 185]],
    ['reload=server.pid', [232]],
    ['reload=server.pid.with.line.end', [232]],
  ])('%s', (argument, pids) => {
    const files = { 'server.pid': '232', 'server.pid.with.line.end': '232\n' };
    const { host, sent } = machine([184, 185, 232], files);
    expect(runSignalCommand(argument, host)).toBeNull();
    expect(sent).toEqual(pids.map((pid) => `SIGHUP ${pid}`));
  });
});

describe('what is refused', () => {
  const files = { bad: 'abc', gone: '99999', empty: '' };
  test.each<[string, number[] | null, string]>([
    ['reload', [], 'no nats-server processes running'],
    ['reload', [10], 'no nats-server processes running'],
    ['reload=', [], 'no nats-server processes running'],
    ['reload=empty', [], 'no nats-server processes running'],
    ['reload=12*', [184], 'no nats-server processes running'],
    ['reload', [184, 232], 'multiple nats-server processes running:\n184\n232'],
    ['reload', null, 'unable to resolve pid, try providing one'],
    ['foo=184', [184], 'unknown signal "foo"'],
    ['RELOAD=184', [184], 'unknown signal "RELOAD"'],
    ['foo', [], 'no nats-server processes running'],
    ['reload=abc', [184], 'invalid pid: abc'],
    ['reload=bad', [184], 'invalid pid: abc'],
    ['reload=a*b*', [184], 'invalid pid: a*b'],
    ['ldm=1 2', [184], 'invalid pid: 1 2'],
    ['reload=99999999999999999999', [184], 'invalid pid: 99999999999999999999'],
    ['reload=99999', [184], '\nsignal "reload" 99999: no such process'],
    ['reload=gone', [184], '\nsignal "reload" 99999: no such process'],
  ])('%s with %j running', (argument, running, message) => {
    const { host, sent } = machine(running, files);
    expect(runSignalCommand(argument, host)).toBe(message);
    expect(sent).toEqual([]);
  });

  test.each(['-1', '0', '-184', '+0'])('pid %s, which would mean many processes', (pid) => {
    const { host, sent } = machine([184]);
    host.kill = (target, signal) => sent.push(`${signal} ${target}`);
    expect(runSignalCommand(`reload=${pid}`, host)).toBe(`invalid pid: ${pid}`);
    expect(sent).toEqual([]);
  });
});

describe('what is a server', () => {
  const node = '/usr/bin/node';
  test.each<[string[], string, boolean]>([
    [[node, '/usr/lib/node_modules/natsd/dist/natsd.js', '-c', 'x.conf'], node, true],
    [['node', '/usr/bin/natsd'], node, true],
    [['node', '--max-old-space-size=512', '--import', './a.mjs', 'dist/natsd.js'], node, true],
    [['nats-server', 'dist/natsd.js'], '/usr/local/bin/node20 (deleted)', true],
    [['natsd'], '', true],
    [['natsd'], '/usr/bin/natsd', true],
    [['nats-server', '-c', 'x.conf'], '/usr/sbin/nats-server', false],
    [['node', 'test.js', 'natsd.js'], node, false],
    [['node', 'dist/natsd.js', '--signal', 'reload'], node, false],
    [['node', 'dist/natsd.js', '-sl=reload'], node, false],
    [['vim', 'natsd.js'], '/usr/bin/vim', false],
    [['node'], node, false],
    [[], node, false],
  ])('%j run by %s: %s', (argv, executable, expected) => {
    expect(isServerProcess({ pid: 5, argv, executable })).toBe(expected);
  });
});

test('a process of this machine is found and signalled by its pid', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-signal-'));
  const script = join(directory, 'natsd.js');
  writeFileSync(
    script,
    `process.on('SIGHUP', () => process.exit(42)); setInterval(() => {}, 1000); console.log('ready');`,
  );
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  expect(systemHost().serverPids()).toContain(child.pid);
  expect(runSignalCommand(`reload=${child.pid}`)).toBeNull();
  expect((await exited)[0]).toBe(42);
  expect(systemHost().serverPids()).not.toContain(child.pid);
  expect(runSignalCommand(`reload=${child.pid}`)).toBe(`\nsignal "reload" ${child.pid}: no such process`);
  rmSync(directory, { recursive: true });
});
