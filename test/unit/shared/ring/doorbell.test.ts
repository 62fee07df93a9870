import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { createDoorbells, Doorbell } from '../../../../src/shared/ring/doorbell.ts';

/** Two bells in one thread: the slots do not know where their owners run. */
function pair(): [Doorbell, Doorbell] {
  const memory = createDoorbells(2);
  return [new Doorbell(memory, 0), new Doorbell(memory, 1)];
}

function asleep(doorbell: Doorbell): Promise<void> {
  return new Promise((resolve) => {
    expect(doorbell.sleep(resolve)).toBe(true);
  });
}

describe('Doorbell', () => {
  test('a ring wakes a sleeper, who is awake by then', async () => {
    const [sleeper, other] = pair();
    expect(sleeper.isSleeping).toBe(false);
    const woken = asleep(sleeper);
    expect(sleeper.isSleeping).toBe(true);
    expect(other.isSleeping).toBe(false);
    other.ring(0);
    expect(sleeper.isSleeping).toBe(false);
    await woken;
    expect(sleeper.isSleeping).toBe(false);
  });

  test('many rings make one wake-up', async () => {
    const [sleeper, other] = pair();
    let wakes = 0;
    expect(sleeper.sleep(() => wakes++)).toBe(true);
    for (let count = 0; count < 10; count++) other.ring(0);
    // The second wake-up of the same slot is delivered behind any further one of the first.
    const marker = asleep(other);
    sleeper.ring(1);
    await marker;
    expect(wakes).toBe(1);
  });

  test('a ring for a thread that is awake leaves no trace', async () => {
    const [sleeper, other] = pair();
    other.ring(0);
    const woken = asleep(sleeper);
    expect(sleeper.isSleeping).toBe(true);
    other.ring(0);
    await woken;
  });

  test('work that came before the announcement is found by the look after it', () => {
    const [sleeper] = pair();
    const looks: boolean[] = [];
    const hasWork = (): boolean => {
      looks.push(sleeper.isSleeping);
      return true;
    };
    expect(sleeper.sleep(() => {}, hasWork)).toBe(false);
    expect(looks).toEqual([true]);
    expect(sleeper.isSleeping).toBe(false);
  });

  test('and so it is with a waiter left from an earlier sleep', () => {
    const [sleeper] = pair();
    sleeper.sleep(() => expect.unreachable());
    sleeper.awake();
    expect(
      sleeper.sleep(
        () => {},
        () => true,
      ),
    ).toBe(false);
    expect(sleeper.isSleeping).toBe(false);
  });

  test('a ring between the announcement and the wait is not slept through', () => {
    const [sleeper, other] = pair();
    const rungWhileLooking = (): boolean => {
      other.ring(0);
      return false;
    };
    expect(sleeper.sleep(() => expect.unreachable(), rungWhileLooking)).toBe(false);
    expect(sleeper.isSleeping).toBe(false);
  });

  test('the same with a waiter left from an earlier sleep: the wake-up comes', async () => {
    const [sleeper, other] = pair();
    expect(sleeper.sleep(() => expect.unreachable())).toBe(true);
    sleeper.awake();
    await new Promise<void>((resolve) => {
      const rungWhileLooking = (): boolean => {
        other.ring(0);
        return false;
      };
      expect(sleeper.sleep(resolve, rungWhileLooking)).toBe(true);
    });
  });

  test('a look that throws leaves the thread awake', () => {
    const [sleeper] = pair();
    const failing = (): boolean => {
      throw new RangeError('no');
    };
    expect(() => sleeper.sleep(() => {}, failing)).toThrow(RangeError);
    expect(sleeper.isSleeping).toBe(false);
  });

  test('after awake only the later sleep is called', async () => {
    const [sleeper, other] = pair();
    let early = 0;
    sleeper.sleep(() => early++);
    sleeper.awake();
    expect(sleeper.isSleeping).toBe(false);
    other.ring(0);
    const woken = asleep(sleeper);
    other.ring(0);
    await woken;
    expect(early).toBe(0);
  });

  test('a notification on its way from an earlier sleep does not lose a later ring', async () => {
    const [sleeper, other] = pair();
    for (let round = 0; round < 1000; round++) {
      sleeper.sleep(() => expect.unreachable());
      other.ring(0);
      sleeper.awake();
      const woken = asleep(sleeper);
      other.ring(0);
      await woken;
    }
  });

  test('close silences both directions', async () => {
    const [sleeper, other] = pair();
    sleeper.sleep(() => expect.unreachable());
    sleeper.close();
    sleeper.close();
    expect(sleeper.isSleeping).toBe(false);
    other.ring(0);
    expect(() => sleeper.sleep(() => {})).toThrow('ring: the doorbell is closed');
    const marker = asleep(other);
    sleeper.ring(1);
    await marker;
  });

  test('a new owner of a slot starts awake', () => {
    const memory = createDoorbells(1);
    new Doorbell(memory, 0).sleep(() => expect.unreachable());
    expect(new Doorbell(memory, 0).isSleeping).toBe(false);
  });

  test('misuse throws', () => {
    expect(() => createDoorbells(0)).toThrow('ring: the number of threads');
    expect(() => createDoorbells(1.5)).toThrow('ring: the number of threads');
    const memory = createDoorbells(2);
    expect(() => new Doorbell(memory, 2)).toThrow('ring: no such thread');
    expect(() => new Doorbell(memory, -1)).toThrow('ring: no such thread');
    expect(() => new Doorbell(memory, 0).ring(2)).toThrow('ring: no such thread');
  });
});

describe('memory', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  function heapAfterCollection(): number {
    collect();
    return process.memoryUsage().heapUsed;
  }

  test('cycles of sleep and ring leave nothing behind', async () => {
    const [sleeper, other] = pair();
    const cycles = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        const woken = new Promise<void>((resolve) => void sleeper.sleep(resolve));
        other.ring(0);
        await woken;
      }
    };
    await cycles(2000);
    const before = heapAfterCollection();
    await cycles(50_000);
    // A promise kept per cycle would be some 10 MB.
    expect(heapAfterCollection() - before).toBeLessThan(2_000_000);
  });

  test('a thread that is never rung keeps one waiter however often it sleeps', () => {
    const [sleeper] = pair();
    const cycles = (count: number): void => {
      for (let index = 0; index < count; index++) {
        sleeper.sleep(() => {});
        sleeper.awake();
      }
    };
    cycles(2000);
    const before = heapAfterCollection();
    cycles(50_000);
    expect(heapAfterCollection() - before).toBeLessThan(2_000_000);
    sleeper.close();
  });
});
