import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { decompress, frame, maskedCrc, S2Decoder, S2Error } from '../../../../src/shared/jetstream/s2.ts';
import {
  ARCHIVE_MAGIC,
  type ArchiveEntry,
  ArchiveError,
  ArchiveReader,
  encodeEntry,
  endEntry,
} from '../../../../src/shared/jetstream/snapshot-archive.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';

/** A snapshot nats-server 2.15.1 made of 39 messages on three subjects, compressed by it. */
const RECORDED = Buffer.from(
  readFileSync(new URL('fixtures/snapshot-of-nats-server.base64.txt', import.meta.url), 'utf8'),
  'base64',
);

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

/** Pieces of random lengths. */
function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const cut: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    cut.push(bytes.subarray(at, at + length));
    at += length;
  }
  cut.push(bytes.subarray(at));
  return cut;
}

describe('S2 framing', () => {
  test('the checksum of a known text', () => {
    expect(maskedCrc(Buffer.from('123456789'))).toBe(
      (((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0,
    );
  });

  test('what was framed comes back, however it is cut', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 20 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), lengths, (bytes, cuts) => {
        const decoder = new S2Decoder();
        const plain = pieces(frame(bytes, true), cuts).map((piece) => decoder.push(piece));
        expect(Buffer.concat(plain)).toEqual(Buffer.from(bytes));
        expect(decoder.isComplete).toBe(true);
      }),
      { seed: 61, numRuns: 100 },
    );
  });

  test.each([
    ['literal', [3, 0x08, 97, 98, 99], 'abc'],
    ['copy with one byte of offset', [8, 0x0c, 97, 98, 99, 100, 0x01, 4], 'abcdabcd'],
    ['copy with two bytes of offset', [6, 0x00, 97, 0x12, 1, 0], 'aaaaaa'],
    ['copy with four bytes of offset', [4, 0x04, 97, 98, 0x07, 2, 0, 0, 0], 'abab'],
    ['repeat of the last offset', [10, 0x04, 97, 98, 0x06, 2, 0, 0x05, 0, 0x00, 99], 'ababababac'],
    ['repeat with a length byte', [13, 0x00, 97, 0x02, 1, 0, 0x15, 0, 3], 'aaaaaaaaaaaaa'],
  ])('%s', (_name, block, expected) => {
    expect(Buffer.from(decompress(Uint8Array.from(block))).toString()).toBe(expected);
  });

  test('damage is noticed', () => {
    for (let at = 0; at < RECORDED.length; at += 7) {
      const damaged = Buffer.from(RECORDED);
      damaged[at]! ^= 0x40;
      const decoder = new S2Decoder();
      let noticed = false;
      try {
        const reader = new ArchiveReader();
        reader.push(decoder.push(damaged));
        noticed = !decoder.isComplete || !reader.ended;
      } catch (error) {
        noticed = error instanceof S2Error || error instanceof ArchiveError;
      }
      expect(noticed, `byte ${at}`).toBe(true);
    }
  });

  test('any bytes fail or decode', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decompress(bytes);
          new S2Decoder().push(Buffer.concat([frame(new Uint8Array(0), true), bytes]));
        } catch (error) {
          expect(error).toBeInstanceOf(S2Error);
        }
      }),
      { seed: 62, numRuns: 1000 },
    );
  });
});

describe('the archive', () => {
  test('entries come back, however they are cut', () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    const entry = fc.record({
      name: fc.string({ unit: fc.constantFrom('a', '.', '\xff'), minLength: 1, maxLength: 10 }),
      timeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
      sequence: fc.nat(),
      headers: bytes,
      payload: bytes,
    });
    const cuts = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), cuts, (entries, lengths) => {
        const reader = new ArchiveReader();
        const archive = Buffer.concat([ARCHIVE_MAGIC, ...entries.map(encodeEntry), endEntry()]);
        const read = pieces(archive, lengths).flatMap((piece) => reader.push(piece));
        const plain = (list: readonly ArchiveEntry[]) =>
          list.map((one) => ({ ...one, headers: [...one.headers], payload: [...one.payload] }));
        expect(plain(read)).toEqual(plain(entries));
        expect(reader.ended).toBe(true);
      }),
      { seed: 63, numRuns: 200 },
    );
  });

  test('something else is refused', () => {
    expect(() => new ArchiveReader().push(Buffer.from('NATSARC2'))).toThrow(ArchiveError);
  });
});

interface Restored {
  subject: string;
  final: Record<string, unknown>;
}

/** Restores a snapshot in chunks and gives the last reply. */
function restore(name: string, config: object, snapshot: Uint8Array, chunkBytes = 500): Restored {
  const begun = js.ask(`STREAM.RESTORE.${name}`, { config: { name, ...config }, state: {} });
  expect(begun.error).toBeUndefined();
  const subject = begun.deliver_subject as string;
  for (let at = 0; at < snapshot.length; at += chunkBytes) {
    const chunk = Buffer.from(snapshot.subarray(at, at + chunkBytes)).toString('latin1');
    expect(js.put(subject, chunk)).toBe('');
  }
  return { subject, final: JSON.parse(js.put(subject)) as Record<string, unknown> };
}

/** Takes a snapshot and acknowledges every chunk; the headers of the end are checked. */
function snapshot(name: string, request: object, end: string): Buffer {
  js.interest.push('snap');
  const before = js.sent.length;
  expect(js.ask(`STREAM.SNAPSHOT.${name}`, { deliver_subject: 'snap', ...request }).error).toBeUndefined();
  js.advance(0);
  const received: Buffer[] = [];
  for (let at = before; at < js.sent.length; at++) {
    const { subject, reply, headers, payload } = js.sent[at]!;
    if (subject !== 'snap') continue;
    received.push(Buffer.from(payload, 'latin1'));
    if (reply !== '') js.publish(reply);
    if (payload === '') expect(headers).toBe(end);
  }
  expect(received.at(-1)).toHaveLength(0);
  return Buffer.concat(received);
}

describe('restore', () => {
  test('of what nats-server made', () => {
    const { final, subject } = restore('R', { subjects: ['o.>'], max_msgs_per_subject: 50 }, RECORDED);
    expect(final).toMatchObject({
      type: 'io.nats.jetstream.api.v1.stream_create_response',
      config: { name: 'R' },
    });
    expect(final.state).toMatchObject({
      messages: 39,
      bytes: 11039,
      first_seq: 1,
      last_seq: 40,
      num_deleted: 1,
    });
    expect(final).not.toHaveProperty('did_create');
    const { message } = js.ask('STREAM.MSG.GET.R', { seq: 4 }) as { message: Record<string, string> };
    expect(message).toMatchObject({ subject: 'o.0', time: expect.stringMatching(/^2026-11-21T/) });
    expect(Buffer.from(message.hdrs!, 'base64').toString()).toBe('NATS/1.0\r\nA: b\r\n\r\n');
    expect(js.subjects).toContain('o.>');
    expect(js.subjects).not.toContain(subject);
  });

  test.each([
    ['garbage', Buffer.from('garbage'), 's2: corrupt input'],
    ['the beginning of one', RECORDED.subarray(0, 700), 'unexpected EOF'],
    ['nothing', Buffer.alloc(0), 'EOF'],
  ])('of %s fails and leaves nothing', (_name, bytes, reason) => {
    const { final } = restore('R', { subjects: ['o.>'] }, bytes);
    expect(final.error).toEqual({ code: 500, err_code: 10062, description: `restore failed: ${reason}` });
    expect(js.store.streams()).toEqual([]);
    expect(js.ask('STREAM.NAMES').streams).toBeNull();
  });

  test('of subjects another stream has fails at the end', () => {
    js.ask('STREAM.CREATE.S', { name: 'S', subjects: ['o.1'] });
    const { final } = restore('R', { subjects: ['o.>'] }, RECORDED);
    expect(final.error).toMatchObject({
      description: 'restore failed: error adding stream: subjects overlap with an existing stream (10065)',
    });
    expect(js.store.streams()).toHaveLength(1);
  });

  test.each([
    ['', 10003],
    ['{}', 10003],
    ['{"foo":1}', 10025],
    ['{"config":{"name":"X"}}', 10056],
    ['{"config":{"name":"S"}}', 10130],
  ])('request %j is refused', (body, code) => {
    js.ask('STREAM.CREATE.S', { name: 'S' });
    expect(js.ask('STREAM.RESTORE.S', body)).toMatchObject({
      error: { err_code: code },
      deliver_subject: '',
    });
  });

  test('that stalls is given up', () => {
    js.ask('STREAM.RESTORE.R', { config: { name: 'R' } });
    expect(js.ask('STREAM.RESTORE.R', { config: { name: 'R' } })).toMatchObject({
      error: { err_code: 10130 },
    });
    js.advance(5000);
    expect(js.store.streams()).toEqual([]);
    expect(js.ask('STREAM.RESTORE.R', { config: { name: 'R' } }).error).toBeUndefined();
  });

  test('that a crash cut short can be done again', () => {
    const begun = js.ask('STREAM.RESTORE.R', { config: { name: 'R', subjects: ['o.>'] } });
    js.put(begun.deliver_subject as string, RECORDED.toString('latin1'));
    js = new Harness({}, js.store);
    expect(restore('R', { subjects: ['o.>'] }, RECORDED).final.state).toMatchObject({ messages: 39 });
  });
});

describe('snapshot', () => {
  function fill(): void {
    js.ask('STREAM.CREATE.S', { name: 'S', subjects: ['s.*'], first_seq: 10, allow_msg_ttl: true });
    for (let i = 0; i < 50; i++)
      js.put(`s.${i % 3}`, 'x'.repeat(i * 10), i % 2 === 0 ? 'A: b\r\n' : 'Nats-TTL: 100\r\n');
    js.ask('STREAM.MSG.DELETE.S', { seq: 20 });
    js.ask('STREAM.MSG.DELETE.S', { seq: 59 });
  }

  test('comes back as the same messages', () => {
    fill();
    const bytes = snapshot('S', { chunk_size: 1024 }, 'NATS/1.0 204\r\n\r\n');
    const before = js.store.find(ACCOUNT, 'S')!.live;
    const state = js.ask('STREAM.INFO.S').state;
    js.ask('STREAM.DELETE.S');
    const { final } = restore('S', { subjects: ['s.*'], allow_msg_ttl: true }, bytes, 100_000);
    expect(final.state).toEqual({ ...(state as object), last_ts: expect.any(String) });
    expect(js.store.find(ACCOUNT, 'S')!.live).toEqual(before);
    js.advance(100_000);
    expect(js.store.find(ACCOUNT, 'S')!.messages).toBe(24);
  });

  test('a small one has no status at its end', () => {
    js.ask('STREAM.CREATE.S', { name: 'S' });
    expect(snapshot('S', {}, '').length).toBeGreaterThan(100);
  });

  test('no more than the window is in flight, and without acknowledgements it ends', () => {
    fill();
    js.interest.push('snap');
    js.ask('STREAM.SNAPSHOT.S', { deliver_subject: 'snap', chunk_size: 1024, window_size: 2048 });
    js.advance(0);
    const chunks = () => js.sent.filter(({ subject }) => subject === 'snap');
    expect(chunks()).toHaveLength(2);
    expect(chunks()[1]!.reply).toMatch(/^\$JS\.SNAPSHOT\.ACK\.S\.[0-9A-Za-z]{22}\.1024\.2$/);
    js.publish(chunks()[0]!.reply);
    expect(chunks()).toHaveLength(3);
    js.advance(5000);
    expect(chunks().at(-1)!.headers).toBe('NATS/1.0 408 No Flow Response\r\n\r\n');
    js.publish(chunks()[1]!.reply);
    expect(chunks()).toHaveLength(4);
  });

  test('ends when nobody listens, and when its stream goes', () => {
    fill();
    js.ask('STREAM.SNAPSHOT.S', { deliver_subject: 'snap' });
    js.advance(2000);
    expect(js.sent.at(-1)).toMatchObject({ subject: 'snap', headers: 'NATS/1.0 408 No Interest\r\n\r\n' });
    js.ask('STREAM.SNAPSHOT.S', { deliver_subject: 'snap' });
    js.ask('STREAM.DELETE.S');
    js.advance(200);
    expect(js.sent.at(-1)).toMatchObject({ headers: 'NATS/1.0 500 stream is closed\r\n\r\n' });
    expect(js.engine.timed.size).toBe(0);
  });

  test.each([
    ['', 10003],
    ['{}', 10003],
    ['{"foo":1}', 10025],
    ['{"deliver_subject":"a.*"}', 10015],
    ['{"deliver_subject":""}', 10015],
  ])('request %j is refused', (body, code) => {
    js.ask('STREAM.CREATE.S', { name: 'S' });
    expect(js.ask('STREAM.SNAPSHOT.S', body)).toMatchObject({ error: { err_code: code } });
    expect(js.ask('STREAM.SNAPSHOT.NOPE', { deliver_subject: 'a' })).toMatchObject({
      error: { err_code: 10059 },
    });
  });
});
