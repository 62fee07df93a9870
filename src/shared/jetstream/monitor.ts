/** What monitoring tells of JetStream: the figures and details of /jsz (monitoring-system §3.9), and what ails it (§3.10). */
import type { AssetSelection, HealthFailure, JetStreamQuery, JetStreamStats } from '../mail/monitor.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { addConsumerInfo } from './consumers/consumer-info.ts';
import type { ConsumerHandle } from './consumers/contract.ts';
import type { JetStream } from './jetstream.ts';
import { compareBytes, JsonObject, jsonArray } from './json-object.ts';
import type { DamageReport, StreamStore } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { streamConfigJson } from './stream-config.ts';
import { LISTED_INFO, streamStateJson } from './stream-info.ts';

/** Findings of one health check. */
const MAX_FINDINGS = 1000;
/** Lost sequences named in a finding. */
const MAX_NAMED_SEQUENCES = 5;

/** Sums over all accounts. */
export function jetStreamStats(engine: JetStream): JetStreamStats {
  const stats: JetStreamStats = {
    memoryBytes: engine.memoryBytes,
    storeBytes: engine.storeBytes,
    reservedMemoryBytes: 0,
    reservedStoreBytes: 0,
    accounts: 0,
    apiTotal: 0,
    apiErrors: 0,
    apiInflight: engine.inflight,
    streams: 0,
    consumers: 0,
    messages: 0,
    bytes: 0,
    memoryStreams: 0,
    asyncStreams: 0,
  };
  for (const account of engine.accounts()) {
    const usage = account.usage(null);
    stats.accounts++;
    stats.apiTotal += account.apiTotal;
    stats.apiErrors += account.apiErrors;
    stats.reservedMemoryBytes += usage.reservedMemoryBytes;
    stats.reservedStoreBytes += usage.reservedStoreBytes;
    stats.streams += usage.streams;
    stats.consumers += usage.consumers;
    for (const { config, store } of account.streams.values()) {
      stats.messages += store.messages;
      stats.bytes += store.bytes;
      if (config.storage === 'memory') stats.memoryStreams++;
      else if (config.persistMode === 'async') stats.asyncStreams++;
    }
  }
  return stats;
}

/** The accounts a query asks for, each as JSON of `account_details`. */
export function accountDetails(engine: JetStream, query: JetStreamQuery): string[] {
  const { offset, limit } = query;
  if (query.account !== '') {
    const account = engine.account(query.account);
    return account === null ? [] : [accountJson(account, query)];
  }
  if (!query.accounts && !query.streams && !query.consumers) return [];
  const accounts = [...engine.accounts()].sort((a, b) => compareBytes(a.name, b.name));
  return accounts.slice(offset, offset + limit).map((account) => accountJson(account, query));
}

/** @returns `account_detail` */
function accountJson(account: AccountJetStream, query: JetStreamQuery): string {
  const { name, memoryBytes, storeBytes, apiTotal, apiErrors } = account;
  const { maxMemoryBytes, maxStoreBytes } = account.limits.limits;
  const json = new JsonObject()
    .string('name', name)
    .string('id', name)
    .integer('memory', memoryBytes)
    .integer('storage', storeBytes)
    .integer('reserved_memory', unsigned(maxMemoryBytes))
    .integer('reserved_storage', unsigned(maxStoreBytes))
    .integer('accounts', 0)
    .integer('ha_assets', 0)
    .raw(
      'api',
      new JsonObject().integer('level', 0).integer('total', apiTotal).integer('errors', apiErrors).end(),
    );
  const wantsStreams = query.streams || query.consumers;
  if (wantsStreams && account.streams.size > 0) {
    const streams = [...account.streams.values()].map((stream) => streamJson(stream, query));
    json.raw('stream_detail', jsonArray(streams));
  }
  return json.end();
}

/** @returns `stream_detail` */
function streamJson(stream: Stream, query: JetStreamQuery): string {
  const { config, engine } = stream;
  const json = new JsonObject()
    .string('name', stream.name)
    .time('created', stream.createdNs)
    .raw('cluster', new JsonObject().string('leader', engine.options.serverName).end());
  if (query.config) json.raw('config', streamConfigJson(config, config.metadata));
  json.raw('state', streamStateJson(stream, LISTED_INFO));
  const { consumers: wantsShown, directConsumers: wantsHidden } = query;
  const consumers = wantsShown || wantsHidden ? stream.consumers.list() : [];
  const details = (hidden: boolean) =>
    consumers
      .filter((consumer) => consumer.hidden === hidden)
      .map((consumer) => consumerJson(consumer, query));
  if (wantsShown) addList(json, 'consumer_detail', details(false));
  if (wantsHidden) addList(json, 'direct_consumer_detail', details(true));
  stream.origins.addInfo(json);
  return json.end();
}

function consumerJson(consumer: ConsumerHandle, query: JetStreamQuery): string {
  const json = new JsonObject();
  addConsumerInfo(json, consumer, false, query.config);
  return json.end();
}

function addList(json: JsonObject, name: string, list: readonly string[]): void {
  if (list.length > 0) json.raw(name, jsonArray(list));
}

/** "No limit" as nats-server prints it here. */
function unsigned(limit: number): bigint {
  return BigInt.asUintN(64, BigInt(limit));
}

/**
 * What is wrong with the assets of a selection, most important first: the store itself, accounts, then streams.
 *
 * @param isAccount whether an account of that name is configured
 * @param damage what opening the store found and no stream can be told of
 */
export function healthFindings(
  engine: JetStream,
  selection: AssetSelection,
  isAccount: (name: string) => boolean,
  damage: readonly DamageReport[],
): HealthFailure[] {
  const stored = engine.store.streams().filter(({ account, name }) => isSelected(selection, account, name));
  const missing = missingAsset(engine, selection, stored);
  if (missing !== null) return [missing];
  const findings: HealthFailure[] = [];
  const { stopped } = engine.store;
  if (stopped !== null)
    findings.push({
      type: 'JETSTREAM',
      status: 503,
      error: `JetStream store write error: ${stopped.message}`,
    });
  if (selection.account === '') {
    for (const { file, message } of damage)
      findings.push({ type: 'JETSTREAM', status: 503, error: `JetStream store: ${file}: ${message}` });
  }
  const unresolved = new Set<string>();
  for (const store of stored) {
    const { account } = store;
    if (isAccount(account)) continue;
    if (!unresolved.has(account))
      findings.push({
        type: 'ACCOUNT',
        status: 503,
        account,
        error: `JetStream account '${account}' could not be resolved`,
      });
    unresolved.add(account);
  }
  for (const store of stored) {
    if (findings.length >= MAX_FINDINGS) break;
    if (!unresolved.has(store.account)) addStreamFindings(findings, engine, store);
  }
  return findings;
}

function isSelected(selection: AssetSelection, account: string, stream: string): boolean {
  if (selection.account !== '' && selection.account !== account) return false;
  return selection.stream === '' || selection.stream === stream;
}

/** What was asked for by name and is nowhere. */
function missingAsset(
  engine: JetStream,
  selection: AssetSelection,
  stored: readonly StreamStore[],
): HealthFailure | null {
  const { account: name, stream: streamName, consumer } = selection;
  if (name === '') return null;
  const account = engine.account(name);
  if (account === null) {
    if (stored.length > 0) return null;
    return {
      type: 'ACCOUNT',
      status: 404,
      account: name,
      error: `JetStream account ${quoted(name)} not found`,
    };
  }
  if (streamName === '') return null;
  const stream = account.streams.get(streamName);
  const at = { account: name, stream: streamName };
  if (stream === undefined) {
    if (stored.length > 0) return null;
    const error = `JetStream stream ${quoted(streamName)} not found on account ${quoted(name)}`;
    return { type: 'STREAM', status: 404, ...at, error };
  }
  if (consumer === '' || stream.consumers.find(consumer) !== null) return null;
  const where = `for stream ${quoted(streamName)} on account ${quoted(name)}`;
  const error = `JetStream consumer ${quoted(consumer)} not found ${where}`;
  return { type: 'CONSUMER', status: 404, ...at, consumer, error };
}

function quoted(name: string): string {
  return JSON.stringify(name);
}

function addStreamFindings(findings: HealthFailure[], engine: JetStream, store: StreamStore): void {
  const account = engine.account(store.account);
  const path = `${store.account} > ${store.name}`;
  const add = (what: string) =>
    void findings.push({
      type: 'STREAM',
      status: 503,
      account: store.account,
      stream: store.name,
      error: `JetStream stream '${path}' ${what}`,
    });
  const offline = account?.offline.get(store.name);
  if (offline !== undefined) add(`could not be recovered: ${offline}`);
  // What a create or a restore left that a crash cut short is nobody's loss: it is in no list and not told of here.
  else if (account === null) add('could not be recovered');
  const failure = store.stopped ?? (store.failure?.code === 'no_space' ? store.failure : null);
  if (failure !== null) add(`write error: ${failure.message}`);
  const { sequences } = store.lost();
  if (sequences.length === 0) return;
  const named = sequences.slice(0, MAX_NAMED_SEQUENCES).join(', ');
  const more = sequences.length > MAX_NAMED_SEQUENCES ? ', …' : '';
  add(`lost ${sequences.length} messages to damage on the disk: ${named}${more}`);
}
