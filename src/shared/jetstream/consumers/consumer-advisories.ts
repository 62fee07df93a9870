/** What consumers tell of themselves (jetstream-api §9): advisories, and the metric of sampled acknowledgements. */
import { wireText } from '../../subject/wire-text.ts';
import { sendAdvisory } from '../advisory.ts';
import { EMPTY_BYTES, NO_TICKET, textBytes } from '../effects.ts';
import { JsonObject } from '../json-object.ts';
import { randomId } from '../names.ts';
import { joinTime } from '../time.ts';
import type { ConsumerHandle } from './contract.ts';

const ID_CHARACTERS = 22;

function advise(
  consumer: ConsumerHandle,
  event: string,
  type: string,
  add: (json: JsonObject) => JsonObject,
): void {
  const { stream, name } = consumer;
  const { domain } = stream.engine.options;
  sendAdvisory(stream.account, `CONSUMER.${event}.${stream.name}.${name}`, type, (json) =>
    add(json.string('stream', stream.name).string('consumer', name)).stringUnlessEmpty('domain', domain),
  );
}

export function adviseCreated(consumer: ConsumerHandle): void {
  advise(consumer, 'CREATED', 'consumer_action', (json) => json.string('action', 'create'));
}

export function adviseDeleted(consumer: ConsumerHandle): void {
  advise(consumer, 'DELETED', 'consumer_action', (json) => json.string('action', 'delete'));
}

/** @param untilNs Unix nanoseconds; 0n: it goes on */
export function advisePaused(consumer: ConsumerHandle, untilNs: bigint): void {
  advise(consumer, 'PAUSE', 'consumer_pause', (json) =>
    json.bool('paused', untilNs !== 0n).time('pause_until', untilNs === 0n ? null : untilNs),
  );
}

export function adviseMaxDeliveries(consumer: ConsumerHandle, streamSeq: number, deliveries: number): void {
  advise(consumer, 'MAX_DELIVERIES', 'max_deliver', (json) =>
    json.integer('stream_seq', streamSeq).integer('deliveries', deliveries),
  );
}

export function adviseNaked(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
): void {
  advise(consumer, 'MSG_NAKED', 'nak', (json) =>
    json
      .integer('consumer_seq', consumerSeq)
      .integer('stream_seq', streamSeq)
      .integer('deliveries', deliveries),
  );
}

/** @param reason empty for none */
export function adviseTerminated(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
  reason: string,
): void {
  advise(consumer, 'MSG_TERMINATED', 'terminated', (json) =>
    json
      .integer('consumer_seq', consumerSeq)
      .integer('stream_seq', streamSeq)
      .integer('deliveries', deliveries)
      .stringUnlessEmpty('reason', reason),
  );
}

function adviseGroup(
  consumer: ConsumerHandle,
  event: 'PINNED' | 'UNPINNED',
  add: (json: JsonObject) => JsonObject,
): void {
  const { stream, name } = consumer;
  const type = event === 'PINNED' ? 'consumer_group_pinned' : 'consumer_group_unpinned';
  sendAdvisory(stream.account, `CONSUMER.${event}.${stream.name}.${name}`, type, (json) =>
    add(
      json
        .string('account', stream.account.name)
        .string('stream', stream.name)
        .string('consumer', name)
        .stringUnlessEmpty('domain', stream.engine.options.domain),
    ),
  );
}

export function advisePinned(consumer: ConsumerHandle, group: string, pinId: string): void {
  adviseGroup(consumer, 'PINNED', (json) => json.string('group', group).string('pinned_id', pinId));
}

export function adviseUnpinned(consumer: ConsumerHandle, group: string, reason: 'admin' | 'timeout'): void {
  adviseGroup(consumer, 'UNPINNED', (json) => json.string('group', group).string('reason', reason));
}

/** @param ackTimeNs from the delivery to the acknowledgement */
export function sendAckMetric(
  consumer: ConsumerHandle,
  consumerSeq: number,
  streamSeq: number,
  deliveries: number,
  ackTimeNs: bigint,
): void {
  const { stream, name } = consumer;
  const { engine, account } = stream;
  const subject = `$JS.EVENT.METRIC.CONSUMER.ACK.${wireText(stream.name)}.${wireText(name)}`;
  if (!engine.effects.hasInterest(account.name, subject)) return;
  const json = new JsonObject()
    .string('type', 'io.nats.jetstream.metric.v1.consumer_ack')
    .string('id', randomId(ID_CHARACTERS, engine.random))
    .time('timestamp', joinTime(engine.clock.ms, engine.clock.nanos))
    .string('stream', stream.name)
    .string('consumer', name)
    .integer('consumer_seq', consumerSeq)
    .integer('stream_seq', streamSeq)
    .integer('ack_time', ackTimeNs)
    .integer('deliveries', deliveries)
    .stringUnlessEmpty('domain', engine.options.domain);
  engine.effects.send(account.name, subject, '', EMPTY_BYTES, textBytes(json.end()), NO_TICKET);
}
