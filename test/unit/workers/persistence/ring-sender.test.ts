import { beforeEach, describe, expect, test } from 'vitest';
import { hashLatin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import type { Account } from '../../../../src/shared/broker/account.ts';
import { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { ThreadLinks } from '../../../../src/shared/broker/thread-links.ts';
import { StoredMessage } from '../../../../src/shared/jetstream/store/contract.ts';
import { createDoorbells } from '../../../../src/shared/ring/doorbell.ts';
import { EngineDestination } from '../../../../src/workers/persistence/engine-destination.ts';
import { Delivery } from '../../../../src/workers/persistence/message-text.ts';
import { RingSender } from '../../../../src/workers/persistence/ring-sender.ts';
import { TestSubscriber, tailOf, testAccount } from '../../shared/broker/delivery-rig.ts';
import { connect, RecordingDoorbell, RecordingSink } from '../../shared/broker/mesh.ts';

/** Thread 0 sends to 1 and 2. */
let sinks: RecordingSink[];
let links: ThreadLinks[];
let account: Account;
let sender: RingSender;
const PREFIX = latin1Bytes('{"stream":"S",');

beforeEach(() => {
  const bells = createDoorbells(3);
  sinks = [0, 1, 2].map(() => new RecordingSink());
  links = sinks.map((sink, self) => new ThreadLinks(self, 3, new RecordingDoorbell(bells, self), sink));
  connect(links[0]!, links[1]!, 64 * 1024);
  connect(links[0]!, links[2]!, 64 * 1024);
  account = testAccount();
  sender = new RingSender(links[0]!);
});

function acknowledge(reply: string, sequence: number, holds = false): boolean {
  const bytes = latin1Bytes(`??${reply}??`);
  return sender.acknowledge(account, bytes, 2, 2 + reply.length, PREFIX, sequence, holds);
}

/** What each thread got since the last call. */
function arrived(): string[][] {
  links[0]!.publish();
  return [1, 2].map((thread) => {
    links[thread]!.drain();
    return sinks[thread]!.arrived.splice(0);
  });
}

function expected(
  subject: string,
  parts: { shown?: string; reply?: string; headers?: string; payload: string },
) {
  const { shown, reply = '', headers, payload } = parts;
  return JSON.stringify({
    thread: 0,
    accountIndex: account.index,
    subject,
    ...(shown === undefined ? {} : { shown }),
    hash: hashLatin1(subject),
    tail: tailOf({ subject, reply, payload, ...(headers === undefined ? {} : { headers }) }),
    replyBytes: reply.length,
    headerBytes: headers === undefined ? -1 : headers.length,
    payloadBytes: (headers ?? '').length + payload.length,
    plain: true,
    queues: [],
    hops: 0,
  });
}

/** Until the account knows the prefix as one that comes again, inboxes are looked up. */
function learn(prefix: string): void {
  let tries = 0;
  while (!acknowledge(`${prefix}.t${tries}`, 1)) if (++tries > 5) throw new Error('never learnt');
  arrived();
}

test('an acknowledgement to an inbox goes to the thread that listens', () => {
  account.setThreadInterest(1, '_INBOX.a.*', null, 1);
  account.setThreadInterest(2, '_INBOX.b.*', null, 1);
  learn('_INBOX.a');
  learn('_INBOX.b');
  for (const sequence of [7, 123_456_789_012]) {
    expect(acknowledge('_INBOX.a.q', sequence)).toBe(true);
    expect(acknowledge('_INBOX.b.q', sequence)).toBe(true);
    const payload = `{"stream":"S","seq":${sequence}}`;
    expect(arrived()).toEqual([[expected('_INBOX.a.q', { payload })], [expected('_INBOX.b.q', { payload })]]);
  }
});

test('it follows who listens', () => {
  account.setThreadInterest(1, '_INBOX.a.*', null, 1);
  learn('_INBOX.a');
  account.setThreadInterest(1, '_INBOX.a.*', null, 0);
  account.setThreadInterest(2, '_INBOX.a.*', null, 1);
  learn('_INBOX.a');
  expect(acknowledge('_INBOX.a.1', 1)).toBe(true);
  expect(arrived().map(({ length }) => length)).toEqual([0, 1]);
});

test.each<[string, () => void]>([
  ['nobody listens', () => account.setThreadInterest(1, '_INBOX.a.*', null, 0)],
  ['two threads listen', () => account.setThreadInterest(2, '_INBOX.>', null, 1)],
  ['a queue group listens', () => account.setThreadInterest(2, '_INBOX.a.*', 'q', 1)],
  ['somebody wants a certain one', () => account.setThreadInterest(2, '_INBOX.a.7', null, 1)],
  [
    'the engine listens',
    () => account.subscribe(new Subscription(new TestSubscriber(), '_INBOX.a.*', null, '1')),
  ],
])('where %s the long way is taken', (_, change) => {
  account.setThreadInterest(1, '_INBOX.a.*', null, 1);
  learn('_INBOX.a');
  change();
  for (let n = 0; n < 5; n++) expect(acknowledge(`_INBOX.a.${n}`, 1)).toBe(false);
  expect(arrived().flat()).toEqual([]);
});

test('a promise is not seen before it is true', () => {
  account.setThreadInterest(1, '_INBOX.a.*', null, 1);
  learn('_INBOX.a');
  expect(acknowledge('_INBOX.a.1', 1, true)).toBe(true);
  expect(acknowledge('_INBOX.a.2', 2)).toBe(true);
  expect(arrived().flat()).toEqual([]);
  links[0]!.showHeld();
  expect(arrived().flat().length).toBe(2);
});

test('deliveries, with and without headers, reply and payload', () => {
  account.setThreadInterest(2, '_INBOX.>', null, 1);
  const destination = new EngineDestination(account, '_INBOX.c');
  const delivery = new Delivery();
  const message = new StoredMessage();
  message.bytes = latin1Bytes('--orders.1HHHHpayload--');
  message.subjectStart = 2;
  message.subjectEnd = 10;
  message.headerStart = 10;
  message.headerEnd = 14;
  message.payloadStart = 14;
  message.payloadEnd = 21;
  const reply = '$JS.ACK.S.c.1.2.3.4.5';
  const send = (replyBytes: number, headers: string | null, withPayload: boolean) => {
    const block = headers === null ? null : latin1Bytes(headers);
    delivery.set(message, new DataView(latin1Bytes(`${reply}???`).buffer), replyBytes, block, withPayload);
    expect(sender.deliver(destination, delivery)).toBe(true);
    return arrived()[1];
  };
  const subject = '_INBOX.c';
  const shown = 'orders.1';
  expect(send(reply.length, null, true)).toEqual([
    expected(subject, { shown, reply, headers: 'HHHH', payload: 'payload' }),
  ]);
  expect(send(0, null, true)).toEqual([expected(subject, { shown, headers: 'HHHH', payload: 'payload' })]);
  expect(send(reply.length, null, false)).toEqual([
    expected(subject, { shown, reply, headers: 'HHHH', payload: '' }),
  ]);
  expect(send(reply.length, 'other', true)).toEqual([
    expected(subject, { shown, reply, headers: 'other', payload: 'payload' }),
  ]);
  message.headerEnd = message.headerStart;
  message.payloadStart = message.headerStart;
  expect(send(reply.length, null, true)).toEqual([
    expected(subject, { shown, reply, payload: 'HHHHpayload' }),
  ]);
  account.setThreadInterest(2, '_INBOX.>', null, 0);
  expect(sender.deliver(destination, delivery)).toBe(false);
});

describe('runs', () => {
  const message = new StoredMessage();
  const delivery = new Delivery();

  /** Sends one with this payload. @returns whether it went into a ring */
  function deliver(destination: EngineDestination, payload: string): boolean {
    message.bytes = latin1Bytes(`s.${payload}????`);
    message.subjectStart = 0;
    message.subjectEnd = 1;
    for (const part of ['headerStart', 'headerEnd', 'payloadStart'] as const) message[part] = 2;
    message.payloadEnd = 2 + payload.length;
    delivery.set(message, new DataView(new ArrayBuffer(0)), 0, null, true);
    return sender.deliver(destination, delivery);
  }

  function destinationOf(subject: string, thread: number): EngineDestination {
    account.setThreadInterest(thread, subject, null, 1);
    return new EngineDestination(account, subject);
  }

  /** Payloads that thread 1 got, with their subjects. */
  function received(): string[] {
    return arrived()[0]!.map((text) => {
      const { subject, tail } = JSON.parse(text) as { subject: string; tail: string };
      return `${subject} ${tail.split('\r\n')[1]}`;
    });
  }

  test('messages of all lengths, to several subjects, arrive once and in order', () => {
    const [a, b] = [destinationOf('a', 1), destinationOf('b', 1)];
    const expectedTexts: string[] = [];
    const random = new Prng(3);
    const got: string[] = [];
    for (let n = 0; n < 5000; n++) {
      const [to, subject] = random.below(8) === 0 ? ([b, 'b'] as const) : ([a, 'a'] as const);
      const payload = `${n}.${'x'.repeat(random.below(random.below(50) === 0 ? 4000 : 40))}`;
      expect(deliver(to, payload)).toBe(true);
      expectedTexts.push(`${subject} ${payload}`);
      if (random.below(40) === 0) got.push(...received());
    }
    got.push(...received());
    expect(got).toEqual(expectedTexts);
  });

  test('a full run is shown before the turn is over', () => {
    const a = destinationOf('a', 1);
    const payload = 'x'.repeat(1000);
    for (let sent = 0; sent < 20; sent++) expect(deliver(a, payload)).toBe(true);
    expect(links[1]!.drain()).toBeGreaterThan(0);
  });

  test('nothing is added to a run behind what is held back, nor before it', () => {
    const a = destinationOf('a', 1);
    account.setThreadInterest(1, '_INBOX.p.*', null, 1);
    learn('_INBOX.p');
    deliver(a, 'before');
    links[0]!.hold();
    deliver(a, 'held');
    links[0]!.noteHeld();
    deliver(a, 'after the note');
    expect(received()).toEqual(['a before']);
    links[0]!.showNoted();
    expect(received()).toEqual(['a held']);
    links[0]!.showHeld();
    expect(received()).toEqual(['a after the note']);
  });

  test('one that finds no room goes another way, and the next run finds some', () => {
    const a = destinationOf('a', 1);
    let sent = 0;
    while (deliver(a, 'x'.repeat(900))) sent++;
    expect(sent).toBeGreaterThan(20);
    expect(received().length).toBe(sent);
    expect(deliver(a, 'y')).toBe(true);
    expect(received()).toEqual(['a y']);
    expect(deliver(a, 'x'.repeat(64 * 1024))).toBe(false);
  });
});
