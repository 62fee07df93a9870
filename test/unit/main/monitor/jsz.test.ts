import { beforeEach, describe, expect, test } from 'vitest';
import { encodeJson, type JsonValue } from '../../../../src/main/monitor/format.ts';
import { decodeJsz, NO_DETAILS, renderJsz, renderVarzJetStream } from '../../../../src/main/monitor/jsz.ts';
import { ParameterError, Parameters } from '../../../../src/main/monitor/parameters.ts';
import type { JetStreamServerOptions } from '../../../../src/shared/base/options.ts';
import type { JetStreamAnswer } from '../../../../src/shared/mail/monitor.ts';
import { fixture, SampleSource, sampleOptions, timeMs } from './sample-source.ts';

const JETSTREAM: JetStreamServerOptions = {
  storeDir: '/x/jetstream',
  isTemporary: false,
  maxMemoryBytes: null,
  maxStoreBytes: null,
  domain: 'd',
  strict: true,
  syncIntervalMs: 'always',
  deliverAfterSync: false,
  encryption: null,
  maxAckPending: 5,
  requestQueueLimit: 10_000,
  infoQueueLimit: 10_000,
  maxRequestBatch: 6,
  defaultMaxConsumers: 1000,
  maxDuplicateWindowMs: 180_000,
  batch: { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutMs: 4000 },
};

function answer(accounts: string[] = []): JetStreamAnswer {
  return {
    stats: {
      memoryBytes: 70,
      storeBytes: 32,
      reservedMemoryBytes: 0,
      reservedStoreBytes: 1000,
      accounts: 1,
      apiTotal: 5,
      apiErrors: 0,
      apiInflight: 0,
      streams: 2,
      consumers: 1,
      messages: 2,
      bytes: 102,
      memoryStreams: 1,
      asyncStreams: 0,
    },
    maxMemoryBytes: 1_000_000_000,
    maxStoreBytes: 1_000_000_000,
    accounts,
    unsyncedMs: 0,
  };
}

let source: SampleSource;
beforeEach(() => {
  source = new SampleSource();
  source.nowMs = timeMs('2026-11-21T12:01:48.069897Z');
  source.serverOptions = sampleOptions({ jetStream: JETSTREAM });
  source.jetStreamAnswer = answer();
});

async function jsz(query = ''): Promise<Record<string, JsonValue>> {
  return (await renderJsz(source, decodeJsz(new Parameters(query)))) as Record<string, JsonValue>;
}

describe('/jsz', () => {
  test('is what nats-server answered, but for what an acknowledgement is worth', async () => {
    const recorded = fixture('jsz-details');
    const compact = recorded.replaceAll(/\n\s*/g, '').replaceAll('": ', '":');
    const account = /"account_details":\[(.*)\],"total"/.exec(compact)?.[1] ?? '';
    source.jetStreamAnswer = answer([account]);
    const { durability, ...rest } = await jsz('streams=1&consumers=1&config=1&raft=1&direct-consumers=1');
    expect(encodeJson(rest, '  ')).toBe(recorded);
    expect(Object.keys((durability ?? {}) as object)).toContain('acknowledged');
  });

  test('when JetStream is off', async () => {
    source.nowMs = timeMs('2026-11-21T11:51:05.007719Z');
    source.serverOptions = sampleOptions();
    source.jetStreamAnswer = null;
    expect(encodeJson(await jsz('accounts=1'), '  ')).toBe(fixture('jsz-disabled'));
    await expect(jsz('leader-only=1')).rejects.toThrow(new ParameterError('filtered response: not leader'));
  });

  test('a thread that does not answer is no JetStream that is off', async () => {
    source.jetStreamAnswer = null;
    await expect(jsz()).rejects.toThrow('JetStream does not answer');
  });

  test('a single server leads everything it has', async () => {
    const body = await jsz('leader-only=1&stream-leader-only=true');
    expect(body.streams).toBe(2);
    expect(body.streams_leader).toBeUndefined();
    expect(await jsz('raft=t')).toMatchObject({ streams_leader: 2, consumers_leader: 1 });
  });

  test('parameters are what the thread is asked', async () => {
    await jsz('');
    await jsz('acc=A&accounts=1&streams=1&consumers=1&direct-consumers=1&config=1&offset=3&limit=4');
    await jsz('offset=-3&limit=-1');
    expect(source.jetStreamQueries).toEqual([
      NO_DETAILS,
      {
        account: 'A',
        accounts: true,
        streams: true,
        consumers: true,
        directConsumers: true,
        config: true,
        offset: 3,
        limit: 4,
      },
      NO_DETAILS,
    ]);
  });

  test.each([
    'accounts',
    'streams',
    'consumers',
    'direct-consumers',
    'config',
    'raft',
    'leader-only',
    'stream-leader-only',
  ])('%s has to be a boolean', async (name) => {
    await expect(jsz(`${name}=x`)).rejects.toThrow(
      `Error decoding boolean for '${name}': strconv.ParseBool: parsing "x": invalid syntax`,
    );
  });

  test.each(['offset', 'limit'])('%s has to be a number', async (name) => {
    await expect(jsz(`${name}=x`)).rejects.toThrow(`Error decoding int for '${name}'`);
  });
});

describe('what a power failure may cost', () => {
  test('nothing, when acknowledgements wait for the sync', async () => {
    expect((await jsz()).durability).toEqual({
      acknowledged: 'synced',
      power_failure_may_lose: 'nothing',
      sync_interval: undefined,
      memory_streams: 1,
      async_streams: undefined,
      unsynced: undefined,
      encrypted: false,
      cipher: undefined,
    });
  });

  test('what came since the last sync, with an interval', async () => {
    const encryption = { cipher: 'aes-256-gcm', key: 'k', previousKey: '' } as const;
    source.serverOptions = sampleOptions({ jetStream: { ...JETSTREAM, syncIntervalMs: 5000, encryption } });
    source.jetStreamAnswer = { ...answer(), unsyncedMs: 1500 };
    const body = await jsz();
    expect(body.durability).toMatchObject({
      acknowledged: 'written',
      power_failure_may_lose: 'what was acknowledged since the last sync',
      sync_interval: 5_000_000_000,
      unsynced: 1_500_000_000,
      encrypted: true,
      cipher: 'aes-256-gcm',
    });
    expect(body.config).toMatchObject({ sync_interval: 5_000_000_000, sync_always: undefined });
    expect(encodeJson(body, '')).not.toContain('"k"');
  });
});

describe('JetStream in /varz', () => {
  test('has configuration, figures and limits', () => {
    const text = encodeJson(renderVarzJetStream(JETSTREAM, answer()), '');
    expect(JSON.parse(text)).toEqual({
      config: {
        max_memory: 1_000_000_000,
        max_storage: 1_000_000_000,
        store_dir: '/x/jetstream',
        sync_interval: 120_000_000_000,
        sync_always: true,
        domain: 'd',
        compress_ok: true,
        strict: true,
      },
      stats: {
        memory: 70,
        storage: 32,
        reserved_memory: 0,
        reserved_storage: 1000,
        accounts: 1,
        ha_assets: 0,
        api: { level: 5, total: 5, errors: 0 },
      },
      limits: {
        max_request_batch: 6,
        max_ack_pending: 5,
        max_duplicate_window: 180_000_000_000,
        max_batch_timeout: 4_000_000_000,
        default_max_consumers: 1000,
      },
    });
  });

  test('is empty without it', () => {
    expect(renderVarzJetStream(null, null)).toEqual({});
  });
});
