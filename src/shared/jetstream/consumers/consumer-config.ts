/**
 * Configuration of a consumer (jetstream-consumers §1.1): how it is read from requests and stores, and written to replies
 * and stores. What may stand in it is checked in `consumer-config-check.ts`, what an update may change in
 * `consumer-config-update.ts`.
 */
import {
  fieldReaders,
  type JsonPath,
  readArray,
  readBool,
  readDuration,
  readInteger,
  readInto,
  readString,
  readStringMap,
  readStrings,
  readTime,
  readWord,
} from '../json-fields.ts';
import { JsonObject, jsonArray, jsonStringMap } from '../json-object.ts';
import { JsonError, type JsonNode } from '../json-text.ts';
import { canonicalTime } from '../time.ts';
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
type KeysOf<T> = {
  [K in keyof ConsumerConfig]: ConsumerConfig[K] extends T ? K : never;
}[keyof ConsumerConfig];
type TextKey =
  | 'durableName'
  | 'name'
  | 'description'
  | 'filterSubject'
  | 'sampleFreq'
  | 'deliverSubject'
  | 'deliverGroup';

/** Unlike the other words this one is told about in words of its own. */
function readPriorityPolicy(node: JsonNode): PriorityPolicy {
  const policy = node.kind === 'string' ? PRIORITY_POLICIES.get(node.text) : undefined;
  if (policy === undefined) throw new JsonError(`unknown priority policy: ${node.raw}`);
  return policy;
}

function text(key: TextKey): Reader {
  return (config, node, at) => {
    config[key] = readString(node, at);
  };
}

function flag(key: KeysOf<boolean>): Reader {
  return (config, node, at) => {
    config[key] = readBool(node, at);
  };
}

function count(key: KeysOf<number>, type: 'int' | 'uint64'): Reader {
  return (config, node, at) => {
    config[key] = readInteger(node, at, type);
  };
}

function duration(key: KeysOf<bigint>): Reader {
  return (config, node, at) => {
    config[key] = readDuration(node, at);
  };
}

function time(key: 'optStartTime' | 'pauseUntil'): Reader {
  return (config, node, at) => {
    config[key] = readTime(node, at) === null ? '' : canonicalTime(node.text);
  };
}

function texts(key: 'filterSubjects' | 'priorityGroups'): Reader {
  return (config, node, at) => {
    config[key] = readStrings(node, at) ?? [];
  };
}

/** Every field of a consumer's configuration by its JSON name. */
const CONSUMER_CONFIG_READERS: Readonly<Record<string, Reader>> = {
  durable_name: text('durableName'),
  name: text('name'),
  description: text('description'),
  deliver_policy: (config, node) => {
    config.deliverPolicy = readWord(node, DELIVER_POLICIES);
  },
  opt_start_seq: count('optStartSeq', 'uint64'),
  opt_start_time: time('optStartTime'),
  ack_policy: (config, node) => {
    config.ackPolicy = readWord(node, ACK_POLICIES);
  },
  ack_wait: duration('ackWaitNs'),
  max_deliver: count('maxDeliver', 'int'),
  backoff: (config, node, at) => {
    config.backoffNs = readArray(node, at, '[]time.Duration', readDuration) ?? [];
  },
  filter_subject: text('filterSubject'),
  filter_subjects: texts('filterSubjects'),
  replay_policy: (config, node) => {
    config.replayPolicy = readWord(node, REPLAY_POLICIES);
  },
  rate_limit_bps: count('rateLimitBps', 'uint64'),
  sample_freq: text('sampleFreq'),
  max_waiting: count('maxWaiting', 'int'),
  max_ack_pending: count('maxAckPending', 'int'),
  flow_control: flag('flowControl'),
  headers_only: flag('headersOnly'),
  max_batch: count('maxRequestBatch', 'int'),
  max_expires: duration('maxRequestExpiresNs'),
  max_bytes: count('maxRequestMaxBytes', 'int'),
  deliver_subject: text('deliverSubject'),
  deliver_group: text('deliverGroup'),
  idle_heartbeat: duration('idleHeartbeatNs'),
  inactive_threshold: duration('inactiveThresholdNs'),
  num_replicas: count('replicas', 'int'),
  mem_storage: flag('memStorage'),
  direct: flag('direct'),
  sourcing: flag('sourcing'),
  metadata: (config, node, at) => {
    config.metadata = readStringMap(node, at) ?? new Map();
  },
  pause_until: time('pauseUntil'),
  priority_groups: texts('priorityGroups'),
  priority_policy: (config, node) => {
    config.priorityPolicy = readPriorityPolicy(node);
  },
  priority_timeout: duration('priorityTimeoutNs'),
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
