/**
 * The way of a message into a stream (jetstream-streams §3): checks, storing, and what follows from it. The reply is handed
 * over with the store's ticket, so it leaves when the message is on disk; so is what is republished.
 */
import { latin1Bytes } from '../base/latin1.ts';
import { setHeader } from '../protocol/nats/headers.ts';
import { sourceMatches } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import { EMPTY_BYTES, type InboundMessage, NO_TICKET, textBytes } from './effects.ts';
import { type ApiError, apiError } from './errors.ts';
import { ackText, counterMember, DUPLICATE_MEMBER, refusalText } from './pub-ack.ts';
import { Publication } from './publication.ts';
import { admissionProblem, publicationProblem } from './publish-check.ts';
import { readPublishHeaders } from './publish-headers.ts';
import { enforceSubjectLimit, enforceTotals } from './retention.ts';
import { MessageDraft, StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { formatDuration, formatTime, joinTime, NANOS_PER_SECOND } from './time.ts';

/** `.$FI` */
const FAST_REPLY_SUFFIX = [0x2e, 0x24, 0x46, 0x49];
const draft = new MessageDraft();
const single = new Publication();
const last = new StoredMessage();

/** What became of a message. */
export interface PublishOutcome {
  /** Sequence it has, or its original when it is a duplicate; 0: refused. */
  sequence: number;
  duplicate: boolean;
  /** Null with sequence 0: the store failed, and nobody is told. */
  error: ApiError | null;
}

const FAILED: Readonly<PublishOutcome> = { sequence: 0, duplicate: false, error: null };
/** The outcome of most messages. */
const stored: PublishOutcome = { sequence: 0, duplicate: false, error: null };

/** A message on one of the stream's subjects. */
export function receive(stream: Stream, message: InboundMessage): void {
  if (stream.closed || stream.config.mirror !== null) return;
  stream.touch();
  const publication = single.adopt(message);
  if (isFastReply(message) && stream.fastBatches.receive(publication)) return;
  if (publication.headers['Nats-Batch-Id'] !== null) {
    stream.atomicBatches.receive(publication);
    return;
  }
  const outcome = publishOne(stream, publication);
  reply(stream, publication, outcome);
}

function isFastReply({ bytes, replyStart, replyEnd }: InboundMessage): boolean {
  const at = replyEnd - FAST_REPLY_SUFFIX.length;
  if (at < replyStart || bytes[replyEnd - 1] !== FAST_REPLY_SUFFIX[3]) return false;
  return FAST_REPLY_SUFFIX.every((byte, i) => bytes[at + i] === byte);
}

function reply(stream: Stream, publication: Publication, outcome: Readonly<PublishOutcome>): void {
  if (!publication.hasReply || stream.config.noAck) return;
  const { sequence, duplicate, error } = outcome;
  if (error !== null) refuse(stream, publication.reply, error);
  else if (sequence > 0 && !duplicate && publication.counterTotal === null) {
    const { replyBytes, replyStart, replyEnd } = publication;
    stream.engine.effects.acknowledge(
      stream.account.name,
      replyBytes,
      replyStart,
      replyEnd,
      stream.ackPrefixBytes,
      sequence,
      stream.ticket,
    );
  } else if (sequence > 0) {
    const total = publication.counterTotal;
    const more = duplicate ? DUPLICATE_MEMBER : total === null ? '' : counterMember(total);
    acknowledge(stream, publication.reply, ackText(stream, sequence, more));
  }
}

/**
 * Sends an acknowledgement once what it promises is durable. A log that stopped makes nothing durable any more: duplicates of
 * messages it may have lost, and batches with such, are not acknowledged.
 */
export function acknowledge(stream: Stream, replySubject: string, text: string): void {
  if (replySubject === '' || stream.config.noAck) return;
  if (stream.ticket !== NO_TICKET && stream.engine.store.stopped !== null) return;
  stream.engine.effects.send(
    stream.account.name,
    replySubject,
    '',
    EMPTY_BYTES,
    textBytes(text),
    stream.ticket,
  );
}

export function refuse(stream: Stream, replySubject: string, error: ApiError): void {
  if (replySubject === '' || stream.config.noAck) return;
  const text = textBytes(refusalText(stream, error));
  stream.engine.effects.send(stream.account.name, replySubject, '', EMPTY_BYTES, text, NO_TICKET);
}

/** Checks and stores one message by itself. The outcome is good until the next call. */
export function publishOne(stream: Stream, publication: Publication): Readonly<PublishOutcome> {
  const error = admissionProblem(publication, stream) ?? publicationProblem(publication, stream.view);
  if (error !== null) return { sequence: 0, duplicate: false, error };
  if (publication.duplicateOf > 0) return { sequence: publication.duplicateOf, duplicate: true, error: null };
  return storePublication(stream, publication);
}

/** Stores a message that passed its checks, and does what follows from it. The outcome is good until the next call. */
export function storePublication(stream: Stream, p: Publication): Readonly<PublishOutcome> {
  const sequence = p.unwanted ? skip(stream, p.sequence) : append(stream, p);
  if (sequence < 0) return storeFailure(stream);
  const id = p.headers['Nats-Msg-Id'];
  stream.lastMsgId = id ?? '';
  const nowMs = stream.engine.clock.ms;
  if (id !== null) stream.dedupe.add(id, sequence, nowMs);
  if (p.unwanted) {
    if (p.rollup !== 'none') rollUp(stream, p, sequence);
  } else afterStoring(stream, p, sequence);
  stream.settle();
  stored.sequence = sequence;
  return stored;
}

/** Uses up a sequence; 0 is the next one. */
function skip(stream: Stream, wanted: number): number {
  const { ms, nanos } = stream.engine.clock;
  const sequence = wanted === 0 ? stream.store.lastSeq + 1 : wanted;
  return stream.store.skip(sequence, ms, nanos) ? sequence : -1;
}

function append(stream: Stream, p: Publication): number {
  const { clock } = stream.engine;
  draft.subjectBytes = p.subjectBytes;
  draft.subjectStart = p.subjectStart;
  draft.subjectEnd = p.subjectEnd;
  draft.headerBytes = p.headerBytes;
  draft.headerStart = p.headerStart;
  draft.headerEnd = p.headerEnd;
  draft.payloadBytes = p.payloadBytes;
  draft.payloadView = p.payloadView;
  draft.payloadStart = p.payloadStart;
  draft.payloadEnd = p.payloadEnd;
  draft.timestampMs = p.timestampMs < 0 ? clock.ms : p.timestampMs;
  draft.timestampNanos = p.timestampMs < 0 ? clock.nanos : p.timestampNanos;
  draft.ttlSeconds = p.ttlSeconds;
  draft.sequence = p.sequence;
  const sequence = stream.store.append(draft);
  if (stream.store.storage === 'file') stream.engine.appendedTicket = stream.engine.store.ticket;
  return sequence;
}

/** Nothing is said to the publisher unless it is about room: that another server may have. */
function storeFailure(stream: Stream): Readonly<PublishOutcome> {
  const failure = stream.store.failure ?? stream.engine.store.failure;
  stream.engine.effects.warn(
    `JetStream failed to store a msg on stream '${stream.account.name} > ${stream.name}': ${failure?.message ?? 'unknown'}`,
  );
  if (failure?.code === 'no_space') return { sequence: 0, duplicate: false, error: apiError(10023) };
  if (failure?.code === 'too_large')
    return { sequence: 0, duplicate: false, error: apiError(10077, { err: 'message too large' }) };
  return FAILED;
}

function afterStoring(stream: Stream, p: Publication, sequence: number): void {
  const { store, config } = stream;
  const previousSeq = store.appendedPreviousSeq;
  const crowded = config.maxMsgsPerSubject > 0 && store.appendedSubjectMessages > config.maxMsgsPerSubject;
  stream.trackTtl(sequence, draft.timestampMs, p.ttlSeconds);
  if (crowded) enforceSubjectLimit(stream, p.subject);
  enforceTotals(stream);
  if (p.rollup !== 'none') rollUp(stream, p, sequence);
  if (config.allowMsgSchedules) stream.schedules.stored(p, sequence);
  if (stream.republish !== null) republish(stream, p, sequence, previousSeq);
  stream.readers.stored(sequence, p);
}

/**
 * Does again what the last message takes away: a crash may have come between it and that. Nothing is left to do when it
 * didn't.
 */
export function finishLast(stream: Stream): void {
  const { store, config } = stream;
  if (!store.load(store.lastSeq, last)) return;
  const block = last.headers();
  if (block.length === 0) return;
  const headers = readPublishHeaders(block, 0, block.length);
  const filter = store.filter([last.subject()]);
  const rollup = headers['Nats-Rollup']?.toLowerCase();
  if (rollup === 'sub') stream.purge({ filter, beforeSeq: 0, keep: 1 });
  else if (rollup === 'all') stream.purge({ filter: null, beforeSeq: store.lastSeq, keep: 0 });
  const scheduler = headers['Nats-Scheduler'];
  if (config.allowMsgSchedules && headers['Nats-Schedule-Next'] === 'purge' && scheduler !== null)
    stream.purge({ filter: store.filter([scheduler]), beforeSeq: 0, keep: 0 });
}

/** Purges what a roll-up message replaces (§4.4); of an unwanted one nothing is there to stay. */
function rollUp(stream: Stream, p: Publication, sequence: number): void {
  const { store } = stream;
  const keep = p.unwanted ? 0 : 1;
  if (p.rollup === 'sub') {
    stream.purge({ filter: store.filter([p.subject]), beforeSeq: 0, keep });
    return;
  }
  stream.purge({ filter: null, beforeSeq: p.unwanted ? 0 : sequence, keep: 0 });
}

/** Appends header lines to a block, or makes one. */
export function appendHeaderLines(block: Uint8Array, lines: string): Uint8Array {
  const text = latin1Bytes(`${block.length === 0 ? 'NATS/1.0\r\n' : ''}${lines}\r\n`);
  const kept = Math.max(0, block.length - 2);
  const result = new Uint8Array(kept + text.length);
  result.set(block.subarray(0, kept));
  result.set(text, kept);
  return result;
}

function republish(stream: Stream, p: Publication, sequence: number, previousSeq: number): void {
  const transform = stream.republish;
  const { subject } = p;
  if (transform === null || !sourceMatches(subject, transform.source)) return;
  const { engine, config } = stream;
  const time = formatTime(joinTime(draft.timestampMs, draft.timestampNanos));
  const headersOnly = config.republish?.headersOnly ?? false;
  const lines =
    `Nats-Stream: ${wireText(stream.name)}\r\nNats-Subject: ${subject}\r\nNats-Sequence: ${sequence}\r\n` +
    `Nats-Time-Stamp: ${time}\r\nNats-Last-Sequence: ${previousSeq}\r\n` +
    (headersOnly ? `Nats-Msg-Size: ${p.payloadLength}\r\n` : '');
  engine.effects.send(
    stream.account.name,
    transform.apply(subject, engine.random),
    '',
    appendHeaderLines(p.headerBlock(), lines),
    headersOnly ? EMPTY_BYTES : p.payload().slice(),
    stream.ticket,
  );
}

/** Leaves a marker on a subject whose last message expired (§4.6). */
export function storeMarker(stream: Stream, subject: string, ttlSeconds: number): void {
  const ttl = formatDuration(BigInt(ttlSeconds) * NANOS_PER_SECOND);
  let headers = setHeader(EMPTY_BYTES, 'Nats-Marker-Reason', 'MaxAge');
  headers = setHeader(headers, 'Nats-TTL', ttl);
  headers = setHeader(headers, 'Nats-Rollup', 'sub');
  const marker = new Publication().compose(subject, headers, EMPTY_BYTES);
  marker.ttlSeconds = ttlSeconds;
  marker.rollup = 'sub';
  if (stream.config.retention === 'interest' && !stream.readers.hasInterest(subject)) marker.unwanted = true;
  storePublication(stream, marker);
}
