import { copyWords } from '../base/copy-words.ts';
import { latin1Bytes } from '../base/latin1.ts';
import { WORD_SLACK_BYTES } from '../base/limits.ts';
import { MessageFrame } from '../base/message-frame.ts';
import { sizesBytes, writeLineEnd, writeSizes } from '../base/message-sizes.ts';

/**
 * Answers to direct gets of last messages (`$JS.API.DIRECT.GET.<stream>.<subject>`), in memory that all threads share: a shard
 * that finds one answers at once, without the two changes of threads that asking the persistence thread costs.
 *
 * Problem. What is read must be what the persistence thread would say at that moment: a client that has seen its put
 * acknowledged reads it. So nobody but that thread writes here; it puts an answer in when it has given it, and takes it out
 * when the subject's last message changes, before anybody is told of the change.
 *
 * ```
 *   epoch │ slot 0 │ slot 1 │ …      the slot of an answer is that of its key's hash; the later one takes the place
 *
 *   slot: version │ epoch │ hash │ account │ key bytes │ header bytes │ total bytes │ tail bytes │ key … │ tail …
 *         key:  <stream>.<subject>          tail: <header bytes> <total bytes> CRLF headers payload CRLF
 * ```
 *
 * A slot is a sequence lock: its version is odd while there is nothing to read. A reader copies the tail and believes it if
 * the version is the same as before; it looks the second time with a read-modify-write, which no load may pass. An answer
 * of an earlier epoch is void: so a whole stream is forgotten at once, with all others.
 *
 * Rejected: a lock (a shard must not wait for the persistence thread); reading the store itself from a shard (its indexes change
 * with every message).
 */

const SLOTS = 8192;
const SLOT_SHIFT = 19;
const SLOT_BYTES = 1024;
const SLOT_WORDS = SLOT_BYTES / 4;
/** Words in front of the slots; the epoch is the first one. */
const FIRST_WORD = 32;

const VERSION = 0;
const EPOCH = 1;
const HASH = 2;
const ACCOUNT = 3;
const KEY_BYTES = 4;
const HEADER_BYTES = 5;
const TOTAL_BYTES = 6;
const TAIL_BYTES = 7;
const FIELDS_BYTES = 32;

const HASH_FACTOR = 0x01000193;
const SLOT_FACTOR = 0x9e3779b1;

/** `$JS.API.DIRECT.GET.` */
export const DIRECT_GET_PREFIX = '$JS.API.DIRECT.GET.';

export function createDirectAnswers(): SharedArrayBuffer {
  return new SharedArrayBuffer(FIRST_WORD * 4 + SLOTS * SLOT_BYTES + WORD_SLACK_BYTES);
}

function hashInto(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, HASH_FACTOR);
  return hash;
}

/** First word of the slot for a key. */
function slotOf(hash: number): number {
  return FIRST_WORD + (Math.imul(hash, SLOT_FACTOR) >>> SLOT_SHIFT) * SLOT_WORDS;
}

/** The name of a stream with its account: what all its keys have in common. */
export class DirectStream {
  readonly account: number;
  /** `<stream>.` */
  readonly prefix: Uint8Array;
  readonly hash: number;

  /** @param name latin1, as in subjects */
  constructor(account: number, name: string) {
    this.account = account;
    this.prefix = latin1Bytes(`${name}.`);
    this.hash = hashInto(account, this.prefix, 0, this.prefix.length);
  }
}

/** The persistence thread's end. */
export class DirectAnswerWriter {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, FIRST_WORD + SLOTS * SLOT_WORDS);
    this.#bytes = new Uint8Array(memory);
  }

  /** Keeps the answer for the subject `bytes[start, end)`, if it is short enough. */
  put(
    stream: DirectStream,
    bytes: Uint8Array,
    start: number,
    end: number,
    headers: Uint8Array,
    payload: Uint8Array,
  ): void {
    const total = headers.length + payload.length;
    const keyBytes = stream.prefix.length + end - start;
    const tailBytes = sizesBytes(headers.length, total) + total + 2;
    if (FIELDS_BYTES + keyBytes + tailBytes > SLOT_BYTES || headers.length === 0) return;
    const hash = hashInto(stream.hash, bytes, start, end);
    const slot = slotOf(hash);
    const words = this.#words;
    const version = this.#close(slot);
    words[slot + EPOCH] = words[0]!;
    words[slot + HASH] = hash;
    words[slot + ACCOUNT] = stream.account;
    words[slot + KEY_BYTES] = keyBytes;
    words[slot + HEADER_BYTES] = headers.length;
    words[slot + TOTAL_BYTES] = total;
    words[slot + TAIL_BYTES] = tailBytes;
    const target = this.#bytes;
    let at = slot * 4 + FIELDS_BYTES;
    target.set(stream.prefix, at);
    at += stream.prefix.length;
    for (let i = start; i < end; i++) target[at++] = bytes[i]!;
    at = writeSizes(target, at, headers.length, total);
    target.set(headers, at);
    target.set(payload, at + headers.length);
    writeLineEnd(target, at + total);
    Atomics.store(words, slot + VERSION, (version + 1) | 0);
  }

  /** The last message of the subject `bytes[start, end)` is another one now, or gone. */
  drop(stream: DirectStream, bytes: Uint8Array, start: number, end: number): void {
    const hash = hashInto(stream.hash, bytes, start, end);
    const slot = slotOf(hash);
    if (this.#words[slot + HASH] === hash) this.#close(slot);
  }

  /** Nothing is good any more. */
  clear(): void {
    Atomics.add(this.#words, 0, 1);
  }

  /** Makes a slot unreadable. @returns its version, which is odd */
  #close(slot: number): number {
    const version = this.#words[slot + VERSION]! | 1;
    Atomics.store(this.#words, slot + VERSION, version);
    return version;
  }
}

/** A shard's end. */
export class DirectAnswerReader {
  /** The answer that was found, but for its subject: good until the next call. */
  readonly frame = new MessageFrame();
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #view: DataView<SharedArrayBuffer>;
  readonly #copy = new Uint8Array(SLOT_BYTES + WORD_SLACK_BYTES);
  readonly #copyView = new DataView(this.#copy.buffer);

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, FIRST_WORD + SLOTS * SLOT_WORDS);
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
  }

  /**
   * Looks for the answer to a request for `bytes[start, end)`, `<stream>.<subject>`. It is in `frame` then.
   *
   * @returns false when there is none
   */
  find(account: number, bytes: Uint8Array, start: number, end: number): boolean {
    const words = this.#words;
    const hash = hashInto(account, bytes, start, end);
    const slot = slotOf(hash);
    const version = Atomics.load(words, slot + VERSION);
    if ((version & 1) === 1 || version === 0 || words[slot + HASH] !== hash) return false;
    if (words[slot + ACCOUNT] !== account || words[slot + KEY_BYTES] !== end - start) return false;
    if (words[slot + EPOCH] !== Atomics.load(words, 0)) return false;
    let at = slot * 4 + FIELDS_BYTES;
    for (let i = start; i < end; i++) if (this.#bytes[at++] !== bytes[i]) return false;
    const tailBytes = Math.min(words[slot + TAIL_BYTES]!, SLOT_BYTES);
    copyWords(this.#copyView, 0, this.#view, at, tailBytes);
    const headerBytes = words[slot + HEADER_BYTES]!;
    const totalBytes = words[slot + TOTAL_BYTES]!;
    if (Atomics.add(words, slot + VERSION, 0) !== version) return false;
    const { frame } = this;
    frame.bytes = this.#copy;
    frame.view = this.#copyView;
    frame.tailStart = 0;
    frame.tailEnd = tailBytes;
    frame.shownBytes = 0;
    frame.replyBytes = 0;
    frame.headerBytes = headerBytes;
    frame.payloadBytes = totalBytes;
    frame.payloadStart = tailBytes - totalBytes - 2;
    return true;
  }
}

/** Whether a subject asks for a last message; `<stream>.<subject>` is behind the prefix then. */
export function asksForLast(subject: string): boolean {
  if (!subject.startsWith(DIRECT_GET_PREFIX)) return false;
  const dot = subject.indexOf('.', DIRECT_GET_PREFIX.length);
  return dot >= 0 && dot < subject.length - 1;
}
