/** The body of MSG.GET and of direct get (jetstream-api §3.2, §5.1). */
import {
  type FieldReaders,
  fieldReaders,
  readBool,
  readInteger,
  readString,
  readStrings,
  readTime,
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
  seq: (request, node, at) => {
    request.seq = readInteger(node, at, 'uint64');
  },
  last_by_subj: (request, node, at) => {
    request.lastBySubject = readString(node, at);
  },
  next_by_subj: (request, node, at) => {
    request.nextBySubject = readString(node, at);
  },
  start_time: (request, node, at) => {
    request.startTimeNs = readTime(node, at);
  },
  batch: (request, node, at) => {
    request.batch = readInteger(node, at, 'int');
  },
  max_bytes: (request, node, at) => {
    request.maxBytes = readInteger(node, at, 'int');
  },
  multi_last: (request, node, at) => {
    request.multiLast = readStrings(node, at) ?? [];
  },
  up_to_seq: (request, node, at) => {
    request.upToSeq = readInteger(node, at, 'uint64');
  },
  up_to_time: (request, node, at) => {
    request.upToTimeNs = readTime(node, at);
  },
  no_hdr: (request, node, at) => {
    request.noHeaders = readBool(node, at);
  },
});
