// One sample: a server of its own from start to stop, with a store of its own where the case wants JetStream.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BENCH_USER, logTail, startServer } from './server.mjs';

/**
 * @typedef {{ bare: boolean, directory: string, binary: string, seconds: number, connections: number,
 *   scale: number }} Settings `directory` receives logs and stores
 */

/** Seconds of load before what is measured; never more than five times that. */
const WARMUP_S = 0.6;
/**
 * With a store, where far more code takes part: natsd's is compiled while it runs, and after this long nearly all of it is. A
 * broker that runs for weeks is not the one of its first second.
 */
const STORE_WARMUP_S = 3;

/**
 * Runs `action` on a server, which is stopped afterwards.
 *
 * @template T
 * @param {import('./server.mjs').Product} product
 * @param {Settings} settings
 * @param {{ store?: import('./server.mjs').Store, websocket?: boolean, start?: import('./goals.mjs').Start }} wants
 * @param {(context: import('./goals.mjs').Context) => Promise<T>} action
 * @returns {Promise<T>}
 */
async function onServer(product, settings, wants, action) {
  const options = { bare: settings.bare, directory: settings.directory, ...wants };
  // The configuration with a WebSocket listener always has users.
  const isOpen = wants.start !== undefined || (settings.bare && !wants.websocket);
  const login = isOpen ? { user: null, password: null } : BENCH_USER;
  const start = () =>
    wants.start ? wants.start(product, settings.directory) : startServer(product, options);
  let server = await start();
  const targetOf = () => {
    const { port, websocketPort, pid } = server;
    return { binary: settings.binary, port, websocketPort, pid, ...login };
  };
  const context = {
    target: targetOf(),
    server,
    seconds: settings.seconds,
    warmupSeconds: Math.min(wants.store ? STORE_WARMUP_S : WARMUP_S, 5 * settings.seconds),
    connections: settings.connections,
    scale: settings.scale,
    restart: async (/** @type {'stop' | 'kill'} */ how) => {
      await server[how]();
      server = await start();
      context.target = targetOf();
      context.server = server;
      return server;
    },
  };
  try {
    return await action(context);
  } catch (error) {
    throw new Error(`${product.name}: ${error.message}\n${logTail(server.log)}`, { cause: error });
  } finally {
    await server.stop();
  }
}

/** The samples of one server in one case. */
export class Sampler {
  /** @type {string | null} the filled store, if the case has one */
  #filled = null;
  /** The server process the last sample ended with; 0 before. */
  pid = 0;

  /**
   * @param {import('./goals.mjs').Case} what
   * @param {import('./server.mjs').Product} product
   * @param {Settings} settings
   */
  constructor(what, product, settings) {
    this.what = what;
    this.product = product;
    this.settings = settings;
  }

  /** @param {string} directory @returns {import('./server.mjs').Store} */
  #store(directory) {
    const alwaysSync = this.what.jetstream?.referenceSyncs === true && this.product.name !== 'natsd';
    return { directory, alwaysSync };
  }

  #newDirectory() {
    return mkdtempSync(join(this.settings.directory, `${this.product.name}-store-`));
  }

  /** @returns {Promise<Record<string, number>>} */
  async take() {
    const { what, product, settings } = this;
    const measure = async (/** @type {import('./goals.mjs').Context} */ context) => {
      const figures = await what.sample(context);
      // A sample may have started the server anew.
      this.pid = context.server.pid;
      return figures;
    };
    if (what.start) return onServer(product, settings, { start: what.start }, measure);
    if (!what.jetstream) return onServer(product, settings, { websocket: what.websocket === true }, measure);
    const { fill } = what.jetstream;
    if (fill && this.#filled === null) {
      this.#filled = this.#newDirectory();
      await onServer(product, settings, { store: this.#store(this.#filled) }, fill);
    }
    const directory = this.#filled ?? this.#newDirectory();
    // What a server before left unwritten would else be written to the disk while this one is measured.
    spawnSync('sync');
    try {
      return await onServer(product, settings, { store: this.#store(directory) }, measure);
    } finally {
      if (directory !== this.#filled) rmSync(directory, { recursive: true, force: true });
    }
  }

  /** Removes what was kept between samples. */
  end() {
    if (this.#filled !== null) rmSync(this.#filled, { recursive: true, force: true });
    this.#filled = null;
  }
}
