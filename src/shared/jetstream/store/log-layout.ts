import { Checksum, highWord, lowWord } from './checksum.ts';
import { type CipherName, cipherCode, cipherOfCode, deriveKey } from './cipher.ts';
import type { DiskFile } from './disk.ts';
import { SECTOR_BYTES } from './limits.ts';

/**
 * Layout of the write-ahead log, version 1.
 *
 * ```
 * segment file, of fixed length, zero-filled when made, written in place, reused under a new position
 *    0  header copy one (512 bytes)
 *  512  header copy two
 * 1024  frame │ padding to 512 │ frame │ padding │ …
 *
 * segment header                                  frame header
 *  0  u32 magic                                    0  u32 magic
 *  4  u32 version                                  4  u32 body bytes (tag included)
 *  8  u64 position of the file's first byte        8  u64 position of this frame
 * 16  u32 segment bytes                           16  u64 position synced when this was written
 * 20  u32 cipher                                  24  u32 flags: 1 encrypted; bits 8 to 15: run
 * 24  u64 end of the log before this segment      28  u32 first word of the segment's salt
 * 32  16 bytes salt                               32  u64 checksum
 * 48  u64 checksum                                40  records, each on a multiple of 8
 * ```
 *
 * A position (the log sequence number) is a byte count that never goes back: segment k covers
 * [start, start + segment bytes), the next one starts where it ends. What is left of a segment behind its last frame is
 * told by "end of the log before" in the next one's header, so frames from before a crash that were cut off stay cut off.
 * The checksum of a record is salted with its position and the segment's salt: what a reused segment still holds is invalid there.
 *
 * A start begins a fresh segment. One that finds no room for it goes on in the last one as its next run, whose frames count from
 * 1 on: a frame of an earlier run behind one of a later run was cut off. A run has a key of its own, because its frames
 * stand where torn ones may have been.
 */

const LOG_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 2 * SECTOR_BYTES;
export const FRAME_HEADER_BYTES = 40;
export const SALT_BYTES = 16;

const SEGMENT_MAGIC = 0x4c41574e;
const FRAME_MAGIC = 0x4d524657;
const FRAME_ENCRYPTED = 1;
const RUN_SHIFT = 8;
/** Highest run of a segment. */
export const MAX_RUN = 255;
const LOG_SALT = 0x57414c31;
const SEGMENT_SALT = 0x53454731;

const checksum = new Checksum();

export interface LogOptions {
  segmentBytes: number;
  /** Soft bound: beyond it commits finish a checkpoint first; appends are refused at twice as much. */
  maxBytes: number;
  cipher: CipherName | null;
  /** Master key; unused without a cipher. */
  master: Uint8Array;
}

/** Where a start may go on in the last segment. */
export interface ResumePoint {
  /** On a sector; nothing that counts lies at or behind it. */
  position: number;
  /** Higher than that of every frame in the segment. */
  run: number;
  /** Of the segment. */
  cipher: CipherName | null;
  salt: Uint8Array;
}

/** A segment in use: `[start, start + segmentBytes)` of the log. */
export interface LogSegment {
  file: DiskFile;
  start: number;
}

export interface SegmentHeader {
  start: number;
  segmentBytes: number;
  cipher: CipherName | null;
  /** Where the log ended when this segment was begun. */
  previousEnd: number;
  salt: Uint8Array;
}

export interface FrameHeader {
  bodyBytes: number;
  position: number;
  synced: number;
  encrypted: boolean;
  /** How often the segment was gone on with by a later start, when this was written. */
  run: number;
}

export function alignSector(position: number): number {
  const rest = position % SECTOR_BYTES;
  return rest === 0 ? position : position + SECTOR_BYTES - rest;
}

/** Salt of the record at a log position, low word. */
export function recordSaltLo(position: number): number {
  return lowWord(position);
}

/**
 * High word. @param saltWord of the segment: a position that a crash took out of the log is written again, maybe in the same
 * file, and what is left there of the first time must not fit
 */
export function recordSaltHi(position: number, saltWord: number): number {
  return highWord(position) ^ LOG_SALT ^ saltWord;
}

export function saltWordOf(salt: Uint8Array): number {
  return new Int32Array(salt.slice(0, 4).buffer)[0]!;
}

/** Writes a position, a safe integer, as its low and high word. */
export function putPosition(words: Int32Array, at: number, position: number): void {
  words[at] = position;
  words[at + 1] = highWord(position);
}

/** Reads what `putPosition` wrote. */
export function getPosition(words: Int32Array, at: number): number {
  return (words[at]! >>> 0) + (words[at + 1]! >>> 0) * 0x1_0000_0000;
}

/** @returns both copies of a segment's header */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const words = new Int32Array(bytes.buffer);
  words[0] = SEGMENT_MAGIC;
  words[1] = LOG_VERSION;
  putPosition(words, 2, header.start);
  words[4] = header.segmentBytes;
  words[5] = cipherCode(header.cipher);
  putPosition(words, 6, header.previousEnd);
  bytes.set(header.salt, 32);
  checksum.begin();
  checksum.update(words, 0, 12);
  checksum.seal(SEGMENT_SALT, LOG_VERSION);
  words[12] = checksum.sealedLo;
  words[13] = checksum.sealedHi;
  bytes.copyWithin(SECTOR_BYTES, 0, SECTOR_BYTES);
  return bytes;
}

/** @returns null when neither copy is valid */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | null {
  for (let copy = 0; copy < 2; copy++) {
    const sector = bytes.slice(copy * SECTOR_BYTES, (copy + 1) * SECTOR_BYTES);
    const words = new Int32Array(sector.buffer);
    if (words[0] !== SEGMENT_MAGIC || words[1] !== LOG_VERSION) continue;
    checksum.begin();
    checksum.update(words, 0, 12);
    checksum.seal(SEGMENT_SALT, LOG_VERSION);
    if (words[12] !== checksum.sealedLo || words[13] !== checksum.sealedHi) continue;
    const cipher = cipherOfCode(words[5]!);
    if (cipher === undefined) continue;
    return {
      start: getPosition(words, 2),
      segmentBytes: words[4]!,
      cipher,
      previousEnd: getPosition(words, 6),
      salt: sector.slice(32, 32 + SALT_BYTES),
    };
  }
  return null;
}

/** Writes a frame header at the start of `words`. */
export function writeFrameHeader(
  words: Int32Array,
  bodyBytes: number,
  position: number,
  synced: number,
  encrypted: boolean,
  run: number,
  saltWord: number,
): void {
  words[0] = FRAME_MAGIC;
  words[1] = bodyBytes;
  putPosition(words, 2, position);
  putPosition(words, 4, synced);
  words[6] = (encrypted ? FRAME_ENCRYPTED : 0) | (run << RUN_SHIFT);
  words[7] = saltWord;
  checksum.begin();
  checksum.update(words, 0, 8);
  checksum.seal(recordSaltLo(position), recordSaltHi(position, saltWord));
  words[8] = checksum.sealedLo;
  words[9] = checksum.sealedHi;
}

/**
 * Reads the frame header at byte `at`.
 *
 * @param position the log position of that byte
 * @param end bytes from the start that may belong to it
 * @returns whether there is a valid one; `into` is filled then
 */
export function readFrameHeader(
  words: Int32Array,
  at: number,
  end: number,
  position: number,
  saltWord: number,
  into: FrameHeader,
): boolean {
  const w = at >>> 2;
  if (words[w] !== FRAME_MAGIC || at + FRAME_HEADER_BYTES > end) return false;
  if (getPosition(words, w + 2) !== position) return false;
  const bodyBytes = words[w + 1]!;
  if (bodyBytes < 0 || at + FRAME_HEADER_BYTES + bodyBytes > end) return false;
  checksum.begin();
  checksum.update(words, w, w + 8);
  checksum.seal(recordSaltLo(position), recordSaltHi(position, saltWord));
  if (words[w + 8] !== checksum.sealedLo || words[w + 9] !== checksum.sealedHi) return false;
  into.bodyBytes = bodyBytes;
  into.position = position;
  into.synced = getPosition(words, w + 4);
  into.encrypted = (words[w + 6]! & FRAME_ENCRYPTED) !== 0;
  into.run = (words[w + 6]! >>> RUN_SHIFT) & MAX_RUN;
  return true;
}

/** Key of a segment's frames. */
export function frameKey(master: Uint8Array, salt: Uint8Array, run: number): Uint8Array {
  return deriveKey(master, run === 0 ? 'log' : `log ${run}`, salt);
}

/** Nonce of the frame at a position. */
export function frameNonce(position: number): Uint8Array {
  const nonce = new Uint8Array(12);
  const words = new Int32Array(nonce.buffer);
  putPosition(words, 0, position);
  return nonce;
}
