/** Mirrors and sources between streams of one server (jetstream-streams §8). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

/** Republishing tells when a copy is stored: an event to wait for. */
const TOLD = { storage: 'memory', republish: { src: '>', dest: 'copied.>' } };

function origin(script: Script): void {
  script.create({ name: 'O', subjects: ['o.>'], storage: 'memory', allow_direct: true });
  script.publish('o.a', 'one');
  script.publish('o.b', 'two', 'X: y', 'Nats-Msg-Id: 2', 'Nats-Expected-Last-Sequence: 1');
  script.publish('o.a', 'three');
  script.api('STREAM.MSG.DELETE.O', { seq: 1 });
  script.listen('copied.>');
}

const mirrors = jetStreamScenario('origins: mirrors', (script) => {
  origin(script);
  script.create({ name: 'M', mirror: { name: 'O' }, ...TOLD }, { events: 2 });
  script.direct('M', { seq: 2 });
  script.api('STREAM.MSG.GET.M', { seq: 2 });
  script.request('o.c', 'four', { events: 1 });
  script.api('STREAM.MSG.GET.M', { seq: 4 });
  script.direct('O', { seq: 1 });
  script.create({ name: 'F', mirror: { name: 'O', filter_subject: 'o.b' }, ...TOLD }, { events: 1 });
  script.api('STREAM.MSG.GET.F', { last_by_subj: 'o.b' });
  const transforms = [
    { src: 'o.a', dest: 'x.a' },
    { src: 'o.b', dest: '' },
  ];
  script.create({ name: 'T', mirror: { name: 'O', subject_transforms: transforms }, ...TOLD }, { events: 2 });
  script.api('STREAM.MSG.GET.T', { last_by_subj: 'x.a' });
  script.create({ name: 'N', mirror: { name: 'O', opt_start_seq: 4 }, ...TOLD }, { events: 1 });
  script.api('STREAM.MSG.GET.N', { seq: 4 });
  script.update({ name: 'M', subjects: ['m'], ...TOLD });
  script.request('m', 'own', { events: 1 });
});

const sources = jetStreamScenario('origins: sources', (script) => {
  origin(script);
  script.create({ name: 'S', subjects: ['s.>'], sources: [{ name: 'O' }], ...TOLD }, { events: 2 });
  script.api('STREAM.MSG.GET.S', { seq: 1 });
  script.request('s.own', 'own', { events: 1 });
  script.request('o.c', 'four', { events: 1 });
  script.api('STREAM.MSG.GET.S', { seq: 4 });
  const transforms = [{ src: 'o.*', dest: 'z.$1' }];
  script.create(
    {
      name: 'T',
      sources: [{ name: 'O', subject_transforms: transforms, opt_start_seq: 4 }],
      ...TOLD,
    },
    { events: 1 },
  );
  script.api('STREAM.MSG.GET.T', { seq: 1 });
  script.create({ name: 'F', sources: [{ name: 'O', filter_subject: 'o.b' }], ...TOLD }, { events: 1 });
  script.api('STREAM.MSG.GET.F', { seq: 1 });
});

export const origins: JetStreamScenario[] = [mirrors, sources];
