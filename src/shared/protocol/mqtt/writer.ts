import {
  AUTH,
  CONNACK,
  DISCONNECT,
  MQTT_5,
  PINGRESP,
  type ProtocolLevel,
  PUBLISH,
  PUBREL,
  SUBACK,
  UNSUBACK,
} from './packet-types.ts';
import { PROPERTY, TYPE_BYTE, TYPE_U16, TYPE_U32, typeOfProperty } from './properties.ts';
import { REASON } from './reason-codes.ts';

/**
 * Writer of what a server sends, 3.1.1 and 5.0. Control packets are rare and come as arrays of their own; the head of a
 * PUBLISH is written where the caller wants it.
 */

const INITIAL_BYTES = 64;

/** A growing array of bytes. */
export class ByteWriter {
  bytes = new Uint8Array(INITIAL_BYTES);
  length = 0;

  reset(): this {
    this.length = 0;
    return this;
  }

  #room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): this {
    this.#room(1);
    this.bytes[this.length++] = value;
    return this;
  }

  u16(value: number): this {
    return this.byte(value >> 8).byte(value & 0xff);
  }

  u32(value: number): this {
    return this.u16(Math.floor(value / 0x10000)).u16(value % 0x10000);
  }

  varint(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.byte(rest);
  }

  raw(source: Uint8Array): this {
    this.#room(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
    return this;
  }

  /** With its length, at most 65,535, in front. */
  binary(source: Uint8Array): this {
    return this.u16(source.length).raw(source);
  }

  text(value: string): this {
    return this.binary(Buffer.from(value, 'utf8'));
  }

  /** A property of any type but a pair. */
  property(id: number, value: number | string | Uint8Array): this {
    this.byte(id);
    if (typeof value === 'string') return this.text(value);
    if (typeof value !== 'number') return this.binary(value);
    const type = typeOfProperty(id);
    if (type === TYPE_BYTE) return this.byte(value);
    if (type === TYPE_U16) return this.u16(value);
    return type === TYPE_U32 ? this.u32(value) : this.varint(value);
  }

  userProperty(key: string, value: string): this {
    return this.byte(PROPERTY.userProperty).text(key).text(value);
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

/** Bytes a variable byte integer takes. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x20_0000 ? 3 : 4;
}

function packet(first: number, body: ByteWriter): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(first).varint(body.length).raw(body.bytes.subarray(0, body.length));
  return writer.take();
}

const NO_PROPERTIES = new Uint8Array(0);

/** What a 5.0 CONNACK tells of the server; absent members are left out. */
export interface ConnackProperties {
  sessionExpirySeconds?: number;
  receiveMaximum?: number;
  maximumQos?: number;
  maximumPacketBytes?: number;
  assignedClientId?: string;
  topicAliasMaximum?: number;
  reasonString?: string;
  serverKeepAliveSeconds?: number;
  authMethod?: string;
  responseInformation?: string;
}

const CONNACK_PROPERTIES = [
  ['sessionExpirySeconds', PROPERTY.sessionExpiry],
  ['receiveMaximum', PROPERTY.receiveMaximum],
  ['maximumQos', PROPERTY.maximumQos],
  ['maximumPacketBytes', PROPERTY.maximumPacketSize],
  ['assignedClientId', PROPERTY.assignedClientId],
  ['topicAliasMaximum', PROPERTY.topicAliasMaximum],
  ['reasonString', PROPERTY.reasonString],
  ['serverKeepAliveSeconds', PROPERTY.serverKeepAlive],
  ['authMethod', PROPERTY.authMethod],
  ['responseInformation', PROPERTY.responseInformation],
] as const satisfies readonly (readonly [keyof ConnackProperties, number])[];

/** @param code a return code for 3.1.1, a reason code for 5.0 */
export function connack(
  level: ProtocolLevel,
  sessionPresent: boolean,
  code: number,
  properties: ConnackProperties = {},
): Uint8Array {
  const body = new ByteWriter().byte(sessionPresent ? 1 : 0).byte(code);
  if (level === MQTT_5) {
    const block = new ByteWriter();
    for (const [name, id] of CONNACK_PROPERTIES) {
      const value = properties[name];
      if (value !== undefined) block.property(id, value);
    }
    body.varint(block.length).raw(block.bytes.subarray(0, block.length));
  }
  return packet(CONNACK << 4, body);
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP. 3.1.1 has no reason. */
export function acknowledgement(
  level: ProtocolLevel,
  type: number,
  packetId: number,
  reason: number = REASON.success,
): Uint8Array {
  const body = new ByteWriter().u16(packetId);
  if (level === MQTT_5 && reason !== REASON.success) body.byte(reason);
  return packet((type << 4) | (type === PUBREL ? 2 : 0), body);
}

/** @param codes one for each filter of the SUBSCRIBE, in its order. [MQTT-3.9.3-1] */
export function suback(level: ProtocolLevel, packetId: number, codes: readonly number[]): Uint8Array {
  const body = new ByteWriter().u16(packetId);
  if (level === MQTT_5) body.byte(0);
  for (const code of codes) body.byte(code);
  return packet(SUBACK << 4, body);
}

/** 3.1.1 has no codes. */
export function unsuback(level: ProtocolLevel, packetId: number, codes: readonly number[]): Uint8Array {
  const body = new ByteWriter().u16(packetId);
  if (level === MQTT_5) {
    body.byte(0);
    for (const code of codes) body.byte(code);
  }
  return packet(UNSUBACK << 4, body);
}

export const PINGRESP_PACKET: Uint8Array = Uint8Array.of(PINGRESP << 4, 0);

/** 5.0 only: 3.1.1 servers send none. */
export function disconnect(reason: number, reasonString = '', serverReference = ''): Uint8Array {
  const block = new ByteWriter();
  if (reasonString !== '') block.property(PROPERTY.reasonString, reasonString);
  if (serverReference !== '') block.property(PROPERTY.serverReference, serverReference);
  const body = new ByteWriter().byte(reason);
  if (block.length > 0) body.varint(block.length).raw(block.bytes.subarray(0, block.length));
  return packet(DISCONNECT << 4, body);
}

export function auth(reason: number, method: string, data: Uint8Array = NO_PROPERTIES): Uint8Array {
  const block = new ByteWriter().property(PROPERTY.authMethod, method);
  if (data.length > 0) block.property(PROPERTY.authData, data);
  const body = new ByteWriter().byte(reason).varint(block.length).raw(block.bytes.subarray(0, block.length));
  return packet(AUTH << 4, body);
}

/** A whole PUBLISH; `properties` without their length. For those written once; deliveries write only its head. */
export function publish(
  level: ProtocolLevel,
  flags: number,
  topic: Uint8Array,
  packetId: number,
  properties: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const body = new ByteWriter().binary(topic);
  if (packetId > 0) body.u16(packetId);
  if (level === MQTT_5) body.varint(properties.length).raw(properties);
  return packet((PUBLISH << 4) | flags, body.raw(payload));
}
