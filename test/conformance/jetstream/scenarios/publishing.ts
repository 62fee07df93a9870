/** Publishing: acknowledgements, every refusal, headers, limits, retention as far as the stream decides (jetstream-streams §3–§7). */
import { type JetStreamScenario, jetStreamScenario } from '../script.ts';

const BASE = { name: 'S', subjects: ['s.>'], storage: 'memory' };
const SECOND = 1_000_000_000;

const expectations = (storage: string): JetStreamScenario =>
  jetStreamScenario(`publishing: expectations, ${storage}`, (script) => {
    script.create({ ...BASE, storage });
    script.publish('s.a', 'one', 'Nats-Msg-Id: 1');
    script.publish('s.b', 'two');
    for (const headers of [
      ['Nats-Expected-Stream: S'],
      ['Nats-Expected-Stream: T'],
      ['Nats-Expected-Last-Sequence: 3'],
      ['Nats-Expected-Last-Sequence: 1'],
      ['Nats-Expected-Last-Sequence: x'],
      ['Nats-Expected-Last-Sequence: 0'],
      ['Nats-Expected-Last-Subject-Sequence: 4'],
      ['Nats-Expected-Last-Subject-Sequence: 1'],
      ['Nats-Expected-Last-Subject-Sequence: 0'],
      ['Nats-Expected-Last-Subject-Sequence: x'],
      ['Nats-Expected-Last-Subject-Sequence: 2', 'Nats-Expected-Last-Subject-Sequence-Subject: s.b'],
      ['Nats-Expected-Last-Subject-Sequence: 9', 'Nats-Expected-Last-Subject-Sequence-Subject: s.*'],
      ['Nats-Expected-Last-Subject-Sequence: 0', 'Nats-Expected-Last-Subject-Sequence-Subject: s.z'],
      ['Nats-Expected-Last-Subject-Sequence-Subject: s.b'],
      ['Nats-Expected-Last-Msg-Id: 1'],
      ['Nats-Expected-Last-Msg-Id: '],
      ['Nats-Msg-Id: 1'],
      ['Nats-Msg-Id: 2'],
      ['Nats-Expected-Last-Msg-Id: 2'],
      ['Nats-Expected-Last-Msg-Id: 2'],
      ['Nats-Msg-Id: 2', 'Nats-Expected-Last-Sequence: 1'],
      ['Nats-Stream-Source: x'],
      ['nats-expected-last-sequence: 1'],
      ['Nats-Expected-Last-Sequence: 4, 5'],
    ])
      script.publish('s.a', 'x', ...headers);
    script.api('STREAM.INFO.S');
  });

const rollups = jetStreamScenario('publishing: roll-ups', (script) => {
  script.create(BASE);
  script.publish('s.a', 'x', 'Nats-Rollup: sub');
  script.publish('s.a', 'x', 'Nats-Rollup: ');
  script.publish('s.a', 'x', 'Nats-Rollup: zz');
  script.update({ ...BASE, allow_rollup_hdrs: true });
  for (const value of ['zz', 'sub', 'SUB', 'all', 'All', ''])
    for (const subject of ['s.a', 's.b']) script.publish(subject, 'x', `Nats-Rollup: ${value}`);
  script.api('STREAM.INFO.S', { subjects_filter: '>' });
});

const sizes = jetStreamScenario('publishing: sizes', (script) => {
  script.create({ ...BASE, max_msg_size: 40 });
  script.publish('s.a', 'x'.repeat(40));
  script.publish('s.a', 'x'.repeat(41));
  script.publish('s.a', 'x'.repeat(20), 'Long: header value');
  script.publish('s.a', '', 'A: b');
  script.update({ ...BASE });
  script.publish('s.a', '', `H: ${'x'.repeat(65_600)}`);
  script.publish('s.a', '', `H: ${'x'.repeat(65_500)}`);
  script.api('STREAM.INFO.S');
});

const limits = (storage: string): JetStreamScenario =>
  jetStreamScenario(`publishing: limits, ${storage}`, (script) => {
    const configs = [
      { max_msgs: 3 },
      { max_msgs: 3, discard: 'new' },
      { max_bytes: 200 },
      { max_bytes: 200, discard: 'new' },
      { max_msgs_per_subject: 2 },
      { max_msgs_per_subject: 2, discard: 'new' },
      { max_msgs_per_subject: 2, discard: 'new', discard_new_per_subject: true, allow_rollup_hdrs: true },
      { max_msgs: 3, max_msgs_per_subject: 1, discard: 'new' },
    ];
    for (const config of configs) {
      script.create({ ...BASE, storage, ...config });
      for (const subject of ['s.a', 's.b', 's.a', 's.c', 's.a']) script.publish(subject, 'x'.repeat(20));
      script.publish('s.a', 'x', 'Nats-Rollup: sub');
      script.api('STREAM.INFO.S', { subjects_filter: '>', deleted_details: true });
      script.update({ ...BASE, storage, ...config, max_msgs: 1 });
      script.api('STREAM.DELETE.S');
    }
  });

const retention = jetStreamScenario('publishing: interest and work queues without consumers', (script) => {
  script.create({ ...BASE, retention: 'interest' });
  script.publish('s.a', 'x', 'Nats-Msg-Id: 1');
  script.publish('s.a', 'x', 'Nats-Msg-Id: 1');
  script.publish('s.a', 'x', 'Nats-Expected-Last-Sequence: 1');
  script.api('STREAM.INFO.S');
  script.update({ ...BASE, retention: 'limits' });
  script.publish('s.a', 'y');
  script.api('STREAM.INFO.S');
  script.update({ ...BASE, retention: 'interest' });
  script.api('STREAM.INFO.S');
  script.create({ name: 'W', subjects: ['w'], storage: 'memory', retention: 'workqueue', max_msgs: 2 });
  for (const payload of ['1', '2', '3']) script.publish('w', payload);
  script.api('STREAM.INFO.W');
  script.update({ name: 'W', subjects: ['w'], storage: 'memory', retention: 'limits' });
});

const ttls = jetStreamScenario('publishing: time to live', (script) => {
  script.create(BASE);
  for (const value of ['1h', '0', 'zz', '']) script.publish('s.a', 'x', `Nats-TTL: ${value}`);
  script.update({ ...BASE, allow_msg_ttl: true });
  for (const value of [
    '1h',
    '1h30m',
    '60',
    '0',
    'never',
    'NEVER',
    '500ms',
    '-1',
    '1500ms',
    'zz',
    '1',
    '1x',
    '',
  ])
    script.publish('s.a', 'x', `Nats-TTL: ${value}`);
  script.update({ ...BASE, allow_msg_ttl: true, subject_delete_marker_ttl: 3600 * SECOND });
  script.publish('s.m', 'x', 'Nats-TTL: 1m');
  script.api('STREAM.MSG.GET.S', { last_by_subj: 's.m' });
});

const markers = jetStreamScenario('publishing: delete markers', (script) => {
  script.create({
    ...BASE,
    allow_msg_ttl: true,
    subject_delete_marker_ttl: 3600 * SECOND,
    max_age: SECOND,
    max_msgs_per_subject: 1,
    republish: { src: 's.>', dest: 'copy.>' },
  });
  script.listen('copy.>');
  script.request('s.a', 'x', { events: 2 });
  script.api('STREAM.MSG.GET.S', { last_by_subj: 's.a' });
});

const counters = jetStreamScenario('publishing: counters', (script) => {
  script.create(BASE);
  script.publish('s.a', '', 'Nats-Incr: 1');
  script.api('STREAM.DELETE.S');
  script.create({ ...BASE, allow_msg_counter: true, allow_rollup_hdrs: true });
  for (const value of ['1', '+3', '-10', '0', '99999999999999999999999999', 'x', '1.5', '', '+', '--1'])
    script.publish('s.a', '', `Nats-Incr: ${value}`);
  script.publish('s.a', 'body', 'Nats-Incr: 1');
  script.publish('s.a', '');
  script.publish('s.a', '', 'Nats-Incr: 1', 'Nats-Rollup: sub');
  script.publish('s.a', '', 'Nats-Incr: 1', 'Nats-Expected-Last-Sequence: 1');
  script.publish('s.b', '', 'Nats-Incr: 7', 'Nats-Msg-Id: b');
  script.publish('s.b', '', 'Nats-Incr: 7', 'Nats-Msg-Id: b');
  script.api('STREAM.MSG.GET.S', { last_by_subj: 's.a' });
  script.api('STREAM.MSG.DELETE.S', { seq: 5 });
  script.publish('s.a', '', 'Nats-Incr: 1');
});

const schedules = jetStreamScenario('publishing: schedules', (script) => {
  script.create(BASE);
  script.publish('s.x', 'x', 'Nats-Schedule: @every 1h', 'Nats-Schedule-Target: s.t');
  script.update({ ...BASE, allow_msg_schedules: true });
  const target = 'Nats-Schedule-Target: s.t';
  const hourly = 'Nats-Schedule: @every 1h';
  for (const headers of [
    [hourly],
    [hourly, target],
    [hourly, 'Nats-Schedule-Target: s.x'],
    [hourly, 'Nats-Schedule-Target: s.*'],
    [hourly, 'Nats-Schedule-Target: other'],
    ['Nats-Schedule: @every 100ms', target],
    ['Nats-Schedule: @every soon', target],
    ['Nats-Schedule: @at 2101-01-01T00:00:00Z', target],
    ['Nats-Schedule: @at tomorrow', target],
    ['Nats-Schedule: @hourly', target],
    ['Nats-Schedule: 0 0 12 * JAN MON-FRI', target],
    ['Nats-Schedule: 0 0 12 * *', target],
    ['Nats-Schedule: 0 0 25 * * *', target],
    ['Nats-Schedule: 0 0 12 * * *', 'Nats-Schedule-Time-Zone: Europe/Berlin', target],
    ['Nats-Schedule: 0 0 12 * * *', 'Nats-Schedule-Time-Zone: Nowhere/Land', target],
    [hourly, 'Nats-Schedule-Time-Zone: Europe/Berlin', target],
    [hourly, target, 'Nats-Schedule-TTL: 5m'],
    [hourly, target, 'Nats-Schedule-Source: s.src'],
    [hourly, target, 'Nats-Schedule-Source: s.*'],
    [hourly, target, 'Nats-Schedule-Source: s.t'],
    [hourly, target, 'Nats-Schedule-Source: s.x'],
    [hourly, target, 'Nats-Schedule-Rollup: sub'],
    [hourly, target, 'Nats-Schedule-Rollup: all'],
    [hourly, target, 'Nats-Rollup: all'],
    [hourly, target, 'Nats-Rollup: sub'],
    [hourly, target, 'Nats-Scheduler: s.y'],
    ['Nats-Schedule-Next: purge'],
    ['Nats-Scheduler: s.x', 'Nats-Schedule-Next: later'],
    ['Nats-Scheduler: s.x', 'Nats-Schedule-Next: purge'],
    ['Nats-Schedule-Target: s.t'],
  ])
    script.publish('s.x', 'x', ...headers);
  script.publish('s.t', 'x', 'Nats-Scheduler: s.x', 'Nats-Schedule-Next: purge');
  script.api('STREAM.INFO.S', { subjects_filter: '>' });
  script.update({ ...BASE, allow_msg_schedules: true, allow_msg_ttl: true });
  script.publish('s.x', 'x', hourly, target, 'Nats-Schedule-TTL: 5m');
  script.publish('s.x', 'x', hourly, target, 'Nats-Schedule-TTL: zz');
  script.publish('s.x', 'x', hourly, target, 'Nats-TTL: 1h');
});

const fired = jetStreamScenario('publishing: a schedule that fires', (script) => {
  script.create({
    ...BASE,
    allow_msg_schedules: true,
    allow_msg_ttl: true,
    republish: { src: 's.t', dest: 'copy.t' },
  });
  script.listen('copy.>');
  script.request('s.now', 'body', {
    headers: [
      'X: y',
      'Nats-Schedule: @at 2020-01-01T00:00:00Z',
      'Nats-Schedule-Target: s.t',
      'Nats-Schedule-TTL: 5m',
    ],
    events: 1,
  });
  script.api('STREAM.INFO.S', { subjects_filter: '>' });
  script.publish('s.source', 'other body', 'Y: z');
  script.request('s.now', 'body', {
    headers: [
      'Nats-Schedule: @at 2020-01-01T00:00:00Z',
      'Nats-Schedule-Target: s.t',
      'Nats-Schedule-Source: s.source',
      'Nats-Schedule-Rollup: sub',
    ],
    events: 1,
  });
  script.api('STREAM.INFO.S', { subjects_filter: '>' });
});

const transforms = jetStreamScenario('publishing: transforms and republish', (script) => {
  script.create({
    ...BASE,
    subjects: ['s.>', 'plain'],
    subject_transform: { src: 's.*', dest: 't.{{wildcard(1)}}' },
    republish: { src: 't.*', dest: 'copy.$1' },
    allow_direct: true,
  });
  script.listen('copy.>');
  script.request('s.a', 'one', { events: 1 });
  script.request('s.a', 'two', { headers: ['X: y', 'Nats-Expected-Last-Subject-Sequence: 1'], events: 1 });
  script.publish('plain', 'x');
  script.publish('s.a.b', 'x');
  script.api('DIRECT.GET.S.t.a');
  script.update({ ...BASE, republish: { src: '>', dest: 'copy.>', headers_only: true } });
  script.request('s.a', 'three', { events: 1 });
});

const unanswered = jetStreamScenario('publishing: streams that do not acknowledge', (script) => {
  script.create({ ...BASE, no_ack: true });
  script.request('s.a', 'x', { replies: 'nothing' });
  script.request('s.a', 'x', { headers: ['Nats-Expected-Last-Sequence: 9'], replies: 'nothing' });
  script.update({ ...BASE });
  script.publish('s.a', 'x');
});

export const publishing: JetStreamScenario[] = [
  expectations('file'),
  expectations('memory'),
  rollups,
  sizes,
  limits('file'),
  limits('memory'),
  retention,
  ttls,
  markers,
  counters,
  schedules,
  fired,
  transforms,
  unanswered,
];
