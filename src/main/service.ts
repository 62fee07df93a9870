import { setFlagsFromString } from 'node:v8';
import type { MqttOptions, ServerOptions, WebsocketOptions } from '../shared/base/options.ts';
import { COMPATIBLE_VERSION, NATSD_VERSION } from '../shared/base/version.ts';
import type { CommandFlags } from './config/command-line.ts';
import { formatDurationMs } from './config/duration.ts';
import { formatErrors, loadOptions } from './config/load.ts';
import { readSystemFile } from './config/read-file.ts';
import { diffOptions } from './config/reload.ts';
import { hasPlaintextPasswords } from './config/resolve.ts';
import { Daemon, StartError } from './daemon.ts';
import { createLogger, formatStartupFailure } from './log/create-logger.ts';
import { SwitchLogger } from './log/switch-logger.ts';
import { writePidFile } from './supervise/pid-file.ts';
import { removePortsFile, writePortsFile } from './supervise/ports-file.ts';
import { createNotifier, type Notifier } from './supervise/sd-notify.ts';
import { trapSignals } from './supervise/signals.ts';

/**
 * The server as a process: log, banner, files, signals, systemd, exit codes (config.md §4–§7). The daemon itself knows
 * nothing of these, so that it can also run inside another program.
 */
class Service {
  readonly #flags: CommandFlags;
  readonly #logger: SwitchLogger;
  readonly #daemon: Daemon;
  readonly #notifier: Notifier;
  #options: ServerOptions;
  /** Ends with the last reload asked for: they are done one after the other. */
  #reloads: Promise<void> = Promise.resolve();

  constructor(flags: CommandFlags, options: ServerOptions, logger: SwitchLogger, notifier: Notifier) {
    this.#flags = flags;
    this.#options = options;
    this.#logger = logger;
    this.#notifier = notifier;
    this.#daemon = new Daemon(options, logger);
  }

  async run(notices: readonly string[]): Promise<void> {
    const { pidFile, portsFileDir } = this.#options;
    this.#banner(notices);
    trapSignals(this.#logger, {
      shutdown: () => this.#shutdown(),
      reopenLog: () => this.#logger.reopen(),
      reload: () => {
        this.#reloads = this.#reloads.then(() => this.#reload());
      },
      lameDuck: () => this.#lameDuck(),
      isLameDuck: () => this.#daemon.lameDuck,
    });
    try {
      if (pidFile !== '') this.#writePidFile(pidFile);
      await this.#daemon.start();
    } catch (error) {
      this.#fatal(error);
    }
    limitYoungGeneration();
    if (!this.#daemon.isStopping) this.#announceReady(portsFileDir);
    await this.#daemon.stopped();
    this.#notifier.stopping('Stopped');
    // A reload may have moved it.
    if (this.#options.portsFileDir !== '') this.#removePortsFile(this.#options.portsFileDir);
    this.#notifier.close();
    this.#logger.flushSync();
    await this.#logger.close();
    process.exit(this.#daemon.failure === null ? 0 : 1);
  }

  #announceReady(portsFileDir: string): void {
    this.#logJetStream();
    this.#logListening();
    if (portsFileDir !== '') this.#writePortsFile(portsFileDir);
    this.#notifier.ready(`Serving clients on port ${this.#daemon.port}`);
    this.#notifier.startWatchdog(() => this.#daemon.isAlive());
  }

  #banner(notices: readonly string[]): void {
    const { identity } = this.#daemon;
    const { configFile, configDigest } = this.#options;
    const logger = this.#logger;
    logger.notice('Starting nats-server');
    logger.notice(`  Version:  ${COMPATIBLE_VERSION}`);
    logger.notice('  Git:      [not set]');
    logger.notice(`  natsd:    ${NATSD_VERSION}`);
    logger.debug(`  Node:     ${process.version}`);
    logger.notice(`  Name:     ${identity.serverName}`);
    logger.notice(`  ID:       ${identity.serverId}`);
    if (hasPlaintextPasswords(this.#options)) {
      logger.warn('Plaintext passwords detected, use nkeys or bcrypt');
    }
    if (configFile !== '') logger.notice(`Using configuration file: ${configFile} (${configDigest})`);
    for (const notice of notices) logger.warn(notice);
    if (this.#options.maxPayloadBytes > LARGE_PAYLOAD_BYTES) {
      logger.warn(
        `Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance`,
      );
    }
  }

  #logJetStream(): void {
    const { jetStream } = this.#options;
    if (jetStream === null) return;
    const { storeDir, syncIntervalMs, domain, encryption, isTemporary } = jetStream;
    this.#logger.notice(`  JetStream store: ${storeDir}`);
    if (encryption !== null) {
      const name = encryption.cipher === 'aes-256-gcm' ? 'AES-GCM' : 'ChaCha20-Poly1305';
      this.#logger.notice(`  JetStream encryption: ${name}`);
    }
    if (domain !== '') this.#logger.notice(`  JetStream domain: ${domain}`);
    if (isTemporary) {
      this.#logger.warn('Temporary storage directory used, data could be lost on system reboot');
    }
    if (syncIntervalMs === 'always') {
      this.#logger.notice('  JetStream acknowledges what is synced to the disk (sync_interval: always)');
    } else {
      this.#logger.warn(
        `JetStream syncs every ${formatDurationMs(syncIntervalMs)}: a power failure may lose what was acknowledged since the last time`,
      );
    }
  }

  #logListening(): void {
    const { host, tls, allowNonTls, websocket, mqtt } = this.#options;
    if (websocket !== null) this.#logWebsocket(websocket);
    const address = bracketed(host);
    this.#logger.notice(`Listening for client connections on ${address}:${this.#daemon.port}`);
    if (tls !== null) {
      const isOptional = allowNonTls && tls.handshakeFirstMs !== 0;
      this.#logger.notice(`TLS ${isOptional ? 'available' : 'required'} for client connections`);
      if (tls.handshakeFirstMs === 0)
        this.#logger.warn('Clients that are not using "TLS Handshake First" option will fail to connect');
    }
    if (mqtt !== null) this.#logMqtt(mqtt);
    this.#logger.debug(`Server id is ${this.#daemon.identity.serverId}`);
    this.#logger.notice('Server is ready');
  }

  #logWebsocket({ host, tls }: WebsocketOptions): void {
    const scheme = tls === null ? 'ws' : 'wss';
    this.#logger.notice(
      `Listening for websocket clients on ${scheme}://${bracketed(host)}:${this.#daemon.websocketPort}`,
    );
    this.#logger.notice(this.#daemon.websocketTransport);
    if (tls === null) this.#logger.warn('Websocket not configured with TLS. DO NOT USE IN PRODUCTION!');
  }

  #logMqtt({ host, tls }: MqttOptions): void {
    const scheme = tls === null ? 'mqtt' : 'tls';
    this.#logger.notice(
      `Listening for MQTT clients on ${scheme}://${bracketed(host)}:${this.#daemon.mqttPort}`,
    );
  }

  #writePidFile(path: string): void {
    try {
      writePidFile(path, process.pid);
    } catch (error) {
      throw new StartError(`Could not write pidfile: ${(error as Error).message}`);
    }
  }

  #writePortsFile(directory: string): void {
    try {
      writePortsFile(directory, process.pid, this.#daemon.ports());
    } catch (error) {
      this.#logger.error((error as Error).message);
    }
  }

  #removePortsFile(directory: string): void {
    try {
      removePortsFile(directory, process.pid);
    } catch (error) {
      this.#logger.error((error as Error).message);
    }
  }

  #fatal(error: unknown): never {
    this.#logger.fatal(error instanceof StartError ? error.message : String((error as Error).stack ?? error));
    this.#logger.flushSync();
    process.exit(1);
  }

  #shutdown(): void {
    this.#notifier.stopping('Closing connections');
    void this.#daemon.stop();
  }

  #lameDuck(): void {
    const { lameDuckDurationMs, lameDuckGracePeriodMs } = this.#options;
    this.#notifier.stopping('Lame duck: asking clients to move on');
    this.#notifier.extendTimeout(lameDuckDurationMs + lameDuckGracePeriodMs);
    this.#daemon.enterLameDuck();
  }

  /** All or nothing: the new file is read and compared first, and one change that can't be made refuses them all. */
  async #reload(): Promise<void> {
    this.#notifier.reloading();
    const problem = await this.#tryReload();
    if (problem !== '') this.#logger.error(`Failed to reload server configuration: ${problem}`);
    this.#notifier.ready(`Serving clients on port ${this.#daemon.port}`);
  }

  async #tryReload(): Promise<string> {
    if (this.#options.configFile === '')
      return 'can only reload config when a file is provided using -c or --config';
    const loaded = loadOptions(this.#flags, process.env, readSystemFile, {
      purpose: 'reload',
      previous: this.#options,
    });
    if ('errors' in loaded) return loaded.errors.join('\n');
    const { options } = loaded;
    const diff = diffOptions(this.#options, options);
    if ('error' in diff) return diff.error;
    if (diff.changes.some(({ subject }) => subject === 'log')) {
      try {
        this.#logger.replace(await createLogger(options.log, LOG_ENVIRONMENT));
      } catch (error) {
        return (error as Error).message;
      }
    }
    const before = this.#options;
    this.#options = options;
    await this.#daemon.reconfigure(options);
    this.#replaceFiles(before, options);
    for (const { text } of diff.changes) this.#logger.notice(text);
    for (const notice of loaded.notices) this.#logger.warn(notice);
    this.#logger.notice(`Reloaded server configuration (${options.configDigest})`);
    return '';
  }

  #replaceFiles(before: ServerOptions, now: ServerOptions): void {
    if (now.pidFile !== before.pidFile && now.pidFile !== '') {
      try {
        writePidFile(now.pidFile, process.pid);
      } catch (error) {
        this.#logger.error(`Could not write pidfile: ${(error as Error).message}`);
      }
    }
    if (now.portsFileDir === before.portsFileDir) return;
    if (before.portsFileDir !== '') this.#removePortsFile(before.portsFileDir);
    if (now.portsFileDir !== '') this.#writePortsFile(now.portsFileDir);
  }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

const LOG_ENVIRONMENT = { pid: process.pid, tag: 'nats-server' };
/** Payloads beyond this are warned of at the start. */
const LARGE_PAYLOAD_BYTES = 8 * 1024 * 1024;

/**
 * Main accepts many connections but keeps none, so its garbage dies at once: a small young generation saves about 2 KB of
 * resident memory for each of many connections. Not before the threads run: a changed flag makes V8 reject Node's code
 * cache, and a thread then takes 30 ms longer to start.
 */
function limitYoungGeneration(): void {
  setFlagsFromString('--max-semi-space-size=1');
}

/** Runs the server until it is told to stop. Ends the process. */
export async function runService(flags: CommandFlags): Promise<void> {
  const loaded = loadOptions(flags, process.env, readSystemFile);
  if ('errors' in loaded) {
    process.stderr.write(formatErrors(loaded.errors));
    process.exit(1);
  }
  for (const warning of loaded.warnings) process.stderr.write(`${warning}\n`);
  const { options } = loaded;
  let logger: SwitchLogger;
  try {
    logger = new SwitchLogger(await createLogger(options.log, LOG_ENVIRONMENT));
  } catch (error) {
    process.stderr.write(formatStartupFailure(new Date(), error as Error));
    process.exit(1);
  }
  const notifier = await createNotifier(process.env, {
    pid: process.pid,
    monotonicMicros: () => process.hrtime.bigint() / 1000n,
    onFailure: (reason) => logger.warn(`systemd can't be notified: ${reason}`),
  });
  await new Service(flags, options, logger, notifier).run(loaded.notices);
}
