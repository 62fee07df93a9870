import { describe, expect, test } from 'vitest';
import { EngineSimulation } from './engine-simulation.ts';
import { Simulation } from './simulator.ts';

/** More seeds: `npm run sim -- SEED COUNT`. */
const SEEDS = 60;
const CRASHES = 30;
const ENGINE_SEEDS = 8;

function seeds(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

describe('the store on a disk that crashes', () => {
  test.each(seeds(SEEDS))('seed %i', (seed) => {
    const simulation = new Simulation(seed);
    simulation.run(CRASHES);
    expect(simulation.crashes).toBe(CRASHES);
    expect(simulation.changes).toBeGreaterThan(0);
  });
});

describe('the engine over the store on a disk that crashes', () => {
  test.each(seeds(ENGINE_SEEDS))('seed %i', (seed) => {
    const simulation = new EngineSimulation(seed);
    simulation.run(CRASHES);
    expect(simulation.crashes).toBe(CRASHES);
    expect(simulation.acknowledged).toBeGreaterThan(0);
  });
});
