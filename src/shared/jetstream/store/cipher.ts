import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';

/**
 * Encryption at rest: authenticated, with a key for each stream and each log segment.
 *
 * ```
 *   configured key ──HKDF──► master ─┬─HMAC(salt)──► key of a log segment; nonce: the frame's position
 *                                    └─wraps───────► random key of a stream; nonce: random, one for each extent
 * ```
 *
 * A log position is never written twice with the same key, for every start opens a fresh segment with a fresh salt.
 * When a tag does not fit, the plain text is delivered all the same, marked: the records inside have checksums of
 * their own, and one flipped bit should cost one record instead of everything that was sealed with it.
 */

export type CipherName = 'chacha20-poly1305' | 'aes-256-gcm';

export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
const KEY_BYTES = 32;

const CIPHER_CODES: readonly (CipherName | null)[] = [null, 'chacha20-poly1305', 'aes-256-gcm'];

/** Number of a cipher in file headers; 0 is none. */
export function cipherCode(cipher: CipherName | null): number {
  return CIPHER_CODES.indexOf(cipher);
}

/** @returns undefined for a number nobody assigned */
export function cipherOfCode(code: number): CipherName | null | undefined {
  return CIPHER_CODES[code];
}

/** The store's master key from what the user configured (any text). */
export function masterKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, 'natsd jetstream store', 'master', KEY_BYTES));
}

/** A key that belongs to a master key, a purpose and a salt. */
export function deriveKey(master: Uint8Array, purpose: string, salt: Uint8Array): Uint8Array {
  return createHmac('sha256', master).update(purpose).update(salt).digest();
}

/** Encrypts `source[start, end)` to `target` at `at`, followed by the tag. Both may be the same memory at the same place. */
export function encryptInto(
  cipher: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  const context =
    cipher === 'aes-256-gcm'
      ? createCipheriv('aes-256-gcm', key, nonce)
      : createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES });
  const body = context.update(source.subarray(start, end));
  context.final();
  target.set(body, at);
  target.set(context.getAuthTag(), at + body.length);
}

/**
 * Decrypts `source[start, end)`, tag included at its end, to `target` at `at`.
 *
 * @returns whether the tag fits; the plain text is written in either case
 */
export function decryptInto(
  cipher: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): boolean {
  const context =
    cipher === 'aes-256-gcm'
      ? createDecipheriv('aes-256-gcm', key, nonce)
      : createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES });
  context.setAuthTag(source.slice(end - TAG_BYTES, end));
  target.set(context.update(source.subarray(start, end - TAG_BYTES)), at);
  try {
    context.final();
    return true;
  } catch {
    // The only thing that `final` refuses is the tag.
    return false;
  }
}

/** Wraps a stream's key: nonce, cipher text, tag. */
export function wrapKey(
  cipher: CipherName,
  master: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): Uint8Array {
  const wrapped = new Uint8Array(NONCE_BYTES + KEY_BYTES + TAG_BYTES);
  wrapped.set(nonce, 0);
  encryptInto(cipher, master, nonce, key, 0, KEY_BYTES, wrapped, NONCE_BYTES);
  return wrapped;
}

/** @returns the key, or null when it was wrapped with another master key */
export function unwrapKey(cipher: CipherName, master: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  if (wrapped.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) return null;
  const key = new Uint8Array(KEY_BYTES);
  const nonce = wrapped.slice(0, NONCE_BYTES);
  return decryptInto(cipher, master, nonce, wrapped, NONCE_BYTES, wrapped.length, key, 0) ? key : null;
}

/** How the bytes of one stream's files are protected. */
export interface StreamCipher {
  readonly cipher: CipherName;
  readonly key: Uint8Array;
  /** Fresh random bytes. */
  readonly random: (bytes: number) => Uint8Array;
}

/** A fresh key for a stream's files, open and wrapped; none without a cipher. */
export function newStreamKey(
  cipher: CipherName | null,
  master: Uint8Array | undefined,
  random: (bytes: number) => Uint8Array,
): { cipher: StreamCipher | null; wrapped: Uint8Array } {
  if (cipher === null || master === undefined) return { cipher: null, wrapped: new Uint8Array(0) };
  const key = random(KEY_BYTES);
  return { cipher: { cipher, key, random }, wrapped: wrapKey(cipher, master, random(NONCE_BYTES), key) };
}
