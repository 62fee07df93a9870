/**
 * A server in the process of the test: what it does with its threads can be seen, and forced, from inside.
 *
 * It is the built one, as programs import it; `NATSD_TEST_SERVER` has no part in it.
 */
import { Signal } from './waiting.ts';

type Embed = typeof import('../../src/main/embed.ts');
type EmbeddedServer = Awaited<ReturnType<Embed['startServer']>>;
type EmbedOptions = NonNullable<Parameters<Embed['startServer']>[1]>;

const BUILT_EMBED = new URL('../../dist/embed.js', import.meta.url).href;

/** What `import 'natsd'` gives. */
export async function importEmbed(): Promise<Embed> {
  return (await import(/* @vite-ignore */ BUILT_EMBED)) as Embed;
}

export class Embedded {
  readonly server: EmbeddedServer;
  /** Log lines since the server was up, without level. */
  readonly lines: string[] = [];
  private readonly changed = new Signal();

  private constructor(server: EmbeddedServer) {
    this.server = server;
    const { logger } = server.daemon;
    const record = (text: string): void => {
      this.lines.push(text);
      this.changed.notify();
    };
    for (const level of ['notice', 'warn', 'error', 'fatal', 'debug', 'trace'] as const)
      logger[level] = record;
    logger.write = (_level, text) => record(text);
    const { closedConnections } = server.daemon;
    const add = closedConnections.add.bind(closedConnections);
    closedConnections.add = (snapshot) => {
      add(snapshot);
      this.changed.notify();
    };
  }

  /** Starts a server with `shards` threads; monitoring, where the configuration has none, is on a random port. */
  static async start(shards: number, config = '', options: EmbedOptions = {}): Promise<Embedded> {
    const { startServer } = await importEmbed();
    const monitoring = /^http/m.test(config) ? '' : 'http: "127.0.0.1:-1"\n';
    const server = await startServer(`${LOG_NOWHERE}shards: ${shards}\n${monitoring}${config}`, options);
    return new Embedded(server);
  }

  get port(): number {
    return this.server.port;
  }

  /** Waits for a line that matches, at index `from` or later; answers the index after it. */
  async untilLogged(pattern: RegExp, from = 0): Promise<number> {
    const find = () => this.lines.findIndex((line, index) => index >= from && pattern.test(line));
    await this.changed.until(
      () => find() >= 0,
      () => `${pattern} in the log: ${JSON.stringify(this.lines.slice(from))}`,
    );
    return find() + 1;
  }

  /** Waits until so many connections have been reported as closed; answers their reasons, oldest first. */
  async closeReasons(count: number): Promise<string[]> {
    const closed = () => [...this.server.daemon.closedConnections];
    await this.changed.until(
      () => closed().length >= count,
      () => `${count} closed connections, not ${closed().length}`,
    );
    return closed().map(({ closeReason }) => closeReason);
  }

  /** Ends a shard's thread and waits until another has taken its place. */
  async replaceShard(shard: number): Promise<void> {
    const from = this.lines.length;
    await this.server.daemon.topology.killShard(shard);
    await this.untilLogged(new RegExp(`^Shard ${shard} restarted$`), from);
  }

  /** A page of the monitoring listener, parsed. */
  async monitoring(path: string): Promise<Record<string, unknown>> {
    const { monitor } = this.server.daemon;
    const answer = await fetch(`http://127.0.0.1:${monitor?.httpPort}${path}`);
    return (await answer.json()) as Record<string, unknown>;
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

const LOG_NOWHERE = 'log_file: "/dev/null"\n';
