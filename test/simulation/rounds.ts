import { deflateRawSync } from 'node:zlib';
import type { Prng } from '../../src/shared/base/prng.ts';
import type { Store } from '../../src/shared/jetstream/store/contract.ts';
import { isFailure, openStore, type StoreOptions } from '../../src/shared/jetstream/store/open.ts';
import type { Compressor } from '../../src/shared/jetstream/store/shared.ts';
import { LogStopped } from './commits.ts';
import { MachineCrash, type SimulatedDisk, seededBytes } from './disk.ts';

/** What the simulations have in common: a round is a recovery, work until a crash or a stop, and another disk. */

export const immediateCompressor: Compressor = {
  start: (bytes) => ({ poll: () => deflateRawSync(bytes, { level: 1 }) }),
};

/** Opens the store on what a crash left: nothing of that is damage. */
export function recover(disk: SimulatedDisk, random: Prng, options: StoreOptions): Store {
  const host = { disk, random: seededBytes(random), compressor: immediateCompressor };
  const store = openStore(host, options);
  if (isFailure(store)) throw new Error(`cannot open: ${store.message}`);
  const reports = store.takeReports();
  if (reports.length > 0) throw new Error(`damage reported after a crash: ${JSON.stringify(reports)}`);
  return store;
}

/**
 * Works until the machine crashes or the log stops.
 *
 * @param place of a failure, for its message
 * @returns whether the work was done to its end; else the store was left in the middle of something
 */
export function workUntilCrash(work: () => void, place: () => string): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof MachineCrash || error instanceof LogStopped) return false;
    (error as Error).message += ` (${place()})`;
    throw error;
  }
}

/** The disk of the next process: the same one if only this one ended, or what a machine's crash leaves of it. */
export function diskAfter(disk: SimulatedDisk, random: Prng): SimulatedDisk {
  return random.below(4) === 0 ? disk.killed() : disk.crashed(random);
}
