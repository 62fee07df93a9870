import { expect, test } from 'vitest';
import { archiveText, readArchive } from '../../../../../src/shared/jetstream/consumers/runtime/archive.ts';
import { Harness } from '../engine-harness.ts';
import { fill, sequences } from './received.ts';

test('a restart knows what was delivered and acknowledged, and when it is due', () => {
  let js = new Harness();
  js.create('S', { subjects: ['s'] });
  fill(js, 6);
  js.consumer('S', 'c', { maxDeliver: 2, ackWaitNs: 10_000_000_000n });
  const inbox = js.pull('S', 'c', '4');
  const got = js.take(inbox);
  js.publish(got[1]!.reply);
  js.publish(got[2]!.reply, '-NAK 4s');
  const before = js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!.status();
  js = js.restart();
  const consumer = js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!;
  expect(consumer.status()).toEqual({ ...before, numWaiting: 0 });
  const again = js.pull('S', 'c', '9');
  expect(sequences(js.take(again))).toEqual([5, 6]);
  js.advance(4000);
  expect(sequences(js.take(again))).toEqual([3]);
  js.advance(6000);
  expect(sequences(js.take(again))).toEqual([1, 4, 5, 6]);
  js.advance(60_000);
  expect(js.take(again)).toEqual([]);
  js = js.restart();
  expect(js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!.status()).toMatchObject({
    numAckPending: 0,
    numRedelivered: 5,
  });
});

test('what is in memory alone is gone, and so is one that was deleted', () => {
  let js = new Harness();
  js.create('S', { subjects: ['s'] });
  js.consumer('S', 'm', { memStorage: true });
  const gone = js.consumer('S', 'd');
  js.consumer('S', 'e', { durableName: '', inactiveThresholdNs: 5_000_000_000n });
  gone.manager.delete(gone);
  js = js.restart();
  const { consumers } = js.engine.account('$G')!.streams.get('S')!;
  expect(consumers.list().map(({ name }) => name)).toEqual(['e']);
  js.advance(7000);
  expect(consumers.list()).toEqual([]);
});

test('messages that went while it was pending are not waited for', () => {
  let js = new Harness();
  js.create('S', { subjects: ['s'] });
  fill(js, 3);
  js.consumer('S', 'c');
  js.take(js.pull('S', 'c', '3'));
  js.store.find('$G', 'S')!.remove(2);
  js = js.restart();
  expect(js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!.status().numAckPending).toBe(2);
});

test('a record that cannot be read is said, and the rest is taken', () => {
  let js = new Harness();
  js.create('S', { subjects: ['s'] });
  fill(js, 1);
  js.consumer('S', 'c');
  js.take(js.pull('S', 'c', '1'));
  js.settle();
  js.store.find('$G', 'S')!.logConsumer('consumer.c', Uint8Array.of(0x7f));
  js.store.find('$G', 'S')!.putMetadata('consumer.x', Buffer.from('{'));
  js = js.restart();
  expect(js.warnings).toEqual([
    expect.stringContaining("'$G > S > c' has a record that can't be read"),
    expect.stringContaining("'$G > S > x' has no readable configuration"),
  ]);
  expect(js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!.status().numAckPending).toBe(1);
});

test('a snapshot of the stream has its consumers', () => {
  const js = new Harness();
  js.create('S', { subjects: ['s'] });
  fill(js, 5);
  const consumer = js.consumer('S', 'c', { maxDeliver: 1, ackWaitNs: 1_000_000_000n });
  const got = js.take(js.pull('S', 'c', '2'));
  js.advance(2000);
  js.take(js.pull('S', 'c', '2'));
  expect(got).toHaveLength(2);
  const text = archiveText(consumer.config, consumer.state);
  expect(JSON.parse(text)).toMatchObject({
    config: { durable_name: 'c' },
    state: {
      delivered: { consumer_seq: 4, stream_seq: 4 },
      ack_floor: { consumer_seq: 0, stream_seq: 0 },
      pending: { 3: { Sequence: 3 }, 4: { Sequence: 4 } },
      redelivered: { 1: 1, 2: 1 },
    },
  });
  const read = readArchive(text)!;
  expect(archiveText(read.config, read.state)).toBe(text);
  expect(readArchive('{"config":1}')).toBeNull();
});
