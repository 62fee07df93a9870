/**
 * One server process under test: its temporary directory, configuration, ports, log and end.
 *
 * Readiness is an event: the ports file appears once every listener is up. Every process started here is killed when
 * the test process exits, whatever happened in between.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  type FSWatcher,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type ServerCommand, serverUnderTest } from './server-command.ts';
import { Signal } from './waiting.ts';

export interface DaemonOptions {
  /** Text of the configuration file; absent: no `-c`. */
  config?: string;
  flags?: string[];
  /** Number of shard threads; ignored for the reference server. */
  shards?: number;
  /** Client port; -1, the default, is a random one. `null` leaves host and port to the configuration. */
  port?: number | null;
  environment?: Record<string, string>;
  command?: ServerCommand;
  /** Reuse the directory (configuration, logs) of a daemon that was stopped with `keepDirectory`. */
  directory?: string;
}

export interface ExitStatus {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Content of the ports file. */
export interface Ports {
  nats?: string[];
  monitoring?: string[];
  websocket?: string[];
  cluster?: string[];
  profile?: string[];
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Daemon {
  readonly directory: string;
  readonly configFile: string;
  readonly pid: number;
  ports: Ports = {};
  exit: ExitStatus | null = null;
  private readonly child: ChildProcess;
  private readonly changed = new Signal();
  private output = '';

  private constructor(options: DaemonOptions) {
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'natsd-test-'));
    this.configFile = join(this.directory, 'server.conf');
    const command = options.command ?? serverUnderTest();
    const args = [...command.args, '--ports_file_dir', this.directory];
    if (options.config !== undefined) {
      writeFileSync(this.configFile, options.config);
      args.push('-c', this.configFile);
    }
    if (options.port !== null) args.push('-a', '127.0.0.1', '-p', String(options.port ?? -1));
    if (options.shards !== undefined && command.isNatsd) args.push('--shards', String(options.shards));
    args.push(...(options.flags ?? []));
    this.child = spawn(command.file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.environment },
      cwd: this.directory,
    });
    running.add(this.child);
    this.child.stdout?.setEncoding('latin1').on('data', (text: string) => this.append(text));
    this.child.stderr?.setEncoding('latin1').on('data', (text: string) => this.append(text));
    this.child.on('error', (error) => this.append(`cannot start: ${error.message}\n`));
    this.child.on('close', (code, signal) => {
      running.delete(this.child);
      this.exit = { code, signal };
      this.changed.notify();
    });
    this.pid = this.child.pid ?? -1;
  }

  /**
   * Starts a daemon and waits until its ports file says that it listens.
   *
   * @throws Error with the log text when the process ends before that
   */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.untilListening();
    } catch (error) {
      await daemon.stop('SIGKILL');
      throw error;
    }
    return daemon;
  }

  /** Port of the plain client listener. */
  get port(): number {
    return Number(new URL(this.ports.nats?.[0] ?? 'nats://127.0.0.1:0').port);
  }

  /** Base URL of the monitoring listener. */
  get monitoringUrl(): string {
    return this.ports.monitoring?.[0] ?? '';
  }

  get portsFile(): string | null {
    const name = readdirSync(this.directory).find((file) => file.endsWith(`_${this.pid}.ports`));
    return name === undefined ? null : join(this.directory, name);
  }

  /** Everything the process wrote to stdout and stderr so far. */
  get log(): string {
    return this.output;
  }

  /** Waits for `pattern` in the log text after offset `from`; answers the offset after the match. */
  async untilLogged(pattern: RegExp, from = 0): Promise<number> {
    const found = () => pattern.exec(this.output.slice(from));
    await this.changed.until(
      () => found() !== null || this.exit !== null,
      () => `${pattern} in the log:\n${this.output.slice(from)}`,
    );
    const match = found();
    if (match === null) throw new Error(`ended without logging ${pattern}:\n${this.output.slice(from)}`);
    return from + match.index + match[0].length;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for the end of the process. */
  async exited(): Promise<ExitStatus> {
    await this.changed.until(
      () => this.exit !== null,
      () => `process ${this.pid} to end:\n${this.output}`,
    );
    return this.exit as ExitStatus;
  }

  /** Signals the process, waits for its end and removes its directory. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', keepDirectory = false): Promise<ExitStatus> {
    if (this.exit === null) this.child.kill(signal);
    const status = await this.exited();
    if (!keepDirectory) rmSync(this.directory, { recursive: true, force: true });
    return status;
  }

  private append(text: string): void {
    this.output += text;
    this.changed.notify();
  }

  private readPorts(): boolean {
    const file = this.portsFile;
    if (file === null) return false;
    try {
      this.ports = JSON.parse(readFileSync(file, 'utf8')) as Ports;
      return true;
    } catch {
      // Created but not written yet: the write is another event.
      return false;
    }
  }

  private async untilListening(): Promise<void> {
    let listening = this.readPorts();
    const watcher: FSWatcher = watch(this.directory, (_event, file) => {
      if (file !== null && !basename(file).endsWith('.ports')) return;
      listening ||= this.readPorts();
      this.changed.notify();
    });
    try {
      listening ||= this.readPorts();
      await this.changed.until(
        () => listening || this.exit !== null,
        () => `the ports file of process ${this.pid}:\n${this.output}`,
      );
    } finally {
      watcher.close();
    }
    if (!listening)
      throw new Error(`the server ended at start (${JSON.stringify(this.exit)}):\n${this.output}`);
  }
}
