import { beforeEach, describe, expect, test } from 'vitest';
import type { ApiRequest } from '../../../../src/shared/jetstream/api.ts';
import { ApiQueue } from '../../../../src/shared/jetstream/api-queue.ts';
import { Harness } from './engine-harness.ts';

const ADVISORY = '$JS.EVENT.ADVISORY.API.LIMIT_REACHED';

let js: Harness;
let queue: ApiQueue;
let done: string[];

function request(endpoint: string, body: Uint8Array = new Uint8Array(0)): ApiRequest {
  const subject = `$JS.API.${endpoint}`;
  return { account: 'A', subject, reply: 'r', headers: new Uint8Array(0), body, client: '' };
}

function begin(options: ConstructorParameters<typeof Harness>[0] = {}): void {
  js = new Harness(options);
  done = [];
  queue = new ApiQueue(js.engine, ({ subject, body }) => {
    done.push(subject.slice('$JS.API.'.length) + Buffer.from(body).toString('latin1'));
  });
}

beforeEach(() => begin());

describe('a turn', () => {
  test('carries out what comes as long as its share lasts, then keeps the rest', () => {
    queue.run(2);
    for (const name of ['A', 'B', 'C', 'D']) queue.add(request(`STREAM.DELETE.${name}`));
    expect(done).toEqual(['STREAM.DELETE.A', 'STREAM.DELETE.B']);
    expect([queue.length, js.engine.inflight]).toEqual([2, 2]);
    queue.run(10);
    expect(done.slice(2)).toEqual(['STREAM.DELETE.C', 'STREAM.DELETE.D']);
    expect([queue.length, js.engine.inflight]).toEqual([0, 0]);
  });

  test('does what waits first, and changes before information', () => {
    queue.add(request('STREAM.INFO.S'));
    queue.add(request('INFO'));
    queue.add(request('STREAM.NAMES'));
    queue.add(request('STREAM.CREATE.S'));
    queue.add(request('CONSUMER.LIST.S'));
    queue.add(request('STREAM.INFO'));
    queue.run(5);
    queue.add(request('STREAM.DELETE.S'));
    queue.run(9);
    expect(done).toEqual([
      'STREAM.CREATE.S',
      'STREAM.INFO.S',
      'INFO',
      'STREAM.NAMES',
      'CONSUMER.LIST.S',
      'STREAM.DELETE.S',
      'STREAM.INFO',
    ]);
  });

  test('a request that waits has bytes of its own', () => {
    const body = Buffer.from('before');
    queue.add(request('STREAM.PURGE.S', body));
    body.write('after!');
    queue.run(1);
    expect(done).toEqual(['STREAM.PURGE.Sbefore']);
  });

  test('thousands that wait keep their order', () => {
    const names = Array.from({ length: 5000 }, (_, index) => `STREAM.DELETE.S${index}`);
    for (const name of names) queue.add(request(name));
    for (let turn = 0; turn < 100; turn++) queue.run(64);
    expect(done).toEqual(names);
  });
});

describe('too many', () => {
  test('are dropped together, with an advisory in the system account', () => {
    begin({ requestQueueLimit: 3, infoQueueLimit: 2 });
    js.interest.push(ADVISORY);
    for (let i = 0; i < 3; i++) queue.add(request('STREAM.DELETE.S'));
    for (let i = 0; i < 2; i++) queue.add(request('STREAM.INFO.S'));
    expect([queue.length, js.sent.length]).toEqual([5, 0]);
    queue.add(request('STREAM.INFO.S'));
    expect(queue.length).toBe(3);
    const [advisory] = js.sent;
    expect([advisory?.account, advisory?.subject]).toEqual(['$SYS', ADVISORY]);
    expect(JSON.parse(advisory?.payload ?? '')).toMatchObject({
      type: 'io.nats.jetstream.advisory.v1.api_limit_reached',
      server: 'probe',
      dropped: 3,
    });
    queue.add(request('STREAM.DELETE.S'));
    expect([queue.length, js.sent.length, js.warnings.length]).toEqual([0, 2, 2]);
    queue.run(9);
    expect(done).toEqual([]);
  });

  test('bytes are dropped as well', () => {
    const body = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 64; i++) queue.add(request('STREAM.CREATE.S', body));
    expect(queue.length).toBeLessThan(64);
  });

  test('without a system account nobody is told', () => {
    begin({ requestQueueLimit: 1, systemAccount: '' });
    js.interest.push(ADVISORY);
    for (let i = 0; i < 2; i++) queue.add(request('STREAM.DELETE.S'));
    expect([queue.length, js.sent.length]).toEqual([0, 0]);
  });
});
