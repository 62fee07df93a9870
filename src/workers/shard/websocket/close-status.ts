import { CLOSE_REASON, type CloseReason } from '../../../shared/protocol/nats/errors.ts';
import { STATUS } from '../../../shared/protocol/websocket/close.ts';

/** Status of the close frame for every reason a connection ends for (websocket.md §5.2). */

const STATUS_OF: ReadonlyMap<CloseReason, number> = new Map<CloseReason, number>([
  [CLOSE_REASON.clientClosed, STATUS.normal],
  [CLOSE_REASON.serverShutdown, STATUS.goingAway],
  [CLOSE_REASON.staleConnection, STATUS.goingAway],
  [CLOSE_REASON.readError, STATUS.goingAway],
  [CLOSE_REASON.writeError, STATUS.goingAway],
  [CLOSE_REASON.parseError, STATUS.protocolError],
  [CLOSE_REASON.protocolViolation, STATUS.protocolError],
  [CLOSE_REASON.badClientProtocolVersion, STATUS.protocolError],
  [CLOSE_REASON.authenticationTimeout, STATUS.policyViolation],
  [CLOSE_REASON.authenticationFailure, STATUS.policyViolation],
  [CLOSE_REASON.authenticationExpired, STATUS.policyViolation],
  [CLOSE_REASON.credentialsRevoked, STATUS.policyViolation],
  [CLOSE_REASON.slowConsumerPendingBytes, STATUS.policyViolation],
  [CLOSE_REASON.slowConsumerWriteDeadline, STATUS.policyViolation],
  [CLOSE_REASON.maximumConnectionsExceeded, STATUS.policyViolation],
  [CLOSE_REASON.maximumAccountConnectionsExceeded, STATUS.policyViolation],
  [CLOSE_REASON.maximumControlLineExceeded, STATUS.policyViolation],
  [CLOSE_REASON.maximumSubscriptionsExceeded, STATUS.policyViolation],
  [CLOSE_REASON.missingAccount, STATUS.policyViolation],
  [CLOSE_REASON.maximumPayloadExceeded, STATUS.messageTooBig],
  [CLOSE_REASON.tlsHandshakeFailure, STATUS.tlsHandshake],
]);

/** Status the server closes with for a reason. */
export function closeStatus(reason: CloseReason): number {
  return STATUS_OF.get(reason) ?? STATUS.internalError;
}
