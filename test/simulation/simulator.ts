import { Prng } from '../../src/shared/base/prng.ts';
import { type Store, StoredMessage, type StreamStore } from '../../src/shared/jetstream/store/contract.ts';
import type { StoreOptions } from '../../src/shared/jetstream/store/open.ts';
import { commitSomehow, LogFaults } from './commits.ts';
import {
  answerDifference,
  bytesOf,
  draftOf,
  modelOf,
  sameMessage,
  storeDifference,
  textOf,
} from './compare.ts';
import { SimulatedDisk } from './disk.ts';
import { type ModelMessage, ModelStore, ModelStream } from './model.ts';
import { diskAfter, recover, workUntilCrash } from './rounds.ts';

/**
 * Runs the store on the simulated disk: random work, a crash at a random call to the disk, recovery, comparison; again and again
 * from one seed.
 *
 * After a crash the store must be what the model was after some prefix of the work, one that has everything whose ticket
 * had been synced. From there both go on. So: acknowledged implies recovered, byte for byte; sequences are not used twice
 * (the model gives them out too); groups are whole or not there.
 */

const SUBJECTS = ['a.1', 'a.2', 'a.3', 'b.1', 'b.2.x', 'c'];
const STEPS = 120;
const NAMES = ['one', 'two', 'three'];

/** One change: applied to the store, and to any model. */
interface Change {
  model: (store: ModelStore) => void;
  /** Position in the log behind it. */
  ticket: number;
  /** A crash may not come between this one and the next. */
  grouped: boolean;
}

export class Simulation {
  readonly #random: Prng;
  #options: StoreOptions;
  /** The last change of keys is through: a clean stop came after it. */
  #keySettled = true;
  #disk = new SimulatedDisk();
  #store: Store | null = null;
  #model = new ModelStore();
  /** State of the model when everything was synced, and the changes since. */
  #base = new ModelStore();
  #since: Change[] = [];
  #nowMs = 1_000_000;
  #grouped = false;
  /** Messages that were loaded, and what they were then. */
  #views: { loaded: StoredMessage; content: ModelMessage }[] = [];
  crashes = 0;
  changes = 0;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    const cipher = ([null, 'chacha20-poly1305', 'aes-256-gcm'] as const)[this.#random.below(3)]!;
    this.#options = {
      segmentBytes: 16 * 1024,
      logMaxBytes: 128 * 1024,
      checkpointBytes: 8 * 1024 + this.#random.below(32 * 1024),
      cacheBytes: this.#random.below(2) === 0 ? 1 : 1 << 20,
      indexCacheBytes: this.#random.below(2) === 0 ? 1 : 1 << 20,
      cipher,
      key: 'secret',
      previousKey: '',
    };
  }

  /** Runs `rounds` times: work until a crash or a clean stop, then recovery. Throws with the difference found. */
  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      const crashing = this.#random.below(8) !== 0;
      this.#disk.crashAfter = crashing ? this.#random.below(200) : -1;
      workUntilCrash(
        () => this.#work(),
        () => `round ${round}`,
      );
      this.crashes++;
      this.#grouped = false;
      this.#store = null;
      this.#disk = diskAfter(this.#disk, this.#random);
    }
    this.#open();
  }

  #work(): void {
    const faults = new LogFaults(this.#random, STEPS);
    this.#open();
    const store = this.#store!;
    for (let step = 0; step < STEPS; step++) {
      faults.step(store, this.#disk, () => this.#step());
      this.#noteSynced(store.syncedTicket);
    }
    if (this.#random.below(2) === 0) faults.run(store, this.#disk, () => this.#close());
  }

  /** Now and then encryption is switched on, or the key or the cipher changed. */
  #changeKey(): void {
    if (this.#random.below(8) !== 0) return;
    const cipher = this.#random.below(2) === 0 ? 'chacha20-poly1305' : 'aes-256-gcm';
    const { cipher: before, key } = this.#options;
    if (before === null || !this.#keySettled) this.#options = { ...this.#options, cipher };
    else this.#options = { ...this.#options, cipher, key: `${key}+`, previousKey: key };
    if (before !== null) this.#keySettled = false;
  }

  #open(): void {
    if (this.#store !== null) return;
    this.#changeKey();
    const store = recover(this.#disk, this.#random, this.#options);
    this.#views = [];
    this.#recovered(store);
    this.#store = store;
    for (const stream of store.streams()) this.#attach(stream);
  }

  /** Finds the prefix of the changes that the store shows. */
  #recovered(store: Store): void {
    const taken = new Map<string, string>();
    for (const stream of store.streams()) {
      for (const key of stream.consumerLogKeys()) {
        const log = stream.takeConsumerLog(key)!;
        taken.set(
          `${stream.name} ${key}`,
          [log.snapshot ?? new Uint8Array(0), ...log.records].map(textOf).join(''),
        );
      }
    }
    const candidate = this.#base;
    let difference = this.#differenceOf(store, candidate, taken);
    for (let i = 0; difference !== null && i < this.#since.length; i++) {
      const change = this.#since[i]!;
      change.model(candidate);
      if (change.grouped) continue;
      const next = this.#differenceOf(store, candidate, taken);
      if (next === null || i === this.#since.length - 1) difference = next;
    }
    if (difference !== null)
      throw new Error(`no prefix of ${this.#since.length} changes fits: ${difference}`);
    this.#model = candidate.clone();
    this.#since = [];
  }

  #differenceOf(store: Store, model: ModelStore, taken: ReadonlyMap<string, string>): string | null {
    const difference = storeDifference(store, model);
    if (difference !== null) return difference;
    let consumers = 0;
    for (const [name, stream] of model.streams) {
      for (const [key, records] of stream.consumers) {
        if (taken.get(`${name} ${key}`) !== records) return `${name}: consumer ${key} differs`;
        consumers++;
      }
    }
    return consumers === taken.size ? null : `${taken.size} consumers instead of ${consumers}`;
  }

  #attach(stream: StreamStore): void {
    // Half of the streams keep records, the others give snapshots.
    if (stream.uid % 2 === 0) return;
    stream.setSnapshotSource((key) => {
      const records = this.#model.streams.get(stream.name)?.consumers.get(key);
      return records === undefined ? null : bytesOf(records);
    });
  }

  #close(): void {
    const store = this.#store!;
    if (store.close() !== null) throw new Error('cannot close');
    this.#keySettled = true;
    this.#noteSynced(Number.POSITIVE_INFINITY);
  }

  /** Everything up to the ticket must survive from now on. */
  #noteSynced(ticket: number): void {
    let count = 0;
    while (count < this.#since.length && this.#since[count]!.ticket <= ticket) count++;
    for (const { model } of this.#since.splice(0, count)) model(this.#base);
  }

  #done(model: (store: ModelStore) => void): void {
    this.changes++;
    model(this.#model);
    this.#since.push({ model, ticket: this.#store!.ticket, grouped: this.#grouped });
  }

  #step(): void {
    const random = this.#random;
    this.#nowMs += random.below(1000);
    const kind = random.below(100);
    const store = this.#store!;
    if ((kind >= 18 && kind < 30) || random.below(3) === 0) {
      this.#checkViews();
      store.reuseMemory();
    }
    if (kind < 4) this.#createOrDrop(store);
    else if (kind < 16) commitSomehow(random, store);
    else if (kind < 18) store.commit(false);
    else if (kind < 30) store.tick(this.#nowMs);
    else if (kind < 33) this.#group(store);
    else this.#change(store);
  }

  #createOrDrop(store: Store): void {
    const name = NAMES[this.#random.below(NAMES.length)]!;
    const stream = store.find('A', name);
    if (stream === null) {
      const compression = this.#random.below(2) === 0;
      const firstSeq = this.#random.below(3) === 0 ? 100 : 0;
      const spec = {
        account: 'A',
        name,
        storage: 'file',
        compression,
        firstSeq,
        blockBytes: 32_000,
      } as const;
      const created = store.createStream(spec);
      if (created === null) throw new Error(store.failure!.message);
      this.#done((model) => {
        const fresh = new ModelStream();
        fresh.firstSeq = firstSeq;
        fresh.lastSeq = Math.max(0, firstSeq - 1);
        model.streams.set(name, fresh);
      });
      this.#attach(created);
    } else if (this.#random.below(4) === 0) {
      if (!store.dropStream(stream)) throw new Error(store.failure!.message);
      this.#done((model) => model.streams.delete(name));
    }
  }

  #group(store: Store): void {
    const streams = store.streams();
    if (streams.length === 0) return;
    const stream = streams[this.#random.below(streams.length)]!;
    store.beginGroup();
    this.#grouped = true;
    const count = 1 + this.#random.below(5);
    for (let i = 0; i < count; i++) {
      if (i === count - 1) this.#grouped = false;
      this.#append(stream);
    }
    store.endGroup();
    this.#since.at(-1)!.ticket = store.ticket;
  }

  /** What was loaded has to stay as it was until now. */
  #checkViews(): void {
    for (const { loaded, content } of this.#views.splice(0)) {
      if (!sameMessage(modelOf(loaded), content))
        throw new Error(`${loaded.sequence} has changed since it was loaded: ${JSON.stringify(content)}`);
    }
  }

  #load(stream: StreamStore): void {
    const loaded = new StoredMessage();
    if (stream.load(this.#sequence(stream), loaded)) this.#views.push({ loaded, content: modelOf(loaded) });
  }

  #change(store: Store): void {
    const streams = store.streams();
    if (streams.length === 0) return;
    const stream = streams[this.#random.below(streams.length)]!;
    const kind = this.#random.below(100);
    this.#load(stream);
    if (kind < 60) this.#append(stream);
    else if (kind < 85) this.#removal(stream, kind);
    else if (kind < 90) this.#metadata(stream);
    else if (kind < 96) this.#consumer(stream);
    else {
      const difference = answerDifference(
        stream,
        this.#model.streams.get(stream.name)!,
        this.#sequence(stream),
      );
      if (difference !== null) throw new Error(`${stream.name}: ${difference}`);
    }
  }

  #message(): ModelMessage {
    const random = this.#random;
    const bytes = random.below(10) === 0 ? random.below(5000) : random.below(300);
    return {
      subject: SUBJECTS[random.below(SUBJECTS.length)]!,
      headers: random.below(3) === 0 ? `NATS/1.0\r\nX: ${random.below(1000)}\r\n\r\n` : '',
      payload: String.fromCharCode(random.below(256)).repeat(bytes),
      timestampMs: this.#nowMs,
      timestampNanos: random.below(1_000_000),
      ttlSeconds: random.below(10) === 0 ? random.below(100) : 0,
    };
  }

  #append(stream: StreamStore): void {
    const message = this.#message();
    const explicit = this.#random.below(20) === 0 ? stream.lastSeq + 1 + this.#random.below(30) : 0;
    const before = stream.lastSeq;
    const sequence = stream.append(draftOf(message, explicit));
    if (sequence < 0) throw new Error(stream.failure!.message);
    if (sequence <= before) throw new Error(`sequence ${sequence} after ${before}`);
    const { name } = stream;
    // The skip and the message are two records: the skip alone may survive.
    const grouped = this.#grouped;
    if (explicit > before + 1) {
      this.#done((model) => model.streams.get(name)!.skip(explicit - 1, message.timestampMs));
    }
    this.#grouped = grouped;
    this.#done((model) => model.streams.get(name)!.append(sequence, message));
  }

  #sequence(stream: StreamStore): number {
    const span = stream.lastSeq - stream.firstSeq + 3;
    return Math.max(1, stream.firstSeq - 1 + this.#random.below(Math.max(1, span)));
  }

  #removal(stream: StreamStore, kind: number): void {
    const random = this.#random;
    const { name } = stream;
    const sequence = this.#sequence(stream);
    const expected = this.#model.streams.get(name)!.clone();
    let removed: number;
    let apply: (model: ModelStream) => number;
    if (kind < 75) {
      const target = random.below(2) === 0 ? stream.firstSeq : sequence;
      removed = stream.remove(target, random.below(4) === 0) > 0 ? 1 : 0;
      apply = (model) => (model.remove(target) ? 1 : 0);
    } else if (kind < 79) {
      const patterns = random.below(3) === 0 ? null : [['a.1'], ['a.*'], ['a.1', 'b.>']][random.below(3)]!;
      const filter = patterns === null ? null : stream.filter(patterns);
      const keep = random.below(2) * random.below(5);
      const beforeSeq = keep === 0 ? random.below(2) * sequence : 0;
      removed = stream.purge({ filter, beforeSeq, keep });
      apply = (model) => model.purge(patterns, beforeSeq, keep);
    } else if (kind < 82) {
      removed = stream.compact(sequence);
      apply = (model) => model.compact(sequence);
    } else if (kind < 83) {
      const target = Math.max(stream.firstSeq, stream.lastSeq - random.below(5));
      removed = stream.truncate(target);
      apply = (model) => model.truncate(target);
    } else {
      const through = stream.lastSeq + 1 + random.below(3);
      removed = stream.skip(through, this.#nowMs, 0) ? 0 : -1;
      const at = this.#nowMs;
      apply = (model) => {
        model.skip(through, at);
        return 0;
      };
    }
    const wanted = apply(expected);
    if (removed !== wanted) throw new Error(`${name}: ${removed} removed instead of ${wanted}`);
    this.#done((model) => apply(model.streams.get(name)!));
  }

  #metadata(stream: StreamStore): void {
    const { name } = stream;
    const key = `k${this.#random.below(4)}`;
    const value = this.#random.below(4) === 0 ? null : 'v'.repeat(this.#random.below(200));
    if (!stream.putMetadata(key, value === null ? null : bytesOf(value)))
      throw new Error(stream.failure!.message);
    this.#done((model) => {
      if (value === null) model.streams.get(name)!.metadata.delete(key);
      else model.streams.get(name)!.metadata.set(key, value);
    });
  }

  #consumer(stream: StreamStore): void {
    const { name } = stream;
    const key = `c${this.#random.below(3)}`;
    if (this.#random.below(10) === 0) {
      if (!stream.dropConsumer(key)) throw new Error(stream.failure!.message);
      this.#done((model) => model.streams.get(name)!.consumers.delete(key));
      return;
    }
    const record = `r${this.#random.below(1000)};`;
    if (!stream.logConsumer(key, bytesOf(record))) throw new Error(stream.failure!.message);
    this.#done((model) => {
      const { consumers } = model.streams.get(name)!;
      consumers.set(key, (consumers.get(key) ?? '') + record);
    });
  }
}
