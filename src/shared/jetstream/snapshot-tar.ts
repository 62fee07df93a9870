/**
 * The tar of a snapshot in the old form (jetstream-streams §9.2, "v1"), taken apart as it arrives.
 *
 * ```
 *   header (512): name 0..100, size octal 124..136, checksum 148..156, type 156, prefix 345..500
 *   content, padded to 512
 *   …
 *   512 zero bytes: the end
 * ```
 *
 * A pax header ("x") in front of a file names it where the name doesn't fit, and says more that nobody here needs.
 */
import { ArchiveError } from './snapshot-archive.ts';

const BLOCK_BYTES = 512;
/** Largest file: nats-server's largest message block holds 64 MB before one more message of 64 MB. */
const MAX_FILE_BYTES = 128 * 1024 * 1024;
const MAX_PAX_BYTES = 64 * 1024;
const FILE = 0x30;
const OLD_FILE = 0;
const PAX = 0x78;
const GLOBAL_PAX = 0x67;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

/** One file of the tar. */
export interface TarFile {
  readonly name: string;
  readonly content: Uint8Array;
}

interface Head {
  readonly type: number;
  readonly name: string;
  readonly bytes: number;
}

function text(block: Uint8Array, from: number, bytes: number): string {
  const field = Buffer.from(block.buffer, block.byteOffset + from, bytes);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? bytes : end);
}

function octal(block: Uint8Array, from: number, bytes: number): number {
  const digits = text(block, from, bytes).trim();
  if (!/^[0-7]{1,12}$/.test(digits)) throw new ArchiveError('snapshot has a malformed tar header');
  return Number.parseInt(digits, 8);
}

function readHead(block: Uint8Array): Head {
  let sum = CHECKSUM_BYTES * 0x20;
  for (let i = 0; i < BLOCK_BYTES; i++)
    if (i < CHECKSUM_AT || i >= CHECKSUM_AT + CHECKSUM_BYTES) sum += block[i]!;
  if (octal(block, CHECKSUM_AT, CHECKSUM_BYTES) !== sum)
    throw new ArchiveError('snapshot has a tar header with a wrong checksum');
  const prefix = text(block, 345, 155);
  const name = text(block, 0, 100);
  return {
    type: block[156]!,
    name: prefix === '' ? name : `${prefix}/${name}`,
    bytes: octal(block, 124, 12),
  };
}

/** The path a pax header gives: records of `<length> <key>=<value>\n`. */
function paxPath(content: Uint8Array): string | null {
  const records = Buffer.from(content);
  for (let at = 0; at < records.length; ) {
    const space = records.indexOf(0x20, at);
    const length = Number(records.toString('latin1', at, Math.max(at, space)));
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > records.length)
      throw new ArchiveError('snapshot has a malformed pax header');
    const record = records.toString('utf8', space + 1, at + length - 1);
    if (record.startsWith('path=')) return record.slice('path='.length);
    at += length;
  }
  return null;
}

/** Whether an archive may be a tar. @param head its first bytes, 8 at least */
export function isTar(head: Uint8Array): boolean {
  return /^(PaxHeaders|meta\.|msgs\/|obs\/|\.\/)/.test(Buffer.from(head.subarray(0, 16)).toString('latin1'));
}

export class TarReader {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #wanted = BLOCK_BYTES;
  #head: Head | null = null;
  #path: string | null = null;
  /** The end was read. */
  ended = false;

  /** Files that are complete with these bytes. @throws ArchiveError */
  push(bytes: Uint8Array): TarFile[] {
    const files: TarFile[] = [];
    if (this.ended) return files;
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    while (!this.ended && this.#bytes >= this.#wanted) {
      const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
      const taken = all.subarray(0, this.#wanted);
      this.#parts = [all.subarray(this.#wanted)];
      this.#bytes = all.length - this.#wanted;
      const file = this.#head === null ? this.#begin(taken) : this.#complete(this.#head, taken);
      if (file !== null) files.push(file);
    }
    return files;
  }

  #begin(block: Uint8Array): TarFile | null {
    if (block.every((byte) => byte === 0)) {
      this.ended = true;
      return null;
    }
    const head = readHead(block);
    const isPax = head.type === PAX || head.type === GLOBAL_PAX;
    if (head.bytes > (isPax ? MAX_PAX_BYTES : MAX_FILE_BYTES))
      throw new ArchiveError(`snapshot has a file that is too large: ${head.name}`);
    if (head.bytes === 0) return this.#complete(head, block.subarray(0, 0));
    this.#head = head;
    this.#wanted = Math.ceil(head.bytes / BLOCK_BYTES) * BLOCK_BYTES;
    return null;
  }

  #complete(head: Head, padded: Uint8Array): TarFile | null {
    this.#head = null;
    this.#wanted = BLOCK_BYTES;
    const content = padded.subarray(0, head.bytes);
    if (head.type === PAX) this.#path = paxPath(content);
    if (head.type !== FILE && head.type !== OLD_FILE) return null;
    const name = (this.#path ?? head.name).replace(/^\.\//, '');
    this.#path = null;
    return { name, content };
  }
}
