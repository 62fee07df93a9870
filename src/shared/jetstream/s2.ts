/**
 * The S2 framing of snapshots (jetstream-streams §9.2): a stream of chunks, each with a checksum of what it holds.
 *
 * ```
 *   ff 06 00 00 "S2sTwO"          stream identifier
 *   00 len(3) crc(4) block        compressed: uvarint of the plain length, then literals and copies
 *   01 len(3) crc(4) bytes        plain
 *   80..fe len(3) bytes           padding, index and the like: skipped
 * ```
 *
 * What comes in may be compressed, with the repeat codes S2 adds to Snappy, for nats-server compresses. What goes out is
 * plain chunks: every reader takes them, and a snapshot is bounded by the network or the disk it ends up on.
 */

/** Plain bytes of one chunk, at most. */
const CHUNK_BYTES = 64 * 1024;
/** Plain bytes a chunk of S2 may hold. */
const MAX_PLAIN_BYTES = 4 * 1024 * 1024;
const MAX_CHUNK_BYTES = MAX_PLAIN_BYTES + MAX_PLAIN_BYTES / 6 + 64;
const COMPRESSED = 0x00;
const PLAIN = 0x01;
const FIRST_SKIPPABLE = 0x80;
const IDENTIFIER = Buffer.from('\xff\x06\x00\x00S2sTwO', 'latin1');
const SNAPPY_IDENTIFIER = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1');

/** Why bytes are no S2 stream. */
export class S2Error extends Error {
  override readonly name = 'S2Error';
}

function corrupt(): S2Error {
  return new S2Error('s2: corrupt input');
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C, masked as Snappy's framing has it. */
export function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Frames bytes as plain chunks; with the identifier in front when they are the first. */
export function frame(bytes: Uint8Array, isFirst: boolean): Uint8Array {
  const parts: Uint8Array[] = isFirst ? [IDENTIFIER] : [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    const head = Buffer.alloc(8);
    head.writeUInt8(PLAIN, 0);
    head.writeUIntLE(chunk.length + 4, 1, 3);
    head.writeUInt32LE(maskedCrc(chunk), 4);
    parts.push(head, chunk);
  }
  return Buffer.concat(parts);
}

/** A little-endian number of up to four bytes, or an error beyond the end. */
function littleEndian(block: Uint8Array, at: number, bytes: number): number {
  if (at + bytes > block.length) throw corrupt();
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + block[at + i]!;
  return value;
}

/** Length and offset of a copy, and where the next element begins. */
interface Copy {
  length: number;
  /** 0: that of the copy before. */
  offset: number;
  next: number;
}

/** Reads a copy of one byte of offset; offset 0 is a repeat, with lengths in further bytes. */
function shortCopy(block: Uint8Array, at: number): Copy {
  const tag = block[at]!;
  const offset = ((tag & 0xe0) << 3) | littleEndian(block, at + 1, 1);
  const code = (tag >> 2) & 7;
  if (offset !== 0 || code < 5) return { length: code + 4, offset, next: at + 2 };
  const bytes = code - 4;
  const base = [8, 260, 65_540][code - 5]!;
  return { length: littleEndian(block, at + 2, bytes) + base, offset: 0, next: at + 2 + bytes };
}

function copyAt(block: Uint8Array, at: number): Copy {
  const tag = block[at]!;
  if ((tag & 3) === 1) return shortCopy(block, at);
  const bytes = (tag & 3) === 2 ? 2 : 4;
  return { length: (tag >> 2) + 1, offset: littleEndian(block, at + 1, bytes), next: at + 1 + bytes };
}

/** Where a literal's bytes begin and how many they are. */
function literalAt(block: Uint8Array, at: number): { start: number; length: number } {
  const code = block[at]! >> 2;
  if (code < 60) return { start: at + 1, length: code + 1 };
  const bytes = code - 59;
  return { start: at + 1 + bytes, length: littleEndian(block, at + 1, bytes) + 1 };
}

/** Decompresses one block. @throws S2Error */
export function decompress(block: Uint8Array): Uint8Array {
  let at = 0;
  let length = 0;
  for (let shift = 1; ; shift *= 128) {
    const byte = block[at++];
    if (byte === undefined || at > 5) throw corrupt();
    length += (byte & 0x7f) * shift;
    if (byte < 0x80) break;
  }
  if (length > MAX_PLAIN_BYTES) throw corrupt();
  const out = new Uint8Array(length);
  let size = 0;
  let lastOffset = 0;
  while (at < block.length) {
    if ((block[at]! & 3) === 0) {
      const literal = literalAt(block, at);
      at = literal.start + literal.length;
      if (at > block.length || size + literal.length > length) throw corrupt();
      out.set(block.subarray(literal.start, at), size);
      size += literal.length;
      continue;
    }
    const copy = copyAt(block, at);
    at = copy.next;
    if (copy.offset !== 0) lastOffset = copy.offset;
    if (lastOffset === 0 || lastOffset > size || size + copy.length > length) throw corrupt();
    for (const end = size + copy.length; size < end; size++) out[size] = out[size - lastOffset]!;
  }
  if (size !== length) throw corrupt();
  return out;
}

/** Takes a stream apart as it arrives. */
export class S2Decoder {
  #rest: Uint8Array = new Uint8Array(0);
  #begun = false;

  /** Plain bytes of the chunks that are complete with these. @throws S2Error */
  push(bytes: Uint8Array): Uint8Array {
    let input: Uint8Array = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const plain: Uint8Array[] = [];
    while (input.length >= 4) {
      const length = littleEndian(input, 1, 3);
      if (length > MAX_CHUNK_BYTES) throw corrupt();
      if (!this.#begun) this.#begin(input);
      if (input.length < 4 + length) break;
      const chunk = this.#chunk(input[0]!, input.subarray(4, 4 + length));
      if (chunk !== null) plain.push(chunk);
      input = input.subarray(4 + length);
    }
    this.#rest = input.slice();
    return Buffer.concat(plain);
  }

  /** Whether everything that arrived was whole chunks. */
  get isComplete(): boolean {
    return this.#begun && this.#rest.length === 0;
  }

  #begin(input: Uint8Array): void {
    const known = [IDENTIFIER, SNAPPY_IDENTIFIER].some((identifier) => {
      const shared = Math.min(identifier.length, input.length);
      return identifier.compare(input, 0, shared, 0, shared) === 0;
    });
    if (!known) throw corrupt();
    this.#begun = input.length >= IDENTIFIER.length;
  }

  #chunk(type: number, body: Uint8Array): Uint8Array | null {
    if (type >= FIRST_SKIPPABLE) return null;
    if ((type !== COMPRESSED && type !== PLAIN) || body.length < 4) throw corrupt();
    const block = body.subarray(4);
    const plain = type === PLAIN ? block.slice() : decompress(block);
    if (maskedCrc(plain) !== littleEndian(body, 0, 4)) throw new S2Error('s2: checksum mismatch');
    return plain;
  }
}
