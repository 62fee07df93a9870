// Where natsd's time goes under one case of run.mjs: `node perf/profile.mjs 1-1-16B` after `npm run build`.
//
// natsd runs with --cpu-prof; main and every worker write a profile of their own when they end, which is why the
// server has to stop by itself on SIGTERM. The profile covers warm-up and measurement alike.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { selectCases } from './harness/cases.mjs';
import { compileDriver } from './harness/driver.mjs';
import { summarise, summaryText } from './harness/profile-summary.mjs';
import { Sampler } from './harness/sample.mjs';
import { findNatsd, killAll } from './harness/server.mjs';

const USAGE = `usage: node perf/profile.mjs CASE [options]      CASE: a word that matches one case of perf/run.mjs --list
  --seconds S        length of the load after the warm-up (3)
  --top N            functions to print for each thread (25)
  --lines            the hottest lines as well
  --interval US      sampling interval in microseconds (500)
  --thread N         this thread only (0 is main)
  --scale F          that part of the messages, subjects and consumers a case counts (1)
  --bare             without perf/conf/bench.conf
  --keep DIR         keep the .cpuprofile files there
`;

function readArguments() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean', default: false });
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: text,
      top: text,
      interval: text,
      scale: text,
      thread: text,
      keep: text,
      lines: flag,
      bare: flag,
      help: flag,
    },
  });
  const numbers = {
    seconds: Number(values.seconds ?? 3),
    top: Number(values.top ?? 25),
    scale: Number(values.scale ?? 1),
  };
  const interval = Number(values.interval ?? 500);
  if (!(numbers.seconds > 0 && numbers.top > 0 && numbers.scale > 0 && interval > 0)) {
    throw new Error('--seconds, --top, --scale and --interval want positive numbers');
  }
  return { ...values, ...numbers, interval, words: positionals };
}

/** @param {string[]} words */
function oneCase(words) {
  const found = words.length ? selectCases(words).filter((one) => !('own' in one)) : [];
  if (found.length === 1) return found[0];
  const names = found.map(({ id }) => id).join(', ');
  throw new Error(
    `${words.join(' ') || 'nothing'} matches ${found.length ? names : 'no case'}: name one\n${USAGE}`,
  );
}

/** @param {string} directory @returns {{ pid: number, thread: number, path: string }[]} in the order of the threads */
function profiles(directory) {
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile
  return readdirSync(directory)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => ({
      pid: Number(name.split('.')[3]),
      thread: Number(name.split('.')[4]),
      path: join(directory, name),
    }))
    .sort((a, b) => a.thread - b.thread);
}

/** @param {ReturnType<typeof readArguments>} settings */
async function main(settings) {
  const what = oneCase(settings.words);
  const binary = compileDriver();
  const work = mkdtempSync(join(tmpdir(), 'natsd-profile-'));
  process.on('exit', () => {
    killAll();
    rmSync(work, { recursive: true, force: true });
  });
  const directory = settings.keep ? resolve(settings.keep) : join(work, 'profiles');
  mkdirSync(directory, { recursive: true });

  const natsd = findNatsd();
  if (natsd.command[0] !== process.execPath)
    throw new Error('NATSD has to name a script: only node writes profiles');
  const nodeOptions = [
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-interval=${settings.interval}`,
  ];
  natsd.command.splice(1, 0, ...nodeOptions);
  const sampler = new Sampler(what, natsd, {
    bare: settings.bare,
    directory: work,
    binary,
    seconds: settings.seconds,
    connections: 10_000,
    scale: settings.scale,
  });
  const result = await sampler.take();
  process.stdout.write(`${what.title}: ${JSON.stringify(result)}\n`);

  sampler.end();
  // The server that filled the store wrote profiles too, which are left out.
  const written = profiles(directory).filter(({ pid }) => pid === sampler.pid);
  if (written.length === 0) throw new Error('natsd wrote no profile: it has to end by itself on SIGTERM');
  for (const { thread, path } of written) {
    if (settings.thread !== undefined && Number(settings.thread) !== thread) continue;
    const summary = summarise(JSON.parse(readFileSync(path, 'utf8')));
    process.stdout.write(`\nthread ${thread}: ${summaryText(summary, settings)}\n`);
  }
}

for (const [signal, status] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
])) {
  process.on(signal, () => process.exit(status));
}

try {
  const settings = readArguments();
  if (settings.help) process.stdout.write(USAGE);
  else await main(settings);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
