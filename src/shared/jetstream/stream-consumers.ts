/**
 * What a stream knows of those who read it: its consumers, and the mirrors and sources that copy from it. The stream tells
 * them what happened to its messages; with interest and workqueue retention it asks them what may go.
 */

import type { ApiError } from './errors.ts';
import type { StreamConfig } from './stream-config.ts';

/** Why a message is gone. */
export type RemovalReason = 'deleted' | 'limits';

/** A message whose subject is made a string when somebody asks. Wire form. */
export interface StoredSubject {
  readonly subject: string;
}

/** Somebody who reads a stream. */
export interface StreamReader {
  /** Whether a message on the subject would be of use; asked before an interest stream stores one. */
  hasInterest(subject: string): boolean;
  /** Whether the message still has to be kept: not yet delivered, or delivered and not acknowledged. */
  needs(sequence: number, subject: string): boolean;
  /** A message was stored. */
  stored(sequence: number, message: StoredSubject): void;
  /** One message was removed by request or by a limit. */
  removed(sequence: number, subject: string, reason: RemovalReason): void;
  /** Messages were purged; those that are left can be asked for. */
  purged(): void;
}

/** All readers of one stream, as one. */
export class StreamReaders implements StreamReader {
  readonly #readers = new Set<StreamReader>();
  /** Consumers clients can see (`consumer_count`); kept by whoever manages consumers. */
  visible = 0;

  get size(): number {
    return this.#readers.size;
  }

  add(reader: StreamReader): void {
    this.#readers.add(reader);
  }

  delete(reader: StreamReader): void {
    this.#readers.delete(reader);
  }

  hasInterest(subject: string): boolean {
    for (const reader of this.#readers) if (reader.hasInterest(subject)) return true;
    return false;
  }

  needs(sequence: number, subject: string): boolean {
    for (const reader of this.#readers) if (reader.needs(sequence, subject)) return true;
    return false;
  }

  stored(sequence: number, message: StoredSubject): void {
    for (const reader of this.#readers) reader.stored(sequence, message);
  }

  removed(sequence: number, subject: string, reason: RemovalReason): void {
    for (const reader of this.#readers) reader.removed(sequence, subject, reason);
  }

  purged(): void {
    for (const reader of this.#readers) reader.purged();
  }
}

/** What a stream asks of whoever manages its consumers. */
export interface ConsumerManager {
  /** The consumers as a snapshot holds them: `{"config":ConsumerConfig,"state":{…}}` of each. */
  archive(): { name: string; json: string }[];
  /** Makes a consumer of what a snapshot has. */
  restore(name: string, json: string): void;
  /** State for the store's checkpoints, by the key that was logged; null for a key that isn't theirs. */
  stateOf(key: string): Uint8Array | null;
  /** Why the stream may not have this configuration: 10069 when its limits are below those of a consumer. */
  configProblem(config: StreamConfig): ApiError | null;
  /** The stream has another configuration. */
  streamUpdated(): void;
  /** The stream was deleted; consumers end, and tell so, before it does. */
  streamDeleted(): void;
}
