// The JetStream modes of the load generator against a stream that misbehaves.

import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { available, OperationServer, type Options, runDriver, type Target } from './bench-driver.ts';

interface Misbehaviour {
  /** PubAcks sent for the publish with this sequence, from 1. */
  acks?: (seq: number) => string[];
  /** Sequences delivered in place of this one. */
  order?: (seq: number) => number[];
  payload?: (seq: number, stored: Buffer) => Buffer;
}

const servers: OperationServer[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** The least stream that can carry a run: one stream in memory, consumers that deliver all of it. */
class Stream {
  readonly target: Promise<Target>;
  readonly subjects: string[] = [];
  readonly requests: { subject: string; body: string }[] = [];
  readonly acknowledged = new Set<number>();
  flowControlAnswers = 0;
  private readonly faults: Misbehaviour;
  private readonly payloads: Buffer[] = [];
  /** Sockets by subscription, exact or `x.*`. */
  private readonly interest = new Map<string, { socket: Socket; sid: string }>();
  private consumer = { name: '', next: 1, sent: 0, inbox: '', wanted: 0 };

  constructor(faults: Misbehaviour) {
    this.faults = faults;
    const server = new OperationServer(({ verb, subject, rest, payload }, socket) => {
      if (verb === 'PING') socket.write('PONG\r\n');
      if (verb === 'SUB') this.interest.set(subject, { socket, sid: rest.at(-1) ?? '' });
      if (verb === 'PUB') this.take(subject, rest.length > 1 ? (rest[0] ?? '') : '', Buffer.from(payload));
    });
    servers.push(server);
    this.target = server.target('u', 'p');
  }

  private send(subject: string, payload: Buffer | string, reply = '', inbox = subject): void {
    for (const [pattern, { socket, sid }] of this.interest) {
      const matches = pattern.endsWith('*') ? inbox.startsWith(pattern.slice(0, -1)) : inbox === pattern;
      if (!matches) continue;
      const head = `MSG ${subject} ${sid}${reply && ` ${reply}`} ${Buffer.byteLength(payload)}\r\n`;
      socket.write(Buffer.concat([Buffer.from(head), Buffer.from(payload), Buffer.from('\r\n')]));
    }
  }

  private take(subject: string, reply: string, payload: Buffer): void {
    const body = payload.toString('latin1');
    if (subject.startsWith('$JS.API.CONSUMER.MSG.NEXT.')) {
      this.consumer.inbox = reply;
      this.consumer.wanted += JSON.parse(body).batch;
      this.deliver();
    } else if (subject.startsWith('$JS.API.')) {
      this.requests.push({ subject, body });
      this.send(reply, '{"type":"answer"}');
      if (subject.startsWith('$JS.API.CONSUMER.CREATE.BENCH.r')) this.create(body);
    } else if (subject.startsWith('$JS.ACK.')) {
      this.acknowledged.add(Number(subject.split('.')[5]));
      if (reply) this.send(reply, '');
    } else if (subject.startsWith('$JS.FC.')) {
      this.flowControlAnswers++;
      this.consumer.wanted = 10;
      this.deliver();
    } else this.store(subject, reply, payload);
  }

  private store(subject: string, reply: string, payload: Buffer): void {
    const seq = this.payloads.push(payload);
    this.subjects.push(subject);
    const acks = this.faults.acks?.(seq) ?? [`{"stream":"BENCH","seq":${seq}}`];
    for (const ack of acks) this.send(reply, ack);
    this.deliver();
  }

  private create(body: string): void {
    const { config } = JSON.parse(body);
    const fresh = config.deliver_policy === 'new' ? this.payloads.length + 1 : 1;
    const pushed = config.deliver_subject as string | undefined;
    this.consumer = { name: config.name, next: fresh, sent: 0, inbox: pushed ?? '', wanted: pushed ? 10 : 0 };
    this.deliver();
  }

  private deliver(): void {
    const { consumer } = this;
    while (consumer.wanted > 0 && consumer.next <= this.payloads.length) {
      for (const seq of this.faults.order?.(consumer.next) ?? [consumer.next]) {
        const stored = this.payloads[seq - 1] ?? Buffer.alloc(0);
        const payload = this.faults.payload?.(seq, stored) ?? stored;
        const reply = `$JS.ACK.BENCH.${consumer.name}.1.${seq}.${++consumer.sent}.1700000000000000000.0`;
        this.send(this.subjects[seq - 1] ?? '', payload, reply, consumer.inbox);
        consumer.wanted--;
      }
      consumer.next++;
    }
    if (consumer.inbox.includes('deliver') && consumer.wanted === 0) this.askForFlow();
  }

  /** Every ten messages a push consumer waits for the answer. */
  private askForFlow(): void {
    const headers = 'NATS/1.0 100 FlowControl Request\r\n\r\n';
    const { inbox } = this.consumer;
    const subscription = this.interest.get(inbox);
    const sizes = `${headers.length} ${headers.length}`;
    subscription?.socket.write(`HMSG ${inbox} ${subscription.sid} $JS.FC.BENCH.x ${sizes}\r\n${headers}\r\n`);
  }
}

async function stream(faults: Misbehaviour = {}): Promise<{ served: Stream; target: Target }> {
  const served = new Stream(faults);
  return { served, target: await served.target };
}

const FILL = { subject: 'bench.js', size: 16, messages: 100, window: 8, timeout: 2 };

describe.skipIf(!available)('requests', () => {
  test('keep a window under way and count the answers', async () => {
    const { served, target } = await stream();
    const result = await runDriver(target, 'request', { ...FILL, publishers: 3 });
    expect(result).toMatchObject({ answered: 100 });
    expect(result.answered_per_s).toBeGreaterThan(0);
    expect(served.subjects).toHaveLength(100);
  });

  test('last as long as asked for', async () => {
    const { served, target } = await stream();
    const { answered } = await runDriver(target, 'request', { ...FILL, messages: 0, seconds: 0.05 });
    expect(answered).toBeGreaterThan(0);
    expect(served.subjects).toHaveLength(answered ?? 0);
  });

  test('count through subject and body, each publisher taking its turn', async () => {
    const { served, target } = await stream();
    const body = '{"name":"c{1000}","again":"{1000}"}';
    const subject = '$JS.API.ASK.{5}.{20}';
    await runDriver(target, 'request', { ...FILL, subject, body, publishers: 2 });
    const seen = served.requests.map((one) => `${one.subject} ${one.body}`).sort();
    expect(new Set(seen).size).toBe(100);
    expect(seen).toContain('$JS.API.ASK.2.07 {"name":"c037","again":"000"}');
  });

  test.each<[string, (seq: number) => string[], string]>([
    ['an answer that does not come', (seq) => (seq === 50 ? [] : ['{}']), 'no answer within the timeout'],
    ['an answer that comes twice', (seq) => (seq === 50 ? ['{}', '{}'] : ['{}']), 'not under way'],
    ['a refusal', (seq) => [seq === 50 ? '{"error":{"code":503}}' : '{}'], 'refused'],
  ])('tell %s', async (_name, acks, complaint) => {
    const { target } = await stream({ acks });
    await expect(runDriver(target, 'request', FILL)).rejects.toThrow(complaint);
  });
});

describe.skipIf(!available)('consumers', () => {
  async function consume(faults: Misbehaviour, options: Options = {}) {
    const { served, target } = await stream(faults);
    await runDriver(target, 'request', FILL);
    const all = { messages: 100, batch: 10, gapless: 1, seconds: 0.7, timeout: 2, ...options };
    return { served, result: await runDriver(target, 'consume', all) };
  }

  test('pull whole rounds in batches and acknowledge every message', async () => {
    const { served, result } = await consume({}, { acknowledge: 1, consumer: '"ack_policy":"explicit"' });
    expect(result.rounds).toBeGreaterThan(0);
    expect(result.received).toBeGreaterThan(0);
    expect(result.received_per_s).toBeGreaterThan(0);
    expect(served.acknowledged.size).toBe(Math.min(100, result.received ?? 0));
    expect(JSON.parse(served.requests[0]?.body ?? '')).toMatchObject({ config: { ack_policy: 'explicit' } });
  });

  test('are pushed to, and answer flow control', async () => {
    const { served, result } = await consume({}, { batch: 0 });
    expect(result.received).toBeGreaterThan(10);
    expect(served.flowControlAnswers).toBeGreaterThan(0);
  });

  test.each<[string, Misbehaviour]>([
    ['a lost message', { order: (seq) => (seq === 3 ? [] : [seq]) }],
    ['a repeated message', { order: (seq) => (seq === 3 ? [3, 3] : [seq]) }],
    ['messages out of order', { order: (seq) => (seq === 3 ? [4] : seq === 4 ? [3] : [seq]) }],
    ["another message's payload", { payload: (seq, stored) => (seq === 3 ? Buffer.alloc(16) : stored) }],
  ])('tell %s', async (_name, faults) => {
    await expect(consume(faults)).rejects.toThrow('wrong deliveries');
  });

  test('measure the way from publish to delivery and to the PubAck', async () => {
    const { target } = await stream();
    const load = { subject: 'bench.js', size: 16, batch: 10, seconds: 0.05, gapless: 1 };
    const result = await runDriver(target, 'delivery', { ...load, consumer: '"deliver_policy":"new"' });
    expect(result.messages).toBeGreaterThan(0);
    expect(result.delivered_p50_us).toBeGreaterThan(0);
    expect(result.delivered_p99_us ?? 0).toBeGreaterThanOrEqual(result.delivered_p50_us ?? Infinity);
    expect(result.acknowledged_p50_us).toBeGreaterThan(0);
  });

  test('tell a message that is not delivered', async () => {
    const { target } = await stream({ order: () => [] });
    const load = { subject: 'bench.js', size: 16, batch: 10, seconds: 0.05, timeout: 0.5 };
    await expect(runDriver(target, 'delivery', load)).rejects.toThrow('was not delivered');
  });
});
