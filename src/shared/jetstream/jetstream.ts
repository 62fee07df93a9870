/**
 * The JetStream engine of one server: every account's streams over one store.
 *
 * Steps in: `request` (an API message), `receive` of a subscription, `tick`. Effects out: see `effects.ts`. The host sets
 * `clock` before each step and calls `tick` at `nextDueMs`. Nothing here waits, reads a clock or draws a number by itself,
 * so a run can be repeated from its inputs.
 */
import { API_LEVEL } from '../base/version.ts';
import { AccountJetStream, type JetStreamLimits } from './account-jetstream.ts';
import { REQUIRED_LEVEL_KEY } from './api-level.ts';
import { DueQueue } from './due-queue.ts';
import type { Effects } from './effects.ts';
import { decodeJson, fieldReaders, readTime } from './json-fields.ts';
import { jsonString } from './json-object.ts';
import type { Store, StreamStore } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { emptyStreamConfig, readStreamConfig, type StreamConfig } from './stream-config.ts';
import type { Clock } from './time.ts';

/** `limits.batch` of the jetstream block (jetstream-api §8.2). */
export interface BatchLimits {
  readonly maxInflightPerStream: number;
  readonly maxInflightTotal: number;
  readonly maxMsgs: number;
  readonly timeoutNs: bigint;
}

/** What the configuration says about JetStream, and of the server what its replies tell. */
export interface JetStreamOptions {
  readonly serverName: string;
  /** Empty for none; its clients get other answers. */
  readonly systemAccount: string;
  /** Empty for none. */
  readonly domain: string;
  /** Refuse unknown fields in requests. */
  readonly strict: boolean;
  /** Bytes of all memory streams; -1 is unlimited. */
  readonly maxMemoryBytes: number;
  /** Bytes of all file streams; -1 is unlimited. */
  readonly maxStoreBytes: number;
  /** `limits.duplicate_window`; 0 is none. */
  readonly maxDuplicateWindowNs: bigint;
  /** `limits.max_ack_pending`; 0 is none. */
  readonly maxAckPending: number;
  /** `limits.max_request_batch`; 0 is none. */
  readonly maxRequestBatch: number;
  /** `limits.default_max_consumers`: of a stream where neither it nor its account has a limit; -1 is none. */
  readonly defaultMaxConsumers: number;
  /** `max_payload`. */
  readonly maxPayloadBytes: number;
  /** `max_pending`: byte budget of a direct-get batch. */
  readonly maxPendingBytes: number;
  readonly batch: BatchLimits;
  /** `request_queue_limit` and `info_queue_limit`: requests that may wait. */
  readonly requestQueueLimit: number;
  readonly infoQueueLimit: number;
  /** Consumers that keep their position in the log deliver what is stored before it is committed; see `Consumer.isEarly`. */
  readonly deliverEarly: boolean;
}

/** What the engine is given to work with. */
export interface JetStreamHost {
  readonly store: Store;
  readonly effects: Effects;
  /** Set by the host before every step. */
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Something between requests that has a time limit, such as a snapshot. */
export interface TimedWork {
  /** Unix milliseconds. */
  nextDueMs(): number;
  tick(): void;
}

/** Somebody with messages to deliver. */
export interface ReadyWork {
  /** Whether it may run before what was stored is committed: whoever is handed a message then can stand a crash taking it back. */
  readonly isEarly: boolean;
  /**
   * Delivers at most so many messages, fewer when the effects are congested.
   *
   * @returns whether there may be more to deliver at once
   */
  run(most: number): boolean;
}

/** Messages one consumer delivers before it is another's turn. */
const READY_PORTION = 256;

/** Key of a stream's configuration in its store's metadata. */
export const CONFIG_KEY = 'config';
/** Key in the metadata of a store that is being filled by a restore. */
export const RESTORING_KEY = 'restoring';

interface StoredConfig {
  createdNs: bigint;
  config: StreamConfig;
}

const STORED_CONFIG_READERS = fieldReaders<StoredConfig>({
  created: (stored, node, at) => {
    stored.createdNs = readTime(node, at) ?? 0n;
  },
  config: (stored, node, at) => {
    stored.config = readStreamConfig(node, at);
  },
});

/** The configuration a store has, null when it has none, or why it can't be read. */
function loadConfig(store: StreamStore): StoredConfig | string | null {
  const bytes = store.getMetadata(CONFIG_KEY);
  if (bytes === null) return null;
  const target = { createdNs: 0n, config: emptyStreamConfig() };
  const problem = decodeJson(bytes, {
    target,
    readers: STORED_CONFIG_READERS,
    type: 'StoredConfig',
    strict: false,
  });
  if (problem !== null) return problem.message;
  return target.config.name === store.name ? target : `it is of stream ${jsonString(target.config.name)}`;
}

/** Why a stream of the store can't be served, or its configuration. Null: nobody was promised anything yet. */
function recoverable(store: StreamStore): StoredConfig | string | null {
  const stored = loadConfig(store);
  if (stored === null) {
    // What a create or restore left that a crash cut short.
    if (store.lastSeq === 0 || store.getMetadata(RESTORING_KEY) !== null) return null;
    return 'unsupported - config error: there is none';
  }
  if (typeof stored === 'string') return `unsupported - config error: ${stored}`;
  const level = Number(stored.config.metadata.get(REQUIRED_LEVEL_KEY) ?? '0');
  return level > API_LEVEL
    ? `unsupported - required API level: ${level}, current API level: ${API_LEVEL}`
    : stored;
}

export class JetStream {
  /** The host may replace them by others, of the same name and domain: limits are looked at when they are needed. */
  options: JetStreamOptions;
  readonly store: Store;
  readonly effects: Effects;
  readonly clock: Clock;
  readonly random: () => number;
  /** `"domain":"hub",` or nothing. */
  readonly domainMember: string;
  /** Open atomic batches and the bytes they hold, of all streams. */
  atomicBatches = 0;
  stagedBytes = 0;
  /** Open fast batches of all streams. */
  fastBatches = 0;
  memoryBytes = 0;
  storeBytes = 0;
  /** API requests that wait to be carried out. */
  inflight = 0;
  readonly timed = new Set<TimedWork>();
  readonly #accounts = new Map<string, AccountJetStream>();
  readonly #woken = new Set<Stream>();
  /** Those who asked for a turn: who may have it before the commit, and who after it. */
  readonly #early = new Set<ReadyWork>();
  readonly #late = new Set<ReadyWork>();
  #lateIsNext = false;
  /** The store's ticket after the last message was stored: who is handed one after the commit waits for this. */
  appendedTicket = 0;
  /** When the store was taken up, Unix milliseconds: what a crash took back was stored before, or at the same time. */
  recoveredMs = -1;
  /** Streams and consumers by when they have something to do. */
  readonly dueQueue = new DueQueue();
  /** Streams whose time in the queue may be too late. */
  #touched: Stream[] = [];

  constructor(options: JetStreamOptions, host: JetStreamHost) {
    this.options = options;
    this.store = host.store;
    this.effects = host.effects;
    this.clock = host.clock;
    this.random = host.random;
    this.domainMember = options.domain === '' ? '' : `"domain":${jsonString(options.domain)},`;
  }

  /** Enables JetStream for an account, or changes its limits. */
  enableAccount(name: string, limits: JetStreamLimits): AccountJetStream {
    const known = this.#accounts.get(name);
    if (known !== undefined) {
      known.limits = limits;
      return known;
    }
    const account = new AccountJetStream(this, name, limits);
    this.#accounts.set(name, account);
    return account;
  }

  /** Stops JetStream for an account. What it has on disk stays, as after a stop of the server; what is in memory goes. */
  disableAccount(name: string): void {
    const account = this.#accounts.get(name);
    if (account === undefined) return;
    account.shutDown();
    this.#accounts.delete(name);
  }

  /** Stops JetStream for all accounts but these. */
  retainAccounts(names: ReadonlySet<string>): void {
    for (const name of [...this.#accounts.keys()]) if (!names.has(name)) this.disableAccount(name);
  }

  account(name: string): AccountJetStream | null {
    return this.#accounts.get(name) ?? null;
  }

  accounts(): Iterable<AccountJetStream> {
    return this.#accounts.values();
  }

  /** Takes up the streams the store has from before the start, for the accounts that are enabled. */
  recover(): void {
    if (this.recoveredMs < 0) this.recoveredMs = this.clock.ms;
    for (const store of this.store.streams()) {
      const account = this.#accounts.get(store.account);
      if (account === undefined || account.streams.has(store.name) || account.offline.has(store.name))
        continue;
      const stored = recoverable(store);
      if (stored === null) continue;
      if (typeof stored === 'string') {
        account.offline.set(store.name, stored);
        this.effects.warn(`JetStream stream '${store.account} > ${store.name}' is offline: ${stored}`);
      } else account.adopt(stored.config, stored.createdNs, store);
    }
    for (const account of this.#accounts.values()) account.openAll();
  }

  /** A stream has something to do that no clock tells of. */
  wake(stream: Stream): void {
    this.#woken.add(stream);
  }

  /** A stream's next time may be another; asked once until the engine has looked. */
  touch(stream: Stream): void {
    this.#touched.push(stream);
  }

  /** A stream has ended. */
  forget(stream: Stream): void {
    this.#woken.delete(stream);
    this.dueQueue.remove(stream);
  }

  #scheduleTouched(): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    for (const stream of touched) {
      stream.untouch();
      if (!stream.closed) this.dueQueue.set(stream, stream.nextDueMs());
    }
  }

  /** Asks for a turn of `runReady`. Asking twice is asking once. */
  ready(work: ReadyWork): void {
    if (work.isEarly) this.#early.add(work);
    else this.#late.add(work);
  }

  /** Whether somebody asked for a turn. */
  get hasReady(): boolean {
    return this.#early.size > 0 || this.#late.size > 0;
  }

  /** Whether somebody asked who needn't wait for a commit. */
  get hasEarly(): boolean {
    return this.#early.size > 0;
  }

  /** Whether somebody asked who waits for the commit. */
  get hasLate(): boolean {
    return this.#late.size > 0;
  }

  unready(work: ReadyWork): void {
    this.#early.delete(work);
    this.#late.delete(work);
  }

  /**
   * Lets those deliver who asked, in turns.
   *
   * @param isCommitted whether everything stored is committed; if not, only those who don't wait for that get a turn, so
   *   that nobody else is handed a message that a crash could still take back
   * @param mostMessages that one delivers in its turn
   * @returns whether somebody who got turns still has something to deliver, because `mostPortions` were handed out or the
   *   effects are congested
   */
  runReady(mostPortions: number, isCommitted = true, mostMessages = READY_PORTION): boolean {
    const { effects } = this;
    for (let portions = 0; this.#early.size > 0 || (isCommitted && this.#late.size > 0); portions++) {
      // Between two portions nobody holds a message.
      this.store.reuseMemory();
      if (portions === mostPortions || effects.congested) return true;
      const queue = this.#nextQueue(isCommitted);
      const [work] = queue;
      queue.delete(work!);
      if (work!.run(mostMessages)) queue.add(work!);
    }
    return false;
  }

  /** Whose turn it is; where there are both, in alternation. */
  #nextQueue(isCommitted: boolean): Set<ReadyWork> {
    if (!isCommitted || this.#late.size === 0) return this.#early;
    this.#lateIsNext = !this.#lateIsNext;
    return this.#lateIsNext || this.#early.size === 0 ? this.#late : this.#early;
  }

  /** Ends the requests that wait at consumers, because the server stops. */
  shutDown(): void {
    for (const { streams } of this.#accounts.values()) {
      for (const stream of streams.values()) stream.consumers.shutDown();
    }
  }

  /** Whether a stream has something to do at once. */
  get hasWoken(): boolean {
    return this.#woken.size > 0;
  }

  /** Does a portion of what streams have to do at once; more may be left. */
  tickWoken(): void {
    const woken = [...this.#woken];
    this.#woken.clear();
    for (const stream of woken) {
      if (stream.closed) continue;
      stream.tick();
      stream.touch();
    }
  }

  /** When `tick` is to be called next. Unix milliseconds; 0 is at once, Infinity never. */
  nextDueMs(): number {
    if (this.#woken.size > 0) return 0;
    this.#scheduleTouched();
    let least = this.dueQueue.nextMs;
    for (const work of this.timed) least = Math.min(least, work.nextDueMs());
    return least;
  }

  /** Does what is due: expiry, schedules, timeouts, copying between streams, what consumers wait for. */
  tick(): void {
    this.tickWoken();
    for (const work of [...this.timed]) work.tick();
    this.#scheduleTouched();
    const { ms } = this.clock;
    // What is due again at once has to wait for the next call.
    for (let left = this.dueQueue.size; left > 0; left--) {
      const item = this.dueQueue.takeDue(ms);
      if (item === null) break;
      item.due();
    }
  }
}
