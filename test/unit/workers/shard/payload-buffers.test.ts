import { describe, expect, test } from 'vitest';
import { WORD_SLACK_BYTES } from '../../../../src/shared/base/limits.ts';
import { PayloadBufferPool } from '../../../../src/workers/shard/payload-buffers.ts';

describe('payload buffers', () => {
  test('hold what was asked for and slack, and waste less than half', () => {
    const pool = new PayloadBufferPool();
    for (let bytes = 16_385; bytes < 5_000_000; bytes = Math.floor(bytes * 1.13)) {
      const { length } = pool.take(bytes).bytes;
      expect(length).toBeGreaterThanOrEqual(bytes + WORD_SLACK_BYTES);
      if (bytes > 32 * 1024) expect(length).toBeLessThanOrEqual((bytes + WORD_SLACK_BYTES) * 1.5);
    }
  });

  test('every size around the borders of the classes', () => {
    const pool = new PayloadBufferPool();
    for (const border of [24, 32, 48, 64, 96, 128, 1024, 1536].map((kilobytes) => kilobytes * 1024)) {
      for (let bytes = border - WORD_SLACK_BYTES - 2; bytes <= border + 2; bytes++)
        expect(pool.take(bytes).bytes.length).toBeGreaterThanOrEqual(bytes + WORD_SLACK_BYTES);
    }
  });

  test('a released buffer is used again for its class, and only once', () => {
    const pool = new PayloadBufferPool();
    const first = pool.take(100_000);
    expect(pool.take(100_000)).not.toBe(first);
    first.release();
    expect(pool.take(1_000_000)).not.toBe(first);
    expect(pool.take(99_000)).toBe(first);
    expect(pool.take(99_000)).not.toBe(first);
  });

  test('free memory is bounded', () => {
    const pool = new PayloadBufferPool();
    const buffers = Array.from({ length: 40 }, () => pool.take(1_500_000));
    for (const buffer of buffers) buffer.release();
    const again = new Set(Array.from({ length: 40 }, () => pool.take(1_500_000)));
    const kept = buffers.filter((buffer) => again.has(buffer));
    expect(kept.length * kept[0]!.bytes.length).toBeLessThanOrEqual(32 * 1024 * 1024);
    expect(kept.length).toBeGreaterThan(15);
  });

  test('view and bytes are the same memory', () => {
    const { bytes, view } = new PayloadBufferPool().take(50_000);
    view.setInt32(4, 0x01020304, true);
    expect([...bytes.subarray(4, 8)]).toEqual([4, 3, 2, 1]);
  });
});
