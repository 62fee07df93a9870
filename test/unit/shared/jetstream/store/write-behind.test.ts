import { expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { DiskError, type DiskFile } from '../../../../../src/shared/jetstream/store/disk.ts';
import { BLOCK_MAX_BYTES, TRICKLE_BYTES } from '../../../../../src/shared/jetstream/store/limits.ts';
import type { StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import { draftOf } from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL } from './harness.ts';

const MEGABYTE = 1024 * 1024;
/** No checkpoint comes in between. */
const LARGE: StoreOptions = {
  ...SMALL,
  segmentBytes: 16 * MEGABYTE,
  logMaxBytes: 64 * MEGABYTE,
  checkpointBytes: 32 * MEGABYTE,
};

/** A disk that tells of syncs of blocks that are begun beside others' work. */
class WatchedDisk extends SimulatedDisk {
  readonly begun: { path: string; size: number }[] = [];
  isFailing = false;

  override open(path: string, createFile: boolean): DiskFile {
    const file = super.open(path, createFile);
    if (!path.endsWith('.blk')) return file;
    const start = file.startSync.bind(file);
    file.startSync = () => {
      if (this.isFailing) throw new DiskError('io', `sync ${path}: input/output error`);
      this.begun.push({ path, size: file.size() });
      return start();
    };
    return file;
  }
}

function putMegabytes(disk: SimulatedDisk, megabytes: number): ReturnType<typeof create> {
  const store = open(disk, LARGE);
  const stream = create(store, { blockBytes: BLOCK_MAX_BYTES });
  const payload = 'x'.repeat(60_000);
  const entry = { subject: 's', headers: '', payload, timestampMs: 1, timestampNanos: 0, ttlSeconds: 0 };
  for (let bytes = 0; bytes < megabytes * MEGABYTE; bytes += payload.length) {
    if (stream.append(draftOf(entry, 0)) < 0) break;
    store.commit(true);
    store.tick(1);
  }
  return stream;
}

test('what is written behind is synced by portions, long before a checkpoint', () => {
  const disk = new WatchedDisk();
  putMegabytes(disk, 12);
  const sizes = new Map<string, number>();
  expect(disk.begun.length).toBe(4);
  for (const { path, size } of disk.begun) {
    const grown = size - (sizes.get(path) ?? 0);
    expect(grown).toBeGreaterThanOrEqual(TRICKLE_BYTES);
    expect(grown).toBeLessThan(TRICKLE_BYTES + MEGABYTE);
    sizes.set(path, size);
  }
});

test('a sync of a portion that fails stops the stream, and nothing acknowledged is lost', () => {
  const disk = new WatchedDisk();
  disk.isFailing = true;
  const stream = putMegabytes(disk, 10);
  const { lastSeq } = stream;
  expect(stream.stopped?.code).toBe('io');
  const again = open(disk.crashed(new Prng(1)), LARGE);
  expect(again.streams()[0]?.lastSeq).toBe(lastSeq);
});
