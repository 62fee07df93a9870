import { PARSE_BLOCKED, PARSE_MORE } from '../../base/parse-outcome.ts';
import { type ConnectPacket, checkResponseTopic, hasWildcard, readConnect } from './connect.ts';
import { CONNECT_MAX_BYTES } from './limits.ts';
import { PacketError } from './packet-error.ts';
import {
  AUTH,
  CONNECT,
  DISCONNECT,
  MQTT_5,
  PINGREQ,
  type ProtocolLevel,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  packetName,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from './packet-types.ts';
import { PROPERTY, PropertyBlock } from './properties.ts';
import { isClientReason, REASON } from './reason-codes.ts';
import { readSubscribe, readUnsubscribe, type SubscribePacket, type UnsubscribePacket } from './subscribe.ts';
import { isMqttUtf8 } from './utf8.ts';

/**
 * Parser of what MQTT clients send, 3.1.1 and 5.0.
 *
 * It works in place on the host's read buffer and takes complete packets only: the host keeps what is left (`parse`
 * returns where it begins) and presents it again in front of the next bytes. The length of a packet is known from its first
 * bytes and compared with what the client may send before anything is kept for it. A PUBLISH is reported as offsets
 * and allocates nothing; other packets are rare and become objects.
 *
 * Everything the specifications forbid ends in `violation` with a reason code: what a client is told, if anything, is the
 * session's business.
 */

/** What the parser needs to know of a connection. */
export interface MqttParserState {
  /** 0 until CONNECT was accepted. */
  level: ProtocolLevel | 0;
  /** Longest packet it may send once it is connected. */
  maxPacketBytes: number;
}

export interface MqttParserClient {
  readonly mqtt: MqttParserState | null;
}

/** What the parser calls. Each returns a PARSE_ value, PARSE_MORE to go on. */
export interface MqttParserSink<C> {
  connect(client: C, packet: ConnectPacket): number;
  /** Offsets are in the parser. */
  publish(client: C, parser: MqttParser<C & MqttParserClient>): number;
  /** PUBACK, PUBREC, PUBREL, PUBCOMP. */
  acknowledge(client: C, type: number, packetId: number, reason: number): number;
  subscribe(client: C, packet: SubscribePacket): number;
  unsubscribe(client: C, packet: UnsubscribePacket): number;
  ping(client: C): number;
  /** @param sessionExpirySeconds -1: not given */
  disconnect(client: C, reason: number, sessionExpirySeconds: number): number;
  authenticate(client: C, reason: number, method: Uint8Array | null, data: Uint8Array | null): number;
  /**
   * The packet breaks the protocol.
   * @param type 0 when even that is unknown
   * @param level of a broken CONNECT, 0 when it isn't known
   */
  violation(client: C, reason: number, text: string, type: number, level: number): number;
}

/** Low nibble each type must have; -1: any (PUBLISH), -2: the server alone sends it. [MQTT-2.1.3-1] (3.1.1: 2.2.2-1) */
const FLAGS = [-2, 0, -2, -1, 0, 0, 2, 0, 2, -2, 2, -2, 0, -2, 0, 0];

export class MqttParser<C extends MqttParserClient> {
  outcome = PARSE_MORE;
  /** Length of the packet at the returned offset; 0 while it isn't known. */
  neededBytes = 0;
  // The PUBLISH being reported
  bytes: Uint8Array = new Uint8Array(0);
  topicStart = 0;
  topicEnd = 0;
  qos = 0;
  retain = false;
  dup = false;
  /** 0 for QoS 0. */
  packetId = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** Empty for 3.1.1. */
  readonly properties = new PropertyBlock();
  readonly #sink: MqttParserSink<C>;
  #bodyStart = 0;

  constructor(sink: MqttParserSink<C>) {
    this.#sink = sink;
  }

  /**
   * Parses `bytes[start, end)`.
   * @returns where the first packet begins that wasn't taken
   */
  parse(client: C, bytes: Uint8Array, start: number, end: number): number {
    this.outcome = PARSE_MORE;
    let position = start;
    while (position < end) {
      this.neededBytes = 0;
      let next: number;
      try {
        next = this.#packet(client, bytes, position, end);
      } catch (error) {
        if (!(error instanceof PacketError)) throw error;
        this.outcome = this.#sink.violation(
          client,
          error.reason,
          error.message,
          bytes[position]! >> 4,
          error.level,
        );
        return position;
      }
      if (next === position || this.outcome === PARSE_BLOCKED) return position;
      position = next;
      if (this.outcome !== PARSE_MORE) return position;
    }
    return position;
  }

  /** @returns offset behind the packet, `position` when it is incomplete */
  #packet(client: C, bytes: Uint8Array, position: number, end: number): number {
    const first = bytes[position]!;
    const type = first >> 4;
    const state = client.mqtt!;
    checkFirst(state, type, first & 0x0f, bytes, position, end);
    const length = this.#remainingLength(bytes, position + 1, end);
    if (length < 0) return position;
    const packetEnd = this.#bodyStart + length;
    const total = packetEnd - position;
    const limit =
      state.level === 0 ? Math.min(CONNECT_MAX_BYTES, state.maxPacketBytes) : state.maxPacketBytes;
    if (total > limit) {
      throw new PacketError(REASON.packetTooLarge, `maximum payload exceeded: ${total} vs ${limit}`);
    }
    if (packetEnd > end) {
      this.neededBytes = total;
      return position;
    }
    this.outcome =
      type === PUBLISH
        ? this.#publish(client, state, bytes, first & 0x0f, packetEnd)
        : this.#control(client, state, bytes, type, packetEnd);
    return packetEnd;
  }

  /** @returns the remaining length, with the offset behind it in `#bodyStart`; -1 when it is incomplete */
  #remainingLength(bytes: Uint8Array, start: number, end: number): number {
    let value = 0;
    let at = start;
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) return -1;
      const byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#bodyStart = at;
        return value;
      }
    }
    throw new PacketError(REASON.malformedPacket, 'malformed variable int');
  }

  #publish(client: C, state: MqttParserState, bytes: Uint8Array, flags: number, end: number): number {
    const qos = (flags >> 1) & 3;
    if (qos === 3) throw new PacketError(REASON.malformedPacket, 'QoS=3 is invalid in MQTT');
    const dup = flags >= 8;
    // [MQTT-3.3.1-2]; of 3.1.1 clients nats-server lets it pass.
    if (dup && qos === 0 && state.level === MQTT_5)
      throw new PacketError(REASON.malformedPacket, 'DUP must be 0 with QoS 0');
    let at = this.#bodyStart + 2;
    if (at > end) throw tooShort();
    const topicStart = at;
    const topicEnd = topicStart + ((bytes[at - 2]! << 8) | bytes[at - 1]!);
    if (topicEnd > end) throw tooShort();
    if (!isMqttUtf8(bytes, topicStart, topicEnd))
      throw new PacketError(REASON.malformedPacket, 'invalid utf8 for topic');
    if (hasWildcard(bytes, topicStart, topicEnd))
      throw new PacketError(REASON.topicNameInvalid, "wildcards not allowed in publish's topic");
    at = topicEnd;
    this.packetId = 0;
    if (qos > 0) {
      if (at + 2 > end) throw tooShort();
      this.packetId = (bytes[at]! << 8) | bytes[at + 1]!;
      at += 2;
      // [MQTT-2.2.1-3] (3.1.1: 2.3.1-1)
      if (this.packetId === 0)
        throw new PacketError(REASON.protocolError, `with QoS=${qos}, packet identifier cannot be 0`);
    }
    const { properties } = this;
    properties.clear();
    if (state.level === MQTT_5) {
      at = properties.read(bytes, at, end, PUBLISH);
      if (!properties.isEmpty) checkPublishProperties(properties);
    }
    if (topicStart === topicEnd && !properties.has(PROPERTY.topicAlias))
      throw new PacketError(
        state.level === MQTT_5 ? REASON.protocolError : REASON.topicNameInvalid,
        'topic cannot be empty',
      );
    this.bytes = bytes;
    this.topicStart = topicStart;
    this.topicEnd = topicEnd;
    this.qos = qos;
    this.dup = dup;
    this.retain = (flags & 1) === 1;
    this.payloadStart = at;
    this.payloadEnd = end;
    return this.#sink.publish(client, this);
  }

  #control(client: C, state: MqttParserState, bytes: Uint8Array, type: number, end: number): number {
    const start = this.#bodyStart;
    switch (type) {
      case CONNECT:
        return this.#sink.connect(client, readConnect(bytes, start, end));
      case PUBACK:
      case PUBREC:
      case PUBREL:
      case PUBCOMP:
        return this.#acknowledgement(client, state, bytes, type, end);
      case SUBSCRIBE:
        return this.#sink.subscribe(client, readSubscribe(bytes, start, end, state.level === MQTT_5));
      case UNSUBSCRIBE:
        return this.#sink.unsubscribe(client, readUnsubscribe(bytes, start, end, state.level === MQTT_5));
      case PINGREQ:
        if (end !== start) throw wrongLength(end - start, type);
        return this.#sink.ping(client);
      case DISCONNECT:
        return this.#disconnect(client, state, bytes, end);
      default:
        return this.#auth(client, bytes, end);
    }
  }

  #acknowledgement(client: C, state: MqttParserState, bytes: Uint8Array, type: number, end: number): number {
    const start = this.#bodyStart;
    const length = end - start;
    if (length < 2 || (state.level !== MQTT_5 && length !== 2)) throw wrongLength(length, type);
    const packetId = (bytes[start]! << 8) | bytes[start + 1]!;
    if (packetId === 0) throw new PacketError(REASON.protocolError, 'packet identifier cannot be 0');
    const reason = length > 2 ? bytes[start + 2]! : REASON.success;
    if (!isClientReason(type, reason))
      throw new PacketError(REASON.malformedPacket, `invalid reason code ${reason} in ${packetName(type)}`);
    if (length > 3) this.#lastProperties(bytes, start + 3, end, type);
    return this.#sink.acknowledge(client, type, packetId, reason);
  }

  #disconnect(client: C, state: MqttParserState, bytes: Uint8Array, end: number): number {
    const start = this.#bodyStart;
    const length = end - start;
    if (length > 0 && state.level !== MQTT_5) throw wrongLength(length, DISCONNECT);
    const reason = length > 0 ? bytes[start]! : REASON.success;
    if (!isClientReason(DISCONNECT, reason))
      throw new PacketError(REASON.malformedPacket, `invalid reason code ${reason} in DISCONNECT`);
    const { properties } = this;
    properties.clear();
    if (length > 1) this.#lastProperties(bytes, start + 1, end, DISCONNECT);
    if (properties.has(PROPERTY.serverReference))
      throw new PacketError(REASON.protocolError, 'a client refers to no server');
    return this.#sink.disconnect(client, reason, properties.number(PROPERTY.sessionExpiry, -1));
  }

  #auth(client: C, bytes: Uint8Array, end: number): number {
    const start = this.#bodyStart;
    const reason = end > start ? bytes[start]! : REASON.success;
    if (!isClientReason(AUTH, reason))
      throw new PacketError(REASON.malformedPacket, `invalid reason code ${reason} in AUTH`);
    const { properties } = this;
    properties.clear();
    if (end - start > 1) this.#lastProperties(bytes, start + 1, end, AUTH);
    const method = properties.copyOf(PROPERTY.authMethod);
    // Clause 3.15.2.2.2
    if (method === null) throw new PacketError(REASON.protocolError, 'AUTH without authentication method');
    return this.#sink.authenticate(client, reason, method, properties.copyOf(PROPERTY.authData));
  }

  /** Properties that must end with the packet. */
  #lastProperties(bytes: Uint8Array, at: number, end: number, type: number): void {
    if (this.properties.read(bytes, at, end, type) !== end)
      throw new PacketError(REASON.malformedPacket, 'packet longer than its content');
  }
}

function tooShort(): PacketError {
  return new PacketError(REASON.malformedPacket, 'packet too short');
}

function wrongLength(length: number, type: number): PacketError {
  return new PacketError(
    REASON.malformedPacket,
    `invalid remaining length ${length} for packet type ${packetName(type)}`,
  );
}

/** What a PUBLISH of a client may not have. [MQTT-3.3.4-6], clause 3.3.2.3.4 */
function checkPublishProperties(properties: PropertyBlock): void {
  if (properties.has(PROPERTY.subscriptionId))
    throw new PacketError(REASON.protocolError, 'a client sends no subscription identifier');
  if (properties.number(PROPERTY.topicAlias, 1) === 0)
    throw new PacketError(REASON.topicAliasInvalid, 'topic alias cannot be 0');
  checkResponseTopic(properties);
}

/** Type and flags, before anything else of the packet is looked at. */
function checkFirst(
  state: MqttParserState,
  type: number,
  flags: number,
  bytes: Uint8Array,
  position: number,
  end: number,
): void {
  if (state.level === 0) {
    if (type !== CONNECT)
      throw new PacketError(REASON.protocolError, firstPacketText(type, bytes, position, end));
  } else if (type === CONNECT) {
    // [MQTT-3.1.0-2]
    throw new PacketError(REASON.protocolError, 'received a second CONNECT packet');
  }
  const expected = FLAGS[type]!;
  if (expected === -2 || (type === AUTH && state.level !== MQTT_5))
    throw new PacketError(REASON.protocolError, `received unknown packet type ${type}`);
  if (expected >= 0 && flags !== expected) {
    throw new PacketError(
      REASON.malformedPacket,
      `invalid fixed header flags ${flags.toString(16)} for packet type ${packetName(type)}`,
    );
  }
}

function firstPacketText(type: number, bytes: Uint8Array, position: number, end: number): string {
  if (Buffer.from(bytes.subarray(position, Math.min(position + 4, end))).toString('latin1') === 'GET ')
    return 'MQTT clients over websocket must connect to the Websocket port, not the MQTT port';
  return `the first packet should be a CONNECT (16), got ${type << 4}`;
}
