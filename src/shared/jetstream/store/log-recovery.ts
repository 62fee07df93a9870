import { Checksum } from './checksum.ts';
import { decryptInto, TAG_BYTES } from './cipher.ts';
import { type Disk, DiskError, type DiskFile } from './disk.ts';
import { SECTOR_BYTES } from './limits.ts';
import {
  alignSector,
  decodeSegmentHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameKey,
  frameNonce,
  type LogSegment,
  MAX_RUN,
  type ResumePoint,
  readFrameHeader,
  recordSaltHi,
  recordSaltLo,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  saltWordOf,
} from './log-layout.ts';
import {
  checkRecord,
  paddedBytes,
  plausibleRecord,
  recordSequence,
  recordUid,
  WordBuffer,
} from './record.ts';

/**
 * Reading the log after a stop of any kind.
 *
 * Problem. At its end the log may be torn: part of the last, unsynced writes is there. In its middle it may be damaged:
 * a bit flipped in something that was synced, maybe acknowledged. The first must be cut off, the second stepped over, and
 * both look the same: a checksum that does not fit.
 *
 * Each frame says up to where the log had been synced when it was written. A hole below the highest such figure is damage,
 * for somebody went on after syncing it; the hole costs what it covers and reading goes on behind it. A hole
 * above is where the log ends, and whatever lies behind was never promised.
 *
 * ```
 *   frame │ frame │ ~~hole~~ │ frame synced=▲ │ frame │ ~~hole~~ │ frame synced=▲
 *                     damage: ▲ is behind it              end: no ▲ behind it
 * ```
 *
 * Rejected: stopping at the first bad record (nats-server's way: one flipped bit costs all that follows); taking every
 * valid record wherever it lies (a later write may survive without an earlier one, and the result is a state that never was).
 */

export interface LogVisitor {
  /** One valid record, in order of the log. */
  record(bytes: Uint8Array, words: Int32Array, at: number, position: number): void;
  /**
   * Bytes that could not be used.
   *
   * @param uid and sequence of the one record it was, when its header looks sound; else 0
   */
  lost(file: string, position: number, bytes: number, uid: number, sequence: number, type: number): void;
}

export interface RecoveredLog {
  segments: LogSegment[];
  spares: DiskFile[];
  /** Where the log ends. */
  end: number;
  nextName: number;
  /** Files that are no whole segments; left alone. */
  unreadable: string[];
  /** Segments without a readable header. */
  headless: DiskFile[];
  /** The log position where reading should have begun isn't there. */
  gap: boolean;
}

interface FoundSegment {
  file: DiskFile;
  header: SegmentHeader;
}

const checksum = new Checksum();
const frame: FrameHeader = { bodyBytes: 0, position: 0, synced: 0, encrypted: false, run: 0 };

/** Opens the segments; those that end at or below the checkpoint are spares. */
export function openSegments(disk: Disk, checkpoint: number, segmentBytes: number): RecoveredLog {
  const found: FoundSegment[] = [];
  const spares: DiskFile[] = [];
  const unreadable: string[] = [];
  const headless: DiskFile[] = [];
  let nextName = 0;
  const head = new Uint8Array(SEGMENT_HEADER_BYTES);
  for (const name of disk.list('log')) {
    const number = /^(\d{6,})\.log$/.exec(name);
    if (number === null) continue;
    nextName = Math.max(nextName, Number(number[1]) + 1);
    const file = disk.open(`log/${name}`, false);
    head.fill(0);
    file.read(head, 0, head.length, 0);
    const header = decodeSegmentHeader(head);
    if (header !== null && header.segmentBytes === segmentBytes && header.start + segmentBytes > checkpoint) {
      found.push({ file, header });
    } else if (file.size() !== segmentBytes) {
      file.close();
      // Never finished: it holds zeros. Anything else is somebody's.
      if (header === null && head.every((byte) => byte === 0)) disk.unlink(`log/${name}`);
      else unreadable.push(`log/${name}`);
    } else if (header !== null || head.every((byte) => byte === 0)) spares.push(file);
    else headless.push(file);
  }
  found.sort((a, b) => a.header.start - b.header.start);
  const first = found[0];
  // At the end of a segment the next one may not have been begun; whether it was and is missing comes out when the log is read.
  const gap = checkpoint % segmentBytes !== 0 && (first === undefined || first.header.start > checkpoint);
  const segments = found.map(({ file, header }) => ({ file, start: header.start }));
  const end = found.length === 0 ? checkpoint : found[found.length - 1]!.header.start + segmentBytes;
  return { segments, spares, end, nextName, unreadable, headless, gap };
}

/**
 * Decides about segments without a readable header, when the log has been read. A torn header is one of a segment that was just
 * being begun: nothing in it was synced, it can be used. That is the only way to one unless a segment is missing; then it
 * may be the missing one, damaged twice, and is left alone.
 */
export function sortHeadless(found: RecoveredLog, missing: boolean): void {
  for (const file of found.headless) {
    if (!missing) {
      found.spares.push(file);
      continue;
    }
    file.close();
    found.unreadable.push(file.path);
  }
}

/** Reads one segment after the other. */
export class LogReader {
  readonly #visitor: LogVisitor;
  readonly #masters: readonly Uint8Array[];
  readonly #segmentBytes: number;
  /** As long as a segment, from the first one that is read on. */
  #buffer = new WordBuffer(0);
  #file: DiskFile | null = null;
  #header: SegmentHeader | null = null;
  #saltWord = 0;
  #length = 0;
  #key: Uint8Array | null = null;
  #synced = 0;
  #checkpoint = 0;
  #missing = false;
  /** Of the frames read last; what follows has no lower one. */
  #run = 0;
  #resume: ResumePoint | null = null;

  /** @param masters keys to try, the present one first; empty without encryption */
  constructor(visitor: LogVisitor, masters: readonly Uint8Array[], segmentBytes: number) {
    this.#visitor = visitor;
    this.#masters = masters;
    this.#segmentBytes = segmentBytes;
  }

  /** A whole segment that was synced is not there. */
  get missing(): boolean {
    return this.#missing;
  }

  /** Where the last segment can be gone on with; null when there is nothing left of it, or a part of a frame is in the way. */
  get resume(): ResumePoint | null {
    return this.#resume;
  }

  /** Visits every record from `checkpoint` on. @returns where the log ends */
  read(segments: readonly LogSegment[], checkpoint: number): number {
    this.#checkpoint = checkpoint;
    this.#synced = this.#syncedUpTo(segments);
    let end = checkpoint;
    const firstStart = segments[0]?.start ?? checkpoint;
    // Where a segment ended with the checkpoint, the next one may be one that was never synced, and lost.
    let expected = checkpoint % this.#segmentBytes === 0 ? Math.min(firstStart, checkpoint) : firstStart;
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i]!;
      const limit = this.#limitOf(segments, i);
      // Begun, and then cut off whole by a crash.
      if (limit <= segment.start) continue;
      this.#load(segment);
      if (this.#header!.previousEnd > expected) {
        // A segment is missing. One that was never synced ends the log, as does any torn write.
        if (expected >= this.#synced) break;
        this.#missing = true;
        this.#visitor.lost('log', expected, segment.start - expected, 0, 0, 0);
      }
      expected = segment.start + this.#segmentBytes;
      const stop = this.#readSegment(Math.min(limit - segment.start, this.#segmentBytes));
      end = Math.max(end, segment.start + Math.abs(stop));
      if (this.#length < Math.min(limit - segment.start, this.#segmentBytes)) this.#reportShort(segment);
      // Later segments have to be ones that were begun and never held anything: it is not known whether they did.
      if (i < segments.length - 1 || this.#length < this.#segmentBytes) this.#resume = null;
      // Negative: the end of the log lies in this segment, whatever the next ones hold.
      if (stop < 0) break;
    }
    return end;
  }

  /** A segment has its full length from the start: what it lacks was there once. */
  #reportShort(segment: LogSegment): void {
    const missing = this.#segmentBytes - this.#length;
    this.#visitor.lost(segment.file.path, segment.start + this.#length, missing, 0, 0, 0);
  }

  /** Where the log ended, as far as this segment goes: the least that any later one says. */
  #limitOf(segments: readonly LogSegment[], index: number): number {
    let limit = Number.POSITIVE_INFINITY;
    const head = new Uint8Array(SEGMENT_HEADER_BYTES);
    for (let i = index + 1; i < segments.length; i++) {
      segments[i]!.file.read(head, 0, head.length, 0);
      const header = decodeSegmentHeader(head);
      if (header !== null) limit = Math.min(limit, header.previousEnd);
    }
    return limit;
  }

  #load(segment: LogSegment): void {
    this.#file = segment.file;
    if (this.#buffer.bytes.length === 0) this.#buffer = new WordBuffer(this.#segmentBytes);
    const { bytes } = this.#buffer;
    try {
      this.#length = segment.file.read(bytes, 0, this.#segmentBytes, 0);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#length = this.#loadSectors(segment.file);
    }
    bytes.fill(0, this.#length);
    this.#header = decodeSegmentHeader(bytes);
    this.#saltWord = this.#header === null ? 0 : saltWordOf(this.#header.salt);
    this.#key = null;
    this.#run = 0;
    this.#resume = null;
  }

  /** Around a sector that the disk can't read. */
  #loadSectors(file: DiskFile): number {
    const { bytes } = this.#buffer;
    for (let at = 0; at < this.#segmentBytes; at += SECTOR_BYTES) {
      try {
        if (file.read(bytes, at, SECTOR_BYTES, at) < SECTOR_BYTES) return at;
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        bytes.fill(0, at, at + SECTOR_BYTES);
      }
    }
    return this.#segmentBytes;
  }

  /** The highest position that some frame proves synced. Later frames know at least what earlier ones did. */
  #syncedUpTo(segments: readonly LogSegment[]): number {
    let synced = 0;
    for (let i = segments.length - 1; i >= 0; i--) {
      const segment = segments[i]!;
      this.#load(segment);
      let found = false;
      for (let at = SEGMENT_HEADER_BYTES; at < this.#length; ) {
        if (!this.#isFrame(at)) {
          at += SECTOR_BYTES;
          continue;
        }
        found = true;
        synced = Math.max(synced, frame.synced);
        at = alignSector(at + FRAME_HEADER_BYTES + frame.bodyBytes);
      }
      if (found) return synced;
    }
    return synced;
  }

  /** Whether a frame begins at an offset; `frame` has its header then. One of an earlier run was cut off. */
  #isFrame(at: number): boolean {
    const { words } = this.#buffer;
    const position = this.#header!.start + at;
    return (
      readFrameHeader(words, at, this.#length, position, this.#saltWord, frame) && frame.run >= this.#run
    );
  }

  /** @returns offset where reading stopped; negative when the log ends there */
  #readSegment(limit: number): number {
    const start = this.#header!.start;
    let at = SEGMENT_HEADER_BYTES;
    while (at < limit && at < this.#length) {
      if (this.#isFrame(at)) {
        if (frame.run > this.#run) this.#key = null;
        this.#run = frame.run;
        const bodyEnd = at + FRAME_HEADER_BYTES + frame.bodyBytes;
        const end = frame.encrypted ? this.#decrypt(at, bodyEnd) : bodyEnd;
        const stop = this.#readRecords(at + FRAME_HEADER_BYTES, Math.min(end, limit));
        if (stop === -(at + FRAME_HEADER_BYTES)) this.#resumeAt(at);
        if (stop < 0) return stop;
        at = alignSector(bodyEnd);
        continue;
      }
      if (start + at >= this.#synced) {
        this.#resumeAt(at);
        return -at;
      }
      const next = this.#nextFrame(at + SECTOR_BYTES, limit);
      // Without its header the frame's length is unknown, its nonce is not: what decrypts to records is there.
      if (this.#header!.cipher !== null) this.#decrypt(at, next);
      this.#salvage(at, next);
      at = next;
    }
    return at;
  }

  #resumeAt(at: number): void {
    const { start, cipher, salt } = this.#header!;
    if (this.#run < MAX_RUN) this.#resume = { position: start + at, run: this.#run + 1, cipher, salt };
  }

  #nextFrame(from: number, limit: number): number {
    const end = Math.min(limit, this.#length);
    for (let at = from; at < end; at += SECTOR_BYTES) if (this.#isFrame(at)) return at;
    return end;
  }

  /** Decrypts a frame's body in place. @returns where its records end */
  #decrypt(at: number, bodyEnd: number): number {
    const { bytes } = this.#buffer;
    const from = at + FRAME_HEADER_BYTES;
    const header = this.#header!;
    const cipher = header.cipher;
    if (cipher === null) return from;
    const nonce = frameNonce(header.start + at);
    const sealed = bytes.slice(from, bodyEnd);
    const candidates =
      this.#key === null
        ? this.#masters.map((master) => frameKey(master, header.salt, this.#run))
        : [this.#key];
    for (const key of candidates) {
      const right = decryptInto(cipher, key, nonce, sealed, 0, sealed.length, bytes, from);
      // The tag may be what is damaged; a record that fits proves the key.
      if (right || this.#nextRecord(from, bodyEnd - TAG_BYTES) < bodyEnd - TAG_BYTES) {
        this.#key = key;
        break;
      }
    }
    return bodyEnd - TAG_BYTES;
  }

  /** @returns offset behind the last record; negative when the log ends there */
  #readRecords(from: number, end: number): number {
    const { bytes, words } = this.#buffer;
    const start = this.#header!.start;
    let at = from;
    while (at < end) {
      const position = start + at;
      const length = this.#recordAt(at, end);
      if (length > 0) {
        this.#visitor.record(bytes, words, at, position);
        at += paddedBytes(length);
        continue;
      }
      if (position >= this.#synced) return -at;
      const next = this.#nextRecord(at + 8, end);
      this.#reportLost(at, next);
      at = next;
    }
    return at;
  }

  /** @returns length of the record there, 0 when there is none */
  #recordAt(at: number, end: number): number {
    const position = this.#header!.start + at;
    const { words } = this.#buffer;
    const saltHi = recordSaltHi(position, this.#saltWord);
    return checkRecord(checksum, words, at, end, recordSaltLo(position), saltHi);
  }

  #nextRecord(from: number, end: number): number {
    for (let at = from; at < end; at += 8) {
      if (this.#recordAt(at, end) > 0) return at;
    }
    return end;
  }

  /** Records in a region whose frame header is damaged. */
  #salvage(from: number, end: number): void {
    const { bytes, words } = this.#buffer;
    const start = this.#header!.start;
    let hole = from;
    let at = from;
    while (at < end) {
      const position = start + at;
      const length = this.#recordAt(at, end);
      if (length === 0) {
        at += 8;
        continue;
      }
      if (at > hole) this.#reportLost(hole, at);
      this.#visitor.record(bytes, words, at, position);
      at += paddedBytes(length);
      hole = at;
    }
    if (end > hole && !this.#isPadding(hole, end)) this.#reportLost(hole, end);
  }

  #isPadding(from: number, end: number): boolean {
    return end - from < SECTOR_BYTES && this.#buffer.bytes.subarray(from, end).every((byte) => byte === 0);
  }

  #reportLost(from: number, end: number): void {
    const { words } = this.#buffer;
    const position = this.#header!.start + from;
    // Nobody needs it any more; and a mark that was lost there is no damage.
    if (position < this.#checkpoint) return;
    const length = plausibleRecord(words, from, end);
    const sound = length > 0 && from + paddedBytes(length) === end;
    this.#visitor.lost(
      this.#file!.path,
      position,
      end - from,
      sound ? recordUid(words, from) : 0,
      sound ? recordSequence(words, from) : 0,
      sound ? words[(from >>> 2) + 4]! & 0xff : 0,
    );
  }
}
