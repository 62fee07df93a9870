import { statfsSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { ServerOptions } from '../../shared/base/options.ts';
import type { JetStreamOptions } from '../../shared/jetstream/jetstream.ts';
import { NANOS_PER_MILLI } from '../../shared/jetstream/time.ts';

/** Share of the machine's memory and of the free disk that streams may use when nothing is configured. */
const DEFAULT_SHARE = 0.75;

/** The server's options as the engine wants them. What is measured where nothing is configured is measured once. */
export class EngineSettings {
  readonly #serverName: string;
  readonly #measuredMemoryBytes: number;
  readonly #measuredStoreBytes: number;

  constructor(serverName: string, storeDir: string) {
    this.#serverName = serverName;
    this.#measuredMemoryBytes = Math.floor(totalmem() * DEFAULT_SHARE);
    this.#measuredStoreBytes = Math.floor(freeBytes(storeDir) * DEFAULT_SHARE);
  }

  /** @param options with JetStream on */
  engineOptions(options: ServerOptions): JetStreamOptions {
    const jetStream = options.jetStream!;
    const { batch, domain, strict, maxMemoryBytes, maxStoreBytes } = jetStream;
    return {
      serverName: this.#serverName,
      systemAccount: options.systemAccount,
      domain,
      strict,
      maxMemoryBytes: maxMemoryBytes ?? this.#measuredMemoryBytes,
      maxStoreBytes: maxStoreBytes ?? this.#measuredStoreBytes,
      maxDuplicateWindowNs: nanos(jetStream.maxDuplicateWindowMs),
      maxAckPending: jetStream.maxAckPending,
      maxRequestBatch: jetStream.maxRequestBatch,
      defaultMaxConsumers: jetStream.defaultMaxConsumers,
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
      // With an interval a message is delivered when it is written, which is as soon.
      deliverEarly: jetStream.syncIntervalMs === 'always' && !jetStream.deliverAfterSync,
    };
  }
}

function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * Number(NANOS_PER_MILLI)));
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
