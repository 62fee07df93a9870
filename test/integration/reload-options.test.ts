/**
 * A reload of every option that a running server can change, seen from clients: those that are there and those that come.
 * "Reloaded" is logged when all threads and all connections live by the new options, so a test may go on from there.
 */
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { type CertificatePair, certificates } from '../support/certificates.ts';
import { Daemon } from '../support/daemon.ts';
import { RawClient, type RawClientOptions } from '../support/raw-client.ts';
import { shardCounts } from '../support/server-command.ts';

const MONITORING = 'http: "127.0.0.1:-1"\n';

function account(name: string, users: string, more = ''): string {
  const list = users
    .split(' ')
    .map((user) => `{ user: ${user}, password: pw }`)
    .join(', ');
  return `${name} { users: [ ${list} ] ${more} }`;
}

/** SHA-256 fingerprint of the certificate that the client listener shows. */
async function shownCertificate(port: number): Promise<string> {
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'readable');
  socket.read();
  const secure = connectTls({ socket, rejectUnauthorized: false });
  await once(secure, 'secureConnect');
  const { fingerprint256 } = secure.getPeerCertificate();
  secure.destroy();
  return fingerprint256;
}

describe.each(shardCounts())('reload, %i shard(s)', (shards) => {
  let daemon: Daemon;
  const clients: RawClient[] = [];

  async function start(config = ''): Promise<void> {
    daemon = await Daemon.start({ shards, config: MONITORING + config });
  }

  async function apply(text: string, outcome: RegExp): Promise<string> {
    const from = daemon.log.length;
    writeFileSync(daemon.configFile, text);
    daemon.kill('SIGHUP');
    await daemon.untilLogged(outcome, from);
    return daemon.log.slice(from);
  }

  /** Writes the configuration and reloads it; answers what was logged. */
  function reload(config: string): Promise<string> {
    return apply(MONITORING + config, /Reloaded server configuration/);
  }

  function refuse(config: string, reason: RegExp): Promise<string> {
    return apply(MONITORING + config, new RegExp(`Failed to reload server configuration: ${reason.source}`));
  }

  async function connect(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const connection = await RawClient.connect({ port: daemon.port, ...options });
    clients.push(connection);
    return connection;
  }

  async function client(fields: Record<string, unknown> = {}): Promise<RawClient> {
    const connection = await connect();
    await connection.handshake(fields);
    return connection;
  }

  function login(user: string): Promise<RawClient> {
    return client({ user, pass: 'pw' });
  }

  async function monitoring(path: string): Promise<Record<string, unknown>> {
    return (await (await fetch(`${daemon.monitoringUrl}${path}`)).json()) as Record<string, unknown>;
  }

  afterEach(async () => {
    for (const connection of clients.splice(0)) connection.destroy();
    await daemon?.stop();
  });

  const errors = (connection: RawClient): string[] =>
    connection.texts.filter((text) => text.startsWith('-ERR'));
  const messages = (connection: RawClient): string[] =>
    connection.texts.filter((text) => text.startsWith('MSG'));

  describe('limits', () => {
    test('max_payload, of clients that are there too', async () => {
      await start();
      const [one, two] = [await client(), await client()];
      expect(await reload('max_payload: 10\n')).toContain('Reloaded: max_payload = 10');
      one.send('PUB x 11\r\nhello hello\r\n');
      await one.untilClosed();
      expect(errors(one)).toEqual(["-ERR 'Maximum Payload Violation'"]);
      expect(await two.sync('PUB x 10\r\nhellohello\r\n')).toBe(true);
      expect(two.frames.filter((frame) => frame.op === 'INFO')).toHaveLength(2);
      expect(await (await client()).info()).toMatchObject({ max_payload: 10 });
      await reload('max_payload: 20\n');
      expect(await two.sync('PUB x 11\r\nhello hello\r\n')).toBe(true);
      expect((await monitoring('/varz')).max_payload).toBe(20);
    });

    test('max_control_line', async () => {
      await start();
      const existing = await client();
      const subscribe = `SUB ${'s'.repeat(200)} 1\r\n`;
      expect(await existing.sync(subscribe)).toBe(true);
      expect(await reload('max_control_line: 100\n')).toContain('Reloaded: max_control_line = 100');
      existing.send(subscribe);
      await existing.untilClosed();
      expect(errors(existing)).toEqual(["-ERR 'maximum control line exceeded'"]);
      const next = await connect();
      next.send(subscribe);
      await next.untilClosed();
      expect(errors(next)).toEqual(["-ERR 'maximum control line exceeded'"]);
    });

    test('max_connections below what is open: so many are closed, and no more', async () => {
      await start();
      const open = [];
      for (let n = 0; n < 8; n += 1) open.push(await client());
      const log = await reload('max_connections: 3\n');
      expect(log).toContain('Closed 5 connections to fall within max_connections');
      expect(log).toContain('Reloaded: max_connections = 3');
      const answers = await Promise.all(open.map((connection) => connection.sync()));
      expect(answers.filter((answered) => answered)).toHaveLength(3);
      for (const [index, connection] of open.entries()) {
        if (!answers[index]) expect(errors(connection)).toEqual(["-ERR 'maximum connections exceeded'"]);
      }
      const refused = await connect();
      await refused.untilClosed();
      expect(errors(refused)).toEqual(["-ERR 'maximum connections exceeded'"]);
      await reload('max_connections: 4\n');
      expect(await (await client()).sync()).toBe(true);
    });

    test('write_deadline', async () => {
      await start('write_deadline: "20s"\n');
      const [slow, publisher] = [await client(), await client()];
      await slow.sync('SUB flood 1\r\n');
      expect(await reload('write_deadline: "100ms"\n')).toContain('Reloaded: write_deadline = 100ms');
      slow.pause();
      const payload = 'p'.repeat(32_768);
      const burst = `PUB flood ${payload.length}\r\n${payload}\r\n`.repeat(32);
      let detected = false;
      const logged = daemon.untilLogged(/Slow Consumer Detected: WriteDeadline of 100ms/).then(() => {
        detected = true;
      });
      for (let round = 0; round < 40 && !detected; round += 1) expect(await publisher.sync(burst)).toBe(true);
      await logged;
      slow.resume();
      await slow.untilClosed();
    });

    test('no_fast_producer_stall: a slow reader misses messages instead of being closed', async () => {
      await start('max_pending: 2097152\nwrite_deadline: "20s"\n');
      const log = await reload('max_pending: 2097152\nwrite_deadline: "20s"\nno_fast_producer_stall: true\n');
      expect(log).toContain('Reloaded: fast producers will not be stalled');
      const [slow, publisher] = [await client(), await client()];
      await slow.sync('SUB flood 1\r\n');
      slow.pause();
      const payload = 'p'.repeat(32_768);
      const burst = `PUB flood ${payload.length}\r\n${payload}\r\n`.repeat(32);
      for (let round = 0; round < 30; round += 1) expect(await publisher.sync(burst)).toBe(true);
      slow.resume();
      expect(await slow.sync()).toBe(true);
      expect(messages(slow).length).toBeLessThan(30 * 32);
    });

    test('ping_interval and ping_max', async () => {
      await start('ping_interval: "1h"\n');
      const log = await reload('ping_interval: "100ms"\nping_max: 1\n');
      expect(log).toContain('Reloaded: ping_interval = 100ms');
      expect(log).toContain('Reloaded: ping_max = 1');
      const connection = await client();
      await connection.untilClosed();
      expect(connection.texts.filter((text) => text === 'PING')).toHaveLength(1);
      expect(errors(connection)).toEqual(["-ERR 'Stale Connection'"]);
    });
  });

  describe('accounts', () => {
    test('one is added, and its clients find each other on all threads', async () => {
      await start(`accounts { ${account('A', 'a')} }\n`);
      const old = await login('a');
      await old.sync('SUB > 1\r\n');
      // Busy threads take longer to hear of a reload; interest of the new account may be there before.
      let busy = true;
      const load = (async () => {
        const [publisher, ...subscribers] = [await login('a'), await login('a'), await login('a')];
        for (const subscriber of subscribers) await subscriber.sync('SUB load 1\r\n');
        while (busy) await publisher?.sync(`PUB load 1000\r\n${'l'.repeat(1000)}\r\n`.repeat(500));
      })();
      let config = account('A', 'a');
      for (let round = 0; round < 10; round += 1) {
        config += `, ${account(`N${round}`, `n${round}`)}`;
        const reloaded = reload(`accounts { ${config} }\n`);
        const members: RawClient[] = [];
        while (members.length < 6) {
          const member = await login(`n${round}`);
          // Refused until its own thread knows the account, which need not be the last one to learn of it.
          if (await member.sync('SUB news 1\r\n')) members.push(member);
        }
        await reloaded;
        await members[0]?.sync('PUB news 2\r\nhi\r\n');
        for (const member of members) {
          expect(await member.sync()).toBe(true);
          expect(messages(member)).toEqual(['MSG news 1 2\r\nhi']);
        }
        await Promise.all(members.map((member) => member.end()));
      }
      busy = false;
      await load;
      expect(messages(old).filter((text) => text.includes('news'))).toEqual([]);
    });

    test('one is removed, and comes back', async () => {
      await start(`accounts { ${account('A', 'a')}, ${account('B', 'b')} }\n`);
      const [a, b] = [await login('a'), await login('b')];
      await reload(`accounts { ${account('A', 'a')} }\n`);
      await b.untilClosed();
      expect(errors(b)).toEqual([]);
      const refused = await login('b');
      await refused.untilClosed();
      expect(errors(refused)).toEqual(["-ERR 'Authorization Violation'"]);
      expect(await a.sync()).toBe(true);
      await reload(`accounts { ${account('A', 'a')}, ${account('B', 'b')} }\n`);
      const again = await login('b');
      await again.sync('SUB x 1\r\nPUB x 1\r\ny\r\n');
      expect(messages(again)).toEqual(['MSG x 1 1\r\ny']);
    });

    test('a user moves to another account: closed without a word', async () => {
      await start(`accounts { ${account('A', 'a')}, ${account('B', 'b m')} }\n`);
      const [a, m] = [await login('a'), await login('m')];
      await reload(`accounts { ${account('A', 'a m')}, ${account('B', 'b')} }\n`);
      await m.untilClosed();
      expect(errors(m)).toEqual([]);
      const moved = await login('m');
      await a.sync('SUB x 1\r\n');
      await moved.sync('PUB x 1\r\ny\r\n');
      await a.sync();
      expect(messages(a)).toEqual(['MSG x 1 1\r\ny']);
    });

    test('authentication begins, and ends', async () => {
      await start();
      const [anonymous, known] = [await client(), await login('a')];
      await reload(`accounts { ${account('A', 'a')} }\n`);
      await anonymous.untilClosed();
      expect(errors(anonymous)).toEqual(["-ERR 'Authorization Violation'"]);
      // It was in the global account, and would be in A now.
      await known.untilClosed();
      expect(errors(known)).toEqual([]);
      const waiting = await connect();
      expect(await waiting.info()).toMatchObject({ auth_required: true });
      const inside = await login('a');
      await reload('');
      await inside.untilClosed();
      // Whoever hadn't said who he is need not any more.
      expect(await waiting.sync('CONNECT {"verbose":false}\r\nSUB x 1\r\nPUB x 1\r\ny\r\n')).toBe(true);
      expect(messages(waiting)).toEqual(['MSG x 1 1\r\ny']);
    });

    test('limits below what an account has', async () => {
      const users = 'a1 a2 a3 a4 a5 a6';
      await start(`accounts { ${account('A', users)}, ${account('B', 'b')} }\n`);
      const members = [];
      for (const user of users.split(' ')) members.push(await login(user));
      const [few, many, outside] = [await login('b'), await login('b'), await login('b')];
      await few.sync('SUB x 1\r\n');
      await many.sync('SUB x 1\r\nSUB y 2\r\n');
      await reload(
        `accounts { ${account('A', users, ', limits { max_connections: 2 }')}, ${account('B', 'b', ', limits { max_subscriptions: 1, max_payload: 3 }')} }\n`,
      );
      const answers = await Promise.all(members.map((member) => member.sync()));
      expect(answers.filter((answered) => answered)).toHaveLength(2);
      for (const [index, member] of members.entries()) {
        if (!answers[index]) {
          expect(errors(member)).toEqual(["-ERR 'maximum account active connections exceeded'"]);
        }
      }
      await many.untilClosed();
      expect(errors(many)).toEqual(["-ERR 'maximum subscriptions exceeded'"]);
      expect(await few.sync('PUB x 3\r\nabc\r\n')).toBe(true);
      outside.send('PUB x 4\r\nabcd\r\n');
      await outside.untilClosed();
      expect(errors(outside)).toEqual(["-ERR 'Maximum Payload Violation'"]);
    });

    test('permissions: what is forbidden now ends, what is allowed now goes', async () => {
      const permitted = (publish: string, subscribe: string): string =>
        `authorization { users: [ { user: u, password: pw, permissions: { publish: ${publish}, subscribe: ${subscribe} } }, { user: v, password: pw } ] }\n`;
      await start(permitted('["p.a"]', '["s.a", "s.b"]'));
      const [u, v] = [await login('u'), await login('v')];
      await v.sync('SUB p.> 1\r\n');
      await u.sync('SUB s.a 1\r\nSUB s.b 2\r\nPUB p.b 1\r\nx\r\n');
      expect(errors(u)).toEqual(['-ERR \'Permissions Violation for Publish to "p.b"\'']);
      await reload(permitted('["p.b"]', '["s.b", "s.c"]'));
      await u.expect(/^-ERR 'Permissions Violation for Subscription to "s.a" \(sid "1"\)'$/);
      await u.sync('SUB s.c 3\r\nPUB p.b 1\r\nx\r\nPUB p.a 1\r\nx\r\n');
      expect(errors(u).at(-1)).toBe('-ERR \'Permissions Violation for Publish to "p.a"\'');
      await v.sync('PUB s.a 1\r\ny\r\nPUB s.b 1\r\ny\r\nPUB s.c 1\r\ny\r\n');
      await u.sync();
      expect(messages(u)).toEqual(['MSG s.b 2 1\r\ny', 'MSG s.c 3 1\r\ny']);
      expect(messages(v)).toEqual(['MSG p.b 1 1\r\nx']);
    });

    test('mappings of the global account and of others', async () => {
      const mapped = (to: string): string =>
        `mappings { "from": "${to}" }\naccounts { ${account('A', 'a', `, mappings { "from": "a.${to}" }`)} }\nno_auth_user: g\nauthorization { users: [ { user: g, password: pw } ] }\n`;
      await start(mapped('one'));
      const [g, a] = [await login('g'), await login('a')];
      for (const connection of [g, a]) await connection.sync('SUB > 1\r\nPUB from 1\r\nx\r\n');
      await reload(mapped('two'));
      for (const connection of [g, a]) await connection.sync('PUB from 1\r\nx\r\n');
      await reload(mapped('two').replace(/mappings \{[^}]*\}/g, 'mappings {}'));
      for (const connection of [g, a]) await connection.sync('PUB from 1\r\nx\r\n');
      expect(messages(g)).toEqual(['MSG one 1 1\r\nx', 'MSG two 1 1\r\nx', 'MSG from 1 1\r\nx']);
      expect(messages(a)).toEqual(['MSG a.one 1 1\r\nx', 'MSG a.two 1 1\r\nx', 'MSG from 1 1\r\nx']);
    });

    test('authorization timeout, user, password and token', async () => {
      await start('authorization { user: one, password: pw }\n');
      const one = await login('one');
      const log = await reload('authorization { token: "T", timeout: 0.2 }\n');
      expect(log).toContain('Reloaded: authorization username');
      expect(log).toContain('Reloaded: authorization password');
      expect(log).toContain('Reloaded: authorization token');
      expect(log).toContain('Reloaded: authorization timeout = 0.2');
      await one.untilClosed();
      expect(errors(one)).toEqual(["-ERR 'Authorization Violation'"]);
      const silent = await connect();
      await silent.untilClosed();
      expect(errors(silent)).toEqual(["-ERR 'Authentication Timeout'"]);
      await reload('authorization { token: "T", timeout: 30 }\n');
      expect(await (await client({ auth_token: 'T' })).sync()).toBe(true);
    });
  });

  describe('TLS', () => {
    const tls = (pair: Pick<CertificatePair, 'certFile' | 'keyFile'>, extra = ''): string =>
      `tls { cert_file: "${pair.certFile}", key_file: "${pair.keyFile}", ca_file: "${certificates().caFile}" ${extra} }\n`;
    const secure = { transport: 'tls' } as const;

    test('certificates renewed under other names, and in place', async () => {
      const { server, client: other, ca } = certificates();
      await start(tls(server));
      const existing = await connect({ ...secure, ca });
      await existing.handshake();
      const first = await shownCertificate(daemon.port);
      const log = await reload(tls(other));
      expect(log).toContain('Reloaded: tls = enabled');
      const second = await shownCertificate(daemon.port);
      expect(second).not.toBe(first);
      const place = { certFile: join(daemon.directory, 'c.pem'), keyFile: join(daemon.directory, 'k.pem') };
      copyFileSync(other.certFile, place.certFile);
      copyFileSync(other.keyFile, place.keyFile);
      await reload(tls(place));
      copyFileSync(server.certFile, place.certFile);
      copyFileSync(server.keyFile, place.keyFile);
      await reload(tls(place));
      expect(await shownCertificate(daemon.port)).toBe(first);
      expect(await existing.sync('SUB x 1\r\nPUB x 1\r\ny\r\n')).toBe(true);
    });

    test('switched on and off: open connections go on as they are', async () => {
      const { server, ca } = certificates();
      await start();
      const plain = await client();
      expect(await reload(tls(server))).toContain('Reloaded: tls = enabled');
      expect(await plain.sync()).toBe(true);
      const encrypted = await connect({ ...secure, ca });
      expect(await encrypted.handshake()).toBe(true);
      expect(await encrypted.info()).toMatchObject({ tls_required: true });
      expect((await monitoring('/varz')).tls_required).toBe(true);
      expect(await reload('')).toContain('Reloaded: tls = disabled');
      for (const connection of [plain, encrypted, await client()]) {
        expect(await connection.sync('SUB all 1\r\n')).toBe(true);
      }
      await plain.sync('PUB all 1\r\nx\r\n');
      await encrypted.sync();
      expect(messages(encrypted)).toEqual(['MSG all 1 1\r\nx']);
    });

    test('verify and pinned_certs: who has none of them is closed', async () => {
      const { server, client: known, ca } = certificates();
      await start(tls(server, ', verify: true'));
      const connection = await connect({ ...secure, ca, certificate: known });
      expect(await connection.handshake()).toBe(true);
      const log = await reload(tls(server, `, verify: true, pinned_certs: [ "${'0'.repeat(64)}" ]`));
      expect(log).toContain('Reloaded: 1 pinned_certs');
      expect(log).toContain('Disconnect 1 clients due to pinned certs reload');
      await connection.untilClosed();
      const again = await connect({ ...secure, ca, certificate: known });
      await again.untilClosed();
      const connz = await monitoring('/connz?state=closed');
      expect((connz.connections as { reason: string }[]).map(({ reason }) => reason)).toEqual([
        'TLS Handshake Failure',
        'TLS Handshake Failure',
      ]);
    });

    test('timeout and handshake_first', async () => {
      const { server, ca } = certificates();
      await start(tls(server));
      const log = await reload(tls(server, ', timeout: 0.3, handshake_first: true'));
      expect(log).toContain('Reloaded: tls timeout = 0.3');
      expect(log).toContain('Reloaded: Client TLS handshake first: true');
      const silent = await connect();
      await silent.untilClosed();
      expect(silent.frames).toEqual([]);
      await reload(tls(server, ', timeout: 30, handshake_first: true'));
      const first = await connect({ transport: 'tls-first', ca });
      expect(await first.handshake()).toBe(true);
    });

    test('a key that does not fit is refused, the old pair stays', async () => {
      const { server, client: other, ca } = certificates();
      await start(tls(server));
      const before = await shownCertificate(daemon.port);
      await refuse(tls({ certFile: server.certFile, keyFile: other.keyFile }), /.*key/);
      await refuse(
        tls({ certFile: join(daemon.directory, 'none.pem'), keyFile: server.keyFile }),
        /.*none\.pem/,
      );
      expect(await shownCertificate(daemon.port)).toBe(before);
      expect(await (await connect({ ...secure, ca })).handshake()).toBe(true);
    });
  });

  describe('what is shown and written', () => {
    test('client_advertise', async () => {
      await start();
      const log = await reload('client_advertise: "nats.example.com:7777"\n');
      expect(log).toContain('Reload: client_advertise = nats.example.com:7777');
      expect(await (await client()).info()).toMatchObject({ host: 'nats.example.com', port: 7777 });
      await reload('client_advertise: "other.example.com"\n');
      expect(await (await client()).info()).toMatchObject({ host: 'other.example.com', port: daemon.port });
      await refuse(
        'client_advertise: "nats.example.com:x"\n',
        /invalid ClientAdvertise value of nats\.example\.com:x/,
      );
      expect(await (await client()).info()).toMatchObject({ host: 'other.example.com' });
      await reload('');
      expect(await (await client()).info()).toMatchObject({ host: '127.0.0.1', port: daemon.port });
    });

    test('server_tags, server_metadata, digest and time in /varz', async () => {
      await start('server_tags: [ one ]\n');
      const before = await monitoring('/varz');
      expect(before).toMatchObject({ tags: ['one'] });
      const log = await reload('server_tags: [ Two, "three" ]\nserver_metadata: { zone: "z1" }\n');
      expect(log).toContain('Reloaded: tags');
      expect(log).toContain('Reloaded: metadata');
      const after = await monitoring('/varz');
      expect(after).toMatchObject({ tags: ['two', 'three'], metadata: { zone: 'z1' } });
      expect(after.config_digest).not.toBe(before.config_digest);
      expect(log).toContain(String(after.config_digest));
      expect(after.config_load_time).not.toBe(before.config_load_time);
      expect(after.start).toBe(before.start);
    });

    test('debug and trace', async () => {
      await start();
      const connection = await client();
      const on = await reload('debug: true\ntrace: true\n');
      expect(on).toContain('Reloaded: debug = true');
      expect(on).toContain('Reloaded: trace = true');
      const from = daemon.log.length;
      await connection.sync('PUB traced 2\r\nhi\r\n');
      await daemon.untilLogged(/\[TRC\] .* <<- \[PUB traced 2\]/, from);
      await daemon.untilLogged(/\[TRC\] .* <<- MSG_PAYLOAD: \["hi"\]/, from);
      await reload('debug: true\n');
      const silent = daemon.log.length;
      await connection.sync('PUB untraced 2\r\nhi\r\n');
      await (await client()).end();
      await daemon.untilLogged(/\[DBG\] .*Client connection closed/, silent);
      expect(daemon.log.slice(silent)).not.toContain('[TRC]');
    });

    test('log_file, there and back', async () => {
      await start();
      const file = join(daemon.directory, 'server.log');
      writeFileSync(daemon.configFile, `${MONITORING}log_file: "${file}"\n`);
      const written = new Promise<void>((resolve) => {
        const watcher = watch(daemon.directory, () => {
          if (!existsSync(file) || !readFileSync(file, 'utf8').includes('Reloaded server configuration'))
            return;
          watcher.close();
          resolve();
        });
      });
      daemon.kill('SIGHUP');
      await written;
      expect(readFileSync(file, 'utf8')).toContain(`Reloaded: log_file = ${file}`);
      await reload('');
      expect(daemon.log).toMatch(/Reloaded: log_file = \n/);
    });

    test('a log file that cannot be opened is refused', async () => {
      await start('server_tags: [ old ]\n');
      await refuse('server_tags: [ new ]\nlog_file: "/nonexistent/directory/server.log"\n', /.*server\.log/);
      expect(await monitoring('/varz')).toMatchObject({ tags: ['old'] });
    });

    test('pid_file', async () => {
      await start();
      const file = join(daemon.directory, 'later.pid');
      expect(await reload(`pid_file: "${file}"\n`)).toContain(`Reloaded: pid_file = ${file}`);
      expect(readFileSync(file, 'utf8')).toBe(String(daemon.pid));
    });
  });

  describe('refusals leave everything as it was', () => {
    test.each([
      ['max_pending: 1000000', /config reload not supported for MaxPending: old=67108864, new=1000000/],
      ['max_subscriptions: 1', /config reload not supported for MaxSubs: old=0, new=1/],
      ['server_name: other', /config reload not supported for ServerName/],
      ['write_timeout: retry', /config reload not supported for WriteTimeout/],
      ['lame_duck_duration: "60s"', /config reload not supported for LameDuckDuration/],
      ['max_closed_clients: 5', /config reload not supported for MaxClosedClients/],
      ['http_base_path: "/x"', /config reload not supported for HTTPBasePath/],
      ['max_payload: 70000000', /max_payload \(70000000\) cannot be higher than max_pending \(67108864\)/],
      ['max_payload: "much"', /.*/],
      ['nonsense: 1', /.*unknown field "nonsense"/],
      ['mappings { "a": [ { dest: "b", weight: 200 } ] }', /.*/],
    ])('%s', async (line, reason) => {
      const users = `accounts { ${account('A', 'a')} }\n`;
      await start(`server_tags: [ kept ]\nmax_payload: 50\n${users}`);
      const existing = await login('a');
      await existing.sync('SUB x 1\r\n');
      const before = await monitoring('/varz');
      // Everything else in the file would be fine.
      await refuse(
        `server_tags: [ lost ]\n${line.startsWith('max_payload') ? '' : 'max_payload: 10\n'}accounts { ${account('B', 'b')} }\n${line}\n`,
        reason,
      );
      const after = await monitoring('/varz');
      for (const field of ['tags', 'max_payload', 'config_digest', 'config_load_time']) {
        expect(after[field]).toEqual(before[field]);
      }
      expect(await existing.sync('PUB x 11\r\nhello hello\r\n')).toBe(true);
      expect(messages(existing)).toHaveLength(1);
      expect(await (await login('a')).sync()).toBe(true);
      const other = await login('b');
      await other.untilClosed();
    });
  });

  test('reloads in quick succession are done one after the other, the last one counts', async () => {
    await start();
    const connection = await client();
    const from = daemon.log.length;
    for (let n = 1; n <= 10; n += 1) {
      writeFileSync(daemon.configFile, `${MONITORING}max_payload: ${n}00\n`);
      daemon.kill('SIGHUP');
    }
    await daemon.untilLogged(/max_payload = 1000[\s\S]*Reloaded server configuration/, from);
    expect(await connection.sync(`PUB x 1000\r\n${'x'.repeat(1000)}\r\n`)).toBe(true);
    expect((await monitoring('/varz')).max_payload).toBe(1000);
  });
});
