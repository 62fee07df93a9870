// Throughput and latency of one pair of threads; prints key=value lines. Needs esbuild and two idle cores.
//   node bench.mjs [factor]      factor 1 is a run of some ten seconds
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';

const RING_BYTES = 1 << 20;

/** Bundles TypeScript for a Node that does not read it. */
async function bundle(stdin) {
  const { outputFiles } = await build({
    stdin: { ...stdin, resolveDir: fileURLToPath(new URL('.', import.meta.url)) },
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node20',
    format: 'esm',
  });
  return new URL(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

const workerUrl = await bundle({ contents: "import './worker.mjs';" });
const library = await bundle({
  contents: "export { createRing } from '../ring.ts'; export { createDoorbells } from '../doorbell.ts';",
});
const { createRing, createDoorbells } = await import(library.href);

/** Runs one worker for each role and returns what each reported. */
async function run(roles, load) {
  const shared = {
    ...load,
    forward: createRing(RING_BYTES),
    backward: createRing(RING_BYTES),
    doorbells: createDoorbells(3),
  };
  const workers = roles.map((role) => new Worker(workerUrl, { workerData: { ...shared, role } }));
  const reports = await Promise.all(
    workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  await Promise.all(workers.map((worker) => worker.terminate()));
  return reports;
}

const factor = Number(process.argv[2] ?? 1);

function report(name, load, seconds, extra = '') {
  const rate = load.records / seconds;
  const megabytes = (rate * load.size) / 1e6;
  console.log(
    `ring=${name} size=${load.size} batch=${load.batch} records=${load.records} ` +
      `records_per_s=${Math.round(rate)} mb_per_s=${Math.round(megabytes)}${extra}`,
  );
}

for (const [size, count] of [
  [16, 10e6],
  [128, 10e6],
  [4096, 1e6],
]) {
  for (const batch of [64, 1]) {
    const load = { records: Math.round(count * factor), size, batch };
    const [alone] = await run(['single'], { ...load, records: Math.ceil(load.records / 64) * 64 });
    report('one_thread', load, alone.seconds);
    const [, polled] = await run(['produce', 'consume'], load);
    report('polling', load, polled.seconds);
    const [, slept] = await run(['produceAsleep', 'consumeAsleep'], load);
    report('doorbell', load, slept.seconds, ` wake_ups=${slept.wakeUps}`);
  }
}

const [ping] = await run(['ping', 'pong'], { records: Math.round(20_000 * factor), size: 8, batch: 1 });
console.log(
  `ring=ping_pong round_trip_p50_us=${(ping.p50 / 1000).toFixed(1)} ` +
    `round_trip_p99_us=${(ping.p99 / 1000).toFixed(1)} one_way_p50_us=${(ping.p50 / 2000).toFixed(1)}`,
);
