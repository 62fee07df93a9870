/** Managing consumers, where they begin, and what they say of themselves (jetstream-consumers §1–3, §9, §10, jetstream-api §3.3). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const FAR_AWAY = '2101-01-01T00:00:00Z';
const LONG_AGO = '2001-01-01T00:00:00Z';
const ALL = '$JS.EVENT.ADVISORY.CONSUMER.>';

function fill(script: Script, more: Record<string, unknown> = {}): void {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', ...more });
  for (const token of ['a', 'b', 'a', 'c', 'a']) script.publish(`s.${token}`, token);
}

function info(script: Script): void {
  script.api('CONSUMER.INFO.S.c');
}

/** What a consumer of this configuration delivers first, and what it says then. */
function begins(script: Script, config: Record<string, unknown>, messages: number): void {
  script.consumer(config);
  script.pull({ batch: 9, no_wait: true }, messages + 1);
  info(script);
  script.api('CONSUMER.DELETE.S.c');
}

const management = jetStreamScenario('consumers: management', (script) => {
  info(script);
  script.api('CONSUMER.NAMES.S').api('CONSUMER.LIST.S').api('CONSUMER.DELETE.S.c');
  fill(script);
  info(script);
  script.api('CONSUMER.NAMES.S').api('CONSUMER.LIST.S').api('CONSUMER.DELETE.S.c');
  script.consumer({}).consumer({}).consumer({ description: 'other', max_deliver: 3 });
  script.consumer({ ack_policy: 'all' }).consumer({ deliver_policy: 'new' });
  script.api('CONSUMER.DURABLE.CREATE.S.d', { stream_name: 'S', config: { durable_name: 'd' } });
  script.api('CONSUMER.CREATE.S', { stream_name: 'S', config: { name: 'e', deliver_subject: 'd.e' } });
  const filter = { name: 'f', filter_subject: 's.a' };
  script.api('CONSUMER.CREATE.S.f.s.a', { stream_name: 'S', config: filter });
  script.api('CONSUMER.CREATE.S.f.s.b', { stream_name: 'S', config: filter });
  for (const action of ['create', 'update', 'replace']) {
    script.api('CONSUMER.CREATE.S.g', { stream_name: 'S', config: { name: 'g' }, action });
    script.api('CONSUMER.CREATE.S.c', { stream_name: 'S', config: { name: 'c' }, action });
  }
  script
    .api('CONSUMER.NAMES.S')
    .api('CONSUMER.NAMES.S', { offset: 2 })
    .api('CONSUMER.NAMES.S', { offset: 9 });
  script.api('CONSUMER.LIST.S').api('CONSUMER.LIST.S', { offset: 3 });
  script.api('CONSUMER.INFO.S.c', 'x').api('CONSUMER.INFO.S.c', '{}').api('CONSUMER.INFO.S.x');
  script.api('CONSUMER.DELETE.S.c', '{"a":1}').api('CONSUMER.DELETE.S.c').api('CONSUMER.DELETE.S.c');
  script.api('CONSUMER.LEADER.STEPDOWN.S.d');
  script.api('STREAM.INFO.S');
});

const positions = jetStreamScenario('consumers: where they begin', (script) => {
  fill(script);
  begins(script, {}, 5);
  begins(script, { deliver_policy: 'last' }, 1);
  begins(script, { deliver_policy: 'last', filter_subject: 's.b' }, 1);
  begins(script, { deliver_policy: 'last', filter_subjects: ['s.b', 's.c'] }, 1);
  begins(script, { deliver_policy: 'last', filter_subject: 's.x' }, 0);
  begins(script, { deliver_policy: 'new' }, 0);
  begins(script, { deliver_policy: 'by_start_sequence', opt_start_seq: 3 }, 3);
  begins(script, { deliver_policy: 'by_start_sequence', opt_start_seq: 99 }, 0);
  begins(script, { deliver_policy: 'by_start_sequence', opt_start_seq: 2, filter_subject: 's.a' }, 2);
  begins(script, { deliver_policy: 'by_start_time', opt_start_time: LONG_AGO }, 5);
  begins(script, { deliver_policy: 'by_start_time', opt_start_time: FAR_AWAY }, 0);
  begins(script, { deliver_policy: 'last_per_subject', filter_subject: 's.>' }, 3);
  begins(script, { deliver_policy: 'last_per_subject', filter_subjects: ['s.a', 's.b'] }, 2);
  begins(script, { filter_subjects: ['s.a', 's.c'] }, 4);
  begins(script, { filter_subject: 's.x' }, 0);
  begins(script, { headers_only: true }, 5);
  begins(script, { ack_policy: 'none' }, 5);
  begins(script, { ack_policy: 'all' }, 5);
});

const changes = jetStreamScenario('consumers: changes of the stream below them', (script) => {
  fill(script);
  script.consumer({});
  script.pull(3, 3);
  script.ack(1, 1, '');
  info(script);
  script.api('STREAM.MSG.DELETE.S', { seq: 2 });
  info(script);
  script.api('STREAM.MSG.DELETE.S', { seq: 5 });
  info(script);
  script.consumer({ filter_subject: 's.a' });
  info(script);
  script.consumer({});
  info(script);
  script.api('STREAM.PURGE.S', { seq: 4 });
  info(script);
  script.publish('s.d', 'd');
  script.api('STREAM.PURGE.S');
  info(script);
  script.publish('s.e', 'e');
  script.pull(1, 1);
  info(script);
  script.api('STREAM.DELETE.S');
  info(script);
});

const pauses = jetStreamScenario('consumers: pause and resume', (script) => {
  fill(script);
  script.listen(ALL);
  script.listen('d.>');
  script.consumer({ pause_until: FAR_AWAY }, { events: 2 });
  info(script);
  script.pullTo('d.1', { batch: 2, expires: 100e6 }, 1);
  script.api('CONSUMER.PAUSE.S.c', '', { events: 1 });
  info(script);
  script.pull({ batch: 2 }, 2);
  script.api('CONSUMER.PAUSE.S.c', { pause_until: FAR_AWAY }, { events: 1 });
  script.api('CONSUMER.PAUSE.S.c', { pause_until: FAR_AWAY });
  info(script);
  script.pull({ batch: 2, no_wait: true, expires: 50e6 }, 1);
  script.ack(1, 1, '');
  info(script);
  script.api('CONSUMER.PAUSE.S.c', { pause_until: LONG_AGO }, { events: 1 });
  info(script);
  script.api('CONSUMER.PAUSE.S.c', { pause_until: 'soon' });
  script.api('CONSUMER.PAUSE.S.c', 'text');
  script.api('CONSUMER.PAUSE.S.x', { pause_until: FAR_AWAY });
  script.api('CONSUMER.PAUSE.T.c', { pause_until: FAR_AWAY });
});

const resets = jetStreamScenario('consumers: reset', (script) => {
  fill(script);
  script.consumer({});
  script.pull(4, 4);
  script.ack(1, 1, '').ack(2, 2, '');
  script.api('CONSUMER.RESET.S.c');
  info(script);
  script.pull({ batch: 9, no_wait: true }, 4);
  script.ack(3, 1, '');
  script.api('CONSUMER.RESET.S.c', { seq: 2 });
  script.pull(1, 1);
  info(script);
  script.api('CONSUMER.RESET.S.c', { seq: 99 });
  script.api('CONSUMER.RESET.S.c', 'text').api('CONSUMER.RESET.S.c', { seq: 'x' });
  script.api('CONSUMER.RESET.S.c', '', { headers: ['Nats-Stream-Identity:'] });
  script.api('CONSUMER.RESET.S.c', '', { headers: ['Nats-Required-Api-Level: 9'] });
  script.api('CONSUMER.DELETE.S.c');
  script.consumer({ deliver_policy: 'by_start_sequence', opt_start_seq: 3 });
  script.api('CONSUMER.RESET.S.c', { seq: 2 }).api('CONSUMER.RESET.S.c', { seq: 4 });
  script.api('CONSUMER.DELETE.S.c');
  script.consumer({ deliver_policy: 'by_start_time', opt_start_time: LONG_AGO });
  script.api('CONSUMER.RESET.S.c', { seq: 2 });
  script.api('CONSUMER.DELETE.S.c');
  script.consumer({ deliver_policy: 'new' });
  script.api('CONSUMER.RESET.S.c', { seq: 2 }).api('CONSUMER.RESET.S.c');
});

const retention = (kind: string): JetStreamScenario =>
  jetStreamScenario(`consumers: ${kind} retention`, (script) => {
    script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', retention: kind });
    script.consumer({ filter_subject: 's.a' });
    const other = { name: 'd', durable_name: 'd', ack_policy: 'explicit' };
    script.api('CONSUMER.CREATE.S.d', { stream_name: 'S', config: { ...other, filter_subject: 's.a' } });
    script.api('CONSUMER.CREATE.S.d', { stream_name: 'S', config: { ...other, filter_subject: 's.*' } });
    script.api('CONSUMER.CREATE.S.d', { stream_name: 'S', config: other });
    script.api('CONSUMER.CREATE.S.d', { stream_name: 'S', config: { ...other, filter_subject: 's.b' } });
    for (const token of ['a', 'b', 'a', 'c', 'b']) script.publish(`s.${token}`, token);
    script.api('STREAM.INFO.S', { deleted_details: true });
    script.pull(2, 2);
    script.ack(1, 1, '');
    script.api('STREAM.INFO.S', { deleted_details: true });
    script.ack(3, 2, '+TERM');
    script.api('STREAM.INFO.S', { deleted_details: true });
    script.api('CONSUMER.DELETE.S.d');
    script.api('STREAM.INFO.S', { deleted_details: true });
    info(script);
  });

export const consumers: JetStreamScenario[] = [
  management,
  positions,
  changes,
  pauses,
  resets,
  retention('interest'),
  retention('workqueue'),
];
