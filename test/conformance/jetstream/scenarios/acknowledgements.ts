/** Acknowledgements of every kind, their answers, what follows, and who is told (jetstream-consumers §8, jetstream-api §9). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const ALL = '$JS.EVENT.>';
const NOTHING = { replies: 'nothing' } as const;

function fill(script: Script, count: number, more: Record<string, unknown> = {}): void {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', ...more });
  for (let i = 1; i <= count; i++) script.publish('s.a', `message ${i}`);
}

function info(script: Script): void {
  script.api('CONSUMER.INFO.S.c');
}

const kinds = jetStreamScenario('acks: answers', (script) => {
  fill(script, 12);
  script.ack(1, 1, '');
  script.consumer({});
  script.pull(9, 9);
  script.ack(1, 1, '').ack(1, 1, '').ack(2, 2, '+ACK').ack(3, 3, '+OK');
  info(script);
  script.ack(5, 5, '+ACK');
  info(script);
  script.ack(4, 4, '+FOO').ack(4, 4, '+WPI').ack(4, 4, '-NAK {"delay":100000000000}').ack(4, 4, '-NAK 100s');
  info(script);
  script.ack(4, 4, '+TERM').ack(6, 6, '+TERM  because of this ');
  info(script);
  script.ack(7, 99, '').ack(8, 1, '');
  info(script);
  script.ack(11, 11, '', NOTHING).ack(99, 99, '', NOTHING);
  script.request('$JS.ACK.S.c.x.y.z.1.0', '', NOTHING);
  script.request('$JS.ACK.S.x.1.1.1.1.0', '');
  script.request('$JS.ACK.T.c.1.1.1.1.0', '');
  info(script);
});

const next = jetStreamScenario('acks: +NXT', (script) => {
  fill(script, 12);
  script.consumer({});
  script.pull(1, 1);
  script.ack(1, 1, '+NXT');
  script.ack(2, 2, '+NXT 2', { replies: 2 });
  script.ack(3, 3, '+NXT {"batch":2}', { replies: 2 });
  script.ack(4, 4, '+NXT x');
  script.ack(5, 5, '+NXT {"batch":9,"no_wait":true}', { replies: 6 });
  script.ack(6, 6, '+NXT {', { replies: 1 });
  info(script);
});

const naks = jetStreamScenario('acks: redelivery', (script) => {
  fill(script, 4);
  script.consumer({ max_deliver: 4 });
  script.pull(3, 3);
  script.ack(2, 2, '-NAK').ack(1, 1, '-NAK');
  info(script);
  script.pull(3, 3);
  info(script);
  script.ack(2, 4, '-NAK {"delay":50000000}', { delivered: 2 });
  script.pull(1, 1);
  script.ack(3, 3, '-NAK soon');
  script.pull(1, 1);
  script.ack(1, 5, '', { delivered: 2 }).ack(2, 6, '', { delivered: 3 }).ack(3, 8, '', { delivered: 2 });
  info(script);
});

const waits = jetStreamScenario('acks: expiry and max_deliver', (script) => {
  fill(script, 2);
  script.listen(ALL.replace('.>', '.ADVISORY.CONSUMER.>'));
  script.consumer({ max_deliver: 2, ack_wait: 200e6 }, { events: 1 });
  script.api('CONSUMER.MSG.NEXT.S.c', { batch: 5, expires: 2e9 }, { replies: 5, events: 2 });
  info(script);
  script.ack(1, 3, '', { delivered: 2 });
  info(script);
  script.api('CONSUMER.DELETE.S.c', '', { events: 1 });
  script.consumer({ max_deliver: 3, backoff: [100e6, 200e6] }, { events: 1 });
  script.api('CONSUMER.MSG.NEXT.S.c', { batch: 7, expires: 2e9 }, { replies: 7, events: 2 });
  info(script);
});

const advisories = jetStreamScenario('acks: advisories and metrics', (script) => {
  fill(script, 6);
  script.listen(ALL.replace('.>', '.ADVISORY.CONSUMER.>')).listen('$JS.EVENT.METRIC.>');
  script.consumer({ sample_freq: '100%', max_deliver: 1 }, { events: 1 });
  script.pull(5, 5);
  script.ack(1, 1, '', { events: 1 });
  script.ack(2, 2, '+TERM no good', { events: 1 });
  script.ack(3, 3, '+TERM', { events: 1 });
  script.ack(4, 4, '-NAK', { events: 1 });
  info(script);
  script.api('STREAM.MSG.DELETE.S', { seq: 5 }, { events: 1 });
  script.pullTo('d.1', 1, 1);
  script.api('CONSUMER.DELETE.S.c', '', { events: 1 });
});

const all = jetStreamScenario('acks: ack_policy all', (script) => {
  fill(script, 6);
  script.consumer({ ack_policy: 'all' });
  script.pull(4, 4);
  script.ack(2, 2, '');
  info(script);
  script.ack(1, 1, '').ack(3, 3, '-NAK');
  info(script);
  script.pull(2, 2);
  script.ack(4, 4, '+TERM');
  info(script);
  script.ack(9, 9, '', NOTHING);
  info(script);
});

const none = (kind: string): JetStreamScenario =>
  jetStreamScenario(`acks: ack_policy none, ${kind} retention`, (script) => {
    script.create({ name: 'S', subjects: ['s.>'], storage: 'memory', retention: kind });
    script.consumer({ ack_policy: 'none' });
    for (let i = 0; i < 3; i++) script.publish('s.a', 'x');
    script.pull(2, 2);
    script.ack(1, 1, '', kind === 'limits' ? NOTHING : {});
    info(script);
    script.api('STREAM.INFO.S');
  });

export const acknowledgements: JetStreamScenario[] = [
  kinds,
  next,
  naks,
  waits,
  advisories,
  all,
  none('limits'),
  none('interest'),
];
