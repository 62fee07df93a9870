// The load generator: compiled when its source is newer than the binary, run once per measurement.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const sourceDirectory = fileURLToPath(new URL('../driver/', import.meta.url));
const binaryDirectory = fileURLToPath(new URL('../.bin/', import.meta.url));

/** Exit statuses of natsbench (driver/natsbench.h). */
const EXIT_LOST = 1;

/**
 * Compiles natsbench into perf/.bin unless it is up to date.
 *
 * @returns {string} path of the binary
 * @throws {Error} without a C compiler, or with the compiler's messages
 */
export function compileDriver() {
  const sources = readdirSync(sourceDirectory).map((name) => join(sourceDirectory, name));
  const binary = join(binaryDirectory, 'natsbench');
  const newest = Math.max(...sources.map((path) => statSync(path).mtimeMs));
  const built = statSync(binary, { throwIfNoEntry: false });
  if (built && built.mtimeMs >= newest) return binary;

  mkdirSync(binaryDirectory, { recursive: true });
  const compiler = process.env.CC ?? 'cc';
  // Into a name of its own first: another run may be executing the old binary.
  const fresh = `${binary}.${process.pid}`;
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-pthread'];
  const files = sources.filter((path) => path.endsWith('.c'));
  const result = spawnSync(compiler, [...flags, '-o', fresh, ...files], { encoding: 'utf8' });
  if (result.error)
    throw new Error(`cannot run ${compiler}: ${result.error.message}; CC names another compiler`);
  if (result.status !== 0) throw new Error(`${compiler} failed:\n${result.stderr}`);
  renameSync(fresh, binary);
  return binary;
}

/**
 * @typedef {{ binary: string, port: number, websocketPort: number, pid: number, user: string | null,
 *   password: string | null }} Target
 * @typedef {Record<string, string | number>} DriverOptions long options of natsbench, without the dashes
 */

/** @param {Target} target @param {string} mode @param {DriverOptions} options */
function commandLine(target, mode, options) {
  const all = { port: target.port, 'server-pid': target.pid, ...options };
  if (target.user !== null) Object.assign(all, { user: target.user, password: target.password ?? '' });
  return [mode, ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)])];
}

/**
 * Runs a program that prints one line of JSON.
 *
 * @param {string} file
 * @param {string[]} args
 * @returns {Promise<Record<string, number>>}
 */
function runProgram(file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      complaint += text;
    });
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(JSON.parse(output));
      const what =
        status === EXIT_LOST
          ? 'wrong deliveries'
          : `${basename(file)} ended with ${signal ?? `status ${status}`}`;
      reject(new Error(`${what}: ${complaint.trim()}`));
    });
  });
}

/**
 * Runs natsbench once.
 *
 * @param {Target} target
 * @param {'throughput' | 'latency' | 'connect' | 'request' | 'consume' | 'delivery' | 'mqtt-throughput' | 'mqtt-retained'} mode
 * @param {DriverOptions} options
 * @returns {Promise<Record<string, number>>} what it printed
 * @throws {Error} when messages were lost or the server misbehaved
 */
export function runDriver(target, mode, options) {
  return runProgram(target.binary, commandLine(target, mode, options));
}

/**
 * Runs a load generator written for node, where the figure is that of an official client.
 *
 * @param {string} path
 * @param {string[]} args
 * @returns {Promise<Record<string, number>>} what it printed
 */
export function runScript(path, args) {
  return runProgram(process.execPath, [path, ...args]);
}

/**
 * Opens idle connections with one subscription each and keeps them until `release` is called.
 *
 * @param {Target} target
 * @param {DriverOptions} options
 * @param {'hold' | 'mqtt-hold'} mode
 * @returns {Promise<{ seconds: number, release: () => Promise<void> }>} resolves when all are established
 */
export function holdConnections(target, options, mode = 'hold') {
  return new Promise((resolve, reject) => {
    const child = spawn(target.binary, commandLine(target, mode, options), {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      complaint += text;
    });
    const ended = new Promise((done, failed) => {
      child.on('error', failed);
      child.on('close', (status) =>
        status === 0 ? done(undefined) : failed(new Error(`idle connections: ${complaint.trim()}`)),
      );
    });
    ended.catch(reject);
    createInterface({ input: child.stdout }).once('line', (line) => {
      const release = () => {
        child.stdin.end();
        return ended;
      };
      resolve({ seconds: JSON.parse(line).seconds, release });
    });
  });
}
