/**
 * Text form of NATS keys (auth-accounts §1.1): base32 without padding of a prefix byte, 32 bytes of key and their
 * CRC16, so that the first letter tells the kind.
 */

/** Prefix bytes of public keys. */
export const NKEY_PREFIX = {
  account: 0,
  cluster: 2 << 3,
  server: 13 << 3,
  operator: 14 << 3,
  user: 20 << 3,
  curve: 23 << 3,
} as const;

export type NkeyKind = keyof typeof NKEY_PREFIX;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const RAW_BYTES = 32;
const ENCODED_CHARS = 56;

const KINDS: ReadonlyMap<number, NkeyKind> = new Map(
  (Object.keys(NKEY_PREFIX) as NkeyKind[]).map((kind) => [NKEY_PREFIX[kind], kind]),
);

/** CRC16 with the polynomial 0x1021 and nothing inverted (XMODEM). */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let pending = 0;
  let bits = 0;
  for (const byte of bytes) {
    pending = ((pending << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(pending >> bits) & 31];
    }
  }
  return bits === 0 ? text : text + ALPHABET[(pending << (5 - bits)) & 31];
}

/** Decodes base32 without padding; null on a foreign character or bits left over that are not zero. */
function decodeBase32(text: string): Uint8Array | null {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let at = 0;
  let pending = 0;
  let bits = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value === -1) return null;
    pending = ((pending << 5) | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = (pending >> bits) & 0xff;
  }
  return (pending & ((1 << bits) - 1)) === 0 ? bytes : null;
}

/**
 * The text of a public key, 56 characters.
 *
 * @param raw 32 bytes: the public key, or for a server id without key pair any random bytes.
 */
export function encodeNkey(kind: NkeyKind, raw: Uint8Array): string {
  if (raw.length !== RAW_BYTES) throw new RangeError(`nkey: ${raw.length} bytes instead of ${RAW_BYTES}`);
  const bytes = new Uint8Array(1 + RAW_BYTES + 2);
  bytes[0] = NKEY_PREFIX[kind];
  bytes.set(raw, 1);
  const crc = crc16(bytes.subarray(0, 1 + RAW_BYTES));
  bytes[1 + RAW_BYTES] = crc & 0xff;
  bytes[2 + RAW_BYTES] = crc >> 8;
  return encodeBase32(bytes);
}

/** Kind and raw bytes of a public key's text; null when it is none (seeds and private keys included). */
export function decodeNkey(text: string): { kind: NkeyKind; raw: Uint8Array } | null {
  if (text.length !== ENCODED_CHARS) return null;
  const bytes = decodeBase32(text);
  if (bytes === null) return null;
  const crc = bytes[1 + RAW_BYTES]! | (bytes[2 + RAW_BYTES]! << 8);
  const kind = KINDS.get(bytes[0]!);
  if (kind === undefined || crc !== crc16(bytes.subarray(0, 1 + RAW_BYTES))) return null;
  return { kind, raw: bytes.slice(1, 1 + RAW_BYTES) };
}

/** Whether the text is a public key of the kind. */
export function isNkey(kind: NkeyKind, text: string): boolean {
  return decodeNkey(text)?.kind === kind;
}
