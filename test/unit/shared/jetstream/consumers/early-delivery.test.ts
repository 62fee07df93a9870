import { describe, expect, test } from 'vitest';
import { Harness, type Received } from '../engine-harness.ts';
import { fill, sequences } from './received.ts';

/** A stream with consumers of every kind, each with a request that waits. */
function waiting(deliverEarly: boolean, storage = 'file'): { js: Harness; came: () => string[] } {
  const js = new Harness({ deliverEarly });
  js.create('S', { subjects: ['s'], storage });
  const configs = {
    explicit: {},
    all: { ackPolicy: 'all' },
    none: { ackPolicy: 'none' },
    memory: { memStorage: true },
    direct: { direct: true },
    mirror: { sourcing: true, ackPolicy: 'flow_control' },
  } as const;
  const inboxes = Object.entries(configs).map(([name, config]) => {
    js.consumer('S', name, config);
    return [name, js.pull('S', name, '{"batch":9,"expires":60000000000}')] as const;
  });
  const came = () => inboxes.flatMap(([name, inbox]) => (sequences(js.take(inbox)).length > 0 ? [name] : []));
  return { js, came };
}

describe('before the commit', () => {
  test('those deliver whose position is in the log', () => {
    const { js, came } = waiting(true);
    js.publish('s', 'm');
    expect(js.engine.hasEarly).toBe(true);
    expect(js.engine.hasLate).toBe(true);
    expect(js.engine.runReady(100, false)).toBe(false);
    expect(came()).toEqual(['explicit', 'all']);
    js.settle();
    expect(came()).toEqual(['none', 'memory', 'direct', 'mirror']);
  });

  test('of a stream in memory all that acknowledge', () => {
    const { js, came } = waiting(true, 'memory');
    js.publish('s', 'm');
    js.engine.runReady(100, false);
    expect(came()).toEqual(['explicit', 'all', 'memory']);
  });

  test('nobody delivers when that is not wanted', () => {
    const { js, came } = waiting(false);
    js.publish('s', 'm');
    js.engine.runReady(100, false);
    expect(came()).toEqual([]);
    js.settle();
    expect(came()).toHaveLength(6);
  });

  test('a consumer delivers no more than asked, and those who wait are not starved by it', () => {
    const { js } = waiting(true);
    const explicit = js.pull('S', 'explicit', '{"batch":900,"expires":60000000000}');
    const none = js.pull('S', 'none', '{"batch":900,"expires":60000000000}');
    fill(js, 700);
    while (js.engine.runReady(1, false, 5) && sequences(js.take(explicit)).length === 0);
    for (let turns = 0; sequences(js.take(none)).length === 0; turns++) {
      expect(turns).toBeLessThan(12);
      js.engine.runReady(1);
    }
    expect(js.engine.hasEarly).toBe(true);
  });
});

describe('an acknowledgement of a message from before the start', () => {
  /** Delivers three messages, and starts anew. */
  function restarted(ackPolicy: 'explicit' | 'all'): { js: Harness; got: Received[]; pending: () => number } {
    const before = new Harness();
    before.create('S', { subjects: ['s'] });
    before.consumer('S', 'c', { ackPolicy });
    fill(before, 3);
    const got = before.take(before.pull('S', 'c', '3'));
    before.advance(1000);
    const js = before.restart();
    const pending = () =>
      js.engine.account('$G')!.streams.get('S')!.consumers.find('c')!.status().numAckPending;
    return { js, got, pending };
  }

  /** The reply subject with another time, in the form of 9, 11 or 12 tokens. */
  function reply({ reply }: Received, changeNs: bigint, tokens = 9): string {
    const parts = reply.split('.');
    parts[7] = String(BigInt(parts[7]!) + changeNs);
    const head = tokens === 9 ? ['$JS', 'ACK'] : ['$JS', 'ACK', '_', 'ACaMBQGZ'];
    return [...head, ...parts.slice(2), ...(tokens === 12 ? ['x'] : [])].join('.');
  }

  const policies = ['explicit', 'all'] as const;

  test.each(policies)('counts when it is of the message that has the sequence: %s', (policy) => {
    const { js, got, pending } = restarted(policy);
    expect(pending()).toBe(3);
    expect(js.request(reply(got[0]!, 0n), '+ACK')).toHaveLength(1);
    expect(pending()).toBe(2);
  });

  test.each(policies)('is ignored when another message has the sequence: %s', (policy) => {
    for (const [index, changeNs] of [-1n, 1n, -1_000_000n, 1_000_000n, 10n ** 15n].entries()) {
      const { js, got, pending } = restarted(policy);
      for (const body of ['', '+ACK', '+TERM', '-NAK', '+WPI']) {
        expect(js.request(reply(got[index % 3]!, changeNs), body)).toEqual([]);
      }
      js.publish(reply(got[0]!, changeNs), '+NXT', '', '_INBOX.next');
      js.settle();
      expect(js.take('_INBOX.next')).toEqual([]);
      fill(js, 1);
      js.settle();
      // It asks for more all the same.
      expect(sequences(js.take('_INBOX.next'))).toEqual([4]);
      expect(pending()).toBe(4);
    }
  });

  test('is told apart in every form of its subject', () => {
    const { js, got, pending } = restarted('explicit');
    const { subjects } = js;
    const hash = subjects.find((subject) => /^\$JS\.ACK\.\*\..+\.S\./.test(subject))!.split('.')[3]!;
    for (const tokens of [11, 12]) {
      js.publish(reply(got[0]!, 1n, tokens).replace('ACaMBQGZ', hash), '+ACK');
      expect(pending()).toBe(3);
    }
    js.publish(reply(got[0]!, 0n, 11).replace('ACaMBQGZ', hash), '+ACK');
    js.publish(reply(got[1]!, 0n, 12).replace('ACaMBQGZ', hash), '+ACK');
    expect(pending()).toBe(1);
  });

  test('without a time is taken as nats-server takes it', () => {
    const { js, got, pending } = restarted('explicit');
    const parts = got[0]!.reply.split('.');
    parts[7] = 'x';
    js.publish(parts.join('.'), '+ACK');
    expect(pending()).toBe(2);
  });

  test('is answered again when it is known already, and ignored when nobody can tell', () => {
    const { js, got, pending } = restarted('all');
    const acknowledged = reply(got[1]!, 0n);
    expect(js.request(acknowledged, '+ACK')).toHaveLength(1);
    const { store } = js.engine.account('$G')!.streams.get('S')!;
    store.remove(2, false);
    store.remove(3, false);
    expect(js.request(acknowledged, '+ACK')).toHaveLength(1);
    expect(js.request(reply(got[2]!, 0n), '+ACK')).toEqual([]);
    expect(pending()).toBe(1);
  });
});
