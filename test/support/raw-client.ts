/**
 * A client that speaks bytes: tests send exactly what they write and see exactly what the server answered.
 *
 * It answers nothing by itself (no PONG), so a test decides about every byte. Strings are latin1: one character, one byte.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { type Frame, FrameReader, frameText } from './server-frames.ts';
import { Signal } from './waiting.ts';

export interface ClientCertificate {
  cert: string;
  key: string;
}

export interface RawClientOptions {
  port: number;
  host?: string;
  /** `tcp`, `tls` (upgrade after INFO) or `tls-first` (handshake before INFO). */
  transport?: 'tcp' | 'tls' | 'tls-first';
  ca?: string;
  certificate?: ClientCertificate | null;
  /** What the client is willing to do in TLS: versions, ciphers. */
  tls?: Pick<ConnectionOptions, 'minVersion' | 'maxVersion' | 'ciphers'>;
  /** Sent as soon as the TCP connection stands, before anything else (PROXY protocol). */
  preamble?: Buffer;
}

export class RawClient {
  readonly frames: Frame[] = [];
  closed = false;
  /** Number of PONG frames received. */
  pongs = 0;
  /** Number of PONG frames due once everything handed to `sync` is answered. */
  private duePongs = 0;
  private readonly reader = new FrameReader();
  private readonly changed = new Signal();
  private socket: Socket;
  private secured = false;
  private detach: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.attach(socket);
  }

  /**
   * Connects; with `transport: 'tls'` reads the INFO line in clear, then upgrades.
   * A failed handshake is not an error here: the client is `closed` then.
   */
  static async connect(options: RawClientOptions): Promise<RawClient> {
    const { port, host = '127.0.0.1', transport = 'tcp' } = options;
    const socket = connect({ port, host, noDelay: true });
    await once(socket, 'connect');
    if (options.preamble !== undefined) socket.write(options.preamble);
    if (transport === 'tls-first') {
      socket.on('error', () => undefined);
      const secure = startTls(socket, options);
      const client = new RawClient(secure);
      await client.changed.until(
        () => client.closed || client.secured,
        () => 'the TLS handshake to end',
      );
      return client;
    }
    const client = new RawClient(socket);
    if (transport === 'tls') {
      await client.until((frames) => frames.length > 0, 'the first INFO');
      if (!client.closed) await client.upgrade(options);
    }
    return client;
  }

  /** Starts TLS on the open connection and waits for the handshake's end or the close. */
  async upgrade(options: Pick<RawClientOptions, 'ca' | 'certificate' | 'host' | 'tls'>): Promise<void> {
    this.detach();
    const secure = startTls(this.socket, options);
    this.socket = secure;
    this.attach(secure);
    await this.changed.until(
      () => this.closed || this.secured,
      () => 'the TLS handshake to end',
    );
  }

  /** All frames as texts, in order. */
  get texts(): string[] {
    return this.frames.map(frameText);
  }

  /** Bytes of an incomplete last frame. */
  get rest(): string {
    return this.reader.rest;
  }

  /** First INFO of the connection, parsed. */
  async info(): Promise<Record<string, unknown>> {
    await this.until((frames) => frames.some((frame) => frame.op === 'INFO'), 'INFO');
    const line = this.frames.find((frame) => frame.op === 'INFO')?.line ?? 'INFO {}';
    return JSON.parse(line.slice('INFO '.length)) as Record<string, unknown>;
  }

  send(bytes: string | Buffer): void {
    if (this.closed) return;
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends and resolves when the kernel took the bytes (or the connection is gone). */
  async flush(bytes: string | Buffer): Promise<void> {
    if (this.closed) return;
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    await new Promise<void>((resolve) => this.socket.write(data, () => resolve()));
  }

  /** CONNECT with `fields` (verbose and pedantic off unless given), then a PING round trip. */
  async handshake(fields: Record<string, unknown> = {}): Promise<boolean> {
    const text = JSON.stringify({ verbose: false, pedantic: false, protocol: 1, headers: true, ...fields });
    return this.sync(`CONNECT ${text}\r\n`);
  }

  /**
   * Sends `bytes` and a PING in one write and waits for its PONG: everything sent before is processed then.
   *
   * @param extraPongs PINGs in `bytes` and in whatever was sent without `sync` before
   * @returns false when the server closed the connection instead
   */
  async sync(bytes: string | Buffer = '', extraPongs = 0): Promise<boolean> {
    this.duePongs += extraPongs + 1;
    const target = this.duePongs;
    const head = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    this.send(Buffer.concat([head, Buffer.from('PING\r\n')]));
    await this.until(() => this.pongs >= target, `PONG number ${target}`);
    return this.pongs >= target;
  }

  /** Waits until `predicate` holds for the frames so far; also returns when the connection closes. */
  async until(predicate: (frames: Frame[]) => boolean, what: string, guardMs?: number): Promise<void> {
    await this.changed.until(
      () => predicate(this.frames) || this.closed,
      () => `${what}; received ${JSON.stringify(this.texts.slice(-20))} and ${JSON.stringify(this.rest)}`,
      guardMs,
    );
  }

  /** Waits for a frame whose text matches, at index `from` or later; answers its text. */
  async expect(pattern: RegExp, from = 0): Promise<string> {
    const find = () => this.texts.slice(from).find((text) => pattern.test(text));
    await this.until(() => find() !== undefined, String(pattern));
    const text = find();
    if (text === undefined)
      throw new Error(`closed before ${pattern}: ${JSON.stringify(this.texts.slice(-20))}`);
    return text;
  }

  /** Waits for the server to close the connection. */
  async untilClosed(guardMs?: number): Promise<void> {
    await this.until(() => this.closed, 'the connection to close', guardMs);
  }

  /** Stops reading: the client becomes a slow consumer. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Half-closes and waits until the connection is gone. */
  async end(): Promise<void> {
    if (this.closed) return;
    this.socket.end();
    await this.untilClosed();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private attach(socket: Socket): void {
    const onData = (chunk: Buffer): void => {
      for (const frame of this.reader.push(chunk)) {
        if (frame.op === 'PONG') this.pongs += 1;
        this.frames.push(frame);
      }
      this.changed.notify();
    };
    const onSecure = (): void => {
      this.secured = true;
      this.changed.notify();
    };
    const onEnd = (): void => {
      socket.end();
    };
    const onClose = (): void => {
      this.closed = true;
      this.changed.notify();
    };
    socket.on('data', onData).on('end', onEnd).on('close', onClose).on('secureConnect', onSecure);
    // A reset is one of the ways in which a server closes; the close event follows.
    socket.on('error', () => undefined);
    this.detach = () => {
      socket.off('data', onData).off('end', onEnd).off('close', onClose);
    };
  }
}

function startTls(
  socket: Socket,
  options: Pick<RawClientOptions, 'ca' | 'certificate' | 'host' | 'tls'>,
): TLSSocket {
  return connectTls({
    socket,
    servername: 'localhost',
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.certificate ?? {}),
    ...options.tls,
  });
}
