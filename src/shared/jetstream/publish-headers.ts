/**
 * The headers of a published message that mean something to a stream (jetstream-streams §3.3), found in one pass.
 *
 * Most messages have none of them, so a line is looked at further only when it begins with `Nats-`. Names are
 * case-sensitive, the first of equal names counts, spaces in front of a value don't belong to it, and one without a value is
 * as good as none.
 */

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;
const PREFIX = [0x4e, 0x61, 0x74, 0x73, 0x2d];

/** Values are latin1; null is absent. */
export interface PublishHeaders {
  'Nats-Msg-Id': string | null;
  'Nats-Expected-Stream': string | null;
  'Nats-Expected-Last-Sequence': string | null;
  'Nats-Expected-Last-Subject-Sequence': string | null;
  'Nats-Expected-Last-Subject-Sequence-Subject': string | null;
  'Nats-Expected-Last-Msg-Id': string | null;
  'Nats-Rollup': string | null;
  'Nats-TTL': string | null;
  'Nats-Incr': string | null;
  'Nats-Counter-Sources': string | null;
  'Nats-Marker-Reason': string | null;
  'Nats-Schedule': string | null;
  'Nats-Schedule-Target': string | null;
  'Nats-Schedule-Source': string | null;
  'Nats-Schedule-TTL': string | null;
  'Nats-Schedule-Rollup': string | null;
  'Nats-Schedule-Time-Zone': string | null;
  'Nats-Schedule-Next': string | null;
  'Nats-Scheduler': string | null;
  'Nats-Batch-Id': string | null;
  'Nats-Batch-Sequence': string | null;
  'Nats-Batch-Commit': string | null;
  'Nats-Stream-Source': string | null;
  'Nats-Request-Info': string | null;
  'Nats-Required-Api-Level': string | null;
}

export type PublishHeaderName = keyof PublishHeaders;

function absentHeaders(): PublishHeaders {
  return {
    'Nats-Msg-Id': null,
    'Nats-Expected-Stream': null,
    'Nats-Expected-Last-Sequence': null,
    'Nats-Expected-Last-Subject-Sequence': null,
    'Nats-Expected-Last-Subject-Sequence-Subject': null,
    'Nats-Expected-Last-Msg-Id': null,
    'Nats-Rollup': null,
    'Nats-TTL': null,
    'Nats-Incr': null,
    'Nats-Counter-Sources': null,
    'Nats-Marker-Reason': null,
    'Nats-Schedule': null,
    'Nats-Schedule-Target': null,
    'Nats-Schedule-Source': null,
    'Nats-Schedule-TTL': null,
    'Nats-Schedule-Rollup': null,
    'Nats-Schedule-Time-Zone': null,
    'Nats-Schedule-Next': null,
    'Nats-Scheduler': null,
    'Nats-Batch-Id': null,
    'Nats-Batch-Sequence': null,
    'Nats-Batch-Commit': null,
    'Nats-Stream-Source': null,
    'Nats-Request-Info': null,
    'Nats-Required-Api-Level': null,
  };
}

/** A message without any of them. */
export const NO_PUBLISH_HEADERS: Readonly<PublishHeaders> = Object.freeze(absentHeaders());

const NAMES: ReadonlySet<string> = new Set(Object.keys(NO_PUBLISH_HEADERS));

function isHeaderName(name: string): name is PublishHeaderName {
  return NAMES.has(name);
}

function startsWithPrefix(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < PREFIX.length; i++) if (bytes[at + i] !== PREFIX[i]) return false;
  return true;
}

function latin1Slice(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

/** Offset of the CRLF at or after `from` within `end`, or -1. */
function lineEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at + 1 < end; at++) if (bytes[at] === CR && bytes[at + 1] === LF) return at;
  return -1;
}

/** Reads the header block `bytes[start, end)`. */
export function readPublishHeaders(bytes: Uint8Array, start: number, end: number): Readonly<PublishHeaders> {
  let headers: PublishHeaders | null = null;
  for (let at = lineEnd(bytes, start, end); at !== -1; ) {
    const lineStart = at + 2;
    at = lineEnd(bytes, lineStart, end);
    if (at === -1 || !startsWithPrefix(bytes, lineStart)) continue;
    const colon = bytes.indexOf(COLON, lineStart);
    if (colon === -1 || colon >= at) continue;
    const name = latin1Slice(bytes, lineStart, colon);
    if (!isHeaderName(name)) continue;
    let valueStart = colon + 1;
    while (valueStart < at && bytes[valueStart] === SPACE) valueStart++;
    if (valueStart === at) continue;
    headers ??= absentHeaders();
    if (headers[name] !== null) continue;
    headers[name] = latin1Slice(bytes, valueStart, at);
  }
  return headers ?? NO_PUBLISH_HEADERS;
}
