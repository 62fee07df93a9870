import { beforeEach, expect, test } from 'vitest';
import { latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import {
  createDirectAnswers,
  DirectAnswerWriter,
  DirectStream,
} from '../../../../src/shared/mail/direct-answers.ts';
import { DirectGets } from '../../../../src/workers/shard/direct-gets.ts';
import { frameOf, Rig, type TestMessage, TestSubscriber } from '../../shared/broker/delivery-rig.ts';

const PERSISTENCE = 2;
const REQUEST = '$JS.API.DIRECT.GET.S.a.1';

let rig: Rig;
let client: TestSubscriber;
let gets: DirectGets;
let writer: DirectAnswerWriter;

beforeEach(() => {
  rig = new Rig();
  client = new TestSubscriber();
  rig.subscribe(client, '_INBOX.c.*', '7');
  const memory = createDirectAnswers();
  gets = new DirectGets(rig.router, memory, PERSISTENCE);
  writer = new DirectAnswerWriter(memory);
  const stream = new DirectStream(rig.account.index, 'S');
  const subject = latin1Bytes('a.1');
  writer.put(stream, subject, 0, subject.length, latin1Bytes('HH'), latin1Bytes('value'));
  // As the persistence thread announces itself and a stream.
  rig.account.setThreadInterest(PERSISTENCE, '$JS.API.>', null, 1);
  rig.account.setThreadInterest(PERSISTENCE, '$JS.API.DIRECT.GET.S.>', '_sys_', 1);
});

function ask(message: Partial<TestMessage> = {}): number {
  const frame = frameOf({ subject: REQUEST, reply: '_INBOX.c.1', ...message });
  const { account } = rig;
  const route = account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
  expect(route.isDirectGet).toBe(true);
  return gets.answer(account, route, frame);
}

test('an answer that is known is given at once', () => {
  expect(ask()).toBe(1);
  expect(client.received()).toBe('HMSG _INBOX.c.1 7 2 7\r\nHHvalue\r\n');
});

test.each<[string, () => Partial<TestMessage>]>([
  ['of another subject', () => ({ subject: '$JS.API.DIRECT.GET.S.a.2' })],
  ['with a body', () => ({ payload: '{}' })],
  ['with headers', () => ({ headers: 'NATS/1.0\r\n\r\n' })],
  ['without a reply', () => ({ reply: '' })],
])('a request %s goes to the stream', (_, message) => {
  expect(ask(message())).toBe(0);
  expect(client.received()).toBe('');
});

test.each<[string, () => void]>([
  ['a subscriber of this thread', () => void rig.subscribe(new TestSubscriber(), '$JS.API.>', '9')],
  ['another thread', () => rig.account.setThreadInterest(1, '$JS.API.>', null, 1)],
  ['another queue group', () => rig.account.setThreadInterest(PERSISTENCE, '$JS.API.DIRECT.>', 'q', 1)],
  ['a member of the group elsewhere', () => rig.account.setThreadInterest(1, `${REQUEST}`, '_sys_', 1)],
])('where %s listens too, the request is sent', (_, change) => {
  change();
  expect(ask()).toBe(0);
});

test('without the stream nobody answers', () => {
  rig.account.setThreadInterest(PERSISTENCE, '$JS.API.DIRECT.GET.S.>', '_sys_', 0);
  expect(ask()).toBe(0);
});

test("a reply that goes to another thread is the stream's to send", () => {
  rig.account.setThreadInterest(1, '_INBOX.>', null, 1);
  expect(ask()).toBe(0);
});
