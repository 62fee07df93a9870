import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SinkLogger } from '../../../../src/main/log/logger.ts';
import {
  formatLocalMessage,
  formatNetworkMessage,
  openLocalSyslog,
  openRemoteSyslog,
  SyslogError,
} from '../../../../src/main/log/syslog.ts';
import { encodeUnixAddress, UnixSocketError } from '../../../../src/main/log/unix-datagram.ts';
import { canReceiveDatagrams, spawnDatagramReceiver } from '../datagram-receiver.ts';

const identity = { tag: 'nats-server', pid: 56, epochMs: () => new Date(2026, 10, 1, 2, 5, 16).getTime() };
const LEVELS = { debug: true, trace: true };

/** What a server gets until its connection ends. */
function receiveAll(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.once('connection', (socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text));
    });
  });
}

describe('layout', () => {
  test('local: daemon facility, padded day, no host', () => {
    expect(formatLocalMessage(identity, 24, 'notice', 'Server is ready')).toBe(
      '<29>Nov  1 02:05:16 nats-server[56]: Server is ready\n',
    );
  });

  test('network: kernel facility, RFC 3339 and host', () => {
    const line = formatNetworkMessage(identity, 'vm', 'fatal', 'x');
    expect(line).toMatch(/^<2>2026-11-01T02:05:16(Z|[+-]\d\d:\d\d) vm nats-server\[56\]: x\n$/);
  });

  test('severities', () => {
    const priorities = (['notice', 'trace', 'debug', 'warn', 'error', 'fatal'] as const).map(
      (level) => /^<(\d+)>/.exec(formatLocalMessage(identity, 24, level, ''))?.[1],
    );
    expect(priorities).toEqual(['29', '29', '31', '28', '27', '26']);
  });
});

describe('remote', () => {
  test('udp', async () => {
    const server = createSocket('udp4');
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    const sink = await openRemoteSyslog(`udp://127.0.0.1:${server.address().port}`, identity);
    new SinkLogger(sink, LEVELS).warn('hello');
    const [message] = await once(server, 'message');
    expect(String(message)).toContain(` ${hostname()} nats-server[56]: hello\n`);
    expect(String(message)).toMatch(/^<4>/);
    await sink.close();
    server.close();
  });

  test('tcp, everything written before the end', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const received = receiveAll(server);
    const sink = await openRemoteSyslog(
      `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
      identity,
    );
    const logger = new SinkLogger(sink, LEVELS);
    for (let i = 0; i < 100; i++) logger.error(`line ${i}`);
    await logger.close();
    const lines = (await received).trimEnd().split('\n');
    expect([lines.length, lines.at(-1)?.endsWith('nats-server[56]: line 99')]).toEqual([100, true]);
    server.close();
  });

  test('unix, in the local layout', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-syslog-'));
    const server = createServer().listen(join(directory, 's'));
    await once(server, 'listening');
    const received = receiveAll(server);
    const sink = await openRemoteSyslog(`unix://${join(directory, 's')}`, identity);
    sink.write('notice', 'hello');
    await sink.close();
    expect(await received).toBe('<5>Nov  1 02:05:16 nats-server[56]: hello\n');
    server.close();
    rmSync(directory, { recursive: true });
  });

  test.each([
    ['foo://x:1', 'error invalid network type: "foo"'],
    ['udp://127.0.0.1', 'error connecting to syslog: "dial udp: address 127.0.0.1: missing port in address"'],
    ['127.0.0.1:5', 'parse "127.0.0.1:5": first path segment in URL cannot contain colon'],
    ['udp://', 'error connecting to syslog: "dial udp: missing address"'],
  ])('%s is refused', async (address, message) => {
    await expect(openRemoteSyslog(address, identity)).rejects.toThrow(new SyslogError(message));
  });

  test('a daemon that is not there is refused', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    await expect(openRemoteSyslog(`tcp://127.0.0.1:${port}`, identity)).rejects.toThrow(
      `error connecting to syslog: "dial tcp 127.0.0.1:${port}: connect: connection refused"`,
    );
  });
});

describe.skipIf(process.platform !== 'linux')('local', () => {
  test('nobody there', async () => {
    await expect(openLocalSyslog(identity, ['/nonexistent/log'])).rejects.toThrow(
      new SyslogError('error connecting to syslog: "Unix syslog delivery error"'),
    );
  });

  test('a stream socket is taken when there is no datagram socket', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-syslog-'));
    const path = join(directory, 'log');
    const server = createServer().listen(path);
    await once(server, 'listening');
    const received = receiveAll(server);
    const sink = await openLocalSyslog(identity, [path]);
    sink.write('error', 'hello');
    await sink.close();
    expect(await received).toBe('<27>Nov  1 02:05:16 nats-server[56]: hello\n');
    server.close();
    rmSync(directory, { recursive: true });
  });

  test.skipIf(!canReceiveDatagrams)('datagrams reach a daemon', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-syslog-'));
    const path = join(directory, 'log');
    const daemon = spawnDatagramReceiver(path);
    await daemon.ready;
    const sink = await openLocalSyslog(identity, [path]);
    sink.write('notice', 'one');
    sink.write('warn', 'two');
    expect(await daemon.messages(2)).toEqual([
      '<29>Nov  1 02:05:16 nats-server[56]: one\n',
      '<28>Nov  1 02:05:16 nats-server[56]: two\n',
    ]);
    await sink.close();
    daemon.stop();
    rmSync(directory, { recursive: true });
  });
});

describe('socket addresses', () => {
  test('a path ends in a zero, an abstract name begins with one', () => {
    expect([...encodeUnixAddress('/a', 'linux')]).toEqual([1, 0, 0x2f, 0x61, 0]);
    expect([...encodeUnixAddress('@a', 'linux')]).toEqual([1, 0, 0, 0x61]);
    expect([...encodeUnixAddress('/a', 'darwin')]).toEqual([5, 1, 0x2f, 0x61, 0]);
  });

  test('a name that does not fit is refused', () => {
    expect(() => encodeUnixAddress('x'.repeat(108))).toThrow(UnixSocketError);
    expect(() => encodeUnixAddress('')).toThrow(UnixSocketError);
  });
});
