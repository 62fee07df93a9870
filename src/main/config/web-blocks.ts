import { singleUserRows, TOKEN_ROW } from './authorization-block.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { parseDuration } from './duration.ts';
import { flagRow } from './listener-rows.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy, row } from './row.ts';
import { readTls } from './tls-block.ts';
import { address, boolean, integer, isText, map, port, text, textList } from './value.ts';

/** The `websocket` block: checked, not acted on. Facts: configuration reference §3.11. */

const AUTHORIZATION_ROWS = singleUserRows([TOKEN_ROW]);

function authorizationRow(path: string): OptionRow<unknown> {
  return checkedBy(
    ['authorization', 'authentication'],
    'map',
    'Credentials of this listener alone.',
    (reader, entry) => reader.readBlock(map(entry.value), AUTHORIZATION_ROWS, null, { path }),
    { children: AUTHORIZATION_ROWS },
  );
}

interface WebsocketFacts {
  port: number;
  hasTls: boolean;
  noTls: boolean;
}

/** Rows of the `websocket` block. */
export const WEBSOCKET_ROWS: OptionRow<WebsocketFacts>[] = [
  row({
    name: 'listen',
    type: 'address',
    doc: 'Address of the listener, `host:port` or a port.',
    read: (_reader, entry, facts) => {
      facts.port = address(entry.value).port;
    },
  }),
  row({
    name: 'port',
    type: 'port',
    doc: 'Port of the listener; -1 is a random one.',
    read: (_reader, entry, facts) => {
      facts.port = port(integer(entry.value));
    },
  }),
  checked(['host', 'net'], 'string', 'Host of the listener.', '0.0.0.0'),
  checked('advertise', 'string', 'Address given to clients.'),
  row({
    name: 'no_tls',
    type: 'boolean',
    default: 'false',
    doc: 'Serve without TLS.',
    read: (_reader, entry, facts) => {
      facts.noTls = boolean(entry.value);
    },
  }),
  row({
    name: 'tls',
    type: 'map',
    reload: 'yes',
    doc: 'TLS of this listener; the options of the top-level `tls` block.',
    read: (reader, entry, facts) => {
      facts.hasTls = true;
      readTls(reader, entry, { path: 'websocket.tls', isServerToServer: false });
    },
  }),
  flagRow('same_origin', "The page's origin must be the server's."),
  checkedBy(
    ['allowed_origins', 'allowed_origin', 'allow_origins', 'allow_origin', 'origins', 'origin'],
    'string or array',
    'Origins pages may have.',
    (_reader, entry) => {
      for (const origin of textList(entry.value, 'allowed origins')) {
        if (URL.canParse(origin) && !/\s/.test(origin)) continue;
        throw new OptionError(
          `unable to parse allowed origin: parse ${JSON.stringify(origin)}: invalid URI for request`,
        );
      }
    },
  ),
  checkedBy('handshake_timeout', 'seconds or duration', 'Time of the HTTP upgrade.', (_reader, entry) => {
    if (entry.value.kind === 'integer') return;
    const result = parseDuration(text(entry.value));
    if ('error' in result) throw new OptionError(result.error);
  }),
  flagRow(['compression', 'compress'], 'Offer permessage-deflate.'),
  authorizationRow('websocket.authorization'),
  checked('jwt_cookie', 'string', 'Cookie that carries a user JWT.'),
  checked('user_cookie', 'string', 'Cookie that carries a user name.'),
  checked('pass_cookie', 'string', 'Cookie that carries a password.'),
  checked('token_cookie', 'string', 'Cookie that carries a token.'),
  checked('no_auth_user', 'string', 'User of connections without credentials.'),
  checkedBy('headers', 'map', 'Headers of the upgrade response.', (reader, entry) => {
    const headers = map(entry.value, `error parsing headers: unsupported type ${goTypeName(entry.value)}`);
    for (const header of headers.entries.values()) {
      reader.attempt(header, () => {
        if (isText(header.value)) return;
        throw new OptionError(
          `error parsing header key ${header.key}: unsupported type ${goTypeName(header.value)}`,
        );
      });
    }
  }),
  checked('ping_interval', 'duration', 'Interval of pings.', 'inherited'),
];

/** Checks the `websocket` block. */
export function readWebsocket(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected websocket to be a map, got ${goTypeName(entry.value)}`);
  draft.websocket = { port: 0, hasTls: false, noTls: false };
  reader.readBlock(block, WEBSOCKET_ROWS, draft.websocket, { path: 'websocket' });
}
