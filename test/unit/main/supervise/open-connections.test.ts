import { describe, expect, test } from 'vitest';
import { OpenConnections } from '../../../../src/main/supervise/open-connections.ts';
import type { HandedConnection } from '../../../../src/workers/shard/contract.ts';

function handed(cid: number, more: Partial<HandedConnection> = {}): HandedConnection {
  return {
    cid,
    fd: -1,
    socket: null,
    remoteAddress: '10.0.0.1',
    remotePort: 1000 + cid,
    acceptedAtMs: cid * 10,
    listener: 'client',
    refusal: '',
    ...more,
  };
}

describe('the open connections of a shard', () => {
  test('are told as closed with what main knows of them', () => {
    const open = new OpenConnections();
    open.add([handed(3), handed(7, { listener: 'mqtt', remoteAddress: '::1' })]);
    open.add([handed(9)]);
    open.remove(3);
    expect(open.size).toBe(2);
    const common = { kind: 'Client', stopMs: 500, closeReason: 'Internal Error', subscriptions: [] };
    expect(open.closed(500)).toMatchObject([
      { ...common, cid: 7, transport: 'mqtt', remoteAddress: '::1', remotePort: 1007, startMs: 70 },
      { ...common, cid: 9, transport: 'nats', remoteAddress: '10.0.0.1', remotePort: 1009, startMs: 90 },
    ]);
  });

  test('are forgotten once, and unknown numbers are none', () => {
    const open = new OpenConnections();
    open.add([handed(1), handed(5)]);
    for (const cid of [5, 5, 0, 3, 8]) open.remove(cid);
    expect(open.size).toBe(1);
    expect(open.closed(1).map(({ cid }) => cid)).toEqual([1]);
  });

  test('those that are left stay known, however many come and go', () => {
    const open = new OpenConnections();
    const left: number[] = [];
    for (let cid = 1; cid <= 5000; cid++) {
      open.add([handed(cid)]);
      if (cid % 97 === 0) left.push(cid);
      else open.remove(cid);
    }
    expect(open.size).toBe(left.length);
    expect(open.closed(1).map(({ cid }) => cid)).toEqual(left);
  });
});
