import { expect, test } from 'vitest';
import { PermissionSet } from '../../../../src/shared/auth/permissions.ts';
import { hashLatin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import type { Account } from '../../../../src/shared/broker/account.ts';
import type { Route } from '../../../../src/shared/broker/route.ts';
import { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { TestSubscriber, testAccount } from './delivery-rig.ts';

function find(account: Account, subject: string): Route {
  const bytes = latin1Bytes(subject);
  return account.route(hashLatin1(subject), bytes, 0, bytes.length);
}

/** What a route leads to, as text. */
function destinations(route: Route): string {
  const groups = route.groups.map(({ name, locals, threads, weights }) => [
    name,
    locals.map(({ sid }) => sid).sort(),
    threads.map((thread, i) => `${thread}x${weights[i]}`).sort(),
  ]);
  return JSON.stringify([
    route.subject,
    Buffer.from(route.head.subarray(0, route.headBytes)).toString('latin1'),
    route.plain.map(({ sid }) => sid).sort(),
    [...route.threads].sort(),
    groups.sort(),
  ]);
}

const PATTERNS = [
  'in.a.*',
  'in.*.*',
  'in.a.7',
  'in.>',
  'in.a',
  '*.a.*',
  'in.a.*.x',
  '$JS.ACK.S.*.*.*',
  '$JS.ACK.*.h.S.>',
  '$JS.ACK.S.c.1.*',
  '$JS.ACK.S.c.>',
  '$JS.ACK.S.c.2.3',
  '$JS.ACK.>',
  '>',
];

const DENIED = [['out.>'], ['in.a.*', 'in.b.4'], ['$JS.ACK.S.c.>']];
const FILTERS = ['', '["out.>"]', '["in.a.>", "$JS.ACK.S.*.1.*"]'];

test(
  'whatever changes, members of a family have the routes they would have by themselves',
  {
    timeout: 180_000,
  },
  () => {
    const random = new Prng(11);
    for (let run = 0; run < 60; run++) {
      const account = testAccount();
      const held: Subscription[] = [];
      for (let step = 0; step < 200; step++) {
        const subject = PATTERNS[random.below(PATTERNS.length)]!;
        const queue = random.below(4) === 0 ? 'q' : null;
        switch (random.below(4)) {
          case 0: {
            const subscriber =
              random.below(3) > 0 ? new TestSubscriber() : denying(...DENIED[random.below(3)]!);
            const added = new Subscription(subscriber, subject, queue, `s${step}`);
            account.subscribe(added);
            held.push(added);
            break;
          }
          case 1:
            if (held.length > 0) account.unsubscribe(held.splice(random.below(held.length), 1)[0]!);
            break;
          case 2:
            account.setThreadInterest(
              1 + random.below(2),
              subject,
              queue,
              random.below(3),
              FILTERS[random.below(3)],
            );
            break;
          default:
        }
        for (let i = 0; i < 4; i++) {
          const n = random.below(1000);
          for (const asked of [
            `in.a.${n}`,
            `in.b.${n}`,
            `$JS.ACK.S.c.${n % 3}.${n}`,
            `$JS.ACK.S.h.S.${n}`,
            `in.a..${n}`,
          ]) {
            const expected = destinations(account.prepareRoute(asked, hashLatin1(asked), false));
            expect(destinations(find(account, asked))).toBe(expected);
          }
        }
      }
    }
  },
);

test('a member is looked up without searching the subscriptions', () => {
  const account = testAccount();
  account.subscribe(new Subscription(new TestSubscriber(), '_INBOX.x.*', null, '1'));
  for (let n = 0; n < 3; n++) find(account, `_INBOX.x.${n}`);
  const searches = account.sublist.matches;
  for (let n = 3; n < 100; n++) expect(find(account, `_INBOX.x.${n}`).plain.length).toBe(1);
  expect(account.sublist.matches).toBe(searches);
});

test('two members can be used side by side', () => {
  const account = testAccount();
  account.subscribe(new Subscription(new TestSubscriber(), 'in.*', null, '1'));
  for (let n = 0; n < 3; n++) find(account, `in.${n}`);
  const first = find(account, 'in.first');
  const second = find(account, 'in.second');
  expect([first.subject, second.subject]).toEqual(['in.first', 'in.second']);
});

test('a member has no MQTT topic of the one before', () => {
  const account = testAccount();
  account.subscribe(new Subscription(new TestSubscriber(), 'in.*', null, '1'));
  const seen = new Set<Route>();
  for (let n = 0; n < 10; n++) {
    const route = find(account, `in.${n}`);
    expect(route.mqttTopic).toBeNull();
    route.mqttTopic = latin1Bytes(`in/${n}`);
    seen.add(route);
  }
  // Otherwise none of them was used again.
  expect(seen.size).toBeLessThan(10);
});

/** A subscriber that may not be given what matches an entry. */
function denying(...deny: string[]): TestSubscriber {
  const permissions = new PermissionSet(
    { publish: null, subscribe: { allow: null, deny }, responses: null },
    0,
  );
  const subscriber = new TestSubscriber();
  subscriber.denies = (subject, queue) => permissions.deniesDelivery(subject, queue);
  return Object.assign(subscriber, { deniesSome: (pattern: string) => permissions.deniesSome(pattern) });
}

test('where a subscriber may not have all of it there is no family', () => {
  const account = testAccount();
  account.subscribe(new Subscription(denying('in.a.7'), 'in.a.*', null, '1'));
  const counts = [1, 2, 3, 7, 8].map((n) => find(account, `in.a.${n}`).plain.length);
  expect(counts).toEqual([1, 1, 1, 0, 1]);
});

test('deny rules about other subjects leave a family alone', () => {
  const account = testAccount();
  account.subscribe(new Subscription(denying('in.b.*', 'out.>', 'in.a'), 'in.a.*', null, '1'));
  account.setThreadInterest(1, 'in.a.*', 'q', 2, '["in.b.>"]');
  for (let n = 0; n < 3; n++) find(account, `in.a.${n}`);
  const searches = account.sublist.matches;
  for (let n = 3; n < 50; n++) expect(find(account, `in.a.${n}`).plain.length).toBe(1);
  expect(account.sublist.matches).toBe(searches);
});
