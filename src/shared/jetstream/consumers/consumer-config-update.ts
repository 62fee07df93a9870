/** What an update may change in a consumer's configuration (jetstream-consumers §1.4). */
import { requiredConsumerLevel, storedMetadata, withoutServerMetadata } from '../api-level.ts';
import { type ApiError, apiErrorText } from '../errors.ts';
import { parseTime } from '../time.ts';
import { consumerConfigJson, copyConsumerConfig } from './consumer-config.ts';
import { DEFAULT_INACTIVE_THRESHOLD_NS } from './consumer-config-check.ts';
import type { ConsumerConfig } from './contract.ts';

/** Fields that stay as they are, in the order they are looked at, by the words of the error. */
const FIXED = [
  ['deliverPolicy', 'deliver policy'],
  ['memStorage', 'storage type'],
  ['direct', 'direct'],
  ['sourcing', 'sourcing'],
  ['optStartSeq', 'start sequence'],
  ['optStartTime', 'start time'],
  ['ackPolicy', 'ack policy'],
  ['replayPolicy', 'replay policy'],
  ['idleHeartbeatNs', 'heart beats'],
  ['flowControl', 'flow control'],
] as const;

/** Two times in different zones may be one moment. */
function isSameTime(a: string, b: string): boolean {
  return a === b || (a !== '' && b !== '' && parseTime(a) === parseTime(b));
}

function fixedProblem(old: ConsumerConfig, updated: ConsumerConfig): string | null {
  for (const [key, name] of FIXED) {
    const same =
      key === 'optStartTime' ? isSameTime(old.optStartTime, updated.optStartTime) : old[key] === updated[key];
    if (!same) return `${name} can not be updated`;
  }
  if (old.deliverSubject !== updated.deliverSubject) {
    if (old.deliverSubject === '') return 'can not update pull consumer to push based';
    if (updated.deliverSubject === '') return 'can not update push consumer to pull based';
  }
  return old.maxWaiting === updated.maxWaiting ? null : 'max waiting can not be updated';
}

/**
 * Holds a checked new configuration against the old one.
 *
 * @param updated passed `checkConsumerConfig`; its `pauseUntil` is the old one's
 * @returns what is to be stored, or 10012
 */
export function updateConsumerConfig(
  old: ConsumerConfig,
  updated: ConsumerConfig,
): ConsumerConfig | ApiError {
  const problem = fixedProblem(old, updated);
  if (problem !== null) return apiErrorText(10012, problem);
  const config = copyConsumerConfig(updated);
  // nats-server looks at what the consumer was: one that stops being durable keeps living without a threshold.
  const thresholdChanged = config.inactiveThresholdNs !== old.inactiveThresholdNs;
  if (thresholdChanged && old.durableName === '') setThreshold(config);
  return config;
}

function setThreshold(config: ConsumerConfig): void {
  if (config.inactiveThresholdNs === 0n) config.inactiveThresholdNs = DEFAULT_INACTIVE_THRESHOLD_NS;
}

/** A checked configuration as a new consumer stores it. */
export function newConsumerConfig(checked: ConsumerConfig): ConsumerConfig {
  const config = copyConsumerConfig(checked);
  if (config.durableName === '') setThreshold(config);
  return config;
}

/** Whether two checked configurations ask for the same consumer; what the server adds to the metadata does not count. */
export function isSameConsumerConfig(a: ConsumerConfig, b: ConsumerConfig): boolean {
  const text = (config: ConsumerConfig) => consumerConfigJson(config, withoutServerMetadata(config.metadata));
  return text(a) === text(b);
}

/**
 * A configuration paused until another time (§9), with the API level that needs.
 *
 * @param until RFC 3339; empty: not paused
 */
export function pausedConfig(old: ConsumerConfig, until: string): ConsumerConfig {
  const config = copyConsumerConfig(old);
  config.pauseUntil = until;
  config.metadata = storedMetadata(config.metadata, requiredConsumerLevel(config));
  return config;
}
