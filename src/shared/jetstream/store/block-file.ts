import type { BufferPool } from './buffer-pool.ts';
import { checksumOf, highWord } from './checksum.ts';
import { cipherCode, decryptInto, encryptInto, NONCE_BYTES, type StreamCipher, TAG_BYTES } from './cipher.ts';
import { type Disk, DiskError, type DiskFile, type PendingSync } from './disk.ts';
import {
  decodeExtent,
  EXTENT_HEADER_BYTES,
  encodeExtent,
  extentBytes,
  extentRawBytes,
  isExtentHeader,
} from './extent.ts';
import { TRICKLE_BYTES } from './limits.ts';
import { WordBuffer } from './record.ts';

/**
 * The file of a message block, version 1. Append only: header, records, then one footer when the block is closed.
 *
 * ```
 *   plain      header │ record │ record │ … │ footer          logical offset = file offset - 64
 *   extents    header │ extent │ extent │ … │ footer          compressed, encrypted or both
 *
 *   header (64)                    extent (48, the stored bytes padded to 8, the 48 again)
 *    0  u32 magic                   0  u32 magic
 *    4  u32 version                 4  u32 stored bytes
 *    8  u32 stream uid              8  u32 raw bytes
 *   12  u32 block number           12  u32 logical start
 *   16  u32 1 extents, 0 plain     16  u32 1 compressed, 2 encrypted
 *   20  u32 cipher                 20  12 bytes nonce
 *   24  u64 first sequence         32  u64 checksum of header and stored bytes
 *   32  u64 checksum               40  u64 checksum of the stored bytes
 * ```
 *
 * An extent holds whole records, about 64 KB of them, so that reading one message decodes one extent. What the file is
 * good for is known from the manifest: how much of it was synced, and where the footer is.
 */

const BLOCK_VERSION = 1;
const BLOCK_HEADER_BYTES = 64;
const BLOCK_MAGIC = 0x4b4c424e;
const HEADER_SALT = 0x424c4b31;
const FOOTER_SALT = 0x46545231;

/** Where the footer is: the summary (subjects), then the arrays (one entry for each message). */
export interface FooterPlace {
  position: number;
  summaryBytes: number;
  arraysBytes: number;
}

/** A stretch of logical bytes read from the file. */
export interface ReadBytes {
  start: number;
  buffer: WordBuffer;
  length: number;
}

export class BlockFile {
  readonly path: string;
  readonly extents: boolean;
  /** Logical bytes in the file. */
  written = 0;
  /** Where the next byte goes. */
  end = 0;
  footer: FooterPlace | null = null;
  /** Why the last attempt to read found the disk at fault; empty: it didn't, whatever the bytes are good for. */
  readError = '';
  /** Written to since the last sync began. */
  dirty = false;
  /** The file's name is not known to be durable. */
  fresh: boolean;
  /** Logical start and file position of each extent. */
  readonly extentStarts: number[] = [];
  readonly extentPositions: number[] = [];
  /** Bytes of the file when a sync was last begun beside the checkpoints. */
  #trickled = 0;
  readonly #disk: Disk;
  readonly #uid: number;
  readonly #number: number;
  readonly #firstSeq: number;
  readonly #cipher: StreamCipher | null;
  #file: DiskFile | null = null;

  /** @param existing the file is there already, as the manifest says; `written`, `end` and `footer` are to be set */
  constructor(
    disk: Disk,
    path: string,
    uid: number,
    number: number,
    firstSeq: number,
    extents: boolean,
    cipher: StreamCipher | null,
    existing: boolean,
  ) {
    this.#disk = disk;
    this.path = path;
    this.#uid = uid;
    this.#number = number;
    this.#firstSeq = firstSeq;
    this.extents = extents;
    this.#cipher = cipher;
    this.fresh = !existing;
  }

  /** Whether it is stored in clear. */
  get plain(): boolean {
    return this.#cipher === null;
  }

  /** Whether anything was ever written. */
  get exists(): boolean {
    return !this.fresh || this.end > 0;
  }

  /**
   * Appends logical bytes, records only; throws `DiskError`, and may be repeated then.
   *
   * @param isBulk it is much, and won't be read soon
   */
  append(bytes: Uint8Array, from: number, to: number, isBulk = false): void {
    const file = this.#open();
    this.#begin(file);
    this.dirty = true;
    let isCached = true;
    if (this.extents) this.#appendExtent(file, bytes, from, to, null);
    else {
      if (isBulk) isCached = !file.writeBehind(bytes, from, to - from, this.end);
      else file.write(bytes, from, to - from, this.end);
      this.end += to - from;
    }
    this.written += to - from;
    if (isCached) this.#trickle(file);
    // What went past the page cache leaves little for a checkpoint's sync.
    else this.#trickled = this.end;
  }

  /**
   * Appends `bytes[0, length)` as one compressed extent; only for files with extents.
   *
   * @param packed the same bytes, deflated
   */
  appendPacked(bytes: Uint8Array, length: number, packed: Uint8Array): void {
    const file = this.#open();
    this.#begin(file);
    this.dirty = true;
    this.#appendExtent(file, bytes, 0, length, packed);
    this.written += length;
  }

  /** Appends the footer's two parts. */
  appendFooter(summary: Uint8Array, arrays: Uint8Array): void {
    const file = this.#open();
    this.#begin(file);
    const first = this.#sealed(summary);
    const second = this.#sealed(arrays);
    this.dirty = true;
    file.write(first, 0, first.length, this.end);
    file.write(second, 0, second.length, this.end + first.length);
    this.footer = { position: this.end, summaryBytes: first.length, arraysBytes: second.length };
    this.end += first.length + second.length;
  }

  /** @returns null when it is unreadable */
  readSummary(): Uint8Array | null {
    const footer = this.footer;
    return footer === null ? null : this.#unsealed(footer.position, footer.summaryBytes);
  }

  /** @returns null when it is unreadable */
  readArrays(): Uint8Array | null {
    const footer = this.footer;
    return footer === null ? null : this.#unsealed(footer.position + footer.summaryBytes, footer.arraysBytes);
  }

  /**
   * Reads logical bytes from `offset` on, at least what is asked for as far as the file has it.
   *
   * @returns null when nothing could be read
   */
  read(offset: number, bytes: number, pool: BufferPool): ReadBytes | null {
    return this.#attempt(() =>
      this.extents ? this.#readExtent(offset) : this.#readPlain(offset, bytes, pool),
    );
  }

  /** @returns null when the disk fails, and why in `readError` */
  #attempt<T>(read: () => T): T | null {
    this.readError = '';
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.readError = error.message;
      return null;
    }
  }

  /** Finds the extents by their headers, up to `end`; around a damaged one by the copy behind it. @returns whether all were found */
  scanExtents(): boolean {
    const content = new WordBuffer(this.end);
    if (this.#attempt(() => this.#open().read(content.bytes, 0, this.end, 0)) === null) return false;
    this.extentStarts.length = 0;
    this.extentPositions.length = 0;
    const { words } = content;
    let position = BLOCK_HEADER_BYTES;
    for (let start = 0; start < this.written; ) {
      let at = position;
      while (at < this.end && !isExtentHeader(words, at >>> 2, start)) at += 8;
      if (at >= this.end) return false;
      this.extentStarts.push(start);
      this.extentPositions.push(position);
      const bytes = extentBytes(words, at >>> 2);
      // The header that was found is the one in front or the one behind.
      position = at === position ? position + bytes : at + EXTENT_HEADER_BYTES;
      start += extentRawBytes(words, at >>> 2);
    }
    return true;
  }

  /** Lets the disk begin with what a checkpoint would wait for. Its outcome is the checkpoint's business. */
  #trickle(file: DiskFile): void {
    if (this.end - this.#trickled < TRICKLE_BYTES) return;
    this.#trickled = this.end;
    file.startSync();
  }

  startSync(): PendingSync {
    this.dirty = false;
    return this.#open().startSync();
  }

  syncNow(): void {
    this.dirty = false;
    this.#open().sync();
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #open(): DiskFile {
    this.#file ??= this.#disk.open(this.path, this.fresh);
    return this.#file;
  }

  #begin(file: DiskFile): void {
    if (this.end > 0) return;
    // Left over from before a crash, unknown to the manifest: its content is in the log.
    if (file.size() > 0) file.truncate(0);
    const header = new WordBuffer(BLOCK_HEADER_BYTES);
    const { words } = header;
    words[0] = BLOCK_MAGIC;
    words[1] = BLOCK_VERSION;
    words[2] = this.#uid;
    words[3] = this.#number;
    words[4] = this.extents ? 1 : 0;
    words[5] = cipherCode(this.#cipher?.cipher ?? null);
    words[6] = this.#firstSeq;
    words[7] = highWord(this.#firstSeq);
    const [lo, hi] = checksumOf(header.bytes, 32, HEADER_SALT);
    words[8] = lo;
    words[9] = hi;
    file.write(header.bytes, 0, BLOCK_HEADER_BYTES, 0);
    this.end = BLOCK_HEADER_BYTES;
  }

  #appendExtent(
    file: DiskFile,
    bytes: Uint8Array,
    from: number,
    to: number,
    packed: Uint8Array | null,
  ): void {
    const extent = encodeExtent(bytes.subarray(from, to), packed, this.written, this.#cipher);
    file.write(extent, 0, extent.length, this.end);
    this.extentStarts.push(this.written);
    this.extentPositions.push(this.end);
    this.end += extent.length;
  }

  #readPlain(offset: number, bytes: number, pool: BufferPool): ReadBytes | null {
    const wanted = Math.min(bytes, this.written - offset);
    if (wanted <= 0) return null;
    const buffer = pool.take(wanted);
    const length = this.#open().read(buffer.bytes, 0, wanted, BLOCK_HEADER_BYTES + offset);
    // What the buffer had before must not look like a part of the file.
    buffer.bytes.fill(0, length, wanted);
    return { start: offset, buffer, length };
  }

  #readExtent(offset: number): ReadBytes | null {
    let at = this.extentStarts.length - 1;
    while (at > 0 && this.extentStarts[at]! > offset) at--;
    if (at < 0) return null;
    const start = this.extentStarts[at]!;
    const position = this.extentPositions[at]!;
    const next = this.extentPositions[at + 1] ?? this.footer?.position ?? this.end;
    const rawBytes = (this.extentStarts[at + 1] ?? this.written) - start;
    const extent = new WordBuffer(next - position);
    if (this.#open().read(extent.bytes, 0, next - position, position) < next - position) return null;
    const buffer = decodeExtent(extent, start, rawBytes, this.#cipher);
    return buffer === null ? null : { start, buffer, length: rawBytes };
  }

  /** Encrypted if the stream is, with a checksum, padded to 8. */
  #sealed(part: Uint8Array): Uint8Array {
    const cipher = this.#cipher;
    const body = cipher === null ? part.length : NONCE_BYTES + part.length + TAG_BYTES;
    const sealed = new WordBuffer(16 + body);
    if (cipher === null) sealed.bytes.set(part, 16);
    else {
      const nonce = cipher.random(NONCE_BYTES);
      sealed.bytes.set(nonce, 16);
      encryptInto(cipher.cipher, cipher.key, nonce, part, 0, part.length, sealed.bytes, 16 + NONCE_BYTES);
    }
    sealed.words[2] = body;
    const [lo, hi] = checksumOf(sealed.bytes.subarray(8), sealed.bytes.length - 8, FOOTER_SALT);
    sealed.words[0] = lo;
    sealed.words[1] = hi;
    return sealed.bytes;
  }

  #unsealed(position: number, length: number): Uint8Array | null {
    const sealed = new WordBuffer(length);
    const read = this.#attempt(() => this.#open().read(sealed.bytes, 0, length, position));
    if (read === null || read < length) return null;
    const [lo, hi] = checksumOf(sealed.bytes.subarray(8), length - 8, FOOTER_SALT);
    const body = sealed.words[2]!;
    if (sealed.words[0] !== lo || sealed.words[1] !== hi || body < 0 || 16 + body > length) return null;
    const cipher = this.#cipher;
    if (cipher === null) return sealed.bytes.slice(16, 16 + body);
    const plain = new Uint8Array(body - NONCE_BYTES - TAG_BYTES);
    const nonce = sealed.bytes.slice(16, 16 + NONCE_BYTES);
    const right = decryptInto(
      cipher.cipher,
      cipher.key,
      nonce,
      sealed.bytes,
      16 + NONCE_BYTES,
      16 + body,
      plain,
      0,
    );
    return right ? plain : null;
  }
}
