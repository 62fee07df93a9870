/** Monitoring over HTTP against a server at work: what it says must be what happened. */
import { request } from 'node:https';
import { afterEach, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { shardCounts } from '../support/server-command.ts';

type Page = Record<string, unknown>;
interface Subscription {
  subject: string;
  sid: string;
  qgroup?: string;
  msgs: number;
  max?: number;
  cid: number;
  account?: string;
}
interface Connection {
  cid: number;
  [field: string]: unknown;
}

describe.each(shardCounts())('monitoring, %i shard(s)', (shards) => {
  let daemon: Daemon;
  const clients: RawClient[] = [];

  async function start(config = ''): Promise<void> {
    daemon = await Daemon.start({ shards, config: `http: "127.0.0.1:-1"\n${config}` });
  }

  async function page(path: string): Promise<Page> {
    const answer = await fetch(daemon.monitoringUrl + path);
    expect(answer.status).toBe(200);
    return (await answer.json()) as Page;
  }

  async function connz(query = ''): Promise<{ page: Page; list: Connection[]; cids: number[] }> {
    const answer = await page(`/connz${query}`);
    const list = answer.connections as Connection[];
    return { page: answer, list, cids: list.map(({ cid }) => cid) };
  }

  async function client(fields: Record<string, unknown> = {}): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port });
    clients.push(connection);
    await connection.handshake(fields);
    return connection;
  }

  async function cidOf(connection: RawClient): Promise<number> {
    return (await connection.info()).client_id as number;
  }

  afterEach(async () => {
    for (const connection of clients.splice(0)) connection.destroy();
    await daemon?.stop();
  });

  describe('/varz', () => {
    test('counts what went through', async () => {
      await start();
      const [publisher, one, two, queued] = [await client(), await client(), await client(), await client()];
      await one.sync('SUB t.> 1\r\n');
      await two.sync('SUB t.a 1\r\nSUB t.a 2\r\n');
      await queued.sync('SUB t.* q 1\r\n');
      const count = 50;
      await publisher.sync('PUB t.a 10\r\n0123456789\r\n'.repeat(count));
      await publisher.sync('HPUB t.b 12 15\r\nNATS/1.0\r\n\r\nabc\r\n'.repeat(count));
      await publisher.sync('PUB nobody 7\r\n1234567\r\n'.repeat(count));
      for (const connection of [one, two, queued]) await connection.sync();
      const varz = await page('/varz');
      expect(varz).toMatchObject({
        connections: 4,
        total_connections: 4,
        in_msgs: 3 * count,
        in_bytes: count * (10 + 15 + 7),
        in_client_msgs: 3 * count,
        // t.a: one, two twice, queued; t.b: one, queued.
        out_msgs: 6 * count,
        subscriptions: 4,
        slow_consumers: 0,
        stale_connections: 0,
        max_payload: 1048576,
        port: daemon.port,
      });
      await two.end();
      await page('/connz');
      expect(await page('/varz')).toMatchObject({
        connections: 3,
        total_connections: 4,
        subscriptions: 2,
        in_msgs: 3 * count,
        http_req_stats: { '/varz': 2, '/connz': 1 },
      });
    });

    test('accounts, tags, limits and digest are those of the configuration', async () => {
      await start(
        'server_name: "monitored"\nserver_tags: ["A", "b"]\nmax_connections: 77\nwrite_deadline: "3s"\naccounts { A { users: [ { user: a, password: a } ] } }\n',
      );
      const varz = await page('/varz');
      expect(varz).toMatchObject({
        server_name: 'monitored',
        tags: ['a', 'b'],
        max_connections: 77,
        write_deadline: 3_000_000_000,
        auth_required: true,
        system_account: '$SYS',
      });
      expect(varz.config_digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    });
  });

  describe('/connz', () => {
    test('messages and subscriptions count as activity, PING and PONG do not', async () => {
      await start();
      const quiet = await client({ name: 'quiet' });
      const other = await client({ name: 'other' });
      // As a number: the texts have no zeros at the end of their fractions.
      const lastActivity = async (): Promise<number> => {
        const { list } = await connz(`?cid=${await cidOf(quiet)}`);
        return Date.parse(list[0]?.last_activity as string);
      };
      // The clock of the server has to move on for a wrong answer to show.
      const pass = async (operations: string): Promise<void> => {
        for (const fromMs = Date.now(); Date.now() - fromMs < 5; ) await quiet.sync(operations);
      };
      const atConnect = await lastActivity();
      await pass('PONG\r\n');
      expect(await lastActivity()).toBe(atConnect);
      const seen = [atConnect];
      for (const operations of ['SUB a 1\r\n', 'UNSUB 9\r\n', 'PUB b 1\r\nx\r\n']) {
        await pass(operations);
        seen.push(await lastActivity());
      }
      await pass('');
      await other.sync('PUB a 1\r\nx\r\n');
      await quiet.sync();
      seen.push(await lastActivity());
      expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
      expect(seen).toHaveLength(5);
    });

    test('each connection with what it did', async () => {
      await start();
      const publisher = await client({ name: 'pub', lang: 'test', version: '1.2.3' });
      const reader = await client({ name: 'sub' });
      await reader.sync('SUB a 1\r\nSUB b q 2\r\nUNSUB 1 5\r\n');
      await publisher.sync('PUB a 3\r\nabc\r\nPUB b 4\r\nabcd\r\n');
      await reader.sync();
      const { list, page: answer } = await connz('?subs=detail');
      expect(answer).toMatchObject({ num_connections: 2, total: 2, offset: 0, limit: 1024 });
      expect(list[0]).toMatchObject({
        cid: await cidOf(publisher),
        kind: 'Client',
        type: 'nats',
        ip: '127.0.0.1',
        name: 'pub',
        lang: 'test',
        version: '1.2.3',
        in_msgs: 2,
        in_bytes: 7,
        out_msgs: 0,
        subscriptions: 0,
        pending_bytes: 0,
      });
      expect(list[1]).toMatchObject({ name: 'sub', in_msgs: 0, out_msgs: 2, out_bytes: 7, subscriptions: 2 });
      expect(list[1]?.subscriptions_list_detail).toEqual(
        expect.arrayContaining([
          { subject: 'a', sid: '1', msgs: 1, max: 5, cid: await cidOf(reader) },
          { subject: 'b', qgroup: 'q', sid: '2', msgs: 1, cid: await cidOf(reader) },
        ]),
      );
      const subjects = (await connz('?subs=1')).list[1]?.subscriptions_list as string[];
      expect(subjects.sort()).toEqual(['a', 'b']);
    });

    test('who it is: auth, user, acc', async () => {
      await start(
        'accounts { A { users: [ { user: a, password: a }, { user: a2, password: a } ] }, B { users: [ { user: b, password: b } ] } }\n',
      );
      for (const [user, pass] of [
        ['a', 'a'],
        ['b', 'b'],
        ['a2', 'a'],
      ]) {
        await client({ user, pass });
      }
      const { list } = await connz('?auth=1');
      expect(list.map(({ authorized_user, account }) => [authorized_user, account])).toEqual([
        ['a', 'A'],
        ['b', 'B'],
        ['a2', 'A'],
      ]);
      expect((await connz('')).list.some((connection) => 'account' in connection)).toBe(false);
      expect((await connz('?acc=A&auth=1')).list.map(({ authorized_user }) => authorized_user)).toEqual([
        'a',
        'a2',
      ]);
      expect((await connz('?acc=A')).page.total).toBe(2);
      expect((await connz('?user=b&auth=1')).list.map(({ account }) => account)).toEqual(['B']);
      const unknown = await page('/connz?acc=none');
      expect(unknown).toMatchObject({ num_connections: 0, total: 0, connections: null });
    });

    test('sorted and paged over all shards', async () => {
      await start();
      const all: RawClient[] = [];
      const target = await client();
      await target.sync('SUB sorted.* 1\r\n');
      for (let n = 0; n < 10; n += 1) {
        const connection = await client();
        all.push(connection);
        const times = (n * 7) % 10;
        const subscriptions = Array.from(
          { length: (n * 3) % 10 },
          (_, sid) => `SUB own.${n} ${sid}\r\n`,
        ).join('');
        await connection.sync(
          subscriptions + `PUB sorted.x ${n + 1}\r\n${'x'.repeat(n + 1)}\r\n`.repeat(times),
        );
      }
      await target.sync();
      const cids = await Promise.all(all.map(cidOf));
      const by = (order: (n: number) => number): number[] =>
        cids
          .map((_, n) => n)
          .sort((a, b) => order(b) - order(a) || a - b)
          .map((n) => cids[n] as number);
      const without = (list: number[]): number[] => list.filter((cid) => cids.includes(cid));
      expect(without((await connz()).cids)).toEqual(cids);
      expect(without((await connz('?sort=cid')).cids)).toEqual(cids);
      expect(without((await connz('?sort=msgs_from')).cids)).toEqual(by((n) => (n * 7) % 10));
      expect(without((await connz('?sort=bytes_from')).cids)).toEqual(by((n) => ((n * 7) % 10) * (n + 1)));
      expect(without((await connz('?sort=subs')).cids)).toEqual(by((n) => (n * 3) % 10));
      expect((await connz('?sort=msgs_to&limit=1')).cids).toEqual([await cidOf(target)]);
      // Pages together are the whole, in order, whatever shards the connections are on.
      for (const sort of ['cid', 'msgs_from', 'subs', 'bytes_from']) {
        const whole = (await connz(`?sort=${sort}`)).cids;
        const pages: number[] = [];
        for (let offset = 0; offset < 12; offset += 3) {
          const { page: answer, cids: part } = await connz(`?sort=${sort}&offset=${offset}&limit=3`);
          expect(answer).toMatchObject({ total: 11, offset, limit: 3, num_connections: part.length });
          pages.push(...part);
        }
        expect(pages).toEqual(whole);
      }
      expect((await connz('?offset=100')).cids).toEqual([]);
    });

    test('one connection by its id', async () => {
      await start();
      const [, second] = [await client(), await client(), await client()];
      const cid = await cidOf(second as RawClient);
      const { page: answer, cids } = await connz(`?cid=${cid}&subs=1`);
      expect(cids).toEqual([cid]);
      expect(answer).toMatchObject({ num_connections: 1, total: 3, limit: 1 });
      expect((await connz('?cid=999')).cids).toEqual([]);
    });

    test('closed connections, with the reason', async () => {
      await start('max_payload: 10\nauthorization { user: u, password: p }\n');
      const login = { user: 'u', pass: 'p', name: 'gone' };
      const leaver = await client(login);
      await leaver.sync('SUB was.here 1\r\nPUB x 2\r\nhi\r\n');
      await leaver.end();
      const talker = await client(login);
      talker.send('PUB x 11\r\nhello hello\r\n');
      await talker.untilClosed();
      const stranger = await client({ user: 'u', pass: 'wrong' });
      await stranger.untilClosed();
      const confused = await client(login);
      confused.send('NONSENSE\r\n');
      await confused.untilClosed();
      const open = await client(login);
      const expected = [
        [await cidOf(leaver), 'Client Closed'],
        [await cidOf(talker), 'Maximum Message Payload Exceeded'],
        [await cidOf(stranger), 'Authentication Failure'],
        [await cidOf(confused), 'Protocol Violation'],
      ];
      const { list, page: answer } = await connz('?state=closed&subs=detail&auth=1');
      expect(list.map(({ cid, reason }) => [cid, reason])).toEqual(expected);
      expect(answer).toMatchObject({ num_connections: 4, total: 4 });
      expect(list[0]).toMatchObject({
        name: 'gone',
        authorized_user: 'u',
        in_msgs: 1,
        subscriptions: 1,
        stop: expect.stringMatching(/^\d{4}-/),
      });
      expect(list[0]?.subscriptions_list_detail).toMatchObject([{ subject: 'was.here', sid: '1' }]);
      const reasons = (await connz('?state=closed&sort=reason')).list.map(({ reason }) => reason);
      expect(reasons).toEqual([...reasons].sort());
      const stops = (await connz('?state=closed&sort=stop')).list.map(({ stop }) => Date.parse(String(stop)));
      expect(stops).toEqual([...stops].sort((a, b) => b - a));
      expect((await connz('?state=any')).cids).toEqual([...expected.map(([cid]) => cid), await cidOf(open)]);
      expect((await connz('?state=closed&offset=1&limit=2')).cids).toEqual(
        expected.slice(1, 3).map(([cid]) => cid),
      );
    });

    test('keeps the last max_closed_clients', async () => {
      await start('max_closed_clients: 3\n');
      const cids: number[] = [];
      for (let n = 0; n < 6; n += 1) {
        const connection = await client();
        cids.push(await cidOf(connection));
        await connection.end();
        await page('/varz');
      }
      expect((await connz('?state=closed')).cids).toEqual(cids.slice(3));
    });

    test('pending bytes of a client that does not read', async () => {
      await start();
      const [slow, publisher] = [await client(), await client()];
      await slow.sync('SUB flood 1\r\n');
      slow.pause();
      const payload = 'p'.repeat(32_768);
      await publisher.sync(`PUB flood ${payload.length}\r\n${payload}\r\n`.repeat(600));
      // The counter is the slow connection's own shard's: it has everything when the publisher's shard was answered.
      let pending = 0;
      for (let asked = 0; asked < 5000 && pending <= 1_000_000; asked += 1) {
        pending = (await connz('?sort=pending')).list[0]?.pending_bytes as number;
      }
      const [first] = (await connz('?sort=pending')).list;
      expect(first?.cid).toBe(await cidOf(slow));
      expect(first?.pending_bytes).toBeGreaterThan(1_000_000);
      expect(await publisher.sync()).toBe(true);
    });
  });

  describe('/subsz', () => {
    test('counts and lists the subscriptions of all shards', async () => {
      await start(
        'accounts { A { users: [ { user: a, password: a } ] }, B { users: [ { user: b, password: b } ] } }\n',
      );
      const connections = [
        await client({ user: 'a', pass: 'a' }),
        await client({ user: 'a', pass: 'a' }),
        await client({ user: 'b', pass: 'b' }),
        await client({ user: 'b', pass: 'b' }),
      ];
      for (const connection of connections)
        await connection.sync('SUB s.one 1\r\nSUB s.* q 2\r\nSUB other 3\r\n');
      const subsz = await page('/subsz?subs=1');
      expect(subsz).toMatchObject({ num_subscriptions: 12, total: 12, offset: 0, limit: 1024 });
      const list = subsz.subscriptions_list as Subscription[];
      expect(list).toHaveLength(12);
      const ids = (await connz()).cids;
      for (const cid of ids) {
        const subjects = list
          .filter((subscription) => subscription.cid === cid)
          .map(({ subject }) => subject);
        expect(subjects.sort()).toEqual(['other', 's.*', 's.one']);
      }
      expect(await page('/subsz')).toMatchObject({ num_subscriptions: 12, total: 0 });
      expect((await page('/subsz?subs=1&acc=A')).total).toBe(6);
      const matching = await page('/subsz?subs=1&test=s.one&acc=B');
      expect(matching.total).toBe(4);
      expect((matching.subscriptions_list as Subscription[]).map(({ subject }) => subject).sort()).toEqual([
        's.*',
        's.*',
        's.one',
        's.one',
      ]);
      const paged = await page('/subsz?subs=1&offset=8&limit=3');
      expect(paged).toMatchObject({ total: 12, offset: 8, limit: 3 });
      expect(paged.subscriptions_list).toHaveLength(3);
      const refused = await fetch(`${daemon.monitoringUrl}/subsz?subs=1&test=s.*`);
      expect(refused.status).toBe(400);
      await connections[0]?.sync('UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\n');
      expect((await page('/subsz')).num_subscriptions).toBe(9);
    });
  });

  describe('/healthz', () => {
    test('is ok, and fails in lame duck mode', async () => {
      await start('lame_duck_duration: "30s"\nlame_duck_grace_period: "29s"\n');
      const connection = await client();
      expect(await page('/healthz')).toEqual({ status: 'ok' });
      daemon.kill('SIGUSR2');
      await connection.expect(/"ldm":true/);
      const failing = await fetch(`${daemon.monitoringUrl}/healthz`);
      expect(failing.status).toBe(500);
      expect(await failing.json()).toEqual({
        status: 'error',
        error: 'failed to be ready for connections after 1ms: server',
      });
      expect((await page('/varz')).connections).toBe(1);
      expect((await connz()).cids).toEqual([await cidOf(connection)]);
      // The grace period is long: only an interrupt ends it early.
      expect(await daemon.stop('SIGINT')).toEqual({ code: 0, signal: null });
    });
  });

  test('over https, with the certificate of the client listener', async () => {
    const { server, ca, caFile } = certificates();
    daemon = await Daemon.start({
      shards,
      config: `https: "127.0.0.1:-1"\ntls { cert_file: "${server.certFile}", key_file: "${server.keyFile}", ca_file: "${caFile}", verify: true }\n`,
    });
    expect(daemon.monitoringUrl).toMatch(/^https:/);
    const body = await new Promise<string>((resolve, reject) => {
      const asked = request(`${daemon.monitoringUrl}/varz`, { ca, servername: 'localhost' }, (answer) => {
        let text = '';
        answer.on('data', (chunk) => {
          text += chunk;
        });
        answer.on('end', () => resolve(text));
      });
      asked.on('error', reject).end();
    });
    expect(JSON.parse(body)).toMatchObject({ tls_required: true, tls_verify: true, port: daemon.port });
  });
});
