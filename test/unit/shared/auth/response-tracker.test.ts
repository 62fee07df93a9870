import { expect, test } from 'vitest';
import { ResponseTracker } from '../../../../src/shared/auth/response-tracker.ts';

test('admits as many messages as allowed', () => {
  const tracker = new ResponseTracker({ maxMsgs: 2, expiresMs: 1000 });
  tracker.track('r', 0);
  expect([tracker.take('r', 1), tracker.take('r', 1), tracker.take('r', 1)]).toEqual([true, true, false]);
  expect(tracker.take('other', 1)).toBe(false);
  expect(tracker.size).toBe(0);
});

test('starts anew when the reply comes again', () => {
  const tracker = new ResponseTracker({ maxMsgs: 1, expiresMs: 1000 });
  tracker.track('r', 0);
  tracker.track('r', 900);
  expect(tracker.take('r', 1800)).toBe(true);
  expect(tracker.take('r', 1800)).toBe(false);
});

test('admits nothing after the time', () => {
  const tracker = new ResponseTracker({ maxMsgs: 5, expiresMs: 1000 });
  tracker.track('r', 50);
  expect(tracker.take('r', 1050)).toBe(true);
  expect(tracker.take('r', 1051)).toBe(false);
  expect(tracker.size).toBe(0);
});

test('knows no end where limits are negative', () => {
  const tracker = new ResponseTracker({ maxMsgs: -1, expiresMs: -1 });
  tracker.track('r', 0);
  for (let at = 0; at < 100; at++) expect(tracker.take('r', Number.MAX_SAFE_INTEGER)).toBe(true);
});

test('admits nothing when no message is allowed', () => {
  const tracker = new ResponseTracker({ maxMsgs: 0, expiresMs: 1000 });
  tracker.track('r', 0);
  expect(tracker.take('r', 0)).toBe(false);
});

test('forgets expired replies', () => {
  const tracker = new ResponseTracker({ maxMsgs: 1, expiresMs: 1000 });
  let most = 0;
  for (let at = 0; at < 20_000; at++) {
    tracker.track(`r${at}`, at);
    most = Math.max(most, tracker.size);
  }
  expect(most).toBeLessThan(6000);
  expect(tracker.take('r19999', 20_000)).toBe(true);
  expect(tracker.take('r1', 20_000)).toBe(false);
});

test('stays bounded when nothing expires, at the cost of the oldest', () => {
  const tracker = new ResponseTracker({ maxMsgs: -1, expiresMs: -1 });
  let most = 0;
  for (let at = 0; at < 200_000; at++) {
    tracker.track(`r${at}`, 0);
    most = Math.max(most, tracker.size);
  }
  expect(most).toBe(65_536);
  expect(tracker.take('r0', 0)).toBe(false);
  const oldest = 200_000 - tracker.size;
  expect(tracker.take(`r${oldest - 1}`, 0)).toBe(false);
  expect(tracker.take(`r${oldest}`, 0)).toBe(true);
  expect(tracker.take('r199999', 0)).toBe(true);
});

test('a reply that came again is not among the oldest', () => {
  const tracker = new ResponseTracker({ maxMsgs: -1, expiresMs: -1 });
  for (let at = 0; at < 65_536; at++) tracker.track(`r${at}`, 0);
  tracker.track('r0', 0);
  tracker.track('new', 0);
  expect(tracker.take('r1', 0)).toBe(false);
  expect(tracker.take('r0', 0)).toBe(true);
});
