/**
 * Whether a message may be stored (jetstream-streams §3.2): nats-server's checks in nats-server's order, so that of
 * several reasons to refuse the same one is given. Nothing is changed but the publication itself; batches run the same
 * checks over a view that has their earlier messages in it.
 */
import { removeHeader, setHeader } from '../protocol/nats/headers.ts';
import { isValidSubject } from '../subject/subject.ts';
import { counterPayload, parseIncrement } from './counter.ts';
import { type ApiError, apiError, apiErrorText } from './errors.ts';
import { MAX_HEADER_BYTES, MAX_RECORD_BYTES } from './limits.ts';
import { parseTtl } from './message-ttl.ts';
import type { Publication } from './publication.ts';
import { NO_PUBLISH_HEADERS } from './publish-headers.ts';
import type { PublishView } from './publish-view.ts';
import { checkScheduleHeaders } from './schedule-check.ts';
import { StoredMessage, TTL_NEVER } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { NANOS_PER_SECOND } from './time.ts';

/** Length fields and checksum of a record in nats-server's store. */
const RECORD_OVERHEAD_BYTES = 34;
const message = new StoredMessage();

/** The number in a header that expects a sequence; what is no number can never be met. */
function expectedSequence(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : -1;
}

function wrongLast(sequence: number): ApiError {
  return apiError(10071, { seq: String(sequence) });
}

function counterHeaderProblem(p: Publication, stream: Stream): ApiError | null {
  const increment = p.headers['Nats-Incr'];
  if (increment === null) return null;
  if (parseIncrement(increment) === null) return apiError(10171);
  if (p.sourced) return null;
  if (!stream.config.allowMsgCounter) return apiError(10168);
  if (p.payloadLength > 0) return apiError(10170);
  const { headers } = p;
  const conflicts =
    headers['Nats-Rollup'] ??
    headers['Nats-Expected-Stream'] ??
    headers['Nats-Expected-Last-Sequence'] ??
    headers['Nats-Expected-Last-Subject-Sequence'] ??
    headers['Nats-Expected-Last-Subject-Sequence-Subject'] ??
    headers['Nats-Expected-Last-Msg-Id'];
  return conflicts === null ? null : apiError(10171);
}

function subjectSequenceProblem(p: Publication, view: PublishView): ApiError | null {
  const expected = p.headers['Nats-Expected-Last-Subject-Sequence'];
  const other = p.headers['Nats-Expected-Last-Subject-Sequence-Subject'];
  if (expected === null) return other === null ? null : apiError(10193);
  const subject = other ?? p.subject;
  if (view.isWritten(subject)) return apiError(10164);
  const last = isValidSubject(subject) ? view.stream.lastSeqOn(subject) : 0;
  return last === expectedSequence(expected) ? null : wrongLast(last);
}

function expectationProblem(p: Publication, view: PublishView): ApiError | null {
  const { headers } = p;
  const { stream } = view;
  const expectedStream = headers['Nats-Expected-Stream'];
  if (expectedStream !== null && expectedStream !== stream.name) return apiError(10060);
  const ttl = headers['Nats-TTL'];
  const forbidsTtl = !stream.config.allowMsgTtl && !p.sourced;
  if (ttl !== null && forbidsTtl && parseTtl(ttl) > 0) return apiError(10166);
  const problem = subjectSequenceProblem(p, view);
  if (problem !== null) return problem;
  const expected = headers['Nats-Expected-Last-Sequence'];
  if (expected === null) return null;
  // Within a batch the number is compared with the sequence that would be reached, and even the right one is refused.
  const lastSeq = stream.store.lastSeq + view.position;
  if (lastSeq !== expectedSequence(expected)) return wrongLast(lastSeq);
  return view.position > 0 ? apiError(10164) : null;
}

function identityProblem(p: Publication, view: PublishView): ApiError | null {
  const { headers } = p;
  const { stream } = view;
  if (headers['Nats-Stream-Source'] !== null && !p.sourced) return apiError(10227);
  const id = headers['Nats-Msg-Id'];
  if (id !== null && stream.config.mirror === null) {
    const sequence = view.findId(id);
    if (sequence !== 0 && view.isBatch) return apiError(10201);
    p.duplicateOf = sequence;
    if (sequence !== 0) return null;
  }
  const expected = headers['Nats-Expected-Last-Msg-Id'];
  if (expected === null) return null;
  if (view.isBatch) return apiError(10177, { header: 'Nats-Expected-Last-Msg-Id' });
  return expected === stream.lastMsgId ? null : apiError(10070, { id: stream.lastMsgId });
}

function rollupProblem(p: Publication, view: PublishView): ApiError | null {
  const value = p.headers['Nats-Rollup'];
  if (value === null) return null;
  const { config } = view.stream;
  if (!p.sourced && (!config.allowRollup || config.denyPurge))
    return apiErrorText(10111, 'rollup not permitted');
  const rollup = value.toLowerCase();
  if (rollup !== 'sub' && rollup !== 'all')
    return apiErrorText(10111, `rollup value invalid: ${JSON.stringify(value)}`);
  if (rollup === 'all' && view.position > 0) return apiErrorText(10111, 'batch rollup all invalid');
  if (rollup === 'sub' && view.isWritten(p.subject)) return apiErrorText(10111, 'batch rollup sub invalid');
  p.rollup = rollup;
  return null;
}

function counterProblem(p: Publication, view: PublishView): ApiError | null {
  if (!view.stream.config.allowMsgCounter) return null;
  const increment = p.headers['Nats-Incr'];
  if (increment === null) return apiError(10169);
  const total = view.counter(p.subject);
  if (total === null) return apiError(10172);
  p.counterTotal = total + parseIncrement(increment)!;
  p.setPayload(counterPayload(p.counterTotal));
  const { maxPayloadBytes } = view.stream.engine.options;
  return p.headerLength + p.payloadLength > maxPayloadBytes ? apiError(10054) : null;
}

/** Sizes and resources; also asked for each message of a batch when it arrives. */
export function sizeProblem(p: Publication, view: PublishView): ApiError | null {
  const { stream } = view;
  const { maxMsgSizeBytes } = stream.config;
  const bytes = p.headerLength + p.payloadLength;
  if (maxMsgSizeBytes > 0 && bytes > maxMsgSizeBytes) return apiError(10054);
  if (p.headerLength > MAX_HEADER_BYTES) return apiError(10097);
  const size = stream.store.accountingBytes(p.subjectLength, p.headerLength, p.payloadLength);
  const { storage } = stream.store;
  return stream.account.resourceProblem(storage, stream.config.replicas, size + view.earlierBytes);
}

function ttlProblem(p: Publication, stream: Stream): ApiError | null {
  const text = p.headers['Nats-TTL'];
  if (text === null) return null;
  const ttl = parseTtl(text);
  if (ttl === 0) return p.sourced ? null : apiError(10165);
  p.ttlSeconds = ttl;
  const { subjectDeleteMarkerTtlNs, maxMsgsPerSubject } = stream.config;
  const least = Number(subjectDeleteMarkerTtlNs / NANOS_PER_SECOND);
  if (ttl !== TTL_NEVER && ttl < least && maxMsgsPerSubject !== 1) {
    p.ttlSeconds = least;
    p.setHeaderBlock(setHeader(p.headerBlock(), 'Nats-TTL', String(least)));
  }
  return null;
}

function full(what: string): ApiError {
  return apiErrorText(10077, `maximum ${what} exceeded`);
}

/** Limits of a stream that refuses instead of discarding (§4.1). */
function discardNewProblem(p: Publication, view: PublishView): ApiError | null {
  const { stream } = view;
  const { config, store } = stream;
  if (config.discard !== 'new') return null;
  const most = config.maxMsgsPerSubject;
  const replaces = most > 0 && view.subjectMessages(p.subject) >= most;
  if (replaces && config.discardNewPerSubject && p.rollup === 'none') return full('messages per subject');
  if (config.maxMsgs > 0 && view.messages >= config.maxMsgs && !replaces) return full('messages');
  const bytes = store.accountingBytes(p.subjectLength, p.headerLength, p.payloadLength);
  if (config.maxBytes <= 0 || view.bytes + bytes <= config.maxBytes) return null;
  return replaces && freedBytes(p.subject, stream) >= bytes ? null : full('bytes');
}

/** What the oldest message of a subject takes up. */
function freedBytes(subject: string, { store }: Stream): number {
  const state = store.subjectState(subject);
  if (state === null || !store.load(state.firstSeq, message)) return 0;
  const headers = message.headerEnd - message.headerStart;
  return store.accountingBytes(subject.length, headers, message.payloadEnd - message.payloadStart);
}

/** What comes before everything else: the subject that counts, the record's size, a sealed stream. */
export function admissionProblem(p: Publication, stream: Stream): ApiError | null {
  const transform = stream.subjectTransform;
  if (transform !== null && !p.sourced && !p.internal) {
    const { subject } = p;
    if (stream.matchesTransform(subject)) p.setSubject(transform.apply(subject, stream.engine.random));
  }
  const recordBytes = RECORD_OVERHEAD_BYTES + p.subjectLength + p.headerLength + p.payloadLength;
  if (stream.store.storage === 'file' && recordBytes > MAX_RECORD_BYTES)
    return apiErrorText(10077, 'message too large');
  if (stream.config.sealed) return apiError(10109);
  if (p.headers['Nats-Request-Info'] !== null)
    p.setHeaderBlock(removeHeader(p.headerBlock(), 'Nats-Request-Info'));
  return null;
}

/**
 * Everything else.
 *
 * @returns why the message is refused; null also for a duplicate, which `duplicateOf` tells
 */
export function publicationProblem(p: Publication, view: PublishView): ApiError | null {
  const { stream } = view;
  if (p.headers !== NO_PUBLISH_HEADERS) {
    const problem =
      counterHeaderProblem(p, stream) ??
      expectationProblem(p, view) ??
      (p.sourced || p.internal ? null : checkScheduleHeaders(p, stream)) ??
      identityProblem(p, view);
    if (problem !== null) return problem;
    if (p.duplicateOf !== 0) return null;
  }
  const problem = rollupProblem(p, view) ?? counterProblem(p, view) ?? sizeProblem(p, view);
  if (problem !== null) return problem;
  if (stream.config.retention === 'interest' && !stream.readers.hasInterest(p.subject)) {
    p.unwanted = true;
    return null;
  }
  return ttlProblem(p, stream) ?? discardNewProblem(p, view);
}
