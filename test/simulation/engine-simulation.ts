/**
 * Runs the JetStream engine over the real store on a simulated disk: clients' work drawn from a seed, a crash at a random call
 * to the disk, recovery; again and again.
 *
 * Two models watch, and neither knows the other. `history.ts` sees what the engine asks of the store, and says whether a
 * recovered store is a prefix of it. `engine-model.ts` sees what clients see, and says whether answers and streams are what
 * the specification makes of the same requests. So: acknowledged implies recovered, byte for byte; sequences are not given
 * out twice; batches are whole or not there; limits hold after a restart; copies of other streams miss and repeat nothing.
 *
 * Consumers have their place in `#step` (their requests), `#reconcile` (what time does to them) and `#recover` (what must have
 * survived: ack floors do not fall).
 */
import { Prng } from '../../src/shared/base/prng.ts';
import { streamIdentity } from '../../src/shared/jetstream/origin-copy.ts';
import type { Store, StreamStore } from '../../src/shared/jetstream/store/contract.ts';
import type { StoreOptions } from '../../src/shared/jetstream/store/open.ts';
import type { Stream } from '../../src/shared/jetstream/stream.ts';
import { ACCOUNT, Harness, type SentMessage } from '../unit/shared/jetstream/engine-harness.ts';
import { commitSomehow, LogFaults } from './commits.ts';
import { messagesDifference } from './compare.ts';
import { checkSchedules, reconcileCopies, reconcileOwn } from './copies.ts';
import { SimulatedDisk } from './disk.ts';
import { EngineModelStream, headerLines, type Outcome, type Publish } from './engine-model.ts';
import { History, historyStore, loadMessage } from './history.ts';
import { ModelStream } from './model.ts';
import { diskAfter, recover, workUntilCrash } from './rounds.ts';
import {
  randomBatch,
  randomConfig,
  randomLimits,
  randomPublish,
  randomPurge,
  STREAM_NAMES,
  type StreamName,
} from './workload.ts';

type Json = Record<string, unknown>;

const STEPS = 150;
const START_MS = 1_800_000_000_000;

/** An acknowledgement that waits for the disk. */
interface Pending {
  ticket: number;
  model: EngineModelStream;
  sequences: number[];
}

function fail(what: string): never {
  throw new Error(what);
}

export class EngineSimulation {
  readonly #random: Prng;
  readonly #options: StoreOptions;
  readonly #history = new History(ACCOUNT);
  #disk = new SimulatedDisk();
  #store: Store | null = null;
  #js: Harness<Store> | null = null;
  #models = new Map<string, EngineModelStream>();
  /** By uid, deleted ones too: a crash may bring them back. */
  #known = new Map<number, EngineModelStream>();
  readonly #configs = new Map<string, Json>();
  #pending: Pending[] = [];
  #nowMs = START_MS;
  #batches = 0;
  /** What is being done, for messages of failure. */
  #what = '';
  crashes = 0;
  /** Steps of work. */
  changes = 0;
  acknowledged = 0;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    this.#options = {
      segmentBytes: 32 * 1024,
      logMaxBytes: 256 * 1024,
      checkpointBytes: 8 * 1024 + this.#random.below(64 * 1024),
      cacheBytes: this.#random.below(2) === 0 ? 1 : 1 << 20,
      indexCacheBytes: this.#random.below(2) === 0 ? 1 : 1 << 20,
      cipher: ([null, 'chacha20-poly1305', 'aes-256-gcm'] as const)[this.#random.below(3)]!,
      key: 'secret',
      previousKey: '',
    };
  }

  /** Runs `rounds` times: work until a crash or a stop, then recovery. Throws with what was wrong. */
  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.#disk.crashAfter = this.#random.below(8) === 0 ? -1 : this.#random.below(350);
      workUntilCrash(
        () => this.#work(),
        () => `round ${round}, ${this.#what}`,
      );
      this.crashes++;
      this.#store = null;
      this.#js = null;
      this.#disk = diskAfter(this.#disk, this.#random);
    }
    this.#disk.crashAfter = -1;
    this.#recover();
  }

  #work(): void {
    const faults = new LogFaults(this.#random, STEPS);
    this.#recover();
    const store = this.#store!;
    for (let step = 0; step < STEPS; step++) {
      faults.step(store, this.#disk, () => this.#step());
      this.#noteSynced(store.syncedTicket);
    }
    if (this.#random.below(2) === 0) faults.run(store, this.#disk, () => this.#close());
  }

  // --- restart -----------------------------------------------------------------------------------------------------

  #recover(): void {
    this.#what = 'recovery';
    const opened = recover(this.#disk, this.#random, this.#options);
    this.#checkPromises(opened);
    this.#history.recovered(opened);
    this.#models = new Map();
    this.#pending = [];
    // A mirror first catches up with what its origin had: a message that expires in the same tick may come over or not.
    if (opened.find(ACCOUNT, 'M') === null) this.#nowMs += this.#random.below(3) * this.#random.below(2000);
    const js = new Harness<Store>({}, historyStore(opened, this.#history), this.#nowMs);
    this.#store = opened;
    this.#js = js;
    for (const [name, stream] of js.engine.account(ACCOUNT)!.streams) {
      const { store } = stream;
      const known = this.#known.get(store.uid) ?? null;
      const { config } = stream;
      const model = EngineModelStream.recovered(store.uid, config, contentOf(store), known, this.#nowMs);
      model.identity = streamIdentity(stream);
      this.#models.set(name, model);
      this.#checkLimits(name, model);
    }
    this.#known = new Map([...this.#models.values()].map((model) => [model.uid, model]));
    for (const model of this.#models.values()) model.recoverPositions(this.#models);
    for (const text of js.warnings) {
      if (!text.includes('has no readable configuration')) fail(`warning at the start: ${text}`);
    }
  }

  /** What clients were told is there, unless the engine itself removed it since. */
  #checkPromises(store: Store): void {
    for (const [name, model] of this.#models) {
      const live = this.#history.live.streams.get(name);
      if (model.config.storage === 'memory' || live === undefined) continue;
      const stream = store.find(ACCOUNT, name);
      if (stream === null || stream.uid !== model.uid) {
        if (model.highestPromised > 0 && stream === null) fail(`${name}: an acknowledged stream is gone`);
        continue;
      }
      if (stream.lastSeq < model.highestPromised)
        fail(`${name}: ${model.highestPromised} was acknowledged, the last sequence is ${stream.lastSeq}`);
      for (const sequence of model.promised) {
        const expected = live.messages.get(sequence);
        if (expected === undefined) continue;
        const found = loadMessage(stream, sequence);
        if (JSON.stringify(found) !== JSON.stringify(expected))
          fail(`${name}: acknowledged message ${sequence} is ${JSON.stringify(found)}`);
      }
    }
  }

  /** A crash between a message and the removals it causes must not leave a stream beyond its limits. */
  #checkLimits(name: string, model: EngineModelStream): void {
    const { messages } = model;
    const count = messages.size;
    model.enforceAll();
    if (model.messages.size !== count)
      fail(`${name}: ${count - model.messages.size} messages beyond the limits`);
  }

  #close(): void {
    this.#what = 'close';
    if (this.#store!.close() !== null) fail('cannot close');
    this.#noteSynced(Infinity);
  }

  // --- steps -------------------------------------------------------------------------------------------------------

  #step(): void {
    this.changes++;
    const random = this.#random;
    const js = this.#js!;
    this.#store!.reuseMemory();
    if (js.clock.nanos >= 990_000) this.#elapse(1);
    const kind = random.below(100);
    if (kind < 15) this.#commit();
    else if (kind < 25) this.#store!.tick(js.clock.ms);
    else if (kind < 35) this.#elapse(random.below(4) === 0 ? random.below(3000) : random.below(100));
    else if (kind < 45) this.#administer();
    else this.#client();
    this.#nowMs = js.clock.ms;
    if (random.below(40) === 0) this.#compareAll();
  }

  #client(): void {
    const name = STREAM_NAMES[this.#random.below(STREAM_NAMES.length)]!;
    const model = this.#models.get(name);
    if (model === undefined || model.copies) return;
    if (name === 'B' && this.#random.below(2) === 0) {
      if (this.#random.below(2) === 0) this.#atomicBatch(model);
      else this.#fastBatch(model);
    } else this.#publish(model);
    this.#compare(name);
  }

  #commit(): void {
    this.#what = 'commit';
    const store = this.#store!;
    if (this.#random.below(6) === 0) store.commit(false);
    else commitSomehow(this.#random, store);
  }

  /** Everything up to the ticket must survive from now on: clients may have been told. */
  #noteSynced(ticket: number): void {
    this.#history.synced(ticket);
    const waiting: Pending[] = [];
    for (const pending of this.#pending) {
      if (pending.ticket > ticket) {
        waiting.push(pending);
        continue;
      }
      for (const sequence of pending.sequences) {
        pending.model.promised.add(sequence);
        pending.model.highestPromised = Math.max(pending.model.highestPromised, sequence);
        this.acknowledged++;
      }
    }
    this.#pending = waiting;
  }

  /** An acknowledgement was handed over: it has to wait for everything staged so far. */
  #promise(model: EngineModelStream, reply: SentMessage, sequences: number[]): void {
    const ticket = model.config.storage === 'memory' ? 0 : this.#store!.ticket;
    if (reply.ticket !== ticket) fail(`acknowledgement with ticket ${reply.ticket}, staged is ${ticket}`);
    this.#pending.push({ ticket, model, sequences });
  }

  #publish(model: EngineModelStream): void {
    const js = this.#js!;
    const message = randomPublish(this.#random, model, js.clock);
    this.#what = `publish ${JSON.stringify({ ...message, payload: message.payload.length })}`;
    const [reply] = js.request(message.subject, message.payload, headerLines(message.headers));
    const outcome = model.publish(message, js.clock);
    this.#checkReply(model, reply, outcome);
  }

  #checkReply(model: EngineModelStream, reply: SentMessage | undefined, outcome: Outcome): void {
    if (reply === undefined) fail('no reply');
    const found = JSON.parse(reply.payload) as Json;
    if (outcome.error !== 0) {
      const code = (found.error as Json | undefined)?.err_code;
      if (code !== outcome.error) fail(`answered ${reply.payload}, should be error ${outcome.error}`);
      return;
    }
    const expected: Json = { stream: model.config.name, seq: outcome.seq };
    if (outcome.duplicate) expected.duplicate = true;
    if (outcome.val !== '') expected.val = outcome.val;
    if (JSON.stringify(found) !== JSON.stringify(expected))
      fail(`answered ${reply.payload}, should be ${JSON.stringify(expected)}`);
    this.#promise(model, reply, [outcome.seq]);
  }

  #atomicBatch(model: EngineModelStream): void {
    const js = this.#js!;
    const messages = randomBatch(this.#random, model);
    const id = `atomic${this.#batches++}`;
    const commits = this.#random.below(5) !== 0;
    this.#what = `atomic batch of ${messages.length}, ${commits ? 'committed' : 'left open'}`;
    let reply: SentMessage | undefined;
    messages.forEach(({ headers, subject, payload }, i) => {
      headers.push(['Nats-Batch-Id', id], ['Nats-Batch-Sequence', String(i + 1)]);
      if (commits && i === messages.length - 1) headers.push(['Nats-Batch-Commit', '1']);
      [reply] = js.request(subject, payload, headerLines(headers));
    });
    if (reply === undefined) fail('no reply');
    if (!commits) {
      if (reply.payload !== '') fail(`a staged message was answered ${reply.payload}`);
      return;
    }
    for (let i = 0; i < messages.length; i++) {
      const problem = model.problem(messages[i]!, js.clock, messages.slice(0, i));
      if (problem !== null) {
        this.#checkReply(model, reply, problem);
        return;
      }
    }
    const sequences = messages.map((message) => model.store(model.messageOf(message, js.clock), js.clock.ms));
    this.#checkBatchReply(model, reply, id, sequences);
  }

  #checkBatchReply(model: EngineModelStream, reply: SentMessage, id: string, sequences: number[]): void {
    const expected = `{"stream":"B","seq":${sequences.at(-1)},"batch":"${id}","count":${sequences.length}}`;
    if (reply.payload !== expected) fail(`answered ${reply.payload}, should be ${expected}`);
    this.#promise(model, reply, sequences);
  }

  #fastBatch(model: EngineModelStream): void {
    const js = this.#js!;
    const id = `fast${this.#batches++}`;
    const count = 1 + this.#random.below(15);
    const commits = this.#random.below(5) !== 0;
    this.#what = `fast batch of ${count}, ${commits ? 'committed' : 'left open'}`;
    const sequences: number[] = [];
    for (let i = 1; i <= count; i++) {
      const message: Publish = { subject: `B.${1 + (i % 3)}`, headers: [], payload: `${id}/${i}` };
      const operation = commits && i === count ? 2 : i === 1 ? 0 : 1;
      js.publish(message.subject, message.payload, '', `_INBOX.fast.${id}.10.ok.${i}.${operation}.$FI`);
      sequences.push(model.store(model.messageOf(message, js.clock), js.clock.ms));
    }
    if (!commits) return;
    const reply = js.sent.findLast(({ subject }) => subject.startsWith(`_INBOX.fast.${id}.`));
    if (reply === undefined) fail('no reply');
    this.#checkBatchReply(model, reply, id, sequences);
  }

  // --- administration ----------------------------------------------------------------------------------------------

  #administer(): void {
    const name = STREAM_NAMES[this.#random.below(STREAM_NAMES.length)]!;
    const model = this.#models.get(name);
    const kind = this.#random.below(20);
    if (model === undefined) this.#create(name);
    else if (kind === 0) this.#delete(name);
    else if (kind < 6) this.#update(name, model);
    else if (model.copies) this.#elapse(0);
    else if (kind < 10) this.#purge(name, model);
    else this.#deleteMessage(name, model);
    if (this.#models.has(name)) this.#compare(name);
  }

  #create(name: StreamName): void {
    const config = randomConfig(this.#random, name);
    this.#what = `create ${JSON.stringify(config)}`;
    const reply = this.#js!.ask(`STREAM.CREATE.${name}`, config);
    if (reply.error !== undefined) fail(JSON.stringify(reply.error));
    this.#configs.set(name, config);
    const stream = this.#streamOf(name);
    const model = new EngineModelStream(stream.store.uid, stream.config);
    model.identity = streamIdentity(stream);
    this.#models.set(name, model);
    this.#known.set(model.uid, model);
  }

  #delete(name: StreamName): void {
    this.#what = `delete ${name}`;
    const reply = this.#js!.ask(`STREAM.DELETE.${name}`);
    if (reply.success !== true) fail(JSON.stringify(reply));
    this.#models.delete(name);
  }

  #update(name: StreamName, model: EngineModelStream): void {
    const config = { ...this.#configs.get(name), ...randomLimits(this.#random, name) };
    if (config.max_age !== undefined && config.max_age !== 0) config.duplicate_window = 2e9;
    this.#what = `update ${JSON.stringify(config)}`;
    const reply = this.#js!.ask(`STREAM.UPDATE.${name}`, config);
    if (reply.error !== undefined) fail(JSON.stringify(reply.error));
    this.#configs.set(name, config);
    model.config = this.#streamOf(name).config;
    model.enforceAll();
  }

  #purge(name: StreamName, model: EngineModelStream): void {
    const body = randomPurge(this.#random, model);
    this.#what = `purge ${name} ${JSON.stringify(body)}`;
    const reply = this.#js!.ask(`STREAM.PURGE.${name}`, body);
    const { filter, seq = 0, keep = 0 } = body as { filter?: string; seq?: number; keep?: number };
    const purged = seq === 1 ? 0 : model.purge(filter === undefined ? null : [filter], seq, keep);
    if (reply.purged !== purged) fail(`${JSON.stringify(reply)}, should be ${purged}`);
  }

  #deleteMessage(name: StreamName, model: EngineModelStream): void {
    const seq = Math.max(1, model.firstSeq - 1 + this.#random.below(model.lastSeq - model.firstSeq + 3));
    const body = { seq, no_erase: this.#random.below(2) === 0 };
    this.#what = `delete message ${name} ${JSON.stringify(body)}`;
    const reply = this.#js!.ask(`STREAM.MSG.DELETE.${name}`, body);
    const removed = model.remove(seq);
    if ((reply.success === true) !== removed) fail(`${JSON.stringify(reply)}, should be ${removed}`);
  }

  // --- time and comparison -----------------------------------------------------------------------------------------

  /** Does what is due, then lets time pass; what the engine does in each of its ticks is looked at by itself. */
  #elapse(ms: number): void {
    const { clock, engine } = this.#js!;
    const end = clock.ms + ms;
    for (let ticks = 0; ; ticks++) {
      const due = engine.nextDueMs();
      if (ticks > 10_000) fail(`the engine is never done, at ${clock.ms} due is ${due}`);
      if (due > end) break;
      clock.ms = Math.max(clock.ms, due);
      this.#what = `tick at ${clock.ms}`;
      engine.tick();
      this.#reconcile();
    }
    clock.ms = end;
    this.#reconcile();
    for (const [name, model] of this.#models) {
      if (model.copies) model.checkComplete(this.#models);
      if (name === 'S') checkSchedules(model, end);
    }
  }

  /** Takes over what a tick did, after a look at whether it should have. */
  #reconcile(): void {
    const { clock } = this.#js!;
    // Origins first: a marker may have been made and copied in one tick.
    for (const [name, model] of this.#models)
      if (!model.copies) reconcileOwn(model, this.#streamOf(name).store, clock.ms);
    for (const [name, model] of this.#models)
      if (model.copies) reconcileCopies(model, this.#streamOf(name).store, this.#models, clock.ms);
    for (const name of this.#models.keys()) this.#compare(name);
  }

  #streamOf(name: string): Stream {
    return this.#js!.engine.account(ACCOUNT)!.streams.get(name) ?? fail(`stream ${name} is gone`);
  }

  /** The figures; messages one by one are compared by `#compareAll`, at restarts, and when figures differ. */
  #compare(name: string): void {
    const model = this.#models.get(name)!;
    const { store } = this.#streamOf(name);
    const same =
      store.messages === model.messages.size &&
      store.firstSeq === model.firstSeq &&
      store.lastSeq === model.lastSeq &&
      store.bytes === model.bytes;
    if (same) return;
    fail(`${name}: ${messagesDifference(store, model)}`);
  }

  #compareAll(): void {
    for (const [name, model] of this.#models) {
      const difference = messagesDifference(this.#streamOf(name).store, model);
      if (difference !== null) fail(`${name}: ${difference}`);
    }
  }
}

/** Everything a recovered stream holds; that it is right was checked before. */
function contentOf(stream: StreamStore): ModelStream {
  const model = new ModelStream();
  for (let sequence = stream.nextSeq(null, 1); sequence > 0; sequence = stream.nextSeq(null, sequence + 1)) {
    const message = loadMessage(stream, sequence);
    if (message !== null) model.messages.set(sequence, message);
  }
  model.firstSeq = stream.firstSeq;
  model.lastSeq = stream.lastSeq;
  model.lastMs = stream.lastTimestampMs;
  return model;
}
