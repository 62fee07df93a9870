import { expect, test } from 'vitest';
import { ConsumerSimulation } from './consumer-simulation.ts';

const SEEDS = process.env.SIM_CONSUMER_SEEDS?.split('-').map(Number) ?? [1, 5];
const ROUNDS = Number(process.env.SIM_CONSUMER_ROUNDS ?? 25);

test('consumers keep their promises through crashes', { timeout: 600_000 }, () => {
  let crashes = 0;
  let earlyDeliveries = 0;
  let staleAnswers = 0;
  for (let seed = SEEDS[0]!; seed <= SEEDS[1]!; seed++) {
    const simulation = new ConsumerSimulation(seed);
    try {
      simulation.run(ROUNDS);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    crashes += simulation.crashes;
    earlyDeliveries += simulation.earlyDeliveries;
    staleAnswers += simulation.staleAnswers;
    expect(simulation.deliveries).toBeGreaterThan(100);
  }
  expect(crashes).toBe(ROUNDS * (SEEDS[1]! - SEEDS[0]! + 1));
  expect(earlyDeliveries).toBeGreaterThan(100);
  expect(staleAnswers).toBeGreaterThan(0);
});
