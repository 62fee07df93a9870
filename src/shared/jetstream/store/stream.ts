import { latin1, latin1Bytes } from '../../base/latin1.ts';
import type { MessageBlock } from './block.ts';
import { BlockFile } from './block-file.ts';
import { accountingBytes } from './block-reader.ts';
import type { StreamCipher } from './cipher.ts';
import { ConsumerRecords } from './consumer-records.ts';
import type {
  ConsumerLog,
  LastWatch,
  MessageDraft,
  PurgeRequest,
  StoredMessage,
  StoreFailure,
  StoreFailureCode,
  StreamSpec,
  StreamStore,
  SubjectFilter,
  SubjectState,
  SubjectsPage,
} from './contract.ts';
import { CompiledFilter } from './filter.ts';
import { blockSize, MAX_PART_BYTES, MAX_RECORD_BYTES, TAIL_BYTES } from './limits.ts';
import { blockPath } from './manifest.ts';
import { StreamMessages } from './messages.ts';
import {
  FLAG_ABSENT,
  FLAG_ERASE,
  paddedBytes,
  RECORD_COMPACT,
  RECORD_CONSUMER,
  RECORD_CONSUMER_DROP,
  RECORD_CREATE,
  RECORD_HEADER_BYTES,
  RECORD_METADATA,
  RECORD_PURGE,
  RECORD_REMOVE,
  RECORD_SKIP,
  RECORD_TRUNCATE,
  recordFlags,
  recordKey,
  recordLength,
  recordMs,
  recordNanos,
  recordSequence,
  recordTtl,
  recordType,
  recordValue,
} from './record.ts';
import {
  countFrom,
  countLastFrom,
  crowdedSubjects,
  deletedRanges,
  firstAtTime,
  lastMatch,
  lastSequences,
  nextMatch,
  nextWithHeaders,
  purgeMatching,
  subjectsPage,
  visitTtl,
} from './search.ts';
import type { StoreParts } from './shared.ts';
import { type ChangeFields, stageChange, stageMessage } from './stage.ts';

/**
 * One stream as the engine sees it: checks a change, reserves its place in the log, applies it, stages its record. A record
 * read back from the log goes through `replay`, which applies it the same way.
 */

const NO_BYTES = new Uint8Array(0);
const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER;
/** Unwritten bytes a stream may gather while its blocks can't be written; then appends are refused. */
const BLOCKED_BYTES = 4 * 1024 * 1024;
/** Unwritten bytes from which write-behind is worth while. */
const WRITE_BEHIND_BYTES = 2 * TAIL_BYTES;
/** Separates patterns in a purge record: no subject has a space. */
const PATTERN_SEPARATOR = ' ';

export class StoredStream implements StreamStore {
  readonly account: string;
  readonly name: string;
  readonly storage: 'file' | 'memory';
  readonly uid: number;
  failure: StoreFailure | null = null;
  stopped: StoreFailure | null = null;
  /** The blocks cannot be written for want of space; tried again at each tick. */
  blocked: StoreFailure | null = null;
  readonly blockBytes: number;
  readonly directory: string;
  readonly cipher: StreamCipher | null;
  readonly wrappedKey: Uint8Array;
  readonly messageSet: StreamMessages;
  readonly metadata = new Map<string, Uint8Array>();
  readonly consumers = new ConsumerRecords();
  compression: boolean;
  /** Position of the oldest change that no durable manifest has; -1: none. */
  dirtyFrom = -1;
  /** What `dirtyFrom` was before the snapshot of a manifest that is being written; -1: none is. */
  writingFrom = -1;
  generation = 0;
  /** Copy of the manifest to be written first, for it is damaged or old; -1: both are alike. */
  weakCopy = -1;
  /** The names of both manifests are durable. */
  published = false;
  dropped = false;
  /** In the store's queue for write-behind. */
  flushQueued = false;
  readonly #parts: StoreParts;

  constructor(
    parts: StoreParts,
    spec: StreamSpec,
    uid: number,
    cipher: StreamCipher | null,
    wrappedKey: Uint8Array,
  ) {
    this.#parts = parts;
    this.account = spec.account;
    this.name = spec.name;
    this.storage = spec.storage;
    this.uid = uid;
    this.cipher = cipher;
    this.wrappedKey = wrappedKey;
    this.compression = spec.compression;
    this.blockBytes = blockSize(spec.storage, spec.blockBytes);
    this.directory = `streams/${String(uid).padStart(8, '0')}`;
    const memory = spec.storage === 'memory';
    this.messageSet = new StreamMessages({
      uid,
      memory,
      blockBytes: this.blockBytes,
      cache: parts.cache,
      newFile: (number, firstSeq) => (memory ? null : this.newBlockFile(number, firstSeq, cipher !== null)),
      note: (block, firstSeq, lastSeq, bytes, message) =>
        this.#note(block, firstSeq, lastSeq, bytes, message),
      report: (block, message) => this.#note(block, 0, 0, 0, message),
    });
    if (spec.firstSeq > 0) {
      this.messageSet.firstSeq = spec.firstSeq;
      this.messageSet.lastSeq = spec.firstSeq - 1;
    }
  }

  newBlockFile(number: number, firstSeq: number, extents: boolean): BlockFile {
    const path = blockPath(this.directory, number);
    return new BlockFile(this.#parts.disk, path, this.uid, number, firstSeq, extents, this.cipher, false);
  }

  /** Position from which the stream needs the log; -1: it doesn't. */
  get neededFrom(): number {
    return this.writingFrom >= 0 ? this.writingFrom : this.dirtyFrom;
  }

  // --- state -------------------------------------------------------------------------------------------------------

  get messages(): number {
    return this.messageSet.messages;
  }

  get bytes(): number {
    return this.messageSet.bytes;
  }

  get firstSeq(): number {
    return this.messageSet.firstSeq;
  }

  get lastSeq(): number {
    return this.messageSet.lastSeq;
  }

  get firstTimestampMs(): number {
    return this.messageSet.firstMs;
  }

  get firstTimestampNanos(): number {
    return this.messageSet.firstNanos;
  }

  get lastTimestampMs(): number {
    return this.messageSet.lastMs;
  }

  get lastTimestampNanos(): number {
    return this.messageSet.lastNanos;
  }

  get subjects(): number {
    return this.messageSet.table.size;
  }

  get deleted(): number {
    const { messages, firstSeq, lastSeq } = this.messageSet;
    return messages === 0 ? 0 : lastSeq - firstSeq + 1 - messages;
  }

  get appendedSubjectMessages(): number {
    return this.messageSet.appendedSubjectMessages;
  }

  get appendedPreviousSeq(): number {
    return this.messageSet.appendedPreviousSeq;
  }

  lost(): { sequences: readonly number[]; bytes: number } {
    return { sequences: this.messageSet.lostSequences, bytes: this.messageSet.lostBytes };
  }

  deletedRanges(): Float64Array {
    return deletedRanges(this.messageSet);
  }

  accountingBytes(subjectBytes: number, headerBytes: number, payloadBytes: number): number {
    return accountingBytes(this.storage === 'memory', subjectBytes, headerBytes, payloadBytes);
  }

  // --- changes -----------------------------------------------------------------------------------------------------

  append(draft: MessageDraft): number {
    const set = this.messageSet;
    const keyBytes = draft.subjectEnd - draft.subjectStart;
    const headerBytes = draft.headerEnd - draft.headerStart;
    const length = recordLength(keyBytes, headerBytes, draft.payloadEnd - draft.payloadStart);
    const sequence = draft.sequence === 0 ? set.lastSeq + 1 : draft.sequence;
    if (keyBytes > MAX_PART_BYTES || headerBytes > MAX_PART_BYTES) {
      return this.#refuse('too_large', `subject of ${keyBytes} and headers of ${headerBytes} bytes`);
    }
    if (length > MAX_RECORD_BYTES) return this.#refuse('too_large', `a record of ${length} bytes`);
    if (sequence <= set.lastSeq || sequence > MAX_SEQUENCE) {
      return this.#refuse('bad_sequence', `sequence ${sequence} after ${set.lastSeq}`);
    }
    const gap = sequence > set.lastSeq + 1;
    if (!this.#admit(length + (gap ? paddedBytes(RECORD_HEADER_BYTES) : 0), false)) return -1;
    if (gap) this.#applySkip(sequence - 1, draft.timestampMs, draft.timestampNanos);
    set.append(draft, sequence);
    if (this.storage === 'file') {
      this.#staged(stageMessage(this.#parts, set, length));
      if (set.unwritten >= WRITE_BEHIND_BYTES && !this.flushQueued) {
        this.flushQueued = true;
        this.#parts.flushQueue.push(this);
      }
    }
    return sequence;
  }

  skip(throughSeq: number, timestampMs: number, timestampNanos: number): boolean {
    if (throughSeq <= this.lastSeq || throughSeq > MAX_SEQUENCE) {
      this.#refuse('bad_sequence', `skip to ${throughSeq} after ${this.lastSeq}`);
      return false;
    }
    if (!this.#admit(RECORD_HEADER_BYTES, true)) return false;
    this.#applySkip(throughSeq, timestampMs, timestampNanos);
    return true;
  }

  remove(sequence: number, erase: boolean): number {
    const block = this.messageSet.find(sequence);
    if (block === null || !block.isLive(sequence)) return 0;
    if (this.messageSet.reader.index(block).unreadable)
      return this.#refuse('io', `message ${sequence}: ${this.messageSet.reader.readError}`);
    if (!this.#admit(RECORD_HEADER_BYTES, true)) return -1;
    const size = this.#change(() => this.messageSet.remove(sequence, erase));
    this.#stage(RECORD_REMOVE, erase ? FLAG_ERASE : 0, NO_BYTES, NO_BYTES, { sequence });
    return size;
  }

  purge(request: PurgeRequest): number {
    const filter = request.filter as CompiledFilter | null;
    const patterns =
      filter === null || filter.all ? NO_BYTES : latin1Bytes(filter.patterns.join(PATTERN_SEPARATOR));
    // Patterns may be longer than a key can be, so they are the value.
    if (!this.#admit(recordLength(0, 0, patterns.length), true)) return -1;
    const upTo = this.lastSeq;
    const keep = Math.min(request.keep, 0xffff_ffff);
    const removed = this.#change(() => purgeMatching(this.messageSet, filter, request.beforeSeq, upTo, keep));
    this.#stage(RECORD_PURGE, 0, NO_BYTES, patterns, {
      sequence: request.beforeSeq,
      ms: upTo,
      ttlSeconds: keep,
    });
    return removed;
  }

  compact(sequence: number): number {
    if (sequence > MAX_SEQUENCE) return this.#refuse('bad_sequence', `compact to ${sequence}`);
    if (!this.#admit(RECORD_HEADER_BYTES, true)) return -1;
    const removed = this.#change(() => this.messageSet.compact(sequence));
    this.#stage(RECORD_COMPACT, 0, NO_BYTES, NO_BYTES, { sequence });
    return removed;
  }

  truncate(sequence: number): number {
    if (!this.#admit(RECORD_HEADER_BYTES, true)) return -1;
    const removed = this.#change(() => this.messageSet.truncate(sequence));
    this.#stage(RECORD_TRUNCATE, 0, NO_BYTES, NO_BYTES, { sequence });
    return removed;
  }

  setCompression(on: boolean): void {
    this.compression = on;
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  nextSeqWithHeaders(fromSeq: number): number {
    return nextWithHeaders(this.messageSet, fromSeq);
  }

  get unreadableSeq(): number {
    return this.messageSet.unreadableSeq;
  }

  load(sequence: number, into: StoredMessage): boolean {
    return this.messageSet.load(sequence, into);
  }

  loadLast(subject: string, into: StoredMessage): boolean {
    const { table } = this.messageSet;
    const bytes = latin1Bytes(subject);
    for (;;) {
      const row = table.find(bytes, 0, bytes.length);
      if (row < 0) {
        this.messageSet.unreadableSeq = 0;
        return false;
      }
      if (this.messageSet.load(table.last(row), into)) return true;
      if (this.unreadableSeq > 0) return false;
    }
  }

  next(filter: SubjectFilter | null, fromSeq: number, into: StoredMessage, passOver = false): boolean {
    this.messageSet.unreadableSeq = 0;
    let sequence = this.nextSeq(filter, fromSeq);
    while (sequence !== 0) {
      if (this.messageSet.load(sequence, into)) return true;
      if (this.unreadableSeq > 0 && !passOver) return false;
      sequence = this.nextSeq(filter, sequence + 1);
    }
    return false;
  }

  nextSeq(filter: SubjectFilter | null, fromSeq: number): number {
    return nextMatch(this.messageSet, filter as CompiledFilter | null, fromSeq);
  }

  firstSeqFromTime(timestampMs: number, timestampNanos: number): number {
    return firstAtTime(this.messageSet, timestampMs, timestampNanos);
  }

  filter(patterns: readonly string[]): CompiledFilter {
    return new CompiledFilter(patterns, this.messageSet.table);
  }

  subjectState(subject: string): SubjectState | null {
    const { table } = this.messageSet;
    const bytes = latin1Bytes(subject);
    const row = table.find(bytes, 0, bytes.length);
    if (row < 0) return null;
    return {
      firstSeq: this.messageSet.firstOf(row),
      lastSeq: table.last(row),
      messages: table.count(row),
    };
  }

  subjectsState(filter: SubjectFilter | null, offset: number, limit: number): SubjectsPage {
    return subjectsPage(this.messageSet, filter as CompiledFilter | null, offset, limit);
  }

  crowdedSubjects(messages: number): string[] {
    return crowdedSubjects(this.messageSet, messages);
  }

  lastSeqOf(filter: SubjectFilter | null): number {
    return lastMatch(this.messageSet, filter as CompiledFilter | null);
  }

  lastPerSubject(filter: SubjectFilter | null, upToSeq: number, maxSubjects: number): Float64Array | null {
    return lastSequences(this.messageSet, filter as CompiledFilter | null, upToSeq, maxSubjects);
  }

  numPending(filter: SubjectFilter | null, fromSeq: number, lastPerSubject: boolean): number {
    const compiled = filter as CompiledFilter | null;
    if (lastPerSubject) return countLastFrom(this.messageSet, compiled, fromSeq);
    return countFrom(this.messageSet, compiled, fromSeq);
  }

  visitTtl(visit: (sequence: number, timestampMs: number, ttlSeconds: number) => void): void {
    visitTtl(this.messageSet, visit);
  }

  // --- metadata and consumers --------------------------------------------------------------------------------------

  putMetadata(key: string, value: Uint8Array | null): boolean {
    const name = new TextEncoder().encode(key);
    const bytes = value ?? NO_BYTES;
    const length = recordLength(name.length, 0, bytes.length);
    if (name.length > MAX_PART_BYTES || 2 * length > MAX_RECORD_BYTES) {
      this.#refuse('too_large', `metadata of ${length} bytes`);
      return false;
    }
    if (!this.#admit(2 * paddedBytes(length), true)) return false;
    if (value === null) this.metadata.delete(key);
    else this.metadata.set(key, value.slice());
    const flags = value === null ? FLAG_ABSENT : 0;
    // Twice, as all metadata: one damaged byte must not cost a stream its configuration.
    this.#stage(RECORD_METADATA, flags, name, bytes, {});
    this.#stage(RECORD_METADATA, flags, name, bytes, {});
    return true;
  }

  getMetadata(key: string): Uint8Array | null {
    return this.metadata.get(key) ?? null;
  }

  metadataKeys(): string[] {
    return [...this.metadata.keys()];
  }

  logConsumer(key: string, record: Uint8Array): boolean {
    const name = this.consumers.name(key);
    if (!this.#admit(recordLength(name.length, 0, record.length), true)) return false;
    if (this.storage === 'memory') return true;
    this.consumers.log(key, record);
    this.#stage(RECORD_CONSUMER, 0, name, record, {});
    return true;
  }

  takeConsumerLog(key: string): ConsumerLog | null {
    return this.consumers.take(key);
  }

  consumerLogKeys(): string[] {
    return this.consumers.untaken();
  }

  dropConsumer(key: string): boolean {
    const name = this.consumers.name(key);
    if (!this.#admit(recordLength(name.length, 0, 0), true)) return false;
    this.consumers.drop(key);
    this.#stage(RECORD_CONSUMER_DROP, 0, name, NO_BYTES, {});
    return true;
  }

  setSnapshotSource(source: ((key: string) => Uint8Array | null) | null): void {
    if (source === null) this.consumers.release();
    else this.consumers.source = source;
  }

  watchLast(watch: LastWatch | null): void {
    this.messageSet.watch = watch;
  }

  // --- log ---------------------------------------------------------------------------------------------------------

  /** Stages the record that creates the stream, twice; room was reserved. @param value the encoded spec */
  stageCreate(value: Uint8Array): void {
    this.#stage(RECORD_CREATE, 0, NO_BYTES, value, {});
    this.#stage(RECORD_CREATE, 0, NO_BYTES, value, {});
  }

  /** Applies a record of this stream read from the log. */
  replay(bytes: Uint8Array, words: Int32Array, at: number, position: number): void {
    const set = this.messageSet;
    const sequence = recordSequence(words, at);
    if (this.dirtyFrom < 0) this.dirtyFrom = position;
    switch (recordType(words, at)) {
      case RECORD_SKIP:
        if (sequence <= set.lastSeq) return;
        set.skip(sequence, recordMs(words, at), recordNanos(words, at));
        return;
      case RECORD_REMOVE:
        set.remove(sequence, (recordFlags(words, at) & FLAG_ERASE) !== 0);
        return;
      case RECORD_PURGE: {
        const value = recordValue(bytes, words, at);
        const patterns = value.length === 0 ? [] : latin1(value, 0, value.length).split(PATTERN_SEPARATOR);
        const filter = patterns.length === 0 ? null : this.filter(patterns);
        purgeMatching(set, filter, sequence, recordMs(words, at), recordTtl(words, at));
        return;
      }
      case RECORD_COMPACT:
        set.compact(sequence);
        return;
      case RECORD_TRUNCATE:
        set.truncate(sequence);
        return;
      case RECORD_METADATA: {
        const key = new TextDecoder().decode(latin1Bytes(recordKey(bytes, words, at)));
        if ((recordFlags(words, at) & FLAG_ABSENT) !== 0) this.metadata.delete(key);
        else this.metadata.set(key, recordValue(bytes, words, at));
        return;
      }
      case RECORD_CONSUMER:
        this.consumers.replay(recordKey(bytes, words, at), recordValue(bytes, words, at));
        return;
      case RECORD_CONSUMER_DROP:
        this.consumers.forget(recordKey(bytes, words, at));
        return;
      default:
        // A message. One at or below the last sequence can only be what damage elsewhere made of the order.
        if (sequence <= set.lastSeq) return;
        this.#replayGap(sequence - 1);
        set.appendRecord(bytes, words, at);
    }
  }

  /** Sequences up to `through` that the log should have had are gone: they stay used. */
  loseThrough(through: number, message: string): void {
    const set = this.messageSet;
    if (through <= set.lastSeq) return;
    const first = set.lastSeq + 1;
    for (let sequence = first; sequence <= through && sequence - first < 100_000; sequence++) {
      set.lostSequences.push(sequence);
    }
    set.skip(through, set.lastMs, set.lastNanos);
    this.#parts.report({
      file: 'log',
      account: this.account,
      stream: this.name,
      firstSeq: first,
      lastSeq: through,
      bytes: 0,
      message,
    });
  }

  #replayGap(through: number): void {
    if (through > this.messageSet.lastSeq) this.loseThrough(through, 'messages missing in the log');
  }

  #refuse(code: StoreFailureCode, message: string): -1 {
    this.failure = { code, message: `stream ${this.account}/${this.name}: ${message}` };
    return -1;
  }

  /** Whether a change of `length` log bytes may be made; then nothing after it can fail. */
  #admit(length: number, essential: boolean): boolean {
    if (this.dropped) {
      this.#refuse('closed', 'it was dropped or the store is closed');
      return false;
    }
    if (this.storage === 'memory') {
      this.failure = null;
      return true;
    }
    if (this.stopped !== null) {
      this.failure = this.stopped;
      return false;
    }
    const { log } = this.#parts;
    if (length > log.maxRecordBytes) {
      this.#refuse('too_large', `a record of ${length} bytes in log segments of ${2 * log.maxRecordBytes}`);
      return false;
    }
    if (!essential && this.blocked !== null && this.messageSet.unwritten > BLOCKED_BYTES) {
      this.failure = this.blocked;
      return false;
    }
    this.failure = log.reserve(length, essential);
    return this.failure === null;
  }

  /** Makes a change that may need indexes. Without one counts would go wrong: the stream stops, what is on disk is right. */
  #change(apply: () => number): number {
    const { reader } = this.messageSet;
    const { failures } = reader;
    const removed = apply();
    if (reader.failures > failures) this.stopUnread();
    return removed;
  }

  /** No change any more until the next start reads anew. */
  stopUnread(): void {
    const message = `stream ${this.account}/${this.name} stopped: ${this.messageSet.reader.failure}`;
    this.stopped ??= { code: 'io', message };
  }

  #applySkip(through: number, ms: number, nanos: number): void {
    this.messageSet.skip(through, ms, nanos);
    this.#stage(RECORD_SKIP, 0, NO_BYTES, NO_BYTES, { sequence: through, ms, nanos });
  }

  #staged(position: number): void {
    if (this.dirtyFrom < 0) this.dirtyFrom = position;
  }

  #stage(type: number, flags: number, key: Uint8Array, value: Uint8Array, change: ChangeFields): void {
    if (this.storage === 'file')
      this.#staged(stageChange(this.#parts, this.uid, type, flags, key, value, change));
  }

  #note(block: MessageBlock, firstSeq: number, lastSeq: number, bytes: number, message: string): void {
    const file = block.file?.path ?? '';
    this.#parts.report({ file, account: this.account, stream: this.name, firstSeq, lastSeq, bytes, message });
  }
}
