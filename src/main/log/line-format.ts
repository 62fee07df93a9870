/**
 * nats-server's line format: `[<pid>] YYYY/MM/DD HH:MM:SS.micros [LVL] text`.
 * Source: spec "Files and logs"; checked byte for byte against nats-server 2.15.1.
 */

import type { LineFormatter, LogLevel } from './logger.ts';
import type { WallClock } from './wall-clock.ts';

const LEVEL_LABELS: Record<LogLevel, string> = {
  notice: 'INF',
  warn: 'WRN',
  error: 'ERR',
  fatal: 'FTL',
  debug: 'DBG',
  trace: 'TRC',
};

const LEVEL_COLOURS: Record<LogLevel, string> = {
  notice: '32',
  warn: '0;93',
  error: '31',
  fatal: '31',
  debug: '36',
  trace: '33',
};

export interface TextFormatOptions {
  pid: number;
  clock: WallClock;
  logTime: boolean;
  logTimeUtc: boolean;
  colours: boolean;
}

/** A formatter of `[pid] time [LVL] text\n` lines. */
export function createTextFormatter(options: TextFormatOptions): LineFormatter {
  const prefix = `[${options.pid}] `;
  const labels = new Map<LogLevel, string>();
  for (const level of Object.keys(LEVEL_LABELS) as LogLevel[]) {
    const label = LEVEL_LABELS[level];
    labels.set(level, options.colours ? `[\x1b[${LEVEL_COLOURS[level]}m${label}\x1b[0m] ` : `[${label}] `);
  }
  if (!options.logTime) return (level, text) => `${prefix}${labels.get(level)}${text}\n`;
  // Calendar arithmetic once a second, not once a line.
  let cachedSecond = Number.NaN;
  let cachedText = '';
  return (level, text) => {
    const micros = Math.floor(options.clock() * 1000);
    const second = Math.floor(micros / 1_000_000);
    if (second !== cachedSecond) {
      cachedSecond = second;
      cachedText = formatSeconds(new Date(second * 1000), options.logTimeUtc);
    }
    const fraction = pad(micros - second * 1_000_000, 6);
    return `${prefix}${cachedText}.${fraction} ${labels.get(level)}${text}\n`;
  };
}

/** `YYYY/MM/DD HH:MM:SS`, the date format of Go's log package; also used for lines before a logger exists. */
export function formatSeconds(date: Date, utc: boolean): string {
  return utc
    ? `${pad(date.getUTCFullYear(), 4)}/${pad(date.getUTCMonth() + 1, 2)}/${pad(date.getUTCDate(), 2)} ` +
        `${pad(date.getUTCHours(), 2)}:${pad(date.getUTCMinutes(), 2)}:${pad(date.getUTCSeconds(), 2)}`
    : `${pad(date.getFullYear(), 4)}/${pad(date.getMonth() + 1, 2)}/${pad(date.getDate(), 2)} ` +
        `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
}

/**
 * Suffix of a rotated file: `YYYY.MM.DD.HH.MM.SS.nnnnnnnnn` in local time. The text sorts as the time does, which is
 * what finds the oldest backups.
 */
export function formatBackupSuffix(timeMs: number): string {
  const date = new Date(Math.floor(timeMs));
  const nanos = Math.round((timeMs - Math.floor(timeMs / 1000) * 1000) * 1e6) % 1_000_000_000;
  return (
    `${pad(date.getFullYear(), 4)}.${pad(date.getMonth() + 1, 2)}.${pad(date.getDate(), 2)}.` +
    `${pad(date.getHours(), 2)}.${pad(date.getMinutes(), 2)}.${pad(date.getSeconds(), 2)}.${pad(nanos, 9)}`
  );
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
