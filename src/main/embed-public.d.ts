/** What `import 'natsd'` gives; the build puts this file beside `dist/embed.js`. A test holds it against `embed.ts`. */

/** A server inside the program. */
export interface EmbeddedServer {
  /** `nats://host:port` of the client listener. */
  readonly url: string;
  /** Port of the client listener. */
  readonly port: number;
  /** Closes every connection and ends the threads. May be called more than once. */
  stop(): Promise<void>;
}

export interface EmbedOptions {
  /** How connections reach the threads that serve them; without it the better way that Node has. */
  handOff?: 'transfer' | 'duplicate';
}

/**
 * Starts a server from the text of a configuration file (nats-server's syntax). Without a port it takes a random one on
 * 127.0.0.1. Nothing is logged below the level of errors unless the configuration asks for it.
 * @throws ConfigurationError, or StartError when a port or a store can't be used
 */
export function startServer(config?: string, options?: EmbedOptions): Promise<EmbeddedServer>;

/** The configuration is wrong; the message has one line for each finding. */
export class ConfigurationError extends Error {
  override readonly name: 'ConfigurationError';
}

/** The server can't start; the text is what nats-server logs as fatal. */
export class StartError extends Error {
  override readonly name: 'StartError';
}
