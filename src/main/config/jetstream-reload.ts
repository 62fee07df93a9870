import type { JetStreamServerOptions, ServerOptions } from '../../shared/base/options.ts';
import { formatBytes } from './byte-size.ts';
import { formatDurationMs } from './duration.ts';

/**
 * What a reload may change of JetStream: limits may be raised, those of requests changed. Everything else, the store, its
 * keys and its syncing above all, belongs to one run. Facts: configuration reference §7, and 2.15.1 tried out.
 */

type Print = (jetStream: JetStreamServerOptions) => string;

/** Instead of keys, which a log must not have; nats-server logs them. */
const REDACTED = '[REDACTED]';

const FIXED: readonly [name: string, print: Print, shown?: string][] = [
  ['JetStreamDomain', ({ domain }) => domain],
  ['JetStreamKey', ({ encryption }) => encryption?.key ?? '', REDACTED],
  ['JetStreamOldKey', ({ encryption }) => encryption?.previousKey ?? '', REDACTED],
  ['JetStreamCipher', ({ encryption }) => encryption?.cipher ?? ''],
  ['SyncInterval', syncInterval],
  ['DeliverAfterSync', ({ deliverAfterSync }) => String(deliverAfterSync)],
  ['NoJetStreamStrict', ({ strict }) => String(!strict)],
  ['JetStreamRequestQueueLimit', ({ requestQueueLimit }) => String(requestQueueLimit)],
  ['JetStreamInfoQueueLimit', ({ infoQueueLimit }) => String(infoQueueLimit)],
];

function syncInterval({ syncIntervalMs }: JetStreamServerOptions): string {
  return syncIntervalMs === 'always' ? syncIntervalMs : formatDurationMs(syncIntervalMs);
}

/** @returns why a running server can't go from one to the other, or null */
export function jetStreamReloadProblem(before: ServerOptions, after: ServerOptions): string | null {
  const [old, fresh] = [before.jetStream, after.jetStream];
  if (old === null || fresh === null) {
    const [was, is] = [old !== null, fresh !== null];
    return was === is ? null : `config reload not supported for JetStream: old=${was}, new=${is}`;
  }
  if (old.storeDir !== fresh.storeDir) return 'config reload not supported for jetstream storage directory';
  for (const [name, print, shown] of FIXED) {
    if (print(old) === print(fresh)) continue;
    const value = (jetStream: JetStreamServerOptions) =>
      print(jetStream) === '' ? '' : (shown ?? print(jetStream));
    return `config reload not supported for ${name}: old=${value(old)}, new=${value(fresh)}`;
  }
  return (
    sizeProblem(old.maxMemoryBytes, fresh.maxMemoryBytes) ??
    sizeProblem(old.maxStoreBytes, fresh.maxStoreBytes)
  );
}

function sizeProblem(old: number | null, fresh: number | null): string | null {
  if (old === fresh) return null;
  if (old === null) return 'config reload not supported for jetstream dynamic max memory and store';
  if (fresh === null) return 'config reload not supported for jetstream max memory and max store';
  return fresh < old ? 'config reload not supported for decreasing jetstream max memory and store' : null;
}

/** Log lines of what changes. */
export function jetStreamChanges(before: ServerOptions, after: ServerOptions): string[] {
  const [old, fresh] = [before.jetStream, after.jetStream];
  if (old === null || fresh === null) return [];
  const lines: string[] = [];
  if (old.maxMemoryBytes !== fresh.maxMemoryBytes)
    lines.push(`Reloaded: JetStream max_mem_store = ${formatBytes(fresh.maxMemoryBytes ?? 0)}`);
  if (old.maxStoreBytes !== fresh.maxStoreBytes)
    lines.push(`Reloaded: JetStream max_file_store = ${formatBytes(fresh.maxStoreBytes ?? 0)}`);
  if (limits(old) !== limits(fresh)) lines.push('Reloaded: JetStream limits');
  return lines;
}

function limits({
  maxAckPending,
  maxRequestBatch,
  defaultMaxConsumers,
  maxDuplicateWindowMs,
  batch,
}: JetStreamServerOptions): string {
  const { maxInflightPerStream, maxInflightTotal, maxMsgs, timeoutMs } = batch;
  return [
    maxAckPending,
    maxRequestBatch,
    defaultMaxConsumers,
    maxDuplicateWindowMs,
    maxInflightPerStream,
    maxInflightTotal,
    maxMsgs,
    timeoutMs,
  ].join();
}
