/** Acknowledgements of every kind (jetstream-consumers §8). */
import { EMPTY_BYTES, type InboundMessage } from '../../effects.ts';
import { releaseMessage } from '../../retention.ts';
import { StoredMessage } from '../../store/contract.ts';
import { adviseNaked, adviseTerminated, sendAckMetric } from '../consumer-advisories.ts';
import { ackArgument, ackKind, nakDelayMs } from './ack-body.ts';
import type { AckSubject } from './ack-subject.ts';
import type { Consumer } from './consumer.ts';
import { buryMessage } from './dead-letters.ts';
import { PullSide } from './pull-side.ts';

const known = new StoredMessage();
/** What is earlier is no message's time: clients that make up the subject by hand write anything there, and are believed. */
const FIRST_PLAUSIBLE_MS = Date.UTC(2001, 0, 1);

/**
 * Whether an acknowledgement is of a message that is gone and whose sequence another one has. A crash may take back what was
 * delivered and not synced; its client may still acknowledge it to the process that comes after. The time tells the two
 * apart; of messages of this process it needn't be compared.
 */
function isStale(consumer: Consumer, subject: AckSubject): boolean {
  const { engine, state } = consumer;
  const { streamSeq, timeMs, timeNanos } = subject;
  // One that is later than now is of a process whose clock was ahead.
  if (timeMs > engine.recoveredMs && timeMs <= engine.clock.ms) return false;
  if (streamSeq >= state.streamSeq || timeMs < FIRST_PLAUSIBLE_MS) return false;
  if (consumer.stream.store.load(streamSeq, known))
    return known.timestampMs !== timeMs || known.timestampNanos !== timeNanos;
  // Nobody can tell any more. What settles nothing is answered all the same, for it may be asked again.
  return state.mode === 'all' ? streamSeq > state.floorStreamSeq : state.pending.find(streamSeq) >= 0;
}

/** A message on an acknowledgement subject of this consumer. */
export function receiveAck(consumer: Consumer, subject: AckSubject, message: InboundMessage): void {
  const { bytes, payloadStart, payloadEnd } = message;
  const kind = ackKind(bytes, payloadStart, payloadEnd);
  if (isStale(consumer, subject)) {
    if (kind === 'next') requestMore(consumer, message);
    return;
  }
  if (kind === 'next') {
    acknowledge(consumer, subject, true);
    requestMore(consumer, message);
    return;
  }
  if (!carryOut(consumer, kind, subject, message)) return;
  if (message.reply === '') return;
  // The reply says that it will not be forgotten.
  consumer.log?.flush();
  consumer.engine.effects.send(
    consumer.account,
    message.reply,
    '',
    EMPTY_BYTES,
    EMPTY_BYTES,
    consumer.ticket,
  );
}

/** @returns whether it is answered */
function carryOut(
  consumer: Consumer,
  kind: 'ack' | 'nak' | 'progress' | 'term' | 'unknown',
  subject: AckSubject,
  message: InboundMessage,
): boolean {
  switch (kind) {
    case 'ack':
      return acknowledge(consumer, subject, true);
    case 'nak':
      negate(consumer, subject, ackArgument(message.payload(), '-NAK'));
      return true;
    case 'progress':
      progress(consumer, subject);
      return true;
    case 'term':
      return terminate(consumer, subject, ackArgument(message.payload(), '+TERM'));
    case 'unknown':
      return true;
  }
}

/** The rest of a `+NXT` is a pull request. */
function requestMore(consumer: Consumer, message: InboundMessage): void {
  if (!(consumer.side instanceof PullSide)) return;
  const argument = ackArgument(message.payload(), '+NXT');
  consumer.side.receive(message.reply, EMPTY_BYTES, Buffer.from(argument, 'utf8'));
}

/**
 * @param sampled whether it counts for the metrics
 * @returns whether it is answered
 */
function acknowledge(consumer: Consumer, subject: AckSubject, sampled: boolean): boolean {
  const { state, settings } = consumer;
  const { streamSeq, consumerSeq } = subject;
  if (streamSeq === 0 || streamSeq >= state.streamSeq) return false;
  if (settings.mode === 'all') {
    acknowledgeAll(consumer, streamSeq, consumerSeq);
    return true;
  }
  const index = state.pending.find(streamSeq);
  if (sampled && index >= 0 && settings.samplePercent > 0) sample(consumer, index, subject);
  consumer.settle(streamSeq, consumerSeq);
  return true;
}

/** Acknowledges everything up to a message. */
export function acknowledgeAll(consumer: Consumer, streamSeq: number, consumerSeq: number): void {
  const { state, stream, settings, engine } = consumer;
  const released = stream.config.retention === 'limits' ? [] : sequencesUpTo(consumer, streamSeq);
  const before = state.pending.size;
  if (!state.ackAll(streamSeq, consumerSeq, engine.clock.ms)) return;
  for (const sequence of released) releaseMessage(stream, sequence);
  consumer.log?.ackAll(consumer.key, streamSeq, consumerSeq, engine.clock.ms);
  if (settings.maxAckPending > 0 && before >= settings.maxAckPending) consumer.wake();
}

function sequencesUpTo({ state }: Consumer, last: number): number[] {
  const { pending, exhausted } = state;
  const found: number[] = [];
  for (let at = pending.first; at < pending.end && pending.sequence(at) <= last; at = pending.next(at)) {
    found.push(pending.sequence(at));
  }
  for (const sequence of exhausted?.keys() ?? []) if (sequence <= last) found.push(sequence);
  return found;
}

function sample(consumer: Consumer, index: number, subject: AckSubject): void {
  const { settings, engine, state } = consumer;
  if (settings.samplePercent < 100 && Math.floor(engine.random() * 100) > settings.samplePercent) return;
  const ackTimeMs = Math.max(0, engine.clock.ms - state.pending.timeMs(index));
  const ackTimeNs = BigInt(ackTimeMs) * 1_000_000n;
  sendAckMetric(consumer, subject.consumerSeq, subject.streamSeq, subject.deliveries, ackTimeNs);
}

/** Index of the message an acknowledgement is about, if it is pending and the delivery is one that was made; else -1. */
function pendingOf(consumer: Consumer, subject: AckSubject): number {
  const { state } = consumer;
  const { streamSeq, consumerSeq } = subject;
  if (consumerSeq <= state.floorConsumerSeq || consumerSeq >= state.consumerSeq) return -1;
  return state.pending.find(streamSeq);
}

function negate(consumer: Consumer, subject: AckSubject, argument: string): void {
  const index = pendingOf(consumer, subject);
  if (index < 0) return;
  const { state, engine, redeliveries } = consumer;
  adviseNaked(consumer, subject.consumerSeq, subject.streamSeq, subject.deliveries);
  const delayMs = nakDelayMs(argument);
  if (delayMs === null)
    engine.effects.warn(
      `JetStream consumer '${consumer.account} > ${consumer.stream.name} > ${consumer.name}' got a NAK with a bad delay: ${argument}`,
    );
  if (delayMs === null || delayMs === 0) {
    redeliveries.add(index);
    consumer.wake();
    return;
  }
  state.pending.setQueued(index, false);
  // The time is set back so that the message is due when the delay is over.
  const dueMs = engine.clock.ms + delayMs;
  const sinceMs = Math.max(0, dueMs - consumer.ackWaitOf(index));
  state.pending.setTime(index, sinceMs);
  consumer.log?.touch(consumer.key, subject.streamSeq, sinceMs);
  consumer.pendingDue(dueMs);
}

function progress(consumer: Consumer, subject: AckSubject): void {
  const index = pendingOf(consumer, subject);
  if (index < 0) return;
  const { state, engine } = consumer;
  state.pending.setTime(index, engine.clock.ms);
  consumer.log?.touch(consumer.key, subject.streamSeq, engine.clock.ms);
}

/** @returns whether it is answered */
function terminate(consumer: Consumer, subject: AckSubject, reason: string): boolean {
  const { state, settings } = consumer;
  const index = pendingOf(consumer, subject);
  if (index < 0) return acknowledge(consumer, subject, false);
  const { streamSeq, consumerSeq, deliveries } = subject;
  if (settings.deadLetter !== '') {
    const sequence = state.pending.sequence(index);
    const count = state.pending.deliveries(index);
    const settle = () => consumer.settle(streamSeq, consumerSeq);
    if (!buryMessage(consumer, sequence, count, 'terminated', reason, settle)) return false;
  } else acknowledge(consumer, subject, false);
  adviseTerminated(consumer, consumerSeq, streamSeq, deliveries, reason);
  return true;
}
