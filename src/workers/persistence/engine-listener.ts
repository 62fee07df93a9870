import { internalSubscriber } from '../../shared/broker/internal-subscriber.ts';
import type { Route, RouteGroup } from '../../shared/broker/route.ts';
import { Subscription } from '../../shared/broker/subscription.ts';
import type { InboundMessage } from '../../shared/jetstream/effects.ts';

const ENGINE = internalSubscriber(null);

/** The engine as a subscriber of an account. */
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
