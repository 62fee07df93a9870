import { beforeEach, describe, expect, test } from 'vitest';
import { Harness } from '../engine-harness.ts';
import { fill, sequences, statuses } from './received.ts';

let js: Harness;

beforeEach(() => {
  js = new Harness();
});

describe('pull', () => {
  test('a batch is delivered in order, with the subject that acknowledges', () => {
    js.create('S', { subjects: ['s'] });
    fill(js, 3);
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
    fill(js, 3);
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
    expect(sequences(again)).toEqual([1, 3]);
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

describe('requests', () => {
  beforeEach(() => {
    js.create('S', { subjects: ['s'] });
  });

  test.each([
    ['{"batch":', '400 Bad Request - unexpected end of JSON input'],
    [
      '{"batch":"x"}',
      '400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int',
    ],
    ['{"batch":1}x', "400 Bad Request - invalid character 'x' after top-level value"],
    ['{bad', "400 Bad Request - invalid character 'b' looking for beginning of object key string"],
    ['{"expires":1000000000,"idle_heartbeat":600000000}', '400 Bad Request - heartbeat value too large'],
    ['{"idle_heartbeat":100000000}', '400 Bad Request - heartbeat value too large'],
    ['{"batch":11}', '409 Exceeded MaxRequestBatch of 10'],
    ['{"expires":6000000000}', '409 Exceeded MaxRequestExpires of 5s'],
    ['{"max_bytes":1001}', '409 Exceeded MaxRequestMaxBytes of 1000'],
    ['{"min_pending":1}', '400 Bad Request - Not a Overflow Priority consumer'],
    ['{"id":"x"}', '400 Bad Request - Not a Pinned Client Priority consumer'],
    ['{"priority":10}', '400 Bad Request - Priority must be between 0 and 9'],
    ['{"no_wait":true}', '404 No Messages'],
  ])('%s is refused', (body, status) => {
    js.consumer('S', 'c', {
      maxRequestBatch: 10,
      maxRequestExpiresNs: 5_000_000_000n,
      maxRequestMaxBytes: 1000,
    });
    const [refusal] = statuses(js.take(js.pull('S', 'c', body)));
    expect(refusal).toBe(status);
  });

  test('the level of the API is looked at first, then whether there is anything to pull', () => {
    js.consumer('S', 'p', { deliverSubject: 'd' });
    const at = (name: string, headers = '') =>
      statuses(
        js.request(`$JS.API.CONSUMER.MSG.NEXT.S.${name}`, '', headers).map((m) => ({ ...m, subject: '' })),
      );
    expect(at('p')).toEqual(['409 Consumer is push based']);
    js.consumer('S', 'c');
    expect(at('c', 'Nats-Required-Api-Level: 99\r\n')).toEqual(['412 Required Api Level']);
    expect(at('nobody')).toEqual(['503']);
  });

  test.each([
    ['', 1],
    ['abc', 1],
    ['3', 3],
    ['-2', 1],
    ['{}', 1],
    ['{"batch":0}', 1],
    ['{"batch":-5}', 1],
  ])('%j asks for %d', (body, count) => {
    fill(js, 5);
    js.consumer('S', 'c');
    expect(js.take(js.pull('S', 'c', body))).toHaveLength(count);
  });

  test('one that does not wait ends with the messages, whether or not it expires', () => {
    fill(js, 1);
    js.consumer('S', 'c');
    const inbox = js.pull('S', 'c', { no_wait: true, batch: 2, expires: 5e9 });
    const got = js.take(inbox);
    expect([sequences(got), statuses(got)]).toEqual([[1], ['404 No Messages']]);
    const patient = js.pull('S', 'c', { no_wait: true, batch: 2, expires: 5e9 });
    expect(js.take(patient)).toEqual([]);
    js.publish('s');
    js.settle();
    expect([sequences(js.take(patient))]).toEqual([[2]]);
  });

  test('one that does not wait is refused when those before it want all there is', () => {
    fill(js, 1);
    js.consumer('S', 'c', { maxAckPending: 1 });
    js.pull('S', 'c', '1');
    fill(js, 1);
    js.pull('S', 'c', '5');
    expect(statuses(js.take(js.pull('S', 'c', { no_wait: true })))).toEqual(['408 Requests Pending']);
  });

  test('max_bytes: what does not fit ends the request and goes to the next', () => {
    js.consumer('S', 'c');
    const small = js.pull('S', 'c', { batch: 5, max_bytes: 10 });
    const large = js.pull('S', 'c', { batch: 1, max_bytes: 1000 });
    js.publish('s', 'payload');
    js.settle();
    expect(js.take(small)).toEqual([
      {
        subject: '',
        reply: '',
        headers:
          'NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 10\r\n\r\n',
        payload: '',
      },
    ]);
    const got = js.take(large);
    const size = 's'.length + got[0]!.reply.length + 'payload'.length;
    expect(sequences(got)).toEqual([1]);
    expect(got[1]!.headers).toBe(
      `NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: 0\r\nNats-Pending-Bytes: ${1000 - size}\r\n\r\n`,
    );
  });

  test('a byte budget used up to the last byte ends without a word', () => {
    js.publish('s', 'payload');
    js.publish('s', 'payload');
    js.consumer('S', 'c');
    const [first] = js.take(js.pull('S', 'c', '1'));
    js.publish(first!.reply);
    js.consumer('S', 'd');
    const inbox = js.pull('S', 'd', {
      batch: 5,
      max_bytes: 's'.length + first!.reply.length + 'payload'.length,
    });
    expect(sequences(js.take(inbox))).toEqual([1]);
  });

  test('heartbeats come while nothing does, and messages put them off', () => {
    const consumer = js.consumer('S', 'c');
    const inbox = js.pull('S', 'c', { batch: 5, expires: 5e9, idle_heartbeat: 1e9 });
    js.advance(999);
    js.publish('s');
    js.settle();
    expect(sequences(js.take(inbox))).toEqual([1]);
    js.advance(999);
    expect(js.take(inbox)).toEqual([]);
    js.advance(1);
    expect(js.take(inbox)[0]!.headers).toBe(
      'NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n',
    );
    js.advance(1000);
    expect(statuses(js.take(inbox))).toEqual(['100 Idle Heartbeat']);
    expect(consumer.status().numWaiting).toBe(1);
    js.advance(5000);
    expect(statuses(js.take(inbox)).at(-1)).toBe('408 Request Timeout');
  });

  test('a full queue refuses, unless the client would hear of it by its heartbeats', () => {
    const consumer = js.consumer('S', 'c', { maxWaiting: 2 });
    js.pull('S', 'c', '1');
    js.pull('S', 'c', '1');
    expect(statuses(js.take(js.pull('S', 'c', '1')))).toEqual(['409 Exceeded MaxWaiting']);
    expect(js.take(js.pull('S', 'c', { expires: 1e9, idle_heartbeat: 1e8 }))).toEqual([]);
    expect(consumer.status().numWaiting).toBe(2);
  });

  test('requests take turns, message by message; those nobody listens for are left out', () => {
    js.consumer('S', 'c');
    const inboxes = [1, 2, 3].map(() => js.pull('S', 'c', { batch: 2 }));
    js.closedInboxes.add(inboxes[1]!);
    fill(js, 5);
    js.settle();
    expect(inboxes.map((inbox) => sequences(js.take(inbox)))).toEqual([[1, 3], [], [2, 4]]);
  });

  test('nothing is delivered while the way out is congested', () => {
    fill(js, 3);
    js.consumer('S', 'c');
    js.congested = true;
    const inbox = js.pull('S', 'c', '3');
    expect(js.take(inbox)).toEqual([]);
    js.congested = false;
    js.settle();
    expect(sequences(js.take(inbox))).toEqual([1, 2, 3]);
  });

  test('the end of the consumer and of the server is told', () => {
    const consumer = js.consumer('S', 'c');
    const inbox = js.pull('S', 'c', { batch: 3 });
    js.engine.shutDown();
    expect(js.take(inbox)[0]!.headers).toBe(
      'NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n',
    );
    const other = js.pull('S', 'c', { batch: 3 });
    expect(consumer.manager.delete(consumer)).toBeNull();
    expect(statuses(js.take(other))).toEqual(['409 Consumer Deleted']);
  });

  test('max_ack_pending holds back new messages, and an acknowledgement lets one through', () => {
    fill(js, 5);
    js.consumer('S', 'c', { maxAckPending: 2 });
    const inbox = js.pull('S', 'c', { batch: 5, no_wait: true });
    const got = js.take(inbox);
    expect(got).toHaveLength(2);
    js.publish(got[0]!.reply);
    js.settle();
    expect(sequences(js.take(inbox))).toEqual([3]);
  });
});
