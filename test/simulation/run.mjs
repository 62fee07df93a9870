/**
 * The store, and the engine and its consumers over the store, on a disk that crashes: COUNT simulations of each from SEED on.
 *
 *     npm run sim -- SEED [COUNT] [store|engine|consumers]
 *
 * A failure names its simulation and seed; the same seed gives the same run. Odd seeds run with the bounds of `small-limits.ts`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

function pathOf(source) {
  return fileURLToPath(new URL(source, import.meta.url));
}

async function load(source, plugins = []) {
  const work = mkdtempSync(join(tmpdir(), 'natsd-simulation-'));
  try {
    const outfile = join(work, 'simulation.mjs');
    await build({
      entryPoints: [pathOf(source)],
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      outfile,
      logLevel: 'warning',
      plugins,
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Gives the store the bounds of `small-limits.ts` for those of its own that have the same names. */
async function smallLimits() {
  const names = Object.keys(await load('./small-limits.ts')).join();
  const limits = pathOf('../../src/shared/jetstream/store/limits.ts');
  const contents = `export * from ${JSON.stringify(limits)};
    export { ${names} } from ${JSON.stringify(pathOf('./small-limits.ts'))};`;
  return {
    name: 'small-limits',
    setup(bundle) {
      bundle.onResolve({ filter: /^\.\/limits\.ts$/ }, ({ resolveDir, namespace }) =>
        namespace === 'file' && resolveDir === dirname(limits) ? { path: limits, namespace: 'small' } : null,
      );
      bundle.onLoad({ filter: /.*/, namespace: 'small' }, () => ({ contents, resolveDir: dirname(limits) }));
    },
  };
}

/** @returns how many failed */
function run(kind, simulations, unit) {
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
    const simulation = new simulations[seed % 2](seed);
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

const plugins = [await smallLimits()];
let failures = 0;
for (const [kind, { source, name, work }] of Object.entries(kinds)) {
  if (only !== undefined && only !== kind) continue;
  const simulations = [(await load(source))[name], (await load(source, plugins))[name]];
  failures += run(kind, simulations, work);
}
process.exitCode = failures === 0 ? 0 : 1;
