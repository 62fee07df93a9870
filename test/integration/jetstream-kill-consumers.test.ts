/**
 * A server that is killed while consumers are at work, again and again: what was acknowledged with an answer never comes again,
 * and what was not comes until it is.
 *
 * `NATSD_KILL_ROUNDS=50` runs more rounds than the suite does.
 */
import { AckPolicy, type ConsumerMessages, type JsMsg, RetentionPolicy } from '@nats-io/jetstream';
import { afterEach, describe, expect, test } from 'vitest';
import { type Client, JetStreamServer, until } from '../support/jetstream-server.ts';
import { GUARD_MS, Signal } from '../support/waiting.ts';

const ROUNDS = Number(process.env.NATSD_KILL_ROUNDS ?? 3);
const ROUND_MS = 2 * GUARD_MS;
const PUBLISHERS = 16;
const ACK_WAIT_NS = 500_000_000;
/** Acknowledgements of a round before the server is killed. */
const LEAST_ACKS = 600;
/** Messages a round publishes to each stream at most, so that what is left at the end stays small. */
const ROUND_MSGS = 300;

const CONSUMERS = [
  { stream: 'LIMITS', name: 'pull' },
  { stream: 'LIMITS', name: 'push', deliver_subject: 'deliver.push' },
  { stream: 'QUEUE', name: 'work' },
] as const;

let server: JetStreamServer | null = null;

afterEach(async () => {
  await server?.stop();
  server = null;
});

/** What one consumer has acknowledged with an answer, and what came although it was. */
class Ledger {
  readonly settled = new Set<number>();
  readonly seen = new Set<number>();
  readonly wrong: string[] = [];

  take(message: JsMsg): void {
    this.seen.add(message.seq);
    if (this.settled.has(message.seq))
      this.wrong.push(`${message.seq}, delivery ${message.info.deliveryCount}`);
  }
}

interface Consuming {
  readonly messages: ConsumerMessages;
  /** When all that it took is acknowledged, or can't be any more. */
  readonly ended: Promise<void>;
}

class Load {
  readonly published = new Map<string, Set<number>>([
    ['LIMITS', new Set()],
    ['QUEUE', new Set()],
  ]);
  readonly ledgers = new Map(CONSUMERS.map(({ name }) => [name, new Ledger()] as const));
  readonly changed = new Signal();
  acks = 0;

  async publish({ js }: Client, stream: string): Promise<void> {
    const published = this.published.get(stream)!;
    try {
      for (let left = ROUND_MSGS / PUBLISHERS; left > 0; left--)
        published.add((await js.publish(`${stream}.x`, 'x'.repeat(100))).seq);
    } catch {
      // The server is gone: what wasn't acknowledged was promised nothing.
    }
  }

  /**
   * Takes messages and acknowledges them until the connection ends. A callback has each message before the answer to an
   * acknowledgement that came behind it; in an iterator it might wait until it seems to be one that came later.
   */
  async consume(consumer: (typeof CONSUMERS)[number], { js }: Client): Promise<Consuming> {
    const { stream, name } = consumer;
    const ledger = this.ledgers.get(name)!;
    const acknowledging: Promise<void>[] = [];
    const callback = (message: JsMsg): void => {
      ledger.take(message);
      // Some are left alone: they have to come again.
      if (message.info.deliveryCount === 1 && message.seq % 7 === 0) return;
      acknowledging.push(this.#settle(message, ledger));
    };
    const messages =
      'deliver_subject' in consumer
        ? await (await js.consumers.getPushConsumer(stream, name)).consume({ callback })
        : await (await js.consumers.get(stream, name)).consume({ callback, max_messages: 100 });
    const ended = messages.closed().then(async () => void (await Promise.all(acknowledging)));
    return { messages, ended };
  }

  consumeAll(c: Client): Promise<Consuming[]> {
    return Promise.all(CONSUMERS.map((consumer) => this.consume(consumer, c)));
  }

  async #settle(message: JsMsg, ledger: Ledger): Promise<void> {
    try {
      if (!(await message.ackAck({ timeout: GUARD_MS }))) return;
    } catch {
      return;
    }
    ledger.settled.add(message.seq);
    this.acks++;
    this.changed.notify();
  }
}

async function create({ jsm }: Client): Promise<void> {
  await jsm.streams.add({ name: 'LIMITS', subjects: ['LIMITS.*'] });
  await jsm.streams.add({ name: 'QUEUE', subjects: ['QUEUE.*'], retention: RetentionPolicy.Workqueue });
  for (const { stream, name, ...more } of CONSUMERS) {
    await jsm.consumers.add(stream, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      ack_wait: ACK_WAIT_NS,
      ...more,
    });
  }
}

/** Publishes and consumes, and kills the server in the middle of it. */
async function loadAndKill(load: Load, round: number): Promise<void> {
  const c = await server!.client();
  const enough = load.acks + LEAST_ACKS + (round % 5) * 60;
  const busy = [...load.published.keys()].flatMap((stream) =>
    Array.from({ length: PUBLISHERS }, () => load.publish(c, stream)),
  );
  busy.push(...(await load.consumeAll(c)).map(({ ended }) => ended));
  await load.changed.until(
    () => load.acks >= enough,
    () => `${load.acks} of ${enough} acknowledgements:\n${server!.daemon.log}`,
    ROUND_MS,
  );
  server!.daemon.kill('SIGKILL');
  await server!.daemon.exited();
  await c.nc.close();
  await Promise.all(busy);
}

/** Takes what is left, until every consumer has acknowledged everything there is. */
async function drain(load: Load, c: Client): Promise<void> {
  const opened = await load.consumeAll(c);
  for (const { stream, name } of CONSUMERS) {
    await until(
      () => c.jsm.consumers.info(stream, name),
      (info) => info.num_pending === 0 && info.num_ack_pending === 0,
    );
  }
  for (const { messages } of opened) await messages.close();
  await Promise.all(opened.map(({ ended }) => ended));
}

describe('kill -9 while consumers are at work', () => {
  test(`${ROUNDS} rounds`, { timeout: 40_000 + ROUNDS * ROUND_MS }, async () => {
    server = await JetStreamServer.start(2);
    await create(await server.client());
    const load = new Load();
    for (let round = 0; round < ROUNDS; round++) {
      await loadAndKill(load, round);
      await server.restart('SIGKILL');
      expect(server.daemon.log).not.toMatch(/\[(WRN|ERR)\]|damaged/);
      for (const [name, { wrong }] of load.ledgers) expect(wrong, `${name}, round ${round}`).toEqual([]);
    }
    const c = await server.client();
    await drain(load, c);
    for (const { stream, name } of CONSUMERS) {
      const { seen, wrong } = load.ledgers.get(name)!;
      expect(wrong, name).toEqual([]);
      const { num_ack_pending, ack_floor, delivered } = await c.jsm.consumers.info(stream, name);
      expect([num_ack_pending, ack_floor.stream_seq]).toEqual([0, delivered.stream_seq]);
      const lost = [...load.published.get(stream)!].filter((sequence) => !seen.has(sequence));
      expect(lost, `${name} never got`).toEqual([]);
    }
    expect((await c.jsm.streams.info('QUEUE')).state.messages).toBe(0);
    process.stdout.write(`${ROUNDS} rounds, ${load.acks} acknowledgements\n`);
  });
});
