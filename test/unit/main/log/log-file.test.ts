import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLogger, formatStartupFailure } from '../../../../src/main/log/create-logger.ts';
import { LogOpenError } from '../../../../src/main/log/log-file.ts';
import type { Logger } from '../../../../src/main/log/logger.ts';
import type { LogOptions } from '../../../../src/shared/base/options.ts';
import { sampleOptions } from '../monitor/sample-source.ts';

let directory = '';
let path = '';
let timeMs = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'natsd-log-'));
  path = join(directory, 'l.log');
  timeMs = 1_795_000_000_000;
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A logger on the file; every look at the clock is a second later. */
function open(changes: Partial<LogOptions> = {}): Promise<Logger> {
  const options = { ...sampleOptions().log, file: path, logTime: false, ...changes };
  const clock = (): number => {
    timeMs += 1000;
    return timeMs;
  };
  return createLogger(options, { pid: 9, clock });
}

function files(): string[] {
  return readdirSync(directory).sort();
}

function content(name = 'l.log'): string {
  return readFileSync(join(directory, name), 'utf8');
}

describe('a log file', () => {
  test('is appended to, private and without colours', async () => {
    writeFileSync(path, 'old\n');
    rmSync(path);
    const umask = process.umask(0);
    const logger = await open();
    process.umask(umask);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    logger.notice('one');
    logger.error('two');
    await logger.close();
    const again = await open();
    again.warn('three');
    await again.close();
    expect(content()).toBe('[9] [INF] one\n[9] [ERR] two\n[9] [WRN] three\n');
  });

  test('debug and trace lines only when wanted, also after a reload', async () => {
    const logger = await open({ debug: true });
    logger.debug('a');
    logger.trace('b');
    logger.setLevels({ debug: false, trace: true });
    logger.debug('c');
    logger.trace('d');
    expect([logger.isDebug, logger.isTrace]).toEqual([false, true]);
    await logger.close();
    logger.notice('after the end');
    expect(content()).toBe('[9] [DBG] a\n[9] [TRC] d\n');
  });

  test('that cannot be opened is an error in nats-server’s words', async () => {
    const missing = join(directory, 'no', 'l.log');
    const error = await open({ file: missing }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LogOpenError);
    expect(formatStartupFailure(new Date(2026, 10, 21, 2, 4, 29), error as Error)).toBe(
      `2026/11/21 02:04:29 error opening file: open ${missing}: no such file or directory\n`,
    );
  });

  test('is opened anew by its name', async () => {
    const logger = await open();
    logger.notice('before');
    renameSync(path, `${path}.1`);
    logger.notice('still the old one');
    logger.reopen();
    await logger.close();
    expect(content('l.log.1')).toBe('[9] [INF] before\n[9] [INF] still the old one\n');
    expect(content()).toBe('[9] [INF] File log re-opened\n');
  });

  test('that cannot be opened anew is kept', async () => {
    const logger = await open();
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    logger.reopen();
    await logger.close();
    expect(content('l.log.1')).toBe(
      `[9] [ERR] File log could not be re-opened, still writing to the old one: open ${path}: is a directory\n`,
    );
  });

  test('in JSON', async () => {
    const logger = await open({ format: 'json', sizeLimitBytes: 60 });
    logger.notice('first');
    await logger.close();
    expect(files()).toHaveLength(2);
    const line = JSON.parse(content());
    expect(line).toMatchObject({ level: 'info', pid: 9 });
    expect(line.msg).toMatch(/^Rotated log, backup saved as ".*l\.log\.\d{4}[.\d]+"$/);
  });
});

describe('rotation', () => {
  test('renames a file beyond the limit and starts a new one', async () => {
    const logger = await open({ sizeLimitBytes: 40 });
    logger.notice('x'.repeat(20));
    expect(files()).toEqual(['l.log']);
    logger.notice('y'.repeat(20));
    const [current, backup] = files();
    expect(current).toBe('l.log');
    expect(backup).toMatch(/^l\.log\.\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}$/);
    expect(content(backup)).toBe(`[9] [INF] ${'x'.repeat(20)}\n[9] [INF] ${'y'.repeat(20)}\n`);
    expect(content()).toBe(`[9] [INF] Rotated log, backup saved as "${join(directory, backup!)}"\r\n`);
    await logger.close();
  });

  test('keeps as many files as configured, the newest', async () => {
    const logger = await open({ sizeLimitBytes: 1, maxNum: 3 });
    writeFileSync(join(directory, 'l.log.notes'), 'not a backup');
    for (const text of ['a', 'b', 'c', 'd']) logger.notice(text);
    await logger.close();
    const backups = files().filter((name) => /\d{9}$/.test(name));
    expect(backups.map((name) => content(name).trimEnd().split('\n').at(-1))).toEqual([
      '[9] [INF] c',
      '[9] [INF] d',
    ]);
    expect(files()).toContain('l.log.notes');
    expect(content()).toMatch(/\r\n\[9\] \[INF\] Purged log file "l\.log\.\d{4}[.\d]+"\n$/);
  });

  test('happens at the start when the file is already too large', async () => {
    writeFileSync(path, 'z'.repeat(50));
    const logger = await open({ sizeLimitBytes: 40 });
    await logger.close();
    const backup = files().at(-1)!;
    expect(content(backup)).toBe(`${'z'.repeat(50)}[9] [INF] Rotating logfile...\n`);
  });

  test('never replaces another backup', async () => {
    const logger = await open({ sizeLimitBytes: 1 });
    for (let i = 0; i < 5; i++) {
      timeMs = 1_795_000_000_000;
      logger.notice(`line ${i}`);
    }
    await logger.close();
    expect(files()).toHaveLength(6);
  });

  test.skipIf(process.getuid?.() === 0)('that fails keeps the file and tries later', async () => {
    const logger = await open({ sizeLimitBytes: 30 });
    chmodSync(directory, 0o500);
    logger.notice('x'.repeat(30));
    chmodSync(directory, 0o700);
    expect(content()).toMatch(/\[ERR\] Unable to rotate the log file \(rename .*: permission denied\)/);
    await logger.close();
  });

  test('whose new name cannot be had keeps the log going', async () => {
    const logger = await open({ sizeLimitBytes: 30 });
    rmSync(directory, { recursive: true });
    logger.notice('x'.repeat(30));
    logger.notice('still alive');
    mkdirSync(directory);
    logger.reopen();
    logger.notice('back');
    await logger.close();
    expect(content()).toContain('[9] [INF] back\n');
  });
});

test('without a file a re-open is ignored', async () => {
  const logger = await open({ file: '', format: 'text' });
  const lines: string[] = [];
  logger.notice = (text) => lines.push(text);
  logger.reopen();
  await logger.close();
  expect(lines).toEqual(['File log re-open ignored, not a file logger']);
});
