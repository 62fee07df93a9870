import { getSystemErrorName } from 'node:util';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { putPosition } from '../../shared/jetstream/store/log-layout.ts';
import { startIoThread } from './io-thread.ts';

/**
 * A thread that does nothing but what blocks: it writes a frame of the log, if one is given, and syncs. The persistence thread has
 * better things to do when messages are waiting. libuv's pool could do it as well, but its answer comes through the event
 * loop, behind whatever that is doing; here it is a word in shared memory.
 *
 *   persistence: descriptors, what to write, then COMMAND += 1 ──notify──►  write, fdatasync
 *                doorbell  ◄──  RESULT, then DONE = COMMAND
 *
 * What is written lies in shared memory, which is told of once, over a port; the thread looks there when a command names a
 * buffer that it doesn't know.
 */

/** Layout of the shared words; the thread itself is `sync-entry.ts`. */
export const SYNC_COMMAND = 0;
export const SYNC_FD = 1;
export const SYNC_DONE = 2;
/** 0, or the negative number of the error. */
export const SYNC_RESULT = 3;
/** Microseconds it took. */
export const SYNC_MICROS = 4;
/** Descriptor for writes past the page cache, -1 for none. */
export const SYNC_DIRECT_FD = 5;
/** Number of the buffer to write from. */
export const SYNC_BUFFER = 6;
/** Bytes to write; 0: only sync. */
export const SYNC_LENGTH = 7;
/** Where in the file, low and high word. */
export const SYNC_POSITION = 8;
/** 1: the write past the page cache was refused, and another one made. */
export const SYNC_REFUSED = 10;
const SYNC_WORDS = 11;
/** Buffers that the thread is to know: the log uses two at a time. */
export const SYNC_BUFFERS = 2;
const WASM_PAGE_BYTES = 65_536;

/** The part of WebAssembly that is used here; TypeScript knows it of browsers only. */
declare const WebAssembly: {
  Memory: new (size: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer };
};

export interface SyncThreadStart {
  readonly words: SharedArrayBuffer;
  readonly doorbells: SharedArrayBuffer;
  /** Who is rung when a command is done. */
  readonly thread: number;
  /** Brings `SyncBuffer`s. */
  readonly buffers: MessagePort;
}

export interface SyncBuffer {
  readonly number: number;
  readonly memory: ArrayBufferLike;
}

/** Something on its way; what it came to is there once it is done. */
export interface RunningSync {
  isDone(): boolean;
  wait(): void;
  /** Name of the error, or null. */
  problem(): string | null;
  micros(): number;
  refusedDirect(): boolean;
}

/**
 * Shared memory that begins on a page, as writes past the page cache may need: only WebAssembly's does. Where the address space
 * is too small for its guard pages it is ordinary shared memory.
 *
 * @returns `bytes` or more, zeroed
 */
export function sharedPages(bytes: number): SharedArrayBuffer {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return new SharedArrayBuffer(pages * WASM_PAGE_BYTES);
  }
}

/** One command at a time. */
export class SyncThread {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #buffers: MessagePort;
  /** What the thread knows, by number modulo the length. */
  readonly #known: (ArrayBufferLike | null)[] = new Array(SYNC_BUFFERS).fill(null);
  #nextBuffer = 0;
  #commands = 0;

  /** @param entry the thread's code */
  constructor(
    doorbells: SharedArrayBuffer,
    thread: number,
    entry: URL = new URL('./sync.js', import.meta.url),
  ) {
    const words = new SharedArrayBuffer(SYNC_WORDS * Int32Array.BYTES_PER_ELEMENT);
    this.#words = new Int32Array(words);
    const { port1, port2 } = new MessageChannel();
    this.#buffers = port1;
    port1.unref();
    const workerData: SyncThreadStart = { words, doorbells, thread, buffers: port2 };
    startIoThread(entry, 'sync', workerData, [port2]);
  }

  /** Begins to sync an open descriptor, which must stay open until it is done. */
  sync(fd: number): RunningSync {
    this.#words[SYNC_LENGTH] = 0;
    return this.#begin(fd);
  }

  /**
   * Begins to write the first `length` bytes of `source` and to sync. The descriptors must stay open, and the bytes as they are,
   * until it is done.
   *
   * @param directFd of the same file, for writes past the page cache; -1 for none
   * @param source all of some shared memory
   */
  writeSynced(
    fd: number,
    directFd: number,
    source: Uint8Array,
    length: number,
    position: number,
  ): RunningSync {
    const words = this.#words;
    words[SYNC_DIRECT_FD] = directFd;
    words[SYNC_BUFFER] = this.#numberOf(source.buffer);
    words[SYNC_LENGTH] = length;
    putPosition(words, SYNC_POSITION, position);
    return this.#begin(fd);
  }

  #numberOf(memory: ArrayBufferLike): number {
    const at = this.#known.indexOf(memory);
    if (at >= 0) return at;
    const number = this.#nextBuffer;
    this.#nextBuffer = (number + 1) % SYNC_BUFFERS;
    this.#known[number] = memory;
    const buffer: SyncBuffer = { number, memory };
    this.#buffers.postMessage(buffer);
    return number;
  }

  #begin(fd: number): RunningSync {
    const words = this.#words;
    const command = ++this.#commands;
    words[SYNC_FD] = fd;
    Atomics.store(words, SYNC_COMMAND, command);
    Atomics.notify(words, SYNC_COMMAND);
    return {
      isDone: () => Atomics.load(words, SYNC_DONE) === command,
      wait: () => {
        for (;;) {
          const done = Atomics.load(words, SYNC_DONE);
          if (done === command) return;
          Atomics.wait(words, SYNC_DONE, done);
        }
      },
      problem: () => {
        const result = Atomics.load(words, SYNC_RESULT);
        return result === 0 ? null : getSystemErrorName(result);
      },
      micros: () => Atomics.load(words, SYNC_MICROS),
      refusedDirect: () => Atomics.load(words, SYNC_REFUSED) === 1,
    };
  }
}
