import { latin1 } from '../../shared/base/latin1.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import type { Route } from '../../shared/broker/route.ts';
import type { Subscription } from '../../shared/broker/subscription.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

/** Protocol trace lines (`-V`, client-protocol.md §18). Traced connections are off the fast path, so these may build strings. */

const SECRET_FIELDS = /"(pass[a-z]*|auth_token[a-z]*|sig|proxy_sig|nkey|jwt)"\s*:\s*"(?:[^"\\]|\\.)*"/gi;

/** Whether this connection's traffic is to be traced: system account traffic only with `trace_verbose`. */
export function isTraced(shard: Shard, connection: ClientConnection): boolean {
  const { trace, traceVerbose } = shard.options.log;
  return trace && (traceVerbose || connection.account.name !== shard.options.systemAccount);
}

export function traceIn(shard: Shard, connection: ClientConnection, text: string): void {
  if (isTraced(shard, connection)) shard.log('trace', `${connection.label} - <<- ${text}`);
}

/** A CONNECT line without what must stay secret. */
export function traceConnect(shard: Shard, connection: ClientConnection, json: string): void {
  traceIn(shard, connection, `[CONNECT ${json.replace(SECRET_FIELDS, '"$1":"[REDACTED]"')}]`);
}

/** PUB or HPUB and its payload. */
export function traceMessage(shard: Shard, connection: ClientConnection, frame: MessageFrame): void {
  if (!isTraced(shard, connection)) return;
  const { maxTracedMsgLen, traceHeaders } = shard.options.log;
  const operation = frame.headerBytes < 0 ? 'PUB' : 'HPUB';
  const subject = latin1(frame.bytes, frame.subjectStart, frame.subjectEnd);
  const rest = latin1(frame.bytes, frame.tailStart, frame.payloadStart - 2);
  traceIn(shard, connection, `[${operation} ${subject} ${rest}]`);
  let end = frame.payloadStart + frame.payloadBytes;
  if (traceHeaders) {
    if (frame.headerBytes <= 0) return;
    end = frame.payloadStart + Math.max(frame.headerBytes - 4, 0);
  }
  const length = end - frame.payloadStart;
  const cut = maxTracedMsgLen > 0 && length > maxTracedMsgLen;
  const text = JSON.stringify(
    latin1(frame.bytes, frame.payloadStart, cut ? frame.payloadStart + maxTracedMsgLen : end),
  );
  traceIn(shard, connection, `MSG_PAYLOAD: [${cut ? `${text.slice(0, -1)}..."` : text}]`);
}

/** MSG or HMSG as a subscriber gets it. */
export function traceDelivery(
  shard: Shard,
  connection: ClientConnection,
  subscription: Subscription,
  route: Route,
  frame: MessageFrame,
): void {
  if (!isTraced(shard, connection)) return;
  const operation = frame.headerBytes > 0 && connection.headers ? 'HMSG' : 'MSG';
  const rest = latin1(frame.bytes, frame.tailStart, frame.payloadStart - 2);
  shard.log('trace', `${connection.label} - ->> [${operation} ${route.subject} ${subscription.sid} ${rest}]`);
}
