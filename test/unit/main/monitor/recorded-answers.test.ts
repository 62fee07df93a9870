import { describe, expect, test } from 'vitest';
import { decodeConnz, renderConnz } from '../../../../src/main/monitor/connz.ts';
import { encodeJson } from '../../../../src/main/monitor/format.ts';
import { Parameters } from '../../../../src/main/monitor/parameters.ts';
import { decodeSubsz, renderSubsz } from '../../../../src/main/monitor/subsz.ts';
import { type MonitorFacts, renderVarz } from '../../../../src/main/monitor/varz.ts';
import type { SublistStats } from '../../../../src/shared/mail/monitor.ts';
import {
  fixture,
  SampleSource,
  sampleConnection,
  sampleOptions,
  sampleStats,
  sampleSubscription,
  timeMs,
} from './sample-source.ts';

/** The connections of the recorded server: two open, one closed. */
function recordedSource(): SampleSource {
  const source = new SampleSource();
  source.live = [
    sampleConnection({
      cid: 7,
      remotePort: 42446,
      startMs: timeMs('2026-11-21T01:55:06.155525Z'),
      lastActivityMs: timeMs('2026-11-21T01:55:06.156741Z'),
      rttMs: 0.9761,
      inMsgs: 1,
      outMsgs: 1,
      inBytes: 5,
      outBytes: 5,
      subscriptionCount: 2,
      clientName: 'one <&>',
      lang: 'js',
      version: '1.2.3',
      authorizedUser: 'a',
      account: 'A',
      nameTag: 'A',
      subscriptions: [
        sampleSubscription({ subject: 'foo.>', sid: '1', deliveredMsgs: 1, cid: 7 }),
        sampleSubscription({ subject: 'bar', queue: 'q', sid: '2', maxMsgs: 10, cid: 7 }),
      ],
    }),
    sampleConnection({
      cid: 8,
      remotePort: 42452,
      startMs: timeMs('2026-11-21T01:55:06.157211Z'),
      lastActivityMs: timeMs('2026-11-21T01:55:06.157327Z'),
      rttMs: 0.0869,
      subscriptionCount: 1,
      clientName: 'two',
      lang: 'go',
      version: '2',
      authorizedUser: 'b',
      account: 'B',
      nameTag: 'B',
      subscriptions: [sampleSubscription({ subject: 'x', sid: '9', cid: 8 })],
    }),
  ];
  source.closedConnections.add(
    sampleConnection({
      cid: 9,
      remotePort: 42468,
      startMs: timeMs('2026-11-21T01:55:06.157574Z'),
      lastActivityMs: timeMs('2026-11-21T01:55:06.157657Z'),
      stopMs: timeMs('2026-11-21T01:55:06.158275Z'),
      closeReason: 'Client Closed',
      rttMs: 0.062,
      subscriptionCount: 1,
      clientName: 'closed',
      lang: 'go',
      version: '2',
      authorizedUser: 'b',
      account: 'B',
      nameTag: 'B',
      subscriptions: [sampleSubscription({ account: 'B', accountTag: 'B', subject: 'y', sid: '9', cid: 9 })],
    }),
  );
  return source;
}

async function connz(source: SampleSource, query: string, name: string): Promise<string> {
  source.nowMs = timeMs(JSON.parse(fixture(name)).now);
  return encodeJson(await renderConnz(source, decodeConnz(new Parameters(query))), '  ');
}

describe('/connz is byte for byte what nats-server 2.15.1 answered', () => {
  test.each([
    ['auth=1&subs=detail', 'connz-auth-detail'],
    ['auth=1&subs=1', 'connz-auth-subjects'],
    ['state=closed&subs=detail&auth=1', 'connz-closed-auth-detail'],
    ['state=closed&subs=1', 'connz-closed-subjects'],
    ['state=any&sort=bytes_to', 'connz-any'],
    ['acc=NOPE', 'connz-unknown-account'],
    ['cid=999', 'connz-unknown-cid'],
    ['user=b', 'connz-user'],
  ])('%s', async (query, name) => {
    expect(await connz(recordedSource(), query, name)).toBe(fixture(name));
  });
});

const facts: MonitorFacts = {
  httpPort: 14812,
  httpsPort: 0,
  requestCounts: new Map([['/varz', 1]]),
  usage: { residentBytes: 17027072, cpuPercent: 0, cores: 2 },
  certificateNotAfterMs: 0,
  webSocketCertificateNotAfterMs: 0,
};
const configDigest = `sha256:${'0'.repeat(64)}`;

describe('/varz is byte for byte what nats-server 2.15.1 answered', () => {
  test('with accounts and traffic', () => {
    const source = new SampleSource();
    source.nowMs = timeMs('2026-11-21T01:55:06.480908Z');
    source.identityChanges = { isAuthRequired: true };
    source.serverOptions = sampleOptions({ configDigest });
    const oneMessage = {
      inMsgs: 1,
      inBytes: 5,
      inClientMsgs: 1,
      inClientBytes: 5,
      outMsgs: 1,
      outBytes: 5,
      outClientMsgs: 1,
      outClientBytes: 5,
    };
    source.serverStats = sampleStats({
      ...oneMessage,
      connections: 2,
      totalConnections: 3,
      subscriptions: 71,
    });
    expect(encodeJson(renderVarz(source, facts, null), '  ')).toBe(fixture('varz-accounts'));
  });

  test('with TLS, tags, metadata and without a system account', () => {
    const source = new SampleSource();
    source.nowMs = timeMs('2026-11-21T02:05:15.895258Z');
    const startMs = timeMs('2026-11-21T02:05:15.252248Z');
    source.identityChanges = { serverName: 'n<1>', port: 14851, startMs, configLoadMs: startMs };
    source.serverOptions = sampleOptions({
      configDigest,
      maxSubscriptions: 17,
      writeTimeout: 'close',
      writeDeadlineMs: 1500,
      pingIntervalMs: 30_000,
      systemAccount: '',
      serverTags: ['a', 'b:<c>'],
      serverMetadata: { k: 'v', a: 'b' },
      featureFlags: { js_ack_fc_v2: true },
      monitor: { host: '127.0.0.1', httpPort: 0, httpsPort: 14852, basePath: 'nats/' },
      tls: {
        certs: [],
        ca: '',
        caFile: '',
        verify: true,
        timeoutMs: 2500,
        ciphers: '',
        curves: '',
        minVersion: 'TLSv1.2',
        pinnedCerts: [],
        handshakeFirstMs: null,
        connectionRateLimit: 0,
      },
      authorization: { ...sampleOptions().authorization, timeoutMs: 1500 },
    });
    const body = renderVarz(
      source,
      {
        ...facts,
        httpPort: 0,
        httpsPort: 14852,
        requestCounts: new Map([
          ['/varz', 1],
          ['/', 1],
        ]),
        usage: { residentBytes: 16830464, cpuPercent: 0, cores: 2 },
        certificateNotAfterMs: timeMs('2035-02-07T02:05:15Z'),
      },
      null,
    );
    expect(encodeJson(body, '  ')).toBe(fixture('varz-options'));
  });
});

describe('/subsz is byte for byte what nats-server 2.15.1 answered', () => {
  const half: SublistStats = {
    subscriptions: 36,
    cacheEntries: 8,
    inserts: 36,
    removes: 0,
    matches: 10,
    cacheHits: 4,
    maxFanout: 1,
    totalFanout: 5,
  };
  const rest: SublistStats = {
    subscriptions: 35,
    cacheEntries: 7,
    inserts: 36,
    removes: 1,
    matches: 9,
    cacheHits: 0,
    maxFanout: 1,
    totalFanout: 4,
  };

  async function subsz(source: SampleSource, query: string, name: string): Promise<string> {
    source.nowMs = timeMs(JSON.parse(fixture(name)).now);
    return encodeJson(await renderSubsz(source, decodeSubsz(new Parameters(query))), '  ');
  }

  test('statistics, summed over two shards', async () => {
    const source = new SampleSource();
    source.subscriptionAnswers = [
      { stats: half, total: 0, subscriptions: [] },
      { stats: rest, total: 0, subscriptions: [] },
    ];
    expect(await subsz(source, '', 'subsz')).toBe(fixture('subsz'));
  });

  test('nothing known about the account', async () => {
    expect(await subsz(new SampleSource(), 'acc=NOPE&subs=1', 'subsz-unknown-account')).toBe(
      fixture('subsz-unknown-account'),
    );
  });

  test('the list of an account', async () => {
    const source = new SampleSource();
    const ofA = { account: 'A', accountTag: 'A' };
    const subscriptions = [
      sampleSubscription({ ...ofA, subject: '$SYS.REQ.USER.INFO', sid: '4', cid: 3 }),
      sampleSubscription({ ...ofA, subject: '$SYS.REQ.ACCOUNT.PING.CONNZ', sid: '1', cid: 3 }),
      sampleSubscription({ ...ofA, subject: '$SYS.REQ.ACCOUNT.PING.STATZ', sid: '3', cid: 3 }),
      sampleSubscription({ ...ofA, subject: '$SYS.REQ.SERVER.PING.CONNZ', sid: '2', cid: 3 }),
      sampleSubscription({ ...ofA, subject: 'foo.>', sid: '1', deliveredMsgs: 1, cid: 7 }),
      sampleSubscription({ ...ofA, subject: 'bar', queue: 'q', sid: '2', maxMsgs: 10, cid: 7 }),
    ];
    const stats = {
      ...half,
      subscriptions: 6,
      inserts: 6,
      cacheEntries: 1,
      matches: 1,
      cacheHits: 0,
      totalFanout: 1,
    };
    source.subscriptionAnswers = [{ stats, total: 6, subscriptions }];
    expect(await subsz(source, 'subs=1&acc=A', 'subsz-account-list')).toBe(fixture('subsz-account-list'));
  });
});
