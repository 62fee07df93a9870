/** Accounts with limits and without JetStream, the system account, domains, resources of the server (jetstream-api §1, §7, §8). */
import { type JetStreamScenario, jetStreamScenario } from '../script.ts';

const limits = jetStreamScenario('accounts: limits', (script) => {
  script.as('limited');
  script.api('INFO');
  const memory = { storage: 'memory' };
  script.create({ name: 'S', subjects: ['s'], ...memory, max_bytes: 4096 });
  script.create({ name: 'S', subjects: ['s'], ...memory, max_bytes: 2049 });
  script.create({ name: 'S', subjects: ['s'], storage: 'file', max_bytes: 5000 });
  script.create({ name: 'S', subjects: ['s'], ...memory, max_consumers: 4 });
  script.create({ name: 'S', subjects: ['s'], ...memory, max_bytes: 2048, max_consumers: 3 });
  script.update({ name: 'S', subjects: ['s'], ...memory, max_bytes: 2049 });
  script.create({ name: 'T', subjects: ['t'], storage: 'file' });
  script.create({ name: 'U', subjects: ['u'] });
  script.update({ name: 'T', subjects: ['t'], storage: 'file', max_bytes: 5000 });
  for (let i = 0; i < 6; i++) script.publish('t', 'x'.repeat(900));
  script.api('INFO');
  script.api('STREAM.INFO.T');
});

const required = jetStreamScenario('accounts: max_bytes is required', (script) => {
  script.as('bytes');
  script.api('INFO');
  script.create({ name: 'S', subjects: ['s'] });
  script.create({ name: 'S', subjects: ['s'], max_bytes: 1024 });
  script.update({ name: 'S', subjects: ['s'] });
});

const without = jetStreamScenario('accounts: without JetStream, and the system account', (script) => {
  for (const user of ['none', 'sys']) {
    script.as(user);
    for (const endpoint of [
      'INFO',
      'STREAM.NAMES',
      'STREAM.LIST',
      'STREAM.CREATE.S',
      'STREAM.INFO.S',
      'STREAM.PURGE.S',
      'STREAM.DELETE.S',
      'STREAM.MSG.GET.S',
      'STREAM.MSG.DELETE.S',
      'STREAM.SNAPSHOT.S',
    ])
      script.api(endpoint, endpoint === 'STREAM.CREATE.S' ? { name: 'S' } : '');
    script.api('DIRECT.GET.S', { seq: 1 });
    script.api('FOO', '', { replies: user === 'sys' ? 1 : 'nothing' });
  }
});

const purge = jetStreamScenario('accounts: purge by the system account', (script) => {
  script.create({ name: 'S', subjects: ['s'] });
  script.publish('s', 'x');
  script.as('sys');
  script.api('ACCOUNT.PURGE.A', 'text');
  script.api('ACCOUNT.PURGE.NOBODY');
  script.api('ACCOUNT.PURGE.A');
  script.api('META.LEADER.STEPDOWN', '', { replies: 'nothing' });
  script.api('SERVER.REMOVE', { peer: 'x' }, { replies: 'nothing' });
  script.as('a');
  script.api('STREAM.NAMES');
});

const domain = jetStreamScenario(
  'accounts: a domain',
  (script) => {
    script.api('INFO');
    script.request('$JS.hub.API.INFO');
    script.request('$JS.hub.API.STREAM.CREATE.S', {
      name: 'S',
      subjects: ['s.>'],
      allow_direct: true,
      foo: 1,
    });
    script.publish('s.a', 'x');
    script.publish('s.a', 'x', 'Nats-Msg-Id: 1');
    script.publish('s.a', 'x', 'Nats-Msg-Id: 1');
    script.publish('s.a', 'x', 'Nats-Expected-Last-Sequence: 9');
    script.request('$JS.hub.API.DIRECT.GET.S', { seq: 1 });
    script.request('$JS.hub.API.DIRECT.GET.S.s.a');
    script.request('$JS.hub.API.STREAM.INFO.S');
    script.request('$JS.hub.API.STREAM.NAMES');
    script.request('$JS.hub.API.STREAM.LIST');
    script.request('$JS.other.API.INFO');
    script.request('$JS.hub.API.FOO');
    script.listen('$JS.EVENT.ADVISORY.>');
    script.request('$JS.hub.API.STREAM.PURGE.S', '', { events: 1 });
    script.api('STREAM.DELETE.S', '', { events: 2 });
  },
  'domain',
);

const server = jetStreamScenario(
  'accounts: resources of the server',
  (script) => {
    script.api('INFO');
    script.create({ name: 'S', subjects: ['s'], storage: 'memory', max_bytes: 4097 });
    script.create({ name: 'S', subjects: ['s'], storage: 'memory', max_bytes: 4096 });
    script.create({ name: 'T', subjects: ['t'], storage: 'memory' });
    script.api('STREAM.DELETE.S');
    script.create({ name: 'F', subjects: ['f'], max_bytes: 8193 });
    script.create({ name: 'F', subjects: ['f'] });
    for (let i = 0; i < 10; i++) script.publish('f', 'x'.repeat(900));
    script.create({ name: 'D', subjects: ['d'], duplicate_window: 120_000_000_000 });
    script.create({ name: 'D', subjects: ['d'], pedantic: true, duplicate_window: 120_000_000_000 });
    script.create({ name: 'D', subjects: ['d'] });
    script.create({ name: 'C', subjects: ['c'], storage: 'memory', allow_msg_counter: true });
    script.publish('c', '', `Nats-Incr: ${'9'.repeat(4000)}`);
    script.publish('c', '', `Nats-Incr: ${'9'.repeat(4000)}`);
  },
  'small',
);

export const accounts: JetStreamScenario[] = [limits, required, without, purge, domain, server];
