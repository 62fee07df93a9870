import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Checksum } from '../../../../../src/shared/jetstream/store/checksum.ts';
import { MessageDraft, StoredMessage } from '../../../../../src/shared/jetstream/store/contract.ts';
import { BodyReader, BodyWriter } from '../../../../../src/shared/jetstream/store/envelope.ts';
import {
  checkRecord,
  digestRecord,
  paddedBytes,
  padRecord,
  RECORD_MESSAGE,
  RecordFields,
  readMessage,
  recordLength,
  recordUid,
  storeChecksum,
  WordBuffer,
  writeMessageBody,
  writeRecordHeader,
} from '../../../../../src/shared/jetstream/store/record.ts';
import { SubjectTable } from '../../../../../src/shared/jetstream/store/subject-table.ts';

const SEED = { seed: 20_240_601, numRuns: 300 };
const bytes = fc.uint8Array({ maxLength: 300 });

function encode(
  subject: Uint8Array,
  headers: Uint8Array,
  payload: Uint8Array,
  sequence: number,
  ms: number,
  withView = false,
) {
  const draft = new MessageDraft();
  draft.subjectBytes = subject;
  draft.subjectEnd = subject.length;
  draft.setHeaders(headers);
  draft.setPayload(payload);
  if (withView) {
    // Room for words behind the end; what is there must not get into the record.
    const larger = new Uint8Array(payload.length + 8).fill(0xee);
    larger.set(payload);
    draft.payloadBytes = larger;
    draft.payloadView = new DataView(larger.buffer);
  }
  const length = recordLength(subject.length, headers.length, payload.length);
  const buffer = new WordBuffer(paddedBytes(length) + 16);
  const fields = new RecordFields();
  fields.uid = 0xffff_fffe;
  fields.type = RECORD_MESSAGE;
  fields.sequence = sequence;
  fields.timestampMs = ms;
  fields.timestampNanos = 999_999;
  writeRecordHeader(buffer.words, 0, length, fields, subject.length, headers.length);
  writeMessageBody(buffer, 0, draft);
  padRecord(buffer.bytes, 0, length);
  const checksum = new Checksum();
  digestRecord(checksum, buffer.words, 0, length);
  checksum.seal(1, 2);
  storeChecksum(buffer.words, 0, checksum);
  return { buffer, length };
}

describe('records', () => {
  test('come back as they went in', () => {
    fc.assert(
      fc.property(
        bytes,
        bytes,
        bytes,
        fc.maxSafeNat(),
        fc.nat(4_000_000_000_000),
        fc.boolean(),
        (subject, headers, payload, sequence, ms, withView) => {
          const { buffer, length } = encode(subject, headers, payload, sequence, ms, withView);
          expect(checkRecord(new Checksum(), buffer.words, 0, buffer.bytes.length, 1, 2)).toBe(length);
          const message = new StoredMessage();
          readMessage(buffer, 0, message);
          expect(message.sequence).toBe(sequence);
          expect([message.timestampMs, message.timestampNanos]).toEqual([ms, 999_999]);
          expect(recordUid(buffer.words, 0)).toBe(0xffff_fffe);
          expect(message.headers()).toEqual(headers);
          expect(message.payload()).toEqual(payload);
          expect(buffer.bytes.subarray(length, paddedBytes(length)).every((byte) => byte === 0)).toBe(true);
          expect(message.view?.buffer).toBe(message.bytes.buffer);
          expect(message.bytes.subarray(message.subjectStart, message.subjectEnd)).toEqual(subject);
        },
      ),
      SEED,
    );
  });

  test('any flipped bit, and another place, is noticed', () => {
    fc.assert(
      fc.property(bytes, bytes, fc.nat(), (subject, payload, where) => {
        const { buffer, length } = encode(subject, new Uint8Array(0), payload, 1, 1);
        expect(checkRecord(new Checksum(), buffer.words, 0, buffer.bytes.length, 1, 3)).toBe(0);
        expect(checkRecord(new Checksum(), buffer.words, 0, buffer.bytes.length, 0, 2)).toBe(0);
        const bit = where % (paddedBytes(length) * 8);
        buffer.bytes[bit >>> 3]! ^= 1 << (bit & 7);
        expect(checkRecord(new Checksum(), buffer.words, 0, buffer.bytes.length, 1, 2)).toBe(0);
      }),
      SEED,
    );
  });

  test('any bytes are read without harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 400 }), (random) => {
        const buffer = new WordBuffer(random.length);
        buffer.bytes.set(random);
        expect(checkRecord(new Checksum(), buffer.words, 0, random.length, 1, 2)).toBe(0);
      }),
      SEED,
    );
  });
});

test('bodies of metadata come back as they went in, and cut ones throw', () => {
  fc.assert(
    fc.property(fc.double(), fc.string(), bytes, fc.nat(), (number, text, value, cut) => {
      const writer = new BodyWriter();
      writer.number(number);
      writer.text(text);
      writer.bytes(value);
      const body = writer.finish();
      const reader = new BodyReader(body);
      expect(reader.number()).toBe(number);
      expect(reader.text()).toBe(new TextDecoder().decode(new TextEncoder().encode(text)));
      expect(reader.bytes()).toEqual(value);
      const short = new BodyReader(body.slice(0, cut % body.length));
      expect(() => {
        short.number();
        short.text();
        short.bytes();
      }).toThrow(RangeError);
    }),
    SEED,
  );
});

test('the subject table is a map', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 400 }), (steps) => {
      const table = new SubjectTable();
      const map = new Map<string, number>();
      let sequence = 0;
      for (const [name, adding] of steps) {
        const text = `subject.${name}`;
        const subject = new TextEncoder().encode(text);
        if (adding) {
          table.add(table.intern(subject, 0, subject.length), ++sequence);
          map.set(text, (map.get(text) ?? 0) + 1);
        } else {
          const row = table.find(subject, 0, subject.length);
          expect(row >= 0).toBe(map.has(text));
          if (row < 0) continue;
          const count = table.subtract(row);
          if (count === 0) {
            table.release(row);
            map.delete(text);
          } else map.set(text, count);
        }
      }
      expect(table.size).toBe(map.size);
      for (const [text, count] of map) {
        const subject = new TextEncoder().encode(text);
        const row = table.find(subject, 0, subject.length);
        expect([table.text(row), table.count(row)]).toEqual([text, count]);
      }
    }),
    SEED,
  );
});
