import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { encodeNkey } from '../../shared/auth/nkey.ts';
import type { ServerOptions } from '../../shared/base/options.ts';
import type { ServerIdentity } from '../../workers/shard/contract.ts';

/** A new identity for this run: server id and curve key are new at every start (client-protocol.md §4.1). */
export function createIdentity(options: ServerOptions): ServerIdentity {
  const serverId = encodeNkey('server', randomBytes(32));
  return {
    serverId,
    serverName: options.serverName === '' ? serverId : options.serverName,
    xkey: encodeNkey('curve', randomBytes(32)),
    infoHost: options.host,
    infoPort: Math.max(options.port, 0),
    connectUrls: [],
    websocketHost: options.websocket?.host ?? '',
    websocketPort: Math.max(options.websocket?.port ?? 0, 0),
    websocketConnectUrls: [],
    startedAtMs: Date.now(),
  };
}

/** Splits `host[:port]` of `client_advertise`; a missing, zero or negative port is the listener's. */
function parseAdvertise(advertise: string, listenerPort: number): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(-?\d+))?$/.exec(advertise);
  if (match === null) {
    if (isIPv6(advertise)) return { host: advertise, port: listenerPort };
    throw new Error(`invalid ClientAdvertise value of ${advertise}`);
  }
  const port = Number(match[3] ?? 0);
  return { host: match[1] ?? match[2]!, port: port > 0 ? port : listenerPort };
}

/** Host and port as INFO announces them. */
export function announce(
  identity: ServerIdentity,
  options: ServerOptions,
  listenerPort: number,
  websocketPort: number,
): ServerIdentity {
  const client = announced(options.clientAdvertise, options.host, listenerPort);
  return {
    ...identity,
    infoHost: client.host,
    infoPort: client.port,
    // `websocket.advertise` is for connect URLs alone.
    websocketHost: options.websocket?.host ?? '',
    websocketPort,
  };
}

function announced(advertise: string, host: string, port: number): { host: string; port: number } {
  return advertise === '' ? { host, port } : parseAdvertise(advertise, port);
}
