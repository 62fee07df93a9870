import { describe, expect, test } from 'vitest';
import { ClosedConnections } from '../../../../src/main/monitor/closed-connections.ts';
import { decodeConnz, renderConnection, renderConnz } from '../../../../src/main/monitor/connz.ts';
import { encodeJson } from '../../../../src/main/monitor/format.ts';
import { Parameters } from '../../../../src/main/monitor/parameters.ts';
import { SampleSource, sampleConnection } from './sample-source.ts';

interface Page {
  num_connections: number;
  total: number;
  offset: number;
  limit: number;
  connections: { cid: number }[];
}

async function ask(source: SampleSource, query: string): Promise<Page> {
  return JSON.parse(encodeJson(await renderConnz(source, decodeConnz(new Parameters(query))), ''));
}

async function cids(source: SampleSource, query: string): Promise<number[]> {
  return (await ask(source, query)).connections.map(({ cid }) => cid);
}

function severalSource(): SampleSource {
  const source = new SampleSource();
  source.nowMs = 1_000_000;
  source.live = [
    sampleConnection({
      cid: 1,
      startMs: 100,
      lastActivityMs: 300,
      rttMs: 3,
      pendingBytes: 5,
      inMsgs: 1,
      outBytes: 9,
      account: 'A',
      authorizedUser: 'u',
      mqttClient: 'sensor',
    }),
    sampleConnection({
      cid: 2,
      startMs: 200,
      lastActivityMs: 100,
      rttMs: 1,
      inMsgs: 7,
      subscriptionCount: 4,
    }),
    sampleConnection({
      cid: 3,
      startMs: 300,
      lastActivityMs: 200,
      rttMs: 2,
      outMsgs: 8,
      inBytes: 3,
      account: 'A',
    }),
    sampleConnection({ cid: 4, kind: 'Leafnode', transport: '', startMs: 400, lastActivityMs: 50 }),
  ];
  return source;
}

describe('order', () => {
  test.each([
    ['', [1, 2, 3, 4]],
    ['sort=start', [1, 2, 3, 4]],
    ['sort=uptime', [4, 3, 2, 1]],
    ['sort=last', [1, 3, 2, 4]],
    ['sort=idle', [4, 2, 3, 1]],
    ['sort=rtt', [1, 3, 2, 4]],
    ['sort=subs', [2, 1, 3, 4]],
    ['sort=pending', [1, 2, 3, 4]],
    ['sort=msgs_from', [2, 1, 3, 4]],
    ['sort=msgs_to', [3, 1, 2, 4]],
    ['sort=bytes_from', [3, 1, 2, 4]],
    ['sort=bytes_to', [1, 2, 3, 4]],
  ])('%s', async (query, expected) => {
    expect(await cids(severalSource(), query)).toEqual(expected);
  });

  test('closed connections by their end and by their reason', async () => {
    const source = new SampleSource();
    source.closedConnections.add(sampleConnection({ cid: 5, stopMs: 10, closeReason: 'Stale Connection' }));
    source.closedConnections.add(sampleConnection({ cid: 6, stopMs: 30, closeReason: 'Client Closed' }));
    source.closedConnections.add(sampleConnection({ cid: 7, stopMs: 20, closeReason: 'Client Closed' }));
    expect(await cids(source, 'state=closed&sort=stop')).toEqual([6, 7, 5]);
    expect(await cids(source, 'state=closed&sort=reason')).toEqual([6, 7, 5]);
  });

  test.each([
    ['sort=foo', 'invalid sorting option: foo'],
    ['sort=STOP', 'invalid sorting option: STOP'],
    ['sort=stop', 'sort by stop only valid on closed connections'],
    ['sort=reason&state=any', 'sort by reason only valid on closed connections'],
  ])('%s is refused', async (query, message) => {
    await expect(ask(severalSource(), query)).rejects.toThrow(message);
  });
});

describe('filters and pages', () => {
  test('only the account changes the total', async () => {
    const source = severalSource();
    expect(await ask(source, 'acc=A')).toMatchObject({ num_connections: 2, total: 2 });
    expect(await ask(source, 'user=u')).toMatchObject({ num_connections: 1, total: 4 });
    expect(await ask(source, 'mqtt_client=sensor')).toMatchObject({ num_connections: 1, total: 4 });
    expect(await ask(source, 'cid=3')).toMatchObject({ num_connections: 1, total: 4, limit: 1 });
    expect(await ask(source, 'cid=3&offset=2')).toMatchObject({ num_connections: 0, offset: 2 });
  });

  test('a leaf node is not found by its id', async () => {
    expect(await cids(severalSource(), 'cid=4')).toEqual([]);
  });

  test('a page is cut from the merged order of all shards', async () => {
    const source = severalSource();
    expect(await cids(source, 'limit=2&offset=1')).toEqual([2, 3]);
    expect(await ask(source, 'offset=-3&limit=-1')).toMatchObject({
      offset: 0,
      limit: 1024,
      num_connections: 4,
    });
  });

  test('a closed connection of the global account has lost its account', async () => {
    const source = new SampleSource();
    source.closedConnections.add(
      sampleConnection({ cid: 9, stopMs: 5, account: '$G', nameTag: '$G', authorizedUser: 'u' }),
    );
    expect(await cids(source, 'state=closed&acc=$G')).toEqual([]);
    const [entry] = (await ask(source, 'state=closed&auth=1')).connections;
    expect(entry).toMatchObject({ authorized_user: 'u' });
    expect(entry).not.toHaveProperty('name_tag');
  });

  test('closed connections alone ask no shard', async () => {
    const source = new SampleSource();
    source.connections = () => Promise.reject(new Error('asked'));
    expect(await cids(source, 'state=closed')).toEqual([]);
  });
});

describe('entries', () => {
  test('the account $G is never shown, its display name is', () => {
    const connection = sampleConnection({ account: '$G', nameTag: '$G', authorizedUser: '[REDACTED]' });
    const entry = renderConnection(connection, { withAuth: true, query: { subscriptions: 'none' } }, 5);
    expect(entry).toMatchObject({ account: undefined, name_tag: '$G', authorized_user: '[REDACTED]' });
  });

  test('TLS, proxy and JWT fields, the secret ones only with auth', () => {
    const connection = sampleConnection({
      tls: {
        version: '1.3',
        cipherSuite: 'TLS_AES_128_GCM_SHA256',
        peerCertificates: [{ subject: 'CN=x', spkiSha256: 'aa', certSha256: 'bb' }],
        isFirst: true,
      },
      stalls: 2,
      jwt: 'ey',
      issuerKey: 'A1',
      tags: ['t'],
      mqttClient: 'm',
      proxyKey: 'UP',
    });
    const render = (withAuth: boolean) =>
      encodeJson(renderConnection(connection, { withAuth, query: { subscriptions: 'none' } }, 5), '');
    const common =
      '"stalls":2,"subscriptions":0,"tls_version":"1.3","tls_cipher_suite":"TLS_AES_128_GCM_SHA256",';
    expect(render(false)).toContain(`${common}"tls_first":true,"mqtt_client":"m","proxy":{"key":"UP"}}`);
    expect(render(true)).toContain(
      `${common}"tls_peer_certs":[{"subject":"CN=x","spki_sha256":"aa","cert_sha256":"bb"}],"tls_first":true,` +
        '"jwt":"ey","issuer_key":"A1","tags":["t"],"mqtt_client":"m","proxy":{"key":"UP"}}',
    );
  });
});

describe('the memory of closed connections', () => {
  const kept = (closed: ClosedConnections): number[] => [...closed].map(({ cid }) => cid);

  test('keeps the newest, oldest first', () => {
    const closed = new ClosedConnections(3);
    for (let cid = 1; cid <= 5; cid++) closed.add(sampleConnection({ cid, stopMs: cid }));
    expect(kept(closed)).toEqual([3, 4, 5]);
  });

  test('a bound of zero remembers nothing', () => {
    const closed = new ClosedConnections(0);
    closed.add(sampleConnection({ cid: 1 }));
    expect(closed.size).toBe(0);
  });
});
