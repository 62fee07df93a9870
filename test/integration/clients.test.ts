/** The official client against the server: what applications do, without a look at the bytes. */
import { connect, createInbox, headers, type Msg, type NatsConnection, nuid } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { shardCounts } from '../support/server-command.ts';
import { GUARD_MS } from '../support/waiting.ts';

const text = new TextDecoder();

async function take(subscription: AsyncIterable<Msg>, count: number): Promise<Msg[]> {
  const messages: Msg[] = [];
  for await (const message of subscription) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

describe.each(shardCounts())('official client, %i shard(s)', (shards) => {
  let daemon: Daemon;
  const open: NatsConnection[] = [];

  async function client(options: Record<string, unknown> = {}): Promise<NatsConnection> {
    const connection = await connect({ servers: `127.0.0.1:${daemon.port}`, reconnect: false, ...options });
    open.push(connection);
    return connection;
  }

  beforeAll(async () => {
    daemon = await Daemon.start({ config: 'max_payload: 65536\n', shards });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((connection) => connection.close()));
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test('announces itself as nats-server 2.15 does', async () => {
    const info = (await client()).info;
    expect(info?.version).toMatch(/^2\.15\.\d+$/);
    expect(info?.server_id).toMatch(/^N[A-Z2-7]{55}$/);
    expect(info).toMatchObject({ proto: 1, headers: true, max_payload: 65536, client_ip: '127.0.0.1' });
  });

  test('publishes and subscribes in order', async () => {
    const [publisher, subscriber] = [await client(), await client()];
    const subject = nuid.next();
    const received = take(subscriber.subscribe(`${subject}.*`), 1000);
    await subscriber.flush();
    for (let index = 0; index < 1000; index += 1) publisher.publish(`${subject}.${index % 7}`, String(index));
    expect((await received).map((message) => message.string())).toEqual(
      Array.from({ length: 1000 }, (_, index) => String(index)),
    );
  });

  test('carries empty, binary and largest payloads', async () => {
    const [publisher, subscriber] = [await client(), await client()];
    const subject = nuid.next();
    const payloads = [0, 1, 2, 63, 64, 65, 4095, 4096, 32_768, 65_535, 65_536].map((size) =>
      Uint8Array.from({ length: size }, (_, index) => (index * 31 + size) & 0xff),
    );
    const received = take(subscriber.subscribe(subject), payloads.length);
    await subscriber.flush();
    for (const payload of payloads) publisher.publish(subject, payload);
    const messages = await received;
    for (const [index, payload] of payloads.entries()) {
      expect(Buffer.compare(messages[index]?.data ?? new Uint8Array(), payload)).toBe(0);
    }
  });

  test('a queue group shares the messages, each goes to one member', async () => {
    const publisher = await client();
    const subject = nuid.next();
    const seen: number[][] = [];
    for (let member = 0; member < 4; member += 1) {
      const numbers: number[] = [];
      seen.push(numbers);
      const connection = await client();
      connection.subscribe(subject, {
        queue: 'workers',
        callback: (_error, message) => void numbers.push(Number(message.string())),
      });
      await connection.flush();
    }
    const count = 2000;
    for (let index = 0; index < count; index += 1) publisher.publish(subject, String(index));
    await publisher.flush();
    await Promise.all(open.map((connection) => connection.flush()));
    const all = seen.flat().sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: count }, (_, index) => index));
    // Uniform choice among 4: a member with less than a tenth has a probability below 1e-60.
    for (const numbers of seen) expect(numbers.length).toBeGreaterThan(count / 10);
    for (const numbers of seen) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  test.each([{ noMux: false }, { noMux: true }])('requests are answered ($noMux)', async ({ noMux }) => {
    const [requester, responder] = [await client(), await client()];
    const subject = nuid.next();
    responder.subscribe(subject, { callback: (_error, message) => void message.respond(message.data) });
    await responder.flush();
    const options = { timeout: GUARD_MS, noMux, ...(noMux ? { reply: createInbox() } : {}) };
    for (let index = 0; index < 20; index += 1) {
      const answer = await requester.request(subject, `question ${index}`, {
        ...options,
        ...(noMux ? { reply: createInbox() } : {}),
      });
      expect(answer.string()).toBe(`question ${index}`);
    }
  });

  test('a request without responders fails at once', async () => {
    const requester = await client();
    await expect(requester.request(nuid.next(), '', { timeout: GUARD_MS })).rejects.toThrow(/no responders/);
  });

  test('parallel requests over several responders', async () => {
    const subject = nuid.next();
    for (let member = 0; member < 3; member += 1) {
      const responder = await client();
      responder.subscribe(subject, {
        queue: 'svc',
        callback: (_error, message) => void message.respond(`re ${message.string()}`),
      });
      await responder.flush();
    }
    const requester = await client();
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        requester.request(subject, String(index), { timeout: GUARD_MS }),
      ),
    );
    expect(answers.map((answer) => answer.string())).toEqual(answers.map((_, index) => `re ${index}`));
  });

  test('one request, many answers', async () => {
    const subject = nuid.next();
    for (let member = 0; member < 5; member += 1) {
      const responder = await client();
      responder.subscribe(subject, { callback: (_error, message) => void message.respond(String(member)) });
      await responder.flush();
    }
    const requester = await client();
    const answers = await requester.requestMany(subject, '', {
      strategy: 'count',
      maxMessages: 5,
      maxWait: GUARD_MS,
    });
    const members: string[] = [];
    for await (const answer of answers) members.push(answer.string());
    expect(members.sort()).toEqual(['0', '1', '2', '3', '4']);
  });

  test('headers arrive as sent, repeated names included', async () => {
    const [publisher, subscriber] = [await client(), await client()];
    const subject = nuid.next();
    const received = take(subscriber.subscribe(subject), 1);
    await subscriber.flush();
    const block = headers();
    block.append('Name', 'one');
    block.append('Name', 'two');
    block.set('lower', 'x: y');
    publisher.publish(subject, 'body', { headers: block, reply: 'somewhere' });
    const [message] = await received;
    expect(message?.headers?.values('Name')).toEqual(['one', 'two']);
    expect(message?.headers?.get('lower')).toBe('x: y');
    expect(message?.reply).toBe('somewhere');
    expect(text.decode(message?.data)).toBe('body');
  });

  test('a subscription with a maximum ends by itself', async () => {
    const [publisher, subscriber] = [await client(), await client()];
    const subject = nuid.next();
    const received = take(subscriber.subscribe(subject, { max: 3 }), 99);
    await subscriber.flush();
    for (let index = 0; index < 10; index += 1) publisher.publish(subject, String(index));
    expect((await received).map((message) => message.string())).toEqual(['0', '1', '2']);
  });

  test('drain delivers what was published before it and nothing after', async () => {
    const [publisher, subscriber] = [await client(), await client()];
    const subject = nuid.next();
    const seen: string[] = [];
    subscriber.subscribe(subject, { callback: (_error, message) => void seen.push(message.string()) });
    await subscriber.flush();
    for (let index = 0; index < 500; index += 1) publisher.publish(subject, String(index));
    await publisher.flush();
    await subscriber.drain();
    publisher.publish(subject, 'late');
    await publisher.flush();
    expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => String(index)));
  });

  test('own messages are not echoed with noEcho', async () => {
    const [quiet, other] = [await client({ noEcho: true }), await client()];
    const subject = nuid.next();
    const seen: string[] = [];
    quiet.subscribe(subject, { callback: (_error, message) => void seen.push(message.string()) });
    await quiet.flush();
    quiet.publish(subject, 'own');
    await quiet.flush();
    other.publish(subject, 'other');
    await other.flush();
    await quiet.flush();
    expect(seen).toEqual(['other']);
  });

  test('many subscriptions of many connections all receive', async () => {
    const subject = nuid.next();
    const counts: number[] = [];
    for (let index = 0; index < 12; index += 1) {
      const connection = await client();
      counts.push(0);
      for (const pattern of [subject, '*', '>', `${subject}.>`]) {
        connection.subscribe(pattern, {
          callback: (_error, message) => {
            if (message.subject === subject) counts[index] = (counts[index] ?? 0) + 1;
          },
        });
      }
      await connection.flush();
    }
    const publisher = await client();
    for (let index = 0; index < 50; index += 1) publisher.publish(subject);
    await publisher.flush();
    await Promise.all(open.map((connection) => connection.flush()));
    expect(counts).toEqual(Array.from({ length: 12 }, () => 150));
  });

  test('answers the round-trip measurement', async () => {
    expect(await (await client()).rtt()).toBeGreaterThanOrEqual(0);
  });
});
