/** The API as a service: who asked, how many may wait, domains, and what reloads and flags switch. */
import { writeFileSync } from 'node:fs';
import { jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { ask, errorCode, JetStreamServer, type Json, nextMessage } from '../support/jetstream-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const options = { timeout: GUARD_MS };
const USERS = '{ user: a, password: a }, { user: b, password: b }';

function accounts(jetStream: string, more = ''): string {
  return `
    server_name: here
    jetstream { store_dir: store, max_mem: 1M, max_file: 1M ${more} }
    accounts {
      A { jetstream: ${jetStream}, users: [ ${USERS} ] }
      SYS { users: [ { user: sys, password: sys } ] }
    }
    system_account: SYS`;
}

let server: JetStreamServer | null = null;

async function start(shards: number, config?: string, flags: string[] = []): Promise<JetStreamServer> {
  server = await JetStreamServer.start(shards, config, flags);
  return server;
}

afterEach(async () => {
  await server?.stop();
  server = null;
});

async function reload(config: string): Promise<void> {
  const { daemon } = server!;
  const from = daemon.log.length;
  writeFileSync(daemon.configFile, config);
  daemon.kill('SIGHUP');
  await daemon.untilLogged(/Reloaded server configuration/, from);
}

async function create(nc: NatsConnection, name: string, more: Json = {}): Promise<Json> {
  return ask(nc, `STREAM.CREATE.${name}`, { name, subjects: [name], ...more });
}

describe.each([1, 3])('requests with %i shards', (shards) => {
  test('the audit says who asked, on every shard', async () => {
    await start(shards, accounts('enabled'));
    const listener = await server!.connect('a');
    const audits = listener.subscribe('$JS.EVENT.ADVISORY.API');
    await listener.flush();
    for (const user of ['a', 'b', 'a', 'b']) {
      const nc = await server!.connect(user);
      await ask(nc, 'INFO');
      const { client, subject, server: name } = (await nextMessage(audits)).json<Json>();
      expect([subject, name]).toEqual(['$JS.API.INFO', 'here']);
      expect(client).toMatchObject({
        acc: 'A',
        user,
        id: nc.info?.client_id,
        host: '127.0.0.1',
        lang: nc.info === undefined ? '' : 'nats.js',
        server: 'here',
        kind: 'Client',
        client_type: 'nats',
      });
    }
  });

  test('requests without a reply are carried out, and audited', async () => {
    await start(shards);
    const nc = await server!.connect();
    const audits = nc.subscribe('$JS.EVENT.ADVISORY.API');
    nc.publish('$JS.API.STREAM.CREATE.S', JSON.stringify({ name: 'S', subjects: ['s'] }));
    expect((await nextMessage(audits)).json<Json>()).toMatchObject({ subject: '$JS.API.STREAM.CREATE.S' });
    expect(await ask(nc, 'STREAM.INFO.S')).toMatchObject({ config: { name: 'S' } });
  });

  test('a flood of requests is dropped with an advisory, and publishing goes on', async () => {
    const limits = ', request_queue_limit: 200, info_queue_limit: 100';
    await start(shards, accounts('enabled', limits));
    const flood = await server!.connect('a');
    const quiet = await server!.connect('b');
    const system = await server!.connect('sys');
    const advisories = system.subscribe('$JS.EVENT.ADVISORY.API.LIMIT_REACHED');
    await system.flush();
    await create(quiet, 'S');
    const dropped = nextMessage(advisories);
    for (let i = 0; i < 3000; i++) flood.publish('$JS.API.STREAM.LIST', '', { reply: 'nowhere' });
    await flood.flush();
    expect(await jetstream(quiet).publish('S', 'still stored')).toMatchObject({ seq: 1 });
    const advisory = (await dropped).json<Json>();
    expect(advisory).toMatchObject({
      type: 'io.nats.jetstream.advisory.v1.api_limit_reached',
      server: 'here',
    });
    expect(advisory.dropped).toBeGreaterThan(100);
    expect(await ask(quiet, 'STREAM.INFO.S')).toMatchObject({ state: { messages: 1 } });
  });

  test('requests below the limit are all answered', async () => {
    await start(shards);
    const nc = await server!.connect();
    await create(nc, 'S');
    const answers = await Promise.all(
      Array.from({ length: 2000 }, (_, index) => ask(nc, index % 2 === 0 ? 'STREAM.INFO.S' : 'STREAM.NAMES')),
    );
    expect(answers.filter((answer) => errorCode(answer) !== undefined)).toEqual([]);
    expect((await ask(nc, 'INFO')).api).toMatchObject({ total: 2001, errors: 0 });
  });

  test('nobody answers a direct get of a stream that is not there', async () => {
    await start(shards);
    const nc = await server!.connect();
    await expect(nc.request('$JS.API.DIRECT.GET.S', '{"seq":1}', options)).rejects.toThrow('no responders');
    await create(nc, 'S', { allow_direct: true });
    const answer = await nc.request('$JS.API.DIRECT.GET.S', '{"seq":1}', options);
    expect(answer.headers?.code).toBe(404);
    await ask(nc, 'STREAM.DELETE.S');
    await expect(nc.request('$JS.API.DIRECT.GET.S', '{"seq":1}', options)).rejects.toThrow('no responders');
  });

  test('a domain is a prefix of its own', async () => {
    await start(shards, 'jetstream { store_dir: store, domain: hub }');
    const { js, jsm, nc } = await server!.client(undefined, 'hub');
    expect(nc.info).toMatchObject({ domain: 'hub' });
    await jsm.streams.add({ name: 'S', subjects: ['s'], allow_direct: true });
    expect(await js.publish('s', 'x')).toMatchObject({ stream: 'S', domain: 'hub', seq: 1 });
    expect((await jsm.direct.getMessage('S', { last_by_subj: 's' }))?.string()).toBe('x');
    expect((await jsm.getAccountInfo()).domain).toBe('hub');
    await expect(nc.request('$JS.other.API.INFO', '', options)).rejects.toThrow('no responders');
    expect(await ask(nc, 'STREAM.INFO.S')).toMatchObject({ domain: 'hub', state: { messages: 1 } });
  });
});

describe('reload and flags', () => {
  test('JetStream is switched off for an account and on again, and what is on disk is kept', async () => {
    await start(2, accounts('enabled'));
    const nc = await server!.connect('a');
    await create(nc, 'S', { allow_direct: true });
    await create(nc, 'M', { storage: 'memory' });
    for (const subject of ['S', 'S', 'M']) await jetstream(nc).publish(subject, 'kept');
    const consumer = { stream_name: 'S', config: { durable_name: 'C', ack_policy: 'explicit' } };
    await ask(nc, 'CONSUMER.DURABLE.CREATE.S.C', consumer);
    const next = async () => (await (await jetstream(nc).consumers.get('S', 'C')).next())?.seq;
    expect(await next()).toBe(1);
    await reload(accounts('disabled'));
    expect(errorCode(await ask(nc, 'STREAM.INFO.S'))).toBe(10039);
    for (const subject of ['S', '$JS.API.CONSUMER.MSG.NEXT.S.C', '$JS.API.DIRECT.GET.S'])
      await expect(nc.request(subject, '{"seq":1}', options)).rejects.toThrow('no responders');
    await reload(accounts('enabled'));
    expect(await ask(nc, 'STREAM.NAMES')).toMatchObject({ streams: ['S'] });
    expect(await ask(nc, 'CONSUMER.INFO.S.C')).toMatchObject({
      delivered: { stream_seq: 1 },
      num_ack_pending: 1,
      num_pending: 1,
    });
    expect(await next()).toBe(2);
    expect(await jetstream(nc).publish('S', 'x')).toMatchObject({ seq: 3 });
    await expect(nc.request('M', 'x', options)).rejects.toThrow('no responders');
  });

  test('an account that goes and comes back finds its streams', async () => {
    await start(1, accounts('enabled'));
    let nc = await server!.connect('a');
    await create(nc, 'S');
    await jetstream(nc).publish('S', 'kept');
    await reload(accounts('enabled').replace(/^ *A \{.*$/m, ''));
    await nc.closed();
    await reload(accounts('enabled'));
    nc = await server!.connect('a');
    expect(await ask(nc, 'STREAM.INFO.S')).toMatchObject({ state: { messages: 1 } });
    expect(await jetstream(nc).publish('S', 'x')).toMatchObject({ seq: 2 });
  });

  test('limits of an account are changed while it runs', async () => {
    await start(1, accounts('{ max_streams: 1, max_file: 2000 }'));
    const nc = await server!.connect('a');
    await create(nc, 'S');
    expect(errorCode(await create(nc, 'T'))).toBe(10027);
    const js = jetstream(nc);
    for (let i = 0; i < 2; i++) await js.publish('S', 'x'.repeat(900));
    await expect(js.publish('S', 'x'.repeat(900))).rejects.toMatchObject({ code: 10002 });
    await reload(accounts('{ max_streams: 2, max_file: 20000 }'));
    expect(errorCode(await create(nc, 'T'))).toBeUndefined();
    expect(await js.publish('S', 'x'.repeat(900))).toMatchObject({ seq: 3 });
    expect(await ask(nc, 'INFO')).toMatchObject({ limits: { max_streams: 2, max_storage: 20000 } });
  });

  test('-js and -sd need no file', async () => {
    await start(1, '', ['-js', '-sd', 'elsewhere']);
    const nc = await server!.connect();
    expect(await create(nc, 'S')).toMatchObject({ config: { name: 'S' } });
    await server!.daemon.untilLogged(/JetStream store: .*\/elsewhere\/jetstream/);
  });

  test('what the server may use is a limit of all accounts', async () => {
    await start(1, 'jetstream { store_dir: store, max_mem: 2048, max_file: 4096 }');
    const nc = await server!.connect();
    expect(errorCode(await create(nc, 'M', { storage: 'memory', max_bytes: 4096 }))).toBe(10028);
    expect(errorCode(await create(nc, 'F', { max_bytes: 8192 }))).toBe(10047);
    await create(nc, 'F');
    const js = jetstream(nc);
    for (let i = 0; i < 5; i++) await js.publish('F', 'x'.repeat(900));
    await expect(js.publish('F', 'x')).rejects.toMatchObject({ code: 10023 });
    await ask(nc, 'STREAM.PURGE.F');
    expect(await js.publish('F', 'room again')).toMatchObject({ seq: 6 });
  });
});
