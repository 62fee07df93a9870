/**
 * Times and durations as JetStream writes them (jetstream-api §1.1): RFC 3339 with up to nine digits of a second, and
 * Go's durations (`1h30m`). Both are bigints of nanoseconds here, times since 1970: nanoseconds of our day are no exact
 * numbers.
 */

export const NANOS_PER_MILLI = 1_000_000n;
export const NANOS_PER_SECOND = 1_000_000_000n;
const NANOS_PER_MINUTE = 60n * NANOS_PER_SECOND;
const NANOS_PER_HOUR = 60n * NANOS_PER_MINUTE;

/** Year one, which is how Go says "no time". */
export const ZERO_TIME_NS = -62_135_596_800n * NANOS_PER_SECOND;

/** Why a text is no time; `message` is Go's text. */
export class TimeError extends Error {
  override readonly name = 'TimeError';
}

/** Second for which `secondText` is remembered: messages of one second share their text up to the fraction. */
let memoSecond = ZERO_TIME_NS;
let memoText = '0001-01-01T00:00:00';

function secondText(second: bigint): string {
  if (second !== memoSecond) {
    const iso = new Date(Number(second) * 1000).toISOString();
    memoText = iso.slice(0, iso.indexOf('.'));
    memoSecond = second;
  }
  return memoText;
}

/** `2026-11-21T02:43:54.0789267Z`: UTC, without the trailing zeros of the fraction. */
export function formatTime(timeNs: bigint): string {
  let second = timeNs / NANOS_PER_SECOND;
  let nanos = Number(timeNs % NANOS_PER_SECOND);
  if (nanos < 0) {
    second -= 1n;
    nanos += 1_000_000_000;
  }
  if (nanos === 0) return `${secondText(second)}Z`;
  const fraction = String(nanos).padStart(9, '0').replace(/0+$/, '');
  return `${secondText(second)}.${fraction}Z`;
}

const ELEMENTS = [
  ['2006', /^\d{4}/],
  ['-', /^-/],
  ['01', /^\d{2}/],
  ['-', /^-/],
  ['02', /^\d{2}/],
  ['T', /^T/],
  ['15', /^\d{2}/],
  [':', /^:/],
  ['04', /^\d{2}/],
  [':', /^:/],
  ['05', /^\d{2}([.,]\d+)?/],
  ['Z07:00', /^(Z|[+-]\d{2}:\d{2})/],
] as const;

function timeError(text: string, detail: string): TimeError {
  return new TimeError(`parsing time ${JSON.stringify(text)}${detail}`);
}

/** The pieces of a time in the order of `ELEMENTS`, or where the text departs from the form. */
function pieces(text: string): string[] | TimeError {
  const found: string[] = [];
  let rest = text;
  for (const [layout, pattern] of ELEMENTS) {
    const match = pattern.exec(rest);
    if (match === null) {
      const form = '"2006-01-02T15:04:05Z07:00"';
      return timeError(text, ` as ${form}: cannot parse ${JSON.stringify(rest)} as "${layout}"`);
    }
    found.push(match[0]);
    rest = rest.slice(match[0].length);
  }
  return rest === '' ? found : timeError(text, `: extra text: ${JSON.stringify(rest)}`);
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/** Seconds since 1970; `Date.UTC` takes years below 100 for 19xx. */
function secondsOf(year: number, month: number, day: number, daySeconds: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getTime() / 1000 + daySeconds;
}

/** Seconds that a zone such as `+02:00` is ahead of UTC, or null. */
function zoneSeconds(zone: string): number | null {
  if (zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 24 || minutes > 59) return null;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** Nanoseconds since 1970 of an RFC 3339 time. */
export function parseTime(text: string): bigint | TimeError {
  const parts = pieces(text);
  if (parts instanceof TimeError) return parts;
  const [year, , month, , day, , hour, , minute, , secondPart = '', zonePart = ''] = parts;
  const second = Number(secondPart.slice(0, 2));
  const months = Number(month);
  if (months < 1 || months > 12) return timeError(text, ': month out of range');
  if (Number(day) < 1 || Number(day) > daysIn(Number(year), months))
    return timeError(text, ': day out of range');
  if (Number(hour) > 23) return timeError(text, ': hour out of range');
  if (Number(minute) > 59) return timeError(text, ': minute out of range');
  if (second > 59) return timeError(text, ': second out of range');
  const zone = zoneSeconds(zonePart);
  if (zone === null) return timeError(text, ': time zone offset hour out of range');
  const daySeconds = Number(hour) * 3600 + Number(minute) * 60 + second - zone;
  const nanos = secondPart.slice(3, 12).padEnd(9, '0');
  return BigInt(secondsOf(Number(year), months, Number(day), daySeconds)) * NANOS_PER_SECOND + BigInt(nanos);
}

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1000n],
  ['µs', 1000n],
  ['μs', 1000n],
  ['ms', NANOS_PER_MILLI],
  ['s', NANOS_PER_SECOND],
  ['m', NANOS_PER_MINUTE],
  ['h', NANOS_PER_HOUR],
]);
const DURATION_PART = /^(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/;
const MAX_DURATION_NS = 2n ** 63n - 1n;

/** Nanoseconds of a duration such as `-1h30m` or `1.5s`; null when it is none. */
export function parseDuration(text: string): bigint | null {
  let rest = text;
  const negative = rest.startsWith('-');
  if (negative || rest.startsWith('+')) rest = rest.slice(1);
  if (rest === '0') return 0n;
  if (rest === '') return null;
  let total = 0n;
  while (rest !== '') {
    const match = DURATION_PART.exec(rest);
    if (match === null) return null;
    const [all, whole = '', fraction = '', unit = ''] = match;
    if (whole === '' && fraction === '') return null;
    const nanos = UNITS.get(unit)!;
    total += BigInt(whole === '' ? '0' : whole) * nanos;
    if (fraction !== '') total += (BigInt(fraction) * nanos) / 10n ** BigInt(fraction.length);
    if (total > MAX_DURATION_NS) return null;
    rest = rest.slice(all.length);
  }
  return negative ? -total : total;
}

/** A number of nanoseconds as a decimal of a larger unit, without trailing zeros. */
function decimal(nanos: bigint, unit: bigint): string {
  const fraction = nanos % unit;
  if (fraction === 0n) return String(nanos / unit);
  const digits = String(fraction)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '');
  return `${nanos / unit}.${digits}`;
}

/** A duration as Go prints it: `1h0m0s`, `1.5s`, `100ms`, `0s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  if (nanos < 0n) return `-${formatDuration(-nanos)}`;
  if (nanos < 1000n) return `${nanos}ns`;
  if (nanos < NANOS_PER_MILLI) return `${decimal(nanos, 1000n)}µs`;
  if (nanos < NANOS_PER_SECOND) return `${decimal(nanos, NANOS_PER_MILLI)}ms`;
  const seconds = `${decimal(nanos % NANOS_PER_MINUTE, NANOS_PER_SECOND)}s`;
  const minutes = nanos / NANOS_PER_MINUTE;
  if (minutes === 0n) return seconds;
  if (minutes < 60n) return `${minutes}m${seconds}`;
  return `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** The text Go prints for a time it parsed: the zone kept, the fraction without trailing zeros. @param text valid for `parseTime` */
export function canonicalTime(text: string): string {
  const [, second = '', fraction = '', zone = ''] = /^(.{19})(?:[.,](\d+))?(.*)$/.exec(text) ?? [];
  const digits = fraction.slice(0, 9).replace(/0+$/, '');
  return `${second}${digits === '' ? '' : `.${digits}`}${zone === '+00:00' || zone === '-00:00' ? 'Z' : zone}`;
}

/** The moment of a step, as the host's clock has it: Unix milliseconds, and nanoseconds within the millisecond. */
export interface Clock {
  ms: number;
  /** 0 to 999,999. */
  nanos: number;
}

/** Nanoseconds since 1970 of the two parts a store keeps. */
export function joinTime(ms: number, nanos: number): bigint {
  return BigInt(ms) * NANOS_PER_MILLI + BigInt(nanos);
}

/** The two parts of nanoseconds since 1970. */
export function splitTime(timeNs: bigint): Clock {
  let ms = timeNs / NANOS_PER_MILLI;
  let nanos = Number(timeNs % NANOS_PER_MILLI);
  if (nanos < 0) {
    ms -= 1n;
    nanos += 1_000_000;
  }
  return { ms: Number(ms), nanos };
}

/** A duration in milliseconds, rounded up. */
export function durationMs(nanos: bigint): number {
  return Number((nanos + NANOS_PER_MILLI - 1n) / NANOS_PER_MILLI);
}
