import { PacketReader } from './connect.ts';
import { PacketError } from './packet-error.ts';
import { SUBSCRIBE, UNSUBSCRIBE } from './packet-types.ts';
import { PROPERTY, PropertyBlock } from './properties.ts';
import { REASON } from './reason-codes.ts';

/** SUBSCRIBE and UNSUBSCRIBE (clauses 3.8 and 3.10). */

/** Whether retained messages are sent: 0 always, or one of these. */
export const RETAIN_SEND_IF_NEW = 1;
export const RETAIN_DONT_SEND = 2;

/** A topic filter with its options; a copy. */
export interface FilterRequest {
  readonly filter: Uint8Array;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0 or RETAIN_… */
  readonly retainHandling: number;
}

export interface SubscribePacket {
  readonly packetId: number;
  /** 0: none. */
  readonly subscriptionId: number;
  readonly filters: readonly FilterRequest[];
}

export interface UnsubscribePacket {
  readonly packetId: number;
  readonly filters: readonly Uint8Array[];
}

function readPacketId(reader: PacketReader): number {
  const packetId = reader.u16();
  if (packetId === 0) throw new PacketError(REASON.protocolError, 'packet identifier cannot be 0');
  return packetId;
}

function readFilter(reader: PacketReader): Uint8Array {
  const filter = reader.utf8('topic filter').slice();
  // [MQTT-4.7.3-1]
  if (filter.length === 0) throw new PacketError(REASON.malformedPacket, 'topic filter cannot be empty');
  return filter;
}

/** Bits 0-1 QoS, 2 no local, 3 retain as published, 4-5 retain handling (clause 3.8.3.1); 3.1.1 has the QoS alone. */
function readOptions(reader: PacketReader, filter: Uint8Array, hasProperties: boolean): FilterRequest {
  const options = reader.byte();
  const qos = options & 3;
  // [MQTT-3.8.3-5] (3.1.1: 3-8.3-4)
  if (qos === 3 || (options & (hasProperties ? 0xc0 : 0xfc)) !== 0)
    throw new PacketError(
      REASON.malformedPacket,
      `subscribe QoS value must be 0, 1 or 2, got ${hasProperties ? qos : options}`,
    );
  const retainHandling = (options >> 4) & 3;
  if (retainHandling === 3) throw new PacketError(REASON.protocolError, 'retain handling must be 0, 1 or 2');
  const noLocal = (options & 4) !== 0;
  // [MQTT-3.8.3-4]
  if (noLocal && Buffer.from(filter.subarray(0, 7)).toString('latin1') === '$share/')
    throw new PacketError(REASON.protocolError, 'a shared subscription cannot be no local');
  return { filter, qos, noLocal, retainAsPublished: (options & 8) !== 0, retainHandling };
}

/** @throws PacketError */
export function readSubscribe(
  bytes: Uint8Array,
  start: number,
  end: number,
  hasProperties: boolean,
): SubscribePacket {
  const reader = new PacketReader(bytes, start, end);
  const packetId = readPacketId(reader);
  const block = new PropertyBlock();
  if (hasProperties) reader.properties(block, SUBSCRIBE);
  const filters: FilterRequest[] = [];
  while (reader.at < end) filters.push(readOptions(reader, readFilter(reader), hasProperties));
  // [MQTT-3.8.3-2] (3.1.1: 3.8.3-3)
  if (filters.length === 0)
    throw new PacketError(REASON.protocolError, 'subscribe protocol must contain at least 1 topic filter');
  return { packetId, subscriptionId: block.number(PROPERTY.subscriptionId, 0), filters };
}

/** @throws PacketError */
export function readUnsubscribe(
  bytes: Uint8Array,
  start: number,
  end: number,
  hasProperties: boolean,
): UnsubscribePacket {
  const reader = new PacketReader(bytes, start, end);
  const packetId = readPacketId(reader);
  if (hasProperties) reader.properties(new PropertyBlock(), UNSUBSCRIBE);
  const filters: Uint8Array[] = [];
  while (reader.at < end) filters.push(readFilter(reader));
  // [MQTT-3.10.3-2]
  if (filters.length === 0)
    throw new PacketError(REASON.protocolError, 'unsubscribe protocol must contain at least 1 topic filter');
  return { packetId, filters };
}
