/** Streams as the official clients use them: @nats-io/jetstream, and key-value and object stores where no consumer is needed. */
import { DiscardPolicy, RetentionPolicy, StorageType, StoreCompression } from '@nats-io/jetstream';
import { startFastIngest } from '@nats-io/jetstream/internal';
import { Kvm } from '@nats-io/kv';
import { Objm } from '@nats-io/obj';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, type Client, JetStreamServer, nextMessage } from '../support/jetstream-server.ts';

const SECOND_NS = 1_000_000_000;
const MEMORY = StorageType.Memory;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

describe.each([1, 3])('official clients with %i shards', (shards) => {
  let server: JetStreamServer;
  let c: Client;
  let names = 0;
  beforeAll(async () => {
    server = await JetStreamServer.start(shards);
    c = await server.client();
  });
  afterAll(async () => {
    await server?.stop();
  });

  /** A name no other test uses. */
  function newName(): string {
    return `S${++names}`;
  }

  test('manage streams', async () => {
    const { jsm } = c;
    const name = newName();
    const made = await jsm.streams.add({
      name,
      subjects: [`${name}.>`],
      description: 'first',
      max_msgs: 10,
      compression: StoreCompression.S2,
      metadata: { owner: 'me' },
    });
    expect(made.config).toMatchObject({ name, description: 'first', max_msgs: 10, compression: 's2' });
    expect(made.config.metadata).toMatchObject({ owner: 'me', '_nats.req.level': '0' });
    const updated = await jsm.streams.update(name, { description: 'second', max_msgs: 5 });
    expect(updated.config).toMatchObject({ description: 'second', max_msgs: 5 });
    expect((await jsm.streams.info(name)).config.description).toBe('second');
    expect(await jsm.streams.find(`${name}.x`)).toBe(name);
    expect(await collect(jsm.streams.names(`${name}.*`))).toEqual([name]);
    const listed = await collect(jsm.streams.list(`${name}.>`));
    expect(listed.map(({ config }) => config.name)).toEqual([name]);
    expect(await (await jsm.streams.get(name)).alternates()).toEqual([]);
    expect((await jsm.getAccountInfo()).streams).toBeGreaterThan(0);
    await expect(jsm.streams.add({ name, subjects: ['other'] })).rejects.toMatchObject({ code: 10058 });
    expect(await jsm.streams.delete(name)).toBe(true);
    await expect(jsm.streams.info(name)).rejects.toMatchObject({ code: 10059 });
  });

  test('page through more streams than fit one answer', async () => {
    const { jsm, nc } = c;
    const list = Array.from({ length: 300 }, (_, index) => `P${String(index).padStart(3, '0')}`);
    await Promise.all(
      list.map((name) => jsm.streams.add({ name, subjects: [`page.${name}`], storage: MEMORY })),
    );
    expect(await collect(jsm.streams.names('page.>'))).toEqual(list);
    const infos = await collect(jsm.streams.list('page.>'));
    expect(infos.map(({ config }) => config.name)).toEqual(list);
    await Promise.all(list.map((name) => jsm.streams.delete(name)));
    await nc.flush();
  });

  test('publish with every expectation and with message ids', async () => {
    const { js, jsm } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`] });
    const subject = `${name}.a`;
    expect(await js.publish(subject, 'one', { msgID: 'id-1' })).toMatchObject({ seq: 1, duplicate: false });
    expect(await js.publish(subject, 'one', { msgID: 'id-1' })).toMatchObject({ seq: 1, duplicate: true });
    expect(await js.publish(subject, 'two', { expect: { lastMsgID: 'id-1' } })).toMatchObject({ seq: 2 });
    expect(await js.publish(subject, 'x', { expect: { streamName: name, lastSequence: 2 } })).toMatchObject({
      seq: 3,
    });
    expect(await js.publish(subject, 'x', { expect: { lastSubjectSequence: 3 } })).toMatchObject({ seq: 4 });
    const filter = { lastSubjectSequence: 4, lastSubjectSequenceSubject: `${name}.*` };
    expect(await js.publish(`${name}.b`, 'x', { expect: filter })).toMatchObject({ seq: 5 });
    for (const [expectation, code] of [
      [{ streamName: 'other' }, 10060],
      [{ lastSequence: 9 }, 10071],
      [{ lastSubjectSequence: 9 }, 10071],
      [{ lastMsgID: 'other' }, 10070],
    ] as const)
      await expect(js.publish(subject, 'x', { expect: expectation })).rejects.toMatchObject({ code });
    expect((await jsm.streams.info(name)).state).toMatchObject({ messages: 5, last_seq: 5 });
  });

  test('read messages directly: one, the last of subjects, batches', async () => {
    const { js, jsm } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`], allow_direct: true });
    for (const at of ['a', 'b', 'a', 'c']) {
      const h = headers();
      h.set('At', at);
      await js.publish(`${name}.${at}`, at, { headers: h });
    }
    const first = await jsm.direct.getMessage(name, { seq: 1 });
    expect([first?.subject, first?.seq, first?.string(), first?.header.get('At')]).toEqual([
      `${name}.a`,
      1,
      'a',
      'a',
    ]);
    expect((await jsm.direct.getMessage(name, { last_by_subj: `${name}.a` }))?.seq).toBe(3);
    expect((await jsm.direct.getMessage(name, { next_by_subj: `${name}.a`, seq: 2 }))?.seq).toBe(3);
    expect(await jsm.direct.getMessage(name, { seq: 99 })).toBeNull();
    const batch = await collect(await jsm.direct.getBatch(name, { seq: 2, batch: 2 }));
    expect(batch.map(({ seq }) => seq)).toEqual([2, 3]);
    const last = await collect(await jsm.direct.getLastMessagesFor(name, { multi_last: [`${name}.>`] }));
    expect(last.map(({ seq }) => seq)).toEqual([2, 3, 4]);
    expect((await jsm.streams.getMessage(name, { seq: 4 }))?.string()).toBe('c');
    expect((await jsm.streams.getMessage(name, { last_by_subj: `${name}.a` }))?.seq).toBe(3);
    expect(await jsm.streams.getMessage(name, { seq: 99 })).toBeNull();
  });

  test('purge and delete', async () => {
    const { js, jsm } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`] });
    for (let i = 0; i < 9; i++) await js.publish(`${name}.${i % 3}`, String(i));
    expect(await jsm.streams.purge(name, { filter: `${name}.0` })).toMatchObject({ purged: 3 });
    expect(await jsm.streams.purge(name, { filter: `${name}.1`, keep: 1 })).toMatchObject({ purged: 2 });
    expect(await jsm.streams.purge(name, { seq: 4 })).toMatchObject({ purged: 1 });
    expect(await jsm.streams.deleteMessage(name, 6, true)).toBe(true);
    expect(await jsm.streams.deleteMessage(name, 8, false)).toBe(true);
    const { state } = await jsm.streams.info(name, { deleted_details: true });
    expect(state).toMatchObject({ messages: 1, first_seq: 9, last_seq: 9 });
    expect(await jsm.streams.purge(name)).toMatchObject({ purged: 1 });
    const sealed = await ask(c.nc, `STREAM.UPDATE.${name}`, { name, subjects: [`${name}.>`], sealed: true });
    expect(sealed).toMatchObject({ config: { sealed: true, deny_purge: true } });
    await expect(jsm.streams.purge(name)).rejects.toMatchObject({ code: 10109 });
    await expect(js.publish(`${name}.0`, 'x')).rejects.toMatchObject({ code: 10109 });
  });

  test('republish and transform subjects', async () => {
    const { js, jsm, nc } = c;
    const name = newName();
    await jsm.streams.add({
      name,
      subjects: [`${name}.in.*`],
      subject_transform: { src: `${name}.in.*`, dest: `${name}.out.$1` },
      republish: { src: '>', dest: `told.>` },
      allow_direct: true,
    });
    const told = nc.subscribe(`told.${name}.>`);
    await js.publish(`${name}.in.x`, 'body');
    const message = await nextMessage(told);
    expect([message.subject, message.string()]).toEqual([`told.${name}.out.x`, 'body']);
    expect(message.headers?.get('Nats-Subject')).toBe(`${name}.out.x`);
    expect((await jsm.direct.getMessage(name, { last_by_subj: `${name}.out.x` }))?.seq).toBe(1);
  });

  test('count', async () => {
    const { js, jsm } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`], allow_msg_counter: true, allow_direct: true });
    const increment = async (by: string) => {
      const h = headers();
      h.set('Nats-Incr', by);
      return js.publish(`${name}.hits`, '', { headers: h });
    };
    expect(await increment('5')).toMatchObject({ seq: 1, val: '5' });
    expect(await increment('-7')).toMatchObject({ seq: 2, val: '-2' });
    const stored = await jsm.direct.getMessage(name, { last_by_subj: `${name}.hits` });
    expect(stored?.json()).toEqual({ val: '-2' });
  });

  test('publish atomic batches', async () => {
    const { js, jsm } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`], allow_atomic: true });
    const batch = await js.startBatch(`${name}.1`, 'one');
    batch.add(`${name}.2`, 'two');
    await batch.add(`${name}.3`, 'three', { ack: true });
    expect((await jsm.streams.info(name)).state.messages).toBe(0);
    expect(await batch.commit(`${name}.4`, 'four')).toMatchObject({ seq: 4, count: 4, batch: batch.id });
    expect((await jsm.streams.info(name)).state).toMatchObject({ messages: 4, last_seq: 4 });
  });

  test('publish fast batches', async () => {
    const { jsm, nc } = c;
    const name = newName();
    await jsm.streams.add({ name, subjects: [`${name}.>`], allow_batched: true });
    const ingest = await startFastIngest(nc, `${name}.x`, '1', { allowGaps: false });
    for (let i = 2; i < 1000; i++) await ingest.add(`${name}.x`, String(i));
    expect(await ingest.last(`${name}.x`, '1000')).toMatchObject({ seq: 1000, count: 1000 });
    expect((await jsm.streams.info(name)).state.messages).toBe(1000);
  });

  test('schedule messages', async () => {
    const { js, jsm, nc } = c;
    const name = newName();
    await jsm.streams.add({
      name,
      subjects: [`${name}.>`],
      allow_msg_schedules: true,
      allow_msg_ttl: true,
      republish: { src: `${name}.target`, dest: `fired.${name}` },
    });
    const fired = nc.subscribe(`fired.${name}`);
    const at = new Date(Date.now() - 1000);
    await js.publish(`${name}.plan`, 'now', {
      schedule: { specification: at, target: `${name}.target`, ttl: '5m' },
    });
    const message = await nextMessage(fired);
    expect([
      message.string(),
      message.headers?.get('Nats-Scheduler'),
      message.headers?.get('Nats-TTL'),
    ]).toEqual(['now', `${name}.plan`, '5m']);
  });

  test('give messages a time to live, and leave markers', async () => {
    const { js, jsm, nc } = c;
    const name = newName();
    await jsm.streams.add({
      name,
      subjects: [`${name}.>`],
      allow_msg_ttl: true,
      subject_delete_marker_ttl: 60 * SECOND_NS,
      max_msgs_per_subject: 1,
      republish: { src: `${name}.>`, dest: `seen.${name}.>` },
    });
    const seen = nc.subscribe(`seen.${name}.>`);
    await js.publish(`${name}.short`, 'gone soon', { ttl: '1s' });
    expect((await nextMessage(seen)).string()).toBe('gone soon');
    const marker = await nextMessage(seen);
    expect(marker.headers?.get('Nats-Marker-Reason')).toBe('MaxAge');
    await expect(js.publish(`${name}.x`, 'x', { ttl: 'soon' })).rejects.toMatchObject({ code: 10165 });
  });

  test('limits and retention over the wire', async () => {
    const { js, jsm } = c;
    const name = newName();
    const base = { name, subjects: [`${name}.>`], max_msgs_per_subject: 2, discard: DiscardPolicy.New };
    await jsm.streams.add({ ...base, discard_new_per_subject: true });
    for (let i = 0; i < 2; i++) await js.publish(`${name}.a`, 'x');
    await expect(js.publish(`${name}.a`, 'x')).rejects.toMatchObject({
      code: 10077,
      message: 'maximum messages per subject exceeded',
    });
    expect(await js.publish(`${name}.b`, 'x')).toMatchObject({ seq: 3 });
    const interest = newName();
    await jsm.streams.add({ name: interest, subjects: [interest], retention: RetentionPolicy.Interest });
    expect(await js.publish(interest, 'nobody wants it')).toMatchObject({ seq: 1 });
    expect((await jsm.streams.info(interest)).state).toMatchObject({ messages: 0, last_seq: 1 });
    const queue = newName();
    await jsm.streams.add({
      name: queue,
      subjects: [queue],
      retention: RetentionPolicy.Workqueue,
      max_bytes: 500,
    });
    for (let i = 0; i < 50; i++) await js.publish(queue, 'x'.repeat(20));
    const { bytes, messages } = (await jsm.streams.info(queue)).state;
    expect(bytes).toBeLessThanOrEqual(500);
    expect(messages).toBeGreaterThan(5);
  });
});

describe.each([1, 3])('key-value stores with %i shards', (shards) => {
  let server: JetStreamServer;
  let nc: NatsConnection;
  beforeAll(async () => {
    server = await JetStreamServer.start(shards);
    nc = await server.connect();
  });
  afterAll(async () => {
    await server?.stop();
  });

  test('put, get, create, update, delete, purge, status', async () => {
    const kv = await new Kvm(nc).create('settings', { history: 3, max_bytes: 1024 * 1024 });
    expect(await kv.put('color', 'blue')).toBe(1);
    expect((await kv.get('color'))?.string()).toBe('blue');
    await expect(kv.create('color', 'red')).rejects.toThrow(/wrong last sequence|exists/i);
    expect(await kv.update('color', 'green', 1)).toBe(2);
    await expect(kv.update('color', 'red', 1)).rejects.toThrow('wrong last sequence: 2');
    expect((await kv.get('color', { revision: 1 }))?.string()).toBe('blue');
    await kv.delete('color');
    expect(await kv.get('color')).toMatchObject({ operation: 'DEL' });
    expect(await kv.create('color', 'black')).toBe(4);
    await kv.purge('color');
    expect(await kv.get('color')).toMatchObject({ operation: 'PURGE' });
    const status = await kv.status();
    expect([status.bucket, status.values, status.history]).toEqual(['settings', 1, 3]);
    expect(await kv.destroy()).toBe(true);
  });

  test('object stores are made, described, sealed and destroyed', async () => {
    const store = await new Objm(nc).create('files', { description: 'all of them' });
    expect(await store.info('nothing')).toBeNull();
    const status = await store.status();
    expect([status.bucket, status.description, status.sealed, status.size]).toEqual([
      'files',
      'all of them',
      false,
      0,
    ]);
    expect((await store.seal()).sealed).toBe(true);
    expect(await store.destroy()).toBe(true);
  });
});
