import { describe, expect, test } from 'vitest';
import { emptyConsumerConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config.ts';
import {
  type ConsumerConfigContext,
  checkConsumerConfig,
  samplePercent,
} from '../../../../../src/shared/jetstream/consumers/consumer-config-check.ts';
import type { ConsumerConfig } from '../../../../../src/shared/jetstream/consumers/contract.ts';
import { ApiError } from '../../../../../src/shared/jetstream/errors.ts';
import { emptyStreamConfig, type StreamConfig } from '../../../../../src/shared/jetstream/stream-config.ts';

/** The recorded answers have what one server can be asked; here is what takes other servers, accounts and streams. */
function check(
  config: Partial<ConsumerConfig>,
  context: Partial<ConsumerConfigContext> = {},
  stream: Partial<StreamConfig> = {},
): ConsumerConfig | ApiError {
  return checkConsumerConfig(
    { ...emptyConsumerConfig(), ...config },
    {
      pedantic: false,
      stream: { ...emptyStreamConfig(), name: 'S', subjects: ['s'], replicas: 1, ...stream },
      maxAckPending: 0,
      maxRequestBatch: 0,
      accountMaxAckPending: -1,
      ...context,
    },
  );
}

function code(result: ConsumerConfig | ApiError): number {
  return result instanceof ApiError ? result.errCode : 0;
}

function accepted(result: ConsumerConfig | ApiError): ConsumerConfig {
  if (result instanceof ApiError) throw new Error(result.description);
  return result;
}

describe('replicas', () => {
  test('may not be more than the stream has', () => {
    expect(code(check({ replicas: 2 }))).toBe(10126);
    expect(code(check({ replicas: 3 }, {}, { replicas: 3 }))).toBe(0);
  });

  test('are those of the stream when it keeps messages for its consumers', () => {
    expect(code(check({ replicas: 1 }, {}, { replicas: 3, retention: 'interest' }))).toBe(10134);
    expect(
      code(check({ replicas: 1, ackPolicy: 'explicit' }, {}, { replicas: 3, retention: 'workqueue' })),
    ).toBe(10134);
    expect(code(check({ replicas: 0 }, {}, { replicas: 3, retention: 'interest' }))).toBe(0);
    expect(code(check({ replicas: 1 }, {}, { replicas: 3 }))).toBe(0);
  });
});

describe('limits', () => {
  const explicit = { ackPolicy: 'explicit' } as const;

  test('the least of server and account lowers the default of max_ack_pending', () => {
    const limits = { maxAckPending: 100, accountMaxAckPending: 50 };
    expect(accepted(check(explicit, limits)).maxAckPending).toBe(50);
    expect(accepted(check(explicit, { ...limits, maxAckPending: 20 })).maxAckPending).toBe(20);
    expect(accepted(check(explicit)).maxAckPending).toBe(1000);
  });

  test('what is asked for may exceed neither', () => {
    expect(check({ ...explicit, maxAckPending: 51 }, { accountMaxAckPending: 50 })).toEqual(
      new ApiError(400, 10121, 'consumer max ack pending exceeds system limit of 50'),
    );
    expect(code(check({ ...explicit, maxAckPending: 50 }, { accountMaxAckPending: 50 }))).toBe(0);
  });

  test('metadata counts with what the server adds', () => {
    const metadata = (characters: number) => new Map([['a', 'x'.repeat(characters)]]);
    const own = '_nats.req.level'.length + 1;
    expect(code(check({ metadata: metadata(131_072 - own - 1) }))).toBe(0);
    expect(check({ metadata: metadata(131_072 - own) })).toEqual(
      new ApiError(400, 10135, 'consumer metadata exceeds maximum size of 128KB'),
    );
  });

  test('sequences stay exact', () => {
    const start = { deliverPolicy: 'by_start_sequence' } as const;
    expect(code(check({ ...start, optStartSeq: Number.MAX_SAFE_INTEGER }))).toBe(0);
    expect(code(check({ ...start, optStartSeq: 2 ** 64 }))).toBe(10094);
  });
});

describe('names', () => {
  test('a durable consumer has one', () => {
    expect(code(check({ durableName: 'a', name: 'b' }))).toBe(10132);
    expect(code(check({ durableName: 'a', name: 'a' }))).toBe(0);
    expect(check({ durableName: 'a.b', name: 'a.b' })).toEqual(
      new ApiError(500, 10052, String.raw`consumer durable name can not contain '.', '*', '>', '\', '/'`),
    );
  });
});

test('what was submitted is not changed', () => {
  const config = { ...emptyConsumerConfig(), ackPolicy: 'explicit' as const, maxWaiting: -1 };
  const before = structuredClone(config);
  const checked = accepted(check(config));
  expect(config).toEqual(before);
  expect(checked).toMatchObject({ maxWaiting: 512, ackWaitNs: 30_000_000_000n });
});

test.each([
  ['5', 5],
  ['5%', 5],
  ['+100', 100],
  ['-1', '<nil>'],
  ['%', 'strconv.Atoi: parsing "": invalid syntax'],
  ['9223372036854775808', 'strconv.Atoi: parsing "9223372036854775808": value out of range'],
])('a sample_freq of %s', (sampleFreq, percent) => {
  expect(samplePercent(sampleFreq)).toBe(percent);
});

test.each<[Partial<ConsumerConfig>, string]>([
  [{}, '0'],
  [{ pauseUntil: '0001-01-01T00:00:00Z' }, '0'],
  [{ pauseUntil: '2024-01-01T00:00:00Z' }, '1'],
  [{ priorityPolicy: 'overflow', priorityGroups: ['A'] }, '1'],
  [{ ackPolicy: 'flow_control', deliverSubject: 'd' }, '4'],
])('level of %o is %s', (config, level) => {
  expect(accepted(check(config)).metadata.get('_nats.req.level')).toBe(level);
});
