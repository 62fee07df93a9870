import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DiskError } from '../../../../src/shared/jetstream/store/disk.ts';
import { FileDisk } from '../../../../src/workers/persistence/file-disk.ts';
import {
  WRITE_SLOT_BYTES,
  WRITE_SLOTS,
  WriteThread,
} from '../../../../src/workers/persistence/write-thread.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const ENTRY = new URL('../../../../dist/write.js', import.meta.url);
const KIB = 1024;
const PAGE = 4 * KIB;

let directory: string;
let path: string;
/** Threads that were asked for. */
let started: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-write-'));
  path = join(directory, 'f');
  started = 0;
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function newDisk(): FileDisk {
  return new FileDisk(directory, null, (pageBytes) => {
    started++;
    return new WriteThread(pageBytes, ENTRY);
  });
}

function filled(length: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length }, () => random.below(256));
}

describe('the thread that writes blocks', () => {
  test('writes from more places than it has slots, in order', () => {
    writeFileSync(path, '');
    const fd = openSync(path, 'r+');
    const thread = new WriteThread(PAGE, ENTRY);
    const expected = Buffer.alloc(5 * WRITE_SLOTS * 4 * KIB);
    const begun = Array.from({ length: 5 * WRITE_SLOTS }, (_, i) => {
      const source = filled(5 * KIB, i);
      expected.set(source.subarray(7, 7 + 4 * KIB), i * 4 * KIB);
      return thread.write(fd, -1, source, 7, 4 * KIB, i * 4 * KIB);
    });
    for (const write of begun) write.wait();
    expect(begun.map(({ problem }) => problem)).toEqual(begun.map(() => null));
    expect(readFileSync(path).equals(expected)).toBe(true);
    closeSync(fd);
  });

  test('tells of a write that failed, and of no other', () => {
    writeFileSync(path, '');
    const [readOnly, fd] = [openSync(path, 'r'), openSync(path, 'r+')];
    const thread = new WriteThread(PAGE, ENTRY);
    const source = filled(4 * KIB, 1);
    const begun = [fd, readOnly, fd].map((to, i) => thread.write(to, -1, source, 0, 4 * KIB, i * 4 * KIB));
    for (const write of begun) write.wait();
    expect(begun.map(({ problem }) => problem)).toEqual([null, 'EBADF', null]);
    closeSync(readOnly);
    closeSync(fd);
  });
});

describe('a file written behind', () => {
  test('reads as what was written, at any place and in any pieces', () => {
    const disk = newDisk();
    const file = disk.open('f', true);
    const random = seededRandom(5);
    let model = Buffer.alloc(0);
    for (let round = 0; round < 60; round++) {
      const position = random.below(2) === 0 ? model.length : random.below(model.length + 1);
      const length = 1 + random.below(3 * WRITE_SLOT_BYTES);
      const source = filled(length + 100, round);
      const end = position + length;
      if (end > model.length) model = Buffer.concat([model, Buffer.alloc(end - model.length)]);
      model.set(source.subarray(9, 9 + length), position);
      if (random.below(4) === 0) file.write(source, 9, length, position);
      else file.writeBehind(source, 9, length, position);
      if (random.below(3) === 0) continue;
      const from = random.below(model.length);
      const wanted = random.below(model.length - from);
      const read = new Uint8Array(wanted);
      expect(file.read(read, 0, wanted, from)).toBe(wanted);
      expect(Buffer.compare(read, model.subarray(from, from + wanted))).toBe(0);
    }
    expect(file.size()).toBe(model.length);
    file.sync();
    expect(readFileSync(path).equals(model)).toBe(true);
    file.truncate(10);
    file.close();
    expect(readFileSync(path).equals(model.subarray(0, 10))).toBe(true);
    // Where the file system takes no writes past the page cache, none was tried.
    expect(started).toBe(disk.direct ? 1 : 0);
  });

  test('is an ordinary one when it is small, or the disk nearly full', () => {
    const disk = newDisk();
    const file = disk.open('f', true);
    file.writeBehind(filled(60 * KIB, 1), 0, 60 * KIB, 0);
    disk.freeBytes = () => KIB * KIB;
    file.writeBehind(filled(WRITE_SLOT_BYTES, 2), 0, WRITE_SLOT_BYTES, 0);
    expect(started).toBe(0);
    expect(readFileSync(path).equals(filled(WRITE_SLOT_BYTES, 2))).toBe(true);
    file.close();
  });

  test('that fails makes every later sync fail, of whatever kind', ({ skip }) => {
    const over = { poll: () => true, wait: () => undefined, problem: 'ENOSPC', refusedDirect: false };
    const thread = { write: () => over } as unknown as WriteThread;
    const disk = new FileDisk(directory, null, () => thread);
    const file = disk.open('f', true);
    file.writeBehind(filled(WRITE_SLOT_BYTES, 1), 0, WRITE_SLOT_BYTES, 0);
    skip(!disk.direct, 'the file system takes no writes past the page cache');
    const syncs = [
      () => file.sync(),
      () => file.startSync(),
      () => file.beginSync(),
      () => file.writeSynced(filled(512, 1), 512, 0),
      () => file.beginWriteSynced(filled(512, 1), 512, 0),
    ];
    for (const sync of syncs) {
      let thrown: unknown = null;
      try {
        sync();
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(DiskError);
      expect([(thrown as DiskError).code, (thrown as DiskError).message]).toEqual(['io', 'write f: ENOSPC']);
    }
    file.close();
  });
});
