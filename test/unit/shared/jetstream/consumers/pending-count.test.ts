import { beforeEach, describe, expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import type { Consumer } from '../../../../../src/shared/jetstream/consumers/runtime/consumer.ts';
import { StoredMessage } from '../../../../../src/shared/jetstream/store/contract.ts';
import { subjectMatches } from '../../../../../src/shared/subject/subject.ts';
import { ACCOUNT, Harness } from '../engine-harness.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

/** Sequences and subjects of what the stream has. */
function live(): { sequence: number; subject: string }[] {
  const { store } = js.engine.account(ACCOUNT)!.streams.get('S')!;
  const message = new StoredMessage();
  const found = [];
  for (let at = 0; store.next(null, at, message); at = message.sequence + 1)
    found.push({ sequence: message.sequence, subject: message.subject() });
  return found;
}

/** What a consumer has to have pending, and the list of last messages it began with. */
class Known {
  readonly consumer: Consumer;
  readonly list: ReadonlySet<number>;
  readonly listEnd: number;

  constructor(consumer: Consumer) {
    this.consumer = consumer;
    const lasts = new Map<string, number>();
    const isListed = consumer.config.deliverPolicy === 'last_per_subject';
    for (const { sequence, subject } of isListed ? live() : []) lasts.set(subject, sequence);
    this.list = new Set(lasts.values());
    this.listEnd = Math.max(0, ...this.list);
  }

  get expected(): number {
    const { filters } = this.consumer.settings;
    const { streamSeq } = this.consumer.state;
    return live().filter(({ sequence, subject }) => {
      if (sequence < streamSeq || (sequence <= this.listEnd && !this.list.has(sequence))) return false;
      return filters.length === 0 || filters.some((filter) => subjectMatches(subject, filter));
    }).length;
  }
}

const SUBJECTS = ['s.a', 's.b', 's.c'];
const CONFIGURATIONS = [
  {},
  { filterSubject: 's.a' },
  { filterSubjects: ['s.c', 's.a'] },
  { filterSubjects: ['s.a', 's.c'] },
  { deliverPolicy: 'last_per_subject' as const },
  { deliverPolicy: 'last_per_subject' as const, filterSubject: 's.b' },
  { deliverPolicy: 'new' as const },
  { deliverPolicy: 'by_start_sequence' as const, optStartSeq: 700 },
  { ackPolicy: 'none' as const },
];

/** One thing that may happen to the messages of the stream. */
function happen(random: Prng): void {
  const kind = random.below(20);
  // Some bursts are longer than a page of removals, some than the time after which a count is given up.
  const burst = kind === 0 ? 300 : kind === 1 && random.below(4) === 0 ? 4400 : 1 + random.below(3);
  if (kind < 14) for (let i = 0; i < burst; i++) js.publish(SUBJECTS[random.below(3)]!);
  else if (kind < 18) {
    const all = live();
    if (all.length > 0) js.ask('STREAM.MSG.DELETE.S', { seq: all[random.below(all.length)]!.sequence });
  } else if (kind === 18) js.ask('STREAM.PURGE.S', { filter: SUBJECTS[random.below(3)] });
  else js.ask('STREAM.PURGE.S', { keep: random.below(12) });
}

test.each([
  1, 2, 3, 4, 5, 6,
])('agrees with a count of what is there, whenever it is asked: seed %i', (seed) => {
  const random = new Prng(seed);
  js.create('S', { subjects: ['s.*'], max_msgs: 30 });
  const known: Known[] = [];
  for (let step = 0; step < 400; step++) {
    if (step % 20 === 0) {
      const name = `c${step}`;
      known.push(new Known(js.consumer('S', name, CONFIGURATIONS[random.below(CONFIGURATIONS.length)])));
    }
    const { consumer, list } = known[random.below(known.length)]!;
    const kind = random.below(8);
    if (kind < 5) happen(random);
    else if (kind === 5) js.pull('S', consumer.name, { batch: 1 + random.below(4), no_wait: true });
    else if (kind === 6 && list.size === 0)
      consumer.update({ ...consumer.config, filterSubjects: [], filterSubject: 's.b' });
    for (const each of known) {
      if (random.below(10) > 0) continue;
      const { name, numPending } = each.consumer;
      expect([step, name, numPending]).toEqual([step, name, each.expected]);
    }
  }
});

describe('who is told', () => {
  beforeEach(() => {
    js.create('S', { subjects: ['s.*'], storage: 'memory' });
  });

  test('a message asks for no turn of those who wait for none', () => {
    for (let i = 0; i < 5; i++) js.consumer('S', `c${i}`);
    js.settle();
    js.publish('s.a');
    expect(js.engine.hasReady).toBe(false);
    const inbox = js.pull('S', 'c3', { batch: 2, expires: 60e9 });
    expect(js.take(inbox)).toHaveLength(1);
    js.publish('s.a');
    expect(js.engine.hasReady).toBe(true);
    js.settle();
    expect(js.take(inbox)).toHaveLength(1);
    js.publish('s.a');
    expect(js.engine.hasReady).toBe(false);
  });

  test('one that begins beyond the end is left alone until its message is there', () => {
    const consumer = js.consumer('S', 'c', { deliverPolicy: 'by_start_sequence', optStartSeq: 3 });
    expect(consumer.numPending).toBe(0);
    const inbox = js.pull('S', 'c', { batch: 2, expires: 60e9 });
    js.publish('s.a');
    js.publish('s.a');
    expect(js.engine.hasReady).toBe(false);
    js.publish('s.a');
    expect(consumer.numPending).toBe(1);
    js.settle();
    expect(js.take(inbox)).toHaveLength(1);
  });

  test('a crowd that waits is woken in portions, each of them', () => {
    const inboxes: string[] = [];
    for (let i = 0; i < 100; i++) {
      js.consumer('S', `c${i}`);
      inboxes.push(js.pull('S', `c${i}`, { batch: 10, expires: 60e9 }));
    }
    js.publish('s.a');
    // The first portion has run, the others have not, when the next message comes.
    js.engine.runReady(3);
    js.publish('s.b');
    js.settle();
    expect(inboxes.map((inbox) => js.take(inbox).length)).toEqual(inboxes.map(() => 2));
    js.publish('s.c');
    js.settle();
    expect(inboxes.map((inbox) => js.take(inbox).length)).toEqual(inboxes.map(() => 1));
    expect(js.engine.hasReady).toBe(false);
  });

  test('one of a crowd may go while it is woken', () => {
    const consumers = Array.from({ length: 40 }, (_, i) => js.consumer('S', `c${i}`));
    const inboxes = consumers.map(({ name }) => js.pull('S', name, { batch: 10, expires: 60e9 }));
    js.publish('s.a');
    for (const consumer of consumers.slice(1)) consumer.manager.delete(consumer);
    js.settle();
    expect(js.take(inboxes[0]!)).toHaveLength(1);
    expect(js.take(inboxes[39]!).map(({ subject }) => subject)).toEqual(['']);
    consumers[0]!.manager.delete(consumers[0]!);
    js.publish('s.a');
    expect(js.engine.hasReady).toBe(false);
  });

  test('one whose listener went and came before anybody said so gets what was stored meanwhile', () => {
    js.listen('d');
    js.consumer('S', 'c', { deliverSubject: 'd', maxAckPending: 0 });
    js.settle();
    js.interest.length = 0;
    js.publish('s.a');
    js.settle();
    expect(js.take('d')).toEqual([]);
    js.listen('d');
    js.settle();
    expect(js.take('d')).toHaveLength(1);
  });

  test('the removal of a delivered message settles it, at whoever has it', () => {
    const [a, b] = ['a', 'b'].map((name) => js.consumer('S', name, { filterSubject: 's.a' }));
    js.publish('s.a');
    js.publish('s.a');
    js.pull('S', 'a', '1');
    js.ask('STREAM.MSG.DELETE.S', { seq: 1 });
    expect([a, b].map((each) => each!.status().numAckPending)).toEqual([0, 0]);
    expect([a, b].map((each) => each!.numPending)).toEqual([1, 1]);
    js.pull('S', 'a', '1');
    js.pull('S', 'b', '1');
    js.ask('STREAM.MSG.DELETE.S', { seq: 2 });
    expect([a, b].map((each) => each!.status().numAckPending)).toEqual([0, 0]);
  });
});
