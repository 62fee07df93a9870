/** What a stream's configuration may be: defaults, every refusal, pedantic mode, updates (jetstream-streams §1). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

type Config = Record<string, unknown>;

const MS = 1_000_000;
const SECOND = 1_000 * MS;

/** Tries each configuration as stream S, with subject `s.>` unless it says otherwise. */
function tryEach(script: Script, configs: readonly Config[]): void {
  for (const config of configs) {
    script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', ...config });
    script.api('STREAM.DELETE.S');
  }
}

function refusals(name: string, configs: readonly Config[]): JetStreamScenario {
  return jetStreamScenario(`configuration: ${name}`, (script) => {
    for (const config of configs)
      script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', ...config });
  });
}

const mirror = (more: Config): Config => ({ subjects: undefined, mirror: { name: 'O' }, ...more });
const source = (more: Config): Config => ({ sources: [{ name: 'O', ...more }] });

const defaults = jetStreamScenario('configuration: defaults and what is kept', (script) => {
  script.create({ name: 'PLAIN' });
  script.create({
    name: 'FILE',
    subjects: ['f'],
    max_msgs: 0,
    max_bytes: -7,
    max_consumers: -5,
    max_msg_size: 0,
  });
  tryEach(script, [
    {
      description: 'said',
      metadata: { a: 'b', '_nats.ver': 'x', '_nats.level': '99', '_nats.req.level': '9' },
    },
    { max_age: 60 * SECOND },
    { placement: { cluster: 'x', tags: ['y'] } },
    { placement: {} },
    { consumer_limits: { inactive_threshold: SECOND, max_ack_pending: 5 } },
    { retention: 'interest', discard: 'new', max_msgs_per_subject: 1, discard_new_per_subject: true },
    { retention: 'workqueue', allow_direct: true, allow_rollup_hdrs: true, deny_delete: true },
    { allow_msg_ttl: true },
    { subject_delete_marker_ttl: SECOND },
    { subject_delete_marker_ttl: SECOND, deny_purge: true },
    { allow_msg_counter: true, allow_atomic: true },
    { allow_msg_schedules: true },
    { allow_batched: true },
    { storage: 'file', persist_mode: 'async', compression: 's2' },
    { republish: { dest: 'copy.>' } },
    { republish: { src: 's.*', dest: 'copy.$1', headers_only: true } },
    { subject_transform: { src: 's.*', dest: 't.$1' } },
    { subject_transform: { src: 's.>', dest: 't.>' }, republish: { src: '>', dest: '>' } },
    { first_seq: 100 },
    { subjects: ['$JS.>'], no_ack: true },
    { subjects: ['>'], no_ack: true },
    { subjects: ['$SYS.ACCOUNT.x'] },
    { subjects: ['$JS.EVENT.ADVISORY.>'] },
  ]);
});

const pedantic = jetStreamScenario('configuration: pedantic mode', (script) => {
  tryEach(script, [
    { pedantic: true },
    { pedantic: true, max_msgs: -2 },
    { pedantic: true, max_msgs_per_subject: -2 },
    { pedantic: true, max_bytes: -2 },
    { pedantic: true, max_msg_size: -2 },
    { pedantic: true, max_consumers: -2 },
    { pedantic: true, max_age: SECOND },
    { pedantic: true, max_age: SECOND, duplicate_window: 2 * SECOND },
    { pedantic: true, subject_delete_marker_ttl: SECOND },
    { pedantic: true, subject_delete_marker_ttl: SECOND, allow_msg_ttl: true },
    { pedantic: true, allow_msg_schedules: true },
    { pedantic: true, republish: { dest: 'copy.>' } },
    {
      pedantic: true,
      subject_transform: { src: 's.>', dest: 't.>' },
      republish: { src: '>', dest: '>' },
    },
  ]);
});

const names = jetStreamScenario('configuration: names', (script) => {
  script.api('STREAM.CREATE.S', '');
  script.api('STREAM.CREATE.S', {});
  script.api('STREAM.CREATE.S', { name: 'T' });
  script.api('STREAM.CREATE.a\\b', { name: 'a\\b' });
  script.api('STREAM.CREATE.a/b', { name: 'a/b' });
  script.api('STREAM.CREATE.S', { name: '' });
  script.api('STREAM.CREATE.S', { name: 'a b' });
  script.create({ name: 'x'.repeat(255), subjects: ['x'], storage: 'memory' });
  script.create({ name: 'x'.repeat(256), subjects: ['x'], storage: 'memory' });
});

const json = jetStreamScenario('configuration: JSON', (script) => {
  script.api('STREAM.CREATE.S', '{');
  script.api('STREAM.CREATE.S', '[]');
  script.api('STREAM.CREATE.S', 'null');
  script.api('STREAM.CREATE.S', '"x"');
  script.api('STREAM.CREATE.S', '{"name":1}');
  script.api('STREAM.CREATE.S', '{"name":"S"} x');
  script.api('STREAM.CREATE.S', '{"name":"S",}');
  script.api('STREAM.CREATE.S', { name: 'S', foo: 1 });
  script.api('STREAM.CREATE.S', { name: 'S', template_owner: 'x' });
  script.api('STREAM.CREATE.S', { name: 'S', retention: 'zz' });
  script.api('STREAM.CREATE.S', { name: 'S', discard: 'zz' });
  script.api('STREAM.CREATE.S', { name: 'S', storage: 'zz' });
  script.api('STREAM.CREATE.S', { name: 'S', compression: 'zz' });
  script.api('STREAM.CREATE.S', { name: 'S', persist_mode: 'zz' });
  script.api('STREAM.CREATE.S', { name: 'S', max_msgs: 1.5 });
  script.api('STREAM.CREATE.S', { name: 'S', max_msgs: 'many' });
  script.api('STREAM.CREATE.S', { name: 'S', max_msg_size: 3_000_000_000 });
  script.api('STREAM.CREATE.S', { name: 'S', first_seq: -1 });
  script.api('STREAM.CREATE.S', { name: 'S', mirror: { name: 'O', opt_start_time: 'yesterday' } });
  script.api('STREAM.CREATE.S', { name: 'S', subjects: 's' });
  script.api('STREAM.CREATE.S', { name: 'S', subjects: [1] });
  script.api('STREAM.CREATE.S', { name: 'S', metadata: { a: 1 } });
  script.api('STREAM.CREATE.S', { name: 'S', sources: [{ name: 'O', foo: 1 }] });
  script.api('STREAM.CREATE.S', { NAME: 'S', Subjects: ['s'], STORAGE: 'memory' });
});

const limits = refusals('limits and durations', [
  { description: 'd'.repeat(4097) },
  { metadata: { k: 'v'.repeat(131_072) } },
  { num_replicas: 6 },
  { num_replicas: -1 },
  { num_replicas: 3 },
  { max_age: -1 },
  { max_age: 99 * MS },
  { duplicate_window: -1 },
  { duplicate_window: 99 * MS },
  { duplicate_window: 2 * SECOND, max_age: SECOND },
  { sealed: true },
  { mirror_direct: true },
  { deny_purge: true, allow_rollup_hdrs: true },
  { discard_new_per_subject: true },
  { discard: 'new', discard_new_per_subject: true },
  { subject_delete_marker_ttl: -1 },
  { subject_delete_marker_ttl: 10 * MS },
  { placement: { preferred: 'x' } },
  { max_bytes: 100 * 1024 * 1024 },
  { storage: 'file', max_bytes: 100 * 1024 * 1024 },
]);

const features = refusals('features that exclude each other', [
  { allow_msg_counter: true, discard: 'new' },
  { allow_msg_counter: true, allow_msg_ttl: true },
  { allow_msg_counter: true, allow_msg_schedules: true },
  { allow_msg_counter: true, retention: 'interest' },
  { allow_msg_schedules: true, discard: 'new' },
  { persist_mode: 'async' },
  { storage: 'file', persist_mode: 'async', num_replicas: 3 },
  { storage: 'file', persist_mode: 'async', allow_atomic: true },
]);

const subjects = jetStreamScenario('configuration: subjects', (script) => {
  for (const list of [
    ['a..b'],
    ['a.>.b'],
    [''],
    ['a b'],
    ['a', 'a'],
    ['>'],
    ['$JS.API.>'],
    ['$JS.>'],
    ['$NRG.x'],
    ['$SYS.>'],
    ['a.>', 'a.b'],
    ['a.*', '*.b'],
  ])
    script.create({ name: 'S', subjects: list, storage: 'memory' });
  script.create({ name: 'S', subjects: ['>'], storage: 'memory', no_ack: true, num_replicas: 3 });
  script.create({ name: 'ONE', subjects: ['one.>'], storage: 'memory' });
  script.create({ name: 'TWO', subjects: ['one.x'], storage: 'memory' });
  script.create({ name: 'TWO', subjects: ['*.x'], storage: 'memory' });
  script.create({ name: 'TWO', storage: 'memory' });
  script.update({ name: 'TWO', storage: 'memory', subjects: ['one.y'] });
});

const transforms = refusals('transforms and republish', [
  { subject_transform: { src: 's..x', dest: 't' } },
  { subject_transform: { src: 's.*', dest: 't.$2' } },
  { subject_transform: { src: 's.*', dest: 't.{{nothing(1)}}' } },
  { subject_transform: { src: 's.*', dest: 't..x' } },
  { subject_transform: { src: 's.*.*', dest: 't.$1' } },
  { republish: { src: 's.*', dest: 's.x' } },
  { republish: { src: 's.*', dest: 'copy.$2' } },
  { republish: { src: 's..x', dest: 'copy' } },
  { republish: { src: '>', dest: '>' } },
  { republish: { src: 's.*', dest: '' } },
]);

const mirrors = jetStreamScenario('configuration: mirrors', (script) => {
  script.create({ name: 'O', subjects: ['o.>'], storage: 'memory', max_msg_size: 100, allow_direct: true });
  for (const config of [
    mirror({ subjects: ['s.>'] }),
    mirror({ first_seq: 5 }),
    mirror({ sources: [{ name: 'O' }] }),
    mirror({ allow_msg_counter: true }),
    mirror({ allow_atomic: true }),
    mirror({ allow_batched: true }),
    mirror({ allow_msg_schedules: true }),
    mirror({ subject_delete_marker_ttl: SECOND }),
    mirror({ max_msg_size: 10 }),
    mirror({ mirror: { name: 'a.b' } }),
    mirror({ mirror: { name: 'S' } }),
    mirror({ mirror: { name: 'O', filter_subject: 'o.a', subject_transforms: [{ src: 'o.b', dest: 'x' }] } }),
    mirror({ mirror: { name: 'O', subject_transforms: [{ src: 'o..b', dest: 'x' }] } }),
    mirror({ mirror: { name: 'O', subject_transforms: [{ src: 'o.*', dest: 'x.$2' }] } }),
    mirror({
      mirror: {
        name: 'O',
        subject_transforms: [
          { src: 'o.*', dest: 'x.$1' },
          { src: 'o.a', dest: 'y' },
        ],
      },
    }),
    mirror({ mirror: { name: 'O', consumer: { name: 'c', deliver_subject: '' } } }),
    mirror({ mirror: { name: 'O', consumer: { name: 'c', deliver_subject: 'd.*' } } }),
    mirror({ mirror: { name: 'O', opt_start_seq: 5, consumer: { name: 'c', deliver_subject: 'd' } } }),
    mirror({ mirror: { name: 'O', external: { api: '$JS.API', deliver: 'd' } } }),
    mirror({ mirror: { name: 'O', external: { api: 'x.*', deliver: 'd' } } }),
    mirror({ mirror: { name: 'O', external: { api: '$JS.hub.API', deliver: 'd.*' } } }),
    mirror({ mirror: { name: 'O', opt_start_seq: 5, opt_start_time: '2020-01-01T00:00:00Z' } }),
    mirror({ pedantic: true, max_msg_size: 100 }),
  ])
    script.create({ name: 'S', storage: 'memory', ...config });
  script.create({ name: 'LOOP', subjects: ['l'], storage: 'memory', sources: [{ name: 'LOOP' }] });
});

const sources = jetStreamScenario('configuration: sources', (script) => {
  script.create({ name: 'O', subjects: ['o.>'], storage: 'memory', max_msg_size: 100 });
  for (const config of [
    { ...source({}), allow_msg_schedules: true },
    { ...source({}), max_msg_size: 10 },
    source({ name: 'a.b' }),
    source({ name: '' }),
    { sources: [{ name: 'O' }, { name: 'O' }] },
    {
      sources: [
        { name: 'O', filter_subject: 'o.a' },
        { name: 'O', filter_subject: 'o.a' },
      ],
    },
    source({ filter_subject: 'o.a', subject_transforms: [{ src: 'o.b', dest: 'x' }] }),
    source({ subject_transforms: [{ src: 'o..b', dest: 'x' }] }),
    source({ subject_transforms: [{ src: 'o.*', dest: 'x.$2' }] }),
    source({
      subject_transforms: [
        { src: 'o.*', dest: 'x.$1' },
        { src: 'o.a', dest: 'y' },
      ],
    }),
    source({ consumer: { name: '', deliver_subject: 'd' } }),
    {
      sources: [
        { name: 'O', consumer: { name: 'c', deliver_subject: 'd' } },
        { name: 'O', consumer: { name: 'c', deliver_subject: 'e' } },
      ],
    },
    source({ external: { api: '$JS.hub.API', deliver: 's.x' } }),
    source({ external: { api: '$JS.API.x', deliver: 'd' } }),
    source({ external: { api: '', deliver: 'd' } }),
  ])
    script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', ...config });
});

const updates = jetStreamScenario('configuration: updates', (script) => {
  const base = { name: 'S', subjects: ['s.>'], storage: 'memory' };
  script.update(base);
  script.create(base);
  script.create(base);
  script.create({ ...base, max_msgs: 5 });
  script.api('STREAM.UPDATE.S', { ...base, name: 'T' });
  for (const config of [
    { storage: 'file' },
    { retention: 'workqueue' },
    { num_replicas: 3 },
    { max_age: 1 },
    { mirror: { name: 'O' }, subjects: undefined },
    { allow_msg_counter: true },
    { persist_mode: 'async' },
    { max_msgs: 5, description: 'new', subjects: ['s.>', 'more'], metadata: { a: 'b' } },
    { retention: 'interest' },
    { retention: 'limits' },
    { deny_delete: true, deny_purge: true },
    { deny_purge: true },
    { deny_delete: true },
    { deny_delete: true, deny_purge: true, allow_rollup_hdrs: true },
    { deny_delete: true, deny_purge: true, allow_msg_ttl: true },
    { deny_delete: true, deny_purge: true },
    { deny_delete: true, allow_msg_ttl: true, allow_msg_schedules: true },
    { deny_delete: true, deny_purge: true, allow_msg_ttl: true },
  ])
    script.update({ ...base, ...config });
  script.update({ ...base, deny_delete: true, deny_purge: true, allow_msg_ttl: true, sealed: true });
});

const sealing = jetStreamScenario('configuration: sealing', (script) => {
  const base = { name: 'S', subjects: ['s.>'], storage: 'memory' };
  script.create({ ...base, max_age: 60 * SECOND });
  script.publish('s.a', 'x');
  script.update({ ...base, max_age: 60 * SECOND, sealed: true });
  script.update(base);
  script.publish('s.a', 'x');
  script.api('STREAM.PURGE.S');
  script.api('STREAM.MSG.DELETE.S', { seq: 1 });
  script.api('STREAM.MSG.GET.S', { seq: 1 });
  script.api('STREAM.DELETE.S');
});

export const streamConfigs: JetStreamScenario[] = [
  defaults,
  pedantic,
  names,
  json,
  limits,
  features,
  subjects,
  transforms,
  mirrors,
  sources,
  updates,
  sealing,
];
