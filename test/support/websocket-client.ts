/**
 * A WebSocket client that speaks bytes: tests decide about every header and frame. It answers nothing by itself.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { Signal } from './waiting.ts';
import { clientFrame, type FrameOptions, type ServerFrame, ServerFrameReader } from './websocket-frames.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const HEAD_END = '\r\n\r\n';

export interface WebsocketClientOptions {
  port: number;
  path?: string;
  /** Added to those of an upgrade; `null` leaves one of them out. */
  headers?: Record<string, string | null>;
  tls?: ConnectionOptions;
}

/** The request of an upgrade. */
export function upgradeRequest({ port, path = '/', headers = {} }: WebsocketClientOptions): string {
  const fields: Record<string, string | null> = {
    Host: `127.0.0.1:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}`],
  );
  return [`GET ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

export class WebsocketClient {
  /** Head of the response, without its blank line. */
  head = '';
  /** What came behind the head of a response that wasn't 101. */
  body = '';
  readonly frames: ServerFrame[] = [];
  closed = false;
  readonly socket: Socket;
  readonly #reader = new ServerFrameReader();
  readonly #changed = new Signal();
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#changed.notify();
    });
  }

  /** Opens the connection and sends nothing yet. */
  static async open({ port, tls }: WebsocketClientOptions): Promise<WebsocketClient> {
    const plain = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(plain, 'connect');
    const socket = tls === undefined ? plain : connectTls({ ...tls, socket: plain, host: '127.0.0.1' });
    const client = new WebsocketClient(socket);
    if (tls !== undefined) {
      await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]).catch(() => undefined);
    }
    return client;
  }

  /** Opens it, asks for the upgrade, and waits for the response. */
  static async connect(options: WebsocketClientOptions): Promise<WebsocketClient> {
    const client = await WebsocketClient.open(options);
    client.socket.write(upgradeRequest(options), 'latin1');
    await client.until(() => client.head !== '', 'the response');
    return client;
  }

  /** Another request will be sent: the response of the one before is forgotten. */
  expectResponse(): void {
    this.head = '';
    this.body = '';
    this.#received = Buffer.alloc(0);
  }

  /** Status of the response; 0 without one. */
  get status(): number {
    return Number(/^HTTP\/1\.[01] (\d+)/.exec(this.head)?.[1] ?? 0);
  }

  /** Value of a header of the response, `null` when it isn't there. */
  header(name: string): string | null {
    return new RegExp(`^${name}: (.*)$`, 'im').exec(this.head)?.[1] ?? null;
  }

  /** All data the server sent, as one latin1 text; compressed messages excluded. */
  get text(): string {
    const data = this.frames.filter(({ opcode, reserved }) => opcode <= 2 && reserved === 0);
    return Buffer.concat(data.map(({ payload }) => payload)).toString('latin1');
  }

  /** Status and text of the close frame; `null` as long as there is none. */
  get closeFrame(): { status: number; text: string } | null {
    const frame = this.frames.find(({ opcode }) => opcode === 8);
    if (frame === undefined) return null;
    const { payload } = frame;
    return {
      status: payload.length < 2 ? 0 : payload.readUInt16BE(0),
      text: payload.subarray(2).toString('utf8'),
    };
  }

  /** The first INFO. */
  async info(): Promise<Record<string, unknown>> {
    const text = await this.expect(/INFO (.*?) \r\n/);
    return JSON.parse(text.slice('INFO '.length)) as Record<string, unknown>;
  }

  write(bytes: Uint8Array): void {
    if (!this.closed) this.socket.write(bytes);
  }

  /** Sends one frame. */
  send(payload: string | Uint8Array, options: FrameOptions = {}): void {
    this.write(clientFrame(payload, options));
  }

  /** CONNECT (verbose off unless given) and a PING round trip. @returns false when the server closed instead */
  async handshake(fields: Record<string, unknown> = {}): Promise<boolean> {
    const text = JSON.stringify({ verbose: false, pedantic: false, protocol: 1, headers: true, ...fields });
    return this.sync(`CONNECT ${text}\r\n`);
  }

  /** Sends `bytes` and a PING in one frame and waits for the PONG. */
  async sync(bytes = ''): Promise<boolean> {
    const before = this.text.split('PONG\r\n').length;
    this.send(`${bytes}PING\r\n`);
    await this.until(() => this.text.split('PONG\r\n').length > before, 'PONG');
    return !this.closed || this.text.split('PONG\r\n').length > before;
  }

  /** Waits until it holds; also returns when the connection closes. */
  async until(holds: () => boolean, what: string): Promise<void> {
    await this.#changed.until(
      () => holds() || this.closed,
      () => `${what}; head ${JSON.stringify(this.head)}, received ${JSON.stringify(this.text.slice(-300))}`,
    );
  }

  /** Waits for text that matches among the data. */
  async expect(pattern: RegExp): Promise<string> {
    await this.until(() => pattern.test(this.text), String(pattern));
    const match = pattern.exec(this.text);
    if (match === null) throw new Error(`closed before ${pattern}: ${JSON.stringify(this.text.slice(-300))}`);
    return match[0];
  }

  async untilClosed(): Promise<void> {
    await this.until(() => this.closed, 'the connection to close');
  }

  destroy(): void {
    this.socket.destroy();
  }

  #push(chunk: Buffer): void {
    if (this.status === 101) this.frames.push(...this.#reader.push(chunk));
    else this.#readHead(chunk);
    this.#changed.notify();
  }

  #readHead(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf(HEAD_END);
    if (end < 0) return;
    this.head = this.#received.toString('latin1', 0, end);
    const rest = this.#received.subarray(end + HEAD_END.length);
    if (this.status === 101) this.frames.push(...this.#reader.push(rest));
    else this.body = rest.toString('latin1');
  }
}
