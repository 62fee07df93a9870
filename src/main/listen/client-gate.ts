import type net from 'node:net';
import type { ServerOptions, TlsOptions } from '../../shared/base/options.ts';
import type { HandedConnection } from '../../workers/shard/contract.ts';
import type { Logger } from '../log/logger.ts';
import type { Topology } from '../supervise/topology.ts';
import type { HandOff } from './hand-off.ts';
import { type Listener, listen } from './listener.ts';

const RATE_WINDOW_MS = 1000;

/** Listeners of clients. */
export type ClientListener = HandedConnection['listener'];

/**
 * The listeners of clients: accept, number and limit connections, and hand each to the shard that has the fewest.
 *
 * Connections accepted in one turn travel in one message per shard: a wake-up of a thread costs more than an accept.
 */
export class ClientGate {
  readonly #topology: Topology;
  readonly #handOff: HandOff;
  readonly #logger: Logger;
  #options: ServerOptions;
  readonly #listeners = new Map<ClientListener, Listener>();
  #batch: HandedConnection[][] = [];
  #batched = 0;
  readonly #rates = { client: new RateWindow(), websocket: new RateWindow(), mqtt: new RateWindow() };

  constructor(topology: Topology, handOff: HandOff, options: ServerOptions, logger: Logger) {
    this.#topology = topology;
    this.#handOff = handOff;
    this.#options = options;
    this.#logger = logger;
    for (let shard = 0; shard < topology.shardCount; shard++) this.#batch.push([]);
  }

  /** @returns `null` when it hasn't been opened */
  listener(kind: ClientListener): Listener | null {
    return this.#listeners.get(kind) ?? null;
  }

  /** Takes over changed limits; the listening address can't change. */
  reconfigure(options: ServerOptions): void {
    this.#options = options;
  }

  /** @throws the system error when the address can't be used */
  async open(kind: ClientListener, host: string, port: number): Promise<Listener> {
    const listener = await listen(
      host,
      port,
      (socket) => this.#accepted(kind, socket),
      (error) => this.#logger.error(`Error accepting ${kind} connection: ${error.message}`),
    );
    this.#listeners.set(kind, listener);
    return listener;
  }

  /** Stops accepting; open connections stay. */
  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
  }

  #accepted(kind: ClientListener, socket: net.Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) {
      socket.destroy();
      return;
    }
    const shard = this.#topology.leastLoaded();
    if (shard < 0) {
      socket.destroy();
      return;
    }
    const refusal = this.#refusal(kind);
    let detached: ReturnType<HandOff['detach']>;
    try {
      detached = this.#handOff.detach(socket);
    } catch (error) {
      this.#logger.error(`Error accepting client connection: ${(error as Error).message}`);
      socket.destroy();
      return;
    }
    if (refusal === '') this.#topology.expect(shard);
    this.#batch[shard]!.push({
      listener: kind,
      cid: this.#topology.nextCid(),
      fd: detached.fd,
      socket: detached.socket,
      remoteAddress: plainAddress(remoteAddress),
      remotePort,
      acceptedAtMs: Date.now(),
      refusal,
    });
    if (this.#batched++ === 0) setImmediate(this.#flush);
  }

  #refusal(kind: ClientListener): HandedConnection['refusal'] {
    if (this.#topology.openConnections >= this.#options.maxConnections) return 'max-connections';
    const rateLimit = this.#tlsOf(kind)?.connectionRateLimit ?? 0;
    return rateLimit > 0 && this.#rates[kind].exceeds(rateLimit) ? 'throttled' : '';
  }

  #tlsOf(kind: ClientListener): TlsOptions | null {
    if (kind === 'client') return this.#options.tls;
    return this.#options[kind]?.tls ?? null;
  }

  readonly #flush = (): void => {
    this.#batched = 0;
    for (let shard = 0; shard < this.#batch.length; shard++) {
      const list = this.#batch[shard]!;
      if (list.length === 0) continue;
      this.#batch[shard] = [];
      this.#topology.hand(shard, list);
    }
  };
}

/** Window of `connection_rate_limit`: its end (monotonic) and what was accepted in it. */
class RateWindow {
  #endMs = 0;
  #count = 0;

  /** Counts a handshake in the current window of a second, which the first one after the last window opens. */
  exceeds(rateLimit: number): boolean {
    const nowMs = performance.now();
    if (nowMs > this.#endMs) {
      this.#endMs = nowMs + RATE_WINDOW_MS;
      this.#count = 0;
    }
    return ++this.#count > rateLimit;
  }
}

/** IPv4 peers of a dual-stack listener appear as themselves. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
