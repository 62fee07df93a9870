/** The body of MSG.GET and of direct get (jetstream-api §3.2, §5.1). */
import {
  boolField,
  type FieldReaders,
  fieldReaders,
  integerField,
  stringField,
  stringsField,
  timeField,
} from './json-fields.ts';

export interface MessageRequest {
  /** 0 is unset. */
  seq: number;
  /** Empty is unset; so are the other texts. */
  lastBySubject: string;
  nextBySubject: string;
  startTimeNs: bigint | null;
  batch: number;
  maxBytes: number;
  multiLast: string[];
  upToSeq: number;
  upToTimeNs: bigint | null;
  noHeaders: boolean;
}

export function emptyMessageRequest(): MessageRequest {
  return {
    seq: 0,
    lastBySubject: '',
    nextBySubject: '',
    startTimeNs: null,
    batch: 0,
    maxBytes: 0,
    multiLast: [],
    upToSeq: 0,
    upToTimeNs: null,
    noHeaders: false,
  };
}

export const MESSAGE_REQUEST_READERS: FieldReaders<MessageRequest> = fieldReaders<MessageRequest>({
  seq: integerField('seq', 'uint64'),
  last_by_subj: stringField('lastBySubject'),
  next_by_subj: stringField('nextBySubject'),
  start_time: timeField('startTimeNs'),
  batch: integerField('batch', 'int'),
  max_bytes: integerField('maxBytes', 'int'),
  multi_last: stringsField('multiLast'),
  up_to_seq: integerField('upToSeq', 'uint64'),
  up_to_time: timeField('upToTimeNs'),
  no_hdr: boolField('noHeaders'),
});
