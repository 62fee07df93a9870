import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageMeaning, natsParts } from '../../../../src/shared/mqtt/message-headers.ts';
import { PROPERTY, PropertyBlock } from '../../../../src/shared/protocol/mqtt/properties.ts';
import { ByteWriter } from '../../../../src/shared/protocol/mqtt/writer.ts';

const NOW_MS = 1_800_000_000_000;

function block(write: (writer: ByteWriter) => void): PropertyBlock {
  const writer = new ByteWriter();
  write(writer);
  const made = new PropertyBlock();
  made.load(writer.take());
  return made;
}

/** User properties of what a subscriber would get. */
function usersOf(meaning: MessageMeaning): [string, string][] {
  const made = new PropertyBlock();
  made.load(meaning.properties.take());
  const text = (start: number, end: number) => Buffer.from(made.bytes.subarray(start, end)).toString('utf8');
  const users: [string, string][] = [];
  made.visitUserProperties((keyStart, keyEnd, valueStart, valueEnd) =>
    users.push([text(keyStart, keyEnd), text(valueStart, valueEnd)]),
  );
  return users;
}

function through(properties: PropertyBlock, qos = 0, retain = false): MessageMeaning {
  const { headers, reply } = natsParts(qos, retain, properties, NOW_MS);
  const meaning = new MessageMeaning();
  meaning.read(headers, reply);
  return meaning;
}

test('without properties: what nats-server writes', () => {
  const { headers, reply } = natsParts(2, false, new PropertyBlock(), NOW_MS);
  expect(Buffer.from(headers).toString()).toBe('NATS/1.0\r\nNmqtt-Pub:2\r\n\r\n');
  expect(reply).toBe('');
  const meaning = new MessageMeaning();
  expect(meaning.readPlain(headers, 0, headers.length)).toBe(true);
  expect([meaning.qos, meaning.retain, meaning.expiresAtMs]).toEqual([2, false, 0]);
});

test('flags and expiry', () => {
  const meaning = through(
    block((writer) => writer.property(PROPERTY.messageExpiry, 60)),
    1,
    true,
  );
  expect([meaning.qos, meaning.retain, meaning.expiresAtMs]).toEqual([1, true, NOW_MS + 60_000]);
});

test('any user properties come out as they went in, in order', () => {
  const text = fc
    .string({ unit: 'binary', maxLength: 20 })
    .filter((value) => value.isWellFormed() && !value.includes('\0'));
  const special = fc.constantFrom(
    'Nats-Msg-Id',
    'nmqtt-pub',
    'a:b',
    ' x',
    'x ',
    'ü',
    '',
    'a\r\nb',
    '%41',
    'k',
  );
  const pairs = fc.array(fc.tuple(fc.oneof(text, special), fc.oneof(text, special)), { maxLength: 8 });
  fc.assert(
    fc.property(pairs, (users) => {
      const meaning = through(
        block((writer) => users.forEach(([key, value]) => void writer.userProperty(key, value))),
        1,
      );
      expect(usersOf(meaning)).toEqual(users);
      expect(meaning.qos).toBe(1);
    }),
    { seed: 20_161, numRuns: 1000 },
  );
});

test('no user property becomes a header that the server reads meaning into, or breaks the block', () => {
  const users: [string, string][] = [
    ['Nats-Rollup', 'all'],
    ['NMQTT-PUB', '2'],
    ['evil', 'x\r\nNats-Rollup: all'],
    ['a b', 'c'],
  ];
  const properties = block((writer) => users.forEach(([key, value]) => void writer.userProperty(key, value)));
  const lines = Buffer.from(natsParts(0, false, properties, NOW_MS).headers)
    .toString()
    .split('\r\n');
  const names = lines.slice(1, -2).map((line) => line.split(':', 1)[0]);
  expect([lines[0], new Set(names)]).toEqual(['NATS/1.0', new Set(['Nmqtt-Pub', 'Nmqtt-UP'])]);
});

describe('the response topic', () => {
  test.each([
    ['a/b', 'a.b', false],
    ['a/b.c/', 'a.b//c./', false],
    ['with space', '', true],
  ])('%s', (topic, wanted, isHeader) => {
    const properties = block((writer) => writer.property(PROPERTY.responseTopic, topic));
    const { reply, headers } = natsParts(0, false, properties, NOW_MS);
    expect(reply).toBe(wanted);
    expect(Buffer.from(headers).includes('Nmqtt-RespTopic')).toBe(isHeader);
    const back = new PropertyBlock();
    back.load(through(properties).properties.take());
    expect(Buffer.from(back.copyOf(PROPERTY.responseTopic) ?? []).toString()).toBe(topic);
  });
});

test('headers of a NATS publisher are user properties, damaged ones of ours are passed over', () => {
  const meaning = new MessageMeaning();
  const lines = [
    'Trace: 1 ',
    'Nats-Msg-Id: x',
    'Nmqtt-Exp: soon',
    'Nmqtt-CT: %ff',
    'Nmqtt-PFI: 7',
    'Nmqtt-UP: no',
    'b\xff: c',
  ];
  meaning.read(Buffer.from(`NATS/1.0\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'), '');
  expect(usersOf(meaning)).toEqual([['Trace', '1']]);
  expect(meaning.expiresAtMs).toBe(0);
});
