import { beforeEach, describe, expect, test } from 'vitest';
import { UNLIMITED_JETSTREAM } from '../../../../src/shared/base/options.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

function errorOf(reply: Record<string, unknown>): unknown {
  return (reply.error as { err_code: number } | undefined)?.err_code;
}

describe('durability', () => {
  test('an acknowledgement waits for the ticket of its own append', () => {
    js.create('S', { subjects: ['s'] });
    const before = js.store.ticket;
    const [ack] = js.request('s', 'x');
    expect(ack?.ticket).toBe(js.store.ticket);
    expect(ack!.ticket).toBeGreaterThan(before);
  });

  test('a duplicate is acknowledged when the original is durable', () => {
    js.create('S', { subjects: ['s'] });
    js.put('s', 'x', 'Nats-Msg-Id: 1\r\n');
    const [ack] = js.request('s', 'x', 'Nats-Msg-Id: 1\r\n');
    expect(ack).toMatchObject({
      payload: '{"stream":"S","seq":1,"duplicate": true}',
      ticket: js.store.ticket,
    });
  });

  test('what is republished waits too, refusals do not', () => {
    js.create('S', { subjects: ['s'], republish: { src: 's', dest: 'r' } });
    js.put('s', 'x');
    expect(js.sent.find(({ subject }) => subject === 'r')?.ticket).toBe(js.store.ticket);
    expect(js.request('s', 'x', 'Nats-Expected-Stream: T\r\n')[0]?.ticket).toBe(0);
  });

  test('memory streams and asynchronous persistence wait for nothing', () => {
    js.create('M', { subjects: ['m'], storage: 'memory' });
    js.create('A', { subjects: ['a'], persist_mode: 'async' });
    expect(js.request('m')[0]?.ticket).toBe(0);
    expect(js.request('a')[0]?.ticket).toBe(0);
  });

  test('replies of the API wait for what they changed', () => {
    const [reply] = js.request('$JS.API.STREAM.CREATE.S', '{"name":"S"}');
    expect(reply?.ticket).toBe(js.store.ticket);
  });

  test('nobody is told of a message the disk did not take; a full disk is an answer', () => {
    js.create('S', { subjects: ['s'] });
    js.store.find(ACCOUNT, 'S')!.nextFailure = { code: 'io', message: 'pwrite failed' };
    expect(js.request('s')).toEqual([]);
    expect(js.warnings).toEqual([expect.stringContaining('pwrite failed')]);
    js.store.find(ACCOUNT, 'S')!.nextFailure = { code: 'no_space', message: 'disk full' };
    expect(js.put('s')).toContain('"err_code":10023');
    expect(js.put('s')).toBe('{"stream":"S","seq":1}');
  });
});

describe('a store that fails', () => {
  test('once the log has stopped not even a duplicate is acknowledged: its original may not be on the disk', () => {
    js.create('S', { subjects: ['s'] });
    js.put('s', 'x', 'Nats-Msg-Id: 1\r\n');
    js.store.stopped = { code: 'io', message: 'sync failed' };
    expect(js.request('s', 'x', 'Nats-Msg-Id: 1\r\n')).toEqual([]);
    expect(js.put('s', 'x', 'Nats-Expected-Stream: T\r\n')).toContain('10060');
  });

  test('ids of a batch that was taken back are free again', () => {
    js.create('S', { subjects: ['s'], allow_atomic: true });
    const store = js.store.find(ACCOUNT, 'S')!;
    const append = store.append.bind(store);
    let appended = 0;
    store.append = (draft) => {
      if (++appended === 2) store.nextFailure = { code: 'no_space', message: 'disk full' };
      return append(draft);
    };
    js.put('s', 'a', 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Msg-Id: 1\r\n');
    const last = 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n';
    expect(js.put('s', 'b', last)).toContain('10023');
    expect(js.state('S')).toMatchObject({ messages: 0 });
    expect(js.put('s', 'a', 'Nats-Msg-Id: 1\r\n')).not.toContain('duplicate');
  });
});

describe('expiry', () => {
  test('max_age removes the oldest when its time has come', () => {
    js.create('S', { subjects: ['s'], max_age: 2e9 });
    js.put('s');
    js.advance(1500);
    js.put('s');
    js.advance(499);
    expect(js.state('S')).toMatchObject({ messages: 2 });
    js.advance(1);
    expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 2 });
  });

  test('a TTL is shorter than max_age, and never is longer', () => {
    js.create('S', { subjects: ['s.*'], max_age: 5e9, allow_msg_ttl: true });
    js.put('s.a', '', 'Nats-TTL: 1\r\n');
    js.put('s.b', '', 'Nats-TTL: never\r\n');
    js.put('s.c');
    js.advance(1000);
    expect(js.message('S', 1)).toBeNull();
    js.advance(10_000);
    expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 2 });
    js.put('s.d');
    js.advance(5000);
    expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 2, last_seq: 4 });
  });

  test('the last message of a subject leaves a marker, which leaves none', () => {
    js.create('S', {
      subjects: ['s.*'],
      subject_delete_marker_ttl: 1e9,
      republish: { src: '>', dest: 'rp.>' },
    });
    js.put('s.a', 'x', 'Nats-TTL: 1\r\n');
    js.advance(1000);
    const headers = 'NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1s\r\nNats-Rollup: sub\r\n\r\n';
    expect(js.message('S', 2)).toMatchObject({ subject: 's.a', headers, data: '' });
    expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 2 });
    const copies = js.sent.filter(({ subject }) => subject === 'rp.s.a');
    expect(copies[1]?.headers).toMatch(/Nats-Sequence: 2\r\n.*Nats-Last-Sequence: 1\r\n/s);
    js.advance(1000);
    expect(js.state('S')).toMatchObject({ messages: 0, last_seq: 2 });
  });

  test('no marker for a purge marker of a key-value bucket, nor while the subject has other messages', () => {
    js.create('S', { subjects: ['s.*'], subject_delete_marker_ttl: 1e9 });
    js.put('s.a', '', 'KV-Operation: PURGE\r\nNats-TTL: 1\r\n');
    js.put('s.b', 'keeps', '');
    js.put('s.b', '', 'Nats-TTL: 1\r\n');
    js.advance(1000);
    expect(js.state('S')).toMatchObject({ messages: 1, last_seq: 3 });
  });

  test('a lowered max_age counts for what is stored', () => {
    js.create('S', { subjects: ['s'] });
    js.put('s');
    js.advance(60_000);
    js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'], max_age: 1e9 });
    js.advance(0);
    expect(js.state('S')).toMatchObject({ messages: 0 });
  });

  test.each([
    'file',
    'memory',
  ])('a %s stream that discards new messages keeps what it has above lowered totals', (storage) => {
    const config = { subjects: ['s.*'], discard: 'new', storage };
    js.create('S', config);
    for (let i = 0; i < 10; i++) js.put(`s.${i % 5}`, 'x');
    const lowered = (more: object) => js.ask('STREAM.UPDATE.S', { name: 'S', ...config, ...more });
    expect(lowered({ max_msgs: 3 })).not.toHaveProperty('error');
    expect(js.state('S')).toMatchObject({ messages: 10, first_seq: 1 });
    expect(js.put('s.new')).toContain('maximum messages exceeded');
    lowered({ max_bytes: 60 });
    expect(js.state('S')).toMatchObject({ messages: 10, first_seq: 1 });
    expect(js.put('s.new')).toContain('maximum bytes exceeded');
    lowered({ max_msgs_per_subject: 1 });
    expect(js.state('S')).toMatchObject({ messages: 5, first_seq: 6 });
    lowered({ max_msgs: 3, discard: 'old' });
    expect(js.state('S')).toMatchObject({ messages: 3, first_seq: 8 });
  });

  test('message ids are forgotten after the window', () => {
    js.create('S', { subjects: ['s'], duplicate_window: 1e9 });
    js.put('s', '', 'Nats-Msg-Id: 1\r\n');
    js.advance(999);
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toContain('duplicate');
    js.advance(1);
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toBe('{"stream":"S","seq":2}');
  });

  test('an open batch is given up after ten seconds, and that is told', () => {
    js.create('S', { subjects: ['s'], allow_atomic: true });
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
    js.create('S', { subjects: ['s'], allow_msg_ttl: true });
    js.put('s', '', 'Nats-TTL: 5\r\n');
    js.put('s', '', 'Nats-Msg-Id: 1\r\n');
    const before = js.ask('STREAM.INFO.S');
    restart();
    expect(js.ask('STREAM.INFO.S')).toEqual({ ...before, ts: expect.any(String) });
    expect(js.put('s', '', 'Nats-Msg-Id: 1\r\n')).toContain('"seq":2,"duplicate": true');
    expect(js.put('s', '', 'Nats-Expected-Last-Msg-Id: 1\r\n')).toContain('"seq":3}');
    js.advance(5000);
    expect(js.message('S', 1)).toBeNull();
  });

  test('schedules go on', () => {
    js.create('S', { subjects: ['s.*'], allow_msg_schedules: true });
    js.put('s.x', 'tick', 'Nats-Schedule: @every 10s\r\nNats-Schedule-Target: s.t\r\n');
    js.advance(10_500);
    restart();
    js.advance(10_000);
    const runs = js.ask('STREAM.INFO.S', { subjects_filter: 's.t' }).state as { subjects: unknown };
    expect(runs.subjects).toEqual({ 's.t': 2 });
  });

  test('a stream whose configuration cannot be read is left alone', () => {
    js.create('S', { subjects: ['s'] });
    js.put('s');
    js.store.find(ACCOUNT, 'S')!.putMetadata('config', Buffer.from('{"config":'));
    restart();
    expect(js.warnings).toEqual([expect.stringContaining("'$G > S'")]);
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S', subjects: ['s'] }))).toBe(10194);
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
    js.create('S', { subjects: ['s'] });
    expect(js.store.streams()).toHaveLength(1);
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
    js.create('first');
    js.engine.enableAccount(ACCOUNT, { limits: { ...UNLIMITED_JETSTREAM, ...limits }, tiers: null });
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S', ...config }))).toBe(code);
  });

  test('tiers', () => {
    js.engine.enableAccount(ACCOUNT, {
      limits: UNLIMITED_JETSTREAM,
      tiers: new Map([['R3', UNLIMITED_JETSTREAM]]),
    });
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S' }))).toBe(10120);
    js.engine.enableAccount(ACCOUNT, {
      limits: UNLIMITED_JETSTREAM,
      tiers: new Map([['R1', { ...UNLIMITED_JETSTREAM, maxStreams: 1 }]]),
    });
    js.create('S');
    expect(errorOf(js.ask('STREAM.CREATE.T', { name: 'T' }))).toBe(10027);
    const info = js.ask('INFO') as { limits: { max_streams: number }; tiers: { R1: object } };
    expect(info.limits.max_streams).toBe(0);
    expect(info.tiers.R1).toMatchObject({ streams: 1, limits: { max_streams: 1 } });
  });

  test('what is stored counts, what is removed does not', () => {
    const stream = js.create('S', { subjects: ['s'], max_msgs: 2 });
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
    js.create('S', { subjects: ['s'] });
    js.engine.enableAccount(ACCOUNT, { limits: { ...UNLIMITED_JETSTREAM, maxStoreBytes: 50 }, tiers: null });
    expect(js.put('s')).toContain('"seq":1}');
    expect(js.put('s')).toContain('10002');
    js = new Harness({ maxMemoryBytes: 30 });
    js.create('M', { subjects: ['m'], storage: 'memory' });
    // The server's limit may be passed once.
    expect(js.put('m', 'x'.repeat(20))).toContain('"seq":1');
    expect(js.put('m', 'x')).toContain('10023');
  });

  test('requests and refusals are counted, a message that was found is not', () => {
    js.create('S', { subjects: ['s'] });
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
    js.create('S', { subjects: ['s'] });
    expect(js.put('s')).toBe('{"stream":"S","domain":"hub","seq":1}');
    expect(js.put('s', '', 'Nats-Expected-Stream: T\r\n')).toContain('},"stream":"S","seq":0}');
    expect(js.ask('STREAM.CREATE.S', { name: 'S', subjects: ['s'] })).not.toHaveProperty('domain');
    expect(js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'] })).toHaveProperty('domain');
    expect(js.ask('STREAM.LIST').streams).toMatchObject([{ domain: 'hub' }]);
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
    js.create('QUIET');
    expect(js.sent).toHaveLength(1);
    js.interest.push('$JS.EVENT.ADVISORY.>');
    js.create('S');
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
    js.create('S', { subjects: ['s'], allow_atomic: true });
    js.create('T', { subjects: ['t'], allow_atomic: true });
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
    js.create('S', { subjects: ['s'], allow_atomic: true });
    js.put('s', 'x', 'Nats-Batch-Id: a\r\nNats-Batch-Sequence: 1\r\n');
    js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'] });
    expect(js.engine).toMatchObject({ atomicBatches: 0, stagedBytes: 0 });
  });
});

describe('a batch the disk refuses half of', () => {
  test('leaves none of it', () => {
    js.create('S', { subjects: ['s.*'], allow_atomic: true });
    js.put('s.0');
    const store = js.store.find(ACCOUNT, 'S')!;
    const append = store.append.bind(store);
    let appends = 0;
    store.append = (draft) => {
      if (++appends === 2) store.nextFailure = { code: 'no_space', message: 'disk full' };
      return append(draft);
    };
    js.put('s.1', '', 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\n');
    expect(
      js.put('s.2', '', 'Nats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n'),
    ).toContain('10023');
    expect(store.live.map(({ subject }) => subject)).toEqual(['s.0']);
    expect(js.engine.account(ACCOUNT)!.storeBytes).toBe(store.bytes);
  });
});

describe('operators', () => {
  const purge = (account: string, name: string, body = '') =>
    js.api.request({
      account,
      subject: `$JS.API.ACCOUNT.PURGE.${name}`,
      reply: 'r',
      headers: new Uint8Array(0),
      body: Buffer.from(body),
      client: '',
    });

  test('purge an account, from the system account alone', () => {
    js.create('S');
    const spec = {
      account: 'gone',
      storage: 'file',
      compression: false,
      firstSeq: 0,
      blockBytes: 0,
    } as const;
    js.store.createStream({ ...spec, name: 'G' });
    const before = js.sent.length;
    purge(ACCOUNT, ACCOUNT);
    expect(js.sent).toHaveLength(before);
    purge('$SYS', ACCOUNT);
    expect(js.sent.at(-1)?.payload).toBe(
      '{"type":"io.nats.jetstream.api.v1.account_purge_response","initiated":true}',
    );
    purge('$SYS', 'gone');
    expect(js.store.streams()).toEqual([]);
    expect(js.ask('STREAM.NAMES').streams).toBeNull();
  });
});

describe('a stream of a later server', () => {
  test('is kept, listed and not served', () => {
    js.create('S');
    const config =
      '{"created":"2024-01-01T00:00:00Z","config":{"name":"S","new_field":1,"metadata":{"_nats.req.level":"9"}}}';
    js.store.find(ACCOUNT, 'S')!.putMetadata('config', Buffer.from(config));
    js = new Harness({}, js.store);
    const reason = 'unsupported - required API level: 9, current API level: 5';
    expect(js.ask('STREAM.LIST')).toMatchObject({ streams: [], offline: { S: reason } });
    expect(js.ask('STREAM.INFO.S').error).toEqual({
      code: 500,
      err_code: 10194,
      description: `stream is offline: ${reason}`,
    });
    expect(errorOf(js.ask('STREAM.DELETE.S'))).toBe(10194);
    expect(errorOf(js.ask('STREAM.CREATE.S', { name: 'S' }))).toBe(10194);
  });
});

describe('pages', () => {
  test('of names and lists', () => {
    for (let i = 0; i < 300; i++) js.create(`S${String(i).padStart(3, '0')}`, { storage: 'memory' });
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
