/** The process seen by shells and service managers: flags, exit codes, files (spec: config §4, §6). */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { runServer } from '../support/run-server.ts';
import { serverUnderTest } from '../support/server-command.ts';

const directory = mkdtempSync(join(tmpdir(), 'natsd-cli-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function configFile(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

/** Flags that keep a server which does start away from fixed ports. */
const LOOPBACK = ['-a', '127.0.0.1', '-p', '-1'];

describe('answers and exits', () => {
  test.each([
    '-v',
    '--v',
    '--version',
    '-version',
    'version',
    'VERSION',
  ])('%s prints the version', async (flag) => {
    expect(await runServer([flag])).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^nats-server: v2\.15\.\d+\n$/),
      stderr: '',
    });
  });

  test.each(['-h', '--help', 'help', 'HELP'])('%s prints the usage', async (flag) => {
    const { code, stdout, stderr } = await runServer([flag]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^\nUsage: \S+ \[options\]\n/);
    for (const option of [
      '--addr',
      '--port',
      '--config',
      '--signal',
      '--pid',
      '--tlscert',
      '--http_port',
      '--debug',
    ]) {
      expect(stdout).toContain(option);
    }
  });

  test.each([
    [['--nope'], 'flag provided but not defined: -nope\n'],
    [['-nope=1'], 'flag provided but not defined: -nope\n'],
    [['-p', 'abc'], 'invalid value "abc" for flag -p: parse error\n'],
    [['-p'], 'flag needs an argument: -p\n'],
    [['--config'], 'flag needs an argument: -config\n'],
  ])('%j is answered with the usage', async (args, message) => {
    const { code, stdout, stderr } = await runServer(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: message });
    expect(stdout).toMatch(/^\nUsage: /);
  });

  test.each([
    [['bogus'], 'nats-server: unrecognized command: "bogus"\n'],
    [['-t'], 'nats-server: must specify [-c, --config] option to check configuration file syntax\n'],
    [['-c', '/does/not/exist.conf'], 'nats-server: open /does/not/exist.conf: no such file or directory\n'],
    [['--signal', 'reload=99999999'], 'nats-server: \nsignal "reload" 99999999: no such process\n'],
    [['--signal', 'reload=abc'], 'nats-server: invalid pid: abc\n'],
    [['-sl', 'nonsense=99999999'], 'nats-server: unknown signal "nonsense"\n'],
  ])('%j is refused', async (args, stderr) => {
    expect(await runServer(args)).toEqual({ code: 1, stdout: '', stderr });
  });
});

describe('-t', () => {
  test('accepts a good configuration and names its digest', async () => {
    const file = configFile('good.conf', 'port: 4222');
    const digest = '797533eb';
    const { code, stdout, stderr } = await runServer(['-t', '-c', file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(
      new RegExp(`^nats-server: configuration file ${file} is valid \\(sha256:${digest}[0-9a-f]{56}\\)\n$`),
    );
  });

  test.each([
    ['unknown field', 'port: 4222\nno_such: 1\n', ':2:1: unknown field "no_such"'],
    ['syntax', 'port: 4222\naccounts {{\n', 'Parse error on line 3'],
    ['type', 'port: "x"\n', ':1:0: '],
    ['open string', 'server_name: "x\n', 'Parse error on line'],
    [
      'token and user',
      'authorization { token: a, user: b, password: c }\n',
      'Cannot have a user/pass and token',
    ],
    ['reserved account', 'accounts { "$G": {} }\n', '"$G" is a Reserved Account'],
    ['one half of a key pair', 'tls { cert_file: "x.pem" }\n', "missing 'key_file' in TLS configuration"],
    ['mapping', 'mappings { "a.*": "b.$2" }\n', 'Error adding mapping for "a.*" to "b.$2"'],
    ['sub tokens', 'max_subscription_tokens: 0\n', 'max_subscription_tokens'],
  ])('refuses: %s', async (name, text, message) => {
    const file = configFile(`bad-${name.replaceAll(' ', '-')}.conf`, text);
    const { code, stdout, stderr } = await runServer(['-t', '-c', file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^nats-server: /);
    expect(stderr).toContain(message);
  });
});

describe('refuses to start', () => {
  test('when the pid file cannot be written', async () => {
    const { code, stderr } = await runServer([...LOOPBACK, '--pid', join(directory, 'no', 'such', 'pid')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/\[FTL\] Could not write pidfile: /);
  });

  test('when the log file cannot be opened', async () => {
    const file = join(directory, 'no', 'such', 'log');
    const { code, stderr } = await runServer([...LOOPBACK, '-l', file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`error opening file: open ${file}: no such file or directory`);
  });

  test('when the port is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise<void>((resolve) => holder.once('listening', () => resolve()));
    const address = holder.address();
    const port = typeof address === 'object' ? address?.port : 0;
    try {
      const { code, stderr } = await runServer(['-a', '127.0.0.1', '-p', String(port)]);
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(`\\[FTL\\] Error listening on port: 127\\.0\\.0\\.1:${port}, ".+"`));
    } finally {
      holder.close();
    }
  });

  test('when max_payload exceeds max_pending', async () => {
    const file = configFile('payload.conf', 'max_payload: 2000\nmax_pending: 1000\n');
    const { code, stderr } = await runServer([...LOOPBACK, '-c', file]);
    expect(code).toBe(1);
    expect(stderr).toContain('nats-server: max_payload (2000) cannot be higher than max_pending (1000)');
  });

  test('when the lame duck grace period is not below the duration', async () => {
    const file = configFile('ldm.conf', 'lame_duck_duration: "30s"\nlame_duck_grace_period: "30s"\n');
    const { code, stderr } = await runServer([...LOOPBACK, '-c', file]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'lame duck grace period (30s) should be strictly lower than lame duck duration (30s)',
    );
  });
});

describe('a running server', () => {
  test('writes its pid and ports, removes only the ports at its end', async () => {
    const pidFile = join(directory, 'server.pid');
    const daemon = await Daemon.start({ flags: ['-P', pidFile, '-m', '-1'] });
    expect(readFileSync(pidFile, 'utf8')).toBe(String(daemon.pid));
    const portsFile = daemon.portsFile as string;
    expect(daemon.ports).toEqual({
      nats: [`nats://127.0.0.1:${daemon.port}`],
      monitoring: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)],
    });
    daemon.kill('SIGTERM');
    expect(await daemon.exited()).toEqual({ code: 0, signal: null });
    expect(existsSync(portsFile)).toBe(false);
    expect(readFileSync(pidFile, 'utf8')).toBe(String(daemon.pid));
    await daemon.stop();
  });

  test('logs in the format that tools read', async () => {
    const daemon = await Daemon.start({ config: 'server_name: logged\n' });
    await daemon.untilLogged(/Server is ready/);
    await daemon.stop();
    const lines = daemon.log.trimEnd().split('\n');
    const prefix = new RegExp(
      `^\\[${daemon.pid}\\] \\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{6} \\[(INF|WRN)\\] `,
    );
    for (const line of lines) expect(line).toMatch(prefix);
    const texts = lines.map((line) => line.replace(prefix, ''));
    expect(texts).toContain('  Name:     logged');
    expect(texts).toContain(`Listening for client connections on 127.0.0.1:${daemon.port}`);
    expect(texts.indexOf('Server is ready')).toBeGreaterThan(
      texts.findIndex((line) => line.startsWith('Starting ')),
    );
    expect(texts.some((line) => /^Using configuration file: .* \(sha256:[0-9a-f]{64}\)$/.test(line))).toBe(
      true,
    );
    expect(texts).toContain('Trapped "terminated" signal');
    expect(texts.slice(-2)).toEqual(['Initiating Shutdown...', 'Server Exiting..']);
  });

  test('writes its log to a file that others cannot read', async () => {
    const logFile = join(directory, 'server.log');
    const daemon = await Daemon.start({ flags: ['-l', logFile, '-T=false'] });
    const port = daemon.port;
    await daemon.stop();
    expect(daemon.log).toBe('');
    const text = readFileSync(logFile, 'utf8');
    expect(text).toContain(`[${daemon.pid}] [INF] Listening for client connections on 127.0.0.1:${port}\n`);
    expect(statSync(logFile).mode & 0o007).toBe(0);
  });

  test('flags win over the file', async () => {
    const daemon = await Daemon.start({
      config: 'server_name: from_file\nport: 1\nauthorization { user: file, password: file }\n',
      flags: ['--name', 'from_flag', '--user', 'flag', '--pass', 'secret'],
    });
    const client = await RawClient.connect({ port: daemon.port });
    expect((await client.info()).server_name).toBe('from_flag');
    expect(await client.handshake({ user: 'flag', pass: 'secret' })).toBe(true);
    const other = await RawClient.connect({ port: daemon.port });
    expect(await other.handshake({ user: 'file', pass: 'file' })).toBe(false);
    await client.end();
    await daemon.stop();
  });

  test('traces what clients send, without their secrets', async () => {
    const daemon = await Daemon.start({ flags: ['-DV', '--user', 'derek', '--pass', 'hunter2'] });
    const client = await RawClient.connect({ port: daemon.port });
    await client.handshake({ user: 'derek', pass: 'hunter2', name: 'tracer' });
    await client.sync('SUB trace.x 1\r\nPUB trace.x 5\r\nhello\r\nUNSUB 1\r\n');
    await daemon.untilLogged(/<<- \[UNSUB 1\]/);
    await client.end();
    await daemon.stop();
    expect(daemon.log).toMatch(/\[TRC\] 127\.0\.0\.1:\d+ - cid:\d+ - .*<<- \[SUB trace\.x 1\]/);
    expect(daemon.log).toMatch(/<<- \[PUB trace\.x 5\]/);
    expect(daemon.log).toMatch(/<<- MSG_PAYLOAD: \["hello"\]/);
    expect(daemon.log).toMatch(/->> \[MSG trace\.x 1 5\]/);
    expect(daemon.log).toMatch(/\[DBG\] .*Client connection c/);
    expect(daemon.log).not.toContain('hunter2');
  });

  test('runs through a wrapper named nats-server', async () => {
    const command = serverUnderTest();
    const wrapper = join(directory, 'nats-server');
    const words = [command.file, ...command.args].map((word) => `'${word}'`).join(' ');
    writeFileSync(wrapper, `#!/bin/sh\nexec ${words} "$@"\n`);
    chmodSync(wrapper, 0o755);
    const daemon = await Daemon.start({ command: { ...command, file: wrapper, args: [] } });
    const client = await RawClient.connect({ port: daemon.port });
    expect(await client.handshake()).toBe(true);
    await client.end();
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });
});
