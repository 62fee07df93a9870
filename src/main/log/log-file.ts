/**
 * A log file: appended to, rotated by size, opened anew on request.
 *
 * Rotation (spec "Files and logs"): after a write that takes the file beyond the limit it is renamed to
 * `<name>.YYYY.MM.DD.HH.MM.SS.nnnnnnnnn`, a new file starts with `Rotated log, backup saved as "<bak>"` (in the text
 * format that line ends in CR LF, as nats-server's does), and of the backups only `maxNum - 1` stay. The two lines of
 * the rotation itself never trigger another one, however small the limit is.
 *
 * A rotation that fails (directory not writable) keeps the file, doubles the limit and says so: the log goes on.
 */

import { fstatSync, openSync, readdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileErrorText } from './errno-text.ts';
import { closeQuietly, FdWriter } from './fd-writer.ts';
import { formatBackupSuffix } from './line-format.ts';
import type { LineFormatter, LogLevel, LogSink } from './logger.ts';
import type { WallClock } from './wall-clock.ts';

const FILE_MODE = 0o640;
const BACKUP_SUFFIX = /^\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}$/;

export interface LogFileOptions {
  path: string;
  format: LineFormatter;
  /** The line is `text` format: nats-server ends the line about a rotation in CR LF. */
  isText: boolean;
  clock: WallClock;
  /** Bytes; 0 is off. */
  sizeLimitBytes: number;
  /** Files to keep, the current one included; 0 keeps all. */
  maxNum: number;
}

/** The file could not be opened; the message is what nats-server prints before it exits with 1. */
export class LogOpenError extends Error {
  override readonly name = 'LogOpenError';
}

export class LogFile implements LogSink {
  private readonly options: LogFileOptions;
  private readonly writer: FdWriter;
  private fd: number;
  private sizeBytes: number;
  private limitBytes: number;
  private canRotate = false;

  /** Opens (creates with mode 0640, appends). Throws LogOpenError. */
  constructor(options: LogFileOptions) {
    this.options = options;
    this.limitBytes = options.sizeLimitBytes;
    try {
      this.fd = openLog(options.path);
    } catch (error) {
      throw new LogOpenError(`error opening file: ${fileErrorText('open', options.path, error)}`);
    }
    this.sizeBytes = fstatSync(this.fd).size;
    this.writer = new FdWriter(this.fd, {
      lossLine: (lines, reason) => options.format('warn', `${lines} log lines were lost: ${reason}`),
    });
    this.canRotate = this.limitBytes > 0;
    if (this.canRotate && this.sizeBytes > this.limitBytes) this.write('notice', 'Rotating logfile...');
  }

  write(level: LogLevel, text: string): void {
    this.sizeBytes += this.writer.writeLine(this.options.format(level, text));
    if (this.canRotate && this.sizeBytes > this.limitBytes) this.rotate();
  }

  reopen(): Error | null {
    let fd: number;
    try {
      fd = openLog(this.options.path);
    } catch (error) {
      return new Error(fileErrorText('open', this.options.path, error));
    }
    this.adopt(fd);
    return null;
  }

  flushSync(): void {
    this.writer.flushSync();
  }

  async close(): Promise<void> {
    this.writer.flushSync();
    this.writer.stop();
    closeQuietly(this.fd);
  }

  private adopt(fd: number): void {
    closeQuietly(this.writer.replaceFd(fd));
    this.fd = fd;
    this.sizeBytes = fstatSync(fd).size;
  }

  private rotate(): void {
    const { path } = this.options;
    const backup = this.freeBackupName();
    try {
      renameSync(path, backup);
      this.adopt(openLog(path));
    } catch (error) {
      this.limitBytes *= 2;
      this.writeDirect(
        'error',
        `Unable to rotate the log file (${fileErrorText('rename', path, error)}), ` +
          `next attempt at ${this.limitBytes} bytes`,
      );
      return;
    }
    this.limitBytes = this.options.sizeLimitBytes;
    this.writeDirect('notice', `Rotated log, backup saved as "${backup}"`, this.options.isText ? '\r' : '');
    if (this.options.maxNum > 0) this.purge();
  }

  /** Writes without looking at the limit. */
  private writeDirect(level: LogLevel, text: string, ending = ''): void {
    this.sizeBytes += this.writer.writeLine(this.options.format(level, text + ending));
  }

  private freeBackupName(): string {
    let timeMs = this.options.clock();
    for (;;) {
      const name = `${this.options.path}.${formatBackupSuffix(timeMs)}`;
      if (statSync(name, { throwIfNoEntry: false }) === undefined) return name;
      // Two rotations within the resolution of the clock: a backup must never replace another.
      timeMs += 0.001;
    }
  }

  private purge(): void {
    const directory = dirname(this.options.path);
    const prefix = `${basename(this.options.path)}.`;
    let backups: string[];
    try {
      backups = readdirSync(directory).filter(
        (name) => name.startsWith(prefix) && BACKUP_SUFFIX.test(name.slice(prefix.length)),
      );
    } catch (error) {
      this.writeDirect('error', `Unable to list log backups: ${fileErrorText('open', directory, error)}`);
      return;
    }
    backups.sort();
    for (const name of backups.slice(0, Math.max(0, backups.length - (this.options.maxNum - 1)))) {
      try {
        unlinkSync(join(directory, name));
        this.writeDirect('notice', `Purged log file "${name}"`);
      } catch (error) {
        this.writeDirect(
          'error',
          `Unable to purge log file "${name}": ${fileErrorText('remove', name, error)}`,
        );
      }
    }
  }
}

function openLog(path: string): number {
  return openSync(path, 'a', FILE_MODE);
}
