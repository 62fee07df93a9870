import { beforeEach, describe, expect, test } from 'vitest';
import { hashLatin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { OUTPUT_CHUNK_BYTES } from '../../../../src/shared/base/limits.ts';
import {
  MessageRun,
  type RunMessage,
  runHeadBytes,
  runMessageBytes,
  writeRunHead,
  writeRunMessage,
} from '../../../../src/shared/mail/message-run.ts';
import { Rig, type TestMessage, TestSubscriber, tailOf } from '../broker/delivery-rig.ts';

/** Runs as the persistence thread writes them, and what subscribers get of them. */

let rig: Rig;

beforeEach(() => {
  rig = new Rig();
});

function runOf(subject: string, messages: readonly Omit<TestMessage, 'owner' | 'sizes'>[]): MessageRun {
  const target = {
    account: rig.account,
    subjectBytes: latin1Bytes(subject),
    subjectHash: hashLatin1(subject),
  };
  const parts = messages.map((message) => {
    const { subject: shown, reply = '', headers = '', payload = '' } = message;
    const tail = tailOf(message);
    const lengths: RunMessage = {
      shownBytes: shown.length,
      replyBytes: reply.length,
      headerBytes: headers.length,
      totalBytes: headers.length + payload.length,
      tailBytes: tail.length,
    };
    return { lengths, text: latin1Bytes(shown + tail) };
  });
  const start = 8;
  const length = parts.reduce((sum, { lengths }) => sum + runMessageBytes(lengths), runHeadBytes(target));
  const bytes = new Uint8Array(start + length + 4).fill(0x23);
  const view = new DataView(bytes.buffer);
  writeRunHead(bytes, view, start, target);
  let at = start + runHeadBytes(target);
  for (const { lengths, text } of parts) {
    bytes.set(text, writeRunMessage(view, at, lengths));
    at += runMessageBytes(lengths);
  }
  return new MessageRun().open(bytes, view, start, length);
}

function deliver(...messages: Parameters<typeof runOf>[1]): void {
  rig.router.deliverRun(rig.account, runOf('_INBOX.c', messages));
}

function subscriber(sid: string, max = 0): TestSubscriber {
  const made = new TestSubscriber();
  rig.subscribe(made, '_INBOX.c', sid, null, max);
  return made;
}

describe('subscribers see the subjects a run shows', () => {
  test('of every length, with and without headers and reply', () => {
    const one = subscriber('17');
    const messages = Array.from({ length: 260 }, (_, i) => ({
      subject: 'abcdefghijk'.repeat(30).slice(0, 1 + i),
      reply: i % 3 === 0 ? '' : '$JS.ACK.'.repeat(10).slice(0, i % 70),
      ...(i % 5 === 0 ? { headers: 'NATS/1.0\r\n\r\n' } : {}),
      payload: 'qwertzuiop'.repeat(40).slice(0, (i * 3) % 400),
    }));
    deliver(...messages);
    const expected = messages.map(
      (message) => `${message.headers === undefined ? '' : 'H'}MSG ${message.subject} 17 ${tailOf(message)}`,
    );
    expect(one.received()).toBe(expected.join(''));
    expect(one.outMsgs).toBe(messages.length);
  });

  test('of one that takes no headers', () => {
    const one = subscriber('1');
    one.headers = false;
    deliver({ subject: 'orders', reply: 'r', headers: 'HEAD', payload: 'p' }, { subject: 'o', payload: '' });
    expect(one.received()).toBe('MSG orders 1 r 1\r\np\r\nMSG o 1 0\r\n\r\n');
  });

  test('of one that is too large for a chunk', () => {
    const one = subscriber('1');
    const payload = 'x'.repeat(OUTPUT_CHUNK_BYTES);
    deliver({ subject: 'orders', payload }, { subject: 'o', payload: '1' });
    expect(one.received()).toBe(`MSG orders 1 ${payload.length}\r\n${payload}\r\nMSG o 1 1\r\n1\r\n`);
  });

  test('and whoever observes deliveries', () => {
    subscriber('1').observesDeliveries = true;
    deliver({ subject: 'orders', reply: 'r', payload: 'p' });
    expect(rig.observed).toEqual(['1 orders r']);
  });
});

test('a subscription that ends within a run gets no more, one that stays gets all', () => {
  const ends = subscriber('1', 2);
  const stays = subscriber('2');
  const messages = ['a', 'b', 'c', 'd'].map((payload) => ({ subject: 's', payload }));
  for (let round = 0; round < 3; round++) deliver(...messages);
  expect(ends.received()).toBe('MSG s 1 1\r\na\r\nMSG s 1 1\r\nb\r\n');
  expect(stays.received()).toBe(
    messages
      .map(({ payload }) => `MSG s 2 1\r\n${payload}\r\n`)
      .join('')
      .repeat(3),
  );
});
