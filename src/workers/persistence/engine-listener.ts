import { ChunkPool, Outbox } from '../../shared/base/outbox.ts';
import type { Route, RouteGroup } from '../../shared/broker/route.ts';
import { type Subscriber, Subscription } from '../../shared/broker/subscription.ts';
import type { InboundMessage } from '../../shared/jetstream/effects.ts';

/**
 * The engine as a subscriber of an account.
 *
 * Its interest has to be known to routes like that of any connection, but it wants messages and not protocol bytes. So it
 * is a subscriber whose outbox refuses everything: the router passes it over, and the thread hands the message over itself.
 */
const outbox = new Outbox(new ChunkPool(), { outboxDirty: () => undefined, outboxFilled: () => undefined });
outbox.refusing = true;

const ENGINE: Subscriber = {
  outbox,
  encoder: null,
  headers: true,
  echo: true,
  outMsgs: 0,
  outBytes: 0,
  observesDeliveries: false,
  deniesDelivery: () => false,
};

export class EngineListener extends Subscription {
  readonly receive: (message: InboundMessage) => void;

  constructor(subject: string, queue: string | null, receive: (message: InboundMessage) => void) {
    super(ENGINE, subject, queue, '');
    this.receive = receive;
  }
}

/** The group of that name among those that the engine is a member of. */
export function memberGroup(route: Route, name: Uint8Array): RouteGroup | null {
  const found = route.groups.find(({ nameBytes }) => Buffer.compare(nameBytes, name) === 0);
  return found !== undefined && found.locals.length > 0 ? found : null;
}
