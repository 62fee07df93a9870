/**
 * The delivery loop of a consumer (jetstream-consumers §4): what waits for redelivery first, then new messages, each to
 * whoever may take it. It runs when the engine's host says so.
 *
 * For a message without pin and without `headers_only` nothing is allocated here.
 */
import { appendHeaderLines } from '../../publish.ts';
import { releaseMessage } from '../../retention.ts';
import { StoredMessage } from '../../store/contract.ts';
import { AckReply } from './ack-subject.ts';
import type { Consumer } from './consumer.ts';
import type { Taker } from './delivery-side.ts';

const message = new StoredMessage();
const reply = new AckReply();

/** What the loop found to deliver next. */
const NOTHING = -3;
/** There may be more, but `max_ack_pending`, the replay's pace or a disk that fails holds it back. */
const HELD = -2;
const NEW = -1;

/**
 * Delivers at most so many messages.
 *
 * @returns whether there may be more to deliver at once
 */
export function runDelivery(consumer: Consumer, most: number): boolean {
  const { side, engine } = consumer;
  const { effects } = engine;
  // Nothing that happens here ends the consumer or lets time pass.
  if (consumer.closed || consumer.isPaused) return false;
  for (let count = 0; count < most; count++) {
    if (!side.isOpen) return false;
    if (effects.congested) return true;
    const found = findNext(consumer);
    if (found === NOTHING) side.endOfMessages();
    // What holds it back wakes it when it doesn't any more.
    if (found === HELD) return false;
    if (found === NOTHING || !deliverOne(consumer, found)) {
      consumer.awaitMessage();
      return false;
    }
  }
  return true;
}

/** Loads the next message. @returns its index among the pending ones, or one of the constants above */
function findNext(consumer: Consumer): number {
  const again = findRedelivery(consumer);
  if (again !== NEW) return again;
  const { maxAckPending } = consumer.settings;
  if (maxAckPending > 0 && consumer.state.pending.size >= maxAckPending) return HELD;
  if (!consumer.loadNext(message)) return consumer.waitForDisk() ? HELD : NOTHING;
  return consumer.replay === null || consumer.replay.mayPass(message) ? NEW : HELD;
}

/** @returns an index, `HELD`, or `NEW` when nothing is to be delivered again */
function findRedelivery(consumer: Consumer): number {
  const { redeliveries, state, settings } = consumer;
  const { maxDeliver } = settings;
  for (let index = redeliveries.first(); index >= 0; index = redeliveries.first()) {
    if (maxDeliver > 0 && state.pending.deliveries(index) >= maxDeliver) {
      redeliveries.shift();
      consumer.giveUp(index);
    } else if (consumer.stream.store.load(state.pending.sequence(index), message)) return index;
    else if (consumer.waitForDisk()) return HELD;
    else {
      redeliveries.shift();
      consumer.settle(state.pending.sequence(index), 0);
    }
  }
  return NEW;
}

function deliverOne(consumer: Consumer, found: number): boolean {
  const { side, state, settings, config } = consumer;
  const isNew = found === NEW;
  const deliveries = isNew ? 1 : state.pending.deliveries(found) + 1;
  const pendingAfter = isNew ? Math.max(0, consumer.numPending - 1) : consumer.numPending;
  const { sequence, timestampMs, timestampNanos } = message;
  reply.compose(
    consumer.ackPrefix,
    deliveries,
    sequence,
    state.consumerSeq,
    timestampMs,
    timestampNanos,
    pendingAfter,
  );
  const headers = config.headersOnly ? sizeHeaders() : null;
  const headerBytes = headers === null ? message.headerEnd - message.headerStart : headers.length;
  const payloadBytes = config.headersOnly ? 0 : message.payloadEnd - message.payloadStart;
  const bytes = message.subjectEnd - message.subjectStart + reply.length + headerBytes + payloadBytes;
  const taker = side.take(bytes);
  if (taker === null) return false;
  send(consumer, taker, headers);
  if (isNew) consumer.deliveredNew(sequence);
  else consumer.deliveredAgain(found);
  side.served(taker, bytes);
  if (settings.mode === 'none') releaseMessage(consumer.stream, sequence);
  return true;
}

function send(consumer: Consumer, taker: Taker, headers: Uint8Array | null): void {
  const { config, engine } = consumer;
  const block =
    taker.pinId === ''
      ? headers
      : appendHeaderLines(headers ?? message.headers(), `Nats-Pin-Id: ${taker.pinId}\r\n`);
  const { view, length } = reply;
  engine.effects.deliver(taker.destination, message, view, length, block, !config.headersOnly);
}

function sizeHeaders(): Uint8Array {
  const payloadBytes = message.payloadEnd - message.payloadStart;
  return appendHeaderLines(message.headers(), `Nats-Msg-Size: ${payloadBytes}\r\n`);
}
