import { JsonObject } from '../../shared/jetstream/json-object.ts';
import { NANOS_PER_MILLI } from '../../shared/jetstream/time.ts';
import type { ClientConnection } from './connection.ts';

/**
 * Who a connection is, for whoever answers its requests: `ClientInfo` as JSON, UTF-8 (jetstream-api §9). Fields without a
 * value are left out. The name of the server is that of the process all threads are in.
 */
export function clientInfo(connection: ClientConnection): Uint8Array {
  const { connect, shard } = connection;
  const json = new JsonObject()
    .time('start', nanos(connection.startedAtMs))
    .stringUnlessEmpty('host', connection.remoteAddress)
    .integerUnlessZero('id', connection.cid)
    .stringUnlessEmpty('acc', connection.account.name)
    .stringUnlessEmpty('user', connection.authenticatedUser)
    .stringUnlessEmpty('name', connect.name)
    .stringUnlessEmpty('lang', connect.lang)
    .stringUnlessEmpty('ver', connect.version)
    .integerUnlessZero('rtt', Number(nanos(connection.rttMs)))
    .stringUnlessEmpty('server', shard.identity.serverName)
    .string('kind', 'Client')
    .string('client_type', connection.transport);
  return Buffer.from(json.end(), 'utf8');
}

/** Milliseconds with a fraction as nanoseconds, exact to the microsecond. */
function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * (NANOS_PER_MILLI / 1000n);
}
