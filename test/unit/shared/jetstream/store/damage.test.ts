import { describe, expect, test } from 'vitest';
import {
  type DamageReport,
  type Store,
  StoredMessage,
} from '../../../../../src/shared/jetstream/store/contract.ts';
import { isFailure, type StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import { bytesOf, draftOf, textOf } from '../../../../simulation/compare.ts';
import type { SimulatedDisk } from '../../../../simulation/disk.ts';
import { SimulatedDisk as Simulated } from '../../../../simulation/disk.ts';
import { create, open, SMALL, settle, tryOpen } from './harness.ts';

/**
 * Every byte of a small store is flipped, every file cut at every length, one at a time: the store opens, loses at most what was
 * in the damaged place, says which messages that were, and gives no sequence out again.
 */

const TINY: StoreOptions = { ...SMALL, segmentBytes: 8192, checkpointBytes: 1 << 20 };
const MESSAGES = 12;
const NAMES = ['one', 'two'];

const message = new StoredMessage();

function payload(name: string, sequence: number): string {
  return `${name}-${sequence}-`.repeat(4);
}

function fill(store: Store): void {
  for (const name of NAMES) {
    const stream = create(store, { name });
    stream.putMetadata('config', bytesOf(`config of ${name}`));
    for (let i = 1; i <= MESSAGES; i++) {
      const entry = { headers: '', timestampMs: 1000 + i, timestampNanos: 0, ttlSeconds: 0 };
      stream.append(draftOf({ ...entry, subject: `s.${i % 3}`, payload: payload(name, i) }, 0));
    }
    stream.logConsumer('c', bytesOf('state'));
    store.commit(true);
    store.tick(0);
  }
}

/** Everything is in the log alone. */
function logged(options: StoreOptions): SimulatedDisk {
  const disk = new Simulated();
  const store = open(disk, options);
  fill(store);
  settle(store, 0);
  return disk.copy();
}

/** Everything is in blocks and manifests; the first block is closed and has a footer. */
function checkpointed(options: StoreOptions): SimulatedDisk {
  const disk = new Simulated();
  const store = open(disk, options);
  fill(store);
  for (const stream of store.streams()) stream.truncate(MESSAGES - 1);
  for (const stream of store.streams()) {
    const entry = { headers: '', timestampMs: 2000, timestampNanos: 0, ttlSeconds: 0 };
    stream.append(draftOf({ ...entry, subject: 's.0', payload: payload(stream.name, MESSAGES) }, 0));
  }
  store.close();
  return disk.copy();
}

interface Outcome {
  lost: number;
  reported: Set<string>;
  reports: DamageReport[];
}

/** Opens a damaged store, reads everything, and checks what must hold whatever the damage. */
function examine(disk: SimulatedDisk, options: StoreOptions, what: string): Outcome {
  const store = tryOpen(disk, options);
  if (isFailure(store)) throw new Error(`${what}: ${store.message}`);
  const missing: string[] = [];
  const found = store.takeReports();
  for (const name of NAMES) {
    const stream = store.find('A', name);
    if (stream === null) {
      // Only with the log that made it, and not without a word.
      if (what.startsWith('log/') && found.some(({ file }) => file.startsWith('log'))) continue;
      throw new Error(`${what}: stream ${name} is gone`);
    }
    for (let i = 1; i <= MESSAGES; i++) {
      if (!stream.load(i, message)) missing.push(`${name} ${i}`);
      else if (textOf(message.payload()) !== payload(name, i))
        throw new Error(`${what}: ${name} ${i} differs`);
    }
    if (stream.lastSeq < MESSAGES) throw new Error(`${what}: ${name} would use ${stream.lastSeq + 1} again`);
    const next = draftOf(
      { subject: 's.0', headers: '', payload: 'new', timestampMs: 9000, timestampNanos: 0, ttlSeconds: 0 },
      0,
    );
    if (stream.append(next) <= MESSAGES) throw new Error(`${what}: ${name} cannot go on`);
  }
  if (store.commit(true) !== null) throw new Error(`${what}: cannot commit`);
  const reports = [...found, ...store.takeReports()];
  const reported = new Set<string>();
  for (const { stream, firstSeq, lastSeq } of reports) {
    for (let i = Math.max(1, firstSeq); i <= Math.min(lastSeq, MESSAGES); i++) reported.add(`${stream} ${i}`);
  }
  for (const name of missing) {
    if (!reported.has(name)) throw new Error(`${what}: ${name} is missing and not reported`);
  }
  return { lost: missing.length, reported, reports };
}

/** Bytes worth flipping: all but long stretches of zeros, of which some. */
function positions(bytes: Uint8Array): number[] {
  const result: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const near = bytes.subarray(Math.max(0, i - 8), i + 9).some((byte) => byte !== 0);
    if (near || i % 256 === 0) result.push(i);
  }
  return result;
}

describe.each([
  ['in the log', logged],
  ['in blocks', checkpointed],
])('a small store, %s', (_name, make) => {
  test.each([
    ['plain', null],
    ['encrypted', 'chacha20-poly1305'],
  ] as const)('every byte flipped, %s', (_kind, cipher) => {
    const options = { ...TINY, cipher, key: 'k' };
    const original = make(options);
    expect(examine(original.copy(), options, 'as it was').reports).toEqual([]);
    let flips = 0;
    for (const path of original.files()) {
      if (path === 'lock') continue;
      for (const at of positions(original.content(path))) {
        const disk = original.copy();
        disk.content(path)[at]! ^= 1 << (at % 8);
        const { lost } = examine(disk, options, `${path} at ${at}`);
        // An encrypted log frame without its header can't be read: it holds what one commit wrote.
        const most = cipher !== null && path.startsWith('log/') ? MESSAGES : 1;
        if (lost > most) throw new Error(`${path} at ${at}: ${lost} messages lost`);
        flips++;
      }
    }
    expect(flips).toBeGreaterThan(1000);
  });

  test('every file cut', () => {
    const original = make(TINY);
    let cuts = 0;
    for (const path of original.files()) {
      if (path === 'lock') continue;
      const { length } = original.content(path);
      for (let keep = 0; keep < length; keep += keep < 4096 ? 37 : 509) {
        const disk = original.copy();
        disk.open(path, false).truncate(keep);
        examine(disk, TINY, `${path} cut at ${keep}`);
        cuts++;
      }
    }
    expect(cuts).toBeGreaterThan(100);
  });
});

test('a damaged block is put aside and the rest of it is served from a new one', () => {
  const disk = checkpointed(TINY);
  const path = disk.files().find((name) => name.endsWith('.blk'))!;
  disk.content(path)[64 + 50]! ^= 1;
  const store = open(disk, TINY);
  const stream = store.find('A', 'one')!;
  expect(stream.load(1, message)).toBe(false);
  expect(stream.lost().sequences).toEqual([1]);
  store.commit(true);
  for (let at = 0; at < 400_000; at += 40_000) settle(store, at);
  expect(disk.files()).toContain(`${path}.quarantine`);
  expect(disk.files()).not.toContain(path);
  for (let i = 2; i <= MESSAGES; i++) expect(stream.load(i, message)).toBe(true);
  store.close();
  const again = open(disk, TINY);
  expect(again.takeReports()).toEqual([]);
  expect(again.find('A', 'one')!.messages).toBe(MESSAGES - 1);
});
