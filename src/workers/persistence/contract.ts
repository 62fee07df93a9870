import type { MessagePort } from 'node:worker_threads';
import type { ServerOptions } from '../../shared/base/options.ts';
import type {
  AssetSelection,
  HealthFailure,
  JetStreamAnswer,
  JetStreamQuery,
} from '../../shared/mail/monitor.ts';
import type { ThreadMemory } from '../../shared/mail/thread-memory.ts';

/** What main and the persistence thread say to each other. Everything is structured-cloneable; ports are transferred. */

export type ThreadLinkMemory = ThreadMemory<MessagePort>;

/** `workerData` of the persistence thread. */
export interface PersistenceStart {
  /** The number behind those of the shards. */
  thread: number;
  threads: number;
  /** `jetStream` is there. */
  options: ServerOptions;
  serverName: string;
  doorbells: SharedArrayBuffer;
  links: ThreadLinkMemory[];
  /** Index of each account, by name: the same on all threads and never reused. */
  accountIndexes: Record<string, number>;
  /** Answers to direct gets, for the shards to give. */
  directAnswers: SharedArrayBuffer;
  /** A page of `HEARTBEAT`. */
  heartbeat: SharedArrayBuffer;
  /** Seed of the thread's random choices. */
  seed: number;
}

/** Slots (Float64) that main reads without asking; only this thread writes. As a shard's counters of the same names. */
export const HEARTBEAT = { loopLagMs: 0, heartbeatMs: 1, slots: 2 } as const;

export type ToPersistence =
  /** Answered with a reply. */
  | { kind: 'options'; request: number; options: ServerOptions; accountIndexes: Record<string, number> }
  /** Answered with a reply that has a `JetStreamAnswer`. */
  | { kind: 'jetstream-query'; request: number; query: JetStreamQuery }
  /** Answered with a reply that has the findings. */
  | { kind: 'health-query'; request: number; selection: AssetSelection }
  | { kind: 'thread-lost'; thread: number }
  | { kind: 'thread-link'; link: ThreadLinkMemory }
  /** Tells who waits at pull consumers that the server stops, while there are shards to tell it; answered with a reply. */
  | { kind: 'announce-stop'; request: number }
  /** Writes what is left and releases the store; answered with `stopped`. */
  | { kind: 'stop' };

export type PersistenceAnswer = JetStreamAnswer | HealthFailure[];

export type PersistenceLogLevel = 'error' | 'warn' | 'info' | 'debug';

export type FromPersistence =
  /** The store is recovered, every stream listens. */
  | { kind: 'ready' }
  /** The store can't be opened. */
  | { kind: 'refused'; reason: string }
  | { kind: 'log'; level: PersistenceLogLevel; text: string }
  | { kind: 'reply'; request: number; answer?: PersistenceAnswer }
  | { kind: 'stopped' };
