import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const unitText = readFileSync(new URL('../../../deploy/natsd.service', import.meta.url), 'utf8');
const hasSystemdAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;

/** Values of a setting, in order. */
function settings(name: string): string[] {
  return [...unitText.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1]!);
}

function seconds(span: string): number {
  const parts = /^(\d+)(s|min)$/.exec(span);
  if (parts === null) throw new Error(`not a time span: ${span}`);
  return Number(parts[1]) * (parts[2] === 'min' ? 60 : 1);
}

describe('deploy/natsd.service', () => {
  test('readiness is told by the main process', () => {
    expect([settings('Type'), settings('NotifyAccess')]).toEqual([['notify'], ['main']]);
    expect(settings('ExecStart')).toEqual(['/usr/bin/natsd -c /etc/natsd/natsd.conf']);
    expect(settings('ExecReload')).toEqual(['/bin/kill -HUP $MAINPID']);
  });

  test('stopping is lame duck mode with time to finish, then force', () => {
    expect(settings('KillSignal')).toEqual(['SIGUSR2']);
    expect(settings('SendSIGKILL')).toEqual(['yes']);
    const defaultLameDuckSeconds = 120;
    expect(seconds(settings('TimeoutStopSec')[0]!)).toBeGreaterThan(defaultLameDuckSeconds);
  });

  test("the service may write where the example configuration has JetStream's store", () => {
    const configuration = new URL('../../../deploy/jetstream-mqtt-websocket.conf', import.meta.url);
    const storeDir = /^ *store_dir: "(.*)"$/m.exec(readFileSync(configuration, 'utf8'))![1];
    expect([settings('ProtectSystem'), settings('StateDirectory')]).toEqual([['strict'], ['natsd']]);
    expect(storeDir).toBe('/var/lib/natsd');
  });

  test('nothing forbids what the compiler of Node does', () => {
    expect(settings('MemoryDenyWriteExecute')).toEqual([]);
    expect(settings('ProcSubset')).toEqual([]);
  });

  test('interface addresses stay readable', () => {
    expect(settings('RestrictAddressFamilies')[0]).toContain('AF_NETLINK');
  });

  test.skipIf(!hasSystemdAnalyze)('systemd accepts every line', () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-unit-'));
    const path = join(directory, 'natsd.service');
    // The check wants executables that exist on the machine.
    writeFileSync(path, unitText.replace('ExecStart=/usr/bin/natsd', 'ExecStart=/bin/true'));
    const result = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
    rmSync(directory, { recursive: true });
    expect({ status: result.status, output: result.stdout + result.stderr }).toEqual({
      status: 0,
      output: '',
    });
  });
});
