/** What is told about a consumer (jetstream-consumers §2). */
import { shownMetadata } from '../api-level.ts';
import { JsonObject, jsonArray } from '../json-object.ts';
import { joinTime } from '../time.ts';
import { consumerConfigJson } from './consumer-config.ts';
import type { ConsumerHandle, ConsumerStatus, SequencePair } from './contract.ts';

function sequencesJson(pair: SequencePair): string {
  const lastActive = pair.lastActiveNs === 0n ? null : pair.lastActiveNs;
  return new JsonObject()
    .integer('consumer_seq', pair.consumerSeq)
    .integer('stream_seq', pair.streamSeq)
    .timeUnlessNull('last_active', lastActive)
    .end();
}

function groupJson({ name, pinnedId, pinnedNs }: NonNullable<ConsumerStatus['group']>): string {
  return new JsonObject()
    .string('group', name)
    .stringUnlessEmpty('pinned_client_id', pinnedId)
    .time('pinned_ts', pinnedId === '' ? null : pinnedNs)
    .end();
}

/**
 * Adds the fields of `ConsumerInfo` to a reply.
 *
 * @param shown with the metadata that tells of this server; lists go without
 * @param withConfig false: /jsz without `config`
 */
export function addConsumerInfo(
  json: JsonObject,
  consumer: ConsumerHandle,
  shown: boolean,
  withConfig = true,
): void {
  const { config, stream } = consumer;
  const { clock } = stream.engine;
  const status = consumer.status();
  const nowNs = joinTime(clock.ms, clock.nanos);
  json.string('stream_name', stream.name).string('name', consumer.name).time('created', consumer.createdNs);
  if (withConfig)
    json.raw('config', consumerConfigJson(config, shown ? shownMetadata(config.metadata) : config.metadata));
  json
    .raw('delivered', sequencesJson(status.delivered))
    .raw('ack_floor', sequencesJson(status.ackFloor))
    .integer('num_ack_pending', status.numAckPending)
    .integer('num_redelivered', status.numRedelivered)
    .integer('num_waiting', status.numWaiting)
    .integer('num_pending', status.numPending)
    .boolUnlessFalse('push_bound', status.pushBound);
  if (status.pausedUntilNs > nowNs)
    json.bool('paused', true).integer('pause_remaining', status.pausedUntilNs - nowNs);
  json.time('ts', nowNs);
  if (status.group !== null) json.raw('priority_groups', jsonArray([groupJson(status.group)]));
}

/** `ConsumerInfo` as an element of a list. */
export function listedConsumerJson(consumer: ConsumerHandle): string {
  const json = new JsonObject();
  addConsumerInfo(json, consumer, false);
  return json.end();
}
