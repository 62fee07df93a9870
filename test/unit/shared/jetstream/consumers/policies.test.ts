import { beforeEach, describe, expect, test } from 'vitest';
import { Harness } from '../engine-harness.ts';
import { fill, sequences, statuses } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
  js.create('S', { subjects: ['s', 't.*'] });
});

function drain(name: string): number[] {
  return sequences(js.take(js.pull('S', name, { batch: 100, no_wait: true })));
}

describe('where it begins', () => {
  beforeEach(() => {
    js.publish('t.a');
    js.publish('t.b');
    js.advance(1000);
    js.publish('t.a');
    js.publish('s');
  });

  test.each([
    [{ deliverPolicy: 'all' as const }, [1, 2, 3, 4, 5], 0],
    [{ deliverPolicy: 'last' as const }, [4, 5], 3],
    [{ deliverPolicy: 'last' as const, filterSubject: 't.*' }, [3], 2],
    [{ deliverPolicy: 'new' as const }, [5], 4],
    [{ deliverPolicy: 'by_start_sequence' as const, optStartSeq: 3 }, [3, 4, 5], 2],
    [{ deliverPolicy: 'by_start_sequence' as const, optStartSeq: 9 }, [], 8],
    [{ deliverPolicy: 'by_start_time' as const, optStartTime: '2027-01-15T08:00:00.5Z' }, [3, 4, 5], 2],
    [{ deliverPolicy: 'by_start_time' as const, optStartTime: '2030-01-01T00:00:00Z' }, [5], 4],
    [{ deliverPolicy: 'last_per_subject' as const, filterSubject: '>' }, [2, 3, 4, 5], 1],
    [{ deliverPolicy: 'last_per_subject' as const, filterSubject: 't.*' }, [2, 3], 1],
  ])('%j', (config, expected, before) => {
    const consumer = js.consumer('S', 'c', config);
    expect(consumer.status().delivered).toMatchObject({ consumerSeq: 0, streamSeq: before });
    js.publish('s');
    expect(consumer.status().numPending).toBe(expected.length);
    expect(drain('c')).toEqual(expected);
    expect(consumer.status().numPending).toBe(0);
  });

  test('the list of last messages outlives a restart', () => {
    js.consumer('S', 'c', { deliverPolicy: 'last_per_subject', filterSubject: '>' });
    expect(sequences(js.take(js.pull('S', 'c', '1')))).toEqual([2]);
    js = js.restart();
    js.publish('t.b');
    expect(drain('c')).toEqual([3, 4, 5]);
  });
});

describe('filters', () => {
  test('num_pending is right while messages come, go and are delivered', () => {
    const one = js.consumer('S', 'one', { filterSubject: 't.a' });
    const two = js.consumer('S', 'two', { filterSubjects: ['t.a', 's'] });
    const all = js.consumer('S', 'all');
    const counts = () => [one, two, all].map((consumer) => consumer.status().numPending);
    for (const subject of ['t.a', 't.b', 's', 't.a', 's']) js.publish(subject);
    expect(counts()).toEqual([2, 4, 5]);
    expect(sequences(js.take(js.pull('S', 'two', '2')))).toEqual([1, 3]);
    expect(counts()).toEqual([2, 2, 5]);
    js.ask('STREAM.MSG.DELETE.S', { seq: 4 });
    expect(counts()).toEqual([1, 1, 4]);
    js.ask('STREAM.PURGE.S', { filter: 's' });
    expect(counts()).toEqual([1, 0, 2]);
    js.publish('t.a');
    expect(counts()).toEqual([2, 1, 3]);
    expect(drain('one')).toEqual([1, 6]);
  });

  test('other filters count from where it is', () => {
    for (const subject of ['t.a', 's', 't.a', 's']) js.publish(subject);
    const consumer = js.consumer('S', 'c', { filterSubject: 't.a' });
    js.take(js.pull('S', 'c', '1'));
    consumer.update({ ...consumer.config, filterSubject: 's' });
    expect(consumer.status().numPending).toBe(2);
    expect(drain('c')).toEqual([2, 4]);
  });
});

describe('what is delivered', () => {
  test('headers only, with the size of what is left out', () => {
    js.publish('s', 'hello', 'A: 1\r\n');
    js.publish('s', 'hi');
    js.consumer('S', 'c', { headersOnly: true });
    expect(js.take(js.pull('S', 'c', '2')).map(({ headers, payload }) => [headers, payload])).toEqual([
      ['NATS/1.0\r\nA: 1\r\nNats-Msg-Size: 5\r\n\r\n', ''],
      ['NATS/1.0\r\nNats-Msg-Size: 2\r\n\r\n', ''],
    ]);
  });

  test('replay at the pace of the original, until what was there is delivered', () => {
    fill(js, 1);
    js.advance(1000);
    fill(js, 1);
    js.advance(500);
    fill(js, 1);
    js.advance(5000);
    js.consumer('S', 'c', { replayPolicy: 'original' });
    const inbox = js.pull('S', 'c', '9');
    expect(sequences(js.take(inbox))).toEqual([1]);
    js.advance(999);
    expect(js.take(inbox)).toEqual([]);
    js.advance(1);
    expect(sequences(js.take(inbox))).toEqual([2]);
    js.advance(500);
    expect(sequences(js.take(inbox))).toEqual([3]);
    fill(js, 1);
    js.advance(3000);
    fill(js, 1);
    js.settle();
    expect(sequences(js.take(inbox))).toEqual([4, 5]);
  });
});

describe('pause', () => {
  test('nothing is delivered, the clock of acknowledgements runs, and it ends by itself', () => {
    js.interest.push('$JS.EVENT.ADVISORY.CONSUMER.PAUSE.>');
    fill(js, 2);
    const consumer = js.consumer('S', 'c', { ackWaitNs: 1_000_000_000n });
    expect(sequences(js.take(js.pull('S', 'c', '1')))).toEqual([1]);
    consumer.pause(new Date(js.clock.ms + 10_000).toISOString());
    const inbox = js.pull('S', 'c', { batch: 5, expires: 60e9 });
    js.advance(9999);
    expect(js.take(inbox)).toEqual([]);
    expect(consumer.status().pausedUntilNs).toBeGreaterThan(0n);
    js.advance(1);
    expect(sequences(js.take(inbox))).toEqual([1, 2]);
    expect(consumer.status().pausedUntilNs).toBe(0n);
    const told = js.take('$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c');
    expect(told.map(({ payload }) => (JSON.parse(payload) as { paused: boolean }).paused)).toEqual([
      true,
      false,
    ]);
  });

  test('it can be resumed', () => {
    fill(js, 1);
    const consumer = js.consumer('S', 'c');
    consumer.pause(new Date(js.clock.ms + 10_000).toISOString());
    const inbox = js.pull('S', 'c', '1');
    consumer.pause('');
    js.settle();
    expect(sequences(js.take(inbox))).toEqual([1]);
    expect(consumer.config.pauseUntil).toBe('');
  });
});

describe('reset', () => {
  test('to the floor, and to a sequence', () => {
    fill(js, 5);
    const consumer = js.consumer('S', 'c');
    const got = js.take(js.pull('S', 'c', '4'));
    js.publish(got[0]!.reply);
    expect(consumer.reset(0)).toBe(2);
    expect(consumer.status()).toMatchObject({
      delivered: { consumerSeq: 0, streamSeq: 1 },
      ackFloor: { consumerSeq: 0, streamSeq: 1 },
      numAckPending: 0,
      numPending: 4,
    });
    expect(consumer.reset(4)).toBe(4);
    expect(drain('c')).toEqual([4, 5]);
    js = js.restart();
    expect(drain('c')).toEqual([]);
  });
});

describe('inactivity', () => {
  test('a pull consumer nobody asks goes, with an advisory; requests keep it', () => {
    js.interest.push('$JS.EVENT.ADVISORY.CONSUMER.>');
    js.consumer('S', 'c', { durableName: '', inactiveThresholdNs: 5_000_000_000n });
    js.advance(4000);
    js.pull('S', 'c', { expires: 20e9 });
    js.advance(24_000);
    const { consumers } = js.engine.account('$G')!.streams.get('S')!;
    expect(consumers.find('c')).not.toBeNull();
    js.advance(6000);
    expect(consumers.find('c')).toBeNull();
    expect(js.take('$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c')).toHaveLength(1);
    expect(statuses(js.take(js.pull('S', 'c', '1')))).toEqual(['503']);
  });

  test('it is not removed while an acknowledgement may come', () => {
    fill(js, 1);
    js.consumer('S', 'c', { durableName: '', inactiveThresholdNs: 5_000_000_000n });
    js.take(js.pull('S', 'c', '1'));
    js.advance(34_000);
    const { consumers } = js.engine.account('$G')!.streams.get('S')!;
    expect(consumers.find('c')).not.toBeNull();
    js.advance(10_000);
    expect(consumers.find('c')).toBeNull();
  });
});

test('a purge moves what lies before the new begin', () => {
  fill(js, 5);
  const consumer = js.consumer('S', 'c');
  js.take(js.pull('S', 'c', '3'));
  js.ask('STREAM.PURGE.S', { seq: 3 });
  expect(consumer.status()).toMatchObject({
    ackFloor: { consumerSeq: 2, streamSeq: 2 },
    numAckPending: 1,
    numPending: 2,
  });
  js.ask('STREAM.PURGE.S');
  expect(consumer.status()).toMatchObject({
    delivered: { consumerSeq: 3, streamSeq: 5 },
    ackFloor: { consumerSeq: 3, streamSeq: 5 },
    numAckPending: 0,
    numPending: 0,
  });
});
