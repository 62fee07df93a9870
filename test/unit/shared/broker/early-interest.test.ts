import { describe, expect, test } from 'vitest';
import { EarlyInterest } from '../../../../src/shared/broker/early-interest.ts';

const interest = (thread: number, subject: string, weight = 1) => ({
  thread,
  subject,
  queue: null,
  weight,
  filter: '',
});

describe('interest in accounts that are not there yet', () => {
  test('is given back in order, once, account by account', () => {
    const early = new EarlyInterest();
    early.hold(7, interest(1, 'a'));
    early.hold(8, interest(1, 'b'));
    early.hold(7, interest(2, 'a'));
    early.hold(7, interest(1, 'a', 0));
    expect(early.take(7)).toEqual([interest(1, 'a'), interest(2, 'a'), interest(1, 'a', 0)]);
    expect(early.take(7)).toEqual([]);
    expect(early.take(8)).toEqual([interest(1, 'b')]);
    expect(early.take(9)).toEqual([]);
  });

  test('of a thread that died is forgotten', () => {
    const early = new EarlyInterest();
    early.hold(7, interest(1, 'a'));
    early.hold(7, interest(2, 'b'));
    early.hold(8, interest(1, 'c'));
    early.dropThread(1);
    expect(early.take(7)).toEqual([interest(2, 'b')]);
    expect(early.take(8)).toEqual([]);
  });
});
