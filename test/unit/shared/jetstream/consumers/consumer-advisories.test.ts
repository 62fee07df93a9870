import { beforeEach, describe, expect, test } from 'vitest';
import {
  adviseCreated,
  adviseDeleted,
  adviseMaxDeliveries,
  adviseNaked,
  advisePaused,
  advisePinned,
  adviseTerminated,
  adviseUnpinned,
  sendAckMetric,
} from '../../../../../src/shared/jetstream/consumers/consumer-advisories.ts';
import { emptyConsumerConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config.ts';
import { Harness } from '../engine-harness.ts';
import { FakeConsumer } from './fake-consumer.ts';

const ADVISORY = '$JS.EVENT.ADVISORY.CONSUMER';
const UNTIL_NS = 4_859_740_800_000_000_000n;

let harness: Harness;
let consumer: FakeConsumer;

beforeEach(() => {
  harness = new Harness();
  consumer = new FakeConsumer(harness.create('S'), 'c', { ...emptyConsumerConfig(), name: 'c' });
  harness.interest.push('$JS.EVENT.>');
});

/** What was sent last: the subject, and the text without what differs from time to time. */
function last(): [string, string] {
  const { subject, payload } = harness.sent.at(-1)!;
  return [subject, payload.replace(/"id":"\w{22}","timestamp":"[^"]+",/, '')];
}

/** Texts are those nats-server 2.15.1 sent. */
describe.each<[string, string, () => void, string]>([
  [`${ADVISORY}.CREATED.S.c`, 'consumer_action', () => adviseCreated(consumer), '"action":"create"'],
  [`${ADVISORY}.DELETED.S.c`, 'consumer_action', () => adviseDeleted(consumer), '"action":"delete"'],
  [
    `${ADVISORY}.PAUSE.S.c`,
    'consumer_pause',
    () => advisePaused(consumer, UNTIL_NS),
    '"paused":true,"pause_until":"2124-01-01T00:00:00Z"',
  ],
  [
    `${ADVISORY}.PAUSE.S.c`,
    'consumer_pause',
    () => advisePaused(consumer, 0n),
    '"paused":false,"pause_until":"0001-01-01T00:00:00Z"',
  ],
  [
    `${ADVISORY}.PAUSE.S.c`,
    'consumer_pause',
    () => advisePaused(consumer, 1_704_067_200_000_000_000n),
    '"paused":false,"pause_until":"2024-01-01T00:00:00Z"',
  ],
  [
    `${ADVISORY}.MAX_DELIVERIES.S.c`,
    'max_deliver',
    () => adviseMaxDeliveries(consumer, 2, 3),
    '"stream_seq":2,"deliveries":3',
  ],
  [
    `${ADVISORY}.MSG_NAKED.S.c`,
    'nak',
    () => adviseNaked(consumer, 2, 3, 1),
    '"consumer_seq":2,"stream_seq":3,"deliveries":1',
  ],
  [
    `${ADVISORY}.MSG_TERMINATED.S.c`,
    'terminated',
    () => adviseTerminated(consumer, 3, 4, 1, 'because <x>'),
    '"consumer_seq":3,"stream_seq":4,"deliveries":1,"reason":"because \\u003cx\\u003e"',
  ],
  [
    `${ADVISORY}.MSG_TERMINATED.S.c`,
    'terminated',
    () => adviseTerminated(consumer, 3, 4, 1, ''),
    '"consumer_seq":3,"stream_seq":4,"deliveries":1',
  ],
])('%s %s', (subject, type, send, fields) => {
  test(`has ${fields}`, () => {
    send();
    const head = `{"type":"io.nats.jetstream.advisory.v1.${type}","stream":"S","consumer":"c",`;
    expect(last()).toEqual([subject, `${head}${fields}}`]);
  });

  test('is made only when somebody listens', () => {
    harness.interest.length = 0;
    const before = harness.sent.length;
    send();
    expect(harness.sent.length).toBe(before);
  });
});

test('priority groups name the account', () => {
  advisePinned(consumer, 'A', 'id');
  const names = '"account":"$G","stream":"S","consumer":"c","group":"A"';
  expect(last()).toEqual([
    `${ADVISORY}.PINNED.S.c`,
    `{"type":"io.nats.jetstream.advisory.v1.consumer_group_pinned",${names},"pinned_id":"id"}`,
  ]);
  adviseUnpinned(consumer, 'A', 'timeout');
  expect(last()).toEqual([
    `${ADVISORY}.UNPINNED.S.c`,
    `{"type":"io.nats.jetstream.advisory.v1.consumer_group_unpinned",${names},"reason":"timeout"}`,
  ]);
});

test('the metric of an acknowledgement', () => {
  sendAckMetric(consumer, 1, 2, 3, 101_009_458n);
  expect(last()).toEqual([
    '$JS.EVENT.METRIC.CONSUMER.ACK.S.c',
    '{"type":"io.nats.jetstream.metric.v1.consumer_ack","stream":"S","consumer":"c","consumer_seq":1,' +
      '"stream_seq":2,"ack_time":101009458,"deliveries":3}',
  ]);
});

test('the domain is told last, in groups before the group', () => {
  const hub = new Harness({ domain: 'hub' });
  hub.interest.push('$JS.EVENT.>');
  const other = new FakeConsumer(hub.create('S'), 'c', emptyConsumerConfig());
  adviseNaked(other, 1, 1, 1);
  expect(hub.sent.at(-1)!.payload).toMatch(/"deliveries":1,"domain":"hub"}$/);
  adviseUnpinned(other, 'A', 'admin');
  expect(hub.sent.at(-1)!.payload).toMatch(/"domain":"hub","group":"A","reason":"admin"}$/);
});
