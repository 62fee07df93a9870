import { describe, expect, test } from 'vitest';
import { emptyConsumerConfig } from '../../../../../src/shared/jetstream/consumers/consumer-config.ts';
import {
  isSameConsumerConfig,
  newConsumerConfig,
  pausedConfig,
  updateConsumerConfig,
} from '../../../../../src/shared/jetstream/consumers/consumer-config-update.ts';
import type { ConsumerConfig } from '../../../../../src/shared/jetstream/consumers/contract.ts';
import { ApiError } from '../../../../../src/shared/jetstream/errors.ts';

function config(fields: Partial<ConsumerConfig> = {}): ConsumerConfig {
  return { ...emptyConsumerConfig(), name: 'c', ...fields };
}

const FIVE_SECONDS = 5_000_000_000n;

describe('an update', () => {
  test.each<[Partial<ConsumerConfig>, string]>([
    [{ deliverPolicy: 'new' }, 'deliver policy can not be updated'],
    [{ memStorage: true }, 'storage type can not be updated'],
    [{ direct: true }, 'direct can not be updated'],
    [{ sourcing: true }, 'sourcing can not be updated'],
    [{ optStartSeq: 1 }, 'start sequence can not be updated'],
    [{ optStartTime: '2024-01-01T00:00:00Z' }, 'start time can not be updated'],
    [{ ackPolicy: 'all' }, 'ack policy can not be updated'],
    [{ replayPolicy: 'original' }, 'replay policy can not be updated'],
    [{ idleHeartbeatNs: 1n }, 'heart beats can not be updated'],
    [{ flowControl: true }, 'flow control can not be updated'],
    [{ deliverSubject: 'd' }, 'can not update pull consumer to push based'],
    [{ maxWaiting: 1 }, 'max waiting can not be updated'],
  ])('may not change %o', (change, text) => {
    expect(updateConsumerConfig(config(), config(change))).toEqual(new ApiError(500, 10012, text));
  });

  test('may not take the deliver subject away, but change it', () => {
    const old = config({ deliverSubject: 'd' });
    expect(updateConsumerConfig(old, config())).toEqual(
      new ApiError(500, 10012, 'can not update push consumer to pull based'),
    );
    expect(updateConsumerConfig(old, config({ deliverSubject: 'e' }))).toMatchObject({ deliverSubject: 'e' });
  });

  test('may say the start time in another zone', () => {
    const old = config({ optStartTime: '2024-01-01T00:00:00Z' });
    const updated = config({ optStartTime: '2024-01-01T02:00:00+02:00' });
    expect(updateConsumerConfig(old, updated)).toMatchObject({ optStartTime: '2024-01-01T02:00:00+02:00' });
  });
});

describe('the threshold of inactivity', () => {
  test('is five seconds for a new ephemeral consumer that says nothing', () => {
    expect(newConsumerConfig(config()).inactiveThresholdNs).toBe(FIVE_SECONDS);
    expect(newConsumerConfig(config({ inactiveThresholdNs: 7n })).inactiveThresholdNs).toBe(7n);
    expect(newConsumerConfig(config({ durableName: 'c' })).inactiveThresholdNs).toBe(0n);
  });

  test('comes back to it when an update takes it away', () => {
    const old = config({ inactiveThresholdNs: 7n });
    expect(updateConsumerConfig(old, config())).toMatchObject({ inactiveThresholdNs: FIVE_SECONDS });
  });

  test('is none for one that was durable', () => {
    expect(updateConsumerConfig(config({ durableName: 'c' }), config())).toMatchObject({
      inactiveThresholdNs: 0n,
    });
  });
});

test('configurations are the same whatever the server put into their metadata', () => {
  const a = config({ metadata: new Map([['k', 'v']]) });
  const b = config({
    metadata: new Map([
      ['_nats.req.level', '1'],
      ['_nats.ver', 'x'],
      ['k', 'v'],
    ]),
  });
  expect(isSameConsumerConfig(a, b)).toBe(true);
  expect(isSameConsumerConfig(a, config())).toBe(false);
});

test('a pause needs its level, and takes it along when it ends', () => {
  const until = '2124-01-01T00:00:00Z';
  const paused = pausedConfig(config(), until);
  expect([paused.pauseUntil, paused.metadata.get('_nats.req.level')]).toEqual([until, '1']);
  const resumed = pausedConfig(paused, '');
  expect([resumed.pauseUntil, resumed.metadata.get('_nats.req.level')]).toEqual(['', '0']);
});
