/** Checks of mirrors and sources in a stream's configuration (jetstream-streams §1.2, no. 23 to 26). */
import { hasWildcard, isSubsetMatch, isValidSubject, subjectsCollide } from '../subject/subject.ts';
import { compileTransform, TransformError } from '../subject/transform.ts';
import { wireText } from '../subject/wire-text.ts';
import { type ApiError, apiError, apiErrorText } from './errors.ts';
import { isValidAssetName, shortHash } from './names.ts';
import type { StreamConfig, StreamSource } from './stream-config.ts';
import type { StreamConfigContext } from './stream-config-check.ts';

function isLiteral(subject: string): boolean {
  return isValidSubject(subject) && !hasWildcard(subject);
}

/** Whether a consumer made beforehand is described well enough; nothing else may then choose where to start. */
function isValidSourceConsumer(source: StreamSource): boolean {
  const { consumer } = source;
  if (consumer === null) return true;
  if (!isValidAssetName(consumer.name) || !isLiteral(consumer.deliverSubject)) return false;
  return source.optStartSeq === 0 && source.optStartTime === '' && source.filterSubject === '';
}

/** Texts of the errors that mirrors and sources have each of their own. */
interface TransformErrors {
  badSource: 10151 | 10145;
  badMapping: 10154 | 10146;
  overlap: 10152 | 10147;
  overlaps(a: string, b: string): boolean;
}

const MIRROR_ERRORS: TransformErrors = {
  badSource: 10151,
  badMapping: 10154,
  overlap: 10152,
  overlaps: subjectsCollide,
};

const SOURCE_ERRORS: TransformErrors = {
  badSource: 10145,
  badMapping: 10146,
  overlap: 10147,
  overlaps: (a, b) => isSubsetMatch(a, b) || isSubsetMatch(b, a),
};

function transformsProblem(source: StreamSource, errors: TransformErrors): ApiError | null {
  const transforms = source.subjectTransforms;
  for (const { src, dest } of transforms) {
    if (src !== '' && !isValidSubject(src)) return apiErrorText(errors.badSource, `invalid subject ${src}`);
    if (dest === '') continue;
    const transform = compileTransform(wireText(src), wireText(dest));
    if (transform instanceof TransformError) return apiErrorText(errors.badMapping, transform.message);
  }
  for (const [index, { src }] of transforms.entries()) {
    if (transforms.some((other, at) => at > index && errors.overlaps(src || '>', other.src || '>')))
      return apiError(errors.overlap);
  }
  return null;
}

/** What is wrong with the way to another domain or account; `subjects` are those of the local origins. */
function externalProblem(source: StreamSource, subjects: readonly string[]): ApiError | null {
  const { external } = source;
  if (external === null) return null;
  const { api, deliver } = external;
  if (deliver !== '' && !isLiteral(deliver)) return apiError(10024, { prefix: deliver });
  const overlapped =
    deliver === '' ? undefined : subjects.find((subject) => subjectsCollide(subject, deliver));
  if (overlapped !== undefined) return apiError(10022, { prefix: deliver, subject: overlapped });
  if (api === '') return null;
  if (!isLiteral(api))
    return apiErrorText(
      10052,
      `stream external api prefix "${api}" must be a valid subject without wildcards`,
    );
  return subjectsCollide(api, '$JS.API') ? apiError(10021, { prefix: api, subject: '$JS.API' }) : null;
}

function mirrorConflict(config: StreamConfig): ApiError | null {
  if (config.firstSeq > 0) return apiError(10143);
  if (config.subjects.length > 0) return apiError(10034);
  if (config.sources.length > 0) return apiError(10031);
  if (config.allowMsgCounter) return apiError(10173);
  if (config.allowAtomic) return apiError(10198);
  if (config.allowBatched) return apiError(10209);
  if (config.allowMsgSchedules) return apiError(10186);
  return null;
}

/** Whether messages of an origin could be too large for a stream with this limit. */
function isSmaller(maxMsgSizeBytes: number, origin: StreamConfig): boolean {
  return (
    maxMsgSizeBytes > 0 && (origin.maxMsgSizeBytes <= 0 ? false : origin.maxMsgSizeBytes > maxMsgSizeBytes)
  );
}

export function checkMirror(config: StreamConfig, context: StreamConfigContext): ApiError | null {
  const { mirror } = config;
  if (mirror === null) return null;
  const conflict = mirrorConflict(config);
  if (conflict !== null) return conflict;
  if (!isValidSourceConsumer(mirror)) return apiError(10213);
  if (mirror.filterSubject !== '' && mirror.subjectTransforms.length > 0) return apiError(10150);
  if (config.subjectDeleteMarkerTtlNs > 0n)
    return apiErrorText(10052, 'subject delete markers forbidden on mirrors');
  const problem = transformsProblem(mirror, MIRROR_ERRORS);
  if (problem !== null) return problem;
  if (mirror.external !== null) return externalProblem(mirror, []);
  if (!isValidAssetName(mirror.name)) return apiError(10142);
  const origin = context.streamConfig(mirror.name);
  if (origin === null || mirror.name === config.name) return null;
  if (isSmaller(config.maxMsgSizeBytes, origin)) return apiError(10030);
  if (origin.allowDirect && !config.mirrorDirect) {
    if (context.pedantic)
      return apiErrorText(10157, 'origin stream has direct get set, mirror has it disabled');
    config.mirrorDirect = true;
  }
  return null;
}

/**
 * What tells the sources of a stream apart: name, hash of the API prefix, filters, destinations. It is also the key under
 * which progress is kept.
 */
export function sourceIndexName(source: StreamSource): string {
  const { filters, destinations } = sourceMappingTokens(source);
  return `${sourceToken(source)} ${filters} ${destinations}`;
}

/** First token of the source header: name, hashes of the API prefix and of a consumer made beforehand. */
export function sourceToken(source: StreamSource): string {
  const external =
    source.external === null || source.external.api === '' ? '' : `:${shortHash(source.external.api)}`;
  const consumer = source.consumer === null ? '' : `:C=${shortHash(source.consumer.name)}`;
  return `${source.name}${external}${consumer}`;
}

/** Filters and destinations, several joined by form feeds; `>` where there is none. */
export function sourceMappingTokens(source: StreamSource): { filters: string; destinations: string } {
  const transforms = source.subjectTransforms;
  if (transforms.length === 0) return { filters: source.filterSubject || '>', destinations: '>' };
  return {
    filters: transforms.map(({ src }) => src || '>').join('\f'),
    destinations: transforms.map(({ dest }) => dest || '>').join('\f'),
  };
}

function sourceProblem(
  source: StreamSource,
  config: StreamConfig,
  context: StreamConfigContext,
  subjects: readonly string[],
): ApiError | null {
  if (source.filterSubject !== '' && source.subjectTransforms.length > 0) return apiError(10144);
  const problem = transformsProblem(source, SOURCE_ERRORS);
  if (problem !== null) return problem;
  if (!isValidSourceConsumer(source)) return apiError(10215);
  if (source.external !== null) return externalProblem(source, subjects);
  const origin = source.name === config.name ? null : context.streamConfig(source.name);
  return origin !== null && isSmaller(config.maxMsgSizeBytes, origin) ? apiError(10046) : null;
}

export function checkSources(config: StreamConfig, context: StreamConfigContext): ApiError | null {
  const { sources } = config;
  if (sources.length === 0) return null;
  if (config.allowMsgSchedules) return apiError(10187);
  const locals = sources.filter(({ external }) => external === null);
  const subjects = locals.flatMap(({ name }) => context.streamConfig(name)?.subjects ?? []);
  const seen = new Set<string>();
  const consumers = new Set<string>();
  for (const source of sources) {
    if (source.external === null && !isValidAssetName(source.name)) return apiError(10141);
    const index = sourceIndexName(source);
    if (seen.has(index)) return apiError(10140);
    seen.add(index);
    const problem = sourceProblem(source, config, context, subjects);
    if (problem !== null) return problem;
    if (source.consumer === null) continue;
    const consumer = sourceToken(source);
    if (consumers.has(consumer)) return apiError(10216);
    consumers.add(consumer);
  }
  return null;
}

/** Local origins a stream copies from, leaving out sources whose filter none of the origin's subjects can match. */
function origins(config: StreamConfig, lookUp: (name: string) => StreamConfig | null): string[] {
  const names: string[] = [];
  if (config.mirror !== null && config.mirror.external === null) names.push(config.mirror.name);
  for (const source of config.sources) {
    if (source.external !== null) continue;
    const subjects = lookUp(source.name)?.subjects ?? [];
    const filter = source.filterSubject;
    const reached =
      filter === '' || subjects.length === 0 || subjects.some((subject) => subjectsCollide(subject, filter));
    if (reached) names.push(source.name);
  }
  return names;
}

/** Whether messages of the stream could come back to it through local mirrors and sources. */
export function hasCycle(config: StreamConfig, context: StreamConfigContext): boolean {
  const lookUp = (name: string) => (name === config.name ? config : context.streamConfig(name));
  const seen = new Set<string>();
  const queue = origins(config, lookUp);
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (name === config.name) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    const origin = context.streamConfig(name);
    if (origin !== null) queue.push(...origins(origin, lookUp));
  }
  return false;
}
