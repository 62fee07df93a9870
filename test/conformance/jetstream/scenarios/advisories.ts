/** What is told about streams and requests to those who listen (jetstream-api §9). */
import { type JetStreamScenario, jetStreamScenario } from '../script.ts';

const ALL = '$JS.EVENT.ADVISORY.>';
const BASE = { name: 'S', subjects: ['s.>'], storage: 'memory' };

const requests = jetStreamScenario('advisories: streams and the audit', (script) => {
  script.listen(ALL);
  script.api('INFO', '', { events: 1 });
  script.create(BASE, { events: 2 });
  script.create(BASE, { events: 1 });
  script.create({ ...BASE, max_msgs: 1 }, { events: 1 });
  script.update({ ...BASE, max_msgs: 1 }, { events: 2 });
  script.update({ ...BASE, storage: 'file' }, { events: 1 });
  script.api('STREAM.NAMES', '', { events: 1 });
  script.api('STREAM.LIST', '{"offset":0}', { events: 1 });
  script.api('STREAM.INFO.S', '', { events: 1 });
  script.publish('s.a', 'x');
  script.api('STREAM.MSG.GET.S', { seq: 1 });
  script.api('STREAM.MSG.GET.S', { seq: 9 }, { events: 1 });
  script.api('STREAM.MSG.DELETE.S', { seq: 1 }, { events: 1 });
  script.api('STREAM.PURGE.S', '', { events: 1 });
  script.api('STREAM.CREATE.S', 'not JSON', { events: 1 });
  script.api('STREAM.LEADER.STEPDOWN.S', '', { events: 1 });
  script.api('STREAM.DELETE.S', '', { events: 2 });
  script.api('STREAM.DELETE.S', '', { events: 1 });
});

const snapshots = jetStreamScenario('advisories: snapshots', (script) => {
  script.create({ ...BASE, storage: 'file' });
  script.publish('s.a', 'x');
  script.listen(ALL);
  script.api('STREAM.SNAPSHOT.S', { deliver_subject: 'R.d' }, { replies: 3, events: 3 });
});

const batches = jetStreamScenario('advisories: abandoned batches', (script) => {
  script.create({ ...BASE, allow_atomic: true });
  script.listen('$JS.EVENT.ADVISORY.STREAM.>');
  const add = (id: string, sequence: number, ...more: string[]): void => {
    const headers = [`Nats-Batch-Id: ${id}`, `Nats-Batch-Sequence: ${sequence}`, ...more];
    script.request('s.a', 'x', { headers, events: sequence === 1 && more.length === 0 ? 0 : 1 });
  };
  add('gap', 1);
  add('gap', 3);
  add('level', 1);
  add('level', 2, 'Nats-Required-Api-Level: 9');
});

export const advisories: JetStreamScenario[] = [requests, snapshots, batches];
