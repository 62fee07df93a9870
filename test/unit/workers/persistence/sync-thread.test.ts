import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDoorbells } from '../../../../src/shared/ring/doorbell.ts';
import { FileDisk } from '../../../../src/workers/persistence/file-disk.ts';
import { SyncThread, sharedPages } from '../../../../src/workers/persistence/sync-thread.ts';

const ENTRY = new URL('../../../../dist/sync.js', import.meta.url);
const SECTOR = 512;
const ZEROS = new Uint8Array(64 * SECTOR);

/** Whether the file system takes whole sectors past the page cache and nothing else: some take everything, or nothing. */
function refusesParts(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'natsd-direct-'));
  const name = join(place, 'f');
  writeFileSync(name, ZEROS);
  try {
    const fd = openSync(name, constants.O_RDWR | constants.O_DIRECT);
    writeSync(fd, filled(1), 0, SECTOR, SECTOR);
    writeSync(fd, filled(1), 0, 10, 5);
    return false;
  } catch (error) {
    return readFileSync(name)[SECTOR] === 1 && (error as NodeJS.ErrnoException).code === 'EINVAL';
  } finally {
    rmSync(place, { recursive: true });
  }
}

const isStrict = refusesParts();

let directory: string;
let path: string;
let thread: SyncThread;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-sync-'));
  path = join(directory, 'f');
  writeFileSync(path, ZEROS);
  thread = new SyncThread(createDoorbells(1), 0, ENTRY);
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function filled(byte: number): Uint8Array {
  return new Uint8Array(sharedPages(1)).fill(byte);
}

function expectBytes(byte: number, from: number, to: number): void {
  const expected = Buffer.from(ZEROS).fill(byte, from, to);
  expect(readFileSync(path).equals(expected)).toBe(true);
}

describe('the thread that syncs', () => {
  test('writes from buffers that it has not seen before, in turn', () => {
    const fd = openSync(path, 'r+');
    for (let round = 1; round <= 6; round++) {
      const buffer = filled(round);
      const pending = thread.writeSynced(fd, -1, buffer, 4 * SECTOR, SECTOR);
      pending.wait();
      expect([pending.isDone(), pending.problem()]).toEqual([true, null]);
      expectBytes(round, SECTOR, 5 * SECTOR);
      buffer.fill(round + 100);
      thread.writeSynced(fd, -1, buffer, 4 * SECTOR, SECTOR).wait();
      expectBytes(round + 100, SECTOR, 5 * SECTOR);
    }
    closeSync(fd);
  });

  test.runIf(isStrict)('makes an ordinary write of what can not go past the page cache', () => {
    const fd = openSync(path, 'r+');
    const directFd = openSync(path, constants.O_RDWR | constants.O_DIRECT);
    const whole = thread.writeSynced(fd, directFd, filled(1), 2 * SECTOR, SECTOR);
    whole.wait();
    expect([whole.problem(), whole.refusedDirect()]).toEqual([null, false]);
    expectBytes(1, SECTOR, 3 * SECTOR);
    writeFileSync(path, ZEROS);
    const part = thread.writeSynced(fd, directFd, filled(2), 100, 7);
    part.wait();
    expect([part.problem(), part.refusedDirect()]).toEqual([null, true]);
    expectBytes(2, 7, 107);
    closeSync(fd);
    closeSync(directFd);
  });

  test('tells what failed, of a write and of a sync', () => {
    const readOnly = openSync(path, 'r');
    const write = thread.writeSynced(readOnly, -1, filled(1), SECTOR, 0);
    write.wait();
    expect(write.problem()).toBe('EBADF');
    closeSync(readOnly);
    const sync = thread.sync(openSync('/dev/null', 'r'));
    sync.wait();
    expect(sync.problem()).toBe('EINVAL');
    expectBytes(0, 0, 0);
  });
});

describe.each(['beside', 'on'])('a file written and synced %s this thread', (where) => {
  test.runIf(isStrict)('is written past the page cache until that is refused', () => {
    const disk = new FileDisk(directory, where === 'beside' ? thread : null);
    const file = disk.open('f', false);
    const write = (source: Uint8Array, length: number, position: number) => {
      if (where === 'beside') file.beginWriteSynced(source, length, position).wait();
      else file.writeSynced(source, length, position);
    };
    const source = new Uint8Array(disk.sharedMemory(1)).fill(3);
    write(source, SECTOR, SECTOR);
    expectBytes(3, SECTOR, 2 * SECTOR);
    expect(disk.direct).toBe(true);
    file.write(ZEROS, 0, ZEROS.length, 0);
    write(source, 10, 5);
    expectBytes(3, 5, 15);
    expect(disk.direct).toBe(false);
    write(source, SECTOR, 0);
    expectBytes(3, 0, SECTOR);
    file.close();
  });
});
