import { expect, test } from 'vitest';
import { hashLatin1, latin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import type { MessageFrame } from '../../../../src/shared/base/message-frame.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import { StoredMessage } from '../../../../src/shared/jetstream/store/contract.ts';
import { EngineDestination } from '../../../../src/workers/persistence/engine-destination.ts';
import { Delivery } from '../../../../src/workers/persistence/message-text.ts';
import { Outgoing, type OutgoingTarget } from '../../../../src/workers/persistence/outgoing.ts';
import { testAccount } from '../../shared/broker/delivery-rig.ts';

const ACCOUNTS = [testAccount(), testAccount()];
const DESTINATIONS = ACCOUNTS.map((account) => new EngineDestination(account, `_INBOX.${account.index}`));

/** A message as it has to come out. */
interface Expected {
  target: OutgoingTarget;
  ticket: number;
  text: string;
}

/** Everything a router looks at. */
function textOf(frame: MessageFrame): string {
  const { bytes, subjectStart, subjectEnd, tailStart, tailEnd, payloadStart } = frame;
  const text = (start: number, end: number) => latin1(bytes, start, end);
  expect(frame.subjectHash).toBe(hashLatin1(text(subjectStart, subjectEnd)));
  expect(payloadStart + frame.payloadBytes + 2).toBe(tailEnd);
  expect(new Uint8Array(frame.view.buffer, frame.view.byteOffset)[tailStart]).toBe(bytes[tailStart]);
  return JSON.stringify([
    text(subjectStart, subjectEnd),
    text(tailStart - frame.shownBytes, tailStart),
    text(tailStart, tailStart + frame.replyBytes),
    frame.headerBytes,
    text(tailStart, tailEnd),
  ]);
}

function framed(subject: string, shown: string, reply: string, headers: string, payload: string): string {
  const total = headers.length + payload.length;
  const sizes = headers === '' ? `${total}` : `${headers.length} ${total}`;
  const tail = `${reply === '' ? '' : `${reply} `}${sizes}\r\n${headers}${payload}\r\n`;
  return JSON.stringify([subject, shown, reply, headers === '' ? -1 : headers.length, tail]);
}

function stored(subject: string, headers: string, payload: string): StoredMessage {
  const message = new StoredMessage();
  message.bytes = latin1Bytes(`${subject}${headers}${payload}`);
  message.subjectEnd = subject.length;
  message.headerStart = subject.length;
  message.headerEnd = subject.length + headers.length;
  message.payloadStart = message.headerEnd;
  message.payloadEnd = message.bytes.length;
  return message;
}

test('messages leave as they were pushed, in order, and not before their ticket', () => {
  const random = new Prng(5);
  for (let run = 0; run < 30; run++) {
    const outgoing = new Outgoing();
    const delivery = new Delivery();
    let expected: Expected[] = [];
    let ticket = 1;
    const text = (most: number) => 'x'.repeat(random.below(most)) + random.below(1000);
    for (let step = 0; step < 400; step++) {
      const account = ACCOUNTS[random.below(2)]!;
      if (random.below(3) === 0) ticket += random.below(5);
      const wants = random.below(3) === 0 ? 0 : ticket;
      const reply = random.below(2) === 0 ? '' : text(40);
      const headers = random.below(3) === 0 ? text(50) : '';
      const payload = text(random.below(20) === 0 ? 300_000 : 300);
      switch (random.below(5)) {
        case 0:
          outgoing.push(account, 'some.subject', reply, latin1Bytes(headers), latin1Bytes(payload), wants);
          expected.push({
            target: account,
            ticket: wants,
            text: framed('some.subject', '', reply, headers, payload),
          });
          break;
        case 1: {
          const sequence = random.below(2) === 0 ? random.below(100_000) + 1 : 2 ** 52 + random.below(1000);
          outgoing.pushAck(
            account,
            latin1Bytes('zinbox.1z'),
            1,
            8,
            latin1Bytes('{"stream":"S",'),
            sequence,
            ticket,
          );
          const body = `{"stream":"S","seq":${sequence}}`;
          expected.push({ target: account, ticket, text: framed('inbox.1', '', '', '', body) });
          break;
        }
        case 2: {
          const to = DESTINATIONS[random.below(2)]!;
          const message = stored('shown.1', headers, payload);
          const other = random.below(3) === 0 ? latin1Bytes('H: 1') : null;
          const withPayload = random.below(4) > 0;
          delivery.set(
            message,
            new DataView(latin1Bytes(`${reply}???`).buffer),
            reply.length,
            other,
            withPayload,
          );
          outgoing.pushDelivery(to, delivery);
          const sent = framed(
            to.subject,
            'shown.1',
            reply,
            other === null ? headers : 'H: 1',
            withPayload ? payload : '',
          );
          expected.push({ target: to, ticket: 0, text: sent });
          break;
        }
        case 3: {
          const kept = ticket - random.below(8);
          let room = random.below(20);
          const gone = outgoing.release(kept, (target, frame) => {
            if (room-- === 0) return false;
            const next = expected.shift()!;
            expect(target).toBe(next.target);
            expect(textOf(frame)).toBe(next.text);
            expect(next.ticket).toBeLessThanOrEqual(kept);
            return true;
          });
          if (gone && expected.length > 0) expect(expected[0]!.ticket).toBeGreaterThan(kept);
          break;
        }
        default:
          if (random.below(10) === 0) {
            const before = expected.length;
            expected = expected.filter((message) => message.ticket <= ticket - 3);
            expect(outgoing.dropAbove(ticket - 3)).toBe(before - expected.length);
          }
      }
      expect(outgoing.length).toBe(expected.length);
      const waits = expected.filter((message) => message.ticket > 0);
      expect(outgoing.wantedTicket).toBe(waits.at(-1)?.ticket ?? 0);
    }
  }
});

test('what is pushed while a message leaves goes behind all others', () => {
  const outgoing = new Outgoing();
  const push = (subject: string) =>
    outgoing.push(ACCOUNTS[0]!, subject, '', new Uint8Array(0), new Uint8Array(0), 0);
  push('a');
  push('b');
  const seen: string[] = [];
  outgoing.release(0, (_target, frame) => {
    const subject = latin1(frame.bytes, frame.subjectStart, frame.subjectEnd);
    seen.push(subject);
    if (subject === 'a') for (let i = 0; i < 30_000; i++) push(`c${i % 10}`);
    return true;
  });
  expect(seen.slice(0, 4)).toEqual(['a', 'b', 'c0', 'c1']);
  expect(seen.length).toBe(30_002);
});
