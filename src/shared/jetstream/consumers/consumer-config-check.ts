/**
 * What a consumer's configuration may be (jetstream-consumers §1.2, §1.3): defaults, then checks in nats-server's order, so
 * that of several mistakes the same one is reported.
 */
import { hasWildcard, isSubsetMatch, isValidSubject } from '../../subject/subject.ts';
import { requiredConsumerLevel, storedMetadata } from '../api-level.ts';
import { type ApiError, apiError, apiErrorText } from '../errors.ts';
import { MAX_DESCRIPTION_BYTES, MAX_METADATA_BYTES, MAX_SEQUENCE } from '../limits.ts';
import { isValidAssetName } from '../names.ts';
import type { StreamConfig } from '../stream-config.ts';
import { formatDuration, NANOS_PER_MILLI, NANOS_PER_SECOND } from '../time.ts';
import { copyConsumerConfig } from './consumer-config.ts';
import type { ConsumerConfig, DeliverPolicy } from './contract.ts';

const DEFAULT_MAX_WAITING = 512;
const DEFAULT_MAX_ACK_PENDING = 1000;
const DEFAULT_ACK_WAIT_NS = 30n * NANOS_PER_SECOND;
const DEFAULT_PRIORITY_TIMEOUT_NS = 120n * NANOS_PER_SECOND;
/** Heartbeat that acknowledging by flow control demands. */
const FLOW_CONTROL_HEARTBEAT_NS = NANOS_PER_SECOND;
const MIN_HEARTBEAT_NS = 100n * NANOS_PER_MILLI;
/** Life of an ephemeral consumer that nobody uses and that says nothing about it. */
export const DEFAULT_INACTIVE_THRESHOLD_NS = 5n * NANOS_PER_SECOND;
const PRIORITY_GROUP = /^[a-zA-Z0-9/_=-]{1,16}$/;

/** What the checks need to know besides the configuration. */
export interface ConsumerConfigContext {
  /** Refuse what would silently be changed. */
  readonly pedantic: boolean;
  /** Of the stream that is consumed. */
  readonly stream: StreamConfig;
  /** `limits.max_ack_pending` of the server; 0 is none. */
  readonly maxAckPending: number;
  /** `limits.max_request_batch` of the server; 0 is none. */
  readonly maxRequestBatch: number;
  /** Of the account; none when not positive. */
  readonly accountMaxAckPending: number;
}

/** A check of one part: it may fill in defaults. */
type Check = (config: ConsumerConfig, context: ConsumerConfigContext) => ApiError | null;

function invalid(problem: string): ApiError {
  return apiErrorText(10052, problem);
}

function pedanticError(problem: string): ApiError {
  return apiErrorText(10157, problem);
}

function exceeds(limit: number): ApiError {
  return apiError(10121, { limit: String(limit) });
}

const defaultCounts: Check = (config, { pedantic }) => {
  const clamp = (key: 'maxWaiting' | 'maxRequestBatch' | 'maxRequestMaxBytes', name: string) => {
    if (config[key] >= 0) return null;
    config[key] = 0;
    return pedantic ? pedanticError(`${name} must not be negative`) : null;
  };
  const clampDuration = (
    key: 'maxRequestExpiresNs' | 'idleHeartbeatNs' | 'inactiveThresholdNs' | 'priorityTimeoutNs',
    name: string,
  ) => {
    if (config[key] >= 0n) return null;
    config[key] = 0n;
    return pedantic ? pedanticError(`${name} must not be negative`) : null;
  };
  const unlimited = (key: 'maxDeliver' | 'maxAckPending', name: string) => {
    if (config[key] >= -1) return null;
    config[key] = -1;
    return pedantic ? pedanticError(`${name} must be set to -1`) : null;
  };
  const problem =
    unlimited('maxDeliver', 'max_deliver') ??
    clamp('maxWaiting', 'max_waiting') ??
    unlimited('maxAckPending', 'max_ack_pending') ??
    clamp('maxRequestBatch', 'max_batch') ??
    clampDuration('maxRequestExpiresNs', 'max_expires') ??
    clamp('maxRequestMaxBytes', 'max_bytes') ??
    clampDuration('idleHeartbeatNs', 'idle_heartbeat') ??
    clampDuration('inactiveThresholdNs', 'inactive_threshold') ??
    clampDuration('priorityTimeoutNs', 'priority_timeout');
  if (problem !== null) return problem;
  if (config.maxDeliver === 0) config.maxDeliver = -1;
  if (config.deliverSubject === '' && config.maxWaiting === 0) config.maxWaiting = DEFAULT_MAX_WAITING;
  return null;
};

const defaultAckWait: Check = (config, { pedantic }) => {
  const first = config.backoffNs[0];
  if (first !== undefined && config.ackPolicy !== 'flow_control') {
    if (pedantic && config.ackWaitNs !== first)
      return pedanticError('first backoff value has to equal batch AckWait');
    config.ackWaitNs = first;
  }
  const acknowledged = config.ackPolicy === 'explicit' || config.ackPolicy === 'all';
  if (acknowledged && config.ackWaitNs === 0n) config.ackWaitNs = DEFAULT_ACK_WAIT_NS;
  return null;
};

const defaultFromLimits: Check = (config, context) => {
  const { pedantic, stream, maxAckPending, maxRequestBatch, accountMaxAckPending } = context;
  const limits = stream.consumerLimits;
  if (config.maxAckPending === 0 && limits.maxAckPending > 0) {
    if (pedantic) return pedanticError("max_ack_pending must be set if it's configured in stream limits");
    config.maxAckPending = limits.maxAckPending;
  }
  if (config.inactiveThresholdNs === 0n && limits.inactiveThresholdNs > 0n) {
    if (pedantic) return pedanticError("inactive_threshold must be set if it's configured in stream limits");
    config.inactiveThresholdNs = limits.inactiveThresholdNs;
  }
  if (config.ackPolicy !== 'none' && config.maxAckPending === 0) {
    config.maxAckPending = DEFAULT_MAX_ACK_PENDING;
    for (const limit of [maxAckPending, accountMaxAckPending])
      if (limit > 0 && limit < config.maxAckPending) config.maxAckPending = limit;
  }
  if (config.deliverSubject === '' && config.maxRequestBatch === 0 && maxRequestBatch > 0) {
    if (pedantic) return pedanticError("max_request_batch must be set if it's JetStream limits are set");
    config.maxRequestBatch = maxRequestBatch;
  }
  return null;
};

const defaultFlowControl: Check = (config, { pedantic }) => {
  if (config.ackPolicy === 'flow_control' && !pedantic) {
    config.flowControl = true;
    config.idleHeartbeatNs = FLOW_CONTROL_HEARTBEAT_NS;
  }
  if (config.priorityPolicy === 'pinned_client' && config.priorityTimeoutNs === 0n)
    config.priorityTimeoutNs = DEFAULT_PRIORITY_TIMEOUT_NS;
  return null;
};

const checkName: Check = (config) => {
  const allowed = (what: string) => invalid(`consumer ${what} can not contain '.', '*', '>', '\\', '/'`);
  if (config.durableName !== '' && !isValidAssetName(config.durableName)) return allowed('durable name');
  if (config.name !== '' && !isValidAssetName(config.name)) return allowed('name');
  return null;
};

const checkReplicas: Check = ({ replicas }, { stream }) => {
  if (replicas > stream.replicas) return apiError(10126);
  if (replicas < 0) return apiError(10133);
  const kept = stream.retention !== 'limits' && replicas !== 0 && replicas !== stream.replicas;
  return kept ? apiError(10134) : null;
};

const checkAcks: Check = (config) => {
  if (config.backoffNs.some((backoff) => backoff < 0n)) return apiError(10184);
  if (config.ackWaitNs < 0n) return apiError(10183);
  if (config.ackPolicy === 'flow_control') {
    if (config.deliverSubject === '') return apiError(10218);
    if (!config.flowControl) return apiError(10219);
    if (config.idleHeartbeatNs !== FLOW_CONTROL_HEARTBEAT_NS)
      return invalid('flow control ack policy heartbeat needs to be 1s');
    if (config.maxAckPending <= 0) return apiError(10220);
    if (config.ackWaitNs !== 0n || config.backoffNs.length > 0) return apiError(10221);
    if (config.maxDeliver > 0) return apiError(10222);
  }
  const tooMany = config.maxDeliver !== -1 && config.backoffNs.length > config.maxDeliver;
  return tooMany ? apiError(10116) : null;
};

const checkDescription: Check = ({ description }) =>
  Buffer.byteLength(description) > MAX_DESCRIPTION_BYTES
    ? apiError(10107, { max: String(MAX_DESCRIPTION_BYTES) })
    : null;

const checkPush: Check = (config, { stream }) => {
  const { deliverSubject } = config;
  if (deliverSubject === '') return null;
  if (hasWildcard(deliverSubject)) return apiError(10079);
  if (!isValidSubject(deliverSubject)) return apiError(10112);
  if (stream.subjects.some((subject) => isSubsetMatch(deliverSubject, subject))) return apiError(10081);
  if (config.maxWaiting !== 0) return apiError(10080);
  if (config.maxAckPending > 0 && config.ackPolicy === 'none') return apiError(10082);
  const heartbeat = config.idleHeartbeatNs;
  return heartbeat > 0n && heartbeat < MIN_HEARTBEAT_NS ? apiError(10083) : null;
};

const checkPull: Check = (config, { stream, maxRequestBatch }) => {
  if (config.deliverSubject !== '') return null;
  if (stream.retention === 'workqueue' && config.ackPolicy === 'none') return apiError(10084);
  if (config.rateLimitBps > 0) return apiError(10086);
  if (config.idleHeartbeatNs > 0n) return apiError(10088);
  if (config.flowControl) return apiError(10089);
  const expires = config.maxRequestExpiresNs;
  if (expires > 0n && expires < NANOS_PER_MILLI) return apiError(10115);
  if (maxRequestBatch > 0 && config.maxRequestBatch > maxRequestBatch)
    return apiError(10125, { limit: String(maxRequestBatch) });
  return null;
};

const checkLimits: Check = (config, { stream, maxAckPending, accountMaxAckPending }) => {
  const streamLimits = stream.consumerLimits;
  for (const limit of [maxAckPending, accountMaxAckPending, streamLimits.maxAckPending])
    if (limit > 0 && config.maxAckPending > limit) return exceeds(limit);
  const threshold = streamLimits.inactiveThresholdNs;
  return threshold > 0n && config.inactiveThresholdNs > threshold
    ? apiError(10153, { limit: formatDuration(threshold) })
    : null;
};

const checkDirect: Check = (config) => {
  if (!config.direct) return null;
  if (config.deliverSubject === '') return apiError(10090);
  return config.durableName === '' ? null : apiError(10091);
};

/** The subjects a consumer is restricted to; empty is all. */
export function filtersOf(config: ConsumerConfig): string[] {
  return config.filterSubject === '' ? config.filterSubjects : [config.filterSubject];
}

const checkFilters: Check = (config) => {
  if (config.filterSubject !== '' && config.filterSubjects.length > 0) return apiError(10136);
  const filters = filtersOf(config);
  if (filters.includes('')) return apiError(10139);
  for (const [index, filter] of filters.entries()) {
    if (!isValidSubject(filter)) return invalid('invalid subject');
    if (filters.some((other, at) => at !== index && isSubsetMatch(filter, other))) return apiError(10138);
  }
  return null;
};

const POLICY_TEXTS: Readonly<Record<DeliverPolicy, string>> = {
  all: 'all',
  last: 'last',
  last_per_subject: 'last per subject',
  new: 'new',
  by_start_sequence: 'by start sequence',
  by_start_time: 'by start time',
};

/** What the start position lacks or has too much; the doubled word is nats-server's. */
function startProblem(config: ConsumerConfig): string | null {
  const { deliverPolicy: policy, optStartSeq, optStartTime } = config;
  if (policy === 'by_start_sequence') {
    if (optStartSeq === 0) return 'optional start sequence is not set';
    if (optStartSeq > MAX_SEQUENCE) return `optional start sequence is above ${MAX_SEQUENCE}`;
    return optStartTime === '' ? null : 'optional start time is also set';
  }
  if (policy === 'by_start_time') {
    if (optStartTime === '') return 'optional start time is not set';
    return optStartSeq === 0 ? null : 'optional start start sequence is also set';
  }
  if (optStartSeq !== 0) return 'optional start sequence is also set';
  if (optStartTime !== '') return 'optional start time is also set';
  const unfiltered = policy === 'last_per_subject' && filtersOf(config).length === 0;
  return unfiltered ? 'optional filter subject is not set' : null;
}

const checkStart: Check = (config) => {
  const problem = startProblem(config);
  if (problem === null) return null;
  const policy = POLICY_TEXTS[config.deliverPolicy];
  return apiErrorText(10094, `consumer delivery policy is deliver ${policy}, but ${problem}`);
};

const MAX_INT = 2n ** 63n - 1n;

/** Percentage of acknowledgements a `sample_freq` such as `5%` asks for; a text says why it asks for none. */
export function samplePercent(sampleFreq: string): number | string {
  const text = sampleFreq.replace(/%$/, '');
  const quoted = JSON.stringify(text);
  if (!/^[+-]?\d+$/.test(text)) return `strconv.Atoi: parsing ${quoted}: invalid syntax`;
  const value = BigInt(text.replace(/^\+/, ''));
  if (value > MAX_INT || value < -MAX_INT - 1n) return `strconv.Atoi: parsing ${quoted}: value out of range`;
  return value < 0n ? '<nil>' : Number(value);
}

const checkSampling: Check = ({ sampleFreq }) => {
  if (sampleFreq === '') return null;
  const percent = samplePercent(sampleFreq);
  return typeof percent === 'number' ? null : apiErrorText(10095, percent);
};

const checkTexts: Check = (config) => {
  if (config.flowControl && config.idleHeartbeatNs === 0n) return apiError(10108);
  if (config.durableName !== '' && config.name !== '' && config.name !== config.durableName)
    return apiError(10132);
  let metadataBytes = 0;
  for (const [key, value] of config.metadata)
    metadataBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  return metadataBytes > MAX_METADATA_BYTES ? apiError(10135, { limit: '128KB' }) : null;
};

/** Why a text can't be the name of a priority group. */
export function groupProblem(group: string): ApiError | null {
  if (group === '') return apiError(10161);
  return PRIORITY_GROUP.test(group) ? null : apiError(10162);
}

const checkPriority: Check = (config) => {
  const { priorityPolicy, priorityGroups } = config;
  if (priorityPolicy === 'none') {
    if (priorityGroups.length > 0) return apiError(10196);
    return config.priorityTimeoutNs > 0n ? apiError(10197) : null;
  }
  if (config.deliverSubject !== '') return apiError(10178);
  if (priorityGroups.length === 0) return apiError(10159);
  for (const group of priorityGroups) {
    const problem = groupProblem(group);
    if (problem !== null) return problem;
  }
  return null;
};

const CHECKS: readonly Check[] = [
  defaultCounts,
  defaultAckWait,
  defaultFromLimits,
  defaultFlowControl,
  checkName,
  checkReplicas,
  checkAcks,
  checkDescription,
  checkPush,
  checkPull,
  checkLimits,
  checkDirect,
  checkFilters,
  checkStart,
  checkSampling,
  checkTexts,
  checkPriority,
];

/**
 * Fills in defaults and checks a configuration.
 *
 * @param submitted is not changed
 * @returns the configuration as it is stored, or the first problem. The threshold of an ephemeral consumer stays unset: what it becomes depends on
 *   whether the consumer is there already
 */
export function checkConsumerConfig(
  submitted: ConsumerConfig,
  context: ConsumerConfigContext,
): ConsumerConfig | ApiError {
  const config = copyConsumerConfig(submitted);
  // What was submitted decides: a value that is replaced by its default needs the level all the same.
  config.metadata = storedMetadata(config.metadata, requiredConsumerLevel(submitted));
  for (const check of CHECKS) {
    const problem = check(config, context);
    if (problem !== null) return problem;
  }
  return config;
}
