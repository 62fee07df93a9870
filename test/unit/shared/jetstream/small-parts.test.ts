import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { counterValue, parseIncrement } from '../../../../src/shared/jetstream/counter.ts';
import { compilePattern, zoneOffset } from '../../../../src/shared/jetstream/cron.ts';
import { DedupeWindow } from '../../../../src/shared/jetstream/dedupe.ts';
import { ExpiryQueue } from '../../../../src/shared/jetstream/expiry-queue.ts';
import { parseTtl } from '../../../../src/shared/jetstream/message-ttl.ts';
import { isValidAssetName, randomId, shortHash } from '../../../../src/shared/jetstream/names.ts';
import { NO_PUBLISH_HEADERS, readPublishHeaders } from '../../../../src/shared/jetstream/publish-headers.ts';
import { TTL_NEVER } from '../../../../src/shared/jetstream/store/contract.ts';
import { formatTime, parseTime } from '../../../../src/shared/jetstream/time.ts';

describe('names', () => {
  test('what may not be in one', () => {
    expect(isValidAssetName('Orders-1_é$')).toBe(true);
    for (const name of ['', 'a b', 'a.b', 'a*', '>', 'a/b', 'a\\b', 'a\tb', 'a\n']) {
      expect(isValidAssetName(name)).toBe(false);
    }
  });

  test('short hash, recorded from a stream identity', () => {
    expect(shortHash('2026-11-21T03:16:24.981305568Z')).toBe('i3xCrMZn');
  });

  test('random ids follow the source of chance', () => {
    expect(randomId(4, () => 0)).toBe('0000');
    expect(randomId(22, () => 0.999999)).toMatch(/^z{22}$/);
  });
});

describe('expiry queue', () => {
  test('hands out entries by time, and only due ones', () => {
    const times = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 });
    fc.assert(
      fc.property(times, fc.integer({ min: 0, max: 50 }), (entries, now) => {
        const queue = new ExpiryQueue();
        for (const [index, time] of entries.entries()) queue.add(index + 1, time);
        const taken: number[] = [];
        for (let seq = queue.takeDue(now); seq > 0; seq = queue.takeDue(now)) taken.push(entries[seq - 1]!);
        const due = entries.filter((time) => time <= now).sort((a, b) => a - b);
        expect(taken).toEqual(due);
        expect(queue.size).toBe(entries.length - due.length);
        expect(queue.nextMs).toBe(Math.min(Infinity, ...entries.filter((time) => time > now)));
      }),
      { seed: 31, numRuns: 200 },
    );
  });
});

describe('dedupe window', () => {
  test('knows an id for as long as the window', () => {
    const window = new DedupeWindow(100);
    window.add('a', 7, 1000);
    expect(window.find('a', 1099)).toBe(7);
    expect(window.find('a', 1100)).toBe(0);
    expect(window.nextExpiryMs()).toBe(1100);
    window.expire(1100);
    expect(window.size).toBe(0);
    expect(window.nextExpiryMs()).toBe(Infinity);
  });

  test('is bounded in bytes: the oldest ids go first', () => {
    const window = new DedupeWindow(1000, 1000);
    for (let i = 0; i < 100; i++) window.add(`id-${i}`, i + 1, i);
    expect(window.size).toBeLessThan(11);
    expect(window.find('id-0', 100)).toBe(0);
    expect(window.find('id-99', 100)).toBe(100);
  });

  test('without a window remembers nothing, also after it is taken away', () => {
    const window = new DedupeWindow(0);
    window.add('a', 1, 0);
    expect(window.size).toBe(0);
    const closing = new DedupeWindow(1000);
    closing.add('a', 1, 0);
    closing.resize(0);
    expect(closing.find('a', 0)).toBe(0);
  });
});

describe('message TTL', () => {
  test.each([
    ['never', TTL_NEVER],
    ['NEVER', TTL_NEVER],
    ['5', 5],
    ['1h30m', 5400],
    ['1500ms', 1],
    ['99999999999999999999', TTL_NEVER - 1],
    ['0', 0],
    ['-1', 0],
    ['500ms', 0],
    ['1.5', 0],
    ['x', 0],
  ])('%s is %s seconds', (text, seconds) => {
    expect(parseTtl(text)).toBe(seconds);
  });
});

describe('counters', () => {
  test('increments of any size, with or without a sign', () => {
    expect(parseIncrement('+5')).toBe(5n);
    expect(parseIncrement('-123456789012345678901234567890')).toBe(-123456789012345678901234567890n);
    for (const text of ['', '+', '1.5', '0x1', ' 1', '1'.repeat(30_000)])
      expect(parseIncrement(text)).toBeNull();
  });

  test('stored values, also when somebody else wrote them', () => {
    expect(counterValue(Buffer.from('{"val":"-4"}'))).toBe(-4n);
    expect(counterValue(Buffer.from('{ "val": "7", "x": 1 }'))).toBe(7n);
    for (const text of ['', '{}', '{"val":1}', 'x', '{"val":"y"}'])
      expect(counterValue(Buffer.from(text))).toBeNull();
  });
});

describe('publish headers', () => {
  const read = (lines: string) => {
    const block = Buffer.from(`NATS/1.0\r\n${lines}\r\n`, 'latin1');
    return readPublishHeaders(block, 0, block.length);
  };

  test('case counts, the first one counts, an empty one does not', () => {
    const headers = read('nats-msg-id: x\r\nNats-Msg-Id: \r\nNats-Msg-Id:   a b \r\nNats-Msg-Id: c\r\n');
    expect(headers['Nats-Msg-Id']).toBe('a b ');
  });

  test('none of ours is the shared empty one', () => {
    expect(read('X: y\r\nNats-Other: z\r\n')).toBe(NO_PUBLISH_HEADERS);
  });

  test('any bytes are survived', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.constantFrom('', 'NATS/1.0\r\n', '\r\nNats-TTL'),
        (bytes, start) => {
          const block = Buffer.concat([Buffer.from(start), bytes]);
          for (const value of Object.values(readPublishHeaders(block, 0, block.length))) {
            expect(value === null || value.length > 0).toBe(true);
          }
        },
      ),
      { seed: 41, numRuns: 500 },
    );
  });
});

describe('schedules', () => {
  const next = (pattern: string, since: string, zone: string | null = null) => {
    const sinceNs = parseTime(since) as bigint;
    const offset = zone === null ? null : zoneOffset(zone);
    const at = compilePattern(pattern, offset)?.next(sinceNs, sinceNs) ?? null;
    return at === null ? null : formatTime(at);
  };

  test.each([
    ['@at 2120-01-01T00:00:00Z', '2024-01-01T00:00:00Z', '2120-01-01T00:00:00Z'],
    ['@every 90s', '2024-01-01T00:00:00.4Z', '2024-01-01T00:01:30Z'],
    ['@every 90s', '2024-01-01T00:00:00.6Z', '2024-01-01T00:01:31Z'],
    ['@hourly', '2024-01-01T00:00:00Z', '2024-01-01T01:00:00Z'],
    ['@weekly', '2024-01-03T00:00:00Z', '2024-01-07T00:00:00Z'],
    ['@monthly', '2024-12-31T23:59:59.999Z', '2025-01-01T00:00:00Z'],
    ['0 0 0 29 2 *', '2024-03-01T00:00:00Z', '2028-02-29T00:00:00Z'],
    ['*/20 30 12 * * MON', '2024-01-01T12:30:05Z', '2024-01-01T12:30:20Z'],
    ['0 0 0 13 * fri', '2024-01-01T00:00:00Z', '2024-01-05T00:00:00Z'],
    ['0 0 0 */9 * fri', '2024-01-01T00:00:00Z', '2024-01-05T00:00:00Z'],
    ['0 0 0 30 2 *', '2024-01-01T00:00:00Z', null],
  ])('%s after %s', (pattern, since, expected) => {
    expect(next(pattern, since)).toBe(expected);
  });

  test('time zones, over the change of the clocks', () => {
    expect(next('0 30 2 * * *', '2024-03-30T12:00:00Z', 'Europe/Berlin')).toBe('2024-04-01T00:30:00Z');
    expect(next('0 0 0 * * *', '2024-07-01T00:00:00Z', 'Europe/Berlin')).toBe('2024-07-01T22:00:00Z');
    expect(next('0 0 0 * * *', '2024-01-01T00:00:00Z', 'Europe/Berlin')).toBe('2024-01-01T23:00:00Z');
    expect(next('0 30 2 * * *', '2024-10-26T12:00:00Z', 'Europe/Berlin')).toBe('2024-10-27T00:30:00Z');
  });

  test('a zone only beside calendar fields, and only one there is', () => {
    expect(zoneOffset('Nowhere/Else')).toBeNull();
    expect(compilePattern('@every 5s', zoneOffset('UTC'))).toBeNull();
    expect(compilePattern('@daily', zoneOffset('America/New_York'))).not.toBeNull();
  });

  test('any text compiles or does not', () => {
    const unit = fc.constantFrom(...'0123456789*/-,? @aejnsu');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 24 }), (text) => {
        const pattern = compilePattern(text, null);
        const since = 1_700_000_000_000_000_000n;
        const at = pattern?.next(since, since) ?? null;
        if (at !== null && pattern!.recurs) expect(at).toBeGreaterThan(since);
      }),
      { seed: 51, numRuns: 2000 },
    );
  });
});
