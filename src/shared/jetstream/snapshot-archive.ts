/**
 * The archive inside a snapshot (jetstream-streams §9.2, "v2"): a magic, entries, and an entry without a name.
 *
 * ```
 *   "NATSARC1"
 *   entry: uvarint name length, varint time ns, uvarint sequence, uvarint header size, uvarint payload size,
 *          name, headers, payload
 *     state.json          StreamState
 *     consumers/<name>    {"config":…,"state":…}
 *     <subject>           a message, by ascending sequence
 *     (empty)             the end
 * ```
 *
 * The format does not depend on how either side stores messages.
 */
import { MAX_RECORD_BYTES } from './limits.ts';

export const ARCHIVE_MAGIC: Uint8Array = Buffer.from('NATSARC1', 'latin1');
export const STATE_ENTRY = 'state.json';
export const CONSUMER_PREFIX = 'consumers/';

/** One entry; `name` is latin1. */
export interface ArchiveEntry {
  readonly name: string;
  readonly timeNs: bigint;
  readonly sequence: number;
  readonly headers: Uint8Array;
  readonly payload: Uint8Array;
}

/** Why bytes are no archive. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

function uvarint(value: bigint, into: number[]): void {
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) into.push(Number(rest & 127n) | 128);
  into.push(Number(rest));
}

export function encodeEntry(entry: ArchiveEntry): Uint8Array {
  const head: number[] = [];
  uvarint(BigInt(entry.name.length), head);
  uvarint(BigInt.asUintN(64, (entry.timeNs << 1n) ^ (entry.timeNs >> 63n)), head);
  uvarint(BigInt(entry.sequence), head);
  uvarint(BigInt(entry.headers.length), head);
  uvarint(BigInt(entry.payload.length), head);
  return Buffer.concat([
    Uint8Array.from(head),
    Buffer.from(entry.name, 'latin1'),
    entry.headers,
    entry.payload,
  ]);
}

const NO_BYTES = new Uint8Array(0);

/** The entry that ends an archive. */
export function endEntry(): Uint8Array {
  return encodeEntry({ name: '', timeNs: 0n, sequence: 0, headers: NO_BYTES, payload: NO_BYTES });
}

/** Takes an archive apart as it arrives. */
export class ArchiveReader {
  #rest: Uint8Array = NO_BYTES;
  #at = 0;
  #begun = false;
  /** The end was read. */
  ended = false;

  /** Entries that are complete with these bytes. @throws ArchiveError */
  push(bytes: Uint8Array): ArchiveEntry[] {
    this.#rest = Buffer.concat([this.#rest.subarray(this.#at), bytes]);
    this.#at = 0;
    if (!this.#begun && !this.#begin()) return [];
    const entries: ArchiveEntry[] = [];
    for (let entry = this.#next(); entry !== null; entry = this.#next()) {
      if (entry.name === '') {
        this.ended = true;
        break;
      }
      entries.push(entry);
    }
    return entries;
  }

  #begin(): boolean {
    if (this.#rest.length < ARCHIVE_MAGIC.length) return false;
    if (Buffer.compare(this.#rest.subarray(0, ARCHIVE_MAGIC.length), ARCHIVE_MAGIC) !== 0)
      throw new ArchiveError('unknown snapshot format');
    this.#at = ARCHIVE_MAGIC.length;
    this.#begun = true;
    return true;
  }

  /** The entry at the position, or null when it is not all there. */
  #next(): ArchiveEntry | null {
    if (this.ended) return null;
    const start = this.#at;
    const fields: bigint[] = [];
    for (let i = 0; i < 5; i++) {
      const field = this.#uvarint();
      if (field === null) {
        this.#at = start;
        return null;
      }
      fields.push(field);
    }
    const [nameBytes, time, sequence, headerBytes, payloadBytes] = fields as [
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    const size = nameBytes + headerBytes + payloadBytes;
    if (size > BigInt(MAX_RECORD_BYTES) || sequence > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ArchiveError('snapshot entry is too large');
    if (this.#rest.length - this.#at < Number(size)) {
      this.#at = start;
      return null;
    }
    const name = this.#take(Number(nameBytes));
    return {
      name: Buffer.from(name).toString('latin1'),
      timeNs: (time >> 1n) ^ -(time & 1n),
      sequence: Number(sequence),
      headers: this.#take(Number(headerBytes)),
      payload: this.#take(Number(payloadBytes)),
    };
  }

  #take(bytes: number): Uint8Array {
    const taken = this.#rest.slice(this.#at, this.#at + bytes);
    this.#at += bytes;
    return taken;
  }

  #uvarint(): bigint | null {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#rest[this.#at];
      if (byte === undefined) return null;
      if (shift > 63n) throw new ArchiveError('snapshot entry is malformed');
      this.#at++;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  }
}
