/** Consumers that keep their configuration and do nothing: what the API needs of the runtime, small enough to read. */

import { pausedConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config-update.ts';
import type {
  ConsumerConfig,
  ConsumerHandle,
  ConsumerStatus,
  StreamConsumersHandle,
} from '../../../../../src/shared/jetstream/consumers/contract.ts';
import type { ApiError } from '../../../../../src/shared/jetstream/errors.ts';
import { compareBytes } from '../../../../../src/shared/jetstream/json-object.ts';
import { randomId } from '../../../../../src/shared/jetstream/names.ts';
import type { Stream } from '../../../../../src/shared/jetstream/stream.ts';
import type { ConsumerManager } from '../../../../../src/shared/jetstream/stream-consumers.ts';
import { joinTime, parseTime } from '../../../../../src/shared/jetstream/time.ts';

export class FakeConsumer implements ConsumerHandle {
  readonly stream: Stream;
  readonly name: string;
  readonly createdNs: bigint;
  config: ConsumerConfig;
  pushBound = false;
  /** Sequences it was reset to, groups that were unpinned. */
  readonly resets: number[] = [];
  readonly unpinned: string[] = [];
  /** What `status` says differently. */
  reported: Partial<ConsumerStatus> = {};

  constructor(stream: Stream, name: string, config: ConsumerConfig) {
    this.stream = stream;
    this.name = name;
    this.config = config;
    const { ms, nanos } = stream.engine.clock;
    this.createdNs = joinTime(ms, nanos);
  }

  get hidden(): boolean {
    return this.config.direct;
  }

  status(): ConsumerStatus {
    const until = this.config.pauseUntil === '' ? 0n : parseTime(this.config.pauseUntil);
    const [group] = this.config.priorityGroups;
    return {
      delivered: { consumerSeq: 0, streamSeq: 0, lastActiveNs: 0n },
      ackFloor: { consumerSeq: 0, streamSeq: 0, lastActiveNs: 0n },
      numAckPending: 0,
      numRedelivered: 0,
      numWaiting: 0,
      numPending: 0,
      pushBound: this.pushBound,
      pausedUntilNs: typeof until === 'bigint' ? until : 0n,
      group: group === undefined ? null : { name: group, pinnedId: '', pinnedNs: 0n },
      ...this.reported,
    };
  }

  update(config: ConsumerConfig): ApiError | null {
    this.config = config;
    return null;
  }

  pause(until: string): ApiError | null {
    this.config = pausedConfig(this.config, until);
    return null;
  }

  reset(sequence: number): number {
    this.resets.push(sequence);
    return sequence;
  }

  unpin(group: string): void {
    this.unpinned.push(group);
  }
}

export class FakeConsumers implements StreamConsumersHandle, ConsumerManager {
  readonly stream: Stream;
  readonly consumers = new Map<string, FakeConsumer>();

  constructor(stream: Stream) {
    this.stream = stream;
  }

  #count(): void {
    const all = [...this.consumers.values()];
    this.stream.readers.visible = all.filter(({ config }) => !config.direct && !config.sourcing).length;
  }

  find(name: string): FakeConsumer | null {
    return this.consumers.get(name) ?? null;
  }

  list(): FakeConsumer[] {
    return [...this.consumers.values()].sort((a, b) => compareBytes(a.name, b.name));
  }

  create(config: ConsumerConfig): FakeConsumer {
    const name = config.name === '' ? randomId(8, this.stream.engine.random) : config.name;
    const consumer = new FakeConsumer(this.stream, name, config);
    this.consumers.set(name, consumer);
    this.#count();
    return consumer;
  }

  delete(consumer: ConsumerHandle): ApiError | null {
    this.consumers.delete(consumer.name);
    this.#count();
    return null;
  }

  archive(): [] {
    return [];
  }

  restore(): void {}

  stateOf(): null {
    return null;
  }

  configProblem(): null {
    return null;
  }

  streamUpdated(): void {}

  streamDeleted(): void {}
}
