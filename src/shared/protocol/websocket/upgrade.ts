import { createHash } from 'node:crypto';
import type { HttpRequest } from './http-request.ts';
import { type OriginRules, originProblem } from './origin.ts';

/** The upgrade request: who may become a WebSocket, and what the server answers (RFC 6455 §4.2; websocket.md §2). */

/** Which protocol runs inside the frames, by the end of the path. */
export type WebsocketProtocol = 'nats' | 'mqtt' | 'leafnode';

/** What an accepted request asked for, as far as the server agreed. */
export interface Upgrade {
  protocol: WebsocketProtocol;
  key: string;
  compression: boolean;
  noMasking: boolean;
  /** Frames are cut for it (websocket.md §4.2). */
  isBrowser: boolean;
  isSafari: boolean;
  /** `X-Forwarded-For`, when it is one address; else ''. */
  forwardedFor: string;
  cookies: ReadonlyMap<string, string>;
}

export interface UpgradeRules {
  origins: OriginRules;
  isTls: boolean;
  compression: boolean;
  hasMqtt: boolean;
}

export interface UpgradeRefusal {
  status: number;
  /** For the log. */
  reason: string;
}

const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Base64 of 16 bytes. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/;
const DEFLATE = 'permessage-deflate';
const AGREED_DEFLATE = `${DEFLATE}; server_no_context_takeover; client_no_context_takeover`;

export const STATUS_TEXT: ReadonlyMap<number, string> = new Map([
  [400, 'Bad Request'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [431, 'Request Header Fields Too Large'],
]);

/** Checks a request in nats-server's order (websocket.md §2.2). */
export function checkUpgrade(request: HttpRequest, rules: UpgradeRules): Upgrade | UpgradeRefusal {
  const { headers } = request;
  const protocol = protocolOf(request.path);
  if (protocol === 'mqtt' && !rules.hasMqtt) return refuse(404, 'mqtt websocket endpoint not enabled');
  if (request.method !== 'GET') return refuse(405, 'request method must be GET');
  const host = headers.first('host');
  if (host === '') return refuse(400, "'Host' missing in request");
  if (!hasToken(headers.all('upgrade'), 'websocket')) {
    return refuse(400, "invalid value for header 'Upgrade'");
  }
  if (!hasToken(headers.all('connection'), 'upgrade')) {
    return refuse(400, "invalid value for header 'Connection'");
  }
  const key = headers.first('sec-websocket-key');
  if (key === '') return refuse(400, 'key missing');
  if (!KEY.test(key)) return refuse(400, 'invalid websocket key');
  if (!hasToken(headers.all('sec-websocket-version'), '13')) return refuse(400, 'invalid version');
  const origin = headers.first('origin') || headers.first('sec-websocket-origin');
  const problem = originProblem(rules.origins, origin, host, rules.isTls);
  if (problem !== '') return refuse(403, problem);
  const agent = headers.first('user-agent');
  const isBrowser = agent.startsWith('Mozilla/');
  return {
    protocol,
    key,
    compression: rules.compression && offersDeflate(headers.all('sec-websocket-extensions')),
    noMasking: headers.first('nats-no-masking') === 'true',
    isBrowser,
    isSafari: isBrowser && agent.includes('Version/') && agent.includes('Safari/'),
    forwardedFor: forwardedFor(headers.first('x-forwarded-for')),
    cookies: parseCookies(headers.all('cookie')),
  };
}

/** The response that makes the connection a WebSocket; the lines' order is nats-server's. */
export function acceptResponse(upgrade: Upgrade, headers: readonly (readonly [string, string])[]): string {
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKey(upgrade.key)}`,
  ];
  if (upgrade.compression) lines.push(`Sec-WebSocket-Extensions: ${AGREED_DEFLATE}`);
  if (upgrade.noMasking) lines.push('Nats-No-Masking: true');
  if (upgrade.protocol === 'mqtt') lines.push('Sec-Websocket-Protocol: mqtt');
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** The response to a request that doesn't become a WebSocket. @param date an HTTP date */
export function refusalResponse(status: number, date: string): string {
  const text = STATUS_TEXT.get(status) ?? '';
  const body = `${text}\n`;
  return [
    `HTTP/1.1 ${status} ${text}`,
    'Content-Type: text/plain; charset=utf-8',
    'Sec-Websocket-Version: 13',
    'X-Content-Type-Options: nosniff',
    `Date: ${date}`,
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

/** The response to what isn't a request at all; the connection ends with it. */
export function malformedResponse(status: number, detail: string): string {
  const text = `${status} ${STATUS_TEXT.get(status) ?? ''}`;
  const body = detail === '' ? text : `${text}: ${detail}`;
  return `HTTP/1.1 ${text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${body}`;
}

/** What a client gets that speaks HTTP to a TLS listener. */
export const PLAIN_HTTP_RESPONSE =
  'HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n';

function acceptKey(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_SUFFIX)
    .digest('base64');
}

function refuse(status: number, reason: string): UpgradeRefusal {
  return { status, reason };
}

function protocolOf(path: string): WebsocketProtocol {
  if (path.endsWith('/leafnode')) return 'leafnode';
  return path.endsWith('/mqtt') ? 'mqtt' : 'nats';
}

function hasToken(values: readonly string[], token: string): boolean {
  return values.some((value) => value.split(',').some((part) => part.trim().toLowerCase() === token));
}

/** Whatever parameters come along: the answer, without context takeover either way, is always possible. */
function offersDeflate(values: readonly string[]): boolean {
  return values.some((value) => value.split(/[,;]/).some((part) => part.trim().toLowerCase() === DEFLATE));
}

function forwardedFor(value: string): string {
  return IPV4.test(value) || IPV6.test(value) ? value : '';
}

/** Cookies by name; of several with one name the first counts. */
function parseCookies(values: readonly string[]): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const value of values) {
    for (const part of value.split(';')) {
      const equals = part.indexOf('=');
      if (equals < 0) continue;
      const name = part.slice(0, equals).trim();
      let text = part.slice(equals + 1).trim();
      if (text.length > 1 && text.startsWith('"') && text.endsWith('"')) text = text.slice(1, -1);
      if (name !== '' && !cookies.has(name)) cookies.set(name, text);
    }
  }
  return cookies;
}
