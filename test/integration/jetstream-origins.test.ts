/** Mirrors and sources over the wire: filters, transforms, start positions, lag, restarts, origins that come and go. */
import type { StreamInfo } from '@nats-io/jetstream';
import { afterEach, describe, expect, test } from 'vitest';
import {
  ask,
  type Client,
  errorCode,
  JetStreamServer,
  nextMessage,
  until,
} from '../support/jetstream-server.ts';

const MANY = 2000;
const DOMAIN = 'jetstream { store_dir: store, domain: hub }';

let server: JetStreamServer | null = null;

afterEach(async () => {
  await server?.stop();
  server = null;
});

async function start(shards: number, config?: string): Promise<Client> {
  server = await JetStreamServer.start(shards, config);
  return server.client();
}

async function fill(c: Client, subject: string, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, index) => c.js.publish(subject, String(index))));
}

/** Waits until a stream has so many messages. */
function untilMessages(c: Client, name: string, count: number): Promise<StreamInfo> {
  return until(
    () => c.jsm.streams.info(name),
    ({ state }) => state.messages === count,
  );
}

describe.each([1, 3])('origins with %i shards', (shards) => {
  test('a mirror keeps sequences, times and gaps, and tells its lag', async () => {
    const c = await start(shards);
    const { jsm } = c;
    await jsm.streams.add({ name: 'O', subjects: ['o.>'], allow_direct: true });
    await fill(c, 'o.a', 10);
    await jsm.streams.deleteMessage('O', 5);
    await jsm.streams.add({ name: 'M', mirror: { name: 'O' }, mirror_direct: true });
    const info = await untilMessages(c, 'M', 9);
    expect(info.state).toMatchObject({ first_seq: 1, last_seq: 10, num_deleted: 1 });
    expect(info.mirror).toMatchObject({ name: 'O', lag: 0 });
    const [ours, theirs] = await Promise.all(
      ['M', 'O'].map((name) => jsm.streams.getMessage(name, { seq: 7 })),
    );
    expect([ours?.timestamp, ours?.string()]).toEqual([theirs?.timestamp, theirs?.string()]);
    await fill(c, 'o.b', MANY);
    expect((await untilMessages(c, 'M', 9 + MANY)).mirror?.lag).toBe(0);
  });

  test('copies are there before the next request is answered', async () => {
    const c = await start(shards);
    await c.jsm.streams.add({ name: 'O', subjects: ['o'] });
    await c.jsm.streams.add({ name: 'M', mirror: { name: 'O' } });
    await c.jsm.streams.add({ name: 'S', sources: [{ name: 'O' }] });
    for (let i = 1; i <= 20; i++) {
      await c.js.publish('o', String(i));
      const [mirror, sourcing] = await Promise.all([c.jsm.streams.info('M'), c.jsm.streams.info('S')]);
      expect([mirror.state.messages, sourcing.state.messages]).toEqual([i, i]);
    }
  });

  test('sources are filtered, transformed and begin where they are told to', async () => {
    const c = await start(shards);
    const { js, jsm } = c;
    for (const name of ['A', 'B']) {
      await jsm.streams.add({ name, subjects: [`${name}.>`] });
      for (const token of ['x', 'y', 'x']) await js.publish(`${name}.${token}`, `${name}${token}`);
    }
    await jsm.streams.add({
      name: 'S',
      subjects: ['own'],
      sources: [
        { name: 'A', filter_subject: 'A.x' },
        { name: 'B', subject_transforms: [{ src: 'B.*', dest: 'moved.$1' }], opt_start_seq: 2 },
      ],
    });
    await js.publish('own', 'own');
    const { state, sources } = await until(
      () => jsm.streams.info('S', { subjects_filter: '>' }),
      (seen) => seen.state.messages === 5,
    );
    expect(state.subjects).toEqual({ 'A.x': 2, 'moved.y': 1, 'moved.x': 1, own: 1 });
    expect(sources?.map(({ name, lag }) => [name, lag])).toEqual([
      ['A', 0],
      ['B', 0],
    ]);
    const copied = await jsm.streams.getMessage('S', { last_by_subj: 'moved.x' });
    expect(copied?.header.get('Nats-Stream-Source')).toMatch(/^B 3 B\.\* moved\.\$1 B\.x \w{8}$/);
  });

  test('copying goes on where it was after the server was killed', async () => {
    let c = await start(shards);
    await c.jsm.streams.add({ name: 'O', subjects: ['o'] });
    await c.jsm.streams.add({ name: 'M', mirror: { name: 'O' } });
    await c.jsm.streams.add({ name: 'S', sources: [{ name: 'O' }] });
    let published = 0;
    for (let round = 0; round < 3; round++) {
      await fill(c, 'o', MANY);
      published += MANY;
      await server!.restart(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
      c = await server!.client();
      const mirror = await untilMessages(c, 'M', published);
      const sourcing = await untilMessages(c, 'S', published);
      expect(mirror.state.last_seq).toBe(published);
      expect(sourcing.state.last_seq).toBe(published);
    }
    expect(await c.js.publish('o', 'last')).toMatchObject({ seq: published + 1 });
    await untilMessages(c, 'S', published + 1);
  });

  test('an origin that is purged keeps its copies, one made again is copied from its beginning', async () => {
    const c = await start(shards);
    const { js, jsm } = c;
    await jsm.streams.add({ name: 'O', subjects: ['o'] });
    await jsm.streams.add({ name: 'S', sources: [{ name: 'O' }] });
    await fill(c, 'o', 5);
    await untilMessages(c, 'S', 5);
    await jsm.streams.purge('O');
    await js.publish('o', 'after the purge');
    await untilMessages(c, 'S', 6);
    await jsm.streams.delete('O');
    const orphan = await jsm.streams.info('S');
    expect(orphan.state.messages).toBe(6);
    await jsm.streams.add({ name: 'O', subjects: ['o'] });
    await fill(c, 'o', 3);
    await untilMessages(c, 'S', 9);
  });

  test('a work queue gives up what its source link has copied', async () => {
    const c = await start(shards);
    await ask(c.nc, 'STREAM.CREATE.Q', { name: 'Q', subjects: ['q'], retention: 'workqueue' });
    await fill(c, 'q', 100);
    await c.jsm.streams.add({ name: 'S', sources: [{ name: 'Q' }] });
    await untilMessages(c, 'S', 100);
    await untilMessages(c, 'Q', 0);
  });

  test('an origin is reached through the domain of the server', async () => {
    const c = await start(shards, DOMAIN);
    await c.jsm.streams.add({ name: 'O', subjects: ['o'] });
    await fill(c, 'o', 3);
    await c.jsm.streams.add({
      name: 'M',
      mirror: { name: 'O', external: { api: '$JS.hub.API', deliver: 'deliver.m' } },
    });
    const info = await untilMessages(c, 'M', 3);
    expect(info.mirror).toHaveProperty('external', { api: '$JS.hub.API', deliver: 'deliver.m' });
  });

  test('an origin is reached through another prefix of its API', async () => {
    const c = await start(shards);
    // What an import of the API does.
    const forward = (nc: Client['nc']) =>
      nc.subscribe('JS.far.API.>', {
        callback: (_error, { subject, data, reply, headers }) =>
          nc.publish(subject.replace('JS.far', '$JS'), data, {
            reply: reply!,
            ...(headers === undefined ? {} : { headers }),
          }),
      });
    forward(c.nc);
    const external = { api: 'JS.far.API', deliver: 'from.far' };
    await ask(c.nc, 'STREAM.CREATE.O', { name: 'O', subjects: ['o.>'] });
    await ask(c.nc, 'STREAM.CREATE.Q', { name: 'Q', subjects: ['q.>'], retention: 'workqueue' });
    await fill(c, 'o.a', MANY);
    await fill(c, 'q.a', 100);
    await c.jsm.streams.deleteMessage('O', 7);
    await ask(c.nc, 'STREAM.CREATE.M', { name: 'M', mirror: { name: 'O', external } });
    const filtered = { name: 'O', filter_subject: 'o.a', external };
    await ask(c.nc, 'STREAM.CREATE.S', { name: 'S', sources: [filtered, { name: 'Q', external }] });
    const mirrored = await untilMessages(c, 'M', MANY - 1);
    expect(mirrored.state).toMatchObject({ first_seq: 1, last_seq: MANY, num_deleted: 1 });
    const [ours, theirs] = await Promise.all(
      ['M', 'O'].map((name) => c.jsm.streams.getMessage(name, { seq: 9 })),
    );
    expect([ours?.subject, ours?.timestamp, ours?.string()]).toEqual([
      'o.a',
      theirs?.timestamp,
      theirs?.string(),
    ]);
    const sourced = await untilMessages(c, 'S', MANY - 1 + 100);
    expect(sourced.sources?.map(({ name, lag, error }) => [name, lag, error])).toEqual([
      ['O', 0, undefined],
      ['Q', 0, undefined],
    ]);
    await untilMessages(c, 'Q', 0);
  });

  test('a source is fed by a consumer made beforehand, after a restart from where it was', async () => {
    let c = await start(shards);
    await ask(c.nc, 'STREAM.CREATE.O', { name: 'O', subjects: ['o.>'] });
    await fill(c, 'o.a', 50);
    const config = {
      durable_name: 'made',
      deliver_subject: 'to.s',
      ack_policy: 'flow_control',
      flow_control: true,
      idle_heartbeat: 1e9,
      max_ack_pending: 100,
    };
    expect(
      errorCode(await ask(c.nc, 'CONSUMER.CREATE.O.made', { stream_name: 'O', config })),
    ).toBeUndefined();
    const consumer = { name: 'made', deliver_subject: 'to.s' };
    await ask(c.nc, 'STREAM.CREATE.S', { name: 'S', sources: [{ name: 'O', consumer }] });
    await untilMessages(c, 'S', 50);
    await fill(c, 'o.b', 50);
    const { state, sources } = await untilMessages(c, 'S', 100);
    expect([state.num_subjects, sources?.[0]?.lag]).toEqual([2, 0]);
    const first = await c.jsm.streams.getMessage('S', { seq: 1 });
    expect(first?.header.get('Nats-Stream-Source')).toMatch(/^O:C=\w{8} 1 > > o\.a \w{8}$/);
    await until(
      () => ask(c.nc, 'CONSUMER.INFO.O.made'),
      ({ ack_floor }) => (ack_floor as { stream_seq: number }).stream_seq === 100,
    );
    await server!.restart('SIGKILL');
    c = await server!.client();
    await fill(c, 'o.b', 10);
    await untilMessages(c, 'S', 110);
    const last = await c.jsm.streams.getMessage('S', { seq: 110 });
    expect(last?.header.get('Nats-Stream-Source')).toMatch(/^O:C=\w{8} 110 > > o\.b \w{8}$/);
  });

  test('a mirror becomes a stream of its own', async () => {
    const c = await start(shards);
    await c.jsm.streams.add({ name: 'O', subjects: ['o'] });
    await fill(c, 'o', 2);
    const copies = c.nc.subscribe('copied.>');
    const republish = { src: '>', dest: 'copied.>' };
    await ask(c.nc, 'STREAM.CREATE.M', { name: 'M', mirror: { name: 'O' }, republish });
    await nextMessage(copies);
    await untilMessages(c, 'M', 2);
    expect(errorCode(await ask(c.nc, 'STREAM.UPDATE.M', { name: 'M', mirror: { name: 'P' } }))).toBe(10055);
    await ask(c.nc, 'STREAM.UPDATE.M', { name: 'M', subjects: ['m'] });
    expect(await c.js.publish('m', 'own')).toMatchObject({ stream: 'M', seq: 3 });
    await c.js.publish('o', 'not copied');
    expect((await c.jsm.streams.info('M')).state.messages).toBe(3);
  });
});
