import { beforeEach, describe, expect, test } from 'vitest';
import { emptyConsumerConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config.ts';
import {
  addConsumerInfo,
  listedConsumerJson,
} from '../../../../../src/shared/jetstream/consumers/consumer-info.ts';
import { JsonObject } from '../../../../../src/shared/jetstream/json-object.ts';
import { joinTime } from '../../../../../src/shared/jetstream/time.ts';
import { Harness } from '../engine-harness.ts';
import { FakeConsumer } from './fake-consumer.ts';

let harness: Harness;
let consumer: FakeConsumer;

beforeEach(() => {
  harness = new Harness();
  const metadata = new Map([['_nats.req.level', '0']]);
  consumer = new FakeConsumer(harness.create('S'), 'c', { ...emptyConsumerConfig(), name: 'c', metadata });
});

function shown(): string {
  const json = new JsonObject();
  addConsumerInfo(json, consumer, true);
  return json.end();
}

const NOW = '2027-01-15T08:00:00.000001Z';
const CONFIG =
  '{"name":"c","deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":0,"metadata":';

describe('info', () => {
  test('has every field that is always shown', () => {
    expect(shown()).toBe(
      `{"stream_name":"S","name":"c","created":"${NOW}","config":${CONFIG}` +
        '{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}},' +
        '"delivered":{"consumer_seq":0,"stream_seq":0},"ack_floor":{"consumer_seq":0,"stream_seq":0},' +
        `"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":0,"ts":"${NOW}"}`,
    );
  });

  test('in a list does not tell of the server', () => {
    expect(listedConsumerJson(consumer)).toContain(`"config":${CONFIG}{"_nats.req.level":"0"}},"delivered"`);
  });

  test('has the rest when there is something to tell', () => {
    const nowNs = joinTime(harness.clock.ms, harness.clock.nanos);
    consumer.reported = {
      delivered: { consumerSeq: 9, streamSeq: 8, lastActiveNs: nowNs },
      ackFloor: { consumerSeq: 7, streamSeq: 6, lastActiveNs: nowNs - 1000n },
      numAckPending: 5,
      numRedelivered: 4,
      numWaiting: 3,
      numPending: 2,
      pushBound: true,
      pausedUntilNs: nowNs + 5n,
      group: { name: 'A', pinnedId: 'id', pinnedNs: nowNs },
    };
    expect(shown()).toContain(
      `"delivered":{"consumer_seq":9,"stream_seq":8,"last_active":"${NOW}"},` +
        '"ack_floor":{"consumer_seq":7,"stream_seq":6,"last_active":"2027-01-15T08:00:00Z"},' +
        '"num_ack_pending":5,"num_redelivered":4,"num_waiting":3,"num_pending":2,"push_bound":true,' +
        `"paused":true,"pause_remaining":5,"ts":"${NOW}",` +
        `"priority_groups":[{"group":"A","pinned_client_id":"id","pinned_ts":"${NOW}"}]}`,
    );
  });

  test('a pause that is over is none', () => {
    consumer.reported = { pausedUntilNs: joinTime(harness.clock.ms, harness.clock.nanos) };
    expect(shown()).not.toContain('pause');
  });

  test('a group without a pinned client has the zero time', () => {
    consumer.reported = { group: { name: 'A', pinnedId: '', pinnedNs: 5n } };
    expect(shown()).toContain('"priority_groups":[{"group":"A","pinned_ts":"0001-01-01T00:00:00Z"}]');
  });
});
