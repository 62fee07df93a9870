import { expect, test } from 'vitest';
import { BufferPool } from '../../../../../src/shared/jetstream/store/buffer-pool.ts';
import { StoredMessage } from '../../../../../src/shared/jetstream/store/contract.ts';
import {
  BLOCK_MAX_BYTES,
  READ_WINDOW_BYTES,
  SPARE_BUFFERS_BYTES,
  TAIL_BYTES,
} from '../../../../../src/shared/jetstream/store/limits.ts';
import { WordBuffer } from '../../../../../src/shared/jetstream/store/record.ts';
import { draftOf } from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL } from './harness.ts';

const PAYLOAD_BYTES = 4000;
const LARGE = {
  segmentBytes: 8 * 1024 * 1024,
  logMaxBytes: 64 * 1024 * 1024,
  checkpointBytes: 8 * 1024 * 1024,
};

/** The sequence, repeated. */
function payloadOf(sequence: number): string {
  const unit = `${sequence} `;
  return unit.repeat(PAYLOAD_BYTES / unit.length);
}

test.each([
  TAIL_BYTES,
  READ_WINDOW_BYTES,
])('a buffer of %i bytes rests until all may be used again', (size) => {
  const pool = new BufferPool();
  const buffer = pool.take(size);
  pool.give(buffer);
  expect(pool.bytes).toBe(size);
  expect(pool.take(size) === buffer).toBe(false);
  pool.reuse();
  expect(pool.take(size) === buffer).toBe(true);
  expect(pool.bytes).toBe(0);
  expect(pool.take(size) === buffer).toBe(false);
});

test('buffers of other sizes, and more than there may be, are let go', () => {
  const pool = new BufferPool();
  pool.give(new WordBuffer(4096));
  expect(pool.bytes).toBe(0);
  for (let i = 0; i < (2 * SPARE_BUFFERS_BYTES) / TAIL_BYTES; i++) pool.give(new WordBuffer(TAIL_BYTES));
  expect(pool.bytes).toBe(SPARE_BUFFERS_BYTES);
});

test('messages stay what they are while buffers are used again', () => {
  const store = open(new SimulatedDisk(), { ...SMALL, ...LARGE, cacheBytes: TAIL_BYTES });
  const stream = create(store, { blockBytes: BLOCK_MAX_BYTES });
  const seen = new StoredMessage();
  const buffers = new Set<ArrayBufferLike>();
  let appended = 0;
  for (let turn = 0; turn < 60; turn++) {
    for (let i = 0; i < 100; i++) {
      const payload = payloadOf(++appended);
      const entry = { subject: 's', headers: '', payload, timestampMs: 1, timestampNanos: 0, ttlSeconds: 0 };
      expect(stream.append(draftOf(entry, 0))).toBe(appended);
      expect(stream.load(appended, seen)).toBe(true);
      buffers.add(seen.bytes.buffer);
    }
    // Read from the file, into a window.
    const old = 1 + ((turn * 97) % appended);
    expect(stream.load(old, seen)).toBe(true);
    const view = seen.payload();
    for (let i = 1; i < appended; i += 300) stream.load(i, new StoredMessage());
    store.commit(true);
    expect(Buffer.from(view).toString()).toBe(payloadOf(old));
    store.tick(1);
  }
  // 24 MB in buffers of 256 KB are 96, and each block begins with smaller ones.
  expect(buffers.size).toBeLessThan(80);
  for (let sequence = 1; sequence <= appended; sequence++) {
    expect(stream.load(sequence, seen)).toBe(true);
    expect(Buffer.from(seen.payload()).toString()).toBe(payloadOf(sequence));
  }
});
