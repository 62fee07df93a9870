import { describe, expect, test } from 'vitest';
import { latin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import {
  OUTPUT_CHUNK_BYTES,
  OUTPUT_POOL_IDLE_CHUNKS,
  OUTPUT_POOL_MAX_CHUNKS,
} from '../../../../src/shared/base/limits.ts';
import { ChunkPool, Outbox, OutputChunk, type OutputPart } from '../../../../src/shared/base/outbox.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

class Owner {
  dirty = 0;
  filled = 0;
  outboxDirty(): void {
    this.dirty++;
  }
  outboxFilled(): void {
    this.filled++;
  }
}

class Payload {
  references = 0;
  released = 0;
  release(): void {
    this.released++;
  }
}

/** A pool that counts what is out, and refuses to take back what it hasn't given. */
class CountingPool extends ChunkPool {
  readonly out = new Set<OutputChunk>();
  override take(): OutputChunk {
    const chunk = super.take();
    // Old content must not matter.
    chunk.bytes.fill(0xee);
    this.out.add(chunk);
    return chunk;
  }
  override give(chunk: OutputChunk): void {
    if (!this.out.delete(chunk)) throw new Error('given back twice');
    super.give(chunk);
  }
}

function setUp(): { outbox: Outbox; owner: Owner; pool: CountingPool } {
  const owner = new Owner();
  const pool = new CountingPool();
  return { outbox: new Outbox(pool, owner), owner, pool };
}

function textOf(parts: OutputPart[]): string {
  return parts.map(({ bytes }) => latin1(bytes, 0, bytes.length)).join('');
}

describe('appending', () => {
  test('an outbox holds no chunk before there is output', () => {
    const { outbox, pool } = setUp();
    expect([outbox.pendingBytes, outbox.limit, pool.out.size, outbox.dirty]).toEqual([0, 0, 0, false]);
    expect(outbox.takeParts()).toEqual([]);
    expect(outbox.takeOnlyChunk()).toBeNull();
  });

  test('the owner is told once until the output is taken', () => {
    const { outbox, owner } = setUp();
    outbox.appendLatin1('a');
    outbox.appendLatin1('b');
    expect([owner.dirty, outbox.dirty]).toEqual([1, true]);
    outbox.recycle(outbox.takeParts());
    outbox.appendLatin1('c');
    expect(owner.dirty).toBe(2);
  });

  test.each([
    0,
    1,
    191,
    192,
    193,
    4096,
    OUTPUT_CHUNK_BYTES,
    OUTPUT_CHUNK_BYTES * 3 + 17,
  ])('a piece of %i bytes', (size) => {
    const { outbox, pool } = setUp();
    const text = 'abcdefghijk'.repeat(size / 11 + 1).slice(0, size);
    outbox.appendLatin1('<');
    outbox.append(latin1Bytes(`xx${text}yy`), 2, 2 + size);
    outbox.appendLatin1(`>${text}`);
    expect(outbox.pendingBytes).toBe(size * 2 + 2);
    const parts = outbox.takeParts();
    expect(textOf(parts)).toBe(`<${text}>${text}`);
    outbox.recycle(parts);
    expect(pool.out.size).toBe(0);
  });

  test('the owner hears of each part that is complete', () => {
    const { outbox, owner } = setUp();
    const payload = new Payload();
    outbox.append(new Uint8Array(OUTPUT_CHUNK_BYTES * 2), 0, OUTPUT_CHUNK_BYTES * 2);
    expect(owner.filled).toBe(2);
    outbox.appendShared(new Uint8Array(10), payload);
    expect(owner.filled).toBe(3);
    expect(outbox.pendingBytes).toBe(OUTPUT_CHUNK_BYTES * 2 + 10);
  });
});

describe('reserving', () => {
  test('gives contiguous room with slack behind it, at any fill', () => {
    const { outbox, pool } = setUp();
    const half = OUTPUT_CHUNK_BYTES / 2;
    for (const before of [0, 1, half - 17, half - 16, half - 15, half, OUTPUT_CHUNK_BYTES - 16]) {
      outbox.append(new Uint8Array(before), 0, before);
      outbox.reserve(half);
      expect(outbox.position + half).toBeLessThanOrEqual(outbox.limit);
      expect(outbox.limit + 16).toBeLessThanOrEqual(outbox.bytes.length);
      expect(outbox.view.buffer).toBe(outbox.bytes.buffer);
      outbox.position += half;
      outbox.touch();
      outbox.recycle(outbox.takeParts());
    }
    expect(pool.out.size).toBe(0);
  });

  test('room that is there already is not replaced', () => {
    const { outbox, owner } = setUp();
    outbox.appendLatin1('x');
    const { bytes } = outbox;
    outbox.reserve(outbox.limit - outbox.position);
    expect([outbox.bytes === bytes, owner.filled]).toEqual([true, 0]);
    outbox.reserve(outbox.limit - outbox.position + 1);
    expect([outbox.bytes === bytes, owner.filled, outbox.position]).toEqual([false, 1, 0]);
  });
});

describe('taking', () => {
  test('the only chunk is taken without a part', () => {
    const { outbox, pool } = setUp();
    outbox.appendLatin1('hello');
    const length = outbox.position;
    const chunk = outbox.takeOnlyChunk()!;
    expect(latin1(chunk.bytes, 0, length)).toBe('hello');
    expect([outbox.pendingBytes, outbox.dirty, outbox.takeOnlyChunk()]).toEqual([0, false, null]);
    outbox.appendLatin1('next');
    expect(latin1(chunk.bytes, 0, length)).toBe('hello');
    pool.give(chunk);
    expect(textOf(outbox.takeParts())).toBe('next');
  });

  test('a chunk that is not alone comes with the parts', () => {
    const { outbox } = setUp();
    outbox.appendLatin1('a');
    outbox.appendShared(latin1Bytes('b'), new Payload());
    expect(outbox.takeOnlyChunk()).toBeNull();
    outbox.appendLatin1('c');
    expect(outbox.takeOnlyChunk()).toBeNull();
    expect(textOf(outbox.takeParts())).toBe('abc');
  });

  test('what was put back comes first', () => {
    const { outbox, pool } = setUp();
    outbox.appendLatin1('one ');
    outbox.appendShared(latin1Bytes('two '), new Payload());
    outbox.appendLatin1('three ');
    const parts = outbox.takeParts();
    const written = parts.splice(0, 1);
    outbox.appendLatin1('four ');
    outbox.appendShared(latin1Bytes('five '), new Payload());
    outbox.putBack(parts);
    outbox.appendLatin1('six');
    expect(outbox.pendingBytes).toBe('two three four five six'.length);
    outbox.recycle(written);
    const rest = outbox.takeParts();
    expect(textOf(rest)).toBe('two three four five six');
    outbox.recycle(rest);
    expect(pool.out.size).toBe(0);
  });
});

describe('shared payloads', () => {
  test('are released when the last outbox is done, once', () => {
    const payload = new Payload();
    payload.references = 1;
    const boxes = [setUp().outbox, setUp().outbox, setUp().outbox];
    for (const outbox of boxes) outbox.appendShared(latin1Bytes('shared'), payload);
    expect(payload.references).toBe(4);
    boxes[0]!.recycle(boxes[0]!.takeParts());
    boxes[1]!.discard();
    boxes[2]!.recycle(boxes[2]!.takeParts());
    expect([payload.references, payload.released]).toEqual([1, 0]);
    const { outbox } = setUp();
    outbox.appendShared(latin1Bytes('shared'), payload);
    payload.references--;
    outbox.discard();
    expect([payload.references, payload.released]).toEqual([0, 1]);
  });

  test('a closed outbox gives a payload back at once', () => {
    const { outbox } = setUp();
    const payload = new Payload();
    payload.references = 1;
    outbox.discard();
    outbox.appendShared(latin1Bytes('x'), payload);
    expect([payload.references, payload.released, outbox.pendingBytes]).toEqual([1, 0, 0]);
  });
});

describe('discarding', () => {
  test('gives everything back and swallows what comes later', () => {
    const { outbox, pool, owner } = setUp();
    const payload = new Payload();
    outbox.append(new Uint8Array(OUTPUT_CHUNK_BYTES * 2), 0, OUTPUT_CHUNK_BYTES * 2);
    outbox.appendShared(new Uint8Array(5), payload);
    outbox.appendLatin1('tail');
    outbox.discard();
    expect([outbox.pendingBytes, outbox.closed, outbox.refusing]).toEqual([0, true, true]);
    expect([pool.out.size, payload.released]).toEqual([0, 1]);
    const told = owner.dirty;
    outbox.appendLatin1('late');
    outbox.append(new Uint8Array(OUTPUT_CHUNK_BYTES * 3), 0, OUTPUT_CHUNK_BYTES * 3);
    expect([outbox.pendingBytes, pool.out.size, owner.dirty]).toEqual([0, 0, told]);
    outbox.discard();
    expect(pool.out.size).toBe(0);
  });

  test('gives back a chunk that was reserved and not used', () => {
    const { outbox, pool } = setUp();
    outbox.reserve(100);
    expect(pool.out.size).toBe(1);
    outbox.discard();
    expect(pool.out.size).toBe(0);
  });
});

test('the pool keeps a bounded number of chunks', () => {
  const pool = new ChunkPool();
  const chunks = Array.from({ length: OUTPUT_POOL_MAX_CHUNKS + 1 }, () => new OutputChunk(8));
  for (const chunk of chunks) pool.give(chunk);
  const taken = new Set(Array.from({ length: OUTPUT_POOL_MAX_CHUNKS }, () => pool.take()));
  expect(chunks.filter((chunk) => taken.has(chunk))).toHaveLength(OUTPUT_POOL_MAX_CHUNKS);
  expect(pool.take().bytes).toHaveLength(OUTPUT_CHUNK_BYTES);
});

/** Writes as the router does: whole words, up to three bytes too far. */
function wordAppend(outbox: Outbox, text: string): void {
  outbox.reserve(text.length);
  const source = new DataView(latin1Bytes(text, 16).buffer);
  for (let i = 0; i < text.length; i += 4)
    outbox.view.setInt32(outbox.position + i, source.getInt32(i, true), true);
  outbox.position += text.length;
  outbox.touch();
}

test.each([1, 2, 3, 4, 5])('against a plain string, seed %i', (seed) => {
  const random = seededRandom(seed);
  const { outbox, pool } = setUp();
  const payloads: Payload[] = [];
  let expected = '';
  let written = '';
  let serial = 0;
  const text = (length: number): string => `${serial++}:`.repeat(length).slice(0, length);
  const write = (parts: OutputPart[]): void => {
    written += textOf(parts);
    outbox.recycle(parts);
  };
  for (let step = 0; step < 800; step++) {
    const length = random.pick([1, 5, 64, 190, 200, 5000, 40_000]) + random.below(8);
    const piece = text(length);
    switch (random.below(7)) {
      case 0:
        outbox.appendLatin1(piece);
        break;
      case 1:
        outbox.append(latin1Bytes(`__${piece}_`), 2, 2 + length);
        break;
      case 2:
      case 3:
        wordAppend(outbox, piece);
        break;
      case 4: {
        const payload = new Payload();
        payloads.push(payload);
        outbox.appendShared(latin1Bytes(piece), payload);
        break;
      }
      case 5: {
        const parts = outbox.takeParts();
        const back = parts.splice(random.below(parts.length + 1));
        if (random.below(2) === 0) {
          const more = text(3);
          outbox.appendLatin1(more);
          expected += more;
        }
        outbox.putBack(back);
        write(parts);
        continue;
      }
      default: {
        const { position } = outbox;
        const chunk = outbox.takeOnlyChunk();
        if (chunk !== null) {
          written += latin1(chunk.bytes, 0, position);
          pool.give(chunk);
        }
        continue;
      }
    }
    expected += piece;
    expect(outbox.pendingBytes).toBe(expected.length - written.length);
  }
  write(outbox.takeParts());
  expect(written === expected).toBe(true);
  expect(pool.out.size).toBe(0);
  expect(payloads.every(({ references, released }) => references === 0 && released === 1)).toBe(true);
});

test('the pool lets go what was not used between two trims, but for a few', () => {
  const pool = new ChunkPool();
  const free = () => {
    const taken: OutputChunk[] = [];
    for (let i = 0; i < OUTPUT_POOL_MAX_CHUNKS; i++) taken.push(pool.take());
    return taken.filter((chunk) => chunk.bytes.length === 8).length;
  };
  const give = (count: number) => {
    for (let i = 0; i < count; i++) pool.give(new OutputChunk(8));
  };
  const used = 20;
  give(OUTPUT_POOL_IDLE_CHUNKS + 100);
  pool.trim();
  // All of them came since the trim before.
  for (const chunk of Array.from({ length: used }, () => pool.take())) pool.give(chunk);
  pool.trim();
  expect(free()).toBe(OUTPUT_POOL_IDLE_CHUNKS);
  give(OUTPUT_POOL_IDLE_CHUNKS + 100);
  pool.trim();
  for (const chunk of Array.from({ length: OUTPUT_POOL_IDLE_CHUNKS + 90 }, () => pool.take()))
    pool.give(chunk);
  pool.trim();
  expect(free()).toBe(OUTPUT_POOL_IDLE_CHUNKS + 90);
});
