// The load generator against servers that misbehave: a generator that cannot tell proves nothing about one that does not.

import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  available,
  holdConnections,
  type Operation,
  OperationServer,
  type Options,
  runDriver,
  type Target,
} from './bench-driver.ts';

/** What goes to the subscriber in place of the message that was published as the `number`th, from 0. */
type Delivery = (message: Buffer, number: number) => Buffer[];

interface Misbehaviour {
  deliver?: Delivery;
  /** Answer to CONNECT + PING. */
  pong?: string;
}

const servers: OperationServer[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** The least server that can carry a run: subscriptions by exact subject or `x.*`. */
async function startServer(options: Misbehaviour): Promise<Target> {
  const { pong = 'PONG\r\n', deliver = (message) => [message] } = options;
  /** Subject or prefix by connection. */
  const subscribers = new Map<Socket, string>();
  let number = 0;
  const publish = ({ subject, rest, payload }: Operation): void => {
    const reply = rest.length > 1 ? ` ${rest[0]}` : '';
    for (const [socket, prefix] of subscribers) {
      if (!subject.startsWith(prefix)) continue;
      const sid = prefix.startsWith('_INBOX') ? 2 : 1;
      const head = Buffer.from(`MSG ${subject} ${sid}${reply} ${payload.length}\r\n`);
      const message = Buffer.concat([head, payload, Buffer.from('\r\n')]);
      for (const part of deliver(message, number)) socket.write(part);
    }
    number++;
  };
  const server = new OperationServer(
    (operation, socket) => {
      if (operation.verb === 'PING') socket.write(pong);
      if (operation.verb === 'SUB') subscribers.set(socket, operation.subject.replace('*', ''));
      if (operation.verb === 'PUB') publish(operation);
    },
    (socket) => subscribers.delete(socket),
  );
  servers.push(server);
  return server.target('u', 'p%d');
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
    await expect(throughput(deliver, { timeout: 6, ...options })).rejects.toThrow('wrong deliveries');
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
    await expect(throughput(swap, { timeout: 6 })).rejects.toThrow('out of order');
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
    const count = await servers[0]?.connections();
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
