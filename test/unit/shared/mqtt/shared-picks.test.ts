/** The engine's part of shared subscriptions. */
import { describe, expect, test } from 'vitest';
import * as mail from '../../../../src/shared/mqtt/mail.ts';
import { PUBACK, PUBREC } from '../../../../src/shared/protocol/mqtt/packet-types.ts';
import { only, QUEUE_MAX_MSGS, Rig } from './engine-rig.ts';

const SHARE = '$share/g/x';
const KEPT = { g: 'kept' } as const;

/** A rig with a publisher, and sessions that are members of the shared subscription. */
function shared(...clientIds: string[]): { rig: Rig; publisher: number; members: number[] } {
  const rig = new Rig();
  const publisher = rig.connect('p', { clean: true, expiry: 0 });
  const members = clientIds.map((clientId) => {
    const cid = rig.connect(clientId);
    rig.subscribeTo(cid, SHARE, 2);
    return cid;
  });
  rig.commit();
  return { rig, publisher, members };
}

describe('[MQTT-4.8.2-4] the engine picks a session', () => {
  test.each([
    [1, PUBACK],
    [2, PUBREC],
  ])('QoS %i: once the publisher is answered no crash takes the copy away', (qos, answer) => {
    const { rig, publisher, members } = shared('a');
    rig.publish(publisher, 'x', 'm', qos, 7, false, KEPT);
    const said = rig.commit();
    expect(only(said, mail.MAIL_ANSWER, publisher)).toEqual([[answer, 7, 0]]);
    expect(only(said, mail.MAIL_DELIVER, members[0])).toEqual([[1, qos, 0, 'm']]);
    rig.crash(qos);
    const again = rig.connect('a');
    expect(only(rig.commit(), mail.MAIL_DELIVER, again)).toEqual([[1, qos, 2, 'm']]);
  });

  test('one of them each time, and each of them some time', () => {
    const { rig, publisher, members } = shared('a', 'b', 'c');
    for (let i = 0; i < 15; i++) rig.publish(publisher, 'x', String(i), 1, i + 1, false, KEPT);
    const said = rig.commit();
    const got = members.map((cid) => only(said, mail.MAIL_DELIVER, cid).length);
    expect(got.reduce((sum, count) => sum + count, 0)).toBe(15);
    expect(Math.min(...got)).toBeGreaterThan(0);
  });

  test('beside its own subscription it is another message', () => {
    const { rig, publisher, members } = shared('a');
    rig.subscribeTo(members[0]!, 'x', 1);
    rig.publish(publisher, 'x', 'm', 2, 1, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([
      [1, 1, 0, 'm'],
      [2, 2, 0, 'm'],
    ]);
  });

  test('none where another member has it', () => {
    const { rig, publisher } = shared('a');
    rig.publish(publisher, 'x', 'm', 1, 1, false, { g: 'served' });
    const said = rig.commit();
    expect(only(said, mail.MAIL_ANSWER)).toEqual([[PUBACK, 1, 0]]);
    expect(only(said, mail.MAIL_DELIVER)).toEqual([]);
  });

  test('not one that may not receive the subject, nor one that was told so later', () => {
    const { rig, publisher, members } = shared('a');
    const denied = rig.connect('b', { denied: '["x"]' });
    rig.subscribeTo(denied, SHARE, 1);
    for (let i = 0; i < 9; i++) rig.publish(publisher, 'x', 'm', 1, i + 1, false, KEPT);
    const said = rig.commit();
    expect(only(said, mail.MAIL_DELIVER, denied)).toEqual([]);
    expect(only(said, mail.MAIL_DELIVER, members[0]).length).toBe(9);
    for (const [cid, filter] of [
      [members[0]!, '["x"]'],
      [denied, ''],
    ] as const)
      rig.engine.receive(new mail.MailBatch().begin(mail.MAIL_DENY, cid).text(filter).end().take());
    for (let i = 0; i < 9; i++) rig.publish(publisher, 'x', 'm', 1, i + 10, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_DELIVER, denied).length).toBe(9);
  });

  test('not one of a filter that leaves topics with $ out', () => {
    const { rig, publisher, members } = shared('a');
    rig.subscribeTo(members[0]!, '$share/g/+', 1);
    rig.publish(publisher, '$x', 'm', 1, 1, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([]);
  });

  test('the publisher is refused when the store takes no copy', () => {
    const { rig, publisher } = shared('a');
    rig.maxBytes = 0;
    rig.publish(publisher, 'x', 'm', 1, 1, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 1, 0x97]]);
  });
});

describe('the session that the shard saw is gone', () => {
  test.each([
    ['closed', (rig: Rig, cid: number) => rig.close(cid)],
    ['its thread died', (rig: Rig) => rig.engine.threadLost(0)],
  ])('%s: another one that is connected gets it', (_what, leave) => {
    const { rig, publisher, members } = shared('a');
    leave(rig, members[0]!);
    const other = rig.connect('b');
    rig.subscribeTo(other, SHARE, 1);
    for (let i = 0; i < 9; i++) rig.publish(publisher, 'x', 'm', 1, 0, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_DELIVER, other).length).toBe(9);
  });

  test('those of the group whose sessions are not kept come next', () => {
    const { rig, publisher, members } = shared('a');
    rig.close(members[0]!);
    rig.hasOthers = true;
    rig.publish(publisher, 'x', 'm', 1, 1, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 1, 0]]);
    expect(rig.others).toEqual(['g x m']);
    const back = rig.connect('a');
    expect(only(rig.commit(), mail.MAIL_DELIVER, back)).toEqual([]);
  });

  test.each([
    ['the shard saw it', KEPT],
    ['the shard saw nobody', {}],
  ])('nobody is connected: it is there when the client is back, after a crash too (%s)', (_what, groups) => {
    const { rig, publisher, members } = shared('a');
    rig.close(members[0]!);
    rig.publish(publisher, 'x', 'm', 1, 1, false, groups);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 1, 0]]);
    rig.crash(3);
    const back = rig.connect('a');
    expect(only(rig.commit(), mail.MAIL_DELIVER, back)).toEqual([[1, 1, 2, 'm']]);
  });

  test('it ended: the publisher is answered all the same', () => {
    const { rig, publisher, members } = shared('a');
    rig.close(members[0]!, 0);
    rig.publish(publisher, 'x', 'm', 1, 1, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 1, 0]]);
  });

  test('full queues: the next one gets it, and the log is told when there is none', () => {
    const { rig, publisher, members } = shared('a', 'b');
    for (const cid of members) rig.close(cid);
    for (let i = 0; i < 2 * QUEUE_MAX_MSGS; i++) rig.publish(publisher, 'x', 'm', 1, 0, false, KEPT);
    expect(rig.warnings).toEqual([]);
    rig.publish(publisher, 'x', 'm', 1, 9, false, KEPT);
    expect(only(rig.commit(), mail.MAIL_ANSWER)).toEqual([[PUBACK, 9, 0]]);
    expect(rig.warnings).toEqual([expect.stringContaining('is full')]);
  });
});

test('[MQTT-4.8.2-4] what a shard hands over is the session’s, over a crash too', () => {
  const rig = new Rig();
  const cid = rig.connect('a');
  rig.subscribeTo(cid, '$share/g/x', 2);
  rig.keep(cid, 'x', 'chosen', 2);
  expect(only(rig.commit(), mail.MAIL_DELIVER, cid)).toEqual([[1, 2, 0, 'chosen']]);
  rig.crash(1);
  const again = rig.connect('a');
  expect(only(rig.commit(), mail.MAIL_DELIVER, again)).toEqual([[1, 2, 2, 'chosen']]);
});

test('what a connection is given of a shared subscription while another takes its session is the session’s', () => {
  const rig = new Rig();
  const first = rig.connect('a');
  rig.subscribeTo(first, '$share/g/x', 1);
  const second = rig.connect('a');
  rig.keep(first, 'x', 'late', 1);
  rig.close(first);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([[1, 1, 0, 'late']]);
  rig.keep(first, 'x', 'closed', 1);
  expect(rig.commit()).toEqual([]);
  // A session that ended has nothing any more.
  const clean = rig.connect('a', { clean: true, expiry: 0 });
  rig.keep(second, 'x', 'ended', 1);
  rig.close(second);
  expect(only(rig.commit(), mail.MAIL_DELIVER)).toEqual([]);
  rig.close(clean, 0);
});
