import type { DroppedStream } from './checkpoint.ts';
import type { DamageReport, StreamSpec } from './contract.ts';
import type { LogVisitor } from './log-recovery.ts';
import {
  FLAG_GROUP,
  FLAG_GROUP_START,
  paddedBytes,
  RECORD_CREATE,
  RECORD_DROP,
  RECORD_GROUP_END,
  RECORD_HEADER_BYTES,
  RECORD_MESSAGE,
  recordFlags,
  recordLengthAt,
  recordType,
  recordUid,
  recordValue,
} from './record.ts';
import { decodeSpec } from './store.ts';
import type { StoredStream } from './stream.ts';

/**
 * Applies the log to the streams.
 *
 * Sequences must not be used twice, whatever was lost. A damaged record whose header is sound tells which message it was. If not,
 * each stream with no message behind the hole might have had its last ones in it: it goes on as many sequences later as records
 * could have been there.
 */

interface GroupRecord {
  bytes: Uint8Array;
  position: number;
}

/** Bytes of the smallest message record. */
const SMALLEST_RECORD = paddedBytes(RECORD_HEADER_BYTES + 1);

export class Replay implements LogVisitor {
  readonly #streams: Map<number, StoredStream>;
  readonly #positions: ReadonlyMap<number, number>;
  readonly #dropped: DroppedStream[];
  readonly #reports: DamageReport[];
  readonly #create: (uid: number, value: { spec: StreamSpec; wrappedKey: Uint8Array }) => StoredStream;
  readonly #gone = new Set<number>();
  readonly #unknown = new Set<number>();
  readonly #lastMessage = new Map<number, number>();
  readonly #holes: { position: number; bytes: number }[] = [];
  #group: GroupRecord[] | null = null;
  #groupDamaged = false;

  /** @param positions per stream, where its manifest ends */
  constructor(
    streams: Map<number, StoredStream>,
    positions: ReadonlyMap<number, number>,
    dropped: DroppedStream[],
    reports: DamageReport[],
    create: (uid: number, value: { spec: StreamSpec; wrappedKey: Uint8Array }) => StoredStream,
  ) {
    this.#streams = streams;
    this.#positions = positions;
    this.#dropped = dropped;
    this.#reports = reports;
    this.#create = create;
  }

  record(bytes: Uint8Array, words: Int32Array, at: number, position: number): void {
    const flags = recordFlags(words, at);
    if ((flags & FLAG_GROUP) === 0) {
      this.#endGroup(this.#groupDamaged);
      this.#apply(bytes, words, at, position);
      return;
    }
    if (recordType(words, at) === RECORD_GROUP_END) {
      this.#endGroup(true);
      return;
    }
    if ((flags & FLAG_GROUP_START) !== 0) this.#endGroup(this.#groupDamaged);
    this.#group ??= [];
    this.#group.push({ bytes: bytes.slice(at, at + paddedBytes(recordLengthAt(words, at))), position });
  }

  lost(file: string, position: number, bytes: number, uid: number, sequence: number, type: number): void {
    this.#groupDamaged = this.#group !== null;
    const stream = this.#streams.get(uid);
    const inManifest = stream !== undefined && position < (this.#positions.get(uid) ?? 0);
    const message = `damaged record at position ${position}`;
    if (stream !== undefined && !inManifest && sequence === stream.lastSeq + 1 && type === RECORD_MESSAGE) {
      stream.loseThrough(sequence, `${message} of the log`);
      return;
    }
    this.#reports.push({ file, account: '', stream: '', firstSeq: 0, lastSeq: 0, bytes, message });
    // A record without key and value is no message.
    const change = type !== RECORD_MESSAGE && type !== 0 && bytes < SMALLEST_RECORD;
    if (bytes >= SMALLEST_RECORD && !change && !inManifest) this.#holes.push({ position, bytes });
  }

  /** To be called at the log's end. */
  finish(): void {
    this.#endGroup(this.#groupDamaged);
    for (const uid of this.#unknown) {
      const message = `records of stream ${uid}, which is not there`;
      this.#reports.push({
        file: 'log',
        account: '',
        stream: '',
        firstSeq: 0,
        lastSeq: 0,
        bytes: 0,
        message,
      });
    }
    for (const [uid, stream] of this.#streams) {
      const last = Math.max(this.#lastMessage.get(uid) ?? 0, this.#positions.get(uid) ?? 0);
      let records = 0;
      for (const hole of this.#holes) {
        if (hole.position >= last) records += Math.floor(hole.bytes / SMALLEST_RECORD);
      }
      if (stream.messageSet.reader.failures > 0) stream.stopUnread();
      if (records > 0)
        stream.loseThrough(stream.lastSeq + records, 'may have been in the damaged part of the log');
    }
  }

  /** @param whole apply it; else it is the torn one at the end of an earlier run */
  #endGroup(whole: boolean): void {
    const group = this.#group;
    this.#group = null;
    this.#groupDamaged = false;
    if (group === null || !whole) return;
    for (const { bytes, position } of group) this.#apply(bytes, new Int32Array(bytes.buffer), 0, position);
  }

  #apply(bytes: Uint8Array, words: Int32Array, at: number, position: number): void {
    const uid = recordUid(words, at);
    const type = recordType(words, at);
    if (type === RECORD_GROUP_END || this.#gone.has(uid)) return;
    if (position < (this.#positions.get(uid) ?? 0)) return;
    const stream = this.#streams.get(uid);
    if (type === RECORD_CREATE) {
      if (stream !== undefined) return;
      const created = this.#create(uid, decodeSpec(recordValue(bytes, words, at)));
      created.dirtyFrom = position;
      this.#streams.set(uid, created);
      return;
    }
    if (stream === undefined) {
      // Dropped, and its files are gone already, if the drop follows.
      if (type === RECORD_DROP) this.#unknown.delete(uid);
      else this.#unknown.add(uid);
      return;
    }
    if (type === RECORD_DROP) {
      stream.dropped = true;
      this.#streams.delete(uid);
      this.#gone.add(uid);
      const neededFrom = stream.neededFrom < 0 ? position : stream.neededFrom;
      this.#dropped.push({ directory: stream.directory, position, neededFrom });
      return;
    }
    if (type === RECORD_MESSAGE) this.#lastMessage.set(uid, position);
    stream.replay(bytes, words, at, position);
  }
}
