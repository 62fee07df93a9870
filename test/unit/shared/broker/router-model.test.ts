import { describe, expect, test } from 'vitest';
import type { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { frameOf, Rig, TestSubscriber, tailOf, testAccount } from './delivery-rig.ts';

/**
 * Random subscribing, unsubscribing and publishing on one thread, against a model that walks all subscriptions for each
 * message and builds the bytes it should yield. The publisher keeps routes as the line memo does, and uses them by the same
 * rule, so a route that should have been invalid shows.
 */

const PATTERNS = ['a', 'b', 'a.b', 'a.*', '*.b', '*', '>', 'a.>', 'b.*.c', 'a.b.c', 'a.b*'];
const SUBJECTS = ['a', 'b', 'a.b', 'b.b', 'a.b.c', 'b.x.c', 'c', 'a.b*', 'a.*', 'a..b'];
const HEADERS = 'NATS/1.0\r\nK: v\r\n\r\n';

interface Entry {
  subscription: Subscription;
  subscriber: TestSubscriber;
}

function matches(pattern: string, subject: string): boolean {
  const [want, have] = [pattern.split('.'), subject.split('.')];
  if (have.includes('')) return false;
  for (const [index, token] of want.entries()) {
    if (token === '>' && index === want.length - 1) return have.length > index;
    if (have[index] === undefined || (token !== '*' && token !== have[index])) return false;
  }
  return want.length === have.length;
}

function expectedText(
  entry: Entry,
  message: { subject: string; reply: string; headers?: string; payload: string },
): string {
  const { subject } = message;
  const { sid } = entry.subscription;
  if (message.headers === undefined || entry.subscriber.headers)
    return `${message.headers === undefined ? '' : 'H'}MSG ${subject} ${sid} ${tailOf(message)}`;
  return `MSG ${subject} ${sid} ${tailOf({ subject, reply: message.reply, payload: message.payload })}`;
}

describe.each([
  [true, 1],
  [true, 2],
  [true, 3],
  [false, 4],
])('routes cached: %s, seed %i', (cached, seed) => {
  test('everybody gets what the model says', () => {
    const random = seededRandom(seed);
    const rig = new Rig(seed, null, testAccount(null, cached));
    const subscribers = Array.from({ length: 6 }, (_, index) => {
      const subscriber = new TestSubscriber(`c${index}`);
      subscriber.headers = index % 2 === 0;
      subscriber.echo = index % 3 !== 0;
      if (index === 5) subscriber.denies = (subject, queue) => subject === 'a.b' || queue === 'q2';
      return subscriber;
    });
    let entries: Entry[] = [];
    const remembered = new Map<string, ReturnType<typeof rig.account.routeOf>>();
    let serial = 0;

    const publish = (): void => {
      const subject = random.pick(SUBJECTS);
      const publisher = random.pick([null, ...subscribers]);
      const message = {
        subject,
        reply: random.pick(['', '', 'r.1']),
        payload: String(serial++).padStart(random.pick([1, 8, 200]), '.'),
        ...(random.below(3) === 0 ? { headers: HEADERS } : {}),
      };
      const known = remembered.get(subject);
      const frame = frameOf(message);
      let route = known;
      if (route === undefined || route.stale || route.generation !== rig.account.generation) {
        route = rig.account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
        remembered.set(subject, route);
      }
      const able = entries.filter(
        ({ subscription, subscriber }) =>
          matches(subscription.subject, subject) &&
          !subscriber.denies(subject, subscription.queue) &&
          (subscriber !== publisher || subscriber.echo),
      );
      const plain = able.filter(({ subscription }) => subscription.queue === null);
      const groups = new Map<string, Entry[]>();
      for (const entry of able) {
        const { queue } = entry.subscription;
        if (queue !== null) groups.set(queue, [...(groups.get(queue) ?? []), entry]);
      }
      const delivered = rig.router.publish(rig.account, route, publisher, frame);
      expect(delivered).toBe(plain.length + groups.size);

      const got = new Map(subscribers.map((subscriber) => [subscriber, subscriber.received()]));
      const take = (entry: Entry): boolean => {
        const text = got.get(entry.subscriber)!;
        const wanted = expectedText(entry, message);
        if (!text.includes(wanted)) return false;
        got.set(entry.subscriber, text.replace(wanted, ''));
        return true;
      };
      for (const entry of plain) expect(take(entry)).toBe(true);
      for (const members of groups.values()) expect(members.filter((entry) => take(entry)).length).toBe(1);
      for (const text of got.values()) expect(text).toBe('');
      const ended = new Set(rig.ended.splice(0));
      for (const { subscription } of entries)
        expect(ended.has(subscription)).toBe(
          subscription.maxDeliveries > 0 && subscription.delivered === subscription.maxDeliveries,
        );
      entries = entries.filter(({ subscription }) => !ended.has(subscription));
    };

    for (let step = 0; step < 4000; step++) {
      const choice = random.below(10);
      if (choice === 0 && entries.length < 40) {
        const subscriber = random.pick(subscribers);
        const queue = random.pick([null, null, 'q1', 'q2']);
        const max = random.pick([0, 0, 0, 1, 3]);
        const subscription = rig.subscribe(subscriber, random.pick(PATTERNS), `s${step}.`, queue, max);
        entries.push({ subscription, subscriber });
      } else if (choice === 1 && entries.length > 0) {
        const [gone] = entries.splice(random.below(entries.length), 1);
        rig.account.unsubscribe(gone!.subscription);
      } else publish();
    }
    expect(rig.account.localSubscriptions).toBe(entries.length);
  });
});
