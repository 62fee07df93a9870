import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { latin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import {
  asksForLast,
  createDirectAnswers,
  DirectAnswerReader,
  DirectAnswerWriter,
  DirectStream,
} from '../../../../src/shared/mail/direct-answers.ts';

const HEADERS = latin1Bytes('NATS/1.0\r\n\r\n');

class Rig {
  readonly memory = createDirectAnswers();
  readonly writer = new DirectAnswerWriter(this.memory);
  readonly reader = new DirectAnswerReader(this.memory);

  put(stream: DirectStream, subject: string, payload: string): void {
    const bytes = latin1Bytes(`.${subject}.`);
    this.writer.put(stream, bytes, 1, 1 + subject.length, HEADERS, latin1Bytes(payload));
  }

  drop(stream: DirectStream, subject: string): void {
    this.writer.drop(stream, latin1Bytes(`..${subject}`), 2, 2 + subject.length);
  }

  /** The tail, or null. */
  get(account: number, key: string): string | null {
    const { reader } = this;
    if (!reader.find(account, latin1Bytes(`${key}!`), 0, key.length)) return null;
    const { bytes, tailStart, tailEnd, headerBytes, payloadStart, payloadBytes, replyBytes } = reader.frame;
    expect([headerBytes, payloadStart + payloadBytes + 2, replyBytes]).toEqual([HEADERS.length, tailEnd, 0]);
    return latin1(bytes, tailStart, tailEnd);
  }
}

function tail(payload: string): string {
  return `${HEADERS.length} ${HEADERS.length + payload.length}\r\nNATS/1.0\r\n\r\n${payload}\r\n`;
}

test('an answer is found by account, stream and subject, until it is dropped', () => {
  const rig = new Rig();
  const stream = new DirectStream(3, 'KV_a');
  rig.put(stream, 'x.1', 'one');
  rig.put(stream, 'x.2', '');
  expect(rig.get(3, 'KV_a.x.1')).toBe(tail('one'));
  expect(rig.get(3, 'KV_a.x.2')).toBe(tail(''));
  expect(rig.get(4, 'KV_a.x.1')).toBe(null);
  expect(rig.get(3, 'KV_b.x.1')).toBe(null);
  expect(rig.get(3, 'KV_a.x.3')).toBe(null);
  rig.drop(stream, 'x.1');
  expect(rig.get(3, 'KV_a.x.1')).toBe(null);
  expect(rig.get(3, 'KV_a.x.2')).toBe(tail(''));
  rig.put(stream, 'x.1', 'again');
  expect(rig.get(3, 'KV_a.x.1')).toBe(tail('again'));
  rig.writer.clear();
  expect(rig.get(3, 'KV_a.x.1')).toBe(null);
  rig.put(stream, 'x.2', 'two');
  expect(rig.get(3, 'KV_a.x.2')).toBe(tail('two'));
});

test('long answers are not kept, and those that were are dropped with the change', () => {
  const rig = new Rig();
  const stream = new DirectStream(0, 'S');
  for (const size of [800, 900, 930, 1000, 5000]) {
    rig.put(stream, 'k', 'v'.repeat(size));
    const found = rig.get(0, 'S.k');
    if (size <= 900) expect(found).toBe(tail('v'.repeat(size)));
    if (size >= 1000) expect(found).toBe(null);
    rig.drop(stream, 'k');
  }
});

test('whatever is put and dropped, what is found is what was put last', () => {
  const rig = new Rig();
  const random = new Prng(7);
  const streams = [new DirectStream(0, 'A'), new DirectStream(0, 'B'), new DirectStream(1, 'A')];
  const names = ['A', 'B', 'A'];
  const truth = new Map<string, string>();
  let found = 0;
  for (let step = 0; step < 60_000; step++) {
    const at = random.below(3);
    const stream = streams[at]!;
    // More than there are slots, so that answers take each other's places.
    const subject = `s.${random.below(9000)}`;
    const key = `${stream.account} ${names[at]}.${subject}`;
    if (random.below(3) === 0) {
      rig.drop(stream, subject);
      truth.delete(key);
    } else if (random.below(2) === 0) {
      rig.put(stream, subject, `${step}`);
      truth.set(key, `${step}`);
    } else if (random.below(5000) === 0) {
      rig.writer.clear();
      truth.clear();
    }
    const asked = `s.${random.below(9000)}`;
    const answer = rig.get(stream.account, `${names[at]}.${asked}`);
    if (answer === null) continue;
    found++;
    expect(answer).toBe(tail(truth.get(`${stream.account} ${names[at]}.${asked}`)!));
  }
  expect(found).toBeGreaterThan(1000);
});

test('a reader never sees a half of one answer and a half of another', async () => {
  const rig = new Rig();
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    const stop = new Int32Array(workerData.stop);
    import(workerData.module).then(({ DirectAnswerWriter, DirectStream }) => {
      const writer = new DirectAnswerWriter(workerData.memory);
      const stream = new DirectStream(0, 'S');
      const subject = new Uint8Array([120]);
      const headers = new Uint8Array(12).fill(72);
      Atomics.store(stop, 1, 1);
      for (let n = 0; Atomics.load(stop, 0) === 0; n++) {
        writer.put(stream, subject, 0, 1, headers, new Uint8Array(1 + (n % 700)).fill(97 + (n % 26)));
        if (n % 5 === 0) writer.drop(stream, subject, 0, 1);
      }
      parentPort.postMessage('done');
    });
  `;
  const { build } = await import('esbuild');
  const built = await build({
    entryPoints: ['src/shared/mail/direct-answers.ts'],
    bundle: true,
    format: 'esm',
    write: false,
    target: 'node20',
  });
  const module = `data:text/javascript;base64,${Buffer.from(built.outputFiles[0]!.text).toString('base64')}`;
  const worker = new Worker(source, {
    eval: true,
    workerData: { module, memory: rig.memory, stop: stop.buffer },
  });
  const ended = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  const key = latin1Bytes('S.x');
  let seen = 0;
  while (Atomics.load(stop, 1) === 0) await new Promise((resolve) => setImmediate(resolve));
  for (let looks = 1; seen < 20_000; looks++) {
    // The writer may have no processor at the moment.
    if (looks % 100_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (!rig.reader.find(0, key, 0, key.length)) continue;
    seen++;
    const { bytes, payloadStart, payloadBytes, tailEnd } = rig.reader.frame;
    const body = latin1(bytes, payloadStart + 12, payloadStart + payloadBytes);
    if (payloadStart + payloadBytes + 2 !== tailEnd || body !== body[0]!.repeat(body.length)) {
      expect.fail(`torn: ${body}`);
    }
    expect(body.length).toBe(payloadBytes - 12);
  }
  Atomics.store(stop, 0, 1);
  await ended;
  await worker.terminate();
});

test.each([
  ['$JS.API.DIRECT.GET.S.a', true],
  ['$JS.API.DIRECT.GET.S.a.b', true],
  ['$JS.API.DIRECT.GET.S', false],
  ['$JS.API.DIRECT.GET.S.', false],
  ['$JS.API.DIRECT.GET.', false],
  ['$JS.x.API.DIRECT.GET.S.a', false],
  ['a', false],
])('%s asks for a last message: %s', (subject, expected) => {
  expect(asksForLast(subject)).toBe(expected);
});
