/** Push consumers: delivery, heartbeats, flow control, interest (jetstream-consumers §5). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const SECOND = 1e9;

function fill(script: Script, count: number, bytes = 10): void {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory' });
  for (let i = 1; i <= count; i++) script.publish('s.a', String(i % 10).repeat(bytes));
}

function info(script: Script): void {
  script.api('CONSUMER.INFO.S.c');
}

const delivery = jetStreamScenario('pushes: delivery', (script) => {
  fill(script, 3);
  script.listen('d.x');
  script.consumer({ deliver_subject: 'd.x', max_ack_pending: 2 }, { events: 2 });
  script.publish('s.a', 'more');
  script.ack(1, 1, '', { events: 1 }).ack(2, 2, '+TERM', { events: 1 });
  script.ack(3, 3, '-NAK', { events: 1 });
  info(script);
  script.consumer({ deliver_subject: 'd.y', max_ack_pending: 2 });
  script.consumer({ max_ack_pending: 2 });
  script.consumer({ deliver_subject: 'd.x', max_ack_pending: 3, headers_only: true });
  script.request('s.a', 'body', { events: 1, headers: ['A: b'] });
  script.request('s.a', 'body');
  script.ack(4, 4, '', { events: 1 });
  info(script);
  script.api('CONSUMER.DELETE.S.c');
});

const heartbeats = jetStreamScenario('pushes: heartbeats', (script) => {
  fill(script, 1);
  script.listen('d.x');
  script.consumer({ deliver_subject: 'd.x', idle_heartbeat: 1.5 * SECOND }, { events: 2 });
  script.api('CONSUMER.PAUSE.S.c', { pause_until: '2101-01-01T00:00:00Z' }, { events: 1 });
  script.api('CONSUMER.DELETE.S.c');
});

const flow = jetStreamScenario('pushes: flow control', (script) => {
  // Over half of the first window, 2 MiB, and a bit: a request goes out.
  fill(script, 18, 64000);
  script.listen('d.x');
  const config = {
    deliver_subject: 'd.x',
    flow_control: true,
    ack_policy: 'none',
    idle_heartbeat: 3 * SECOND,
  };
  script.consumer(config, { events: 20 });
  script.api('CONSUMER.DELETE.S.c');
});

/** Only who listens on the very subject, in the very group, makes a consumer deliver; then everybody gets it. */
const interest = jetStreamScenario('pushes: interest', (script) => {
  fill(script, 2);
  script.listen('d.>').listen('d.*', 'workers');
  script.consumer({ deliver_subject: 'd.x' });
  info(script);
  script.api('CONSUMER.DELETE.S.c');
  script.listen('d.x', 'workers');
  script.consumer({ deliver_subject: 'd.x' });
  info(script);
  script.api('CONSUMER.DELETE.S.c');
  script.listen('d.x');
  script.consumer({ deliver_subject: 'd.x' }, { events: 6 });
  info(script);
  script.api('CONSUMER.DELETE.S.c');
});

const groups = jetStreamScenario('pushes: deliver groups', (script) => {
  fill(script, 2);
  const group = { deliver_subject: 'd.x', deliver_group: 'workers' };
  script.listen('d.x').listen('d.x', 'others');
  script.consumer(group);
  info(script);
  script.api('CONSUMER.DELETE.S.c');
  script.listen('d.x', 'workers');
  script.consumer(group, { events: 6 });
  info(script);
});

const none = jetStreamScenario('pushes: without acknowledgements', (script) => {
  fill(script, 4);
  script.listen('d.x');
  script.consumer({ deliver_subject: 'd.x', ack_policy: 'none', deliver_policy: 'last' }, { events: 1 });
  info(script);
  script.request('s.b', 'next', { events: 1 });
  info(script);
});

const flowAcks = jetStreamScenario('pushes: acknowledgement by flow control', (script) => {
  fill(script, 5);
  script.listen('d.x');
  script.consumer({ deliver_subject: 'd.x', ack_policy: 'flow_control', max_ack_pending: 3 }, { events: 4 });
  info(script);
  script.api('CONSUMER.DELETE.S.c');
});

export const pushes: JetStreamScenario[] = [delivery, interest, heartbeats, flow, groups, none, flowAcks];
