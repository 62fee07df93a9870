/** A disk that fails under a running server: what it refuses, what goes on, and what a restart finds. */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInbox, headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { Faults, mountSmall } from '../support/faults.ts';
import { ask, errorCode, JetStreamServer, type Json } from '../support/jetstream-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const faults = Faults.make();

let server: JetStreamServer | null = null;

/** With the environment in which system calls can be made to fail. */
async function start(): Promise<NatsConnection> {
  server = await JetStreamServer.start(1, undefined, [], faults?.environment);
  return server.connect();
}

async function restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<NatsConnection> {
  await server!.restart(signal);
  return server!.connect();
}

async function create(nc: NatsConnection, more: Json = {}): Promise<void> {
  const reply = await ask(nc, 'STREAM.CREATE.S', {
    name: 'S',
    subjects: ['s.*'],
    allow_direct: true,
    ...more,
  });
  expect(reply.error).toBeUndefined();
}

async function put(nc: NatsConnection, payload: string | Uint8Array, id = ''): Promise<Json> {
  const lines = headers();
  if (id !== '') lines.set('Nats-Msg-Id', id);
  return (await nc.request('s.x', payload, { timeout: GUARD_MS, headers: lines })).json<Json>();
}

async function get(nc: NatsConnection, seq: number): Promise<string> {
  const reply = await nc.request('$JS.API.DIRECT.GET.S', JSON.stringify({ seq }), { timeout: GUARD_MS });
  return reply.headers?.description || reply.string();
}

afterEach(async () => {
  faults?.clear();
  await server?.stop();
  server = null;
});

afterAll(() => faults?.remove());

describe.skipIf(faults === null)('system calls that fail (needs a C compiler on Linux)', () => {
  test('fdatasync: nothing more is acknowledged, reads go on, a restart has what was acknowledged', async () => {
    let nc = await start();
    await create(nc);
    for (let i = 1; i <= 20; i++) expect(await put(nc, `kept ${i}`, `id${i}`)).toMatchObject({ seq: i });
    faults!.set('sync');
    const answers: Json[] = [];
    const hear = (answer: Json): void => void answers.push(answer);
    const unheard = (): void => undefined;
    void put(nc, 'not kept', 'lost').then(hear, unheard);
    await server!.daemon.untilLogged(/JetStream store failed, streams on disk take no more changes/);
    // The message is in memory, and its id too: a second attempt must not be told that it is there.
    void put(nc, 'not kept', 'lost').then(hear, unheard);
    void put(nc, 'nor this').then(hear, unheard);
    expect(await get(nc, 7)).toBe('kept 7');
    expect(errorCode(await ask(nc, 'STREAM.PURGE.S'))).toBeDefined();
    expect(answers).toEqual([]);
    faults!.clear();
    nc = await restart('SIGKILL');
    for (let i = 1; i <= 20; i++) expect(await get(nc, i)).toBe(`kept ${i}`);
    const { seq } = await put(nc, 'after');
    expect(seq).toBeGreaterThan(20);
    expect(await get(nc, seq as number)).toBe('after');
  });

  test('short writes are continued', async () => {
    faults!.set('short');
    let nc = await start();
    await create(nc, { compression: 's2' });
    const payload = 'x'.repeat(100_000);
    for (let i = 1; i <= 30; i++) expect(await put(nc, `${i}${payload}`)).toMatchObject({ seq: i });
    expect(await server!.restart('SIGTERM')).toMatchObject({ code: 0 });
    nc = await server!.connect();
    for (let i = 1; i <= 30; i++) expect(await get(nc, i)).toBe(`${i}${payload}`);
    expect(server!.daemon.log).not.toMatch(/damaged|\[ERR\]/);
  });

  test('read: what cannot be read is said once and kept, everything else goes on', async () => {
    let nc = await start();
    // Ids would be looked for in messages that are that young, and these be in memory then.
    await create(nc, { duplicate_window: 100e6 });
    const payload = 'x'.repeat(800_000);
    for (let i = 1; i <= 24; i++) expect(await put(nc, `${i}${payload}`)).toMatchObject({ seq: i });
    nc = await restart('SIGTERM');
    faults!.set('read');
    expect(await get(nc, 3)).toBe('Message Can Not Be Read');
    expect(errorCode(await ask(nc, 'STREAM.MSG.GET.S', { seq: 3 }))).toBe(10077);
    expect(await put(nc, 'in spite of it')).toMatchObject({ seq: 25 });
    await server!.daemon.untilLogged(
      /\[WRN\] JetStream store: .*00000001\.blk.*message 3 can not be read now/,
    );
    // A consumer waits for it instead of going on behind it.
    const config = {
      durable_name: 'c',
      ack_policy: 'explicit',
      opt_start_seq: 3,
      deliver_policy: 'by_start_sequence',
    };
    await ask(nc, 'CONSUMER.CREATE.S.c', { stream_name: 'S', config });
    const options = { timeout: GUARD_MS, noMux: true, reply: createInbox() };
    const delivered = nc.request(
      '$JS.API.CONSUMER.MSG.NEXT.S.c',
      '{"batch":1,"expires":25000000000}',
      options,
    );
    expect(await ask(nc, 'CONSUMER.INFO.S.c')).toMatchObject({ num_waiting: 1, num_pending: 23 });
    faults!.clear();
    expect((await delivered).string()).toBe(`3${payload}`);
    expect(await get(nc, 3)).toBe(`3${payload}`);
    nc = await restart('SIGKILL');
    expect(await get(nc, 3)).toBe(`3${payload}`);
    expect(await get(nc, 24)).toBe(`24${payload}`);
    expect(await get(nc, 25)).toBe('in spite of it');
    expect(await put(nc, 'after')).toMatchObject({ seq: 26 });
  });

  test('no room at the start: a clear message and no server', async () => {
    faults!.set('full');
    await expect(start()).rejects.toThrow(/no space left/i);
  });
});

/** Small enough that a few hundred messages fill it, with room for the log's first segments. */
const SMALL_DISK_MB = 300;
const mountPoint = mkdtempSync(join(tmpdir(), 'natsd-small-'));
const small = mountSmall(mountPoint, SMALL_DISK_MB);
afterAll(() => {
  small?.unmount();
  rmSync(mountPoint, { recursive: true, force: true });
});

/** Writes a file until the disk has no byte left. */
function fill(path: string): void {
  const fd = openSync(path, 'w');
  const zeros = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeSync(fd, zeros);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(small === null)('a disk that is full (needs the right to mount)', () => {
  test(
    'appends are refused with 10023, removes work, and make room for appends',
    { timeout: 120_000 },
    async () => {
      mkdirSync(join(mountPoint, 'store'));
      const config = `jetstream { store_dir: "${mountPoint}/store", max_file: 10G }`;
      server = await JetStreamServer.start(1, config);
      let nc = await server.connect();
      await create(nc);
      const payload = Buffer.alloc(512 * 1024, 'x');
      let stored = 0;
      let refused: Json | null = null;
      while (refused === null) {
        const answer = await put(nc, payload);
        if (answer.error === undefined) stored++;
        else refused = answer;
        expect(stored).toBeLessThan(SMALL_DISK_MB * 2);
      }
      expect(errorCode(refused)).toBe(10023);
      expect(await ask(nc, 'STREAM.MSG.DELETE.S', { seq: 1, no_erase: true })).toMatchObject({
        success: true,
      });
      expect(await get(nc, 2)).toBe(payload.toString());
      // What is left of the disk goes too: a start has to do with what the store has.
      await server.halt('SIGKILL');
      fill(join(mountPoint, 'filler'));
      // The first start takes the spare segment; those after it go on where it stopped.
      const starts = ['SIGKILL', 'SIGTERM', 'SIGKILL', null] as const;
      for (const [removed, signal] of starts.entries()) {
        await server.resume();
        nc = await server.connect();
        const { state } = (await ask(nc, 'STREAM.INFO.S')) as { state: Json };
        expect(state).toMatchObject({ messages: stored - 1 - removed, last_seq: stored });
        expect(await get(nc, stored)).toBe(payload.toString());
        if (signal === null) break;
        // Segments that the start freed may take some.
        let answer = await put(nc, payload);
        for (; answer.error === undefined; answer = await put(nc, payload)) stored++;
        expect(errorCode(answer)).toBe(10023);
        const request = { seq: 2 + removed, no_erase: true };
        expect(await ask(nc, 'STREAM.MSG.DELETE.S', request)).toMatchObject({ success: true });
        await server.halt(signal);
      }
      const purged = stored - starts.length;
      expect(await ask(nc, 'STREAM.PURGE.S')).toMatchObject({ success: true, purged });
      let answer: Json = { error: {} };
      while (answer.error !== undefined) answer = await put(nc, payload);
      expect(answer.seq as number).toBeGreaterThan(stored);
      expect(await get(nc, answer.seq as number)).toBe(payload.toString());
    },
  );
});

describe.skipIf(small === null)('a disk that is read-only (needs the right to mount)', () => {
  test('refuses the start, and is left as it was', async () => {
    const place = mkdtempSync(join(tmpdir(), 'natsd-read-only-'));
    const disk = mountSmall(place, 200)!;
    try {
      mkdirSync(join(place, 'store'));
      const config = `jetstream { store_dir: "${place}/store" }`;
      server = await JetStreamServer.start(1, config);
      let nc = await server.connect();
      await create(nc);
      expect(await put(nc, 'kept')).toMatchObject({ seq: 1 });
      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        await server.halt(signal);
        disk.setReadOnly(true);
        await expect(Daemon.start({ shards: 1, config })).rejects.toThrow(
          /\[FTL\] Can't start JetStream: .*read-only file system/,
        );
        disk.setReadOnly(false);
        await server.resume();
        nc = await server.connect();
        expect(await get(nc, 1)).toBe('kept');
      }
    } finally {
      await server?.stop();
      server = null;
      disk.unmount();
      rmSync(place, { recursive: true });
    }
  });
});

describe('a store directory', () => {
  test('that vanishes takes no server with it, and nothing is claimed of it', async () => {
    const nc = await start();
    await create(nc, { subjects: ['s.*'] });
    expect(await put(nc, 'first')).toMatchObject({ seq: 1 });
    rmSync(join(server!.daemon.directory, 'store'), { recursive: true });
    expect(await ask(nc, 'STREAM.INFO.S')).toMatchObject({ state: { messages: 1 } });
    expect(await server!.halt('SIGTERM')).toMatchObject({ signal: null });
  });

  test('that cannot be made refuses the start', async () => {
    const config = 'jetstream { store_dir: "server.conf/store" }';
    await expect(Daemon.start({ shards: 1, config })).rejects.toThrow(/\[FTL\].*not a directory/);
  });
});
