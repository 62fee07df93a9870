import { describe, expect, test } from 'vitest';
import { HEAD_WORD, ROOM_WORD, TAIL_WORD, VERSION_WORD } from '../../../../src/shared/ring/layout.ts';
import { createRing, RingConsumer, RingProducer, recordBytes } from '../../../../src/shared/ring/ring.ts';

function pair(capacityBytes: number, startPosition = 0): [RingProducer, RingConsumer] {
  const memory = createRing(capacityBytes, startPosition);
  return [new RingProducer(memory), new RingConsumer(memory)];
}

function send(producer: RingProducer, type: number, payload: number[], reserveBytes = 0): boolean {
  const offset = producer.tryClaim(type, payload.length, reserveBytes);
  if (offset === -1) return false;
  producer.bytes.set(payload, offset);
  producer.commit();
  producer.publish();
  return true;
}

/** Fills the ring with empty records and returns how many fitted. */
function fill(producer: RingProducer, type = 0): number {
  let count = 0;
  while (send(producer, type, [])) count++;
  return count;
}

function receive(consumer: RingConsumer, limitBytes?: number): [number, number[]][] {
  const records: [number, number[]][] = [];
  consumer.drain((type, offset, length) => {
    records.push([type, [...consumer.bytes.subarray(offset, offset + length)]]);
  }, limitBytes);
  return records;
}

describe('createRing', () => {
  test.each([0, 32, 63, 65, 96, 1000, 2 ** 31, -64, 64.5, Number.NaN])('refuses a capacity of %d', (size) => {
    expect(() => createRing(size)).toThrow('ring: the capacity must be a power of two');
  });

  test('refuses a start position that is not aligned', () => {
    expect(() => createRing(64, 4)).toThrow('ring: the start position must be 8-aligned');
  });

  test('starts empty', () => {
    const [producer, consumer] = pair(64);
    expect(producer.freeBytes()).toBe(64);
    expect(producer.capacityBytes).toBe(64);
    expect(producer.maxRecordBytes).toBe(8);
    expect(producer.maxReserveBytes).toBe(32);
    expect(consumer.capacityBytes).toBe(64);
    expect(consumer.isEmpty()).toBe(true);
    expect(consumer.pendingBytes()).toBe(0);
    expect(receive(consumer)).toEqual([]);
  });

  test.each([RingProducer, RingConsumer])('the ends refuse foreign memory (%s)', (End) => {
    expect(() => new End(new SharedArrayBuffer(16))).toThrow('ring: the memory is too small');
    expect(() => new End(new SharedArrayBuffer(1024))).toThrow('ring: the memory was not made by createRing');
    const other = createRing(64);
    new Int32Array(other)[VERSION_WORD] = 99;
    expect(() => new End(other)).toThrow('ring: the memory has another layout version');
    const longer = new SharedArrayBuffer(1024);
    new Uint8Array(longer).set(new Uint8Array(createRing(64)).subarray(0, 512));
    expect(() => new End(longer)).toThrow('ring: the capacity does not match the memory');
  });
});

describe('RingProducer', () => {
  test('a record is seen after publish, not before', () => {
    const [producer, consumer] = pair(256);
    expect(producer.publish()).toBe(false);
    const offset = producer.tryClaim(3, 5);
    expect(offset % 8).toBe(0);
    producer.bytes.set([1, 2, 3, 4, 5], offset);
    expect(producer.publish()).toBe(false);
    producer.commit();
    expect(consumer.isEmpty()).toBe(true);
    expect(producer.publish()).toBe(true);
    expect(producer.publish()).toBe(false);
    expect(consumer.pendingBytes()).toBe(16);
    expect(receive(consumer)).toEqual([[3, [1, 2, 3, 4, 5]]]);
    expect(consumer.isEmpty()).toBe(true);
  });

  test('claims add up: one commit keeps all, one abort drops all', () => {
    const [producer, consumer] = pair(256);
    producer.tryClaim(1, 0);
    producer.tryClaim(2, 0);
    producer.commit();
    producer.tryClaim(3, 0);
    producer.tryClaim(4, 0);
    producer.abort();
    producer.abort();
    producer.tryClaim(5, 0);
    producer.commit();
    producer.publish();
    expect(receive(consumer).map(([type]) => type)).toEqual([1, 2, 5]);
  });

  test('the last record is made longer until it is published', () => {
    const [producer, consumer] = pair(256);
    const first = producer.tryClaim(1, 2);
    producer.bytes.set([1, 2], first);
    expect(producer.tryExtend(first, 3)).toBe(false);
    producer.commit();
    expect(producer.tryExtend(first, 32)).toBe(true);
    producer.bytes.set([7, 8], first + 30);
    const second = producer.tryClaim(2, 0);
    producer.commit();
    expect(producer.tryExtend(first, 32)).toBe(false);
    expect(producer.tryExtend(second, 1)).toBe(true);
    producer.publish();
    expect(producer.tryExtend(second, 2)).toBe(false);
    expect(() => producer.tryExtend(second, 33)).toThrow('ring: the record length');
    expect(() => producer.tryExtend(second, 2, 129)).toThrow('ring: the reserve');
    const [[, long], [, short]] = receive(consumer) as [[number, number[]], [number, number[]]];
    expect([long.length, long.slice(0, 2), long.slice(30), short.length]).toEqual([32, [1, 2], [7, 8], 1]);
  });

  test('publish shows what is committed while a claim is open', () => {
    const [producer, consumer] = pair(256);
    producer.tryClaim(1, 0);
    producer.commit();
    producer.tryClaim(2, 0);
    expect(producer.publish()).toBe(true);
    expect(receive(consumer).map(([type]) => type)).toEqual([1]);
    producer.commit();
    producer.publish();
    expect(receive(consumer).map(([type]) => type)).toEqual([2]);
  });

  test('misuse throws', () => {
    const [producer] = pair(256);
    expect(() => producer.commit()).toThrow('ring: commit without a claim');
    expect(() => producer.tryClaim(0, 33)).toThrow('ring: the record length');
    expect(() => producer.tryClaim(0, -1)).toThrow('ring: the record length');
    expect(() => producer.tryClaim(0, 1.5)).toThrow('ring: the record length');
    expect(() => producer.tryClaim(-1, 0)).toThrow('ring: the record type');
    expect(() => producer.tryClaim(2 ** 31, 0)).toThrow('ring: the record type');
    expect(() => producer.tryClaim(0, 0, 129)).toThrow('ring: the reserve');
    expect(() => producer.tryClaim(0, 0, -1)).toThrow('ring: the reserve');
    expect(() => producer.requestRoom(0)).toThrow('ring: the wanted room');
    expect(() => producer.requestRoom(129)).toThrow('ring: the wanted room');
    expect(producer.freeBytes()).toBe(256);
  });

  test('a full ring refuses, keeps what it has, and takes again once drained', () => {
    const [producer, consumer] = pair(64);
    expect(fill(producer)).toBe(8);
    expect(producer.freeBytes()).toBe(0);
    expect(receive(consumer)).toHaveLength(8);
    expect(producer.freeBytes()).toBe(64);
    expect(send(producer, 1, [1, 2, 3])).toBe(true);
    expect(receive(consumer)).toEqual([[1, [1, 2, 3]]]);
  });

  test('a refused claim leaves the earlier ones open', () => {
    const [producer, consumer] = pair(64);
    for (let type = 0; type < 8; type++) expect(producer.tryClaim(type, 0)).not.toBe(-1);
    expect(producer.tryClaim(8, 0)).toBe(-1);
    producer.commit();
    producer.publish();
    expect(receive(consumer)).toHaveLength(8);
  });

  test('the longest record fits an empty ring at every position', () => {
    for (let start = 0; start < 128; start += 8) {
      const [producer, consumer] = pair(128, start);
      const payload = Array.from({ length: producer.maxRecordBytes }, (_, index) => index + start);
      expect(send(producer, 1, payload, producer.maxReserveBytes)).toBe(true);
      expect(receive(consumer)).toEqual([[1, payload]]);
    }
  });

  test('a record that would cross the end goes to the beginning, behind padding', () => {
    const [producer, consumer] = pair(128, 112);
    const offset = producer.tryClaim(9, 16);
    expect(offset).toBe(512 + 8);
    expect(producer.freeBytes()).toBe(128 - 16 - recordBytes(16));
    producer.commit();
    producer.publish();
    expect(receive(consumer).map(([type]) => type)).toEqual([9]);
    expect(producer.freeBytes()).toBe(128);
  });

  test('the reserve stays free for those who do not ask for it', () => {
    const [producer] = pair(64);
    let bulk = 0;
    while (send(producer, 1, [], 16)) bulk++;
    expect(bulk).toBe(6);
    expect(producer.freeBytes()).toBe(16);
    expect(send(producer, 2, [])).toBe(true);
    expect(send(producer, 2, [])).toBe(true);
    expect(send(producer, 2, [])).toBe(false);
  });

  test('a new producer and a new consumer go on where the last ones stopped', () => {
    const memory = createRing(64);
    send(new RingProducer(memory), 1, []);
    const producer = new RingProducer(memory);
    send(producer, 2, []);
    producer.tryClaim(3, 0);
    producer.commit();
    send(new RingProducer(memory), 4, []);
    receive(new RingConsumer(memory), 1);
    expect(receive(new RingConsumer(memory)).map(([type]) => type)).toEqual([2, 4]);
  });
});

describe('RingConsumer', () => {
  test('drain handles what was published before it began', () => {
    const [producer, consumer] = pair(256);
    send(producer, 0, []);
    let calls = 0;
    consumer.drain((type) => {
      calls++;
      send(producer, type + 1, []);
    });
    expect(calls).toBe(1);
    expect(receive(consumer)).toEqual([[1, []]]);
  });

  test('the limit stops after the record that reaches it, and padding is not counted', () => {
    const [producer, consumer] = pair(128, 120);
    for (let type = 1; type <= 4; type++) send(producer, type, [type]);
    expect(consumer.pendingBytes()).toBe(8 + 4 * 16);
    expect(receive(consumer, 1).map(([type]) => type)).toEqual([1]);
    expect(receive(consumer, 17).map(([type]) => type)).toEqual([2, 3]);
    expect(receive(consumer, 1).map(([type]) => type)).toEqual([4]);
    expect(() => consumer.drain(() => {}, 0)).toThrow('ring: the limit must be above 0');
  });

  test('a handler that returns false keeps its record and all behind it', () => {
    const [producer, consumer] = pair(128, 104);
    for (let type = 1; type <= 3; type++) send(producer, type, [type, type]);
    expect(consumer.drain((type) => type !== 2)).toBe(1);
    expect(consumer.drain(() => false)).toBe(0);
    expect(consumer.isEmpty()).toBe(false);
    expect(receive(consumer)).toEqual([
      [2, [2, 2]],
      [3, [3, 3]],
    ]);
    expect(producer.freeBytes()).toBe(128);
  });

  test('a handler that throws has consumed its record', () => {
    const [producer, consumer] = pair(128);
    for (let type = 1; type <= 3; type++) send(producer, type, []);
    const failing = (type: number): void => {
      if (type === 2) throw new RangeError('no');
    };
    expect(() => consumer.drain(failing)).toThrow(RangeError);
    expect(producer.freeBytes()).toBe(120);
    expect(receive(consumer)).toEqual([[3, []]]);
  });

  test('drain inside a handler is refused, and later drains work', () => {
    const [producer, consumer] = pair(128);
    send(producer, 1, []);
    send(producer, 2, []);
    expect(() => consumer.drain(() => void consumer.drain(() => {}))).toThrow(
      'ring: drain is not re-entrant',
    );
    expect(receive(consumer)).toEqual([[2, []]]);
  });

  test('space is freed during a long drain', () => {
    const [producer, consumer] = pair(128);
    fill(producer);
    const free: number[] = [];
    consumer.drain(() => {
      free.push(producer.freeBytes());
    });
    expect(free).toEqual([0, 0, 16, 16, 32, 32, 48, 48, 64, 64, 80, 80, 96, 96, 112, 112]);
  });

  test('an overwritten record header is noticed', () => {
    const memory = createRing(64);
    const producer = new RingProducer(memory);
    const offset = producer.tryClaim(1, 8);
    producer.commit();
    producer.publish();
    producer.view.setInt32(offset - 8, 4096, true);
    expect(() => new RingConsumer(memory).drain(() => {})).toThrow('ring: a record header was overwritten');
    producer.view.setInt32(offset - 8, -8, true);
    expect(() => new RingConsumer(memory).drain(() => {})).toThrow('ring: a record header was overwritten');
  });
});

describe('waiting for room', () => {
  test('the consumer learns of the request once, after it freed what was wanted', () => {
    const [producer, consumer] = pair(128);
    fill(producer);
    expect(consumer.roomRequested()).toBe(false);
    expect(producer.requestRoom(64)).toBe(true);
    expect(producer.roomFreed()).toBe(false);
    expect(consumer.roomRequested()).toBe(false);
    consumer.drain(() => {}, 56);
    expect(producer.roomFreed()).toBe(true);
    expect(consumer.roomRequested()).toBe(false);
    consumer.drain(() => {}, 8);
    expect(consumer.roomRequested()).toBe(true);
    expect(consumer.roomRequested()).toBe(false);
    expect(producer.tryClaim(1, 0)).not.toBe(-1);
    expect(producer.roomFreed()).toBe(false);
  });

  test('a request that comes after the space was freed does not stand', () => {
    const memory = createRing(64);
    const producer = new RingProducer(memory);
    const consumer = new RingConsumer(memory);
    fill(producer);
    consumer.drain(() => {});
    expect(consumer.roomRequested()).toBe(false);
    expect(producer.freeBytes()).toBe(64);
    expect(producer.requestRoom()).toBe(false);
    expect(new Int32Array(memory)[ROOM_WORD]).toBe(0);
    expect(consumer.roomRequested()).toBe(false);
  });

  test('nor does it when only a part was freed', () => {
    const [producer, consumer] = pair(64);
    fill(producer);
    consumer.drain(() => {}, 8);
    expect(producer.requestRoom(32)).toBe(false);
    expect(consumer.roomRequested()).toBe(false);
    fill(producer);
    expect(producer.requestRoom(32)).toBe(true);
  });

  test('without a refused claim there is nothing to wait for', () => {
    const [producer] = pair(64);
    expect(producer.roomFreed()).toBe(false);
    send(producer, 1, []);
    expect(producer.requestRoom()).toBe(false);
  });

  test('nobody waits for space that only open claims took', () => {
    const [producer] = pair(64);
    while (producer.tryClaim(0, 0) !== -1);
    expect(producer.requestRoom()).toBe(false);
    producer.abort();
    expect(producer.tryClaim(0, 0)).not.toBe(-1);
  });

  test('a request may stand before the publish that answers it', () => {
    const [producer, consumer] = pair(64);
    for (let count = 0; count < 8; count++) {
      producer.tryClaim(0, 0);
      producer.commit();
    }
    expect(producer.tryClaim(0, 0)).toBe(-1);
    expect(producer.requestRoom()).toBe(true);
    expect(producer.publish()).toBe(true);
    consumer.drain(() => {});
    expect(consumer.roomRequested()).toBe(true);
  });
});

test('positions are stored as wrapping 32-bit counters', () => {
  const memory = createRing(64, 2 ** 32 - 16);
  const words = new Int32Array(memory);
  const producer = new RingProducer(memory);
  const consumer = new RingConsumer(memory);
  expect(words[TAIL_WORD]).toBe(-16);
  for (let type = 0; type < 4; type++) send(producer, type, []);
  expect(words[TAIL_WORD]).toBe(16);
  expect(consumer.pendingBytes()).toBe(32);
  expect(receive(consumer).map(([type]) => type)).toEqual([0, 1, 2, 3]);
  expect(words[HEAD_WORD]).toBe(16);
});
