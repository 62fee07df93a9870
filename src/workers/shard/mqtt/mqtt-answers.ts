import { RETAIN_AS_PUBLISHED, RETAIN_CLEAR, RETAIN_SET } from '../../../shared/mqtt/encoder.ts';
import {
  MAIL_ANSWER,
  MAIL_CONNECTED,
  MAIL_DELIVER,
  MAIL_RETAINED,
  MAIL_SUBSCRIBED,
  MAIL_TAKEOVER,
  MAIL_UNSUBSCRIBED,
  MailReader,
  TextMemo,
} from '../../../shared/mqtt/mail.ts';
import type { MqttPeer } from '../../../shared/mqtt/peer.ts';
import { RECEIVE_MAXIMUM } from '../../../shared/protocol/mqtt/limits.ts';
import { MQTT_5, PUBACK, PUBCOMP, PUBREC } from '../../../shared/protocol/mqtt/packet-types.ts';
import { REASON } from '../../../shared/protocol/mqtt/reason-codes.ts';
import { suback, unsuback } from '../../../shared/protocol/mqtt/writer.ts';
import { CLOSE_REASON } from '../../../shared/protocol/nats/errors.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import type { MqttSession } from './mqtt-session.ts';

const NO_IDS: readonly number[] = [];

/** What the engine says to the connections of this shard. */
export class MqttAnswers {
  readonly #shard: Shard;
  readonly #session: MqttSession;
  readonly #subjects = new TextMemo();

  constructor(shard: Shard, session: MqttSession) {
    this.#shard = shard;
    this.#session = session;
  }

  handle(bytes: Uint8Array): void {
    const record = MailReader.ofBatch(bytes);
    while (record.next()) this.#handle(record);
  }

  #handle(record: MailReader): void {
    const kind = record.u8();
    const connection = this.#shard.connections.get(record.f64());
    // It may have ended meanwhile; the engine knows by now, or will soon.
    if (connection === undefined || connection.closed || connection.mqtt === null) return;
    const peer = connection.mqtt;
    switch (kind) {
      case MAIL_CONNECTED:
        this.#connected(connection, peer, record);
        return;
      case MAIL_TAKEOVER:
        this.#takenOver(connection, peer, record.u8() === 1);
        return;
      case MAIL_SUBSCRIBED: {
        const packetId = record.u32();
        this.#session.send(connection, suback(levelOf(peer), packetId, [...record.bytes()]));
        this.#session.subscriptions.taken(connection, packetId);
        return;
      }
      case MAIL_UNSUBSCRIBED: {
        const packetId = record.u32();
        this.#session.send(connection, unsuback(levelOf(peer), packetId, [...record.bytes()]));
        return;
      }
      case MAIL_ANSWER:
        this.#answer(connection, peer, record.u8(), record.u32(), record.u8());
        return;
      case MAIL_DELIVER:
        this.#deliver(connection, peer, record);
        return;
      case MAIL_RETAINED:
        this.#retained(connection, peer, record);
        return;
      default:
    }
  }

  #connected(connection: ClientConnection, peer: MqttPeer, record: MailReader): void {
    const reason = record.u8();
    if (reason !== REASON.success) {
      this.#session.refuse(connection, reason, CLOSE_REASON.serverShutdown);
      return;
    }
    const isPresent = record.u8() === 1;
    for (let count = record.u32(); count > 0; count--) {
      peer.received ??= new Map();
      peer.received.set(record.u32(), true);
    }
    while (record.hasMore) this.#session.subscriptions.add(connection, record.filter());
    this.#session.connected(connection, isPresent);
  }

  /** Another connection has the client id now. [MQTT-3.1.4-3] (3.1.1: 3.1.4-2) */
  #takenOver(connection: ClientConnection, peer: MqttPeer, sessionEnds: boolean): void {
    this.#shard.log(
      'warn',
      `${connection.label} - Replacing old client since both have the same client ID ${JSON.stringify(peer.clientId)}`,
    );
    // The session goes on, and with it the time a delayed will has to wait: it is cancelled.
    if (!sessionEnds && peer.will !== null && peer.will.delaySeconds > 0 && peer.persistent) peer.will = null;
    if (sessionEnds) peer.persistent = false;
    this.#session.end(connection, REASON.sessionTakenOver, CLOSE_REASON.duplicateClientId);
  }

  /** What the client sent is on the disk now: it may be told. */
  #answer(
    connection: ClientConnection,
    peer: MqttPeer,
    type: number,
    packetId: number,
    reason: number,
  ): void {
    if (type === PUBREC && reason < REASON.unspecifiedError) peer.received?.set(packetId, true);
    if (type === PUBCOMP) peer.received?.delete(packetId);
    if (reason >= REASON.unspecifiedError && peer.level !== MQTT_5 && (type === PUBACK || type === PUBREC)) {
      // 3.1.1 can't refuse a message: the client keeps it and comes again.
      this.#shard.log('error', `${connection.label} - the store refused a message (pi=${packetId})`);
      this.#session.end(connection, reason, CLOSE_REASON.protocolViolation);
      return;
    }
    this.#session.sendAcknowledgement(connection, type, packetId, reason);
    if (type !== PUBACK && type !== PUBREC) return;
    peer.unanswered--;
    if (!peer.awaitsAnswers || peer.unanswered > RECEIVE_MAXIMUM / 2) return;
    peer.awaitsAnswers = false;
    this.#shard.input.resume(connection);
  }

  /** A message of the session's queue. */
  #deliver(connection: ClientConnection, peer: MqttPeer, record: MailReader): void {
    const packetId = record.u32();
    const qos = record.u8();
    const flags = record.u8();
    let ids = NO_IDS;
    const idCount = record.u32();
    if (idCount > 0) ids = Array.from({ length: idCount }, () => record.u32());
    const subject = record.repeatedText(this.#subjects);
    const [reply, headers, payload] = [record.text(), record.bytes(), record.bytes()];
    const isAllowed = !connection.deniesDelivery(subject, null);
    const { encoder } = this.#session;
    const retain = (flags & 1) !== 0 ? RETAIN_SET : (flags & 4) !== 0 ? RETAIN_AS_PUBLISHED : RETAIN_CLEAR;
    const dup = (flags & 2) !== 0;
    if (isAllowed && encoder.send(peer, subject, reply, headers, payload, qos, retain, ids, packetId, dup)) {
      connection.outMsgs++;
      connection.outBytes += payload.length;
      return;
    }
    // What the client may or can not have counts as delivered. [MQTT-3.1.2-25]
    this.#session.mailAcknowledge(connection, PUBACK, packetId, REASON.unspecifiedError);
  }

  /** Retained messages for a new subscription. */
  #retained(connection: ClientConnection, peer: MqttPeer, record: MailReader): void {
    const grantedQos = record.u8();
    const id = record.u32();
    const ids = id === 0 ? [] : [id];
    while (record.hasMore) {
      const qos = Math.min(record.u8(), grantedQos);
      const subject = record.text();
      const [reply, headers, payload] = [record.text(), record.bytes(), record.bytes()];
      if (connection.deniesDelivery(subject, null)) continue;
      if (
        !this.#session.encoder.send(peer, subject, reply, headers, payload, qos, RETAIN_SET, ids, -1, false)
      )
        continue;
      connection.outMsgs++;
      connection.outBytes += payload.length;
    }
  }
}

function levelOf(peer: MqttPeer): 4 | 5 {
  return peer.level === MQTT_5 ? MQTT_5 : 4;
}
