/**
 * The store's contract in its plainest form: arrays and loops, nothing on disk. The engine's tests run on it, so that they
 * fail for the engine's sake alone. It counts tickets as the real one does, and syncs when told to.
 */
import type {
  ConsumerLog,
  DamageReport,
  LastWatch,
  MessageDraft,
  PurgeRequest,
  Store,
  StoredMessage,
  StoreFailure,
  StreamSpec,
  StreamStore,
  SubjectFilter,
  SubjectState,
  SubjectsPage,
} from '../../../../src/shared/jetstream/store/contract.ts';
import { isSubsetMatch } from '../../../../src/shared/subject/subject.ts';

interface Message {
  sequence: number;
  subject: string;
  headers: Uint8Array;
  payload: Uint8Array;
  timestampMs: number;
  timestampNanos: number;
  ttlSeconds: number;
}

let uids = 0;

class FakeStreamStore implements StreamStore {
  readonly unreadableSeq = 0;
  readonly account: string;
  readonly name: string;
  readonly storage: 'file' | 'memory';
  readonly uid = ++uids;
  failure: StoreFailure | null = null;
  stopped: StoreFailure | null = null;
  compression: boolean;
  live: Message[] = [];
  lastSeq: number;
  lastTimestampMs = 0;
  lastTimestampNanos = 0;
  appendedSubjectMessages = 0;
  appendedPreviousSeq = 0;
  /** The next append fails with this. */
  nextFailure: StoreFailure | null = null;
  readonly metadata = new Map<string, Uint8Array>();
  readonly consumerLogs = new Map<string, Uint8Array[]>();
  readonly #firstSeq: number;
  readonly #store: FakeStore;
  #watch: LastWatch | null = null;

  constructor(store: FakeStore, spec: StreamSpec) {
    this.#store = store;
    this.account = spec.account;
    this.name = spec.name;
    this.storage = spec.storage;
    this.compression = spec.compression;
    this.#firstSeq = spec.firstSeq;
    this.lastSeq = Math.max(0, spec.firstSeq - 1);
  }

  get messages(): number {
    return this.live.length;
  }

  get bytes(): number {
    return this.live.reduce((sum, { subject, headers, payload }) => {
      return sum + this.accountingBytes(subject.length, headers.length, payload.length);
    }, 0);
  }

  get firstSeq(): number {
    const first = this.live[0];
    if (first !== undefined) return first.sequence;
    return this.lastSeq === 0 && this.#firstSeq === 0 ? 0 : this.lastSeq + 1;
  }

  get firstTimestampMs(): number {
    return this.live[0]?.timestampMs ?? 0;
  }

  get firstTimestampNanos(): number {
    return this.live[0]?.timestampNanos ?? 0;
  }

  get subjects(): number {
    return new Set(this.live.map(({ subject }) => subject)).size;
  }

  get deleted(): number {
    return this.messages === 0 ? 0 : this.lastSeq - this.firstSeq + 1 - this.messages;
  }

  lost(): { sequences: number[]; bytes: number } {
    return { sequences: [], bytes: 0 };
  }

  deletedRanges(): Float64Array {
    const ranges: number[] = [];
    let expected = this.firstSeq;
    for (const { sequence } of this.live) {
      if (sequence > expected) ranges.push(expected, sequence - 1);
      expected = sequence + 1;
    }
    if (this.live.length > 0 && expected <= this.lastSeq) ranges.push(expected, this.lastSeq);
    return Float64Array.from(ranges);
  }

  #staged(): void {
    this.failure = null;
    this.#watch?.cleared();
    if (this.storage === 'file') this.#store.ticket += 64;
  }

  append(draft: MessageDraft): number {
    if (this.nextFailure !== null) {
      this.failure = this.nextFailure;
      this.nextFailure = null;
      return -1;
    }
    const sequence = draft.sequence === 0 ? this.lastSeq + 1 : draft.sequence;
    const subject = Buffer.from(draft.subjectBytes.slice(draft.subjectStart, draft.subjectEnd)).toString(
      'latin1',
    );
    const same = this.live.filter((message) => message.subject === subject);
    this.live.push({
      sequence,
      subject,
      headers: Uint8Array.from(draft.headerBytes.subarray(draft.headerStart, draft.headerEnd)),
      payload: Uint8Array.from(draft.payloadBytes.subarray(draft.payloadStart, draft.payloadEnd)),
      timestampMs: draft.timestampMs,
      timestampNanos: draft.timestampNanos,
      ttlSeconds: draft.ttlSeconds,
    });
    this.lastSeq = sequence;
    this.lastTimestampMs = draft.timestampMs;
    this.lastTimestampNanos = draft.timestampNanos;
    this.appendedSubjectMessages = same.length + 1;
    this.appendedPreviousSeq = same[same.length - 1]?.sequence ?? 0;
    this.#staged();
    return sequence;
  }

  accountingBytes(subjectBytes: number, headerBytes: number, payloadBytes: number): number {
    if (this.storage === 'memory') return 16 + subjectBytes + headerBytes + payloadBytes;
    return 30 + subjectBytes + payloadBytes + (headerBytes > 0 ? 4 + headerBytes : 0);
  }

  skip(throughSeq: number, timestampMs: number, timestampNanos: number): boolean {
    this.lastSeq = throughSeq;
    this.lastTimestampMs = timestampMs;
    this.lastTimestampNanos = timestampNanos;
    this.#staged();
    return true;
  }

  remove(sequence: number): number {
    const index = this.live.findIndex((message) => message.sequence === sequence);
    if (index === -1) return 0;
    const [{ subject, headers, payload }] = this.live.splice(index, 1) as [Message];
    this.#staged();
    return this.accountingBytes(subject.length, headers.length, payload.length);
  }

  #retain(keeps: (message: Message) => boolean): number {
    const before = this.live.length;
    this.live = this.live.filter(keeps);
    this.#staged();
    return before - this.live.length;
  }

  purge({ filter, beforeSeq, keep }: PurgeRequest): number {
    const matching = this.live.filter(({ subject }) => matches(filter, subject));
    const going = new Set(
      matching
        .slice(0, Math.max(0, matching.length - keep))
        .filter(({ sequence }) => beforeSeq === 0 || sequence < beforeSeq),
    );
    const removed = this.#retain((message) => !going.has(message));
    if (filter === null && beforeSeq > this.lastSeq) this.lastSeq = beforeSeq - 1;
    return removed;
  }

  compact(sequence: number): number {
    return this.purge({ filter: null, beforeSeq: sequence, keep: 0 });
  }

  truncate(sequence: number): number {
    this.lastSeq = Math.min(this.lastSeq, sequence);
    return this.#retain((message) => message.sequence <= sequence);
  }

  setCompression(on: boolean): void {
    this.compression = on;
  }

  load(sequence: number, into: StoredMessage): boolean {
    return fill(
      into,
      this.live.find((message) => message.sequence === sequence),
    );
  }

  loadLast(subject: string, into: StoredMessage): boolean {
    return fill(
      into,
      this.live.findLast((message) => message.subject === subject),
    );
  }

  #next(filter: SubjectFilter | null, fromSeq: number): Message | undefined {
    return this.live.find((message) => message.sequence >= fromSeq && matches(filter, message.subject));
  }

  next(filter: SubjectFilter | null, fromSeq: number, into: StoredMessage): boolean {
    return fill(into, this.#next(filter, fromSeq));
  }

  nextSeq(filter: SubjectFilter | null, fromSeq: number): number {
    return this.#next(filter, fromSeq)?.sequence ?? 0;
  }

  nextSeqWithHeaders(fromSeq: number): number {
    return this.nextSeq(null, fromSeq);
  }

  firstSeqFromTime(timestampMs: number, timestampNanos: number): number {
    const found = this.live.find(
      (message) =>
        message.timestampMs > timestampMs ||
        (message.timestampMs === timestampMs && message.timestampNanos >= timestampNanos),
    );
    return found?.sequence ?? this.lastSeq + 1;
  }

  filter(patterns: readonly string[]): SubjectFilter {
    return { patterns, all: patterns.length === 0 || patterns.includes('>') };
  }

  subjectState(subject: string): SubjectState | null {
    const same = this.live.filter((message) => message.subject === subject);
    if (same.length === 0) return null;
    return { firstSeq: same[0]!.sequence, lastSeq: same[same.length - 1]!.sequence, messages: same.length };
  }

  subjectsState(filter: SubjectFilter | null, offset: number, limit: number): SubjectsPage {
    const counts = new Map<string, number>();
    for (const { subject } of this.live) {
      if (matches(filter, subject)) counts.set(subject, (counts.get(subject) ?? 0) + 1);
    }
    const subjects = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).slice(offset, offset + limit);
    return { total: counts.size, subjects };
  }

  crowdedSubjects(messages: number): string[] {
    const page = this.subjectsState(null, 0, Number.MAX_SAFE_INTEGER);
    return page.subjects.filter(([, count]) => count > messages).map(([subject]) => subject);
  }

  lastSeqOf(filter: SubjectFilter | null): number {
    return this.live.findLast(({ subject }) => matches(filter, subject))?.sequence ?? 0;
  }

  lastPerSubject(filter: SubjectFilter | null, upToSeq: number, maxSubjects: number): Float64Array | null {
    const lasts = new Map<string, number>();
    for (const { subject, sequence } of this.live) {
      if (matches(filter, subject) && (upToSeq === 0 || sequence <= upToSeq)) lasts.set(subject, sequence);
    }
    if (lasts.size > maxSubjects) return null;
    return Float64Array.from([...lasts.values()].sort((a, b) => a - b));
  }

  numPending(filter: SubjectFilter | null, fromSeq: number, lastPerSubject: boolean): number {
    return this.live.filter(
      ({ subject, sequence }) =>
        sequence >= fromSeq &&
        matches(filter, subject) &&
        (!lastPerSubject || this.subjectState(subject)!.lastSeq === sequence),
    ).length;
  }

  visitTtl(visit: (sequence: number, timestampMs: number, ttlSeconds: number) => void): void {
    for (const { sequence, timestampMs, ttlSeconds } of this.live) {
      if (ttlSeconds > 0) visit(sequence, timestampMs, ttlSeconds);
    }
  }

  putMetadata(key: string, value: Uint8Array | null): boolean {
    if (value === null) this.metadata.delete(key);
    else this.metadata.set(key, value.slice());
    this.#staged();
    return true;
  }

  getMetadata(key: string): Uint8Array | null {
    return this.metadata.get(key) ?? null;
  }

  metadataKeys(): string[] {
    return [...this.metadata.keys()];
  }

  logConsumer(key: string, record: Uint8Array): boolean {
    const records = this.consumerLogs.get(key) ?? [];
    records.push(record.slice());
    this.#taken.add(key);
    this.consumerLogs.set(key, records);
    this.#staged();
    return true;
  }

  /** Keys whose log somebody took or wrote. */
  readonly #taken = new Set<string>();

  takeConsumerLog(key: string): ConsumerLog | null {
    this.#taken.add(key);
    const records = this.consumerLogs.get(key);
    return records === undefined ? null : { snapshot: null, records };
  }

  consumerLogKeys(): string[] {
    return [...this.consumerLogs.keys()].filter((key) => !this.#taken.has(key));
  }

  dropConsumer(key: string): boolean {
    this.consumerLogs.delete(key);
    return true;
  }

  setSnapshotSource(): void {}

  watchLast(watch: LastWatch | null): void {
    this.#watch = watch;
  }
}

function matches(filter: SubjectFilter | null, subject: string): boolean {
  return filter === null || filter.all || filter.patterns.some((pattern) => isSubsetMatch(subject, pattern));
}

function fill(into: StoredMessage, message: Message | undefined): boolean {
  if (message === undefined) return false;
  const subject = Buffer.from(message.subject, 'latin1');
  into.bytes = Buffer.concat([subject, message.headers, message.payload]);
  into.sequence = message.sequence;
  into.timestampMs = message.timestampMs;
  into.timestampNanos = message.timestampNanos;
  into.ttlSeconds = message.ttlSeconds;
  into.subjectStart = 0;
  into.subjectEnd = subject.length;
  into.headerStart = subject.length;
  into.headerEnd = subject.length + message.headers.length;
  into.payloadStart = into.headerEnd;
  into.payloadEnd = into.bytes.length;
  return true;
}

export class FakeStore implements Store {
  failure: StoreFailure | null = null;
  stopped: StoreFailure | null = null;
  ticket = 1;
  writtenTicket = 1;
  syncedTicket = 1;
  #streams: FakeStreamStore[] = [];

  streams(): readonly FakeStreamStore[] {
    return this.#streams;
  }

  find(account: string, name: string): FakeStreamStore | null {
    return this.#streams.find((stream) => stream.account === account && stream.name === name) ?? null;
  }

  createStream(spec: StreamSpec): FakeStreamStore | null {
    const stream = new FakeStreamStore(this, spec);
    this.#streams.push(stream);
    return stream;
  }

  dropStream(stream: StreamStore): boolean {
    this.#streams = this.#streams.filter((other) => other !== stream);
    return true;
  }

  commit(): StoreFailure | null {
    this.writtenTicket = this.ticket;
    this.syncedTicket = this.ticket;
    return null;
  }

  readonly committing = false;

  beginCommit(): StoreFailure | null {
    return this.commit();
  }

  pollCommit(): StoreFailure | null {
    return null;
  }

  reuseMemory(): void {}

  beginGroup(): void {}

  endGroup(): void {}

  tick(): boolean {
    return false;
  }

  takeReports(): DamageReport[] {
    return [];
  }

  usage(): { fileBytes: number; memoryBytes: number; logBytes: number } {
    return { fileBytes: 0, memoryBytes: 0, logBytes: 0 };
  }

  close(): StoreFailure | null {
    return null;
  }
}
