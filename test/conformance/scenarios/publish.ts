/** Scenarios: PUB and HPUB, headers, reserved subjects, no responders (spec §5, §7, §8). */
import { headerBlock, hpub, pub, type Scenario, scenario } from '../scenario.ts';

const BAD_PUBLISHES: [string, string][] = [
  ['PUB without arguments', 'PUB\r\n'],
  ['PUB with a blank argument', 'PUB \r\n'],
  ['PUB with one argument', 'PUB foo\r\n'],
  ['PUB with four arguments', 'PUB foo bar baz 2\r\nhi\r\n'],
  ['PUB with a word for size', 'PUB foo abc\r\n'],
  ['PUB with a negative size', 'PUB foo -1\r\n'],
  ['PUB with a signed size', 'PUB foo +1\r\nx\r\n'],
  ['PUB with a fraction', 'PUB foo 1.5\r\n'],
  ['PUB with hexadecimal', 'PUB foo 0x2\r\nhi\r\n'],
  ['PUB with ten digits', 'PUB foo 0000000002\r\nhi\r\n'],
  ['PUB with a huge size', 'PUB foo 99999999999999999999\r\n'],
  ['PUB beyond the maximum payload', 'PUB foo 1048577\r\n'],
  ['PUB with nine digits', 'PUB foo 999999999\r\n'],
  ['HPUB without arguments', 'HPUB\r\n'],
  ['HPUB with two arguments', 'HPUB foo 12\r\n'],
  ['HPUB with five arguments', 'HPUB foo a b 12 12\r\nNATS/1.0\r\n\r\n\r\n'],
  ['HPUB with a word for header size', 'HPUB foo x 12\r\n'],
  ['HPUB with a word for total', 'HPUB foo 12 x\r\n'],
  ['HPUB with a negative header size', 'HPUB foo -1 12\r\n'],
  ['HPUB with header size above total', 'HPUB foo 13 12\r\nNATS/1.0\r\n\r\n\r\n'],
  ['HPUB with ten digits', 'HPUB foo 0000000012 12\r\n'],
  ['HPUB beyond the maximum payload', 'HPUB foo 12 1048577\r\n'],
];

const RESERVED_SUBJECTS = [
  '_GR_.x',
  '_GR_.',
  '_GR_',
  '$NRG.x',
  '$NRG.',
  '$NRG',
  '$SYS.x',
  '$JS.x',
  '$KV.x',
  '$O.x',
  '_R_.x',
  '$GNR.x',
  '_INBOX.x',
];

const RESERVED_REPLIES = [
  '_R_.x',
  '_R_.',
  '_R_',
  '$JS.ACK.x',
  '$JS.ACK.',
  '$JS.ACK',
  '_GR_.x',
  '_GR_.',
  '_INBOX.x',
  '$SYS.x',
];

const HEADERS = headerBlock('A: b', 'A: c', 'lower:x');

export const publish: Scenario[] = [
  ...BAD_PUBLISHES.map(([name, bytes]) => scenario(name, 'open', (s) => s.client('a').send('a', bytes))),
  ...RESERVED_SUBJECTS.map((subject) =>
    scenario(`publish on ${subject}`, 'open', (s) =>
      s.client('a', { verbose: true }).send('a', 'SUB > 1\r\n').send('a', pub(subject, 'x')),
    ),
  ),
  ...RESERVED_REPLIES.map((reply) =>
    scenario(`publish with reply ${reply}`, 'open', (s) =>
      s
        .client('a', { verbose: true })
        .send('a', 'SUB reserved.reply 1\r\n')
        .send('a', pub('reserved.reply', 'x', reply)),
    ),
  ),
  scenario('sizes are passed on as written', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB size 1\r\n')
      .send(
        'a',
        'PUB size 0005\r\nhello\r\nPUB size r 000000005\r\nhello\r\nPUB size 0\r\n\r\nPUB size 000\r\n\r\n',
      )
      .send('a', 'HPUB size 012 0014\r\nNATS/1.0\r\n\r\nhi\r\n'),
  ),
  scenario('subjects with empty tokens match nothing', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB > 1\r\nSUB *.* 2\r\n')
      .send('a', pub('e..x', '1') + pub('.e', '2') + pub('e.', '3') + pub('.', '4') + pub('..', '5')),
  ),
  scenario('wildcards in publish subjects are text', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB wp.* 1\r\nSUB wp.> 2\r\nSUB wp.x 3\r\n')
      .send('a', pub('wp.*', 'star'))
      .send('a', pub('wp.>', 'full'))
      .send('a', pub('wp.x', 'x')),
  ),
  scenario('header forms', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB h.x 1\r\n')
      .send('a', hpub('h.x', HEADERS, 'body'))
      .send('a', hpub('h.x', HEADERS, '', 'reply.h'))
      .send('a', hpub('h.x', 'NATS/1.0\r\n\r\n', ''))
      .send('a', hpub('h.x', 'NATS/1.0 503 Some Status\r\n\r\n', 'x'))
      .send('a', hpub('h.x', 'garbage', 'body'))
      .send('a', hpub('h.x', '', 'only body'))
      .send('a', hpub('h.x', '', '')),
  ),
  scenario('headers are stripped for clients without them', 'open', (s) =>
    s
      .client('a')
      .client('b', { headers: false })
      .send('b', 'SUB strip.x 1\r\nSUB strip.* q 2\r\n')
      .send('a', 'SUB strip.x 1\r\n')
      .send('a', hpub('strip.x', HEADERS, 'body', 'r.x'))
      .send('a', hpub('strip.x', HEADERS, '')),
  ),
  scenario('HPUB without headers enabled', 'open', (s) =>
    s.client('a', { headers: false }).send('a', hpub('x', 'NATS/1.0\r\n\r\n', 'b')),
  ),
  scenario('no responders', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .send('a', 'SUB nr1.in.* 1\r\n')
      .send('a', pub('nr1.none', 'q', 'nr1.in.1'))
      .send('a', 'SUB nr1.some 2\r\n')
      .send('a', pub('nr1.some', 'q', 'nr1.in.2'))
      .send('a', pub('nr1.none', 'q')),
  ),
  scenario('no responders without a subscription to the reply', 'open', (s) =>
    s.client('a', { no_responders: true }).send('a', pub('nr2.none', 'q', 'nr2.in.1')),
  ),
  scenario('no responders with the reply subscribed by another only', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .client('b')
      .send('b', 'SUB nr3.in.* 1\r\n')
      .send('a', pub('nr3.none', 'q', 'nr3.in.1')),
  ),
  scenario('no responders with a queue subscription to the reply', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .send('a', 'SUB nr4.in.* q 1\r\n')
      .send('a', pub('nr4.none', 'q', 'nr4.in.1')),
  ),
  scenario('no responders is per connection', 'open', (s) =>
    s
      .client('a', { no_responders: false })
      .send('a', 'SUB nr5.in.* 1\r\n')
      .send('a', pub('nr5.none', 'q', 'nr5.in.1')),
  ),
  scenario('no responders does not count for auto-unsubscribe', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .send('a', 'SUB nr6.in.* 1\r\nUNSUB 1 2\r\n')
      .send('a', pub('nr6.none', 'q', 'nr6.in.1'))
      .send('a', pub('nr6.none', 'q', 'nr6.in.2'))
      .send('a', pub('nr6.none', 'q', 'nr6.in.3'))
      .send('a', pub('nr6.in.4', 'm') + pub('nr6.in.5', 'm') + pub('nr6.in.6', 'm')),
  ),
  scenario('no responders with headers in the request', 'open', (s) =>
    s
      .client('a', { no_responders: true, verbose: true })
      .send('a', 'SUB nr7.in.* 1\r\n')
      .send('a', hpub('nr7.none', HEADERS, 'q', 'nr7.in.1')),
  ),
  scenario('no responders when the only responder is oneself without echo', 'open', (s) =>
    s
      .client('a', { no_responders: true, echo: false })
      .send('a', 'SUB nr8.in.* 1\r\nSUB nr8.svc 2\r\n')
      .send('a', pub('nr8.svc', 'q', 'nr8.in.1')),
  ),
  scenario('no responders with several subscriptions to the reply', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .send('a', 'SUB nr9.in.1 one\r\n')
      .send('a', pub('nr9.none', 'q', 'nr9.in.1')),
  ),
  scenario('request and reply between two connections', 'open', (s) =>
    s
      .client('a', { no_responders: true })
      .client('b')
      .send('b', 'SUB rr.svc q 1\r\n')
      .send('a', 'SUB rr.in.* 9\r\n')
      .send('a', pub('rr.svc', 'question', 'rr.in.1'))
      .send('b', pub('rr.in.1', 'answer'))
      .hangUp('b')
      .send('a', pub('rr.in.1', 'self')),
  ),
  scenario('maximum payload allows its own size', 'limits', (s) =>
    s
      .client('a')
      .send('a', 'SUB mp 1\r\n')
      .send('a', pub('mp', 'x'.repeat(100)))
      .send('a', `PUB mp 101\r\n${'x'.repeat(101)}\r\n`),
  ),
  scenario('maximum payload counts headers', 'limits', (s) =>
    s
      .client('a')
      .send('a', 'SUB mph 1\r\n')
      .send('a', hpub('mph', 'NATS/1.0\r\n\r\n', 'x'.repeat(88)))
      .send('a', hpub('mph', 'NATS/1.0\r\n\r\n', 'x'.repeat(89))),
  ),
  scenario('maximum payload is checked before the payload arrives', 'limits', (s) =>
    s.client('a').raw('a', 'PUB mp 101\r\n').closed('a'),
  ),
];
