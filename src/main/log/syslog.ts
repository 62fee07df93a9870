/**
 * Syslog, local and remote, in the two old BSD layouts that nats-server writes (checked against 2.15.1):
 *
 *   local socket, unix://   <pri>Mon _2 hh:mm:ss tag[pid]: text\n
 *   udp://, tcp://          <pri>RFC 3339 time host tag[pid]: text\n
 *
 * Facility: daemon for the local socket, kernel (0) for `remote_syslog`, since that is what nats-server sends and
 * filters are set up for. Neither time, pid prefix, colours nor `log_format` apply: syslog has its own header.
 * A lost connection is opened again at the next line; meanwhile lines wait in a bounded queue.
 */

import { hostname } from 'node:os';
import { errnoText } from './errno-text.ts';
import type { LogLevel, LogSink } from './logger.ts';
import {
  loadUnixSockets,
  type UnixDatagram,
  type UnixSocketError,
  type UnixSockets,
} from './unix-datagram.ts';

const FACILITY_DAEMON = 3 << 3;
const FACILITY_KERNEL = 0;
const SEVERITIES: Record<LogLevel, number> = { notice: 5, trace: 5, debug: 7, warn: 4, error: 3, fatal: 2 };
const LOCAL_SOCKETS = ['/dev/log', '/var/run/syslog', '/var/run/log'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const MAX_QUEUED_MESSAGES = 10_000;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
const RETRY_MS = 20;
const CONNECT_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;

/** Syslog cannot be had; the message is what nats-server prints before it exits with 1. */
export class SyslogError extends Error {
  override readonly name = 'SyslogError';
}

export interface SyslogIdentity {
  /** Base name of the executable. */
  tag: string;
  pid: number;
  /** Milliseconds since the epoch. */
  epochMs: () => number;
}

/** One way to a syslog daemon. */
interface Transport {
  send(message: string): void;
  flushSync(): void;
  close(): Promise<void>;
}

/** `Nov  1 02:05:17 tag[pid]: text\n` behind the priority. */
export function formatLocalMessage(
  identity: SyslogIdentity,
  facility: number,
  level: LogLevel,
  text: string,
): string {
  const date = new Date(identity.epochMs());
  const stamp = `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${clockText(date)}`;
  return `<${facility | SEVERITIES[level]}>${stamp} ${identity.tag}[${identity.pid}]: ${text}\n`;
}

/** `2026-11-21T02:05:16Z host tag[pid]: text\n` behind the priority; local time with its offset. */
export function formatNetworkMessage(
  identity: SyslogIdentity,
  host: string,
  level: LogLevel,
  text: string,
): string {
  const date = new Date(identity.epochMs());
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const stamp = `${day}T${clockText(date)}${offsetText(-date.getTimezoneOffset())}`;
  return `<${FACILITY_KERNEL | SEVERITIES[level]}>${stamp} ${host} ${identity.tag}[${identity.pid}]: ${text}\n`;
}

class SyslogSink implements LogSink {
  private readonly transport: Transport;
  private readonly format: (level: LogLevel, text: string) => string;

  constructor(transport: Transport, format: (level: LogLevel, text: string) => string) {
    this.transport = transport;
    this.format = format;
  }

  write(level: LogLevel, text: string): void {
    this.transport.send(this.format(level, text));
  }

  reopen(): undefined {
    return undefined;
  }

  flushSync(): void {
    this.transport.flushSync();
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}

/**
 * The local syslog daemon. `sockets` are the paths to try, first as datagram, then as stream. Throws SyslogError.
 */
export async function openLocalSyslog(identity: SyslogIdentity, sockets = LOCAL_SOCKETS): Promise<LogSink> {
  const loaded = await loadUnixSockets();
  const transport = new LocalTransport(loaded, sockets);
  if (!transport.connect()) throw connectError('Unix syslog delivery error');
  return new SyslogSink(transport, (level, text) =>
    formatLocalMessage(identity, FACILITY_DAEMON, level, text),
  );
}

/** A remote daemon: `udp://host:port`, `tcp://host:port` or `unix:///path`. Throws SyslogError. */
export async function openRemoteSyslog(address: string, identity: SyslogIdentity): Promise<LogSink> {
  const url = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/(.*)$/s.exec(address);
  if (url === null) {
    throw new SyslogError(`parse "${address}": first path segment in URL cannot contain colon`);
  }
  const network = url[1]!.toLowerCase();
  const target = url[2]!;
  if (network === 'unix') {
    const transport = await openStream({ path: target }, `dial unix ${target}`);
    return new SyslogSink(transport, (level, text) =>
      formatLocalMessage(identity, FACILITY_KERNEL, level, text),
    );
  }
  if (network !== 'udp' && network !== 'tcp')
    throw new SyslogError(`error invalid network type: "${network}"`);
  const { host, port } = splitHostPort(network, target);
  const transport =
    network === 'udp'
      ? await openUdp(host, port, `dial udp ${target}`)
      : await openStream({ host, port }, `dial tcp ${target}`);
  const ownHost = hostname();
  return new SyslogSink(transport, (level, text) => formatNetworkMessage(identity, ownHost, level, text));
}

function splitHostPort(network: string, target: string): { host: string; port: number } {
  if (target === '') throw connectError(`dial ${network}: missing address`);
  const parts = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)\/?$/.exec(target);
  if (parts === null) throw connectError(`dial ${network}: address ${target}: missing port in address`);
  const port = Number(parts[3]);
  if (!/^\d+$/.test(parts[3]!) || port > 65535)
    throw connectError(`dial ${network}: address ${target}: invalid port`);
  return { host: parts[1] ?? (parts[2] || 'localhost'), port };
}

function connectError(reason: string): SyslogError {
  return new SyslogError(`error connecting to syslog: "${reason}"`);
}

/** Datagrams to the local daemon, with a queue for the moments in which it does not read. */
class LocalTransport implements Transport {
  private readonly sockets: UnixSockets;
  private readonly paths: readonly string[];
  private socket: UnixDatagram | null = null;
  private queue: Buffer[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(sockets: UnixSockets, paths: readonly string[]) {
    this.sockets = sockets;
    this.paths = paths;
  }

  /** Finds a daemon; false when there is none. */
  connect(): boolean {
    this.socket?.close();
    this.socket = null;
    for (const kind of ['datagram', 'stream'] as const) {
      for (const path of this.paths) {
        try {
          this.socket = this.sockets.open(path, kind);
          return true;
        } catch (error) {
          if ((error as UnixSocketError).name !== 'UnixSocketError') throw error;
        }
      }
    }
    return false;
  }

  send(message: string): void {
    // At the bound the newest lines are dropped: the oldest tell how the trouble began.
    if (this.queue.length < MAX_QUEUED_MESSAGES) this.queue.push(Buffer.from(message));
    this.drain();
  }

  flushSync(): void {
    for (let round = 0; round < 20 && this.queue.length > 0; round++) {
      this.drain();
      if (this.queue.length > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }

  async close(): Promise<void> {
    this.flushSync();
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.socket?.close();
    this.socket = null;
  }

  private drain(): void {
    while (this.queue.length > 0) {
      // A failed send may mean a daemon that was restarted: one new connection, then wait.
      if (!this.trySend(this.queue[0]!) && !(this.connect() && this.trySend(this.queue[0]!))) {
        this.timer ??= setTimeout(() => this.retry(), RETRY_MS).unref();
        return;
      }
      this.queue.shift();
    }
  }

  private trySend(bytes: Buffer): boolean {
    return this.socket !== null && this.socket.send(bytes) === 0;
  }

  private retry(): void {
    this.timer = null;
    this.drain();
  }
}

async function openUdp(host: string, port: number, what: string): Promise<Transport> {
  const { createSocket } = await import('node:dgram');
  const { isIPv6 } = await import('node:net');
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(connectError(`${what}: ${errnoText(error)}`)));
    socket.connect(port, host, resolve);
  });
  socket.removeAllListeners('error');
  // An unreachable daemon answers with ICMP errors; UDP syslog loses such lines by nature.
  socket.on('error', () => {});
  socket.unref();
  let pending = 0;
  let onIdle: (() => void) | null = null;
  return {
    send(message) {
      pending++;
      socket.send(message, () => {
        pending--;
        if (pending === 0) onIdle?.();
      });
    },
    flushSync() {
      // Sends on a connected datagram socket reach the kernel within the call.
    },
    async close() {
      if (pending > 0) {
        await new Promise<void>((resolve) => {
          onIdle = resolve;
        });
      }
      socket.close();
    },
  };
}

type StreamTarget = { path: string } | { host: string; port: number };

async function openStream(target: StreamTarget, what: string): Promise<Transport> {
  const { connect } = await import('node:net');
  let socket = connect(target);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      reject(connectError(`${what}: i/o timeout`));
    }, CONNECT_TIMEOUT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(connectError(`${what}: connect: ${errnoText(error)}`));
    });
  });
  const settle = (): void => {
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.resume();
    socket.unref();
  };
  settle();
  return {
    send(message) {
      if (socket.destroyed) {
        socket = connect(target);
        settle();
      }
      if (socket.writableLength < MAX_QUEUED_BYTES) socket.write(message);
    },
    flushSync() {
      // A stream is flushed by close(): its bytes leave with the event loop.
    },
    close() {
      return new Promise((resolve) => {
        if (socket.destroyed) return resolve();
        const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
        socket.once('close', () => {
          clearTimeout(timer);
          resolve();
        });
        socket.ref();
        socket.end(() => socket.destroy());
      });
    },
  };
}

function clockText(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function offsetText(minutes: number): string {
  if (minutes === 0) return 'Z';
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(absolute / 60))}:${two(absolute % 60)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
