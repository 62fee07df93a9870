/** The INFO message: what a server says about itself to a client (client-protocol §4.1). */
import { wireText } from '../../subject/wire-text.ts';

/**
 * Fields of an INFO. Optional ones are left out of the JSON when they are absent, empty, zero or false; the others are
 * always there.
 */
export interface InfoFields {
  /** Public server nkey, `N…`. */
  serverId: string;
  serverName: string;
  version: string;
  /** Seven hex digits. */
  gitCommit?: string;
  /** Version of the run-time; clients ignore it, but nats-server always has the key. */
  go: string;
  host: string;
  port: number;
  headers: boolean;
  authRequired?: boolean;
  tlsRequired?: boolean;
  tlsVerify?: boolean;
  tlsAvailable?: boolean;
  /** Bytes; -1 is unlimited. */
  maxPayload: number;
  jetstream?: boolean;
  clientId?: number;
  clientIp?: string;
  nonce?: string;
  cluster?: string;
  domain?: string;
  /** `host:port` of servers to connect to; of WebSocket listeners for a WebSocket client. */
  connectUrls?: readonly string[];
  lameDuckMode?: boolean;
  /** Only in the INFO after the first PING. */
  connectInfo?: boolean;
  remoteAccount?: string;
  accountIsSystem?: boolean;
  /** Level of the JetStream API. */
  apiLevel?: number;
  /** Public curve key, `X…`. */
  xkey?: string;
}

/** What `JSON.stringify` leaves alone and nats-server's encoder escapes. */
const HTML_UNSAFE = /[<>&\u2028\u2029]/g;

function escapeUnsafe(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The value, or undefined (which `JSON.stringify` leaves out) when it is empty, zero or false. */
function unlessEmpty<T extends string | number | boolean>(value: T | undefined): T | undefined {
  return value === '' || value === 0 || value === false ? undefined : value;
}

/** The JSON of an INFO, with nats-server's order of keys and rules of omission. Encode it as UTF-8. */
export function buildInfo(fields: InfoFields): string {
  const info = {
    server_id: fields.serverId,
    server_name: fields.serverName,
    version: fields.version,
    proto: 1,
    git_commit: unlessEmpty(fields.gitCommit),
    go: fields.go,
    host: fields.host,
    port: fields.port,
    headers: fields.headers,
    auth_required: unlessEmpty(fields.authRequired),
    tls_required: unlessEmpty(fields.tlsRequired),
    tls_verify: unlessEmpty(fields.tlsVerify),
    tls_available: unlessEmpty(fields.tlsAvailable),
    max_payload: fields.maxPayload,
    jetstream: unlessEmpty(fields.jetstream),
    client_id: unlessEmpty(fields.clientId),
    client_ip: unlessEmpty(fields.clientIp),
    nonce: unlessEmpty(fields.nonce),
    cluster: unlessEmpty(fields.cluster),
    domain: unlessEmpty(fields.domain),
    connect_urls: fields.connectUrls?.length ? fields.connectUrls : undefined,
    ldm: unlessEmpty(fields.lameDuckMode),
    connect_info: unlessEmpty(fields.connectInfo),
    remote_account: unlessEmpty(fields.remoteAccount),
    acc_is_sys: unlessEmpty(fields.accountIsSystem),
    api_lvl: unlessEmpty(fields.apiLevel),
    xkey: unlessEmpty(fields.xkey),
  };
  return JSON.stringify(info).replace(HTML_UNSAFE, escapeUnsafe);
}

/**
 * The protocol line of an INFO in wire form (latin1, one character a byte). Like nats-server's it has a space between
 * the JSON and CRLF.
 */
export function infoLine(fields: InfoFields): string {
  return `INFO ${wireText(buildInfo(fields))} \r\n`;
}
