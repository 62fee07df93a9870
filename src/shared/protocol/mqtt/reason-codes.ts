/** Reason codes of MQTT 5.0 (clause 2.4); from 0x80 on they are failures. */
export const REASON = {
  success: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
  maximumConnectTime: 0xa0,
  subscriptionIdentifiersNotSupported: 0xa1,
  wildcardSubscriptionsNotSupported: 0xa2,
} as const;

/** Return codes of a 3.1.1 CONNACK (clause 3.2.2.3). */
export const RETURN_CODE = {
  accepted: 0,
  unacceptableProtocolVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

/** SUBACK's only failure in 3.1.1 (clause 3.9.3). */
export const SUBACK_FAILURE = 0x80;

const RETURN_CODES: ReadonlyMap<number, number> = new Map<number, number>([
  [REASON.unsupportedProtocolVersion, RETURN_CODE.unacceptableProtocolVersion],
  [REASON.clientIdentifierNotValid, RETURN_CODE.identifierRejected],
  [REASON.serverUnavailable, RETURN_CODE.serverUnavailable],
  [REASON.serverBusy, RETURN_CODE.serverUnavailable],
  [REASON.badUserNameOrPassword, RETURN_CODE.badUserNameOrPassword],
  [REASON.notAuthorized, RETURN_CODE.notAuthorized],
]);

/** The 3.1.1 return code that says the same, or -1: then the connection is closed without a CONNACK. */
export function returnCodeOf(reason: number): number {
  return RETURN_CODES.get(reason) ?? -1;
}

const of = (...packets: number[]): number => packets.reduce((mask, type) => mask | (1 << type), 0);

/** Which packets a client may send a reason code in, as bits by packet type (clause 2.4, column "Packets"). */
const CLIENT_PACKETS: ReadonlyMap<number, number> = new Map<number, number>([
  [REASON.success, of(4, 5, 6, 7, 14)],
  [REASON.disconnectWithWill, of(14)],
  [REASON.noMatchingSubscribers, of(4, 5)],
  [REASON.continueAuthentication, of(15)],
  [REASON.reAuthenticate, of(15)],
  [REASON.unspecifiedError, of(4, 5, 14)],
  [REASON.malformedPacket, of(14)],
  [REASON.protocolError, of(14)],
  [REASON.implementationSpecificError, of(4, 5, 14)],
  [REASON.notAuthorized, of(4, 5)],
  [REASON.topicNameInvalid, of(4, 5, 14)],
  [REASON.packetIdentifierInUse, of(4, 5)],
  [REASON.packetIdentifierNotFound, of(6, 7)],
  [REASON.receiveMaximumExceeded, of(14)],
  [REASON.topicAliasInvalid, of(14)],
  [REASON.packetTooLarge, of(14)],
  [REASON.messageRateTooHigh, of(14)],
  [REASON.quotaExceeded, of(4, 5, 14)],
  [REASON.administrativeAction, of(14)],
  [REASON.payloadFormatInvalid, of(4, 5, 14)],
]);

/** Whether a client may send this reason code in a packet of this type. [MQTT-3.4.2-1] and its siblings */
export function isClientReason(type: number, reason: number): boolean {
  return ((CLIENT_PACKETS.get(reason) ?? 0) & (1 << type)) !== 0;
}
