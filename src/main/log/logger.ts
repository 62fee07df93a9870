/**
 * The log of the process: what every part of main writes to, whatever is behind it (terminal, file, syslog).
 *
 * Invariants: a log call never throws and never returns a promise; a line handed over is in the kernel, or in a
 * queue that `flushSync` (files, stderr, local syslog) or `close` (remote syslog) empties.
 */

/** `notice` is nats-server's word for informational lines and prints as `INF`. */
export type LogLevel = 'notice' | 'warn' | 'error' | 'fatal' | 'debug' | 'trace';

export interface Logger {
  /** Debug lines are wanted: test it before building an expensive text. */
  readonly isDebug: boolean;
  /** Trace lines are wanted. */
  readonly isTrace: boolean;
  notice(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** Only logs (and flushes): the caller decides about the exit. */
  fatal(text: string): void;
  debug(text: string): void;
  trace(text: string): void;
  /** A line whose level is data: what workers mail to main. Debug and trace are dropped when off. */
  write(level: LogLevel, text: string): void;
  /** A configuration reload changes these two at run time. */
  setLevels(levels: { debug: boolean; trace: boolean }): void;
  /** SIGUSR1: opens the log file anew by its name, or says that there is none. */
  reopen(): void;
  /** Blocks until queued lines are in the kernel, for at most about two seconds. */
  flushSync(): void;
  /** Flushes and releases files and sockets; later lines are dropped. */
  close(): Promise<void>;
}

/** Where formatted or unformatted lines go. */
export interface LogSink {
  write(level: LogLevel, text: string): void;
  /** Opens the file anew; `null` when done, else why not; `undefined` when this sink is no file. */
  reopen(): Error | null | undefined;
  flushSync(): void;
  close(): Promise<void>;
}

/** One finished line, line end included. */
export type LineFormatter = (level: LogLevel, text: string) => string;

/** Applies the levels and forwards to one sink. */
export class SinkLogger implements Logger {
  isDebug: boolean;
  isTrace: boolean;
  private readonly sink: LogSink;
  private closed = false;

  constructor(sink: LogSink, levels: { debug: boolean; trace: boolean }) {
    this.sink = sink;
    this.isDebug = levels.debug;
    this.isTrace = levels.trace;
  }

  notice(text: string): void {
    this.write('notice', text);
  }

  warn(text: string): void {
    this.write('warn', text);
  }

  error(text: string): void {
    this.write('error', text);
  }

  fatal(text: string): void {
    this.write('fatal', text);
    if (!this.closed) this.sink.flushSync();
  }

  debug(text: string): void {
    this.write('debug', text);
  }

  trace(text: string): void {
    this.write('trace', text);
  }

  write(level: LogLevel, text: string): void {
    if (this.closed) return;
    if (level === 'debug' && !this.isDebug) return;
    if (level === 'trace' && !this.isTrace) return;
    this.sink.write(level, text);
  }

  setLevels(levels: { debug: boolean; trace: boolean }): void {
    this.isDebug = levels.debug;
    this.isTrace = levels.trace;
  }

  reopen(): void {
    if (this.closed) return;
    const outcome = this.sink.reopen();
    if (outcome === undefined) this.notice('File log re-open ignored, not a file logger');
    else if (outcome === null) this.notice('File log re-opened');
    else this.error(`File log could not be re-opened, still writing to the old one: ${outcome.message}`);
  }

  flushSync(): void {
    if (!this.closed) this.sink.flushSync();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.sink.close();
  }
}
