/**
 * The store on a disk that crashes: COUNT simulations from SEED on, 30 crashes each.
 *
 *     node test/simulation/run.mjs SEED COUNT
 *
 * A failure names its seed; the same seed gives the same run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
const work = mkdtempSync(join(tmpdir(), 'natsd-simulation-'));
const outfile = join(work, 'simulator.mjs');
await build({
  entryPoints: [fileURLToPath(new URL('./simulator.ts', import.meta.url))],
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  outfile,
  logLevel: 'warning',
});
const { Simulation } = await import(pathToFileURL(outfile).href);
rmSync(work, { recursive: true });

let crashes = 0;
let changes = 0;
let failures = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  const simulation = new Simulation(seed);
  try {
    simulation.run(30);
  } catch (error) {
    failures++;
    console.error(`seed ${seed}, after ${simulation.crashes} crashes: ${error.stack}`);
  }
  crashes += simulation.crashes;
  changes += simulation.changes;
}
const seconds = (performance.now() - start) / 1000;
console.log(
  `${count} simulations, ${crashes} crashes, ${changes} changes, ${failures} failures, ${seconds.toFixed(1)} s`,
);
process.exitCode = failures === 0 ? 0 : 1;
