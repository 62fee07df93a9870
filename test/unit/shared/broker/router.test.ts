import { describe, expect, test } from 'vitest';
import { latin1 } from '../../../../src/shared/base/latin1.ts';
import {
  OUTPUT_CHUNK_BYTES,
  SCRATCH_KEEP_BYTES,
  SHARE_MIN_BYTES,
} from '../../../../src/shared/base/limits.ts';
import { frameOf, Rig, TestSubscriber, tailOf } from './delivery-rig.ts';

const BLOCK = 'NATS/1.0\r\nA: b\r\n\r\n';

function oneSubscriber(subject: string, sid = '1'): { rig: Rig; subscriber: TestSubscriber } {
  const rig = new Rig();
  const subscriber = new TestSubscriber();
  rig.subscribe(subscriber, subject, sid);
  return { rig, subscriber };
}

describe('delivered bytes', () => {
  test('MSG, with and without reply', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    expect(rig.publish({ subject: 'foo', payload: 'hello' })).toBe(1);
    expect(rig.publish({ subject: 'foo', reply: 'r', payload: '' })).toBe(1);
    expect(subscriber.received()).toBe('MSG foo 1 5\r\nhello\r\nMSG foo 1 r 0\r\n\r\n');
    expect([subscriber.outMsgs, subscriber.outBytes]).toEqual([2, 5]);
  });

  test('the size goes out as it was written', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    rig.publish({ subject: 'foo', payload: 'hello', sizes: '0005' });
    rig.publish({ subject: 'foo', headers: BLOCK, payload: 'x', sizes: '018 0019' });
    expect(subscriber.received()).toBe(`MSG foo 1 0005\r\nhello\r\nHMSG foo 1 018 0019\r\n${BLOCK}x\r\n`);
  });

  test('HMSG to those that take headers, MSG with the body alone to the others', () => {
    const rig = new Rig();
    const [modern, old] = [new TestSubscriber(), new TestSubscriber()];
    old.headers = false;
    rig.subscribe(modern, 'foo', '11');
    rig.subscribe(old, 'foo', '22');
    for (const reply of ['', 'inbox']) {
      for (const payload of ['', 'x', 'y'.repeat(700)]) {
        expect(rig.publish({ subject: 'foo', headers: BLOCK, reply, payload })).toBe(2);
        const between = reply === '' ? '' : `${reply} `;
        expect(modern.received()).toBe(
          `HMSG foo 11 ${between}${BLOCK.length} ${BLOCK.length + payload.length}\r\n${BLOCK}${payload}\r\n`,
        );
        expect(old.received()).toBe(`MSG foo 22 ${between}${payload.length}\r\n${payload}\r\n`);
      }
    }
    expect(modern.outBytes - old.outBytes).toBe(6 * BLOCK.length);
  });

  test('a header block of no bytes is no header', () => {
    for (const headers of [true, false]) {
      const { rig, subscriber } = oneSubscriber('foo');
      subscriber.headers = headers;
      rig.publish({ subject: 'foo', headers: '', payload: 'hello', sizes: '0 005' });
      rig.publish({ subject: 'foo', reply: 'r', headers: '', payload: 'hello', sizes: '000 5' });
      expect(subscriber.received()).toBe('MSG foo 1 005\r\nhello\r\nMSG foo 1 r 5\r\nhello\r\n');
    }
  });

  test('what was stripped of one message is not sent with the next', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    subscriber.headers = false;
    for (const size of [3, SCRATCH_KEEP_BYTES, 2, SCRATCH_KEEP_BYTES * 2, 1]) {
      const payload = String(size % 10).repeat(size);
      rig.publish({ subject: 'foo', headers: BLOCK, payload });
      expect(subscriber.received() === `MSG foo 1 ${size}\r\n${payload}\r\n`).toBe(true);
    }
  });

  test('every length of subject, sid and payload', () => {
    for (let length = 1; length <= 260; length++) {
      const subject = 'abcdefghijklmnop'.repeat(17).slice(0, 1 + (length % 67));
      const sid = '1234567'.repeat(40).slice(0, 1 + (length % 23));
      const { rig, subscriber } = oneSubscriber(subject, sid);
      const message = { subject, payload: 'qwertzuiop'.repeat(30).slice(0, length) };
      const expected = `MSG ${subject} ${sid} ${tailOf(message)}`;
      rig.publish(message);
      rig.publish(message);
      expect(subscriber.received()).toBe(expected + expected);
    }
  });

  test('bytes of any value in subject, sid and payload', () => {
    const odd = '\0\x01\x7f\x80\xff';
    const { rig, subscriber } = oneSubscriber(odd, odd);
    rig.publish({ subject: odd, reply: odd, payload: `${odd}\r\n ` });
    expect(subscriber.received()).toBe(`MSG ${odd} ${odd} ${odd} 8\r\n${odd}\r\n \r\n`);
  });

  test('messages of every size around a chunk, one behind the other', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    const half = OUTPUT_CHUNK_BYTES / 2;
    let expected = '';
    for (const size of [
      half - 40,
      half,
      half + 1,
      OUTPUT_CHUNK_BYTES,
      10,
      OUTPUT_CHUNK_BYTES * 2 + 3,
      0,
      500,
    ]) {
      const message = { subject: 'foo', payload: `${size} `.repeat(size).slice(0, size) };
      rig.publish(message);
      expected += `MSG foo 1 ${tailOf(message)}`;
    }
    expect(subscriber.received() === expected).toBe(true);
  });
});

describe('large payloads', () => {
  test('are handed on by reference when their memory may be kept', () => {
    const rig = new Rig();
    const subscribers = [new TestSubscriber(), new TestSubscriber()];
    for (const subscriber of subscribers) rig.subscribe(subscriber, 'foo');
    let released = 0;
    const owner = { references: 1, release: () => released++ };
    const payload = 'p'.repeat(OUTPUT_CHUNK_BYTES);
    rig.publish({ subject: 'foo', reply: 'r', payload, owner });
    expect(owner.references).toBe(3);
    for (const subscriber of subscribers)
      expect(subscriber.received() === `MSG foo 1 r ${payload.length}\r\n${payload}\r\n`).toBe(true);
    expect([owner.references, released]).toEqual([1, 0]);
  });

  test('are copied when they have no owner, whatever becomes of the publisher’s memory', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    const payload = 'p'.repeat(OUTPUT_CHUNK_BYTES);
    const frame = frameOf({ subject: 'foo', payload });
    rig.router.publish(rig.account, rig.account.routeOf('foo'), null, frame);
    frame.bytes.fill(0);
    expect(subscriber.received() === `MSG foo 1 ${payload.length}\r\n${payload}\r\n`).toBe(true);
  });

  test('with headers: by reference for some, stripped and copied for others', () => {
    const rig = new Rig();
    const [modern, old] = [new TestSubscriber(), new TestSubscriber()];
    old.headers = false;
    rig.subscribe(modern, 'foo');
    rig.subscribe(old, 'foo');
    const owner = { references: 1, release: () => undefined };
    const payload = 'p'.repeat(OUTPUT_CHUNK_BYTES);
    const message = { subject: 'foo', headers: BLOCK, payload, owner };
    const frame = frameOf(message);
    rig.router.publish(rig.account, rig.account.routeOf('foo'), null, frame);
    expect(owner.references).toBe(2);
    expect(modern.received() === `HMSG foo 1 ${tailOf(message)}`).toBe(true);
    frame.bytes.fill(0);
    expect(old.received() === `MSG foo 1 ${payload.length}\r\n${payload}\r\n`).toBe(true);
  });

  test('a payload worth sharing that still fits a chunk is copied', () => {
    const { rig, subscriber } = oneSubscriber('foo');
    const owner = { references: 1, release: () => undefined };
    rig.publish({ subject: 'foo', payload: 'p'.repeat(SHARE_MIN_BYTES), owner });
    expect(owner.references).toBe(1);
    expect(subscriber.received()).toContain('p'.repeat(SHARE_MIN_BYTES));
  });
});

describe('who gets it', () => {
  test('each matching subscription a copy of its own, also on one connection', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    for (const [subject, sid] of [
      ['a.b', '1'],
      ['a.*', '2'],
      ['>', '3'],
      ['a.c', '4'],
    ] as const)
      rig.subscribe(subscriber, subject, sid);
    expect(rig.publish({ subject: 'a.b', payload: 'x' })).toBe(3);
    const messages = subscriber.received().split('x\r\n');
    expect(messages.sort()).toEqual(['', 'MSG a.b 1 1\r\n', 'MSG a.b 2 1\r\n', 'MSG a.b 3 1\r\n']);
  });

  test('a published wildcard is text', () => {
    const { rig, subscriber } = oneSubscriber('foo.*');
    expect(rig.publish({ subject: 'foo.*', payload: 'x' })).toBe(1);
    expect(rig.publish({ subject: '>', payload: 'x' })).toBe(0);
    expect(subscriber.received()).toBe('MSG foo.* 1 1\r\nx\r\n');
  });

  test('without echo a publisher gets nothing of its own; another member of the group gets it', () => {
    const rig = new Rig();
    const [self, other] = [new TestSubscriber(), new TestSubscriber()];
    self.echo = false;
    rig.subscribe(self, 'foo', '1');
    rig.subscribe(self, 'foo', '2', 'q');
    expect(rig.publish({ subject: 'foo' }, self)).toBe(0);
    rig.subscribe(other, 'foo', '3', 'q');
    for (let i = 0; i < 20; i++) expect(rig.publish({ subject: 'foo' }, self)).toBe(1);
    expect(self.received()).toBe('');
    expect(other.received()).toBe('MSG foo 3 0\r\n\r\n'.repeat(20));
    expect(rig.publish({ subject: 'foo' }, other)).toBe(2);
  });

  test('denied, closed and refusing subscribers are passed over', () => {
    const rig = new Rig();
    const [denied, closed, refusing, good] = [1, 2, 3, 4].map(() => new TestSubscriber()) as [
      TestSubscriber,
      TestSubscriber,
      TestSubscriber,
      TestSubscriber,
    ];
    denied.denies = (subject) => subject === 'foo.secret';
    for (const subscriber of [denied, closed, refusing, good]) {
      rig.subscribe(subscriber, 'foo.*', '1');
      rig.subscribe(subscriber, 'foo.*', '2', 'q');
    }
    closed.outbox.discard();
    refusing.outbox.refusing = true;
    for (let i = 0; i < 20; i++) expect(rig.publish({ subject: 'foo.secret' })).toBe(2);
    expect([denied.received(), closed.received(), refusing.received()]).toEqual(['', '', '']);
    expect(good.outMsgs).toBe(40);
    expect(rig.publish({ subject: 'foo.open' })).toBe(3);
    expect(denied.outMsgs).toBeGreaterThanOrEqual(1);
  });

  test('a filter may deny one group and leave another', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    subscriber.denies = (_subject, queue) => queue === 'no';
    for (const queue of [null, 'yes', 'no']) rig.subscribe(subscriber, 'foo', String(queue), queue);
    expect(rig.publish({ subject: 'foo' })).toBe(2);
    expect(subscriber.received()).toBe('MSG foo null 0\r\n\r\nMSG foo yes 0\r\n\r\n');
  });

  test('deliveries are reported for those that observe them', () => {
    const { rig, subscriber } = oneSubscriber('foo.*');
    rig.publish({ subject: 'foo.a', reply: 'unseen' });
    subscriber.observesDeliveries = true;
    rig.publish({ subject: 'foo.a', reply: 'seen' });
    rig.publish({ subject: 'foo.b' });
    subscriber.headers = false;
    rig.publish({ subject: 'foo.c', reply: 'stripped', headers: BLOCK });
    expect(rig.observed).toEqual(['1 foo.a seen', '1 foo.b ', '1 foo.c stripped']);
  });
});

describe('limited subscriptions', () => {
  test('the last message is delivered, then the subscription ends', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    const subscription = rig.subscribe(subscriber, 'foo', '1', null, 2);
    expect([1, 2, 3].map(() => rig.publish({ subject: 'foo' }))).toEqual([1, 1, 0]);
    expect(rig.ended).toEqual([subscription]);
    expect(rig.account.localSubscriptions).toBe(0);
  });

  test('ending one in the middle of a delivery leaves the others alone', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    for (let sid = 1; sid <= 5; sid++) rig.subscribe(subscriber, 'foo', String(sid), null, sid % 2);
    expect(rig.publish({ subject: 'foo' })).toBe(5);
    expect(rig.publish({ subject: 'foo' })).toBe(2);
    expect(subscriber.received().match(/foo [24] /g)).toHaveLength(4);
  });

  test('suppressed messages do not count', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    subscriber.echo = false;
    rig.subscribe(subscriber, 'foo', '1', null, 1);
    rig.publish({ subject: 'foo' }, subscriber);
    expect(rig.publish({ subject: 'foo' })).toBe(1);
  });
});

describe('queue groups', () => {
  test('exactly one member, across overlapping subjects and one connection', () => {
    const rig = new Rig(5);
    const subscriber = new TestSubscriber();
    rig.subscribe(subscriber, 'a.b', '1', 'q');
    rig.subscribe(subscriber, 'a.*', '2', 'q');
    rig.subscribe(subscriber, '>', '3', 'q');
    rig.subscribe(subscriber, 'a.b', '4', 'other');
    for (let i = 0; i < 300; i++) expect(rig.publish({ subject: 'a.b' })).toBe(2);
    const text = subscriber.received();
    const each = ['1', '2', '3', '4'].map((sid) => text.split(`MSG a.b ${sid} `).length - 1);
    expect(each[3]).toBe(300);
    expect(each[0]! + each[1]! + each[2]!).toBe(300);
    for (const count of each.slice(0, 3)) expect(count).toBeGreaterThan(60);
  });

  test.each([2, 3, 7])('%i members get about equally many', (members) => {
    const rig = new Rig(77);
    const subscribers = Array.from({ length: members }, () => new TestSubscriber());
    for (const subscriber of subscribers) rig.subscribe(subscriber, 'foo', '1', 'q');
    const share = 2000;
    for (let i = 0; i < share * members; i++) rig.publish({ subject: 'foo' });
    const chiSquare = subscribers.reduce((sum, { outMsgs }) => sum + (outMsgs - share) ** 2 / share, 0);
    // The 99.99 % quantile for 6 degrees of freedom is 28; the seed is fixed.
    expect(chiSquare).toBeLessThan(28);
  });

  test('nobody left that can take it', () => {
    const rig = new Rig();
    const subscriber = new TestSubscriber();
    rig.subscribe(subscriber, 'foo', '1', 'q');
    subscriber.outbox.refusing = true;
    expect(rig.publish({ subject: 'foo' })).toBe(0);
  });
});

test('a route that a publisher remembers outlives its subscriptions without harm', () => {
  const { rig, subscriber } = oneSubscriber('foo');
  const route = rig.account.routeOf('foo');
  const [subscription] = route.plain;
  rig.account.unsubscribe(subscription!);
  expect(route.stale).toBe(true);
  expect(rig.router.publish(rig.account, route, null, frameOf({ subject: 'foo' }))).toBe(0);
  expect(subscriber.received()).toBe('');
});

test('the head of a route is that of HMSG, MSG begins one byte later', () => {
  const { rig } = oneSubscriber('foo.bar');
  const route = rig.account.routeOf('foo.bar');
  expect(latin1(route.head, 0, route.headBytes)).toBe('HMSG foo.bar ');
});
