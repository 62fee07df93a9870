import { hashLatin1, latin1, latin1Bytes } from '../../../shared/base/latin1.ts';
import { PARSE_BLOCKED, PARSE_MORE, PARSE_PAUSED } from '../../../shared/base/parse-outcome.ts';
import type { Route } from '../../../shared/broker/route.ts';
import { BLOCKED } from '../../../shared/broker/router.ts';
import { MAIL_PUBLISH, type MailWriter } from '../../../shared/mqtt/mail.ts';
import {
  type NatsParts,
  natsParts,
  PLAIN_HEADERS,
  PLAIN_QOS_OFFSET,
} from '../../../shared/mqtt/message-headers.ts';
import type { MqttPeer } from '../../../shared/mqtt/peer.ts';
import { PublicationFrame } from '../../../shared/mqtt/publication.ts';
import { RECEIVE_MAXIMUM, TOPIC_ALIAS_MAX } from '../../../shared/protocol/mqtt/limits.ts';
import { MQTT_5, PUBACK, PUBREC } from '../../../shared/protocol/mqtt/packet-types.ts';
import type { MqttParser } from '../../../shared/protocol/mqtt/parser.ts';
import { PROPERTY, PropertyBlock } from '../../../shared/protocol/mqtt/properties.ts';
import { REASON } from '../../../shared/protocol/mqtt/reason-codes.ts';
import { SUBJECT_MAX_BYTES, writeSubject } from '../../../shared/protocol/mqtt/topic-mapping.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import type { EngineMail } from './engine-mail.ts';
import type { MqttSession } from './mqtt-session.ts';

/**
 * PUBLISH from a client, and wills (mqtt.md §6, §10).
 *
 * The message goes to everybody who listens now, as any NATS message does. With QoS 1 and 2, and with RETAIN, it also
 * goes to the engine, which keeps it for sessions that are away and answers when it is on the disk: only then the client
 * gets its PUBACK or PUBREC. Where a session that is kept is to get it as the member of a shared subscription, the engine is told
 * so with the message and picks the session: the step that takes in the message stores the copy, and the answer tells of both.
 */

/** Subjects that clients of no protocol may publish to. */
const RESERVED_REPLIES = ['$JS.ACK.', '_GR_.', '_R_.'];
/** By QoS: what a PUBLISH without properties has. */
const PLAIN_PARTS: readonly NatsParts[] = [0, 1, 2].map((qos) => {
  const headers = Uint8Array.from(PLAIN_HEADERS);
  headers[PLAIN_QOS_OFFSET] = 0x30 + qos;
  return { headers, reply: '' };
});

export class MqttPublisher {
  readonly #shard: Shard;
  readonly #session: MqttSession;
  readonly #mail: EngineMail;
  readonly #frames = new PublicationFrame();
  readonly #subject = new Uint8Array(SUBJECT_MAX_BYTES);

  constructor(shard: Shard, session: MqttSession, mail: EngineMail) {
    this.#shard = shard;
    this.#session = session;
    this.#mail = mail;
  }

  publish(connection: ClientConnection, parser: MqttParser<ClientConnection>): number {
    const peer = connection.mqtt!;
    const { qos, retain } = parser;
    if (qos === 2 && this.#shard.options.mqtt!.rejectQos2Publish) {
      const text = 'QoS=2 is disabled for PUBLISH messages';
      return this.#session.violation(connection, REASON.qosNotSupported, text);
    }
    if ((qos > 0 || retain) && this.#mail.isBlocked) return PARSE_BLOCKED;
    const failure = this.#findSubject(peer, parser);
    if (failure !== 0)
      return this.#session.violation(connection, failure, 'the topic can not be published to');
    if (qos === 2 && this.#isRepeated(connection, peer, parser.packetId)) return PARSE_MORE;
    if (qos > 0 && peer.level === MQTT_5 && peer.unanswered >= RECEIVE_MAXIMUM)
      return this.#session.violation(connection, REASON.receiveMaximumExceeded, 'receive maximum exceeded');
    const { properties } = parser;
    const parts =
      properties.isEmpty && !retain
        ? PLAIN_PARTS[qos]!
        : natsParts(qos, retain, properties, this.#shard.nowMs);
    const total = parts.headers.length + parser.payloadEnd - parser.payloadStart;
    if (connection.maxPayloadBytes >= 0 && total > connection.maxPayloadBytes) {
      const text = `maximum payload exceeded: ${total} vs ${connection.maxPayloadBytes}`;
      return this.#session.violation(connection, REASON.packetTooLarge, text);
    }
    return this.#deliver(connection, peer, parser, parts);
  }

  readonly #random = (): number => this.#shard.random.unit();

  /** A QoS 2 PUBLISH that was taken before: it is only acknowledged again, and not before the first one was. */
  #isRepeated(connection: ClientConnection, peer: MqttPeer, packetId: number): boolean {
    const answered = peer.received?.get(packetId);
    if (answered === undefined) return false;
    if (answered) this.#session.sendAcknowledgement(connection, PUBREC, packetId, REASON.success);
    return true;
  }

  #deliver(
    connection: ClientConnection,
    peer: MqttPeer,
    parser: MqttParser<ClientConnection>,
    parts: NatsParts,
  ): number {
    const { qos, retain, packetId, bytes, payloadStart, payloadEnd } = parser;
    const { account } = connection;
    const route = this.#route(connection, peer);
    if (!this.#isAllowed(connection, route, parts.reply)) return this.#denied(connection, qos, packetId);
    const subject = account.mappings === null ? peer.lastSubject : latin1Bytes(route.subject);
    const hash = account.mappings === null ? peer.lastSubjectHash : hashLatin1(route.subject);
    const frame = this.#frames.build(
      subject,
      hash,
      parts.reply,
      parts.headers,
      bytes,
      payloadStart,
      payloadEnd,
    );
    const isMailed = qos > 0 || retain;
    // A route that isn't kept is good until the next one is looked for.
    const routedSubject = isMailed ? route.subject : '';
    frame.passesKept = qos > 0;
    const { router } = this.#shard;
    if (router.publish(account, route, connection, frame) === BLOCKED) return PARSE_BLOCKED;
    if (isMailed) {
      const payload = bytes.subarray(payloadStart, payloadEnd);
      this.#mailPublish(connection, routedSubject, parts, payload, qos, retain, packetId);
      if (qos > 0) peer.unanswered++;
      if (qos === 2) {
        peer.received ??= new Map();
        peer.received.set(packetId, false);
      }
    }
    connection.inMsgs++;
    connection.inBytes += frame.payloadBytes;
    // A 3.1.1 client knows no Receive Maximum: it isn't read until the disk has caught up.
    if (peer.unanswered < RECEIVE_MAXIMUM || peer.level === MQTT_5) return PARSE_MORE;
    peer.awaitsAnswers = true;
    return PARSE_PAUSED;
  }

  /** The route of the last topic, mapped where the account maps subjects. */
  #route(connection: ClientConnection, peer: MqttPeer): Route {
    const { account } = connection;
    if (account.mappings !== null) {
      const subject = latin1(peer.lastSubject, 0, peer.lastSubject.length);
      return account.routeOf(account.mappings.map(subject, this.#random) ?? subject);
    }
    const known = peer.lastRoute;
    if (known !== null && !known.stale && known.generation === account.generation) return known;
    const route = account.route(peer.lastSubjectHash, peer.lastSubject, 0, peer.lastSubject.length);
    peer.lastRoute = route;
    return route;
  }

  #isAllowed(connection: ClientConnection, route: Route, reply: string): boolean {
    const { permissions } = connection;
    const isReserved = route.reserved || RESERVED_REPLIES.some((prefix) => reply.startsWith(prefix));
    if (!isReserved && (permissions === null || route.permits(permissions))) return true;
    this.#shard.log('error', `${connection.label} - Publish Violation - Subject "${route.subject}"`);
    return false;
  }

  /** 3.1.1 has no way to say it: the message is acknowledged and dropped (mqtt.md §6). */
  #denied(connection: ClientConnection, qos: number, packetId: number): number {
    if (qos === 0) return PARSE_MORE;
    const type = qos === 1 ? PUBACK : PUBREC;
    this.#session.sendAcknowledgement(connection, type, packetId, REASON.notAuthorized);
    return PARSE_MORE;
  }

  #mailPublish(
    connection: ClientConnection,
    subject: string,
    parts: NatsParts,
    payload: Uint8Array,
    qos: number,
    retain: boolean,
    packetId: number,
  ): void {
    const record = this.#mail.begin(MAIL_PUBLISH, connection.cid).u32(connection.account.index);
    record
      .u8(qos)
      .u8(retain ? 1 : 0)
      .u32(packetId);
    this.#addGroups(record, qos);
    record.text(subject).text(parts.reply).bytes(parts.headers).bytes(payload);
    this.#mail.end();
  }

  /** Says who is to get the message in each queue group: of QoS 0 that is done. */
  #addGroups(record: MailWriter, qos: number): void {
    const { keptGroups, servedGroups } = this.#shard.router;
    if (qos === 0 || keptGroups.length + servedGroups.length === 0) {
      record.u32(0);
      return;
    }
    record.u32(keptGroups.length + servedGroups.length);
    for (const name of keptGroups) record.u8(0).text(name);
    for (const name of servedGroups) record.u8(1).text(name);
  }

  /** Finds the subject of the PUBLISH and leaves it in the peer. @returns a reason code, 0 when all is well */
  #findSubject(peer: MqttPeer, parser: MqttParser<ClientConnection>): number {
    const { bytes, topicStart, topicEnd, properties } = parser;
    let topic = bytes;
    let [start, end] = [topicStart, topicEnd];
    if (properties.has(PROPERTY.topicAlias)) {
      const alias = properties.number(PROPERTY.topicAlias, 0);
      if (alias > TOPIC_ALIAS_MAX) return REASON.topicAliasInvalid;
      if (start < end) {
        peer.incomingAliases ??= new Map();
        peer.incomingAliases.set(alias, bytes.slice(start, end));
      } else {
        const known = peer.incomingAliases?.get(alias);
        if (known === undefined) return REASON.protocolError;
        topic = known;
        [start, end] = [0, known.length];
      }
    }
    if (isSame(peer.lastTopic, topic, start, end)) return 0;
    const subjectEnd = writeSubject(topic, start, end, this.#subject, 0, false);
    if (subjectEnd < 0) return REASON.topicNameInvalid;
    peer.lastTopic = topic.slice(start, end);
    peer.lastSubject = this.#subject.slice(0, subjectEnd);
    peer.lastSubjectHash = hashLatin1(latin1(this.#subject, 0, subjectEnd));
    peer.lastRoute = null;
    return 0;
  }

  /** Publishes the will of a connection that has ended. */
  publishWill(connection: ClientConnection): void {
    const message = this.willMessage(connection);
    if (message === null) return;
    const { account } = connection;
    const { qos, retain } = connection.mqtt!.will!;
    const route = account.routeOf(message.subject);
    if (!this.#isAllowed(connection, route, message.reply)) return;
    const subject = latin1Bytes(message.subject);
    const hash = hashLatin1(message.subject);
    const { reply, headers, payload } = message;
    const frame = this.#frames.build(subject, hash, reply, headers, payload, 0, payload.length);
    frame.passesKept = qos > 0;
    const { router } = this.#shard;
    router.publish(account, route, connection, frame);
    if (qos === 0 && !retain) return;
    this.#mailPublish(connection, message.subject, message, payload, qos, retain, 0);
  }

  /** The will as a message, or null when its topic has no subject. */
  willMessage(connection: ClientConnection): (NatsParts & { subject: string; payload: Uint8Array }) | null {
    const will = connection.mqtt!.will!;
    const end = writeSubject(will.topic, 0, will.topic.length, this.#subject, 0, false);
    if (end < 0) return null;
    const { account } = connection;
    const topicSubject = latin1(this.#subject, 0, end);
    const subject = account.mappings?.map(topicSubject, this.#random) ?? topicSubject;
    const block = new PropertyBlock();
    block.load(will.properties);
    const parts = natsParts(will.qos, will.retain, block, Date.now());
    return { ...parts, subject, payload: will.payload };
  }

  /** Whether a subject can stand for the topic; a will without one is refused with its CONNECT. */
  isWillPossible(topic: Uint8Array): boolean {
    return writeSubject(topic, 0, topic.length, this.#subject, 0, false) >= 0;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
