import { randomBytes } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { JetStreamServerOptions, ServerOptions } from '../../shared/base/options.ts';
import type { JetStreamOptions } from '../../shared/jetstream/jetstream.ts';
import { isFailure, openStore } from '../../shared/jetstream/store/open.ts';
import { NANOS_PER_MILLI } from '../../shared/jetstream/time.ts';
import { poolCompressor } from './compressor.ts';
import type { FromPersistence, PersistenceStart } from './contract.ts';
import { FileDisk } from './file-disk.ts';
import { Persistence } from './persistence.ts';
import { SyncThread } from './sync-thread.ts';

/** Share of the machine's memory and of the free disk that streams may use when nothing is configured. */
const DEFAULT_SHARE = 0.75;

/**
 * Opens the store and builds the thread around it. Nothing listens yet.
 *
 * @returns the thread, or why the store can't be opened
 */
export function openPersistence(
  start: PersistenceStart,
  post: (message: FromPersistence) => void,
): Persistence | string {
  const { jetStream } = start.options;
  if (jetStream === null) throw new Error('a persistence thread needs the JetStream options');
  // With an interval nobody waits for a sync.
  const syncThread =
    jetStream.syncIntervalMs === 'always' ? new SyncThread(start.doorbells, start.thread) : null;
  const disk = new FileDisk(jetStream.storeDir, syncThread);
  const host = { disk, random: randomBytes, compressor: poolCompressor };
  const store = openStore(host, { cipher: null, key: '', previousKey: '' });
  if (isFailure(store)) return store.message;
  return new Persistence(
    start,
    store,
    engineOptions(start.options, jetStream, start.serverName),
    () => disk.syncMicros,
    post,
  );
}

function engineOptions(
  options: ServerOptions,
  jetStream: JetStreamServerOptions,
  serverName: string,
): JetStreamOptions {
  const { batch, domain, strict, maxMemoryBytes, maxStoreBytes, storeDir } = jetStream;
  return {
    serverName,
    systemAccount: options.systemAccount,
    domain,
    strict,
    maxMemoryBytes: maxMemoryBytes ?? Math.floor(totalmem() * DEFAULT_SHARE),
    maxStoreBytes: maxStoreBytes ?? Math.floor(freeBytes(storeDir) * DEFAULT_SHARE),
    maxDuplicateWindowNs: nanos(jetStream.maxDuplicateWindowMs),
    maxAckPending: jetStream.maxAckPending,
    maxRequestBatch: jetStream.maxRequestBatch,
    maxPayloadBytes: options.maxPayloadBytes,
    maxPendingBytes: options.maxPendingBytes,
    batch: {
      maxInflightPerStream: batch.maxInflightPerStream,
      maxInflightTotal: batch.maxInflightTotal,
      maxMsgs: batch.maxMsgs,
      timeoutNs: nanos(batch.timeoutMs),
    },
    requestQueueLimit: jetStream.requestQueueLimit,
    infoQueueLimit: jetStream.infoQueueLimit,
  };
}

function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * Number(NANOS_PER_MILLI)));
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
