/** What signals do to a running server (spec: config §5–7, client protocol §17). */
import { existsSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Daemon, type DaemonOptions } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { runServer } from '../support/run-server.ts';
import { shardCounts } from '../support/server-command.ts';

function users(...names: string[]): string {
  const entries = names.map((name) => `{ user: ${name}, password: pw }`).join(', ');
  return `authorization { users: [ ${entries} ] }\n`;
}

describe.each(shardCounts())('signals, %i shard(s)', (shards) => {
  const daemons: Daemon[] = [];

  async function start(options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = await Daemon.start({ shards, ...options });
    daemons.push(daemon);
    return daemon;
  }

  async function client(daemon: Daemon, fields: Record<string, unknown> = {}): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port });
    expect(await connection.handshake(fields)).toBe(true);
    return connection;
  }

  afterEach(async () => {
    await Promise.all(daemons.splice(0).map((daemon) => daemon.stop()));
  });

  test.each([
    ['SIGINT', 'interrupt'],
    ['SIGTERM', 'terminated'],
  ] as const)('%s ends the server, its clients are closed without an error', async (signal, name) => {
    const daemon = await start();
    const connections = [await client(daemon), await client(daemon), await client(daemon)];
    daemon.kill(signal);
    expect(await daemon.exited()).toEqual({ code: 0, signal: null });
    expect(daemon.log).toContain(`Trapped "${name}" signal`);
    for (const connection of connections) {
      await connection.untilClosed();
      expect(connection.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
    }
  });

  test('SIGHUP applies a new configuration', async () => {
    const daemon = await start({ config: `max_payload: 100\n${users('one', 'two')}` });
    const one = await client(daemon, { user: 'one', pass: 'pw' });
    const two = await client(daemon, { user: 'two', pass: 'pw' });
    await two.sync('SUB x 1\r\n');
    writeFileSync(daemon.configFile, `max_payload: 200\n${users('two', 'three')}`);
    daemon.kill('SIGHUP');
    await daemon.untilLogged(/Reloaded server configuration \(sha256:[0-9a-f]{64}\)/);
    expect(daemon.log).toContain('Trapped "hangup" signal');
    expect(daemon.log).toMatch(/Reloaded: max_payload = 200/);
    await one.untilClosed();
    expect(one.texts.filter((text) => text.startsWith('-ERR'))).toEqual([]);
    expect(await two.sync(`PUB x 150\r\n${'y'.repeat(150)}\r\n`)).toBe(true);
    expect(two.texts).toContain(`MSG x 1 150\r\n${'y'.repeat(150)}`);
    await (await client(daemon, { user: 'three', pass: 'pw' })).end();
    await two.end();
  });

  test('SIGHUP with another password closes those who used the old one', async () => {
    const daemon = await start({ config: users('one') });
    const one = await client(daemon, { user: 'one', pass: 'pw' });
    writeFileSync(daemon.configFile, users('one').replace('pw', 'changed'));
    daemon.kill('SIGHUP');
    await one.untilClosed();
    expect(one.texts).toContain("-ERR 'Authorization Violation'");
    await (await client(daemon, { user: 'one', pass: 'changed' })).end();
  });

  test('SIGHUP drops subscriptions that are no longer allowed', async () => {
    const withPermission = (subjects: string): string =>
      `authorization { users: [ { user: u, password: pw, permissions: { subscribe: ${subjects} } } ] }\n`;
    const daemon = await start({ config: withPermission('["a", "b"]') });
    const connection = await client(daemon, { user: 'u', pass: 'pw' });
    await connection.sync('SUB a 1\r\nSUB b 2\r\n');
    writeFileSync(daemon.configFile, withPermission('["b"]'));
    daemon.kill('SIGHUP');
    await connection.expect(/^-ERR 'Permissions Violation for Subscription to "a" \(sid "1"\)'$/);
    await connection.sync('PUB a 1\r\nx\r\nPUB b 1\r\nx\r\n');
    expect(connection.texts.filter((text) => text.startsWith('MSG'))).toEqual(['MSG b 2 1\r\nx']);
    await connection.end();
  });

  test.each([
    ['a changed port', 'port: 4333\nmax_pending: 5000000\n', /config reload not supported for MaxPending/],
    [
      'an unknown field',
      'nonsense: true\n',
      /Failed to reload server configuration: .*unknown field "nonsense"/,
    ],
    ['a syntax error', 'authorization {{\n', /Failed to reload server configuration: /],
  ])('SIGHUP with %s changes nothing', async (_name, text, message) => {
    const daemon = await start({ config: users('one') });
    const one = await client(daemon, { user: 'one', pass: 'pw' });
    writeFileSync(daemon.configFile, text);
    daemon.kill('SIGHUP');
    await daemon.untilLogged(message);
    expect(await one.sync()).toBe(true);
    await (await client(daemon, { user: 'one', pass: 'pw' })).end();
    await one.end();
  });

  test('SIGHUP without a configuration file is refused', async () => {
    const daemon = await start();
    daemon.kill('SIGHUP');
    await daemon.untilLogged(/can only reload config when a file is provided using -c or --config/);
  });

  test('SIGUSR1 reopens the log file', async () => {
    const daemon = await start({ config: 'log_file: "server.log"\n' });
    const file = join(daemon.directory, 'server.log');
    expect(existsSync(file)).toBe(true);
    renameSync(file, `${file}.1`);
    const created = new Promise<void>((resolve) => {
      const watcher = watch(daemon.directory, () => {
        if (!existsSync(file)) return;
        watcher.close();
        resolve();
      });
    });
    daemon.kill('SIGUSR1');
    await created;
  });

  test('SIGUSR1 without a log file is answered in the log', async () => {
    const daemon = await start();
    daemon.kill('SIGUSR1');
    await daemon.untilLogged(/File log re-open ignored, not a file logger/);
    expect(daemon.log).toContain('Trapped "user defined signal 1" signal');
  });

  test('SIGUSR2 without clients ends the server at once', async () => {
    const daemon = await start();
    daemon.kill('SIGUSR2');
    expect(await daemon.exited()).toEqual({ code: 0, signal: null });
    expect(daemon.log).toContain('Trapped "user defined signal 2" signal');
    expect(daemon.log).toContain('Entering lame duck mode, stop accepting new clients');
  });

  test('SIGUSR2 tells clients, refuses new ones and ends when the last is closed', async () => {
    const daemon = await start({ config: 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1ms"\n' });
    const port = daemon.port;
    const connection = await client(daemon);
    const old = await client(daemon, { protocol: 0 });
    daemon.kill('SIGUSR2');
    await connection.expect(/^INFO .*"ldm":true/);
    await expect(RawClient.connect({ port })).rejects.toThrow(/ECONNREFUSED/);
    await connection.untilClosed();
    await old.untilClosed();
    expect(old.texts.filter((text) => text.includes('"ldm"'))).toEqual([]);
    expect(await daemon.exited()).toEqual({ code: 0, signal: null });
    expect(daemon.log).toContain('Closing existing clients');
  });

  test.each([
    ['reload', /Trapped "hangup" signal/],
    ['reopen', /Trapped "user defined signal 1" signal/],
  ])('--signal %s by pid', async (command, logged) => {
    const daemon = await start();
    expect(await runServer(['--signal', `${command}=${daemon.pid}`])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    await daemon.untilLogged(logged);
  });

  test('--signal quit by pid file', async () => {
    const daemon = await start({ config: 'pid_file: "server.pid"\n' });
    const pidFile = join(daemon.directory, 'server.pid');
    expect(await runServer(['-sl', `quit=${pidFile}`])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await daemon.exited()).toEqual({ code: 0, signal: null });
  });
});
