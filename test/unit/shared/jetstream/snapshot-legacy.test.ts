import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { frame, S2Decoder, S2Error } from '../../../../src/shared/jetstream/s2.ts';
import { type ArchiveEntry, ArchiveError } from '../../../../src/shared/jetstream/snapshot-archive.ts';
import { LegacySnapshot } from '../../../../src/shared/jetstream/snapshot-legacy.ts';
import { Harness } from './engine-harness.ts';

function fixture(name: string): Buffer {
  const text = readFileSync(new URL(`fixtures/${name}.base64.txt`, import.meta.url), 'utf8');
  return Buffer.from(text, 'base64');
}

/** Made by nats-server 2.9.10: 60 messages, some purged, five deleted, one of them so that its bytes are gone, the last too. */
const OLD = fixture('snapshot-of-nats-server-2.9');
const OLD_TAR = Buffer.from(new S2Decoder().push(OLD));
/** Files of a store of nats-server 2.15.1, as the old form has them: compressed and open blocks, tombstones. */
const NEW_TAR = gunzipSync(fixture('store-of-nats-server-2.15.tar.gz'));

interface Taken {
  entries: ArchiveEntry[];
  removed: number[];
  ended: boolean;
}

/** Takes a tar apart in pieces of so many bytes. */
function take(tar: Uint8Array, pieceBytes = 4096): Taken {
  const taken: Taken = { entries: [], removed: [], ended: false };
  const snapshot = new LegacySnapshot({
    restore: (entry) => taken.entries.push(entry),
    remove: (sequence) => taken.removed.push(sequence),
  });
  for (let at = 0; at < tar.length; at += pieceBytes) snapshot.push(tar.subarray(at, at + pieceBytes));
  taken.ended = snapshot.ended;
  return taken;
}

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

/** Restores a snapshot and gives the last reply. */
function restore(name: string, state: object, snapshot: Uint8Array): Record<string, unknown> {
  const config = { name, subjects: ['r.>'] };
  const subject = js.ask(`STREAM.RESTORE.${name}`, { config, state }).deliver_subject as string;
  for (let at = 0; at < snapshot.length; at += 1000)
    expect(js.put(subject, Buffer.from(snapshot.subarray(at, at + 1000)).toString('latin1'))).toBe('');
  return JSON.parse(js.put(subject)) as Record<string, unknown>;
}

function consumer(stream: string, name: string): Record<string, unknown> {
  return js.ask(`CONSUMER.INFO.${stream}.${name}`);
}

describe('a snapshot of an old nats-server is restored', () => {
  test('of 2.9: messages, times, gaps, consumers', () => {
    const { state } = restore('R', { first_seq: 4, last_seq: 60, messages: 52, lost: null }, OLD);
    expect(state).toMatchObject({
      messages: 52,
      bytes: 7067,
      first_seq: 4,
      first_ts: '2026-11-21T15:35:03.208417859Z',
      last_seq: 60,
      last_ts: '2026-11-21T15:35:03.231668935Z',
      num_subjects: 5,
      consumer_count: 3,
    });
    const info = js.ask('STREAM.INFO.R', { deleted_details: true });
    expect(info.state).toMatchObject({ deleted: [10, 11, 20, 25, 60] });
    const { message } = js.ask('STREAM.MSG.GET.R', { seq: 12 }) as { message: Record<string, string> };
    expect(message).toMatchObject({ subject: 'old.2', seq: 12 });
    expect(Buffer.from(message.hdrs!, 'base64').toString()).toBe('NATS/1.0\r\nK: v12\r\n\r\n');
    expect(Buffer.from(message.data!, 'base64').toString()).toBe(`message 12 ${'x'.repeat(36)}`);
    expect(consumer('R', 'pull')).toMatchObject({
      delivered: { consumer_seq: 11, stream_seq: 15 },
      ack_floor: { consumer_seq: 2, stream_seq: 5 },
      num_ack_pending: 7,
      num_redelivered: 1,
      num_pending: 42,
    });
    expect(consumer('R', 'pull').config).not.toHaveProperty('name');
    expect(consumer('R', 'filtered')).toMatchObject({ num_pending: 10, config: { filter_subject: 'old.1' } });
    expect(consumer('R', 'fresh')).toMatchObject({ num_pending: 52 });
  });

  test('with compressed blocks and tombstones, as later ones have them', () => {
    const { state } = restore('R', { first_seq: 6, last_seq: 80 }, frame(NEW_TAR, true));
    expect(state).toMatchObject({ messages: 68, bytes: 46584, first_seq: 6, last_seq: 80 });
    const info = js.ask('STREAM.INFO.R', { deleted_details: true });
    expect(info.state).toMatchObject({ deleted: [9, 10, 33, 40, 70, 79, 80] });
    expect(consumer('R', 'pull')).toMatchObject({
      delivered: { consumer_seq: 7, stream_seq: 13 },
      ack_floor: { consumer_seq: 1, stream_seq: 6 },
      num_ack_pending: 4,
      num_redelivered: 1,
    });
    expect(consumer('R', 'fresh')).toMatchObject({ config: { metadata: { a: 'b' } } });
  });

  test('a part of one fails, and leaves nothing', () => {
    const error = restore('R', { first_seq: 4, last_seq: 60 }, OLD.subarray(0, 3000)).error;
    expect(error).toMatchObject({ err_code: 10062 });
    expect(js.store.streams()).toEqual([]);
  });
});

describe('the reader', () => {
  test('gets the same however the bytes are cut', () => {
    const whole = take(OLD_TAR, OLD_TAR.length);
    expect(whole.ended).toBe(true);
    expect(whole.entries).toHaveLength(52 + 3 + 3);
    expect(whole.removed).toEqual([10, 11, 20, 25, 60]);
    for (const pieceBytes of [1, 511, 512, 1000]) expect(take(OLD_TAR, pieceBytes)).toEqual(whole);
  });

  test('names consumers of any name', () => {
    const name = `é${'n'.repeat(120)}`;
    const record = `path=obs/${name}/meta.inf\n`;
    const length = Buffer.byteLength(record) + 4;
    const pax = Buffer.from(`${length} ${record}`);
    const tar = Buffer.concat([
      file('x', pax, 'x'),
      file('short', Buffer.from('{"a":1}')),
      Buffer.alloc(1024),
    ]);
    expect(take(tar).entries.map((entry) => Buffer.from(entry.name, 'latin1').toString())).toEqual([
      `consumers/${name}`,
    ]);
  });

  test.each<[string, Buffer, RegExp]>([
    ['a wrong checksum', changed(OLD_TAR, 100, 0x37), /checksum|malformed/],
    ['a file of gigabytes', file('msgs/1.blk', Buffer.alloc(0), '0', '77777777777'), /too large/],
    ['half a record', file('msgs/1.blk', Buffer.alloc(40, 1)), /damaged record in msgs\/1\.blk/],
    ['an unknown compression', file('msgs/1.blk', Buffer.from('cmp\x09\x05aaaaaaaaaaaaaaaa')), /compression/],
    ['an unknown state', file('obs/c/o.dat', Buffer.from([22, 9, 0])), /unknown version/],
    [
      'a state that counts too much',
      file('obs/c/o.dat', Buffer.from([22, 2, 0, 0, 0, 0, 99, 2])),
      /malformed/,
    ],
    ['no configuration', Buffer.concat([file('obs/c/meta.inf', Buffer.from('nul'))]), /configuration/],
    [
      'a state alone',
      Buffer.concat([file('obs/c/o.dat', Buffer.alloc(0)), Buffer.alloc(512)]),
      /configuration/,
    ],
    ['an index of another kind', file('msgs/1.idx', Buffer.from([1, 1, 1])), /block index/],
  ])('refuses %s', (_what, tar, reason) => {
    expect(() => take(tar)).toThrow(reason);
  });

  test('any changed byte gives entries or an error, and bounded ones', () => {
    const source = [OLD_TAR, NEW_TAR];
    fc.assert(
      fc.property(
        fc.constantFrom(...source),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (tar, changes) => {
          const damaged = Buffer.from(tar);
          for (const [at, value] of changes) damaged[at % tar.length] = value;
          fixChecksums(damaged);
          try {
            const { entries } = take(damaged);
            const bytes = entries.reduce(
              (sum, { payload, headers }) => sum + payload.length + headers.length,
              0,
            );
            expect(bytes).toBeLessThan(64 * tar.length);
          } catch (error) {
            if (!(error instanceof ArchiveError || error instanceof S2Error)) throw error;
          }
        },
      ),
      { seed: 7, numRuns: 1500 },
    );
  });
});

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

/** A header and its file, padded. */
function file(name: string, content: Buffer, type = '0', size?: string): Buffer {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  head.write(size ?? content.length.toString(8).padStart(11, '0'), 124);
  head.write(type, 156);
  sealHead(head);
  return Buffer.concat([head, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function sealHead(head: Buffer): void {
  head.write(' '.repeat(8), 148);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

/** Makes the checksums of headers right again, so that what is behind them is looked at. */
function fixChecksums(tar: Buffer): void {
  for (let at = 0; at + 512 <= tar.length; ) {
    const head = tar.subarray(at, at + 512);
    if (head.every((byte) => byte === 0)) return;
    sealHead(head);
    const bytes = Number.parseInt(head.toString('latin1', 124, 136), 8);
    if (!(bytes >= 0)) return;
    at += 512 + Math.ceil(bytes / 512) * 512;
  }
}
