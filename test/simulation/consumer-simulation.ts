import { Prng } from '../../src/shared/base/prng.ts';
import type { Consumer } from '../../src/shared/jetstream/consumers/runtime/consumer.ts';
import { encodeState } from '../../src/shared/jetstream/consumers/runtime/state-log.ts';
import { type Store, StoredMessage } from '../../src/shared/jetstream/store/contract.ts';
import type { StoreOptions } from '../../src/shared/jetstream/store/open.ts';
import type { Stream } from '../../src/shared/jetstream/stream.ts';
import { subjectMatches } from '../../src/shared/subject/subject.ts';
import { ACCOUNT, Harness, type Received } from '../unit/shared/jetstream/engine-harness.ts';
import { commitSomehow, LogFaults } from './commits.ts';
import { textOf } from './compare.ts';
import { SimulatedDisk } from './disk.ts';
import { diskAfter, recover, workUntilCrash } from './rounds.ts';

/**
 * Consumers of the real engine on the real store and a simulated disk, driven from a seed: random pulls, acknowledgements of
 * every kind, deletions, purges, jumps of the clock, crashes and restarts.
 *
 * What must hold at any time: what was acknowledged and said to be so is not delivered again, crash or not; floors
 * do not fall below what was synced; `max_ack_pending` is kept; first deliveries ascend; counts are those of a naive count; a
 * work queue has what was not acknowledged and nothing else; a consumer without acknowledgements is handed nothing that a
 * crash takes back; an answer to a message that a crash took back changes nothing. And in the end: everything that was not
 * acknowledged is delivered again.
 */

const OPTIONS: StoreOptions = {
  segmentBytes: 16 * 1024,
  logMaxBytes: 128 * 1024,
  checkpointBytes: 12 * 1024,
  indexCacheBytes: 1 << 20,
  cipher: null,
  key: '',
  previousKey: '',
};
const SUBJECTS = ['a', 'b', 'c'];
const ACK_WAIT_MS = 10_000;
const STEPS = 80;
/** Messages in hand of former processes. */
const OLD_KEPT = 30;
const ANSWERS = ['+ACK', '', '-NAK', '-NAK 3s', '+WPI', '+TERM', '+NXT'];

const STREAMS = [
  { name: 'L', config: { max_msgs: 60 } },
  { name: 'W', config: { retention: 'workqueue' } },
  { name: 'I', config: { retention: 'interest' } },
] as const;

const CONSUMERS = [
  { stream: 'L', name: 'all', config: {} },
  { stream: 'L', name: 'some', config: { filterSubject: 'L.b', maxAckPending: 5 } },
  { stream: 'L', name: 'upto', config: { ackPolicy: 'all' as const, filterSubjects: ['L.a', 'L.c'] } },
  { stream: 'L', name: 'too', config: {} },
  { stream: 'L', name: 'rare', config: { filterSubject: 'L.b' } },
  { stream: 'L', name: 'silent', config: { ackPolicy: 'none' as const } },
  { stream: 'W', name: 'ab', config: { filterSubjects: ['W.a', 'W.b'], maxAckPending: 7 } },
  { stream: 'W', name: 'c', config: { filterSubject: 'W.c' } },
  { stream: 'I', name: 'one', config: {} },
  { stream: 'I', name: 'two', config: { filterSubject: 'I.a' } },
];

/** What is known of one consumer. */
class Known {
  readonly stream: string;
  readonly name: string;
  /** Acknowledged since the start of the process. */
  readonly acked = new Set<number>();
  /** Acknowledged, and the reply has left: holds whatever happens. */
  readonly durable = new Set<number>();
  /** Acknowledged before a crash, and nobody was told: may be known or not. */
  readonly uncertain = new Set<number>();
  /** Replies that wait for their ticket. */
  waiting: { ticket: number; sequences: number[] }[] = [];
  syncedFloor = 0;
  lastFirst = 0;
  /** Messages in hand, with their subjects to acknowledge. */
  readonly hand: Received[] = [];
  /** Messages that may be gone after a crash. */
  fresh: Received[] = [];
  /** Messages of former processes, some of which are gone. */
  old: Received[] = [];
  /** Without acknowledgements: payloads of what was delivered, by sequence. */
  readonly seen = new Map<number, string>();

  constructor(stream: string, name: string) {
    this.stream = stream;
    this.name = name;
  }
}

/** Stream sequence that a subject of acknowledgements names. */
function sequenceOf(reply: string): number {
  return Number(reply.split('.')[5]);
}

export class ConsumerSimulation {
  readonly #random: Prng;
  readonly #options: StoreOptions;
  readonly #known: Known[];
  #disk = new SimulatedDisk();
  #js: Harness<Store> | null = null;
  #nowMs = 1_800_000_000_000;
  #inboxes: { known: Known; inbox: string }[] = [];
  /** Commits don't wait for the disk. */
  #lazy = false;
  #published = 0;
  crashes = 0;
  deliveries = 0;
  /** Messages that were delivered and not on the disk. */
  earlyDeliveries = 0;
  /** Answers to messages whose sequence another message had, after a crash. */
  staleAnswers = 0;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    this.#options = { ...OPTIONS, cacheBytes: this.#random.below(2) === 0 ? 1 : 1 << 20 };
    this.#known = CONSUMERS.map(({ stream, name }) => new Known(stream, name));
  }

  run(rounds: number): void {
    this.#open();
    for (const { name, config } of STREAMS) {
      this.#harness.create(name, { subjects: [`${name}.*`], ...config });
    }
    for (const { stream, name, config } of CONSUMERS) {
      this.#harness.consumer(stream, name, { ackWaitNs: BigInt(ACK_WAIT_MS) * 1_000_000n, ...config });
    }
    this.#settle();
    for (let round = 0; round < rounds; round++) this.#round(round);
  }

  #round(round: number): void {
    this.#disk.crashAfter = this.#random.below(6) === 0 ? -1 : this.#random.below(160);
    const isDone = workUntilCrash(
      () => this.#work(),
      () => `round ${round}`,
    );
    this.#disk.crashAfter = -1;
    this.#stop(isDone);
  }

  #work(): void {
    if (this.#js === null) this.#open();
    const faults = new LogFaults(this.#random, STEPS);
    this.#lazy = true;
    for (let step = 0; step < STEPS; step++) {
      faults.step(this.#harness.store, this.#disk, () => this.#step());
    }
    this.#lazy = false;
    this.#disk.crashAfter = -1;
    this.#disk.failSync = null;
    this.#check();
    if (this.#random.below(3) === 0) this.#drain();
  }

  /** As the server does: consumers deliver what is on the disk, those who keep their position in the log before that. */
  #commit(): boolean {
    const { store, engine } = this.#harness;
    if (this.#lazy) commitSomehow(this.#random, store);
    else store.commit(true);
    return store.syncedTicket >= engine.appendedTicket;
  }

  get #harness(): Harness<Store> {
    return this.#js!;
  }

  #open(): void {
    const store = recover(this.#disk, this.#random, this.#options);
    this.#js = new Harness<Store>({}, store, this.#nowMs);
    this.#js.commit = () => this.#commit();
    for (const known of this.#known) {
      const consumer = this.#find(known);
      if (consumer === null) continue;
      const { ackFloor } = consumer.status();
      this.#assert(ackFloor.streamSeq >= known.syncedFloor, known, `floor fell to ${ackFloor.streamSeq}`);
      this.#checkKept(known);
    }
  }

  /** After a crash: sequences at the end are given out again, but for none that somebody relies on. */
  #checkKept(known: Known): void {
    const { lastSeq } = this.#stream(known.stream)!.store;
    for (const sequence of known.uncertain) if (sequence > lastSeq) known.uncertain.delete(sequence);
    for (const sequence of known.durable)
      this.#assert(sequence <= lastSeq, known, `${sequence} was acknowledged and is gone`);
    const isGone = ({ reply, payload }: Received) => this.#payloadOf(known, sequenceOf(reply)) !== payload;
    known.old = known.old
      .filter((message) => isGone(message) || this.#random.below(4) === 0)
      .slice(-OLD_KEPT);
    for (const [sequence, payload] of known.seen) {
      const stored = this.#payloadOf(known, sequence);
      const isKept = sequence <= lastSeq && (stored === null || stored === payload);
      this.#assert(isKept, known, `${sequence} was delivered without acknowledgement and is gone`);
    }
  }

  /** Payload of a message that is there; each was published once. */
  #payloadOf({ stream }: Known, sequence: number): string | null {
    const stored = new StoredMessage();
    return this.#stream(stream)!.store.load(sequence, stored) ? textOf(stored.payload()) : null;
  }

  /** The machine crashes, or everything is closed properly: only where no crash has come already. */
  #stop(isDone: boolean): void {
    // A process doesn't start in the millisecond in which another one ended.
    this.#nowMs = (this.#js?.clock.ms ?? this.#nowMs) + 1 + this.#random.below(100);
    this.#noteDurable();
    this.#lazy = false;
    const clean = isDone && this.#random.below(4) === 0;
    if (clean && this.#js !== null) {
      this.#settle();
      this.#harness.store.close();
    }
    this.crashes++;
    this.#js = null;
    this.#inboxes = [];
    this.#disk = diskAfter(this.#disk, this.#random);
    for (const known of this.#known) {
      if (!clean) {
        for (const sequence of known.acked) known.uncertain.add(sequence);
        known.acked.clear();
      }
      for (const sequence of known.durable) known.acked.add(sequence);
      known.waiting = [];
      known.old.push(...known.hand.splice(0), ...known.fresh.splice(0));
      known.lastFirst = 0;
    }
  }

  #find(known: Known): Consumer | null {
    return this.#stream(known.stream)?.consumers.find(known.name) ?? null;
  }

  #stream(name: string): Stream | null {
    return this.#harness.engine.account(ACCOUNT)?.streams.get(name) ?? null;
  }

  #step(): void {
    const random = this.#random;
    const known = this.#known[random.below(this.#known.length)]!;
    const kind = random.below(100);
    this.#harness.store.reuseMemory();
    if (kind < 35) {
      const { name } = STREAMS[random.below(STREAMS.length)]!;
      const subject = `${name}.${SUBJECTS[random.below(SUBJECTS.length)]}`;
      const byte = String.fromCharCode(33 + random.below(90));
      this.#harness.publish(
        subject,
        `${++this.#published} ${byte.repeat(random.below(8) === 0 ? random.below(2000) : random.below(60))}`,
      );
    } else if (kind < 55) this.#pull(known);
    else if (kind < 76) this.#answer(known);
    else if (kind < 85) this.#answerOld(known);
    else if (kind < 90) this.#harness.advance(random.below(ACK_WAIT_MS));
    else if (kind < 93) this.#harness.store.tick(this.#harness.clock.ms);
    else if (kind < 95) this.#harness.ask('STREAM.MSG.DELETE.L', { seq: 1 + random.below(400) });
    else if (kind < 96) this.#harness.ask('STREAM.PURGE.L', { keep: random.below(30) });
    else if (kind < 97) this.#harness.ask('STREAM.PURGE.L', { filter: 'L.b' });
    else this.#settle();
    this.#collect();
    if (random.below(10) === 0) this.#checkCount(this.#known[random.below(this.#known.length)]!);
  }

  /** Compares with a count that knows nothing of indexes. */
  #checkCount(known: Known): void {
    const status = this.#find(known)!.status();
    const ahead = this.#live(known).filter((sequence) => sequence > status.delivered.streamSeq).length;
    this.#assert(status.numPending === ahead, known, `num_pending ${status.numPending}, not ${ahead}`);
  }

  #pull(known: Known): void {
    const batch = 1 + this.#random.below(10);
    const patience = [{ no_wait: true }, { expires: 5e9 }][this.#random.below(2)]!;
    const inbox = this.#harness.pull(known.stream, known.name, { batch, ...patience });
    this.#inboxes.push({ known, inbox });
    if (this.#inboxes.length > 40) this.#harness.closedInboxes.add(this.#inboxes.shift()!.inbox);
  }

  /** Takes what came, and looks whether it may have come. */
  #collect(): void {
    const came: { known: Known; message: Received; consumerSeq: number }[] = [];
    for (const { known, inbox } of this.#inboxes) {
      for (const message of this.#harness.take(inbox)) {
        if (message.subject !== '')
          came.push({ known, message, consumerSeq: Number(message.reply.split('.')[6]) });
      }
    }
    // One request after the other was looked at; they were served in turns.
    came.sort((a, b) => a.consumerSeq - b.consumerSeq);
    for (const { known, message } of came) this.#delivered(known, message);
    this.#noteDurable();
  }

  /** Replies whose ticket is synced may have left. */
  #noteDurable(): void {
    if (this.#js === null) return;
    const { store } = this.#js;
    for (const known of this.#known) {
      known.waiting = known.waiting.filter(({ ticket, sequences }) => {
        if (ticket > store.syncedTicket) return true;
        for (const sequence of sequences) known.durable.add(sequence);
        return false;
      });
    }
  }

  #delivered(known: Known, message: Received): void {
    this.deliveries++;
    const [, , , , deliveries, text] = message.reply.split('.');
    const sequence = Number(text);
    this.#assert(!known.acked.has(sequence), known, `${sequence} was acknowledged`);
    const { engine, store } = this.#harness;
    const stored = new StoredMessage();
    if (store.syncedTicket < engine.appendedTicket) {
      this.earlyDeliveries++;
      known.fresh.push(message);
    }
    if (this.#stream(known.stream)!.store.load(sequence, stored)) {
      const same = stored.subject() === message.subject && textOf(stored.payload()) === message.payload;
      this.#assert(same, known, `${sequence} was delivered as ${JSON.stringify(message)}`);
    }
    if (this.#find(known)!.config.ackPolicy === 'none') {
      const before = known.seen.get(sequence) ?? message.payload;
      this.#assert(message.payload === before, known, `${sequence} was delivered as another message`);
      known.seen.set(sequence, message.payload);
    } else known.hand.push(message);
    if (deliveries !== '1') return;
    this.#assert(sequence > known.lastFirst, known, `${sequence} after ${known.lastFirst}`);
    known.lastFirst = sequence;
  }

  /** An answer to a message of a former process: that process may have been the last that knew of it. */
  #answerOld(known: Known): void {
    const message = known.old.splice(this.#random.below(Math.max(1, known.old.length)), 1)[0];
    const consumer = this.#find(known);
    if (message === undefined || consumer === null) return;
    const sequence = sequenceOf(message.reply);
    const stored = this.#payloadOf(known, sequence);
    if (stored === message.payload) {
      this.#answerTo(known, consumer, message);
      return;
    }
    const { pending } = consumer.state;
    const before = stored === null ? pending.size : encodeState(consumer.state).join();
    const body = ANSWERS[this.#random.below(ANSWERS.length)]!;
    const [reply] = this.#harness.request(message.reply, body);
    const after = stored === null ? pending.size : encodeState(consumer.state).join();
    this.#assert(before === after, known, `an answer to ${message.reply} changed ${before} to ${after}`);
    if (stored === null) return;
    if (sequence < consumer.state.streamSeq) this.staleAnswers++;
    const settles = body === '+ACK' || body === '' || body === '+TERM';
    const isConfirmed = settles && reply !== undefined;
    this.#assert(!isConfirmed, known, `an answer to ${message.reply} was confirmed`);
  }

  #answer(known: Known): void {
    const consumer = this.#find(known);
    const message = known.hand.splice(this.#random.below(Math.max(1, known.hand.length)), 1)[0];
    if (message !== undefined && consumer !== null) this.#answerTo(known, consumer, message);
  }

  #answerTo(known: Known, consumer: Consumer, message: Received): void {
    const kind = this.#random.below(10);
    if (kind === 0) this.#harness.publish(message.reply, '-NAK');
    else if (kind === 1) this.#harness.publish(message.reply, '-NAK 3s');
    else if (kind === 2) this.#harness.publish(message.reply, '+WPI');
    else {
      const body = kind === 3 ? '+TERM' : '+ACK';
      const sequence = sequenceOf(message.reply);
      const sequences = [sequence];
      // The process that delivered it is gone, and that it did: nothing is known of it.
      if (sequence >= consumer.state.streamSeq) {
        this.#harness.publish(message.reply, body);
        return;
      }
      const { pending } = consumer.state;
      const isAll = consumer.config.ackPolicy === 'all';
      const counts = !isAll || sequence > consumer.state.floorStreamSeq;
      for (let at = pending.first; isAll && counts && at < pending.end; at = pending.next(at)) {
        if (pending.sequence(at) < sequence) sequences.push(pending.sequence(at));
      }
      // Should the machine crash on the way, nobody knows whether it was in time.
      const unknown = sequences.filter((each) => !known.uncertain.has(each));
      for (const each of unknown) known.uncertain.add(each);
      const [reply] = this.#harness.request(message.reply, body);
      for (const each of unknown) known.uncertain.delete(each);
      const isSettled = sequences.filter((each) => pending.find(each) < 0);
      for (const each of isSettled) known.acked.add(each);
      if (reply !== undefined) known.waiting.push({ ticket: reply.ticket, sequences: isSettled });
    }
  }

  #settle(): void {
    this.#harness.settle();
    const { store } = this.#harness;
    // What was delivered may be staged still.
    if (!this.#lazy) store.commit(true);
    if (store.syncedTicket < store.ticket) return;
    for (const known of this.#known) {
      const consumer = this.#find(known);
      if (consumer !== null) known.syncedFloor = consumer.status().ackFloor.streamSeq;
    }
  }

  #check(): void {
    this.#settle();
    this.#collect();
    for (const known of this.#known) {
      const consumer = this.#find(known)!;
      const status = consumer.status();
      const { maxAckPending } = consumer.config;
      this.#assert(status.numAckPending <= maxAckPending, known, `${status.numAckPending} pending`);
      this.#checkCount(known);
      const { pending } = consumer.state;
      if (pending.size > 0) {
        const least = pending.sequence(pending.first);
        this.#assert(status.ackFloor.streamSeq < least, known, `floor at or above ${least}`);
      }
      if (known.stream === 'L') continue;
      const kept = this.#live(known).filter((sequence) => !this.#isWanted(known.stream, sequence));
      this.#assert(kept.length === 0, known, `nobody needs ${kept.join()}`);
    }
  }

  /** Whether a consumer of the stream has not acknowledged a message that matches. */
  #isWanted(stream: string, sequence: number): boolean {
    return this.#known.some(
      (known) =>
        known.stream === stream && !known.acked.has(sequence) && this.#live(known).includes(sequence),
    );
  }

  #live(known: Known): number[] {
    const stream = this.#stream(known.stream)!;
    const { filters } = this.#find(known)!.settings;
    const message = new StoredMessage();
    const found: number[] = [];
    for (let at = 0; stream.store.next(null, at, message); at = message.sequence + 1) {
      const subject = message.subject();
      if (filters.length === 0 || filters.some((filter) => subjectMatches(subject, filter)))
        found.push(message.sequence);
    }
    return found;
  }

  /** Everything that was not acknowledged comes, if one waits and asks for long enough. */
  #drain(): void {
    for (const known of this.#known) {
      const consumer = this.#find(known)!;
      consumer.update({ ...consumer.config, maxAckPending: 100_000 });
      const isSilent = consumer.config.ackPolicy === 'none';
      const from = isSilent ? consumer.state.streamSeq : 0;
      const expected = this.#live(known).filter(
        (sequence) => sequence >= from && !known.acked.has(sequence) && !known.uncertain.has(sequence),
      );
      this.#harness.advance(ACK_WAIT_MS + 5000);
      const inbox = this.#harness.pull(known.stream, known.name, { batch: 1000, expires: 60e9 });
      this.#inboxes.push({ known, inbox });
      this.#harness.advance(ACK_WAIT_MS + 5000);
      const before = known.hand.length;
      this.#collect();
      const came = new Set(
        isSilent ? known.seen.keys() : known.hand.slice(before).map(({ reply }) => sequenceOf(reply)),
      );
      const missing = expected.filter((sequence) => !came.has(sequence));
      this.#assert(missing.length === 0, known, `never came: ${missing.join()}`);
      this.#harness.closedInboxes.add(inbox);
      const { config } = CONSUMERS.find(({ name }) => name === known.name)!;
      const most = 'maxAckPending' in config ? config.maxAckPending : 1000;
      consumer.update({
        ...consumer.config,
        maxAckPending: Math.max(most, consumer.state.pending.size),
      });
    }
    this.#settle();
  }

  #assert(holds: boolean, { stream, name }: Known, what: string): void {
    if (!holds) throw new Error(`${stream} > ${name}, crash ${this.crashes}: ${what}`);
  }
}
