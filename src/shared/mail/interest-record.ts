import { latin1, latin1Bytes } from '../base/latin1.ts';
import * as record from './records.ts';

/** Records of interest; their layout is in `records.ts`. */

/** A thread's interest in one subject, as it is from now on. */
export interface InterestRecord {
  readonly accountIndex: number;
  readonly subject: string;
  /** Null: plain. */
  readonly queue: string | null;
  /** Members; 0: none. */
  readonly weight: number;
  /** JSON list of what isn't delivered to the members of a queue group; empty: nothing is left out. */
  readonly filter: string;
}

export function interestBytes(interest: InterestRecord): Uint8Array {
  const { accountIndex, subject, queue, weight, filter } = interest;
  const queueBytes = queue === null ? 0 : queue.length;
  const bytes = new Uint8Array(record.INTEREST_BYTES + subject.length + queueBytes + filter.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(record.INTEREST_ACCOUNT, accountIndex, true);
  view.setInt32(record.INTEREST_WEIGHT, weight, true);
  view.setInt32(record.INTEREST_SUBJECT_LENGTH, subject.length, true);
  view.setInt32(record.INTEREST_QUEUE_LENGTH, queue === null ? -1 : queueBytes, true);
  view.setInt32(record.INTEREST_FILTER_LENGTH, filter.length, true);
  bytes.set(latin1Bytes(subject), record.INTEREST_BYTES);
  if (queue !== null) bytes.set(latin1Bytes(queue), record.INTEREST_BYTES + subject.length);
  bytes.set(latin1Bytes(filter), record.INTEREST_BYTES + subject.length + queueBytes);
  return bytes;
}

export function readInterest(bytes: Uint8Array, view: DataView, offset: number): InterestRecord {
  const subjectStart = offset + record.INTEREST_BYTES;
  const subjectEnd = subjectStart + view.getInt32(offset + record.INTEREST_SUBJECT_LENGTH, true);
  const queueBytes = view.getInt32(offset + record.INTEREST_QUEUE_LENGTH, true);
  const queueEnd = subjectEnd + Math.max(queueBytes, 0);
  const filterEnd = queueEnd + view.getInt32(offset + record.INTEREST_FILTER_LENGTH, true);
  return {
    accountIndex: view.getInt32(offset + record.INTEREST_ACCOUNT, true),
    subject: latin1(bytes, subjectStart, subjectEnd),
    queue: queueBytes < 0 ? null : latin1(bytes, subjectEnd, queueEnd),
    weight: view.getInt32(offset + record.INTEREST_WEIGHT, true),
    filter: latin1(bytes, queueEnd, filterEnd),
  };
}
