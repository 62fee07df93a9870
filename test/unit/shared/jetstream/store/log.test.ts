import { describe, expect, test } from 'vitest';
import { TAG_BYTES } from '../../../../../src/shared/jetstream/store/cipher.ts';
import {
  type Store,
  StoredMessage,
  type StreamStore,
} from '../../../../../src/shared/jetstream/store/contract.ts';
import { FRAME_BYTES } from '../../../../../src/shared/jetstream/store/limits.ts';
import {
  alignSector,
  decodeSegmentHeader,
  FRAME_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../../../../../src/shared/jetstream/store/log-layout.ts';
import type { StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import { RECORD_HEADER_BYTES } from '../../../../../src/shared/jetstream/store/record.ts';
import { draftOf } from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL, settle } from './harness.ts';

const SEGMENT_BYTES = 2 * FRAME_BYTES;
const SUBJECT = 's';
const PART_BYTES = 8 * 1024;

/** Stores a message whose record has so many bytes in the log, a multiple of 8. */
function putRecord(stream: StreamStore, recordBytes: number): void {
  const payload = 'x'.repeat(recordBytes - RECORD_HEADER_BYTES - SUBJECT.length);
  const entry = { subject: SUBJECT, headers: '', payload, timestampMs: 1, timestampNanos: 0, ttlSeconds: 0 };
  expect(stream.append(draftOf(entry, 0))).toBeGreaterThan(0);
}

/** Bytes from the last record to the end of the first segment. */
function bytesLeft(store: Store, segmentBytes = SEGMENT_BYTES): number {
  return segmentBytes - store.ticket;
}

/** The segment of the log that begins there. */
function segmentAt(disk: SimulatedDisk, start: number): Uint8Array {
  const segments = disk.files().filter((path) => path.startsWith('log/'));
  return segments
    .map((path) => disk.content(path))
    .find((bytes) => decodeSegmentHeader(bytes)?.start === start)!;
}

describe('a segment of the log', () => {
  test.each([null, 'aes-256-gcm'] as const)('ends with a full frame, cipher %s', (cipher) => {
    const options: StoreOptions = {
      ...SMALL,
      segmentBytes: SEGMENT_BYTES,
      logMaxBytes: 8 * SEGMENT_BYTES,
      checkpointBytes: 8 * SEGMENT_BYTES,
      cipher,
      key: 'secret',
    };
    const disk = new SimulatedDisk();
    const store = open(disk, options);
    const stream = create(store);
    while (bytesLeft(store) > FRAME_BYTES + 8 * PART_BYTES) {
      putRecord(stream, PART_BYTES);
      expect(store.commit(true)).toBeNull();
    }
    for (let staged = 0; staged + 2 * PART_BYTES < FRAME_BYTES; staged += PART_BYTES)
      putRecord(stream, PART_BYTES);
    // It would end the segment, did it not also fill the frame: then it needs room for a frame's header and for padding.
    putRecord(stream, bytesLeft(store) - TAG_BYTES);
    putRecord(stream, PART_BYTES);
    expect(store.commit(true)).toBeNull();
    for (const path of disk.files().filter((name) => name.startsWith('log/')))
      expect(disk.content(path).length).toBe(SEGMENT_BYTES);
    const again = open(disk.copy(), options);
    expect(again.takeReports()).toEqual([]);
    const found = again.find('A', 'S')!;
    expect(found.lastSeq).toBe(stream.lastSeq);
    const message = new StoredMessage();
    for (let sequence = 1; sequence <= stream.lastSeq; sequence++)
      expect(found.load(sequence, message)).toBe(true);
  });

  test('that was never synced, behind a checkpoint at the end of another, is no damage when it is lost', () => {
    const size = SMALL.segmentBytes!;
    const disk = new SimulatedDisk();
    const store = open(disk);
    const stream = create(store);
    while (bytesLeft(store, size) > 3 * PART_BYTES) {
      putRecord(stream, PART_BYTES);
      expect(store.commit(true)).toBeNull();
    }
    putRecord(stream, size - alignSector(store.ticket) - FRAME_HEADER_BYTES - TAG_BYTES);
    expect(store.commit(true)).toBeNull();
    expect(alignSector(store.ticket)).toBe(size);
    for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
    const kept = stream.lastSeq;
    for (let bytes = 0; bytes <= size; bytes += PART_BYTES) {
      putRecord(stream, PART_BYTES);
      expect(store.commit(false)).toBeNull();
    }
    const crashed = disk.copy();
    expect(segmentAt(crashed, 2 * size)).toBeDefined();
    segmentAt(crashed, size).fill(1, 0, SEGMENT_HEADER_BYTES);
    for (let start = 0; start < 3; start++) {
      const again = open(crashed.killed());
      expect(again.takeReports()).toEqual([]);
      const found = again.find('A', 'S')!;
      expect(found.lastSeq).toBe(kept + start);
      putRecord(found, PART_BYTES);
      expect(again.commit(true)).toBeNull();
    }
  });
});
