/**
 * The monitoring HTTP server: plain or TLS, without authentication. Source: spec "HTTP server", checked against 2.15.1.
 *
 * node:http and node:https are imported when a port is configured, which keeps them out of the start of a server
 * without monitoring. On https no client certificate is asked for, whatever `verify` says: probes have none.
 */

import { X509Certificate } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import type { ServerOptions, TlsOptions } from '../../shared/base/options.ts';
import { NATSD_VERSION } from '../../shared/base/version.ts';
import { errnoCode, errnoText } from '../log/errno-text.ts';
import type { Logger } from '../log/logger.ts';
import { ENDPOINTS, type EndpointAnswer, type EndpointContext } from './endpoints.ts';
import { cleanPath, normalizeBasePath, parseTarget } from './http-path.ts';
import { ParameterError, Parameters } from './parameters.ts';
import { ProcessMeter } from './process-usage.ts';
import { escapeHtml } from './root-page.ts';
import type { MonitorSource } from './source.ts';

const HEADERS_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_MS = 1_000;
const MAX_HEADER_BYTES = 1 << 20;
const PLAIN_TEXT = 'text/plain; charset=utf-8';
const RESPONSE_400 = `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PLAIN_TEXT}\r\nConnection: close\r\n\r\n400 Bad Request`;
const RESPONSE_431 = `HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: ${PLAIN_TEXT}\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large`;

/** A running monitoring server. */
export interface Monitor {
  /** Bound port; 0 for the scheme that is not served. */
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly host: string;
  /** `http://host:port`, for the ports file; the host as configured. */
  readonly scheme: 'http' | 'https';
  readonly requestCounts: ReadonlyMap<string, number>;
  /** Takes over new certificates after a reload. */
  setTls(tls: TlsOptions): void;
  /** Ends open connections too. */
  close(): Promise<void>;
}

/** Monitoring cannot start; main logs it behind `Can't start monitoring: ` and exits with 1. */
export class MonitorStartError extends Error {
  override readonly name = 'MonitorStartError';
}

/** Starts monitoring if a port is configured, else answers `null`. Throws MonitorStartError. */
export async function startMonitor(
  source: MonitorSource,
  options: ServerOptions,
  logger: Logger,
): Promise<Monitor | null> {
  const { httpPort, httpsPort, host } = options.monitor;
  if (httpPort === 0 && httpsPort === 0) return null;
  if (httpPort !== 0 && httpsPort !== 0) {
    throw new MonitorStartError(`can't specify both HTTP (${httpPort}) and HTTPs (${httpsPort}) ports`);
  }
  const isSecure = httpsPort !== 0;
  if (isSecure && options.tls === null) throw new MonitorStartError('TLS cert and key required for HTTPS');
  const monitor = new HttpMonitor(source, options, logger);
  const port = await monitor.listen(host, isSecure ? httpsPort : httpPort);
  logger.notice(`Starting ${isSecure ? 'https' : 'http'} monitor on ${joinHostPort(host, port)}`);
  return monitor;
}

/** Expiry of the first certificate of a listener in milliseconds since the epoch; 0 without one. */
export function certificateNotAfterMs(tls: TlsOptions | null): number {
  const pem = tls?.certs[0]?.cert;
  if (pem === undefined) return 0;
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch {
    return 0;
  }
}

class HttpMonitor implements Monitor {
  httpPort = 0;
  httpsPort = 0;
  readonly host: string;
  readonly scheme: 'http' | 'https';
  readonly requestCounts = new Map<string, number>();
  private readonly logger: Logger;
  private readonly context: EndpointContext;
  private notAfterMs: number;
  private tls: TlsOptions | null;
  private server: Server | SecureServer | null = null;

  constructor(source: MonitorSource, options: ServerOptions, logger: Logger) {
    this.logger = logger;
    this.host = options.monitor.host;
    this.scheme = options.monitor.httpsPort !== 0 ? 'https' : 'http';
    this.tls = options.tls;
    this.notAfterMs = certificateNotAfterMs(options.tls);
    const meter = new ProcessMeter();
    this.context = {
      source,
      logger,
      basePath: normalizeBasePath(options.monitor.basePath),
      natsdVersion: NATSD_VERSION,
      requestCounts: this.requestCounts,
      facts: () => ({
        httpPort: this.httpPort,
        httpsPort: this.httpsPort,
        requestCounts: this.requestCounts,
        usage: meter.sample(),
        certificateNotAfterMs: this.notAfterMs,
        webSocketCertificateNotAfterMs: certificateNotAfterMs(source.options().websocket?.tls ?? null),
      }),
    };
  }

  /** Binds and answers with the port. Throws MonitorStartError. */
  async listen(host: string, port: number): Promise<number> {
    let server: Server | SecureServer;
    try {
      server = await this.createServer();
    } catch (error) {
      // A certificate or cipher list that OpenSSL refuses.
      throw new MonitorStartError(error instanceof Error ? error.message : String(error));
    }
    this.server = server;
    const wanted = Math.max(0, port);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        const address = joinHostPort(host, wanted);
        const step = errnoCode(error) === 'ENOTFOUND' ? 'lookup' : 'bind';
        reject(
          new MonitorStartError(
            `can't listen to the monitor port: listen tcp ${address}: ${step}: ${errnoText(error)}`,
          ),
        );
      });
      server.listen({ host, port: wanted }, resolve);
    });
    server.on('error', (error) => this.logger.error(`monitoring: ${errnoText(error)}`));
    const bound = (server.address() as AddressInfo).port;
    if (this.scheme === 'https') this.httpsPort = bound;
    else this.httpPort = bound;
    return bound;
  }

  setTls(tls: TlsOptions): void {
    this.tls = tls;
    this.notAfterMs = certificateNotAfterMs(tls);
    if (this.server !== null && 'setSecureContext' in this.server) {
      this.server.setSecureContext(secureContext(tls));
    }
  }

  close(): Promise<void> {
    const { server } = this;
    this.server = null;
    if (server === null) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  private async createServer(): Promise<Server | SecureServer> {
    const settings = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // A scraper keeps its connection for minutes between two requests; closing it earlier races with its next one.
      keepAliveTimeout: 0,
    };
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      void this.handle(request, response);
    };
    let server: Server | SecureServer;
    if (this.tls !== null && this.scheme === 'https') {
      const { createServer } = await import('node:https');
      server = createServer({ ...settings, ...secureContext(this.tls) }, onRequest);
      server.on('tlsClientError', (error, socket) => this.reportHandshake(error, socket));
    } else {
      const { createServer } = await import('node:http');
      server = createServer(settings, onRequest);
    }
    server.on('clientError', refuseBrokenRequest);
    return server;
  }

  private reportHandshake(error: Error, socket: Socket): void {
    const code = errnoCode(error);
    // A probe that connects and leaves is no error worth a line: it would be one every few seconds.
    if (code === 'ECONNRESET' || code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return;
    const peer = joinHostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0);
    const reason =
      code === 'ERR_SSL_HTTP_REQUEST' ? 'client sent an HTTP request to an HTTPS server' : errnoText(error);
    this.logger.error(`monitoring: TLS handshake error from ${peer}: ${reason}`);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    try {
      const target = parseTarget(request.url ?? '/');
      if (target === null) return send(response, plain(400, '400 Bad Request'));
      const cleaned = cleanPath(target.path);
      if (cleaned !== target.path) return redirect(request, response, cleaned, target.query);
      send(response, await this.answer(cleaned, target.query));
    } catch (error) {
      if (error instanceof ParameterError) return send(response, plain(400, error.message));
      const text = error instanceof Error ? error.message : String(error);
      this.logger.error(`monitoring: ${request.method} ${request.url}: ${text}`);
      send(response, plain(500, text));
    }
  }

  private async answer(path: string, query: string): Promise<EndpointAnswer | null> {
    const { basePath } = this.context;
    if (basePath !== '' && path !== basePath && !path.startsWith(`${basePath}/`)) return null;
    // With a base path the root page is the base path itself, and `<base>/` does not exist.
    if (basePath !== '' && path === `${basePath}/`) return null;
    const endpoint = ENDPOINTS.get(path.slice(basePath.length) || '/');
    return endpoint === undefined ? null : endpoint(this.context, new Parameters(query));
  }
}

function plain(status: number, body: string): EndpointAnswer {
  return { status, contentType: PLAIN_TEXT, allowsAnyOrigin: false, body };
}

/** `null` is "no such page". */
function send(response: ServerResponse, answer: EndpointAnswer | null): void {
  // Node announces its keep-alive in a header of its own; HTTP/1.1 needs none, and the connection stays all the same.
  response.removeHeader('Connection');
  if (response.headersSent || response.destroyed) return;
  if (answer === null) {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    answer = plain(404, '404 page not found\n');
  }
  if (answer.allowsAnyOrigin) response.setHeader('Access-Control-Allow-Origin', '*');
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, { 'Content-Type': answer.contentType, 'Content-Length': body.length });
  response.end(body);
}

function redirect(request: IncomingMessage, response: ServerResponse, path: string, query: string): void {
  const escaped = encodeURI(path).replaceAll('?', '%3F').replaceAll('#', '%23');
  const location = query === '' ? escaped : `${escaped}?${query}`;
  response.removeHeader('Connection');
  response.setHeader('Location', location);
  const hasBody = request.method === 'GET' || request.method === 'HEAD';
  const body = hasBody ? `<a href="${escapeHtml(location)}">Moved Permanently</a>.\n\n` : '';
  if (hasBody) response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.writeHead(301, { 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || error.code === 'ERR_HTTP_REQUEST_TIMEOUT' || !socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(error.code === 'HPE_HEADER_OVERFLOW' ? RESPONSE_431 : RESPONSE_400);
}

/** The listener's certificates, without a request for the client's. */
function secureContext(tls: TlsOptions): SecureContextOptions {
  const context: SecureContextOptions = {
    cert: tls.certs.map(({ cert }) => cert),
    key: tls.certs.map(({ key }) => key),
    minVersion: tls.minVersion,
  };
  if (tls.ciphers !== '') context.ciphers = tls.ciphers;
  if (tls.curves !== '') context.ecdhCurve = tls.curves;
  return context;
}

function joinHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
