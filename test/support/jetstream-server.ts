/** A server with JetStream under test, and connections to it that end with the test. */
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { Daemon } from './daemon.ts';

export type Json = Record<string, unknown>;

const TIMEOUT_MS = 10_000;
const LOOKS = 20_000;

/** A subscription can be iterated once. */
const iterators = new WeakMap<AsyncIterable<Msg>, AsyncIterator<Msg>>();

export interface Client {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
}

export class JetStreamServer {
  readonly shards: number;
  #daemon: Daemon;
  #connections: NatsConnection[] = [];

  private constructor(daemon: Daemon, shards: number) {
    this.#daemon = daemon;
    this.shards = shards;
  }

  static async start(
    shards: number,
    config = 'jetstream { store_dir: store }',
    flags: string[] = [],
  ): Promise<JetStreamServer> {
    return new JetStreamServer(await Daemon.start({ shards, config, flags }), shards);
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

  /** Ends the process and starts another one over the same directory. */
  async restart(signal: NodeJS.Signals, config = 'jetstream { store_dir: store }'): Promise<void> {
    await this.#close();
    const { directory } = this.#daemon;
    await this.#daemon.stop(signal, true);
    this.#daemon = await Daemon.start({ shards: this.shards, config, directory });
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
  let seen = await look();
  for (let looks = 1; !isDone(seen); looks++) {
    if (looks === LOOKS) throw new Error(`looked ${LOOKS} times, last: ${JSON.stringify(seen)}`);
    seen = await look();
  }
  return seen;
}
