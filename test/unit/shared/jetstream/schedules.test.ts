/** Schedules over restarts: a run that was missed is made up for once, one that was not is not. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
import { SimulatedDisk } from '../../../simulation/disk.ts';
import { ACCOUNT, Harness } from './engine-harness.ts';
import { open, settle } from './store/harness.ts';

/** Begins a minute. */
const START_MS = 1_800_000_000_000;

let disk: SimulatedDisk;
let js: Harness<Store>;

function start(nowMs: number): void {
  js = new Harness<Store>({}, open(disk), nowMs);
}

/** The process is killed and another one started after so long. */
function restartAfter(ms: number): void {
  js.store.commit(true);
  disk = disk.copy();
  start(js.clock.ms + ms);
  js.advance(0);
}

function schedule(subject: string, pattern: string, more = ''): void {
  const ack = js.put(
    subject,
    'tick',
    `Nats-Schedule: ${pattern}\r\nNats-Schedule-Target: t.${subject}\r\n${more}`,
  );
  expect(ack).toContain('"seq"');
}

/** Seconds since the start at which a schedule produced what is still there. */
function runs(subject: string): number[] {
  const { last_seq: last } = js.state('S') as { last_seq: number };
  const found: number[] = [];
  for (let seq = 1; seq <= last; seq++) {
    const message = js.message('S', seq);
    if (message?.subject === `t.${subject}`) found.push((Date.parse(message.time) - START_MS) / 1000);
  }
  return found;
}

beforeEach(() => {
  disk = new SimulatedDisk();
  start(START_MS);
  js.create('S', { subjects: ['s.*', 't.>'], allow_msg_schedules: true, allow_msg_ttl: true });
});

describe.each(['@every 10s', '*/10 * * * * *'])('%s', (pattern) => {
  test('missed while the server was down, it fires once, and then as ever', () => {
    schedule('s.x', pattern);
    js.advance(10_500);
    expect(runs('s.x')).toEqual([10]);
    restartAfter(34_000);
    expect(runs('s.x')).toEqual([10, 44.5]);
    js.advance(11_000);
    expect(runs('s.x')).toEqual(pattern.startsWith('@') ? [10, 44.5, 55] : [10, 44.5, 50]);
  });

  test('missed before its first run, it fires once', () => {
    schedule('s.x', pattern);
    restartAfter(25_000);
    expect(runs('s.x')).toEqual([25]);
    restartAfter(1);
    expect(runs('s.x')).toEqual([25]);
  });

  test('not missed, it keeps its time, whatever became of what it produced', () => {
    schedule('s.x', pattern, 'Nats-Schedule-TTL: 1s\r\n');
    js.advance(12_500);
    expect(js.state('S')).toMatchObject({ messages: 1, last_seq: 2 });
    restartAfter(2000);
    expect(runs('s.x')).toEqual([]);
    js.put('t.s.x', 'by somebody else');
    restartAfter(1);
    expect(runs('s.x')).toHaveLength(1);
    js.advance(5500);
    expect(runs('s.x').at(-1)).toBe(20);
  });

  test('a checkpoint keeps what is logged of it', () => {
    schedule('s.x', pattern, 'Nats-Schedule-TTL: 1s\r\n');
    js.advance(12_500);
    js.store.commit(true);
    for (let at = 0; at < 200_000; at += 40_000) settle(js.store, at);
    restartAfter(100);
    restartAfter(1900);
    expect(js.state('S')).toMatchObject({ messages: 1, last_seq: 2 });
    restartAfter(6000);
    expect(runs('s.x')).toEqual([20.5]);
  });

  test('another one on its subject has times of its own, and nothing is left of one that ended', () => {
    schedule('s.x', pattern);
    js.advance(10_500);
    js.put('s.x', 'no schedule any more');
    schedule('s.y', '@every 5s');
    js.advance(6000);
    js.ask('STREAM.PURGE.S', { filter: 's.y' });
    js.advance(10_000);
    schedule('s.x', '@every 1m');
    restartAfter(30_000);
    expect(runs('s.x')).toEqual([10]);
    expect(runs('s.y')).toEqual([16]);
    expect(js.store.find(ACCOUNT, 'S')!.consumerLogKeys()).toEqual([]);
    js.store.commit(true);
    expect(open(disk.copy()).find(ACCOUNT, 'S')!.consumerLogKeys()).toEqual([]);
  });
});
