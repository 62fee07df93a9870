import { beforeEach, describe, expect, test } from 'vitest';
import { Harness, type Received } from '../engine-harness.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

function seqs(messages: readonly Received[]): number[] {
  return messages.filter(({ subject }) => subject !== '').map(({ reply }) => Number(reply.split('.')[5]));
}

function statuses(messages: readonly Received[]): string[] {
  return messages
    .filter(({ subject }) => subject === '')
    .map(({ headers }) => headers.split('\r\n')[0]!.slice('NATS/1.0 '.length));
}

function fill(count: number, subject = 's'): void {
  for (let i = 1; i <= count; i++) js.publish(subject, `m${i}`);
}

describe('pull', () => {
  test('a batch is delivered in order, with the subject that acknowledges', () => {
    js.create('S', { subjects: ['s'] });
    fill(3);
    js.consumer('S', 'c');
    const got = js.take(js.pull('S', 'c', { batch: 2 }));
    expect(got.map(({ subject, payload }) => [subject, payload])).toEqual([
      ['s', 'm1'],
      ['s', 'm2'],
    ]);
    expect(got[0]!.reply).toMatch(/^\$JS\.ACK\.S\.c\.1\.1\.1\.1800000000000002000\.2$/);
    expect(got[1]!.reply).toMatch(/^\$JS\.ACK\.S\.c\.1\.2\.2\.1800000000000003000\.1$/);
  });

  test('acknowledged messages are gone, others come again after ack_wait', () => {
    js.create('S', { subjects: ['s'] });
    fill(3);
    const consumer = js.consumer('S', 'c');
    const got = js.take(js.pull('S', 'c', '3'));
    js.publish(got[1]!.reply, '+ACK');
    expect(consumer.status()).toMatchObject({
      delivered: { consumerSeq: 3, streamSeq: 3 },
      ackFloor: { consumerSeq: 0, streamSeq: 0 },
      numAckPending: 2,
    });
    const inbox = js.pull('S', 'c', '3');
    js.advance(29_999);
    expect(js.take(inbox)).toEqual([]);
    js.advance(1);
    const again = js.take(inbox);
    expect(seqs(again)).toEqual([1, 3]);
    expect(again[0]!.reply).toContain('.c.2.1.4.');
    js.publish(again[0]!.reply);
    js.publish(again[1]!.reply);
    expect(consumer.status()).toMatchObject({
      ackFloor: { consumerSeq: 5, streamSeq: 3 },
      numAckPending: 0,
      numRedelivered: 0,
    });
  });

  test('statuses', () => {
    js.create('S', { subjects: ['s'] });
    js.consumer('S', 'c');
    expect(statuses(js.take(js.pull('S', 'c', { no_wait: true })))).toEqual(['404 No Messages']);
    const inbox = js.pull('S', 'c', { batch: 2, expires: 1e9 });
    js.advance(1000);
    expect(js.take(inbox)).toEqual([
      {
        subject: '',
        reply: '',
        headers: 'NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 0\r\n\r\n',
        payload: '',
      },
    ]);
  });
});
