import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MessageDraft, StoredMessage } from '../../../../src/shared/jetstream/store/contract.ts';
import { DiskError } from '../../../../src/shared/jetstream/store/disk.ts';
import { isFailure, openStore } from '../../../../src/shared/jetstream/store/open.ts';
import { poolCompressor } from '../../../../src/workers/persistence/compressor.ts';
import { FileDisk } from '../../../../src/workers/persistence/file-disk.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-disk-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function open(cipher: 'aes-256-gcm' | null = null) {
  const host = {
    disk: new FileDisk(directory),
    random: (bytes: number) => randomBytes(bytes),
    compressor: poolCompressor,
  };
  const options = { segmentBytes: 256 * 1024, checkpointBytes: 64 * 1024, cipher, key: 'k', previousKey: '' };
  return openStore(host, options);
}

describe('files', () => {
  test('are written, read, cut and removed', async () => {
    const disk = new FileDisk(directory);
    disk.makeDirectory('a/b');
    const file = disk.open('a/b/f', true);
    file.write(new TextEncoder().encode('hello world'), 6, 5, 2);
    expect(file.size()).toBe(7);
    const target = new Uint8Array(10);
    expect(file.read(target, 1, 9, 0)).toBe(7);
    expect(new TextDecoder().decode(target)).toBe('\0\0\0world\0\0');
    file.truncate(4);
    expect(file.size()).toBe(4);
    file.sync();
    const pending = file.startSync();
    while (!pending.poll()) await new Promise((resolve) => setImmediate(resolve));
    disk.syncDirectory('a/b');
    disk.rename('a/b/f', 'a/g');
    expect(disk.list('a')).toEqual(['b', 'g']);
    file.close();
    disk.unlink('a/g');
    disk.removeDirectory('a/b');
    expect(disk.list('a')).toEqual([]);
    expect(disk.list('nowhere')).toEqual([]);
    expect(disk.freeBytes()).toBeGreaterThan(0);
  });

  test('more can be open than descriptors are kept', () => {
    const disk = new FileDisk(directory);
    const files = Array.from({ length: 700 }, (_, i) => disk.open(`f${i}`, true));
    files.forEach((file, i) => {
      file.write(new Uint8Array([i & 255]), 0, 1, 0);
    });
    const byte = new Uint8Array(1);
    files.forEach((file, i) => {
      file.read(byte, 0, 1, 0);
      expect(byte[0]).toBe(i & 255);
      file.close();
    });
  });

  test('what the system says becomes a code', () => {
    const disk = new FileDisk(directory);
    expect(() => disk.open('missing', false)).toThrow(DiskError);
    try {
      disk.open('missing', false);
    } catch (error) {
      expect((error as DiskError).code).toBe('not_found');
      expect((error as DiskError).message).toContain('missing');
    }
  });
});

describe('the lock', () => {
  test('holds until it is given back, also within this process', () => {
    const disk = new FileDisk(directory);
    expect(disk.lock()).toBeNull();
    expect(new FileDisk(directory).lock()).toBe(`process ${process.pid}`);
    disk.unlock(false);
    expect(new FileDisk(directory).lock()).toBeNull();
  });

  test('of a process that is gone, or of another one with its number, is taken over', async () => {
    const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
    await once(child, 'exit');
    writeFileSync(join(directory, 'lock'), `${child.pid} \n`);
    expect(new FileDisk(directory).lock()).toBeNull();
    writeFileSync(join(directory, 'lock'), `${process.pid} another-boot/1\n`);
    expect(new FileDisk(directory).lock()).toBeNull();
    writeFileSync(join(directory, 'lock'), 'garbage');
    expect(new FileDisk(directory).lock()).toBeNull();
  });

  test('of a live process is respected', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await once(child, 'spawn');
    writeFileSync(join(directory, 'lock'), `${child.pid} \n`);
    expect(new FileDisk(directory).lock()).toBe(`process ${child.pid}`);
    child.stdin!.end();
    await once(child, 'exit');
  });
});

test.each([null, 'aes-256-gcm'] as const)('a store on real files, cipher %s', async (cipher) => {
  const store = open(cipher);
  if (isFailure(store)) throw new Error(store.message);
  const spec = {
    account: 'A',
    name: 'S',
    storage: 'file',
    compression: true,
    firstSeq: 0,
    blockBytes: 64_000,
  } as const;
  const stream = store.createStream(spec)!;
  const draft = new MessageDraft();
  for (let i = 1; i <= 2000; i++) {
    draft.setSubject(`s.${i % 7}`);
    draft.setPayload(new TextEncoder().encode(`payload ${i} `.repeat(20)));
    draft.timestampMs = i;
    expect(stream.append(draft)).toBe(i);
    if (i % 100 !== 0) continue;
    expect(store.commit(true)).toBeNull();
    for (let step = 0; step < 20; step++) store.tick(i * 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(store.syncedTicket).toBeGreaterThanOrEqual(store.ticket);
  expect(store.close()).toBeNull();
  const again = open(cipher);
  if (isFailure(again)) throw new Error(again.message);
  expect(again.takeReports()).toEqual([]);
  const found = again.find('A', 'S')!;
  const message = new StoredMessage();
  expect([found.messages, found.subjects]).toEqual([2000, 7]);
  for (let i = 1; i <= 2000; i++) {
    expect(found.load(i, message)).toBe(true);
    expect(new TextDecoder().decode(message.payload())).toBe(`payload ${i} `.repeat(20));
  }
  expect(again.close()).toBeNull();
});
