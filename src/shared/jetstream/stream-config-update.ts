/** What an update may change in a stream's configuration (jetstream-streams §1.4). */
import { subjectsCollide } from '../subject/subject.ts';
import { withoutServerMetadata } from './api-level.ts';
import { type ApiError, apiError, apiErrorText } from './errors.ts';
import { copyStreamConfig, type StreamConfig, streamConfigJson, streamSourceJson } from './stream-config.ts';
import { checkDiscardPerSubject } from './stream-config-check.ts';

function refused(what: string): ApiError {
  return apiErrorText(10052, `stream configuration update can not ${what}`);
}

function isMirrorChanged(old: StreamConfig, updated: StreamConfig): boolean {
  if (updated.mirror === null) return false;
  return old.mirror === null || streamSourceJson(old.mirror) !== streamSourceJson(updated.mirror);
}

function fixedFieldsProblem(old: StreamConfig, updated: StreamConfig): ApiError | null {
  if (old.name !== updated.name) return apiErrorText(10052, 'stream configuration name must match original');
  if (updated.replicas > 1) return apiError(10074);
  if (old.storage !== updated.storage) return refused('change storage type');
  const workQueues = Number(old.retention === 'workqueue') + Number(updated.retention === 'workqueue');
  if (workQueues === 1) return refused('change retention policy to/from workqueue');
  if (old.sealed && !updated.sealed) return refused('unseal a sealed stream');
  if (old.denyDelete && !updated.denyDelete) return refused('cancel deny message deletes');
  if (old.denyPurge && !updated.denyPurge) return refused('cancel deny purge');
  return isMirrorChanged(old, updated) ? apiError(10055) : null;
}

function featuresProblem(old: StreamConfig, updated: StreamConfig): ApiError | null {
  if (old.allowMsgTtl && !updated.allowMsgTtl)
    return apiErrorText(10052, 'message TTL status can not be disabled');
  if (old.allowMsgCounter !== updated.allowMsgCounter) return refused('change message counter setting');
  if (old.allowMsgSchedules && !updated.allowMsgSchedules)
    return apiErrorText(10052, 'message schedules can not be disabled');
  return old.persistMode === updated.persistMode ? null : refused('change persist mode');
}

/** A sealed stream keeps what it has and takes nothing more. */
function seal(config: StreamConfig): void {
  config.maxAgeNs = 0n;
  config.discard = 'new';
  config.denyDelete = true;
  config.denyPurge = true;
  config.allowRollup = false;
}

/**
 * Holds a checked new configuration against the old one.
 *
 * @param updated passed `checkStreamConfig`
 * @returns what is to be stored, or why the update is refused
 */
export function updateStreamConfig(old: StreamConfig, updated: StreamConfig): StreamConfig | ApiError {
  const problem =
    fixedFieldsProblem(old, updated) ?? checkDiscardPerSubject(updated) ?? featuresProblem(old, updated);
  if (problem !== null) return problem;
  const config = copyStreamConfig(updated);
  if (config.sealed) seal(config);
  return config;
}

/** Whether two checked configurations ask for the same stream; what the server adds to the metadata does not count. */
export function isSameStreamConfig(a: StreamConfig, b: StreamConfig): boolean {
  const text = (config: StreamConfig) => streamConfigJson(config, withoutServerMetadata(config.metadata));
  return text(a) === text(b);
}

/** Whether some subject could belong to both streams. */
export function subjectsOverlap(a: readonly string[], b: readonly string[]): boolean {
  return a.some((subject) => b.some((other) => subjectsCollide(subject, other)));
}
