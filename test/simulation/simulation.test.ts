import { describe, expect, test } from 'vitest';
import { Simulation } from './simulator.ts';

/** More seeds: `node test/simulation/run.mjs SEED COUNT`. */
const SEEDS = 60;
const CRASHES = 30;

describe('the store on a disk that crashes', () => {
  test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))('seed %i', (seed) => {
    const simulation = new Simulation(seed);
    simulation.run(CRASHES);
    expect(simulation.crashes).toBe(CRASHES);
    expect(simulation.changes).toBeGreaterThan(0);
  });
});
