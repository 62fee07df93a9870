import type net from 'node:net';
import tls from 'node:tls';
import { HTTP_HEAD_MAX_BYTES } from '../../../shared/base/limits.ts';
import type { TlsOptions } from '../../../shared/base/options.ts';
import { type HttpRequest, headEnd, parseRequest } from '../../../shared/protocol/websocket/http-request.ts';
import {
  acceptResponse,
  checkUpgrade,
  malformedResponse,
  PLAIN_HTTP_RESPONSE,
  refusalResponse,
  type Upgrade,
  type UpgradeRules,
} from '../../../shared/protocol/websocket/upgrade.ts';
import { describeError, peerProblem } from '../admission.ts';

/**
 * A connection on its way to becoming a WebSocket (websocket.md §2):
 *
 *   accept ─► [first byte: TLS or HTTP?] ─► [TLS handshake] ─► request head ─► 101
 *                                                 ▲                │
 *                                                 └── 4xx, again ──┘
 *
 * It isn't a client yet: nobody counts or lists it, and it holds nothing but the head read so far. `handshake_timeout`
 * covers all of it.
 */
const TLS_RECORD_HANDSHAKE = 0x16;
/** After an answer that ends the connection, the peer may take so long to read it. */
const CLOSE_FLUSH_MS = 100;

/** What the listener offers, and who takes over. */
export interface UpgradeHost {
  readonly tls: { options: TlsOptions; context: tls.SecureContext } | null;
  readonly rules: UpgradeRules;
  readonly headers: readonly (readonly [string, string])[];
  /** 0 is none. */
  readonly handshakeTimeoutMs: number;
  log(level: 'error' | 'debug', text: string): void;
  /** The response is queued; the pending connection hears of the stream no more. */
  upgraded(pending: PendingUpgrade, upgrade: Upgrade): void;
  /** It ended without becoming a WebSocket. */
  gone(pending: PendingUpgrade): void;
}

export class PendingUpgrade {
  readonly socket: net.Socket;
  stream: net.Socket | tls.TLSSocket;
  readonly remote: string;
  readonly #host: UpgradeHost;
  #head: Buffer | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isOver = false;

  /** @param socket read in chunks with TLS; without, whoever reads it calls `received` */
  constructor(host: UpgradeHost, socket: net.Socket, remote: string) {
    this.#host = host;
    this.socket = socket;
    this.stream = socket;
    this.remote = remote;
    this.#watch(socket);
    const { handshakeTimeoutMs, tls: secure } = host;
    const timeoutMs = handshakeTimeoutMs > 0 ? handshakeTimeoutMs : (secure?.options.timeoutMs ?? 0);
    if (timeoutMs > 0) this.#timer = setTimeout(this.abandon, timeoutMs);
    if (secure !== null) this.#peek();
  }

  /** Ends it without a word. */
  readonly abandon = (): void => {
    if (this.#isOver) return;
    this.#finish();
    this.stream.destroy();
    this.#host.gone(this);
  };

  /** Somebody else listens to the stream now. */
  release(): void {
    for (const stream of new Set([this.socket, this.stream])) stream.removeListener('error', this.#onError);
  }

  /** Bytes of the request; the caller may reuse them. */
  received(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const room = HTTP_HEAD_MAX_BYTES + 1 - (this.#head?.length ?? 0);
    const fresh = bytes.subarray(0, room);
    this.#head = this.#head === null ? Buffer.from(fresh) : Buffer.concat([this.#head, fresh]);
    this.#readRequests();
  }

  /** A refused request leaves the connection open for another one, which may be here already. */
  #readRequests(): void {
    while (!this.#isOver && this.#head !== null) {
      const head = this.#head;
      const end = headEnd(head, head.length);
      if (end < 0) {
        if (head.length > HTTP_HEAD_MAX_BYTES) this.#answerLast(malformedResponse(431, ''));
        return;
      }
      this.#head = head.length > end ? head.subarray(end) : null;
      const request = parseRequest(head, end);
      if (request === null) this.#answerLast(malformedResponse(400, ''));
      else this.#answer(request);
    }
  }

  #answer(request: HttpRequest): void {
    if (!request.headers.has('host') && request.minorVersion === 1) {
      this.#answerLast(malformedResponse(400, 'missing required Host header'));
      return;
    }
    const result = checkUpgrade(request, this.#host.rules);
    if ('reason' in result) {
      this.#refuse(request, result.status, result.reason);
      return;
    }
    if (this.#head !== null) {
      this.#logRefusal('client sent data before handshake is complete');
      this.abandon();
      return;
    }
    this.#finish();
    this.stream.write(acceptResponse(result, this.#host.headers), 'latin1');
    this.#host.upgraded(this, result);
  }

  #refuse(request: HttpRequest, status: number, reason: string): void {
    const { headers } = request;
    this.#logRefusal(reason);
    const response = refusalResponse(status, new Date().toUTCString());
    const hasBody = headers.has('transfer-encoding') || Number(headers.first('content-length') || 0) !== 0;
    const asksToClose = headers.all('connection').some((value) => /\bclose\b/i.test(value));
    if (hasBody || asksToClose || request.minorVersion === 0) this.#answerLast(response);
    else this.stream.write(response, 'latin1');
  }

  #logRefusal(reason: string): void {
    this.#host.log('error', `${this.remote} - websocket handshake error: ${reason}`);
  }

  /** Answers and ends the connection; what the peer still sends is dropped. */
  #answerLast(response: string): void {
    const { stream } = this;
    this.#finish();
    this.#host.gone(this);
    const timer = setTimeout(() => stream.destroy(), CLOSE_FLUSH_MS);
    stream.once('close', () => clearTimeout(timer));
    stream.end(response, 'latin1');
    stream.resume();
  }

  #finish(): void {
    this.#isOver = true;
    this.#head = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const stream of new Set([this.socket, this.stream])) {
      stream.removeListener('data', this.#onData);
      stream.removeListener('end', this.abandon);
      stream.removeListener('close', this.abandon);
    }
  }

  /** The error listener stays: a stream without one would end the thread. */
  #watch(stream: net.Socket | tls.TLSSocket): void {
    stream.on('error', this.#onError);
    stream.on('end', this.abandon);
    stream.on('close', this.abandon);
  }

  readonly #onError = (error: Error): void => {
    if (this.#isOver) return;
    if (this.stream !== this.socket) this.#logTls(describeError(error));
    this.abandon();
  };

  readonly #onData = (chunk: Buffer): void => this.received(chunk);

  // TLS

  /** Looks at the first byte: whoever speaks plain HTTP here is told so in plain HTTP. */
  #peek(): void {
    const { socket } = this;
    socket.once('data', (chunk: Buffer) => {
      if (this.#isOver) return;
      if (chunk[0] !== TLS_RECORD_HANDSHAKE) {
        this.#logTls('client sent an HTTP request to an HTTPS server');
        this.#answerLast(PLAIN_HTTP_RESPONSE);
        return;
      }
      socket.pause();
      socket.unshift(chunk);
      this.#startTls();
    });
    socket.resume();
  }

  #startTls(): void {
    const { options, context } = this.#host.tls!;
    const secure = new tls.TLSSocket(this.socket, {
      isServer: true,
      secureContext: context,
      requestCert: options.verify || options.pinnedCerts.length > 0,
      rejectUnauthorized: false,
    });
    this.stream = secure;
    this.#watch(secure);
    secure.once('secure', () => {
      if (this.#isOver) return;
      const problem = peerProblem(secure, options);
      if (problem !== '') {
        this.#logTls(problem);
        this.abandon();
        return;
      }
      if (this.#host.handshakeTimeoutMs === 0 && this.#timer !== null) {
        clearTimeout(this.#timer);
        this.#timer = null;
      }
      secure.on('data', this.#onData);
      secure.resume();
    });
  }

  #logTls(reason: string): void {
    this.#host.log('error', `websocket: TLS handshake error from ${this.remote}: ${reason}`);
  }
}
