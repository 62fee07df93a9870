/**
 * /jsz: JetStream of the server and of its accounts. Source: spec "/jsz"; the order of the fields is part of the format.
 *
 * `durability` is natsd's own: what an acknowledgement is worth when the power fails.
 */

import type { JetStreamServerOptions } from '../../shared/base/options.ts';
import { API_LEVEL } from '../../shared/base/version.ts';
import type { JetStreamAnswer, JetStreamQuery, JetStreamStats } from '../../shared/mail/monitor.ts';
import { formatTime, JsonText, type JsonValue, omitEmpty, omitEmptyList, toNanoseconds } from './format.ts';
import { ParameterError, type Parameters } from './parameters.ts';
import type { MonitorSource } from './source.ts';

const DEFAULT_LIMIT = 1024;
/** What nats-server reports with `sync_interval: always`, and its default. */
const DEFAULT_SYNC_INTERVAL_MS = 120_000;
/** Of `limits.batch`: only what differs is shown. */
const DEFAULT_BATCH = { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutMs: 10_000 };

export interface JszRequest {
  query: JetStreamQuery;
  raft: boolean;
  isLeaderOnly: boolean;
}

/** Asks for the figures only. */
export const NO_DETAILS: JetStreamQuery = {
  account: '',
  accounts: false,
  streams: false,
  consumers: false,
  directConsumers: false,
  config: false,
  offset: 0,
  limit: DEFAULT_LIMIT,
};

/** Throws ParameterError. */
export function decodeJsz(parameters: Parameters): JszRequest {
  const limit = parameters.integer('limit');
  // A single server leads everything it has.
  parameters.boolean('stream-leader-only');
  return {
    raft: parameters.boolean('raft'),
    isLeaderOnly: parameters.boolean('leader-only'),
    query: {
      account: parameters.text('acc'),
      accounts: parameters.boolean('accounts'),
      streams: parameters.boolean('streams'),
      consumers: parameters.boolean('consumers'),
      directConsumers: parameters.boolean('direct-consumers'),
      config: parameters.boolean('config'),
      offset: Math.max(0, parameters.integer('offset')),
      limit: limit > 0 ? limit : DEFAULT_LIMIT,
    },
  };
}

/** Throws ParameterError when the leader is asked for and there is none. */
export async function renderJsz(
  source: MonitorSource,
  { query, raft, isLeaderOnly }: JszRequest,
): Promise<JsonValue> {
  const { jetStream } = source.options();
  const answer = await source.jetStream(query);
  const identity = { server_id: source.identity().serverId, now: formatTime(source.now()) };
  if (jetStream !== null && answer === null) throw new Error('JetStream does not answer');
  if (jetStream === null || answer === null) {
    if (isLeaderOnly) throw new ParameterError('filtered response: not leader');
    return {
      ...renderStats(null),
      ...identity,
      disabled: true,
      config: { max_memory: 0, max_storage: 0 },
      streams: 0,
      consumers: 0,
      messages: 0,
      bytes: 0,
      total: 0,
    };
  }
  const { stats } = answer;
  return {
    ...renderStats(stats),
    ...identity,
    config: renderConfig(jetStream, answer),
    limits: renderLimits(jetStream),
    streams: stats.streams,
    streams_leader: raft ? omitEmpty(stats.streams) : undefined,
    consumers: stats.consumers,
    consumers_leader: raft ? omitEmpty(stats.consumers) : undefined,
    messages: stats.messages,
    bytes: stats.bytes,
    durability: renderDurability(jetStream, answer),
    account_details: omitEmptyList(answer.accounts.map((account) => new JsonText(account))),
    total: stats.accounts,
  };
}

/** `jetstream` of /varz; an empty object when JetStream is off. */
export function renderVarzJetStream(
  jetStream: JetStreamServerOptions | null,
  answer: JetStreamAnswer | null,
): JsonValue {
  if (jetStream === null || answer === null) return {};
  return {
    config: renderConfig(jetStream, answer),
    stats: renderStats(answer.stats),
    limits: renderLimits(jetStream),
  };
}

function renderStats(stats: JetStreamStats | null): Record<string, JsonValue> {
  return {
    memory: stats?.memoryBytes ?? 0,
    storage: stats?.storeBytes ?? 0,
    reserved_memory: stats?.reservedMemoryBytes ?? 0,
    reserved_storage: stats?.reservedStoreBytes ?? 0,
    accounts: stats?.accounts ?? 0,
    ha_assets: 0,
    api: {
      level: stats === null ? 0 : API_LEVEL,
      total: stats?.apiTotal ?? 0,
      errors: stats?.apiErrors ?? 0,
      inflight: omitEmpty(stats?.apiInflight ?? 0),
    },
  };
}

function renderConfig(jetStream: JetStreamServerOptions, answer: JetStreamAnswer): JsonValue {
  const { storeDir, syncIntervalMs, domain, strict } = jetStream;
  return {
    max_memory: answer.maxMemoryBytes,
    max_storage: answer.maxStoreBytes,
    store_dir: storeDir,
    sync_interval: toNanoseconds(syncIntervalMs === 'always' ? DEFAULT_SYNC_INTERVAL_MS : syncIntervalMs),
    sync_always: omitEmpty(syncIntervalMs === 'always'),
    domain: omitEmpty(domain),
    compress_ok: true,
    strict: omitEmpty(strict),
  };
}

function renderLimits(jetStream: JetStreamServerOptions): JsonValue {
  const { maxAckPending, maxRequestBatch, maxDuplicateWindowMs, defaultMaxConsumers, batch } = jetStream;
  const other = (value: number, usual: number) => (value === usual ? undefined : value);
  return {
    max_request_batch: omitEmpty(maxRequestBatch),
    max_ack_pending: omitEmpty(maxAckPending),
    max_duplicate_window: omitEmpty(toNanoseconds(maxDuplicateWindowMs)),
    max_batch_inflight_per_stream: other(batch.maxInflightPerStream, DEFAULT_BATCH.maxInflightPerStream),
    max_batch_inflight_total: other(batch.maxInflightTotal, DEFAULT_BATCH.maxInflightTotal),
    max_batch_size: other(batch.maxMsgs, DEFAULT_BATCH.maxMsgs),
    max_batch_timeout:
      batch.timeoutMs === DEFAULT_BATCH.timeoutMs ? undefined : toNanoseconds(batch.timeoutMs),
    default_max_consumers: defaultMaxConsumers,
  };
}

function renderDurability(jetStream: JetStreamServerOptions, answer: JetStreamAnswer): JsonValue {
  const { syncIntervalMs, encryption } = jetStream;
  const always = syncIntervalMs === 'always';
  return {
    acknowledged: always ? 'synced' : 'written',
    power_failure_may_lose: always ? 'nothing' : 'what was acknowledged since the last sync',
    sync_interval: always ? undefined : toNanoseconds(syncIntervalMs),
    memory_streams: omitEmpty(answer.stats.memoryStreams),
    async_streams: omitEmpty(answer.stats.asyncStreams),
    unsynced: omitEmpty(toNanoseconds(answer.unsyncedMs)),
    encrypted: encryption !== null,
    cipher: encryption?.cipher,
  };
}
