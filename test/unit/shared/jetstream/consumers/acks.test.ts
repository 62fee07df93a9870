import { beforeEach, describe, expect, test } from 'vitest';
import { Harness, type Received } from '../engine-harness.ts';
import { fill, sequences, statuses } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
  js.create('S', { subjects: ['s'] });
});

/** Acknowledges and gives what came to the reply subject. */
function ack(message: Received, body = '+ACK'): { payload: string; ticket: number }[] {
  return js.request(message.reply, body).map(({ payload, ticket }) => ({ payload, ticket }));
}

function floor(name = 'c'): [number, number] {
  const { ackFloor } = js.engine.account('$G')!.streams.get('S')!.consumers.find(name)!.status();
  return [ackFloor.consumerSeq, ackFloor.streamSeq];
}

describe('explicit', () => {
  test('the floor follows what is acknowledged without a gap', () => {
    fill(js, 4);
    js.consumer('S', 'c');
    const got = js.take(js.pull('S', 'c', '4'));
    ack(got[1]!);
    expect(floor()).toEqual([0, 0]);
    ack(got[0]!);
    expect(floor()).toEqual([2, 2]);
    ack(got[3]!);
    expect(floor()).toEqual([2, 2]);
    ack(got[2]!);
    expect(floor()).toEqual([4, 4]);
  });

  test('an acknowledged acknowledgement waits until it is durable', () => {
    fill(js, 1);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    const before = js.store.ticket;
    const [reply] = ack(got!);
    expect(reply).toEqual({ payload: '', ticket: js.store.ticket });
    expect(reply!.ticket).toBeGreaterThan(before);
    expect(ack(got!)).toEqual([{ payload: '', ticket: js.store.ticket }]);
  });

  test.each([
    '+ACK',
    '+OK',
    '',
    '-NAK',
    '+WPI',
    '+TERM',
    '+TERM why',
    '+FOO',
    '-NAK {"delay":5}',
  ])('%j is answered', (body) => {
    fill(js, 1);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    expect(ack(got!, body)).toHaveLength(1);
  });

  test('what was not delivered is not answered; a consumer that is not there is', () => {
    fill(js, 2);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    expect(js.request('$JS.ACK.S.c.1.2.2.1.0', '+ACK')).toEqual([]);
    expect(js.request('$JS.ACK.S.c.1.99.99.1.0', '+ACK')).toEqual([]);
    expect(js.request('$JS.ACK.S.c.1.x.1.1.0', '+ACK')).toEqual([]);
    const subject = got!.reply.replace('.c.', '.gone.');
    expect(js.request(subject, '+ACK')[0]!.headers).toBe(`NATS/1.0 503\r\nNats-Subject: ${subject}\r\n\r\n`);
  });

  test('the long form of the subject is understood', () => {
    fill(js, 1);
    const consumer = js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    const [prefix] = js.subjects.filter((subject) => subject.startsWith('$JS.ACK.*.'));
    const hash = prefix!.split('.')[3]!;
    const numbers = got!.reply.split('.').slice(4).join('.');
    expect(js.request(`$JS.ACK._.${hash}.S.c.${numbers}.extra`, '+ACK')).toHaveLength(1);
    expect(consumer.status().numAckPending).toBe(0);
  });
});

describe('other kinds', () => {
  test('a NAK brings the message back at once, before new ones, and counts the delivery', () => {
    fill(js, 3);
    const consumer = js.consumer('S', 'c');
    const got = js.take(js.pull('S', 'c', '2'));
    ack(got[0]!, '-NAK');
    const again = js.take(js.pull('S', 'c', '2'));
    expect(sequences(again)).toEqual([1, 3]);
    expect(again[0]!.reply).toContain('.c.2.1.3.');
    expect(consumer.status().numRedelivered).toBe(1);
  });

  test.each(['-NAK {"delay":5000000000}', '-NAK 5s'])('%s brings it back later', (body) => {
    fill(js, 1);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    ack(got!, body);
    const inbox = js.pull('S', 'c');
    js.advance(4999);
    expect(js.take(inbox)).toEqual([]);
    js.advance(1);
    expect(sequences(js.take(inbox))).toEqual([1]);
  });

  test('a delay that is none is no delay', () => {
    fill(js, 1);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    ack(got!, '-NAK soon');
    expect(sequences(js.take(js.pull('S', 'c')))).toEqual([1]);
    expect(js.warnings).toEqual([expect.stringContaining('soon')]);
  });

  test('progress starts the time anew', () => {
    fill(js, 1);
    js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    js.advance(20_000);
    ack(got!, '+WPI');
    const inbox = js.pull('S', 'c');
    js.advance(29_999);
    expect(js.take(inbox)).toEqual([]);
    js.advance(1);
    expect(sequences(js.take(inbox))).toEqual([1]);
  });

  test('+TERM ends it, with an advisory', () => {
    js.interest.push('$JS.EVENT.ADVISORY.>');
    fill(js, 1);
    const consumer = js.consumer('S', 'c');
    const [got] = js.take(js.pull('S', 'c'));
    ack(got!, '+TERM no good');
    expect(consumer.status()).toMatchObject({ numAckPending: 0, ackFloor: { consumerSeq: 1, streamSeq: 1 } });
    const [advisory] = js.take('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c');
    expect(JSON.parse(advisory!.payload)).toMatchObject({
      type: 'io.nats.jetstream.advisory.v1.terminated',
      stream: 'S',
      consumer: 'c',
      consumer_seq: 1,
      stream_seq: 1,
      deliveries: 1,
      reason: 'no good',
    });
  });

  test('+NXT acknowledges and asks for more, at the reply subject', () => {
    fill(js, 4);
    const consumer = js.consumer('S', 'c');
    const [first] = js.take(js.pull('S', 'c'));
    js.publish(first!.reply, '+NXT', '', '_INBOX.next');
    js.settle();
    const [second] = js.take('_INBOX.next');
    expect(sequences([second!])).toEqual([2]);
    expect(consumer.status().ackFloor.streamSeq).toBe(1);
    js.publish(second!.reply, '+NXT {"batch":5,"no_wait":true}', '', '_INBOX.more');
    js.settle();
    const rest = js.take('_INBOX.more');
    expect([sequences(rest), statuses(rest)]).toEqual([[3, 4], ['404 No Messages']]);
  });

  test('samples of acknowledgements are told', () => {
    js.interest.push('$JS.EVENT.METRIC.>');
    fill(js, 1);
    js.consumer('S', 'c', { sampleFreq: '100%' });
    const [got] = js.take(js.pull('S', 'c'));
    js.advance(1500);
    ack(got!);
    const [metric] = js.take('$JS.EVENT.METRIC.CONSUMER.ACK.S.c');
    expect(JSON.parse(metric!.payload)).toMatchObject({
      type: 'io.nats.jetstream.metric.v1.consumer_ack',
      consumer_seq: 1,
      stream_seq: 1,
      ack_time: 1_500_000_000,
      deliveries: 1,
    });
  });
});

describe('other policies', () => {
  test('all: one acknowledgement is for everything before it', () => {
    fill(js, 5);
    const consumer = js.consumer('S', 'c', { ackPolicy: 'all' });
    const got = js.take(js.pull('S', 'c', '5'));
    ack(got[2]!);
    expect(floor()).toEqual([3, 3]);
    expect(consumer.status().numAckPending).toBe(2);
    expect(ack(got[1]!)).toHaveLength(1);
    expect(floor()).toEqual([3, 3]);
    const inbox = js.pull('S', 'c', '5');
    js.advance(30_000);
    expect(sequences(js.take(inbox))).toEqual([4, 5]);
  });

  test('none: delivered is acknowledged, and nobody listens for acknowledgements', () => {
    fill(js, 2);
    const consumer = js.consumer('S', 'c', { ackPolicy: 'none' });
    const got = js.take(js.pull('S', 'c', '2'));
    expect(floor()).toEqual([2, 2]);
    expect(consumer.status().numAckPending).toBe(0);
    expect(ack(got[0]!)).toHaveLength(1);
  });
});

describe('redelivery', () => {
  test('backoff, by number of deliveries, the last one from then on', () => {
    fill(js, 1);
    js.consumer('S', 'c', { backoffNs: [1_000_000_000n, 5_000_000_000n] });
    const inbox = js.pull('S', 'c', '9');
    js.take(inbox);
    for (const waitMs of [1000, 5000, 5000]) {
      js.advance(waitMs - 1);
      expect(js.take(inbox)).toEqual([]);
      js.advance(1);
      expect(sequences(js.take(inbox))).toEqual([1]);
    }
  });

  test('at max_deliver a message is given up, told once, and not in the way', () => {
    js.interest.push('$JS.EVENT.ADVISORY.>');
    fill(js, 2);
    const consumer = js.consumer('S', 'c', { maxDeliver: 2, ackWaitNs: 1_000_000_000n });
    const inbox = js.pull('S', 'c', '9');
    const got = js.take(inbox);
    ack(got[1]!);
    js.advance(1000);
    expect(sequences(js.take(inbox))).toEqual([1]);
    js.advance(5000);
    expect(js.take(inbox)).toEqual([]);
    const advisories = js.take('$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c');
    expect(advisories.map(({ payload }) => JSON.parse(payload) as unknown)).toEqual([
      expect.objectContaining({ stream_seq: 1, deliveries: 2 }),
    ]);
    expect(consumer.status()).toMatchObject({ numAckPending: 0, numRedelivered: 1 });
  });

  test('a NAK at max_deliver gives it up when its turn comes', () => {
    js.interest.push('$JS.EVENT.ADVISORY.>');
    fill(js, 2);
    js.consumer('S', 'c', { maxDeliver: 1 });
    const [got] = js.take(js.pull('S', 'c'));
    ack(got!, '-NAK');
    expect(sequences(js.take(js.pull('S', 'c')))).toEqual([2]);
    expect(js.take('$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c')).toHaveLength(1);
  });

  test('what expires together comes again in order, and redelivery is not bound by max_ack_pending', () => {
    fill(js, 4);
    js.consumer('S', 'c', { maxAckPending: 3, ackWaitNs: 1_000_000_000n });
    const got = js.take(js.pull('S', 'c', '3'));
    ack(got[2]!, '-NAK');
    js.advance(1000);
    expect(sequences(js.take(js.pull('S', 'c', '4')))).toEqual([3, 1, 2]);
  });

  test('a pending message that is deleted is told as terminated', () => {
    js.interest.push('$JS.EVENT.ADVISORY.>');
    fill(js, 1);
    const consumer = js.consumer('S', 'c');
    js.take(js.pull('S', 'c'));
    js.ask('STREAM.MSG.DELETE.S', { seq: 1 });
    const [advisory] = js.take('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c');
    expect(JSON.parse(advisory!.payload)).toMatchObject({
      stream_seq: 1,
      consumer_seq: 1,
      deliveries: 1,
      reason: 'Unacknowledged message was deleted',
    });
    expect(consumer.status()).toMatchObject({ numAckPending: 0, ackFloor: { consumerSeq: 1, streamSeq: 1 } });
  });
});
