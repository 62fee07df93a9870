import { WEBSOCKET_COMPRESSED_FACTOR, WEBSOCKET_COMPRESSED_MAX_BYTES } from '../../../shared/base/limits.ts';
import { CLOSE_REASON } from '../../../shared/protocol/nats/errors.ts';
import { STATUS } from '../../../shared/protocol/websocket/close.ts';
import { TEXT_PROBLEM } from '../../../shared/protocol/websocket/frames.ts';
import { HttpHeaders, type HttpRequest } from '../../../shared/protocol/websocket/http-request.ts';
import { checkUpgrade, STATUS_TEXT, type Upgrade } from '../../../shared/protocol/websocket/upgrade.ts';
import { ClientConnection } from '../connection.ts';
import type { ListenAnswer } from '../contract.ts';
import type { Shard } from '../shard.ts';
import type { StreamEngine } from './stream-engine.ts';
import {
  closeListener,
  listenerPort,
  loadUws,
  type UwsApp,
  type UwsHandlers,
  type UwsModule,
  type UwsRequest,
  type UwsResponse,
  type UwsSocket,
  type UwsUserData,
} from './uws-module.ts';
import { UwsStream } from './uws-stream.ts';
import { cookieCredentials, WebsocketState } from './websocket-state.ts';

/**
 * The WebSocket listener on uWebSockets.js: this shard's own one.
 *
 * uWebSockets.js can't take over a socket that main accepted, so every shard listens on the same port (SO_REUSEPORT) and the
 * kernel spreads connections. It frames and unframes natively, and hands over whole messages: those have a limit here.
 * It can't stop reading either: what comes while the protocol waits is kept, up to `max_pending`, and then the client goes.
 * When the client goes by itself meanwhile, its connection lives on until all of that was looked at.
 *
 * A thread must not end while the native loop has sockets, for that ends the process: `close` comes first, always.
 */
const MESSAGE_MIN_BYTES = 1024 * 1024;
/** Close frames that are on their way get so long. */
const CLOSE_FLUSH_MS = 50;

export class UwsServer {
  readonly #shard: Shard;
  #module: UwsModule | null = null;
  #app: UwsApp | null = null;
  #listener: object | null = null;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  get isOpen(): boolean {
    return this.#app !== null;
  }

  /** Listens on a port that other shards may listen on too. @param port 0 is a random one */
  async listen(host: string, port: number): Promise<ListenAnswer> {
    try {
      const module = loadUws();
      const app = this.#routes(module);
      const listener = await new Promise<object | false>((resolve) => app.listen(host, port, resolve));
      if (listener === false)
        return { port: 0, error: `listen tcp ${host}:${port}: bind: address can't be used` };
      this.#module = module;
      this.#app = app;
      this.#listener = listener;
      process.on('exit', () => this.closeNow());
      return { port: listenerPort(module, listener), error: '' };
    } catch (error) {
      return { port: 0, error: (error as Error).message };
    }
  }

  /** New clients are refused from now on. */
  stopListening(): void {
    if (this.#listener === null) return;
    closeListener(this.#module!, this.#listener);
    this.#listener = null;
  }

  /** Ends everything, when the close frames had a moment to leave. */
  close(done: () => void): void {
    this.stopListening();
    setTimeout(() => {
      this.closeNow();
      // The loop has to turn once to forget the sockets.
      setImmediate(() => setImmediate(done));
    }, CLOSE_FLUSH_MS);
  }

  /** Ends everything at once. */
  closeNow(): void {
    this.#listener = null;
    this.#app?.close();
    this.#app = null;
  }

  /** The process is exiting, and main waits until this thread can go. */
  abandon(done: Int32Array): void {
    this.closeNow();
    setImmediate(() => {
      Atomics.add(done, 0, 1);
      Atomics.notify(done, 0);
    });
  }

  #routes({ App }: UwsModule): UwsApp {
    const { maxPayloadBytes } = this.#shard.options;
    const messageBytes = Math.max(maxPayloadBytes * WEBSOCKET_COMPRESSED_FACTOR, MESSAGE_MIN_BYTES);
    return App()
      .ws('/*', {
        maxPayloadLength: Math.min(messageBytes, WEBSOCKET_COMPRESSED_MAX_BYTES),
        idleTimeout: 0,
        // Output has one write under way at most, so its own limits hold.
        maxBackpressure: 0,
        closeOnBackpressureLimit: false,
        sendPingsAutomatically: false,
        compression: 0,
        upgrade: (response, request, context) => this.#upgrade(response, request, context),
        open: (socket) => {
          const data = socket.getUserData();
          data.handlers = data.accept(socket);
        },
        message: (socket, bytes, isBinary) =>
          socket.getUserData().handlers?.message(new Uint8Array(bytes), isBinary),
        drain: (socket) => socket.getUserData().handlers?.drained(),
        close: (socket) => socket.getUserData().handlers?.closed(),
      })
      .any('/*', (response, request) => {
        const result = this.#check(request);
        this.#refuse(
          response,
          'reason' in result ? result : { status: 400, reason: 'invalid websocket key' },
        );
      });
  }

  #check(request: UwsRequest): ReturnType<typeof checkUpgrade> {
    const headers = new HttpHeaders();
    request.forEachHeader((name, value) => headers.add(name, value));
    const head: HttpRequest = {
      method: request.getCaseSensitiveMethod(),
      path: request.getUrl(),
      minorVersion: 1,
      headers,
    };
    return checkUpgrade(head, this.#shard.websocket.rules);
  }

  #upgrade(response: UwsResponse, request: UwsRequest, context: object): void {
    const result = this.#check(request);
    if ('reason' in result) {
      this.#refuse(response, result);
      return;
    }
    const address = Buffer.from(response.getRemoteAddressAsText()).toString();
    const data: UwsUserData = {
      accept: (socket) => this.#accept(socket, plainAddress(address), result),
      handlers: null,
    };
    response.writeStatus('101 Switching Protocols');
    for (const [name, value] of this.#shard.websocket.headers) response.writeHeader(name, value);
    const subprotocol = result.protocol === 'mqtt' ? 'mqtt' : '';
    response.upgrade(data, result.key, subprotocol, '', context);
  }

  #refuse(response: UwsResponse, { status, reason }: { status: number; reason: string }): void {
    const address = plainAddress(Buffer.from(response.getRemoteAddressAsText()).toString());
    const text = STATUS_TEXT.get(status) ?? '';
    this.#shard.log('error', `${address}:0 - websocket handshake error: ${reason}`);
    response.cork(() => {
      response
        .writeStatus(`${status} ${text}`)
        .writeHeader('Content-Type', 'text/plain; charset=utf-8')
        .writeHeader('Sec-Websocket-Version', '13')
        .writeHeader('X-Content-Type-Options', 'nosniff')
        .end(`${text}\n`);
    });
  }

  #accept(socket: UwsSocket, address: string, upgrade: Upgrade): UwsHandlers {
    const shard = this.#shard;
    const stream = new UwsStream(socket);
    const engine = shard.websocket.engines.get(upgrade.protocol);
    if (engine === undefined) {
      shard.log('error', `${address}:0 - Not configured to accept leaf node connections`);
      // Its response is still to leave.
      setImmediate(() => stream.destroy());
      return { message: () => undefined, drained: () => undefined, closed: () => stream.closed() };
    }
    const isAdmitted = shard.admitOwn();
    const connection = new ClientConnection(shard, shard.nextCid(), stream, shard.globalAccount, Date.now());
    stream.connection = connection;
    connection.remoteAddress = address;
    connection.refused = !isAdmitted;
    connection.type = engine.connectionType;
    connection.copies = true;
    const cookies = cookieCredentials(upgrade.cookies, shard.options.websocket!);
    connection.websocket = new WebsocketState(upgrade, engine, cookies);
    engine.attach(connection);
    shard.beginTurn();
    shard.register(connection);
    shard.log('debug', `${connection.label} - Client connection created`);
    if (isAdmitted) engine.begin(connection);
    else shard.admission.refuse(connection, 'max-connections');
    return this.#handlers(connection, stream, engine);
  }

  #handlers(connection: ClientConnection, stream: UwsStream, engine: StreamEngine): UwsHandlers {
    const shard = this.#shard;
    return {
      message: (bytes, isBinary) => {
        if (isBinary || engine.takesText) this.#received(connection, engine, bytes);
        else this.#refuseText(connection, stream);
      },
      drained: () => {
        stream.drained();
        shard.output.completed(connection);
      },
      closed: () => {
        stream.closed();
        shard.output.completed(connection);
        // What it sent before it left is still to be looked at: `resume` ends it.
        if (!connection.paused) shard.close(connection, CLOSE_REASON.clientClosed);
      },
    };
  }

  #refuseText(connection: ClientConnection, stream: UwsStream): void {
    this.#shard.log('error', `${connection.label} - read error: ${TEXT_PROBLEM}`);
    stream.farewell = { status: STATUS.unsupportedData, text: TEXT_PROBLEM };
    this.#shard.close(connection, CLOSE_REASON.protocolViolation);
  }

  /** A message, as long as it may be looked at. */
  #received(connection: ClientConnection, engine: StreamEngine, bytes: Uint8Array): void {
    if (connection.closed) return;
    const done = this.#parse(connection, engine, bytes);
    if (done < bytes.length && !connection.closed) this.#hold(connection, bytes.subarray(done));
  }

  /** @returns how many of the bytes were taken in */
  #parse(connection: ClientConnection, engine: StreamEngine, bytes: Uint8Array): number {
    const { input } = this.#shard;
    const { area } = input;
    let done = 0;
    while (done < bytes.length && !connection.closed && !connection.paused) {
      const piece = bytes.subarray(done, done + input.region.length);
      input.region.set(piece);
      done += piece.length;
      this.#shard.beginTurn();
      engine.received(connection, area.bytes, area.view, area.regionStart, area.regionStart + piece.length);
      this.#shard.afterRead();
    }
    return done;
  }

  /** Keeps what can't be looked at yet: reading can't be stopped. */
  #hold(connection: ClientConnection, bytes: Uint8Array): void {
    const { websocket } = connection;
    const { maxPendingBytes } = this.#shard.options;
    if (websocket!.holdMessage(bytes) <= maxPendingBytes) return;
    this.#shard.log(
      'error',
      `${connection.label} - read error: more than ${maxPendingBytes} bytes wait to be read`,
    );
    this.#shard.close(connection, CLOSE_REASON.readError);
  }

  /** Goes on with what was kept. @returns false when it must stop again */
  resume(connection: ClientConnection): boolean {
    const state = connection.websocket!;
    for (;;) {
      const next = state.takeMessage();
      if (next === null) {
        if (connection.stream.destroyed) this.#shard.close(connection, CLOSE_REASON.clientClosed);
        return !connection.closed;
      }
      const done = this.#parse(connection, state.engine, next);
      if (connection.closed) return false;
      if (done < next.length) state.putBack(next.subarray(done));
      if (connection.paused) return false;
    }
  }
}

function plainAddress(address: string): string {
  const short = address.replace(/^(?:0000:){5}ffff:/, '::ffff:');
  return short.startsWith('::ffff:') && short.includes('.') ? short.slice(7) : short;
}
