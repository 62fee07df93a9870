import { MessageChannel, Worker } from 'node:worker_threads';
import type { ServerOptions } from '../../shared/base/options.ts';
import { createDirectAnswers } from '../../shared/mail/direct-answers.ts';
import type { ConnectionSnapshot } from '../../shared/mail/monitor.ts';
import { createDoorbells } from '../../shared/ring/doorbell.ts';
import { createRing } from '../../shared/ring/ring.ts';
import {
  ADMISSION,
  COUNTERS,
  type FromShard,
  type HandedConnection,
  type ServerIdentity,
  type ShardReply,
  type ShardStart,
  type ThreadLinkMemory,
  type ToShard,
} from '../../workers/shard/contract.ts';
import type { Logger } from '../log/logger.ts';
import { AccountIndexes } from './account-indexes.ts';
import { abandon, InFlight } from './in-flight.ts';
import { OpenConnections } from './open-connections.ts';
import { PersistenceThread } from './persistence-thread.ts';

/**
 * The threads of the process: which exist, what memory they share, and what happens when one dies.
 *
 * A shard that dies takes its own connections with it and nothing else: the others forget its interest, the error is
 * logged, and a new thread takes its place with fresh rings. Rings of the dead one are never used again, since nobody
 * knows how far it had come.
 */

/** nats-server numbers its internal clients too; the first real client is not 1. */
const FIRST_CID = 5;
/** Rings share this much memory; many threads get smaller ones. */
const RINGS_TOTAL_BYTES = 32 * 1024 * 1024;
const RING_MAX_BYTES = 1024 * 1024;
const RING_MIN_BYTES = 128 * 1024;
/** Garbage of a shard should die young, so that no old-space collection stops it. */
const YOUNG_GENERATION_MB = 3;
/** Flags of Node that threads are started with too. */
const PROFILING_FLAG = /^--(?:cpu|heap)-prof/;
/** A shard that dies again and again is restarted with growing pauses. */
const RESTART_DELAY_MS = 100;
const RESTART_DELAY_MAX_MS = 10_000;
const RESTART_FORGIVE_MS = 60_000;

export interface TopologyEvents {
  /** A shard reports. `reply` answers the very thread that asked: another of its number would take it for its own. */
  message(shard: number, message: FromShard, reply: (message: ToShard) => void): void;
  /** A shard died; its connections are gone. Of them only what main knows is told. */
  lost(shard: number, error: Error, connections: ConnectionSnapshot[]): void;
  /** Another thread has taken its place. */
  restarted(shard: number): void;
  /** The persistence thread died; without it nothing can be stored. */
  persistenceLost(error: Error): void;
}

interface ShardHandle {
  worker: Worker;
  counters: Float64Array;
  ready: Promise<void>;
  alive: boolean;
  startedAtMs: number;
  failures: number;
  /** Connections meant for it that weren't refused. */
  admitted: number;
  /** Its share of the connections of each account. */
  accountShare: Int32Array;
  inFlight: InFlight;
  open: OpenConnections;
}

export class Topology {
  readonly accounts = new AccountIndexes();
  readonly #shards: ShardHandle[] = [];
  readonly #doorbells: SharedArrayBuffer;
  readonly #ringBytes: number;
  readonly #directAnswers: SharedArrayBuffer | null;
  readonly #count: number;
  /** Shards, and the persistence thread behind them. */
  readonly #threads: number;
  #persistence: PersistenceThread | null = null;
  readonly #logger: Logger;
  readonly #events: TopologyEvents;
  readonly #admissionMemory = new SharedArrayBuffer(ADMISSION.slots * Int32Array.BYTES_PER_ELEMENT);
  readonly #admission = new Int32Array(this.#admissionMemory);
  readonly #requests = new Map<number, { shard: number; resolve: (reply: ShardReply | null) => void }>();
  readonly #retired: Float64Array = new Float64Array(COUNTERS.slots);
  #nextRequest = 1;
  #options: ServerOptions;
  #identity: ServerIdentity;
  #stopping = false;

  constructor(
    shards: number,
    options: ServerOptions,
    identity: ServerIdentity,
    logger: Logger,
    events: TopologyEvents,
  ) {
    this.#count = shards;
    this.#options = options;
    this.#identity = identity;
    this.#logger = logger;
    this.#events = events;
    this.#threads = options.jetStream === null ? shards : shards + 1;
    this.#doorbells = createDoorbells(this.#threads);
    this.#ringBytes = ringSize(this.#threads);
    this.#directAnswers = options.jetStream === null ? null : createDirectAnswers();
    this.#admission[ADMISSION.nextCid] = FIRST_CID;
    this.accounts.add(options.accounts);
  }

  get shardCount(): number {
    return this.#count;
  }

  /** Starts all shards. Resolves when each has said that it is ready. */
  async start(): Promise<void> {
    const links = this.#allLinks();
    for (let thread = 0; thread < this.#count; thread++) {
      this.#shards[thread] = this.#spawn(thread, links[thread]!, 0);
    }
    if (this.#threads > this.#count) this.#persistence = this.#spawnPersistence(links[this.#count]!);
    await Promise.all([...this.#shards.map(({ ready }) => ready), this.#persistence?.ready]);
  }

  /** Index of the shard with the fewest connections. */
  leastLoaded(): number {
    let best = -1;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (let shard = 0; shard < this.#shards.length; shard++) {
      const handle = this.#shards[shard]!;
      if (!handle.alive) continue;
      const load = openConnections(handle);
      if (load < bestLoad) {
        best = shard;
        bestLoad = load;
      }
    }
    return best;
  }

  /** Hands accepted connections to a shard; they end here when it has died meanwhile. */
  hand(shard: number, list: HandedConnection[]): void {
    const handle = this.#shards[shard]!;
    if (!handle.alive) {
      for (const { fd, socket } of list) abandon(fd, socket);
      return;
    }
    const adopted = handle.counters[COUNTERS.adopted]!;
    const sockets = list.flatMap(({ socket }) => (socket === null ? [] : [socket]));
    try {
      handle.worker.postMessage({ kind: 'connections', list } satisfies ToShard, sockets as never[]);
      handle.inFlight.add(list, adopted);
      handle.open.add(list);
    } catch (error) {
      // A socket that failed since it was accepted can't be transferred, and takes the others of the message along.
      this.#logger.error(`Error accepting client connection: ${(error as Error).message}`);
      const admitted = list.filter(({ refusal }) => refusal === '').length;
      handle.admitted -= admitted;
      Atomics.sub(this.#admission, ADMISSION.open, admitted);
      for (const { fd, socket } of list) abandon(fd, socket);
    }
  }

  /** Connections of all shards, those on their way included. */
  get openConnections(): number {
    return this.#shards.reduce((sum, handle) => sum + (handle.alive ? openConnections(handle) : 0), 0);
  }

  get aliveShards(): number {
    return this.#shards.reduce((sum, { alive }) => sum + (alive ? 1 : 0), 0);
  }

  /** A connection will be handed to the shard: it counts from now on. */
  expect(shard: number): void {
    this.#shards[shard]!.admitted++;
    Atomics.add(this.#admission, ADMISSION.open, 1);
  }

  /** Number of the next connection; shards that accept by themselves take theirs from the same place. */
  nextCid(): number {
    return Atomics.add(this.#admission, ADMISSION.nextCid, 1);
  }

  send(shard: number, message: ToShard): void {
    if (this.#shards[shard]?.alive === true) this.#shards[shard]!.worker.postMessage(message);
  }

  broadcast(message: ToShard): void {
    for (let shard = 0; shard < this.#shards.length; shard++) this.send(shard, message);
  }

  /** Asks every living shard; one that dies meanwhile doesn't answer. */
  async ask(message: (request: number) => ToShard): Promise<ShardReply[]> {
    const replies = this.#shards.map((_handle, shard) => this.askShard(shard, message));
    return (await Promise.all(replies)).filter((reply): reply is ShardReply => reply !== null);
  }

  /** Asks one shard. @returns `null` when it doesn't live */
  async askShard(shard: number, message: (request: number) => ToShard): Promise<ShardReply | null> {
    if (this.#shards[shard]?.alive !== true) return null;
    const request = this.#nextRequest++;
    return new Promise<ShardReply | null>((resolve) => {
      this.#requests.set(request, { shard, resolve });
      this.send(shard, message(request));
    });
  }

  /** Sum of a counter over all shards, those that died included. */
  counter(slot: number): number {
    let sum = this.#retired[slot]!;
    for (const handle of this.#shards) if (handle.alive) sum += handle.counters[slot]!;
    return sum;
  }

  /** Whether every thread has turned in the last `withinMs`; a shard that is being restarted counts as turning. */
  allBeat(withinMs: number): boolean {
    const nowMs = Date.now();
    const shardsBeat = this.#shards.every(({ alive, counters, startedAtMs }) => {
      const last = Math.max(counters[COUNTERS.heartbeatMs]!, startedAtMs);
      return !alive || nowMs - last < withinMs;
    });
    return shardsBeat && this.#persistence?.beats(withinMs) !== false;
  }

  /** `null` without JetStream. */
  get persistence(): PersistenceThread | null {
    return this.#persistence;
  }

  connectionsOf(shard: number): number {
    const handle = this.#shards[shard];
    return handle?.alive === true ? handle.counters[COUNTERS.connections]! : 0;
  }

  /** New options for all shards, and for those that are started later. Resolves when all of them act on them. */
  async reconfigure(options: ServerOptions, identity: ServerIdentity): Promise<void> {
    this.#options = options;
    this.#identity = identity;
    this.accounts.add(options.accounts);
    const accountIndexes = this.accounts.byName;
    // First, so that a client of a new account finds its streams.
    await this.#persistence?.reconfigure(options, accountIndexes);
    await this.ask((request) => ({ kind: 'options', request, options, identity, accountIndexes }));
    await this.ask((request) => ({ kind: 'enforce-account-limits', request }));
  }

  /** The listeners are bound: INFO can say where. */
  updateIdentity(identity: ServerIdentity): void {
    this.#identity = identity;
    this.broadcast({ kind: 'identity', identity });
  }

  /** Ends a shard's thread as if it had failed: its connections are lost and another takes its place. */
  async killShard(shard: number): Promise<void> {
    await this.#shards[shard]!.worker.terminate();
  }

  /** Ends the persistence thread as if it had failed. */
  async killPersistence(): Promise<void> {
    await this.#persistence?.kill();
  }

  /** Ends all threads; connections must have been closed before. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#shards.map(({ worker }) => worker.terminate()));
    await this.#persistence?.stop();
  }

  #spawnPersistence(links: ThreadLinkMemory[]): PersistenceThread {
    const start = {
      thread: this.#count,
      threads: this.#threads,
      options: this.#options,
      serverName: this.#identity.serverName,
      doorbells: this.#doorbells,
      links,
      directAnswers: this.#directAnswers!,
      accountIndexes: this.accounts.byName,
      seed: (Math.random() * 0x7fffffff) | 0,
    };
    return new PersistenceThread(start, this.#logger, (error) => this.#events.persistenceLost(error));
  }

  #spawn(thread: number, links: ThreadLinkMemory[], failures: number): ShardHandle {
    const counters = new SharedArrayBuffer(COUNTERS.slots * 8);
    const accountShare = this.accounts.newShare();
    const start: ShardStart = {
      thread,
      threads: this.#threads,
      options: this.#options,
      identity: this.#identity,
      doorbells: this.#doorbells,
      counters,
      accountConnections: this.accounts.connections,
      ownAccountConnections: accountShare,
      admission: this.#admissionMemory,
      links,
      directAnswers: this.#directAnswers,
      accountIndexes: this.accounts.byName,
      seed: (Math.random() * 0x7fffffff) | 0,
    };
    const worker = new Worker(new URL('./shard.js', import.meta.url), {
      workerData: start,
      transferList: links.map(({ port }) => port),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
      name: `shard-${thread}`,
      // Of a program that embeds the server: `--input-type`, loaders and the like are not meant for this thread.
      execArgv: process.execArgv.filter((argument) => PROFILING_FLAG.test(argument)),
    });
    const ready = new Promise<void>((resolve, reject) => {
      worker.on('message', (message: FromShard) => {
        if (message.kind === 'ready') resolve();
        else this.#received(thread, handle, message);
      });
      worker.once('error', reject);
    });
    ready.catch(() => undefined);
    const handle: ShardHandle = {
      worker,
      counters: new Float64Array(counters),
      ready,
      alive: true,
      startedAtMs: Date.now(),
      failures,
      admitted: 0,
      accountShare: new Int32Array(accountShare),
      inFlight: new InFlight(),
      open: new OpenConnections(),
    };
    let failure: Error | null = null;
    worker.on('error', (error) => {
      failure = error;
    });
    worker.once('exit', (code) => {
      handle.alive = false;
      if (!this.#stopping)
        this.#lost(thread, handle, failure ?? new Error(`the thread exited with code ${code}`));
    });
    return handle;
  }

  #received(thread: number, { worker, open }: ShardHandle, message: FromShard): void {
    if (message.kind === 'closed') open.remove(message.snapshot.cid);
    else if (message.kind === 'not-opened') open.remove(message.cid);
    if (message.kind === 'reply') {
      this.#requests.get(message.request)?.resolve(message.result);
      this.#requests.delete(message.request);
      return;
    }
    this.#events.message(thread, message, (reply) => worker.postMessage(reply));
  }

  /** A shard died: tell the others, keep its totals, start another. */
  #lost(thread: number, handle: ShardHandle, error: Error): void {
    this.#logger.error(`Shard ${thread} died, its connections are closed: ${error.stack ?? error.message}`);
    for (const [request, { shard, resolve }] of this.#requests) {
      if (shard !== thread) continue;
      this.#requests.delete(request);
      resolve(null);
    }
    handle.inFlight.abandon(handle.counters[COUNTERS.adopted]!);
    Atomics.sub(this.#admission, ADMISSION.open, openConnections(handle));
    this.accounts.releaseShare(handle.accountShare);
    for (let slot = 0; slot < COUNTERS.slots; slot++) {
      const gone =
        slot === COUNTERS.connections || slot === COUNTERS.subscriptions || slot >= COUNTERS.loopLagMs;
      if (!gone) this.#retired[slot]! += handle.counters[slot]!;
    }
    this.broadcast({ kind: 'thread-lost', thread });
    this.#persistence?.threadLost(thread);
    this.#events.lost(thread, error, handle.open.closed(Date.now()));
    const lived = Date.now() - handle.startedAtMs;
    const failures = lived > RESTART_FORGIVE_MS ? 1 : handle.failures + 1;
    const delayMs = Math.min(RESTART_DELAY_MS * 2 ** (failures - 1), RESTART_DELAY_MAX_MS);
    setTimeout(() => this.#restart(thread, failures), failures === 1 ? 0 : delayMs);
  }

  #restart(thread: number, failures: number): void {
    if (this.#stopping) return;
    const own: ThreadLinkMemory[] = [];
    for (let other = 0; other < this.#count; other++) {
      if (other === thread || this.#shards[other]?.alive !== true) continue;
      const [mine, theirs] = this.#link(thread, other);
      own.push(mine);
      this.#shards[other]!.worker.postMessage({ kind: 'thread-link', link: theirs } satisfies ToShard, [
        theirs.port,
      ]);
    }
    if (this.#persistence !== null) {
      const [mine, theirs] = this.#link(thread, this.#persistence.thread);
      own.push(mine);
      this.#persistence.link(theirs);
    }
    this.#shards[thread] = this.#spawn(thread, own, failures);
    this.#shards[thread]!.ready.then(
      () => {
        this.#logger.notice(`Shard ${thread} restarted`);
        this.#events.restarted(thread);
      },
      () => undefined,
    );
  }

  #allLinks(): ThreadLinkMemory[][] {
    const links: ThreadLinkMemory[][] = Array.from({ length: this.#threads }, () => []);
    for (let a = 0; a < this.#threads; a++) {
      for (let b = a + 1; b < this.#threads; b++) {
        const [mine, theirs] = this.#link(a, b);
        links[a]!.push(mine);
        links[b]!.push(theirs);
      }
    }
    return links;
  }

  /** Fresh memory between two threads, as each of them sees it. */
  #link(a: number, b: number): [ThreadLinkMemory, ThreadLinkMemory] {
    const toB = createRing(this.#ringBytes);
    const toA = createRing(this.#ringBytes);
    const largeToB = new SharedArrayBuffer(8);
    const largeToA = new SharedArrayBuffer(8);
    const { port1, port2 } = new MessageChannel();
    return [
      { thread: b, outRing: toB, inRing: toA, outLarge: largeToB, inLarge: largeToA, port: port1 },
      { thread: a, outRing: toA, inRing: toB, outLarge: largeToA, inLarge: largeToB, port: port2 },
    ];
  }
}

/** Exact however late the shard looks: what was admitted and hasn't ended. */
function openConnections({ admitted, counters }: ShardHandle): number {
  return admitted + counters[COUNTERS.acceptedHere]! - counters[COUNTERS.ended]!;
}

function ringSize(threads: number): number {
  const pairs = Math.max(threads * (threads - 1), 1);
  let size = RING_MAX_BYTES;
  while (size > RING_MIN_BYTES && size * pairs > RINGS_TOTAL_BYTES) size /= 2;
  return size;
}
