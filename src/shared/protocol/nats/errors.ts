/**
 * The texts of `-ERR` and the reasons a connection closes for, as clients, `connz` and the log see them
 * (client-protocol §15, §16). Subjects and queue names are latin1 strings, one character a byte, and so are the results.
 */

/** `-ERR` texts without a variable part. */
export const ERR = {
  unknownProtocolOperation: 'Unknown Protocol Operation',
  authorizationViolation: 'Authorization Violation',
  authenticationTimeout: 'Authentication Timeout',
  userAuthenticationExpired: 'User Authentication Expired',
  accountAuthenticationExpired: 'Account Authentication Expired',
  userAuthenticationRevoked: 'User Authentication Revoked',
  failedAccountRegistration: 'Failed Account Registration',
  maximumConnectionsExceeded: 'maximum connections exceeded',
  maximumAccountConnectionsExceeded: 'maximum account active connections exceeded',
  connectionThrottling: 'Connection throttling is active. Please try again later.',
  maximumPayloadViolation: 'Maximum Payload Violation',
  maximumControlLineExceeded: 'maximum control line exceeded',
  maximumSubscriptionsExceeded: 'maximum subscriptions exceeded',
  staleConnection: 'Stale Connection',
  invalidClientProtocol: 'invalid client protocol',
  noRespondersRequiresHeaders: 'no responders requires headers support',
  invalidSubject: 'Invalid Subject',
  invalidPublishSubject: 'Invalid Publish Subject',
  tlsRequired: 'Secure Connection - TLS Required',
  connectedToRoutePort: 'attempted to connect to route port',
  connectedToGatewayPort: 'attempted to connect to gateway port',
  connectedToLeafNodePort: 'attempted to connect to leaf node port',
} as const;

/** Why a connection closed; the values are the `reason` of `connz` and of disconnect events. */
export const CLOSE_REASON = {
  clientClosed: 'Client Closed',
  authenticationTimeout: 'Authentication Timeout',
  authenticationFailure: 'Authentication Failure',
  tlsHandshakeFailure: 'TLS Handshake Failure',
  slowConsumerPendingBytes: 'Slow Consumer (Pending Bytes)',
  slowConsumerWriteDeadline: 'Slow Consumer (Write Deadline)',
  writeError: 'Write Error',
  readError: 'Read Error',
  parseError: 'Parse Error',
  staleConnection: 'Stale Connection',
  protocolViolation: 'Protocol Violation',
  badClientProtocolVersion: 'Bad Client Protocol Version',
  incorrectPort: 'Incorrect Port',
  maximumAccountConnectionsExceeded: 'Maximum Account Connections Exceeded',
  maximumConnectionsExceeded: 'Maximum Connections Exceeded',
  maximumPayloadExceeded: 'Maximum Message Payload Exceeded',
  maximumControlLineExceeded: 'Maximum Control Line Exceeded',
  maximumSubscriptionsExceeded: 'Maximum Subscriptions Exceeded',
  duplicateRoute: 'Duplicate Route',
  routeRemoved: 'Route Removed',
  serverShutdown: 'Server Shutdown',
  authenticationExpired: 'Authentication Expired',
  wrongGateway: 'Wrong Gateway',
  missingAccount: 'Missing Account',
  credentialsRevoked: 'Credentials Revoked',
  internalClient: 'Internal Client',
  messageHeaderViolation: 'Message Header Violation',
  noRespondersRequiresHeaders: 'No Responders Requires Headers',
  clusterNameConflict: 'Cluster Name Conflict',
  duplicateRemoteLeafNodeConnection: 'Duplicate Remote LeafNode Connection',
  duplicateClientId: 'Duplicate Client ID',
  duplicateServerName: 'Duplicate Server Name',
  minimumVersionRequired: 'Minimum Version Required',
  clusterNamesIdentical: 'Cluster Names Identical',
  kicked: 'Kicked',
  proxyNotTrusted: 'Proxy Not Trusted',
  proxyRequired: 'Proxy Required',
  unknownState: 'Unknown State',
} as const;

export type CloseReason = (typeof CLOSE_REASON)[keyof typeof CLOSE_REASON];

const UNFLUSHED: ReadonlySet<CloseReason> = new Set<CloseReason>([
  CLOSE_REASON.readError,
  CLOSE_REASON.writeError,
  CLOSE_REASON.slowConsumerPendingBytes,
  CLOSE_REASON.slowConsumerWriteDeadline,
  CLOSE_REASON.tlsHandshakeFailure,
]);

/**
 * Whether what is queued for the connection is still written when it closes for this reason: after a failed write or
 * read nobody is there to take it. client-protocol §14.
 */
export function flushesOnClose(reason: CloseReason): boolean {
  return !UNFLUSHED.has(reason);
}

/** The protocol line of an error text: `-ERR '<text>'` and CRLF. */
export function errLine(text: string): string {
  return `-ERR '${text}'\r\n`;
}

/** A publish to a subject the user may not publish to, or that is reserved. */
export function publishViolation(subject: string): string {
  return `Permissions Violation for Publish to ${goQuote(subject)}`;
}

/** A publish with a reserved reply subject. */
export function publishReplyViolation(reply: string): string {
  return `Permissions Violation for Publish with Reply of ${goQuote(reply)}`;
}

/** A subscription the user may not make; `queue` is null for a plain one. */
export function subscriptionViolation(subject: string, queue: string | null): string {
  const using = queue === null ? '' : ` using queue ${goQuote(queue)}`;
  return `Permissions Violation for Subscription to ${goQuote(subject)}${using}`;
}

const ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x07, '\\a'],
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0b, '\\v'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u;

/** Length in bytes of the UTF-8 sequence that starts at `at`; 1 for a byte that starts no valid one. */
function sequenceLength(bytes: string, at: number): number {
  const lead = bytes.charCodeAt(at);
  const length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  for (let i = 1; i < length; i++) {
    const next = bytes.charCodeAt(at + i);
    // Past the end it is NaN, which fails the comparison too.
    if (!(next >= 0x80 && next <= 0xbf)) return 1;
  }
  const second = bytes.charCodeAt(at + 1);
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  if (lead === 0xe0 && second < 0xa0) return 1;
  if (lead === 0xed && second > 0x9f) return 1;
  if (lead === 0xf0 && second < 0x90) return 1;
  if (lead === 0xf4 && second > 0x8f) return 1;
  return length;
}

function codePointAt(bytes: string, at: number, length: number): number {
  let codePoint = bytes.charCodeAt(at) & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) codePoint = (codePoint << 6) | (bytes.charCodeAt(at + i) & 0x3f);
  return codePoint;
}

/**
 * Quotes bytes (a latin1 string) as the error texts of nats-server do, that is as a Go string literal: printable UTF-8
 * stays, `"`, `\` and control characters are escaped, other characters become `\uXXXX` or `\UXXXXXXXX`, bytes that are
 * not UTF-8 become `\xXX`. The result is latin1 too.
 */
export function goQuote(bytes: string): string {
  let quoted = '"';
  for (let at = 0; at < bytes.length; ) {
    const code = bytes.charCodeAt(at);
    const length = code < 0x80 ? 1 : sequenceLength(bytes, at);
    if (length === 1) {
      const plain = code >= 0x20 && code < 0x7f;
      quoted += ESCAPES.get(code) ?? (plain ? bytes[at] : `\\x${code.toString(16).padStart(2, '0')}`);
    } else {
      const codePoint = codePointAt(bytes, at, length);
      const hex = codePoint.toString(16);
      if (PRINTABLE.test(String.fromCodePoint(codePoint))) quoted += bytes.slice(at, at + length);
      else quoted += codePoint < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
    }
    at += length;
  }
  return `${quoted}"`;
}
