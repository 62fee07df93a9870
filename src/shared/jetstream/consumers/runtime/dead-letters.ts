/**
 * Dead letters: a message that is given up is published to a subject instead of being forgotten. Not part of
 * nats-server; a consumer asks for it in its metadata.
 *
 * | metadata | meaning |
 * | --- | --- |
 * | `natsd.dead_letter.subject` | where messages go that reached `max_deliver`, or were answered with `+TERM`; literal |
 *
 * The message keeps its payload and headers and gets these:
 *
 * | header | value |
 * | --- | --- |
 * | `Natsd-Dead-Letter-Cause` | `max_deliver` or `terminated` |
 * | `Natsd-Dead-Letter-Reason` | text behind `+TERM`, when there is one |
 * | `Natsd-Dead-Letter-Stream`, `-Consumer`, `-Subject`, `-Sequence` | where it comes from |
 * | `Natsd-Dead-Letter-Deliveries` | how often it was delivered |
 * | `Natsd-Dead-Letter-Time` | time of the original, RFC 3339 |
 *
 * When the subject is a stream's of this account, the stream takes the message in the same change of the store that
 * settles it: after a crash it is in exactly one of the two. Otherwise it is sent when its settlement is durable. Either
 * way it counts as acknowledged, so work-queue and interest streams let go of it. A stream that refuses the message
 * leaves it pending, and it is tried again after `ack_wait`.
 */
import { removeHeader } from '../../../protocol/nats/headers.ts';
import { isValidLiteralSubject } from '../../../subject/subject.ts';
import { wireText } from '../../../subject/wire-text.ts';
import { Publication } from '../../publication.ts';
import { appendHeaderLines, publishOne } from '../../publish.ts';
import { StoredMessage } from '../../store/contract.ts';
import type { Stream } from '../../stream.ts';
import { formatTime, joinTime } from '../../time.ts';
import type { Consumer } from './consumer.ts';

export const DEAD_LETTER_SUBJECT_KEY = 'natsd.dead_letter.subject';

const message = new StoredMessage();

/** Subject for dead letters in wire form; empty when there is none, or it is not a literal subject. */
export function deadLetterSubject(metadata: ReadonlyMap<string, string>): string {
  const subject = wireText(metadata.get(DEAD_LETTER_SUBJECT_KEY) ?? '');
  return subject !== '' && isValidLiteralSubject(subject) ? subject : '';
}

function streamOn(consumer: Consumer, subject: string): Stream | null {
  for (const stream of consumer.stream.account.streams.values()) {
    if (!stream.closed && stream.config.mirror === null && stream.hasSubject(subject)) return stream;
  }
  return null;
}

function headersOf(consumer: Consumer, cause: string, reason: string, deliveries: number): Uint8Array {
  const prefix = 'Natsd-Dead-Letter';
  const why = reason === '' ? '' : `${prefix}-Reason: ${wireText(reason.replace(/[\r\n]/g, ' '))}\r\n`;
  const time = formatTime(joinTime(message.timestampMs, message.timestampNanos));
  const lines =
    `${prefix}-Cause: ${cause}\r\n${why}${prefix}-Stream: ${wireText(consumer.stream.name)}\r\n` +
    `${prefix}-Consumer: ${wireText(consumer.name)}\r\n${prefix}-Subject: ${message.subject()}\r\n` +
    `${prefix}-Sequence: ${message.sequence}\r\n${prefix}-Deliveries: ${deliveries}\r\n${prefix}-Time: ${time}\r\n`;
  return appendHeaderLines(plainHeaders(message.headers()), lines);
}

/** Headers that ask something of the stream that stores a message; what they asked for has been done. */
const PUBLISH_HEADERS = [
  'Nats-Msg-Id',
  'Nats-Expected-Stream',
  'Nats-Expected-Last-Sequence',
  'Nats-Expected-Last-Subject-Sequence',
  'Nats-Expected-Last-Subject-Sequence-Subject',
  'Nats-Expected-Last-Msg-Id',
  'Nats-Rollup',
  'Nats-TTL',
  'Nats-Incr',
  'Nats-Batch-Id',
  'Nats-Batch-Sequence',
  'Nats-Batch-Commit',
];

function plainHeaders(block: Uint8Array): Uint8Array {
  let headers = block;
  if (headers.length > 0) for (const name of PUBLISH_HEADERS) headers = removeHeader(headers, name);
  return headers;
}

/**
 * Publishes a message that is given up, and settles it.
 *
 * @param settle makes the message count as acknowledged, and logs that
 * @returns false when it could not be published; nothing is settled then
 */
export function buryMessage(
  consumer: Consumer,
  sequence: number,
  deliveries: number,
  cause: 'max_deliver' | 'terminated',
  reason: string,
  settle: () => void,
): boolean {
  const { engine, stream } = consumer;
  const subject = consumer.settings.deadLetter;
  if (!stream.store.load(sequence, message)) {
    if (stream.store.unreadableSeq > 0) return false;
    settle();
    return true;
  }
  const headers = headersOf(consumer, cause, reason, deliveries);
  const payload = message.payload();
  const target = streamOn(consumer, subject);
  if (target === null) {
    settle();
    consumer.log?.flush();
    engine.effects.send(consumer.account, subject, '', headers, payload.slice(), consumer.ticket);
    return true;
  }
  const letter = new Publication().compose(subject, headers, payload);
  letter.internal = true;
  engine.store.beginGroup();
  const { sequence: stored, error } = publishOne(target, letter);
  if (stored > 0) {
    settle();
    consumer.log?.flush();
  }
  engine.store.endGroup();
  if (stored > 0) return true;
  const why = error?.description ?? 'the store failed';
  engine.effects.warn(
    `JetStream consumer '${consumer.account} > ${stream.name} > ${consumer.name}' keeps message ${sequence}: ` +
      `stream '${target.name}' refused it as a dead letter: ${why}`,
  );
  return false;
}
