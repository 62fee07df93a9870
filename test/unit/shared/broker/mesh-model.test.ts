import { describe, expect, test } from 'vitest';
import { BLOCKED } from '../../../../src/shared/broker/router.ts';
import type { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { type SeededRandom, seededRandom } from '../../../support/seeded-random.ts';
import { TestSubscriber } from './delivery-rig.ts';
import { type MeshNode, meshOf } from './mesh.ts';

/**
 * Three shards in a seeded order of turns, over rings so small that they are full much of the time.
 *
 * A turn is what a shard does with one read: drain, some operations, publish. By causality a message goes to exactly the
 * subscriptions that exist when it is routed: whatever another shard did in an earlier turn has been drained, and what it
 * does in a later turn comes after it has drained the message. Closing connections are the exception: their subscriptions
 * end at any time, so messages on the way to them may be lost to them, and a message picked for a queue group must find
 * another member.
 *
 * A message that is refused is kept and blocks its publisher, as a shard stops parsing a connection.
 */

const THREADS = 3;
const RING_BYTES = 32 * 1024;
const MAX_MEMBERS = 6;
const PATTERNS = ['a', 'b', 'a.b', 'a.*', '>', '*.b'];
const SUBJECTS = ['a', 'b', 'a.b', 'b.b', 'c'];
const MATCHES: Record<string, string[]> = {
  a: ['a', '>'],
  b: ['b', '>'],
  'a.b': ['a.b', 'a.*', '>', '*.b'],
  'b.b': ['>', '*.b'],
  c: ['>'],
};

interface Member {
  node: number;
  subscriber: TestSubscriber;
  subscription: Subscription;
  pattern: string;
  queue: string | null;
  /** Step in which it ended, or Infinity. */
  endedAt: number;
}

interface Sent {
  publisher: number;
  serial: number;
  subject: string;
  step: number;
  /** The members at the time it was routed. */
  plain: Member[];
  groups: Map<string, Member[]>;
}

class Model {
  readonly nodes: MeshNode[];
  readonly random: SeededRandom;
  readonly members: Member[] = [];
  readonly sent = new Map<string, Sent>();
  /** Messages that were refused, per node: nothing is published behind them. */
  readonly waiting: ({ subject: string; payload: string; serial: number } | null)[] = [null, null, null];
  readonly got: { member: Member; key: string }[] = [];
  step = 0;
  serial = 0;
  blocked = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.nodes = meshOf(THREADS, RING_BYTES, seed);
  }

  turn(node: number): void {
    this.step++;
    const { links } = this.nodes[node]!;
    links.drain();
    const { random } = this;
    if (!links.hasControlBacklog) this.retry(node);
    for (let count = random.below(12); count > 0; count--) {
      // A shard parses nothing while its interest waits for room in a ring.
      if (links.hasControlBacklog) break;
      const choice = random.below(12);
      if (choice === 0) this.subscribe(node);
      else if (choice === 1) this.unsubscribe(node);
      else if (this.waiting[node] === null) {
        const size = random.pick([10, 10, 500, 3000, 3900, 6000]);
        this.waiting[node] = {
          subject: random.pick(SUBJECTS),
          payload: 'x'.repeat(size),
          serial: this.serial++,
        };
        this.retry(node);
      }
    }
    links.publish();
  }

  /** A connection ends outside of a turn: nothing is drained before. */
  close(node: number): void {
    this.step++;
    this.unsubscribe(node);
    this.nodes[node]!.links.publish();
  }

  settle(): void {
    for (let round = 0; round < 50; round++) {
      for (const [node, { links }] of this.nodes.entries()) {
        this.step++;
        links.drain();
        if (!links.hasControlBacklog) this.retry(node);
        links.publish();
      }
    }
    expect(this.waiting).toEqual([null, null, null]);
    expect(this.nodes.every(({ links }) => links.isEmpty() && !links.hasControlBacklog)).toBe(true);
    this.collect();
  }

  subscribe(node: number): void {
    const { random } = this;
    if (this.living(node).length >= MAX_MEMBERS) return;
    const pattern = random.pick(PATTERNS);
    const queue = random.pick([null, 'q', 'r'.repeat(random.pick([1, 300]))]);
    const subscriber = new TestSubscriber();
    const sid = String(this.members.length);
    const subscription = this.nodes[node]!.rig.subscribe(subscriber, pattern, sid, queue);
    this.members.push({ node, subscriber, subscription, pattern, queue, endedAt: Number.POSITIVE_INFINITY });
  }

  living(node: number): Member[] {
    return this.members.filter((member) => member.node === node && !member.subscription.removed);
  }

  unsubscribe(node: number): void {
    const own = this.living(node);
    if (own.length === 0) return;
    const member = this.random.pick(own);
    member.endedAt = this.step;
    this.nodes[node]!.account.unsubscribe(member.subscription);
  }

  retry(node: number): void {
    const message = this.waiting[node];
    if (message === null || message === undefined) return;
    const { subject, payload, serial } = message;
    const key = `${node}:${serial}`;
    const able = this.members.filter(
      (member) => !member.subscription.removed && MATCHES[subject]!.includes(member.pattern),
    );
    const delivered = this.nodes[node]!.rig.publish({ subject, payload: `${key} ${payload}` });
    if (delivered === BLOCKED) {
      this.blocked++;
      return;
    }
    this.waiting[node] = null;
    const groups = new Map<string, Member[]>();
    for (const member of able) {
      if (member.queue !== null) groups.set(member.queue, [...(groups.get(member.queue) ?? []), member]);
    }
    const plain = able.filter(({ queue }) => queue === null);
    this.sent.set(key, { publisher: node, serial, subject, step: this.step, plain, groups });
  }

  collect(): void {
    for (const member of this.members) {
      const text = member.subscriber.received();
      for (const [, sid, size, key] of text.matchAll(/MSG [a-c.]+ (\d+) (\d+)\r\n(\d+:\d+) x+\r\n/g)) {
        expect([sid, Number(size) > 0]).toEqual([member.subscription.sid, true]);
        this.got.push({ member, key: key! });
      }
      // Everything was one of those messages.
      expect(text.replaceAll(/MSG [a-c.]+ \d+ \d+\r\n\d+:\d+ x+\r\n/g, '')).toBe('');
    }
  }
}

/**
 * No subscription was told anything twice or in another order than its publisher sent it. Queue messages that had to find
 * another member come by a longer way, so where there are some only plain subscriptions are looked at.
 */
function checkOrder(model: Model, plainOnly: boolean): void {
  const last = new Map<string, number>();
  for (const { member, key } of model.got) {
    if (plainOnly && member.queue !== null) continue;
    const { publisher, serial } = model.sent.get(key)!;
    const pair = `${publisher} to ${member.subscription.sid}`;
    expect(serial, `${key} for ${pair}`).toBeGreaterThan(last.get(pair) ?? -1);
    last.set(pair, serial);
  }
}

/** @param lastFlight steps after which a message can no longer have been on its way */
function checkDelivery(model: Model, lastFlight: (sent: Sent) => number): void {
  const receivers = new Map<string, Set<Member>>();
  for (const { member, key } of model.got) {
    const set = receivers.get(key) ?? new Set();
    set.add(member);
    receivers.set(key, set);
  }
  for (const [key, sent] of model.sent) {
    const got = receivers.get(key) ?? new Set<Member>();
    const stayed = (member: Member): boolean => member.endedAt > lastFlight(sent);
    for (const member of sent.plain)
      if (stayed(member)) expect(got.has(member), `${key} for ${member.subscription.sid}`).toBe(true);
    for (const [queue, members] of sent.groups) {
      const count = [...got].filter((member) => member.queue === queue).length;
      expect(count, `${key} in ${queue}`).toBeLessThanOrEqual(1);
      if (members.some(stayed)) expect(count, `${key} in ${queue}`).toBe(1);
    }
    for (const member of got) {
      const known = member.queue === null ? sent.plain : (sent.groups.get(member.queue) ?? []);
      // A queue message that lost its member may go to one that came later; nothing else goes to a newcomer.
      if (member.queue === null) expect(known.includes(member), `${key} for a newcomer`).toBe(true);
      expect(MATCHES[sent.subject]).toContain(member.pattern);
    }
  }
}

describe.each([1, 2, 3, 4])('seed %i', (seed) => {
  test('without closing connections every message goes to exactly the subscriptions of its time', () => {
    const model = new Model(seed);
    for (let step = 0; step < 900; step++) model.turn(model.random.below(THREADS));
    model.settle();
    expect(model.blocked).toBeGreaterThan(20);
    expect(model.sent.size).toBeGreaterThan(500);
    checkOrder(model, false);
    checkDelivery(model, ({ step }) => step);
  });

  test('closing connections lose their own messages at most, and a queue message finds another member', () => {
    const model = new Model(seed + 100);
    for (let step = 0; step < 900; step++) {
      if (model.random.below(6) === 0) model.close(model.random.below(THREADS));
      else model.turn(model.random.below(THREADS));
    }
    model.settle();
    checkOrder(model, true);
    // Forwarded and put-off messages are on their way for some turns of each thread.
    checkDelivery(model, ({ step }) => step + 60);
  });
});
