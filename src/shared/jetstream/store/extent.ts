import { inflateRawSync } from 'node:zlib';
import { Checksum, checksumOf } from './checksum.ts';
import { decryptInto, encryptInto, NONCE_BYTES, type StreamCipher, TAG_BYTES } from './cipher.ts';
import { WordBuffer } from './record.ts';

/**
 * An extent: some whole records of a block, stored compressed, encrypted or both. The layout is drawn in block-file.ts.
 *
 * The header is there twice, in front and behind, for without it the bytes between can neither be decrypted nor measured. A
 * flipped bit in encrypted bytes costs the record it is in; in compressed ones it costs the extent.
 */

export const EXTENT_HEADER_BYTES = 48;
const EXTENT_MAGIC = 0x5458454e;
const COMPRESSED = 1;
const ENCRYPTED = 2;
const EXTENT_SALT = 0x45585431;
const HEADER_WORDS = EXTENT_HEADER_BYTES / 4;

const checksum = new Checksum();

function seal(words: Int32Array, w: number): void {
  checksum.begin();
  checksum.update(words, w, w + 8);
  checksum.update(words, w + 10, w + HEADER_WORDS);
  checksum.seal(EXTENT_SALT, 1);
}

/** Bytes of the extent whose header lies at word `w`, both headers included. */
export function extentBytes(words: Int32Array, w: number): number {
  return 2 * EXTENT_HEADER_BYTES + ((words[w + 1]! + 7) & ~7);
}

/** Raw bytes the extent at word `w` stands for. */
export function extentRawBytes(words: Int32Array, w: number): number {
  return words[w + 2]!;
}

/** Whether a sound header of the extent that begins at logical offset `start` lies at word `w`. */
export function isExtentHeader(words: Int32Array, w: number, start: number): boolean {
  if (w + HEADER_WORDS > words.length || words[w] !== EXTENT_MAGIC || words[w + 3] !== start) return false;
  if (words[w + 1]! < 0 || words[w + 2]! < 0) return false;
  seal(words, w);
  return words[w + 8] === checksum.sealedLo && words[w + 9] === checksum.sealedHi;
}

/**
 * Encodes `body[0, length)`.
 *
 * @param packed the same bytes deflated, or null
 * @param start logical offset in the block
 */
export function encodeExtent(
  body: Uint8Array,
  packed: Uint8Array | null,
  start: number,
  cipher: StreamCipher | null,
): Uint8Array {
  let flags = 0;
  let inner = body;
  if (packed !== null && packed.length < body.length) {
    inner = packed;
    flags |= COMPRESSED;
  }
  const stored = inner.length + (cipher === null ? 0 : TAG_BYTES);
  const extent = new WordBuffer(2 * EXTENT_HEADER_BYTES + ((stored + 7) & ~7));
  const { words, bytes } = extent;
  if (cipher === null) bytes.set(inner, EXTENT_HEADER_BYTES);
  else {
    flags |= ENCRYPTED;
    const nonce = cipher.random(NONCE_BYTES);
    bytes.set(nonce, 20);
    encryptInto(cipher.cipher, cipher.key, nonce, inner, 0, inner.length, bytes, EXTENT_HEADER_BYTES);
  }
  words[0] = EXTENT_MAGIC;
  words[1] = stored;
  words[2] = body.length;
  words[3] = start;
  words[4] = flags;
  const [lo, hi] = checksumOf(bytes.subarray(EXTENT_HEADER_BYTES), stored, start);
  words[10] = lo;
  words[11] = hi;
  seal(words, 0);
  words[8] = checksum.sealedLo;
  words[9] = checksum.sealedHi;
  bytes.copyWithin(bytes.length - EXTENT_HEADER_BYTES, 0, EXTENT_HEADER_BYTES);
  return bytes;
}

/**
 * Decodes the extent that fills `extent`.
 *
 * @param start logical offset it should begin at
 * @returns the raw bytes; records in them may be damaged. Null: nothing can be had of it
 */
export function decodeExtent(
  extent: WordBuffer,
  start: number,
  rawBytes: number,
  cipher: StreamCipher | null,
): WordBuffer | null {
  const { words, bytes } = extent;
  let w = 0;
  if (!isExtentHeader(words, 0, start)) {
    w = words.length - HEADER_WORDS;
    if (!isExtentHeader(words, w, start)) return null;
  }
  const stored = words[w + 1]!;
  const flags = words[w + 4]!;
  if (2 * EXTENT_HEADER_BYTES + stored > bytes.length || words[w + 2] !== rawBytes) return null;
  const [lo, hi] = checksumOf(bytes.subarray(EXTENT_HEADER_BYTES), stored, start);
  const sound = lo === words[w + 10] && hi === words[w + 11];
  let body = bytes.subarray(EXTENT_HEADER_BYTES, EXTENT_HEADER_BYTES + stored);
  if ((flags & ENCRYPTED) !== 0) {
    if (cipher === null || stored < TAG_BYTES) return null;
    const plain = new Uint8Array(stored - TAG_BYTES);
    const nonce = bytes.slice(w * 4 + 20, w * 4 + 20 + NONCE_BYTES);
    // Records have checksums of their own: one that is damaged inside is told there.
    decryptInto(cipher.cipher, cipher.key, nonce, body, 0, stored, plain, 0);
    body = plain;
  }
  if ((flags & COMPRESSED) !== 0) {
    if (!sound) return null;
    body = inflateRawSync(body, { maxOutputLength: rawBytes });
  }
  if (body.length !== rawBytes) return null;
  const raw = new WordBuffer(rawBytes);
  raw.bytes.set(body);
  return raw;
}
