import type { MeshAccounts } from '../../shared/broker/mesh-accounts.ts';
import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import type { Clock } from '../../shared/jetstream/time.ts';
import { MqttEngine, SESSION_QUEUE_MAX_MSGS } from '../../shared/mqtt/engine.ts';
import type { EngineEffects } from './engine-effects.ts';
import type { GroupSender } from './group-sender.ts';

/** The MQTT engine beside JetStream's: over the same store, with a share in the same quotas. */
export function newMqttEngine(
  engine: JetStream,
  effects: EngineEffects,
  clock: Clock,
  accounts: MeshAccounts,
  groups: GroupSender,
): MqttEngine {
  return new MqttEngine({
    store: engine.store,
    effects,
    clock,
    queueMaxMsgs: SESSION_QUEUE_MAX_MSGS,
    random: engine.random,
    sendToOthers: (account, share, message) => groups.send(accounts.at(account)!, share, message),
    quota: {
      allows: (account, bytes) => engine.account(account)?.resourceProblem('file', 1, bytes) == null,
      setBytes: (account, bytes) => engine.account(account)?.setMqttBytes(bytes),
    },
  });
}
