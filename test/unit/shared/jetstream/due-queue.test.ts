import { expect, test } from 'vitest';
import { Prng } from '../../../../src/shared/base/prng.ts';
import { type DueItem, DueQueue } from '../../../../src/shared/jetstream/due-queue.ts';

class Item implements DueItem {
  dueMs = 0;
  dueIndex = -1;

  due(): void {}
}

test('the earliest comes first, whatever was changed before', () => {
  const prng = new Prng(3);
  const queue = new DueQueue();
  const items = Array.from({ length: 200 }, () => new Item());
  const times = new Map<Item, number>();
  for (let step = 0; step < 20_000; step++) {
    const item = items[prng.below(items.length)]!;
    const timeMs = prng.below(10) === 0 ? Infinity : prng.below(1000);
    if (prng.below(3) === 0) {
      const earlier = Math.min(times.get(item) ?? Infinity, timeMs);
      queue.atMost(item, timeMs);
      if (earlier < Infinity) times.set(item, earlier);
    } else {
      queue.set(item, timeMs);
      if (timeMs === Infinity) times.delete(item);
      else times.set(item, timeMs);
    }
    if (prng.below(5) === 0) {
      const least = Math.min(Infinity, ...times.values());
      expect(queue.nextMs).toBe(least);
      const taken = queue.takeDue(least) as Item | null;
      expect(taken === null ? Infinity : times.get(taken)).toBe(least);
      if (taken !== null) times.delete(taken);
    }
    expect(queue.size).toBe(times.size);
  }
});

test('nothing is taken before its time', () => {
  const queue = new DueQueue();
  const item = new Item();
  queue.set(item, 10);
  expect(queue.takeDue(9)).toBeNull();
  queue.remove(item);
  expect([queue.nextMs, queue.takeDue(99), item.dueIndex]).toEqual([Infinity, null, -1]);
});
