import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import {
  StoredMessage,
  type StreamStore,
  TTL_NEVER,
} from '../../../../../src/shared/jetstream/store/contract.ts';
import {
  answerDifference,
  bytesOf,
  draftOf,
  modelOf,
  streamDifference,
  textOf,
} from '../../../../simulation/compare.ts';
import { SimulatedDisk } from '../../../../simulation/disk.ts';
import { type ModelMessage, ModelStream } from '../../../../simulation/model.ts';
import { create, open, SMALL, settle } from './harness.ts';

const message = new StoredMessage();

function text(subject: string, payload: string, extra: Partial<ModelMessage> = {}): ModelMessage {
  return { subject, headers: '', payload, timestampMs: 1000, timestampNanos: 0, ttlSeconds: 0, ...extra };
}

function put(stream: StreamStore, subject: string, payload = 'p', extra: Partial<ModelMessage> = {}): number {
  return stream.append(draftOf(text(subject, payload, extra), 0));
}

const KINDS = [
  ['memory', 'memory', null, false],
  ['file', 'file', null, false],
  ['compressed file', 'file', null, true],
  ['file under ChaCha20', 'file', 'chacha20-poly1305', false],
  ['compressed file under AES', 'file', 'aes-256-gcm', true],
] as const;

describe.each(KINDS)('%s', (_name, storage, cipher, compression) => {
  const options = { ...SMALL, cipher, key: 'k', cacheBytes: 1, indexCacheBytes: 1 };

  function stream(): StreamStore {
    return create(open(new SimulatedDisk(), options), { storage, compression });
  }

  test('a fresh stream is empty, with and without a first sequence', () => {
    const store = open(new SimulatedDisk(), options);
    const plain = create(store, { storage, compression });
    expect([plain.firstSeq, plain.lastSeq, plain.messages, plain.bytes, plain.deleted]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    const later = create(store, { storage, compression, name: 'L', firstSeq: 100 });
    expect([later.firstSeq, later.lastSeq]).toEqual([100, 99]);
    expect(put(later, 'a')).toBe(100);
    expect(later.purge({ filter: null, beforeSeq: 0, keep: 0 })).toBe(1);
    expect([later.firstSeq, later.lastSeq]).toEqual([101, 100]);
  });

  test('what was loaded stays as it is until its memory may be used again', () => {
    const store = open(new SimulatedDisk(), options);
    const s = create(store, { storage, compression });
    const payload = (sequence: number) => `${sequence} `.repeat(300);
    for (let sequence = 1; sequence <= 300; sequence++) put(s, 'a', payload(sequence));
    for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
    const buffers = new Set<ArrayBufferLike>();
    for (let round = 0; round < 3; round++) {
      const loaded = Array.from({ length: 300 }, (_, i) => {
        const into = new StoredMessage();
        expect(s.load(i + 1, into)).toBe(true);
        return into;
      });
      loaded.forEach((one, i) => {
        expect(textOf(one.payload())).toBe(payload(i + 1));
      });
      const before = buffers.size;
      for (const { bytes } of loaded) buffers.add(bytes.buffer);
      const fresh = buffers.size - before;
      if (round > 0 && storage === 'file' && !compression && cipher === null)
        expect(fresh).toBeLessThan(before);
      store.reuseMemory();
    }
  });

  test('whoever watches is told of every subject whose last message changes', () => {
    const random = new Prng(storage === 'memory' ? 3 : 4);
    for (let run = 0; run < 12; run++) {
      const s = stream();
      const told = new Set<string>();
      let cleared = false;
      s.watchLast({
        changed: (bytes, start, end) => told.add(Buffer.from(bytes.subarray(start, end)).toString('latin1')),
        cleared: () => {
          cleared = true;
        },
      });
      const names = Array.from({ length: 12 }, (_, i) => `s.${i % 4}.${i}`);
      const lasts = () => new Map(names.map((name) => [name, s.subjectState(name)?.lastSeq ?? 0]));
      let silent = 0;
      for (let step = 0; step < 150; step++) {
        const before = lasts();
        told.clear();
        cleared = false;
        const sequence = s.firstSeq + random.below(Math.max(1, s.lastSeq - s.firstSeq + 1));
        const filter = s.filter([`s.${random.below(4)}.>`]);
        const action = random.below(14);
        if (action === 0) s.purge({ filter, beforeSeq: 0, keep: random.below(3) });
        else if (action === 1) s.purge({ filter: null, beforeSeq: sequence, keep: 0 });
        else if (action === 2 && s.messages > 20) s.compact(s.firstSeq + 5);
        else if (action === 3 && random.below(4) === 0) s.truncate(Math.max(s.firstSeq, s.lastSeq - 3));
        else if (action === 4 && random.below(8) === 0) s.purge({ filter: null, beforeSeq: 0, keep: 0 });
        else if (action < 8) s.remove(sequence, random.below(2) === 0);
        else put(s, names[random.below(names.length)]!, 'x'.repeat(random.below(3000)));
        const after = lasts();
        const changed = names.filter((name) => before.get(name) !== after.get(name));
        if (changed.length === 0 && told.size === 0 && !cleared) silent++;
        for (const name of changed) if (!cleared) expect([name, told.has(name)]).toEqual([name, true]);
      }
      expect(silent).toBeGreaterThan(0);
      s.watchLast(null);
      told.clear();
      put(s, 's.1.1');
      expect(told.size).toBe(0);
    }
  });

  test('sizes are counted as nats-server counts them', () => {
    const s = stream();
    put(s, 'abc', 'hello');
    expect(s.bytes).toBe(storage === 'file' ? 30 + 3 + 5 : 16 + 3 + 5);
    put(s, 'abc', 'hello', { headers: 'NATS/1.0\r\n\r\n' });
    expect(s.bytes).toBe(storage === 'file' ? 38 + 30 + 3 + 5 + 4 + 12 : 24 + 16 + 3 + 5 + 12);
  });

  test('a message comes back byte for byte', () => {
    const s = stream();
    const every = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    const original = text('a.b', every, {
      headers: 'NATS/1.0\r\nK: v\r\n\r\n',
      timestampMs: 1_700_000_000_123,
      timestampNanos: 999_999,
      ttlSeconds: TTL_NEVER,
    });
    expect(s.append(draftOf(original, 0))).toBe(1);
    expect(s.load(1, message)).toBe(true);
    expect(modelOf(message)).toEqual(original);
    expect(s.load(2, message)).toBe(false);
    expect(s.load(0, message)).toBe(false);
  });

  test('an append tells the count and the previous sequence of its subject', () => {
    const s = stream();
    put(s, 'a');
    put(s, 'b');
    put(s, 'a');
    expect([s.appendedSubjectMessages, s.appendedPreviousSeq]).toEqual([2, 1]);
    put(s, 'c');
    expect([s.appendedSubjectMessages, s.appendedPreviousSeq]).toEqual([1, 0]);
  });

  test('explicit sequences leave gaps, and must grow', () => {
    const s = stream();
    expect(s.append(draftOf(text('a', 'x'), 1000))).toBe(1000);
    expect([s.firstSeq, s.lastSeq, s.deleted]).toEqual([1000, 1000, 0]);
    expect(s.append(draftOf(text('a', 'x'), 200_000))).toBe(200_000);
    expect(s.deleted).toBe(200_000 - 1000 + 1 - 2);
    expect(s.append(draftOf(text('a', 'x'), 5))).toBe(-1);
    expect(s.failure?.code).toBe('bad_sequence');
    expect([...s.deletedRanges()]).toEqual([1001, 199_999]);
    expect(s.nextSeq(null, 1001)).toBe(200_000);
  });

  test('what is too large is refused', () => {
    const s = stream();
    expect(put(s, 'a'.repeat(70_000))).toBe(-1);
    expect(s.failure?.code).toBe('too_large');
    expect(put(s, 'a', 'p', { headers: 'h'.repeat(70_000) })).toBe(-1);
    expect(put(s, 'a', 'p'.repeat(33 * 1024 * 1024))).toBe(-1);
    expect(s.failure?.code).toBe('too_large');
    expect([s.messages, s.lastSeq]).toEqual([0, 0]);
  });

  test('purge beyond the end moves the first sequence', () => {
    const s = stream();
    for (let i = 0; i < 5; i++) put(s, 'a');
    expect(s.purge({ filter: null, beforeSeq: 1, keep: 0 })).toBe(0);
    expect(s.purge({ filter: null, beforeSeq: 3, keep: 0 })).toBe(2);
    expect([s.firstSeq, s.lastSeq]).toEqual([3, 5]);
    expect(s.purge({ filter: null, beforeSeq: 50, keep: 0 })).toBe(3);
    expect([s.firstSeq, s.lastSeq, s.messages, s.bytes]).toEqual([50, 49, 0, 0]);
    expect(put(s, 'a')).toBe(50);
  });

  test('times find messages', () => {
    const s = stream();
    for (let i = 0; i < 100; i++)
      put(s, 'a', 'p'.repeat(500), { timestampMs: 1000 + i * 10, timestampNanos: i });
    expect(s.firstSeqFromTime(0, 0)).toBe(1);
    expect(s.firstSeqFromTime(1500, 50)).toBe(51);
    expect(s.firstSeqFromTime(1500, 51)).toBe(52);
    s.remove(52, false);
    expect(s.firstSeqFromTime(1501, 0)).toBe(53);
    expect(s.firstSeqFromTime(5000, 0)).toBe(101);
    expect([s.firstTimestampMs, s.lastTimestampMs, s.lastTimestampNanos]).toEqual([1000, 1990, 99]);
  });

  test('messages with a TTL are visited', () => {
    const s = stream();
    put(s, 'a');
    put(s, 'a', 'p', { ttlSeconds: 7, timestampMs: 5 });
    put(s, 'a', 'p', { ttlSeconds: TTL_NEVER });
    put(s, 'a', 'p', { ttlSeconds: 9 });
    s.remove(4, false);
    const visited: number[][] = [];
    s.visitTtl((...entry) => visited.push(entry));
    expect(visited).toEqual([
      [2, 5, 7],
      [3, 1000, TTL_NEVER],
    ]);
  });

  test('blocks without headers are passed over by who looks for headers', () => {
    let disk = new SimulatedDisk();
    let store = open(disk, options);
    let s = create(store, { storage, compression });
    const found = () => {
      const sequences: number[] = [];
      for (let at = s.nextSeqWithHeaders(1); at !== 0; at = s.nextSeqWithHeaders(at + 1)) sequences.push(at);
      return sequences;
    };
    const putMany = (count: number) => {
      for (let i = 0; i < count; i++) put(s, 'a', 'p'.repeat(500));
    };
    const expectAround = (sequence: number) => {
      const sequences = found();
      expect(sequences).toContain(sequence);
      if (storage === 'memory') return;
      // Those that share its block, of some 60 messages.
      expect(sequences[0]).toBeGreaterThan(sequence - 80);
      expect(sequences.at(-1)).toBeLessThan(sequence + 80);
    };
    putMany(200);
    expect(found()).toEqual([]);
    put(s, 'a', 'p', { headers: 'NATS/1.0\r\nA: b\r\n\r\n' });
    putMany(200);
    expectAround(201);
    if (storage === 'memory') return;
    for (const erased of [0, 190, 210]) {
      if (erased > 0) s.remove(erased, true);
      store.commit(true);
      settle(store, 60_000);
      expectAround(201);
      expect(store.close()).toBe(null);
      store = open(disk, options);
      s = store.streams()[0]!;
      expectAround(201);
    }
    // What comes from the log alone counts as well.
    put(s, 'a', 'p', { headers: 'NATS/1.0\r\nA: b\r\n\r\n' });
    store.commit(true);
    disk = disk.crashed(new Prng(1));
    s = open(disk, options).streams()[0]!;
    expect(found()).toContain(402);
  });

  test('subjects come sorted, in pages', () => {
    const s = stream();
    for (const subject of ['c', 'a.2', 'b', 'a.1', 'a.2']) put(s, subject);
    expect(s.subjectsState(null, 1, 2)).toEqual({
      total: 4,
      subjects: [
        ['a.2', 2],
        ['b', 1],
      ],
    });
    expect(s.subjectsState(s.filter(['a.*']), 0, 10)).toEqual({
      total: 2,
      subjects: [
        ['a.1', 1],
        ['a.2', 2],
      ],
    });
    expect(s.lastPerSubject(null, 0, 3)).toBeNull();
  });

  test('a filter keeps up with subjects that come and go', () => {
    const s = stream();
    const filter = s.filter(['b.*']);
    for (let round = 0; round < 200; round++) {
      const sequence = put(s, round % 2 === 0 ? `a.${round}` : `b.${round}`);
      expect(s.nextSeq(filter, 1)).toBe(round % 2 === 0 ? 0 : sequence);
      s.remove(sequence, false);
    }
  });

  test('random work gives the model’s answers', () => {
    const disk = new SimulatedDisk();
    const store = open(disk, options);
    const s = create(store, { storage, compression });
    const model = new ModelStream();
    const random = new Prng(42);
    for (let i = 0; i < 1500; i++) {
      const kind = random.below(20);
      if (kind < 12) {
        const entry = text(`${'ab'[random.below(2)]}.${random.below(4)}`, 'x'.repeat(random.below(400)), {
          timestampMs: 1000 + i,
        });
        model.append(s.append(draftOf(entry, 0)), entry);
      } else if (kind < 16) {
        const sequence = s.firstSeq + random.below(Math.max(1, s.lastSeq - s.firstSeq + 2));
        expect(s.remove(sequence, random.below(2) === 0) > 0).toBe(model.remove(sequence));
      } else if (kind === 16) {
        const patterns = [['a.1'], ['b.*'], ['a.1', 'b.2']][random.below(3)]!;
        const keep = random.below(10);
        const removed = s.purge({ filter: s.filter(patterns), beforeSeq: 0, keep });
        expect(removed).toBe(model.purge(patterns, 0, keep));
      } else if (kind === 17) {
        store.commit(true);
        settle(store, i * 1000);
        store.reuseMemory();
      } else {
        const from = s.firstSeq + random.below(Math.max(1, s.lastSeq - s.firstSeq + 2));
        expect(answerDifference(s, model, from)).toBeNull();
      }
    }
    expect(streamDifference(s, model)).toBeNull();
    expect(store.takeReports()).toEqual([]);
  });
});

describe('tickets', () => {
  test('a change is durable once the synced ticket has reached it', () => {
    const store = open(new SimulatedDisk());
    const s = create(store);
    put(s, 'a');
    const ticket = store.ticket;
    expect(store.syncedTicket).toBeLessThan(ticket);
    expect(store.commit(false)).toBeNull();
    expect(store.writtenTicket).toBeGreaterThanOrEqual(ticket);
    expect(store.syncedTicket).toBeLessThan(ticket);
    expect(store.commit(true)).toBeNull();
    expect(store.syncedTicket).toBeGreaterThanOrEqual(ticket);
    expect(store.ticket).toBe(ticket);
  });

  test('streams in memory stage nothing', () => {
    const store = open(new SimulatedDisk());
    const s = create(store, { storage: 'memory' });
    const { ticket } = store;
    put(s, 'a');
    s.remove(1, true);
    expect(s.logConsumer('c', bytesOf('x'))).toBe(true);
    expect(store.ticket).toBe(ticket);
  });
});

describe('streams', () => {
  test('names are taken once an account; dropping frees them, uids are new', () => {
    const store = open(new SimulatedDisk());
    const first = create(store);
    const same = {
      account: 'A',
      name: 'S',
      storage: 'file',
      compression: false,
      firstSeq: 0,
      blockBytes: 0,
    } as const;
    expect(store.createStream(same)).toBeNull();
    expect(store.failure?.code).toBe('exists');
    expect(store.createStream({ ...same, account: 'B' })).not.toBeNull();
    expect(store.dropStream(first)).toBe(true);
    expect(put(first, 'a')).toBe(-1);
    expect(first.failure?.code).toBe('closed');
    expect(store.dropStream(first)).toBe(false);
    const again = create(store);
    expect(again.uid).not.toBe(first.uid);
  });

  test('streams in memory are gone after a restart, those in files are not', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    create(store, { storage: 'memory', name: 'M' });
    const s = create(store);
    put(s, 'a', 'kept');
    s.putMetadata('config', bytesOf('{}'));
    s.logConsumer('c', bytesOf('one'));
    s.logConsumer('c', bytesOf('two'));
    expect(store.close()).toBeNull();
    const again = open(disk);
    expect(again.find('A', 'M')).toBeNull();
    const found = again.find('A', 'S')!;
    expect(found.loadLast('a', message)).toBe(true);
    expect(textOf(message.payload())).toBe('kept');
    expect(textOf(found.getMetadata('config')!)).toBe('{}');
    expect(found.consumerLogKeys()).toEqual(['c']);
    const log = found.takeConsumerLog('c')!;
    expect(log.records.map(textOf)).toEqual(['one', 'two']);
    expect(found.takeConsumerLog('c')).toBeNull();
  });

  test('a snapshot takes the place of consumer records', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    s.setSnapshotSource((key) => bytesOf(`all of ${key}`));
    s.logConsumer('c', bytesOf('one'));
    store.commit(true);
    settle(store, 0);
    settle(store, 60_000);
    s.logConsumer('c', bytesOf('two'));
    store.commit(true);
    const again = open(disk.copy());
    const log = again.find('A', 'S')!.takeConsumerLog('c')!;
    expect(textOf(log.snapshot!)).toBe('all of c');
    expect(log.records.map(textOf)).toEqual(['two']);
  });

  test('erased bytes are in no block file after the rewrite', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store);
    for (let i = 0; i < 20; i++) put(s, 'a', `secret-${i}-`.repeat(50));
    store.commit(true);
    s.remove(7, true);
    store.commit(true);
    for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
    const blocks = disk.files().filter((path) => path.endsWith('.blk'));
    expect(blocks.length).toBeGreaterThan(0);
    const texts = blocks.map((path) => textOf(disk.content(path)));
    expect(texts.some((content) => content.includes('secret-6-'))).toBe(false);
    expect(texts.some((content) => content.includes('secret-7-'))).toBe(true);
  });

  test('blocks that are mostly removed give their space back', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const s = create(store, { blockBytes: 400_000 });
    for (let i = 0; i < 800; i++) {
      put(s, `k.${i % 10}`, 'x'.repeat(900));
      if (i % 20 === 0) store.commit(true);
      settle(store, i);
    }
    store.commit(true);
    for (let at = 40_000; at < 200_000; at += 40_000) settle(store, at);
    const blockBytes = () =>
      disk
        .files()
        .filter((path) => path.endsWith('.blk'))
        .reduce((sum, path) => sum + disk.content(path).length, 0);
    const before = blockBytes();
    for (let i = 1; i <= 800; i++) if (i % 10 !== 0) s.remove(i, false);
    store.commit(true);
    for (let at = 200_000; at < 800_000; at += 40_000) settle(store, at);
    // The block that is still open stays as it is.
    expect(blockBytes()).toBeLessThan(before - 300_000);
    for (let i = 10; i <= 800; i += 10) expect(s.load(i, message)).toBe(true);
    expect(s.messages).toBe(80);
  });
});
