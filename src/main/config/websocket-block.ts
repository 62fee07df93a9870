import type { WebsocketOptions } from '../../shared/base/options.ts';
import { emptyListener, listenerRows } from './client-listener.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { nanosecondsToMs, parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, durationRow, row, textRow } from './row.ts';
import { isText, map, text, textList } from './value.ts';

/** The `websocket` block. Facts: websocket.md §1, config.md §3.11. */

const TRANSPORTS = ['auto', 'ws', 'uws'] as const;

/** What the block says before anything is set. */
export function emptyWebsocket(): WebsocketOptions {
  return {
    ...emptyListener(),
    advertise: '',
    noTls: false,
    sameOrigin: false,
    allowedOrigins: [],
    compression: false,
    handshakeTimeoutMs: 0,
    pingIntervalMs: 0,
    jwtCookie: '',
    userCookie: '',
    passCookie: '',
    tokenCookie: '',
    headers: [],
    transport: 'auto',
  };
}

const LISTENER_ROWS: OptionRow<WebsocketOptions>[] = [
  textRow('advertise', { name: 'advertise', doc: 'Address given to clients, `host[:port]`.' }),
  booleanRow('noTls', { name: 'no_tls', doc: 'Serve without TLS.' }),
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
  ...listenerRows('websocket', 'no'),
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
