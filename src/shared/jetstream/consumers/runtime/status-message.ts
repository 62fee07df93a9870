/** Status messages of consumers (jetstream-consumers §5, §6): a header block without payload. */
import { latin1Bytes } from '../../../base/latin1.ts';

/** @param lines further headers, each with its line end */
export function statusMessage(status: string, lines = ''): Uint8Array {
  return latin1Bytes(`NATS/1.0 ${status}\r\n${lines}\r\n`);
}

export const NO_MESSAGES: Uint8Array = statusMessage('404 No Messages');
export const REQUESTS_PENDING: Uint8Array = statusMessage('408 Requests Pending');
export const EXCEEDED_MAX_WAITING: Uint8Array = statusMessage('409 Exceeded MaxWaiting');
export const CONSUMER_DELETED: Uint8Array = statusMessage('409 Consumer Deleted');
export const PUSH_BASED: Uint8Array = statusMessage('409 Consumer is push based');
export const REQUIRED_LEVEL: Uint8Array = statusMessage('412 Required Api Level');
export const PIN_MISMATCH: Uint8Array = statusMessage('423 Nats-Pin-Id mismatch');
export const FLOW_CONTROL_REQUEST: Uint8Array = statusMessage('100 FlowControl Request');

/** What is left of a request that ends: `+P` in jetstream-consumers §6.3. */
export function pendingLines(messages: number, bytes: number): string {
  return `Nats-Pending-Messages: ${messages}\r\nNats-Pending-Bytes: ${bytes}\r\n`;
}

/** @param stalled reply subject of the flow control request that is not answered; empty: none */
export function idleHeartbeat(lastConsumerSeq: number, lastStreamSeq: number, stalled: string): Uint8Array {
  const lines = `Nats-Last-Consumer: ${lastConsumerSeq}\r\nNats-Last-Stream: ${lastStreamSeq}\r\n`;
  const more = stalled === '' ? '' : `Nats-Consumer-Stalled: ${stalled}\r\n`;
  return statusMessage('100 Idle Heartbeat', lines + more);
}
