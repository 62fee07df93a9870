import { describe, expect, test } from 'vitest';
import {
  consumerConfigJson,
  copyConsumerConfig,
  emptyConsumerConfig,
  readConsumerConfig,
} from '../../../../../src/shared/jetstream/consumers/consumer-config.ts';
import type { ConsumerConfig } from '../../../../../src/shared/jetstream/consumers/contract.ts';
import { JsonError, parseJson } from '../../../../../src/shared/jetstream/json-text.ts';

/** Every field, in the order nats-server writes them. */
const FULL =
  '{"durable_name":"d","name":"d","description":"\\u003ctext\\u003e","deliver_policy":"by_start_time","opt_start_seq":7,' +
  '"opt_start_time":"2024-01-01T00:00:00.5+02:00","ack_policy":"all","ack_wait":1,"max_deliver":2,"backoff":[1,2],' +
  '"filter_subject":"a","filter_subjects":["b","c"],"replay_policy":"original","rate_limit_bps":3,"sample_freq":"4%",' +
  '"max_waiting":5,"max_ack_pending":6,"flow_control":true,"headers_only":true,"max_batch":7,"max_expires":8,' +
  '"max_bytes":9,"deliver_subject":"e","deliver_group":"f","idle_heartbeat":10,"inactive_threshold":11,' +
  '"num_replicas":12,"mem_storage":true,"direct":true,"sourcing":true,"metadata":{"a":"1","b":"2"},' +
  '"pause_until":"2124-01-01T00:00:00Z","priority_groups":["g"],"priority_policy":"pinned_client",' +
  '"priority_timeout":13}';

function read(json: string, strict = true): ConsumerConfig {
  const [node] = parseJson(json).values;
  return readConsumerConfig(node!, { parent: null, step: 'config', isIndex: false, strict });
}

describe('a configuration', () => {
  test('is written as it was read, every field of it', () => {
    const config = read(FULL);
    expect(consumerConfigJson(config, config.metadata)).toBe(FULL);
  });

  test('has the fields that are always shown when nothing was said', () => {
    expect(consumerConfigJson(emptyConsumerConfig(), new Map())).toBe(
      '{"deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":0}',
    );
  });

  test('is read from fields in any case, the last of equal names wins', () => {
    expect(read('{"Name":"a","NAME":"b","name":"c"}').name).toBe('c');
  });

  test('keeps times in their zone, without trailing zeros', () => {
    expect(read('{"opt_start_time":"2024-01-01T00:00:00.500-01:00"}').optStartTime).toBe(
      '2024-01-01T00:00:00.5-01:00',
    );
    expect(read('{"pause_until":"2024-01-01T00:00:00.000Z"}').pauseUntil).toBe('2024-01-01T00:00:00Z');
  });

  test.each([
    ['{"priority_policy":"zz"}', 'unknown priority policy: "zz"'],
    ['{"deliver_policy":""}', String.raw`can not unmarshal "\"\""`],
    ['{"ack_policy":null}', 'can not unmarshal "null"'],
    ['{"foo":1}', 'json: unknown field "foo"'],
    ['{"backoff":["x"]}', 'json: cannot unmarshal string into config.backoff.0 of type time.Duration'],
  ])('%s is refused', (json, message) => {
    expect(() => read(json)).toThrow(new JsonError(message));
  });

  test('unknown fields are left out when nobody is strict', () => {
    expect(read('{"foo":1,"name":"a"}', false).name).toBe('a');
  });

  test('names of metadata are no names of objects', () => {
    const config = read('{"metadata":{"__proto__":"1","constructor":"2"}}');
    expect([...config.metadata]).toEqual([
      ['__proto__', '1'],
      ['constructor', '2'],
    ]);
  });

  test('a copy shares nothing with the original', () => {
    const config = read(FULL);
    const copy = copyConsumerConfig(config);
    expect(copy).toEqual(config);
    for (const key of ['backoffNs', 'filterSubjects', 'metadata', 'priorityGroups'] as const)
      expect(copy[key]).not.toBe(config[key]);
  });
});
