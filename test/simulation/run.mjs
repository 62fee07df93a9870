/**
 * The store, and the engine and its consumers over the store, on a disk that crashes: COUNT simulations of each from SEED on.
 *
 *     npm run sim -- SEED [COUNT] [store|engine|consumers]
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
const PROGRESS_MS = 60_000;

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
const only = process.argv[4];
const kinds = {
  store: { source: './simulator.ts', name: 'Simulation', work: 'changes' },
  engine: { source: './engine-simulation.ts', name: 'EngineSimulation', work: 'changes' },
  consumers: { source: './consumer-simulation.ts', name: 'ConsumerSimulation', work: 'deliveries' },
};
if (!Number.isInteger(first) || !Number.isInteger(count) || (only !== undefined && !(only in kinds))) {
  console.error('usage: npm run sim -- SEED [COUNT] [store|engine|consumers]');
  process.exit(2);
}

async function load({ source, name }) {
  const work = mkdtempSync(join(tmpdir(), 'natsd-simulation-'));
  try {
    const outfile = join(work, 'simulation.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL(source, import.meta.url))],
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      outfile,
      logLevel: 'warning',
    });
    return (await import(pathToFileURL(outfile).href))[name];
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** @returns how many failed */
function run(kind, Simulation, unit) {
  let crashes = 0;
  let work = 0;
  let failures = 0;
  let seed = first;
  const start = performance.now();
  const report = () => {
    const seconds = (performance.now() - start) / 1000;
    const rate = Math.round((crashes / seconds) * 60);
    console.log(
      `${kind}: seeds ${first} to ${seed - 1}, ${crashes} crashes, ${work} ${unit}, ${failures} failures, ` +
        `${seconds.toFixed(1)} s, ${rate} crashes/min`,
    );
  };
  let reportMs = start + PROGRESS_MS;
  while (seed < first + count && failures < MAX_FAILURES) {
    const simulation = new Simulation(seed);
    try {
      simulation.run(CRASHES);
    } catch (error) {
      failures++;
      console.error(`${kind}: seed ${seed}, after ${simulation.crashes} crashes: ${error.stack}`);
    }
    crashes += simulation.crashes;
    work += simulation[unit];
    seed++;
    if (performance.now() < reportMs || seed === first + count) continue;
    report();
    reportMs += PROGRESS_MS;
  }
  report();
  return failures;
}

let failures = 0;
for (const [kind, description] of Object.entries(kinds)) {
  if (only !== undefined && only !== kind) continue;
  failures += run(kind, await load(description), description.work);
}
process.exitCode = failures === 0 ? 0 : 1;
