import { expect, test } from 'vitest';
import { internalSubscriber } from '../../../../src/shared/broker/internal-subscriber.ts';
import { Subscription } from '../../../../src/shared/broker/subscription.ts';
import { frameOf, Rig } from './delivery-rig.ts';

test('with an encoder it gets messages, without one it is passed over and still keeps the route', () => {
  const rig = new Rig();
  const delivered: string[] = [];
  const encoder = { deliver: (_route: unknown, { sid }: Subscription) => void delivered.push(sid) };
  rig.account.subscribe(new Subscription(internalSubscriber(encoder), 'a', null, 'told'));
  rig.account.subscribe(new Subscription(internalSubscriber(null), 'a', null, 'passed over'));
  rig.publish({ subject: 'a' });
  expect(delivered).toEqual(['told']);
  const { bytes, subjectStart, subjectEnd, subjectHash } = frameOf({ subject: 'a' });
  const route = rig.account.route(subjectHash, bytes, subjectStart, subjectEnd);
  expect(route.plain.map(({ sid }) => sid)).toEqual(['told', 'passed over']);
});
