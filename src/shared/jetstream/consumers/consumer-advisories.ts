/**
 * What a consumer tells about itself (jetstream-api §9): advisories, and the metric of sampled acknowledgements. They are
 * made only when somebody listens.
 */
import { sendAdvisory, sendMetric } from '../advisory.ts';
import type { JsonObject } from '../json-object.ts';
import { joinTime } from '../time.ts';
import type { ConsumerHandle } from './contract.ts';

type Fields = (json: JsonObject) => JsonObject;

/** Publishes an advisory; `stream` and `consumer` come before the fields that are its own. */
function advise(consumer: ConsumerHandle, event: string, type: string, add: Fields): void {
  const { stream, name } = consumer;
  sendAdvisory(stream.account, `CONSUMER.${event}.${stream.name}.${name}`, type, (json) =>
    add(json.string('stream', stream.name).string('consumer', name)),
  );
}

function addDomain(json: JsonObject, consumer: ConsumerHandle): JsonObject {
  return json.stringUnlessEmpty('domain', consumer.stream.engine.options.domain);
}

/** A consumer was made. */
export function adviseCreated(consumer: ConsumerHandle): void {
  advise(consumer, 'CREATED', 'consumer_action', (json) =>
    addDomain(json.string('action', 'create'), consumer),
  );
}

/** A consumer ended, by request or because nobody used it. */
export function adviseDeleted(consumer: ConsumerHandle): void {
  advise(consumer, 'DELETED', 'consumer_action', (json) =>
    addDomain(json.string('action', 'delete'), consumer),
  );
}

/**
 * A consumer was paused or goes on.
 *
 * @param untilNs Unix nanoseconds; 0 when it was resumed
 */
export function advisePaused(consumer: ConsumerHandle, untilNs: bigint): void {
  const { clock } = consumer.stream.engine;
  const paused = untilNs > joinTime(clock.ms, clock.nanos);
  advise(consumer, 'PAUSE', 'consumer_pause', (json) =>
    addDomain(json.bool('paused', paused).time('pause_until', untilNs === 0n ? null : untilNs), consumer),
  );
}

/** A message was delivered as often as it may be, and not acknowledged. */
export function adviseMaxDeliveries(consumer: ConsumerHandle, streamSeq: number, deliveries: number): void {
  advise(consumer, 'MAX_DELIVERIES', 'max_deliver', (json) =>
    addDomain(json.integer('stream_seq', streamSeq).integer('deliveries', deliveries), consumer),
  );
}

function addDelivery(
  json: JsonObject,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
): JsonObject {
  return json
    .integer('consumer_seq', consumerSeq)
    .integer('stream_seq', streamSeq)
    .integer('deliveries', deliveries);
}

/** A message was refused for now. `deliveries` counts from 1. */
export function adviseNaked(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
): void {
  advise(consumer, 'MSG_NAKED', 'nak', (json) =>
    addDomain(addDelivery(json, consumerSeq, streamSeq, deliveries), consumer),
  );
}

/** A message will not be delivered again. The reason may be empty. */
export function adviseTerminated(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
  reason: string,
): void {
  advise(consumer, 'MSG_TERMINATED', 'terminated', (json) =>
    addDomain(
      addDelivery(json, consumerSeq, streamSeq, deliveries).stringUnlessEmpty('reason', reason),
      consumer,
    ),
  );
}

function addGroup(json: JsonObject, consumer: ConsumerHandle, group: string): JsonObject {
  return addDomain(json, consumer).string('group', group);
}

/** A client of a priority group was pinned. These two name the account, in front of the stream. */
export function advisePinned(consumer: ConsumerHandle, group: string, pinnedId: string): void {
  adviseOfGroup(consumer, 'PINNED', 'consumer_group_pinned', (json) =>
    addGroup(json, consumer, group).string('pinned_id', pinnedId),
  );
}

/** The pinned client of a group lost its place. */
export function adviseUnpinned(consumer: ConsumerHandle, group: string, reason: 'admin' | 'timeout'): void {
  adviseOfGroup(consumer, 'UNPINNED', 'consumer_group_unpinned', (json) =>
    addGroup(json, consumer, group).string('reason', reason),
  );
}

function adviseOfGroup(consumer: ConsumerHandle, event: string, type: string, add: Fields): void {
  const { stream, name } = consumer;
  sendAdvisory(stream.account, `CONSUMER.${event}.${stream.name}.${name}`, type, (json) =>
    add(json.string('account', stream.account.name).string('stream', stream.name).string('consumer', name)),
  );
}

/**
 * The metric of a sampled acknowledgement.
 *
 * @param ackTimeNs from the delivery to the acknowledgement
 */
export function sendAckMetric(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
  ackTimeNs: bigint,
): void {
  const { stream, name } = consumer;
  sendMetric(stream.account, `CONSUMER.ACK.${stream.name}.${name}`, 'consumer_ack', (json) =>
    addDomain(
      json
        .string('stream', stream.name)
        .string('consumer', name)
        .integer('consumer_seq', consumerSeq)
        .integer('stream_seq', streamSeq)
        .integer('ack_time', ackTimeNs)
        .integer('deliveries', deliveries),
      consumer,
    ),
  );
}
