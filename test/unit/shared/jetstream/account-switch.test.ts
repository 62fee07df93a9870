/** JetStream switched off for an account while the server runs, and on again: what a restart keeps is kept, and no more. */
import { describe, expect, test } from 'vitest';
import { UNLIMITED_JETSTREAM } from '../../../../src/shared/base/options.ts';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
import { SimulatedDisk } from '../../../simulation/disk.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';
import { open, settle } from './store/harness.ts';

function switchOff({ engine }: Harness<Store>): void {
  engine.disableAccount(ACCOUNT);
}

function switchOn({ engine }: Harness<Store>): void {
  engine.enableAccount(ACCOUNT, { limits: UNLIMITED_JETSTREAM, tiers: null });
  engine.recover();
}

function statusOf({ engine }: Harness<Store>, stream: string, consumer: string): unknown {
  return engine.account(ACCOUNT)?.streams.get(stream)?.consumers.find(consumer)?.status();
}

/** A stream with a consumer in the middle of its work, one that copies it, and what is in memory alone. */
function prepare(js: Harness<Store>): void {
  js.create('S', { subjects: ['s.*'] });
  js.create('C', { sources: [{ name: 'S' }] });
  js.create('M', { subjects: ['m'], storage: 'memory' });
  for (let i = 1; i <= 5; i++) js.put('s.x', `${i}`);
  js.put('m', 'in memory');
  js.consumer('S', 'c');
  js.consumer('S', 'light', { memStorage: true });
  const got = js.take(js.pull('S', 'c', '3'));
  js.publish(got[0]!.reply);
  js.advance(100);
}

describe('JetStream of an account', () => {
  test('switched off it hears nothing, switched on it is where it was', () => {
    const js = new Harness<Store>({}, open(new SimulatedDisk()));
    prepare(js);
    const before = statusOf(js, 'S', 'c');
    expect(before).toMatchObject({ numAckPending: 2, numPending: 2 });
    switchOff(js);
    expect(js.subjects).toEqual([]);
    expect(js.put('s.x', 'lost')).toBe('');
    expect(js.ask('STREAM.INFO.S')).toMatchObject({ error: { err_code: 10039 } });
    expect([js.engine.storeBytes, js.engine.memoryBytes]).toEqual([0, 0]);
    js.advance(60_000);
    switchOn(js);
    expect(js.ask('STREAM.NAMES')).toMatchObject({ streams: ['C', 'S'] });
    expect(js.ask('CONSUMER.NAMES.S')).toMatchObject({ consumers: ['c'] });
    expect(statusOf(js, 'S', 'c')).toEqual(before);
    js.settle();
    const inbox = js.pull('S', 'c', '9');
    js.advance(100);
    expect(js.take(inbox).map(({ payload }) => payload)).toEqual(['4', '5', '2', '3']);
    js.put('s.x', 'six');
    js.advance(100);
    expect(js.state('C')).toMatchObject({ messages: 6 });
    expect(js.message('C', 6)).toMatchObject({ data: 'six' });
    js.create('M', { subjects: ['m'], storage: 'memory' });
    expect(js.state('M')).toMatchObject({ messages: 0, last_seq: 0 });
  });

  test('a checkpoint and a restart while it is off lose nothing', () => {
    const disk = new SimulatedDisk();
    const store = open(disk);
    const js = new Harness<Store>({}, store);
    prepare(js);
    const before = statusOf(js, 'S', 'c');
    switchOff(js);
    store.commit(true);
    for (let at = 0; at < 200_000; at += 40_000) settle(store, at);
    store.close();
    const after = new Harness<Store>({}, open(disk.copy()), js.clock.ms);
    expect(statusOf(after, 'S', 'c')).toEqual(before);
    after.advance(100);
    expect(after.state('C')).toMatchObject({ messages: 5 });
  });

  test('off and on again and again, with work in between', () => {
    const js = new Harness<Store>({}, open(new SimulatedDisk()));
    js.create('S', { subjects: ['s'] });
    js.consumer('S', 'c');
    for (let round = 1; round <= 5; round++) {
      js.put('s', `${round}`);
      const [got] = js.take(js.pull('S', 'c', '1'));
      expect(got?.payload).toBe(`${round}`);
      if (round % 2 === 0) js.publish(got!.reply);
      switchOff(js);
      switchOn(js);
      expect(statusOf(js, 'S', 'c')).toMatchObject({ numAckPending: Math.ceil(round / 2), numPending: 0 });
    }
  });

  test('a restore under way is given up, and its name is free', () => {
    const js = new Harness<Store>({}, open(new SimulatedDisk()));
    const config = { name: 'R', subjects: ['r'] };
    const { deliver_subject: to } = js.ask('STREAM.RESTORE.R', {
      config,
      state: { messages: 0, bytes: 0, first_seq: 0, last_seq: 0 },
    });
    switchOff(js);
    expect(js.request(to as string, 'chunk')[0]?.headers).toContain('503');
    switchOn(js);
    expect(js.ask('STREAM.NAMES')).toMatchObject({ total: 0 });
    js.create('R', { subjects: ['r'] });
    expect(js.put('r', 'x')).toContain('"seq":1');
  });
});
