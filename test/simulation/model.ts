import { subjectMatches } from '../../src/shared/subject/subject.ts';

/** The store as anybody would write it who has all the memory and no disk: the truth that the real one is compared with. */

export interface ModelMessage {
  subject: string;
  headers: string;
  payload: string;
  timestampMs: number;
  timestampNanos: number;
  ttlSeconds: number;
}

function matchesAny(subject: string, patterns: readonly string[] | null): boolean {
  return patterns === null || patterns.some((pattern) => subjectMatches(subject, pattern));
}

export class ModelStream {
  messages = new Map<number, ModelMessage>();
  firstSeq = 0;
  lastSeq = 0;
  lastMs = 0;
  metadata = new Map<string, string>();
  /** All records of each consumer, joined. */
  consumers = new Map<string, string>();

  clone(): ModelStream {
    const copy = new ModelStream();
    copy.messages = new Map(this.messages);
    copy.firstSeq = this.firstSeq;
    copy.lastSeq = this.lastSeq;
    copy.lastMs = this.lastMs;
    copy.metadata = new Map(this.metadata);
    copy.consumers = new Map(this.consumers);
    return copy;
  }

  append(sequence: number, message: ModelMessage): void {
    this.messages.set(sequence, message);
    this.lastSeq = sequence;
    this.lastMs = message.timestampMs;
    this.settle();
  }

  skip(through: number, timestampMs: number): void {
    this.lastSeq = through;
    this.lastMs = timestampMs;
    this.settle();
  }

  remove(sequence: number): boolean {
    const removed = this.messages.delete(sequence);
    if (removed) this.settle();
    return removed;
  }

  purge(patterns: readonly string[] | null, beforeSeq: number, keep: number): number {
    if (patterns === null && keep === 0 && beforeSeq > 0) return this.compact(beforeSeq);
    if (patterns === null && keep === 0) return this.compact(this.lastSeq + 1);
    const matching = this.matching(patterns);
    const doomed = matching
      .slice(0, Math.max(0, matching.length - keep))
      .filter((sequence) => beforeSeq === 0 || sequence < beforeSeq);
    for (const sequence of doomed) this.messages.delete(sequence);
    if (doomed.length > 0) this.settle();
    return doomed.length;
  }

  compact(sequence: number): number {
    const doomed = this.matching(null).filter((candidate) => candidate < sequence);
    for (const candidate of doomed) this.messages.delete(candidate);
    if (sequence > this.lastSeq) {
      this.lastSeq = sequence - 1;
      this.firstSeq = sequence;
    } else if (doomed.length > 0) this.settle();
    return doomed.length;
  }

  truncate(sequence: number): number {
    if (sequence >= this.lastSeq) return 0;
    const doomed = this.matching(null).filter((candidate) => candidate > sequence);
    for (const candidate of doomed) this.messages.delete(candidate);
    this.lastSeq = sequence;
    this.lastMs = this.messages.get(sequence)?.timestampMs ?? this.lastMs;
    this.settle();
    return doomed.length;
  }

  /** Live sequences that match, ascending. */
  matching(patterns: readonly string[] | null): number[] {
    return [...this.messages]
      .filter(([, message]) => matchesAny(message.subject, patterns))
      .map(([sequence]) => sequence)
      .sort((a, b) => a - b);
  }

  /** Last sequence of each subject that matches. */
  lastPerSubject(patterns: readonly string[] | null, upTo: number): number[] {
    const last = new Map<string, number>();
    for (const sequence of this.matching(patterns)) {
      if (upTo === 0 || sequence <= upTo) last.set(this.messages.get(sequence)!.subject, sequence);
    }
    return [...last.values()].sort((a, b) => a - b);
  }

  settle(): void {
    const first = this.messages.size === 0 ? this.lastSeq + 1 : Math.min(...this.messages.keys());
    this.firstSeq = first;
  }
}

export class ModelStore {
  streams = new Map<string, ModelStream>();

  clone(): ModelStore {
    const copy = new ModelStore();
    for (const [name, stream] of this.streams) copy.streams.set(name, stream.clone());
    return copy;
  }
}
