import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { checksumOf } from '../../../../../src/shared/jetstream/store/checksum.ts';
import {
  type Store,
  StoredMessage,
  type StreamStore,
} from '../../../../../src/shared/jetstream/store/contract.ts';
import { isFailure, type StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import type { StoredStream } from '../../../../../src/shared/jetstream/store/stream.ts';
import { bytesOf, draftOf, textOf } from '../../../../simulation/compare.ts';
import { MachineCrash, SimulatedDisk } from '../../../../simulation/disk.ts';
import { create, open, SMALL, settle, tryOpen } from './harness.ts';

const message = new StoredMessage();

function put(stream: StreamStore, payload: string): number {
  const entry = { subject: 's', headers: '', payload, timestampMs: 1, timestampNanos: 0, ttlSeconds: 0 };
  return stream.append(draftOf(entry, 0));
}

/** A stream with a message that is on the disk. */
function withOneMessage(): { disk: SimulatedDisk; store: Store; s: StoredStream } {
  const disk = new SimulatedDisk();
  const store = open(disk);
  const s = create(store) as StoredStream;
  put(s, 'kept');
  store.commit(true);
  return { disk, store, s };
}

function codeOf(result: ReturnType<typeof tryOpen>): string {
  return isFailure(result) ? result.code : 'opened';
}

function checkpoint(store: Store): void {
  for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
}

/** @returns whether the crash came before the work was done */
function crashes(disk: SimulatedDisk, calls: number, work: () => void): boolean {
  disk.crashAfter = calls;
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof MachineCrash) return true;
    throw error;
  }
}

describe('a full disk', () => {
  test('refuses appends, lets removes, metadata and acknowledgements pass, and recovers', () => {
    const { disk, store, s } = withOneMessage();
    disk.capacityBytes = disk.usedBytes() + 200_000;
    let stored = 1;
    for (;;) {
      if (put(s, 'x'.repeat(2000)) < 0) break;
      stored++;
      expect(store.commit(true)).toBeNull();
      store.tick(stored * 1000);
      expect(stored).toBeLessThan(10_000);
    }
    expect(s.failure?.code).toBe('no_space');
    expect(s.failure?.message).toMatch(/no space|no room|log is full/);
    expect(store.stopped).toBeNull();
    expect(s.stopped).toBeNull();
    for (let i = 1; i <= 20; i++) expect(s.remove(i, false)).toBeGreaterThan(0);
    expect(s.putMetadata('config', bytesOf('new'))).toBe(true);
    expect(s.logConsumer('c', bytesOf('ack'))).toBe(true);
    expect(store.commit(true)).toBeNull();
    expect(s.load(stored, message)).toBe(true);
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    for (let at = 0; at < 200_000; at += 40_000) settle(store, 100_000_000 + at);
    expect(put(s, 'again')).toBe(stored + 1);
    expect(store.commit(true)).toBeNull();
    const after = open(disk.copy()).find('A', 'S')!;
    expect([after.messages, after.firstSeq, after.lastSeq]).toEqual([stored - 20 + 1, 21, stored + 1]);
    expect(textOf(after.getMetadata('config')!)).toBe('new');
  });

  test.each([
    ['without a byte left', 0],
    ['with room for less than a segment', 60_000],
  ])('%s, a start goes on in the spare segment, and a purge makes room', (_what, left) => {
    let disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    disk.capacityBytes = disk.usedBytes() + 400_000;
    let stored = 0;
    for (let at = 0; put(s, 'x'.repeat(2000)) > 0; at += 1000) {
      stored++;
      expect(store.commit(true)).toBeNull();
      for (let ticks = 0; ticks < 20; ticks++) store.tick(at);
    }
    expect(s.failure?.code).toBe('no_space');
    disk = disk.copy();
    disk.capacityBytes = disk.usedBytes() + left;
    const again = open(disk);
    const found = again.find('A', 'S')!;
    expect([found.messages, found.lastSeq]).toEqual([stored, stored]);
    expect(put(found, 'x'.repeat(2000))).toBe(-1);
    expect(found.failure?.code).toBe('no_space');
    expect(found.purge({ filter: null, beforeSeq: 0, keep: 0 })).toBe(stored);
    expect(again.commit(true)).toBeNull();
    for (let at = 0; at < 200_000; at += 40_000) settle(again, at);
    for (let i = 1; i <= 20; i++) {
      expect(put(found, 'x'.repeat(2000))).toBe(stored + i);
      expect(again.commit(true)).toBeNull();
      settle(again, 300_000);
    }
    const last = open(disk.copy()).find('A', 'S')!;
    expect([last.messages, last.lastSeq]).toEqual([20, stored + 20]);
  });

  test('with room for less than a segment a start takes appends again at once', () => {
    let disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    for (let i = 1; i <= 10; i++) put(s, 'x'.repeat(2000));
    store.commit(true);
    settle(store, 0);
    store.close();
    expect(disk.files().filter((path) => path.startsWith('log/'))).toHaveLength(2);
    for (let starts = 1; starts <= 3; starts++) {
      disk = disk.copy();
      disk.capacityBytes = disk.usedBytes() + 40_000;
      const again = open(disk);
      settle(again, 0);
      expect(put(again.find('A', 'S')!, 'again')).toBe(10 + starts);
      again.close();
    }
  });
});

describe('a failing disk', () => {
  test('a log that cannot be synced stops every change and is not retried; reads go on', () => {
    const { disk, store, s } = withOneMessage();
    const { syncedTicket } = store;
    disk.failSync = /^log\//;
    put(s, 'unknown');
    expect(store.commit(true)?.code).toBe('io');
    disk.failSync = null;
    expect(store.commit(true)?.code).toBe('io');
    expect(store.syncedTicket).toBe(syncedTicket);
    expect(put(s, 'more')).toBe(-1);
    expect(s.failure?.code).toBe('io');
    expect(s.remove(1, false)).toBe(-1);
    expect(s.load(1, message)).toBe(true);
    expect(store.stopped?.message).toContain('log');
    expect(store.close()?.code).toBe('io');
    expect(open(disk.copy()).find('A', 'S')!.messages).toBeGreaterThanOrEqual(1);
  });

  test.each([
    ['blocks', /00000001\.blk$/],
    ['the manifest', /00000001\/manifest/],
  ])('a sync of %s that fails stops that stream alone, and loses nothing', (_what, failSync) => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    const other = create(store, { name: 'T' });
    for (let i = 0; i < 10; i++) put(s, `m${i}`);
    store.commit(true);
    disk.failSync = failSync;
    checkpoint(store);
    disk.failSync = /streams\/00000001/;
    expect(s.stopped?.code).toBe('io');
    expect(put(s, 'no')).toBe(-1);
    expect(s.load(10, message)).toBe(true);
    for (let i = 0; i < 4000; i++) {
      expect(put(other, 'x'.repeat(300))).toBeGreaterThan(0);
      store.commit(true);
      store.tick(400_000 + i * 1000);
    }
    disk.failSync = null;
    const again = open(disk.copy());
    expect([again.find('A', 'S')!.messages, again.find('A', 'T')!.messages]).toEqual([10, 4000]);
    expect(put(again.find('A', 'S')!, 'yes')).toBe(11);
  });

  test('a sync of names that fails keeps the log, which alone knows the stream after a crash', () => {
    const { disk, store, s } = withOneMessage();
    disk.failSync = /^streams$/;
    checkpoint(store);
    expect(s.stopped?.code).toBe('io');
    expect(s.neededFrom).toBeGreaterThanOrEqual(0);
    expect(s.neededFrom).toBeLessThan(store.ticket);
  });

  test('a commit beside the thread promises nothing when its sync fails', () => {
    const { disk, store, s } = withOneMessage();
    const { syncedTicket } = store;
    put(s, 'unknown');
    expect(store.beginCommit()).toBeNull();
    expect(store.committing).toBe(true);
    disk.failSync = /^log\//;
    expect(store.pollCommit()).toBeNull();
    expect(store.pollCommit()?.code).toBe('io');
    disk.failSync = null;
    expect(store.beginCommit()?.code).toBe('io');
    expect(store.commit(true)?.code).toBe('io');
    expect(store.syncedTicket).toBe(syncedTicket);
    expect(put(s, 'more')).toBe(-1);
  });

  test('a block that cannot be read costs its messages, not the stream', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    for (let i = 0; i < 100; i++) put(s, 'x'.repeat(1000));
    store.close();
    disk.failRead = /00000001\.blk$/;
    const again = open(disk);
    const found = again.find('A', 'S')!;
    expect(found.load(100, message)).toBe(true);
    expect(found.load(1, message)).toBe(false);
    expect(again.takeReports().length).toBeGreaterThan(0);
    expect(put(found, 'on')).toBe(101);
  });
});

describe('a crash in the first checkpoint of a stream', () => {
  /** What is left of a stream of ten messages when one copy of its manifest has a durable name. */
  function half(): SimulatedDisk {
    for (let calls = 0; calls < 500; calls++) {
      const disk = new SimulatedDisk();
      const store = open(disk);
      const s = create(store);
      s.putMetadata('config', bytesOf('old'.repeat(1000)));
      for (let i = 0; i < 10; i++) put(s, `m${i}`);
      store.commit(true);
      if (!crashes(disk, calls, () => checkpoint(store))) break;
      const left = disk.crashed(new Prng(calls + 1));
      const manifests = left.files().filter((path) => path.includes('manifest'));
      if (manifests.length === 1 && left.content(manifests[0]!).length > 0) return left;
    }
    throw new Error('no crash leaves one manifest');
  }

  test('leaves one copy of the manifest; the other gets a durable name before both are trusted', () => {
    const disk = half();
    let calls = 0;
    for (let more = true; more; calls++) {
      for (let seed = 1; seed <= 6; seed++) {
        const second = disk.copy();
        const store = open(second);
        // Spare segments are made, whose names would take those of the manifests along.
        settle(store, 0);
        put(store.find('A', 'S')!, 'm10');
        store.commit(true);
        settle(store, 40_000);
        put(store.find('A', 'S')!, 'm11');
        // Of several sectors, so that a crash can tear it.
        store.find('A', 'S')!.putMetadata('config', bytesOf('new'.repeat(1000)));
        store.commit(true);
        more = crashes(second, calls, () => settle(store, 80_000));
        const last = open(second.crashed(new Prng(seed * 1000 + calls)));
        expect(last.takeReports()).toEqual([]);
        expect(last.find('A', 'S')?.messages).toBe(12);
      }
    }
    expect(calls).toBeGreaterThan(5);
  });
});

describe('a process killed before its spare segment was synced', () => {
  function fill(stream: StreamStore, messages: number): void {
    for (let i = 0; i < messages; i++) expect(put(stream, 'x'.repeat(2000))).toBeGreaterThan(0);
  }

  /** Twenty messages, and spare segments of which the last one is not on the disk. */
  function killed(spares: number): SimulatedDisk {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    fill(s, 10);
    store.commit(true);
    // One is kept from here on, and another one made when the segment is half full.
    if (spares === 2) settle(store, 0);
    fill(s, 10);
    store.commit(true);
    // Fills the file and begins its sync, of which only another tick would take note.
    store.tick(0);
    expect(disk.files().filter((path) => path.startsWith('log/'))).toHaveLength(1 + spares);
    return disk.killed();
  }

  test('leaves one that the next start puts to use only when its length is on the disk', () => {
    let calls = 0;
    for (let more = true; more; calls++) {
      const disk = killed(1);
      more = crashes(disk, calls, () => {
        const store = open(disk);
        put(store.find('A', 'S')!, 'y');
        store.commit(true);
      });
      for (let seed = 1; seed <= 8; seed++) {
        const after = disk.crashed(new Prng(seed * 1000 + calls));
        const again = open(after);
        expect(again.takeReports()).toEqual([]);
        expect(again.find('A', 'S')!.messages).toBeGreaterThanOrEqual(more ? 20 : 21);
        expect(again.find('A', 'S')!.lastSeq).toBeLessThanOrEqual(21);
        // Nor is it found to be no segment once it is not needed any more.
        checkpoint(again);
        expect(open(after.copy()).takeReports()).toEqual([]);
      }
    }
    expect(calls).toBeGreaterThan(5);
  });

  test('leaves one that is whole when the log comes to it later', () => {
    const disk = killed(2);
    const store = open(disk);
    const s = store.find('A', 'S')!;
    fill(s, 20);
    store.commit(true);
    const first = () => disk.content('log/000002.log')[0];
    expect(first()).toBe(0);
    fill(s, 20);
    store.commit(false);
    expect(first()).not.toBe(0);
    for (let seed = 1; seed <= 20; seed++) {
      const again = open(disk.crashed(new Prng(seed)));
      expect(again.takeReports()).toEqual([]);
      expect(again.find('A', 'S')!.messages).toBeGreaterThanOrEqual(40);
      expect(again.find('A', 'S')!.lastSeq).toBeLessThanOrEqual(60);
    }
  });
});

describe('opening', () => {
  test('a directory in use is refused', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    expect(codeOf(tryOpen(disk))).toBe('locked');
    store.close();
    expect(codeOf(tryOpen(disk))).toBe('opened');
  });

  test('somebody else’s directory is refused untouched', () => {
    const disk = new SimulatedDisk();
    disk.makeDirectory('$G/streams/S/msgs');
    disk.open('$G/streams/S/meta.inf', true).write(bytesOf('{}'), 0, 2, 0);
    const before = disk.files();
    const result = tryOpen(disk);
    expect(codeOf(result)).toBe('format');
    expect(isFailure(result) && result.message).toContain('left untouched');
    expect(disk.files()).toEqual(before);
    expect(disk.lock()).toBeNull();
  });

  test.each([
    'root.a',
    'streams/00000001/manifest.a',
  ])('another version of %s is refused untouched', (path) => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    put(create(store), 'x');
    store.close();
    const bytes = disk.content(path);
    // Version 2, rightly sealed: the checksum is what tells it from damage.
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    words[1] = 2;
    reseal(bytes, words);
    const before = disk.files().map((name) => `${name} ${textOf(disk.content(name))}`);
    expect(codeOf(tryOpen(disk))).toBe('format');
    expect(disk.files().map((name) => `${name} ${textOf(disk.content(name))}`)).toEqual(before);
  });

  test('a crash at each call of the first opening leaves something that opens', () => {
    for (let calls = 0; ; calls++) {
      const disk = new SimulatedDisk();
      disk.crashAfter = calls;
      try {
        tryOpen(disk);
        break;
      } catch {
        expect(codeOf(tryOpen(disk.copy()))).toBe('opened');
      }
      expect(calls).toBeLessThan(200);
    }
  });
});

describe('encryption', () => {
  const KEYED: StoreOptions = { ...SMALL, cipher: 'aes-256-gcm', key: 'first' };

  function filled(): SimulatedDisk {
    const disk = new SimulatedDisk();
    const store = open(disk, KEYED);
    const s = create(store, { name: 'secretname' });
    s.putMetadata('config', bytesOf('secretconfig'));
    for (let i = 0; i < 50; i++) put(s, 'secretpayload'.repeat(50));
    store.commit(true);
    checkpoint(store);
    put(s, 'secretpayload');
    store.commit(true);
    return disk.copy();
  }

  test('no text is readable in any file', () => {
    const disk = filled();
    expect(disk.files().some((path) => path.endsWith('.blk'))).toBe(true);
    for (const path of disk.files()) expect(textOf(disk.content(path))).not.toContain('secret');
  });

  test('the wrong key and no key are refused, the right one opens', () => {
    const disk = filled();
    expect(codeOf(tryOpen(disk, { ...KEYED, key: 'other' }))).toBe('key');
    expect(codeOf(tryOpen(disk, { ...KEYED, cipher: null }))).toBe('key');
    expect(codeOf(tryOpen(disk, KEYED))).toBe('opened');
  });

  test.each(['aes-256-gcm', 'chacha20-poly1305'] as const)('a new key takes over, cipher %s', (cipher) => {
    const disk = filled();
    const changed: StoreOptions = { ...KEYED, cipher, key: 'second', previousKey: 'first' };
    const store = open(disk, changed);
    expect(store.find('A', 'secretname')!.messages).toBe(51);
    store.close();
    const after = open(disk, { ...changed, previousKey: '' });
    expect(after.takeReports()).toEqual([]);
    const s = after.find('A', 'secretname')!;
    for (let i = 1; i <= 51; i++) expect(s.load(i, message)).toBe(true);
    after.close();
    expect(codeOf(tryOpen(disk, KEYED))).toBe('key');
  });

  test('after a crash in the middle of a change of keys both are needed once more', () => {
    const disk = filled();
    const changed: StoreOptions = { ...KEYED, key: 'second', previousKey: 'first' };
    const store = open(disk, changed);
    put(store.find('A', 'secretname')!, 'under the second key');
    store.commit(true);
    const crashed = disk.copy();
    for (const key of ['first', 'second', 'third']) {
      const before = crashed.files().map((path) => [path, textOf(crashed.content(path))]);
      const refused = tryOpen(crashed, { ...KEYED, key });
      expect(codeOf(refused)).toBe('key');
      expect(crashed.files().map((path) => [path, textOf(crashed.content(path))])).toEqual(before);
    }
    const again = open(crashed, changed);
    expect([again.find('A', 'secretname')!.messages, again.takeReports()]).toEqual([52, []]);
    again.close();
    expect(codeOf(tryOpen(crashed, { ...KEYED, key: 'second' }))).toBe('opened');
  });

  test('a crash right after encryption was switched on leaves a store that needs the key', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    put(create(store), 'old');
    store.close();
    const keyed = open(disk, KEYED);
    put(keyed.find('A', 'S')!, 'new');
    keyed.commit(true);
    const crashed = disk.copy();
    expect(codeOf(tryOpen(crashed, { ...KEYED, cipher: null }))).toBe('key');
    expect(open(crashed, KEYED).find('A', 'S')!.messages).toBe(2);
  });

  test.each([
    ['that was stopped', true, false],
    ['that crashed', false, false],
    ['with compression', true, true],
  ])('a plain store %s becomes an encrypted one, its old messages included', (_name, stopped, compression) => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store, { compression });
    for (let i = 0; i < 100; i++) put(s, `secretpayload ${i} `.repeat(50));
    if (stopped) store.close();
    else {
      store.commit(true);
      checkpoint(store);
      put(s, 'secret that only the log has');
      store.commit(true);
    }
    const messages = s.messages;
    const after = disk.copy();
    let keyed = open(after, KEYED);
    const found = keyed.find('A', 'S')!;
    expect(found.messages).toBe(messages);
    put(found, 'secret and new');
    settle(keyed, 1);
    keyed.close();
    keyed = open(after, KEYED);
    settle(keyed, 1);
    keyed.close();
    const blocks = after.files().filter((path) => path.endsWith('.blk'));
    expect(blocks.length).toBeGreaterThan(1);
    for (const path of blocks) expect(textOf(after.content(path))).not.toContain('secret');
    const again = open(after, KEYED);
    const last = again.find('A', 'S')!;
    expect([last.messages, last.lastSeq, again.takeReports()]).toEqual([messages + 1, messages + 1, []]);
    for (let i = 1; i <= messages + 1; i++) expect(last.load(i, message)).toBe(true);
  });
});

/** Seals an envelope anew. */
function reseal(bytes: Uint8Array, words: Int32Array): void {
  words[6] = 0;
  words[7] = 0;
  const stored = words[2]!;
  const length = (32 + stored + 7) & ~7;
  const [lo, hi] = checksumOf(bytes, length, 0x454e5631);
  words[6] = lo;
  words[7] = hi;
}
