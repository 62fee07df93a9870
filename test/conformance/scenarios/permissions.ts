/** Scenarios: publish and subscribe permissions, queue forms, deny at delivery, responses (spec: auth-accounts §5). */
import { hpub, pub, type Scenario, type ScenarioBuilder, scenario } from '../scenario.ts';

const as = (user: string): Record<string, unknown> => ({ user, pass: 'pw' });

function permission(name: string, user: string, describe: (s: ScenarioBuilder) => void): Scenario {
  return scenario(`permissions: ${name}`, 'accounts', (s) => {
    s.client('a', { ...as(user), verbose: true }).client('b', as('all'));
    describe(s);
  });
}

function publishes(...subjects: string[]): (s: ScenarioBuilder) => void {
  return (s) => {
    s.send('b', 'SUB > 1\r\n');
    for (const subject of subjects) s.send('a', pub(subject, 'm'));
  };
}

function subscribes(subjects: string[], published: string[] = []): (s: ScenarioBuilder) => void {
  return (s) => {
    for (const [index, subject] of subjects.entries()) s.send('a', `SUB ${subject} ${index}\r\n`);
    for (const subject of published) s.send('b', pub(subject, subject));
  };
}

/** A request of `b` to `a`, then `answers` messages of `a` to the reply subject. */
function responds(
  user: string,
  name: string,
  answers: number,
  more: (s: ScenarioBuilder) => void = () => undefined,
): Scenario {
  return permission(`responses: ${name}`, user, (s) => {
    s.send('a', 'SUB svc.x 1\r\n').send('b', `SUB ${user}.in.> 1\r\n`);
    s.send('a', pub(`${user}.in.0`, 'unasked'));
    s.send('b', pub('svc.x', 'q', `${user}.in.1`));
    for (let count = 1; count <= answers; count += 1) s.send('a', pub(`${user}.in.1`, `answer ${count}`));
    more(s);
  });
}

export const permissions: Scenario[] = [
  permission('publish allow as string', 'strings', publishes('p.x', 'p', 'p.x.y', 'q.x', 'p.*', 'p.>')),
  permission('publish allow as list', 'lists', publishes('p.a', 'p.b', 'p.c', 'p.a.b')),
  permission('publish allow and deny', 'deny', publishes('p.x', 'p.no', 'p.no.x', 'p.nox', 'x')),
  permission('publish deny only', 'denyonly', publishes('p.x', 'p.no', 'p.no.x')),
  permission('publish with an empty allow list', 'noallow', publishes('p.x', 'x')),
  permission('publish nothing allowed', 'nothing', publishes('p.x', 'x', '_INBOX.x')),
  permission('wildcard publish subjects are text', 'wild', publishes('x.a', 'x.*', 'x.>', 'x.a.b')),
  permission(
    'publish error quotes its subject',
    'nothing',
    publishes(
      'q"uote',
      'back\\slash',
      'ctl\x01',
      'high\xc3\xa9',
      'bad\xff',
      'del\x7f',
      'tick`s',
      'bell\x07',
      'bom\xef\xbb\xbf',
    ),
  ),
  permission('publish reply is not checked', 'strings', (s) =>
    s.send('b', 'SUB p.x 1\r\n').send('a', pub('p.x', 'm', 'not.allowed')),
  ),
  permission('publish with headers', 'strings', (s) =>
    s
      .send('b', 'SUB > 1\r\n')
      .send('a', hpub('p.x', 'NATS/1.0\r\n\r\n', 'm') + hpub('q', 'NATS/1.0\r\n\r\n', 'm')),
  ),
  permission('publish in pedantic mode', 'strings', (s) =>
    s
      .client('c', { ...as('strings'), pedantic: true, verbose: true })
      .send('c', pub('q.*', 'm'))
      .send('c', pub('p.*', 'm')),
  ),
  permission(
    'subscribe allow as string',
    'strings',
    subscribes(['s.a', 's.>', 's.*', 's', '>', '*', 's.a.b'], ['s.a']),
  ),
  permission('subscribe allow as list', 'lists', subscribes(['s.a', 's.b', 's.b.c', 's.b.*', 's.*'])),
  permission(
    'subscribe allow and deny',
    'deny',
    subscribes(['s.a', 's.no', 's.no.x', 's.no.*', 's.*', 's.>'], ['s.no', 's.a', 's.no.x']),
  ),
  permission('subscribe deny only', 'denyonly', subscribes(['s.no', 's.*', 's.no.x', 'x'], ['s.no', 's.a'])),
  permission('subscribe to a full wildcard where a partial one is denied', 'denydelivery', (s) =>
    s
      .send('a', 'SUB d.*.> 1\r\nSUB d.a.> 2\r\n')
      .send('b', pub('d.a.hidden', 'hidden') + pub('d.a.b', 'seen') + pub('d.a.b.c', 'seen')),
  ),
  permission('subscribe with an empty allow list', 'noallow', subscribes(['x', '>', 'a.b'])),
  permission('subscribe nothing allowed', 'nothing', subscribes(['x', '>', 'a.b', 'x q'])),
  permission(
    'subscribe wildcard allow',
    'wild',
    subscribes(['w.>', 'w.x', 'w.*', '>', 'w', 'l.a.c', 'l.*.c', 'l.>', 'l.*.*']),
  ),
  permission(
    'subscribe error quotes subject and queue',
    'nothing',
    subscribes(['q"uote', 'back\\slash qu"eue', 'ctl\x01', 'hi\xc3\xa9', 'sub ctl\x02\xff']),
  ),
  permission(
    'deny filters at delivery',
    'denydelivery',
    subscribes(
      ['d.*', 'd.>', '>', 'd.secret', 'd.a.hidden', 'd.*.hidden'],
      ['d.open', 'd.secret', 'd.a.hidden', 'd.a.seen'],
    ),
  ),
  permission('deny at delivery does not count for auto-unsubscribe', 'denydelivery', (s) =>
    s
      .send('a', 'SUB d.* 1\r\nUNSUB 1 2\r\n')
      .send(
        'b',
        pub('d.secret', '0') + pub('d.x', '1') + pub('d.secret', '2') + pub('d.x', '3') + pub('d.x', '4'),
      ),
  ),
  permission('deny at delivery leaves a queue to another member', 'denydelivery', (s) =>
    s
      .send('a', 'SUB d.* dq1 1\r\n')
      .client('c', as('all'))
      .send('c', 'SUB d.secret dq1 1\r\n')
      .send('b', pub('d.secret', '1') + pub('d.secret', '2') + pub('d.secret', '3')),
  ),
  permission(
    'queue forms in allow',
    'queues',
    subscribes(
      [
        'bar',
        'bar v1',
        'bar v2',
        'foo',
        'foo any',
        'both',
        'both v1',
        'both v2',
        'q.x grp.1',
        'q.x grp',
        'q.x',
        'q.* grp.*',
        'q.x grp.1.2',
      ],
      ['bar', 'foo', 'both', 'q.x'],
    ),
  ),
  permission(
    'queue forms in deny',
    'denyqueue',
    subscribes(
      ['w.q', 'w.q dq', 'w.q ok', 'w.* dq', 'x.a', 'x.a prod.1', 'x.a prod', 'x.> prod.1', 'x.> test'],
      ['w.q', 'w.z', 'x.a'],
    ),
  ),
  responds('responder', 'one by default', 3),
  responds('two', 'two', 3),
  responds('unlimited', 'unlimited', 6),
  responds('mixed', 'beside an allow list', 2, (s) => s.send('a', pub('log.x', 'm') + pub('other', 'm'))),
  responds('denyresp', 'beside a deny list', 2, (s) => s.send('a', pub('p.no', 'm') + pub('p.yes', 'm'))),
  responds('responder', 'another reply is another permission', 1, (s) =>
    s
      .send('b', pub('svc.x', 'q', 'responder.in.2') + pub('svc.x', 'q', 'responder.in.3'))
      .send('a', pub('responder.in.3', 'x') + pub('responder.in.2', 'y') + pub('responder.in.4', 'z')),
  ),
  responds('responder', 'a repeated request renews it', 1, (s) =>
    s
      .send('b', pub('svc.x', 'q', 'responder.in.1'))
      .send('a', pub('responder.in.1', 'again'))
      .send('a', pub('responder.in.1', 'and again')),
  ),
  permission('responses: requests without reply give nothing', 'responder', (s) =>
    s.send('a', 'SUB svc.x 1\r\n').send('b', pub('svc.x', 'q')).send('a', pub('svc.in', 'm')),
  ),
  permission('responses: a request of the same connection', 'responder', (s) =>
    s
      .send('a', 'SUB svc.x 1\r\n')
      .send('b', pub('svc.x', 'q', 'self.in'))
      .send('a', hpub('self.in', 'NATS/1.0\r\n\r\n', 'm'))
      .send('a', pub('self.in', 'm')),
  ),
];
