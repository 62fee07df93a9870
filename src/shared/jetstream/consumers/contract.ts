/**
 * What the parts of the consuming half know of each other: the API and the information about consumers on one side, the
 * machine that delivers on the other.
 */
import type { ApiError } from '../errors.ts';
import type { Stream } from '../stream.ts';

export type DeliverPolicy =
  | 'all'
  | 'last'
  | 'new'
  | 'by_start_sequence'
  | 'by_start_time'
  | 'last_per_subject';
export type AckPolicy = 'none' | 'all' | 'explicit' | 'flow_control';
export type ReplayPolicy = 'instant' | 'original';
export type PriorityPolicy = 'none' | 'overflow' | 'pinned_client' | 'prioritized';

/**
 * A consumer's configuration as it is stored, after defaults (jetstream-consumers §1.1). Texts are as people write them
 * (Unicode). Durations are nanoseconds and 0 is unset; -1 stands for "no limit" where the API says so.
 */
export interface ConsumerConfig {
  durableName: string;
  name: string;
  description: string;
  deliverPolicy: DeliverPolicy;
  /** 0 is unset. */
  optStartSeq: number;
  /** RFC 3339, with the zone it was given in; empty is unset. */
  optStartTime: string;
  ackPolicy: AckPolicy;
  ackWaitNs: bigint;
  maxDeliver: number;
  backoffNs: bigint[];
  filterSubject: string;
  filterSubjects: string[];
  replayPolicy: ReplayPolicy;
  /** Bits a second; 0 is unset. */
  rateLimitBps: number;
  /** As given, `"100"` or `"100%"`; empty is unset. */
  sampleFreq: string;
  maxWaiting: number;
  maxAckPending: number;
  flowControl: boolean;
  headersOnly: boolean;
  maxRequestBatch: number;
  maxRequestExpiresNs: bigint;
  maxRequestMaxBytes: number;
  /** Empty: a pull consumer. */
  deliverSubject: string;
  deliverGroup: string;
  idleHeartbeatNs: bigint;
  inactiveThresholdNs: bigint;
  replicas: number;
  memStorage: boolean;
  direct: boolean;
  sourcing: boolean;
  metadata: Map<string, string>;
  /** RFC 3339; empty is unset. */
  pauseUntil: string;
  priorityGroups: string[];
  priorityPolicy: PriorityPolicy;
  priorityTimeoutNs: bigint;
}

/** A pair of sequences and when they last moved (Unix nanoseconds, 0n: never). */
export interface SequencePair {
  readonly consumerSeq: number;
  readonly streamSeq: number;
  readonly lastActiveNs: bigint;
}

/** What `ConsumerInfo` says beyond the configuration (jetstream-consumers §2). */
export interface ConsumerStatus {
  readonly delivered: SequencePair;
  readonly ackFloor: SequencePair;
  readonly numAckPending: number;
  readonly numRedelivered: number;
  readonly numWaiting: number;
  readonly numPending: number;
  readonly pushBound: boolean;
  /** Unix nanoseconds; 0n: not paused. */
  readonly pausedUntilNs: bigint;
  /** State of the first priority group; null without groups. `pinnedId` is empty when nobody is pinned. */
  readonly group: { readonly name: string; readonly pinnedId: string; readonly pinnedNs: bigint } | null;
}

/** One consumer, as the API sees it. `runtime/consumer.ts` implements it. */
export interface ConsumerHandle {
  readonly stream: Stream;
  readonly name: string;
  readonly config: ConsumerConfig;
  /** Unix nanoseconds. */
  readonly createdNs: bigint;
  /** Not counted (`direct`, `sourcing`); lists leave out the direct ones only. */
  readonly hidden: boolean;
  status(): ConsumerStatus;
  /** Whether somebody listens on the deliver subject. */
  readonly pushBound: boolean;
  /** Takes over a checked configuration, stores it, and does what follows from it (§1.4). Null, or why the store refused. */
  update(config: ConsumerConfig): ApiError | null;
  /** §9. Until is RFC 3339 text; empty resumes. */
  pause(until: string): ApiError | null;
  /** §10; the sequence was checked. 0: to the ack floor. @returns the sequence it was reset to */
  reset(sequence: number): number;
  /** §7: `reason` is `admin`. */
  unpin(group: string): void;
}

/** All consumers of one stream, as the API sees them. `runtime/stream-consumers.ts` implements it. */
export interface StreamConsumersHandle {
  find(name: string): ConsumerHandle | null;
  /** In order of their names; hidden ones included. */
  list(): readonly ConsumerHandle[];
  /**
   * Makes a consumer of a checked configuration; nobody has its name. Stores it, starts it, sends the advisory
   * CONSUMER.CREATED.
   */
  create(config: ConsumerConfig): ConsumerHandle | ApiError;
  /** Ends a consumer: statuses to who waits, advisory CONSUMER.DELETED, its state is forgotten. */
  delete(consumer: ConsumerHandle): ApiError | null;
}
