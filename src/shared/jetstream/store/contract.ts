/**
 * What the JetStream engine sees of the store.
 *
 * One `Store` holds every stream of the server, on disk or in memory, behind one write-ahead log. A change is applied to
 * memory at once and staged for the log; `commit` writes and syncs everything staged with one sync, whatever the number
 * of streams. Who promises durability remembers `ticket` after the change and says so once `syncedTicket >= ticket`.
 * Streams in memory stage nothing, so their changes are never waited for.
 *
 * ```
 *   append ── seq 7, ticket 900 ─┐
 *   remove ───────── ticket 964 ─┤ staged      commit(true): one write, one sync
 *   consumer ack ── ticket 1020 ─┘             syncedTicket = 1020: everything above may be acknowledged
 * ```
 *
 * Units and types. Sequences are safe integers from 1; 0 stands for "none". A time is Unix milliseconds and the
 * nanoseconds within that millisecond (0 to 999,999), since nanoseconds since 1970 do not fit a number. Subjects are in
 * wire form (latin1, one character a byte). Bytes a call is given are copied before it returns.
 *
 * Failures. Methods that can fail for the disk's sake return null (or -1) and leave the reason in `failure`, or return a
 * `StoreFailure`; they change nothing then. Reads of missing or damaged messages are plain misses.
 */
import { latin1Bytes } from '../../base/latin1.ts';

/**
 * - `no_space`: the disk is full, or the log cannot be recycled because blocks can't be written. Appends are refused; removes,
 *   purges, metadata and consumer records still work, and appends do again when there is room.
 * - `io`: a write or sync failed. Of a stream's own files: the stream takes no more changes; of the log: no stream does.
 *   Never retried, since what the page cache holds is unknown; a restart recovers everything that was synced.
 * - `too_large`: the message exceeds `MAX_RECORD_BYTES`, or its subject or header block 65,535 bytes.
 * - `bad_sequence`: an explicit sequence not above the last one, or beyond 2^53 - 1.
 * - `exists`: a stream of that account and name is there.
 * - `closed`: the stream was dropped or the store closed.
 * - `locked`, `format`, `key`: opening only. Another live process holds the directory; it was written by another version
 *   or is not a store (nothing was touched); the encryption key does not fit.
 */
export type StoreFailureCode =
  | 'no_space'
  | 'io'
  | 'too_large'
  | 'bad_sequence'
  | 'exists'
  | 'closed'
  | 'locked'
  | 'format'
  | 'key';

export interface StoreFailure {
  readonly code: StoreFailureCode;
  /** A sentence for the log: what was attempted, on which file, what the system said. */
  readonly message: string;
}

/** Something damaged or odd that the store found and survived; for the log, `/healthz` and `state.lost`. */
export interface DamageReport {
  /** Path below the store directory. */
  readonly file: string;
  /** Empty when the file is not one stream's. */
  readonly account: string;
  readonly stream: string;
  /** First and last sequence lost, both 0 when no message was. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Bytes that could not be used. */
  readonly bytes: number;
  readonly message: string;
}

/** Message never expires, `max_age` included. */
export const TTL_NEVER = 0xffffffff;

/**
 * A message on its way in. Reuse one instance. The three parts may lie in three buffers; the store copies them.
 */
export class MessageDraft {
  subjectBytes: Uint8Array = NO_BYTES;
  subjectStart = 0;
  subjectEnd = 0;
  /** The whole header block, `NATS/1.0\r\n` to the blank line; empty range: no headers. */
  headerBytes: Uint8Array = NO_BYTES;
  headerStart = 0;
  headerEnd = 0;
  payloadBytes: Uint8Array = NO_BYTES;
  payloadStart = 0;
  payloadEnd = 0;
  /** Another view of all of `payloadBytes`, for whoever has one: short payloads are copied faster then. */
  payloadView: DataView | null = null;
  timestampMs = 0;
  /** 0 to 999,999. */
  timestampNanos = 0;
  /** Seconds from the timestamp; 0 is none, `TTL_NEVER` is never. */
  ttlSeconds = 0;
  /** 0: the next one. Otherwise above `lastSeq`; the sequences between are skipped (mirrors, restore). */
  sequence = 0;

  /** Sets the subject from a latin1 string. */
  setSubject(subject: string): void {
    this.subjectBytes = latin1Bytes(subject);
    this.subjectStart = 0;
    this.subjectEnd = subject.length;
  }

  /** Sets the header block to all of `bytes`. */
  setHeaders(bytes: Uint8Array): void {
    this.headerBytes = bytes;
    this.headerStart = 0;
    this.headerEnd = bytes.length;
  }

  /** Sets the payload to all of `bytes`. */
  setPayload(bytes: Uint8Array): void {
    this.payloadBytes = bytes;
    this.payloadView = null;
    this.payloadStart = 0;
    this.payloadEnd = bytes.length;
  }
}

/**
 * A message on its way out: offsets into `bytes`. Reuse one instance. The bytes stay as they are, also after other calls on
 * the store, up to the next `Store.reuseMemory` or `tick`: what is needed for longer is copied.
 */
export class StoredMessage {
  bytes: Uint8Array = NO_BYTES;
  /** Another view of all of `bytes`; null: there is none. */
  view: DataView | null = null;
  sequence = 0;
  timestampMs = 0;
  timestampNanos = 0;
  /** As in `MessageDraft`. */
  ttlSeconds = 0;
  subjectStart = 0;
  subjectEnd = 0;
  headerStart = 0;
  headerEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;

  /** The subject as a latin1 string. */
  subject(): string {
    let text = '';
    for (let i = this.subjectStart; i < this.subjectEnd; i++) text += String.fromCharCode(this.bytes[i]!);
    return text;
  }

  /** The header block, empty when there is none; a view. */
  headers(): Uint8Array {
    return this.bytes.subarray(this.headerStart, this.headerEnd);
  }

  /** A view. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.payloadStart, this.payloadEnd);
  }
}

const NO_BYTES = new Uint8Array(0);

/** What is stored on one subject. */
export interface SubjectState {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly messages: number;
}

/** One page of `subjectsState`. */
export interface SubjectsPage {
  /** Subjects that match, on all pages. */
  readonly total: number;
  /** Ascending by subject; subject and number of messages. */
  readonly subjects: readonly (readonly [subject: string, messages: number])[];
}

/**
 * A compiled set of subject filters of one stream: remembers which subjects it matches, so the same object should serve all calls
 * of a consumer. Patterns must not overlap each other (consumers §1.3), or counts stay right all the same: a message
 * counts once. Made by `StreamStore.filter`; good for that stream only.
 */
export interface SubjectFilter {
  readonly patterns: readonly string[];
  /** Whether it matches everything (`>` is among the patterns, or there are none). */
  readonly all: boolean;
}

export interface PurgeRequest {
  /** Null: every subject. */
  readonly filter: SubjectFilter | null;
  /** Only sequences below; 0 is no bound. Above `lastSeq` and without a filter: `firstSeq` becomes it (streams §4.3). */
  readonly beforeSeq: number;
  /** Newest matching messages that stay. */
  readonly keep: number;
}

/** What a consumer left behind: its last snapshot, and the records logged since, oldest first. */
export interface ConsumerLog {
  readonly snapshot: Uint8Array | null;
  readonly records: readonly Uint8Array[];
}

export interface StreamSpec {
  readonly account: string;
  readonly name: string;
  readonly storage: 'file' | 'memory';
  /** Whether sealed blocks are compressed; a file stream's may be changed later with `setCompression`. */
  readonly compression: boolean;
  /** Sequence of the first message; 0 is 1. */
  readonly firstSeq: number;
  /** Bytes of a message block; 0: chosen from the other figures. nats-server's rule: storage §2.2. */
  readonly blockBytes: number;
}

/** One stream's messages, metadata and consumer records. */
export interface StreamStore {
  readonly account: string;
  readonly name: string;
  readonly storage: 'file' | 'memory';
  /** Never reused: a stream dropped and created again under the same name has another. */
  readonly uid: number;
  /** Reason of the last refusal of this stream; null after a change that succeeded. */
  readonly failure: StoreFailure | null;
  /** Set once the stream takes no more changes (`io`), until the next start. */
  readonly stopped: StoreFailure | null;

  // --- state; all O(1) ---------------------------------------------------------------------------------------------

  /** Live messages. */
  readonly messages: number;
  /** Accounting size of the live messages (streams §2). */
  readonly bytes: number;
  /** First live sequence; when empty `lastSeq + 1`, and 0 for a stream that never had one and no `firstSeq` configured. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Time of the first live message; 0 when empty. May read one block after a removal. */
  readonly firstTimestampMs: number;
  readonly firstTimestampNanos: number;
  /** Time of the last sequence assigned; survives purges and restarts. */
  readonly lastTimestampMs: number;
  readonly lastTimestampNanos: number;
  readonly subjects: number;
  /** (lastSeq - firstSeq + 1) - messages while there are messages, else 0. */
  readonly deleted: number;
  /** Messages found damaged since the stream was opened: `[seq, bytes]` sums for `state.lost`. */
  lost(): { readonly sequences: readonly number[]; readonly bytes: number };
  /** Interior deleted sequences as ascending inclusive pairs `[from, to, from, to, …]`. */
  deletedRanges(): Float64Array;

  // --- changes -----------------------------------------------------------------------------------------------------

  /**
   * Stores a message.
   *
   * @returns its sequence, or -1 with the reason in `failure`
   */
  append(draft: MessageDraft): number;
  /** After `append`: messages on the subject, the new one included. */
  readonly appendedSubjectMessages: number;
  /** After `append`: the sequence before on the same subject, 0 for none. */
  readonly appendedPreviousSeq: number;
  /** Accounting size a message of these lengths would have; to check byte limits before storing. */
  accountingBytes(subjectBytes: number, headerBytes: number, payloadBytes: number): number;
  /**
   * Uses up sequences without storing anything: `lastSeq` becomes `throughSeq`. For interest streams and gaps of mirrors.
   *
   * @returns false with the reason in `failure`
   */
  skip(throughSeq: number, timestampMs: number, timestampNanos: number): boolean;
  /**
   * Removes one message.
   *
   * @param erase makes the bytes unreadable on disk too: overwritten at the next checkpoint at the latest
   * @returns accounting size of what was removed; 0: not there; -1: refused, see `failure`
   */
  remove(sequence: number, erase: boolean): number;
  /** @returns messages removed, or -1 with the reason in `failure`. streams §4.3 */
  purge(request: PurgeRequest): number;
  /** Removes everything below `sequence`; beyond the end, `firstSeq` becomes `sequence`. @returns as `purge` */
  compact(sequence: number): number;
  /** Removes everything above `sequence` and takes `lastSeq` back to it; for replication only. @returns as `purge` */
  truncate(sequence: number): number;
  /** Whether blocks sealed from now on are compressed. Nothing is logged: it follows from the configuration. */
  setCompression(on: boolean): void;

  // --- reading -----------------------------------------------------------------------------------------------------

  /**
   * The message that the last `load`, `loadLast` or `next` was to read and that the disk doesn't give out now; 0: there was
   * none. It is kept, and may be asked for again.
   */
  readonly unreadableSeq: number;
  /** @returns false when the message is not there, or damaged (then reported), or unreadable now */
  load(sequence: number, into: StoredMessage): boolean;
  /** Last message of a literal subject. @returns false when there is none */
  loadLast(subject: string, into: StoredMessage): boolean;
  /**
   * First message at or after `fromSeq` that matches; null: any.
   *
   * @param passOver go on behind what the disk doesn't give out now; without it that one ends the search
   * @returns false when there is none up to `lastSeq`
   */
  next(filter: SubjectFilter | null, fromSeq: number, into: StoredMessage, passOver?: boolean): boolean;
  /** As `next`, without reading the message. @returns its sequence, or 0 */
  nextSeq(filter: SubjectFilter | null, fromSeq: number): number;
  /**
   * As `nextSeq` for any message, but passes over blocks of which it is known that no message has headers: to find what headers
   * say without reading everything.
   */
  nextSeqWithHeaders(fromSeq: number): number;
  /** First sequence at or after the time; `lastSeq + 1` when all are older. */
  firstSeqFromTime(timestampMs: number, timestampNanos: number): number;
  /** Compiles filters; see `SubjectFilter`. No patterns: everything. */
  filter(patterns: readonly string[]): SubjectFilter;
  /** State of a literal subject, null when nothing is stored on it. */
  subjectState(subject: string): SubjectState | null;
  /** Subjects that match with their counts, sorted, one page. */
  subjectsState(filter: SubjectFilter | null, offset: number, limit: number): SubjectsPage;
  /** Subjects with more than `messages` messages, in no order; counts only, nothing is read. */
  crowdedSubjects(messages: number): string[];
  /** Highest sequence among the matching subjects; 0 when none. */
  lastSeqOf(filter: SubjectFilter | null): number;
  /**
   * The last sequence of every matching subject, ascending, as things were when `upToSeq` was the last one (0: now).
   * @returns null when more than `maxSubjects` subjects match
   */
  lastPerSubject(filter: SubjectFilter | null, upToSeq: number, maxSubjects: number): Float64Array | null;
  /** Messages that match at or after `fromSeq`; with `lastPerSubject` only those that are the last of their subject. */
  numPending(filter: SubjectFilter | null, fromSeq: number, lastPerSubject: boolean): number;
  /** Visits live messages that have a TTL, ascending: to rebuild a timing wheel. */
  visitTtl(visit: (sequence: number, timestampMs: number, ttlSeconds: number) => void): void;

  // --- metadata and consumers --------------------------------------------------------------------------------------

  /** Stores a small opaque value (stream config, consumer config) under a key; null removes. @returns false, see `failure` */
  putMetadata(key: string, value: Uint8Array | null): boolean;
  getMetadata(key: string): Uint8Array | null;
  metadataKeys(): string[];
  /**
   * Logs one opaque change of a consumer's state (a delivery, an ack). Cheap; shares the commit of everything else.
   * The key is the engine's, e.g. the consumer's name.
   */
  logConsumer(key: string, record: Uint8Array): boolean;
  /** What recovery found; handed out once, the memory is the caller's then. Null: nothing is known of the key. */
  takeConsumerLog(key: string): ConsumerLog | null;
  /** Keys that recovery found a log for and nobody took. */
  consumerLogKeys(): string[];
  /** Forgets the consumer's snapshot and records. Its configuration is metadata, removed on its own. */
  dropConsumer(key: string): boolean;
  /**
   * Where checkpoints get consumers' whole states from, so that logged records can be forgotten. Called in
   * `commit`, `tick` and `close` for keys with records since the last checkpoint; must describe everything logged so far.
   * Without a source the records themselves are kept, which costs memory. Null: nobody runs the consumers for now; the source
   * that was is asked once more, and what it says is handed out by `takeConsumerLog` to who comes next.
   */
  setSnapshotSource(source: ((key: string) => Uint8Array | null) | null): void;
  /** Who is told when the last message of a subject is another one than before; null: nobody. */
  watchLast(watch: LastWatch | null): void;
}

/** Told of changes in the order they are made, before the call that makes them returns. */
export interface LastWatch {
  /** The last message of the subject `bytes[start, end)` is a new one, or is gone. */
  changed(bytes: Uint8Array, start: number, end: number): void;
  /** Any subject may be concerned. */
  cleared(): void;
}

/** All streams of one server. */
export interface Store {
  /** Reason the last call on the store itself gave for refusing. */
  readonly failure: StoreFailure | null;
  /** Set once the log failed: no change is taken any more, reads still work. */
  readonly stopped: StoreFailure | null;

  /** Every stream, in order of creation. */
  streams(): readonly StreamStore[];
  find(account: string, name: string): StreamStore | null;
  /** @returns null with the reason in `failure` */
  createStream(spec: StreamSpec): StreamStore | null;
  /** Removes the stream and its files: the only way a stream goes. @returns false with the reason in `failure` */
  dropStream(stream: StreamStore): boolean;

  /** Grows with each staged change. A change made now is durable once `syncedTicket` has reached this. */
  readonly ticket: number;
  /** Everything up to here is in the kernel: survives the process. */
  readonly writtenTicket: number;
  /** Everything up to here is on the disk. */
  readonly syncedTicket: number;
  /**
   * Writes what is staged, and syncs it when asked to (`sync_interval: always`, or the interval is over). Also called
   * by the store itself when staging runs full (written, not synced).
   *
   * @returns null, or why the store stopped
   */
  commit(sync: boolean): StoreFailure | null;

  /**
   * Writes what is staged and lets it be synced beside this thread's work; `syncedTicket` grows when `pollCommit` finds it
   * done. Does nothing while another is under way. A `commit(true)` waits for it.
   *
   * @returns null, or why the store stopped
   */
  beginCommit(): StoreFailure | null;
  /** Takes note of a commit that ended. @returns null, or why the store stopped */
  pollCommit(): StoreFailure | null;
  /** A commit is under way. */
  readonly committing: boolean;

  /**
   * The following changes of one stream take effect together or not at all after a crash (atomic batch publish). They are
   * visible at once; check everything first, there is no way back. Not nested.
   */
  beginGroup(): void;
  endGroup(): void;

  /**
   * Background work in small portions: write-behind of blocks, checkpoints, compression, erasing. To be called every
   * 10 to 100 ms and after bursts.
   *
   * @returns whether there is more to do right away
   */
  tick(nowMs: number): boolean;
  /** Says that nobody looks any more at messages that were loaded before: their memory may be used for others. */
  reuseMemory(): void;
  /** Damage found since the last call. */
  takeReports(): DamageReport[];
  /** Bytes of files and of buffers in memory, for `/jsz` and limits. */
  usage(): { readonly fileBytes: number; readonly memoryBytes: number; readonly logBytes: number };
  /** Writes a last checkpoint and releases the directory. */
  close(): StoreFailure | null;
}
