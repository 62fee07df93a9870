/** Scenarios: TLS and the PROXY protocol (spec §12, §13). */
import { pub, type Scenario, scenario, type Transport } from '../scenario.ts';

const TLS: Transport = { kind: 'tls' };
const TLS_FIRST: Transport = { kind: 'tls-first' };

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';

/** PROXY protocol version 2: signature, version and command, family and protocol, length, addresses. */
function proxyV2(command: number, family: number, addresses: string): string {
  const size = String.fromCharCode(addresses.length >> 8, addresses.length & 0xff);
  return `${SIGNATURE}${String.fromCharCode(command, family)}${size}${addresses}`;
}

const IPV4 = '\x0a\x01\x02\x03\xc0\x00\x02\x01\x30\x39\x10\x7e';
const IPV6 = `\x20\x01\x0d\xb8${'\0'.repeat(11)}\x05${'\0'.repeat(15)}\x01\x30\x39\x10\x7e`;

const ACCEPTED_PREAMBLES: [string, string][] = [
  ['v1 TCP4', 'PROXY TCP4 10.1.2.3 192.0.2.1 12345 4222\r\n'],
  ['v1 TCP6', 'PROXY TCP6 2001:db8::5 ::1 12345 4222\r\n'],
  ['v1 TCP6 with a mapped address', 'PROXY TCP6 ::ffff:10.1.2.3 ::1 12345 4222\r\n'],
  ['v1 UNKNOWN', 'PROXY UNKNOWN\r\n'],
  ['v1 UNKNOWN with text', 'PROXY UNKNOWN ffff::1 ::1 1 2\r\n'],
  ['v2 TCP4', proxyV2(0x21, 0x11, IPV4)],
  ['v2 TCP6', proxyV2(0x21, 0x21, IPV6)],
  ['v2 TCP4 with extensions', proxyV2(0x21, 0x11, `${IPV4}\x04\x00\x02ab`)],
  ['v2 LOCAL', proxyV2(0x20, 0x00, '')],
  ['v2 LOCAL with addresses', proxyV2(0x20, 0x11, IPV4)],
  ['v2 UNSPEC stream', proxyV2(0x21, 0x01, '')],
  ['v2 UNSPEC stream with addresses', proxyV2(0x21, 0x01, 'abcd')],
  ['none', ''],
];

const REFUSED_PREAMBLES: [string, string][] = [
  ['v1 unknown family', 'PROXY TCP5 10.1.2.3 192.0.2.1 1 2\r\n'],
  ['v1 bad address', 'PROXY TCP4 10.1.2 192.0.2.1 1 2\r\n'],
  ['v1 bad port', 'PROXY TCP4 10.1.2.3 192.0.2.1 x 2\r\n'],
  ['v1 port out of range', 'PROXY TCP4 10.1.2.3 192.0.2.1 70000 2\r\n'],
  ['v1 missing fields', 'PROXY TCP4 10.1.2.3 192.0.2.1 1\r\n'],
  ['v1 IPv6 address under TCP4', 'PROXY TCP4 ::1 ::1 1 2\r\n'],
  ['v1 IPv4 address under TCP6', 'PROXY TCP6 10.1.2.3 192.0.2.1 1 2\r\n'],
  ['v1 too long', `PROXY TCP4 ${'1'.repeat(120)}\r\n`],
  ['v1 ended by LF', 'PROXY TCP4 10.1.2.3 192.0.2.1 1 2\n'],
  ['v2 wrong version', proxyV2(0x11, 0x11, IPV4)],
  ['v2 unknown command', proxyV2(0x22, 0x11, IPV4)],
  ['v2 UNSPEC of no protocol', proxyV2(0x21, 0x00, '')],
  ['v2 datagram', proxyV2(0x21, 0x12, IPV4)],
  ['v2 UNIX family', proxyV2(0x21, 0x31, '\0'.repeat(216))],
  ['v2 short addresses', proxyV2(0x21, 0x11, IPV4.slice(0, 8))],
];

export const transports: Scenario[] = [
  scenario('TLS required', 'tls', (s) =>
    s
      .client('a', {}, TLS)
      .send('a', `SUB tls.x 1\r\n${pub('tls.x', 'm')}`)
      .send('a', pub('tls.x', 'x'.repeat(70_000))),
  ),
  scenario('TLS required, plain text sent', 'tls', (s) =>
    s.open('a').raw('a', 'CONNECT {"verbose":false}\r\nPING\r\n').closed('a'),
  ),
  scenario('TLS required, nothing sent', 'tls', (s) => s.open('a').closed('a')),
  scenario('TLS required, two clients', 'tls', (s) =>
    s.client('a', {}, TLS).client('b', {}, TLS).send('a', 'SUB tls2.x 1\r\n').send('b', pub('tls2.x', 'm')),
  ),
  scenario('TLS with a client certificate', 'tls-verify', (s) =>
    s.client('a', {}, { kind: 'tls', certificate: 'client' }).send('a', `SUB v 1\r\n${pub('v', 'm')}`),
  ),
  scenario('TLS without the client certificate', 'tls-verify', (s) => s.open('a', TLS).closed('a')),
  scenario('TLS with a certificate of another CA', 'tls-verify', (s) =>
    s.open('a', { kind: 'tls', certificate: 'stranger' }).closed('a'),
  ),
  scenario('TLS optional, used', 'tls-optional', (s) =>
    s.client('a', {}, TLS).send('a', `SUB o 1\r\n${pub('o', 'm')}`),
  ),
  scenario('TLS optional, not used', 'tls-optional', (s) =>
    s.client('a').send('a', `SUB o 1\r\n${pub('o', 'm')}`),
  ),
  scenario('TLS optional, one of each', 'tls-optional', (s) =>
    s
      .client('a')
      .client('b', {}, TLS)
      .send('a', 'SUB both.x 1\r\n')
      .send('b', 'SUB both.x 1\r\n')
      .send('a', pub('both.x', 'plain'))
      .send('b', pub('both.x', 'secret')),
  ),
  scenario('TLS handshake first', 'tls-first', (s) =>
    s.client('a', {}, TLS_FIRST).send('a', `SUB f 1\r\n${pub('f', 'm')}`),
  ),
  scenario('TLS handshake first, plain client', 'tls-first', (s) =>
    s.open('a', { kind: 'tcp', silent: true }).closed('a'),
  ),
  scenario('TLS handshake first, plain text sent', 'tls-first', (s) =>
    s.open('a', { kind: 'tcp', silent: true }).raw('a', 'CONNECT {}\r\n').closed('a'),
  ),
  scenario('TLS handshake first or INFO: handshake', 'tls-auto', (s) => s.client('a', {}, TLS_FIRST)),
  scenario('TLS handshake first or INFO: INFO', 'tls-auto', (s) => s.client('a', {}, TLS)),
  ...ACCEPTED_PREAMBLES.map(([name, preamble]) =>
    scenario(`PROXY protocol: ${name}`, 'proxy', (s) =>
      s.client('a', {}, { kind: 'tcp', preamble }).send('a', `SUB proxy 1\r\n${pub('proxy', 'm')}`),
    ),
  ),
  ...REFUSED_PREAMBLES.map(([name, preamble]) =>
    scenario(`PROXY protocol refused: ${name}`, 'proxy', (s) =>
      s.open('a', { kind: 'tcp', preamble }).closed('a'),
    ),
  ),
  scenario('PROXY protocol: header and CONNECT in one segment', 'proxy', (s) =>
    s.open('a').send('a', 'PROXY TCP4 10.9.8.7 192.0.2.1 1 2\r\nCONNECT {"verbose":false,"protocol":1}\r\n'),
  ),
  scenario('PROXY protocol: header cut in segments', 'proxy', (s) =>
    s
      .open('a')
      .bytewise('a', 'PROXY TCP4 10.9.8.7 192.0.2.1 1 2\r\nCONNECT {"verbose":false,"protocol":1}\r\n'),
  ),
  scenario('PROXY protocol: version 2 cut in segments', 'proxy', (s) =>
    s.open('a').bytewise('a', `${proxyV2(0x21, 0x11, IPV4)}CONNECT {"verbose":false,"protocol":1}\r\n`),
  ),
];
