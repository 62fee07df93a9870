/**
 * Snapshots in the old form, of nats-server up to 2.13 (jetstream-streams §9.2, "v1"): its files in a tar.
 *
 * ```
 *   meta.inf meta.sum             the stream's configuration; the request has it too
 *   msgs/<n>.idx                  up to 2.9: counts of the block, and which sequences in it were removed
 *   msgs/<n>.blk                  records (jetstream-storage §2.2), plain or compressed
 *   msgs/<n>.fss msgs/index.db    follow from the records
 *   obs/<consumer>/meta.inf       its configuration
 *   obs/<consumer>/o.dat          its state (jetstream-storage §2.4)
 * ```
 *
 * What comes out is what the present form has: entries of messages, and of consumers. Sizes are checked, and that they fit
 * each other. The hashes of records are not: the archive's own framing has checksums of all of it.
 */
import { latin1 } from '../base/latin1.ts';
import { wireText } from '../subject/wire-text.ts';
import { S2Decoder } from './s2.ts';
import { type ArchiveEntry, ArchiveError, CONSUMER_PREFIX } from './snapshot-archive.ts';
import { type TarFile, TarReader } from './snapshot-tar.ts';
import { MAX_RECORD_BYTES } from './store/limits.ts';

const RECORD_HEAD_BYTES = 22;
const HASH_BYTES = 8;
const HAS_HEADERS = 0x8000_0000;
/** Bit 63 and 62 of a sequence, as bits of its upper word. */
const ERASED = 0x8000_0000;
const TOMBSTONE = 0x4000_0000;
const COMPRESSED_MAGIC = 'cmp';
const S2_ALGORITHM = 1;
const MAX_BLOCK_BYTES = 128 * 1024 * 1024;
const INDEX_MAGIC = 22;
const STATE_MAGIC = 22;
const STATE_VERSION = 2;
const NO_BYTES = new Uint8Array(0);

/** Numbers of Go's `encoding/binary`, one after the other. */
class Varints {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  at: number;

  constructor(bytes: Uint8Array, from: number, what: string) {
    this.#bytes = bytes;
    this.at = from;
    this.#what = what;
  }

  #next(): bigint {
    let value = 0n;
    for (let shift = 0n; shift <= 63n; shift += 7n) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new ArchiveError(`snapshot has a malformed ${this.#what}`);
  }

  unsigned(): number {
    const value = this.#next();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ArchiveError(`snapshot has a malformed ${this.#what}`);
    return Number(value);
  }

  /** Zigzag. */
  signed(): bigint {
    const value = this.#next();
    return (value >> 1n) ^ -(value & 1n);
  }
}

/** Sequences that the index of a block says were removed, by 2.9 and before. */
function removedIn(content: Uint8Array): number[] {
  if (content[0] !== INDEX_MAGIC) throw new ArchiveError('snapshot has an unknown block index');
  const numbers = new Varints(content, 2, 'block index');
  // Messages and bytes.
  numbers.unsigned();
  numbers.unsigned();
  const first = numbers.unsigned();
  numbers.signed();
  numbers.unsigned();
  numbers.signed();
  const count = numbers.unsigned();
  if (count > content.length) throw new ArchiveError('snapshot has a malformed block index');
  numbers.at += HASH_BYTES;
  return Array.from({ length: count }, () => first + numbers.unsigned());
}

/** The bytes of a block that was compressed when it was closed; its last hash stays outside. */
function plainBlock(content: Uint8Array, name: string): Uint8Array {
  if (latin1(content, 0, Math.min(3, content.length)) !== COMPRESSED_MAGIC) return content;
  const numbers = new Varints(content, 4, `block ${name}`);
  const bytes = numbers.unsigned();
  if (content[3] !== S2_ALGORITHM || bytes > MAX_BLOCK_BYTES)
    throw new ArchiveError(`snapshot has an unknown compression in ${name}`);
  const hash = content.subarray(content.length - HASH_BYTES);
  const decoder = new S2Decoder();
  const plain = decoder.push(content.subarray(numbers.at, content.length - HASH_BYTES));
  if (!decoder.isComplete) throw new ArchiveError(`snapshot has a damaged block ${name}`);
  return Buffer.concat([plain, hash]);
}

interface BlockRecord {
  readonly sequence: number;
  /** Only says that the sequence has no message. */
  readonly gone: boolean;
  readonly entry: ArchiveEntry;
}

function* recordsOf(block: Uint8Array, name: string): Generator<BlockRecord> {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const damaged = () => new ArchiveError(`snapshot has a damaged record in ${name}`);
  for (let at = 0; at < block.length; ) {
    if (at + RECORD_HEAD_BYTES + HASH_BYTES > block.length) throw damaged();
    const lengthWord = view.getUint32(at, true);
    const length = (lengthWord & ~HAS_HEADERS) >>> 0;
    const end = at + length - HASH_BYTES;
    const upper = view.getUint32(at + 8, true);
    const marks = (upper & (ERASED | TOMBSTONE)) >>> 0;
    const sequence = (upper & ~(ERASED | TOMBSTONE)) * 0x1_0000_0000 + view.getUint32(at + 4, true);
    const subjectBytes = view.getUint16(at + 20, true);
    let body = at + RECORD_HEAD_BYTES + subjectBytes;
    const isSound =
      length >= RECORD_HEAD_BYTES + HASH_BYTES && length <= MAX_RECORD_BYTES && at + length <= block.length;
    if (!isSound || body > end || sequence === 0 || !Number.isSafeInteger(sequence)) throw damaged();
    let headers: Uint8Array = NO_BYTES;
    if ((lengthWord & HAS_HEADERS) !== 0 && marks === 0) {
      const headerBytes = body + 4 <= end ? view.getUint32(body, true) : Infinity;
      body += 4;
      if (body + headerBytes > end) throw damaged();
      headers = block.slice(body, body + headerBytes);
      body += headerBytes;
    }
    const subject = latin1(block, at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + subjectBytes);
    const timeNs = view.getBigInt64(at + 12, true);
    const payload = marks === 0 ? block.slice(body, end) : NO_BYTES;
    yield { sequence, gone: marks !== 0, entry: { name: subject, timeNs, sequence, headers, payload } };
    at += length;
  }
}

/** A consumer's `meta.inf` without what is no configuration. */
function consumerConfigJson(content: Uint8Array): string {
  try {
    const { Created: _created, Name: _name, ...config } = JSON.parse(Buffer.from(content).toString('utf8'));
    return JSON.stringify(config);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new ArchiveError('snapshot has a malformed consumer configuration');
  }
}

/** `o.dat` as JSON. Empty for a consumer that nothing happened to. */
function consumerStateJson(content: Uint8Array): string {
  if (content.length === 0) return '{}';
  if (content[0] !== STATE_MAGIC || content[1] !== STATE_VERSION)
    throw new ArchiveError('snapshot has a consumer state of an unknown version');
  const numbers = new Varints(content, 2, 'consumer state');
  const floor = { consumer_seq: numbers.unsigned(), stream_seq: numbers.unsigned() };
  const delivered = { consumer_seq: numbers.unsigned(), stream_seq: numbers.unsigned() };
  const counted = (): number => {
    const count = numbers.unsigned();
    if (count > content.length) throw new ArchiveError('snapshot has a malformed consumer state');
    return count;
  };
  const pending: string[] = [];
  const waiting = counted();
  const base = waiting > 0 ? numbers.signed() : 0n;
  for (let i = 0; i < waiting; i++) {
    const sequence = floor.stream_seq + numbers.unsigned();
    const consumerSeq = floor.consumer_seq + numbers.unsigned();
    const timeNs = (base - numbers.signed()) * 1_000_000_000n;
    pending.push(`"${sequence}":{"sequence":${consumerSeq},"timestamp":${timeNs}}`);
  }
  const redelivered: Record<string, number> = {};
  for (let left = counted(); left > 0; left--) {
    const sequence = floor.stream_seq + numbers.unsigned();
    redelivered[String(sequence)] = numbers.unsigned();
  }
  const members = JSON.stringify({ delivered, ack_floor: floor, redelivered });
  return `${members.slice(0, -1)},"pending":{${pending.join(',')}}}`;
}

/** What the restore does with what comes out. */
export interface LegacyTarget {
  restore(entry: ArchiveEntry): void;
  /** A sequence whose message was removed; it may have come already. @param timeNs of the message, or of its removal */
  remove(sequence: number, timeNs: bigint): void;
}

/** Takes a snapshot in the old form apart as it arrives. */
export class LegacySnapshot {
  readonly #tar = new TarReader();
  readonly #target: LegacyTarget;
  /** Removed sequences of the block that comes next. */
  #removed: ReadonlySet<number> = new Set();
  /** The consumer whose files are coming, in any order. */
  #consumer: { name: string; config: string; state: string } | null = null;

  constructor(target: LegacyTarget) {
    this.#target = target;
  }

  get ended(): boolean {
    return this.#tar.ended;
  }

  /** @throws ArchiveError, S2Error */
  push(bytes: Uint8Array): void {
    for (const file of this.#tar.push(bytes)) this.#file(file);
    if (this.ended) this.#endConsumer();
  }

  #file({ name, content }: TarFile): void {
    if (/^msgs\/\d+\.idx$/.test(name)) this.#removed = new Set(removedIn(content));
    else if (/^msgs\/\d+\.blk$/.test(name)) this.#block(name, content);
    const [, consumer, part] = /^obs\/([^/]+)\/(meta\.inf|o\.dat)$/.exec(name) ?? [];
    if (consumer === undefined) return;
    if (this.#consumer?.name !== consumer) this.#endConsumer();
    this.#consumer ??= { name: consumer, config: '', state: '{}' };
    if (part === 'meta.inf') this.#consumer.config = consumerConfigJson(content);
    else this.#consumer.state = consumerStateJson(content);
  }

  #block(name: string, content: Uint8Array): void {
    const removed = this.#removed;
    this.#removed = new Set();
    for (const { sequence, gone, entry } of recordsOf(plainBlock(content, name), name)) {
      if (gone || removed.has(sequence)) this.#target.remove(sequence, entry.timeNs);
      else this.#target.restore(entry);
    }
  }

  #endConsumer(): void {
    if (this.#consumer === null) return;
    const { name, config, state } = this.#consumer;
    this.#consumer = null;
    if (config === '') throw new ArchiveError(`snapshot has no configuration of consumer ${name}`);
    this.#target.restore({
      name: wireText(CONSUMER_PREFIX + name),
      timeNs: 0n,
      sequence: 0,
      headers: NO_BYTES,
      payload: Buffer.from(`{"config":${config},"state":${state}}`, 'utf8'),
    });
  }
}
