/**
 * systemd's notification protocol (sd_notify(3)): one datagram of `NAME=value` lines to the socket in NOTIFY_SOCKET.
 *
 * Without the variable nothing is loaded and every call does nothing. A notification that fails is never an error of
 * the server: it is reported once, at debug level, by the caller's `onFailure`.
 */

import { loadUnixSockets, type UnixDatagram } from '../log/unix-datagram.ts';

/** systemd asks for a sign of life at half of the time after which it kills. */
const WATCHDOG_DIVISOR = 2;
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Notifier {
  /** The server serves; `status` is what `systemctl status` shows. */
  ready(status: string): void;
  /** A reload begins; `ready` ends it. */
  reloading(): void;
  stopping(status: string): void;
  status(status: string): void;
  /** Asks for more time before the stop timeout (lame duck), in milliseconds. */
  extendTimeout(extensionMs: number): void;
  /**
   * Starts the signs of life if systemd wants any. `isAlive` is asked each time: main may be alive while a shard is
   * stuck, and then the service must be restarted.
   */
  startWatchdog(isAlive: () => boolean): void;
  close(): void;
}

export interface NotifyEnvironment {
  pid: number;
  /** CLOCK_MONOTONIC in microseconds. */
  monotonicMicros: () => bigint;
  /** Called once, with the errno or the message of the first failure. */
  onFailure: (reason: string) => void;
  /** Replaces the socket in tests. */
  open?: (path: string) => Promise<UnixDatagram>;
}

/** Milliseconds between signs of life; 0 when none are wanted from this process. */
export function watchdogIntervalMs(variables: NodeJS.ProcessEnv, pid: number): number {
  const { WATCHDOG_USEC: micros, WATCHDOG_PID: owner } = variables;
  if (micros === undefined || !/^\d+$/.test(micros)) return 0;
  if (owner !== undefined && owner !== '' && owner !== String(pid)) return 0;
  return Math.min(Math.floor(Number(micros) / 1000 / WATCHDOG_DIVISOR), MAX_TIMER_MS);
}

/**
 * Connects to systemd. Takes the variables out of `variables`, so that no child process speaks in our name.
 */
export async function createNotifier(
  variables: NodeJS.ProcessEnv,
  environment: NotifyEnvironment,
): Promise<Notifier> {
  const path = variables.NOTIFY_SOCKET;
  const intervalMs = watchdogIntervalMs(variables, environment.pid);
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete variables[name];
  if (path === undefined || path === '') return new SystemdNotifier(null, 0, environment);
  let socket: UnixDatagram | null = null;
  try {
    socket = await (environment.open ?? openSocket)(path);
  } catch (error) {
    environment.onFailure(error instanceof Error ? error.message : String(error));
  }
  return new SystemdNotifier(socket, intervalMs, environment);
}

async function openSocket(path: string): Promise<UnixDatagram> {
  return (await loadUnixSockets()).open(path);
}

class SystemdNotifier implements Notifier {
  private readonly environment: NotifyEnvironment;
  private readonly watchdogMs: number;
  private socket: UnixDatagram | null;
  private timer: NodeJS.Timeout | null = null;
  private hasFailed = false;

  constructor(socket: UnixDatagram | null, watchdogMs: number, environment: NotifyEnvironment) {
    this.socket = socket;
    this.watchdogMs = watchdogMs;
    this.environment = environment;
  }

  ready(status: string): void {
    this.send(`READY=1\nSTATUS=${oneLine(status)}\nMAINPID=${this.environment.pid}`);
  }

  reloading(): void {
    this.send(`RELOADING=1\nMONOTONIC_USEC=${this.environment.monotonicMicros()}`);
  }

  stopping(status: string): void {
    this.send(`STOPPING=1\nSTATUS=${oneLine(status)}`);
  }

  status(status: string): void {
    this.send(`STATUS=${oneLine(status)}`);
  }

  extendTimeout(extensionMs: number): void {
    this.send(`EXTEND_TIMEOUT_USEC=${Math.ceil(extensionMs * 1000)}`);
  }

  startWatchdog(isAlive: () => boolean): void {
    if (this.watchdogMs === 0 || this.socket === null || this.timer !== null) return;
    this.timer = setInterval(() => {
      if (isAlive()) this.send('WATCHDOG=1');
    }, this.watchdogMs).unref();
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.socket?.close();
    this.socket = null;
  }

  private send(message: string): void {
    const errno = this.socket?.send(Buffer.from(message)) ?? 0;
    if (errno === 0 || this.hasFailed) return;
    this.hasFailed = true;
    this.environment.onFailure(`errno ${errno}`);
  }
}

/** A line end in a value would start another assignment. */
function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ');
}
