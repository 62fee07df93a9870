/**
 * A byte ring from one thread to one other: records of any length, no locks, no waiting, no allocation.
 *
 * Problem. Threads of one process hand each other millions of small records a second. `postMessage` allocates and
 * wakes at every message; a lock makes one thread wait for the other. A ring with exactly one writing and one
 * reading thread needs neither.
 *
 * ```
 *          head                     tail      committed   claimed
 *           ▼                        ▼            ▼          ▼
 *  ─ free ──┬── published records ───┬─ committed ┬─ claimed ┬── free ─
 *           └ consumer reads here    └──── seen by the producer alone
 * ```
 *
 * Invariants
 *  - head ≤ tail ≤ committed ≤ claimed ≤ head + capacity (as wrapping counters). Only the producer moves tail, only the
 *    consumer moves head; each keeps the other's counter cached and reloads it only when the cached one says "stop".
 *  - Payload and record header are written with plain stores. JavaScript's Atomics are sequentially consistent: all that
 *    the producer wrote before `Atomics.store(tail)` is seen by a consumer that read that tail with `Atomics.load`.
 *    Likewise for head: a producer that sees space free sees it after the consumer's last read of it.
 *  - A refused claim is a return value. Nothing here waits, so rings in both directions may be full at once.
 *
 * Waiting for room without losing the wake-up. The producer, refused, stores the wanted amount in `room` and only then
 * loads head again; the consumer stores head and only then loads `room`. All four are in one total order. If the
 * producer's load missed the new head, it came before the consumer's store of head, thus the store of `room` came before
 * the consumer's load of it: the consumer sees the request and rings. Otherwise the producer saw the new head:
 * `requestRoom` says false and the producer claims again. The consumer clears the request before it rings, and a woken
 * producer claims again before it asks again, so a request made between the two is either answered by that very ring
 * or made anew. A request is never starved: it asks for at most half the ring, and a consumer that went through all
 * records has the whole ring free. What it needs of the producer: publish before sleeping, for records nobody can see are
 * records nobody can free. And of the consumer: ask `roomRequested` after every drain.
 *
 * Rejected: a claim by compare-and-swap for many producers (a locked instruction for each record, and a stalled producer
 * holds up the others; a ring for each pair of threads costs memory only); a length word stored last as the commit mark,
 * as in many-producer rings (an atomic store a record and zeroing behind the reader; one store of tail covers a batch).
 */

import { assert } from './assert.ts';
import {
  DATA_OFFSET,
  HEAD_WORD,
  MAX_CAPACITY_BYTES,
  MAX_RECORD_SHARE,
  MAX_RESERVE_SHARE,
  PADDING_TYPE,
  RECORD_HEADER_BYTES,
  ROOM_WORD,
  recordBytes,
  TAIL_WORD,
} from './layout.ts';
import { openRing } from './memory.ts';

export { recordBytes } from './layout.ts';
export { createRing } from './memory.ts';

/** Writing end. One thread at a time holds the one producer of a ring; a new one goes on where the last published. */
export class RingProducer {
  /** The whole memory. Offsets that `tryClaim` returns are into it. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;
  readonly capacityBytes: number;
  /** Longest payload of one claim: an eighth of the capacity. */
  readonly maxRecordBytes: number;
  /** Largest `reserveBytes` and largest room to ask for: half the capacity. */
  readonly maxReserveBytes: number;

  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #mask: number;
  #cachedHead: number;
  #published: number;
  #committed: number;
  #claimed: number;
  #refused = false;
  #refusedHead = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#words = openRing(memory);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.capacityBytes = memory.byteLength - DATA_OFFSET;
    this.maxRecordBytes = this.capacityBytes / MAX_RECORD_SHARE;
    this.maxReserveBytes = this.capacityBytes / MAX_RESERVE_SHARE;
    this.#mask = this.capacityBytes - 1;
    this.#cachedHead = Atomics.load(this.#words, HEAD_WORD);
    this.#published = Atomics.load(this.#words, TAIL_WORD);
    this.#committed = this.#published;
    this.#claimed = this.#published;
  }

  /**
   * Claims `length` contiguous payload bytes, 8-aligned. Claims add up until `commit` or `abort`, so that several records
   * become visible together or not at all; a refused claim leaves the earlier ones open.
   *
   * @param type 0 to 2^31 - 1, handed to the consumer.
   * @param length 0 to `maxRecordBytes`.
   * @param reserveBytes what must stay free behind the claim, at most `maxReserveBytes`. It counts ring space: a record
   *   of n bytes takes `recordBytes(n)`, and at the wrap up to as much again in padding.
   * @returns offset of the payload in `bytes` and `view`, or -1 when there is no room.
   */
  tryClaim(type: number, length: number, reserveBytes = 0): number {
    assert((type | 0) === type && type >= 0, 'the record type must be a non-negative int32');
    assert(
      (length | 0) === length && length >= 0 && length <= this.maxRecordBytes,
      'the record length must be from 0 to maxRecordBytes',
    );
    assert(reserveBytes >= 0 && reserveBytes <= this.maxReserveBytes, 'the reserve exceeds half the ring');
    const capacity = this.capacityBytes;
    const record = (length + RECORD_HEADER_BYTES + 7) & ~7;
    const index = this.#claimed & this.#mask;
    const padding = record > capacity - index ? capacity - index : 0;
    const room = capacity - record - padding - reserveBytes;
    if (((this.#claimed - this.#cachedHead) | 0) > room) {
      this.#cachedHead = Atomics.load(this.#words, HEAD_WORD);
      if (((this.#claimed - this.#cachedHead) | 0) > room) {
        this.#refused = true;
        this.#refusedHead = this.#cachedHead;
        return -1;
      }
    }
    return this.#place(type, length, index, padding, record);
  }

  /** Commits every open claim; `publish` makes them visible. The payload must be complete. */
  commit(): void {
    assert(this.#claimed !== this.#committed, 'commit without a claim');
    this.#committed = this.#claimed;
  }

  /**
   * Makes the record that was committed last longer, in place; what it had stays. Its payload must be complete again before
   * `publish`.
   *
   * @param offset of the record's payload, as `tryClaim` returned it
   * @param length what the payload has then, at most `maxRecordBytes`
   * @param reserveBytes as with `tryClaim`
   * @returns false, and nothing has changed, when it isn't the last one any more, was published, or has no room behind it
   */
  tryExtend(offset: number, length: number, reserveBytes = 0): boolean {
    assert(
      (length | 0) === length && length <= this.maxRecordBytes,
      'the record length must not exceed maxRecordBytes',
    );
    assert(reserveBytes >= 0 && reserveBytes <= this.maxReserveBytes, 'the reserve exceeds half the ring');
    const words = this.#words;
    const word = (offset - RECORD_HEADER_BYTES) >> 2;
    const index = offset - RECORD_HEADER_BYTES - DATA_OFFSET;
    const before = recordBytes(words[word]);
    const after = recordBytes(length);
    const isLast =
      this.#claimed === this.#committed && ((index + before) & this.#mask) === (this.#committed & this.#mask);
    const isHidden = ((this.#committed - this.#published) | 0) >= before;
    if (!isLast || !isHidden || index + after > this.capacityBytes) return false;
    const room = this.capacityBytes - (after - before) - reserveBytes;
    if (((this.#claimed - this.#cachedHead) | 0) > room) {
      this.#cachedHead = Atomics.load(words, HEAD_WORD);
      if (((this.#claimed - this.#cachedHead) | 0) > room) return false;
    }
    words[word] = length;
    this.#claimed = (this.#claimed + after - before) | 0;
    this.#committed = this.#claimed;
    return true;
  }

  /** Drops every claim since the last commit, if any. */
  abort(): void {
    this.#claimed = this.#committed;
  }

  /** Makes everything committed visible with one atomic store. True if there was anything. */
  publish(): boolean {
    return this.publishTo(this.#committed);
  }

  /** Position behind everything committed so far. */
  get mark(): number {
    return this.#committed;
  }

  /**
   * Makes visible what was committed before `mark` was taken, and holds the rest back. Whoever holds records back must
   * publish them without waiting for the consumer: they take up room.
   *
   * @returns true if there was anything
   */
  publishTo(mark: number): boolean {
    assert(
      ((mark - this.#published) | 0) >= 0 && ((this.#committed - mark) | 0) >= 0,
      'the mark is not between what is published and what is committed',
    );
    if (mark === this.#published) return false;
    this.#published = mark;
    Atomics.store(this.#words, TAIL_WORD, mark);
    return true;
  }

  /**
   * Takes back committed records that are not visible yet: those for which `isUnwanted` returns true never arrive. Their room
   * is free when the consumer has passed it.
   *
   * @param isUnwanted receives type, payload offset and payload length
   * @returns how many were taken back
   */
  withdraw(isUnwanted: (type: number, offset: number, length: number) => boolean): number {
    const words = this.#words;
    let withdrawn = 0;
    for (let at = this.#published; at !== this.#committed; ) {
      const word = (DATA_OFFSET + (at & this.#mask)) >> 2;
      const length = words[word];
      const type = words[word + 1];
      if (type !== PADDING_TYPE && isUnwanted(type, (word << 2) + RECORD_HEADER_BYTES, length)) {
        words[word + 1] = PADDING_TYPE;
        withdrawn++;
      }
      at = (at + recordBytes(length)) | 0;
    }
    return withdrawn;
  }

  /** Bytes free now, headers and padding not deducted; open and committed claims count as used. */
  freeBytes(): number {
    this.#cachedHead = Atomics.load(this.#words, HEAD_WORD);
    return this.capacityBytes - ((this.#claimed - this.#cachedHead) | 0);
  }

  /**
   * After a refused claim: asks the consumer's thread to ring this thread's doorbell once `wantedBytes` of the ring are
   * free (1 to `maxReserveBytes`; the default is any room at all).
   *
   * @returns true when the request stands. False when waiting would be wrong, and the claim is to be tried again now: the
   *   consumer freed space since the refusal, or nothing but open claims (aborted, perhaps, since) fills the ring.
   */
  requestRoom(wantedBytes = 1): boolean {
    assert(
      (wantedBytes | 0) === wantedBytes && wantedBytes > 0 && wantedBytes <= this.maxReserveBytes,
      'the wanted room must be from 1 byte to half the ring',
    );
    Atomics.store(this.#words, ROOM_WORD, wantedBytes);
    const head = Atomics.load(this.#words, HEAD_WORD);
    if (this.#refused && head === this.#refusedHead && head !== this.#committed) return true;
    Atomics.store(this.#words, ROOM_WORD, 0);
    return false;
  }

  /** True while a request for room stands; the consumer clears it when it rings. */
  roomRequestPending(): boolean {
    return Atomics.load(this.#words, ROOM_WORD) !== 0;
  }

  /** True when a claim was refused and the consumer has freed space since; the next claim may still be refused. */
  roomFreed(): boolean {
    return this.#refused && Atomics.load(this.#words, HEAD_WORD) !== this.#refusedHead;
  }

  #place(type: number, length: number, index: number, padding: number, record: number): number {
    const words = this.#words;
    let at = index;
    if (padding !== 0) {
      const word = (DATA_OFFSET + index) >> 2;
      words[word] = padding - RECORD_HEADER_BYTES;
      words[word + 1] = PADDING_TYPE;
      at = 0;
    }
    const word = (DATA_OFFSET + at) >> 2;
    words[word] = length;
    words[word + 1] = type;
    this.#claimed = (this.#claimed + padding + record) | 0;
    this.#refused = false;
    return DATA_OFFSET + at + RECORD_HEADER_BYTES;
  }
}

/**
 * Receives one record: its type, and where its payload lies in the consumer's `bytes` and `view`, valid only during the
 * call. Returning false leaves the record, and all behind it, for a later drain.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: most handlers have no return statement.
export type RecordHandler = (type: number, offset: number, length: number) => boolean | void;

/** Reading end. One thread at a time holds the one consumer of a ring; a new one goes on where the last one freed. */
export class RingConsumer {
  /** The whole memory. Offsets that a handler receives are into it. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;
  readonly capacityBytes: number;

  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #mask: number;
  readonly #releaseBytes: number;
  #head: number;
  #draining = false;

  constructor(memory: SharedArrayBuffer) {
    this.#words = openRing(memory);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.capacityBytes = memory.byteLength - DATA_OFFSET;
    this.#mask = this.capacityBytes - 1;
    this.#releaseBytes = this.capacityBytes >> 3;
    this.#head = Atomics.load(this.#words, HEAD_WORD);
  }

  /**
   * Calls `handler` for each record that was published before the call, in order, and frees their space: at the end, and
   * on the way after each eighth of the ring. A record whose handler throws counts as consumed and the error passes on.
   * Must not be called from its own handler.
   *
   * @param limitBytes stops after the record with which at least so many bytes of ring space were consumed. At least one
   *   record is handled if there is one, whatever the limit.
   * @returns records handled; 0 means that nothing was published, or the handler kept the first record.
   */
  drain(handler: RecordHandler, limitBytes: number = MAX_CAPACITY_BYTES): number {
    assert(!this.#draining, 'drain is not re-entrant');
    assert(limitBytes > 0, 'the limit must be above 0');
    const words = this.#words;
    const mask = this.#mask;
    const start = this.#head;
    const available = (Atomics.load(words, TAIL_WORD) - start) | 0;
    if (available === 0) return 0;
    let stop = Math.min(limitBytes, available);
    let consumed = 0;
    let released = 0;
    let handled = 0;
    this.#draining = true;
    try {
      while (consumed < stop) {
        const offset = DATA_OFFSET + ((start + consumed) & mask);
        const length = words[offset >> 2];
        const type = words[(offset >> 2) + 1];
        const record = (length + RECORD_HEADER_BYTES + 7) & ~7;
        assert(length >= 0 && record <= available - consumed, 'a record header was overwritten');
        consumed += record;
        if (type === PADDING_TYPE) {
          // Padding is free of charge: a limit must not end a drain with records left and none handled.
          stop = Math.min(stop + record, available);
          continue;
        }
        if (handler(type, offset + RECORD_HEADER_BYTES, length) === false) {
          consumed -= record;
          break;
        }
        handled++;
        if (consumed - released >= this.#releaseBytes) {
          released = consumed;
          Atomics.store(words, HEAD_WORD, (start + consumed) | 0);
        }
      }
    } finally {
      this.#head = (start + consumed) | 0;
      if (consumed !== released) Atomics.store(words, HEAD_WORD, this.#head);
      this.#draining = false;
    }
    return handled;
  }

  /** True when nothing is published. */
  isEmpty(): boolean {
    return Atomics.load(this.#words, TAIL_WORD) === this.#head;
  }

  /** Bytes published and not consumed, headers and padding included; inside a handler, as of the start of the drain. */
  pendingBytes(): number {
    return (Atomics.load(this.#words, TAIL_WORD) - this.#head) | 0;
  }

  /**
   * To be asked after a drain: true when the producer waits for room and the ring now has what it asked for. The request
   * is cleared, so the caller must ring the producer's doorbell.
   */
  roomRequested(): boolean {
    const wanted = Atomics.load(this.#words, ROOM_WORD);
    if (wanted === 0 || this.capacityBytes - this.pendingBytes() < wanted) return false;
    return Atomics.exchange(this.#words, ROOM_WORD, 0) !== 0;
  }
}
