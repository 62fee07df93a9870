import { describe, expect, test } from 'vitest';
import { TAG_BYTES } from '../../../../../src/shared/jetstream/store/cipher.ts';
import {
  type Store,
  StoredMessage,
  type StreamStore,
} from '../../../../../src/shared/jetstream/store/contract.ts';
import { FRAME_BYTES } from '../../../../../src/shared/jetstream/store/limits.ts';
import type { StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import { RECORD_HEADER_BYTES } from '../../../../../src/shared/jetstream/store/record.ts';
import { draftOf } from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL } from './harness.ts';

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
function bytesLeft(store: Store): number {
  return SEGMENT_BYTES - store.ticket;
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
});
