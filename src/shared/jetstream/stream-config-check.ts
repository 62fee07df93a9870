/**
 * What a stream's configuration may be (jetstream-streams §1.2): defaults, then checks in nats-server's order, so that of
 * several mistakes the same one is reported.
 */
import { isSubsetMatch, isValidSubject, subjectsCollide } from '../subject/subject.ts';
import { compileTransform, TransformError } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import { requiredStreamLevel, storedMetadata } from './api-level.ts';
import { type ApiError, apiError, apiErrorText } from './errors.ts';
import {
  DEFAULT_DUPLICATE_WINDOW_NS,
  MAX_DESCRIPTION_BYTES,
  MAX_METADATA_BYTES,
  MAX_NAME_CHARACTERS,
  MAX_REPLICAS,
  MAX_SEQUENCE,
  MIN_WINDOW_NS,
} from './limits.ts';
import { isValidAssetName } from './names.ts';
import { checkMirror, checkSources, hasCycle } from './source-check.ts';
import { copyStreamConfig, type StreamConfig } from './stream-config.ts';
import { formatDuration, NANOS_PER_SECOND } from './time.ts';

/** What the checks need to know besides the configuration. */
export interface StreamConfigContext {
  /** Refuse what would silently be changed. */
  readonly pedantic: boolean;
  /** `limits.duplicate_window` of the server; 0 is none. */
  readonly maxDuplicateWindowNs: bigint;
  /** Another stream of the account, null when there is none of the name. */
  streamConfig(name: string): StreamConfig | null;
  /** Limits of the account that concern the configuration alone. */
  accountProblem(config: StreamConfig): ApiError | null;
}

/** A check of one part: it may fill in defaults. */
type Check = (config: StreamConfig, context: StreamConfigContext) => ApiError | null;

function invalid(problem: string): ApiError {
  return apiErrorText(10052, problem);
}

function pedanticError(problem: string): ApiError {
  return apiErrorText(10157, problem);
}

const checkTexts: Check = (config) => {
  if (!isValidAssetName(config.name))
    return invalid("stream name is required and can not contain '.', '*', '>', '\\', '/'");
  if (Buffer.byteLength(config.name) > MAX_NAME_CHARACTERS)
    return invalid(`stream name is too long, maximum allowed is ${MAX_NAME_CHARACTERS}`);
  if (Buffer.byteLength(config.description) > MAX_DESCRIPTION_BYTES)
    return invalid(`stream description is too long, maximum allowed is ${MAX_DESCRIPTION_BYTES}`);
  let metadataBytes = 0;
  for (const [key, value] of config.metadata)
    metadataBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (metadataBytes > MAX_METADATA_BYTES)
    return invalid(`stream metadata exceeds maximum size of ${MAX_METADATA_BYTES} bytes`);
  return null;
};

const COUNT_LIMITS = [
  ['maxMsgs', 'max_msgs'],
  ['maxMsgsPerSubject', 'max_msgs_per_subject'],
  ['maxBytes', 'max_bytes'],
  ['maxMsgSizeBytes', 'max_msg_size'],
  ['maxConsumers', 'max_consumers'],
] as const;

const checkCounts: Check = (config, { pedantic }) => {
  if (config.replicas > MAX_REPLICAS) return invalid(`maximum replicas is ${MAX_REPLICAS}`);
  if (config.replicas < 0) return apiError(10133);
  if (config.replicas === 0) config.replicas = 1;
  for (const [key, name] of COUNT_LIMITS) {
    if (config[key] < -1 && pedantic) return pedanticError(`${name} must be set to -1`);
    if (config[key] === 0 || config[key] < -1) config[key] = -1;
  }
  if (config.firstSeq > MAX_SEQUENCE) return invalid(`first sequence can not be above ${MAX_SEQUENCE}`);
  return null;
};

const checkWindows: Check = (config, context) => {
  const { maxAgeNs } = config;
  if (maxAgeNs < 0n) return invalid('max age can not be negative');
  if (maxAgeNs > 0n && maxAgeNs < MIN_WINDOW_NS) return invalid('max age needs to be >= 100ms');
  const most = context.maxDuplicateWindowNs;
  if (config.duplicateWindowNs === 0n && config.mirror === null && config.sources.length === 0) {
    config.duplicateWindowNs = DEFAULT_DUPLICATE_WINDOW_NS;
    if (most > 0n && config.duplicateWindowNs > most) {
      if (context.pedantic) return pedanticError('duplicate window limits are higher than current limits');
      config.duplicateWindowNs = most;
    }
    if (maxAgeNs > 0n && config.duplicateWindowNs > maxAgeNs) {
      if (context.pedantic) return pedanticError('duplicate window cannot be bigger than max age');
      config.duplicateWindowNs = maxAgeNs;
    }
  }
  const window = config.duplicateWindowNs;
  if (window < 0n) return invalid('duplicates window can not be negative');
  if (maxAgeNs > 0n && window > maxAgeNs) return invalid('duplicates window can not be larger then max age');
  if (most > 0n && window > most)
    return invalid(`duplicates window can not be larger then server limit of ${formatDuration(most)}`);
  if (window > 0n && window < MIN_WINDOW_NS) return invalid('duplicates window needs to be >= 100ms');
  return null;
};

const checkCounter: Check = (config) => {
  if (config.denyPurge && config.allowRollup) return invalid('roll-ups require the purge permission');
  if (config.allowMsgCounter) {
    if (config.discard === 'new') return invalid('counter stream cannot use discard new');
    if (config.allowMsgTtl) return invalid('counter stream cannot use message TTLs');
    if (config.allowMsgSchedules) return invalid('counter stream cannot use message schedules');
    if (config.retention !== 'limits') return invalid('counter stream can only use limits retention');
  }
  return checkDiscardPerSubject(config);
};

/** jetstream-streams §1.2 no. 16. */
export function checkDiscardPerSubject(config: StreamConfig): ApiError | null {
  if (!config.discardNewPerSubject) return null;
  if (config.discard !== 'new')
    return invalid('discard new per subject requires discard new policy to be set');
  if (config.maxMsgsPerSubject <= 0)
    return invalid('discard new per subject requires max msgs per subject > 0');
  return null;
}

function enableRollup(config: StreamConfig): void {
  config.allowRollup = true;
  config.denyPurge = false;
}

const checkMarkers: Check = (config, { pedantic }) => {
  const ttl = config.subjectDeleteMarkerTtlNs;
  if (ttl < 0n) return invalid('subject delete marker TTL must not be negative');
  if (ttl === 0n) return null;
  if (ttl < NANOS_PER_SECOND) return invalid('subject delete marker TTL must be at least 1 second');
  if (!config.allowMsgTtl && pedantic)
    return invalid('subject delete marker cannot be set if message TTLs are disabled');
  config.allowMsgTtl = true;
  if (!config.allowRollup) {
    if (pedantic) return invalid('subject delete marker cannot be set if roll-ups are disabled');
    enableRollup(config);
  }
  return null;
};

const checkSchedules: Check = (config, { pedantic }) => {
  if (!config.allowMsgSchedules) return null;
  if (config.discard === 'new') return invalid('message scheduling cannot use discard new');
  if (!config.allowRollup) {
    if (pedantic) return invalid('message scheduling cannot be set if roll-ups are disabled');
    enableRollup(config);
  }
  return null;
};

const checkPersistMode: Check = (config) => {
  if (config.persistMode !== 'async') return null;
  if (config.storage !== 'file') return invalid('async persist mode is only supported on file storage');
  if (config.replicas > 1) return invalid('async persist mode is not supported on replicated streams');
  if (config.allowAtomic) return invalid('async persist mode is not supported with atomic batch publish');
  return null;
};

function isApiSubject(subject: string): boolean {
  const api = ['$JS.>', '$JSC.>', '$NRG.>'].some((pattern) => subjectsCollide(subject, pattern));
  return api && !isSubsetMatch(subject, '$JS.EVENT.>');
}

function isSystemSubject(subject: string): boolean {
  return subjectsCollide(subject, '$SYS.>') && !isSubsetMatch(subject, '$SYS.ACCOUNT.>');
}

function subjectProblem(subject: string, config: StreamConfig): string | null {
  if (!isValidSubject(subject)) return 'invalid subject';
  if (subject === '>') {
    if (!config.noAck) return 'capturing all subjects requires no-ack to be true';
    if (config.replicas !== 1) return 'capturing all subjects requires replicas of 1';
  }
  if (config.noAck) return null;
  if (isApiSubject(subject)) return 'subjects that overlap with jetstream api require no-ack to be true';
  if (isSystemSubject(subject)) return 'subjects that overlap with system api require no-ack to be true';
  return null;
}

const checkSubjects: Check = (config) => {
  const { subjects } = config;
  if (subjects.length === 0) {
    if (config.mirror === null && config.sources.length === 0) config.subjects = [config.name];
    return null;
  }
  if (config.mirror !== null) return apiError(10034);
  for (const [index, subject] of subjects.entries()) {
    const problem = subjectProblem(subject, config);
    if (problem !== null) return invalid(problem);
    const other = subjects.find((candidate, at) => at > index && subjectsCollide(subject, candidate));
    if (other !== undefined) return invalid(`subject "${subject}" overlaps with "${other}"`);
  }
  return null;
};

const checkTransform: Check = (config) => {
  if (config.subjectTransform === null) return null;
  const { src, dest } = config.subjectTransform;
  if (src !== '' && !isValidSubject(src)) return apiErrorText(10155, `invalid subject ${src}`);
  if (dest === '') return null;
  const transform = compileTransform(wireText(src), wireText(dest));
  return transform instanceof TransformError ? apiErrorText(10156, transform.message) : null;
};

const checkRepublish: Check = (config, { pedantic }) => {
  const { republish, subjectTransform } = config;
  if (republish === null) return null;
  if (republish.src === '') {
    if (pedantic) return pedanticError('republish source can not be empty');
    republish.src = '>';
  }
  const [only, ...others] = config.subjects;
  const all = republish.src === '>' && republish.dest === '>';
  if (all && subjectTransform !== null && only === subjectTransform.src && others.length === 0) {
    if (pedantic) return pedanticError('implicit republish based on subject transform');
    republish.src = subjectTransform.dest;
    republish.dest = subjectTransform.dest;
  }
  if (config.subjects.some((subject) => subjectsCollide(republish.dest, subject)))
    return invalid('stream configuration for republish destination forms a cycle');
  if (republish.dest === '' && isValidSubject(republish.src)) return null;
  const transform = compileTransform(wireText(republish.src), wireText(republish.dest));
  if (!(transform instanceof TransformError)) return null;
  const mapping = `from '${republish.src}' to '${republish.dest}'`;
  return invalid(`stream configuration for republish with transform ${mapping} not valid`);
};

const checkPlacement: Check = (config) => {
  const { placement } = config;
  if (placement === null) return null;
  if (placement.preferred !== '') return invalid('preferred server not permitted in placement');
  if (placement.cluster === '' && placement.tags.length === 0) config.placement = null;
  return null;
};

const CHECKS: readonly Check[] = [
  checkTexts,
  checkCounts,
  checkWindows,
  checkCounter,
  checkMarkers,
  checkSchedules,
  checkPersistMode,
  checkMirror,
  checkSources,
  (config, context) => (hasCycle(config, context) ? invalid('detected cycle') : null),
  checkSubjects,
  (config, context) => context.accountProblem(config),
  checkTransform,
  checkRepublish,
  checkPlacement,
];

/**
 * Fills in defaults and checks a configuration.
 *
 * @param submitted is not changed
 * @returns the configuration as it is stored, or the first problem
 */
export function checkStreamConfig(
  submitted: StreamConfig,
  context: StreamConfigContext,
): StreamConfig | ApiError {
  const config = copyStreamConfig(submitted);
  for (const check of CHECKS) {
    const problem = check(config, context);
    if (problem !== null) return problem;
  }
  config.metadata = storedMetadata(config.metadata, requiredStreamLevel(config));
  return config;
}

/** Problems nats-server finds only when it sets the stream up: 500/10049. */
export function setUpProblem(config: StreamConfig): ApiError | null {
  const { mirror } = config;
  if (mirror !== null && mirror.filterSubject !== '' && !isValidSubject(mirror.filterSubject))
    return apiErrorText(10049, `subject filter '${mirror.filterSubject}' for the mirror invalid subject`);
  for (const { filterSubject } of config.sources) {
    if (filterSubject !== '' && !isValidSubject(filterSubject))
      return apiErrorText(10049, `subject filter '${filterSubject}' for the source: invalid subject`);
  }
  return null;
}
