/** Every status a pull request can be answered with (jetstream-consumers §6). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const SECOND = 1e9;

function fill(script: Script, count = 3): void {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory' });
  for (let i = 1; i <= count; i++) script.publish('s.a', `message ${i}`);
}

const refusals = jetStreamScenario('pulls: refused', (script) => {
  script.pull(1, 1);
  fill(script);
  script.pull(1, 1);
  script.consumer({ max_batch: 5, max_expires: 5 * SECOND, max_bytes: 1000 });
  script.pull(1, 1, ['Nats-Required-Api-Level: 9']);
  for (const body of [
    '{',
    '{"batch":"x"}',
    '{"batch":1,}',
    '{"batch":1} x',
    '{"batch":1.5}',
    '{"no_wait":1}',
    { batch: 1, idle_heartbeat: SECOND },
    { batch: 1, expires: SECOND, idle_heartbeat: 0.6 * SECOND },
    { batch: 6 },
    '6',
    { batch: 1, expires: 6 * SECOND },
    { batch: 1, expires: 90.5 * SECOND },
    { batch: 1, max_bytes: 1001 },
    { batch: 1, min_pending: 1 },
    { batch: 1, min_ack_pending: 1 },
    { batch: 1, id: 'x' },
    { batch: 1, priority: 10 },
    { batch: 1, priority: -1 },
  ])
    script.pull(body, 1);
  script.api('CONSUMER.INFO.S.c');
  script.api('CONSUMER.DELETE.S.c');
  script.consumer({ deliver_subject: 'd.push' });
  script.pull(1, 1);
  script.pull('{', 1);
});

const bodies = jetStreamScenario('pulls: forms of a request', (script) => {
  fill(script, 20);
  script.consumer({ ack_policy: 'none' });
  script.pull('', 1).pull('2', 2).pull('abc', 1).pull('0', 1).pull('-3', 1);
  script.pull({}, 1).pull({ batch: 0 }, 1).pull({ batch: -1 }, 1).pull({ batch: 2 }, 2);
  script.pull({ batch: 1, foo: 1 }, 1).pull({ BATCH: 2 }, 2);
  script.pull({ batch: 1, group: 'none' }, 1).pull({ batch: 1, priority: 9 }, 1);
  script.pull({ batch: 1, expires: 100 * SECOND, idle_heartbeat: SECOND }, 1);
  script.api('CONSUMER.INFO.S.c');
});

const noWait = jetStreamScenario('pulls: no_wait', (script) => {
  fill(script);
  script.consumer({});
  script.pull({ batch: 2, no_wait: true }, 2);
  script.pull({ batch: 2, no_wait: true }, 2);
  script.pull({ batch: 2, no_wait: true }, 1);
  script.pull({ batch: 2, no_wait: true, expires: 50e6 }, 1);
  script.publish('s.a', 'more');
  script.pull({ batch: 2, no_wait: true, expires: 60 * SECOND }, 2);
  script.ack(1, 1, '-NAK');
  script.pull({ batch: 2, no_wait: true }, 2);
  script.listen('d.>');
  script.pullTo('d.1', { batch: 5 });
  script.pull({ batch: 1, no_wait: true }, 1);
  script.publish('s.a', 'for the one that waits');
  script.api('CONSUMER.INFO.S.c');
});

const endings = jetStreamScenario('pulls: how requests end', (script) => {
  fill(script);
  script.consumer({});
  script.pull({ batch: 5, expires: 100e6 }, 4);
  script.pull({ batch: 5, expires: 100e6, max_bytes: 500 }, 1);
  script.publish('s.a', 'x'.repeat(100));
  script.pull({ batch: 5, max_bytes: 50, expires: 60 * SECOND }, 1);
  script.pull({ batch: 1, max_bytes: 1000, expires: 60 * SECOND }, 2);
  script.publish('s.a', 'small');
  script.publish('s.a', 'x'.repeat(100));
  script.pull({ batch: 5, max_bytes: 150, expires: 60 * SECOND }, 2);
  script.listen('d.>');
  script.api('CONSUMER.INFO.S.c');
  script.pull({ batch: 1 }, 1);
  script.pullTo('d.1', { batch: 5, max_bytes: 900 });
  script.pullTo('d.2', { batch: 5, expires: 100 * SECOND });
  script.api('CONSUMER.INFO.S.c');
  script.api('CONSUMER.DELETE.S.c', '', { events: 2 });
  script.pull(1, 1);
});

const heartbeats = jetStreamScenario('pulls: heartbeats', (script) => {
  fill(script, 2);
  script.consumer({});
  script.pull({ batch: 2 }, 2);
  script.pull({ batch: 2, expires: 1.5 * SECOND, idle_heartbeat: 0.7 * SECOND }, 3);
});

const rounds = jetStreamScenario('pulls: requests take turns', (script) => {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory' });
  script.listen('d.>');
  script.consumer({ max_waiting: 3 });
  script.pullTo('d.1', { batch: 2 }).pullTo('d.2', { batch: 2 }).pullTo('d.3', { batch: 1, max_bytes: 30 });
  script.pull({ batch: 1 }, 1);
  script.pullTo('d.4', { batch: 1, expires: 2 * SECOND, idle_heartbeat: SECOND });
  script.api('CONSUMER.INFO.S.c');
  for (let i = 0; i < 4; i++) script.request('s.a', 'x', { events: 1 + (i === 2 ? 1 : 0) });
  script.api('CONSUMER.INFO.S.c');
});

const held = jetStreamScenario('pulls: max_ack_pending', (script) => {
  fill(script, 4);
  script.listen('d.>');
  script.consumer({ max_ack_pending: 2 });
  script.pullTo('d.1', { batch: 3 }, 2);
  script.api('CONSUMER.INFO.S.c');
  script.ack(1, 1, '', { events: 1 });
  script.pull({ batch: 1, no_wait: true, expires: 50e6 }, 1);
  script.ack(2, 2, '-NAK');
  script.pull({ batch: 1 }, 1);
  script.api('CONSUMER.INFO.S.c');
});

export const pulls: JetStreamScenario[] = [refusals, bodies, noWait, endings, heartbeats, rounds, held];
