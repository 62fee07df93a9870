import type net from 'node:net';
import type { MqttOptions, ServerOptions } from '../../shared/base/options.ts';
import type { HandedConnection, ListenerKind } from '../../workers/shard/contract.ts';
import type { Logger } from '../log/logger.ts';
import type { Topology } from '../supervise/topology.ts';
import type { HandOff } from './hand-off.ts';
import { type Listener, listen } from './listener.ts';

const RATE_WINDOW_MS = 1000;

/**
 * The client listener: accepts, numbers and limits connections, and hands each to the shard that has the fewest.
 *
 * Connections accepted in one turn travel in one message per shard: a wake-up of a thread costs more than an accept.
 */
export class ClientGate {
  readonly #topology: Topology;
  readonly #handOff: HandOff;
  readonly #logger: Logger;
  #options: ServerOptions;
  #listener: Listener | null = null;
  #mqttListener: Listener | null = null;
  #nextCid: number;
  #batch: HandedConnection[][] = [];
  #batched = 0;
  /** Window of `connection_rate_limit`: its end (monotonic) and what was accepted in it. */
  #rateEndMs = 0;
  #rateCount = 0;

  constructor(
    topology: Topology,
    handOff: HandOff,
    options: ServerOptions,
    logger: Logger,
    firstCid: number,
  ) {
    this.#topology = topology;
    this.#handOff = handOff;
    this.#options = options;
    this.#logger = logger;
    this.#nextCid = firstCid;
    for (let shard = 0; shard < topology.shardCount; shard++) this.#batch.push([]);
  }

  get listener(): Listener | null {
    return this.#listener;
  }

  get mqttListener(): Listener | null {
    return this.#mqttListener;
  }

  /** Takes over changed limits; the listening address can't change. */
  reconfigure(options: ServerOptions): void {
    this.#options = options;
  }

  /** @throws the system error when the address can't be used */
  async open(): Promise<Listener> {
    const { host, port } = this.#options;
    this.#listener = await listen(
      host,
      port,
      (socket) => this.#accepted(socket, 'nats'),
      (error) => this.#logger.error(`Error accepting client connection: ${error.message}`),
    );
    return this.#listener;
  }

  /** @throws the system error when the address can't be used */
  async openMqtt({ host, port }: MqttOptions): Promise<Listener> {
    this.#mqttListener = await listen(
      host,
      port,
      (socket) => this.#accepted(socket, 'mqtt'),
      (error) => this.#logger.error(`Error accepting MQTT connection: ${error.message}`),
    );
    return this.#mqttListener;
  }

  /** Stops accepting; open connections stay. */
  close(): void {
    this.#listener?.close();
    this.#mqttListener?.close();
  }

  #accepted(socket: net.Socket, listener: ListenerKind): void {
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
    const refusal = this.#refusal(listener);
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
      cid: this.#nextCid++,
      fd: detached.fd,
      socket: detached.socket,
      remoteAddress: plainAddress(remoteAddress),
      remotePort,
      acceptedAtMs: Date.now(),
      listener,
      refusal,
    });
    if (this.#batched++ === 0) setImmediate(this.#flush);
  }

  #refusal(listener: ListenerKind): HandedConnection['refusal'] {
    const { maxConnections } = this.#options;
    const tls = listener === 'mqtt' ? null : this.#options.tls;
    if (this.#topology.openConnections >= maxConnections) return 'max-connections';
    const rateLimit = tls?.connectionRateLimit ?? 0;
    return rateLimit > 0 && this.#exceeds(rateLimit) ? 'throttled' : '';
  }

  /** Counts a handshake in the current window of a second, which the first one after the last window opens. */
  #exceeds(rateLimit: number): boolean {
    const nowMs = performance.now();
    if (nowMs > this.#rateEndMs) {
      this.#rateEndMs = nowMs + RATE_WINDOW_MS;
      this.#rateCount = 0;
    }
    return ++this.#rateCount > rateLimit;
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

/** IPv4 peers of a dual-stack listener appear as themselves. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
