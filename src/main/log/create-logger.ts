/**
 * Chooses where the log goes: `log_file`, else `remote_syslog`, else `syslog`, else stderr.
 */

import type { LogOptions } from '../../shared/base/options.ts';
import { closeQuietly, FdWriter, isCharacterDevice, openNonBlockingTwin } from './fd-writer.ts';
import { createJsonFormatter } from './json-format.ts';
import { createTextFormatter, formatSeconds } from './line-format.ts';
import { LogFile } from './log-file.ts';
import { type LineFormatter, type Logger, type LogLevel, type LogSink, SinkLogger } from './logger.ts';
import { openLocalSyslog, openRemoteSyslog } from './syslog.ts';
import { createWallClock, type WallClock } from './wall-clock.ts';

const STDERR_FD = 2;

/** What of the process shows in the log. */
export interface LogEnvironment {
  pid: number;
  /** Syslog tag: the base name of the executable; `nats-server` keeps existing filters working. */
  tag?: string;
  /** Descriptor for a log without file and syslog; 2. */
  stderrFd?: number;
  clock?: WallClock;
}

/**
 * Opens the log. Throws LogOpenError or SyslogError, whose message main prints through `formatStartupFailure` before it
 * exits with 1.
 */
export async function createLogger(options: LogOptions, environment: LogEnvironment): Promise<Logger> {
  return new SinkLogger(await openSink(options, environment), { debug: options.debug, trace: options.trace });
}

/** The line for a failure before there is a log: `2026/11/21 02:04:29 error opening file: …`. */
export function formatStartupFailure(now: Date, error: Error): string {
  return `${formatSeconds(now, false)} ${error.message}\n`;
}

async function openSink(options: LogOptions, environment: LogEnvironment): Promise<LogSink> {
  const { pid } = environment;
  const clock = environment.clock ?? createWallClock();
  const identity = { tag: environment.tag ?? 'nats-server', pid, epochMs: clock };
  if (options.file === '') {
    if (options.remoteSyslog !== '') return openRemoteSyslog(options.remoteSyslog, identity);
    if (options.syslog) return openLocalSyslog(identity);
  }
  const stderrFd = environment.stderrFd ?? STDERR_FD;
  const { logTime, logTimeUtc } = options;
  const colours = options.file === '' && isCharacterDevice(stderrFd);
  const isText = options.format === 'text';
  const format = isText
    ? createTextFormatter({ pid, clock, logTime, logTimeUtc, colours })
    : await createJsonFormatter({ pid, clock });
  if (options.file === '') return new StderrSink(stderrFd, format);
  const { sizeLimitBytes, maxNum } = options;
  return new LogFile({ path: options.file, format, isText, clock, sizeLimitBytes, maxNum });
}

class StderrSink implements LogSink {
  private readonly format: LineFormatter;
  private readonly writer: FdWriter;
  private readonly twinFd: number | null;

  constructor(fd: number, format: LineFormatter) {
    const twin = openNonBlockingTwin(fd);
    this.twinFd = twin.isTwin ? twin.fd : null;
    this.format = format;
    this.writer = new FdWriter(twin.fd, {
      lossLine: (lines, reason) => format('warn', `${lines} log lines were lost: ${reason}`),
    });
  }

  write(level: LogLevel, text: string): void {
    this.writer.writeLine(this.format(level, text));
  }

  reopen(): undefined {
    return undefined;
  }

  flushSync(): void {
    this.writer.flushSync();
  }

  async close(): Promise<void> {
    this.writer.flushSync();
    this.writer.stop();
    if (this.twinFd !== null) closeQuietly(this.twinFd);
  }
}
