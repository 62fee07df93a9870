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
    startedAtMs: Date.now(),
  };
}

/** Splits `host[:port]` of `client_advertise`; a missing, zero or negative port is the listener's. */
export function parseAdvertise(advertise: string, listenerPort: number): { host: string; port: number } {
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
): ServerIdentity {
  const { host, port } =
    options.clientAdvertise === ''
      ? { host: options.host, port: listenerPort }
      : parseAdvertise(options.clientAdvertise, listenerPort);
  return { ...identity, infoHost: host, infoPort: port };
}
