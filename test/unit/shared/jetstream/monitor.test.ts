import { beforeEach, describe, expect, test } from 'vitest';
import { UNLIMITED_JETSTREAM } from '../../../../src/shared/base/options.ts';
import { accountDetails, healthFindings, jetStreamStats } from '../../../../src/shared/jetstream/monitor.ts';
import type { DamageReport } from '../../../../src/shared/jetstream/store/contract.ts';
import type { AssetSelection, JetStreamQuery } from '../../../../src/shared/mail/monitor.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';

let js: Harness;
beforeEach(() => {
  js = new Harness();
});

const EVERYTHING: JetStreamQuery = {
  account: '',
  accounts: true,
  streams: true,
  consumers: true,
  directConsumers: true,
  config: true,
  offset: 0,
  limit: 1024,
};

interface Detail {
  name: string;
  stream_detail?: { name: string; [field: string]: unknown }[];
  [field: string]: unknown;
}

function details(query: Partial<JetStreamQuery> = {}): Detail[] {
  return accountDetails(js.engine, { ...EVERYTHING, ...query }).map((text) => JSON.parse(text) as Detail);
}

function health(selection: Partial<AssetSelection> = {}, damage: DamageReport[] = []) {
  const known = (name: string) => ['$G', 'A', 'B'].includes(name);
  const all = { account: '', stream: '', consumer: '', ...selection };
  return healthFindings(js.engine, all, known, damage);
}

/** Starts the engine anew over the same store. */
function restart(): void {
  js = new Harness({}, js.store);
}

function makeConsumer(name: string, more: Record<string, unknown> = {}): void {
  const config = { name, ack_policy: 'explicit', ...more };
  expect(js.ask(`CONSUMER.CREATE.S.${name}`, { stream_name: 'S', config }).error).toBeUndefined();
}

function putConfig(config: string): void {
  js.store.find(ACCOUNT, 'S')!.putMetadata('config', Buffer.from(config));
}

describe('figures', () => {
  test('are sums over the accounts', () => {
    js.create('S', { subjects: ['s'], max_bytes: 1000 });
    js.create('M', { subjects: ['m'], storage: 'memory' });
    js.create('P', { subjects: ['p'], persist_mode: 'async' });
    js.put('s', 'x');
    js.put('m', 'xy');
    js.ask('STREAM.INFO.nope');
    js.engine.enableAccount('A', { limits: UNLIMITED_JETSTREAM, tiers: null });
    expect(jetStreamStats(js.engine)).toEqual({
      memoryBytes: js.engine.account(ACCOUNT)?.memoryBytes,
      storeBytes: js.engine.account(ACCOUNT)?.storeBytes,
      reservedMemoryBytes: 0,
      reservedStoreBytes: 1000,
      accounts: 2,
      apiTotal: 4,
      apiErrors: 1,
      apiInflight: 0,
      streams: 3,
      consumers: 0,
      messages: 2,
      bytes: js.engine.memoryBytes + js.engine.storeBytes,
      memoryStreams: 1,
      asyncStreams: 1,
    });
    expect(js.engine.memoryBytes).toBeGreaterThan(0);
    expect(js.engine.storeBytes).toBeGreaterThan(0);
  });
});

describe('details', () => {
  test('of accounts, in pages by name', () => {
    for (const name of ['B', 'A', 'Ä'])
      js.engine.enableAccount(name, { limits: { ...UNLIMITED_JETSTREAM, maxStoreBytes: 5000 }, tiers: null });
    expect(details().map(({ name }) => name)).toEqual(['$G', 'A', 'B', 'Ä']);
    expect(details({ offset: 1, limit: 2 }).map(({ name }) => name)).toEqual(['A', 'B']);
    expect(details({ offset: 9 })).toEqual([]);
    expect(details({ account: 'B', offset: 9 }).map(({ name }) => name)).toEqual(['B']);
    expect(details({ account: 'C' })).toEqual([]);
    const nothing = { accounts: false, streams: false, consumers: false };
    expect(details(nothing)).toEqual([]);
    expect(details({ ...nothing, streams: true })).toHaveLength(4);
    const texts = accountDetails(js.engine, { ...EVERYTHING, limit: 2 });
    expect(texts[0]).toContain(
      '"reserved_memory":18446744073709551615,"reserved_storage":18446744073709551615',
    );
    expect(texts[1]).toContain('"reserved_memory":18446744073709551615,"reserved_storage":5000');
  });

  test('of streams', () => {
    js.create('S', { subjects: ['s'] });
    js.create('C', { sources: [{ name: 'S' }] });
    js.put('s', 'x');
    js.advance(1000);
    const [account] = details();
    expect(account?.stream_detail).toMatchObject([
      {
        name: 'S',
        cluster: { leader: 'probe' },
        config: { name: 'S' },
        state: { messages: 1, consumer_count: 0 },
      },
      { name: 'C', state: { messages: 1 }, sources: [{ name: 'S', lag: 0 }] },
    ]);
    expect(Object.keys(account?.stream_detail?.[1] ?? {})).toEqual([
      'name',
      'created',
      'cluster',
      'config',
      'state',
      'sources',
    ]);
    expect(details({ config: false })[0]?.stream_detail?.[0]).not.toHaveProperty('config');
    expect(details({ streams: false, consumers: false })[0]).not.toHaveProperty('stream_detail');
    expect(details({ streams: false })[0]).toHaveProperty('stream_detail');
  });

  test('of consumers, the hidden ones apart', () => {
    js.create('S', { subjects: ['s'] });
    makeConsumer('a');
    makeConsumer('h', { direct: true, deliver_subject: 'd', ack_policy: 'none' });
    js.put('s', 'x');
    const stream = (query: Partial<JetStreamQuery> = {}) => details(query)[0]?.stream_detail?.[0];
    expect(stream()).toMatchObject({
      consumer_detail: [{ stream_name: 'S', name: 'a', config: { name: 'a' }, num_pending: 1 }],
      direct_consumer_detail: [{ name: 'h' }],
    });
    const plain = stream({ directConsumers: false, config: false }) as unknown as {
      consumer_detail: object[];
    };
    expect(plain.consumer_detail).toHaveLength(1);
    expect(plain.consumer_detail[0]).not.toHaveProperty('config');
    expect(plain).not.toHaveProperty('direct_consumer_detail');
    expect(stream({ consumers: false, directConsumers: false })).not.toHaveProperty('consumer_detail');
    expect(jetStreamStats(js.engine).consumers).toBe(1);
  });
});

describe('health', () => {
  test('is good, of everything and of what is there', () => {
    js.create('S', { subjects: ['s'] });
    expect(health()).toEqual([]);
    expect(health({ account: ACCOUNT })).toEqual([]);
    expect(health({ account: ACCOUNT, stream: 'S' })).toEqual([]);
    makeConsumer('c');
    expect(health({ account: ACCOUNT, stream: 'S', consumer: 'c' })).toEqual([]);
  });

  test('what was asked for by name and is not there', () => {
    js.create('S', { subjects: ['s'] });
    expect(health({ account: 'x' })).toEqual([
      { type: 'ACCOUNT', status: 404, account: 'x', error: 'JetStream account "x" not found' },
    ]);
    expect(health({ account: ACCOUNT, stream: 'x' })).toEqual([
      {
        type: 'STREAM',
        status: 404,
        account: ACCOUNT,
        stream: 'x',
        error: 'JetStream stream "x" not found on account "$G"',
      },
    ]);
    expect(health({ account: ACCOUNT, stream: 'S', consumer: 'x' })).toEqual([
      {
        type: 'CONSUMER',
        status: 404,
        account: ACCOUNT,
        stream: 'S',
        consumer: 'x',
        error: 'JetStream consumer "x" not found for stream "S" on account "$G"',
      },
    ]);
  });

  test('streams of accounts that are gone, or have no JetStream any more', () => {
    js.engine.enableAccount('gone', { limits: UNLIMITED_JETSTREAM, tiers: null });
    js.engine.enableAccount('B', { limits: UNLIMITED_JETSTREAM, tiers: null });
    for (const account of ['gone', 'B'])
      for (const name of ['S', 'T']) {
        const body = Buffer.from(JSON.stringify({ name, subjects: [name] }));
        const subject = `$JS.API.STREAM.CREATE.${name}`;
        js.api.request({ account, subject, reply: '', headers: new Uint8Array(0), body, client: '' });
      }
    restart();
    const texts = (account = '') => health({ account }).map(({ error }) => error);
    const unresolved = "JetStream account 'gone' could not be resolved";
    const stopped = ['S', 'T'].map((name) => `JetStream stream 'B > ${name}' could not be recovered`);
    expect(texts()).toEqual([unresolved, ...stopped]);
    expect(texts('gone')).toEqual([unresolved]);
    expect(texts('B')).toEqual(stopped);
    expect(health({ account: 'B', stream: 'T' })).toMatchObject([
      { type: 'STREAM', status: 503, account: 'B', stream: 'T' },
    ]);
  });

  test('streams that need a later server or whose configuration cannot be read', () => {
    js.create('S', { subjects: ['s'] });
    js.put('s', 'x');
    const configs = [
      '{"created":"2024-01-01T00:00:00Z","config":{"name":"S","metadata":{"_nats.req.level":"9"}}}',
      '{"created":"2024-01-01T00:00:00Z","config":{"name":"S","retention":7}}',
      '{"created":"2024-01-01T00:00:00Z","config":{"name":"other"}}',
      '{"created":',
    ];
    const reasons = [
      /^unsupported - required API level: 9, current API level: 5$/,
      /^unsupported - config error: ./,
      /^unsupported - config error: it is of stream "other"$/,
      /^unsupported - config error: ./,
    ];
    for (const [i, config] of configs.entries()) {
      putConfig(config);
      restart();
      const list = js.ask('STREAM.LIST') as { streams: unknown[]; offline: Record<string, string> };
      const reason = list.offline.S ?? '';
      expect([list.streams, reason]).toEqual([[], expect.stringMatching(reasons[i]!)]);
      expect(js.ask('STREAM.INFO.S').error).toMatchObject({
        err_code: 10194,
        description: `stream is offline: ${reason}`,
      });
      expect(health()).toEqual([
        {
          type: 'STREAM',
          status: 503,
          account: ACCOUNT,
          stream: 'S',
          error: `JetStream stream '$G > S' could not be recovered: ${reason}`,
        },
      ]);
      expect(js.warnings).toEqual([`JetStream stream '$G > S' is offline: ${reason}`]);
      js.engine.recover();
      expect(js.warnings).toHaveLength(1);
    }
  });

  test('messages without a configuration are kept and told of, an empty leftover is not', () => {
    js.create('S', { subjects: ['s'] });
    js.store.find(ACCOUNT, 'S')!.putMetadata('config', null);
    restart();
    expect([health(), js.warnings]).toEqual([[], []]);
    js.create('S', { subjects: ['s'] });
    js.put('s', 'x');
    js.store.find(ACCOUNT, 'S')!.putMetadata('config', null);
    restart();
    expect(health()[0]?.error).toMatch(/could not be recovered: unsupported - config error: there is none$/);
    expect(js.store.find(ACCOUNT, 'S')?.messages).toBe(1);
  });

  test('damage the store found when it was opened', () => {
    const report = {
      file: 'streams/00000005',
      account: '',
      stream: '',
      firstSeq: 0,
      lastSeq: 0,
      bytes: 0,
      message: 'both copies of the manifest are damaged',
    };
    expect(health({}, [report])).toEqual([
      {
        type: 'JETSTREAM',
        status: 503,
        error: 'JetStream store: streams/00000005: both copies of the manifest are damaged',
      },
    ]);
    expect(health({ account: ACCOUNT }, [report])).toEqual([]);
  });

  test('streams that cannot be written, and messages that were lost', () => {
    js.create('S', { subjects: ['s'] });
    js.create('T', { subjects: ['t'] });
    js.create('U', { subjects: ['u'] });
    const store = (name: string) => js.store.find(ACCOUNT, name)!;
    Object.assign(store('S'), { stopped: { code: 'io', message: 'bad disk' } });
    Object.assign(store('T'), { failure: { code: 'no_space', message: 'disk full' } });
    Object.assign(store('U'), {
      failure: { code: 'too_large', message: 'that is no illness' },
      lost: () => ({ sequences: [1, 2, 3, 4, 5, 9], bytes: 10 }),
    });
    expect(health().map(({ stream, status, error }) => [stream, status, error])).toEqual([
      ['S', 503, "JetStream stream '$G > S' write error: bad disk"],
      ['T', 503, "JetStream stream '$G > T' write error: disk full"],
      ['U', 503, "JetStream stream '$G > U' lost 6 messages to damage on the disk: 1, 2, 3, 4, 5, …"],
    ]);
  });

  test('a store that has stopped comes first', () => {
    js.create('S', { subjects: ['s'] });
    putConfig('{');
    restart();
    js.store.stopped = { code: 'io', message: 'bad disk' };
    expect(health().map(({ error }) => error)).toEqual([
      'JetStream store write error: bad disk',
      expect.stringMatching(/could not be recovered/),
    ]);
  });
});
