import { beforeEach, describe, expect, test } from 'vitest';
import type { Consumer } from '../../../../../src/shared/jetstream/consumers/runtime/consumer.ts';
import { Harness } from '../engine-harness.ts';
import { fill, sequences, statuses } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
  js.create('S', { subjects: ['s'] });
});

test('a request names a group, and one there is', () => {
  js.consumer('S', 'c', { priorityPolicy: 'overflow', priorityGroups: ['A'] });
  expect(statuses(js.take(js.pull('S', 'c', '1')))).toEqual(['400 Bad Request - Priority Group missing']);
  expect(statuses(js.take(js.pull('S', 'c', { group: 'B' })))).toEqual([
    '400 Bad Request - Invalid Priority Group',
  ]);
});

test('overflow: a threshold has to be reached', () => {
  js.consumer('S', 'c', { priorityPolicy: 'overflow', priorityGroups: ['A'] });
  const patient = js.pull('S', 'c', { group: 'A', batch: 9, min_pending: 3 });
  fill(js, 2);
  js.settle();
  expect(js.take(patient)).toEqual([]);
  fill(js, 2);
  js.settle();
  expect(sequences(js.take(patient))).toEqual([1, 2]);
  const busy = js.pull('S', 'c', { group: 'A', batch: 9, min_ack_pending: 4 });
  expect(js.take(busy)).toEqual([]);
  const plain = js.pull('S', 'c', { group: 'A', batch: 2 });
  expect(sequences([...js.take(plain), ...js.take(busy)])).toEqual([3, 4]);
});

test('prioritized: lower numbers first, in turns among equals', () => {
  js.consumer('S', 'c', { priorityPolicy: 'prioritized', priorityGroups: ['A'] });
  const late = js.pull('S', 'c', { group: 'A', batch: 9, priority: 2 });
  const first = js.pull('S', 'c', { group: 'A', batch: 2, priority: 1 });
  const second = js.pull('S', 'c', { group: 'A', batch: 2, priority: 1 });
  fill(js, 5);
  js.settle();
  expect([first, second, late].map((inbox) => sequences(js.take(inbox)))).toEqual([[1, 3], [2, 4], [5]]);
});

describe('pinned_client', () => {
  let consumer: Consumer;

  beforeEach(() => {
    js.interest.push('$JS.EVENT.ADVISORY.>');
    consumer = js.consumer('S', 'c', {
      priorityPolicy: 'pinned_client',
      priorityGroups: ['A'],
      priorityTimeoutNs: 10_000_000_000n,
    });
  });

  function pinOf(inbox: string): { id: string; seqs: number[] } {
    const got = js.take(inbox);
    const id = /Nats-Pin-Id: (\w+)\r\n/.exec(got[0]?.headers ?? '')?.[1] ?? '';
    return { id, seqs: sequences(got) };
  }

  test('the first one is pinned, others wait', () => {
    const a = js.pull('S', 'c', { group: 'A', batch: 2 });
    const b = js.pull('S', 'c', { group: 'A', batch: 2 });
    fill(js, 3);
    js.settle();
    const { id, seqs } = pinOf(a);
    expect([id.length, seqs]).toEqual([22, [1, 2]]);
    expect(js.take(b)).toEqual([]);
    const more = js.pull('S', 'c', { group: 'A', batch: 1, id });
    expect(pinOf(more)).toEqual({ id, seqs: [3] });
    expect(statuses(js.take(js.pull('S', 'c', { group: 'A', id: 'other' })))).toEqual([
      '423 Nats-Pin-Id mismatch',
    ]);
    expect(consumer.status().group).toMatchObject({ name: 'A', pinnedId: id });
    expect(js.take('$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c')).toHaveLength(1);
  });

  test('the pin is lost after the timeout, or when it is taken away; then the next is pinned', () => {
    const a = js.pull('S', 'c', { group: 'A', batch: 1 });
    fill(js, 1);
    js.settle();
    const { id } = pinOf(a);
    const b = js.pull('S', 'c', { group: 'A', batch: 2 });
    fill(js, 2);
    js.advance(9999);
    expect(js.take(b)).toEqual([]);
    js.advance(1);
    const next = pinOf(b);
    expect(next.seqs).toEqual([2, 3]);
    expect(next.id).not.toBe(id);
    consumer.unpin('A');
    expect(consumer.status().group).toMatchObject({ pinnedId: '' });
    const old = js.pull('S', 'c', { group: 'A', id: next.id });
    fill(js, 1);
    js.settle();
    expect(js.take(old)[0]!.headers).toBe(
      'NATS/1.0 423 Nats-Wrong-Pin-Id\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n',
    );
    const reasons = js
      .take('$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c')
      .map(({ payload }) => (JSON.parse(payload) as { reason: string }).reason);
    expect(reasons).toEqual(['timeout', 'admin']);
  });
});
