import { copyBytes } from '../../base/copy-bytes.ts';
import { Checksum } from './checksum.ts';
import type { StreamMessages } from './messages.ts';
import {
  digestRecord,
  FLAG_GROUP,
  FLAG_GROUP_START,
  paddedBytes,
  padRecord,
  RECORD_HEADER_BYTES,
  RecordFields,
  recordLength,
  writeRecordHeader,
} from './record.ts';
import type { StoreParts } from './shared.ts';

/** Puts records into the log's frame. Room for them was reserved, so nothing here can fail. */

/** Padded bytes up to which a loop over words beats a call. */
const LOOP_COPY_BYTES = 200;
/** From here on a plain copy beats `set`, which copies words to shared memory one by one. */
const PLAIN_COPY_BYTES = 4096;

const fields = new RecordFields();
const checksum = new Checksum();

function groupFlags(parts: StoreParts): number {
  const { group } = parts;
  if (!group.open) return 0;
  const flags = group.first ? FLAG_GROUP | FLAG_GROUP_START : FLAG_GROUP;
  group.first = false;
  return flags;
}

/** Copies the message that was just appended to a block. @returns the record's position in the log */
export function stageMessage(parts: StoreParts, set: StreamMessages, length: number): number {
  const { log } = parts;
  const words = paddedBytes(length) >>> 2;
  const at = log.stage(length);
  const { buffer } = set.appendedChunk!;
  const source = buffer.words;
  const from = set.appendedAt >>> 2;
  const target = log.buffer.words;
  const to = at >>> 2;
  if (words >= PLAIN_COPY_BYTES / 4)
    copyBytes(log.buffer.bytes, at, buffer.bytes, set.appendedAt, set.appendedAt + words * 4);
  else if (words > LOOP_COPY_BYTES / 4) target.set(source.subarray(from, from + words), to);
  else for (let i = 0; i < words; i++) target[to + i] = source[from + i]!;
  const flags = groupFlags(parts);
  if (flags !== 0) {
    target[to + 4] = target[to + 4]! | (flags << 8);
    digestRecord(set.checksum, target, at, length);
  }
  log.finish(at, length, set.checksum);
  return log.ticket - paddedBytes(length);
}

/** What a change says beside its type; fields left out are 0. */
export interface ChangeFields {
  sequence?: number;
  ms?: number;
  nanos?: number;
  ttlSeconds?: number;
}

/** Writes any other change. @returns the record's position in the log */
export function stageChange(
  parts: StoreParts,
  uid: number,
  type: number,
  flags: number,
  key: Uint8Array,
  value: Uint8Array,
  change: ChangeFields,
): number {
  const { log } = parts;
  const length = recordLength(key.length, 0, value.length);
  const at = log.stage(length);
  const { bytes, words } = log.buffer;
  fields.uid = uid;
  fields.type = type;
  fields.flags = flags | groupFlags(parts);
  fields.sequence = change.sequence ?? 0;
  fields.timestampMs = change.ms ?? 0;
  fields.timestampNanos = change.nanos ?? 0;
  fields.ttlSeconds = change.ttlSeconds ?? 0;
  writeRecordHeader(words, at, length, fields, key.length, 0);
  bytes.set(key, at + RECORD_HEADER_BYTES);
  bytes.set(value, at + RECORD_HEADER_BYTES + key.length);
  padRecord(bytes, at, length);
  digestRecord(checksum, words, at, length);
  log.finish(at, length, checksum);
  return log.ticket - paddedBytes(length);
}
