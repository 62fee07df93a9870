/**
 * Configuration of a consumer (jetstream-consumers §1.1): how it is read from requests and stores, and written to replies
 * and stores. What may stand in it is checked in `consumer-config-check.ts`, what an update may change in
 * `consumer-config-update.ts`.
 */
import {
  boolField,
  durationField,
  fieldReaders,
  integerField,
  type JsonPath,
  readArray,
  readDuration,
  readInto,
  readWord,
  stringField,
  stringMapField,
  stringsField,
  timeTextField,
} from '../json-fields.ts';
import { JsonObject, jsonArray, jsonStringMap } from '../json-object.ts';
import { JsonError, type JsonNode } from '../json-text.ts';
import type { AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy } from './contract.ts';

/** The configuration that nothing was said about. */
export function emptyConsumerConfig(): ConsumerConfig {
  return {
    durableName: '',
    name: '',
    description: '',
    deliverPolicy: 'all',
    optStartSeq: 0,
    optStartTime: '',
    ackPolicy: 'none',
    ackWaitNs: 0n,
    maxDeliver: 0,
    backoffNs: [],
    filterSubject: '',
    filterSubjects: [],
    replayPolicy: 'instant',
    rateLimitBps: 0,
    sampleFreq: '',
    maxWaiting: 0,
    maxAckPending: 0,
    flowControl: false,
    headersOnly: false,
    maxRequestBatch: 0,
    maxRequestExpiresNs: 0n,
    maxRequestMaxBytes: 0,
    deliverSubject: '',
    deliverGroup: '',
    idleHeartbeatNs: 0n,
    inactiveThresholdNs: 0n,
    replicas: 0,
    memStorage: false,
    direct: false,
    sourcing: false,
    metadata: new Map(),
    pauseUntil: '',
    priorityGroups: [],
    priorityPolicy: 'none',
    priorityTimeoutNs: 0n,
  };
}

/** A copy that shares nothing with the original. */
export function copyConsumerConfig(config: ConsumerConfig): ConsumerConfig {
  return {
    ...config,
    backoffNs: [...config.backoffNs],
    filterSubjects: [...config.filterSubjects],
    metadata: new Map(config.metadata),
    priorityGroups: [...config.priorityGroups],
  };
}

const DELIVER_POLICIES = new Map<string, DeliverPolicy>([
  ['all', 'all'],
  ['undefined', 'all'],
  ['last', 'last'],
  ['last_per_subject', 'last_per_subject'],
  ['new', 'new'],
  ['by_start_sequence', 'by_start_sequence'],
  ['by_start_time', 'by_start_time'],
]);
const ACK_POLICIES = new Map<string, AckPolicy>([
  ['none', 'none'],
  ['all', 'all'],
  ['explicit', 'explicit'],
  ['flow_control', 'flow_control'],
]);
const REPLAY_POLICIES = new Map<string, ReplayPolicy>([
  ['instant', 'instant'],
  ['original', 'original'],
]);
const PRIORITY_POLICIES = new Map<string, PriorityPolicy>([
  ['none', 'none'],
  ['overflow', 'overflow'],
  ['pinned_client', 'pinned_client'],
  ['prioritized', 'prioritized'],
]);

type Reader = (config: ConsumerConfig, node: JsonNode, at: JsonPath) => void;

/** Unlike the other words this one is told about in words of its own. */
function readPriorityPolicy(node: JsonNode): PriorityPolicy {
  const policy = node.kind === 'string' ? PRIORITY_POLICIES.get(node.text) : undefined;
  if (policy === undefined) throw new JsonError(`unknown priority policy: ${node.raw}`);
  return policy;
}

/** Every field of a consumer's configuration by its JSON name. */
const CONSUMER_CONFIG_READERS: Readonly<Record<string, Reader>> = {
  durable_name: stringField('durableName'),
  name: stringField('name'),
  description: stringField('description'),
  deliver_policy: (config, node) => {
    config.deliverPolicy = readWord(node, DELIVER_POLICIES);
  },
  opt_start_seq: integerField('optStartSeq', 'uint64'),
  opt_start_time: timeTextField('optStartTime'),
  ack_policy: (config, node) => {
    config.ackPolicy = readWord(node, ACK_POLICIES);
  },
  ack_wait: durationField('ackWaitNs'),
  max_deliver: integerField('maxDeliver', 'int'),
  backoff: (config, node, at) => {
    config.backoffNs = readArray(node, at, '[]time.Duration', readDuration) ?? [];
  },
  filter_subject: stringField('filterSubject'),
  filter_subjects: stringsField('filterSubjects'),
  replay_policy: (config, node) => {
    config.replayPolicy = readWord(node, REPLAY_POLICIES);
  },
  rate_limit_bps: integerField('rateLimitBps', 'uint64'),
  sample_freq: stringField('sampleFreq'),
  max_waiting: integerField('maxWaiting', 'int'),
  max_ack_pending: integerField('maxAckPending', 'int'),
  flow_control: boolField('flowControl'),
  headers_only: boolField('headersOnly'),
  max_batch: integerField('maxRequestBatch', 'int'),
  max_expires: durationField('maxRequestExpiresNs'),
  max_bytes: integerField('maxRequestMaxBytes', 'int'),
  deliver_subject: stringField('deliverSubject'),
  deliver_group: stringField('deliverGroup'),
  idle_heartbeat: durationField('idleHeartbeatNs'),
  inactive_threshold: durationField('inactiveThresholdNs'),
  num_replicas: integerField('replicas', 'int'),
  mem_storage: boolField('memStorage'),
  direct: boolField('direct'),
  sourcing: boolField('sourcing'),
  metadata: stringMapField('metadata'),
  pause_until: timeTextField('pauseUntil'),
  priority_groups: stringsField('priorityGroups'),
  priority_policy: (config, node) => {
    config.priorityPolicy = readPriorityPolicy(node);
  },
  priority_timeout: durationField('priorityTimeoutNs'),
};

const CONSUMER_CONFIG_FIELDS = fieldReaders<ConsumerConfig>(CONSUMER_CONFIG_READERS);

/** Reads a configuration that is a member of something else; throws `JsonError`. */
export function readConsumerConfig(node: JsonNode, at: JsonPath): ConsumerConfig {
  const config = emptyConsumerConfig();
  readInto(config, node, at, CONSUMER_CONFIG_FIELDS, 'server.ConsumerConfig');
  return config;
}

function addDelivery(json: JsonObject, config: ConsumerConfig): void {
  json
    .string('deliver_policy', config.deliverPolicy)
    .integerUnlessZero('opt_start_seq', config.optStartSeq)
    .stringUnlessEmpty('opt_start_time', config.optStartTime)
    .string('ack_policy', config.ackPolicy)
    .integerUnlessZero('ack_wait', config.ackWaitNs)
    .integerUnlessZero('max_deliver', config.maxDeliver);
  if (config.backoffNs.length > 0) json.raw('backoff', jsonArray(config.backoffNs.map(String)));
  json
    .stringUnlessEmpty('filter_subject', config.filterSubject)
    .stringsUnlessEmpty('filter_subjects', config.filterSubjects)
    .string('replay_policy', config.replayPolicy)
    .integerUnlessZero('rate_limit_bps', config.rateLimitBps)
    .stringUnlessEmpty('sample_freq', config.sampleFreq)
    .integerUnlessZero('max_waiting', config.maxWaiting)
    .integerUnlessZero('max_ack_pending', config.maxAckPending)
    .boolUnlessFalse('flow_control', config.flowControl)
    .boolUnlessFalse('headers_only', config.headersOnly);
}

function addPullAndPush(json: JsonObject, config: ConsumerConfig): void {
  json
    .integerUnlessZero('max_batch', config.maxRequestBatch)
    .integerUnlessZero('max_expires', config.maxRequestExpiresNs)
    .integerUnlessZero('max_bytes', config.maxRequestMaxBytes)
    .stringUnlessEmpty('deliver_subject', config.deliverSubject)
    .stringUnlessEmpty('deliver_group', config.deliverGroup)
    .integerUnlessZero('idle_heartbeat', config.idleHeartbeatNs)
    .integerUnlessZero('inactive_threshold', config.inactiveThresholdNs)
    .integer('num_replicas', config.replicas)
    .boolUnlessFalse('mem_storage', config.memStorage)
    .boolUnlessFalse('direct', config.direct)
    .boolUnlessFalse('sourcing', config.sourcing);
}

/**
 * A configuration as JSON, fields in nats-server's order; `readConsumerConfig` reads it back.
 *
 * @param metadata what to show as metadata: the stored one, or with the dynamic keys of replies
 */
export function consumerConfigJson(config: ConsumerConfig, metadata: ReadonlyMap<string, string>): string {
  const json = new JsonObject()
    .stringUnlessEmpty('durable_name', config.durableName)
    .stringUnlessEmpty('name', config.name)
    .stringUnlessEmpty('description', config.description);
  addDelivery(json, config);
  addPullAndPush(json, config);
  if (metadata.size > 0) json.raw('metadata', jsonStringMap(metadata));
  json
    .stringUnlessEmpty('pause_until', config.pauseUntil)
    .stringsUnlessEmpty('priority_groups', config.priorityGroups);
  if (config.priorityPolicy !== 'none') json.string('priority_policy', config.priorityPolicy);
  return json.integerUnlessZero('priority_timeout', config.priorityTimeoutNs).end();
}
