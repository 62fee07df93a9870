import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandFlags, noFlags } from './config/command-line.ts';
import { loadOptions } from './config/load.ts';
import { readSystemFile } from './config/read-file.ts';
import { Daemon } from './daemon.ts';
import type { HandOffMethod } from './listen/hand-off.ts';
import { createLogger } from './log/create-logger.ts';
import type { LogLevel } from './log/logger.ts';
import { SwitchLogger } from './log/switch-logger.ts';

/**
 * natsd inside another program, a test for instance:
 *
 *   import { startServer } from 'natsd';
 *   const server = await startServer('port: -1');
 *   // … connect to server.url …
 *   await server.stop();
 */
export interface EmbeddedServer {
  /** `nats://host:port` of the client listener. */
  readonly url: string;
  readonly port: number;
  /** The server itself, for supervision. */
  readonly daemon: Daemon;
  /** Closes every connection and ends the threads. */
  stop(): Promise<void>;
}

export { StartError } from './daemon.ts';

/** Keeps what a server says of itself out of its host's output; with debug or trace on, everything is wanted. */
class ErrorsOnly extends SwitchLogger {
  override notice(text: string): void {
    if (this.isDebug) super.notice(text);
  }

  override write(level: LogLevel, text: string): void {
    if (level !== 'notice' || this.isDebug) super.write(level, text);
  }
}

/** The configuration is wrong; the message has one line for each finding. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

/**
 * Starts a server from the text of a configuration file (nats-server's syntax). Without a port it takes a random one on
 * 127.0.0.1. Nothing is logged below the level of errors unless the configuration asks for it.
 * @throws ConfigurationError, or StartError when a port can't be used
 */
export async function startServer(
  config = '',
  { handOff }: { handOff?: HandOffMethod } = {},
): Promise<EmbeddedServer> {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-'));
  const configFile = join(directory, 'server.conf');
  // On the first line, so that the lines of findings are those of the text.
  writeFileSync(configFile, `host: "127.0.0.1", port: -1, ${config}\n`);
  const flags: CommandFlags = { ...noFlags(), configFile };
  const loaded = loadOptions(flags, process.env, readSystemFile);
  rmSync(directory, { recursive: true });
  if ('errors' in loaded)
    throw new ConfigurationError(loaded.errors.join('\n').replaceAll(configFile, 'config'));
  const logger = new ErrorsOnly(await createLogger(loaded.options.log, { pid: process.pid }));
  const daemon = new Daemon(loaded.options, logger, handOff);
  try {
    await daemon.start();
  } catch (error) {
    // Threads are there already, and the program goes on without this server.
    await daemon.stop();
    await logger.close();
    throw error;
  }
  return {
    port: daemon.port,
    url: `nats://${loaded.options.host}:${daemon.port}`,
    daemon,
    async stop() {
      await daemon.stop();
      await logger.close();
    },
  };
}
