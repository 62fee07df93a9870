/** Who gets a message before it is on the disk: consumers that acknowledge. Seen while a sync doesn't come back. */
import { createInbox, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Faults } from '../support/faults.ts';
import { ask, JetStreamServer, type Json } from '../support/jetstream-server.ts';
import { GUARD_MS } from '../support/waiting.ts';

const faults = Faults.make();
/** More than a message needs from one end of the server to the other. */
const ROUND_TRIPS = 200;

let server: JetStreamServer | null = null;
let nc: NatsConnection;
/** What arrived, in order. */
let arrived: string[];
let arrivals: () => void;

async function start(options: string): Promise<void> {
  arrived = [];
  arrivals = () => undefined;
  const config = `jetstream { store_dir: store, ${options} }`;
  server = await JetStreamServer.start(2, config, [], faults!.environment);
  nc = await server.connect();
  const { error } = await ask(nc, 'STREAM.CREATE.S', { name: 'S', subjects: ['s'] });
  expect(error).toBeUndefined();
}

/** Makes a pull consumer and asks it for messages. They are noted by its name. */
async function consume(name: string, config: Json): Promise<void> {
  const { error } = await ask(nc, `CONSUMER.CREATE.S.${name}`, {
    stream_name: 'S',
    config: { name, ...config },
  });
  expect(error).toBeUndefined();
  const inbox = createInbox();
  nc.subscribe(inbox, { callback: (_error, message) => note(`${name} ${message.string()}`) });
  nc.publish(`$JS.API.CONSUMER.MSG.NEXT.S.${name}`, '{"batch":100,"expires":60000000000}', { reply: inbox });
}

function note(what: string): void {
  arrived.push(what);
  arrivals();
}

/** Publishes; the acknowledgement is noted. */
function publish(payload: string): void {
  const reply = createInbox();
  nc.subscribe(reply, { max: 1, callback: () => note(`acknowledged ${payload}`) });
  nc.publish('s', payload, { reply });
}

async function until(count: number): Promise<void> {
  while (arrived.length < count)
    await new Promise<void>((resolve) => {
      arrivals = resolve;
    });
}

async function roundTrips(): Promise<void> {
  for (let i = 0; i < ROUND_TRIPS; i++) await nc.flush();
}

afterEach(async () => {
  faults?.clear();
  await server?.stop();
  server = null;
});

afterAll(() => faults?.remove());

describe.skipIf(faults === null)('while a sync does not come back (needs a C compiler on Linux)', () => {
  test(
    'who acknowledges has the message; who does not waits, and so does the publisher',
    async () => {
      await start('');
      await consume('explicit', { ack_policy: 'explicit' });
      await consume('all', { ack_policy: 'all' });
      await consume('none', { ack_policy: 'none' });
      await consume('memory', { ack_policy: 'explicit', mem_storage: true });
      // The consumers wait when it is answered.
      await ask(nc, 'CONSUMER.INFO.S.memory');
      faults!.set('hang');
      publish('m');
      await until(2);
      await roundTrips();
      expect([...arrived].sort()).toEqual(['all m', 'explicit m']);
      faults!.clear();
      await until(5);
      expect(arrived.slice(2).sort()).toEqual(['acknowledged m', 'memory m', 'none m']);
    },
    GUARD_MS,
  );

  test(
    'so it goes on while the sync runs on a thread of its own',
    async () => {
      await start('');
      await consume('explicit', { ack_policy: 'explicit' });
      faults!.set('slow');
      for (let i = 1; i <= 10; i++) {
        publish(`slow ${i}`);
        await until(2 * i);
      }
      arrived.length = 0;
      faults!.clear();
      faults!.set('hang');
      for (const payload of ['1', '2', '3']) {
        publish(payload);
        await until(Number(payload));
      }
      await roundTrips();
      expect(arrived).toEqual(['explicit 1', 'explicit 2', 'explicit 3']);
      faults!.clear();
      await until(6);
      expect(arrived.slice(3)).toEqual(['acknowledged 1', 'acknowledged 2', 'acknowledged 3']);
    },
    GUARD_MS,
  );

  test(
    'with deliver_after_sync everybody waits',
    async () => {
      await start('deliver_after_sync: true');
      await consume('explicit', { ack_policy: 'explicit' });
      await consume('none', { ack_policy: 'none' });
      await ask(nc, 'CONSUMER.INFO.S.none');
      faults!.set('hang');
      publish('m');
      await roundTrips();
      expect(arrived).toEqual([]);
      faults!.clear();
      await until(3);
      expect([...arrived].sort()).toEqual(['acknowledged m', 'explicit m', 'none m']);
    },
    GUARD_MS,
  );
});
