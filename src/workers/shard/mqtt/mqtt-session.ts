import { PARSE_BLOCKED, PARSE_CLOSED, PARSE_MORE, PARSE_PAUSED } from '../../../shared/base/parse-outcome.ts';
import { forgetPacket, MqttEncoder, releaseWaiting } from '../../../shared/mqtt/encoder.ts';
import {
  MAIL_ACKNOWLEDGE,
  MAIL_CLOSE,
  MAIL_CONNECT,
  MAIL_DENY,
  MAIL_KEEP,
  type MailMessage,
  MailWriter,
} from '../../../shared/mqtt/mail.ts';
import { MqttPeer } from '../../../shared/mqtt/peer.ts';
import type { ConnectPacket } from '../../../shared/protocol/mqtt/connect.ts';
import {
  PACKET_HEAD_MAX_BYTES,
  RECEIVE_MAXIMUM,
  TOPIC_ALIAS_MAX,
} from '../../../shared/protocol/mqtt/limits.ts';
import {
  MQTT_5,
  PUBACK,
  PUBCOMP,
  PUBREC,
  PUBREL,
  packetName,
} from '../../../shared/protocol/mqtt/packet-types.ts';
import type { MqttParser, MqttParserSink } from '../../../shared/protocol/mqtt/parser.ts';
import { REASON, RETURN_CODE, returnCodeOf } from '../../../shared/protocol/mqtt/reason-codes.ts';
import type { SubscribePacket, UnsubscribePacket } from '../../../shared/protocol/mqtt/subscribe.ts';
import {
  acknowledgement,
  type ConnackProperties,
  connack,
  disconnect,
  PINGRESP_PACKET,
} from '../../../shared/protocol/mqtt/writer.ts';
import { CLOSE_REASON, type CloseReason } from '../../../shared/protocol/nats/errors.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import { EngineMail } from './engine-mail.ts';
import { MqttAnswers } from './mqtt-answers.ts';
import { MqttLogin } from './mqtt-login.ts';
import { MqttPublisher } from './mqtt-publisher.ts';
import { MqttSubscriptions } from './mqtt-subscriptions.ts';
import { Redelivery } from './redelivery.ts';

/**
 * What the packets of MQTT clients do (mqtt.md, OASIS 3.1.1 and 5.0): the parser's sink. One instance serves all
 * connections of the shard. What outlives a connection is the engine's (shared/mqtt/engine.ts).
 */

/** Non-standard return code of nats-server for a will of a QoS it doesn't take. */
const QOS2_REJECTED = 0x10;
const CLIENT_ID_CHARACTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const CLIENT_ID_LENGTH = 22;
/** A longer timeout would be none. */
const TIMER_MAX_MS = 0x7fff_ffff;
/** What may wait for room on its way to the engine, before members of shared subscriptions are cut off. */
const KEPT_WAITING_MAX_BYTES = 64 * 1024 * 1024;

export class MqttSession implements MqttParserSink<ClientConnection> {
  readonly encoder: MqttEncoder;
  readonly login: MqttLogin;
  readonly mail: EngineMail;
  readonly publisher: MqttPublisher;
  readonly subscriptions: MqttSubscriptions;
  readonly answers: MqttAnswers;
  readonly #shard: Shard;
  readonly #redelivery: Redelivery;
  readonly #record = new MailWriter();
  /** One without a reason, as both versions have it. */
  readonly #shortAcknowledgement = Uint8Array.of(0, 2, 0, 0);

  constructor(shard: Shard) {
    this.#shard = shard;
    this.#redelivery = new Redelivery(shard, this);
    this.encoder = new MqttEncoder(shard);
    this.answers = new MqttAnswers(shard, this);
    this.mail = new EngineMail(shard, (record) => this.answers.handle(record));
    this.login = new MqttLogin(shard, this);
    this.publisher = new MqttPublisher(shard, this, this.mail);
    this.subscriptions = new MqttSubscriptions(shard, this.mail);
  }

  /** A connection that speaks MQTT from its first byte on, on a socket of its own or in the frames of a WebSocket. */
  begin(connection: ClientConnection): void {
    const { maxPayloadBytes } = this.#shard.options;
    const host = {
      outbox: connection.outbox,
      overflow: () => this.#shard.closeLater(connection, CLOSE_REASON.slowConsumerPendingBytes),
      awaitAck: () => this.#redelivery.awaitAck(connection),
      keep: (message: MailMessage, qos: number, retain: boolean, subscriptionId: number) =>
        this.#keep(connection, message, qos, retain, subscriptionId),
    };
    connection.mqtt = new MqttPeer(host, maxPayloadBytes + PACKET_HEAD_MAX_BYTES);
    connection.encoder = this.encoder;
    connection.headers = true;
    connection.echo = true;
  }

  /** The engine is to keep a message for a session: the client is the member of a shared subscription that gets it. */
  #keep(
    connection: ClientConnection,
    message: MailMessage,
    qos: number,
    retain: boolean,
    subscriptionId: number,
  ): void {
    if (this.mail.waitingBytes > KEPT_WAITING_MAX_BYTES) {
      this.#shard.closeLater(connection, CLOSE_REASON.slowConsumerPendingBytes);
      return;
    }
    const record = this.mail.begin(MAIL_KEEP, connection.cid).u8(qos);
    record
      .u8(retain ? 1 : 0)
      .u32(subscriptionId)
      .message(message);
    this.mail.endLater();
  }

  // CONNECT

  connect(connection: ClientConnection, packet: ConnectPacket): number {
    if (this.mail.isBlocked) return PARSE_BLOCKED;
    const peer = connection.mqtt!;
    const { mqtt } = this.#shard.options;
    peer.level = packet.level;
    peer.requestProblemInformation = packet.requestProblemInformation;
    peer.clientMaxPacketBytes = packet.maximumPacketBytes;
    const { will } = packet;
    if (will !== null && will.qos === 2 && mqtt!.rejectQos2Publish) {
      if (packet.level === MQTT_5)
        return this.refuse(connection, REASON.qosNotSupported, CLOSE_REASON.protocolViolation);
      this.send(connection, connack(4, false, QOS2_REJECTED));
      return this.#close(connection, CLOSE_REASON.protocolViolation);
    }
    if (packet.authMethod !== null)
      return this.refuse(connection, REASON.badAuthenticationMethod, CLOSE_REASON.authenticationFailure);
    if (will !== null && !this.publisher.isWillPossible(will.topic)) {
      this.#shard.log('error', `${connection.label} - character not supported for MQTT topics`);
      return this.refuse(connection, REASON.topicNameInvalid, CLOSE_REASON.protocolViolation);
    }
    // [MQTT-3.1.3-8] of 3.1.1; 5.0 gives an identifier in either case.
    if (packet.clientId === '' && packet.level !== MQTT_5 && !packet.cleanStart) {
      this.#shard.log(
        'error',
        `${connection.label} - when client ID is empty, clean session flag must be set to 1`,
      );
      return this.refuse(connection, REASON.clientIdentifierNotValid, CLOSE_REASON.protocolViolation);
    }
    return this.login.connect(connection, packet);
  }

  /** The client is who it says: the engine finds its session, and CONNACK waits for that. */
  admitted(connection: ClientConnection, packet: ConnectPacket): number {
    const peer = connection.mqtt!;
    const { options } = this.#shard;
    const mqtt = options.mqtt!;
    peer.assignedClientId = packet.clientId === '' ? this.#newClientId() : '';
    peer.clientId = packet.clientId === '' ? peer.assignedClientId : packet.clientId;
    peer.will = packet.will;
    peer.keepAliveMs = packet.keepAliveSeconds * 1500;
    peer.topicAliasMaximum = packet.topicAliasMaximum;
    const capSeconds = Math.floor(mqtt.consumerInactiveThresholdMs / 1000);
    peer.sessionExpirySeconds =
      capSeconds > 0 ? Math.min(packet.sessionExpirySeconds, capSeconds) : packet.sessionExpirySeconds;
    peer.sessionExpiryCapped = peer.sessionExpirySeconds !== packet.sessionExpirySeconds;
    // What is resumed may have messages of the engine, though it ends with this connection.
    peer.persistent = peer.sessionExpirySeconds > 0 || !packet.cleanStart;
    const window = Math.min(packet.receiveMaximum, mqtt.maxAckPending);
    peer.sendWindow = window;
    // [MQTT-4.4.0-1] of 5.0: nothing is sent again but on a new connection.
    const ackWaitMs = packet.level === MQTT_5 ? 0 : Math.min(mqtt.ackWaitMs, TIMER_MAX_MS);
    peer.ackWaitMs = peer.persistent ? 0 : ackWaitMs;
    peer.connecting = true;
    connection.timer = setTimeout(this.#unanswered, Math.min(mqtt.jsApiTimeoutMs, TIMER_MAX_MS), connection);
    const record = this.#record.begin(MAIL_CONNECT, connection.cid).u32(this.#shard.thread);
    record.u32(connection.account.index).text(Buffer.from(peer.clientId, 'utf8').toString('latin1'));
    record
      .u8(packet.cleanStart ? 1 : 0)
      .u32(peer.sessionExpirySeconds)
      .u32(window)
      .u8(peer.persistent ? 1 : 0)
      .u32(ackWaitMs)
      .text(connection.deliveryFilter);
    this.mail.send(record);
    return PARSE_PAUSED;
  }

  /** The store is stuck: the client may try again. */
  readonly #unanswered = (connection: ClientConnection): void => {
    connection.timer = null;
    if (connection.closed) return;
    const { jsApiTimeoutMs } = this.#shard.options.mqtt!;
    this.#shard.log(
      'error',
      `${connection.label} - unable to connect: the store has not answered for ${jsApiTimeoutMs} ms`,
    );
    this.refuse(connection, REASON.serverUnavailable, CLOSE_REASON.serverShutdown);
  };

  /** The engine has the session: CONNACK, and from now on everything else. */
  connected(connection: ClientConnection, sessionPresent: boolean): void {
    const peer = connection.mqtt!;
    const level = peer.level === MQTT_5 ? MQTT_5 : 4;
    const packet = connack(level, sessionPresent, RETURN_CODE.accepted, this.#connackProperties(peer));
    // Without what stands in it the client would not know the session it has.
    if (isTooLong(peer, packet)) {
      this.refuse(connection, REASON.packetTooLarge, CLOSE_REASON.protocolViolation);
      return;
    }
    if (connection.timer !== null) clearTimeout(connection.timer);
    connection.timer = null;
    peer.connecting = false;
    peer.connected = true;
    this.send(connection, packet);
    peer.lastInputMs = Date.now();
    if (peer.keepAliveMs > 0) connection.timer = setTimeout(this.#keepAlive, peer.keepAliveMs, connection);
    this.#shard.input.resume(connection);
  }

  #connackProperties(peer: MqttPeer): ConnackProperties {
    const properties: ConnackProperties = {
      receiveMaximum: RECEIVE_MAXIMUM,
      maximumPacketBytes: peer.maxPacketBytes,
      topicAliasMaximum: TOPIC_ALIAS_MAX,
    };
    if (this.#shard.options.mqtt!.rejectQos2Publish) properties.maximumQos = 1;
    if (peer.assignedClientId !== '') properties.assignedClientId = peer.assignedClientId;
    if (peer.sessionExpiryCapped) properties.sessionExpirySeconds = peer.sessionExpirySeconds;
    return properties;
  }

  #newClientId(): string {
    let id = '';
    for (let i = 0; i < CLIENT_ID_LENGTH; i++)
      id += CLIENT_ID_CHARACTERS[this.#shard.random.below(CLIENT_ID_CHARACTERS.length)];
    return id;
  }

  /** Refuses a CONNECT: CONNACK where the version has a code for it, then the end. [MQTT-3.2.2-4] */
  refuse(connection: ClientConnection, reason: number, closeReason: CloseReason): number {
    const peer = connection.mqtt!;
    const code = peer.level === MQTT_5 ? reason : returnCodeOf(reason);
    if (peer.level !== 0 && code >= 0) this.send(connection, connack(peer.level, false, code));
    peer.will = null;
    peer.farewellSaid = true;
    return this.#close(connection, closeReason);
  }

  /** Looks whether the client has been silent for one and a half times its keep alive. [MQTT-3.1.2-22] (3.1.1: -24) */
  readonly #keepAlive = (connection: ClientConnection): void => {
    connection.timer = null;
    if (connection.closed) return;
    const { keepAliveMs, level, lastInputMs } = connection.mqtt!;
    const leftMs = lastInputMs + keepAliveMs - Date.now();
    if (leftMs > 0) {
      connection.timer = setTimeout(this.#keepAlive, leftMs, connection);
      return;
    }
    this.#shard.countStale();
    // Of 3.1.1 there is nothing to be said to the client.
    const reason = level === MQTT_5 ? CLOSE_REASON.staleConnection : CLOSE_REASON.readError;
    this.end(connection, REASON.keepAliveTimeout, reason);
  };

  // The other packets

  publish(connection: ClientConnection, parser: MqttParser<ClientConnection>): number {
    return this.publisher.publish(connection, parser);
  }

  subscribe(connection: ClientConnection, packet: SubscribePacket): number {
    return this.subscriptions.subscribe(connection, packet);
  }

  unsubscribe(connection: ClientConnection, packet: UnsubscribePacket): number {
    return this.subscriptions.unsubscribe(connection, packet);
  }

  ping(connection: ClientConnection): number {
    this.send(connection, PINGRESP_PACKET);
    return PARSE_MORE;
  }

  acknowledge(connection: ClientConnection, type: number, packetId: number, reason: number): number {
    const peer = connection.mqtt!;
    if (type === PUBREL) return this.#release(connection, peer, packetId);
    if (peer.persistent) {
      if (this.mail.isBlocked) return PARSE_BLOCKED;
      this.mailAcknowledge(connection, type, packetId, reason);
      return PARSE_MORE;
    }
    const inflight = peer.inflight?.get(packetId);
    if (type === PUBREC && reason < REASON.unspecifiedError) {
      if (inflight !== undefined) {
        inflight.released = true;
        inflight.sentMs = this.#shard.nowMs;
        forgetPacket(peer, inflight);
      }
      this.sendAcknowledgement(
        connection,
        PUBREL,
        packetId,
        inflight === undefined ? REASON.packetIdentifierNotFound : REASON.success,
      );
      return PARSE_MORE;
    }
    const ends = inflight !== undefined && (inflight.qos === 1 ? type === PUBACK : type !== PUBACK);
    if (ends) {
      peer.inflight!.delete(packetId);
      forgetPacket(peer, inflight);
      releaseWaiting(peer, this.#shard.nowMs);
    }
    return PARSE_MORE;
  }

  /** The second half of a QoS 2 PUBLISH of the client. */
  #release(connection: ClientConnection, peer: MqttPeer, packetId: number): number {
    if (peer.persistent) {
      if (this.mail.isBlocked) return PARSE_BLOCKED;
      this.mailAcknowledge(connection, PUBREL, packetId, REASON.success);
      return PARSE_MORE;
    }
    const known = peer.received?.delete(packetId) === true;
    const reason = known ? REASON.success : REASON.packetIdentifierNotFound;
    this.sendAcknowledgement(connection, PUBCOMP, packetId, reason);
    return PARSE_MORE;
  }

  /** Tells the engine of an acknowledgement. */
  mailAcknowledge(connection: ClientConnection, type: number, packetId: number, reason: number): void {
    this.mail.begin(MAIL_ACKNOWLEDGE, connection.cid).u8(type).u32(packetId).u8(reason);
    this.mail.end();
  }

  /** Sends PUBACK, PUBREC, PUBREL or PUBCOMP. */
  sendAcknowledgement(connection: ClientConnection, type: number, packetId: number, reason: number): void {
    if (reason !== REASON.success && connection.mqtt!.level === MQTT_5) {
      this.send(connection, acknowledgement(MQTT_5, type, packetId, reason));
      return;
    }
    const packet = this.#shortAcknowledgement;
    packet[0] = (type << 4) | (type === PUBREL ? 2 : 0);
    packet[2] = packetId >> 8;
    packet[3] = packetId;
    this.send(connection, packet);
  }

  disconnect(connection: ClientConnection, reason: number, sessionExpirySeconds: number): number {
    const peer = connection.mqtt!;
    // Clause 3.14.2.2.2: what ends with the connection can't be kept afterwards.
    if (sessionExpirySeconds > 0 && peer.sessionExpirySeconds === 0)
      return this.violation(connection, REASON.protocolError, 'a session that ends now can not be kept');
    if (sessionExpirySeconds >= 0) peer.sessionExpirySeconds = sessionExpirySeconds;
    // [MQTT-3.14.4-3]
    if (reason === REASON.success) peer.will = null;
    peer.farewellSaid = true;
    return this.#close(connection, CLOSE_REASON.clientClosed);
  }

  /** No method of enhanced authentication is offered, so none was begun. [MQTT-4.12.0-6] */
  authenticate(connection: ClientConnection): number {
    return this.violation(connection, REASON.protocolError, 'AUTH without enhanced authentication');
  }

  // The end

  violation(connection: ClientConnection, reason: number, text: string, type = 0, level = 0): number {
    const peer = connection.mqtt!;
    const where = type === 0 ? '' : ` (${packetName(type)})`;
    this.#shard.log('error', `${connection.label} - ${text}${where}`);
    const closeReason =
      reason === REASON.packetTooLarge ? CLOSE_REASON.maximumPayloadExceeded : CLOSE_REASON.protocolViolation;
    if (peer.connected) return this.end(connection, reason, closeReason);
    if (level === MQTT_5 && peer.level === 0) this.send(connection, connack(MQTT_5, false, reason));
    // A level nobody knows is answered in the form that every version has. [MQTT-3.1.2-2]
    else if (reason === REASON.unsupportedProtocolVersion)
      this.send(connection, connack(4, false, RETURN_CODE.unacceptableProtocolVersion));
    else if (reason === REASON.clientIdentifierNotValid && peer.level === 0)
      this.send(connection, connack(4, false, RETURN_CODE.identifierRejected));
    peer.will = null;
    return this.#close(connection, closeReason);
  }

  /** Ends a connection with a DISCONNECT, where the version has one for servers. */
  end(connection: ClientConnection, reason: number, closeReason: CloseReason): number {
    const peer = connection.mqtt!;
    if (!peer.farewellSaid && peer.connected && peer.level === MQTT_5)
      this.send(connection, disconnect(reason));
    peer.farewellSaid = true;
    return this.#close(connection, closeReason);
  }

  #close(connection: ClientConnection, reason: CloseReason): number {
    this.#shard.close(connection, reason);
    return PARSE_CLOSED;
  }

  /** The connection is about to close for a reason that isn't the protocol's. */
  closing(connection: ClientConnection, reason: CloseReason): void {
    const peer = connection.mqtt!;
    if (peer.farewellSaid || !peer.connected || peer.level !== MQTT_5) return;
    peer.farewellSaid = true;
    const code = FAREWELLS.get(reason);
    if (code !== undefined) this.send(connection, disconnect(code));
  }

  /** The connection is closed: its will, and the engine is told. */
  ended(connection: ClientConnection): void {
    const peer = connection.mqtt!;
    this.login.forget(connection);
    this.#redelivery.forget(connection);
    if (!peer.connected && !peer.connecting) return;
    this.#shard.needTurn();
    const isKept = peer.persistent && peer.sessionExpirySeconds > 0;
    const isDelayed = peer.will !== null && isKept && peer.will.delaySeconds > 0;
    const message = isDelayed ? this.publisher.willMessage(connection) : null;
    const record = this.#record.begin(MAIL_CLOSE, connection.cid);
    record.u32(peer.sessionExpirySeconds).u8(message === null ? 0 : 1);
    if (message !== null) {
      const { qos, retain, delaySeconds } = peer.will!;
      record
        .u32(delaySeconds)
        .u8(qos)
        .u8(retain ? 1 : 0)
        .message(message);
    }
    this.mail.send(record);
    // A will that never was promised is not published: CONNACK came too late for it.
    if (peer.will !== null && peer.connected && !isDelayed) this.publisher.publishWill(connection);
    peer.will = null;
  }

  /** The user's permissions may have changed: the engine is told, and subscriptions that are not allowed any more end. */
  dropForbidden(connection: ClientConnection): void {
    if (connection.mqtt!.persistent)
      this.mail.send(this.#record.begin(MAIL_DENY, connection.cid).text(connection.deliveryFilter));
    this.subscriptions.dropForbidden(connection);
  }

  /** Sends a packet, if the client takes one of its length. */
  send(connection: ClientConnection, packet: Uint8Array): void {
    if (isTooLong(connection.mqtt!, packet)) return;
    connection.outbox.append(packet, 0, packet.length);
  }
}

/** Whether a client takes no packet of this length. [MQTT-3.1.2-24] */
function isTooLong({ clientMaxPacketBytes }: MqttPeer, packet: Uint8Array): boolean {
  return clientMaxPacketBytes > 0 && packet.length > clientMaxPacketBytes;
}

/** What a 5.0 client is told when its connection ends for one of these reasons. */
const FAREWELLS: ReadonlyMap<CloseReason, number> = new Map<CloseReason, number>([
  [CLOSE_REASON.serverShutdown, REASON.serverShuttingDown],
  [CLOSE_REASON.maximumConnectionsExceeded, REASON.quotaExceeded],
  [CLOSE_REASON.maximumAccountConnectionsExceeded, REASON.quotaExceeded],
  [CLOSE_REASON.maximumSubscriptionsExceeded, REASON.quotaExceeded],
  [CLOSE_REASON.maximumPayloadExceeded, REASON.packetTooLarge],
  [CLOSE_REASON.authenticationFailure, REASON.notAuthorized],
]);
