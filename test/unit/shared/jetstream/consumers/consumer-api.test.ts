import { beforeEach, describe, expect, test } from 'vitest';
import { UNLIMITED_JETSTREAM } from '../../../../../src/shared/base/options.ts';
import { shortHash } from '../../../../../src/shared/jetstream/names.ts';
import type { Stream } from '../../../../../src/shared/jetstream/stream.ts';
import { formatTime } from '../../../../../src/shared/jetstream/time.ts';
import { ACCOUNT, Harness } from '../engine-harness.ts';

/** What recorded answers can't have: times of this run, accounts with limits, requests nobody waits for. */

let harness: Harness;
let stream: Stream;

beforeEach(() => {
  harness = new Harness();
  stream = harness.create('S', { subjects: ['s.>'] });
});

function create(name: string, config: Record<string, unknown> = {}): Record<string, unknown> {
  return harness.ask(`CONSUMER.CREATE.S.${name}`, { stream_name: 'S', config });
}

function errorOf(reply: Record<string, unknown>): number | undefined {
  return (reply.error as { err_code: number } | undefined)?.err_code;
}

describe('the identity of a stream', () => {
  const body = JSON.stringify({ stream_name: 'S', config: { direct: true, deliver_subject: 'd' } });

  function identity(): string {
    return shortHash(formatTime(stream.createdNs));
  }

  test('is told to direct and sourcing consumers', () => {
    const [direct] = harness.request('$JS.API.CONSUMER.CREATE.S.a', body);
    expect(direct?.headers).toBe(`NATS/1.0\r\nNats-Stream-Identity: ${identity()}\r\n\r\n`);
    const [sourcing] = harness.request('$JS.API.CONSUMER.CREATE.S.b', body.replace('direct', 'sourcing'));
    expect(sourcing?.headers).toContain(identity());
    const other = JSON.stringify({ stream_name: 'S', config: {} });
    const [plain] = harness.request('$JS.API.CONSUMER.CREATE.S.c', other, 'Nats-Stream-Identity: x\r\n');
    expect(plain?.headers).toBe('');
  });

  test('may be asked for, and must be right then', () => {
    const ask = (value: string) =>
      harness.request('$JS.API.CONSUMER.CREATE.S.a', body, `Nats-Stream-Identity: ${value}\r\n`)[0]!.payload;
    expect(ask(identity())).toContain('"name":"a"');
    expect(ask('')).toContain('"name":"a"');
    expect(ask('zzzzzzzz')).toContain(
      `"description":"consumer's stream identity does not match: ${identity()}"`,
    );
  });

  test('comes with a reset that asks for it', () => {
    create('a');
    const [reply] = harness.request('$JS.API.CONSUMER.RESET.S.a', '', 'Nats-Stream-Identity: \r\n');
    expect(reply?.headers).toContain(identity());
    expect(harness.request('$JS.API.CONSUMER.RESET.S.a')[0]?.headers).toBe('');
  });
});

describe('limits', () => {
  test('of the account count consumers of all streams', () => {
    harness.engine.enableAccount(ACCOUNT, {
      limits: { ...UNLIMITED_JETSTREAM, maxConsumers: 1 },
      tiers: null,
    });
    harness.create('T');
    expect(errorOf(create('a'))).toBeUndefined();
    expect(errorOf(harness.ask('CONSUMER.CREATE.T.b', { stream_name: 'T', config: {} }))).toBe(10026);
    expect(errorOf(create('a', { description: 'an update' }))).toBeUndefined();
    expect(errorOf(create('b', { direct: true, deliver_subject: 'd' }))).toBeUndefined();
    expect(errorOf(create('c', { sourcing: true, deliver_subject: 'd' }))).toBeUndefined();
  });

  test('of the account bound what waits for acknowledgement', () => {
    harness.engine.enableAccount(ACCOUNT, {
      limits: { ...UNLIMITED_JETSTREAM, maxAckPending: 5 },
      tiers: null,
    });
    expect(create('a', { ack_policy: 'explicit' }).config).toMatchObject({ max_ack_pending: 5 });
    expect(errorOf(create('b', { ack_policy: 'explicit', max_ack_pending: 6 }))).toBe(10121);
  });

  test('there has to be a tier', () => {
    harness.engine.enableAccount(ACCOUNT, {
      limits: UNLIMITED_JETSTREAM,
      tiers: new Map([['R3', UNLIMITED_JETSTREAM]]),
    });
    expect(errorOf(create('a'))).toBe(10120);
  });

  test('names have at most 255 bytes', () => {
    expect(errorOf(create('n'.repeat(255)))).toBeUndefined();
    expect(errorOf(create('n'.repeat(256)))).toBe(10102);
    const unicode = { stream_name: 'S', config: { name: 'é'.repeat(128) } };
    expect(
      errorOf(harness.ask('CONSUMER.CREATE.S', Buffer.from(JSON.stringify(unicode)).toString('latin1'))),
    ).toBe(10102);
  });
});

describe('a consumer without a name', () => {
  test('gets one, which its configuration does not have', () => {
    const reply = harness.ask('CONSUMER.CREATE.S', { stream_name: 'S', config: { ack_policy: 'explicit' } });
    expect(reply.name).toMatch(/^[0-9A-Za-z]{8}$/);
    expect(reply.config).not.toHaveProperty('name');
    expect(harness.ask(`CONSUMER.INFO.S.${String(reply.name)}`).config).toEqual(reply.config);
  });
});

describe('requests', () => {
  function api(): { total: number; errors: number } {
    return harness.ask('INFO').api as { total: number; errors: number };
  }

  test('are counted and audited, but RESET is not', () => {
    harness.interest.push('$JS.EVENT.ADVISORY.API');
    create('a');
    const before = api();
    const sent = harness.sent.length;
    harness.ask('CONSUMER.RESET.S.a');
    harness.ask('CONSUMER.RESET.S.a', 'x');
    expect(harness.sent.slice(sent).map(({ subject }) => subject)).not.toContain('$JS.EVENT.ADVISORY.API');
    harness.ask('CONSUMER.INFO.S.a');
    harness.ask('CONSUMER.INFO.S.b');
    expect(api()).toMatchObject({ total: before.total + 3, errors: before.errors + 1 });
    expect(harness.sent.filter(({ payload }) => payload.includes('api_audit')).length).toBeGreaterThan(2);
  });

  test('RESET is carried out only for somebody who waits', () => {
    create('a');
    const position = () => stream.consumers.find('a')?.status().delivered.streamSeq;
    harness.publish('$JS.API.CONSUMER.RESET.S.a', '{"seq":3}');
    expect(position()).toBe(0);
    expect(harness.ask('CONSUMER.RESET.S.a', { seq: 3 }).reset_seq).toBe(3);
    expect(position()).toBe(2);
    expect(harness.request('$JS.API.CONSUMER.RESET.S.nobody')).toEqual([]);
  });

  test('RESET knows no sequence beyond the exact ones', () => {
    create('a');
    const most = Number.MAX_SAFE_INTEGER;
    expect(harness.ask('CONSUMER.RESET.S.a', '{"seq":18446744073709551615}').reset_seq).toBe(most);
  });

  test('others are carried out without one', () => {
    harness.publish('$JS.API.CONSUMER.CREATE.S.a', '{"stream_name":"S","config":{}}');
    expect(stream.consumers.find('a')).not.toBeNull();
    harness.publish('$JS.API.CONSUMER.DELETE.S.a');
    expect(stream.consumers.find('a')).toBeNull();
  });

  test('for an account without JetStream are told so, but of bad JSON first', () => {
    const ask = (payload: string) => {
      const request = {
        account: 'other',
        subject: '$JS.API.CONSUMER.CREATE.S.a',
        reply: 'inbox',
        client: '',
      };
      harness.api.request({ ...request, headers: new Uint8Array(0), body: Buffer.from(payload) });
      return (JSON.parse(harness.sent.at(-1)!.payload) as Record<string, unknown>) ?? {};
    };
    expect(errorOf(ask('{"stream_name":"S"}'))).toBe(10039);
    expect(errorOf(ask('{'))).toBe(10025);
  });

  test('for a stream that is offline are told why', () => {
    harness.engine.account(ACCOUNT)!.offline.set('X', 'unsupported');
    expect(errorOf(harness.ask('CONSUMER.CREATE.X.a', { stream_name: 'X', config: {} }))).toBe(10194);
    expect(errorOf(harness.ask('CONSUMER.LIST.X'))).toBe(10194);
  });
});

test('a pause is handed on in UTC, its end as empty', () => {
  create('a');
  harness.ask('CONSUMER.PAUSE.S.a', { pause_until: '2124-01-01T02:00:00+02:00' });
  expect(stream.consumers.find('a')?.config.pauseUntil).toBe('2124-01-01T00:00:00Z');
  harness.ask('CONSUMER.PAUSE.S.a', { pause_until: '0001-01-01T00:00:00Z' });
  expect(stream.consumers.find('a')?.config.pauseUntil).toBe('');
});

test('UNPIN reaches the group', () => {
  create('a', { priority_groups: ['A', 'B'], priority_policy: 'pinned_client' });
  harness.interest.push('$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.>');
  expect(harness.ask('CONSUMER.UNPIN.S.a', { group: 'B' })).toEqual({
    type: 'io.nats.jetstream.api.v1.consumer_unpin_response',
  });
  expect(harness.sent.some(({ payload }) => payload.includes('"group":"B","reason":"admin"'))).toBe(true);
});

test('a deliver subject somebody listens on stays', () => {
  create('a', { deliver_subject: 'd' });
  harness.listen('d');
  expect(errorOf(create('a', { deliver_subject: 'e' }))).toBe(10013);
  expect(errorOf(create('a', { deliver_subject: 'd', description: 'x' }))).toBeUndefined();
  harness.unlisten('d');
  expect(errorOf(create('a', { deliver_subject: 'e' }))).toBeUndefined();
});

test('lists have pages', () => {
  for (let i = 0; i < 300; i++) create(`c${String(i).padStart(3, '0')}`);
  const page = harness.ask('CONSUMER.LIST.S', { offset: 10 });
  expect(page).toMatchObject({ total: 300, offset: 10, limit: 256 });
  const names = (page.consumers as { name: string }[]).map(({ name }) => name);
  expect([names.length, names[0], names.at(-1)]).toEqual([256, 'c010', 'c265']);
  expect((harness.ask('CONSUMER.NAMES.S').consumers as string[]).length).toBe(300);
});

describe('a pull request', () => {
  const NOBODY = 'NATS/1.0 503\r\nNats-Subject: ';

  test('for what is not there is told that nobody responds, once', () => {
    for (const names of ['X.a', 'S.a', 'S.a.b', 'S']) {
      const subject = `$JS.API.CONSUMER.MSG.NEXT.${names}`;
      const replies = harness.request(subject).map(({ headers }) => headers);
      expect(replies).toEqual([`${NOBODY}${subject}\r\n\r\n`]);
    }
  });

  test('for a consumer that is gone is told the same', () => {
    create('a');
    harness.ask('CONSUMER.DELETE.S.a');
    expect(harness.request('$JS.API.CONSUMER.MSG.NEXT.S.a').length).toBe(1);
  });

  test('that nobody waits for is not answered', () => {
    const sent = harness.sent.length;
    harness.publish('$JS.API.CONSUMER.MSG.NEXT.X.a');
    expect(harness.sent.length).toBe(sent);
  });
});
