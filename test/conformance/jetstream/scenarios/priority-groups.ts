/** Priority groups of pull consumers (jetstream-consumers §7). */
import { type JetStreamScenario, jetStreamScenario, type Script } from '../script.ts';

const SECOND = 1e9;

function fill(script: Script, count: number): void {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory' });
  for (let i = 1; i <= count; i++) script.publish('s.a', `message ${i}`);
}

const refusals = jetStreamScenario('groups: refused', (script) => {
  fill(script, 2);
  for (const policy of ['overflow', 'pinned_client', 'prioritized']) {
    script.consumer({ priority_policy: policy, priority_groups: ['A', 'B'] });
    for (const body of [
      {},
      { group: 'X' },
      { group: 'A', min_pending: 1, no_wait: true },
      { group: 'A', id: 'x', no_wait: true },
      { group: 'A', priority: 10 },
    ]) {
      const served =
        policy === 'overflow' ? 'min_pending' in body : policy === 'pinned_client' && 'id' in body;
      if (!served) script.pull(body, 1);
    }
    script.api('CONSUMER.INFO.S.c');
    script.api('CONSUMER.UNPIN.S.c', { group: 'A' });
    script.api('CONSUMER.UNPIN.S.c', { group: 'X' });
    script.api('CONSUMER.UNPIN.S.c', {}).api('CONSUMER.UNPIN.S.c').api('CONSUMER.UNPIN.S.c', { group: '' });
    script.api('CONSUMER.UNPIN.S.c', { group: 'a b' }).api('CONSUMER.UNPIN.S.c', '{');
    script.api('CONSUMER.DELETE.S.c');
  }
  script.consumer({});
  script.api('CONSUMER.UNPIN.S.c', { group: 'A' });
  script.api('CONSUMER.UNPIN.S.x', { group: 'A' });
  script.api('CONSUMER.UNPIN.T.c', { group: 'A' });
});

const overflow = jetStreamScenario('groups: overflow', (script) => {
  fill(script, 3);
  script.listen('d.>');
  script.consumer({ priority_policy: 'overflow', priority_groups: ['A'] });
  script.pull({ group: 'A', batch: 1, min_pending: 4, expires: 50e6 }, 1);
  script.pull({ group: 'A', batch: 1, min_pending: 3, expires: 60 * SECOND }, 1);
  script.pull({ group: 'A', batch: 1, min_pending: 3, min_ack_pending: 1, expires: 60 * SECOND }, 1);
  script.pullTo('d.1', { group: 'A', batch: 1, min_ack_pending: 3 });
  script.pullTo('d.2', { group: 'A', batch: 5 }, 1);
  script.request('s.a', 'more', { events: 1 });
  script.api('CONSUMER.INFO.S.c');
});

const prioritized = jetStreamScenario('groups: prioritized', (script) => {
  script.create({ name: 'S', subjects: ['s.>'], storage: 'memory' });
  script.listen('d.>');
  script.consumer({ priority_policy: 'prioritized', priority_groups: ['A'] });
  script.pullTo('d.5', { group: 'A', batch: 1, priority: 5, expires: 60 * SECOND });
  script.pull({ group: 'A', batch: 2, priority: 1, expires: 300e6 }, 1);
  script.request('s.a', 'for five', { events: 1 });
  script.pullTo('d.9', { group: 'A', batch: 1, priority: 9 });
  script.api('CONSUMER.MSG.NEXT.S.c', { group: 'A', batch: 1 }, { replies: 0, reply: 'd.0' });
  script.request('s.a', 'for zero', { events: 1 });
  script.request('s.a', 'for nine', { events: 1 });
  script.api('CONSUMER.INFO.S.c');
});

const pinned = jetStreamScenario('groups: pinned client', (script) => {
  fill(script, 2);
  script.listen('$JS.EVENT.ADVISORY.CONSUMER.*INNED.>').listen('$JS.EVENT.ADVISORY.CONSUMER.PINNED.>');
  script.listen('$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.>').listen('d.>');
  script.consumer({ priority_policy: 'pinned_client', priority_groups: ['A'], priority_timeout: 2 * SECOND });
  script.api('CONSUMER.INFO.S.c');
  script.pullTo('d.1', { group: 'A', batch: 3 }, 3);
  script.api('CONSUMER.INFO.S.c');
  script.pull({ group: 'A', batch: 1, id: 'wrong' }, 1);
  script.pullTo('d.2', { group: 'A', batch: 1 });
  script.request('s.a', 'for the first', { events: 1 });
  script.api('CONSUMER.UNPIN.S.c', { group: 'A' }, { events: 1 });
  script.request('s.a', 'for the second', { events: 2 });
  script.api('CONSUMER.INFO.S.c');
  script.api('INFO', '', { events: 1 });
  script.api('CONSUMER.INFO.S.c');
});

export const priorityGroups: JetStreamScenario[] = [refusals, overflow, prioritized, pinned];
