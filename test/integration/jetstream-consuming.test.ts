/** Consumers as the official client uses them: pull, ordered, push, every acknowledgement, groups, dead letters. */
import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  DeliverPolicy,
  JetStreamApiCodes,
  type JetStreamApiError,
  type JsMsg,
} from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Client, JetStreamServer, nextMessage, until } from '../support/jetstream-server.ts';
import { GUARD_MS, Signal } from '../support/waiting.ts';

const SECOND_NS = 1_000_000_000;
const WAIT_MS = GUARD_MS;
const MANY = 3000;
/** Each acknowledged by itself, which takes a round trip and a sync. */
const ACKED = 500;

/** Takes messages until there are so many, and ends the iteration. */
async function takeSome(
  messages: AsyncIterable<JsMsg>,
  count: number,
  each?: (m: JsMsg) => void,
): Promise<string[]> {
  const taken: string[] = [];
  for await (const message of messages) {
    taken.push(message.string());
    each?.(message);
    if (taken.length === count) break;
  }
  return taken;
}

function texts(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => String(from + index));
}

describe.each([1, 3])('consuming with %i shards', (shards) => {
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

  async function stream(count = 0, subject = 'a'): Promise<string> {
    const name = `S${++names}`;
    await c.jsm.streams.add({ name, subjects: [`${name}.>`] });
    await fill(name, count, 0, subject);
    return name;
  }

  async function fill(name: string, count: number, from = 0, subject = 'a'): Promise<void> {
    await Promise.all(texts(count, from).map((text) => c.js.publish(`${name}.${subject}`, text)));
  }

  async function consumer(name: string, config: Partial<ConsumerConfig> = {}): Promise<Consumer> {
    await c.jsm.consumers.add(name, { durable_name: 'c', ack_policy: AckPolicy.Explicit, ...config });
    return c.js.consumers.get(name, 'c');
  }

  /** Deletes a consumer, which may be replaced by its client at any time. */
  async function deleteAny(name: string): Promise<void> {
    for (let isDeleted = false; !isDeleted; ) {
      for await (const { name: own } of c.jsm.consumers.list(name))
        isDeleted ||= await c.jsm.consumers.delete(name, own).catch((error: JetStreamApiError) => {
          expect(error.code).toBe(JetStreamApiCodes.ConsumerNotFound);
          return false;
        });
    }
  }

  test('consume, fetch and next', async () => {
    const name = await stream(MANY);
    const pulled = await consumer(name);
    const consuming = await pulled.consume({ max_messages: 500 });
    expect(await takeSome(consuming, MANY, (m) => m.ack())).toEqual(texts(MANY));
    await consuming.close();
    await until(
      () => pulled.info(),
      (info) => info.num_ack_pending === 0,
    );
    await fill(name, 10, MANY);
    const fetched = await takeSome(await pulled.fetch({ max_messages: 4, expires: WAIT_MS }), 4, (m) =>
      m.ack(),
    );
    expect(fetched).toEqual(texts(4, MANY));
    const next = await pulled.next({ expires: WAIT_MS });
    expect(next?.string()).toBe(String(MANY + 4));
    expect(await next?.ackAck()).toBe(true);
    expect((await pulled.info()).num_pending).toBe(5);
    const bytes = await takeSome(await pulled.fetch({ max_bytes: 4000, expires: WAIT_MS }), 5);
    expect(bytes).toEqual(texts(5, MANY + 5));
    const later = pulled.next({ expires: WAIT_MS });
    await c.jsm.streams.purge(name);
    await c.js.publish(`${name}.b`, 'later');
    expect((await later)?.subject).toBe(`${name}.b`);
  });

  test('several clients share one consumer', async () => {
    const name = await stream();
    await consumer(name);
    const clients = await Promise.all([server.client(), server.client(), server.client()]);
    const seen = new Map<string, number>();
    let acked = 0;
    const changed = new Signal();
    const reading = clients.map(async ({ js }) => {
      const messages = await (await js.consumers.get(name, 'c')).consume({ max_messages: 50 });
      const done = (async () => {
        for await (const m of messages) {
          seen.set(m.string(), (seen.get(m.string()) ?? 0) + 1);
          await m.ackAck();
          acked++;
          changed.notify();
        }
      })();
      return { messages, done };
    });
    const readers = await Promise.all(reading);
    await fill(name, ACKED);
    await changed.until(
      () => acked === ACKED,
      () => `${acked} acknowledged`,
    );
    for (const { messages, done } of readers) {
      await messages.close();
      await done;
    }
    expect([seen.size, new Set(seen.values())]).toEqual([ACKED, new Set([1])]);
  });

  test('every acknowledgement', async () => {
    const name = await stream(6);
    const pulled = await consumer(name, { max_ack_pending: 10, ack_wait: 60 * SECOND_NS });
    const told = c.nc.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.${name}.c`);
    await c.nc.flush();
    const messages = await pulled.consume();
    const order: string[] = [];
    for await (const m of messages) {
      order.push(`${m.string()}/${m.info.deliveryCount}`);
      if (m.info.deliveryCount > 1 || m.string() === '0') await m.ackAck();
      else if (m.string() === '1') m.nak();
      else if (m.string() === '2') m.nak(200);
      else if (m.string() === '3') m.term('no good');
      else if (m.string() === '4') m.working();
      else m.ack();
      if (order.length === 8) break;
    }
    expect(order.slice(0, 6).sort()).toEqual(expect.arrayContaining(['0/1', '1/1', '2/1', '3/1']));
    expect([...order].sort()).toEqual(['0/1', '1/1', '1/2', '2/1', '2/2', '3/1', '4/1', '5/1']);
    expect(order.at(-1)).toBe('2/2');
    expect((await nextMessage(told)).json()).toMatchObject({ stream_seq: 4, reason: 'no good' });
    const info = await until(
      () => pulled.info(),
      (seen) => seen.num_ack_pending === 1,
    );
    expect(info).toMatchObject({
      ack_floor: { stream_seq: 4 },
      delivered: { consumer_seq: 8, stream_seq: 6 },
    });
  });

  test('max_deliver, backoff and dead letters', async () => {
    const name = await stream(1);
    await c.jsm.streams.add({ name: `${name}_DEAD`, subjects: [`dead.${name}`], allow_direct: true });
    const pulled = await consumer(name, {
      max_deliver: 3,
      backoff: [SECOND_NS / 10, SECOND_NS / 5],
      metadata: { 'natsd.dead_letter.subject': `dead.${name}` },
    });
    const told = c.nc.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${name}.c`);
    const messages = await pulled.consume();
    const counts: number[] = [];
    for await (const m of messages) {
      counts.push(m.info.deliveryCount);
      if (counts.length === 3) break;
    }
    expect(counts).toEqual([1, 2, 3]);
    expect((await nextMessage(told)).json()).toMatchObject({ stream_seq: 1, deliveries: 3 });
    await c.js.publish(`${name}.b`, 'bad');
    const bad = await pulled.next({ expires: WAIT_MS });
    bad?.term('cannot be read');
    await until(
      () => c.jsm.streams.info(`${name}_DEAD`),
      ({ state }) => state.messages === 2,
    );
    const letters = await Promise.all([1, 2].map((seq) => c.jsm.direct.getMessage(`${name}_DEAD`, { seq })));
    const parts = letters.map((m) => [
      m?.string(),
      m?.header.get('Natsd-Dead-Letter-Cause'),
      m?.header.get('Natsd-Dead-Letter-Reason'),
      m?.header.get('Natsd-Dead-Letter-Subject'),
      m?.header.get('Natsd-Dead-Letter-Deliveries'),
    ]);
    expect(parts).toEqual([
      ['0', 'max_deliver', '', `${name}.a`, '3'],
      ['bad', 'terminated', 'cannot be read', `${name}.b`, '1'],
    ]);
    expect((await pulled.info()).num_ack_pending).toBe(0);
  });

  test('pause, resume and reset', async () => {
    const name = await stream(3);
    const pulled = await consumer(name);
    await c.jsm.consumers.pause(name, 'c', new Date(Date.now() + 3_600_000));
    expect((await pulled.info()).paused).toBe(true);
    const waiting = pulled.next({ expires: WAIT_MS });
    await c.jsm.consumers.resume(name, 'c');
    expect((await waiting)?.string()).toBe('0');
    await takeSome(await pulled.fetch({ max_messages: 2 }), 2);
    expect(await c.jsm.consumers.reset(name, 'c', 2)).toMatchObject({ reset_seq: 2 });
    expect(await takeSome(await pulled.fetch({ max_messages: 2 }), 2)).toEqual(['1', '2']);
  });

  test('ordered consumers, by pull and by push', async () => {
    const name = await stream(MANY);
    await fill(name, 20, 0, 'b');
    const ordered = await c.js.consumers.get(name, { filter_subjects: [`${name}.a`] });
    expect(await takeSome(await ordered.consume({ max_messages: 100 }), MANY)).toEqual(texts(MANY));
    const last = await c.js.consumers.get(name, { deliver_policy: DeliverPolicy.LastPerSubject });
    expect(await takeSome(await last.consume(), 2)).toEqual([String(MANY - 1), '19']);
    const pushed = await c.js.consumers.getPushConsumer(name, { filter_subjects: [`${name}.a`] });
    expect(await takeSome(await pushed.consume(), MANY)).toEqual(texts(MANY));
  });

  test('an ordered consumer goes on when its consumer is deleted', async () => {
    const name = await stream(10);
    const ordered = await c.js.consumers.get(name);
    const messages = await ordered.consume({ expires: 1000, idle_heartbeat: 500 });
    const taken: string[] = [];
    for await (const m of messages) {
      taken.push(m.string());
      if (taken.length === 10) {
        await deleteAny(name);
        await fill(name, 10, 10);
      }
      if (taken.length === 20) break;
    }
    expect(taken).toEqual(texts(20));
  });

  test('push: heartbeats, flow control, a group', async () => {
    const name = await stream(MANY);
    await c.jsm.consumers.add(name, {
      durable_name: 'c',
      ack_policy: AckPolicy.Explicit,
      deliver_subject: `${name}-deliver`,
      flow_control: true,
      idle_heartbeat: SECOND_NS,
      max_ack_pending: 100,
    });
    const pushed = await c.js.consumers.getPushConsumer(name, 'c');
    expect(await takeSome(await pushed.consume(), MANY, (m) => m.ack())).toEqual(texts(MANY));
    await c.jsm.consumers.add(name, {
      durable_name: 'g',
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: MANY - ACKED + 1,
      deliver_subject: `${name}-group`,
      deliver_group: 'workers',
    });
    const seen: string[] = [];
    let acked = 0;
    const changed = new Signal();
    const members = await Promise.all([server.client(), server.client()]);
    const readings = await Promise.all(
      members.map(async ({ js }) => (await js.consumers.getPushConsumer(name, 'g')).consume()),
    );
    const readers = readings.map(async (messages) => {
      for await (const m of messages) {
        seen.push(m.string());
        await m.ackAck();
        acked++;
        changed.notify();
      }
    });
    await changed.until(
      () => acked === ACKED,
      () => `${acked} acknowledged`,
    );
    for (const messages of readings) await messages.close();
    await Promise.all(readers);
    expect(new Set(seen).size).toBe(ACKED);
    await c.jsm.consumers.delete(name, 'g');
  });

  test('priority groups', async () => {
    const name = await stream(4);
    const group = { priority_groups: ['A'], ack_policy: AckPolicy.Explicit };
    const wait = { group: 'A', expires: WAIT_MS, max_messages: 1 };
    // Long enough for a message that should not come.
    const look = { ...wait, expires: 1000 };
    await c.jsm.consumers.add(name, { ...group, name: 'o', priority_policy: 'overflow' });
    const overflow = await c.js.consumers.get(name, 'o');
    expect(await takeSome(await overflow.fetch({ ...look, min_pending: 5 }), 1)).toEqual([]);
    expect(await takeSome(await overflow.fetch({ ...wait, min_pending: 4 }), 1)).toEqual(['0']);
    await c.jsm.consumers.add(name, { ...group, name: 'p', priority_policy: 'pinned_client' });
    const [first, second] = await Promise.all([c.js.consumers.get(name, 'p'), c.js.consumers.get(name, 'p')]);
    expect(await takeSome(await first!.fetch(wait), 1)).toEqual(['0']);
    expect(await takeSome(await second!.fetch(look), 1)).toEqual([]);
    await c.jsm.consumers.unpin(name, 'p', 'A');
    expect(await takeSome(await second!.fetch(wait), 1)).toEqual(['1']);
    await c.jsm.consumers.add(name, { ...group, name: 'r', priority_policy: 'prioritized' });
    const ranked = await c.js.consumers.get(name, 'r');
    expect(await takeSome(await ranked.fetch({ ...wait, priority: 3 }), 1)).toEqual(['0']);
  });
});

test('a server that stops tells those who wait at pull consumers', async () => {
  const server = await JetStreamServer.start(2);
  try {
    const { nc, jsm } = await server.client();
    await jsm.streams.add({ name: 'S', subjects: ['s'] });
    await jsm.consumers.add('S', { durable_name: 'c', ack_policy: AckPolicy.Explicit });
    const statuses = nc.subscribe('inbox');
    nc.publish('$JS.API.CONSUMER.MSG.NEXT.S.c', JSON.stringify({ batch: 5, max_bytes: 900 }), {
      reply: 'inbox',
    });
    await until(
      () => jsm.consumers.info('S', 'c'),
      ({ num_waiting }) => num_waiting === 1,
    );
    server.daemon.kill('SIGTERM');
    const { headers } = await nextMessage(statuses);
    expect([headers?.code, headers?.description]).toEqual([409, 'Server Shutdown']);
    expect(headers?.get('Nats-Pending-Messages')).toBe('5');
    expect(headers?.get('Nats-Pending-Bytes')).toBe('900');
  } finally {
    await server.stop();
  }
});
