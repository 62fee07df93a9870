import { ERR, subscriptionViolation } from '../../shared/protocol/nats/errors.ts';
import { tokenCount } from '../../shared/subject/subject.ts';
import type { ClientConnection } from './connection.ts';
import type { Shard } from './shard.ts';

/** A queue group of this name belongs to the server itself. */
const RESERVED_QUEUE = '_sys_';

/**
 * Why a SUB is refused, in the order in which nats-server checks (client-protocol.md §6): permission, tokens, number of
 * subscriptions.
 * @returns the text of the -ERR, or ''
 */
export function subscriptionRefusal(
  connection: ClientConnection,
  shard: Shard,
  subject: string,
  queue: string | null,
): string {
  const { permissions } = connection;
  if (queue === RESERVED_QUEUE || (permissions !== null && !permissions.canSubscribe(subject, queue))) {
    return subscriptionViolation(subject, queue);
  }
  const { maxSubscriptionTokens, maxSubscriptions } = shard.options;
  if (maxSubscriptionTokens > 0 && tokenCount(subject) > maxSubscriptionTokens) {
    return `${subscriptionViolation(subject, null)}, too many tokens`;
  }
  const limit = effectiveMaxSubscriptions(connection, maxSubscriptions);
  return limit > 0 && connection.subscriptionCount >= limit ? ERR.maximumSubscriptionsExceeded : '';
}

/** The lower of the server's and the account's limit; 0 is none. */
export function effectiveMaxSubscriptions(connection: ClientConnection, serverLimit: number): number {
  const accountLimit = connection.account.limits.maxSubscriptions;
  if (accountLimit < 0) return serverLimit;
  return serverLimit > 0 ? Math.min(serverLimit, accountLimit) : accountLimit;
}
