/**
 * Configuration of a stream (jetstream-streams §1.1): its type, how it is read from requests and written to replies and
 * stores. What may stand in it is checked in `stream-config-check.ts`, what an update may change in
 * `stream-config-update.ts`.
 *
 * Texts are as people write them (Unicode); what has to match messages is turned to wire form where it is used.
 */
import {
  boolField,
  durationField,
  type FieldReaders,
  fieldReaders,
  integerField,
  type JsonPath,
  readArray,
  readInto,
  readString,
  readWord,
  stringField,
  stringMapField,
  stringsField,
  timeTextField,
} from './json-fields.ts';
import { JsonObject, jsonArray, jsonString, jsonStringMap } from './json-object.ts';
import { JsonError, type JsonNode } from './json-text.ts';

export type Retention = 'limits' | 'interest' | 'workqueue';
export type Discard = 'old' | 'new';
export type StorageType = 'file' | 'memory';
export type Compression = 'none' | 's2';
export type PersistMode = 'default' | 'async';

/** A mapping of subjects; an empty source is `>`, an empty destination leaves the subject (a filter only). */
export interface SubjectTransform {
  src: string;
  dest: string;
}

export interface Republish {
  src: string;
  dest: string;
  headersOnly: boolean;
}

export interface Placement {
  cluster: string;
  tags: string[];
  preferred: string;
}

/** Where a stream copies from. */
export interface StreamSource {
  name: string;
  /** 0 is unset. */
  optStartSeq: number;
  /** RFC 3339, with the zone it was given in; empty is unset. */
  optStartTime: string;
  filterSubject: string;
  subjectTransforms: SubjectTransform[];
  external: { api: string; deliver: string } | null;
  /** A consumer of the origin that was made beforehand. */
  consumer: { name: string; deliverSubject: string } | null;
}

export interface ConsumerLimits {
  inactiveThresholdNs: bigint;
  maxAckPending: number;
}

/** Limits of -1 are none. Durations are in nanoseconds, 0 is none. */
export interface StreamConfig {
  name: string;
  description: string;
  subjects: string[];
  retention: Retention;
  maxConsumers: number;
  maxMsgs: number;
  maxBytes: number;
  maxAgeNs: bigint;
  maxMsgsPerSubject: number;
  maxMsgSizeBytes: number;
  discard: Discard;
  storage: StorageType;
  replicas: number;
  noAck: boolean;
  duplicateWindowNs: bigint;
  placement: Placement | null;
  mirror: StreamSource | null;
  sources: StreamSource[];
  compression: Compression;
  /** Sequence of the first message; 0 is unset. */
  firstSeq: number;
  subjectTransform: SubjectTransform | null;
  republish: Republish | null;
  allowDirect: boolean;
  mirrorDirect: boolean;
  discardNewPerSubject: boolean;
  sealed: boolean;
  denyDelete: boolean;
  denyPurge: boolean;
  allowRollup: boolean;
  consumerLimits: ConsumerLimits;
  allowMsgTtl: boolean;
  subjectDeleteMarkerTtlNs: bigint;
  allowMsgCounter: boolean;
  allowAtomic: boolean;
  allowMsgSchedules: boolean;
  persistMode: PersistMode;
  allowBatched: boolean;
  metadata: Map<string, string>;
}

/** The configuration that nothing was said about. */
export function emptyStreamConfig(): StreamConfig {
  return {
    name: '',
    description: '',
    subjects: [],
    retention: 'limits',
    maxConsumers: 0,
    maxMsgs: 0,
    maxBytes: 0,
    maxAgeNs: 0n,
    maxMsgsPerSubject: 0,
    maxMsgSizeBytes: 0,
    discard: 'old',
    storage: 'file',
    replicas: 0,
    noAck: false,
    duplicateWindowNs: 0n,
    placement: null,
    mirror: null,
    sources: [],
    compression: 'none',
    firstSeq: 0,
    subjectTransform: null,
    republish: null,
    allowDirect: false,
    mirrorDirect: false,
    discardNewPerSubject: false,
    sealed: false,
    denyDelete: false,
    denyPurge: false,
    allowRollup: false,
    consumerLimits: { inactiveThresholdNs: 0n, maxAckPending: 0 },
    allowMsgTtl: false,
    subjectDeleteMarkerTtlNs: 0n,
    allowMsgCounter: false,
    allowAtomic: false,
    allowMsgSchedules: false,
    persistMode: 'default',
    allowBatched: false,
    metadata: new Map(),
  };
}

/** A copy that shares nothing with the original. */
export function copyStreamConfig(config: StreamConfig): StreamConfig {
  return structuredClone(config);
}

const RETENTIONS = new Map<string, Retention>([
  ['limits', 'limits'],
  ['interest', 'interest'],
  ['workqueue', 'workqueue'],
]);
const DISCARDS = new Map<string, Discard>([
  ['old', 'old'],
  ['new', 'new'],
]);
const STORAGES = new Map<string, StorageType>([
  ['file', 'file'],
  ['memory', 'memory'],
]);
const PERSIST_MODES = new Map<string, PersistMode>([
  ['default', 'default'],
  ['', 'default'],
  ['async', 'async'],
]);

function readCompression(node: JsonNode, at: JsonPath): Compression {
  const word = readString(node, at);
  if (word !== 'none' && word !== 's2') throw new JsonError('unknown compression algorithm');
  return word;
}

const TRANSFORM_FIELDS = fieldReaders<SubjectTransform>({
  src: stringField('src'),
  dest: stringField('dest'),
});

function readTransform(node: JsonNode, at: JsonPath): SubjectTransform {
  const transform = { src: '', dest: '' };
  readInto(transform, node, at, TRANSFORM_FIELDS, 'server.SubjectTransformConfig');
  return transform;
}

/** Reads a member that may be absent or null. */
function readOptional<T>(
  node: JsonNode,
  at: JsonPath,
  empty: T,
  readers: FieldReaders<T>,
  type: string,
): T | null {
  if (node.kind === 'null') return null;
  readInto(empty, node, at, readers, type);
  return empty;
}

const EXTERNAL_FIELDS = fieldReaders<{ api: string; deliver: string }>({
  api: stringField('api'),
  deliver: stringField('deliver'),
});

const SOURCE_CONSUMER_FIELDS = fieldReaders<{ name: string; deliverSubject: string }>({
  name: stringField('name'),
  deliver_subject: stringField('deliverSubject'),
});

const SOURCE_FIELDS = fieldReaders<StreamSource>({
  name: stringField('name'),
  opt_start_seq: integerField('optStartSeq', 'uint64'),
  opt_start_time: timeTextField('optStartTime'),
  filter_subject: stringField('filterSubject'),
  subject_transforms: (source, node, at) => {
    source.subjectTransforms = readArray(node, at, '[]server.SubjectTransformConfig', readTransform) ?? [];
  },
  external: (source, node, at) => {
    source.external = readOptional(
      node,
      at,
      { api: '', deliver: '' },
      EXTERNAL_FIELDS,
      'server.ExternalStream',
    );
  },
  consumer: (source, node, at) => {
    source.consumer = readOptional(
      node,
      at,
      { name: '', deliverSubject: '' },
      SOURCE_CONSUMER_FIELDS,
      'server.StreamConsumerSource',
    );
  },
});

/** A source about which nothing is said. */
function emptyStreamSource(): StreamSource {
  return {
    name: '',
    optStartSeq: 0,
    optStartTime: '',
    filterSubject: '',
    subjectTransforms: [],
    external: null,
    consumer: null,
  };
}

function readSource(node: JsonNode, at: JsonPath): StreamSource {
  const source = emptyStreamSource();
  readInto(source, node, at, SOURCE_FIELDS, 'server.StreamSource');
  return source;
}

const PLACEMENT_FIELDS = fieldReaders<Placement>({
  cluster: stringField('cluster'),
  tags: stringsField('tags'),
  preferred: stringField('preferred'),
});

const REPUBLISH_FIELDS = fieldReaders<Republish>({
  src: stringField('src'),
  dest: stringField('dest'),
  headers_only: boolField('headersOnly'),
});

const CONSUMER_LIMITS_FIELDS = fieldReaders<ConsumerLimits>({
  inactive_threshold: durationField('inactiveThresholdNs'),
  max_ack_pending: integerField('maxAckPending', 'int'),
});

type Reader = (config: StreamConfig, node: JsonNode, at: JsonPath) => void;

/** Every field of a stream's configuration by its JSON name. */
export const STREAM_CONFIG_READERS: Readonly<Record<string, Reader>> = {
  name: stringField('name'),
  description: stringField('description'),
  subjects: stringsField('subjects'),
  retention: (config, node) => {
    config.retention = readWord(node, RETENTIONS);
  },
  max_consumers: integerField('maxConsumers', 'int'),
  max_msgs: integerField('maxMsgs', 'int64'),
  max_bytes: integerField('maxBytes', 'int64'),
  max_age: durationField('maxAgeNs'),
  max_msgs_per_subject: integerField('maxMsgsPerSubject', 'int64'),
  max_msg_size: integerField('maxMsgSizeBytes', 'int32'),
  discard: (config, node) => {
    config.discard = readWord(node, DISCARDS);
  },
  storage: (config, node) => {
    config.storage = readWord(node, STORAGES);
  },
  num_replicas: integerField('replicas', 'int'),
  no_ack: boolField('noAck'),
  duplicate_window: durationField('duplicateWindowNs'),
  placement: (config, node, at) => {
    const empty = { cluster: '', tags: [], preferred: '' };
    config.placement = readOptional<Placement>(node, at, empty, PLACEMENT_FIELDS, 'server.Placement');
  },
  mirror: (config, node, at) => {
    config.mirror = node.kind === 'null' ? null : readSource(node, at);
  },
  sources: (config, node, at) => {
    config.sources = readArray(node, at, '[]*server.StreamSource', readSource) ?? [];
  },
  compression: (config, node, at) => {
    config.compression = readCompression(node, at);
  },
  first_seq: integerField('firstSeq', 'uint64'),
  subject_transform: (config, node, at) => {
    config.subjectTransform = node.kind === 'null' ? null : readTransform(node, at);
  },
  republish: (config, node, at) => {
    const empty = { src: '', dest: '', headersOnly: false };
    config.republish = readOptional<Republish>(node, at, empty, REPUBLISH_FIELDS, 'server.RePublish');
  },
  allow_direct: boolField('allowDirect'),
  mirror_direct: boolField('mirrorDirect'),
  discard_new_per_subject: boolField('discardNewPerSubject'),
  sealed: boolField('sealed'),
  deny_delete: boolField('denyDelete'),
  deny_purge: boolField('denyPurge'),
  allow_rollup_hdrs: boolField('allowRollup'),
  consumer_limits: (config, node, at) => {
    readInto(config.consumerLimits, node, at, CONSUMER_LIMITS_FIELDS, 'server.StreamConsumerLimits');
  },
  allow_msg_ttl: boolField('allowMsgTtl'),
  subject_delete_marker_ttl: durationField('subjectDeleteMarkerTtlNs'),
  allow_msg_counter: boolField('allowMsgCounter'),
  allow_atomic: boolField('allowAtomic'),
  allow_msg_schedules: boolField('allowMsgSchedules'),
  persist_mode: (config, node) => {
    config.persistMode = readWord(node, PERSIST_MODES);
  },
  allow_batched: boolField('allowBatched'),
  metadata: stringMapField('metadata'),
};

const STREAM_CONFIG_FIELDS = fieldReaders<StreamConfig>(STREAM_CONFIG_READERS);

/** Reads a configuration that is a member of something else. */
export function readStreamConfig(node: JsonNode, at: JsonPath): StreamConfig {
  const config = emptyStreamConfig();
  readInto(config, node, at, STREAM_CONFIG_FIELDS, 'server.StreamConfig');
  return config;
}

function transformJson(transform: SubjectTransform): string {
  return new JsonObject().string('src', transform.src).string('dest', transform.dest).end();
}

/** A source as it stands in configurations. */
export function streamSourceJson(source: StreamSource): string {
  const json = new JsonObject()
    .string('name', source.name)
    .integerUnlessZero('opt_start_seq', source.optStartSeq);
  if (source.optStartTime !== '') json.string('opt_start_time', source.optStartTime);
  json.stringUnlessEmpty('filter_subject', source.filterSubject);
  if (source.subjectTransforms.length > 0)
    json.raw('subject_transforms', jsonArray(source.subjectTransforms.map(transformJson)));
  if (source.external !== null) json.raw('external', externalJson(source.external));
  if (source.consumer !== null) {
    const { name, deliverSubject } = source.consumer;
    json.raw(
      'consumer',
      new JsonObject().string('name', name).string('deliver_subject', deliverSubject).end(),
    );
  }
  return json.end();
}

function externalJson(external: { api: string; deliver: string }): string {
  return new JsonObject().string('api', external.api).string('deliver', external.deliver).end();
}

/** `,"external":{…}`-style members that a source's info shares with its configuration. */
export function addSourceFilters(json: JsonObject, source: StreamSource): void {
  json.stringUnlessEmpty('filter_subject', source.filterSubject);
  if (source.subjectTransforms.length > 0)
    json.raw('subject_transforms', jsonArray(source.subjectTransforms.map(transformJson)));
}

export function addExternal(json: JsonObject, source: StreamSource): void {
  if (source.external !== null) json.raw('external', externalJson(source.external));
}

function placementJson(placement: Placement): string {
  return new JsonObject()
    .stringUnlessEmpty('cluster', placement.cluster)
    .stringsUnlessEmpty('tags', placement.tags)
    .stringUnlessEmpty('preferred', placement.preferred)
    .end();
}

function republishJson(republish: Republish): string {
  return new JsonObject()
    .stringUnlessEmpty('src', republish.src)
    .string('dest', republish.dest)
    .boolUnlessFalse('headers_only', republish.headersOnly)
    .end();
}

function addLimits(json: JsonObject, config: StreamConfig): void {
  json
    .string('retention', config.retention)
    .integer('max_consumers', config.maxConsumers)
    .integer('max_msgs', config.maxMsgs)
    .integer('max_bytes', config.maxBytes)
    .integer('max_age', config.maxAgeNs)
    .integer('max_msgs_per_subject', config.maxMsgsPerSubject)
    .integerUnlessZero('max_msg_size', config.maxMsgSizeBytes)
    .string('discard', config.discard)
    .string('storage', config.storage)
    .integer('num_replicas', config.replicas)
    .boolUnlessFalse('no_ack', config.noAck)
    .integerUnlessZero('duplicate_window', config.duplicateWindowNs);
}

function addRelations(json: JsonObject, config: StreamConfig): void {
  if (config.placement !== null) json.raw('placement', placementJson(config.placement));
  if (config.mirror !== null) json.raw('mirror', streamSourceJson(config.mirror));
  if (config.sources.length > 0) json.raw('sources', jsonArray(config.sources.map(streamSourceJson)));
  json.string('compression', config.compression).integerUnlessZero('first_seq', config.firstSeq);
  if (config.subjectTransform !== null) json.raw('subject_transform', transformJson(config.subjectTransform));
  if (config.republish !== null) json.raw('republish', republishJson(config.republish));
}

function consumerLimitsJson(limits: ConsumerLimits): string {
  return new JsonObject()
    .integerUnlessZero('inactive_threshold', limits.inactiveThresholdNs)
    .integerUnlessZero('max_ack_pending', limits.maxAckPending)
    .end();
}

function addFlags(json: JsonObject, config: StreamConfig): void {
  json
    .bool('allow_direct', config.allowDirect)
    .bool('mirror_direct', config.mirrorDirect)
    .boolUnlessFalse('discard_new_per_subject', config.discardNewPerSubject)
    .bool('sealed', config.sealed)
    .bool('deny_delete', config.denyDelete)
    .bool('deny_purge', config.denyPurge)
    .bool('allow_rollup_hdrs', config.allowRollup)
    .raw('consumer_limits', consumerLimitsJson(config.consumerLimits))
    .bool('allow_msg_ttl', config.allowMsgTtl)
    .integerUnlessZero('subject_delete_marker_ttl', config.subjectDeleteMarkerTtlNs)
    .boolUnlessFalse('allow_msg_counter', config.allowMsgCounter)
    .boolUnlessFalse('allow_atomic', config.allowAtomic)
    .boolUnlessFalse('allow_msg_schedules', config.allowMsgSchedules);
  if (config.persistMode !== 'default') json.string('persist_mode', config.persistMode);
  json.boolUnlessFalse('allow_batched', config.allowBatched);
}

/**
 * A configuration as JSON, fields in nats-server's order.
 *
 * @param metadata what to show as metadata: the stored one, or with the dynamic keys of replies
 */
export function streamConfigJson(config: StreamConfig, metadata: ReadonlyMap<string, string>): string {
  const json = new JsonObject()
    .string('name', config.name)
    .stringUnlessEmpty('description', config.description);
  if (config.subjects.length > 0) json.raw('subjects', jsonArray(config.subjects.map(jsonString)));
  addLimits(json, config);
  addRelations(json, config);
  addFlags(json, config);
  if (metadata.size > 0) json.raw('metadata', jsonStringMap(metadata));
  return json.end();
}
