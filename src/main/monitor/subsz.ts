/**
 * /subsz and /subscriptionsz: statistics of the sublists and, asked for, the subscriptions. Source: spec "/subsz".
 */

import { emptySublistStats, type SublistStats, type SubscriptionQuery } from '../../shared/mail/monitor.ts';
import { isValidLiteralSubject } from '../../shared/subject/subject.ts';
import { DEFAULT_PAGE_LIMIT, renderSubscription } from './connz.ts';
import { formatTime, type JsonValue, omitEmptyList } from './format.ts';
import { ParameterError, type Parameters } from './parameters.ts';
import type { MonitorSource } from './source.ts';

export interface SubszRequest {
  query: SubscriptionQuery;
  offset: number;
  limit: number;
}

/** Throws ParameterError. */
export function decodeSubsz(parameters: Parameters): SubszRequest {
  const wantsList = parameters.boolean('subs');
  const offset = Math.max(0, parameters.integer('offset'));
  let limit = parameters.integer('limit');
  if (limit <= 0) limit = DEFAULT_PAGE_LIMIT;
  const testSubject = parameters.text('test');
  if (testSubject !== '' && !isValidLiteralSubject(testSubject)) {
    throw new ParameterError(`invalid test subject, must be valid publish subject: ${testSubject}`);
  }
  const query = { account: parameters.text('acc'), wantsList, testSubject, keepFirst: offset + limit };
  return { query, offset, limit };
}

export async function renderSubsz(source: MonitorSource, request: SubszRequest): Promise<JsonValue> {
  const { query, offset, limit } = request;
  const answers = await source.subscriptions(query);
  const stats = sumSublistStats(answers.map((answer) => answer.stats));
  const page = answers.flatMap((answer) => answer.subscriptions).slice(offset, offset + limit);
  return {
    server_id: source.identity().serverId,
    now: formatTime(source.now()),
    num_subscriptions: stats.subscriptions,
    num_cache: stats.cacheEntries,
    num_inserts: stats.inserts,
    num_removes: stats.removes,
    num_matches: stats.matches,
    cache_hit_rate: stats.matches === 0 ? 0 : stats.cacheHits / stats.matches,
    max_fanout: stats.maxFanout,
    avg_fanout: stats.cacheEntries === 0 ? 0 : stats.totalFanout / stats.cacheEntries,
    total: query.wantsList ? answers.reduce((sum, answer) => sum + answer.total, 0) : 0,
    offset,
    limit,
    subscriptions_list: query.wantsList ? omitEmptyList(page.map(renderSubscription)) : undefined,
  };
}

/** The sum of several sublists; of the largest fan-outs the largest. */
function sumSublistStats(all: readonly SublistStats[]): SublistStats {
  const sum = emptySublistStats();
  for (const stats of all) {
    sum.subscriptions += stats.subscriptions;
    sum.cacheEntries += stats.cacheEntries;
    sum.inserts += stats.inserts;
    sum.removes += stats.removes;
    sum.matches += stats.matches;
    sum.cacheHits += stats.cacheHits;
    sum.maxFanout = Math.max(sum.maxFanout, stats.maxFanout);
    sum.totalFanout += stats.totalFanout;
  }
  return sum;
}
