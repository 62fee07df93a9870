import { createRequire } from 'node:module';
import type { WebsocketOptions } from '../../shared/base/options.ts';
import type { ListenAnswer } from '../../workers/shard/contract.ts';
import type { Topology } from '../supervise/topology.ts';
import { listen } from './listener.ts';

/**
 * Which implementation serves WebSocket clients, and the listener of the one that listens in the shards.
 *
 * `ws` is natsd's own framing on sockets that main accepts, like those of other clients. uWebSockets.js can't take over a
 * socket, so each shard listens on the port by itself and the kernel spreads connections.
 */
export interface TransportChoice {
  transport: 'ws' | 'uws';
  /** For the log. */
  description: string;
}

const PACKAGE = 'uWebSockets.js';
const FLUSH_WAIT_MS = 500;

/** @throws Error when `transport: uws` asks for what can't be */
export function chooseTransport(options: WebsocketOptions, canLoad = isInstalled): TransportChoice {
  const own = (why: string): TransportChoice => ({
    transport: 'ws',
    description: `WebSocket transport: ws${why}`,
  });
  if (options.transport === 'ws') return own('');
  const lacks = missing(options);
  const problem = lacks === '' ? canLoad() : `it has no ${lacks}`;
  if (problem === '') return { transport: 'uws', description: `WebSocket transport: ${PACKAGE}` };
  if (options.transport === 'uws') throw new Error(`websocket transport uws can't be used: ${problem}`);
  return own(lacks === '' ? ` (${PACKAGE} can't be used: ${problem})` : ` (${PACKAGE} has no ${lacks})`);
}

/** What the configuration wants and natsd doesn't do with uWebSockets.js. */
function missing({ tls, compression, handshakeTimeoutMs }: WebsocketOptions): string {
  if (tls !== null) return 'TLS of this kind';
  if (compression) return 'compression within max_payload';
  return handshakeTimeoutMs > 0 ? 'handshake_timeout' : '';
}

/** @returns why the module can't be loaded, or '' */
function isInstalled(): string {
  try {
    createRequire(import.meta.url)(PACKAGE);
    return '';
  } catch (error) {
    return (error as Error).message.split('\n')[0]!;
  }
}

/** The listener that all shards have together. */
export class SharedListener {
  readonly host: string;
  readonly error: Error | null = null;
  listening = true;
  port = 0;
  readonly #topology: Topology;

  constructor(topology: Topology, host: string) {
    this.#topology = topology;
    this.host = host;
  }

  /** @param port -1 is a random one. @throws the system error when the port is taken */
  async open(port: number): Promise<void> {
    // Sockets that share a port share it with anybody who does the same: this finds out whether somebody else has it.
    const probe = await listen(
      this.host,
      port,
      (socket) => socket.destroy(),
      () => undefined,
    );
    this.port = probe.port;
    await probe.closed();
    for (let shard = 0; shard < this.#topology.shardCount; shard++) await this.listenIn(shard);
    process.on('exit', this.#abandon);
  }

  /** Makes a shard listen; the ones that were restarted have to be told again. @throws when it can't */
  async listenIn(shard: number): Promise<void> {
    const { host, port } = this;
    if (!this.listening) return;
    const answer = await this.#topology.askShard(shard, (request) => ({
      kind: 'websocket-listen',
      request,
      host,
      port,
    }));
    if (answer !== null && (answer as ListenAnswer).error !== '')
      throw new Error((answer as ListenAnswer).error);
  }

  /** Shards stop listening by themselves, in lame duck and at the end. */
  close(): void {
    this.listening = false;
  }

  /** The threads have ended. */
  ended(): void {
    process.removeListener('exit', this.#abandon);
  }

  /**
   * The process exits while shards have native sockets: Node would find their loops busy and abort. They get a moment to
   * let them go.
   */
  readonly #abandon = (): void => {
    const done = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const count = new Int32Array(done);
    const alive = this.#topology.aliveShards;
    this.#topology.broadcast({ kind: 'websocket-abandon', done });
    const endMs = performance.now() + FLUSH_WAIT_MS;
    for (let seen = 0; seen < alive && performance.now() < endMs; seen = Atomics.load(count, 0)) {
      Atomics.wait(count, 0, seen, FLUSH_WAIT_MS);
    }
  };
}
