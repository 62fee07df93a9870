/**
 * No loss, no duplicate, no disorder: random schedules of subscribe, unsubscribe and publish over raw connections spread
 * over the shards, against a naive model.
 *
 * The model leans on one promise. A connection that has seen the PONG after its SUB or UNSUB gets exactly the messages
 * which others publish later. So the schedule runs in rounds: every connection makes its changes and awaits its PONG; then
 * all publish at once. At the end of a round each publisher awaits its PONG, then each subscriber makes a round trip, and
 * what it holds must be what the model says: per publisher and subscription the same messages in the same order.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { shardCounts } from '../support/server-command.ts';

const CONNECTIONS = 9;
const ROUNDS = 25;
const TOKENS = ['a', 'b', 'c'];
const PATTERNS = ['a', 'b.c', 'a.*', '*.b', 'a.>', '>', '*', 'b.*.c', '*.*', 'c.b.a', 'a.b.>'];
const QUEUES = ['', '', '', 'q1', 'q2'];

interface Subscription {
  pattern: string;
  queue: string;
}

interface Peer {
  client: RawClient;
  subscriptions: Map<string, Subscription>;
  nextSid: number;
}

interface Message {
  publisher: number;
  serial: number;
  subject: string;
  large: boolean;
}

/** The definition of matching, as plain as it can be written. */
function matches(pattern: string, subject: string): boolean {
  const [want, have] = [pattern.split('.'), subject.split('.')];
  for (const [index, token] of want.entries()) {
    if (token === '>') return have.length > index;
    if (have[index] === undefined || (token !== '*' && token !== have[index])) return false;
  }
  return want.length === have.length;
}

function payloadOf(message: Message): string {
  const text = `${message.publisher}:${message.serial}`;
  return message.large ? text.padEnd(40_000, ' ') : text;
}

/** `sid → publisher → serials in order of arrival` of the messages in `texts`. */
function arrivals(texts: string[]): Map<string, number[]> {
  const seen = new Map<string, number[]>();
  for (const text of texts) {
    const [line = '', payload = ''] = text.split('\r\n');
    const [op, , sid] = line.split(' ');
    if (op !== 'MSG') continue;
    const [publisher, serial] = payload.trim().split(':');
    const key = `${sid} from ${publisher}`;
    const list = seen.get(key) ?? [];
    list.push(Number(serial));
    seen.set(key, list);
  }
  return seen;
}

describe.each(shardCounts())('delivery model, %i shard(s)', (shards) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await Daemon.start({ shards });
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test.each([1, 2, 3, 4])('seed %i', async (seed) => {
    const random = seededRandom(seed);
    const peers: Peer[] = [];
    for (let index = 0; index < CONNECTIONS; index += 1) {
      const client = await RawClient.connect({ port: daemon.port });
      await client.handshake();
      peers.push({ client, subscriptions: new Map(), nextSid: 1 });
    }
    let serial = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all(peers.map((peer) => peer.client.sync(changes(peer, random))));
      const published = peers.map((_, publisher) => {
        const count = random.below(30);
        return Array.from({ length: count }, (): Message => {
          const subject = Array.from({ length: 1 + random.below(3) }, () => random.pick(TOKENS)).join('.');
          serial += 1;
          return { publisher, serial, subject, large: random.below(40) === 0 };
        });
      });
      const before = peers.map((peer) => peer.client.frames.length);
      await Promise.all(peers.map((peer, index) => peer.client.sync(wire(published[index] ?? []))));
      await Promise.all(peers.map((peer) => peer.client.sync()));
      const received = peers.map((peer, index) => arrivals(peer.client.texts.slice(before[index])));
      expectPlain(peers, received, published.flat());
      expectQueues(peers, received, published.flat());
    }
    await Promise.all(peers.map((peer) => peer.client.end()));
  });
});

function wire(messages: Message[]): string {
  return messages
    .map((message) => {
      const payload = payloadOf(message);
      return `PUB ${message.subject} ${payload.length}\r\n${payload}\r\n`;
    })
    .join('');
}

/** Applies random changes to the model of `peer`; answers the operations that ask the server for the same. */
function changes(peer: Peer, random: ReturnType<typeof seededRandom>): string {
  let operations = '';
  for (let count = random.below(4); count > 0; count -= 1) {
    const sids = [...peer.subscriptions.keys()];
    if (sids.length > 0 && random.below(2) === 0) {
      const sid = random.pick(sids);
      peer.subscriptions.delete(sid);
      operations += `UNSUB ${sid}\r\n`;
    } else {
      const sid = String(peer.nextSid);
      peer.nextSid += 1;
      const subscription = { pattern: random.pick(PATTERNS), queue: random.pick(QUEUES) };
      peer.subscriptions.set(sid, subscription);
      operations += `SUB ${subscription.pattern} ${subscription.queue} ${sid}\r\n`;
    }
  }
  return operations;
}

/** Every plain subscription has exactly the matching messages of every publisher, in order. */
function expectPlain(peers: Peer[], received: Map<string, number[]>[], messages: Message[]): void {
  for (const [index, peer] of peers.entries()) {
    const expected = new Map<string, number[]>();
    for (const [sid, { pattern, queue }] of peer.subscriptions) {
      if (queue !== '') continue;
      for (const message of messages) {
        if (!matches(pattern, message.subject)) continue;
        const key = `${sid} from ${message.publisher}`;
        expected.set(key, [...(expected.get(key) ?? []), message.serial]);
      }
    }
    const plain = new Map<string, number[]>();
    for (const [key, serials] of received[index] ?? []) {
      const sid = key.split(' ')[0] ?? '';
      const subscription = peer.subscriptions.get(sid);
      expect(subscription, `connection ${index} knows sid ${sid}`).toBeDefined();
      if (subscription?.queue === '') plain.set(key, serials);
    }
    expect(Object.fromEntries([...plain].sort())).toEqual(Object.fromEntries([...expected].sort()));
  }
}

/** Every queue group has every matching message once, on a member that matches, in the publisher's order. */
function expectQueues(peers: Peer[], received: Map<string, number[]>[], messages: Message[]): void {
  for (const queue of ['q1', 'q2']) {
    const members = peers.flatMap((peer) =>
      [...peer.subscriptions.values()].filter((item) => item.queue === queue),
    );
    const wanted = messages
      .filter((message) => members.some((member) => matches(member.pattern, message.subject)))
      .map((message) => message.serial);
    const subjects = new Map(messages.map((message) => [message.serial, message.subject]));
    const got: number[] = [];
    for (const [index, peer] of peers.entries()) {
      for (const [key, serials] of received[index] ?? []) {
        const subscription = peer.subscriptions.get(key.split(' ')[0] ?? '');
        if (subscription?.queue !== queue) continue;
        expect(serials).toEqual([...serials].sort((a, b) => a - b));
        for (const serial of serials) {
          expect(matches(subscription.pattern, subjects.get(serial) ?? '')).toBe(true);
        }
        got.push(...serials);
      }
    }
    expect(got.sort((a, b) => a - b)).toEqual(wanted.sort((a, b) => a - b));
  }
}
