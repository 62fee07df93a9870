import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writePidFile } from '../../../../src/main/supervise/pid-file.ts';
import {
  type InterfaceTable,
  listenerUrls,
  removePortsFile,
  writePortsFile,
} from '../../../../src/main/supervise/ports-file.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-files-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the pid file', () => {
  test('holds the pid and nothing else', () => {
    const path = join(directory, 'natsd.pid');
    writePidFile(path, 1234);
    writePidFile(path, 56);
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['56', 0o600]);
  });

  test('that cannot be written is an error in nats-server’s words', () => {
    expect(() => writePidFile(directory, 1)).toThrow(new Error(`open ${directory}: is a directory`));
  });
});

describe('the ports file', () => {
  const noPorts = { nats: [], monitoring: [], cluster: [], profile: [], websocket: [] };

  test('lists the listeners there are, on one line', () => {
    const path = writePortsFile(directory, 77, {
      ...noPorts,
      nats: ['nats://127.0.0.1:4222'],
      monitoring: ['http://127.0.0.1:8222'],
    });
    expect(path).toBe(join(directory, 'nats-server_77.ports'));
    expect(readdirSync(directory)).toEqual(['nats-server_77.ports']);
    expect(readFileSync(path, 'utf8')).toBe(
      '{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}',
    );
    removePortsFile(directory, 77);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('that cannot be written or removed', () => {
    const missing = join(directory, 'no');
    const path = join(missing, 'nats-server_77.ports');
    expect(() => writePortsFile(missing, 77, noPorts)).toThrow(
      new Error(`Error writing ports file (${path}): open ${path}: no such file or directory`),
    );
    expect(() => removePortsFile(missing, 77)).toThrow(
      new Error(`Error cleaning up ports file ${path}: remove ${path}: no such file or directory`),
    );
  });
});

describe('URLs of a listener', () => {
  const address = (text: string) => ({
    address: text,
    netmask: '',
    mac: '',
    internal: false,
    cidr: null,
    ...(text.includes(':') ? { family: 'IPv6' as const, scopeid: 0 } : { family: 'IPv4' as const }),
  });
  const interfaces: InterfaceTable = {
    lo: [address('127.0.0.1'), address('::1')],
    eth0: [address('192.0.2.2'), address('fd00::2')],
  };

  test('a given host is taken as it is', () => {
    expect(listenerUrls('tls', 'example.org', 4222, interfaces)).toEqual(['tls://example.org:4222']);
    expect(listenerUrls('nats', 'fd00::9', 4222, interfaces)).toEqual(['nats://[fd00::9]:4222']);
  });

  test.each(['0.0.0.0', '::', ''])('"%s" becomes every address, loopback included', (host) => {
    expect(listenerUrls('nats', host, 14821, interfaces)).toEqual([
      'nats://127.0.0.1:14821',
      'nats://[::1]:14821',
      'nats://192.0.2.2:14821',
      'nats://[fd00::2]:14821',
    ]);
  });
});
