/** A consumer that keeps its configuration and does nothing; what it reports is set by hand. */

import { pausedConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config-update.ts';
import type {
  ConsumerConfig,
  ConsumerHandle,
  ConsumerStatus,
} from '../../../../../src/shared/jetstream/consumers/contract.ts';
import type { ApiError } from '../../../../../src/shared/jetstream/errors.ts';
import type { Stream } from '../../../../../src/shared/jetstream/stream.ts';
import { joinTime, parseTime } from '../../../../../src/shared/jetstream/time.ts';

export class FakeConsumer implements ConsumerHandle {
  readonly stream: Stream;
  readonly name: string;
  readonly createdNs: bigint;
  config: ConsumerConfig;
  readonly pushBound = false;
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
    return sequence;
  }

  unpin(): void {}
}
