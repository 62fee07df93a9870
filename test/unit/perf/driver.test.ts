// The load generator against servers that misbehave: a generator that cannot tell proves nothing about one that does not.

import { spawnSync } from 'node:child_process';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';

interface Target {
  binary: string;
  port: number;
  pid: number;
  user: string | null;
  password: string | null;
}
type Options = Record<string, string | number>;
/** What perf/run.mjs relies on. */
interface Driver {
  compileDriver(): string;
  runDriver(target: Target, mode: string, options: Options): Promise<Record<string, number>>;
  holdConnections(target: Target, options: Options): Promise<{ release(): Promise<void> }>;
}

const location = new URL('../../../perf/harness/driver.mjs', import.meta.url).href;
const { compileDriver, runDriver, holdConnections }: Driver = await import(location);
const available =
  process.platform === 'linux' && spawnSync(process.env.CC ?? 'cc', ['--version']).status === 0;

/** What goes to the subscriber in place of the message that was published as the `number`th, from 0. */
type Delivery = (message: Buffer, number: number) => Buffer[];

interface Misbehaviour {
  deliver?: Delivery;
  /** Answer to CONNECT + PING. */
  pong?: string;
}

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** One connection of the least server that can carry a run: subscriptions by exact subject or `x.*`. */
function serve(
  socket: Socket,
  subscribers: Map<Socket, string>,
  options: Misbehaviour,
  state: { number: number },
): void {
  let pending = Buffer.alloc(0);
  socket.write('INFO {"server_id":"test"}\r\n');
  socket.on('error', () => subscribers.delete(socket));
  socket.on('close', () => subscribers.delete(socket));
  socket.on('data', (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    for (let end = pending.indexOf('\r\n'); end >= 0; end = pending.indexOf('\r\n')) {
      const [verb, subject = '', ...rest] = pending.toString('latin1', 0, end).split(' ');
      const size = verb === 'PUB' ? Number(rest.at(-1)) + 2 : 0;
      if (pending.length < end + 2 + size) return;
      const payload = pending.subarray(end + 2, end + 2 + size);
      if (verb === 'PING') socket.write(options.pong ?? 'PONG\r\n');
      if (verb === 'SUB') subscribers.set(socket, subject.replace('*', ''));
      if (verb === 'PUB') {
        const reply = rest.length > 1 ? ` ${rest[0]}` : '';
        publish(subject, reply, payload, subscribers, options, state.number++);
      }
      pending = pending.subarray(end + 2 + size);
    }
  });
}

function publish(
  subject: string,
  reply: string,
  payload: Buffer,
  subscribers: Map<Socket, string>,
  { deliver = (message) => [message] }: Misbehaviour,
  number: number,
): void {
  for (const [socket, prefix] of subscribers) {
    if (!subject.startsWith(prefix)) continue;
    const sid = prefix.startsWith('_INBOX') ? 2 : 1;
    const head = Buffer.from(`MSG ${subject} ${sid}${reply} ${payload.length - 2}\r\n`);
    for (const part of deliver(Buffer.concat([head, payload]), number)) socket.write(part);
  }
}

async function startServer(options: Misbehaviour): Promise<Target> {
  const subscribers = new Map<Socket, string>();
  const state = { number: 0 };
  const server = createServer((socket) => serve(socket, subscribers, options, state));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { binary: compileDriver(), port, pid: process.pid, user: 'u', password: 'p%d' };
}

async function throughput(deliver: Delivery, options: Options = {}): Promise<Record<string, number>> {
  const target = await startServer({ deliver });
  return runDriver(target, 'throughput', { subscribers: 1, seconds: 0.02, size: 16, ...options });
}

describe.skipIf(!available)('natsbench', () => {
  test('counts what a faithful server delivers, also with a PING in between and frames cut anywhere', async () => {
    const cut: Delivery = (message, number) => {
      const at = number % message.length;
      return [
        message.subarray(0, at),
        message.subarray(at),
        ...(number % 100 === 7 ? [Buffer.from('PING\r\n')] : []),
      ];
    };
    const result = await throughput(cut);
    expect(result.sent).toBeGreaterThan(1000);
    expect(result).toMatchObject({ received: result.sent, lost: 0 });
    expect(result.server_cpu_ns_per_message).toBeGreaterThan(0);
  });

  test('counts every subscriber, and random subjects under a wildcard', async () => {
    const fanned = await throughput((message) => [message], { subscribers: 3 });
    expect(fanned.received).toBe((fanned.sent ?? 0) * 3);
    const options = { subject: 'many', subjects: 50, wildcard: 'many.*', size: 128 };
    const many = await throughput((message) => [message], options);
    expect(many).toMatchObject({ received: many.sent, lost: 0 });
  });

  test.each<[string, Delivery, Options]>([
    ['a lost message', (message, number) => (number === 500 ? [] : [message]), {}],
    ['a lost message without payload', (message, number) => (number === 500 ? [] : [message]), { size: 0 }],
    ['a repeated message', (message, number) => (number === 500 ? [message, message] : [message]), {}],
    ['a damaged payload', (message, number) => [number === 500 ? damaged(message) : message], {}],
  ])('tells %s', async (_name, deliver, options) => {
    // The time a missing message is waited for.
    await expect(throughput(deliver, { timeout: 3, ...options })).rejects.toThrow('wrong deliveries');
  });

  test('tells messages out of order', async () => {
    let held: Buffer | null = null;
    const swap: Delivery = (message, number) => {
      if (number === 500) {
        held = message;
        return [];
      }
      return number === 501 && held ? [message, held] : [message];
    };
    await expect(throughput(swap, { timeout: 3 })).rejects.toThrow('out of order');
  });

  test('tells a message of another subject', async () => {
    const astray: Delivery = (message, number) => [
      number === 500
        ? Buffer.from(message.toString('latin1').replace('bench.load', 'bench.lode'), 'latin1')
        : message,
    ];
    await expect(throughput(astray)).rejects.toThrow('unexpected input');
  });

  test('reports what the server refused', async () => {
    const target = await startServer({ pong: "-ERR 'Authorization Violation'\r\n" });
    await expect(runDriver(target, 'throughput', { seconds: 0.01 })).rejects.toThrow(
      'Authorization Violation',
    );
  });

  test('measures requests, each with a reply subject of its own', async () => {
    const target = await startServer({});
    const result = await runDriver(target, 'latency', { seconds: 0.05 });
    expect(result.requests).toBeGreaterThan(0);
    expect(result.p50_us).toBeGreaterThan(0);
    expect(result.p99_us ?? 0).toBeGreaterThanOrEqual(result.p50_us ?? Number.POSITIVE_INFINITY);
  });

  test('opens connections in turn, and keeps idle ones until told', async () => {
    const target = await startServer({});
    const opened = await runDriver(target, 'connect', { seconds: 0.05, parallel: 4 });
    expect(opened.connections).toBeGreaterThanOrEqual(4);
    const held = await holdConnections(target, { connections: 20, parallel: 4, subject: 'idle' });
    const count = await new Promise<number>((resolve) => servers[0]?.getConnections((_, n) => resolve(n)));
    expect(count).toBe(20);
    await held.release();
  });
});

/** The publisher's number in the payload, changed. */
function damaged(message: Buffer): Buffer {
  const copy = Buffer.from(message);
  copy[copy.indexOf('\r\n') + 3] = 0xee;
  return copy;
}
