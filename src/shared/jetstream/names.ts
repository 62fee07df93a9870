/** Names of streams and consumers, and the short hashes JetStream makes names from (jetstream-api §1.1, §6). */
import { createHash } from 'node:crypto';

const FORBIDDEN = /[ \t\r\n\f.*>\\/]/;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Whether a text may name a stream or a consumer; its length is another matter. */
export function isValidAssetName(name: string): boolean {
  return name !== '' && !FORBIDDEN.test(name);
}

/** Eight characters that stand for a longer name: of an account in ack subjects, of an API prefix in source headers. */
export function shortHash(text: string): string {
  const digest = createHash('sha256').update(text, 'utf8').digest();
  let hash = '';
  for (let i = 0; i < 8; i++) hash += DIGITS[digest[i]! % DIGITS.length];
  return hash;
}

/**
 * A fresh identifier in the digits of nats-server's ids.
 *
 * @param random uniform in [0, 1)
 */
export function randomId(length: number, random: () => number): string {
  let id = '';
  for (let i = 0; i < length; i++) id += DIGITS[Math.floor(random() * DIGITS.length)];
  return id;
}
