import { ChunkPool, Outbox } from '../base/outbox.ts';
import type { DeliveryEncoder, Subscriber } from './subscription.ts';

const OWNER = { outboxDirty: () => undefined, outboxFilled: () => undefined };

/**
 * A part of the server as a subscriber of an account: its interest is known to routes like that of any connection, but it
 * wants messages and not protocol bytes.
 *
 * @param encoder gets the messages; null: the router passes it over, and its thread hands the messages over itself
 */
export function internalSubscriber(encoder: DeliveryEncoder | null): Subscriber {
  const outbox = new Outbox(new ChunkPool(), OWNER);
  outbox.refusing = encoder === null;
  return {
    outbox,
    encoder,
    headers: true,
    echo: true,
    outMsgs: 0,
    outBytes: 0,
    observesDeliveries: false,
    deniesDelivery: () => false,
  };
}
