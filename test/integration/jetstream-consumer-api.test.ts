/**
 * Managing consumers over the wire, with the official client: what it makes it finds again, in the same process and in the
 * next one.
 */
import { AckPolicy, DeliverPolicy, JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import { afterEach, describe, expect, test } from 'vitest';
import { JetStreamServer } from '../support/jetstream-server.ts';

let server: JetStreamServer | null = null;

async function manager(shards: number): Promise<JetStreamManager> {
  server = await JetStreamServer.start(shards);
  return (await server.client()).jsm;
}

afterEach(async () => {
  await server?.stop();
  server = null;
});

async function codeOf(request: Promise<unknown>): Promise<number> {
  try {
    await request;
    return 0;
  } catch (error) {
    if (error instanceof JetStreamApiError) return error.code;
    throw error;
  }
}

describe.each([1, 3])('consumers with %i shards', (shards) => {
  test('are made, changed, listed, paused and deleted', async () => {
    const jsm = await manager(shards);
    await jsm.streams.add({ name: 'S', subjects: ['s.>'] });
    const made = await jsm.consumers.add('S', {
      durable_name: 'd',
      ack_policy: AckPolicy.Explicit,
      filter_subjects: ['s.a', 's.b'],
      metadata: { owner: 'me' },
    });
    expect(made.config).toMatchObject({ durable_name: 'd', max_ack_pending: 1000, max_waiting: 512 });
    const changed = await jsm.consumers.update('S', 'd', { max_ack_pending: 5, filter_subjects: ['s.c'] });
    expect(changed.config).toMatchObject({ max_ack_pending: 5, metadata: { owner: 'me' } });
    await jsm.consumers.add('S', { name: 'e', deliver_policy: DeliverPolicy.New });
    const names: string[] = [];
    for await (const { name } of jsm.consumers.list('S')) names.push(name);
    expect(names).toEqual(['d', 'e']);
    expect((await jsm.streams.info('S')).state.consumer_count).toBe(2);
    expect(await jsm.consumers.pause('S', 'd', new Date('2124-01-01'))).toMatchObject({ paused: true });
    expect((await jsm.consumers.info('S', 'd')).paused).toBe(true);
    expect(await jsm.consumers.resume('S', 'd')).toMatchObject({ paused: false });
    expect(await jsm.consumers.delete('S', 'd')).toBe(true);
    expect(await codeOf(jsm.consumers.info('S', 'd'))).toBe(10014);
    expect(await codeOf(jsm.consumers.info('T', 'd'))).toBe(10059);
  });

  test('are refused with the codes of nats-server', async () => {
    const jsm = await manager(shards);
    await jsm.streams.add({ name: 'S', subjects: ['s.>'] });
    const config = { durable_name: 'd', ack_policy: AckPolicy.Explicit };
    await jsm.consumers.add('S', config);
    expect(await codeOf(jsm.consumers.add('S', { ...config, ack_policy: AckPolicy.All }))).toBe(10148);
    expect(await codeOf(jsm.consumers.update('S', 'd', { max_waiting: 3 }))).toBe(10012);
    expect(await codeOf(jsm.consumers.add('S', { name: 'p', deliver_subject: 's.x' }))).toBe(10081);
    expect(await codeOf(jsm.consumers.add('S', { name: 'r', rate_limit_bps: 5 }))).toBe(10086);
  });

  test('outlive the process as they were', async () => {
    const before = await manager(shards);
    await before.streams.add({ name: 'S', subjects: ['s.>'] });
    await before.consumers.add('S', {
      durable_name: 'd',
      ack_policy: AckPolicy.All,
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: '2024-01-01T00:00:00.5Z',
      backoff: [1e9, 2e9],
      metadata: { owner: 'me' },
    });
    await before.consumers.pause('S', 'd', new Date('2124-01-01'));
    const { config, created } = await before.consumers.info('S', 'd');
    await server!.restart('SIGTERM');
    const { jsm: after } = await server!.client();
    expect(await after.consumers.info('S', 'd')).toMatchObject({ config, created, paused: true });
  });
});
