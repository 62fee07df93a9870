/** `$JS.API.INFO` (jetstream-api §3.1). */
import { API_LEVEL } from '../base/version.ts';
import type { AccountJetStream, JetStreamTierLimits, JetStreamUsage } from './account-jetstream.ts';
import type { Endpoints, SystemEndpoint } from './api.ts';
import { JsonObject } from './json-object.ts';

const NO_LIMITS: JetStreamTierLimits = {
  maxMemoryBytes: 0,
  maxStoreBytes: 0,
  maxStreams: 0,
  maxConsumers: 0,
  maxAckPending: 0,
  memoryMaxStreamBytes: 0,
  storeMaxStreamBytes: 0,
  maxBytesRequired: false,
};

function limitsJson(limits: JetStreamTierLimits): string {
  return new JsonObject()
    .integer('max_memory', limits.maxMemoryBytes)
    .integer('max_storage', limits.maxStoreBytes)
    .integer('max_streams', limits.maxStreams)
    .integer('max_consumers', limits.maxConsumers)
    .integer('max_ack_pending', limits.maxAckPending)
    .integer('memory_max_stream_bytes', limits.memoryMaxStreamBytes)
    .integer('storage_max_stream_bytes', limits.storeMaxStreamBytes)
    .bool('max_bytes_required', limits.maxBytesRequired)
    .end();
}

function addUsage(json: JsonObject, usage: JetStreamUsage, limits: JetStreamTierLimits): JsonObject {
  return json
    .integer('memory', usage.memoryBytes)
    .integer('storage', usage.storeBytes)
    .integer('reserved_memory', usage.reservedMemoryBytes)
    .integer('reserved_storage', usage.reservedStoreBytes)
    .integer('streams', usage.streams)
    .integer('consumers', usage.consumers)
    .raw('limits', limitsJson(limits));
}

function tiersJson(account: AccountJetStream): string {
  const json = new JsonObject();
  for (const [tier, limits] of account.limits.tiers ?? []) {
    const usage = account.usage(Number(tier.slice(1)));
    json.raw(tier, addUsage(new JsonObject(), usage, limits).end());
  }
  return json.end();
}

/** The fields of the account's info, also for monitoring. */
function addAccountInfo(json: JsonObject, account: AccountJetStream): void {
  const { engine, limits } = account;
  addUsage(json, account.usage(null), limits.tiers === null ? limits.limits : NO_LIMITS);
  json
    .stringUnlessEmpty('domain', engine.options.domain)
    .raw(
      'api',
      new JsonObject()
        .integer('level', API_LEVEL)
        .integer('total', account.apiTotal)
        .integer('errors', account.apiErrors)
        .integerUnlessZero('inflight', engine.inflight)
        .end(),
    );
  if (limits.tiers !== null) json.raw('tiers', tiersJson(account));
}

/** Removes everything an account has stored, also of an account that is no longer configured. jetstream-api §3.4 */
const purgeAccount: SystemEndpoint = {
  type: 'account_purge_response',
  names: 1,
  handleSystem: (engine, [name = '']) => {
    const account = engine.account(name);
    for (const stream of [...(account?.streams.values() ?? [])]) account?.deleteStream(stream);
    for (const store of [...engine.store.streams()])
      if (store.account === name) engine.store.dropStream(store);
    account?.offline.clear();
    return (json) => json.bool('initiated', true);
  },
};

export const ACCOUNT_ENDPOINTS: Endpoints = {
  'ACCOUNT.PURGE': purgeAccount,
  INFO: {
    type: 'account_info_response',
    names: 0,
    handle:
      ({ account }) =>
      (json) =>
        addAccountInfo(json, account),
  },
};
