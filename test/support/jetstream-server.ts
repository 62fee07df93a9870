/** A server with JetStream under test, and connections to it that end with the test. */
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { Daemon, type ExitStatus } from './daemon.ts';
import { GUARD_MS } from './waiting.ts';

export type Json = Record<string, unknown>;

const TIMEOUT_MS = GUARD_MS;

/** A subscription can be iterated once. */
const iterators = new WeakMap<AsyncIterable<Msg>, AsyncIterator<Msg>>();

export interface Client {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
}

const CONFIG = 'jetstream { store_dir: store }';

export class JetStreamServer {
  readonly shards: number;
  #daemon: Daemon;
  #config: string;
  readonly #environment: Record<string, string>;
  #connections: NatsConnection[] = [];

  private constructor(daemon: Daemon, shards: number, config: string, environment: Record<string, string>) {
    this.#daemon = daemon;
    this.shards = shards;
    this.#config = config;
    this.#environment = environment;
  }

  static async start(
    shards: number,
    config = CONFIG,
    flags: string[] = [],
    environment: Record<string, string> = {},
  ): Promise<JetStreamServer> {
    const daemon = await Daemon.start({ shards, config, flags, environment });
    return new JetStreamServer(daemon, shards, config, environment);
  }

  get daemon(): Daemon {
    return this.#daemon;
  }

  async connect(user?: string): Promise<NatsConnection> {
    const login = user === undefined ? {} : { user, pass: user };
    const nc = await connect({ port: this.#daemon.port, reconnect: false, ...login });
    this.#connections.push(nc);
    return nc;
  }

  async client(user?: string, domain?: string): Promise<Client> {
    const nc = await this.connect(user);
    const options = { timeout: TIMEOUT_MS, ...(domain === undefined ? {} : { domain }) };
    return {
      nc,
      js: jetstream(nc, options),
      jsm: await jetstreamManager(nc, { ...options, checkAPI: false }),
    };
  }

  /** Ends the process and starts another one over the same directory; with another configuration if one is given. */
  async restart(signal: NodeJS.Signals, config = this.#config): Promise<ExitStatus> {
    const status = await this.halt(signal);
    await this.resume(config);
    return status;
  }

  /** Ends the process; its directory stays. */
  async halt(signal: NodeJS.Signals): Promise<ExitStatus> {
    await this.#close();
    return this.#daemon.stop(signal, true);
  }

  /** Starts another process over the directory of the one that was halted. */
  async resume(config = this.#config): Promise<void> {
    this.#config = config;
    const { directory } = this.#daemon;
    const environment = this.#environment;
    this.#daemon = await Daemon.start({ shards: this.shards, config, directory, environment });
  }

  async stop(): Promise<void> {
    await this.#close();
    await this.#daemon.stop('SIGKILL');
  }

  async #close(): Promise<void> {
    for (const nc of this.#connections.splice(0)) await nc.close();
  }
}

/** A request of the API as it is answered. */
export async function ask(nc: NatsConnection, endpoint: string, body: unknown = ''): Promise<Json> {
  const payload = typeof body === 'string' ? body : JSON.stringify(body);
  return (await nc.request(`$JS.API.${endpoint}`, payload, { timeout: TIMEOUT_MS })).json<Json>();
}

export function errorCode(answer: Json): unknown {
  return (answer.error as Json | undefined)?.err_code;
}

/** The next message of a subscription. */
export async function nextMessage(messages: AsyncIterable<Msg>): Promise<Msg> {
  const iterator = iterators.get(messages) ?? messages[Symbol.asyncIterator]();
  iterators.set(messages, iterator);
  const { done, value } = await iterator.next();
  if (done === true) throw new Error('the subscription ended');
  return value;
}

/** Looks again and again until something is as it should be; every look is a request, none waits. */
export async function until<T>(look: () => Promise<T>, isDone: (seen: T) => boolean): Promise<T> {
  const endMs = performance.now() + GUARD_MS;
  let seen = await look();
  for (let looks = 1; !isDone(seen); looks++) {
    if (performance.now() > endMs) throw new Error(`looked ${looks} times, last: ${JSON.stringify(seen)}`);
    seen = await look();
  }
  return seen;
}
