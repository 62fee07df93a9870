import { describe, expect, test } from 'vitest';
import {
  type DamageReport,
  type Store,
  StoredMessage,
  type StreamStore,
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
const MESSAGES = 8;
const NAMES = ['one', 'two'];

const message = new StoredMessage();

function payload(name: string, sequence: number): string {
  return `${name}-${sequence}-`.repeat(3);
}

function put(stream: StreamStore, sequence: number): void {
  const entry = { headers: '', timestampMs: 1000 + sequence, timestampNanos: 0, ttlSeconds: 0 };
  const text = payload(stream.name, sequence);
  stream.append(draftOf({ ...entry, subject: `s.${sequence % 3}`, payload: text }, 0));
}

function fill(store: Store, compression: boolean): void {
  for (const name of NAMES) {
    const stream = create(store, { name, compression });
    stream.putMetadata('config', bytesOf(`config of ${name}`));
    for (let i = 1; i <= MESSAGES; i++) put(stream, i);
    stream.logConsumer('c', bytesOf('state'));
    store.commit(true);
    store.tick(0);
  }
}

/** Everything is in the log alone. */
function logged(options: StoreOptions): SimulatedDisk {
  const disk = new Simulated();
  const store = open(disk, options);
  fill(store, false);
  settle(store, 0);
  return disk.copy();
}

/** All but the last messages are in blocks, closed and with a footer, compressed if they should be. */
function sealed(disk: SimulatedDisk, options: StoreOptions, compression: boolean): Store {
  const store = open(disk, options);
  fill(store, compression);
  for (const stream of store.streams()) stream.truncate(MESSAGES - 1);
  store.commit(true);
  for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
  for (const stream of store.streams()) put(stream, MESSAGES);
  store.commit(true);
  return store;
}

/** Everything is in blocks and manifests. */
function checkpointed(options: StoreOptions, compression = false): SimulatedDisk {
  const disk = new Simulated();
  sealed(disk, options, compression).close();
  return disk.copy();
}

/** The last messages are in the log, all others in blocks that a checkpoint left. */
function halfway(options: StoreOptions, compression = false): SimulatedDisk {
  const disk = new Simulated();
  settle(sealed(disk, options, compression), 200_000);
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

/** Paths with `#` for each number, and the kinds of blocks there are. */
function kindsOf(disk: SimulatedDisk): string[] {
  const paths = disk
    .files()
    .filter((path) => path !== 'lock' && disk.content(path).some((byte) => byte !== 0));
  return [...new Set(paths.map((path) => path.replaceAll(/\d+/g, '#')))].sort();
}

const FILES = ['log/#.log', 'root.a', 'root.b'];
const ALL_FILES = [...FILES, 'streams/#/#.blk', 'streams/#/manifest.a', 'streams/#/manifest.b'];

describe.each([
  ['in the log', logged, FILES, [false]],
  ['in blocks', checkpointed, ALL_FILES, [false, true]],
  ['in blocks and the log', halfway, ALL_FILES, [false]],
] as const)('a small store, %s', (_name, make, files, compressions) => {
  const kinds = compressions.flatMap((compression) =>
    ([null, 'chacha20-poly1305'] as const).map((cipher) => [
      `${compression ? 'compressed, ' : ''}${cipher === null ? 'plain' : 'encrypted'}`,
      compression,
      cipher,
    ]),
  ) as [string, boolean, StoreOptions['cipher']][];

  test.each(kinds)('every byte flipped, %s', { timeout: 240_000 }, (_kind, compression, cipher) => {
    const options = { ...TINY, cipher, key: 'k' };
    const original = make(options, compression);
    expect(kindsOf(original)).toEqual(files);
    const blocks = original.files().filter((path) => path.endsWith('.blk'));
    const isReadable = blocks.some((path) => textOf(original.content(path)).includes(payload('one', 1)));
    expect(isReadable).toBe(blocks.length > 0 && !compression && cipher === null);
    expect(examine(original.copy(), options, 'as it was').reports).toEqual([]);
    let flips = 0;
    for (const path of original.files()) {
      if (path === 'lock') continue;
      for (const at of positions(original.content(path))) {
        const disk = original.copy();
        disk.content(path)[at]! ^= 1 << (at % 8);
        const { lost } = examine(disk, options, `${path} at ${at}`);
        if (lost > mostLost(path, compression, cipher))
          throw new Error(`${path} at ${at}: ${lost} messages lost`);
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

/** Messages that one flipped bit may cost. */
function mostLost(path: string, compression: boolean, cipher: StoreOptions['cipher']): number {
  // An encrypted log frame without its header can't be read: it holds what one commit wrote.
  if (cipher !== null && path.startsWith('log/')) return MESSAGES;
  // What is compressed together is lost together.
  return compression && path.endsWith('.blk') ? MESSAGES : 1;
}

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
