import { describe, expect, test } from 'vitest';
import { createJsonFormatter } from '../../../../src/main/log/json-format.ts';
import { createTextFormatter, formatBackupSuffix } from '../../../../src/main/log/line-format.ts';
import type { LogLevel } from '../../../../src/main/log/logger.ts';
import { createWallClock } from '../../../../src/main/log/wall-clock.ts';

const LEVELS: LogLevel[] = ['notice', 'warn', 'error', 'fatal', 'debug', 'trace'];
const clock = (): number => Date.UTC(2026, 10, 21, 1, 55, 5) + 404.891;

describe('the text format', () => {
  const base = { pid: 4978, clock, logTime: true, logTimeUtc: true, colours: false };

  test('is nats-server’s, for every level', () => {
    const format = createTextFormatter(base);
    expect(LEVELS.map((level) => format(level, 'Starting nats-server'))).toEqual(
      ['INF', 'WRN', 'ERR', 'FTL', 'DBG', 'TRC'].map(
        (label) => `[4978] 2026/11/21 01:55:05.404891 [${label}] Starting nats-server\n`,
      ),
    );
  });

  test('without time', () => {
    expect(createTextFormatter({ ...base, logTime: false })('notice', 'x')).toBe('[4978] [INF] x\n');
  });

  test('colours the label alone', () => {
    const format = createTextFormatter({ ...base, colours: true, logTime: false });
    expect(LEVELS.map((level) => format(level, 'x'))).toEqual([
      '[4978] [\x1b[32mINF\x1b[0m] x\n',
      '[4978] [\x1b[0;93mWRN\x1b[0m] x\n',
      '[4978] [\x1b[31mERR\x1b[0m] x\n',
      '[4978] [\x1b[31mFTL\x1b[0m] x\n',
      '[4978] [\x1b[36mDBG\x1b[0m] x\n',
      '[4978] [\x1b[33mTRC\x1b[0m] x\n',
    ]);
  });

  test('local time is what the calendar of the machine says', () => {
    const date = new Date(clock());
    const line = createTextFormatter({ ...base, logTimeUtc: false })('notice', 'x');
    const hours = String(date.getHours()).padStart(2, '0');
    expect(line).toContain(` ${hours}:${String(date.getMinutes()).padStart(2, '0')}:05.404891 [INF] x`);
  });

  test('the cached second moves on', () => {
    let timeMs = clock();
    const format = createTextFormatter({ ...base, clock: () => timeMs });
    format('notice', 'x');
    timeMs += 55_000;
    expect(format('notice', 'x')).toBe('[4978] 2026/11/21 01:56:00.404891 [INF] x\n');
  });
});

describe('the JSON format', () => {
  test('one object a line with level, time, pid and msg', async () => {
    const format = await createJsonFormatter({ pid: 7, clock });
    const line = format('notice', 'Trapped "hangup" %s %d signal\n');
    expect(line).toBe(
      '{"level":"info","time":"2026-11-21T01:55:05.404891Z","pid":7,"msg":"Trapped \\"hangup\\" %s %d signal\\n"}\n',
    );
    const levels = LEVELS.map((level) => JSON.parse(format(level, 'x')).level);
    expect(levels).toEqual(['info', 'warn', 'error', 'fatal', 'debug', 'trace']);
  });
});

describe('the clock', () => {
  test('counts microseconds within the millisecond of the system clock', () => {
    let [epochMs, monotonicMs] = [1000, 50.25];
    const now = createWallClock(
      () => epochMs,
      () => monotonicMs,
    );
    expect(now()).toBe(1000);
    monotonicMs += 0.5;
    expect(now()).toBe(1000.5);
    epochMs += 3_600_000;
    expect(now()).toBe(3_601_000);
    monotonicMs += 0.25;
    expect(now()).toBe(3_601_000.25);
    epochMs -= 7_200_000;
    expect(Math.floor(now())).toBe(epochMs);
  });
});

test('a backup suffix has nanoseconds and sorts as the time does', () => {
  const suffixes = [0, 0.001, 0.5, 999.999, 1000].map((ms) => formatBackupSuffix(clock() + ms));
  expect(suffixes.every((text) => /^\d{4}(\.\d\d){5}\.\d{9}$/.test(text))).toBe(true);
  expect([...suffixes].sort()).toEqual(suffixes);
  expect(new Set(suffixes).size).toBe(suffixes.length);
});
