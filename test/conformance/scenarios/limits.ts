/** Scenarios: control line, connections, keepalive (spec §9, §10). */
import { connectLine, pub, type Scenario, scenario } from '../scenario.ts';

/** A SUB whose argument part has `size` bytes. */
function subLine(size: number, end = '\r\n'): string {
  return `SUB ${'s'.repeat(size - 2)} 1${end}`;
}

/** A CONNECT whose JSON has `size` bytes. */
function connectOf(size: number): string {
  const empty = JSON.stringify({ verbose: false, name: '' });
  return `CONNECT ${JSON.stringify({ verbose: false, name: 'n'.repeat(size - empty.length) })}\r\n`;
}

export const limits: Scenario[] = [
  scenario('control line at its limit', 'open', (s) =>
    s
      .client('a')
      .send('a', subLine(4096))
      .send('a', pub('s'.repeat(4094), 'm')),
  ),
  scenario('control line beyond its limit', 'open', (s) => s.client('a').send('a', subLine(4097))),
  scenario('control line at its limit ended by LF', 'open', (s) =>
    s.client('a').send('a', subLine(4096, '\n')),
  ),
  scenario('control line beyond its limit ended by LF', 'open', (s) =>
    s.client('a').send('a', subLine(4097, '\n')),
  ),
  scenario('PUB line at its limit', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB > 1\r\n')
      .send('a', `PUB ${'p'.repeat(4094)} 0\r\n\r\n`),
  ),
  scenario('PUB line beyond its limit', 'open', (s) =>
    s.client('a').send('a', `PUB ${'p'.repeat(4095)} 0\r\n\r\n`),
  ),
  scenario('HPUB line beyond its limit', 'open', (s) =>
    s
      .client('a')
      .send('a', `HPUB ${'p'.repeat(4092)} 0 0\r\n\r\n`)
      .send('a', `HPUB ${'p'.repeat(4093)} 0 0\r\n\r\n`),
  ),
  scenario('UNSUB line beyond its limit', 'open', (s) =>
    s
      .client('a')
      .send('a', `UNSUB ${'u'.repeat(4096)}\r\n`)
      .send('a', `UNSUB ${'u'.repeat(4097)}\r\n`),
  ),
  scenario('CONNECT line at its limit', 'open', (s) => s.open('a').send('a', connectOf(4096))),
  scenario('CONNECT line beyond its limit', 'open', (s) => s.open('a').send('a', connectOf(4097))),
  scenario('unterminated line beyond the limit', 'short-lines', (s) =>
    s
      .client('a')
      .raw('a', `SUB ${'x'.repeat(150)}`)
      .closed('a'),
  ),
  scenario('unterminated line grown beyond the limit', 'short-lines', (s) =>
    s
      .client('a')
      .raw('a', `PUB ${'x'.repeat(60)}`)
      .raw('a', 'x'.repeat(60))
      .closed('a'),
  ),
  scenario('unterminated CONNECT beyond the limit', 'short-lines', (s) =>
    s
      .open('a')
      .raw('a', `CONNECT {"name":"${'x'.repeat(150)}`)
      .closed('a'),
  ),
  scenario('blanks count for the control line', 'short-lines', (s) =>
    s
      .client('a')
      .send('a', `SUB x${' '.repeat(98)}1\r\n`)
      .send('a', `SUB x${' '.repeat(99)}1\r\n`),
  ),
  scenario('blanks before the arguments do not count', 'short-lines', (s) =>
    s.client('a').send('a', `SUB${' '.repeat(300)}${'x'.repeat(98)} 1\r\n`),
  ),
  scenario('PING and +OK have no limit', 'short-lines', (s) =>
    s.client('a').send('a', `PING${'x'.repeat(500)}\r\n+OK ${'x'.repeat(500)}\r\nPONG${'x'.repeat(500)}\r\n`),
  ),
  scenario('payload is not part of the control line', 'short-lines', (s) =>
    s.client('a').send('a', `SUB big 1\r\n${pub('big', 'x'.repeat(5000))}`),
  ),
  scenario('maximum connections', 'max-connections', (s) =>
    s.client('a').client('b').open('c').closed('c').send('a', 'PING\r\n').hangUp('b'),
  ),
  scenario('no connections allowed', 'no-connections', (s) => s.open('a').closed('a')),
  scenario('stale connection', 'keepalive', (s) => {
    s.keepPings = true;
    s.open('a').raw('a', connectLine()).closed('a');
  }),
  scenario('answered pings keep the connection', 'keepalive', (s) => {
    s.keepPings = true;
    s.open('a').raw('a', connectLine());
    for (let round = 0; round < 4; round += 1) s.until('a', 'PING').raw('a', 'PONG\r\n');
  }),
  scenario('a client PING is answered at once', 'keepalive', (s) =>
    s.open('a').raw('a', `${connectLine()}PING\r\n`).until('a', 'PONG'),
  ),
];
