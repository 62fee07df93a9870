/** Key-value and object stores, complete, as the official clients use them; and services. */
import { createHash, randomBytes } from 'node:crypto';
import { type KV, Kvm, type KvWatchEntry } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import { Svcm } from '@nats-io/services';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JetStreamServer, until } from '../support/jetstream-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const LARGE_BYTES = 100 * 1024 * 1024;

async function takeSome<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  if (count === 0) return taken;
  for await (const item of items) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  return takeSome(items, Infinity);
}

/** The client of services comes with a core of its own, whose types are stricter. */
function services(nc: NatsConnection): Svcm {
  return new Svcm(nc as unknown as ConstructorParameters<typeof Svcm>[0]);
}

function shown({ key, operation, value, revision }: KvWatchEntry): string {
  return `${revision} ${operation} ${key} ${Buffer.from(value).toString()}`.trim();
}

describe.each([1, 3])('buckets with %i shards', (shards) => {
  let server: JetStreamServer;
  let nc: NatsConnection;
  beforeAll(async () => {
    server = await JetStreamServer.start(shards, 'jetstream { store_dir: store, domain: hub }');
    nc = await server.connect();
  });
  afterAll(async () => {
    await server?.stop();
  });

  test('history, keys, watches', async () => {
    const kv = await new Kvm(nc).create('history', { history: 5 });
    const everything = await kv.watch();
    const updates = await kv.watch({ key: 'b.*', include: 'updates', ignoreDeletes: true });
    await kv.put('a', '1');
    await kv.put('b.x', '2');
    await kv.put('a', '3');
    await kv.delete('b.x');
    await kv.put('b.y', '5');
    expect((await collect(await kv.history())).map(shown)).toEqual([
      '1 PUT a 1',
      '2 PUT b.x 2',
      '3 PUT a 3',
      '4 DEL b.x',
      '5 PUT b.y 5',
    ]);
    expect((await collect(await kv.history({ key: 'a' }))).map(shown)).toEqual(['1 PUT a 1', '3 PUT a 3']);
    expect((await collect(await kv.keys())).sort()).toEqual(['a', 'b.y']);
    expect(await collect(await kv.keys('b.>'))).toEqual(['b.y']);
    expect((await takeSome(everything, 5)).map(shown)).toEqual([
      '1 PUT a 1',
      '2 PUT b.x 2',
      '3 PUT a 3',
      '4 DEL b.x',
      '5 PUT b.y 5',
    ]);
    expect((await takeSome(updates, 2)).map(shown)).toEqual(['2 PUT b.x 2', '5 PUT b.y 5']);
    const last = await kv.watch({ key: ['a', 'b.x'] });
    expect((await takeSome(last, 2)).map(shown)).toEqual(['3 PUT a 3', '4 DEL b.x']);
    const from = await kv.watch({ resumeFromRevision: 4 });
    expect((await takeSome(from, 2)).map(shown)).toEqual(['4 DEL b.x', '5 PUT b.y 5']);
    const heads = await kv.watch({ key: 'b.y', headers_only: true });
    expect((await takeSome(heads, 1))[0]).toMatchObject({ key: 'b.y', length: 1 });
    await kv.purge('a');
    expect((await collect(await kv.history({ key: 'a' }))).map(shown)).toEqual(['6 PURGE a']);
  });

  test('compare and set, from many clients at once', async () => {
    const kv = await new Kvm(nc).create('counter');
    await kv.put('n', '0');
    const clients = await Promise.all(
      [1, 2, 3, 4].map(async () => new Kvm(await server.connect()).open('counter')),
    );
    const add = async (bucket: KV): Promise<void> => {
      for (let done = 0; done < 25; ) {
        const entry = (await bucket.get('n'))!;
        try {
          await bucket.update('n', String(Number(entry.string()) + 1), entry.revision);
          done++;
        } catch (error) {
          expect((error as Error).message).toMatch(/wrong last sequence/);
        }
      }
    };
    await Promise.all(clients.map(add));
    expect((await kv.get('n'))?.string()).toBe('100');
  });

  test('time to live and markers', async () => {
    const kv = await new Kvm(nc).create('fleeting', { markerTTL: 60_000 });
    const watched = await kv.watch();
    await kv.create('k', 'short', '1s');
    const seen = await takeSome(watched, 2);
    expect(seen.map(shown)).toEqual(['1 PUT k short', '2 PURGE k']);
    expect(await kv.create('k', 'again')).toBe(3);
    await kv.purge('k', { ttl: '1s' });
    await until(
      () => kv.get('k'),
      (entry) => entry === null,
    );
    expect((await kv.status()).markerTTL).toBe(60_000);
  });

  test('mirrors and sources of buckets', async () => {
    const kvm = new Kvm(nc);
    const origin = await kvm.create('origin', { history: 2 });
    await origin.put('a', '1');
    const mirror = await kvm.create('mirror', {
      mirror: { name: 'KV_origin', external: { api: '$JS.hub.API', deliver: '' } },
      history: 2,
    });
    await until(
      () => mirror.get('a'),
      (entry) => entry?.string() === '1',
    );
    const watched = await mirror.watch();
    await origin.put('b', '2');
    await origin.delete('a');
    expect((await takeSome(watched, 3)).map(shown)).toEqual(['1 PUT a 1', '2 PUT b 2', '3 DEL a']);
    expect(await collect(await mirror.keys())).toEqual(['b']);
    expect(await mirror.put('c', 'through the mirror')).toBe(4);
    expect((await origin.get('c'))?.string()).toBe('through the mirror');
    const gathered = await kvm.create('gathered', {
      sources: [{ name: 'KV_origin', subject_transforms: [{ src: '$KV.origin.>', dest: '$KV.gathered.>' }] }],
    });
    await until(
      () => gathered.get('b'),
      (entry) => entry?.string() === '2',
    );
    const buckets = (await collect(kvm.list())).map(({ bucket }) => bucket);
    expect(buckets).toEqual(expect.arrayContaining(['gathered', 'mirror', 'origin']));
  });

  test('objects: put, get, links, list, watch, delete, seal', async () => {
    const objm = new Objm(nc);
    const store = await objm.create('things', { description: 'all of them' });
    const watched = await store.watch({ includeHistory: true });
    const put = await store.putBlob(
      { name: 'a', description: 'first', options: { max_chunk_size: 10 } },
      Buffer.from('x'.repeat(95)),
    );
    expect(put).toMatchObject({ name: 'a', size: 95, chunks: 10 });
    expect(Buffer.from((await store.getBlob('a'))!).toString()).toBe('x'.repeat(95));
    await store.putBlob({ name: 'a' }, Buffer.from('second'));
    await store.putBlob({ name: 'empty' }, null);
    expect((await store.getBlob('empty'))?.length).toBe(0);
    await store.link('other', (await store.info('a'))!);
    expect(Buffer.from((await store.getBlob('other'))!).toString()).toBe('second');
    const second = await objm.create('more');
    await second.linkStore('link', store);
    expect((await second.info('link'))?.options?.link).toEqual({ bucket: 'things' });
    await store.update('a', { name: 'b', description: 'renamed' });
    expect((await store.list()).map(({ name }) => name).sort()).toEqual(['b', 'empty', 'other']);
    expect(await store.delete('empty')).toMatchObject({ success: true });
    expect(await store.info('empty')).toMatchObject({ deleted: true, size: 0 });
    expect(await store.get('empty')).toBeNull();
    const names: string[] = [];
    for await (const info of watched) {
      if (info === null) continue;
      names.push(`${info.name}${info.deleted ? ' deleted' : ''}`);
      if (info.deleted) break;
    }
    expect(names.at(-1)).toBe('empty deleted');
    expect((await store.seal()).sealed).toBe(true);
    await expect(store.putBlob({ name: 'z' }, Buffer.from('z'))).rejects.toThrow();
    expect((await store.status()).size).toBeGreaterThan(0);
  });
});

describe('large objects and services', () => {
  let server: JetStreamServer;
  beforeAll(async () => {
    server = await JetStreamServer.start(3, 'jetstream { store_dir: store, max_file: 4G }');
  });
  afterAll(async () => {
    await server?.stop();
  });

  test('an object of 100 MB comes back as it was', { timeout: 120_000 }, async () => {
    const store = await new Objm(await server.connect()).create('large');
    const block = randomBytes(1024 * 1024);
    const hash = createHash('sha256');
    let left = LARGE_BYTES / block.length;
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- === 0) {
          controller.close();
          return;
        }
        block.writeUInt32LE(left, 0);
        hash.update(block);
        controller.enqueue(Uint8Array.from(block));
      },
    });
    const info = await store.put({ name: 'file' }, source, { timeout: 60_000 });
    expect([info.size, info.chunks]).toEqual([LARGE_BYTES, LARGE_BYTES / 131_072]);
    const expected = hash.digest('base64url');
    expect(info.digest.replace(/=*$/, '')).toBe(`SHA-256=${expected}`);
    const result = (await store.get('file'))!;
    const found = createHash('sha256');
    for await (const part of result.data as unknown as AsyncIterable<Uint8Array>) found.update(part);
    expect((await result.error) ?? null).toBeNull();
    expect(found.digest('base64url')).toBe(expected);
  });

  test('services answer, and tell about themselves', async () => {
    const [one, two, asking] = await Promise.all([server.connect(), server.connect(), server.connect()]);
    for (const nc of [one!, two!]) {
      const service = await services(nc).add({
        name: 'echo',
        version: '1.0.0',
        description: 'says it again',
      });
      service.addGroup('v1').addEndpoint('echo', (error, m) => {
        if (error !== null) throw error;
        m.respond(m.data);
      });
      await nc.flush();
    }
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) =>
        (await asking!.request('v1.echo', String(i), { timeout: GUARD_MS })).string(),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
    const client = services(asking!).client({ strategy: 'count', maxMessages: 2, maxWait: GUARD_MS });
    expect(await collect(await client.ping('echo'))).toHaveLength(2);
    expect((await collect(await client.info('echo'))).map(({ name }) => name)).toEqual(['echo', 'echo']);
    const stats = await collect(await client.stats('echo'));
    expect(stats.reduce((sum, { endpoints }) => sum + (endpoints?.[0]?.num_requests ?? 0), 0)).toBe(50);
  });
});
