/**
 * `log_format: json`: one object a line, `{"level":"info","time":"…","pid":1,"msg":"…"}`, made by pino.
 *
 * pino is imported here alone and only on demand: its import costs 12 to 20 ms, a quarter of the time natsd allows
 * itself to the first line. It serialises; natsd's own writer writes, so that both formats share the rules about
 * rotation, full disks and exits.
 */

import type { LineFormatter, LogLevel } from './logger.ts';
import type { WallClock } from './wall-clock.ts';

const PINO_LEVELS: Record<LogLevel, 'info' | 'warn' | 'error' | 'fatal' | 'debug' | 'trace'> = {
  notice: 'info',
  warn: 'warn',
  error: 'error',
  fatal: 'fatal',
  debug: 'debug',
  trace: 'trace',
};

/** A formatter of JSON lines; `time` is RFC 3339 in UTC with microseconds. */
export async function createJsonFormatter(options: {
  pid: number;
  clock: WallClock;
}): Promise<LineFormatter> {
  const { pino } = await import('pino');
  let line = '';
  const capture = {
    write(text: string): void {
      line = text;
    },
  };
  const logger = pino(
    {
      level: 'trace',
      base: { pid: options.pid },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${formatUtcMicros(options.clock())}"`,
    },
    capture,
  );
  return (level, text) => {
    // Only the first argument is a format string to pino, so a text with `%s` must not be one.
    logger[PINO_LEVELS[level]]('%s', text);
    return line;
  };
}

function formatUtcMicros(timeMs: number): string {
  const micros = Math.floor(timeMs * 1000);
  const second = Math.floor(micros / 1_000_000);
  const fraction = String(micros - second * 1_000_000).padStart(6, '0');
  return `${new Date(second * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}
