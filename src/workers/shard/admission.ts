import { createHash, type X509Certificate } from 'node:crypto';
import { closeSync } from 'node:fs';
import type net from 'node:net';
import tls from 'node:tls';
import type { TlsOptions } from '../../shared/base/options.ts';
import { CLOSE_REASON, ERR } from '../../shared/protocol/nats/errors.ts';
import { ProxyProtocolParser } from '../../shared/protocol/nats/proxy-protocol.ts';
import { adoptSocket } from './adopt-socket.ts';
import {
  ClientConnection,
  STAGE_PROTOCOL,
  STAGE_PROXY,
  STAGE_TLS_HANDSHAKE,
  STAGE_TLS_PEEK,
} from './connection.ts';
import { COUNTERS, type HandedConnection } from './contract.ts';
import type { Shard } from './shard.ts';

/**
 * From an accepted socket to a connection that speaks the protocol: PROXY header, INFO, TLS (client-protocol.md §2, §12, §13).
 *
 *   accept ─► INFO ─► [PROXY header] ─► [look at the first byte] ─► [TLS handshake] ─► protocol
 *
 * A plain listener skips all that and reads straight into the shard's region. Wherever the first bytes decide how to go on,
 * the socket is read in chunks; what was read too much is put back (`unshift`) before TLS takes over.
 */
const PROXY_TIMEOUT_MS = 5000;
/** How long queued output may take after the decision to close (client-protocol.md §14). */
const CLOSE_FLUSH_MS = 100;
const TLS_RECORD_HANDSHAKE = 0x16;

export class Admission {
  readonly #shard: Shard;
  #secureContext: tls.SecureContext | null = null;
  #mqttContext: tls.SecureContext | null = null;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** Takes over new certificates; connections that exist keep theirs. */
  applyOptions(): void {
    const { tls: options, mqtt } = this.#shard.options;
    this.#secureContext = options === null ? null : createSecureContext(options);
    const mqttTls = mqtt?.tls ?? null;
    this.#mqttContext = mqttTls === null ? null : createSecureContext(mqttTls);
  }

  /** A connection that main accepted. */
  accept(handed: HandedConnection): void {
    const shard = this.#shard;
    const { options } = shard;
    const isMqtt = handed.listener === 'mqtt';
    const direct = isMqtt
      ? (options.mqtt?.tls ?? null) === null
      : options.tls === null && !options.proxyProtocol;
    let connection: ClientConnection | null = null;
    const onread = {
      buffer: () => (connection === null ? shard.input.region : shard.input.target(connection)),
      callback: (count: number) => shard.input.received(connection!, count),
    };
    // Counted first: should the thread end right here, main leaks a descriptor instead of closing one that got a new owner.
    shard.counters[COUNTERS.adopted]!++;
    let socket: net.Socket;
    try {
      socket = adoptSocket(handed, direct ? onread : null);
    } catch (error) {
      this.lost(handed, error as Error);
      return;
    }
    connection = new ClientConnection(shard, handed.cid, socket, shard.globalAccount, Date.now());
    connection.remoteAddress = handed.remoteAddress;
    connection.remotePort = handed.remotePort;
    connection.refused = handed.refusal !== '';
    if (isMqtt) {
      connection.type = 'MQTT';
      shard.mqtt!.begin(connection);
    } else connection.gated = shard.session.login.requiresAuth(connection);
    shard.register(connection);
    this.listen(connection, socket);
    shard.log('debug', `${connection.label} - Client connection created`);
    if (handed.refusal !== '') this.refuse(connection, handed.refusal);
    else if (direct) this.#begin(connection);
    else this.#prepare(connection, socket);
  }

  /** The descriptor can't be made a socket of this thread: that must cost this one connection, not all the others. */
  lost(handed: HandedConnection, error: Error): void {
    const { counters } = this.#shard;
    counters[COUNTERS.totalConnections]!++;
    if (handed.refusal === '') this.#shard.countEnded();
    this.#shard.log('error', `Error accepting client connection: ${error.message}`);
    this.#shard.post({ kind: 'not-opened', cid: handed.cid });
    if (handed.fd >= 0) closeSync(handed.fd);
  }

  /** From now on the connection hears of the stream's end. */
  listen(connection: ClientConnection, stream: net.Socket | tls.TLSSocket): void {
    const owned = stream as OwnedStream;
    owned[CONNECTION] = connection;
    owned.on('error', onError);
    owned.on('end', onEnd);
    owned.on('close', onClose);
    owned.on('drain', onDrain);
  }

  /** The stream failed. */
  failed(connection: ClientConnection, error: NodeJS.ErrnoException): void {
    if (connection.stage === STAGE_TLS_HANDSHAKE) this.#handshakeFailed(connection, describeError(error));
    else if (error.syscall === 'write' || error.code === 'EPIPE') {
      this.#shard.close(connection, CLOSE_REASON.writeError);
    } else this.#shard.close(connection, CLOSE_REASON.readError);
  }

  /** The peer closed its side. */
  left(connection: ClientConnection): void {
    if (connection.stage === STAGE_TLS_HANDSHAKE) this.#handshakeFailed(connection, 'EOF');
    else this.#shard.close(connection, CLOSE_REASON.clientClosed);
  }

  /** Closes the socket of a connection that has ended: gently, so that what is still queued arrives. */
  finish(connection: ClientConnection, flush: boolean): void {
    const { stream } = connection;
    const { output } = this.#shard;
    const answers = connection.websocket?.closeFrame != null;
    if ((!flush && !answers) || stream.destroyed) {
      output.abandon(connection);
      stream.destroy();
      return;
    }
    const timer = setTimeout(() => stream.destroy(), CLOSE_FLUSH_MS);
    stream.once('close', () => {
      clearTimeout(timer);
      output.abandon(connection);
    });
    // Behind a write under way the last words are still in the outbox: the stream takes them in order.
    output.writeLast(connection);
    // Reading goes on until the peer closes: unread bytes would turn our close into a reset that destroys the last words.
    stream.end();
    stream.resume();
  }

  /** Tells a connection that there is no room for it. */
  refuse(connection: ClientConnection, refusal: 'max-connections' | 'throttled'): void {
    const { session, options } = this.#shard;
    if (connection.mqtt !== null) {
      this.#shard.log('error', `${connection.label} - maximum connections exceeded`);
      this.#shard.close(connection, CLOSE_REASON.maximumConnectionsExceeded);
      return;
    }
    // With the handshake first nothing was to come in clear, and yet the error does, as in nats-server.
    if (connection.websocket !== null || options.tls?.handshakeFirstMs !== 0)
      session.login.sendInfo(connection);
    if (refusal === 'throttled') {
      session.errorAndClose(connection, ERR.connectionThrottling, CLOSE_REASON.maximumConnectionsExceeded);
      return;
    }
    this.#shard.log('error', `${connection.label} - maximum connections exceeded`);
    session.errorAndClose(
      connection,
      ERR.maximumConnectionsExceeded,
      CLOSE_REASON.maximumConnectionsExceeded,
    );
  }

  /** The protocol starts: timers run, bytes go to the parser. */
  #begin(connection: ClientConnection): void {
    const { session } = this.#shard;
    connection.stage = STAGE_PROTOCOL;
    if (connection.mqtt === null) session.login.sendInfo(connection);
    this.#awaitConnect(connection);
  }

  #awaitConnect(connection: ClientConnection): void {
    const { session, mqtt } = this.#shard;
    if (connection.mqtt === null) session.login.awaitConnect(connection);
    else mqtt!.login.awaitConnect(connection);
  }

  /** TLS of the listener that the connection came to. */
  #tlsOf(connection: ClientConnection): TlsOptions | null {
    const { tls: options, mqtt } = this.#shard.options;
    return connection.mqtt === null ? options : (mqtt?.tls ?? null);
  }

  /** Everything but the plain listener. */
  #prepare(connection: ClientConnection, socket: net.Socket): void {
    const { options } = this.#shard;
    connection.copies = true;
    if (connection.mqtt !== null) {
      const { tls: mqttTls } = options.mqtt!;
      if (options.allowNonTls) this.#peek(connection, socket, mqttTls!.timeoutMs, true);
      else this.#startTls(connection, socket, false);
      return;
    }
    const first = options.tls?.handshakeFirstMs ?? null;
    if (first === null) this.#shard.session.login.sendInfo(connection);
    if (options.proxyProtocol) this.#readProxyHeader(connection, socket);
    else this.#chooseTransport(connection, socket);
  }

  #readProxyHeader(connection: ClientConnection, socket: net.Socket): void {
    connection.stage = STAGE_PROXY;
    const parser = new ProxyProtocolParser();
    const fail = (reason: string): void => {
      this.#shard.log(
        'warn',
        `Error reading PROXY protocol header from ${connection.remoteAddress}:${connection.remotePort}: ${reason}`,
      );
      this.#shard.close(connection, CLOSE_REASON.protocolViolation);
    };
    connection.timer = setTimeout(fail, PROXY_TIMEOUT_MS, 'i/o timeout');
    const onData = (chunk: Buffer): void => {
      const result = parser.push(chunk);
      if (result.kind === 'more') return;
      socket.removeListener('data', onData);
      socket.pause();
      if (connection.timer !== null) clearTimeout(connection.timer);
      connection.timer = null;
      if (result.kind === 'error') {
        fail(result.reason);
        return;
      }
      if (result.kind === 'proxied') {
        connection.remoteAddress = result.address;
        connection.remotePort = result.port;
      }
      if (result.rest.length > 0) socket.unshift(result.rest);
      this.#chooseTransport(connection, socket);
    };
    socket.on('data', onData);
  }

  #chooseTransport(connection: ClientConnection, socket: net.Socket): void {
    const { tls: options } = this.#shard.options;
    if (options === null) {
      this.#readPlain(connection, socket);
      return;
    }
    const first = options.handshakeFirstMs;
    if (first !== null && first > 0) this.#peek(connection, socket, first, false);
    else if (first === null && this.#shard.options.allowNonTls)
      this.#peek(connection, socket, options.timeoutMs, true);
    else this.#startTls(connection, socket, first !== null);
  }

  /** Plain protocol on a socket that is read in chunks. INFO is out already. */
  #readPlain(connection: ClientConnection, stream: net.Socket | tls.TLSSocket): void {
    const { input } = this.#shard;
    connection.stage = STAGE_PROTOCOL;
    this.#awaitConnect(connection);
    stream.on('data', (chunk: Buffer) => {
      input.receivedCopy(connection, chunk);
      if (connection.paused) stream.pause();
    });
    // A look at the first bytes left it paused.
    stream.resume();
  }

  /**
   * Waits for the first bytes: does the client begin with TLS?
   * @param decides the first byte decides (`allow_non_tls`); else any byte means TLS, and silence means INFO first
   */
  #peek(connection: ClientConnection, socket: net.Socket, waitMs: number, decides: boolean): void {
    connection.stage = STAGE_TLS_PEEK;
    const settle = (firstByte: number): void => {
      socket.removeListener('data', onData);
      socket.pause();
      if (connection.timer !== null) clearTimeout(connection.timer);
      connection.timer = null;
      if (connection.closed) return;
      if (decides) {
        if (firstByte === TLS_RECORD_HANDSHAKE) this.#startTls(connection, socket, false);
        else this.#readPlain(connection, socket);
        return;
      }
      if (firstByte < 0) {
        this.#shard.session.login.sendInfo(connection);
        if (this.#shard.options.allowNonTls) {
          this.#peek(connection, socket, this.#shard.options.tls!.timeoutMs, true);
          return;
        }
      }
      this.#startTls(connection, socket, firstByte >= 0);
    };
    const onData = (chunk: Buffer): void => {
      const firstByte = chunk[0]!;
      socket.pause();
      socket.removeListener('data', onData);
      socket.unshift(chunk);
      settle(firstByte);
    };
    connection.timer = setTimeout(settle, waitMs, -1);
    socket.on('data', onData);
    socket.resume();
  }

  #startTls(connection: ClientConnection, socket: net.Socket, handshakeFirst: boolean): void {
    const options = this.#tlsOf(connection)!;
    connection.stage = STAGE_TLS_HANDSHAKE;
    connection.tlsFirst = handshakeFirst;
    // INFO must be on the wire before the handshake's first byte.
    this.#shard.output.flush(connection);
    const secure = new tls.TLSSocket(socket, {
      isServer: true,
      secureContext: (connection.mqtt === null ? this.#secureContext : this.#mqttContext)!,
      requestCert: options.verify || options.pinnedCerts.length > 0,
      rejectUnauthorized: false,
    });
    connection.timer = setTimeout(() => this.#handshakeFailed(connection, 'i/o timeout'), options.timeoutMs);
    connection.stream = secure;
    connection.encrypted = true;
    this.listen(connection, secure);
    secure.once('secure', () => this.#secured(connection, secure, options));
  }

  #secured(connection: ClientConnection, secure: tls.TLSSocket, options: TlsOptions): void {
    if (connection.closed) return;
    if (connection.timer !== null) clearTimeout(connection.timer);
    connection.timer = null;
    const problem = peerProblem(secure, options);
    if (problem !== '') {
      this.#handshakeFailed(connection, problem);
      return;
    }
    this.#shard.log('debug', `${connection.label} - TLS handshake complete`);
    if (connection.tlsFirst) this.#shard.session.login.sendInfo(connection);
    this.#readPlain(connection, secure);
  }

  /** The list of pinned certificates of a listener changed: its connections without one of them end, those without TLS too. */
  dropUnpinned(pinnedCerts: readonly string[], listener: HandedConnection['listener']): void {
    if (pinnedCerts.length === 0) return;
    let dropped = 0;
    for (const connection of [...this.#shard.connections.values()]) {
      const { stream, stage } = connection;
      if (connection.listener !== listener) continue;
      // A handshake under way ends with the check anyway.
      if (stage === STAGE_TLS_HANDSHAKE) continue;
      const certificate = stream instanceof tls.TLSSocket ? stream.getPeerX509Certificate() : undefined;
      if (certificate !== undefined && isPinned(certificate, pinnedCerts)) continue;
      this.#shard.close(connection, CLOSE_REASON.tlsHandshakeFailure);
      dropped++;
    }
    if (dropped > 0) {
      this.#shard.log('info', `Disconnect ${dropped} clients due to pinned certs reload`);
    }
  }

  #handshakeFailed(connection: ClientConnection, reason: string): void {
    if (connection.closed) return;
    this.#shard.log('error', `${connection.label} - TLS handshake error: ${reason}`);
    this.#shard.close(connection, CLOSE_REASON.tlsHandshakeFailure);
  }
}

/** The connection of a stream: listeners are shared functions, because four closures a connection add up. */
const CONNECTION = Symbol('connection');
type OwnedStream = (net.Socket | tls.TLSSocket) & { [CONNECTION]: ClientConnection };

function onError(this: OwnedStream, error: NodeJS.ErrnoException): void {
  const connection = this[CONNECTION];
  connection.shard.admission.failed(connection, error);
}

function onEnd(this: OwnedStream): void {
  const connection = this[CONNECTION];
  connection.shard.admission.left(connection);
  this.destroy();
}

function onClose(this: OwnedStream): void {
  const connection = this[CONNECTION];
  connection.shard.admission.left(connection);
}

function onDrain(this: OwnedStream): void {
  const connection = this[CONNECTION];
  connection.shard.output.completed(connection);
}

/** OpenSSL's own messages name its source files and end in a line break: its reason alone says what is wrong. */
export function describeError(error: Error & { reason?: string }): string {
  return error.reason === undefined ? error.message : `tls: ${error.reason}`;
}

/** @throws when certificates, keys or cipher names don't fit together (the configuration checks that first) */
export function createSecureContext(options: TlsOptions): tls.SecureContext {
  return tls.createSecureContext({
    cert: options.certs.map(({ cert }) => cert),
    key: options.certs.map(({ key }) => key),
    ...(options.ca === '' ? {} : { ca: options.ca }),
    ...(options.ciphers === '' ? {} : { ciphers: options.ciphers }),
    ...(options.curves === '' ? {} : { ecdhCurve: options.curves }),
    minVersion: options.minVersion,
    honorCipherOrder: true,
  });
}

/**
 * The verdict of OpenSSL about the peer's certificate chain. Node copies it into `authorized` only for sockets of a
 * `tls.Server`, which accepts for itself; ours come from another thread.
 */
function verifyError(secure: tls.TLSSocket): Error | null {
  return (secure as unknown as { ssl: { verifyError(): Error | null } }).ssl.verifyError();
}

/** Why the peer's certificate isn't acceptable, or ''. */
export function peerProblem(secure: tls.TLSSocket, options: TlsOptions): string {
  if (options.verify || options.pinnedCerts.length > 0) {
    const certificate = secure.getPeerX509Certificate();
    if (certificate === undefined) return "tls: client didn't provide a certificate";
    const problem = options.verify ? verifyError(secure) : null;
    if (problem !== null) return `tls: failed to verify certificate: ${problem.message}`;
    if (options.pinnedCerts.length > 0 && !isPinned(certificate, options.pinnedCerts)) {
      return 'certificate not pinned';
    }
  }
  return '';
}

function isPinned({ publicKey }: X509Certificate, pinnedCerts: readonly string[]): boolean {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return pinnedCerts.includes(createHash('sha256').update(spki).digest('hex'));
}
