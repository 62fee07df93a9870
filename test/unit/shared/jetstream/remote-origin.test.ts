import { beforeEach, describe, expect, test } from 'vitest';
import { Harness, type SentMessage } from './engine-harness.ts';

/** The origin is the test: it reads the requests of a stream and answers them. */

const EXTERNAL = { api: 'JS.far.API', deliver: 'from.far' };
const CREATE = 'JS.far.API.CONSUMER.CREATE.O';

let js: Harness;
/** Requests that were looked at. */
let seen: number;

beforeEach(() => {
  js = new Harness();
  seen = 0;
});

function make(config: object): void {
  expect(js.ask('STREAM.CREATE.S', { name: 'S', ...config }).error).toBeUndefined();
  js.advance(0);
}

/** The next request that was sent, with its body. */
function request(): { sent: SentMessage; config: Record<string, unknown> } {
  const at = js.sent.findIndex(({ reply }, index) => index >= seen && reply.startsWith('$JSC.R.'));
  if (at < 0) throw new Error('nothing was asked');
  seen = at + 1;
  const sent = js.sent[at]!;
  const body = sent.payload === '' ? {} : (JSON.parse(sent.payload) as Record<string, unknown>);
  return { sent, config: (body.config ?? body) as Record<string, unknown> };
}

function asked(): boolean {
  return js.sent.slice(seen).some(({ reply }) => reply.startsWith('$JSC.R.'));
}

function answer(to: SentMessage, body: object, identity = 'first'): void {
  js.publish(to.reply, JSON.stringify(body), `Nats-Stream-Identity: ${identity}\r\n`);
}

/** Answers a request with a consumer, and gives where it delivers. */
function accept(more: object = {}, identity = 'first'): string {
  const { sent, config } = request();
  answer(sent, { name: 'c', num_pending: 2, delivered: { consumer_seq: 0 }, ...more }, identity);
  return config.deliver_subject as string;
}

function deliver(place: string, consumerSeq: number, streamSeq = consumerSeq, pending = 0): void {
  const reply = `$JS.ACK.O.c.1.${streamSeq}.${consumerSeq}.1795275877079833712.${pending}`;
  js.publish(place, `m${streamSeq}`, '', reply);
}

function control(place: string, status: string, headers = '', reply = ''): void {
  const block = `NATS/1.0 100 ${status}\r\n${headers}\r\n`;
  js.publishBlock(place, block, reply);
}

function state(): Record<string, unknown> {
  return js.ask('STREAM.INFO.S').state as Record<string, unknown>;
}

function source(): Record<string, unknown> {
  const { sources, mirror } = js.ask('STREAM.INFO.S') as {
    sources?: Record<string, unknown>[];
    mirror?: Record<string, unknown>;
  };
  return sources?.[0] ?? mirror!;
}

describe('what is asked for', () => {
  test('by a source', () => {
    make({ sources: [{ name: 'O', filter_subject: 'o.>', external: EXTERNAL }] });
    expect(source()).toMatchObject({ lag: 0, active: -1 });
    const { sent, config } = request();
    expect(sent.subject).toBe(`${CREATE}.${String(config.name)}.o.>`);
    expect(sent.headers).toBe('NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n');
    expect(config).toEqual({
      name: expect.stringMatching(/^JS_SRC_\w{8}$/),
      deliver_policy: 'all',
      ack_policy: 'none',
      ack_wait: 79200e9,
      max_deliver: 1,
      filter_subject: 'o.>',
      replay_policy: 'instant',
      flow_control: true,
      deliver_subject: expect.stringMatching(/^from\.far\.S\.\w{8}$/),
      idle_heartbeat: 1e9,
      inactive_threshold: 10e9,
      num_replicas: 0,
      direct: true,
      sourcing: true,
      metadata: { '_nats.src.acc': expect.any(String), '_nats.src.stream': 'S' },
    });
  });

  test('by a mirror that begins at a time', () => {
    const mirror = { name: 'O', opt_start_time: '2026-01-01T00:00:00Z', external: EXTERNAL };
    make({ mirror });
    const { sent, config } = request();
    expect(sent.subject).toBe(CREATE);
    expect(sent.headers).toBe('NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n');
    expect(config).toMatchObject({
      name: expect.stringMatching(/^JS_MIRROR_/),
      deliver_policy: 'by_start_time',
      opt_start_time: '2026-01-01T00:00:00Z',
      deliver_subject: expect.stringMatching(/^from\.far\.M\./),
    });
  });

  test('of a consumer made beforehand', () => {
    make({ sources: [{ name: 'O', consumer: { name: 'made', deliver_subject: 'to.me' } }] });
    const { sent } = request();
    expect([sent.subject, sent.payload]).toEqual(['$JS.API.CONSUMER.RESET.O.made', '']);
    // From before the reset.
    deliver('to.me', 7);
    answer(sent, { name: 'made', delivered: { consumer_seq: 0 } });
    deliver('to.me', 1);
    expect(state()).toMatchObject({ messages: 1 });
    deliver('to.me', 3);
    js.advance(2000);
    expect(request().sent.payload).toBe('{"seq":2}');
  });

  test('of an origin that is too old, without what it does not know', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    answer(request().sent, { error: { code: 400, err_code: 10025, description: 'unknown field' } });
    js.advance(2000);
    const { sent, config } = request();
    expect(sent.headers).toBe('');
    expect(config).not.toHaveProperty('sourcing');
    expect(config).not.toHaveProperty('metadata');
  });
});

describe('what comes', () => {
  test('is stored with where it is from, and counted', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    expect(source()).toMatchObject({ lag: 2, active: 0 });
    deliver(place, 1, 5, 1);
    deliver(place, 2, 9, 0);
    expect(source()).toMatchObject({ lag: 0, seq: 9 });
    const { message } = js.ask('STREAM.MSG.GET.S', { seq: 2 }) as { message: { hdrs: string } };
    expect(Buffer.from(message.hdrs, 'base64').toString()).toMatch(
      /Nats-Stream-Source: O:\w{8} 9 > > \S+ first\r\n/,
    );
  });

  test('may be there before the answer', () => {
    make({ mirror: { name: 'O', external: EXTERNAL } });
    const { sent, config } = request();
    deliver(config.deliver_subject as string, 1, 4);
    answer(sent, { name: 'c' });
    deliver(config.deliver_subject as string, 2, 6);
    expect(state()).toMatchObject({ messages: 2, first_seq: 4, last_seq: 6, num_deleted: 1 });
  });

  test('with a gap, or less than the heartbeat knows of, is asked for again behind what is stored', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    let place = accept();
    deliver(place, 1);
    deliver(place, 3);
    expect(js.subjects).not.toContain(place);
    expect(js.sent.at(-1)?.subject).toBe('JS.far.API.CONSUMER.DELETE.O.c');
    expect(asked()).toBe(false);
    js.advance(2000);
    let next = request();
    expect(next.config).toMatchObject({ deliver_policy: 'by_start_sequence', opt_start_seq: 2 });
    expect(next.sent.headers).toContain('Nats-Stream-Identity: first\r\n');
    answer(next.sent, { name: 'd' });
    place = next.config.deliver_subject as string;
    deliver(place, 1, 2);
    control(place, 'Idle Heartbeat', 'Nats-Last-Consumer: 1\r\n');
    expect(js.subjects).toContain(place);
    control(place, 'Idle Heartbeat', 'Nats-Last-Consumer: 2\r\n');
    js.advance(2000);
    next = request();
    expect(next.config).toMatchObject({ opt_start_seq: 3 });
    expect(state()).toMatchObject({ messages: 2 });
  });

  test('goes on after a restart where it was', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    deliver(accept(), 1, 17);
    js = js.restart();
    seen = 0;
    js.advance(0);
    const { sent, config } = request();
    expect(config).toMatchObject({ opt_start_seq: 18 });
    expect(sent.headers).toContain('Nats-Stream-Identity: first\r\n');
  });

  test('stops, and is asked for again after ten seconds', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    js.advance(9000);
    control(place, 'Idle Heartbeat', 'Nats-Last-Consumer: 0\r\n');
    js.advance(9999);
    expect(asked()).toBe(false);
    js.advance(1);
    js.advance(0);
    expect(js.subjects).not.toContain(place);
    js.advance(0);
    expect(asked()).toBe(true);
  });

  test('finds no room, and is asked for again until there is', () => {
    make({ max_msgs: 1, discard: 'new', sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    deliver(place, 1);
    deliver(place, 2);
    js.advance(2000);
    expect(request().config).toMatchObject({ opt_start_seq: 2 });
  });
});

describe('flow control', () => {
  test('is answered when what came before is stored', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    deliver(place, 1);
    control(place, 'FlowControl Request', '', '$JS.FC.O.c.x');
    expect(js.sent.at(-1)).toMatchObject({ subject: '$JS.FC.O.c.x', headers: '' });
    expect(js.sent.at(-1)!.ticket).toBe(js.store.ticket);
    control(place, 'Idle Heartbeat', 'Nats-Last-Consumer: 1\r\nNats-Consumer-Stalled: $JS.FC.O.c.y\r\n');
    expect(js.sent.at(-1)).toMatchObject({ subject: '$JS.FC.O.c.y' });
  });

  test('acknowledges to an origin that waits for it', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept({ config: { ack_policy: 'flow_control' } });
    deliver(place, 1, 8);
    control(place, 'FlowControl Request', '', '$JS.FC.O.c.x');
    expect(js.sent.at(-1)?.headers).toBe('NATS/1.0\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 8\r\n\r\n');
  });
});

describe('a refusal', () => {
  const refusal = { error: { code: 404, err_code: 10059, description: 'stream not found' } };

  test('is shown, and asked about ever more rarely', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    for (const waitMs of [5000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000]) {
      answer(request().sent, refusal);
      expect(source()).toMatchObject({ active: -1, error: refusal.error });
      js.advance(waitMs - 1);
      expect(asked()).toBe(false);
      js.advance(1);
      js.advance(0);
    }
    accept();
    expect(source()).not.toHaveProperty('error');
  });

  test('because the origin was made anew begins from its start', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    deliver(place, 1, 50);
    deliver(place, 9);
    js.advance(2000);
    const other = { code: 400, err_code: 10225, description: "consumer's stream identity does not match" };
    answer(request().sent, { error: other });
    js.advance(2000);
    const { sent, config } = request();
    expect(config).toMatchObject({ deliver_policy: 'all' });
    answer(sent, { name: 'c' }, 'second');
    deliver(config.deliver_subject as string, 1);
    expect(state()).toMatchObject({ messages: 2 });
  });

  test('and nothing at all, and what is no answer, are waited out', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    request();
    js.advance(29_999);
    expect(asked()).toBe(false);
    js.advance(1);
    js.advance(0);
    const { sent } = request();
    js.publish(sent.reply, 'what?');
    expect(source()).toMatchObject({ error: { description: expect.stringContaining('no answer') } });
  });

  test('ends with the source: nothing is listened to any more', () => {
    make({ sources: [{ name: 'O', external: EXTERNAL }] });
    const place = accept();
    expect(js.ask('STREAM.UPDATE.S', { name: 'S', subjects: ['s'] }).error).toBeUndefined();
    expect(js.subjects).not.toContain(place);
    expect(js.sent.some(({ subject }) => subject === 'JS.far.API.CONSUMER.DELETE.O.c')).toBe(true);
  });
});
