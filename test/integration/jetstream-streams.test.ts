/**
 * Streams over the wire: the API, publishing with acknowledgements, reading, and what survives the process.
 *
 * Requests are plain ones to `$JS.API`, so every answer is seen as the server sent it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { Daemon, type DaemonOptions } from '../support/daemon.ts';
import { Embedded } from '../support/embedded.ts';
import { ask, errorCode, type Json } from '../support/jetstream-server.ts';
import { GUARD_MS, Signal } from '../support/waiting.ts';

/** Publishes without an answer at any time, while the server may be killed. */
const IN_FLIGHT = 128;
const ACKS_BEFORE_KILL = 1500;
const KILL_ROUNDS = 5;

let daemon: Daemon | null = null;
const connections: NatsConnection[] = [];

async function start(options: DaemonOptions = {}): Promise<Daemon> {
  daemon = await Daemon.start(options);
  return daemon;
}

function storing(shards: number, directory?: string): DaemonOptions {
  return {
    shards,
    config: 'jetstream { store_dir: store }',
    ...(directory === undefined ? {} : { directory }),
  };
}

async function client(options: { user?: string; pass?: string } = {}): Promise<NatsConnection> {
  const connection = await connect({ port: daemon!.port, reconnect: false, ...options });
  connections.push(connection);
  return connection;
}

async function put(nc: NatsConnection, subject: string, payload: string): Promise<Json> {
  return (await nc.request(subject, payload, { timeout: GUARD_MS })).json<Json>();
}

function get(nc: NatsConnection, sequence: number): Promise<Msg> {
  return nc.request('$JS.API.DIRECT.GET.S', JSON.stringify({ seq: sequence }), { timeout: GUARD_MS });
}

async function create(nc: NatsConnection, more: Json = {}): Promise<Json> {
  return ask(nc, 'STREAM.CREATE.S', { name: 'S', subjects: ['s.>'], allow_direct: true, ...more });
}

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  await daemon?.stop('SIGKILL');
  daemon = null;
});

describe.each([1, 3])('streams with %i shards', (shards) => {
  test('are made, filled, read, listed, purged and deleted', async () => {
    await start(storing(shards));
    const nc = await client();
    const other = await client();
    expect(nc.info).toMatchObject({ jetstream: true });
    expect(await create(nc)).toMatchObject({ type: 'io.nats.jetstream.api.v1.stream_create_response' });
    expect(await put(nc, 's.a', 'first')).toEqual({ stream: 'S', seq: 1 });
    expect(await put(other, 's.b', 'second')).toEqual({ stream: 'S', seq: 2 });
    expect(await ask(nc, 'STREAM.MSG.GET.S', { seq: 1 })).toMatchObject({
      message: { subject: 's.a', seq: 1, data: Buffer.from('first').toString('base64') },
    });
    const direct = await other.request('$JS.API.DIRECT.GET.S.s.b', '', { timeout: GUARD_MS });
    expect([direct.string(), direct.headers?.get('Nats-Sequence')]).toEqual(['second', '2']);
    expect(await ask(other, 'STREAM.NAMES')).toMatchObject({ total: 1, streams: ['S'] });
    expect(await ask(other, 'STREAM.LIST')).toMatchObject({ total: 1, streams: [{ config: { name: 'S' } }] });
    expect(await ask(nc, 'STREAM.MSG.DELETE.S', { seq: 1 })).toMatchObject({ success: true });
    expect(await ask(nc, 'STREAM.INFO.S')).toMatchObject({
      state: { messages: 1, first_seq: 2, last_seq: 2 },
    });
    expect(await ask(nc, 'STREAM.PURGE.S')).toMatchObject({ success: true, purged: 1 });
    expect(await ask(nc, 'STREAM.DELETE.S')).toMatchObject({ success: true });
    expect(errorCode(await ask(nc, 'STREAM.INFO.S'))).toBe(10059);
    await expect(put(nc, 's.a', 'nobody')).rejects.toThrow('no responders');
  });

  test('survive a stop and a start', async () => {
    const { directory } = await start(storing(shards));
    const nc = await client();
    await create(nc);
    await put(nc, 's.a', 'kept');
    expect(await daemon!.stop('SIGTERM', true)).toEqual({ code: 0, signal: null });
    await start(storing(shards, directory));
    const after = await client();
    expect((await get(after, 1)).string()).toBe('kept');
    expect(await put(after, 's.a', 'next')).toEqual({ stream: 'S', seq: 2 });
  });

  test('store a large message and republish to subscribers of every shard', async () => {
    await start(storing(shards));
    const connected = await Promise.all(Array.from({ length: 4 }, () => client()));
    const nc = connected[0]!;
    await create(nc, { republish: { src: 's.>', dest: 'copy.>' } });
    const copies = connected.map((subscriber) => subscriber.subscribe('copy.big', { max: 1 }));
    for (const subscriber of connected) await subscriber.flush();
    const payload = 'x'.repeat(900_000);
    expect(await put(nc, 's.big', payload)).toEqual({ stream: 'S', seq: 1 });
    for (const subscription of copies) {
      for await (const copy of subscription) {
        expect([copy.data.length, copy.headers?.get('Nats-Sequence')]).toEqual([payload.length, '1']);
      }
    }
    expect((await get(nc, 1)).string()).toBe(payload);
  });
});

/** Publishes until so many are acknowledged, then kills the server in the middle. @returns payloads by their sequence */
async function loadAndKill(nc: NatsConnection, round: number): Promise<Map<number, string>> {
  const acknowledged = new Map<number, string>();
  const killed = new Signal();
  let published = 0;
  let open = IN_FLIGHT;
  const publish = async (): Promise<void> => {
    try {
      while (acknowledged.size < ACKS_BEFORE_KILL * 2) {
        const payload = `${round}/${published++}`;
        const ack = await put(nc, 's.load', payload);
        acknowledged.set(ack.seq as number, payload);
        if (acknowledged.size === ACKS_BEFORE_KILL) daemon!.kill('SIGKILL');
      }
    } catch {
      // The server is gone: what wasn't acknowledged was promised nothing.
    }
    open--;
    killed.notify();
  };
  for (let i = 0; i < IN_FLIGHT; i++) void publish();
  await killed.until(
    () => open === 0,
    () => `${open} publishers still run`,
  );
  return acknowledged;
}

describe('kill -9 under load', () => {
  test.each([1, 3])('loses nothing acknowledged with %i shards', { timeout: 120_000 }, async (shards) => {
    let { directory } = await start(storing(shards));
    await create(await client());
    const expected = new Map<number, string>();
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const acknowledged = await loadAndKill(await client(), round);
      expect(acknowledged.size).toBeGreaterThanOrEqual(ACKS_BEFORE_KILL);
      for (const [sequence, payload] of acknowledged) {
        expect(expected.has(sequence)).toBe(false);
        expected.set(sequence, payload);
      }
      await daemon!.stop('SIGKILL', true);
      ({ directory } = await start(storing(shards, directory)));
    }
    const nc = await client();
    const entries = [...expected];
    const stored = await Promise.all(entries.map(async ([sequence]) => (await get(nc, sequence)).string()));
    expect(stored).toEqual(entries.map(([, payload]) => payload));
  });
});

describe('accounts', () => {
  const config = `
    jetstream { store_dir: store, max_mem: 64M, max_file: 64M }
    accounts {
      A { jetstream: enabled, users: [ { user: a, password: a } ] }
      B { jetstream { max_streams: 1 }, users: [ { user: b, password: b } ] }
      C { users: [ { user: c, password: c } ] }
    }`;

  test('have their own streams, limits, or none', async () => {
    await start({ shards: 2, config });
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => client({ user: name, pass: name })));
    await create(a!);
    await create(b!);
    expect(await put(a!, 's.x', 'of a')).toEqual({ stream: 'S', seq: 1 });
    expect(await ask(b!, 'STREAM.INFO.S')).toMatchObject({ state: { messages: 0 } });
    expect(errorCode(await ask(b!, 'STREAM.CREATE.T', { name: 'T', subjects: ['t'] }))).toBe(10027);
    expect(errorCode(await ask(c!, 'STREAM.CREATE.S', { name: 'S', subjects: ['s'] }))).toBe(10039);
  });
});

describe('what is not there', () => {
  test('without JetStream nobody answers and INFO says nothing of it', async () => {
    await start();
    const nc = await client();
    expect(nc.info?.jetstream).toBeUndefined();
    await expect(ask(nc, 'INFO')).rejects.toThrow('no responders');
  });
});

describe('the store', () => {
  test('an interval is announced in the log as what may be lost', async () => {
    await start({ shards: 1, config: 'jetstream { store_dir: store, sync_interval: "2m" }' });
    await daemon!.untilLogged(/syncs every 2m0s: a power failure may lose/);
    const nc = await client();
    await create(nc);
    expect(await put(nc, 's.a', 'written')).toEqual({ stream: 'S', seq: 1 });
  });

  test('one that another process uses refuses the start', async () => {
    const { directory } = await start(storing(1));
    const config = `jetstream { store_dir: "${directory}/store" }`;
    await expect(Daemon.start({ shards: 1, config })).rejects.toThrow(/in use by process/);
  });

  test('a shard that dies takes no stream with it, and its successor reaches them', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-store-'));
    const server = await Embedded.start(2, `jetstream { store_dir: "${directory}" }`);
    try {
      const connected = [];
      for (let i = 0; i < 2; i++) connected.push(await connect({ port: server.port, reconnect: false }));
      const [first, second] = connected;
      await create(second!);
      await server.replaceShard(0);
      await first!.closed();
      const third = await connect({ port: server.port, reconnect: false });
      expect(await put(second!, 's.a', 'still here')).toEqual({ stream: 'S', seq: 1 });
      expect(await put(third, 's.a', 'and here')).toEqual({ stream: 'S', seq: 2 });
      connections.push(second!, third);
    } finally {
      await server.stop();
      rmSync(directory, { recursive: true });
    }
  });

  test('the death of the persistence thread ends the server', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'natsd-store-'));
    const server = await Embedded.start(1, `jetstream { store_dir: "${directory}" }`);
    try {
      const { daemon: inside } = server.server;
      await inside.topology.killPersistence();
      await inside.stopped();
      expect(inside.failure).toMatch(/^Persistence thread died/);
    } finally {
      await server.stop();
      rmSync(directory, { recursive: true });
    }
  });
});
