import { beforeEach, describe, expect, test } from 'vitest';
import { releaseMessage, releaseUnneeded } from '../../../../src/shared/jetstream/retention.ts';
import type { StreamReader } from '../../../../src/shared/jetstream/stream-consumers.ts';
import { Harness } from './engine-harness.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

/** A reader that wants some subjects and is done with what it was told to forget. */
class FakeReader implements StreamReader {
  readonly events: string[] = [];
  readonly done = new Set<number>();
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  hasInterest(subject: string): boolean {
    return subject.startsWith(this.prefix);
  }

  needs(sequence: number, subject: string): boolean {
    return this.hasInterest(subject) && !this.done.has(sequence);
  }

  stored(sequence: number): void {
    this.events.push(`stored ${sequence}`);
  }

  removed(sequence: number, subject: string, reason: string): void {
    this.events.push(`removed ${sequence} ${subject} ${reason}`);
  }

  purged(): void {
    this.events.push('purged');
  }
}

describe('retention by interest', () => {
  test('a message nobody wants uses up a sequence', () => {
    const stream = js.create('S', { subjects: ['s.*'], retention: 'interest' });
    const reader = new FakeReader('s.a');
    stream.readers.add(reader);
    expect(js.put('s.b')).toBe('{"stream":"S","seq":1}');
    expect(js.put('s.a')).toBe('{"stream":"S","seq":2}');
    expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 2, last_seq: 2 });
    expect(reader.events).toEqual(['stored 2']);
  });

  test('a message goes when the last reader is done with it', () => {
    const stream = js.create('S', { subjects: ['s.*'], retention: 'interest' });
    const [one, two] = [new FakeReader('s.'), new FakeReader('s.a')];
    stream.readers.add(one);
    stream.readers.add(two);
    js.put('s.a');
    one.done.add(1);
    expect(releaseMessage(stream, 1)).toBe(false);
    two.done.add(1);
    expect(releaseMessage(stream, 1)).toBe(true);
    expect(releaseMessage(stream, 1)).toBe(false);
    expect(js.state('S')).toMatchObject({ messages: 0, first_seq: 2 });
  });

  test('without readers everything goes, but not from a work queue, nor by limits', () => {
    for (const [retention, left] of [
      ['interest', 0],
      ['workqueue', 2],
      ['limits', 2],
    ] as const) {
      const stream = js.create(retention, { subjects: [`${retention}.*`], retention });
      const reader = new FakeReader('');
      stream.readers.add(reader);
      js.put(`${retention}.a`);
      js.put(`${retention}.b`);
      stream.readers.delete(reader);
      releaseUnneeded(stream);
      expect(stream.store.messages).toBe(left);
    }
  });

  test('readers hear of deletes, limits and purges', () => {
    const stream = js.create('S', { subjects: ['s'], max_msgs: 2 });
    const reader = new FakeReader('');
    stream.readers.add(reader);
    for (let i = 0; i < 3; i++) js.put('s');
    js.ask('STREAM.MSG.DELETE.S', { seq: 2 });
    js.ask('STREAM.PURGE.S');
    expect(reader.events).toEqual([
      'stored 1',
      'stored 2',
      'removed 1 s limits',
      'stored 3',
      'removed 2 s deleted',
      'purged',
    ]);
  });
});

describe('mirrors and sources', () => {
  test('a mirror has the sequences, times and gaps of its origin', () => {
    js.create('O', { subjects: ['o.*'] });
    for (const subject of ['o.1', 'o.2', 'o.3'])
      js.put(subject, subject, 'Nats-Expected-Stream: O\r\nA: b\r\n');
    js.ask('STREAM.MSG.DELETE.O', { seq: 2 });
    js.create('M', { mirror: { name: 'O' } });
    js.advance(0);
    expect(js.state('M')).toMatchObject({ messages: 2, first_seq: 1, last_seq: 3, num_deleted: 1 });
    expect(js.message('M', 3)).toEqual({ ...js.message('O', 3), headers: 'NATS/1.0\r\nA: b\r\n\r\n' });
    js.put('o.4', 'later');
    js.advance(0);
    expect(js.message('M', 4)).toMatchObject({ subject: 'o.4', data: 'later' });
    expect(js.ask('STREAM.INFO.M').mirror).toEqual({ name: 'O', lag: 0, active: 0 });
  });

  test('a mirror filters, transforms and begins where it is told to', () => {
    js.create('O', { subjects: ['o.*'] });
    for (const subject of ['o.1', 'o.2', 'o.1', 'o.2']) js.put(subject);
    const transforms = [{ src: 'o.1', dest: 'z' }];
    js.create('M', { mirror: { name: 'O', opt_start_seq: 2, subject_transforms: transforms } });
    js.advance(0);
    expect(js.state('M')).toMatchObject({ messages: 1, first_seq: 3, last_seq: 3 });
    expect(js.message('M', 3)?.subject).toBe('z');
  });

  test('clients cannot publish to a mirror, and it says when its origin is missing', () => {
    js.create('M', { mirror: { name: 'NOPE' } });
    js.advance(0);
    expect(js.subjects).not.toContain('M');
    expect(js.ask('STREAM.INFO.M').mirror).toMatchObject({ active: -1, error: { err_code: 10059 } });
    js.create('NOPE', { subjects: ['n'] });
    js.put('n');
    js.advance(0);
    expect(js.state('M')).toMatchObject({ messages: 1 });
    expect(js.ask('STREAM.INFO.M').mirror).not.toHaveProperty('error');
  });

  test('sources get new sequences and say where they come from', () => {
    const o = js.create('O', { subjects: ['o.*'] });
    js.put('o.1', 'one');
    js.put('o.2', 'two');
    js.create('D', {
      subjects: ['d'],
      sources: [{ name: 'O', subject_transforms: [{ src: 'o.2', dest: 'z.2' }] }],
    });
    js.put('d');
    js.advance(0);
    const source = /^NATS\/1\.0\r\nNats-Stream-Source: O 2 o\.2 z\.2 o\.2 [0-9A-Za-z]{8}\r\n\r\n$/;
    expect(js.message('D', 2)).toMatchObject({
      subject: 'z.2',
      data: 'two',
      headers: expect.stringMatching(source),
    });
    expect(js.ask('STREAM.INFO.D').sources).toMatchObject([{ name: 'O', lag: 0, seq: 2, active: 0 }]);
    expect(o.readers.size).toBe(1);
    js.ask('STREAM.DELETE.D');
    expect(o.readers.size).toBe(0);
  });

  test('sources go on where they were after a restart, and start over with another origin of the name', () => {
    js.create('O', { subjects: ['o'] });
    js.create('D', { sources: [{ name: 'O' }] });
    js.put('o');
    js.advance(0);
    const { store, clock } = js;
    js = new Harness({}, store);
    js.clock.ms = clock.ms + 1;
    js.put('o');
    js.advance(0);
    expect(js.state('D')).toMatchObject({ messages: 2, last_seq: 2 });
    js.ask('STREAM.DELETE.O');
    js.create('O', { subjects: ['o'] });
    js.put('o');
    js.advance(60_000);
    expect(js.state('D')).toMatchObject({ messages: 3 });
  });

  test('messages leave a work queue when their copy is stored', () => {
    js.create('W', { subjects: ['w'], retention: 'workqueue' });
    js.create('D', { sources: [{ name: 'W' }] });
    for (let i = 0; i < 600; i++) js.put('w');
    js.advance(0);
    expect(js.state('D')).toMatchObject({ messages: 600 });
    expect(js.state('W')).toMatchObject({ messages: 0, last_seq: 600 });
  });

  test.each([
    ['mirror', { mirror: { name: 'O' } }],
    ['source', { sources: [{ name: 'O' }] }],
  ])('a %s without message TTLs keeps what has one, until it allows them', (_kind, copy) => {
    js.create('O', { subjects: ['o.*'], allow_msg_ttl: true });
    js.create('D', copy);
    js.create('T', { ...copy, allow_msg_ttl: true });
    js.create('A', { ...copy, max_age: 60e9 });
    js.put('o.a', 'short', 'Nats-TTL: 1s\r\n');
    js.put('o.b', 'kept', 'Nats-TTL: never\r\n');
    js.put('o.c', 'plain');
    js.advance(3000);
    const counts = () => ['O', 'D', 'T', 'A'].map((name) => js.state(name).messages);
    expect(counts()).toEqual([2, 3, 2, 3]);
    expect(js.message('D', 1)).toMatchObject({ data: 'short' });
    js = js.restart();
    js.advance(60_000);
    expect(counts()).toEqual([2, 3, 2, 1]);
    expect(js.message('A', 2)).toMatchObject({ data: 'kept' });
    expect(js.ask('STREAM.UPDATE.D', { name: 'D', ...copy, allow_msg_ttl: true })).not.toHaveProperty(
      'error',
    );
    js.advance(0);
    expect(counts()).toEqual([2, 2, 2, 1]);
  });

  test('a full target waits, and loses nothing', () => {
    js.create('O', { subjects: ['o'] });
    js.create('D', { sources: [{ name: 'O' }], max_msgs: 1, discard: 'new' });
    js.put('o', 'first');
    js.put('o', 'second');
    js.advance(0);
    expect(js.state('D')).toMatchObject({ messages: 1 });
    expect(js.ask('STREAM.INFO.D').sources).toMatchObject([{ lag: 1, seq: 1 }]);
    js.ask('STREAM.PURGE.D');
    js.advance(1000);
    expect(js.message('D', 2)).toMatchObject({ data: 'second' });
  });

  test('counters of several origins add up, however their messages come', () => {
    for (const name of ['A', 'B']) js.create(name, { subjects: [`${name}.c`], allow_msg_counter: true });
    const from = (name: string) => ({ name, subject_transforms: [{ src: `${name}.c`, dest: 'c' }] });
    js.create('T', { sources: [from('A'), from('B')], allow_msg_counter: true });
    js.put('A.c', '', 'Nats-Incr: 2\r\n');
    js.put('B.c', '', 'Nats-Incr: 5\r\n');
    js.advance(0);
    js.put('A.c', '', 'Nats-Incr: -1\r\n');
    js.advance(0);
    expect(js.message('T', 3)).toMatchObject({ subject: 'c', data: '{"val":"6"}' });
    expect(js.message('T', 3)?.headers).toContain('Nats-Counter-Sources: {"A":{"A.c":"1"},"B":{"B.c":"5"}}');
  });

  test('a mirror serves its origin by direct get once it has caught up', () => {
    js.create('O', { subjects: ['o'], allow_direct: true });
    js.put('o', 'x');
    js.create('M', { mirror: { name: 'O' } });
    js.advance(0);
    expect(js.subjects.filter((subject) => subject === '$JS.API.DIRECT.GET.O')).toHaveLength(2);
    js.ask('STREAM.DELETE.O');
    const [reply] = js.request('$JS.API.DIRECT.GET.O', '{"seq":1}');
    expect(reply).toMatchObject({ payload: 'x', headers: expect.stringContaining('Nats-Stream: M\r\n') });
  });
});
