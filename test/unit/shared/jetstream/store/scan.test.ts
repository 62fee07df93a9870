import { expect, test } from 'vitest';
import { StoredMessage } from '../../../../../src/shared/jetstream/store/contract.ts';
import { draftOf, textOf } from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL, settle } from './harness.ts';

/**
 * The open block of a stream has no footer: after a restart its index is built from its records, read in windows of 128 KB. A
 * record may lie across the edge of a window at any place, its header too.
 */

const message = new StoredMessage();
/** A record takes 248 bytes here, and its place shifts by 8. */
const SHIFTS = 31;
/** More than two windows. */
const MESSAGES = 1200;

function payload(sequence: number): string {
  return String(sequence).padEnd(200, '.');
}

test.each([0, 100_000])('records across the edges of read windows, %i bytes damaged', (damaged) => {
  for (let shift = 0; shift < SHIFTS; shift++) {
    const disk = new SimulatedDisk();
    const options = SMALL;
    const store = open(disk, options);
    const stream = create(store, { blockBytes: 4 << 20 });
    const entry = { subject: 's', headers: '', timestampMs: 1000, timestampNanos: 0, ttlSeconds: 0 };
    stream.append(draftOf({ ...entry, payload: 'x'.repeat(shift * 8) }, 0));
    for (let i = 2; i <= MESSAGES; i++) {
      stream.append(draftOf({ ...entry, payload: payload(i) }, 0));
      if (i % 100 !== 0) continue;
      store.commit(true);
      settle(store, i);
    }
    store.close();
    const copy = disk.copy();
    if (damaged > 0) copy.content('streams/00000001/00000001.blk').fill(0x55, damaged, damaged + 1);
    const again = open(copy, options);
    const recovered = again.find('A', 'S')!;
    const missing: number[] = [];
    for (let i = 2; i <= MESSAGES; i++) {
      if (!recovered.load(i, message)) missing.push(i);
      else expect(textOf(message.payload())).toBe(payload(i));
    }
    expect(missing).toHaveLength(damaged > 0 ? 1 : 0);
    if (damaged === 0) expect(again.takeReports()).toEqual([]);
  }
});
