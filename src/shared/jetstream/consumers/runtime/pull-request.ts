/** The body of a pull request (jetstream-consumers §6.1), and what is refused at once (§6.2). */
import { latin1 } from '../../../base/latin1.ts';
import {
  decodeJson,
  fieldReaders,
  readBool,
  readDuration,
  readInteger,
  readString,
} from '../../json-fields.ts';
import { parseJson } from '../../json-text.ts';
import { durationMs, formatDuration } from '../../time.ts';
import type { ConsumerConfig } from '../contract.ts';

/** A pull request; 0 and empty are unset. */
export interface PullRequest {
  batch: number;
  expiresNs: bigint;
  expiresMs: number;
  maxBytes: number;
  noWait: boolean;
  heartbeatNs: bigint;
  heartbeatMs: number;
  group: string;
  minPending: number;
  minAckPending: number;
  pinId: string;
  priority: number;
}

const READERS = fieldReaders<PullRequest>({
  expires: (request, node, at) => {
    request.expiresNs = readDuration(node, at);
  },
  batch: (request, node, at) => {
    request.batch = readInteger(node, at, 'int');
  },
  max_bytes: (request, node, at) => {
    request.maxBytes = readInteger(node, at, 'int');
  },
  no_wait: (request, node, at) => {
    request.noWait = readBool(node, at);
  },
  idle_heartbeat: (request, node, at) => {
    request.heartbeatNs = readDuration(node, at);
  },
  group: (request, node, at) => {
    request.group = readString(node, at);
  },
  min_pending: (request, node, at) => {
    request.minPending = readInteger(node, at, 'int64');
  },
  min_ack_pending: (request, node, at) => {
    request.minAckPending = readInteger(node, at, 'int64');
  },
  id: (request, node, at) => {
    request.pinId = readString(node, at);
  },
  priority: (request, node, at) => {
    request.priority = readInteger(node, at, 'int');
  },
});

function emptyRequest(): PullRequest {
  return {
    batch: 1,
    expiresNs: 0n,
    expiresMs: 0,
    maxBytes: 0,
    noWait: false,
    heartbeatNs: 0n,
    heartbeatMs: 0,
    group: '',
    minPending: 0,
    minAckPending: 0,
    pinId: '',
    priority: 0,
  };
}

const BRACE = 0x7b;
const BLANKS: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

function trimmed(body: Uint8Array): Uint8Array {
  let start = 0;
  let end = body.length;
  while (start < end && BLANKS.has(body[start]!)) start++;
  while (end > start && BLANKS.has(body[end - 1]!)) end--;
  return body.subarray(start, end);
}

/** @returns the request, or what is wrong with its JSON */
export function parsePullRequest(body: Uint8Array): PullRequest | string {
  const request = emptyRequest();
  const text = trimmed(body);
  if (text.length === 0) return request;
  if (text[0] !== BRACE) {
    const digits = text.length > 16 ? '' : latin1(text, 0, text.length);
    if (/^[+-]?\d+$/.test(digits)) request.batch = Math.max(1, Number(digits));
    return request;
  }
  const error = decodeJson(text, { target: request, readers: READERS, type: '', strict: false });
  if (error !== null) return jsonProblem(text, error.message);
  request.batch = Math.max(1, request.batch);
  if (request.expiresNs > 0n) request.expiresMs = durationMs(request.expiresNs);
  if (request.heartbeatNs > 0n) request.heartbeatMs = durationMs(request.heartbeatNs);
  request.maxBytes = Math.max(0, request.maxBytes);
  return request;
}

/** Requests are read as one value, others as a stream of values: what is wrong with them has other words. */
function jsonProblem(text: Uint8Array, error: string): string {
  if (error === 'unexpected EOF') return 'unexpected end of JSON input';
  const words = error.replace(/ at offset \d+$/, '');
  const isBehind = parseJson(latin1(text, 0, text.length)).values.length > 0;
  return isBehind ? words.replace(/looking for beginning of value$/, 'after top-level value') : words;
}

/** Why a consumer of this configuration refuses the request, as a status; null: it doesn't. */
export function requestProblem(request: PullRequest, config: ConsumerConfig): string | null {
  const { maxRequestBatch, maxRequestExpiresNs, maxRequestMaxBytes } = config;
  if (request.heartbeatNs > 0n && 2n * request.heartbeatNs > request.expiresNs)
    return '400 Bad Request - heartbeat value too large';
  if (maxRequestBatch > 0 && request.batch > maxRequestBatch)
    return `409 Exceeded MaxRequestBatch of ${maxRequestBatch}`;
  if (maxRequestExpiresNs > 0n && request.expiresNs > maxRequestExpiresNs)
    return `409 Exceeded MaxRequestExpires of ${formatDuration(maxRequestExpiresNs)}`;
  if (maxRequestMaxBytes > 0 && request.maxBytes > maxRequestMaxBytes)
    return `409 Exceeded MaxRequestMaxBytes of ${maxRequestMaxBytes}`;
  return groupProblem(request, config);
}

function groupProblem(request: PullRequest, config: ConsumerConfig): string | null {
  const { priorityPolicy, priorityGroups } = config;
  const hasThreshold = request.minPending !== 0 || request.minAckPending !== 0;
  if (hasThreshold && priorityPolicy !== 'overflow')
    return '400 Bad Request - Not a Overflow Priority consumer';
  if (request.pinId !== '' && priorityPolicy !== 'pinned_client')
    return '400 Bad Request - Not a Pinned Client Priority consumer';
  if (request.priority < 0 || request.priority > 9)
    return '400 Bad Request - Priority must be between 0 and 9';
  if (priorityPolicy === 'none') return null;
  if (request.group === '') return '400 Bad Request - Priority Group missing';
  return priorityGroups.includes(request.group) ? null : '400 Bad Request - Invalid Priority Group';
}
