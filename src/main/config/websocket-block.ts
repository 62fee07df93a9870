import type { WebsocketOptions } from '../../shared/base/options.ts';
import { authTimeoutMs } from './authorization-block.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { nanosecondsToMs, parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, durationRow, row, textRow } from './row.ts';
import { readTls, TLS_ROWS } from './tls-block.ts';
import { address, integer, isText, map, port, text, textList } from './value.ts';

/** The `websocket` block. Facts: websocket.md §1, config.md §3.11. */

const TRANSPORTS = ['auto', 'ws', 'uws'] as const;

function emptyWebsocket(): WebsocketOptions {
  return {
    host: '0.0.0.0',
    port: 0,
    advertise: '',
    noTls: false,
    tls: null,
    sameOrigin: false,
    allowedOrigins: [],
    compression: false,
    handshakeTimeoutMs: 0,
    pingIntervalMs: 0,
    noAuthUser: '',
    user: '',
    password: '',
    token: '',
    authTimeoutMs: 0,
    jwtCookie: '',
    userCookie: '',
    passCookie: '',
    tokenCookie: '',
    headers: [],
    transport: 'auto',
  };
}

const AUTHORIZATION_ROWS: OptionRow<WebsocketOptions>[] = [
  textRow('user', { name: 'user', aliases: ['username'], doc: 'User name.' }),
  textRow('password', { name: 'pass', aliases: ['password'], doc: 'Password, plain or as a bcrypt hash.' }),
  row({
    name: 'token',
    type: 'string',
    doc: 'Token, plain or as a bcrypt hash.',
    read: (_reader, entry, draft) => {
      if (!isText(entry.value))
        throw new OptionError(`token must be a string, got ${goTypeName(entry.value)}`);
      draft.token = text(entry.value);
    },
  }),
  row({
    name: 'timeout',
    type: 'number or duration',
    default: 'inherited',
    doc: 'Seconds to authenticate.',
    read: (reader, entry, draft) => {
      draft.authTimeoutMs = authTimeoutMs(reader, entry);
    },
  }),
];

const LISTENER_ROWS: OptionRow<WebsocketOptions>[] = [
  row({
    name: 'listen',
    type: 'address',
    doc: 'Address of the listener, `host:port` or a port.',
    read: (_reader, entry, draft) => {
      const { host, port: listenPort } = address(entry.value);
      draft.port = listenPort;
      if (host !== null && host !== '') draft.host = host;
    },
  }),
  row({
    name: 'port',
    type: 'port',
    default: '0, no listener',
    doc: 'Port of the listener; -1 is a random one.',
    read: (_reader, entry, draft) => {
      draft.port = port(integer(entry.value));
    },
  }),
  textRow('host', { name: 'host', aliases: ['net'], doc: 'Host of the listener.', default: '0.0.0.0' }),
  textRow('advertise', { name: 'advertise', doc: 'Address given to clients, `host[:port]`.' }),
  booleanRow('noTls', { name: 'no_tls', doc: 'Serve without TLS.' }),
  row({
    name: 'tls',
    type: 'map',
    reload: 'yes',
    doc: 'TLS of this listener; the options of the top-level `tls` block.',
    children: TLS_ROWS,
    read: (reader, entry, draft) => {
      draft.tls = readTls(reader, entry, { path: 'websocket.tls', isServerToServer: false });
    },
  }),
  row({
    name: 'handshake_timeout',
    type: 'seconds or duration',
    default: '0, none',
    doc: 'Time a client may take for the TLS handshake and the HTTP request.',
    read: (_reader, entry, draft) => {
      draft.handshakeTimeoutMs = handshakeTimeoutMs(entry);
    },
  }),
  row({
    name: 'transport',
    type: '`auto`, `ws` or `uws`',
    default: 'auto',
    doc: 'Which implementation serves it (natsd only). `uws` is uWebSockets.js, `ws` the one that needs no native module; `auto` takes uWebSockets.js where it is installed and can do what is asked.',
    read: (_reader, entry, draft) => {
      const choice = TRANSPORTS.find((name) => name === text(entry.value));
      if (choice === undefined) throw new OptionError("transport must be 'auto', 'ws' or 'uws'");
      draft.transport = choice;
    },
  }),
];

const REQUEST_ROWS: OptionRow<WebsocketOptions>[] = [
  booleanRow('sameOrigin', { name: 'same_origin', doc: "The page's origin must be the server's." }),
  row({
    name: 'allowed_origins',
    aliases: ['allowed_origin', 'allow_origins', 'allow_origin', 'origins', 'origin'],
    type: 'string or array',
    doc: 'Origins pages may have.',
    read: (_reader, entry, draft) => {
      draft.allowedOrigins = textList(entry.value, 'allowed origins');
    },
  }),
  booleanRow('compression', {
    name: 'compression',
    aliases: ['compress'],
    doc: 'Agree to permessage-deflate.',
  }),
  row({
    name: 'headers',
    type: 'map',
    doc: 'Headers of the upgrade response.',
    read: (reader, entry, draft) => {
      draft.headers = readHeaders(reader, entry);
    },
  }),
];

const SESSION_ROWS: OptionRow<WebsocketOptions>[] = [
  row({
    name: 'authorization',
    aliases: ['authentication'],
    type: 'map',
    doc: 'Credentials of this listener alone, instead of those of `authorization`.',
    children: AUTHORIZATION_ROWS,
    read: (reader, entry, draft) =>
      reader.readBlock(map(entry.value), AUTHORIZATION_ROWS, draft, { path: 'websocket.authorization' }),
  }),
  textRow('noAuthUser', { name: 'no_auth_user', doc: 'User of connections without credentials.' }),
  textRow('jwtCookie', { name: 'jwt_cookie', doc: 'Cookie that carries a user JWT.' }),
  textRow('userCookie', { name: 'user_cookie', doc: 'Cookie that carries a user name.' }),
  textRow('passCookie', { name: 'pass_cookie', doc: 'Cookie that carries a password.' }),
  textRow('tokenCookie', { name: 'token_cookie', doc: 'Cookie that carries a token.' }),
  durationRow('pingIntervalMs', {
    name: 'ping_interval',
    default: 'inherited',
    doc: 'Interval of PINGs of the protocol.',
  }),
];

/** Rows of the `websocket` block. */
export const WEBSOCKET_ROWS: OptionRow<WebsocketOptions>[] = [
  ...LISTENER_ROWS,
  ...REQUEST_ROWS,
  ...SESSION_ROWS,
];

function handshakeTimeoutMs({ value }: ConfEntry): number {
  if (value.kind === 'integer') return Number(value.value) * 1000;
  const result = parseDuration(text(value));
  if ('error' in result) throw new OptionError(result.error);
  return nanosecondsToMs(result.nanoseconds);
}

function readHeaders(reader: Reader, entry: ConfEntry): [string, string][] {
  const block = map(entry.value, `error parsing headers: unsupported type ${goTypeName(entry.value)}`);
  const headers: [string, string][] = [];
  for (const header of block.entries.values()) {
    reader.attempt(header, () => {
      if (!isText(header.value)) {
        throw new OptionError(
          `error parsing header key ${header.key}: unsupported type ${goTypeName(header.value)}`,
        );
      }
      headers.push([header.key, text(header.value)]);
    });
  }
  return headers;
}

/** Reads the `websocket` block. */
export function readWebsocket(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected websocket to be a map, got ${goTypeName(entry.value)}`);
  draft.websocket = emptyWebsocket();
  reader.readBlock(block, WEBSOCKET_ROWS, draft.websocket, { path: 'websocket' });
}
