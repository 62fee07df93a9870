import { beforeEach, describe, expect, test } from 'vitest';
import { Harness } from '../engine-harness.ts';
import { fill, sequences } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

function messages(): number {
  return js.state('S').messages as number;
}

describe('interest', () => {
  beforeEach(() => {
    js.create('S', { subjects: ['s', 't'], retention: 'interest' });
  });

  test('a message lives until everybody who wants it is done with it', () => {
    js.publish('s');
    expect(js.state('S')).toMatchObject({ messages: 0, last_seq: 1 });
    js.consumer('S', 'a');
    js.consumer('S', 'b', { filterSubject: 's' });
    js.publish('s');
    js.publish('t');
    const [a] = js.take(js.pull('S', 'a', '1'));
    const [b] = js.take(js.pull('S', 'b', '1'));
    js.publish(a!.reply);
    expect(messages()).toBe(2);
    js.publish(b!.reply);
    expect(messages()).toBe(1);
    const [t] = js.take(js.pull('S', 'a', '1'));
    js.publish(t!.reply);
    expect(messages()).toBe(0);
  });

  test('one acknowledgement for all releases all; without acknowledgements delivery does', () => {
    js.consumer('S', 'c', { ackPolicy: 'all' });
    fill(js, 3);
    const got = js.take(js.pull('S', 'c', '3'));
    js.publish(got[1]!.reply);
    expect(messages()).toBe(1);
    js.consumer('S', 'n', { ackPolicy: 'none' });
    js.publish(got[2]!.reply);
    expect(messages()).toBe(1);
    js.take(js.pull('S', 'n', '9'));
    expect(messages()).toBe(0);
  });

  test('the last consumer takes everything with it', () => {
    const consumer = js.consumer('S', 'c');
    fill(js, 3);
    consumer.manager.delete(consumer);
    expect(messages()).toBe(0);
  });

  test('what was given up at max_deliver stays until somebody acknowledges it', () => {
    js.consumer('S', 'c', { maxDeliver: 1, ackWaitNs: 1_000_000_000n });
    fill(js, 1);
    const [got] = js.take(js.pull('S', 'c', '1'));
    js.advance(2000);
    expect(messages()).toBe(1);
    js.publish(got!.reply, '+ACK');
    expect(messages()).toBe(0);
  });

  test('a smaller filter lets go of the rest', () => {
    const consumer = js.consumer('S', 'c');
    js.publish('s');
    js.publish('t');
    consumer.update({ ...consumer.config, filterSubject: 's' });
    expect(messages()).toBe(1);
  });
});

test('a work queue keeps what nobody acknowledged, each message for one consumer', () => {
  js.create('S', { subjects: ['s.*'], retention: 'workqueue' });
  fill(js, 2, 's.a');
  fill(js, 1, 's.b');
  js.consumer('S', 'a', { filterSubject: 's.a' });
  js.consumer('S', 'b', { filterSubject: 's.b' });
  const got = js.take(js.pull('S', 'a', '9'));
  expect(sequences(got)).toEqual([1, 2]);
  js.publish(got[0]!.reply);
  js.publish(got[1]!.reply, '+TERM');
  expect(js.state('S')).toMatchObject({ messages: 1, first_seq: 3 });
  expect(sequences(js.take(js.pull('S', 'b', '9')))).toEqual([3]);
});

describe('dead letters', () => {
  const metadata = new Map([['natsd.dead_letter.subject', 'dead.s']]);

  test('at max_deliver the message goes to the stream of that subject, and counts as acknowledged', () => {
    js.create('S', { subjects: ['s'], retention: 'workqueue' });
    js.create('D', { subjects: ['dead.>'] });
    js.publish('s', 'body', 'A: 1\r\nNats-Msg-Id: 7\r\n');
    const consumer = js.consumer('S', 'c', { metadata, maxDeliver: 2, ackWaitNs: 1_000_000_000n });
    const inbox = js.pull('S', 'c', '9');
    js.advance(5000);
    expect(sequences(js.take(inbox))).toEqual([1, 1]);
    expect(messages()).toBe(0);
    expect(consumer.status()).toMatchObject({
      numAckPending: 0,
      numRedelivered: 0,
      ackFloor: { streamSeq: 1 },
    });
    expect(js.message('D', 1)).toMatchObject({ subject: 'dead.s', data: 'body' });
    expect(js.message('D', 1)!.headers).toMatch(
      new RegExp(
        '^NATS/1\\.0\\r\\nA: 1\\r\\nNatsd-Dead-Letter-Cause: max_deliver\\r\\nNatsd-Dead-Letter-Stream: S\\r\\n' +
          'Natsd-Dead-Letter-Consumer: c\\r\\nNatsd-Dead-Letter-Subject: s\\r\\nNatsd-Dead-Letter-Sequence: 1\\r\\n' +
          'Natsd-Dead-Letter-Deliveries: 2\\r\\nNatsd-Dead-Letter-Time: 2027-01-15T08:00:00\\S+Z\\r\\n\\r\\n$',
      ),
    );
  });

  test('+TERM sends it too, to whoever listens, when its settlement is durable', () => {
    js.create('S', { subjects: ['s'] });
    js.publish('s', 'body');
    js.consumer('S', 'c', { metadata });
    const [got] = js.take(js.pull('S', 'c', '1'));
    const before = js.store.ticket;
    js.request(got!.reply, '+TERM it is rotten');
    const letter = js.sent.find(({ subject }) => subject === 'dead.s');
    expect(letter).toMatchObject({ payload: 'body' });
    expect(letter!.headers).toContain(
      'Natsd-Dead-Letter-Cause: terminated\r\nNatsd-Dead-Letter-Reason: it is rotten\r\n',
    );
    expect(letter!.ticket).toBeGreaterThan(before);
  });

  test('a stream that refuses it leaves it pending, and it is tried again', () => {
    js.create('S', { subjects: ['s'] });
    const dead = js.create('D', { subjects: ['dead.>'], max_msgs: 1, discard: 'new' });
    js.publish('dead.other');
    js.publish('s', 'body');
    const consumer = js.consumer('S', 'c', { metadata, maxDeliver: 1, ackWaitNs: 1_000_000_000n });
    js.take(js.pull('S', 'c', '1'));
    js.advance(1500);
    expect(consumer.status().numAckPending).toBe(1);
    expect(js.warnings).toEqual([expect.stringContaining('maximum messages exceeded')]);
    dead.purge({ filter: null, beforeSeq: 0, keep: 0 });
    js.advance(1500);
    expect(consumer.status().numAckPending).toBe(0);
    expect(js.state('D').messages).toBe(1);
  });
});
