import { beforeEach, describe, expect, test } from 'vitest';
import { UNLIMITED } from '../../../../src/shared/jetstream/account-jetstream.ts';
import { releaseMessage, releaseUnneeded } from '../../../../src/shared/jetstream/retention.ts';
import type { Stream } from '../../../../src/shared/jetstream/stream.ts';
import type { StreamReader } from '../../../../src/shared/jetstream/stream-consumers.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

/** Makes a stream and gives the engine's object for it. */
function create(name: string, config: Record<string, unknown> = {}): Stream {
  const reply = js.ask(`STREAM.CREATE.${name}`, { name, ...config });
  expect(reply.error).toBeUndefined();
  return js.engine.account(ACCOUNT)!.streams.get(name)!;
}

function errorOf(reply: Record<string, unknown>): unknown {
  return (reply.error as { err_code: number } | undefined)?.err_code;
}

function state(name: string): Record<string, unknown> {
  return js.ask(`STREAM.INFO.${name}`).state as Record<string, unknown>;
}

interface ReadMessage {
  subject: string;
  headers: string;
  data: string;
  time: string;
}

function message(name: string, seq: number): ReadMessage | null {
  const found = js.ask(`STREAM.MSG.GET.${name}`, { seq }).message as Record<string, string> | undefined;
  if (found === undefined) return null;
  const text = (base64 = '') => Buffer.from(base64, 'base64').toString('latin1');
  return { subject: found.subject!, headers: text(found.hdrs), data: text(found.data), time: found.time! };
}

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

describe('durability', () => {
  test('an acknowledgement waits for the ticket of its own append', () => {
    create('S', { subjects: ['s'] });
    const before = js.store.ticket;
    const [ack] = js.request('s', 'x');
    expect(ack?.ticket).toBe(js.store.ticket);
    expect(ack!.ticket).toBeGreaterThan(before);
  });

  test('a duplicate is acknowledged when the original is durable', () => {
    create('S', { subjects: ['s'] });
    js.put('s', 'x', 'Nats-Msg-Id: 1\r\n');
    const [ack] = js.request('s', 'x', 'Nats-Msg-Id: 1\r\n');
    expect(ack).toMatchObject({
      payload: '{"stream":"S","seq":1,"duplicate": true}',
      ticket: js.store.ticket,
    });
  });

  test('what is republished waits too, refusals do not', () => {
    create('S', { subjects: ['s'], republish: { src: 's', dest: 'r' } });
    js.put('s', 'x');
    expect(js.sent.find(({ subject }) => subject === 'r')?.ticket).toBe(js.store.ticket);
    expect(js.request('s', 'x', 'Nats-Expected-Stream: T\r\n')[0]?.ticket).toBe(0);
  });

  test('memory streams and asynchronous persistence wait for nothing', () => {
    create('M', { subjects: ['m'], storage: 'memory' });
    create('A', { subjects: ['a'], persist_mode: 'async' });
    expect(js.request('m')[0]?.ticket).toBe(0);
    expect(js.request('a')[0]?.ticket).toBe(0);
  });

  test('replies of the API wait for what they changed', () => {
    const [reply] = js.request('$JS.API.STREAM.CREATE.S', '{"name":"S"}');
    expect(reply?.ticket).toBe(js.store.ticket);
  });

  test('nobody is told of a message the disk did not take; a full disk is an answer', () => {
    create('S', { subjects: ['s'] });
    js.store.find(ACCOUNT, 'S')!.nextFailure = { code: 'io', message: 'pwrite failed' };
    expect(js.request('s')).toEqual([]);
    expect(js.warnings).toEqual([expect.stringContaining('pwrite failed')]);
    js.store.find(ACCOUNT, 'S')!.nextFailure = { code: 'no_space', message: 'disk full' };
    expect(js.put('s')).toContain('"err_code":10023');
    expect(js.put('s')).toBe('{"stream":"S","seq":1}');
  });
});

describe('expiry', () => {
  test('max_age removes the oldest when its time has come', () => {
    create('S', { subjects: ['s'], max_age: 2e9 });
    js.put('s');
    js.advance(1500);
    js.put('s');
    js.advance(499);
    expect(state('S')).toMatchObject({ messages: 2 });
    js.advance(1);
    expect(state('S')).toMatchObject({ messages: 1, first_seq: 2 });
  });

  test('a TTL is shorter than max_age, and never is longer', () => {
    create('S', { subjects: ['s.*'], max_age: 5e9, allow_msg_ttl: true });
    js.put('s.a', '', 'Nats-TTL: 1\r\n');
    js.put('s.b', '', 'Nats-TTL: never\r\n');
    js.put('s.c');
    js.advance(1000);
    expect(message('S', 1)).toBeNull();
    js.advance(10_000);
    expect(state('S')).toMatchObject({ messages: 1, first_seq: 2 });
    js.put('s.d');
    js.advance(5000);
    expect(state('S')).toMatchObject({ messages: 1, first_seq: 2, last_seq: 4 });
  });

  test('the last message of a subject leaves a marker, which leaves none', () => {
    create('S', { subjects: ['s.*'], subject_delete_marker_ttl: 1e9, republish: { src: '>', dest: 'rp.>' } });
    js.put('s.a', 'x', 'Nats-TTL: 1\r\n');
    js.advance(1000);
    const headers = 'NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1s\r\nNats-Rollup: sub\r\n\r\n';
    expect(message('S', 2)).toMatchObject({ subject: 's.a', headers, data: '' });
    expect(state('S')).toMatchObject({ messages: 1, first_seq: 2 });
    const copies = js.sent.filter(({ subject }) => subject === 'rp.s.a');
    expect(copies[1]?.headers).toMatch(/Nats-Sequence: 2\r\n.*Nats-Last-Sequence: 1\r\n/s);
    js.advance(1000);
    expect(state('S')).toMatchObject({ messages: 0, last_seq: 2 });
  });

  test('no marker for a purge marker of a key-value bucket, nor while the subject has other messages', () => {
    create('S', { subjects: ['s.*'], subject_delete_marker_ttl: 1e9 });
    js.put('s.a', '', 'KV-Operation: PURGE\r\nNats-TTL: 1\r\n');
    js.put('s.b', 'keeps', '');
    js.put('s.b', '', 'Nats-TTL: 1\r\n');
    js.advance(1000);
    expect(state('S')).toMatchObject({ messages: 1, last_seq: 3 });
  });

  test('a lowered max_age counts for what is stored', () => {
    create('S', { subjects: ['s'] });
    js.put('s');
    js.advance(60_000);
    js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'], max_age: 1e9 });
    js.advance(0);
    expect(state('S')).toMatchObject({ messages: 0 });
  });

  test('message ids are forgotten after the window', () => {
    create('S', { subjects: ['s'], duplicate_window: 1e9 });
    js.put('s', '', 'Nats-Msg-Id: 1\r\n');
    js.advance(999);
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toContain('duplicate');
    js.advance(1);
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toBe('{"stream":"S","seq":2}');
  });

  test('an open batch is given up after ten seconds, and that is told', () => {
    create('S', { subjects: ['s'], allow_atomic: true });
    js.interest.push('$JS.EVENT.ADVISORY.>');
    js.put('s', '', 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\n');
    expect(js.engine.atomicBatches).toBe(1);
    js.advance(10_000);
    const advisory = js.sent.find(({ subject }) => subject === '$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S');
    expect(JSON.parse(advisory!.payload)).toMatchObject({ stream: 'S', batch: 'b', reason: 'timeout' });
    expect(js.engine).toMatchObject({ atomicBatches: 0, stagedBytes: 0 });
    expect(js.put('s', '', 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\n')).toContain('10176');
  });
});

describe('after a restart on the same store', () => {
  function restart(): void {
    const { store, clock } = js;
    js = new Harness({}, store);
    js.clock.ms = clock.ms;
  }

  test('streams, message ids, TTLs and the last id are what they were', () => {
    create('S', { subjects: ['s'], allow_msg_ttl: true });
    js.put('s', '', 'Nats-TTL: 5\r\n');
    js.put('s', '', 'Nats-Msg-Id: 1\r\n');
    const before = js.ask('STREAM.INFO.S');
    restart();
    expect(js.ask('STREAM.INFO.S')).toEqual({ ...before, ts: expect.any(String) });
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toContain('"seq":2,"duplicate": true');
    expect(js.put('s', '', 'Nats-Expected-Last-Msg-Id: 1\r\n')).toContain('"seq":3}');
    js.advance(5000);
    expect(message('S', 1)).toBeNull();
  });

  test('schedules go on', () => {
    create('S', { subjects: ['s.*'], allow_msg_schedules: true });
    js.put('s.x', 'tick', 'Nats-Schedule: @every 10s\r\nNats-Schedule-Target: s.t\r\n');
    js.advance(10_500);
    restart();
    js.advance(10_000);
    const runs = js.ask('STREAM.INFO.S', { subjects_filter: 's.t' }).state as { subjects: unknown };
    expect(runs.subjects).toEqual({ 's.t': 2 });
  });

  test('a stream whose configuration cannot be read is left alone', () => {
    create('S', { subjects: ['s'] });
    js.put('s');
    js.store.find(ACCOUNT, 'S')!.putMetadata('config', Buffer.from('{"config":'));
    restart();
    expect(js.warnings).toEqual([expect.stringContaining("'$G > S'")]);
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S', subjects: ['s'] }))).toBe(10049);
    expect(js.store.find(ACCOUNT, 'S')?.messages).toBe(1);
  });

  test('a create that a crash cut short can be done again', () => {
    const spec = {
      account: ACCOUNT,
      name: 'S',
      storage: 'file',
      compression: false,
      firstSeq: 0,
      blockBytes: 0,
    } as const;
    js.store.createStream(spec);
    restart();
    create('S', { subjects: ['s'] });
    expect(js.store.streams()).toHaveLength(1);
  });
});

describe('retention by interest', () => {
  test('a message nobody wants uses up a sequence', () => {
    const stream = create('S', { subjects: ['s.*'], retention: 'interest' });
    const reader = new FakeReader('s.a');
    stream.readers.add(reader);
    expect(js.put('s.b')).toBe('{"stream":"S","seq":1}');
    expect(js.put('s.a')).toBe('{"stream":"S","seq":2}');
    expect(state('S')).toMatchObject({ messages: 1, first_seq: 2, last_seq: 2 });
    expect(reader.events).toEqual(['stored 2']);
  });

  test('a message goes when the last reader is done with it', () => {
    const stream = create('S', { subjects: ['s.*'], retention: 'interest' });
    const [one, two] = [new FakeReader('s.'), new FakeReader('s.a')];
    stream.readers.add(one);
    stream.readers.add(two);
    js.put('s.a');
    one.done.add(1);
    expect(releaseMessage(stream, 1)).toBe(false);
    two.done.add(1);
    expect(releaseMessage(stream, 1)).toBe(true);
    expect(releaseMessage(stream, 1)).toBe(false);
    expect(state('S')).toMatchObject({ messages: 0, first_seq: 2 });
  });

  test('without readers everything goes, but not from a work queue, nor by limits', () => {
    for (const [retention, left] of [
      ['interest', 0],
      ['workqueue', 2],
      ['limits', 2],
    ] as const) {
      const stream = create(retention, { subjects: [`${retention}.*`], retention });
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
    const stream = create('S', { subjects: ['s'], max_msgs: 2 });
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
    create('O', { subjects: ['o.*'] });
    for (const subject of ['o.1', 'o.2', 'o.3'])
      js.put(subject, subject, 'Nats-Expected-Stream: O\r\nA: b\r\n');
    js.ask('STREAM.MSG.DELETE.O', { seq: 2 });
    create('M', { mirror: { name: 'O' } });
    js.advance(0);
    expect(state('M')).toMatchObject({ messages: 2, first_seq: 1, last_seq: 3, num_deleted: 1 });
    expect(message('M', 3)).toEqual({ ...message('O', 3), headers: 'NATS/1.0\r\nA: b\r\n\r\n' });
    js.put('o.4', 'later');
    js.advance(0);
    expect(message('M', 4)).toMatchObject({ subject: 'o.4', data: 'later' });
    expect(js.ask('STREAM.INFO.M').mirror).toEqual({ name: 'O', lag: 0, active: 0 });
  });

  test('a mirror filters, transforms and begins where it is told to', () => {
    create('O', { subjects: ['o.*'] });
    for (const subject of ['o.1', 'o.2', 'o.1', 'o.2']) js.put(subject);
    const transforms = [{ src: 'o.1', dest: 'z' }];
    create('M', { mirror: { name: 'O', opt_start_seq: 2, subject_transforms: transforms } });
    js.advance(0);
    expect(state('M')).toMatchObject({ messages: 1, first_seq: 3, last_seq: 3 });
    expect(message('M', 3)?.subject).toBe('z');
  });

  test('clients cannot publish to a mirror, and it says when its origin is missing', () => {
    create('M', { mirror: { name: 'NOPE' } });
    js.advance(0);
    expect(js.subjects).not.toContain('M');
    expect(js.ask('STREAM.INFO.M').mirror).toMatchObject({ active: -1, error: { err_code: 10059 } });
    create('NOPE', { subjects: ['n'] });
    js.put('n');
    js.advance(0);
    expect(state('M')).toMatchObject({ messages: 1 });
    expect(js.ask('STREAM.INFO.M').mirror).not.toHaveProperty('error');
  });

  test('sources get new sequences and say where they come from', () => {
    const o = create('O', { subjects: ['o.*'] });
    js.put('o.1', 'one');
    js.put('o.2', 'two');
    create('D', {
      subjects: ['d'],
      sources: [{ name: 'O', subject_transforms: [{ src: 'o.2', dest: 'z.2' }] }],
    });
    js.put('d');
    js.advance(0);
    const source = /^NATS\/1\.0\r\nNats-Stream-Source: O 2 o\.2 z\.2 o\.2 [0-9A-Za-z]{8}\r\n\r\n$/;
    expect(message('D', 2)).toMatchObject({
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
    create('O', { subjects: ['o'] });
    create('D', { sources: [{ name: 'O' }] });
    js.put('o');
    js.advance(0);
    const { store, clock } = js;
    js = new Harness({}, store);
    js.clock.ms = clock.ms + 1;
    js.put('o');
    js.advance(0);
    expect(state('D')).toMatchObject({ messages: 2, last_seq: 2 });
    js.ask('STREAM.DELETE.O');
    create('O', { subjects: ['o'] });
    js.put('o');
    js.advance(60_000);
    expect(state('D')).toMatchObject({ messages: 3 });
  });

  test('messages leave a work queue when their copy is stored', () => {
    create('W', { subjects: ['w'], retention: 'workqueue' });
    create('D', { sources: [{ name: 'W' }] });
    for (let i = 0; i < 600; i++) js.put('w');
    js.advance(0);
    expect(state('D')).toMatchObject({ messages: 600 });
    expect(state('W')).toMatchObject({ messages: 0, last_seq: 600 });
  });

  test('a full target waits, and loses nothing', () => {
    create('O', { subjects: ['o'] });
    create('D', { sources: [{ name: 'O' }], max_msgs: 1, discard: 'new' });
    js.put('o', 'first');
    js.put('o', 'second');
    js.advance(0);
    expect(state('D')).toMatchObject({ messages: 1 });
    expect(js.ask('STREAM.INFO.D').sources).toMatchObject([{ lag: 1, seq: 1 }]);
    js.ask('STREAM.PURGE.D');
    js.advance(1000);
    expect(message('D', 2)).toMatchObject({ data: 'second' });
  });

  test('counters of several origins add up, however their messages come', () => {
    for (const name of ['A', 'B']) create(name, { subjects: [`${name}.c`], allow_msg_counter: true });
    const from = (name: string) => ({ name, subject_transforms: [{ src: `${name}.c`, dest: 'c' }] });
    create('T', { sources: [from('A'), from('B')], allow_msg_counter: true });
    js.put('A.c', '', 'Nats-Incr: 2\r\n');
    js.put('B.c', '', 'Nats-Incr: 5\r\n');
    js.advance(0);
    js.put('A.c', '', 'Nats-Incr: -1\r\n');
    js.advance(0);
    expect(message('T', 3)).toMatchObject({ subject: 'c', data: '{"val":"6"}' });
    expect(message('T', 3)?.headers).toContain('Nats-Counter-Sources: {"A":{"A.c":"1"},"B":{"B.c":"5"}}');
  });

  test('a mirror serves its origin by direct get once it has caught up', () => {
    create('O', { subjects: ['o'], allow_direct: true });
    js.put('o', 'x');
    create('M', { mirror: { name: 'O' } });
    js.advance(0);
    expect(js.subjects.filter((subject) => subject === '$JS.API.DIRECT.GET.O')).toHaveLength(2);
    js.ask('STREAM.DELETE.O');
    const [reply] = js.request('$JS.API.DIRECT.GET.O', '{"seq":1}');
    expect(reply).toMatchObject({ payload: 'x', headers: expect.stringContaining('Nats-Stream: M\r\n') });
  });
});

describe('accounts', () => {
  test('an account without JetStream is told so, in the type of the endpoint', () => {
    const request = { reply: 'r', headers: new Uint8Array(0), body: new Uint8Array(0), client: '' };
    js.api.request({ ...request, account: 'X', subject: '$JS.API.STREAM.NAMES' });
    expect(JSON.parse(js.sent.at(-1)!.payload)).toMatchObject({
      type: 'io.nats.jetstream.api.v1.stream_names_response',
      error: { code: 503, err_code: 10039 },
    });
    js.api.request({ ...request, account: '$SYS', subject: '$JS.API.STREAM.NAMES' });
    expect(JSON.parse(js.sent.at(-1)!.payload).type).toBe('io.nats.jetstream.api.v1.system_response');
  });

  test.each([
    [{ maxStreams: 1 }, {}, 10027],
    [{ maxConsumers: 5 }, { max_consumers: 6 }, 10026],
    [{ maxBytesRequired: true }, {}, 10113],
    [{ storeMaxStreamBytes: 100 }, { max_bytes: 101 }, 10122],
    [{ memoryMaxStreamBytes: 100 }, { max_bytes: 101, storage: 'memory' }, 10122],
    [{ maxStoreBytes: 100 }, { max_bytes: 101 }, 10047],
    [{ maxMemoryBytes: 100 }, { max_bytes: 101, storage: 'memory' }, 10028],
  ])('limits %j refuse %j', (limits, config, code) => {
    create('first');
    js.engine.enableAccount(ACCOUNT, { limits: { ...UNLIMITED, ...limits }, tiers: null });
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S', ...config }))).toBe(code);
  });

  test('tiers', () => {
    js.engine.enableAccount(ACCOUNT, { limits: UNLIMITED, tiers: new Map([['R3', UNLIMITED]]) });
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S' }))).toBe(10120);
    js.engine.enableAccount(ACCOUNT, {
      limits: UNLIMITED,
      tiers: new Map([['R1', { ...UNLIMITED, maxStreams: 1 }]]),
    });
    create('S');
    expect(errorOf(js.ask('STREAM.CREATE.T', { name: 'T' }))).toBe(10027);
    const info = js.ask('INFO') as { limits: { max_streams: number }; tiers: { R1: object } };
    expect(info.limits.max_streams).toBe(0);
    expect(info.tiers.R1).toMatchObject({ streams: 1, limits: { max_streams: 1 } });
  });

  test('what is stored counts, what is removed does not', () => {
    const stream = create('S', { subjects: ['s'], max_msgs: 2 });
    const account = js.engine.account(ACCOUNT)!;
    for (let i = 0; i < 5; i++) js.put('s', 'x'.repeat(i));
    expect(account.storeBytes).toBe(stream.store.bytes);
    js.ask('STREAM.MSG.DELETE.S', { seq: 4 });
    expect(account.storeBytes).toBe(stream.store.bytes);
    js.ask('STREAM.DELETE.S');
    expect(account.storeBytes).toBe(0);
    expect(js.engine.storeBytes).toBe(0);
  });

  test('a publish over the account or the server is refused', () => {
    create('S', { subjects: ['s'] });
    js.engine.enableAccount(ACCOUNT, { limits: { ...UNLIMITED, maxStoreBytes: 50 }, tiers: null });
    expect(js.put('s')).toContain('"seq":1}');
    expect(js.put('s')).toContain('10002');
    js = new Harness({ maxMemoryBytes: 30 });
    create('M', { subjects: ['m'], storage: 'memory' });
    expect(js.put('m', 'x'.repeat(20))).toContain('10023');
  });

  test('requests and refusals are counted, a message that was found is not', () => {
    create('S', { subjects: ['s'] });
    js.put('s');
    js.ask('STREAM.MSG.GET.S', { seq: 1 });
    js.ask('STREAM.MSG.GET.S', { seq: 2 });
    const account = js.engine.account(ACCOUNT)!;
    expect([account.apiTotal, account.apiErrors]).toEqual([2, 1]);
  });
});

describe('domains', () => {
  test('are in replies, and requests may name them', () => {
    js = new Harness({ domain: 'hub' });
    create('S', { subjects: ['s'] });
    expect(js.put('s')).toBe('{"stream":"S","domain":"hub","seq":1}');
    expect(js.put('s', '', 'Nats-Expected-Stream: T\r\n')).toContain(
      '},"stream":"S","domain":"hub","seq":0}',
    );
    const request = {
      account: ACCOUNT,
      reply: 'r',
      headers: new Uint8Array(0),
      body: new Uint8Array(0),
      client: '',
    };
    expect(js.api.request({ ...request, subject: '$JS.hub.API.STREAM.INFO.S' })).toBe(true);
    expect(JSON.parse(js.sent.at(-1)!.payload)).toMatchObject({ domain: 'hub' });
    expect(js.api.request({ ...request, subject: '$JS.other.API.STREAM.INFO.S' })).toBe(false);
  });
});

describe('advisories', () => {
  test('of a stream and of the API, in this order, and only when somebody listens', () => {
    create('QUIET');
    expect(js.sent).toHaveLength(1);
    js.interest.push('$JS.EVENT.ADVISORY.>');
    create('S');
    const advisories = js.sent.filter(({ subject }) => subject.startsWith('$JS.EVENT.'));
    expect(advisories.map(({ subject }) => subject)).toEqual([
      '$JS.EVENT.ADVISORY.STREAM.CREATED.S',
      '$JS.EVENT.ADVISORY.API',
    ]);
    const [created, audit] = advisories.map(({ payload }) => JSON.parse(payload) as Record<string, unknown>);
    expect(Object.keys(created!)).toEqual(['type', 'id', 'timestamp', 'stream', 'action']);
    expect(created).toMatchObject({
      type: 'io.nats.jetstream.advisory.v1.stream_action',
      stream: 'S',
      action: 'create',
    });
    expect(created!.id).toMatch(/^[0-9A-Za-z]{22}$/);
    expect(audit).toMatchObject({
      server: 'probe',
      subject: '$JS.API.STREAM.CREATE.S',
      request: '{"name":"S"}',
    });
  });
});

describe('limits of batches', () => {
  test('too many messages, too many batches', () => {
    js = new Harness({
      batch: { maxInflightPerStream: 2, maxInflightTotal: 3, maxMsgs: 2, timeoutNs: 10_000_000_000n },
    });
    create('S', { subjects: ['s'], allow_atomic: true });
    create('T', { subjects: ['t'], allow_atomic: true });
    const put = (subject: string, id: string, seq: number, more = '') =>
      js.put(subject, '', `Nats-Batch-Id: ${id}\r\nNats-Batch-Sequence: ${seq}\r\n${more}`);
    put('s', 'a', 1);
    put('s', 'a', 2);
    expect(put('s', 'a', 3)).toContain('atomic publish batch is too large: 2');
    put('s', 'b', 1);
    put('s', 'c', 1);
    expect(put('s', 'd', 1)).toContain('10210');
    put('t', 'a', 1);
    expect(put('t', 'b', 1)).toContain('10210');
    expect(put('s', 'b', 2, 'Nats-Batch-Commit: eob\r\n')).toContain('"count":1');
    expect(put('t', 'b', 1)).toBe('');
  });

  test('turning batches off drops the open ones', () => {
    create('S', { subjects: ['s'], allow_atomic: true });
    js.put('s', 'x', 'Nats-Batch-Id: a\r\nNats-Batch-Sequence: 1\r\n');
    js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'] });
    expect(js.engine).toMatchObject({ atomicBatches: 0, stagedBytes: 0 });
  });
});

describe('pages', () => {
  test('of names and lists', () => {
    for (let i = 0; i < 300; i++) create(`S${String(i).padStart(3, '0')}`, { storage: 'memory' });
    const page = js.ask('STREAM.LIST', { offset: 250 }) as {
      total: number;
      offset: number;
      streams: object[];
    };
    expect([page.total, page.offset, page.streams.length]).toEqual([300, 250, 50]);
    expect((js.ask('STREAM.LIST') as { streams: object[] }).streams).toHaveLength(256);
    expect((js.ask('STREAM.NAMES', { offset: 299 }) as { streams: string[] }).streams).toEqual(['S299']);
  });
});
