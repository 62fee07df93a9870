/** Reading and deleting messages: MSG.GET, MSG.DELETE, direct get (jetstream-api §3.2, §5). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const LONG_AGO = '2001-01-01T00:00:00Z';
const FAR_AWAY = '2101-01-01T00:00:00Z';

function fill(script: Script, storage: string): void {
  script.create({ name: 'S', subjects: ['s.>'], storage, allow_direct: true });
  script.publish('s.a', 'one');
  script.publish('s.b', 'two', 'X: y');
  script.publish('s.a', '');
  script.publish('s.c.d', 'four', 'Nats-Msg-Id: four', 'Z:');
  script.publish('s.b', '', 'A: b');
  script.publish('s.a', 'six');
  script.api('STREAM.MSG.DELETE.S', { seq: 6 });
  script.publish('s.a', 'seven');
}

const get = (storage: string): JetStreamScenario =>
  jetStreamScenario(`messages: get, ${storage}`, (script) => {
    script.api('STREAM.MSG.GET.S', { seq: 1 });
    fill(script, storage);
    for (const body of [
      '',
      {},
      { seq: 0 },
      { seq: 1 },
      { seq: 2 },
      { seq: 2, no_hdr: true },
      { seq: 3 },
      { seq: 5 },
      { seq: 6 },
      { seq: 9 },
      '{"seq":-1}',
      '{"seq":18446744073709551615}',
      { last_by_subj: 's.a' },
      { last_by_subj: 's.*' },
      { last_by_subj: 's.z' },
      { next_by_subj: 's.a' },
      { next_by_subj: 's.a', seq: 2 },
      { next_by_subj: 's.>', seq: 4 },
      { next_by_subj: 's.a', seq: 9 },
      { next_by_subj: 's.z' },
      { start_time: LONG_AGO },
      { start_time: FAR_AWAY },
      { start_time: LONG_AGO, next_by_subj: 's.b' },
      { start_time: LONG_AGO, last_by_subj: 's.b' },
      { start_time: LONG_AGO, seq: 1 },
      { seq: 1, last_by_subj: 's.a' },
      { last_by_subj: 's.a', next_by_subj: 's.a' },
      { seq: 1, batch: 2 },
      { seq: 1, max_bytes: 10 },
      { multi_last: ['s.a'] },
      { foo: 1 },
      'text',
    ])
      script.api('STREAM.MSG.GET.S', body);
  });

const deletes = (storage: string): JetStreamScenario =>
  jetStreamScenario(`messages: delete, ${storage}`, (script) => {
    script.api('STREAM.MSG.DELETE.S', { seq: 1 });
    fill(script, storage);
    for (const body of [
      '',
      {},
      { seq: 0 },
      { seq: 6 },
      { seq: 99 },
      { seq: 2, no_erase: true },
      { seq: 1 },
      { seq: 7 },
      { seq: 1, foo: 1 },
      '{"seq":"x"}',
      'text',
    ])
      script.api('STREAM.MSG.DELETE.S', body);
    script.api('STREAM.INFO.S', { deleted_details: true });
    script.publish('s.a', 'eight');
  });

const direct = (storage: string): JetStreamScenario =>
  jetStreamScenario(`messages: direct get, ${storage}`, (script) => {
    fill(script, storage);
    for (const body of [
      '',
      {},
      { foo: 1 },
      { batch: 2 },
      { max_bytes: 2 },
      'text',
      '{',
      { seq: 1 },
      { seq: 1, foo: 1 },
      { seq: 2 },
      { seq: 2, no_hdr: true },
      { seq: 3 },
      { seq: 6 },
      { seq: 99 },
      { last_by_subj: 's.a' },
      { last_by_subj: 's.>' },
      { last_by_subj: 's.z' },
      { next_by_subj: 's.a' },
      { next_by_subj: 's.a', seq: 2 },
      { next_by_subj: 's.*', seq: 6 },
      { next_by_subj: 's.z' },
      { start_time: LONG_AGO },
      { start_time: FAR_AWAY },
      { seq: 1, start_time: LONG_AGO },
      { seq: 1, last_by_subj: 's.a' },
      { last_by_subj: 's.a', next_by_subj: 's.a' },
      { last_by_subj: 's.a', batch: 2 },
      { multi_last: ['s.a'], seq: 1 },
      { multi_last: ['s.a'], last_by_subj: 's.a' },
      { multi_last: ['s.a'], up_to_seq: 3, up_to_time: LONG_AGO },
      { multi_last: ['s.z'] },
      { seq: 99, batch: 3 },
    ])
      script.direct('S', body);
    script.api('DIRECT.GET.S.s.a');
    script.api('DIRECT.GET.S.s.c.d');
    script.api('DIRECT.GET.S.s.z');
    script.api('DIRECT.GET.S.s.a', { no_hdr: true });
    script.api('DIRECT.GET.S.s.a', { seq: 1 });
    script.api('DIRECT.GET.S.s.a', 'text');
    script.update({ name: 'S', subjects: ['s.>'], storage });
    script.direct('S', { seq: 1 });
  });

const batches = (storage: string): JetStreamScenario =>
  jetStreamScenario(`messages: batched direct get, ${storage}`, (script) => {
    fill(script, storage);
    for (const body of [
      { seq: 1, batch: 10 },
      { seq: 1, batch: 2 },
      { seq: 5, batch: 3 },
      { seq: 1, batch: 3, max_bytes: 1 },
      { seq: 1, batch: 10, max_bytes: 60 },
      { seq: 1, batch: 2, next_by_subj: 's.a' },
      { batch: 9, next_by_subj: 's.b' },
      { batch: 2, start_time: LONG_AGO },
      { multi_last: ['s.>'] },
      { multi_last: ['s.a', 's.b'] },
      { multi_last: ['s.>'], batch: 2 },
      { multi_last: ['s.>'], up_to_seq: 4 },
      { multi_last: ['s.>'], up_to_time: FAR_AWAY },
      { multi_last: ['s.*', 's.a'], max_bytes: 1 },
    ])
      script.direct('S', body, 'batch');
  });

export const messages: JetStreamScenario[] = [
  get('file'),
  get('memory'),
  deletes('file'),
  deletes('memory'),
  direct('file'),
  direct('memory'),
  batches('file'),
  batches('memory'),
];
