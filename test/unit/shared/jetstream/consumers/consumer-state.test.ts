import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../../../../src/shared/base/prng.ts';
import { AckReply, AckSubject } from '../../../../../src/shared/jetstream/consumers/runtime/ack-subject.ts';
import {
  type AckMode,
  ConsumerState,
} from '../../../../../src/shared/jetstream/consumers/runtime/consumer-state.ts';
import { PendingMessages } from '../../../../../src/shared/jetstream/consumers/runtime/pending.ts';
import {
  RecordReader,
  RecordWriter,
} from '../../../../../src/shared/jetstream/consumers/runtime/record-bytes.ts';
import {
  applyRecord,
  encodeState,
  StateLog,
} from '../../../../../src/shared/jetstream/consumers/runtime/state-log.ts';
import { FakeStore } from '../fake-store.ts';

function facts(state: ConsumerState): unknown {
  const { pending, exhausted } = state;
  const entries: number[][] = [];
  for (let at = pending.first; at < pending.end; at = pending.next(at)) {
    entries.push([pending.sequence(at), pending.consumerSeq(at), pending.timeMs(at), pending.deliveries(at)]);
  }
  return {
    consumerSeq: state.consumerSeq,
    streamSeq: state.streamSeq,
    floor: [state.floorConsumerSeq, state.floorStreamSeq],
    times: [state.deliveredMs, state.ackedMs],
    entries,
    exhausted: [...(exhausted ?? [])],
    redelivered: state.redelivered,
  };
}

test('pending messages agree with a map, whatever happens', () => {
  const prng = new Prng(5);
  const pending = new PendingMessages();
  const model = new Map<number, number>();
  let last = 0;
  for (let step = 0; step < 50_000; step++) {
    if (prng.below(100) < 52) {
      last += 1 + prng.below(prng.below(20) === 0 ? 1000 : 2);
      pending.add(last, last, 0, 1);
      model.set(last, 1);
    } else {
      const keys = [...model.keys()].slice(0, 40);
      const sequence = keys[prng.below(Math.max(1, keys.length))] ?? last + 1;
      const index = pending.find(sequence);
      expect(index >= 0).toBe(model.has(sequence));
      if (index >= 0 && prng.below(4) === 0) {
        pending.setDeliveries(index, 2);
        model.set(sequence, 2);
      } else if (index >= 0) {
        pending.settle(index);
        model.delete(sequence);
      }
    }
    expect(pending.find(last + 1)).toBe(-1);
    expect(pending.size).toBe(model.size);
    if (pending.size > 0) expect(pending.sequence(pending.first)).toBe([...model.keys()][0]);
    if (prng.below(200) === 0)
      for (; model.size > 0; ) {
        const [sequence] = model.keys();
        pending.settle(pending.find(sequence!));
        model.delete(sequence!);
      }
  }
  expect(pending.redelivered).toBe([...model.values()].filter((count) => count > 1).length);
});

test('a message that goes away moves no floor past one that is pending', () => {
  const state = new ConsumerState('all', 1);
  state.deliver(1, 1);
  state.deliver(2, 1);
  state.redeliver(state.pending.find(1), 2);
  expect(state.ackAll(1, 3, 3)).toBe(true);
  // Delivered as the fourth, next to the floor: but the second message was delivered before it.
  state.deliver(3, 4);
  expect(state.ack(3, 4, 5)).toBe(true);
  expect([state.floorConsumerSeq, state.floorStreamSeq]).toEqual([3, 1]);
  state.redeliver(state.pending.find(2), 6);
  expect(state.ackAll(2, 5, 7)).toBe(true);
  expect([state.pending.size, state.floorStreamSeq]).toEqual([0, 2]);
});

describe('the log', () => {
  test.each(['explicit', 'all', 'none'] as AckMode[])('leads to the same state again: %s', (mode) => {
    const prng = new Prng(11);
    for (let round = 0; round < 60; round++) {
      const store = new FakeStore();
      const spec = {
        account: 'A',
        name: 'S',
        storage: 'file' as const,
        compression: false,
        firstSeq: 0,
        blockBytes: 0,
      };
      const stream = store.createStream(spec)!;
      const log = new StateLog(stream, () => undefined);
      const state = new ConsumerState(mode, 1);
      log.whole('c', state);
      let nowMs = 1_800_000_000_000;
      for (let step = 0; step < 300; step++) {
        if (prng.below(3) === 0) nowMs += prng.below(1000);
        change(prng, state, log, nowMs);
        if (prng.below(10) === 0) log.flush();
      }
      log.flush();
      const again = new ConsumerState(mode, 1);
      for (const record of stream.takeConsumerLog('c')!.records)
        expect(applyRecord(again, record)).toBe(true);
      expect(facts(again)).toEqual(facts(state));
      const whole = new ConsumerState(mode, 1);
      expect(applyRecord(whole, encodeState(state))).toBe(true);
      expect(facts(whole)).toEqual(facts(state));
    }
  });

  test('records that are cut are noticed', () => {
    const state = new ConsumerState('explicit', 1);
    for (let i = 1; i < 200; i++) state.deliver(i * 3, 1_800_000_000_000 + i);
    const bytes = encodeState(state);
    for (let end = 0; end < bytes.length; end++) {
      expect(applyRecord(new ConsumerState('explicit', 1), bytes.subarray(0, end))).toBe(false);
    }
    expect(applyRecord(state, Uint8Array.of(0x53, 99))).toBe(false);
    expect(applyRecord(state, Uint8Array.of(0x7f, 1))).toBe(false);
  });
});

/** Makes a random change, and logs it. */
function change(prng: Prng, state: ConsumerState, log: StateLog, nowMs: number): void {
  const { pending } = state;
  const kind = prng.below(10);
  const sequence = state.streamSeq + (prng.below(4) === 0 ? prng.below(5) : 0);
  if (kind < 4 || (state.mode !== 'none' && pending.size === 0)) {
    state.deliver(sequence, nowMs);
    if (state.mode === 'none') log.position('c', sequence, nowMs);
    else log.deliver('c', sequence, nowMs);
    return;
  }
  if (state.mode === 'none') return;
  let index = pending.first;
  for (let skip = prng.below(pending.size); skip > 0; skip--) index = pending.next(index);
  const target = pending.sequence(index);
  const consumerSeq = pending.consumerSeq(index);
  if (kind < 7 && state.mode === 'all') {
    if (state.ackAll(target, consumerSeq, nowMs)) log.ackAll('c', target, consumerSeq, nowMs);
  } else if (kind < 7) {
    if (state.ack(target, consumerSeq, nowMs)) log.ack('c', target, consumerSeq, nowMs);
  } else if (kind === 7) {
    state.redeliver(index, nowMs);
    log.redeliver('c', target, nowMs);
  } else if (kind === 8) {
    pending.setTime(index, nowMs + 5);
    log.touch('c', target, nowMs + 5);
  } else {
    state.exhaust(index);
    log.exhaust('c', target);
  }
}

test('numbers of every size are written and read', () => {
  const numbers = [0, 1, 127, 128, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1];
  const writer = new RecordWriter();
  for (const number of numbers) writer.unsigned(number);
  for (const number of [0, -1, 1, -64, 64, 2 ** 40, -(2 ** 40), 2 ** 52 - 1]) writer.signed(number);
  const reader = new RecordReader(writer.bytes());
  expect(numbers.map(() => reader.unsigned())).toEqual(numbers);
  expect([0, 0, 0, 0, 0, 0, 0, 0].map(() => reader.signed())).toEqual([
    0,
    -1,
    1,
    -64,
    64,
    2 ** 40,
    -(2 ** 40),
    2 ** 52 - 1,
  ]);
  expect([reader.atEnd, reader.failed]).toEqual([true, false]);
  reader.byte();
  expect(reader.failed).toBe(true);
});

describe('acknowledgement subjects', () => {
  test.each([
    [1, 1, 1, 1_795_176_758_566, 930_257, 0],
    [12, 2 ** 53 - 1, 10 ** 12, 1_000_000_000_000, 7, 999_999_999],
    [1, 1_073_741_824, 1_073_741_823, 0, 5, 10 ** 9],
  ])('%d.%d.%d.%d+%d.%d is composed and parsed', (deliveries, streamSeq, consumerSeq, ms, nanos, pending) => {
    const reply = new AckReply();
    reply.compose(Buffer.from('$JS.ACK.S.c.'), deliveries, streamSeq, consumerSeq, ms, nanos, pending);
    const text = Buffer.from(reply.bytes.subarray(0, reply.length)).toString();
    const time = BigInt(ms) * 1_000_000n + BigInt(nanos);
    expect(text).toBe(`$JS.ACK.S.c.${deliveries}.${streamSeq}.${consumerSeq}.${time}.${pending}`);
    const parsed = new AckSubject();
    expect(parsed.parse(reply.bytes, 0, reply.length)).toBe(true);
    expect([parsed.deliveries, parsed.streamSeq, parsed.consumerSeq]).toEqual([
      deliveries,
      streamSeq,
      consumerSeq,
    ]);
  });

  test('each is composed from the one before, whatever that was', () => {
    const reply = new AckReply();
    const prefixes = [Buffer.from('$JS.ACK.S.c.'), Buffer.from('$JS.ACK.STREAM.consumer.')];
    const near = fc.constantFrom(-1, -1, 0, 1, 1, 1, 2, 90, -9_999);
    const numbers = fc.record({
      prefix: fc.constantFrom(...prefixes),
      steps: fc.tuple(near, near, near, near),
      nanos: fc.nat(999_999),
    });
    const run = fc.tuple(
      fc.constantFrom(1, 9, 95, 10 ** 9, 2 ** 53 - 10 ** 8),
      fc.array(numbers, { minLength: 20, maxLength: 60 }),
    );
    let composed = 0;
    fc.assert(
      fc.property(run, ([start, steps]) => {
        const values = [start, start, start, start] as [number, number, number, number];
        for (const { prefix, steps: by, nanos } of steps) {
          for (let i = 0; i < by.length; i++) values[i] = Math.max(0, values[i]! + by[i]!);
          const [deliveries, streamSeq, consumerSeq, pending] = values;
          reply.compose(prefix, deliveries, streamSeq, consumerSeq, 1_795_176_758_566, nanos, pending);
          const time = `1795176758566${String(nanos).padStart(6, '0')}`;
          const text = Buffer.from(reply.bytes.subarray(0, reply.length)).toString();
          expect(text).toBe(`${prefix}${deliveries}.${streamSeq}.${consumerSeq}.${time}.${pending}`);
          composed++;
        }
      }),
      { seed: 1, numRuns: 300 },
    );
    expect(composed).toBeGreaterThan(3000);
  });

  test('what is not one is refused, numbers that are none are 0', () => {
    const parse = (text: string) => {
      const subject = new AckSubject();
      return subject.parse(Buffer.from(text), 0, text.length) ? subject : null;
    };
    expect(parse('$JS.ACK.S.c.1.2.3.4')).toBeNull();
    expect(parse('$JS.ACK.S.c.1.2.3.4.5.6')).toBeNull();
    expect(parse('$JS.ACK.S.c.x.2a..4.5')).toMatchObject({ deliveries: 0, streamSeq: 0, consumerSeq: 0 });
    expect(parse('$JS.ACK.S.c.1.99999999999999999.3.4.5')).toMatchObject({ streamSeq: 0 });
    expect(parse('$JS.ACK._.hash.S.c.1.2.3.4.5.more.tokens')).toMatchObject({ streamSeq: 2, consumerSeq: 3 });
  });
});
