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
  /** `max_payload`. */
  readonly maxPayloadBytes: number;
  /** `max_pending`: byte budget of a direct-get batch. */
  readonly maxPendingBytes: number;
  readonly batch: BatchLimits;
  /** `request_queue_limit` and `info_queue_limit`: requests that may wait. */
  readonly requestQueueLimit: number;
  readonly infoQueueLimit: number;
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

/** Key of a stream's configuration in its store's metadata. */
export const CONFIG_KEY = 'config';

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

/** The configuration a store has, null when it has none that can be read. */
function loadConfig(store: StreamStore): StoredConfig | null {
  const bytes = store.getMetadata(CONFIG_KEY);
  if (bytes === null) return null;
  const target = { createdNs: 0n, config: emptyStreamConfig() };
  const problem = decodeJson(bytes, {
    target,
    readers: STORED_CONFIG_READERS,
    type: 'StoredConfig',
    strict: false,
  });
  return problem === null && target.config.name === store.name ? target : null;
}

export class JetStream {
  readonly options: JetStreamOptions;
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

  /** Stops JetStream for an account; what it has stored stays. */
  disableAccount(name: string): void {
    const account = this.#accounts.get(name);
    if (account === undefined) return;
    for (const stream of account.streams.values()) stream.close();
    this.#accounts.delete(name);
  }

  account(name: string): AccountJetStream | null {
    return this.#accounts.get(name) ?? null;
  }

  accounts(): Iterable<AccountJetStream> {
    return this.#accounts.values();
  }

  /** Takes up the streams the store has from before the start, for the accounts that are enabled. */
  recover(): void {
    for (const store of this.store.streams()) {
      const account = this.#accounts.get(store.account);
      if (account === undefined || account.streams.has(store.name)) continue;
      const stored = loadConfig(store);
      if (stored === null) {
        const path = `${store.account} > ${store.name}`;
        this.effects.warn(`JetStream stream '${path}' has no readable configuration, it stays as it is`);
        continue;
      }
      const level = Number(stored.config.metadata.get(REQUIRED_LEVEL_KEY) ?? '0');
      if (level > API_LEVEL)
        account.offline.set(
          store.name,
          `unsupported - required API level: ${level}, current API level: ${API_LEVEL}`,
        );
      else account.adopt(stored.config, stored.createdNs, store);
    }
    for (const account of this.#accounts.values()) account.openAll();
  }

  /** A stream has something to do that no clock tells of. */
  wake(stream: Stream): void {
    this.#woken.add(stream);
  }

  /** Whether a stream has something to do at once. */
  get hasWoken(): boolean {
    return this.#woken.size > 0;
  }

  /** Does a portion of what streams have to do at once; more may be left. */
  tickWoken(): void {
    const woken = [...this.#woken];
    this.#woken.clear();
    for (const stream of woken) if (!stream.closed) stream.tick();
  }

  /** When `tick` is to be called next. Unix milliseconds; 0 is at once, Infinity never. */
  nextDueMs(): number {
    if (this.#woken.size > 0) return 0;
    let least = Infinity;
    for (const work of this.timed) least = Math.min(least, work.nextDueMs());
    for (const { streams } of this.#accounts.values()) {
      for (const stream of streams.values()) least = Math.min(least, stream.nextDueMs());
    }
    return least;
  }

  /** Does what is due: expiry, schedules, timeouts, copying between streams. */
  tick(): void {
    this.tickWoken();
    for (const work of [...this.timed]) work.tick();
    for (const { streams } of this.#accounts.values()) {
      for (const stream of streams.values()) if (stream.nextDueMs() <= this.clock.ms) stream.tick();
    }
  }
}
