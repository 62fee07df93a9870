import { describe, expect, test, vi } from 'vitest';
import { TAIL_BYTES } from '../../src/shared/jetstream/store/limits.ts';
import { ConsumerSimulation } from './consumer-simulation.ts';
import { EngineSimulation } from './engine-simulation.ts';
import { Simulation } from './simulator.ts';
import * as small from './small-limits.ts';

vi.mock('../../src/shared/jetstream/store/limits.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  ...(await import('./small-limits.ts')),
}));

const CRASHES = 30;

describe('with small bounds', () => {
  test('the store has them', () => {
    expect(TAIL_BYTES).toBe(small.TAIL_BYTES);
  });

  test.each([
    ...Array.from({ length: 30 }, (_, seed) => ({ kind: 'store', seed, Kind: Simulation })),
    ...Array.from({ length: 4 }, (_, seed) => ({ kind: 'engine', seed, Kind: EngineSimulation })),
    ...Array.from({ length: 4 }, (_, seed) => ({ kind: 'consumers', seed, Kind: ConsumerSimulation })),
  ])('$kind, seed $seed', ({ seed, Kind }) => {
    const simulation = new Kind(seed);
    simulation.run(CRASHES);
    expect(simulation.crashes).toBe(CRASHES);
  });
});
