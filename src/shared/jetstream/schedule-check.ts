/** Checks of the headers that make a message a schedule (jetstream-streams §6.1). */
import { headerText, setHeader } from '../protocol/nats/headers.ts';
import { isValidLiteralSubject, isValidSubject } from '../subject/subject.ts';
import { compilePattern, zoneOffset } from './cron.ts';
import { type ApiError, apiError } from './errors.ts';
import { parseTtl } from './message-ttl.ts';
import type { Publication } from './publication.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { joinTime } from './time.ts';

const message = new StoredMessage();

function isLiteral(subject: string): boolean {
  return isValidSubject(subject) && isValidLiteralSubject(subject);
}

/** `Nats-Schedule-Next: purge` with `Nats-Scheduler` ends a schedule; clients may say nothing else with the two. */
function schedulerProblem(p: Publication, stream: Stream): ApiError | null {
  const next = p.headers['Nats-Schedule-Next'];
  const scheduler = p.headers['Nats-Scheduler'];
  if (next === null && scheduler === null) return null;
  if (next !== 'purge' || scheduler === null || p.headers['Nats-Schedule'] !== null) return apiError(10212);
  if (scheduler === p.subject || !isLiteral(scheduler)) return apiError(10212);
  if (!stream.store.loadLast(scheduler, message)) return null;
  return headerText(message.headers(), 'Nats-Schedule') === null ? apiError(10212) : null;
}

function patternProblem(p: Publication, stream: Stream): ApiError | null {
  const zone = p.headers['Nats-Schedule-Time-Zone'];
  const offset = zone === null ? null : zoneOffset(zone);
  if (zone !== null && offset === null) return apiError(10223);
  const pattern = compilePattern(p.headers['Nats-Schedule']!, offset);
  const { ms, nanos } = stream.engine.clock;
  const nowNs = joinTime(ms, nanos);
  return pattern?.next(nowNs, nowNs) == null ? apiError(10189) : null;
}

function targetProblem(p: Publication, stream: Stream): ApiError | null {
  const target = p.headers['Nats-Schedule-Target'];
  if (target === null || !isLiteral(target) || target === p.subject || !stream.hasSubject(target))
    return apiError(10190);
  const source = p.headers['Nats-Schedule-Source'];
  if (source === null) return null;
  const usable = isLiteral(source) && source !== target && source !== p.subject && stream.hasSubject(source);
  return usable ? null : apiError(10203);
}

/** Checks a message that may be a schedule, and gives it the roll-up that lets a later schedule replace it. */
export function checkScheduleHeaders(p: Publication, stream: Stream): ApiError | null {
  const scheduler = schedulerProblem(p, stream);
  if (scheduler !== null || p.headers['Nats-Schedule'] === null) return scheduler;
  const { config } = stream;
  if (!config.allowMsgSchedules) return apiError(10188);
  const problem = patternProblem(p, stream);
  if (problem !== null) return problem;
  const ttl = p.headers['Nats-Schedule-TTL'];
  if (ttl !== null && parseTtl(ttl) === 0) return apiError(10191);
  if (ttl !== null && !config.allowMsgTtl) return apiError(10166);
  const produced = p.headers['Nats-Schedule-Rollup'];
  if (produced !== null && produced.toLowerCase() !== 'sub') return apiError(10192);
  const target = targetProblem(p, stream);
  if (target !== null) return target;
  const rollup = p.headers['Nats-Rollup'];
  if (rollup === null) {
    p.setHeaderBlock(setHeader(p.headerBlock(), 'Nats-Rollup', 'sub'));
    p.rollup = 'sub';
    return null;
  }
  return rollup.toLowerCase() === 'sub' ? null : apiError(10192);
}
