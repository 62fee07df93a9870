import { PacketError } from './packet-error.ts';
import { CONNECT, MQTT_3_1_1, MQTT_5, type ProtocolLevel } from './packet-types.ts';
import { PROPERTY, PropertyBlock, WILL } from './properties.ts';
import { REASON } from './reason-codes.ts';
import { isMqttUtf8, utf8Text } from './utf8.ts';

/** The will of a connection: what is published when it ends without a DISCONNECT. */
export interface Will {
  readonly topic: Uint8Array;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly retain: boolean;
  /** Property block of a PUBLISH without its length: what of the will's properties is passed on. */
  readonly properties: Uint8Array;
  readonly delaySeconds: number;
}

/** What a CONNECT says (clause 3.1); a copy, good as long as it is kept. */
export interface ConnectPacket {
  readonly level: ProtocolLevel;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  readonly will: Will | null;
  readonly userName: string | null;
  /** Null when absent. As text of UTF-8, which a password need not be: other bytes become U+FFFD. */
  readonly password: string | null;
  /** 0xFFFFFFFF is forever. 3.1.1: 0 with a clean session, else forever. */
  readonly sessionExpirySeconds: number;
  /** 65535 when not given. */
  readonly receiveMaximum: number;
  /** 0: none given. */
  readonly maximumPacketBytes: number;
  readonly topicAliasMaximum: number;
  readonly requestProblemInformation: boolean;
  readonly requestResponseInformation: boolean;
  readonly authMethod: string | null;
}

/** A session that never expires. */
const EXPIRY_NEVER = 0xffff_ffff;
const RECEIVE_MAXIMUM_DEFAULT = 65_535;

const FLAG_RESERVED = 0x01;
const FLAG_CLEAN = 0x02;
const FLAG_WILL = 0x04;
const FLAG_WILL_QOS = 0x18;
const FLAG_WILL_RETAIN = 0x20;
const FLAG_PASSWORD = 0x40;
const FLAG_USER = 0x80;

function malformed(text: string): PacketError {
  return new PacketError(REASON.malformedPacket, text);
}

/** Walks through a packet; every field that would go beyond its end is an error. */
export class PacketReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) throw malformed('packet too short');
    return this.bytes[this.at++]!;
  }

  u16(): number {
    if (this.at + 2 > this.end) throw malformed('packet too short');
    const value = (this.bytes[this.at]! << 8) | this.bytes[this.at + 1]!;
    this.at += 2;
    return value;
  }

  /** A field with its length in front: a view. */
  binary(): Uint8Array {
    const length = this.u16();
    if (this.at + length > this.end) throw malformed('a field exceeds the packet');
    const view = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return view;
  }

  /** A UTF-8 string: a view, checked. */
  utf8(what: string): Uint8Array {
    const view = this.binary();
    if (!isMqttUtf8(view, 0, view.length)) throw malformed(`invalid utf8 in ${what}`);
    return view;
  }

  text(what: string): string {
    const view = this.utf8(what);
    return utf8Text(view, 0, view.length);
  }

  properties(block: PropertyBlock, packet: number): void {
    this.at = block.read(this.bytes, this.at, this.end, packet);
  }

  /** @throws PacketError when something is left */
  finish(): void {
    if (this.at !== this.end) throw malformed('packet longer than its content');
  }
}

/** @throws PacketError unless name and level are those of a version this server speaks. [MQTT-3.1.2-1], [MQTT-3.1.2-2] */
function readLevel(reader: PacketReader): ProtocolLevel {
  const name = reader.binary();
  const text = utf8Text(name, 0, name.length);
  if (text !== 'MQTT') {
    const known = text === 'MQIsdp' ? 'older protocol "MQIsdp" not supported' : '';
    const shown = text.length > 32 ? `${text.slice(0, 32)}…` : text;
    throw malformed(
      known || `expected connect packet with protocol name "MQTT", got ${JSON.stringify(shown)}`,
    );
  }
  const level = reader.byte();
  if (level === MQTT_3_1_1 || level === MQTT_5) return level;
  throw new PacketError(REASON.unsupportedProtocolVersion, `unacceptable protocol version of ${level}`);
}

/** @throws PacketError where flags contradict each other. [MQTT-3.1.2-3], [MQTT-3.1.2-11] to [MQTT-3.1.2-22] */
function checkFlags(flags: number, level: ProtocolLevel): void {
  if ((flags & FLAG_RESERVED) !== 0) throw malformed('connect flags reserved bit not set to 0');
  const qos = (flags & FLAG_WILL_QOS) >> 3;
  if ((flags & FLAG_WILL) === 0) {
    if (qos !== 0) throw malformed(`if Will flag is set to 0, Will QoS must be 0 too, got ${qos}`);
    if ((flags & FLAG_WILL_RETAIN) !== 0)
      throw malformed('if Will flag is set to 0, Will Retain flag must be 0 too');
  } else if (qos === 3) throw malformed(`if Will flag is set to 1, Will QoS can be 0, 1 or 2, got ${qos}`);
  if (level === MQTT_3_1_1 && (flags & FLAG_PASSWORD) !== 0 && (flags & FLAG_USER) === 0)
    throw malformed('password flag set but username flag is not');
}

function readWill(reader: PacketReader, flags: number, level: ProtocolLevel): Will {
  const block = new PropertyBlock();
  if (level === MQTT_5) reader.properties(block, WILL);
  checkResponseTopic(block);
  const topic = reader.utf8('Will topic').slice();
  if (topic.length === 0) throw new PacketError(REASON.topicNameInvalid, 'empty Will topic not allowed');
  if (hasWildcard(topic, 0, topic.length))
    throw new PacketError(REASON.topicNameInvalid, 'wildcards not allowed in the Will topic');
  return {
    topic,
    payload: reader.binary().slice(),
    qos: (flags & FLAG_WILL_QOS) >> 3,
    retain: (flags & FLAG_WILL_RETAIN) !== 0,
    properties: withoutWillDelay(block),
    delaySeconds: block.number(PROPERTY.willDelay, 0),
  };
}

/** The block without the one property that is the will's alone: the rest is what its PUBLISH has. */
function withoutWillDelay(block: PropertyBlock): Uint8Array {
  const { bytes, start, end } = block;
  if (!block.has(PROPERTY.willDelay)) return bytes.slice(start, end);
  const at = block.offsetOf(PROPERTY.willDelay);
  return Uint8Array.from([...bytes.subarray(start, at), ...bytes.subarray(at + 5, end)]);
}

/** @throws PacketError for a response topic with wildcards. [MQTT-3.3.2-14] */
export function checkResponseTopic(block: PropertyBlock): void {
  if (!block.has(PROPERTY.responseTopic)) return;
  const [start, end] = [block.startOf(PROPERTY.responseTopic), block.endOf(PROPERTY.responseTopic)];
  if (hasWildcard(block.bytes, start, end))
    throw new PacketError(REASON.protocolError, 'wildcards not allowed in the response topic');
}

/** Whether a topic name holds `+` or `#`. [MQTT-4.7.1-1] */
export function hasWildcard(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === 0x2b || bytes[at] === 0x23) return true;
  return false;
}

/**
 * Reads the CONNECT whose variable header starts at `start`.
 * @throws PacketError with the reason code that its CONNACK is to have
 */
export function readConnect(bytes: Uint8Array, start: number, end: number): ConnectPacket {
  const reader = new PacketReader(bytes, start, end);
  const level = readLevel(reader);
  try {
    return readRest(reader, level);
  } catch (error) {
    if (error instanceof PacketError) error.level = level;
    throw error;
  }
}

function readRest(reader: PacketReader, level: ProtocolLevel): ConnectPacket {
  const flags = reader.byte();
  checkFlags(flags, level);
  const keepAliveSeconds = reader.u16();
  const block = new PropertyBlock();
  if (level === MQTT_5) reader.properties(block, CONNECT);
  // [MQTT-3.1.2-4] and clause 3.1.2.11.10
  if (block.has(PROPERTY.authData) && !block.has(PROPERTY.authMethod))
    throw new PacketError(REASON.protocolError, 'authentication data without a method');
  const clientId = readClientId(reader);
  const will = (flags & FLAG_WILL) === 0 ? null : readWill(reader, flags, level);
  const userName = (flags & FLAG_USER) === 0 ? null : reader.text('user name');
  const password = (flags & FLAG_PASSWORD) === 0 ? null : binaryText(reader.binary());
  reader.finish();
  const cleanStart = (flags & FLAG_CLEAN) !== 0;
  const method = block.copyOf(PROPERTY.authMethod);
  return {
    level,
    cleanStart,
    keepAliveSeconds,
    clientId,
    will,
    userName,
    password,
    sessionExpirySeconds:
      level === MQTT_5 ? block.number(PROPERTY.sessionExpiry, 0) : cleanStart ? 0 : EXPIRY_NEVER,
    receiveMaximum: block.number(PROPERTY.receiveMaximum, RECEIVE_MAXIMUM_DEFAULT),
    maximumPacketBytes: block.number(PROPERTY.maximumPacketSize, 0),
    topicAliasMaximum: block.number(PROPERTY.topicAliasMaximum, 0),
    requestProblemInformation: block.number(PROPERTY.requestProblem, 1) === 1,
    requestResponseInformation: block.number(PROPERTY.requestResponse, 0) === 1,
    authMethod: method === null ? null : utf8Text(method, 0, method.length),
  };
}

/** [MQTT-3.1.3-4] */
function readClientId(reader: PacketReader): string {
  const view = reader.binary();
  if (!isMqttUtf8(view, 0, view.length))
    throw new PacketError(REASON.clientIdentifierNotValid, 'invalid utf8 in client ID');
  return utf8Text(view, 0, view.length);
}

function binaryText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
