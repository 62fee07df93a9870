import { describe, expect, test } from 'vitest';
import { PermissionSet } from '../../../../src/shared/auth/permissions.ts';
import { hashLatin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import {
  ROUTE_CACHE_MAX_ENTRIES,
  ROUTE_CACHE_MAX_PROBES,
  ROUTE_CACHE_MAX_SUBJECT_BYTES,
} from '../../../../src/shared/base/limits.ts';
import { Route, RouteCache } from '../../../../src/shared/broker/route.ts';

function routeFor(subject: string): Route {
  return new Route(subject, hashLatin1(subject), 0);
}

function find(cache: RouteCache, subject: string): Route | null {
  const bytes = latin1Bytes(`##${subject}##`);
  return cache.find(hashLatin1(subject), bytes, 2, 2 + subject.length);
}

/** Different subjects of one hash: `Aa` and `BB` are worth the same in base 31. */
function colliding(count: number): string[] {
  const bits = Math.ceil(Math.log2(count));
  return Array.from({ length: count }, (_, index) =>
    Array.from({ length: bits }, (_unused, bit) => ((index >> bit) & 1 ? 'Aa' : 'BB')).join(''),
  );
}

describe('route', () => {
  test('remembers what a permission set allows, for each set', () => {
    const route = routeFor('foo.bar');
    const sets = [0, 1, 2, 30].map(
      (id) =>
        new PermissionSet(
          {
            publish: { allow: null, deny: id % 2 === 0 ? [] : ['foo.*'] },
            subscribe: null,
            responses: null,
          },
          id,
        ),
    );
    for (const round of [1, 2]) {
      expect(
        sets.map((set) => route.permits(set)),
        `round ${round}`,
      ).toEqual([true, false, true, true]);
    }
  });

  test.each([
    ['_GR_.x', true],
    ['_GR_.', true],
    ['$NRG.x', true],
    ['$NRG', false],
    ['_R_.x', false],
    ['foo', false],
  ])('%s is reserved: %s', (subject, reserved) => {
    expect(routeFor(subject).reserved).toBe(reserved);
  });

  test('matches its own bytes at any offset, and no others', () => {
    const route = routeFor('foo.bar');
    expect(route.matches(latin1Bytes('xfoo.bar'), 1, 8)).toBe(true);
    expect(route.matches(latin1Bytes('foo.bar'), 0, 6)).toBe(false);
    expect(route.matches(latin1Bytes('foo.bax'), 0, 7)).toBe(false);
  });
});

describe('cache', () => {
  test('finds what was added, through growth', () => {
    const cache = new RouteCache();
    const routes = Array.from({ length: 3000 }, (_, index) => routeFor(`subject.${index}`));
    for (const route of routes) expect(cache.add(route)).toBe(true);
    expect(cache.count).toBe(3000);
    for (const route of routes) expect(find(cache, route.subject)).toBe(route);
    expect(cache.hits).toBe(3000);
    expect(find(cache, 'subject.3000')).toBeNull();
    expect(cache.hits).toBe(3000);
  });

  test('a stale route is replaced in its place and dropped by growth', () => {
    const cache = new RouteCache();
    const first = routeFor('foo');
    cache.add(first);
    cache.invalidate('foo', hashLatin1('foo'));
    expect([first.stale, find(cache, 'foo')]).toEqual([true, first]);
    const second = routeFor('foo');
    cache.add(second);
    expect([find(cache, 'foo') === second, cache.count]).toEqual([true, 1]);
    cache.invalidate('foo', hashLatin1('foo'));
    for (let index = 0; index < 100; index++) cache.add(routeFor(`other.${index}`));
    expect([find(cache, 'foo'), cache.count]).toEqual([null, 100]);
  });

  test('invalidating what is not there does nothing', () => {
    const cache = new RouteCache();
    cache.invalidate('foo', hashLatin1('foo'));
    const route = routeFor('foo');
    cache.add(route);
    cache.invalidate('bar', hashLatin1('bar'));
    expect(route.stale).toBe(false);
  });

  test('lists the routes that are valid', () => {
    const cache = new RouteCache();
    for (const subject of ['a', 'b', 'c']) cache.add(routeFor(subject));
    cache.invalidate('b', hashLatin1('b'));
    const subjects: string[] = [];
    cache.forEach(({ subject }) => {
      subjects.push(subject);
    });
    expect(subjects.sort()).toEqual(['a', 'c']);
  });

  test('is full at a number of entries and at a number of bytes, and empty once cleared', () => {
    const many = new RouteCache();
    for (let index = 0; index < ROUTE_CACHE_MAX_ENTRIES; index++)
      expect(many.add(routeFor(`s.${index * 7919}`))).toBe(true);
    expect(many.add(routeFor('one.more'))).toBe(false);
    const long = new RouteCache();
    let added = 0;
    while (long.add(routeFor(`${added}.${'x'.repeat(4000)}`))) added++;
    expect(added * 4000).toBeLessThanOrEqual(ROUTE_CACHE_MAX_SUBJECT_BYTES);
    expect(added).toBeGreaterThan(200);
    for (const cache of [many, long]) {
      cache.clear();
      expect([cache.count, cache.add(routeFor('again')), find(cache, 'again')?.subject]).toEqual([
        0,
        true,
        'again',
      ]);
    }
  });

  test('subjects of one hash are told apart, and only so many of them are kept', () => {
    const cache = new RouteCache();
    const subjects = colliding(4096);
    expect(new Set(subjects.map(hashLatin1)).size).toBe(1);
    const routes = subjects.map(routeFor);
    for (const route of routes) expect(cache.add(route)).toBe(true);
    expect(cache.count).toBe(ROUTE_CACHE_MAX_PROBES);
    for (const route of routes) {
      const found = find(cache, route.subject);
      expect(found === null ? route.stale : found === route && !route.stale).toBe(true);
    }
    expect(routes.filter((route) => !route.stale)).toHaveLength(ROUTE_CACHE_MAX_PROBES);
  });
});
