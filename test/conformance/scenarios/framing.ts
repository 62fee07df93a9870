/** Scenarios: line framing, operation names, segments, operations a client may not send (spec §1). */
import { hpub, pub, type Scenario, scenario } from '../scenario.ts';

const EXCHANGE = `SUB split.a 1\r\n${pub('split.a', 'hello', 'reply.to')}PING\r\nUNSUB 1 1\r\n`;
const HEADER_EXCHANGE = `SUB split.h 2\r\n${hpub('split.h', 'NATS/1.0\r\nA: b\r\n\r\n', 'body')}UNSUB 2\r\n+OK\r\n`;
const CONNECT_EXCHANGE = 'CONNECT {"verbose":true,"pedantic":true,"protocol":1,"headers":true}\r\nPING\r\n';

function everySplit(name: string, bytes: string, connect: boolean): Scenario {
  return scenario(`${name} cut in two at every byte`, 'open', (s) => {
    for (let at = 1; at < bytes.length; at += 1) {
      const connection = `c${at}`;
      if (connect) s.client(connection);
      else s.open(connection);
      s.split(connection, bytes, at).hangUp(connection);
    }
  });
}

/** Operations as sent, each on a fresh connection after a CONNECT. */
function single(name: string, bytes: string): Scenario {
  return scenario(name, 'open', (s) => s.client('a').send('a', bytes));
}

const ODD_LINES: [string, string][] = [
  ['mixed case PING', 'pInG\r\n'],
  ['PING with text', 'PINGFOO\r\n'],
  ['PING with arguments', 'PING  xx yy\r\n'],
  ['PING ended by LF', 'PING\n'],
  ['PING ended by CR CR LF', 'PING\r\r\n'],
  ['PONG unsolicited', 'PONG\r\nPONG xx\r\npong\n'],
  ['+OK ignored', '+OK\r\n+ok anything at all\r\n+Ok\n'],
  ['-ERR closes', "-ERR 'bad'\r\n"],
  ['-ERR without text', '-ERR\r\n'],
  ['INFO with JSON', 'INFO {"server_id":"x"}\r\n'],
  ['INFO without space', 'INFO{"server_id":"x"}\r\n'],
  ['INFO with wrong JSON', 'INFO {"server_id"\r\n'],
  ['INFO empty', 'INFO\r\n'],
  ['leading space', ' PING\r\n'],
  ['leading tab', '\tPING\r\n'],
  ['empty line', '\r\n'],
  ['bare LF line', '\n'],
  ['unknown operation', 'FOO\r\n'],
  ['unknown operation by its second letter', 'PX\r\n'],
  ['operation cut short', 'PIN\r\n'],
  ['operation PUBLISH', 'PUBLISH foo 0\r\n\r\n'],
  ['operation SUBS', 'SUBS foo 1\r\n'],
  ['operation UNSUBX', 'UNSUBX 1\r\n'],
  ['MSG from a client', 'MSG foo 1 2\r\nhi\r\n'],
  ['HMSG from a client', 'HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n'],
  ['RMSG from a client', 'RMSG $G foo 2\r\nhi\r\n'],
  ['RS+ from a client', 'RS+ $G foo\r\n'],
  ['LS+ from a client', 'LS+ foo\r\n'],
  ['LMSG from a client', 'LMSG foo 2\r\nhi\r\n'],
  ['A+ from a client', 'A+ $G\r\n'],
  ['HTTP request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['NUL byte as operation', '\0\r\n'],
  ['high byte as operation', '\xff\xfe\r\n'],
  ['TLS ClientHello in clear', '\x16\x03\x01\x02\x00\x01\x00'],
];

export const framing: Scenario[] = [
  ...ODD_LINES.map(([name, bytes]) => single(name, bytes)),
  everySplit('SUB, PUB, PING and UNSUB', EXCHANGE, true),
  everySplit('HPUB and +OK', HEADER_EXCHANGE, true),
  everySplit('CONNECT and PING', CONNECT_EXCHANGE, false),
  scenario('one byte per segment', 'open', (s) =>
    s.client('a').bytewise('a', EXCHANGE).bytewise('a', HEADER_EXCHANGE),
  ),
  scenario('many operations in one segment', 'open', (s) =>
    s.client('a').send('a', `SUB many 1\r\n${pub('many', 'x').repeat(50)}UNSUB 1\r\nPING\r\nPING\r\n`),
  ),
  scenario('lines ended by LF', 'open', (s) =>
    s.open('a').send('a', 'CONNECT {"verbose":false}\nSUB lf 1\nPUB lf 2\nhi\r\nUNSUB 1\n'),
  ),
  scenario('tabs and runs of blanks', 'open', (s) =>
    s
      .client('a')
      .send(
        'a',
        'SUB \t tabs\t \t7  \t\r\nPUB\t\ttabs \t 2 \r\nhi\r\nPUB  tabs   r.e   1\t\r\nx\r\nUNSUB\t7\t \r\n',
      ),
  ),
  scenario('mixed case operations', 'open', (s) =>
    s
      .open('a')
      .send('a', 'cOnNeCt {"verbose":true,"headers":true}\r\n')
      .send('a', 'sUb case 1\r\npUb case 2\r\nhi\r\nhPuB case 12 14\r\nNATS/1.0\r\n\r\nhi\r\nuNsUb 1\r\n'),
  ),
  scenario('CR inside an argument line', 'open', (s) =>
    s.client('a').send('a', 'SUB cr\rx 1\r\n').send('a', pub('crx', 'z')),
  ),
  scenario('payload ended by LF only', 'open', (s) => s.client('a').send('a', 'PUB foo 2\r\nhi\n')),
  scenario('payload longer than its size', 'open', (s) => s.client('a').send('a', 'PUB foo 2\r\nhix\r\n')),
  scenario('payload shorter than its size', 'open', (s) => s.client('a').send('a', 'PUB foo 6\r\nhi\r\n', 0)),
  scenario('payload with CRLF and operations', 'open', (s) =>
    s.client('a').send('a', 'SUB ops 1\r\nPUB ops 21\r\nPING\r\nSUB x 1\r\nxxxx\r\n\r\n', 0),
  ),
  scenario('binary payload', 'open', (s) =>
    s
      .client('a')
      .send(
        'a',
        `SUB bin 1\r\n${pub('bin', Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join(''))}`,
        0,
      ),
  ),
  scenario('error in the middle of a segment', 'open', (s) =>
    s.client('a').send('a', `SUB mid 1\r\n${pub('mid', 'before')}BAD\r\n${pub('mid', 'after')}`),
  ),
  scenario('control bytes in subjects and sids', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB nul\x00.x \x01\x02\r\nSUB high.\xc3\xa9\xff s\xfe\r\n')
      .send('a', pub('nul\x00.x', 'n') + pub('high.\xc3\xa9\xff', 'h')),
  ),
];
