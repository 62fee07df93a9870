import { getSystemErrorName } from 'node:util';
import { Worker } from 'node:worker_threads';

/**
 * A thread that does nothing but sync: `fdatasync` blocks whoever calls it, and the persistence thread has better things to do
 * when messages are waiting. libuv's pool could do it as well, but its answer comes through the event loop, behind whatever
 * that is doing; here it is a word in shared memory.
 *
 *   persistence: FD, then COMMAND += 1 ──notify──►  fdatasync  ── RESULT, then DONE = COMMAND ──► doorbell
 */

/** Layout of the shared words; the thread itself is `sync-entry.ts`. */
export const SYNC_COMMAND = 0;
export const SYNC_FD = 1;
export const SYNC_DONE = 2;
/** 0, or the negative number of the error. */
export const SYNC_RESULT = 3;
/** Microseconds the sync took. */
export const SYNC_MICROS = 4;
const SYNC_WORDS = 5;

export interface SyncThreadStart {
  readonly words: SharedArrayBuffer;
  readonly doorbells: SharedArrayBuffer;
  /** Who is rung when a sync has ended. */
  readonly thread: number;
}

/** A sync on its way; what it came to is there once it is done. */
export interface RunningSync {
  isDone(): boolean;
  wait(): void;
  /** Name of the error, or null. */
  problem(): string | null;
  micros(): number;
}

/** One sync at a time. */
export class SyncThread {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #worker: Worker;
  #commands = 0;

  constructor(doorbells: SharedArrayBuffer, thread: number) {
    const words = new SharedArrayBuffer(SYNC_WORDS * Int32Array.BYTES_PER_ELEMENT);
    this.#words = new Int32Array(words);
    const workerData: SyncThreadStart = { words, doorbells, thread };
    this.#worker = new Worker(new URL('./sync.js', import.meta.url), {
      workerData,
      name: 'sync',
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    });
    // The persistence thread's port keeps the process alive, and its end is the end of this one.
    this.#worker.unref();
    this.#worker.on('error', (error) => {
      throw error;
    });
  }

  /** Begins to sync an open descriptor, which must stay open until it is done. */
  begin(fd: number): RunningSync {
    const words = this.#words;
    const command = ++this.#commands;
    Atomics.store(words, SYNC_FD, fd);
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
    };
  }
}
