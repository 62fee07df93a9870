import type { Prng } from '../../src/shared/base/prng.ts';
import type { Store, StoreFailure } from '../../src/shared/jetstream/store/contract.ts';
import type { SimulatedDisk } from './disk.ts';

/** Commits of every kind, and what must hold of them. */

/** Thrown when the log stopped as it should: a sync of it failed. */
export class LogStopped extends Error {
  override readonly name = 'LogStopped';
}

/** In some rounds syncs of the log fail from some step on. */
export class LogFaults {
  readonly #failing: boolean;
  #stepsLeft: number;

  /** @param steps in a round */
  constructor(random: Prng, steps: number) {
    this.#failing = random.below(12) === 0;
    this.#stepsLeft = random.below(steps);
  }

  /** Does the step that comes next. @throws LogStopped */
  step(store: Store, disk: SimulatedDisk, step: () => void): void {
    if (this.#failing && this.#stepsLeft-- === 0) disk.failSync = /^log\//;
    this.run(store, disk, step);
  }

  /** Does something; whatever it meets once the log has stopped is no failure of the engine's. @throws LogStopped */
  run(store: Store, disk: SimulatedDisk, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (store.stopped === null || disk.failSync === null) throw error;
    }
    if (store.stopped === null) return;
    if (disk.failSync === null) throw new Error(`the log stopped: ${store.stopped.message}`);
    checkStopped(store, disk);
    throw new LogStopped(store.stopped.message);
  }
}

/** A log that stopped stays so, though the disk works again, and promises nothing more. */
function checkStopped(store: Store, disk: SimulatedDisk): void {
  const { syncedTicket } = store;
  disk.failSync = null;
  const answers = [store.beginCommit(), store.pollCommit(), store.commit(true), store.commit(false)];
  if (answers.some((failure) => failure?.code !== 'io')) throw new Error('a log that stopped went on');
  if (store.syncedTicket !== syncedTicket) throw new Error('a log that stopped promised more');
}

/** One commit: waiting for the disk, or beside the work, begun or looked after. @returns null, or why the log stopped */
export function commitSomehow(random: Prng, store: Store): StoreFailure | null {
  const kind = random.below(8);
  if (kind < 2) return store.commit(true);
  if (kind < 5) return store.beginCommit();
  return store.pollCommit();
}
