/** Scenarios: SUB, UNSUB, auto-unsubscribe, wildcards, queues (spec §6, §7). */
import { pub, type Scenario, scenario } from '../scenario.ts';

const BAD_LINES: [string, string][] = [
  ['SUB without arguments', 'SUB\r\n'],
  ['SUB with a blank argument', 'SUB \r\n'],
  ['SUB with one argument', 'SUB foo\r\n'],
  ['SUB with four arguments', 'SUB foo q 1 2\r\n'],
  ['UNSUB without arguments', 'UNSUB\r\n'],
  ['UNSUB with a blank argument', 'UNSUB \r\n'],
  ['UNSUB with three arguments', 'UNSUB 1 2 3\r\n'],
];

const INVALID_SUBJECTS = ['.', '..', '.a', 'a.', 'a..b', '>.a', 'a.>.b', 'a.>.>'];
const LITERAL_TOKENS = ['lit.a*', 'lit.*b', 'lit.a>b', 'lit.>x', 'lit.x>', 'lit.**', 'lit.>>'];

const MATCHES: [string, string[]][] = [
  ['m.*', ['m.a', 'm', 'm.a.b', 'M.a']],
  ['m.>', ['m.a', 'm', 'm.a.b']],
  ['*.b', ['m.b', 'b', 'm.b.c']],
  ['m.*.c', ['m.b.c', 'm..c', 'm.c']],
  ['*.*', ['m.b', 'm']],
  ['m.*.>', ['m.a', 'm.a.b', 'm.a.b.c']],
];

export const subscribe: Scenario[] = [
  ...BAD_LINES.map(([name, bytes]) =>
    scenario(name, 'open', (s) => s.client('a', { verbose: true }).send('a', bytes)),
  ),
  ...INVALID_SUBJECTS.map((subject) =>
    scenario(`SUB with invalid subject ${subject}`, 'open', (s) =>
      s.client('a', { verbose: true }).send('a', `SUB ${subject} 1\r\n`).send('a', `SUB ${subject} q 2\r\n`),
    ),
  ),
  ...LITERAL_TOKENS.map((subject) =>
    scenario(`SUB with literal token ${subject}`, 'open', (s) =>
      s
        .client('a')
        .send('a', `SUB ${subject} 1\r\n`)
        .send('a', pub(subject, 'same') + pub('lit.axb', 'other') + pub('lit.a', 'a') + pub('lit.x', 'x')),
    ),
  ),
  ...MATCHES.map(([subject, published]) =>
    scenario(`subscription ${subject} and what it matches`, 'open', (s) =>
      s
        .client('a')
        .send('a', `SUB ${subject} 1\r\n`)
        .send('a', published.map((target) => pub(target, target)).join('')),
    ),
  ),
  scenario('each matching subscription gets a copy', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB copy.x 1\r\nSUB copy.* 2\r\nSUB copy.> 3\r\nSUB copy.x 4\r\n')
      .send('b', 'SUB copy.x 1\r\n')
      .send('b', pub('copy.x', 'm')),
  ),
  scenario('a used sid is ignored', 'open', (s) =>
    s
      .client('a', { verbose: true })
      .send('a', 'SUB dup.a 1\r\nSUB dup.b 1\r\n')
      .send('a', pub('dup.a', 'a'))
      .send('a', pub('dup.b', 'b'))
      .send('a', 'UNSUB 1\r\nSUB dup.b 1\r\n')
      .send('a', pub('dup.b', 'b')),
  ),
  scenario('sids are any text', 'open', (s) =>
    s
      .client('a')
      .send('a', `SUB sid.x abc-DEF_{}"\r\nSUB sid.x ${'9'.repeat(200)}\r\nSUB sid.x 01\r\nSUB sid.x 1\r\n`)
      .send('a', pub('sid.x', 'm'))
      .send('a', 'UNSUB 01\r\n')
      .send('a', pub('sid.x', 'n')),
  ),
  scenario('UNSUB stops delivery', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB un.x 1\r\n')
      .send('b', pub('un.x', '1'))
      .send('a', 'UNSUB 1\r\n')
      .send('b', pub('un.x', '2')),
  ),
  scenario('auto-unsubscribe after a number of messages', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB auto.x 1\r\nUNSUB 1 2\r\n')
      .send('b', pub('auto.x', '1') + pub('auto.x', '2') + pub('auto.x', '3'))
      .send('a', 'SUB auto.x 1\r\n')
      .send('b', pub('auto.x', '4')),
  ),
  scenario('auto-unsubscribe counts from SUB', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB autoc.x 1\r\n')
      .send('b', pub('autoc.x', '1') + pub('autoc.x', '2'))
      .send('a', 'UNSUB 1 3\r\n')
      .send('b', pub('autoc.x', '3') + pub('autoc.x', '4')),
  ),
  scenario('auto-unsubscribe already reached', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB autor.x 1\r\n')
      .send('b', pub('autor.x', '1') + pub('autor.x', '2'))
      .send('a', 'UNSUB 1 2\r\n')
      .send('b', pub('autor.x', '3')),
  ),
  ...['0', '-1', 'abc', '1.5', '00', '99999999999999999999'].map((max) =>
    scenario(`UNSUB with maximum ${max}`, 'open', (s) =>
      s
        .client('a', { verbose: true })
        .client('b')
        .send('a', `SUB umax.x 1\r\nUNSUB 1 ${max}\r\n`)
        .send('b', pub('umax.x', '1') + pub('umax.x', '2')),
    ),
  ),
  scenario('a later UNSUB replaces the maximum', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB autol.x 1\r\nUNSUB 1 1\r\nUNSUB 1 3\r\n')
      .send('b', pub('autol.x', '1') + pub('autol.x', '2'))
      .send('a', 'UNSUB 1 9\r\nUNSUB 1\r\n')
      .send('b', pub('autol.x', '3')),
  ),
  scenario('auto-unsubscribe within one segment of one connection', 'open', (s) =>
    s
      .client('a')
      .send(
        'a',
        `SUB autos.x 1\r\nUNSUB 1 2\r\n${pub('autos.x', '1')}${pub('autos.x', '2')}${pub('autos.x', '3')}`,
      ),
  ),
  scenario('messages not delivered do not count', 'open', (s) =>
    s
      .client('a', { echo: false })
      .client('b')
      .send('a', `SUB autoe.x 1\r\nUNSUB 1 1\r\n${pub('autoe.x', 'own')}`)
      .send('b', pub('autoe.x', '1') + pub('autoe.x', '2')),
  ),
  scenario('one queue member gets everything', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB q1.x workers 1\r\n')
      .send('b', pub('q1.x', '1') + pub('q1.x', '2') + pub('q1.x', '3')),
  ),
  scenario('every queue and every plain subscription gets a copy', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .send('a', 'SUB q2.x one 1\r\nSUB q2.x two 2\r\nSUB q2.* three 3\r\nSUB q2.x 4\r\n')
      .send('b', pub('q2.x', 'm')),
  ),
  scenario('auto-unsubscribe of a queue member leaves the rest', 'open', (s) =>
    s
      .client('a')
      .client('b')
      .client('c')
      .send('a', 'SUB q3.x w 1\r\nUNSUB 1 1\r\n')
      .send('c', pub('q3.x', '1'))
      .send('b', 'SUB q3.x w 1\r\n')
      .send('c', pub('q3.x', '2') + pub('q3.x', '3')),
  ),
  scenario('queue names differ by case and are opaque', 'open', (s) =>
    s
      .client('a')
      .send(
        'a',
        `SUB q4.x W 1\r\nSUB q4.x w 2\r\nSUB q4.x * 3\r\nSUB q4.x > 4\r\nSUB q4.x a..b 5\r\nSUB q4.x ${'z'.repeat(300)} 6\r\n`,
      )
      .send('a', pub('q4.x', 'm')),
  ),
  scenario('queue _sys_ is denied', 'open', (s) =>
    s.client('a', { verbose: true }).send('a', 'SUB q5.x _sys_ 1\r\n').send('a', pub('q5.x', 'm')),
  ),
  scenario('maximum subscriptions', 'limits', (s) =>
    s
      .client('a', { verbose: true })
      .send('a', 'SUB ms.a 1\r\nSUB ms.b 2\r\nSUB ms.c 3\r\n')
      .send('a', 'SUB ms.d 4\r\n')
      .send('a', 'SUB ms.a 1\r\n')
      .send('a', 'UNSUB 1\r\nSUB ms.d 4\r\n')
      .send('a', pub('ms.d', 'm')),
  ),
  scenario('maximum subscription tokens', 'limits', (s) =>
    s
      .client('a', { verbose: true })
      .send(
        'a',
        'SUB a.b.c.d 1\r\nSUB a.b.c.d.e 2\r\nSUB a.b.c.d.e q 3\r\nSUB a.b.c.> 4\r\nSUB a.*.c.d.> 5\r\n',
      )
      .send('a', pub('a.b.c.d.e', 'm')),
  ),
];
