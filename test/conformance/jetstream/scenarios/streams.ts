/** Names, lists, infos, purges, clustered endpoints on a single server, API levels (jetstream-api §2, §3). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

function fill(script: Script, storage: string, name = 'S'): void {
  script.create({ name, subjects: ['s.>'], storage });
  for (const subject of ['s.a', 's.b', 's.a', 's.c.d', 's.b']) script.publish(subject, `to ${subject}`);
}

const lists = jetStreamScenario('streams: names and lists', (script) => {
  script.api('STREAM.NAMES');
  script.api('STREAM.LIST');
  for (const name of ['B', 'A', 'C']) script.create({ name, subjects: [`${name}.>`], storage: 'memory' });
  for (const endpoint of ['STREAM.NAMES', 'STREAM.LIST'])
    for (const body of [
      '',
      {},
      { offset: 1 },
      { offset: 9 },
      { offset: -1 },
      { subject: 'A.x' },
      { subject: '*.x' },
      { subject: 'zz' },
      { subject: 'B.>', offset: 1 },
      { unknown: 1 },
      '{',
      'not JSON',
    ])
      script.api(endpoint, body);
});

const info = jetStreamScenario('streams: info', (script) => {
  script.api('STREAM.INFO.S');
  fill(script, 'file');
  script.api('STREAM.MSG.DELETE.S', { seq: 2 });
  script.api('STREAM.MSG.DELETE.S', { seq: 4 });
  for (const body of [
    '',
    {},
    { deleted_details: true },
    { subjects_filter: '>' },
    { subjects_filter: 's.a' },
    { subjects_filter: 'nothing' },
    { subjects_filter: '>', offset: 1 },
    { subjects_filter: '>', offset: 9, deleted_details: true },
    { offset: 1 },
    { unknown: true },
    '{"offset":"x"}',
    '[',
    'text',
  ])
    script.api('STREAM.INFO.S', body);
});

const purge = (storage: string): JetStreamScenario =>
  jetStreamScenario(`streams: purge, ${storage}`, (script) => {
    script.api('STREAM.PURGE.S');
    // Names of their own: nats-server may find messages of a stream of the same name that was deleted just now.
    const bodies = [
      '',
      {},
      { seq: 1 },
      { seq: 3 },
      { seq: 9 },
      { keep: 2 },
      { keep: 9 },
      { filter: 's.a' },
      { filter: 's.*', keep: 1 },
      { filter: 's.b', seq: 3 },
      { filter: '>' },
      { filter: 'nothing' },
      { seq: 2, keep: 2 },
      { filter: 's..x' },
      { unknown: 1 },
      '{"seq":-1}',
      'text',
    ];
    for (const [index, body] of bodies.entries()) {
      const name = `S${index}`;
      fill(script, storage, name);
      script.api(`STREAM.PURGE.${name}`, body);
      script.api(`STREAM.INFO.${name}`, { deleted_details: true });
      script.api(`STREAM.DELETE.${name}`);
    }
  });

const denied = jetStreamScenario('streams: what flags deny', (script) => {
  script.create({ name: 'S', subjects: ['s'], deny_delete: true, deny_purge: true });
  script.publish('s', 'x');
  script.api('STREAM.PURGE.S');
  script.api('STREAM.MSG.DELETE.S', { seq: 1 });
  script.publish('s', 'x', 'Nats-Rollup: all');
  script.api('STREAM.INFO.S');
});

const deletion = jetStreamScenario('streams: deletion', (script) => {
  script.api('STREAM.DELETE.S');
  script.create({ name: 'S', subjects: ['s'], storage: 'memory' });
  script.api('STREAM.DELETE.S', 'text');
  script.api('STREAM.DELETE.S', { a: 1 });
  script.api('STREAM.DELETE.S', ' {  } ');
  script.api('STREAM.INFO.S');
  script.request('s', 'x');
});

const clustered = jetStreamScenario('streams: endpoints that need a cluster', (script) => {
  script.create({ name: 'S', subjects: ['s'], storage: 'memory' });
  script.api('STREAM.LEADER.STEPDOWN.S');
  script.api('STREAM.PEER.REMOVE.S', { peer: 'x' });
  script.api('STREAM.PEER.EVACUATE.S', { peer: 'x' });
  script.api('STREAM.CANCEL_MOVE.S');
  script.api('STREAM.LEADER.STEPDOWN.T');
  script.api('STREAM.LEADER.STEPDOWN.S', '{');
});

const unknown = jetStreamScenario('streams: subjects of no endpoint', (script) => {
  script.api('FOO.BAR', '', { replies: 'nothing' });
  script.api('STREAM.INFO', '', { replies: 'nothing' });
  script.api('STREAM.INFO.S.T', '', { replies: 'nothing' });
  script.api('STREAM.TEMPLATE.NAMES', '', { replies: 'nothing' });
  script.api('META.LEADER.STEPDOWN', '', { replies: 'nothing' });
  script.api('ACCOUNT.PURGE.A', '', { replies: 'nothing' });
  script.api('INFO');
  script.api('INFO', 'anything');
  script.api('DIRECT.GET.S', { seq: 1 });
  script.api('DIRECT.GET.S.a.b', '');
});

const levels = jetStreamScenario('streams: API levels', (script) => {
  script.create({ name: 'S', subjects: ['s'], storage: 'memory', allow_direct: true });
  for (const level of ['5', '6', '0', 'x', '-1', '99999999999999999999']) {
    script.api('STREAM.INFO.S', '', { headers: [`Nats-Required-Api-Level: ${level}`] });
    script.api('INFO', '', { headers: [`Nats-Required-Api-Level: ${level}`] });
    script.api('DIRECT.GET.S', { seq: 1 }, { headers: [`Nats-Required-Api-Level: ${level}`] });
    script.publish('s', level, `Nats-Required-Api-Level: ${level}`);
  }
  script.api('STREAM.MSG.GET.S', { seq: 1 });
});

const snapshots = jetStreamScenario('streams: snapshot and restore requests', (script) => {
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'R.d' });
  fill(script, 'file');
  script.api('STREAM.SNAPSHOT.S');
  script.api('STREAM.SNAPSHOT.S', {});
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'a.*' });
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'a b' });
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'R.d', foo: 1 });
  script.api('STREAM.SNAPSHOT.S', '{');
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'R.d' }, { replies: 3 });
  script.api('STREAM.RESTORE.S');
  script.api('STREAM.RESTORE.S', '{');
  script.api('STREAM.RESTORE.S', { config: { name: 'T' }, state: {} });
  script.api('STREAM.RESTORE.S', { config: { name: 'S' }, state: {} });
  script.api('STREAM.RESTORE.T', { config: { name: 'T', subjects: ['a..b'] }, state: {} });
});

export const streams: JetStreamScenario[] = [
  lists,
  info,
  purge('file'),
  purge('memory'),
  denied,
  deletion,
  clustered,
  unknown,
  levels,
  snapshots,
];
