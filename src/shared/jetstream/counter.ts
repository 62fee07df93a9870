/**
 * Counters (jetstream-streams §5.3): every message adds an increment of any size to the total of its subject, and is
 * stored with the total as its payload, `{"val":"6"}`. Totals of the origins a subject is sourced from travel in a header
 * of their own, so that a message that comes twice or late counts once.
 */
import { jsonString } from './json-object.ts';

const INCREMENT = /^[+-]?\d+$/;
const VALUE = /^\{"val":"([+-]?\d{1,20000})"\}$/;
/** Digits of an increment: turning text into a bigint takes time in proportion to their square. */
const MAX_DIGITS = 20_000;

/** @returns null when the text is no integer */
export function parseIncrement(text: string): bigint | null {
  if (text.length > MAX_DIGITS || !INCREMENT.test(text)) return null;
  return BigInt(text.startsWith('+') ? text.slice(1) : text);
}

export function counterPayload(total: bigint): Uint8Array {
  return Buffer.from(`{"val":"${total}"}`, 'latin1');
}

/** The total in a stored payload; null when it holds none. */
export function counterValue(payload: Uint8Array): bigint | null {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1');
  const digits = VALUE.exec(text)?.[1] ?? looseValue(text);
  return digits === null ? null : parseIncrement(digits);
}

/** The value of a payload that somebody else wrote, with blanks or further members. */
function looseValue(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('val' in value)) return null;
    return typeof value.val === 'string' ? value.val : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Totals by origin stream and subject. */
export type CounterSources = Map<string, Map<string, string>>;

/** Reads `Nats-Counter-Sources`; what is no such map is taken for an empty one. */
export function parseCounterSources(text: string | null): CounterSources {
  const sources: CounterSources = new Map();
  if (text === null) return sources;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return sources;
    for (const [stream, subjects] of Object.entries(value)) {
      const totals = Object.entries((subjects ?? {}) as Record<string, unknown>);
      sources.set(stream, new Map(totals.map(([subject, total]) => [subject, String(total)])));
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return sources;
}

export function counterSourcesText(sources: CounterSources): string {
  const streams = [...sources].sort(([a], [b]) => (a < b ? -1 : 1));
  const members = streams.map(([stream, totals]) => {
    const inner = [...totals].sort(([a], [b]) => (a < b ? -1 : 1));
    return `${jsonString(stream)}:{${inner.map(([subject, total]) => `${jsonString(subject)}:${jsonString(total)}`).join(',')}}`;
  });
  return `{${members.join(',')}}`;
}
