import { describe, expect, test } from 'vitest';
import { answerClose, closePayload } from '../../../../../src/shared/protocol/websocket/close.ts';

function payload(status: number, text = ''): Uint8Array {
  return Uint8Array.of(status >> 8, status & 255, ...Buffer.from(text));
}

describe('answers to a close frame', () => {
  test.each([1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])('%i comes back', (status) => {
    expect(answerClose(payload(status, 'why'))).toEqual({ payload: payload(status, 'why'), problem: '' });
  });

  test.each([
    0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
  ])('%i is no status', (status) => {
    const { payload: answer, problem } = answerClose(payload(status));
    expect(problem).toBe(`invalid close status code ${status}`);
    expect(answer).toEqual(payload(1002, problem));
  });

  test('nothing is answered with nothing', () => {
    expect(answerClose(new Uint8Array(0))).toEqual({ payload: new Uint8Array(0), problem: '' });
  });

  test.each([
    [0xff],
    [0xc0, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xce, 0xba, 0xe1, 0xbd],
  ])('text %j is not UTF-8', (...bytes) => {
    const { payload: answer, problem } = answerClose(Uint8Array.of(3, 232, ...bytes));
    expect(problem).toBe('');
    expect(answer).toEqual(payload(1007, 'invalid utf8 body in close frame'));
  });
});

test('a long text is cut between characters', () => {
  expect(closePayload(1000, 'x'.repeat(123)).length).toBe(125);
  const cut = Buffer.from(closePayload(1000, 'é'.repeat(70)).subarray(2)).toString();
  expect(cut).toBe(`${'é'.repeat(60)}...`);
});
