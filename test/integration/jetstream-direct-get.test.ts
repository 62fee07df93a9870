import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../src/shared/base/prng.ts';
import { type Client, JetStreamServer } from '../support/jetstream-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const options = { timeout: GUARD_MS };

/**
 * Gets of last values while everything that changes them happens. Shards answer what has been answered before, so every
 * get is repeated, and a value that is out of date must never come.
 */

describe.each([1, 3])('with %i shards', (shards) => {
  let server: JetStreamServer;
  let writer: Client;
  let readers: Client[];

  beforeAll(async () => {
    server = await JetStreamServer.start(shards);
    writer = await server.client();
    readers = [await server.client(), await server.client(), await server.client()];
  });

  afterAll(async () => {
    await server.stop();
  });

  test.each(['file', 'memory'] as const)('a reader never sees an old value: %s', async (storage) => {
    const random = new Prng(shards + storage.length);
    const name = `direct_${storage}`;
    const open = () => new Kvm(writer.js).create(name, { storage: storage as never, history: 2 });
    let bucket = await open();
    const stream = `KV_${name}`;
    const truth = new Map<string, string>();
    const revisions = new Map<string, number>();
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
    for (let step = 0; step < 400; step++) {
      const key = keys[random.below(keys.length)]!;
      const action = random.below(20);
      if (action < 12) {
        const value = `v${step}`.padEnd(1 + random.below(1500), '.');
        revisions.set(key, await bucket.put(key, value));
        truth.set(key, value);
      } else if (action < 14) {
        await bucket.delete(key);
        truth.delete(key);
      } else if (action < 16) {
        await bucket.purge(key);
        truth.delete(key);
      } else if (action === 16 && truth.has(key)) {
        // The message itself goes, and the one before is the last again: ask the stream what that is.
        await writer.jsm.streams.deleteMessage(stream, revisions.get(key)!);
        const last = await writer.jsm.streams.getMessage(stream, {
          last_by_subj: `$KV.${name}.${key}`,
        });
        const isValue = last !== null && last.header.get('KV-Operation') === '';
        if (isValue) {
          truth.set(key, last.string());
          revisions.set(key, last.seq);
        } else truth.delete(key);
      } else if (action === 17 && random.below(3) === 0) {
        await writer.jsm.streams.purge(stream);
        truth.clear();
      } else if (action === 18 && random.below(3) === 0) {
        await writer.jsm.streams.delete(stream);
        bucket = await open();
        truth.clear();
      }
      const asked = [key, keys[random.below(keys.length)]!];
      for (const one of asked) {
        const { jsm } = readers[random.below(readers.length)]!;
        for (let again = 0; again < 3; again++) {
          const found = await jsm.direct.getMessage(stream, { last_by_subj: `$KV.${name}.${one}` });
          const isValue = found !== null && found.header.get('KV-Operation') === '';
          const value = isValue ? found.string() : undefined;
          expect([step, one, value]).toEqual([step, one, truth.get(one)]);
        }
      }
    }
  });

  test('a stream that takes direct gets no longer answers none', async () => {
    await writer.jsm.streams.add({ name: 'ONOFF', subjects: ['onoff.>'], allow_direct: true });
    await writer.js.publish('onoff.a', 'x');
    const [reader] = readers;
    const ask = () => reader!.nc.request('$JS.API.DIRECT.GET.ONOFF.onoff.a', undefined, options);
    for (let i = 0; i < 3; i++) expect((await ask()).string()).toBe('x');
    await writer.jsm.streams.update('ONOFF', { allow_direct: false });
    await expect(ask()).rejects.toThrow(/no responders/);
    await writer.jsm.streams.update('ONOFF', { allow_direct: true });
    expect((await ask()).string()).toBe('x');
  });

  test('who listens to requests sees each of them', async () => {
    await writer.jsm.streams.add({ name: 'SEEN', subjects: ['seen.>'], allow_direct: true });
    await writer.js.publish('seen.a', 'x');
    const [reader, other] = readers;
    const subject = '$JS.API.DIRECT.GET.SEEN.seen.a';
    for (let i = 0; i < 3; i++) await reader!.nc.request(subject, undefined, options);
    const listened = other!.nc.subscribe('$JS.API.DIRECT.GET.SEEN.>', { max: 3 });
    await other!.nc.flush();
    for (let i = 0; i < 3; i++)
      expect((await reader!.nc.request(subject, undefined, options)).string()).toBe('x');
    const seen: string[] = [];
    for await (const message of listened) seen.push(message.subject);
    expect(seen).toEqual([subject, subject, subject]);
  });
});
