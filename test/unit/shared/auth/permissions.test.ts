import { describe, expect, test } from 'vitest';
import { PermissionSet } from '../../../../src/shared/auth/permissions.ts';
import type { Permissions, SubjectPermission } from '../../../../src/shared/base/options.ts';

function lists(allow: string[] | null, deny: string[] | null = null): SubjectPermission {
  return { allow, deny };
}

function publish(allow: string[] | null, deny: string[] | null = null): PermissionSet {
  return new PermissionSet({ publish: lists(allow, deny), subscribe: null, responses: null }, 0);
}

function subscribe(allow: string[] | null, deny: string[] | null = null): PermissionSet {
  return new PermissionSet({ publish: null, subscribe: lists(allow, deny), responses: null }, 0);
}

/** `"subject"` or `"subject queue"`. */
function maySubscribe(set: PermissionSet, subscription: string): boolean {
  const [subject = '', queue = null] = subscription.split(' ');
  return set.canSubscribe(subject, queue);
}

test('without lists everything is allowed', () => {
  const nothing: Permissions = { publish: null, subscribe: null, responses: null };
  const set = new PermissionSet(nothing, 7);
  expect(set.id).toBe(7);
  expect(set.permissions).toBe(nothing);
  expect(set.canPublish('a')).toBe(true);
  expect(set.canPublish('a..b')).toBe(true);
  expect(set.canSubscribe('>', null)).toBe(true);
  expect(set.canSubscribe('>', 'q')).toBe(true);
  expect(set.hasDeliveryFilter).toBe(false);
  expect(set.deniesDelivery('a', null)).toBe(false);
});

// Observed on nats-server 2.15.1.
describe('publishing', () => {
  const set = publish(['p.*', 'x.>'], ['p.d', 'x.*.d']);

  test.each(['p.a', 'p.*', 'p.>', 'x.a', 'x.*', 'x.>', 'x.a.b.c'])('%j is allowed', (subject) => {
    expect(set.canPublish(subject)).toBe(true);
  });

  test.each(['p.d', 'p.a.b', 'x.a.d', 'x.*.d', 'x..d', 'p', '>', ''])('%j is not allowed', (subject) => {
    expect(set.canPublish(subject)).toBe(false);
  });

  test('a deny list alone allows the rest', () => {
    expect(publish(null, ['d.>']).canPublish('d.a')).toBe(false);
    expect(publish(null, ['d.>']).canPublish('d')).toBe(true);
  });

  test('an empty allow list allows nothing', () => {
    expect(publish([]).canPublish('a')).toBe(false);
  });

  test('entries and subjects meet in wire form', () => {
    const wire = Buffer.from('é.x').toString('latin1');
    expect(publish(['é.*']).canPublish(wire)).toBe(true);
    expect(publish(['é.*']).canPublish('é.x')).toBe(false);
  });
});

describe('responses', () => {
  const responses = { maxMsgs: 1, expiresMs: 1000 };

  test('leave nothing else to publish to, unless a list does', () => {
    expect(new PermissionSet({ publish: null, subscribe: null, responses }, 0).canPublish('a')).toBe(false);
    const denyOnly = new PermissionSet({ publish: lists(null, ['d']), subscribe: null, responses }, 0);
    expect(denyOnly.canPublish('a')).toBe(false);
    const listed = new PermissionSet({ publish: lists(['z']), subscribe: null, responses }, 0);
    expect(listed.canPublish('z')).toBe(true);
    expect(listed.canPublish('a')).toBe(false);
    expect(listed.responses).toBe(responses);
  });
});

describe('subscribing', () => {
  const allowing = subscribe(['foo.*', 'w.>', 'l']);

  test.each([
    'foo.a',
    'foo.*',
    'w.>',
    'w.*',
    'w.a.>',
    'l',
    'foo.a q',
    'l q',
  ])('%j is allowed', (subscription) => {
    expect(maySubscribe(allowing, subscription)).toBe(true);
  });

  // The first is more than what is allowed, although nats-server lets it pass.
  test.each(['foo.>', '>', '*', '*.*', 'foo', 'l.x', 'w'])('%j is not allowed', (subscription) => {
    expect(maySubscribe(allowing, subscription)).toBe(false);
  });

  const queues = subscribe(['bar v1', 'foo', 'two', 'two v1', 'q.* grp.*', 'wild v*', 'n >']);

  // Observed on nats-server 2.15.1.
  test.each([
    ['bar', false],
    ['bar v1', true],
    ['bar v2', false],
    ['foo', true],
    ['foo any', true],
    ['two', true],
    ['two v1', true],
    ['two v2', false],
    ['q.x', false],
    ['q.x grp.1', true],
    ['q.x grp.1.2', false],
    ['q.x grp.*', true],
    ['q.x grp.>', false],
    ['q.* grp.1', true],
    ['wild v*', true],
    ['wild v1', false],
    ['n a', true],
    ['n a.b', true],
    ['n a..b', true],
    ['n', false],
  ])('%j with queue entries: %s', (subscription, expected) => {
    expect(maySubscribe(queues, subscription)).toBe(expected);
  });

  const denying = subscribe(null, ['w.q dq', 'w.p', 'w.z', 'w.z dz', 's.*.x', 't grp.*', 'u grp.>']);

  // Observed on nats-server 2.15.1.
  test.each([
    ['w.q', true],
    ['w.q dq', false],
    ['w.q zz', true],
    ['w.p', false],
    ['w.p q', false],
    ['w.z dz', false],
    ['w.z other', false],
    ['s.*.x', false],
    ['s.a.x', false],
    ['s.>', true],
    ['s.*.*', true],
    ['t grp.1', false],
    ['t grp', true],
    ['u grp.a..b', false],
    ['w.> dq', true],
    ['>', true],
  ])('%j with denials: %s', (subscription, expected) => {
    expect(maySubscribe(denying, subscription)).toBe(expected);
  });

  test('a wildcard that reaches beyond a denied one is denied as text', () => {
    expect(subscribe(null, ['foo.*']).canSubscribe('foo.>', null)).toBe(false);
  });

  test('denials override', () => {
    const set = subscribe(['foo.>'], ['foo.*.bar']);
    expect(set.canSubscribe('foo.a', null)).toBe(true);
    expect(set.canSubscribe('foo.*.bar', null)).toBe(false);
    expect(set.canSubscribe('foo.a.bar', null)).toBe(false);
    expect(set.canSubscribe('foo.*.*', null)).toBe(true);
  });

  // Observed on nats-server 2.15.1: what is left of four messages, by queue of a subscription to `w.>`.
  test.each([
    [null, ['w.q', 'w.k']],
    ['dq', ['w.k']],
    ['dz', ['w.q', 'w.k']],
    ['other', ['w.q', 'w.k']],
  ])('messages are kept from queue %j', (queue, expected) => {
    expect(denying.hasDeliveryFilter).toBe(true);
    const delivered = ['w.q', 'w.p', 'w.z', 'w.k'].filter(
      (subject) => !denying.deniesDelivery(subject, queue),
    );
    expect(delivered).toEqual(expected);
    const again = ['w.q', 'w.p', 'w.z', 'w.k'].filter((subject) => !denying.deniesDelivery(subject, queue));
    expect(again).toEqual(expected);
  });

  test('the memory of the delivery filter does not change its answers', () => {
    for (let at = 0; at < 1000; at++) {
      expect(denying.deniesDelivery(`s.${at}.x`, null)).toBe(true);
      expect(denying.deniesDelivery(`s.${at}.y`, null)).toBe(false);
    }
    expect(denying.deniesDelivery('s.0.x', null)).toBe(true);
  });
});

describe('MQTT', () => {
  const set = new PermissionSet(
    { publish: lists(['a']), subscribe: lists(['a'], ['$MQTT.sub.denied']), responses: null },
    0,
  );

  test('sessions have subscriptions that no list allows', () => {
    expect(set.canSubscribe('$MQTT.sub.x', null, 'mqtt')).toBe(true);
    expect(set.canSubscribe('$MQTT.deliver.pubrel.x', null, 'mqtt')).toBe(true);
    expect(set.canSubscribe('$MQTT.msgs.x', null, 'mqtt')).toBe(false);
    expect(set.canSubscribe('$MQTT.sub.x', null)).toBe(false);
  });

  test('a denial holds for them', () => {
    expect(set.canSubscribe('$MQTT.sub.denied', null, 'mqtt')).toBe(false);
    expect(set.canSubscribe('$MQTT.sub.denied', null, 'peer')).toBe(false);
  });

  test('peers may pass on all of it', () => {
    expect(set.canSubscribe('$MQTT.msgs.x', null, 'peer')).toBe(true);
    expect(set.canPublish('$MQTT.msgs.x', 'peer')).toBe(true);
    expect(set.canPublish('$MQTT.msgs.x')).toBe(false);
  });
});

test.each(['', 'a..b', 'a b c', '>.a'])('an entry %j is a programming error', (entry) => {
  expect(() => publish([entry])).toThrow('permissions:');
  expect(() => subscribe(null, [entry])).toThrow('permissions:');
});
