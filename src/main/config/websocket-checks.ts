import type { ServerOptions, WebsocketOptions } from '../../shared/base/options.ts';
import { allowedOriginProblem } from '../../shared/protocol/websocket/origin.ts';
import { quote } from './quote.ts';
import { advertiseProblem } from './scalars.ts';
import { contextProblems } from './tls-material.ts';

/** What a `websocket` block may not say together with the rest; texts are nats-server's (websocket.md §1). */

/** Headers that make the upgrade what it is. */
const RESERVED_HEADERS = new Set(['host', 'content-length', 'connection', 'upgrade', 'nats-no-masking']);
const RESERVED_PREFIX = 'sec-websocket-';
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a line break would end the header.
const HEADER_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;

/** @returns one text for each problem */
export function websocketProblems(options: ServerOptions): string[] {
  const { websocket } = options;
  if (websocket === null) return [];
  if (websocket.tls === null && !websocket.noTls) return ['websocket requires TLS configuration'];
  const problems = [
    ...(websocket.tls === null ? [] : contextProblems(websocket.tls)),
    ...websocket.allowedOrigins.map(allowedOriginProblem),
    ...credentialProblems(websocket, options),
    ...websocket.headers.map(headerProblem),
  ];
  const advertise = advertiseProblem(websocket.advertise);
  if (advertise !== null) problems.push(`Unable to get websocket connect URLs: ${advertise}`);
  return problems.filter((problem) => problem !== '');
}

function credentialProblems(websocket: WebsocketOptions, { users }: ServerOptions): string[] {
  const { user, token, noAuthUser, jwtCookie } = websocket;
  const problems: string[] = [];
  if (users.length > 0 && user !== '') {
    problems.push('websocket authentication username not compatible with presence of users/nkeys');
  }
  if (users.length > 0 && token !== '') {
    problems.push('websocket authentication token not compatible with presence of users/nkeys');
  }
  if (noAuthUser !== '' && users.length === 0) {
    problems.push(`no_auth_user: ${quote(noAuthUser)} present, but users/nkeys are not defined`);
  } else if (noAuthUser !== '' && !users.some((known) => known.user === noAuthUser)) {
    problems.push(
      `no_auth_user: ${quote(noAuthUser)} not present as user or nkey in authorization block or account configuration`,
    );
  }
  if (jwtCookie !== '') {
    problems.push(
      `trusted operators or trusted keys configuration is required for JWT authentication via cookie ${quote(jwtCookie)}`,
    );
  }
  return problems;
}

function headerProblem([name, value]: readonly [string, string]): string {
  const lower = name.toLowerCase();
  if (RESERVED_HEADERS.has(lower)) return `websocket: invalid header ${quote(name)} not allowed`;
  if (lower.startsWith(RESERVED_PREFIX)) {
    return `websocket: invalid header ${quote(name)}, "Sec-WebSocket-" prefix not allowed`;
  }
  // nats-server sends such a header as it is, and with it a response of the operator's making.
  if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value)) {
    return `websocket: invalid header ${quote(name)}: no such name or value can be sent`;
  }
  return '';
}
