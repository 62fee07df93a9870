import { Worker } from 'node:worker_threads';
import type { ServerOptions } from '../../shared/base/options.ts';
import type {
  AssetSelection,
  HealthFailure,
  JetStreamAnswer,
  JetStreamQuery,
} from '../../shared/mail/monitor.ts';
import {
  type FromPersistence,
  HEARTBEAT,
  type PersistenceAnswer,
  type PersistenceStart,
  type ThreadLinkMemory,
  type ToPersistence,
} from '../../workers/persistence/contract.ts';
import type { Logger, LogLevel } from '../log/logger.ts';

/** A store that doesn't finish its last checkpoint in time is ended anyway: everything acknowledged is in its log. */
const STOP_TIMEOUT_MS = 10_000;
/** A thread that is stuck must not hold up the shutdown. */
const ANNOUNCE_TIMEOUT_MS = 1000;

/** Next to nothing of a turn lives on; without a bound V8 lets a busy thread's young generation grow to 48 MB, and stay there. */
const YOUNG_GENERATION_MB = 6;

const LOG_LEVELS: Record<(FromPersistence & { kind: 'log' })['level'], LogLevel> = {
  error: 'error',
  warn: 'warn',
  info: 'notice',
  debug: 'debug',
};

/** The store can't be opened; the text says why. */
export class StoreRefusedError extends Error {
  override readonly name = 'StoreRefusedError';
}

/**
 * Main's end of the persistence thread. There is one, and it isn't restarted: what it had in memory when it died is
 * unknown, so the process ends and its next start recovers from the disk.
 */
export class PersistenceThread {
  readonly thread: number;
  /** Rejects with StoreRefusedError when the store can't be opened. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #heartbeat: Float64Array;
  readonly #startedAtMs = Date.now();
  readonly #replies = new Map<number, (answer: PersistenceAnswer | null) => void>();
  #nextRequest = 1;
  #isReady = false;
  #isStopping = false;
  #isEnded = false;

  /** @param died called when it ends without having been asked to */
  constructor(start: Omit<PersistenceStart, 'heartbeat'>, logger: Logger, died: (error: Error) => void) {
    this.thread = start.thread;
    const heartbeat = new SharedArrayBuffer(HEARTBEAT.slots * 8);
    this.#heartbeat = new Float64Array(heartbeat);
    this.#worker = new Worker(new URL('./persistence.js', import.meta.url), {
      workerData: { ...start, heartbeat } satisfies PersistenceStart,
      transferList: start.links.map(({ port }) => port),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
      name: 'persistence',
    });
    let failure: Error | null = null;
    this.#worker.on('error', (error) => {
      failure = error;
    });
    this.ready = new Promise<void>((resolve, reject) => {
      this.#worker.on('message', (message: FromPersistence) => {
        if (message.kind === 'ready') {
          this.#isReady = true;
          resolve();
        } else if (message.kind === 'refused') reject(new StoreRefusedError(message.reason));
        else if (message.kind === 'log') logger.write(LOG_LEVELS[message.level], message.text);
        else this.#answered(message);
      });
      this.#worker.once('exit', (code) => {
        this.#isEnded = true;
        this.#release();
        if (this.#isStopping) return;
        const error = failure ?? new Error(`the thread exited with code ${code}`);
        if (this.#isReady) died(error);
        else reject(error);
      });
    });
    this.ready.catch(() => undefined);
  }

  link(link: ThreadLinkMemory): void {
    this.#post({ kind: 'thread-link', link }, [link.port]);
  }

  threadLost(thread: number): void {
    this.#post({ kind: 'thread-lost', thread });
  }

  /** Resolves when the thread acts on the options. */
  async reconfigure(options: ServerOptions, accountIndexes: Record<string, number>): Promise<void> {
    await this.#ask((request) => ({ kind: 'options', request, options, accountIndexes }));
  }

  /** @returns null when the thread has ended */
  async jetStream(query: JetStreamQuery): Promise<JetStreamAnswer | null> {
    return (await this.#ask((request) => ({
      kind: 'jetstream-query',
      request,
      query,
    }))) as JetStreamAnswer | null;
  }

  /** @returns null when the thread has ended */
  async health(selection: AssetSelection): Promise<HealthFailure[] | null> {
    return (await this.#ask((request) => ({ kind: 'health-query', request, selection }))) as
      | HealthFailure[]
      | null;
  }

  /** Whether it has turned in the last `withinMs`. A recovery of the store is no turn, and may take its time. */
  beats(withinMs: number): boolean {
    const last = Math.max(this.#heartbeat[HEARTBEAT.heartbeatMs]!, this.#startedAtMs);
    return !this.#isReady || this.#isEnded || Date.now() - last < withinMs;
  }

  /** How late its timers were at its last heartbeat, milliseconds. */
  get loopLagMs(): number {
    return this.#heartbeat[HEARTBEAT.loopLagMs]!;
  }

  /** Has those told who wait at pull consumers; resolves when the shards have it, or the thread takes too long. */
  async announceStop(): Promise<void> {
    if (!this.#isReady || this.#isEnded) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ANNOUNCE_TIMEOUT_MS);
    });
    await Promise.race([this.#ask((request) => ({ kind: 'announce-stop', request })), late]);
    clearTimeout(timer);
  }

  /** Ends the thread; the shards must have ended before. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#isReady && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, STOP_TIMEOUT_MS);
        this.#replies.set(0, () => {
          clearTimeout(timer);
          resolve();
        });
        this.#post({ kind: 'stop' });
      });
    }
    await this.#worker.terminate();
  }

  /** Ends the thread as if it had failed. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(message: ToPersistence, transfer: ThreadLinkMemory['port'][] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  async #ask(message: (request: number) => ToPersistence): Promise<PersistenceAnswer | null> {
    if (this.#isEnded) return null;
    const request = this.#nextRequest++;
    return new Promise((resolve) => {
      this.#replies.set(request, resolve);
      this.#post(message(request));
    });
  }

  #answered(message: FromPersistence & { kind: 'reply' | 'stopped' }): void {
    const [request, answer] =
      message.kind === 'stopped' ? [0, null] : [message.request, message.answer ?? null];
    this.#replies.get(request)?.(answer);
    this.#replies.delete(request);
  }

  /** Nobody will answer any more. */
  #release(): void {
    for (const resolve of this.#replies.values()) resolve(null);
    this.#replies.clear();
  }
}
