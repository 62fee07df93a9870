import { copyBytes } from '../base/copy-bytes.ts';
import { WORD_COPY_MAX_BYTES, WORD_SLACK_BYTES } from '../base/limits.ts';
import type { MessageFrame } from '../base/message-frame.ts';
import * as record from './records.ts';

/** Writing of message records; their layout is in `records.ts`. */

/** A queue group that a message is for. */
interface NamedGroup {
  readonly nameBytes: Uint8Array;
}

/** Bytes of a message record: what comes behind the tail must leave room for word copies to read too far. */
export function messageLength(frame: MessageFrame, groups: readonly NamedGroup[]): number {
  const { subjectStart, subjectEnd, shownBytes, tailStart, tailEnd } = frame;
  let length = recordLengthFor(subjectEnd - subjectStart + shownBytes + tailEnd - tailStart);
  for (let i = 0; i < groups.length; i++)
    length += groups[i]!.nameBytes.length + record.QUEUE_NAME_LENGTH_BYTES;
  return length;
}

/** Flags of a record that promises nothing. */
export function messageFlags({ passesKept }: MessageFrame, plain: boolean, hops: number): number {
  const flags = (plain ? record.FLAG_PLAIN : 0) | (passesKept ? record.FLAG_PASSES_KEPT : 0);
  return flags | (hops << record.HOPS_SHIFT);
}

/** Writes a message record at `offset`, where `messageLength` bytes are free. */
export function writeMessage(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  accountIndex: number,
  frame: MessageFrame,
  groups: readonly NamedGroup[],
  flags: number,
): void {
  const subjectBytes = frame.subjectEnd - frame.subjectStart;
  const tailBytes = frame.tailEnd - frame.tailStart;
  view.setInt32(offset + record.MESSAGE_ACCOUNT, accountIndex, true);
  view.setInt32(offset + record.MESSAGE_HASH, frame.subjectHash, true);
  view.setInt32(offset + record.MESSAGE_SUBJECT_LENGTH, subjectBytes, true);
  view.setInt32(offset + record.MESSAGE_REPLY_LENGTH, frame.replyBytes, true);
  view.setInt32(offset + record.MESSAGE_HEADER_LENGTH, frame.headerBytes, true);
  view.setInt32(offset + record.MESSAGE_PAYLOAD_LENGTH, frame.payloadBytes, true);
  view.setInt32(offset + record.MESSAGE_TAIL_LENGTH, tailBytes, true);
  view.setInt32(offset + record.MESSAGE_FLAGS, flags, true);
  view.setInt32(offset + record.MESSAGE_SHOWN_LENGTH, frame.shownBytes, true);
  let at = offset + record.MESSAGE_BYTES;
  const source = frame.bytes;
  for (let i = 0; i < subjectBytes; i++) bytes[at + i] = source[frame.subjectStart + i]!;
  at += subjectBytes;
  const { shownBytes, tailStart } = frame;
  if (shownBytes > 0) {
    for (let i = 0; i < shownBytes; i++) bytes[at + i] = source[tailStart - shownBytes + i]!;
    at += shownBytes;
  }
  if (tailBytes <= WORD_COPY_MAX_BYTES) {
    const words = frame.view;
    for (let i = 0; i < tailBytes; i += 4) view.setInt32(at + i, words.getInt32(tailStart + i, true), true);
  } else {
    copyBytes(bytes, at, source, tailStart, frame.tailEnd);
  }
  at += tailBytes;
  const queuesStart = at;
  for (let i = 0; i < groups.length; i++) {
    const name = groups[i]!.nameBytes;
    view.setInt32(at, name.length, true);
    at += record.QUEUE_NAME_LENGTH_BYTES;
    bytes.set(name, at);
    at += name.length;
  }
  view.setInt32(offset + record.MESSAGE_QUEUES_LENGTH, at - queuesStart, true);
}

/** Points `frame` at the message record at `offset`. @returns bytes of the groups it names, which stand behind the tail */
export function readMessage(frame: MessageFrame, bytes: Uint8Array, view: DataView, offset: number): number {
  frame.bytes = bytes;
  frame.view = view;
  frame.subjectHash = view.getInt32(offset + record.MESSAGE_HASH, true);
  frame.subjectStart = offset + record.MESSAGE_BYTES;
  frame.subjectEnd = frame.subjectStart + view.getInt32(offset + record.MESSAGE_SUBJECT_LENGTH, true);
  frame.shownBytes = view.getInt32(offset + record.MESSAGE_SHOWN_LENGTH, true);
  frame.tailStart = frame.subjectEnd + frame.shownBytes;
  frame.tailEnd = frame.tailStart + view.getInt32(offset + record.MESSAGE_TAIL_LENGTH, true);
  frame.replyBytes = view.getInt32(offset + record.MESSAGE_REPLY_LENGTH, true);
  frame.headerBytes = view.getInt32(offset + record.MESSAGE_HEADER_LENGTH, true);
  frame.payloadBytes = view.getInt32(offset + record.MESSAGE_PAYLOAD_LENGTH, true);
  frame.payloadStart = frame.tailEnd - frame.payloadBytes - 2;
  return view.getInt32(offset + record.MESSAGE_QUEUES_LENGTH, true);
}

/** What a message record says in front of its bytes, for whoever writes those by itself. Lengths in bytes. */
export interface MessageFields {
  accountIndex: number;
  subjectHash: number;
  subjectBytes: number;
  /** 0: subscribers see the subject they are found by. */
  shownBytes: number;
  replyBytes: number;
  /** -1: no header block. */
  headerBytes: number;
  payloadBytes: number;
  tailBytes: number;
}

/** Bytes of a record whose subject, shown subject and tail take `bytes`. */
export function recordLengthFor(bytes: number): number {
  return record.MESSAGE_BYTES + WORD_SLACK_BYTES + bytes;
}

/** Writes the fixed part of a message for plain subscriptions. @param flags beside `FLAG_PLAIN` */
export function writeMessageFields(
  view: DataView,
  offset: number,
  fields: MessageFields,
  flags: number,
): void {
  view.setInt32(offset + record.MESSAGE_ACCOUNT, fields.accountIndex, true);
  view.setInt32(offset + record.MESSAGE_HASH, fields.subjectHash, true);
  view.setInt32(offset + record.MESSAGE_SUBJECT_LENGTH, fields.subjectBytes, true);
  view.setInt32(offset + record.MESSAGE_REPLY_LENGTH, fields.replyBytes, true);
  view.setInt32(offset + record.MESSAGE_HEADER_LENGTH, fields.headerBytes, true);
  view.setInt32(offset + record.MESSAGE_PAYLOAD_LENGTH, fields.payloadBytes, true);
  view.setInt32(offset + record.MESSAGE_TAIL_LENGTH, fields.tailBytes, true);
  view.setInt32(offset + record.MESSAGE_FLAGS, record.FLAG_PLAIN | flags, true);
  view.setInt32(offset + record.MESSAGE_QUEUES_LENGTH, 0, true);
  view.setInt32(offset + record.MESSAGE_SHOWN_LENGTH, fields.shownBytes, true);
}

/** Reads the names of the queue groups, which are in `bytes[start, start + length)`, into `queues`. */
export function readQueues(
  queues: Uint8Array[],
  bytes: Uint8Array,
  view: DataView,
  start: number,
  length: number,
): void {
  queues.length = 0;
  for (let at = start; at < start + length; ) {
    const nameStart = at + record.QUEUE_NAME_LENGTH_BYTES;
    const nameEnd = nameStart + view.getInt32(at, true);
    queues.push(bytes.subarray(nameStart, nameEnd));
    at = nameEnd;
  }
}
