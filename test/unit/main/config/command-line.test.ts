import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../../src/main/config/command-line.ts';

const VERSION = { kind: 'print', stdout: 'nats-server: v2.15.1\n' };

describe('command line', () => {
  test.each([
    [['-v']],
    [['--version']],
    [['version']],
    [['VERSION']],
    [['--', 'version']],
    [['-p', '0x10', '-v']],
  ])('%j prints the version', (argv) => {
    expect(parseCommandLine(argv)).toEqual(VERSION);
  });

  test('help', () => {
    for (const argv of [['-h'], ['--help'], ['help'], ['-c', 'x', '-t', 'HELP']]) {
      const command = parseCommandLine(argv, 'nats-server');
      expect(command).toMatchObject({
        kind: 'print',
        stdout: expect.stringMatching(/^\nUsage: nats-server \[options\]\n/),
      });
    }
    expect(parseCommandLine(['--help_tls'])).toMatchObject({ stdout: expect.stringContaining('CurveP256') });
  });

  test.each([
    [['-p'], 'flag needs an argument: -p'],
    [['--signal'], 'flag needs an argument: -signal'],
    [['-p', 'abc'], 'invalid value "abc" for flag -p: parse error'],
    [['-p='], 'invalid value "" for flag -p: parse error'],
    [['-p', '08'], 'invalid value "08" for flag -p: parse error'],
    [['-p', '99999999999999999999'], 'invalid value "99999999999999999999" for flag -p: value out of range'],
    [['-m', '1.5'], 'invalid value "1.5" for flag -m: parse error'],
    [['--log_size_limit', '1k'], 'invalid value "1k" for flag -log_size_limit: parse error'],
    [['--x'], 'flag provided but not defined: -x'],
    [['---x'], 'bad flag syntax: ---x'],
    [['-='], 'bad flag syntax: -='],
    [['-D=maybe'], 'invalid boolean value "maybe" for -D: parse error'],
  ])('%j is refused with exit code 0', (argv, stderr) => {
    expect(parseCommandLine(argv)).toEqual({
      kind: 'error',
      stderr: `${stderr}\n`,
      stdout: expect.stringMatching(/^\nUsage: natsd \[options\]/),
      exitCode: 0,
    });
  });

  test.each([
    [['foo'], 'unrecognized command: "foo"'],
    [['-D', 'foo', '-p', 'x'], 'unrecognized command: "foo"'],
    [['-v=false', 'foo'], 'unrecognized command: "foo"'],
    [['-'], 'unrecognized command: "-"'],
    [['-t'], 'must specify [-c, --config] option to check configuration file syntax'],
    [['-p', '70000'], 'invalid port 70000: it must be between 1 and 65535, or -1 for a random one'],
    [['--log_format', 'xml'], "log_format must be 'text' or 'json', not \"xml\""],
    [['--shards', '-1'], 'shards must be between 0 and 256'],
  ])('%j is refused with exit code 1', (argv, stderr) => {
    expect(parseCommandLine(argv)).toEqual({
      kind: 'error',
      stderr: `nats-server: ${stderr}\n`,
      stdout: '',
      exitCode: 1,
    });
  });

  test('signals', () => {
    expect(parseCommandLine(['--signal', 'reload'])).toEqual({
      kind: 'signal',
      command: 'reload',
      target: '',
    });
    expect(parseCommandLine(['-sl=stop=/run/a=b.pid'])).toEqual({
      kind: 'signal',
      command: 'stop',
      target: '/run/a=b.pid',
    });
  });

  test('every flag that sets an option', () => {
    const argv = ['-a', 'h', '--port=-1', '-name', 'n', '-P', 'pid', '-m', '1', '-ms', '2', '-c', 'f'];
    argv.push('--client_advertise', 'ca', '--ports_file_dir', 'pd', '-l', 'log', '-T=false', '--logtime_utc');
    argv.push('-s', '-r', 'udp://a:1', '-DV', '--log_size_limit', '1_000', '--max_traced_msg_len', '0b11');
    argv.push('--profile', '010', '--shards', '3', '--log_format', 'json', '--auth', 'tok', '--pass', 'p');
    const command = parseCommandLine(argv);
    if (command.kind !== 'run') throw new Error(command.kind);
    expect({ ...command.flags.scalars }).toEqual({
      host: 'h',
      port: -1,
      server_name: 'n',
      pid_file: 'pid',
      http_port: 1,
      https_port: 2,
      client_advertise: 'ca',
      ports_file_dir: 'pd',
      log_file: 'log',
      logtime: false,
      logtime_utc: true,
      syslog: true,
      remote_syslog: 'udp://a:1',
      debug: true,
      trace: true,
      log_size_limit: 1000,
      max_traced_msg_len: 3,
      prof_port: 8,
      shards: 3,
      log_format: 'json',
    });
    expect(command.flags).toMatchObject({ configFile: 'f', user: '', password: 'p', token: 'tok' });
  });

  test('-t with a file checks it', () => {
    expect(parseCommandLine(['-t', '-c', 'f'])).toMatchObject({ kind: 'check', flags: { configFile: 'f' } });
  });

  test('any arguments give a command', () => {
    const names = fc.constantFrom(
      '-p',
      '--port',
      '-D',
      '-t',
      '-c',
      '--',
      '-',
      '-x',
      '-V=1',
      'help',
      '-sl',
      '=',
      '-p=',
    );
    const kinds = ['run', 'check', 'print', 'signal', 'error'];
    fc.assert(
      fc.property(fc.array(fc.oneof(names, fc.string()), { maxLength: 6 }), (argv) => {
        expect(kinds).toContain(parseCommandLine(argv).kind);
      }),
      { seed: 5, numRuns: 3000 },
    );
  });
});
