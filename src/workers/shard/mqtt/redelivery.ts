import { FLAG_DUP, PUBREL } from '../../../shared/protocol/mqtt/packet-types.ts';
import { REASON } from '../../../shared/protocol/mqtt/reason-codes.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import type { MqttSession } from './mqtt-session.ts';

/**
 * `ack_wait` for 3.1.1 clients whose session ends with the connection (mqtt.md §7): what they don't acknowledge in time is sent
 * again, with DUP and its identifier, in the order of the first time. The engine does the same for sessions that are kept.
 */
export class Redelivery {
  readonly #shard: Shard;
  readonly #session: MqttSession;
  /** Of connections with something unacknowledged: one timer each, for the oldest. */
  readonly #timers = new Map<ClientConnection, NodeJS.Timeout>();

  constructor(shard: Shard, session: MqttSession) {
    this.#shard = shard;
    this.#session = session;
  }

  awaitAck(connection: ClientConnection): void {
    if (!this.#timers.has(connection)) this.#start(connection, connection.mqtt!.ackWaitMs);
  }

  #start(connection: ClientConnection, delayMs: number): void {
    this.#timers.set(connection, setTimeout(this.#due, delayMs, connection));
  }

  readonly #due = (connection: ClientConnection): void => {
    this.#timers.delete(connection);
    const { inflight, ackWaitMs } = connection.mqtt!;
    if (connection.closed || inflight === null) return;
    this.#shard.beginTurn();
    const nowMs = Date.now();
    let oldestMs = Infinity;
    for (const [packetId, one] of inflight) {
      if (one.sentMs + ackWaitMs <= nowMs) {
        one.sentMs = nowMs;
        if (one.released) this.#session.sendAcknowledgement(connection, PUBREL, packetId, REASON.success);
        else if (one.packet !== null) this.#repeat(connection, one.packet);
      }
      oldestMs = Math.min(oldestMs, one.sentMs);
    }
    if (oldestMs < Infinity) this.#start(connection, oldestMs + ackWaitMs - nowMs);
  };

  #repeat(connection: ClientConnection, packet: Uint8Array): void {
    packet[0] = packet[0]! | FLAG_DUP;
    connection.outbox.append(packet, 0, packet.length);
  }

  forget(connection: ClientConnection): void {
    clearTimeout(this.#timers.get(connection));
    this.#timers.delete(connection);
  }
}
