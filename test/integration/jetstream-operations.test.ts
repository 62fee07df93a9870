/** What the configuration, monitoring and the log have to do with JetStream: encryption, /jsz, /healthz, reload. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { Embedded } from '../support/embedded.ts';
import { ask, type Json } from '../support/jetstream-server.ts';
import { runServer } from '../support/run-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const SECRET = 'a payload nobody may read';

let daemon: Daemon | null = null;
const connections: NatsConnection[] = [];
const directories: string[] = [];

/** @param options of the `jetstream` block */
function config(options = '', more = ''): string {
  return `http: "127.0.0.1:-1"\njetstream { store_dir: store, ${options} }\n${more}`;
}

async function start(text: string, directory?: string): Promise<NatsConnection> {
  daemon = await Daemon.start({ shards: 1, config: text, ...(directory === undefined ? {} : { directory }) });
  return client();
}

async function client(user = ''): Promise<NatsConnection> {
  const login = user === '' ? {} : { user, pass: user };
  const connection = await connect({ port: daemon!.port, reconnect: false, ...login });
  connections.push(connection);
  return connection;
}

async function stop(): Promise<string> {
  for (const connection of connections.splice(0)) await connection.close();
  await daemon!.stop('SIGTERM', true);
  return daemon!.directory;
}

async function reload(text: string, outcome: RegExp): Promise<void> {
  const from = daemon!.log.length;
  writeFileSync(daemon!.configFile, text);
  daemon!.kill('SIGHUP');
  await daemon!.untilLogged(outcome, from);
}

async function create(nc: NatsConnection, more: Json = {}): Promise<void> {
  const answer = await ask(nc, 'STREAM.CREATE.S', {
    name: 'S',
    subjects: ['s.>'],
    allow_direct: true,
    ...more,
  });
  expect(answer.error).toBeUndefined();
}

async function put(nc: NatsConnection, payload: string): Promise<void> {
  const ack = (await nc.request('s.a', payload, { timeout: GUARD_MS })).json<Json>();
  expect(ack.error).toBeUndefined();
}

async function get(nc: NatsConnection, seq: number): Promise<string> {
  return (await nc.request('$JS.API.DIRECT.GET.S', JSON.stringify({ seq }), { timeout: GUARD_MS })).string();
}

async function page(path: string): Promise<{ status: number; body: Json }> {
  const answer = await fetch(daemon!.monitoringUrl + path);
  return { status: answer.status, body: (await answer.json()) as Json };
}

/** Starts a server that has to refuse the store in a directory. @returns what it said */
async function refusal(options: string, directory: string): Promise<string> {
  const file = join(directory, 'refused.conf');
  writeFileSync(file, `port: -1\njetstream { store_dir: "${directory}/store", ${options} }`);
  const { code, stderr } = await runServer(['-c', file]);
  expect(code).toBe(1);
  return stderr;
}

/** Files of a store that have a text in clear. */
function readable(directory: string, text: string): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((file) => join(file.parentPath, file.name));
  return paths.filter((path) => readFileSync(path).includes(text));
}

/** Every file of a store with its content, but for the lock. */
function contents(directory: string): [string, string][] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files
    .map((file) => join(file.parentPath, file.name))
    .filter((path) => !path.endsWith('lock'));
  return paths.sort().map((path) => [path, readFileSync(path).toString('base64')]);
}

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  await daemon?.stop('SIGKILL');
  daemon = null;
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

describe('encryption at rest', () => {
  test.each([
    ['key: first', 'ChaCha20-Poly1305'],
    ['ek: first, cipher: aes', 'AES-GCM'],
  ])('%s: no text is in any file, and a start with the key serves it', async (options, cipher) => {
    const nc = await start(config(options));
    await daemon!.untilLogged(new RegExp(`JetStream encryption: ${cipher}`));
    await create(nc, { description: SECRET });
    await put(nc, SECRET);
    const directory = await stop();
    expect(readable(join(directory, 'store'), SECRET)).toEqual([]);
    const again = await start(config(options), directory);
    expect(await get(again, 1)).toBe(SECRET);
    expect((await page('/jsz')).body.durability).toMatchObject({ encrypted: true });
    expect(daemon!.log).not.toContain('first');
  });

  test('a wrong key, or none, refuses the start, says so and touches nothing', async () => {
    const nc = await start(config('key: first'));
    await create(nc);
    await put(nc, SECRET);
    const directory = await stop();
    const before = contents(join(directory, 'store'));
    expect(await refusal('key: second', directory)).toMatch(
      /Can't start JetStream: store in .*store\/jetstream: the encryption key does not fit the store/,
    );
    expect(await refusal('', directory)).toMatch(/the store is encrypted and no key is configured/);
    expect(await refusal('key: third, prev_key: second', directory)).toMatch(/does not fit the store/);
    expect(contents(join(directory, 'store'))).toEqual(before);
    expect(await get(await start(config('key: first'), directory), 1)).toBe(SECRET);
  });

  test('a key is changed with the one before, which is not needed any more then', async () => {
    const nc = await start(config('key: first'));
    await create(nc);
    await put(nc, 'one');
    let directory = await stop();
    const changing = await start(config('key: second, prev_ek: first'), directory);
    expect(await get(changing, 1)).toBe('one');
    await put(changing, 'two');
    directory = await stop();
    const changed = await start(config('key: second'), directory);
    expect([await get(changed, 1), await get(changed, 2)]).toEqual(['one', 'two']);
    directory = await stop();
    expect(await refusal('key: first', directory)).toMatch(/does not fit the store/);
  });

  test('a change of keys that a crash cut short needs both once more', async () => {
    const nc = await start(config('key: first'));
    await create(nc);
    await put(nc, 'one');
    const directory = await stop();
    const changing = await start(config('key: second, prev_key: first'), directory);
    await put(changing, 'two');
    await daemon!.stop('SIGKILL', true);
    expect(await refusal('key: second', directory)).toMatch(/both keys are needed once more/);
    expect(await refusal('key: first', directory)).toMatch(/does not fit the store/);
    const again = await start(config('key: second, prev_key: first'), directory);
    expect([await get(again, 1), await get(again, 2)]).toEqual(['one', 'two']);
  });

  test('a store in clear is encrypted, old messages too', async () => {
    const nc = await start(config());
    await create(nc);
    for (let i = 0; i < 20; i++) await put(nc, `${SECRET} ${i}`);
    let directory = await stop();
    const stream = join(directory, 'store/jetstream/streams/00000001');
    expect(readable(stream, SECRET)).not.toEqual([]);
    await start(config('key: k'), directory);
    directory = await stop();
    // That stop completed the old block. Now it is written anew in the background, with nobody connected.
    daemon = await Daemon.start({ shards: 1, config: config('key: k'), directory });
    while (!readdirSync(stream).includes('00000002.blk')) await page('/jsz');
    directory = await stop();
    expect(readable(stream, SECRET)).toEqual([]);
    const again = await start(config('key: k'), directory);
    for (let i = 0; i < 20; i++) expect(await get(again, i + 1)).toBe(`${SECRET} ${i}`);
  });
});

describe('monitoring', () => {
  test('/jsz and /varz say what is there', async () => {
    const nc = await start(config('max_mem: 64M, max_file: 128M, domain: hub'));
    await create(nc, { max_bytes: 1000 });
    await put(nc, 'x');
    await ask(nc, 'STREAM.INFO.nope');
    const { body } = await page('/jsz?streams=1&config=1');
    expect(body).toMatchObject({
      memory: 0,
      reserved_storage: 1000,
      accounts: 1,
      api: { level: 5, total: 2, errors: 1 },
      config: {
        max_memory: 64_000_000,
        max_storage: 128_000_000,
        store_dir: join(daemon!.directory, 'store/jetstream'),
        sync_always: true,
        domain: 'hub',
      },
      streams: 1,
      consumers: 0,
      messages: 1,
      total: 1,
      durability: { acknowledged: 'synced', power_failure_may_lose: 'nothing', encrypted: false },
      account_details: [
        { name: '$G', stream_detail: [{ name: 'S', config: { max_bytes: 1000 }, state: { messages: 1 } }] },
      ],
    });
    expect(body.storage).toBe(body.bytes);
    const text = await (await fetch(`${daemon!.monitoringUrl}/jsz?acc=$G`)).text();
    expect(text).toContain('\n      "reserved_memory": 18446744073709551615,\n');
    const { jetstream } = (await page('/varz')).body as { jetstream: Json };
    expect(jetstream).toMatchObject({
      config: { max_memory: 64_000_000 },
      stats: { reserved_storage: 1000, api: { total: 2 } },
      limits: { default_max_consumers: 1000 },
    });
  });

  test('an interval is said in /jsz and in the log', async () => {
    const nc = await start(config('sync_interval: "10m"'));
    await daemon!.untilLogged(/syncs every 10m0s: a power failure may lose what was acknowledged/);
    await create(nc);
    await create(nc, { name: 'S' });
    await put(nc, 'x');
    const { durability } = (await page('/jsz')).body as { durability: Json };
    expect(durability).toMatchObject({
      acknowledged: 'written',
      power_failure_may_lose: 'what was acknowledged since the last sync',
      sync_interval: 600_000_000_000,
    });
    expect(durability.unsynced).toBeGreaterThan(0);
  });

  test('/jsz without JetStream', async () => {
    daemon = await Daemon.start({ shards: 1, config: 'http: "127.0.0.1:-1"' });
    expect(await page('/jsz')).toMatchObject({ status: 200, body: { disabled: true, streams: 0 } });
    const answer = await fetch(`${daemon.monitoringUrl}/jsz?leader-only=1`);
    expect([answer.status, await answer.text()]).toEqual([400, 'filtered response: not leader']);
    expect((await page('/varz')).body.jetstream).toEqual({});
    expect((await page('/healthz?js-enabled-only=1')).body).toEqual({ status: 'ok' });
  });

  test('/healthz with every argument', async () => {
    await create(await start(config()));
    const healthy = [
      '',
      '?js-enabled-only=1',
      '?js-server-only=1',
      '?account=$G',
      '?account=$G&stream=S',
      '?details=1',
    ];
    for (const query of healthy)
      expect(await page(`/healthz${query}`)).toEqual({ status: 200, body: { status: 'ok' } });
    expect(await page('/healthz?account=x')).toEqual({
      status: 404,
      body: { status: 'unavailable', error: 'JetStream account "x" not found' },
    });
    expect(await page('/healthz?account=$G&stream=x&details=1')).toEqual({
      status: 404,
      body: {
        status: 'error',
        errors: [
          {
            type: 'STREAM',
            account: '$G',
            stream: 'x',
            error: 'JetStream stream "x" not found on account "$G"',
          },
        ],
      },
    });
    expect((await page('/healthz?account=$G&stream=S&consumer=c')).body.error).toBe(
      'JetStream consumer "c" not found for stream "S" on account "$G"',
    );
    expect((await page('/healthz?account=$G&stream=x&js-enabled-only=1')).status).toBe(200);
  });

  test('/healthz tells of a stream that could not be loaded, and the others are served', async () => {
    const nc = await start(config());
    await create(nc);
    await put(nc, 'kept');
    await ask(nc, 'STREAM.CREATE.T', { name: 'T', subjects: ['t'] });
    const directory = await stop();
    for (const copy of ['a', 'b'])
      writeFileSync(join(directory, `store/jetstream/streams/00000002/manifest.${copy}`), 'damaged');
    const again = await start(config(), directory);
    expect(await get(again, 1)).toBe('kept');
    expect(await page('/healthz')).toEqual({
      status: 503,
      body: {
        status: 'unavailable',
        error: expect.stringMatching(
          /^JetStream store: streams\/00000002: both copies of the manifest are damaged/,
        ),
      },
    });
    expect((await page('/healthz?account=$G&stream=S')).status).toBe(200);
    expect((await page('/healthz?js-enabled-only=1')).status).toBe(200);
    await daemon!.untilLogged(/streams\/00000002: both copies of the manifest are damaged/);
  });

  test('/healthz and the log tell of streams whose account is gone', async () => {
    const accounts = (names: string[]) =>
      `accounts { ${names.map((name) => `${name} { jetstream: enabled, users: [ { user: ${name}, password: ${name} } ] }`).join(', ')} }`;
    daemon = await Daemon.start({ shards: 1, config: config('', accounts(['A', 'B'])) });
    await create(await client('A'));
    const directory = await stop();
    daemon = await Daemon.start({ shards: 1, config: config('', accounts(['B'])), directory });
    expect((await page('/healthz')).body.error).toBe("JetStream account 'A' could not be resolved");
    expect((await page('/healthz?account=B')).body).toEqual({ status: 'ok' });
  });
});

describe('reload', () => {
  test('raises limits, and refuses to lower them', async () => {
    const nc = await start(config('max_mem: 1M, max_file: 10K'));
    const wanting = { name: 'S', subjects: ['s.>'], max_bytes: 15_000 };
    expect((await ask(nc, 'STREAM.CREATE.S', wanting)).error).toMatchObject({ err_code: 10047 });
    await reload(config('max_mem: 2M, max_file: 20K'), /Reloaded: JetStream max_file_store = 19.53 KB/);
    await daemon!.untilLogged(/Reloaded server configuration/);
    expect((await page('/jsz')).body.config).toMatchObject({ max_memory: 2_000_000, max_storage: 20_000 });
    expect((await ask(nc, 'STREAM.CREATE.S', wanting)).error).toBeUndefined();
    await reload(
      config('max_mem: 2M, max_file: 10K'),
      /Failed to reload server configuration: config reload not supported for decreasing jetstream max memory and store/,
    );
    expect((await page('/jsz')).body.config).toMatchObject({ max_storage: 20_000 });
    await reload(
      config('max_mem: 2M, max_file: 20K, key: hidden'),
      /not supported for JetStreamKey: old=, new=\[REDACTED\]/,
    );
    expect(daemon!.log).not.toContain('hidden');
  });

  test('changes limits of requests, of messages and of accounts, and takes accounts away', async () => {
    const users = (name: string) => `users: [ { user: ${name}, password: ${name} } ]`;
    const accounts = (a: string, more = '') =>
      `accounts { A { jetstream { ${a} }, ${users('a')} }, C { ${users('c')} }${more} }`;
    const b = `, B { jetstream: enabled, ${users('b')} }`;
    daemon = await Daemon.start({ shards: 2, config: config('', accounts('max_streams: 1', b)) });
    const nc = await client('a');
    await create(nc);
    await create(await client('b'));
    const second = { name: 'T', subjects: ['t'] };
    expect((await ask(nc, 'STREAM.CREATE.T', second)).error).toMatchObject({ err_code: 10027 });
    expect((await page('/jsz')).body).toMatchObject({ accounts: 2, streams: 2 });
    const limits = 'limits { duplicate_window: "1s" }';
    await reload(
      config(limits, `max_payload: 100\n${accounts('max_streams: 2')}`),
      /Reloaded: JetStream limits[\s\S]*Reloaded server configuration/,
    );
    expect((await page('/jsz')).body).toMatchObject({
      accounts: 1,
      streams: 1,
      limits: { max_duplicate_window: 1_000_000_000 },
    });
    expect((await ask(nc, 'STREAM.CREATE.T', { ...second, duplicate_window: 2e9 })).error).toMatchObject({
      err_code: 10052,
    });
    expect((await ask(nc, 'STREAM.CREATE.T', { ...second, duplicate_window: 1e9 })).error).toBeUndefined();
  });
});

describe('the persistence thread', () => {
  test('is watched like a shard', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-store-'));
    directories.push(directory);
    const server = await Embedded.start(1, `jetstream { store_dir: "${directory}" }`);
    try {
      const { topology } = server.server.daemon;
      const { persistence } = topology;
      expect(persistence?.beats(60_000)).toBe(true);
      expect(persistence?.loopLagMs).toBeGreaterThanOrEqual(0);
      expect(topology.allBeat(60_000)).toBe(true);
      // Nothing beats within no time: the rule looks at the thread at all.
      expect(persistence?.beats(0)).toBe(false);
    } finally {
      await server.stop();
    }
  });
});

test('a copy of an encrypted store is as closed as the original', async () => {
  const nc = await start(config('key: k'));
  await create(nc);
  await put(nc, SECRET);
  const copy = mkdtempSync(join(tmpdir(), 'natsd-store-'));
  directories.push(copy);
  cpSync(join(daemon!.directory, 'store'), join(copy, 'store'), { recursive: true });
  rmSync(join(copy, 'store/jetstream/lock'));
  expect(await refusal('key: guess', copy)).toMatch(/the encryption key does not fit the store/);
});
