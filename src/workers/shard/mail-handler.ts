import type { ToShard } from './contract.ts';
import type { Shard } from './shard.ts';
import { queryConnections, querySubscriptions } from './snapshots.ts';

/** What main asks of a shard. */
export function handleMail(shard: Shard, message: ToShard): void {
  shard.beginTurn();
  switch (message.kind) {
    case 'connections':
      for (const handed of message.list) {
        if (handed.listener === 'websocket') shard.websocket.accept(handed);
        else shard.admission.accept(handed);
      }
      return;
    case 'options':
      shard.reload(message.options, message.identity, message.accountIndexes);
      shard.post({ kind: 'reply', request: message.request, result: null });
      return;
    case 'enforce-account-limits':
      shard.enforceAccountLimits();
      shard.post({ kind: 'reply', request: message.request, result: null });
      return;
    case 'identity':
      shard.identity = message.identity;
      return;
    case 'lame-duck':
      shard.enterLameDuck();
      return;
    case 'close-clients':
      shard.closeSome(message.count, message.reason);
      return;
    case 'websocket-listen':
      void shard.websocket.native
        .listen(message.host, message.port)
        .then((result) => shard.post({ kind: 'reply', request: message.request, result }));
      return;
    case 'websocket-abandon':
      shard.websocket.native.abandon(new Int32Array(message.done));
      return;
    case 'shutdown':
      shard.shutdown();
      return;
    case 'bcrypt-result':
      shard.session.login.passwordChecked(message.request, message.matches);
      return;
    case 'thread-lost':
      shard.threadLost(message.thread);
      return;
    case 'thread-link':
      shard.connectThread(message.link);
      return;
    case 'connections-query':
      shard.post({ kind: 'reply', request: message.request, result: queryConnections(shard, message.query) });
      return;
    case 'subscriptions-query':
      shard.post({
        kind: 'reply',
        request: message.request,
        result: querySubscriptions(shard, message.query),
      });
      return;
  }
}
