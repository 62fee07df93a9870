import { Prng } from '../../../../../src/shared/base/prng.ts';
import type { Store, StreamSpec, StreamStore } from '../../../../../src/shared/jetstream/store/contract.ts';
import { isFailure, openStore, type StoreOptions } from '../../../../../src/shared/jetstream/store/open.ts';
import { type SimulatedDisk, seededBytes } from '../../../../simulation/disk.ts';
import { immediateCompressor } from '../../../../simulation/rounds.ts';

/** A store on the simulated disk, small enough that few messages reach every path. */

export const SMALL: StoreOptions = {
  segmentBytes: 64 * 1024,
  logMaxBytes: 512 * 1024,
  checkpointBytes: 32 * 1024,
  cipher: null,
  key: '',
  previousKey: '',
};

export function tryOpen(disk: SimulatedDisk, options: StoreOptions = SMALL): ReturnType<typeof openStore> {
  return openStore({ disk, random: seededBytes(new Prng(7)), compressor: immediateCompressor }, options);
}

export function open(disk: SimulatedDisk, options: StoreOptions = SMALL): Store {
  const store = tryOpen(disk, options);
  if (isFailure(store)) throw new Error(store.message);
  return store;
}

export function create(store: Store, spec: Partial<StreamSpec> = {}): StreamStore {
  const stream = store.createStream({
    account: 'A',
    name: 'S',
    storage: 'file',
    compression: false,
    firstSeq: 0,
    blockBytes: 32_000,
    ...spec,
  });
  if (stream === null) throw new Error(store.failure!.message);
  return stream;
}

/** Ticks until the store has nothing more to do at once; checkpoints that are due are finished. */
export function settle(store: Store, nowMs: number): void {
  for (let idle = 0; idle < 20; ) idle = store.tick(nowMs) ? 0 : idle + 1;
}
