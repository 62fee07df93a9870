import type { AccountJetStreamOptions } from '../base/options.ts';
/** JetStream of one account: its streams, what they use and may use (jetstream-api §8.3), and the counters of its API. */
import { sendAdvisory } from './advisory.ts';
import { textBytes } from './effects.ts';
import { ApiError, apiError, apiErrorText } from './errors.ts';
import { CONFIG_KEY, type JetStream, RESTORING_KEY } from './jetstream.ts';
import { JsonObject } from './json-object.ts';
import { RestoreSession } from './restore-session.ts';
import type { StreamStore } from './store/contract.ts';
import { Stream } from './stream.ts';
import { type StorageType, type StreamConfig, streamConfigJson } from './stream-config.ts';
import { checkStreamConfig, type StreamConfigContext, setUpProblem } from './stream-config-check.ts';
import { isSameStreamConfig, subjectsOverlap, updateStreamConfig } from './stream-config-update.ts';
import { joinTime } from './time.ts';

export type JetStreamTierLimits = Readonly<AccountJetStreamOptions>;

/** Limits by tier (`R1`, `R3`), or one set for all. */
export interface JetStreamLimits {
  readonly limits: JetStreamTierLimits;
  readonly tiers: ReadonlyMap<string, JetStreamTierLimits> | null;
}

/** A sum over an account's streams or those of a tier. */
export interface JetStreamUsage {
  memoryBytes: number;
  storeBytes: number;
  reservedMemoryBytes: number;
  reservedStoreBytes: number;
  streams: number;
  consumers: number;
}

export class AccountJetStream {
  readonly engine: JetStream;
  readonly name: string;
  limits: JetStreamLimits;
  readonly streams = new Map<string, Stream>();
  /** Restores that are under way, by name of the stream. */
  readonly restores = new Map<string, RestoreSession>();
  /** Streams that can't be served, and why: they need a later server, or their configuration can't be read. */
  readonly offline = new Map<string, string>();
  memoryBytes = 0;
  storeBytes = 0;
  /** What of `storeBytes` isn't in streams: sessions and messages of MQTT. */
  mqttBytes = 0;
  apiTotal = 0;
  apiErrors = 0;

  constructor(engine: JetStream, name: string, limits: JetStreamLimits) {
    this.engine = engine;
    this.name = name;
    this.limits = limits;
  }

  /** Adds a change of a stream's size. */
  count(storage: StorageType, bytes: number): void {
    if (storage === 'memory') {
      this.memoryBytes += bytes;
      this.engine.memoryBytes += bytes;
    } else {
      this.storeBytes += bytes;
      this.engine.storeBytes += bytes;
    }
  }

  /** Sets what MQTT stores for the account: it counts as a stream without replicas does. */
  setMqttBytes(bytes: number): void {
    this.count('file', bytes - this.mqttBytes);
    this.mqttBytes = bytes;
  }

  /** The limits for streams of so many replicas; null when no tier is for them. */
  limitsFor(replicas: number): JetStreamTierLimits | null {
    const { limits, tiers } = this.limits;
    return tiers === null ? limits : (tiers.get(`R${Math.max(1, replicas)}`) ?? null);
  }

  #inTier(stream: Stream, replicas: number): boolean {
    return this.limits.tiers === null || stream.config.replicas === Math.max(1, replicas);
  }

  /** What the streams use that share limits with those of `replicas`; all of them for null. */
  usage(replicas: number | null): JetStreamUsage {
    const sum = { memoryBytes: 0, storeBytes: 0, reservedMemoryBytes: 0, reservedStoreBytes: 0 };
    const usage: JetStreamUsage = { ...sum, streams: 0, consumers: 0 };
    if (replicas === null || replicas <= 1) usage.storeBytes += this.mqttBytes;
    for (const stream of this.streams.values()) {
      if (replicas !== null && !this.#inTier(stream, replicas)) continue;
      const { config, store } = stream;
      const reserved = Math.max(0, config.maxBytes) * config.replicas;
      usage.streams++;
      usage.consumers += stream.readers.visible;
      if (config.storage === 'memory') {
        usage.memoryBytes += store.bytes;
        usage.reservedMemoryBytes += reserved;
      } else {
        usage.storeBytes += store.bytes;
        usage.reservedStoreBytes += reserved;
      }
    }
    return usage;
  }

  /** Whether so many more bytes may be stored. */
  resourceProblem(storage: StorageType, replicas: number, bytes: number): ApiError | null {
    const { options, memoryBytes, storeBytes } = this.engine;
    const memory = storage === 'memory';
    const server = memory ? options.maxMemoryBytes : options.maxStoreBytes;
    // As in nats-server the message that passes the server's limit is stored, the next one refused.
    if (server >= 0 && (memory ? memoryBytes : storeBytes) > server) return apiError(10023);
    const limits = this.limitsFor(replicas);
    if (limits === null) return apiError(10120);
    const most = memory ? limits.maxMemoryBytes : limits.maxStoreBytes;
    if (most < 0) return null;
    const used =
      this.limits.tiers === null
        ? memory
          ? this.memoryBytes
          : this.storeBytes
        : this.#tierBytes(storage, replicas);
    return used + bytes > most ? apiError(10002) : null;
  }

  #tierBytes(storage: StorageType, replicas: number): number {
    const usage = this.usage(replicas);
    return storage === 'memory' ? usage.memoryBytes : usage.storeBytes;
  }

  /** Limits that a configuration alone can exceed: 10113 and 10122. */
  #configProblem(config: StreamConfig): ApiError | null {
    const limits = this.limitsFor(config.replicas);
    if (limits === null) return apiError(10120);
    if (limits.maxBytesRequired && config.maxBytes <= 0) return apiError(10113);
    const most = config.storage === 'memory' ? limits.memoryMaxStreamBytes : limits.storeMaxStreamBytes;
    return most > 0 && config.maxBytes > most ? apiError(10122) : null;
  }

  /** Whether the account and the server can reserve what a stream asks for, beyond what its old configuration has. */
  #reservationProblem(config: StreamConfig, old: StreamConfig | null): ApiError | null {
    const limits = this.limitsFor(config.replicas);
    if (limits === null) return apiError(10120);
    if (old === null && limits.maxStreams >= 0 && this.usage(config.replicas).streams >= limits.maxStreams)
      return apiError(10027);
    if (limits.maxConsumers > 0 && config.maxConsumers > limits.maxConsumers) return apiError(10026);
    const memory = config.storage === 'memory';
    const before = Math.max(0, old?.maxBytes ?? 0) * (old?.replicas ?? 1);
    const wanted = config.maxBytes > 0 ? config.maxBytes * Math.max(1, config.replicas) : 1;
    if (old !== null && wanted <= Math.max(before, 1)) return null;
    const error = apiError(memory ? 10028 : 10047);
    const own = this.usage(config.replicas);
    const reserved = (memory ? own.reservedMemoryBytes : own.reservedStoreBytes) - before;
    const most = memory ? limits.maxMemoryBytes : limits.maxStoreBytes;
    if (most >= 0 && reserved + wanted > most) return error;
    const { options } = this.engine;
    const server = memory ? options.maxMemoryBytes : options.maxStoreBytes;
    return server >= 0 && this.#reservedByAll(memory) - before + wanted > server ? error : null;
  }

  #reservedByAll(memory: boolean): number {
    let sum = 0;
    for (const account of this.engine.accounts()) {
      const usage = account.usage(null);
      sum += memory ? usage.reservedMemoryBytes : usage.reservedStoreBytes;
    }
    return sum;
  }

  #context(pedantic: boolean): StreamConfigContext {
    return {
      pedantic,
      maxDuplicateWindowNs: this.engine.options.maxDuplicateWindowNs,
      streamConfig: (name) => this.streams.get(name)?.config ?? null,
      accountProblem: (config) => this.#configProblem(config),
    };
  }

  #overlaps(config: StreamConfig): boolean {
    for (const other of this.streams.values()) {
      if (other.name !== config.name && subjectsOverlap(config.subjects, other.config.subjects)) return true;
    }
    return false;
  }

  /** Makes a stream, or finds the one that has this very configuration. */
  createStream(submitted: StreamConfig, pedantic: boolean): Stream | ApiError {
    const existing = this.streams.get(submitted.name);
    const limit =
      existing === undefined && submitted.replicas <= 5 ? this.#reservationProblem(submitted, null) : null;
    if (limit !== null) return limit;
    const config = checkStreamConfig(submitted, this.#context(pedantic));
    if ('errCode' in config) return config;
    if (config.replicas > 1) return apiError(10074);
    const offline = this.offline.get(config.name);
    if (offline !== undefined) return apiErrorText(10194, offline);
    if (existing !== undefined)
      return isSameStreamConfig(existing.config, config) ? existing : apiError(10058);
    if (this.#overlaps(config)) return apiError(10065);
    const problem = setUpProblem(config);
    if (problem !== null) return problem;
    const stream = this.#make(config);
    if (stream instanceof Stream) this.#advise(stream, 'CREATED', 'create');
    return stream;
  }

  /** Checks whether a stream may be restored, and makes ready to receive it. */
  beginRestore(submitted: StreamConfig, client: string): RestoreSession | ApiError {
    const limit = this.#reservationProblem(submitted, null);
    if (limit !== null) return limit;
    const config = checkStreamConfig(submitted, this.#context(false));
    if (config instanceof ApiError) return config;
    if (config.replicas > 1) return apiError(10074);
    if (this.streams.has(config.name) || this.restores.has(config.name)) return apiError(10130);
    // Metadata of a restored stream is what it was, levels included.
    config.metadata = new Map(submitted.metadata);
    const restoring = (store: StreamStore) => store.putMetadata(RESTORING_KEY, textBytes('restoring'));
    const store = this.#makeStore(config, restoring);
    if (store instanceof ApiError) return store;
    const session = new RestoreSession(this, config, store, client);
    this.restores.set(config.name, session);
    return session;
  }

  /** Makes a stream of a store that was filled by a restore. */
  finishRestore(config: StreamConfig, store: StreamStore): Stream | ApiError {
    if (this.streams.has(config.name)) return apiError(10058);
    if (this.#overlaps(config)) return apiError(10065);
    const { clock } = this.engine;
    const createdNs = joinTime(clock.ms, clock.nanos);
    if (!putConfig(store, config, createdNs) || !store.putMetadata(RESTORING_KEY, null))
      return apiErrorText(10049, store.failure?.message ?? 'store failed');
    const stream = this.adopt(config, createdNs, store);
    stream.open();
    this.#advise(stream, 'CREATED', 'create');
    return stream;
  }

  /** Makes the store of a stream that passed all checks, and the stream. */
  #make(config: StreamConfig): Stream | ApiError {
    const { engine } = this;
    const createdNs = joinTime(engine.clock.ms, engine.clock.nanos);
    const store = this.#makeStore(config, (fresh) => putConfig(fresh, config, createdNs));
    if (store instanceof ApiError) return store;
    const stream = this.adopt(config, createdNs, store);
    stream.open();
    return stream;
  }

  /** @param fill says what the store is; a crash leaves both or neither */
  #makeStore(config: StreamConfig, fill: (store: StreamStore) => boolean): StreamStore | ApiError {
    const { engine, name: account } = this;
    const leftover = engine.store.find(account, config.name);
    if (leftover !== null) {
      if (this.restores.has(config.name)) return apiError(10058);
      // A create or restore that a crash cut short leaves a store nobody was promised; other messages are somebody's data.
      if (leftover.lastSeq > 0 && leftover.getMetadata(RESTORING_KEY) === null)
        return apiErrorText(10049, 'the store of that name has messages but no configuration');
      engine.store.dropStream(leftover);
    }
    engine.store.beginGroup();
    const store = engine.store.createStream({
      account,
      name: config.name,
      storage: config.storage,
      compression: config.compression === 's2',
      firstSeq: config.firstSeq,
      blockBytes: 0,
    });
    const filled = store !== null && fill(store);
    engine.store.endGroup();
    if (store === null) return apiErrorText(10049, engine.store.failure?.message ?? 'store failed');
    if (filled) return store;
    const reason = store.failure?.message ?? 'store failed';
    engine.store.dropStream(store);
    return apiErrorText(10049, reason);
  }

  /** Takes up a stream whose store is there. It does not listen yet. */
  adopt(config: StreamConfig, createdNs: bigint, store: StreamStore): Stream {
    const stream = new Stream(this, config, createdNs, store);
    this.streams.set(config.name, stream);
    stream.recover();
    this.#touchCopies();
    return stream;
  }

  /** Streams that copy from others look again whether theirs is there. */
  #touchCopies(): void {
    for (const stream of this.streams.values()) {
      if (stream.config.mirror !== null || stream.config.sources.length > 0) stream.touch();
    }
  }

  /** Lets every stream listen; for the start, when all of them are there. */
  openAll(): void {
    for (const stream of this.streams.values()) stream.open();
  }

  /** Checks a configuration by itself. @returns it as it would be stored */
  checkConfig(submitted: StreamConfig, pedantic: boolean): StreamConfig | ApiError {
    return checkStreamConfig(submitted, this.#context(pedantic));
  }

  /** Ends everything that runs; streams on disk can be taken up again. */
  shutDown(): void {
    for (const restore of [...this.restores.values()]) restore.abandon();
    for (const stream of this.streams.values()) {
      stream.handBack();
      stream.close();
      if (stream.store.storage === 'memory') this.engine.store.dropStream(stream.store);
    }
    this.streams.clear();
  }

  updateStream(submitted: StreamConfig, pedantic: boolean): Stream | ApiError {
    const checked = checkStreamConfig(submitted, this.#context(pedantic));
    if ('errCode' in checked) return checked;
    const stream = this.streams.get(checked.name);
    if (stream === undefined) return apiError(10059);
    const config = updateStreamConfig(stream.config, checked);
    if ('errCode' in config) return config;
    if (this.#overlaps(config)) return apiError(10065);
    const problem =
      this.#reservationProblem(config, stream.config) ??
      setUpProblem(config) ??
      stream.consumers.configProblem(config);
    if (problem !== null) return problem;
    if (!putConfig(stream.store, config, stream.createdNs))
      return apiErrorText(10069, stream.store.failure?.message ?? 'store failed');
    stream.update(config);
    this.#advise(stream, 'UPDATED', 'modify');
    return stream;
  }

  deleteStream(stream: Stream): ApiError | null {
    if (!this.engine.store.dropStream(stream.store))
      return apiErrorText(10050, this.engine.store.failure?.message ?? 'store failed');
    stream.consumers.streamDeleted();
    stream.close();
    this.streams.delete(stream.name);
    this.#touchCopies();
    this.#advise(stream, 'DELETED', 'delete');
    return null;
  }

  #advise(stream: Stream, event: string, action: string): void {
    sendAdvisory(this, `STREAM.${event}.${stream.name}`, 'stream_action', (json) =>
      json
        .string('stream', stream.name)
        .string('action', action)
        .stringUnlessEmpty('domain', this.engine.options.domain),
    );
  }
}

/** Stores a stream's configuration beside its messages. */
function putConfig(store: StreamStore, config: StreamConfig, createdNs: bigint): boolean {
  const json = new JsonObject()
    .time('created', createdNs)
    .raw('config', streamConfigJson(config, config.metadata))
    .end();
  return store.putMetadata(CONFIG_KEY, textBytes(json));
}
