// The two servers under comparison: how each is found, started, measured and stopped.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const perfDirectory = fileURLToPath(new URL('..', import.meta.url));
const HOST = '127.0.0.1';
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 10_000;
/** Starting and stopping with millions of messages in the store. */
const JETSTREAM_TIMEOUT_MS = 180_000;
const RETRY_MS = 1;

const BENCH_CONFIG = join(perfDirectory, 'conf', 'bench.conf');
const JETSTREAM_CONFIG = join(perfDirectory, 'conf', 'jetstream.conf');
/** The same with a WebSocket listener. */
const WEBSOCKET_CONFIG = join(perfDirectory, 'conf', 'bench-websocket.conf');
/** The user bench.conf and jetstream.conf declare. */
export const BENCH_USER = { user: 'bench', password: 'bench-password' };

/**
 * @typedef {{ name: string, command: string[], version: string }} Product
 * @typedef {{ name: string, pid: number, port: number, websocketPort: number, startMs: number, spawnedAtMs: number, log: string,
 *   stop: () => Promise<void>, kill: () => Promise<void> }} Server
 * @typedef {{ directory: string, alwaysSync: boolean }} Store where a server with JetStream keeps its files; whether each
 *   write is synced even if the server does not do so by default
 */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Kills what is still running; for the end of the process, where nothing can be awaited. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL');
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name @param {string[]} command @returns {Product} */
function product(name, command) {
  const [file, ...rest] = command;
  const result = spawnSync(file, [...rest, '--version'], { encoding: 'utf8', timeout: START_TIMEOUT_MS });
  if (result.status !== 0) {
    throw new Error(
      `${command.join(' ')} --version failed: ${result.error?.message ?? result.stderr.trim()}`,
    );
  }
  return { name, command, version: result.stdout.trim() || result.stderr.trim() };
}

/**
 * natsd: `NATSD` (a script or an executable) or dist/natsd.js.
 *
 * @returns {Product} `command` starts with node when it is a script
 */
export function findNatsd() {
  const path = process.env.NATSD || fileURLToPath(new URL('../../dist/natsd.js', import.meta.url));
  if (!existsSync(path)) throw new Error(`${path} does not exist: run npm run build`);
  return product('natsd', /\.[cm]?js$/.test(path) ? [process.execPath, path] : [path]);
}

/**
 * The reference: `NATS_SERVER` (a path), a nats-server on PATH, or the one perf/peer.sh unpacks.
 *
 * @returns {Product}
 */
export function findNatsServer() {
  if (process.env.NATS_SERVER) return product('nats-server', [process.env.NATS_SERVER]);
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, 'nats-server');
    if (directory && isExecutable(path)) return product('nats-server', [path]);
  }
  const fetched = spawnSync('sh', [join(perfDirectory, 'peer.sh')], { encoding: 'utf8' });
  if (fetched.status !== 0) throw new Error(fetched.stderr.trim());
  return product('nats-server', [fetched.stdout.trim()]);
}

/** @returns {Promise<number>} a port nobody listens on */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, HOST, () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}

/** Resolves with whether INFO came; a refused connection is an ordinary "not yet". @param {number} port */
function greets(port) {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    const end = (/** @type {boolean} */ greeted) => {
      socket.destroy();
      resolve(greeted);
    };
    socket.once('data', (bytes) => end(bytes.toString('latin1').startsWith('INFO ')));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });
}

/** Resolves with whether somebody listens. @param {number} port */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    const end = (/** @type {boolean} */ connected) => {
      socket.destroy();
      resolve(connected);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/**
 * Writes the configuration of a server with JetStream: conf/jetstream.conf and where the store is.
 *
 * @param {string} path
 * @param {Store} store
 * @param {boolean} bare
 */
function writeJetStreamConfig(path, store, bare) {
  const lines = [
    `  store_dir: ${JSON.stringify(store.directory)}`,
    '  max_mem: 8GB',
    '  max_file: 100GB',
    ...(store.alwaysSync ? ['  sync_interval: always'] : []),
  ];
  const users = bare ? '' : readFileSync(JETSTREAM_CONFIG, 'utf8');
  writeFileSync(path, `${users}\njetstream {\n${lines.join('\n')}\n}\n`);
}

/**
 * Starts a server and waits for its first INFO.
 *
 * @param {Product} what
 * @param {{ bare: boolean, directory: string, websocket?: boolean, store?: Store | undefined, startTimeoutMs?: number }} options `bare`:
 *   without users, permissions and limits; `directory` receives the log; `store`: with JetStream;
 *   `websocket`: with such a listener
 * @returns {Promise<Server>} `startMs` runs from the spawn, at `spawnedAtMs`, to the first byte of INFO
 */
export async function startServer(
  what,
  {
    bare,
    directory,
    websocket = false,
    store,
    startTimeoutMs = store ? JETSTREAM_TIMEOUT_MS : START_TIMEOUT_MS,
  },
) {
  const port = await freePort();
  const websocketPort = websocket ? await freePort() : 0;
  const ownConfig = join(directory, `${what.name}-${port}.conf`);
  if (store) writeJetStreamConfig(ownConfig, store, bare);
  const plain = websocket ? ['-c', WEBSOCKET_CONFIG] : bare ? [] : ['-c', BENCH_CONFIG];
  const config = store ? ['-c', ownConfig] : plain;
  const server = await launch(what, [...config, '-a', HOST, '-p', String(port)], {
    directory,
    port,
    isReady: greets,
    environment: { NATSD_BENCH_WEBSOCKET: `${HOST}:${websocketPort}` },
    startTimeoutMs,
    stopTimeoutMs: store ? JETSTREAM_TIMEOUT_MS : STOP_TIMEOUT_MS,
  });
  while (websocket && !(await accepts(websocketPort))) await sleep(RETRY_MS);
  return { ...server, websocketPort };
}

/**
 * Starts a server and waits until it is ready.
 *
 * @param {Product} what
 * @param {string[]} argv
 * @param {{ directory: string, port: number, isReady: (port: number) => Promise<unknown>,
 *   environment?: Record<string, string>, startTimeoutMs?: number, stopTimeoutMs?: number }} options
 *   `directory` receives the log
 * @returns {Promise<Server>}
 */
export async function launch(
  what,
  argv,
  {
    directory,
    port,
    isReady,
    environment = {},
    startTimeoutMs = START_TIMEOUT_MS,
    stopTimeoutMs = STOP_TIMEOUT_MS,
  },
) {
  const [file, ...rest] = what.command;
  const log = join(directory, `${what.name}-${port}.log`);
  const output = openSync(log, 'a');
  const begin = performance.now();
  const child = spawn(file, [...rest, ...argv], {
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  running.add(child);
  const exited = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('exit', resolve);
  }).then(() => running.delete(child));

  while (!(await isReady(port))) {
    const late = performance.now() - begin > startTimeoutMs;
    if (late) child.kill('SIGKILL');
    if (late || !running.has(child)) throw new Error(`${what.name} did not start:\n${logTail(log)}`);
    await sleep(RETRY_MS);
  }
  const startMs = performance.now() - begin;
  const pid = /** @type {number} */ (child.pid);
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  const identity = { name: what.name, pid, port, websocketPort: 0, log };
  return {
    ...identity,
    startMs,
    spawnedAtMs: begin,
    stop: () => stop(child, exited, what.name, stopTimeoutMs),
    kill,
  };
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {Promise<unknown>} exited
 * @param {string} name
 * @param {number} timeoutMs
 */
async function stop(child, exited, name, timeoutMs) {
  if (!running.has(child)) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => {
    process.stderr.write(`${name} (pid ${child.pid}) ignored SIGTERM for ${timeoutMs / 1000} s: killed\n`);
    child.kill('SIGKILL');
  }, timeoutMs);
  await exited;
  clearTimeout(timer);
}

/** The last lines a server wrote. @param {string} log */
export function logTail(log) {
  return readFileSync(log, 'utf8').trim().split('\n').slice(-15).join('\n');
}

/**
 * Resident memory of a process, in bytes. smaps_rollup counts pages; VmRSS lags behind by some pages per thread.
 *
 * @param {number} pid
 */
export function residentBytes(pid) {
  for (const [file, pattern] of [
    [`/proc/${pid}/smaps_rollup`, /^Rss:\s+(\d+) kB/m],
    [`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB/m],
  ]) {
    try {
      const found = pattern.exec(readFileSync(file, 'utf8'));
      if (found) return Number(found[1]) * 1024;
    } catch {
      // smaps_rollup may be closed to us; status never is.
    }
  }
  throw new Error(`cannot read the resident memory of process ${pid}`);
}

/**
 * Resident memory once it has stopped moving: two readings a second apart within 0.5 %, or the last after `limitS`.
 *
 * @param {number} pid
 * @param {number} limitS
 */
export async function settledBytes(pid, limitS) {
  let last = residentBytes(pid);
  for (let second = 0; second < limitS; second++) {
    await sleep(1000);
    const current = residentBytes(pid);
    if (second > 0 && Math.abs(current - last) < last * 0.005) return current;
    last = current;
  }
  return last;
}
