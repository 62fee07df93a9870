import { copyBytes } from '../base/copy-bytes.ts';
import { latin1 } from '../base/latin1.ts';
import { WORD_COPY_MAX_BYTES, WORD_SLACK_BYTES } from '../base/limits.ts';
import type { MessageFrame } from '../base/message-frame.ts';
import type { Route } from '../broker/route.ts';
import type { DeliveryEncoder, Subscriber, Subscription } from '../broker/subscription.ts';
import { OUTGOING_ALIAS_MAX } from '../protocol/mqtt/limits.ts';
import {
  FLAG_DUP,
  FLAG_RETAIN,
  MQTT_5,
  PUBLISH,
  REMAINING_LENGTH_MAX,
} from '../protocol/mqtt/packet-types.ts';
import { PROPERTY } from '../protocol/mqtt/properties.ts';
import { topicOfSubject, writeTopicOf } from '../protocol/mqtt/topic-mapping.ts';
import { ByteWriter, varintBytes } from '../protocol/mqtt/writer.ts';
import type { MailMessage } from './mail.ts';
import { MessageMeaning } from './message-headers.ts';
import type { InflightPublish, MqttPeer, TopicSubscription, WaitingPublish } from './peer.ts';

/**
 * From a NATS message to the PUBLISH packets of MQTT subscribers.
 *
 * A message goes to many subscribers: what its headers mean and its topic are worked out once. Then each gets
 * a head of its own and a copy of the payload, straight into its outbox.
 *
 * QoS 1 and 2 go this way only to sessions that end with their connection: there is nothing to be kept for them. For
 * sessions that are kept the engine delivers (engine.ts), and this way passes them over. Who gets a message of a shared
 * subscription is decided here, so the engine is handed what is for a session of its own.
 */

/** Bytes that may wait for a client whose window is full. */
const WAITING_MAX_BYTES = 64 * 1024 * 1024;
/** Packets up to here are put together once for all who get the same. */
const PLAIN_MAX_BYTES = 4096;
const FIXED_HEADER_MAX_BYTES = 5;
const NO_TOPIC = new Uint8Array(0);
const PACKET_ID_MAX = 65_535;

/** RETAIN of what `MqttEncoder.send` sends. */
export const RETAIN_CLEAR = 0;
export const RETAIN_SET = 1;
export const RETAIN_AS_PUBLISHED = 2;

export interface EncoderClock {
  /** Unix milliseconds; good enough for expiry. */
  readonly nowMs: number;
}

/** A PUBLISH of QoS 0 that is the same for many subscribers. */
interface PlainPacket {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The message it is of. */
  number: number;
  topic: Uint8Array;
  remaining: number;
  length: number;
}

function plainPacket(): PlainPacket {
  const bytes = new Uint8Array(PLAIN_MAX_BYTES + FIXED_HEADER_MAX_BYTES + WORD_SLACK_BYTES);
  return { bytes, view: new DataView(bytes.buffer), number: -1, topic: NO_TOPIC, remaining: -1, length: 0 };
}

export class MqttEncoder implements DeliveryEncoder {
  readonly #clock: EncoderClock;
  readonly #meaning = new MessageMeaning();
  readonly #properties = new ByteWriter();
  readonly #head = new ByteWriter();
  #number = -1;
  #topic: Uint8Array = new Uint8Array(0);
  #subject = '';
  /** The last message that `send` was given, as the next one often is on the same subject. */
  #sentSubject = '';
  #sentTopic: Uint8Array = new Uint8Array(0);
  #sentBytes = new Uint8Array(1024);
  #isDollar = false;
  /** -1: expired; 0: never expires. */
  #expirySeconds = 0;
  /** The payload is `#source[#start, #end)`. */
  #source: Uint8Array = NO_TOPIC;
  /** Of the same memory, with some bytes behind the payload; null: not at hand. */
  #sourceView: DataView | null = null;
  readonly #plain4 = plainPacket();
  readonly #plain5 = plainPacket();
  #start = 0;
  #end = 0;

  constructor(clock: EncoderClock) {
    this.#clock = clock;
  }

  deliver(
    route: Route,
    subscription: Subscription,
    frame: MessageFrame,
    publisher: Subscriber | null,
    number: number,
  ): void {
    const topic = subscription.attachment as TopicSubscription;
    if (this.#number !== number) this.#examine(route, frame, number);
    const { peer } = topic;
    if ((this.#isDollar && topic.skipsDollar) || this.#expirySeconds < 0) return;
    if (topic.noLocal && publisher === subscription.subscriber) return;
    const qos = Math.min(this.#meaning.qos, topic.qos);
    // The engine has the message too, and delivers it to those whose session it keeps.
    if (qos > 0 && peer.persistent && !topic.isShared) return;
    const retain = topic.retainAsPublished && this.#meaning.retain;
    if (qos > 0 && peer.persistent) {
      peer.host.keep(this.#message(frame), qos, retain, topic.subscriptionId);
      return;
    }
    const subscriber = subscription.subscriber;
    if (qos === 0 && !retain && this.#isPlain(peer, topic) && this.#appendPlain(peer)) {
      subscriber.outBytes += this.#end - this.#start;
      return;
    }
    const bytes = this.#write(peer, topic.subscriptionId, qos, retain, -1, false);
    subscriber.outBytes += bytes;
  }

  /**
   * Sends one message to one client: retained ones, and what the engine delivers.
   *
   * @param retain RETAIN_…
   * @param packetId -1: of the peer's own numbering
   */
  send(
    peer: MqttPeer,
    subject: string,
    reply: string,
    headers: Uint8Array,
    payload: Uint8Array,
    qos: number,
    retain: number,
    subscriptionIds: readonly number[],
    packetId: number,
    dup: boolean,
  ): boolean {
    this.#number = -1;
    this.#meaning.read(headers, reply);
    if (this.#sentSubject !== subject) {
      this.#sentSubject = subject;
      if (subject.length > this.#sentBytes.length) this.#sentBytes = new Uint8Array(subject.length * 2);
      this.#sentTopic = this.#sentBytes.subarray(0, writeTopicOf(subject, this.#sentBytes));
    }
    this.#subject = subject;
    this.#topic = this.#sentTopic;
    this.#source = payload;
    this.#sourceView = null;
    this.#start = 0;
    this.#end = payload.length;
    this.#expirySeconds = this.#remaining();
    // [MQTT-4.3.3-7]: once it was sent, QoS 2 doesn't expire.
    if (this.#expirySeconds < 0 && !(dup && qos === 2)) return false;
    const retained = retain === RETAIN_SET || (retain === RETAIN_AS_PUBLISHED && this.#meaning.retain);
    for (let i = 1; i < subscriptionIds.length; i++) this.#meaning.addSubscriptionId(subscriptionIds[i]!);
    return this.#write(peer, subscriptionIds[0] ?? 0, qos, retained, packetId, dup) > 0;
  }

  /** Whether a subscriber gets the very packet that all others of its kind get. */
  #isPlain(peer: MqttPeer, topic: TopicSubscription): boolean {
    if (peer.clientMaxPacketBytes > 0) return false;
    if (peer.level !== MQTT_5) return true;
    if (topic.subscriptionId !== 0 || peer.topicAliasMaximum !== 0) return false;
    return this.#expirySeconds === 0 && this.#meaning.properties.length === 0;
  }

  #message(frame: MessageFrame): MailMessage {
    const { bytes, payloadStart, tailStart, replyBytes } = frame;
    const headers = bytes.subarray(payloadStart, this.#start);
    const reply = latin1(bytes, tailStart, tailStart + replyBytes);
    return { subject: this.#subject, reply, headers, payload: bytes.subarray(this.#start, this.#end) };
  }

  /** @returns false when the packet is too large for this way */
  #appendPlain(peer: MqttPeer): boolean {
    const packet = peer.level === MQTT_5 ? this.#plain5 : this.#plain4;
    if (packet.number !== this.#number && !this.#composePlain(packet)) return false;
    const { outbox } = peer.host;
    const { bytes, view, length } = packet;
    if (outbox.position + length > outbox.limit) outbox.reserve(length);
    const at = outbox.position;
    if (length > WORD_COPY_MAX_BYTES) copyBytes(outbox.bytes, at, bytes, 0, length);
    else {
      const target = outbox.view;
      for (let i = 0; i < length; i += 4) target.setInt32(at + i, view.getInt32(i, true), true);
    }
    outbox.position = at + length;
    outbox.touch();
    return true;
  }

  #composePlain(packet: PlainPacket): boolean {
    const topic = this.#topic;
    const propertyBytes = packet === this.#plain5 ? 1 : 0;
    const payloadBytes = this.#end - this.#start;
    const headBytes = 2 + topic.length + propertyBytes;
    const remaining = headBytes + payloadBytes;
    if (remaining > PLAIN_MAX_BYTES) return false;
    const { bytes } = packet;
    if (packet.topic !== topic || packet.remaining !== remaining) {
      const head = this.#head.reset().byte(PUBLISH << 4);
      head.varint(remaining).binary(topic);
      if (propertyBytes > 0) head.byte(0);
      bytes.set(head.bytes.subarray(0, head.length));
      packet.topic = topic;
      packet.remaining = remaining;
      packet.length = head.length + payloadBytes;
    }
    const source = this.#source;
    const [from, to] = [this.#start, packet.length - payloadBytes];
    if (payloadBytes > WORD_COPY_MAX_BYTES) copyBytes(bytes, to, source, from, this.#end);
    else if (this.#sourceView === null)
      for (let i = 0; i < payloadBytes; i++) bytes[to + i] = source[from + i]!;
    else {
      const [words, target] = [this.#sourceView, packet.view];
      for (let i = 0; i < payloadBytes; i += 4) target.setInt32(to + i, words.getInt32(from + i, true), true);
    }
    packet.number = this.#number;
    return true;
  }

  /** Works out what all subscribers of the message have in common. */
  #examine(route: Route, frame: MessageFrame, number: number): void {
    this.#number = number;
    const { bytes, payloadStart, tailStart, replyBytes } = frame;
    const headerBytes = Math.max(frame.headerBytes, 0);
    if (replyBytes !== 0 || !this.#meaning.readPlain(bytes, payloadStart, headerBytes)) {
      const reply = latin1(bytes, tailStart, tailStart + replyBytes);
      this.#meaning.read(bytes.subarray(payloadStart, payloadStart + headerBytes), reply);
    }
    route.mqttTopic ??= topicOfSubject(route.subject);
    this.#topic = route.mqttTopic;
    this.#subject = route.subject;
    this.#isDollar = route.subject.charCodeAt(0) === 0x24;
    this.#source = bytes;
    this.#sourceView = frame.view;
    this.#start = payloadStart + headerBytes;
    this.#end = payloadStart + frame.payloadBytes;
    this.#expirySeconds = this.#remaining();
  }

  #remaining(): number {
    const { expiresAtMs } = this.#meaning;
    if (expiresAtMs === 0) return 0;
    const remainingMs = expiresAtMs - this.#clock.nowMs;
    return remainingMs <= 0 ? -1 : Math.ceil(remainingMs / 1000);
  }

  /** @returns bytes of the payload when it was written or waits for the window, 0 when the client can't take it */
  #write(
    peer: MqttPeer,
    subscriptionId: number,
    qos: number,
    retain: boolean,
    packetId: number,
    dup: boolean,
  ): number {
    const properties = this.#properties.reset();
    let topic = this.#topic;
    if (peer.level === MQTT_5) topic = this.#addProperties(peer, properties, subscriptionId, qos);
    const topicBytes = topic.length;
    if (topicBytes > 0xffff) return 0;
    const propertyBytes = peer.level === MQTT_5 ? varintBytes(properties.length) + properties.length : 0;
    const remaining = 2 + topicBytes + (qos > 0 ? 2 : 0) + propertyBytes + this.#end - this.#start;
    const total = 1 + varintBytes(remaining) + remaining;
    const limit = peer.clientMaxPacketBytes;
    // [MQTT-3.1.2-25]: as if it had been delivered.
    if (remaining > REMAINING_LENGTH_MAX || (limit > 0 && total > limit)) return 0;
    const head = this.#head.reset();
    head.byte((PUBLISH << 4) | (qos << 1) | (retain ? FLAG_RETAIN : 0) | (dup ? FLAG_DUP : 0));
    head.varint(remaining).binary(topic);
    const packetIdAt = head.length;
    if (qos > 0) head.u16(0);
    if (peer.level === MQTT_5)
      head.varint(properties.length).raw(properties.bytes.subarray(0, properties.length));
    if (qos > 0 && packetId >= 0) setPacketId(head.bytes, packetIdAt, packetId);
    else if (qos > 0 && !this.#number16(peer, qos, head, packetIdAt)) return this.#end - this.#start + 1;
    this.#append(peer, head);
    return this.#end - this.#start + 1;
  }

  /** @returns the topic, or an empty one where its alias is known to the client */
  #addProperties(peer: MqttPeer, properties: ByteWriter, subscriptionId: number, qos: number): Uint8Array {
    if (subscriptionId > 0) properties.property(PROPERTY.subscriptionId, subscriptionId);
    if (this.#expirySeconds !== 0)
      properties.property(PROPERTY.messageExpiry, Math.max(this.#expirySeconds, 0));
    const shared = this.#meaning.properties;
    properties.raw(shared.bytes.subarray(0, shared.length));
    // What waits for the window may overtake nothing: an alias that isn't sent yet must not be used.
    if (peer.topicAliasMaximum === 0 || qos > 0) return this.#topic;
    peer.outgoingAliases ??= new Map();
    const known = peer.outgoingAliases.get(this.#subject);
    if (known !== undefined) {
      properties.property(PROPERTY.topicAlias, known);
      return NO_TOPIC;
    }
    const next = peer.outgoingAliases.size + 1;
    if (next > Math.min(peer.topicAliasMaximum, OUTGOING_ALIAS_MAX) || peer.clientMaxPacketBytes > 0)
      return this.#topic;
    peer.outgoingAliases.set(this.#subject, next);
    properties.property(PROPERTY.topicAlias, next);
    return this.#topic;
  }

  /** Gives the packet an identifier, or has it wait for room in the window. @returns false when it waits */
  #number16(peer: MqttPeer, qos: number, head: ByteWriter, packetIdAt: number): boolean {
    peer.inflight ??= new Map();
    if (peer.inflight.size < peer.sendWindow && (peer.waiting?.length ?? 0) === 0) {
      const packetId = takePacketId(peer);
      setPacketId(head.bytes, packetIdAt, packetId);
      const packet = peer.ackWaitMs > 0 ? this.#copy(head) : null;
      noteInflight(peer, packetId, qos, packet, this.#clock.nowMs);
      return true;
    }
    const packet = this.#copy(head);
    peer.waiting ??= [];
    peer.waiting.push({ qos, packet, packetIdAt });
    peer.waitingBytes += packet.length;
    if (peer.waitingBytes > WAITING_MAX_BYTES) peer.host.overflow();
    return false;
  }

  #copy(head: ByteWriter): Uint8Array {
    const packet = Buffer.allocUnsafe(head.length + this.#end - this.#start);
    packet.set(head.bytes.subarray(0, head.length));
    copyBytes(packet, head.length, this.#source, this.#start, this.#end);
    return packet;
  }

  #append(peer: MqttPeer, head: ByteWriter): void {
    const { outbox } = peer.host;
    outbox.append(head.bytes, 0, head.length);
    outbox.append(this.#source, this.#start, this.#end);
  }
}

function setPacketId(bytes: Uint8Array, at: number, packetId: number): void {
  bytes[at] = packetId >> 8;
  bytes[at + 1] = packetId & 0xff;
}

/** The next identifier that no PUBLISH under way has; there is one, since the window is smaller than their number. */
function takePacketId(peer: MqttPeer): number {
  const inflight = peer.inflight!;
  let packetId = peer.nextPacketId;
  while (inflight.has(packetId)) packetId = packetId === PACKET_ID_MAX ? 1 : packetId + 1;
  peer.nextPacketId = packetId === PACKET_ID_MAX ? 1 : packetId + 1;
  return packetId;
}

/** @param packet null: not to be sent again. Beyond a bound it isn't either: the client has to come back for it. */
function noteInflight(
  peer: MqttPeer,
  packetId: number,
  qos: number,
  packet: Uint8Array | null,
  nowMs: number,
): void {
  const isKept = packet !== null && peer.inflightBytes + packet.length <= WAITING_MAX_BYTES;
  if (isKept) peer.inflightBytes += packet.length;
  peer.inflight!.set(packetId, { qos, released: false, sentMs: nowMs, packet: isKept ? packet : null });
  if (peer.ackWaitMs > 0) peer.host.awaitAck();
}

/** The packet of a PUBLISH need not be sent again. */
export function forgetPacket(peer: MqttPeer, inflight: InflightPublish): void {
  peer.inflightBytes -= inflight.packet?.length ?? 0;
  inflight.packet = null;
}

/** A PUBLISH was acknowledged: those that wait get its place. */
export function releaseWaiting(peer: MqttPeer, nowMs: number): void {
  const { waiting, inflight } = peer;
  if (waiting === null || inflight === null) return;
  let sent = 0;
  while (sent < waiting.length && inflight.size < peer.sendWindow) {
    const { qos, packet, packetIdAt }: WaitingPublish = waiting[sent++]!;
    const packetId = takePacketId(peer);
    setPacketId(packet, packetIdAt, packetId);
    noteInflight(peer, packetId, qos, peer.ackWaitMs > 0 ? packet : null, nowMs);
    peer.waitingBytes -= packet.length;
    peer.host.outbox.append(packet, 0, packet.length);
  }
  if (sent === waiting.length) peer.waiting = null;
  else if (sent > 0) peer.waiting = waiting.slice(sent);
}
