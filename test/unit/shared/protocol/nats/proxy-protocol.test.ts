import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ProxyHeaderResult,
  ProxyProtocolParser,
} from '../../../../../src/shared/protocol/nats/proxy-protocol.ts';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const REST = Buffer.from('CONNECT {}\r\nPING\r\n');
const IPV4 = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0, 0x20, 0]);
const IPV6 = Buffer.from(
  '20010db8000000000000000000000001' + '00000000000000000000ffff01020304' + '01020304',
  'hex',
);

function binary(versionAndCommand: number, familyAndTransport: number, body: Buffer): Buffer {
  const head = Buffer.from([versionAndCommand, familyAndTransport, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([SIGNATURE, head, body]);
}

interface Outcome {
  kind: string;
  from?: string;
  reason?: string;
  rest?: string;
}

function outcome(result: ProxyHeaderResult): Outcome {
  switch (result.kind) {
    case 'more':
      return { kind: 'more' };
    case 'error':
      return { kind: 'error', reason: result.reason };
    case 'direct':
      return { kind: 'direct', rest: Buffer.from(result.rest).toString('latin1') };
    case 'proxied':
      return {
        kind: 'proxied',
        from: `${result.address} ${result.port}`,
        rest: Buffer.from(result.rest).toString('latin1'),
      };
  }
}

/** Header and protocol in one piece, and again byte by byte with the same result. */
function parse(header: Buffer, rest: Buffer = REST): Outcome {
  const whole = outcome(new ProxyProtocolParser().push(Buffer.concat([header, rest])));
  const parser = new ProxyProtocolParser();
  const stream = Buffer.concat([header, rest]);
  for (let at = 0; at < stream.length; at++) {
    // The host reuses its read buffer, so each piece is gone after the call.
    const piece = Buffer.from(stream.subarray(at, at + 1));
    const result = outcome(parser.push(piece));
    piece.fill(0xee);
    if (result.kind === 'more') continue;
    if (result.rest !== undefined) result.rest += stream.toString('latin1', at + 1);
    expect(result).toEqual(whole);
    return whole;
  }
  expect(whole.kind).toBe('more');
  return whole;
}

const proxied = (from: string): Outcome => ({ kind: 'proxied', from, rest: REST.toString() });
const direct: Outcome = { kind: 'direct', rest: REST.toString() };
const error = (reason: string): Outcome => ({ kind: 'error', reason });
const invalid = (detail: string): Outcome => error(`invalid PROXY protocol header: ${detail}`);

// Accepted or refused as nats-server 2.15.1 does, with its texts.
describe('version 1', () => {
  test.each<[string, Outcome]>([
    ['PROXY TCP4 1.2.3.4 5.6.7.8 100 200\r\n', proxied('1.2.3.4 100')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n', proxied('1.2.3.4 0')],
    ['PROXY  TCP4\t1.2.3.4 5.6.7.8 100 200\r\n', proxied('1.2.3.4 100')],
    ['PROXY TCP6 ::1 ::2 100 200\r\n', proxied('::1 100')],
    ['PROXY TCP6 2001:DB8:0:0:0:0:0:1 :: 1 2\r\n', proxied('2001:db8::1 1')],
    ['PROXY TCP6 1:0:0:2:0:0:0:3 :: 1 2\r\n', proxied('1:0:0:2::3 1')],
    ['PROXY TCP6 ::ffff:1.2.3.4 ::ffff:1.2.3.4 100 200\r\n', proxied('1.2.3.4 100')],
    ['PROXY TCP6 64:ff9b::1.2.3.4 ::1 1 2\r\n', proxied('64:ff9b::102:304 1')],
    ['PROXY TCP6 :: ::1 1 2\r\n', proxied(':: 1')],
    ['PROXY TCP6 1:2:3:4:5:6:7:8 ::1 1 2\r\n', proxied('1:2:3:4:5:6:7:8 1')],
    ['PROXY TCP6 fe80:: ::1 1 2\r\n', proxied('fe80:: 1')],
    ['PROXY UNKNOWN\r\n', direct],
    ['PROXY UNKNOWN ffff::1 x 1\r\n', direct],
    [`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`, direct],
    [`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, invalid('v1 line too long')],
    [`PROXY UNKNOWN ${'x'.repeat(200)}\r\n`, invalid('v1 line too long')],
    ['PROXY UNKNOWNX\r\n', invalid('invalid v1 format')],
    ['PROXY \r\n', invalid('invalid v1 format')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 100\r\n', invalid('invalid v1 format')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 100 200 300\r\n', invalid('invalid v1 format')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 100 200\n', invalid('invalid v1 format')],
    ['PROXY UDP4 1.2.3.4 5.6.7.8 100 200\r\n', invalid('invalid protocol UDP4')],
    ['PROXY tcp4 1.2.3.4 5.6.7.8 100 200\r\n', invalid('invalid protocol tcp4')],
    ['PROXY TCP6 1.2.3.4 5.6.7.8 100 200\r\n', invalid('TCP6 with IPv4 address')],
    ['PROXY TCP4 ::1 ::2 100 200\r\n', invalid('TCP4 with IPv6 address')],
    ['PROXY TCP4 ::ffff:1.2.3.4 1.2.3.4 1 2\r\n', invalid('TCP4 with IPv6 address')],
    ['PROXY TCP4 1.2.3.400 5.6.7.8 100 200\r\n', invalid('invalid address')],
    ['PROXY TCP4 01.2.3.4 5.6.7.8 100 200\r\n', invalid('invalid address')],
    ['PROXY TCP4 1.2.3.4 zz 100 200\r\n', invalid('invalid address')],
    ['PROXY TCP6 fe80::1%eth0 ::1 100 200\r\n', invalid('invalid address')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 65536 200\r\n', error('invalid source port: "65536"')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 -1 200\r\n', error('invalid source port: "-1"')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 +5 7\r\n', error('invalid source port: "+5"')],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n', error('invalid dest port: "x"')],
  ])('%j', (header, expected) => {
    expect(parse(Buffer.from(header))).toEqual(expected);
  });

  test('an endless line is refused as soon as it is too long', () => {
    expect(parse(Buffer.from(`PROXY ${'x'.repeat(101)}`), Buffer.alloc(0))).toEqual(
      invalid('v1 line too long'),
    );
    expect(parse(Buffer.from(`PROXY ${'x'.repeat(100)}`), Buffer.alloc(0))).toEqual({ kind: 'more' });
  });
});

describe('version 2', () => {
  test.each<[string, Buffer, Outcome]>([
    ['IPv4', binary(0x21, 0x11, IPV4), proxied('1.2.3.4 4096')],
    ['IPv6', binary(0x21, 0x21, IPV6), proxied('2001:db8::1 258')],
    [
      'mapped IPv4',
      binary(0x21, 0x21, Buffer.concat([IPV6.subarray(16, 32), IPV6.subarray(16)])),
      proxied('1.2.3.4 258'),
    ],
    ['extensions', binary(0x21, 0x11, Buffer.concat([IPV4, Buffer.alloc(5000)])), proxied('1.2.3.4 4096')],
    ['LOCAL', binary(0x20, 0, Buffer.alloc(0)), direct],
    ['LOCAL with addresses', binary(0x20, 0x12, IPV4), direct],
    ['UNSPEC over STREAM', binary(0x21, 0x01, Buffer.from('abcd')), direct],
    [
      'UNSPEC',
      binary(0x21, 0x00, Buffer.from('abcd')),
      error('unsupported PROXY protocol feature: only STREAM protocol supported'),
    ],
    [
      'DGRAM',
      binary(0x21, 0x12, IPV4),
      error('unsupported PROXY protocol feature: only STREAM protocol supported'),
    ],
    [
      'UNIX',
      binary(0x21, 0x31, Buffer.alloc(216)),
      error('unsupported PROXY protocol feature: unsupported address family 0x30'),
    ],
    ['short IPv4', binary(0x21, 0x11, IPV4.subarray(0, 8)), error('IPv4 address data too short: 8 bytes')],
    ['short IPv6', binary(0x21, 0x21, IPV4), error('IPv6 address data too short: 12 bytes')],
    ['version 1', binary(0x11, 0x11, IPV4), invalid('invalid version 0x10')],
    ['command 2', binary(0x22, 0x11, IPV4), error('unknown PROXY protocol command: 0x02')],
    ['signature', Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from('X')]), invalid('invalid signature')],
  ])('%s', (_name, header, expected) => {
    expect(parse(header)).toEqual(expected);
  });
});

describe('no header', () => {
  test.each([
    'PING\r\n',
    'CONNECT {}\r\n',
    'PUB x 0\r\n',
    'proxy TCP4\r\n',
    '\r\n\r\nPING',
    '\x16\x03\x01',
    'P',
    'PROX',
  ])('%j', (start) => {
    const rest = Buffer.from('SUB a 1\r\n');
    expect(parse(Buffer.from(start, 'latin1'), rest)).toEqual({
      kind: 'direct',
      rest: `${start}SUB a 1\r\n`,
    });
  });

  test('is known from the first byte on', () => {
    expect(outcome(new ProxyProtocolParser().push(Buffer.from('S')))).toEqual({ kind: 'direct', rest: 'S' });
    expect(outcome(new ProxyProtocolParser().push(Buffer.from('PI')))).toEqual({
      kind: 'direct',
      rest: 'PI',
    });
  });
});

test('any bytes end the same in whatever pieces they come', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'PROXY ',
      'TCP4 ',
      'TCP6 ',
      'UNKNOWN',
      '1.2.3.4 ',
      '::1 ',
      '80 ',
      '443',
      '\r\n',
      'PING\r\n',
    ),
    fc.constantFrom(
      SIGNATURE.toString('latin1'),
      '\x21\x11\x00\x0c',
      '\x20\x00\x00\x00',
      IPV4.toString('latin1'),
    ),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      parse(Buffer.from(pieces.join(''), 'latin1'), Buffer.alloc(0));
    }),
    { seed: 20_157, numRuns: 1500 },
  );
});
