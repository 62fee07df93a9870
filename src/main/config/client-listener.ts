import type { MqttOptions, WebsocketOptions } from '../../shared/base/options.ts';
import { authTimeoutMs } from './authorization-block.ts';
import { goTypeName } from './conf-value.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow } from './reader.ts';
import { row, textRow } from './row.ts';
import { readTls, TLS_ROWS } from './tls-block.ts';
import { address, integer, isText, map, port, text } from './value.ts';

/** What the blocks of the listeners for WebSocket and MQTT clients have in common: address, TLS and credentials. */

type ListenerOptions = Pick<MqttOptions, keyof MqttOptions & keyof WebsocketOptions>;

/** What such a block says before anything is set; a port of 0 is no listener. */
export function emptyListener(): ListenerOptions {
  return {
    host: '0.0.0.0',
    port: 0,
    tls: null,
    user: '',
    password: '',
    token: '',
    authTimeoutMs: 0,
    noAuthUser: '',
  };
}

function authorizationRows(reload: 'yes' | 'no'): OptionRow<ListenerOptions>[] {
  return [
    textRow('user', { name: 'user', aliases: ['username'], reload, doc: 'User name.' }),
    textRow('password', {
      name: 'pass',
      aliases: ['password'],
      reload,
      doc: 'Password, plain or as a bcrypt hash.',
    }),
    row({
      name: 'token',
      type: 'string',
      reload,
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
}

/** `listen`, `port`, `host`. */
const ADDRESS_ROWS: OptionRow<ListenerOptions>[] = [
  row({
    name: 'listen',
    type: 'address',
    default: 'off',
    doc: 'Address of the listener, `host:port` or a port; -1 is a random port.',
    read: (_reader, entry, draft) => {
      const given = address(entry.value);
      if (given.host !== null && given.host !== '') draft.host = given.host;
      draft.port = given.port;
    },
  }),
  row({
    name: 'port',
    type: 'port',
    default: 'off',
    doc: 'Port of the listener; -1 is a random one.',
    read: (_reader, entry, draft) => {
      draft.port = port(integer(entry.value));
    },
  }),
  textRow('host', { name: 'host', aliases: ['net'], doc: 'Host of the listener.', default: '0.0.0.0' }),
];

/**
 * The rows of both blocks.
 *
 * @param path of the block
 * @param credentialsReload whether a reload may change user, password and token
 */
export function listenerRows(
  path: 'websocket' | 'mqtt',
  credentialsReload: 'yes' | 'no',
): OptionRow<ListenerOptions>[] {
  const children = authorizationRows(credentialsReload);
  return [
    ...ADDRESS_ROWS,
    row({
      name: 'tls',
      type: 'map',
      reload: 'yes',
      doc: 'TLS of this listener; the options of the top-level `tls` block.',
      children: TLS_ROWS,
      read: (reader, entry, draft) => {
        draft.tls = readTls(reader, entry, { path: `${path}.tls`, isServerToServer: false });
      },
    }),
    row({
      name: 'authorization',
      aliases: ['authentication'],
      type: 'map',
      doc: 'Credentials of this listener alone, instead of those of `authorization`.',
      children,
      read: (reader, entry, draft) =>
        reader.readBlock(map(entry.value), children, draft, { path: `${path}.authorization` }),
    }),
    textRow('noAuthUser', { name: 'no_auth_user', doc: 'User of connections without credentials.' }),
  ];
}
