/** Members of queue groups whose session the MQTT engine keeps. */
import { expect, test } from 'vitest';
import type { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { Rig, TestSubscriber, testAccount } from './delivery-rig.ts';
import { type MeshNode, meshOf } from './mesh.ts';

const RING_BYTES = 256 * 1024;
const MESSAGES = 400;

interface Member {
  readonly subscriber: TestSubscriber;
  readonly subscription: Subscription;
}

function join(node: MeshNode, isKept: boolean): Member {
  const subscriber = new TestSubscriber();
  const subscription = node.rig.subscribe(subscriber, 'foo', '1', 'g');
  node.account.setKept(subscription, isKept);
  return { subscriber, subscription };
}

/** What was sent arrives everywhere, and what that causes. */
function settle(nodes: readonly MeshNode[]): void {
  for (let round = 0; round < nodes.length + 1; round++) {
    for (const { links } of nodes) links.publish();
    for (const { links } of nodes) links.drain();
  }
}

const counts = (members: readonly Member[]) => members.map(({ subscriber }) => subscriber.outMsgs);
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

test('the publisher’s thread leaves their share to the engine, the rest goes to the others, wherever they are', () => {
  const nodes = meshOf(3, RING_BYTES, 7);
  const kept = [join(nodes[0]!, true), join(nodes[1]!, true)];
  const others = [join(nodes[0]!, false), join(nodes[1]!, false), join(nodes[2]!, false)];
  settle(nodes);
  const { rig } = nodes[0]!;
  let left = 0;
  for (let i = 0; i < MESSAGES; i++) {
    rig.publish({ subject: 'foo', passesKept: true });
    left += rig.router.keptGroups.length;
    expect([...rig.router.keptGroups, ...rig.router.servedGroups]).toEqual(['g']);
    settle(nodes);
  }
  expect(sum(counts(kept))).toBe(0);
  expect(sum(counts(others)) + left).toBe(MESSAGES);
  for (const count of [...counts(others), left / 2]) expect(count).toBeGreaterThan(MESSAGES / 10);
});

test('of any other message they get as many as anybody', () => {
  const nodes = meshOf(2, RING_BYTES, 7);
  const members = [join(nodes[0]!, true), join(nodes[1]!, true), join(nodes[1]!, false)];
  settle(nodes);
  for (let i = 0; i < MESSAGES; i++) {
    nodes[0]!.rig.publish({ subject: 'foo' });
    settle(nodes);
  }
  expect(sum(counts(members))).toBe(MESSAGES);
  for (const count of counts(members)) expect(count).toBeGreaterThan(MESSAGES / 5);
});

test('where the others can take nothing it is left to the engine, too', () => {
  const [node] = meshOf(1, RING_BYTES, 7) as [MeshNode];
  const refusing = join(node, false);
  join(node, true);
  refusing.subscriber.outbox.refusing = true;
  for (let i = 0; i < 20; i++) {
    node.rig.publish({ subject: 'foo', passesKept: true });
    expect(node.rig.router.keptGroups).toEqual(['g']);
  }
});

test('one that was picked for an other that has left gets the message', () => {
  const nodes = meshOf(2, RING_BYTES, 7);
  const other = join(nodes[1]!, false);
  settle(nodes);
  const { rig } = nodes[0]!;
  rig.publish({ subject: 'foo', passesKept: true });
  expect(rig.router.servedGroups).toEqual(['g']);
  const kept = join(nodes[1]!, true);
  nodes[1]!.account.unsubscribe(other.subscription);
  settle(nodes);
  expect(counts([kept, other])).toEqual([1, 0]);
});

test('another of the others is found behind the thread whose own have left', () => {
  const nodes = meshOf(3, RING_BYTES, 7);
  const leaving = join(nodes[1]!, false);
  settle(nodes);
  nodes[0]!.rig.publish({ subject: 'foo', passesKept: true });
  const kept = join(nodes[1]!, true);
  const other = join(nodes[2]!, false);
  nodes[2]!.links.publish();
  nodes[1]!.links.drain();
  nodes[1]!.account.unsubscribe(leaving.subscription);
  settle(nodes);
  expect(counts([kept, other, leaving])).toEqual([0, 1, 0]);
});

test('others are told of the new member before the old one goes, and of nothing that is no change', () => {
  const told: string[] = [];
  const account = testAccount({
    announceInterest: (_index, subject, queue, weight, filter) =>
      told.push(`${subject} ${queue} ${weight} ${filter}`),
  });
  const subscription = new Rig(1, null, account).subscribe(new TestSubscriber(), 'foo', '1', 'g');
  expect(told.splice(0)).toEqual(['foo g 1 ']);
  account.setKept(subscription, true);
  account.setKept(subscription, true);
  expect(told.splice(0)).toEqual(['foo g 1 +', 'foo g 0 ']);
  account.setKept(subscription, false);
  expect(told.splice(0)).toEqual(['foo g 1 ', 'foo g 0 +']);
  account.unsubscribe(subscription);
  account.setKept(subscription, true);
  expect(told).toEqual(['foo g 0 ']);
});
