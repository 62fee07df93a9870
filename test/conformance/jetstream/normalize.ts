/**
 * Removes from JetStream answers what differs from run to run: times, ids, durations. The order of an object's fields is
 * not compared, clients don't depend on it (jetstream-api §1.1).
 */
import type { Frame } from '../../support/server-frames.ts';

/** A message as it is kept in a transcript. */
export interface Answer {
  subject: string;
  /** Where an acknowledgement or an answer of flow control goes. */
  reply?: string;
  /** Header block. */
  headers?: string;
  /** Parsed when it is JSON, else text. */
  body?: unknown;
}

const TIME = /^(20[2-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const THIS_YEAR = new Date().getUTCFullYear();

function isNow(text: string): boolean {
  const match = TIME.exec(text);
  return match !== null && Math.abs(Number(match[1]) - THIS_YEAR) <= 1;
}

/** Values that mean something by the name of their field alone. */
const VOLATILE = new Map<string, (value: unknown) => unknown>([
  ['active', (value) => (Number(value) > 0 ? '<ns>' : value)],
  ['pause_remaining', () => '<ns>'],
  ['ack_time', () => '<ns>'],
  ['pinned_id', () => '<id>'],
  ['pinned_client_id', () => '<id>'],
]);

/** Objects that have fields of their own kind, by the field they stand in. */
const WITHIN = new Map<string, (key: string) => boolean>([
  ['client', (key) => key === 'id'],
  ['api', (key) => key === 'total' || key === 'errors'],
]);

function normalizeText(text: string): string {
  if (isNow(text)) return '<time>';
  return text
    .replace(/(RESTORE\.[^.]+\.)\w{22}/, '$1<id>')
    .replace(/^(\$JSC\.R|_R_|\$JS\.[MS])\.\w+.*/, '$1.<id>')
    .replace(/^2\.15\.\d+$/, '<version>');
}

function normalizeField(key: string, value: unknown, within: string): unknown {
  if (WITHIN.get(within)?.(key) === true) return '<n>';
  if (key === 'id' && typeof value === 'string' && /^\w{22}$/.test(value)) return '<id>';
  // A header block in base64.
  if (key === 'hdrs' && typeof value === 'string')
    return normalizeHeaders(Buffer.from(value, 'base64').toString('latin1'));
  const volatile = VOLATILE.get(key);
  if (volatile !== undefined) return volatile(value);
  // The audit has requests and responses as texts.
  if ((key === 'response' || key === 'request') && typeof value === 'string')
    return normalizeValue(parseJson(value), key);
  return normalizeValue(value, key);
}

function normalizeValue(value: unknown, within: string): unknown {
  if (typeof value === 'string') return normalizeText(value);
  if (Array.isArray(value)) return value.map((element) => normalizeValue(element, within));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      // Left out where it is too short to be measured.
      .filter(([key]) => key !== 'rtt')
      .map(([key, element]) => [key, normalizeField(key, element, within)]),
  );
}

/** Integers that a double can't hold become strings. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/([:[,]\s*)(-?\d{16,})(?=[,}\]])/g, '$1"$2"'));
  } catch {
    return text;
  }
}

const S2_MAGIC = '\u00ff\u0006\u0000\u0000S2sTwO';

function normalizeBody(body: string): unknown {
  if (body.startsWith(S2_MAGIC)) return '<snapshot>';
  return /^\s*[{[]/.test(body) ? normalizeValue(parseJson(body), '') : normalizeText(body);
}

function normalizeHeaders(block: string): string {
  return block
    .replace(/^(Nats-Time-Stamp: |Nats-Schedule-Next: )20\S+/gm, '$1<time>')
    .replace(/^(Nats-Stream-Source: .* )\w{8}(?=\r)/gm, '$1<identity>')
    .replace(/^(Nats-Stream-Identity: )\w{8}(?=\r)/gm, '$1<identity>')
    .replace(/^(Nats-Pin-Id: )\w{22}(?=\r)/gm, '$1<id>')
    .replace(/^(Nats-Consumer-Stalled: .*\.)\w{4}(?=\r)/gm, '$1<id>');
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>` and `$JS.FC.<stream>.<consumer>.<id>`. */
function normalizeReply(reply: string): string | null {
  if (reply.startsWith('$JS.FC.')) return reply.replace(/\.\w{4}$/, '.<id>');
  return reply.startsWith('$JS.ACK.') ? reply.replace(/\.\d{19}\.(\d+)$/, '.<time>.$1') : null;
}

/** Reply subject of a message; the line has it when there is a word more. */
function replyOf(frame: Frame): string | null {
  const words = frame.line.split(' ').filter((token) => token !== '');
  const most = frame.op === 'HMSG' ? 6 : 5;
  return words.length === most ? normalizeReply(words[3] ?? '') : null;
}

/** Offset of the body in a frame's payload. */
function headerBytes(frame: Frame): number {
  return frame.op === 'HMSG' ? Number(frame.line.split(' ').at(-2)) : 0;
}

export function normalizeAnswer(frame: Frame): Answer {
  const payload = frame.payload ?? '';
  const size = headerBytes(frame);
  const reply = replyOf(frame);
  const body = payload.slice(size);
  return {
    subject: normalizeText(frame.line.split(' ').filter((token) => token !== '')[1] ?? ''),
    ...(reply === null ? {} : { reply }),
    ...(size === 0 ? {} : { headers: normalizeHeaders(payload.slice(0, size)) }),
    ...(body === '' ? {} : { body: normalizeBody(body) }),
  };
}
