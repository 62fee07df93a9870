import { assert } from '../../base/assert.ts';
import type { Checksum } from './checksum.ts';
import { encryptInto, TAG_BYTES } from './cipher.ts';
import type { StoreFailure } from './contract.ts';
import { type AwaitableSync, type Disk, DiskError, type DiskFile, type PendingSync } from './disk.ts';
import {
  FRAME_BYTES,
  KEEP_SPARE_FROM_BYTES,
  LOG_RESERVE_BYTES,
  SECTOR_BYTES,
  SPARE_SEGMENTS,
} from './limits.ts';
import {
  alignSector,
  encodeSegmentHeader,
  FRAME_HEADER_BYTES,
  frameKey,
  frameNonce,
  type LogOptions,
  type LogSegment,
  type ResumePoint,
  recordSaltHi,
  recordSaltLo,
  SALT_BYTES,
  SEGMENT_HEADER_BYTES,
  saltWordOf,
  writeFrameHeader,
} from './log-layout.ts';
import { paddedBytes, storeChecksum, WordBuffer } from './record.ts';

/**
 * The write-ahead log: the one place where a change becomes durable.
 *
 * Problem. A sync costs 0.1 to 4 ms however little it covers, so everything that waits must share one: all streams, all
 * kinds of change. And a sync of a growing file also syncs the file system's journal, so the log's files never grow.
 *
 * Records are staged into a frame in memory; `commit` writes the frame in place into a zero-filled segment and syncs, while
 * nothing else runs on this thread; `beginSync` has it done beside this thread, which fills the next frame meanwhile.
 * Both go past the page cache. Segments that a checkpoint made unnecessary are written over again.
 *
 * Invariants
 *  - synced ≤ written ≤ ticket; each only grows. `written` may be on its way to the disk beside this thread. After a failed write
 *    or sync the log is stopped for good.
 *  - `reserve` does everything that may fail; `stage` and `finish` after it cannot.
 *  - A frame starts on a sector and never shares one, so a torn frame harms nothing older.
 *  - A file's whole length is on the disk before a header is written into it: a segment that is shorter is damaged, not torn.
 *  - An idle log carries a mark (an empty frame) behind its last synced one: proof that the one before was synced, which
 *    tells damage from a torn tail at recovery (see log-recovery.ts).
 *
 * Rejected: O_DSYNC writes (the same wait, for each write call instead of each group); appending to a growing file (1.6 times
 * slower: 405 to 975 k/s against 657 k to 1.3 M/s); a log for each stream (a hundred streams, a hundred syncs).
 */

/** A new segment is zero-filled in portions of this. */
const ZEROS = new Uint8Array(1024 * 1024);
/** The frame's buffer begins small, for a log that is only opened, and grows to what a full frame needs. */
const FIRST_BUFFER_BYTES = 16 * 1024;
const FULL_BUFFER_BYTES = FRAME_BYTES + 64 * 1024;

export class WriteAheadLog {
  /** The frame being filled; a staged record lies at the offset `stage` returned. */
  buffer: WordBuffer;
  /** Position behind the last staged record. */
  ticket: number;
  written: number;
  synced: number;
  stopped: StoreFailure | null = null;
  /** A stream that stopped needs old segments until the next start: the log may grow as far as the disk goes. */
  pinned = false;

  /** The last spare is in use, and the disk has no room for another one: only what is essential goes on. */
  lean = false;

  readonly #disk: Disk;
  readonly #options: LogOptions;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #segments: LogSegment[];
  readonly #spares: DiskFile[];
  readonly #unsynced = new Set<DiskFile>();
  /** The buffer of the frame that is being written beside this thread's work, or was. */
  #other: WordBuffer;
  #nextName: number;
  /** Position of the frame being filled. */
  #frame: number;
  #used = FRAME_HEADER_BYTES;
  #marked = true;
  /** Nothing was committed since the last tick. */
  #quiet = false;
  /** What the last sync covered. Unlike `synced` it leaves marks out: it is evidence for recovery. */
  #evidence: number;
  #segmentEnd: number;
  #key: Uint8Array | null = null;
  #saltWord = 0;
  #run = 0;
  /** The sync that runs beside this thread's work, and what it covers. */
  #running: { readonly sync: AwaitableSync; readonly file: DiskFile; readonly end: number } | null = null;
  #preparing: { file: DiskFile; filled: number; sync: PendingSync | null } | null = null;

  /**
   * Begins a fresh segment at `start`; nothing is written until `open`.
   *
   * @param segments earlier ones that recovery still needs, ascending
   * @param spares of a segment's length, synced
   * @param end where the log ended
   */
  constructor(
    disk: Disk,
    options: LogOptions,
    random: (bytes: number) => Uint8Array,
    segments: LogSegment[],
    spares: DiskFile[],
    end: number,
    nextName: number,
  ) {
    assert(
      options.segmentBytes % SECTOR_BYTES === 0,
      'the segment size must be a multiple of the sector size',
    );
    this.#disk = disk;
    this.buffer = this.#allocate(FIRST_BUFFER_BYTES);
    this.#other = this.buffer;
    this.#options = options;
    this.#random = random;
    this.#segments = segments;
    this.#spares = spares;
    this.#nextName = nextName;
    this.#frame = end;
    this.#segmentEnd = end;
    this.ticket = end;
    this.written = end;
    this.synced = end;
    this.#evidence = end;
  }

  /** Largest record that `reserve` can ever grant. */
  get maxRecordBytes(): number {
    return this.#options.segmentBytes / 2;
  }

  /** Bytes of segments in use. */
  get usedBytes(): number {
    return this.#segments.length * this.#options.segmentBytes;
  }

  /** Bytes of memory for frames. */
  get bufferBytes(): number {
    return this.buffer.bytes.length + (this.#other === this.buffer ? 0 : this.#other.bytes.length);
  }

  /** Bytes of all segments. */
  get fileBytes(): number {
    return (this.#segments.length + this.#spares.length) * this.#options.segmentBytes;
  }

  /** Whether more is in use than it should be: time to finish a checkpoint. */
  get crowded(): boolean {
    return this.usedBytes > this.#options.maxBytes;
  }

  /** Takes the first segment; throws `DiskError`. */
  open(): void {
    this.#roll();
  }

  /** Goes on in the last segment, for there is no room for a first one of this start; throws `DiskError`. */
  resume({ position, run, salt }: ResumePoint): void {
    const last = this.#segments[this.#segments.length - 1]!;
    this.#run = run;
    this.#useKey(salt);
    this.lean = true;
    this.#frame = position;
    this.#segmentEnd = last.start + this.#options.segmentBytes;
    // The run has to be known before anything is encrypted under its key, or the next start might take the same number.
    this.#writeFrame();
    last.file.sync();
    this.#unsynced.delete(last.file);
    this.ticket = this.written;
  }

  #useKey(salt: Uint8Array): void {
    const { cipher, master } = this.#options;
    this.#key = cipher === null ? null : frameKey(master, salt, this.#run);
    this.#saltWord = saltWordOf(salt);
  }

  /**
   * Makes sure that a record of `length` bytes can be staged.
   *
   * @param essential may use the reserve that keeps removes and acknowledgements going on a full disk
   * @returns null, or why not
   */
  reserve(length: number, essential: boolean): StoreFailure | null {
    if (this.stopped !== null) return this.stopped;
    const padded = paddedBytes(length);
    const isFull = this.#used + padded > FRAME_BYTES && this.#used > FRAME_HEADER_BYTES;
    // A full frame is written, and the record begins the next one, behind its padding.
    const from = isFull ? alignSector(this.#frameEnd()) + FRAME_HEADER_BYTES : this.#frame + this.#used;
    const left = this.#segmentEnd - from - TAG_BYTES - padded;
    const reserve = Math.min(LOG_RESERVE_BYTES, this.#options.segmentBytes >>> 2);
    const spares = this.#spares.length;
    const isShort = essential ? left < 0 && spares === 0 : left < reserve && spares <= this.#keptSpares();
    if (isShort || (this.lean && !essential && spares === 0)) {
      const failure = this.#addSpare();
      if (failure !== null) return failure;
    }
    try {
      if (left < 0) {
        if (this.#used > FRAME_HEADER_BYTES) this.#writeFrame();
        this.#roll();
      } else if (isFull) this.#writeFrame();
    } catch (error) {
      return this.#stop(error);
    }
    if (this.#used + padded + TAG_BYTES + SECTOR_BYTES > this.buffer.bytes.length) {
      this.#growBuffer(this.#used + padded + TAG_BYTES + SECTOR_BYTES);
    }
    return null;
  }

  /** Where the frame being filled would end, were it written now. */
  #frameEnd(): number {
    return this.#frame + this.#used + (this.#key === null ? 0 : TAG_BYTES);
  }

  /** Spare segments that only essential records may use, and the next start. */
  #keptSpares(): number {
    const from = Math.min(KEEP_SPARE_FROM_BYTES, this.#options.segmentBytes >>> 2);
    return this.#frame >= from ? 1 : 0;
  }

  /** Claims room for a reserved record. @returns its offset in `buffer` */
  stage(length: number): number {
    const at = this.#used;
    this.#used += paddedBytes(length);
    return at;
  }

  /** Completes the record at `at`, whose lanes are in `checksum`. */
  finish(at: number, length: number, checksum: Checksum): void {
    const position = this.#frame + at;
    checksum.seal(recordSaltLo(position), recordSaltHi(position, this.#saltWord));
    storeChecksum(this.buffer.words, at, checksum);
    this.ticket = position + paddedBytes(length);
  }

  /** Writes what is staged; with `sync` waits until it is on the disk. @returns null, or why the log stopped */
  commit(sync: boolean): StoreFailure | null {
    if (this.stopped !== null) return this.stopped;
    try {
      const isStaged = this.#used > FRAME_HEADER_BYTES;
      if (!sync) {
        if (isStaged) this.#writeFrame();
        return null;
      }
      // An error is told to one sync of a file only: if it were this one's, the other would cover what is lost.
      this.#running?.sync.wait();
      this.#settle();
      if (isStaged) {
        const { file, position, length } = this.#seal();
        this.#syncOthers(file);
        file.writeSynced(this.buffer.bytes, length, position);
        this.#pass(length);
      } else if (this.synced === this.written) return null;
      else this.#syncOthers(null);
      this.#noteSynced(this.written);
    } catch (error) {
      return this.#stop(error);
    }
    return null;
  }

  /**
   * Writes what is staged and begins to sync it, unless a sync is running: then what is staged waits for the next one.
   * `poll` tells when it is done.
   *
   * @returns null, or why the log stopped
   */
  beginSync(): StoreFailure | null {
    if (this.stopped !== null) return this.stopped;
    if (this.#running !== null) return null;
    try {
      if (this.#used > FRAME_HEADER_BYTES) this.#beginFrame();
      else if (this.synced < this.written) {
        const { file } = this.#lastSegment();
        this.#syncOthers(file);
        this.#running = { sync: file.beginSync(), file, end: this.written };
      }
    } catch (error) {
      return this.#stop(error);
    }
    return null;
  }

  /** Seals the frame and lets it be written and synced; the next one is filled in the other buffer. */
  #beginFrame(): void {
    const { file, position, length } = this.#seal();
    this.#syncOthers(file);
    const { buffer } = this;
    this.#running = {
      sync: file.beginWriteSynced(buffer.bytes, length, position),
      file,
      end: this.#frame + length,
    };
    this.#pass(length);
    const isOwn = this.#other !== buffer && this.#other.bytes.length === buffer.bytes.length;
    this.buffer = isOwn ? this.#other : this.#allocate(buffer.bytes.length);
    this.#other = buffer;
  }

  /** Syncs what was written into other files: there are some only where a segment has just been filled. */
  #syncOthers(excepted: DiskFile | null): void {
    for (const file of this.#unsynced) if (file !== excepted) file.sync();
    this.#unsynced.clear();
  }

  /** Takes note of a sync that has ended. @returns null, or why the log stopped */
  poll(): StoreFailure | null {
    if (this.#running === null || this.stopped !== null) return this.stopped;
    try {
      if (this.#running.sync.poll()) this.#settle();
    } catch (error) {
      return this.#stop(error);
    }
    return null;
  }

  /** Whether a sync is running, or its end has not been noted. */
  get syncing(): boolean {
    return this.#running !== null;
  }

  #settle(): void {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    this.#noteSynced(running.end);
  }

  #noteSynced(end: number): void {
    // A mark may have been noted meanwhile.
    if (end > this.synced) this.synced = end;
    this.#evidence = end;
    this.#marked = false;
    this.#quiet = false;
  }

  /** Writes the mark of an idle log, and prepares a spare segment in portions. @returns whether there is more to do */
  tick(): boolean {
    if (this.stopped !== null) return false;
    try {
      if (
        !this.#marked &&
        this.#quiet &&
        this.synced === this.ticketEnd() &&
        this.#segmentEnd - this.#frame >= SECTOR_BYTES
      ) {
        this.#writeFrame();
        this.#marked = true;
      }
      this.#quiet = true;
    } catch (error) {
      this.#stop(error);
      return false;
    }
    return this.#prepare();
  }

  /** Position behind everything staged and written. */
  ticketEnd(): number {
    return this.#used > FRAME_HEADER_BYTES ? this.ticket : this.written;
  }

  /** Makes segments that end at or below `position` available again. */
  recycle(position: number): void {
    while (this.#segments.length > 1) {
      const first = this.#segments[0]!;
      if (first.start + this.#options.segmentBytes > position || this.#isUnsynced(first.file)) return;
      this.#segments.shift();
      if (this.#spares.length < SPARE_SEGMENTS) this.#spares.push(first.file);
      else {
        first.file.close();
        this.#disk.unlink(first.file.path);
      }
    }
  }

  #isUnsynced(file: DiskFile): boolean {
    return this.#unsynced.has(file) || this.#running?.file === file;
  }

  close(): void {
    for (const { file } of this.#segments) file.close();
    for (const file of this.#spares) file.close();
    this.#preparing?.file.close();
  }

  #growBuffer(bytes: number): void {
    const larger = this.#allocate(Math.max(bytes, Math.min(FULL_BUFFER_BYTES, this.buffer.bytes.length * 4)));
    larger.bytes.set(this.buffer.bytes.subarray(0, this.#used));
    this.buffer = larger;
  }

  #allocate(bytes: number): WordBuffer {
    return new WordBuffer(bytes, this.#disk.sharedMemory(bytes));
  }

  #stop(error: unknown): StoreFailure {
    if (!(error instanceof DiskError)) throw error;
    this.stopped = { code: 'io', message: `the log stopped: ${error.message}` };
    return this.stopped;
  }

  #lastSegment(): LogSegment {
    return this.#segments[this.#segments.length - 1]!;
  }

  /** Also writes an empty frame, which is a mark. */
  #writeFrame(): void {
    const isEmpty = this.#used === FRAME_HEADER_BYTES;
    const { file, position, length } = this.#seal();
    this.#unsynced.add(file);
    file.write(this.buffer.bytes, 0, length, position);
    this.#pass(length);
    if (isEmpty) this.synced = this.written;
  }

  /** Completes the frame in the buffer. @returns what is to be written, and where */
  #seal(): { file: DiskFile; position: number; length: number } {
    const { bytes, words } = this.buffer;
    let end = this.#used;
    const cipher = this.#key === null || end === FRAME_HEADER_BYTES ? null : this.#options.cipher;
    if (cipher !== null) {
      encryptInto(
        cipher,
        this.#key!,
        frameNonce(this.#frame),
        bytes,
        FRAME_HEADER_BYTES,
        end,
        bytes,
        FRAME_HEADER_BYTES,
      );
      end += TAG_BYTES;
    }
    writeFrameHeader(
      words,
      end - FRAME_HEADER_BYTES,
      this.#frame,
      this.#evidence,
      cipher !== null,
      this.#run,
      this.#saltWord,
    );
    const length = alignSector(end);
    bytes.fill(0, end, length);
    assert(this.#frame + length <= this.#segmentEnd, 'a frame ends in its segment');
    const { file, start } = this.#lastSegment();
    return { file, position: this.#frame - start, length };
  }

  /** Goes on behind a sealed frame. */
  #pass(length: number): void {
    this.#frame += length;
    this.#used = FRAME_HEADER_BYTES;
    this.written = this.#frame;
  }

  #roll(): void {
    const spare = this.#spares.shift();
    const file = spare ?? this.#create();
    const last = this.#segments[this.#segments.length - 1];
    const end = this.#frame;
    const size = this.#options.segmentBytes;
    const start = last === undefined ? Math.ceil(end / size) * size : last.start + size;
    const salt = this.#random(SALT_BYTES);
    const cipher = this.#options.cipher;
    file.write(
      encodeSegmentHeader({ start, segmentBytes: size, cipher, previousEnd: end, salt }),
      0,
      SEGMENT_HEADER_BYTES,
      0,
    );
    this.#unsynced.add(file);
    this.#run = 0;
    this.#useKey(salt);
    this.#segments.push({ file, start });
    this.lean = spare !== undefined && this.#spares.length === 0 && !this.#hasRoom();
    this.#frame = start + SEGMENT_HEADER_BYTES;
    this.#segmentEnd = start + size;
    if (this.#used === FRAME_HEADER_BYTES) this.written = this.#frame;
    this.ticket = Math.max(this.ticket, end);
  }

  #path(): string {
    const name = `log/${String(this.#nextName).padStart(6, '0')}.log`;
    this.#nextName++;
    return name;
  }

  /** A whole new segment at once; throws `DiskError`. */
  #create(): DiskFile {
    const file = this.#disk.open(this.#path(), true);
    try {
      for (let at = 0; at < this.#options.segmentBytes; ) at += this.#fill(file, at);
      file.sync();
      this.#disk.syncDirectory('log');
    } catch (error) {
      this.#discard(file);
      throw error;
    }
    return file;
  }

  /** @returns bytes of a new segment that were zero-filled, at least one */
  #fill(file: DiskFile, at: number): number {
    const count = Math.min(ZEROS.length, this.#options.segmentBytes - at);
    file.write(ZEROS, 0, count, at);
    return count;
  }

  /** Removes a segment that never held anything. */
  #discard(file: DiskFile): void {
    file.close();
    try {
      this.#disk.unlink(file.path);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
  }

  #addSpare(): StoreFailure | null {
    if (!this.pinned && this.usedBytes >= 2 * this.#options.maxBytes) {
      return { code: 'no_space', message: 'the log is full: a checkpoint could not be finished' };
    }
    try {
      const prepared = this.#preparing;
      this.#preparing = null;
      if (prepared !== null) this.#discard(prepared.file);
      if (!this.#hasRoom()) return { code: 'no_space', message: 'no room for another log segment' };
      this.#spares.push(this.#create());
      return null;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      if (error.code !== 'no_space') return this.#stop(error);
      return { code: 'no_space', message: `no room for another log segment: ${error.message}` };
    }
  }

  #prepare(): boolean {
    if (this.#preparing === null) {
      const isHalfFull = this.#segmentEnd - this.#frame <= this.#options.segmentBytes / 2;
      const wanted = this.#keptSpares() + (isHalfFull && !this.crowded ? 1 : 0);
      if (this.#spares.length >= wanted || !this.#hasRoom()) return false;
    }
    try {
      this.#preparing ??= { file: this.#disk.open(this.#path(), true), filled: 0, sync: null };
      return this.#prepareMore(this.#preparing);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // Not now; whoever needs the segment tries again and says why it can't be had.
      if (this.#preparing !== null) this.#discard(this.#preparing.file);
      this.#preparing = null;
      return false;
    }
  }

  /** Whether the disk has room for another segment. To try costs as much as to do it, so it is asked first. */
  #hasRoom(): boolean {
    return this.#disk.freeBytes() >= this.#options.segmentBytes;
  }

  #prepareMore(next: { file: DiskFile; filled: number; sync: PendingSync | null }): boolean {
    const size = this.#options.segmentBytes;
    if (next.filled < size) {
      // What fails here fails the sync, and the segment is given up.
      const count = Math.min(ZEROS.length, size - next.filled);
      next.file.writeBehind(ZEROS, 0, count, next.filled);
      next.filled += count;
    }
    if (next.filled < size) return true;
    if (next.sync === null) {
      this.#disk.syncDirectory('log');
      next.sync = next.file.startSync();
    }
    if (!next.sync.poll()) return false;
    this.#spares.push(next.file);
    this.#preparing = null;
    return false;
  }
}
