import { PacketError } from './packet-error.ts';
import {
  AUTH,
  CONNACK,
  CONNECT,
  DISCONNECT,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  SUBACK,
  SUBSCRIBE,
  UNSUBACK,
  UNSUBSCRIBE,
} from './packet-types.ts';
import { REASON } from './reason-codes.ts';
import { isMqttUtf8 } from './utf8.ts';

/**
 * Properties of MQTT 5.0 (clause 2.2.2): identifiers, types, which packets have which, and reading a block in place.
 *
 * A block is read into offsets by identifier, so that a PUBLISH with properties allocates nothing. User properties may
 * occur any number of times; they are walked when somebody wants them.
 */
export const PROPERTY = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionId: 0x0b,
  sessionExpiry: 0x11,
  assignedClientId: 0x12,
  serverKeepAlive: 0x13,
  authMethod: 0x15,
  authData: 0x16,
  requestProblem: 0x17,
  willDelay: 0x18,
  requestResponse: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQos: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardAvailable: 0x28,
  subscriptionIdAvailable: 0x29,
  sharedAvailable: 0x2a,
} as const;

/** Stands for the will's properties, which lie in the payload of CONNECT. */
export const WILL = 0;

export const TYPE_BYTE = 1;
export const TYPE_U16 = 2;
export const TYPE_U32 = 3;
const TYPE_VARINT = 4;
const TYPE_STRING = 5;
const TYPE_PAIR = 6;
const TYPE_BINARY = 7;

const SLOTS = 0x2b;
const TYPES = new Uint8Array(SLOTS);
const PACKETS = new Uint32Array(SLOTS);

function define(id: number, type: number, packets: readonly number[]): void {
  TYPES[id] = type;
  for (const packet of packets) PACKETS[id]! |= 1 << packet;
}

const ACKS = [PUBACK, PUBREC, PUBREL, PUBCOMP];
const EXPLAINED = [CONNACK, ...ACKS, SUBACK, UNSUBACK, DISCONNECT, AUTH];

define(PROPERTY.payloadFormat, TYPE_BYTE, [PUBLISH, WILL]);
define(PROPERTY.messageExpiry, TYPE_U32, [PUBLISH, WILL]);
define(PROPERTY.contentType, TYPE_STRING, [PUBLISH, WILL]);
define(PROPERTY.responseTopic, TYPE_STRING, [PUBLISH, WILL]);
define(PROPERTY.correlationData, TYPE_BINARY, [PUBLISH, WILL]);
define(PROPERTY.subscriptionId, TYPE_VARINT, [PUBLISH, SUBSCRIBE]);
define(PROPERTY.sessionExpiry, TYPE_U32, [CONNECT, CONNACK, DISCONNECT]);
define(PROPERTY.assignedClientId, TYPE_STRING, [CONNACK]);
define(PROPERTY.serverKeepAlive, TYPE_U16, [CONNACK]);
define(PROPERTY.authMethod, TYPE_STRING, [CONNECT, CONNACK, AUTH]);
define(PROPERTY.authData, TYPE_BINARY, [CONNECT, CONNACK, AUTH]);
define(PROPERTY.requestProblem, TYPE_BYTE, [CONNECT]);
define(PROPERTY.willDelay, TYPE_U32, [WILL]);
define(PROPERTY.requestResponse, TYPE_BYTE, [CONNECT]);
define(PROPERTY.responseInformation, TYPE_STRING, [CONNACK]);
define(PROPERTY.serverReference, TYPE_STRING, [CONNACK, DISCONNECT]);
define(PROPERTY.reasonString, TYPE_STRING, EXPLAINED);
define(PROPERTY.receiveMaximum, TYPE_U16, [CONNECT, CONNACK]);
define(PROPERTY.topicAliasMaximum, TYPE_U16, [CONNECT, CONNACK]);
define(PROPERTY.topicAlias, TYPE_U16, [PUBLISH]);
define(PROPERTY.maximumQos, TYPE_BYTE, [CONNACK]);
define(PROPERTY.retainAvailable, TYPE_BYTE, [CONNACK]);
define(PROPERTY.userProperty, TYPE_PAIR, [CONNECT, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE, ...EXPLAINED]);
define(PROPERTY.maximumPacketSize, TYPE_U32, [CONNECT, CONNACK]);
define(PROPERTY.wildcardAvailable, TYPE_BYTE, [CONNACK]);
define(PROPERTY.subscriptionIdAvailable, TYPE_BYTE, [CONNACK]);
define(PROPERTY.sharedAvailable, TYPE_BYTE, [CONNACK]);

/** Byte properties that are 0 or 1. */
const FLAGS: ReadonlySet<number> = new Set<number>([
  PROPERTY.payloadFormat,
  PROPERTY.requestProblem,
  PROPERTY.requestResponse,
]);
/** Numbers that must not be 0. */
const NONZERO: ReadonlySet<number> = new Set<number>([
  PROPERTY.subscriptionId,
  PROPERTY.receiveMaximum,
  PROPERTY.maximumPacketSize,
]);

function malformed(text: string): PacketError {
  return new PacketError(REASON.malformedPacket, text);
}

/** One property block, read in place. Reuse one instance; what it says is good until the next `read`. */
export class PropertyBlock {
  bytes: Uint8Array = new Uint8Array(0);
  /** The properties themselves, without their length. */
  start = 0;
  end = 0;
  readonly #seen = new Int32Array(2);
  readonly #numbers = new Float64Array(SLOTS);
  readonly #starts = new Int32Array(SLOTS);
  readonly #ends = new Int32Array(SLOTS);
  readonly #offsets = new Int32Array(SLOTS);
  userProperties = 0;
  #at = 0;

  /** Forgets everything: as if the block were empty. */
  clear(): void {
    this.start = 0;
    this.end = 0;
    this.#seen[0] = 0;
    this.#seen[1] = 0;
    this.userProperties = 0;
  }

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  has(id: number): boolean {
    return (this.#seen[id >> 5]! & (1 << (id & 31))) !== 0;
  }

  /** Value of a number property, or `absent`. */
  number(id: number, absent: number): number {
    return this.has(id) ? this.#numbers[id]! : absent;
  }

  /** Where a string's or binary value's content starts; only when the block has it. */
  startOf(id: number): number {
    return this.#starts[id]!;
  }

  endOf(id: number): number {
    return this.#ends[id]!;
  }

  /** Where a property starts, its identifier included; only when the block has it. */
  offsetOf(id: number): number {
    return this.#offsets[id]!;
  }

  /** Copy of a string's or binary value's content, null when absent. */
  copyOf(id: number): Uint8Array | null {
    return this.has(id) ? this.bytes.slice(this.#starts[id], this.#ends[id]) : null;
  }

  /** Calls `visit` with key and value of each user property, in order: `[keyStart, keyEnd)`, `[valueStart, valueEnd)`. */
  visitUserProperties(
    visit: (keyStart: number, keyEnd: number, valueStart: number, valueEnd: number) => void,
  ): void {
    const { bytes } = this;
    for (let at = this.start; at < this.end; ) {
      const id = bytes[at++]!;
      const type = TYPES[id]!;
      if (type !== TYPE_PAIR) {
        at = skip(bytes, at, type);
        continue;
      }
      const keyEnd = at + 2 + u16(bytes, at);
      const valueEnd = keyEnd + 2 + u16(bytes, keyEnd);
      visit(at + 2, keyEnd, keyEnd + 2, valueEnd);
      at = valueEnd;
    }
  }

  /**
   * Reads the block that starts at `at` with its length, for a packet that ends at `end`.
   *
   * @param packet packet type, or WILL
   * @returns offset behind the block
   * @throws PacketError for everything clause 2.2.2 forbids
   */
  read(bytes: Uint8Array, at: number, end: number, packet: number): number {
    this.clear();
    const length = this.#varint(bytes, at, end);
    const blockEnd = this.#at + length;
    if (blockEnd > end) throw malformed('property length exceeds the packet');
    this.bytes = bytes;
    this.start = this.#at;
    this.end = blockEnd;
    for (let next = this.#at; next < blockEnd; ) next = this.#property(bytes, next, blockEnd, packet);
    return blockEnd;
  }

  #property(bytes: Uint8Array, at: number, end: number, packet: number): number {
    const id = bytes[at]!;
    const type = id < SLOTS ? TYPES[id]! : 0;
    if (type === 0 || (PACKETS[id]! & (1 << packet)) === 0) {
      throw malformed(`property 0x${id.toString(16)} does not belong here`);
    }
    // [MQTT-2.2.2-2] and each property's own clause: once, unless it is a user property.
    if (this.has(id) && id !== PROPERTY.userProperty) {
      throw new PacketError(REASON.protocolError, `property 0x${id.toString(16)} occurs twice`);
    }
    this.#seen[id >> 5]! |= 1 << (id & 31);
    this.#offsets[id] = at;
    const start = at + 1;
    if (type >= TYPE_STRING) return this.#text(bytes, start, end, id, type);
    const next = this.#number(bytes, start, end, id, type);
    const value = this.#numbers[id]!;
    if ((FLAGS.has(id) && value > 1) || (value === 0 && NONZERO.has(id))) {
      throw new PacketError(REASON.protocolError, `property 0x${id.toString(16)} may not be ${value}`);
    }
    return next;
  }

  #number(bytes: Uint8Array, start: number, end: number, id: number, type: number): number {
    if (type === TYPE_VARINT) {
      this.#numbers[id] = this.#varint(bytes, start, end);
      return this.#at;
    }
    const length = type === TYPE_BYTE ? 1 : type === TYPE_U16 ? 2 : 4;
    if (start + length > end) throw malformed('a property exceeds the property block');
    let value = 0;
    for (let i = 0; i < length; i++) value = value * 256 + bytes[start + i]!;
    this.#numbers[id] = value;
    return start + length;
  }

  #text(bytes: Uint8Array, start: number, end: number, id: number, type: number): number {
    const contentEnd = stringEnd(bytes, start, end);
    if (type !== TYPE_BINARY && !isMqttUtf8(bytes, start + 2, contentEnd)) {
      throw malformed(`property 0x${id.toString(16)} is not valid UTF-8`);
    }
    if (type !== TYPE_PAIR) {
      this.#starts[id] = start + 2;
      this.#ends[id] = contentEnd;
      return contentEnd;
    }
    this.userProperties++;
    const valueEnd = stringEnd(bytes, contentEnd, end);
    if (!isMqttUtf8(bytes, contentEnd + 2, valueEnd)) throw malformed('a user property is not valid UTF-8');
    return valueEnd;
  }

  /** Takes up properties that were read before, in memory of their own and without their length. */
  load(bytes: Uint8Array): void {
    this.clear();
    this.bytes = bytes;
    this.end = bytes.length;
    for (let at = 0; at < bytes.length; ) at = this.#property(bytes, at, bytes.length, PUBLISH);
  }

  /** Reads a variable byte integer (clause 1.5.5); the offset behind it is left in `#at`. */
  #varint(bytes: Uint8Array, at: number, end: number): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) throw malformed('malformed variable int');
      const byte = bytes[at++]!;
      value += (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      this.#at = at;
      return value;
    }
    throw malformed('malformed variable int');
  }
}

function stringEnd(bytes: Uint8Array, start: number, end: number): number {
  if (start + 2 > end) throw malformed('a property exceeds the property block');
  const contentEnd = start + 2 + u16(bytes, start);
  if (contentEnd > end) throw malformed('a property exceeds the property block');
  return contentEnd;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Offset behind a value of a block that was read before. */
function skip(bytes: Uint8Array, start: number, type: number): number {
  let at = start;
  if (type === TYPE_BYTE) return at + 1;
  if (type === TYPE_U16) return at + 2;
  if (type === TYPE_U32) return at + 4;
  if (type >= TYPE_STRING) return at + 2 + u16(bytes, at);
  while (bytes[at]! >= 0x80) at++;
  return at + 1;
}

/** TYPE_… of a property, 0 for an unknown one. */
export function typeOfProperty(id: number): number {
  return TYPES[id] ?? 0;
}
