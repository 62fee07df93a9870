import { checksumOf } from './checksum.ts';
import { type CipherName, decryptInto, encryptInto, NONCE_BYTES, TAG_BYTES } from './cipher.ts';
import { type Disk, DiskError, type DiskFile } from './disk.ts';
import { WordBuffer } from './record.ts';

/**
 * The envelope of metadata files: a body that is whole or nothing, in two copies of the same generation (`x.a`, `x.b`).
 *
 * ```
 *  0  u32 magic    u32 version
 *  8  u32 body bytes as stored    u32 1 encrypted
 * 16  f64 generation
 * 24  u64 checksum of 0 … 24 and the body
 * 32  body: plain, or 12 bytes nonce, cipher text, tag
 * ```
 *
 * Copy b is written after copy a was synced, so one of them is always whole, and a bit flipped in one is repaired by the other.
 */

const ENVELOPE_VERSION = 1;
const HEADER_BYTES = 32;
const ENVELOPE_SALT = 0x454e5631;

export interface EnvelopeCipher {
  readonly cipher: CipherName;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
}

/** @param cipher null: the body is stored as it is */
export function encodeEnvelope(
  magic: number,
  generation: number,
  body: Uint8Array,
  cipher: EnvelopeCipher | null,
): Uint8Array {
  const stored = cipher === null ? body.length : NONCE_BYTES + body.length + TAG_BYTES;
  const buffer = new WordBuffer(HEADER_BYTES + stored);
  const { words, bytes } = buffer;
  words[0] = magic;
  words[1] = ENVELOPE_VERSION;
  words[2] = stored;
  words[3] = cipher === null ? 0 : 1;
  new Float64Array(bytes.buffer, 16, 1)[0] = generation;
  if (cipher === null) bytes.set(body, HEADER_BYTES);
  else {
    bytes.set(cipher.nonce, HEADER_BYTES);
    const at = HEADER_BYTES + NONCE_BYTES;
    encryptInto(cipher.cipher, cipher.key, cipher.nonce, body, 0, body.length, bytes, at);
  }
  const [lo, hi] = checksumOf(bytes, bytes.length, ENVELOPE_SALT);
  words[6] = lo;
  words[7] = hi;
  return bytes;
}

/** One copy as read: its body is still encrypted when `encrypted` says so. */
export interface Envelope {
  readonly generation: number;
  readonly encrypted: boolean;
  readonly body: Uint8Array;
}

export type EnvelopeState = 'missing' | 'damaged' | 'version' | Envelope;

/** Reads one copy. `version`: right magic, another version. */
export function readEnvelope(disk: Disk, path: string, magic: number): EnvelopeState {
  let buffer: WordBuffer;
  let size: number;
  try {
    const file = disk.open(path, false);
    try {
      size = file.size();
      buffer = new WordBuffer(size);
      if (file.read(buffer.bytes, 0, size, 0) < size) return 'damaged';
    } finally {
      file.close();
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return error.code === 'not_found' ? 'missing' : 'damaged';
  }
  const { words, bytes } = buffer;
  if (size < HEADER_BYTES || words[0] !== magic) return 'damaged';
  const stored = words[2]!;
  if (stored < 0 || HEADER_BYTES + stored > size)
    return words[1] === ENVELOPE_VERSION ? 'damaged' : 'version';
  const [lo, hi] = [words[6]!, words[7]!];
  words[6] = 0;
  words[7] = 0;
  const length = (HEADER_BYTES + stored + 7) & ~7;
  bytes.fill(0, HEADER_BYTES + stored, length);
  const sum = checksumOf(bytes, length, ENVELOPE_SALT);
  const right = sum[0] === lo && sum[1] === hi;
  if (words[1] !== ENVELOPE_VERSION) return right ? 'version' : 'damaged';
  if (!right) return 'damaged';
  const generation = new Float64Array(bytes.buffer, 16, 1)[0]!;
  return { generation, encrypted: words[3] === 1, body: bytes.slice(HEADER_BYTES, HEADER_BYTES + stored) };
}

/** Decrypts an envelope's body. @returns null when the key is another one */
export function openBody(envelope: Envelope, cipher: CipherName, key: Uint8Array): Uint8Array | null {
  const { body } = envelope;
  if (body.length < NONCE_BYTES + TAG_BYTES) return null;
  const plain = new Uint8Array(body.length - NONCE_BYTES - TAG_BYTES);
  const nonce = body.slice(0, NONCE_BYTES);
  return decryptInto(cipher, key, nonce, body, NONCE_BYTES, body.length, plain, 0) ? plain : null;
}

/** Writes one copy in place; the caller syncs. Throws `DiskError`. @returns the open file */
export function writeEnvelope(disk: Disk, path: string, bytes: Uint8Array): DiskFile {
  const file = disk.open(path, true);
  try {
    file.write(bytes, 0, bytes.length, 0);
    if (file.size() > bytes.length) file.truncate(bytes.length);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/** Builds a body out of numbers, texts and bytes. */
export class BodyWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  number(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  bytes(value: Uint8Array): void {
    this.number(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** A latin1 or other text. */
  text(value: string): void {
    this.bytes(new TextEncoder().encode(value));
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + bytes));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Reads what `BodyWriter` wrote; throws `RangeError` when the body ends early, which a valid checksum rules out. */
export class BodyReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Whether everything was read. */
  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    const value = this.#view.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  bytes(): Uint8Array {
    const length = this.number();
    const value = this.#bytes.slice(this.#at, this.#at + length);
    if (value.length !== length) throw new RangeError('the body ends early');
    this.#at += length;
    return value;
  }

  text(): string {
    return new TextDecoder().decode(this.bytes());
  }
}
