/**
 * The store, and the engine over the store, on a disk that crashes: COUNT simulations of each from SEED on.
 *
 *     npm run sim -- SEED [COUNT] [store|engine]
 *
 * A failure names its simulation and seed; the same seed gives the same run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const CRASHES = 30;
const MAX_FAILURES = 20;

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
const only = process.argv[4];
const sources = { store: './simulator.ts', engine: './engine-simulation.ts' };
if (!Number.isInteger(first) || !Number.isInteger(count) || (only !== undefined && !(only in sources))) {
  console.error('usage: npm run sim -- SEED [COUNT] [store|engine]');
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'natsd-simulation-'));
const simulations = {};
for (const [name, source] of Object.entries(sources)) {
  const outfile = join(work, `${name}.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL(source, import.meta.url))],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    outfile,
    logLevel: 'warning',
  });
  const { Simulation, EngineSimulation } = await import(pathToFileURL(outfile).href);
  simulations[name] = EngineSimulation ?? Simulation;
}
rmSync(work, { recursive: true });

let failures = 0;
for (const [name, Simulation] of Object.entries(simulations)) {
  if (only !== undefined && only !== name) continue;
  let crashes = 0;
  let changes = 0;
  let failed = 0;
  const start = performance.now();
  for (let seed = first; seed < first + count && failed < MAX_FAILURES; seed++) {
    const simulation = new Simulation(seed);
    try {
      simulation.run(CRASHES);
    } catch (error) {
      failed++;
      console.error(`${name}: seed ${seed}, after ${simulation.crashes} crashes: ${error.stack}`);
    }
    crashes += simulation.crashes;
    changes += simulation.changes;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(
    `${name}: ${count} simulations, ${crashes} crashes, ${changes} changes, ${failed} failures, ${seconds} s`,
  );
  failures += failed;
}
process.exitCode = failures === 0 ? 0 : 1;
