import { MessageFrame } from '../base/message-frame.ts';
import * as record from './records.ts';

/**
 * Runs of messages: what a consumer sends to one subject travels as one record, with the subject in it once, so that the
 * receiver finds the destinations once. Their layout is in `records.ts`.
 */

/** Word copies of one message may reach into what comes behind it, which is written later. */
const OVERRUN_BYTES = 3;
const WORD_BYTES = 4;

/** Where the messages of a run go. */
export interface RunTarget {
  readonly account: { readonly index: number };
  readonly subjectBytes: Uint8Array;
  readonly subjectHash: number;
}

/** Lengths of a message of a run, in bytes. */
export interface RunMessage {
  /** Of the subject that subscribers see. */
  readonly shownBytes: number;
  readonly replyBytes: number;
  /** 0: no header block. */
  readonly headerBytes: number;
  /** Headers and payload. */
  readonly totalBytes: number;
  readonly tailBytes: number;
}

/** Bytes of a run that has no message yet. */
export function runHeadBytes(target: RunTarget): number {
  return align(record.RUN_BYTES + target.subjectBytes.length);
}

/** Bytes that a message takes in a run. */
export function runMessageBytes(message: RunMessage): number {
  return align(record.RUN_MESSAGE_BYTES + message.shownBytes + message.tailBytes + OVERRUN_BYTES);
}

function align(bytes: number): number {
  return (bytes + WORD_BYTES - 1) & -WORD_BYTES;
}

/** Writes the beginning of a run at `offset`. */
export function writeRunHead(bytes: Uint8Array, view: DataView, offset: number, target: RunTarget): void {
  const { account, subjectBytes, subjectHash } = target;
  view.setInt32(offset + record.RUN_ACCOUNT, account.index, true);
  view.setInt32(offset + record.RUN_HASH, subjectHash, true);
  view.setInt32(offset + record.RUN_SUBJECT_LENGTH, subjectBytes.length, true);
  const start = offset + record.RUN_BYTES;
  for (let i = 0; i < subjectBytes.length; i++) bytes[start + i] = subjectBytes[i]!;
}

/** Writes the lengths of a message at `at`. @returns where its shown subject and its tail go, one behind the other */
export function writeRunMessage(view: DataView, at: number, message: RunMessage): number {
  const { headerBytes } = message;
  view.setInt32(at + record.RUN_MESSAGE_SHOWN_LENGTH, message.shownBytes, true);
  view.setInt32(at + record.RUN_MESSAGE_REPLY_LENGTH, message.replyBytes, true);
  view.setInt32(at + record.RUN_MESSAGE_HEADER_LENGTH, headerBytes > 0 ? headerBytes : -1, true);
  view.setInt32(at + record.RUN_MESSAGE_PAYLOAD_LENGTH, message.totalBytes, true);
  view.setInt32(at + record.RUN_MESSAGE_TAIL_LENGTH, message.tailBytes, true);
  return at + record.RUN_MESSAGE_BYTES;
}

/** A run that has arrived. One instance is reused; what it shows is good during the call that hands it over. */
export class MessageRun {
  /** The message that `next` went to. */
  readonly frame = new MessageFrame();
  accountIndex = 0;
  #at = 0;
  #end = 0;

  /** Begins to read the run in the `length` bytes at `offset`. */
  open(bytes: Uint8Array, view: DataView, offset: number, length: number): this {
    const { frame } = this;
    frame.bytes = bytes;
    frame.view = view;
    frame.subjectHash = view.getInt32(offset + record.RUN_HASH, true);
    frame.subjectStart = offset + record.RUN_BYTES;
    frame.subjectEnd = frame.subjectStart + view.getInt32(offset + record.RUN_SUBJECT_LENGTH, true);
    this.accountIndex = view.getInt32(offset + record.RUN_ACCOUNT, true);
    this.#at = align(frame.subjectEnd);
    this.#end = offset + length;
    return this;
  }

  /** Goes to the next message. @returns false when there is none */
  next(): boolean {
    const at = this.#at;
    if (at >= this.#end) return false;
    const { frame } = this;
    const { view } = frame;
    const shownBytes = view.getInt32(at + record.RUN_MESSAGE_SHOWN_LENGTH, true);
    frame.shownBytes = shownBytes;
    frame.replyBytes = view.getInt32(at + record.RUN_MESSAGE_REPLY_LENGTH, true);
    frame.headerBytes = view.getInt32(at + record.RUN_MESSAGE_HEADER_LENGTH, true);
    frame.payloadBytes = view.getInt32(at + record.RUN_MESSAGE_PAYLOAD_LENGTH, true);
    frame.tailStart = at + record.RUN_MESSAGE_BYTES + shownBytes;
    frame.tailEnd = frame.tailStart + view.getInt32(at + record.RUN_MESSAGE_TAIL_LENGTH, true);
    frame.payloadStart = frame.tailEnd - frame.payloadBytes - 2;
    this.#at = align(frame.tailEnd + OVERRUN_BYTES);
    return true;
  }
}
