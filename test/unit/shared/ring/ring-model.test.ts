import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRing, RingConsumer, RingProducer } from '../../../../src/shared/ring/ring.ts';

/**
 * The ring against a plain queue. The model knows positions as unbounded numbers and says for every claim whether it
 * must fit, so a ring that refuses too early, too late, or confuses itself at the 32-bit wrap disagrees with it.
 */

interface DrainStep {
  kind: 'drain';
  limit: number;
  keepAt: number;
  throwAt: number;
}

type Step =
  | { kind: 'claim'; type: number; length: number; reserve: number }
  /** Makes the record that was committed last longer, by a share of what is left for it. */
  | { kind: 'extend'; share: number; reserve: number }
  | { kind: 'commit' }
  | { kind: 'abort' }
  | { kind: 'publish' }
  /** Publishes that part of what is committed. */
  | { kind: 'publishTo'; share: number }
  /** Takes back what is of this type and not published. */
  | { kind: 'withdraw'; type: number }
  | DrainStep;

interface ModelRecord {
  type: number;
  payload: number[];
  /** Position behind the record. */
  end: number;
  bytes: number;
  withdrawn: boolean;
  /** Of its payload in the ring's memory. */
  offset: number;
}

class Model {
  readonly capacity: number;
  head: number;
  claimed: number;
  committed: number;
  published: number;
  open: ModelRecord[] = [];
  unpublished: ModelRecord[] = [];
  queue: ModelRecord[] = [];
  serial = 0;
  /** Committed last. */
  last: ModelRecord = { type: 0, payload: [], end: 0, bytes: 0, withdrawn: false, offset: -1 };

  constructor(capacity: number, start: number) {
    this.capacity = capacity;
    this.head = start;
    this.claimed = start;
    this.committed = start;
    this.published = start;
  }

  show(count: number): void {
    this.queue.push(...this.unpublished.splice(0, count));
    this.published = this.queue.at(-1)?.end ?? this.published;
  }

  claim(type: number, length: number, reserve: number): ModelRecord | null {
    const bytes = 8 + Math.ceil(length / 8) * 8;
    const left = this.capacity - (this.claimed % this.capacity);
    const padding = bytes > left ? left : 0;
    if (this.claimed + padding + bytes + reserve - this.head > this.capacity) return null;
    this.claimed += padding + bytes;
    const serial = ++this.serial;
    const payload = Array.from({ length }, (_, index) => (serial * 7 + index) & 255);
    const record = { type, payload, end: this.claimed, bytes, withdrawn: false, offset: 0 };
    this.open.push(record);
    return record;
  }

  /** @returns the record, made longer by a known pattern; null: it may not be */
  extend(length: number, reserve: number): ModelRecord | null {
    const record = this.unpublished.at(-1);
    if (record === undefined || this.open.length > 0) return null;
    const bytes = 8 + Math.ceil(length / 8) * 8;
    const isWhole = ((record.end - record.bytes) % this.capacity) + bytes <= this.capacity;
    const end = record.end - record.bytes + bytes;
    if (!isWhole || end + reserve - this.head > this.capacity) return null;
    for (let index = record.payload.length; index < length; index++) record.payload.push((index * 5) & 255);
    record.end = end;
    record.bytes = bytes;
    this.claimed = end;
    this.committed = end;
    return record;
  }
}

/** Records that were made longer, in all scenarios. */
let extensions = 0;

function drain(model: Model, consumer: RingConsumer, step: DrainStep): void {
  const expected: ModelRecord[] = [];
  let passed = 0;
  let kept = false;
  let threw = false;
  for (let total = 0; total < step.limit && passed < model.queue.length; ) {
    const index = expected.length;
    const record = model.queue[passed]!;
    if (record.withdrawn) {
      passed++;
      continue;
    }
    if (index === step.keepAt) {
      kept = true;
      break;
    }
    total += record.bytes;
    passed++;
    expected.push(record);
    if (index === step.throwAt) {
      threw = true;
      break;
    }
  }
  const seen: { type: number; payload: number[] }[] = [];
  const handler = (type: number, offset: number, length: number): boolean => {
    if (seen.length === step.keepAt) return false;
    seen.push({ type, payload: [...consumer.bytes.subarray(offset, offset + length)] });
    if (seen.length - 1 === step.throwAt) throw new Error('thrown by the handler');
    return true;
  };
  if (threw) expect(() => consumer.drain(handler, step.limit)).toThrow('thrown by the handler');
  else expect(consumer.drain(handler, step.limit)).toBe(expected.length);
  expect(seen).toEqual(expected.map(({ type, payload }) => ({ type, payload })));
  const last = model.queue.splice(0, passed).at(-1);
  if (last !== undefined) model.head = last.end;
  // Padding before a record that was kept is freed though the record is not.
  if (kept) model.head = model.queue[0]!.end - model.queue[0]!.bytes;
}

function apply(model: Model, producer: RingProducer, consumer: RingConsumer, step: Step): void {
  if (step.kind === 'claim') {
    const record = model.claim(step.type, step.length, step.reserve);
    const offset = producer.tryClaim(step.type, step.length, step.reserve);
    expect(offset !== -1).toBe(record !== null);
    if (record !== null) {
      producer.bytes.set(record.payload, offset);
      record.offset = offset;
    }
  } else if (step.kind === 'extend') {
    const { offset, payload } = model.last;
    const payloadBytes = payload.length;
    const length = payloadBytes + Math.round(step.share * (producer.maxRecordBytes - payloadBytes));
    const record = model.extend(length, step.reserve);
    expect(producer.tryExtend(offset, length, step.reserve)).toBe(record !== null);
    if (record !== null) {
      producer.bytes.set(record.payload, offset);
      if (record.payload.length > payloadBytes) extensions++;
    }
  } else if (step.kind === 'commit') {
    if (model.open.length === 0) {
      expect(() => producer.commit()).toThrow('commit without a claim');
      return;
    }
    producer.commit();
    model.unpublished.push(...model.open.splice(0));
    model.last = model.unpublished.at(-1)!;
    model.committed = model.claimed;
  } else if (step.kind === 'abort') {
    producer.abort();
    model.open = [];
    model.claimed = model.committed;
  } else if (step.kind === 'publish') {
    expect(producer.publish()).toBe(model.unpublished.length > 0);
    model.show(model.unpublished.length);
  } else if (step.kind === 'publishTo') {
    const count = Math.floor(step.share * (model.unpublished.length + 1));
    const mark = count === 0 ? model.published : model.unpublished[count - 1]!.end;
    expect(producer.publishTo(mark | 0)).toBe(count > 0);
    model.show(count);
  } else if (step.kind === 'withdraw') {
    const unwanted = model.unpublished.filter(({ type, withdrawn }) => type === step.type && !withdrawn);
    for (const record of unwanted) record.withdrawn = true;
    expect(producer.withdraw((type) => type === step.type)).toBe(unwanted.length);
  } else drain(model, consumer, step);
}

const plain = (kind: 'commit' | 'abort' | 'publish') => fc.constant<Step>({ kind } as Step);

function scenarios(): fc.Arbitrary<{ capacity: number; start: number; steps: Step[] }> {
  return fc.constantFrom(64, 128, 256, 1024).chain((capacity) => {
    const claim = fc.record({
      kind: fc.constant('claim' as const),
      type: fc.constantFrom(0, 1, 77, 2 ** 31 - 1),
      length: fc.nat(capacity / 8),
      reserve: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(capacity / 2)),
    });
    const drainStep = fc.record({
      kind: fc.constant('drain' as const),
      limit: fc.oneof(fc.constant(2 ** 30), fc.integer({ min: 1, max: capacity })),
      keepAt: fc.constantFrom(-1, -1, -1, 0, 1, 3),
      throwAt: fc.constantFrom(-1, -1, -1, -1, 0, 2),
    });
    const step = fc.oneof(
      { weight: 6, arbitrary: claim },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('extend' as const),
          share: fc.constantFrom(0, 0.1, 0.3, 1),
          reserve: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(capacity / 2)),
        }),
      },
      { weight: 4, arbitrary: plain('commit') },
      { weight: 1, arbitrary: plain('abort') },
      { weight: 2, arbitrary: plain('publish') },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('publishTo' as const),
          share: fc.double({ min: 0, max: 0.999, noNaN: true }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('withdraw' as const), type: fc.constantFrom(0, 77) }),
      },
      { weight: 3, arbitrary: drainStep },
    );
    return fc.record({
      capacity: fc.constant(capacity),
      // Near zero, near the sign change of int32 and near the wrap of 32 bits.
      start: fc
        .tuple(fc.constantFrom(0, 2 ** 31, 2 ** 32), fc.integer({ min: -64, max: 16 }))
        .map(([base, eighths]) => Math.max(0, base + eighths * 8)),
      steps: fc.array<Step>(step, { maxLength: 150, size: 'max' }),
    });
  });
}

test('behaves as a queue of bytes of fixed capacity', () => {
  let drained = 0;
  let refused = 0;
  fc.assert(
    fc.property(scenarios(), ({ capacity, start, steps }) => {
      const memory = createRing(capacity, start);
      const producer = new RingProducer(memory);
      const consumer = new RingConsumer(memory);
      const model = new Model(capacity, start);
      for (const step of steps) {
        const before = model.queue.length;
        const claims = model.serial;
        apply(model, producer, consumer, step);
        if (step.kind === 'drain') drained += before - model.queue.length;
        if (step.kind === 'claim' && model.serial === claims) refused++;
        expect(producer.freeBytes()).toBe(capacity - (model.claimed - model.head));
        expect(consumer.isEmpty()).toBe(model.queue.length === 0);
        const published = model.queue.at(-1)?.end ?? model.head;
        expect(consumer.pendingBytes()).toBe(published - model.head);
      }
    }),
    { seed: 20_240_611, numRuns: 750 },
  );
  // The scenarios must reach both ends of the ring, or agreement means nothing.
  expect(drained).toBeGreaterThan(5000);
  expect(refused).toBeGreaterThan(1000);
  expect(extensions).toBeGreaterThan(500);
});
