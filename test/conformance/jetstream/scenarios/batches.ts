/** Atomic and fast batches (jetstream-streams §5). */
import { type JetStreamScenario, jetStreamScenario, type RequestOptions, type Script } from '../script.ts';

const BASE = { name: 'S', subjects: ['s.>'], storage: 'memory', allow_atomic: true };
const COMMIT = 'Nats-Batch-Commit: 1';

function add(script: Script, id: string, sequence: number | string, ...headers: string[]): void {
  script.publish(
    's.a',
    String(sequence),
    `Nats-Batch-Id: ${id}`,
    `Nats-Batch-Sequence: ${sequence}`,
    ...headers,
  );
}

const atomic = (storage: string): JetStreamScenario =>
  jetStreamScenario(`batches: atomic, ${storage}`, (script) => {
    script.create({ ...BASE, storage, allow_atomic: false });
    add(script, 'off', 1, COMMIT);
    script.update({ ...BASE, storage });
    add(script, 'x'.repeat(65), 1, COMMIT);
    add(script, '', 1, COMMIT);
    script.publish('s.a', 'x', 'Nats-Batch-Id: b');
    add(script, 'b', 'x');
    add(script, 'b', 2);
    add(script, 'b', 1, 'Nats-Batch-Commit: zz');
    add(script, 'b', 1, COMMIT);
    add(script, 'b', 1, 'Nats-Batch-Commit: eob');
    add(script, 'c', 1);
    add(script, 'c', 2);
    add(script, 'c', 3, COMMIT);
    add(script, 'd', 1);
    add(script, 'd', 2);
    add(script, 'd', 3, 'Nats-Batch-Commit: eob');
    add(script, 'e', 1);
    add(script, 'e', 3, COMMIT);
    add(script, 'e', 2, COMMIT);
    script.direct('S', { seq: 1 });
    script.api('STREAM.MSG.GET.S', { last_by_subj: 's.a' });
    script.api('STREAM.INFO.S');
  });

const atomicChecks = jetStreamScenario('batches: checks of an atomic batch', (script) => {
  script.create({ ...BASE, allow_rollup_hdrs: true, max_msg_size: 200 });
  script.publish('s.z', 'x', 'Nats-Msg-Id: known');
  let batch = 0;
  const pair = (first: string[], second: string[]): void => {
    batch++;
    add(script, `p${batch}`, 1, ...first);
    add(script, `p${batch}`, 2, COMMIT, ...second);
  };
  pair(['Nats-Expected-Last-Sequence: 1'], []);
  pair(['Nats-Expected-Last-Sequence: 1'], []);
  pair([], ['Nats-Expected-Last-Sequence: 1']);
  pair([], ['Nats-Expected-Last-Sequence: 3']);
  pair([], ['Nats-Expected-Last-Sequence: 4']);
  pair(['Nats-Expected-Last-Sequence: 7'], ['Nats-Expected-Last-Sequence: 8']);
  pair(['Nats-Expected-Last-Subject-Sequence: 3'], []);
  pair(['Nats-Expected-Last-Subject-Sequence: 9'], []);
  pair([], ['Nats-Expected-Last-Subject-Sequence: 5']);
  pair(['Nats-Expected-Stream: T'], []);
  pair(['Nats-Expected-Last-Msg-Id: x'], []);
  pair(['Nats-Msg-Id: 1'], ['Nats-Msg-Id: 1']);
  pair(['Nats-Msg-Id: known'], []);
  pair(['Nats-Msg-Id: 2'], ['Nats-Msg-Id: 3']);
  pair(['Nats-Rollup: sub'], []);
  pair([], ['Nats-Rollup: sub']);
  pair(['Nats-Rollup: all'], []);
  pair([], ['Nats-Rollup: all']);
  pair(['Nats-TTL: 1h'], []);
  pair(['Nats-Incr: 1'], []);
  pair(['Nats-Required-Api-Level: 9'], []);
  pair([`Long: ${'x'.repeat(250)}`], []);
  script.api('STREAM.INFO.S');
});

const atomicLimits = jetStreamScenario(
  'batches: limits of atomic batches',
  (script) => {
    script.create(BASE);
    for (let sequence = 1; sequence <= 4; sequence++) add(script, 'large', sequence);
    for (let sequence = 1; sequence <= 3; sequence++) add(script, 'fits', sequence);
    add(script, 'fits', 4, 'Nats-Batch-Commit: eob');
    add(script, 'one', 1);
    add(script, 'two', 1);
    add(script, 'three', 1);
    add(script, 'one', 2, COMMIT);
    add(script, 'two', 2, COMMIT);
  },
  'small',
);

/** A message of a fast batch: `tokens` are flow, gap, sequence and operation. */
function fast(script: Script, tokens: string, options: RequestOptions = {}): void {
  script.request('s.a', tokens, { ...options, reply: `R.${tokens}.$FI` });
}

const fastBatch = jetStreamScenario('batches: fast', (script) => {
  script.create({ ...BASE, allow_atomic: false });
  fast(script, 'off.10.ok.1.0');
  script.update({ ...BASE, allow_atomic: false, allow_batched: true });
  fast(script, `${'x'.repeat(65)}.10.ok.1.0`);
  fast(script, 'a.10.ok.2.0');
  fast(script, 'a.10.ok.1.1');
  fast(script, 'a.10.ok.1.3');
  fast(script, 'a.10.ok.1.9');
  fast(script, 'a.10.ok.x.0');
  fast(script, 'a.10.zz.1.0');
  fast(script, 'nobody.10.ok.2.1');
  fast(script, 'nobody.10.ok.2.2');
  fast(script, 'nobody.10.ok.2.4');
  fast(script, 'one.10.ok.1.2');
  fast(script, 'b.10.fail.1.0');
  fast(script, 'b.10.fail.2.1', { replies: 'nothing' });
  fast(script, 'b.10.fail.3.1', { replies: 'nothing' });
  fast(script, 'b.10.fail.3.4');
  fast(script, 'b.10.fail.4.2');
  fast(script, 'c.10.ok.1.0');
  fast(script, 'c.10.ok.4.1');
  fast(script, 'c.10.ok.5.3');
  fast(script, 'd.10.fail.1.0');
  fast(script, 'd.10.fail.4.1', { replies: 2 });
  fast(script, 'e.2.ok.1.0');
  fast(script, 'e.2.ok.2.1');
  fast(script, 'e.2.ok.3.1', { headers: ['Nats-Expected-Last-Sequence: 1'] });
  fast(script, 'e.2.ok.4.2');
  fast(script, 'f.2.fail.1.0');
  fast(script, 'f.2.fail.2.1');
  fast(script, 'f.2.fail.3.1', { headers: ['Nats-Expected-Last-Sequence: 1'], replies: 2 });
  fast(script, 'f.2.fail.4.1');
  script.api('STREAM.INFO.S');
});

export const batches: JetStreamScenario[] = [
  atomic('file'),
  atomic('memory'),
  atomicChecks,
  atomicLimits,
  fastBatch,
];
