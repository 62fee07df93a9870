/**
 * The texts of nats-server's monitoring values. Source: spec "Value formats used everywhere".
 */

/** JSON as the endpoints build it: members keep their order, `undefined` ones are left out, bigint is a number. */
export type JsonValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | JsonText
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A value that is JSON already, compact and escaped as here. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const HTML_SENSITIVE = /[<>&\u2028\u2029]/g;
const ZERO_TIME = '0001-01-01T00:00:00Z';
const NANOS_PER_MS = 1_000_000;

/**
 * JSON text with `<`, `>`, `&` and the line separators escaped inside strings. `indent` is the indentation of a level;
 * empty makes compact text.
 */
export function encodeJson(value: JsonValue, indent: string): string {
  return encodeValue(value, indent, indent === '' ? '' : '\n');
}

function encodeValue(value: JsonValue, indent: string, lineStart: string): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return encodeString(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '0';
  if (typeof value !== 'object') return String(value);
  if (value instanceof JsonText) return indentText(value.text, indent, lineStart);
  const inner = lineStart === '' ? '' : lineStart + indent;
  if (isList(value)) {
    if (value.length === 0) return '[]';
    return `[${inner}${value.map((item) => encodeValue(item, indent, inner)).join(`,${inner}`)}${lineStart}]`;
  }
  const colon = lineStart === '' ? ':' : ': ';
  const members: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) members.push(encodeString(name) + colon + encodeValue(member, indent, inner));
  }
  return members.length === 0 ? '{}' : `{${inner}${members.join(`,${inner}`)}${lineStart}}`;
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^"{}[\]:,]+/g;

/** Lays compact JSON out over lines, as if it had been encoded here. */
function indentText(text: string, indent: string, lineStart: string): string {
  if (lineStart === '') return text;
  let start = lineStart;
  let out = '';
  let previous = '';
  for (const [token] of text.matchAll(TOKENS)) {
    const closes = token === '}' || token === ']';
    const opened = previous === '{' || previous === '[';
    if (closes) start = start.slice(0, start.length - indent.length);
    if (closes ? !opened : opened || previous === ',') out += start;
    if (token === '{' || token === '[') start += indent;
    out += token === ':' ? ': ' : token;
    previous = token;
  }
  return out;
}

function isList(
  value: readonly JsonValue[] | { readonly [name: string]: JsonValue },
): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function encodeString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    HTML_SENSITIVE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A map in the order of its keys by code point, as maps are printed; without prototype. */
export function sortedMap<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  const map: Record<string, T> = Object.create(null);
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  for (const [name, value] of sorted) map[name] = value;
  return map;
}

/**
 * RFC 3339 in UTC, up to nine fractional digits without trailing zeros. `timeMs` counts from the epoch, with a
 * fraction; 0 is "no time".
 */
export function formatTime(timeMs: number): string {
  if (timeMs === 0) return ZERO_TIME;
  const second = Math.floor(timeMs / 1000);
  // A double holds a present time to a quarter of a microsecond: more digits would be noise.
  const micros = Math.min(Math.round((timeMs - second * 1000) * 1000), 999_999);
  const fraction = String(micros).padStart(6, '0').replace(/0+$/, '');
  const base = new Date(second * 1000).toISOString().slice(0, 19);
  return fraction === '' ? `${base}Z` : `${base}.${fraction}Z`;
}

/** Whole nanoseconds of a duration. */
export function toNanoseconds(durationMs: number): number {
  return Math.round(durationMs * NANOS_PER_MS);
}

/** Seconds of a duration, for the fields that are floats. */
export function toSeconds(durationMs: number): number {
  return durationMs / 1000;
}

/** `uptime` and `idle`: `5s`, `2m5s`, `1h0m3s`, `1d2h3m4s`, `1y0d0h0m0s` (years of 365 days). */
export function formatUptime(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  const units: [number, string][] = [
    [Math.floor(seconds / 31_536_000), 'y'],
    [Math.floor(seconds / 86_400) % 365, 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const largest = units.findIndex(([count]) => count > 0);
  return (largest < 0 ? units.slice(-1) : units.slice(largest))
    .map(([count, unit]) => `${count}${unit}`)
    .join('');
}

/** `rtt`: a duration in Go's notation; between 1 µs and 1 ms cut to whole microseconds. */
export function formatRtt(durationMs: number): string {
  const nanos = toNanoseconds(durationMs);
  return formatDuration(nanos >= 1000 && nanos < NANOS_PER_MS ? Math.floor(nanos / 1000) * 1000 : nanos);
}

/** A duration in Go's notation: `0s`, `15ns`, `137µs`, `1.234ms`, `2.5s`, `1m30s`, `2h0m0.5s`. */
export function formatDuration(nanos: number): string {
  if (nanos === 0) return '0s';
  if (nanos < 0) return `-${formatDuration(-nanos)}`;
  if (nanos < 1000) return `${nanos}ns`;
  if (nanos < NANOS_PER_MS) return `${trimmedDecimal(nanos, 3)}µs`;
  if (nanos < 1000 * NANOS_PER_MS) return `${trimmedDecimal(nanos, 6)}ms`;
  const minutes = Math.floor(nanos / 60e9);
  const seconds = `${trimmedDecimal(nanos - minutes * 60e9, 9)}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}

/** `value` divided by ten to the power of `digits`, exactly and without trailing zeros. */
function trimmedDecimal(value: number, digits: number): string {
  const text = String(value).padStart(digits + 1, '0');
  const fraction = text.slice(-digits).replace(/0+$/, '');
  const whole = text.slice(0, -digits);
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

/** `value`, or `undefined` (field left out) when it is empty, zero or false. */
export function omitEmpty<T extends string | number | boolean>(value: T): T | undefined {
  return value === '' || value === 0 || value === false ? undefined : value;
}

/** The list, or `undefined` when it is empty. */
export function omitEmptyList<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** A Go-quoted string, for log texts. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
