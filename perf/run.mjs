// Compares natsd with nats-server: `npm run perf`. README.md beside this file tells what and how.

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases, selectCases } from './harness/cases.mjs';
import { compileDriver } from './harness/driver.mjs';
import { CPU_GOAL, CPU_METRIC } from './harness/goals.mjs';
import { findMosquitto, MOSQUITTO_NAME } from './harness/mqtt.mjs';
import { environment, fileSystem, markdownTable, textTable } from './harness/report.mjs';
import { Sampler } from './harness/sample.mjs';
import { findNatsd, findNatsServer, killAll } from './harness/server.mjs';
import { compare, verdict } from './harness/statistics.mjs';

const RESULTS = fileURLToPath(new URL('RESULTS.md', import.meta.url));
const USAGE = `usage: npm run perf -- [words…] [options]
  words                only cases whose id or title contains one of them
  --pairs N            samples of each server, in pairs (5)
  --seconds S          length of a traffic sample (1.2)
  --connections N      idle connections (10000)
  --scale F            that part of the messages, subjects and consumers a case counts (1); for trying cases out
  --store DIR          where JetStream keeps its files: on the disk to be measured (the temporary directory)
  --bare               without perf/conf/bench.conf: no user, no permissions, no limits
  --alone NAME         run natsd or nats-server only
  --json FILE          write every sample
  --record             append the table to perf/RESULTS.md
  --strict             exit status 1 when a target is missed
  --list               name the cases
`;

/** @param {string} name @param {string | undefined} text @param {number} fallback */
function positive(name, text, fallback) {
  const value = text === undefined ? fallback : Number(text);
  if (!(value > 0)) throw new Error(`--${name} wants a positive number, not ${text}`);
  return value;
}

function readArguments() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean', default: false });
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      pairs: text,
      seconds: text,
      connections: text,
      scale: text,
      store: text,
      alone: text,
      json: text,
      bare: flag,
      record: flag,
      strict: flag,
      list: flag,
      help: flag,
    },
  });
  if (values.alone !== undefined && values.alone !== 'natsd' && values.alone !== 'nats-server') {
    throw new Error('--alone wants natsd or nats-server');
  }
  const selected = selectCases(positionals);
  if (selected.length === 0) throw new Error(`no case matches ${positionals.join(' ')}; --list names them`);
  return {
    ...values,
    cases: selected,
    pairs: Math.ceil(positive('pairs', values.pairs, 5)),
    seconds: positive('seconds', values.seconds, 1.2),
    connections: Math.ceil(positive('connections', values.connections, 10_000)),
    scale: positive('scale', values.scale, 1),
    store: values.store ?? tmpdir(),
  };
}

/** @typedef {ReturnType<typeof readArguments>} Settings */

/** One line that replaces itself, for people watching. @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

/**
 * @param {import('./harness/goals.mjs').Case | import('./harness/goals.mjs').OwnCase} what
 * @param {import('./harness/server.mjs').Product[]} products
 * @param {Settings & { binary: string, directory: string }} settings
 * @returns {Promise<Record<string, Record<string, number>[]>>} samples by server
 */
async function runCase(what, products, settings) {
  /** @type {Record<string, Record<string, number>[]>} */
  const samples = Object.fromEntries(products.map(({ name }) => [name, []]));
  if ('own' in what) {
    for (let round = 0; samples.natsd && round < settings.pairs; round++) {
      progress(`${what.id}  ${round + 1} of ${settings.pairs}`);
      samples.natsd.push(await what.sample());
    }
    return samples;
  }
  const samplers = products.map((product) => new Sampler(what, product, settings));
  try {
    for (let pair = 0; pair < settings.pairs; pair++) {
      // Who goes first changes from pair to pair, so that a machine warming up or slowing down favours nobody.
      for (const sampler of pair % 2 ? samplers.toReversed() : samplers) {
        progress(`${what.id}  pair ${pair + 1} of ${settings.pairs}  ${sampler.product.name}`);
        samples[sampler.product.name].push(await sampler.take());
      }
    }
  } finally {
    for (const sampler of samplers) sampler.end();
  }
  return samples;
}

/**
 * @param {import('./harness/goals.mjs').Case | import('./harness/goals.mjs').OwnCase} what
 * @param {Record<string, Record<string, number>[]>} samples
 * @returns {import('./harness/report.mjs').RowResult[]}
 */
function judge(what, samples) {
  const values = (/** @type {string} */ server, /** @type {string} */ metric) =>
    (samples[server] ?? []).map((one) => one[metric]).filter((value) => value !== undefined);
  const of = (/** @type {string} */ metric, against = 'nats-server') =>
    compare(values('natsd', metric), values(against, metric));
  return what.rows.map((row, index) => {
    const comparison = of(row.metric, row.against);
    const cpu = of(CPU_METRIC, row.against);
    const shown = (index === 0 || row.against) && (cpu.natsd !== null || cpu.reference !== null) ? cpu : null;
    // Accepting a connection is no message: its CPU time is shown, but has no target.
    const cpuVerdict = shown && what.id.startsWith('core/') ? verdict(CPU_GOAL, shown) : null;
    return { row, comparison, verdict: verdict(row.goal, comparison), cpu: shown, cpuVerdict };
  });
}

/** @param {Settings} settings @param {string[]} machine @param {import('./harness/report.mjs').RowResult[]} rows @param {string[]} failures */
function record(settings, machine, rows, failures) {
  const day = new Date().toISOString().slice(0, 10);
  const conditions = `${settings.pairs} pairs, ${settings.seconds} s a sample, ${settings.bare ? 'no configuration' : 'perf/conf'}`;
  const lines = [
    `\n## ${day}\n`,
    ...[...machine, conditions].map((line) => `- ${line}`),
    '',
    markdownTable(rows),
  ];
  if (failures.length) lines.push('', ...failures.map((text) => `- failed: ${text.split('\n')[0]}`));
  appendFileSync(RESULTS, `${lines.join('\n')}\n`);
}

/** @param {Settings} settings @returns {Promise<number>} exit status */
async function main(settings) {
  const binary = compileDriver();
  const products = [];
  if (settings.alone !== 'nats-server') products.push(findNatsd());
  if (settings.alone !== 'natsd') products.push(findNatsServer());
  const machine = [...environment(products), fileSystem(settings.store)];
  if (settings.scale !== 1)
    machine.push(`counts of messages, subjects and consumers times ${settings.scale}`);
  process.stdout.write(`${machine.join('\n')}\n\n`);

  const directory = mkdtempSync(join(settings.store, 'natsd-perf-'));
  process.on('exit', () => {
    killAll();
    rmSync(directory, { recursive: true, force: true });
  });
  /** @type {import('./harness/server.mjs').Product | null} */
  let mosquitto = null;
  const rows = [];
  const failures = [];
  const all = [];
  for (const what of settings.cases) {
    if ('own' in what && settings.alone === 'nats-server') continue;
    try {
      const isMqtt = what.rows.some(({ against }) => against === MOSQUITTO_NAME);
      if (isMqtt && settings.alone === undefined) mosquitto ??= findMosquitto();
      const compared = isMqtt && mosquitto ? [...products, mosquitto] : products;
      const samples = await runCase(what, compared, { ...settings, binary, directory });
      const judged = judge(what, samples);
      rows.push(...judged);
      all.push({ id: what.id, samples, rows: judged });
    } catch (error) {
      failures.push(`${what.id}: ${error.message}`);
      progress('');
      process.stderr.write(`${what.id}: ${error.message}\n`);
    }
  }
  progress('');
  if (mosquitto) machine.push(`${mosquitto.name} ${mosquitto.version}`);
  process.stdout.write(`${textTable(rows)}\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure.split('\n')[0]}\n`);
  if (settings.json)
    writeFileSync(settings.json, `${JSON.stringify({ machine, cases: all, failures }, null, 2)}\n`);
  if (settings.record) record(settings, machine, rows, failures);
  const missed = rows.some((row) => row.verdict === 'missed' || row.cpuVerdict === 'missed');
  return failures.length > 0 || (settings.strict && missed) ? 1 : 0;
}

// The 'exit' listener stops the servers; it runs on a signal only when the signal is caught.
for (const [signal, status] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
])) {
  process.on(signal, () => process.exit(status));
}

try {
  const settings = readArguments();
  if (settings.help) process.stdout.write(USAGE);
  else if (settings.list)
    for (const { id, title } of cases) process.stdout.write(`${id.padEnd(32)}${title}\n`);
  else process.exitCode = await main(settings);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
