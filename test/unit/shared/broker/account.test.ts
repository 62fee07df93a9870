import { beforeEach, describe, expect, test } from 'vitest';
import { ROUTE_CACHE_MAX_ENTRIES } from '../../../../src/shared/base/limits.ts';
import type { Account } from '../../../../src/shared/broker/account.ts';
import type { Route } from '../../../../src/shared/broker/route.ts';
import { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { TestSubscriber, testAccount } from './delivery-rig.ts';

const subscriber = new TestSubscriber();

function subscription(subject: string, queue: string | null = null): Subscription {
  return new Subscription(subscriber, subject, queue, '1');
}

/** Destinations of a route, as text. */
function describeRoute({ plain, threads, groups, onlyPlain, hasThreads }: Route): unknown {
  return {
    plain: plain.map(({ subject }) => subject).sort(),
    threads: [...threads].sort(),
    groups: groups
      .map(({ name, locals, threads: members, weights, total }) => ({
        name,
        locals: locals.length,
        remote: members.map((thread, index) => `${thread}×${weights[index]}`).sort(),
        total,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    onlyPlain,
    hasThreads,
  };
}

const NOTHING = { plain: [], threads: [], groups: [], onlyPlain: true, hasThreads: false };

/** The route of a subject that was looked up before, which is when it is kept. */
function keptRoute(account: Account, subject: string): Route {
  account.routeOf(subject);
  return account.routeOf(subject);
}

describe('routes', () => {
  let account: Account;
  beforeEach(() => {
    account = testAccount();
  });

  test('are used once, kept from the second look-up on, and found again', () => {
    account.subscribe(subscription('foo'));
    const once = account.routeOf('foo');
    expect(describeRoute(once)).toEqual({ ...NOTHING, plain: ['foo'] });
    expect([once.stale, account.routes.count]).toEqual([true, 0]);
    const route = account.routeOf('foo');
    expect(describeRoute(route)).toEqual({ ...NOTHING, plain: ['foo'] });
    expect([route.stale, account.routes.count]).toEqual([false, 1]);
    expect(account.routeOf('foo')).toBe(route);
    expect(account.sublist.matches).toBe(2);
  });

  test('a literal subscription ends the route of its subject and no other', () => {
    const [foo, bar] = [keptRoute(account, 'foo'), keptRoute(account, 'bar')];
    const added = subscription('foo');
    account.subscribe(added);
    expect([foo.stale, bar.stale, account.routeOf('bar') === bar]).toEqual([true, false, true]);
    const withFoo = keptRoute(account, 'foo');
    expect(describeRoute(withFoo)).toEqual({ ...NOTHING, plain: ['foo'] });
    account.unsubscribe(added);
    expect(withFoo.stale).toBe(true);
    expect(describeRoute(account.routeOf('foo'))).toEqual(NOTHING);
  });

  test.each(['foo.*', '>', 'foo.>', '*.bar'])('%s ends the generation', (pattern) => {
    const before = account.routeOf('foo.bar');
    const added = subscription(pattern);
    account.subscribe(added);
    expect(before.generation).not.toBe(account.generation);
    const route = account.routeOf('foo.bar');
    expect([route.generation === account.generation, route.plain]).toEqual([true, [added]]);
    account.unsubscribe(added);
    expect(route.generation).not.toBe(account.generation);
    expect(account.routeOf('foo.bar').plain).toEqual([]);
  });

  test.each(['foo*', 'f>o', 'foo.b*r'])('%s is literal', (subject) => {
    const other = keptRoute(account, 'other');
    account.subscribe(subscription(subject));
    expect(account.routeOf('other')).toBe(other);
    expect(account.routeOf(subject).plain).toHaveLength(1);
  });

  test('the cache overflows into a new generation', () => {
    account.subscribe(subscription('s.5'));
    const first = keptRoute(account, 's.5');
    for (let index = 0; index < ROUTE_CACHE_MAX_ENTRIES + 10; index++) keptRoute(account, `s.${index}`);
    expect(first.generation).not.toBe(account.generation);
    expect(account.routes.count).toBeLessThan(20);
    expect(account.routeOf('s.5').plain).toHaveLength(1);
  });

  test('without the cache every look-up matches anew, and nothing is remembered', () => {
    const uncached = testAccount(null, false);
    uncached.subscribe(subscription('foo'));
    const route = uncached.routeOf('foo');
    expect([route.stale, uncached.routes.count, uncached.routeOf('foo') === route]).toEqual([true, 0, false]);
  });

  test('a denied subscription is left out of the route', () => {
    const picky = new TestSubscriber();
    picky.denies = (subject, queue) => subject === 'a.secret' || queue === 'no';
    account.subscribe(new Subscription(picky, 'a.*', null, '1'));
    account.subscribe(new Subscription(picky, 'a.*', 'no', '2'));
    account.subscribe(new Subscription(picky, 'a.*', 'yes', '3'));
    expect(account.routeOf('a.secret').plain).toEqual([]);
    expect(account.routeOf('a.secret').groups).toEqual([]);
    const open = account.routeOf('a.open');
    expect(open.plain).toHaveLength(1);
    expect(open.groups.map(({ name }) => name)).toEqual(['yes']);
  });
});

describe('subscriptions', () => {
  test('an invalid subject is refused and changes nothing', () => {
    const account = testAccount();
    const route = keptRoute(account, 'foo');
    for (const subject of ['', '.', 'a..b', 'a.>.b', '.a', 'a.'])
      expect(account.subscribe(subscription(subject)), subject).toBe(false);
    expect([account.localSubscriptions, account.routeOf('foo')]).toEqual([0, route]);
  });

  test('ending one twice counts once', () => {
    const account = testAccount();
    const added = subscription('foo');
    account.subscribe(added);
    expect([account.unsubscribe(added), account.unsubscribe(added)]).toEqual([true, false]);
    expect([account.localSubscriptions, added.removed]).toEqual([0, true]);
  });
});

describe('announcements', () => {
  let told: string[];
  let account: Account;
  beforeEach(() => {
    told = [];
    account = testAccount(
      {
        announceInterest: (index, subject, queue, weight) => {
          told.push(`${index} ${subject} ${queue} ${weight}`);
        },
      },
      true,
      7,
    );
  });

  test('of a plain subject only the first and the last', () => {
    const three = [subscription('foo'), subscription('foo'), subscription('foo')];
    for (const each of three) account.subscribe(each);
    for (const each of three) account.unsubscribe(each);
    account.subscribe(subscription('foo'));
    expect(told).toEqual(['7 foo null 1', '7 foo null 0', '7 foo null 1']);
  });

  test('of a queue group every change', () => {
    const two = [subscription('foo', 'q'), subscription('foo', 'q')];
    for (const each of two) account.subscribe(each);
    for (const each of two) account.unsubscribe(each);
    expect(told).toEqual(['7 foo q 1', '7 foo q 2', '7 foo q 1', '7 foo q 0']);
  });

  test('a refused subscription is not announced', () => {
    account.subscribe(subscription('a..b'));
    expect(told).toEqual([]);
  });

  test('a thread that joins late is told what stands', () => {
    const ended = subscription('gone');
    for (const each of [ended, subscription('foo'), subscription('foo'), subscription('foo', 'q')])
      account.subscribe(each);
    account.unsubscribe(ended);
    const interest: string[] = [];
    account.forEachLocalInterest((subject, queue, weight) => interest.push(`${subject} ${queue} ${weight}`));
    expect(interest.sort()).toEqual(['foo null 2', 'foo q 1']);
  });
});

describe('interest of other threads', () => {
  let account: Account;
  beforeEach(() => {
    account = testAccount();
  });

  test('makes threads destinations, each once', () => {
    account.setThreadInterest(2, 'foo', null, 1);
    account.setThreadInterest(2, '>', null, 1);
    account.setThreadInterest(3, 'f*', null, 1);
    account.setThreadInterest(3, '*', null, 1);
    expect(describeRoute(account.routeOf('foo'))).toEqual({
      ...NOTHING,
      threads: [2, 3],
      onlyPlain: false,
      hasThreads: true,
    });
    account.setThreadInterest(3, '*', null, 0);
    expect(account.routeOf('foo').threads).toEqual([2]);
  });

  test('adds weights to groups, over all subjects', () => {
    account.subscribe(subscription('foo', 'q'));
    account.setThreadInterest(1, 'foo', 'q', 3);
    account.setThreadInterest(1, '*', 'q', 1);
    account.setThreadInterest(2, 'foo', 'q', 2);
    account.setThreadInterest(2, 'foo', 'r', 2);
    const expected = {
      ...NOTHING,
      groups: [
        { name: 'q', locals: 1, remote: ['1×4', '2×2'], total: 7 },
        { name: 'r', locals: 0, remote: ['2×2'], total: 2 },
      ],
      onlyPlain: false,
      hasThreads: true,
    };
    expect(describeRoute(account.routeOf('foo'))).toEqual(expected);
    account.setThreadInterest(1, 'foo', 'q', 1);
    expect(account.routeOf('foo').groups.find(({ name }) => name === 'q')?.total).toBe(5);
    account.setThreadInterest(1, 'foo', 'q', 0);
    account.setThreadInterest(1, '*', 'q', 0);
    account.setThreadInterest(2, 'foo', 'q', 0);
    account.setThreadInterest(2, 'foo', 'r', 0);
    expect(describeRoute(account.routeOf('foo'))).toEqual({
      ...NOTHING,
      groups: [{ name: 'q', locals: 1, remote: [], total: 1 }],
      onlyPlain: false,
    });
  });

  test('is not counted as a subscription, nor announced', () => {
    account.setThreadInterest(1, 'foo', null, 1);
    expect([account.localSubscriptions, account.sublist.count]).toEqual([0, 1]);
  });

  test('ending what never was, and subjects nobody can subscribe to', () => {
    account.setThreadInterest(1, 'foo', null, 0);
    account.setThreadInterest(1, 'a..b', null, 1);
    expect(account.sublist.count).toBe(0);
  });

  test('is forgotten with its thread', () => {
    account.subscribe(subscription('foo'));
    account.setThreadInterest(1, 'foo', null, 1);
    account.setThreadInterest(1, '*', 'q', 2);
    account.setThreadInterest(2, 'foo', null, 1);
    const before = account.routeOf('foo');
    account.dropThread(1);
    account.dropThread(1);
    expect(before.generation).not.toBe(account.generation);
    const route = account.routeOf('foo');
    expect([route.threads, route.groups, route.plain.length]).toEqual([[2], [], 1]);
    account.setThreadInterest(1, 'foo', null, 1);
    expect(account.routeOf('foo').threads.sort()).toEqual([1, 2]);
  });
});
