import { beforeEach, describe, expect, test } from 'vitest';
import { Harness } from '../engine-harness.ts';
import { fill, sequences, statuses } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
  js.create('S', { subjects: ['s'] });
});

describe('interest', () => {
  test('nothing goes out until somebody listens, and nothing more when they stop', () => {
    fill(js, 2);
    const consumer = js.consumer('S', 'c', { deliverSubject: 'd' });
    js.settle();
    expect(js.take('d')).toEqual([]);
    expect(consumer.pushBound).toBe(false);
    js.listen('d');
    js.settle();
    expect(sequences(js.take('d'))).toEqual([1, 2]);
    expect(consumer.pushBound).toBe(true);
    js.unlisten('d');
    fill(js, 1);
    js.settle();
    expect(js.take('d')).toEqual([]);
  });

  test('max_ack_pending holds back', () => {
    js.listen('d');
    fill(js, 3);
    js.consumer('S', 'c', { deliverSubject: 'd', maxAckPending: 2 });
    js.settle();
    const got = js.take('d');
    expect(sequences(got)).toEqual([1, 2]);
    js.publish(got[0]!.reply, '+ACK');
    js.settle();
    expect(sequences(js.take('d'))).toEqual([3]);
  });

  test('another deliver subject takes over', () => {
    js.listen('e');
    fill(js, 1);
    const consumer = js.consumer('S', 'c', { deliverSubject: 'd' });
    expect(consumer.update({ ...consumer.config, deliverSubject: 'e' })).toBeNull();
    js.settle();
    expect(sequences(js.take('e'))).toEqual([1]);
  });

  test('one that nobody listens to goes after its threshold, unless they come back', () => {
    js.listen('d');
    js.consumer('S', 'c', { deliverSubject: 'd', durableName: '', inactiveThresholdNs: 5_000_000_000n });
    js.advance(60_000);
    js.unlisten('d');
    js.advance(4000);
    js.listen('d');
    js.advance(60_000);
    const { consumers } = js.engine.account('$G')!.streams.get('S')!;
    expect(consumers.find('c')).not.toBeNull();
    js.unlisten('d');
    js.advance(4999);
    expect(consumers.find('c')).not.toBeNull();
    js.advance(1);
    expect(consumers.find('c')).toBeNull();
  });
});

describe('heartbeats and pace', () => {
  test('a heartbeat says how far it is', () => {
    js.listen('d');
    fill(js, 1);
    js.consumer('S', 'c', { deliverSubject: 'd', idleHeartbeatNs: 1_000_000_000n });
    js.settle();
    expect(sequences(js.take('d'))).toEqual([1]);
    js.advance(999);
    expect(js.take('d')).toEqual([]);
    js.advance(1);
    expect(js.take('d')).toEqual([
      {
        subject: '',
        reply: '',
        headers: 'NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n',
        payload: '',
      },
    ]);
    js.unlisten('d');
    js.advance(10_000);
    expect(js.take('d')).toEqual([]);
  });

  test('flow control: a request at half the window, a stop above it, and on with the answer', () => {
    js.listen('d');
    for (let i = 0; i < 60; i++) js.publish('s', 'x'.repeat(100_000));
    js.consumer('S', 'c', {
      deliverSubject: 'd',
      flowControl: true,
      idleHeartbeatNs: 1_000_000_000n,
      ackPolicy: 'none',
    });
    js.settle();
    const got = js.take('d');
    expect(sequences(got)).toHaveLength(21);
    const at = got.findIndex(({ subject }) => subject === '');
    expect(at).toBe(11);
    expect(got[at]!.headers).toBe('NATS/1.0 100 FlowControl Request\r\n\r\n');
    expect(got[at]!.reply).toMatch(/^\$JS\.FC\.S\.c\.[0-9A-Za-z]{4}$/);
    js.advance(1000);
    expect(js.take('d')[0]!.headers).toContain(`Nats-Consumer-Stalled: ${got[at]!.reply}\r\n`);
    js.publish('$JS.FC.S.c.zzzz');
    js.settle();
    expect(js.take('d')).toEqual([]);
    js.publish(got[at]!.reply);
    js.settle();
    const more = js.take('d');
    expect(more.findIndex(({ subject }) => subject === '')).toBe(11);
    expect(sequences(more)).toHaveLength(32);
  });

  test('the rate limit spreads messages over time', () => {
    js.listen('d');
    js.create('R', { subjects: ['r'], max_msg_size: 1000 });
    for (let i = 0; i < 4; i++) js.publish('r', 'x'.repeat(900));
    // 8,000 bit a second are 1 byte a millisecond.
    js.consumer('R', 'c', { deliverSubject: 'd', rateLimitBps: 8000, ackPolicy: 'none' });
    js.settle();
    expect(js.take('d')).toHaveLength(1);
    js.advance(800);
    expect(js.take('d')).toHaveLength(0);
    js.advance(200);
    expect(js.take('d')).toHaveLength(1);
    js.advance(2000);
    expect(js.take('d')).toHaveLength(2);
  });

  test('answers to flow control acknowledge with the policy of that name', () => {
    js.listen('d');
    fill(js, 6);
    const consumer = js.consumer('S', 'c', {
      deliverSubject: 'd',
      ackPolicy: 'flow_control',
      flowControl: true,
      idleHeartbeatNs: 1_000_000_000n,
      maxAckPending: 3,
    });
    js.settle();
    const got = js.take('d');
    expect(sequences(got)).toEqual([1, 2, 3]);
    const request = got.find(({ subject }) => subject === '');
    js.advance(60_000);
    expect(sequences(js.take('d'))).toEqual([]);
    js.publish(request!.reply, '', 'Nats-Last-Consumer: 3\r\nNats-Last-Stream: 3\r\n');
    js.settle();
    expect(consumer.status()).toMatchObject({ ackFloor: { consumerSeq: 3, streamSeq: 3 } });
    const more = js.take('d');
    expect([sequences(more), statuses(more)]).toEqual([[4, 5, 6], ['100 FlowControl Request']]);
  });
});
