import { quote } from './quote.ts';

/**
 * Durations as the configuration writes them: decimal numbers with units (`1h30m`, `1.5s`, `-2ms`), no days. Exact in
 * nanoseconds (bigint) because messages and reload differences print the value back.
 */

const UNIT_NANOSECONDS = new Map<string, bigint>([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);

const MAX_NANOSECONDS = (1n << 63n) - 1n;
const NANOSECONDS_PER_MS = 1_000_000;

/** Outcome of reading a duration: nanoseconds, or the error's text as nats-server words it. */
export type DurationResult = { nanoseconds: bigint } | { error: string };

/** Reads a duration such as `1h30m`. `0` needs no unit. Errors: `time: invalid duration "x"`, `time: missing unit …`, `time: unknown unit …`. */
export function parseDuration(text: string): DurationResult {
  const negative = text.startsWith('-');
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return { nanoseconds: 0n };
  if (rest === '') return { error: `time: invalid duration ${quote(text)}` };
  let total = 0n;
  while (rest !== '') {
    const number = /^(\d*)(?:\.(\d*))?/.exec(rest)!;
    const whole = number[1] ?? '';
    const fraction = number[2] ?? '';
    if (whole === '' && fraction === '') return { error: `time: invalid duration ${quote(text)}` };
    rest = rest.slice(number[0].length);
    const unitText = /^[^\d.]*/.exec(rest)![0];
    if (unitText === '') return { error: `time: missing unit in duration ${quote(text)}` };
    const unit = UNIT_NANOSECONDS.get(unitText);
    if (unit === undefined)
      return { error: `time: unknown unit ${quote(unitText)} in duration ${quote(text)}` };
    // Digits that say more than a nanosecond are cut; BigInt would take any number of them.
    if (whole.length > 20) return { error: `time: invalid duration ${quote(text)}` };
    const digits = fraction.slice(0, 18);
    total += BigInt(whole === '' ? '0' : whole) * unit;
    if (digits !== '') total += (BigInt(digits) * unit) / 10n ** BigInt(digits.length);
    if (total > MAX_NANOSECONDS) return { error: `time: invalid duration ${quote(text)}` };
    rest = rest.slice(unitText.length);
  }
  return { nanoseconds: negative ? -total : total };
}

/** Milliseconds (with a fraction where there is one) of a count of nanoseconds. */
export function nanosecondsToMs(nanoseconds: bigint): number {
  return Number(nanoseconds) / NANOSECONDS_PER_MS;
}

/** Prints milliseconds the way nats-server does: `2m0s`, `1.5s`, `250ms`, `0s`. */
export function formatDurationMs(durationMs: number): string {
  const magnitudeMs = Math.abs(durationMs);
  // Whole milliseconds apart: a product beyond 2^53 would round.
  const fraction = BigInt(Math.round((magnitudeMs % 1) * NANOSECONDS_PER_MS));
  const nanoseconds = BigInt(Math.trunc(magnitudeMs)) * BigInt(NANOSECONDS_PER_MS) + fraction;
  const sign = durationMs < 0 ? '-' : '';
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 1_000n) return `${sign}${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${sign}${decimal(nanoseconds, 1_000n)}µs`;
  if (nanoseconds < 1_000_000_000n) return `${sign}${decimal(nanoseconds, 1_000_000n)}ms`;
  const minutes = nanoseconds / 60_000_000_000n;
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 1_000_000_000n)}s`;
  if (minutes === 0n) return sign + seconds;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

function decimal(nanoseconds: bigint, unit: bigint): string {
  const fraction = (nanoseconds % unit)
    .toString()
    .padStart(unit.toString().length - 1, '0')
    .replace(/0+$/, '');
  return `${nanoseconds / unit}${fraction === '' ? '' : `.${fraction}`}`;
}
