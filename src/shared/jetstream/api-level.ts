/**
 * API levels (jetstream-api §1.5): which level of the API a configuration needs, and the metadata that says so. One key
 * is stored, two are shown in replies only; whatever a client sends under the three names is replaced.
 */
import { API_LEVEL, COMPATIBLE_VERSION } from '../base/version.ts';
import { headerText } from '../protocol/nats/headers.ts';
import type { ConsumerConfig } from './consumers/contract.ts';
import type { StreamConfig } from './stream-config.ts';
import { parseTime, ZERO_TIME_NS } from './time.ts';

export const REQUIRED_LEVEL_KEY = '_nats.req.level';
const SERVER_VERSION_KEY = '_nats.ver';
const SERVER_LEVEL_KEY = '_nats.level';
const REQUIRED_LEVEL_HEADER = 'Nats-Required-Api-Level';

/** The least level that knows everything the configuration uses. */
export function requiredStreamLevel(config: StreamConfig): number {
  if (config.allowBatched) return 4;
  const counting = config.allowMsgCounter || config.allowAtomic || config.allowMsgSchedules;
  if (counting || config.persistMode === 'async') return 2;
  return config.allowMsgTtl || config.subjectDeleteMarkerTtlNs > 0n ? 1 : 0;
}

/** The least level that knows everything a consumer's configuration uses. */
export function requiredConsumerLevel(config: ConsumerConfig): number {
  if (config.ackPolicy === 'flow_control') return 4;
  const paused = config.pauseUntil !== '' && parseTime(config.pauseUntil) !== ZERO_TIME_NS;
  const prioritized = config.priorityPolicy !== 'none' || config.priorityGroups.length > 0;
  return paused || prioritized || config.priorityTimeoutNs !== 0n ? 1 : 0;
}

/** Metadata without what the server itself puts there. */
export function withoutServerMetadata(metadata: ReadonlyMap<string, string>): Map<string, string> {
  const own = new Map(metadata);
  own.delete(REQUIRED_LEVEL_KEY);
  own.delete(SERVER_VERSION_KEY);
  own.delete(SERVER_LEVEL_KEY);
  return own;
}

/** Metadata as it is stored. */
export function storedMetadata(metadata: ReadonlyMap<string, string>, level: number): Map<string, string> {
  return withoutServerMetadata(metadata).set(REQUIRED_LEVEL_KEY, String(level));
}

/** Metadata as it is shown in replies to create, update and info. */
export function shownMetadata(stored: ReadonlyMap<string, string>): Map<string, string> {
  return new Map(stored).set(SERVER_LEVEL_KEY, String(API_LEVEL)).set(SERVER_VERSION_KEY, COMPATIBLE_VERSION);
}

/** Whether a request asks for a level this server does not have, or for one that is no number. A negative one asks for nothing. */
export function needsHigherLevel(headers: Uint8Array): boolean {
  if (headers.length === 0) return false;
  const level = headerText(headers, REQUIRED_LEVEL_HEADER);
  if (level === null || level === '') return false;
  return !/^[+-]?\d{1,10}$/.test(level) || Number(level) > API_LEVEL;
}
