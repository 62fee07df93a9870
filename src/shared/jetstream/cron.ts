/**
 * When a schedule fires (jetstream-streams §6.2): once at a time, every so often, or by six fields of a calendar in a time
 * zone.
 *
 * Calendar fields are sets of small integers. The search walks days, since only those have rules that are no sets (day of
 * month or day of week), and ends after five years: a pattern without a date in them is refused.
 */
import { NANOS_PER_SECOND, parseDuration, parseTime, TimeError } from './time.ts';

const DAY_MS = 86_400_000;
const SEARCH_DAYS = 5 * 366;
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 0 1 1 *'],
  ['@annually', '0 0 0 1 1 *'],
  ['@monthly', '0 0 0 1 * *'],
  ['@weekly', '0 0 0 * * 0'],
  ['@daily', '0 0 0 * * *'],
  ['@midnight', '0 0 0 * * *'],
  ['@hourly', '0 0 * * * *'],
]);
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface FieldRange {
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const FIELDS: readonly FieldRange[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  { min: 1, max: 12, names: MONTHS },
  { min: 0, max: 6, names: DAYS },
];

/** The values a field allows, ascending, and whether it was left open. */
interface Field {
  readonly values: readonly number[];
  readonly open: boolean;
}

function parseValue(text: string, range: FieldRange): number | null {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const index = range.names.indexOf(text.toLowerCase());
  return index === -1 ? null : index + range.min;
}

/** One part of a field: `a`, `a-b`, `*`, each perhaps with `/step`. @returns whether it leaves the field open, or null */
function addPart(part: string, range: FieldRange, values: Set<number>): boolean | null {
  const [span = '', stepText, ...slashes] = part.split('/');
  const [lowText = '', highText, ...hyphens] = span.split('-');
  const star = lowText === '*' || lowText === '?';
  if (slashes.length > 0 || (!star && hyphens.length > 0)) return null;
  const low = star ? range.min : parseValue(lowText, range);
  let high = star ? range.max : highText === undefined ? low : parseValue(highText, range);
  if (low === null || high === null) return null;
  let step = 1;
  if (stepText !== undefined) {
    if (!/^\d{1,9}$/.test(stepText)) return null;
    step = Number(stepText);
    if (highText === undefined) high = range.max;
  }
  if (low < range.min || high > range.max || low > high || step === 0) return null;
  for (let value = low; value <= high; value += step) values.add(value);
  return star && step === 1;
}

function parseField(text: string, range: FieldRange): Field | null {
  const values = new Set<number>();
  let open = false;
  for (const part of text.split(',')) {
    if (part === '') continue;
    const opens = addPart(part, range, values);
    if (opens === null) return null;
    open ||= opens;
  }
  return { values: [...values].sort((a, b) => a - b), open };
}

/** Milliseconds that local time is ahead of UTC at a moment. */
export type ZoneOffset = (utcMs: number) => number;

const UTC: ZoneOffset = () => 0;

/** A time zone by its IANA name; null when there is none of the name. */
export function zoneOffset(name: string): ZoneOffset | null {
  if (name === '' || name === 'UTC' || name === 'Local') return UTC;
  if (!/^[A-Za-z][\w+/-]*$/.test(name)) return null;
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    return (utcMs) => localMs(format, utcMs) - Math.floor(utcMs / 1000) * 1000;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** The local wall time of a moment, as if it were UTC. */
function localMs(format: Intl.DateTimeFormat, utcMs: number): number {
  const parts = new Map(
    format.formatToParts(new Date(utcMs)).map(({ type, value }) => [type, Number(value)]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
}

class Calendar {
  readonly #fields: readonly Field[];
  readonly #offset: ZoneOffset;

  constructor(fields: readonly Field[], offset: ZoneOffset) {
    this.#fields = fields;
    this.#offset = offset;
  }

  #isDay(day: Date): boolean {
    const [, , , dayOfMonth, month, dayOfWeek] = this.#fields;
    if (!month!.values.includes(day.getUTCMonth() + 1)) return false;
    const byMonth = dayOfMonth!.values.includes(day.getUTCDate());
    const byWeek = dayOfWeek!.values.includes(day.getUTCDay());
    return dayOfMonth!.open || dayOfWeek!.open ? byMonth && byWeek : byMonth || byWeek;
  }

  /** First moment of the pattern after `afterMs`; null when there is none within five years. */
  next(afterMs: number): number | null {
    const local = Math.floor((afterMs + this.#offset(afterMs)) / 1000) * 1000 + 1000;
    const firstDay = Math.floor(local / DAY_MS) * DAY_MS;
    for (let i = 0; i < SEARCH_DAYS; i++) {
      const day = firstDay + i * DAY_MS;
      if (!this.#isDay(new Date(day))) continue;
      const found = this.#inDay(day, i === 0 ? local : day, afterMs);
      if (found !== null) return found;
    }
    return null;
  }

  #inDay(day: number, from: number, afterMs: number): number | null {
    const [seconds, minutes, hours] = this.#fields;
    for (const hour of hours!.values) {
      if (day + (hour + 1) * 3_600_000 <= from) continue;
      for (const minute of minutes!.values) {
        const start = day + hour * 3_600_000 + minute * 60_000;
        if (start + 60_000 <= from) continue;
        for (const second of seconds!.values) {
          const wall = start + second * 1000;
          const moment = wall < from ? null : this.#moment(wall);
          if (moment !== null && moment > afterMs) return moment;
        }
      }
    }
    return null;
  }

  /** The moment of a local wall time: the first of two, null for one that a change of the clocks leaves out. */
  #moment(wall: number): number | null {
    const moments = [wall - DAY_MS / 2, wall + DAY_MS / 2].map((near) => wall - this.#offset(near));
    const real = moments.filter((moment) => moment + this.#offset(moment) === wall);
    return real.length === 0 ? null : Math.min(...real);
  }
}

/** A compiled pattern. Times in nanoseconds since 1970. */
export interface SchedulePattern {
  readonly recurs: boolean;
  /**
   * When it fires next.
   *
   * @param sinceNs when it fired last, or was published
   * @param nowNs null: what was missed counts, and the result may be past
   * @returns null when it does not fire any more
   */
  next(sinceNs: bigint, nowNs: bigint | null): bigint | null;
}

function roundToSecond(timeNs: bigint): bigint {
  return ((timeNs + NANOS_PER_SECOND / 2n) / NANOS_PER_SECOND) * NANOS_PER_SECOND;
}

function everyPattern(text: string): SchedulePattern | null {
  const period = parseDuration(text);
  if (period === null || period < NANOS_PER_SECOND) return null;
  return {
    recurs: true,
    next: (sinceNs, nowNs) => {
      const next = roundToSecond(sinceNs) + period;
      return nowNs === null || next > nowNs ? next : roundToSecond(nowNs) + period;
    },
  };
}

function calendarPattern(text: string, offset: ZoneOffset): SchedulePattern | null {
  const texts = text.trim().split(/\s+/);
  if (texts.length !== FIELDS.length) return null;
  const fields: Field[] = [];
  for (const [index, fieldText] of texts.entries()) {
    const field = parseField(fieldText, FIELDS[index]!);
    if (field === null) return null;
    fields.push(field);
  }
  const calendar = new Calendar(fields, offset);
  return {
    recurs: true,
    next: (sinceNs) => {
      const next = calendar.next(Number(sinceNs / 1_000_000n));
      return next === null ? null : BigInt(next) * 1_000_000n;
    },
  };
}

/**
 * Compiles the value of `Nats-Schedule`.
 *
 * @param offset null: no time zone was given
 * @returns null when the pattern is none, or may not have a time zone
 */
export function compilePattern(text: string, offset: ZoneOffset | null): SchedulePattern | null {
  const fixed = text.startsWith('@at ') || text.startsWith('@every ');
  if (fixed && offset !== null) return null;
  if (text.startsWith('@at ')) {
    const time = parseTime(text.slice(4));
    return time instanceof TimeError ? null : { recurs: false, next: () => time };
  }
  if (text.startsWith('@every ')) return everyPattern(text.slice(7));
  const calendar = text.startsWith('@') ? ALIASES.get(text) : text;
  return calendar === undefined ? null : calendarPattern(calendar, offset ?? UTC);
}
