/**
 * A server that is killed under load, again and again: what was acknowledged is there after each start, under its sequence.
 *
 * `NATSD_KILL_ROUNDS=50` runs more rounds than the suite does.
 */
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { ask, errorCode, JetStreamServer, type Json } from '../support/jetstream-server.ts';
import { GUARD_MS, Signal } from '../support/waiting.ts';

const ROUNDS = Number(process.env.NATSD_KILL_ROUNDS ?? 3);
const ROUND_MS = 2 * GUARD_MS;
/** Publishers of each kind, each with one message or batch under way. */
const PUBLISHERS = 24;
const BATCH = 5;
/** Characters of the messages that go past the page cache. */
const LARGE = 40_000;
const ENCRYPTED = 'jetstream { store_dir: store, key: "a key", cipher: aes }';

/** What was acknowledged: payloads by stream and sequence. */
class Acknowledged {
  readonly #streams = new Map<string, Map<number, string>>();
  count = 0;
  /** The last message with an id: stream, id and sequence. */
  last: { id: string; seq: number } | null = null;

  add(stream: string, sequence: number, payload: string): void {
    const known = this.#streams.get(stream) ?? new Map<number, string>();
    this.#streams.set(stream, known);
    if (known.has(sequence)) throw new Error(`${stream} ${sequence} was acknowledged twice`);
    known.set(sequence, payload);
    this.count++;
  }

  /** From the given sequence of each stream on. */
  entries(stream: string): [number, string][] {
    return [...(this.#streams.get(stream) ?? [])];
  }
}

let server: JetStreamServer | null = null;

afterEach(async () => {
  await server?.stop();
  server = null;
});

async function create(nc: NatsConnection): Promise<void> {
  const configs: Json[] = [
    { name: 'PLAIN' },
    { name: 'PACKED', compression: 's2' },
    { name: 'IDS', duplicate_window: 120e9 },
    { name: 'BATCHES', allow_atomic: true },
    { name: 'LARGE' },
    { name: 'MEMORY', storage: 'memory' },
  ];
  for (const config of configs) {
    const name = config.name as string;
    const reply = await ask(nc, `STREAM.CREATE.${name}`, {
      ...config,
      subjects: [`${name}.*`],
      allow_direct: true,
    });
    expect(reply.error).toBeUndefined();
  }
}

/** Publishes one message, or one batch, and notes what was acknowledged. */
async function publishOnce(
  nc: NatsConnection,
  stream: string,
  unique: string,
  done: Acknowledged,
): Promise<void> {
  const subject = `${stream}.x`;
  const options = { timeout: GUARD_MS };
  const payload = `${unique} ${'-'.repeat(stream === 'LARGE' ? LARGE : unique.length * 20)}`;
  if (stream === 'BATCHES') {
    let reply: Msg | null = null;
    for (let i = 1; i <= BATCH; i++) {
      const lines = headers();
      lines.set('Nats-Batch-Id', unique);
      lines.set('Nats-Batch-Sequence', String(i));
      if (i === BATCH) lines.set('Nats-Batch-Commit', '1');
      if (i < BATCH) nc.publish(subject, `${payload}${i}`, { headers: lines });
      else reply = await nc.request(subject, `${payload}${i}`, { ...options, headers: lines });
    }
    const { seq, count } = reply!.json<{ seq: number; count: number }>();
    expect(count).toBe(BATCH);
    for (let i = 1; i <= BATCH; i++) done.add(stream, seq - BATCH + i, `${payload}${i}`);
    return;
  }
  const lines = headers();
  if (stream === 'IDS') lines.set('Nats-Msg-Id', unique);
  const { seq } = (await nc.request(subject, payload, { ...options, headers: lines })).json<{
    seq: number;
  }>();
  if (stream === 'MEMORY') return;
  done.add(stream, seq, payload);
  if (stream === 'IDS') done.last = { id: unique, seq };
}

/** Publishes to every stream until so many messages are acknowledged, then kills the server in the middle. */
async function loadAndKill(nc: NatsConnection, round: number, done: Acknowledged): Promise<void> {
  const finished = new Signal();
  const enough = done.count + 500 + (round % 7) * 150;
  let open = 0;
  let next = 0;
  const publish = async (stream: string): Promise<void> => {
    try {
      for (;;) {
        await publishOnce(nc, stream, `${round}/${next++}`, done);
        if (done.count >= enough) server!.daemon.kill('SIGKILL');
      }
    } catch {
      // The server is gone: what wasn't acknowledged was promised nothing.
    }
    open--;
    finished.notify();
  };
  for (const stream of ['PLAIN', 'PACKED', 'IDS', 'BATCHES', 'LARGE', 'MEMORY']) {
    for (let i = 0; i < PUBLISHERS; i++) {
      open++;
      void publish(stream);
    }
  }
  await finished.until(
    () => open === 0,
    () => `${open} publishers still run`,
  );
}

async function expectThere(
  nc: NatsConnection,
  stream: string,
  entries: readonly [number, string][],
): Promise<void> {
  const found = await Promise.all(
    entries.map(async ([seq]) => {
      const reply = await nc.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify({ seq }), {
        timeout: GUARD_MS,
      });
      // A status instead of the message says what is wrong.
      return [seq, reply.headers?.description || reply.string()];
    }),
  );
  expect(found, server!.daemon.log).toEqual(entries);
}

/** No part of a batch is there without the rest, acknowledged or not. */
async function expectWholeBatches(nc: NatsConnection): Promise<void> {
  const { state } = (await ask(nc, 'STREAM.INFO.BATCHES')) as { state: Json };
  const batches = new Map<string, number>();
  const last = state.last_seq as number;
  expect(state.messages).toBe(last);
  for (let seq = 1; seq <= last; seq++) {
    const reply = await nc.request('$JS.API.DIRECT.GET.BATCHES', JSON.stringify({ seq }), {
      timeout: GUARD_MS,
    });
    const id = reply.headers!.get('Nats-Batch-Id');
    batches.set(id, (batches.get(id) ?? 0) + 1);
  }
  expect(new Set(batches.values())).toEqual(new Set([BATCH]));
}

describe('kill -9 under load, several kinds of stream', () => {
  test.each([
    ['in clear', 'jetstream { store_dir: store }'],
    ['encrypted', ENCRYPTED],
  ])(`%s, ${ROUNDS} rounds`, { timeout: 30_000 + ROUNDS * ROUND_MS }, async (_how, config) => {
    server = await JetStreamServer.start(2, config);
    let nc = await server.connect();
    await create(nc);
    const done = new Acknowledged();
    const checked = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      await loadAndKill(nc, round, done);
      await server.restart('SIGKILL');
      nc = await server.connect();
      expect(server.daemon.log).not.toMatch(/\[(WRN|ERR)\]|damaged/);
      for (const stream of ['PLAIN', 'PACKED', 'IDS', 'BATCHES', 'LARGE']) {
        const entries = done.entries(stream);
        expect(entries.length).toBeGreaterThan(0);
        await expectThere(nc, stream, entries.slice(checked.get(stream) ?? 0));
        checked.set(stream, entries.length);
      }
      const lines = headers();
      lines.set('Nats-Msg-Id', done.last!.id);
      const again = await nc.request('IDS.x', 'again', { headers: lines, timeout: GUARD_MS });
      expect(again.json()).toEqual({ stream: 'IDS', seq: done.last!.seq, duplicate: true });
      const gone = await ask(nc, 'STREAM.INFO.MEMORY');
      expect(errorCode(gone)).toBe(10059);
      const reply = await ask(nc, 'STREAM.CREATE.MEMORY', {
        name: 'MEMORY',
        subjects: ['MEMORY.*'],
        storage: 'memory',
      });
      expect(reply.error).toBeUndefined();
    }
    for (const stream of ['PLAIN', 'PACKED', 'IDS', 'BATCHES', 'LARGE'])
      await expectThere(nc, stream, done.entries(stream));
    await expectWholeBatches(nc);
    process.stdout.write(`${ROUNDS} rounds, ${done.count} messages acknowledged and found\n`);
  });
});
