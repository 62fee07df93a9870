/** Control packet types: the high nibble of a packet's first byte (OASIS 3.1.1 and 5.0, clause 2.1.2). */
export const CONNECT = 1;
export const CONNACK = 2;
export const PUBLISH = 3;
export const PUBACK = 4;
export const PUBREC = 5;
export const PUBREL = 6;
export const PUBCOMP = 7;
export const SUBSCRIBE = 8;
export const SUBACK = 9;
export const UNSUBSCRIBE = 10;
export const UNSUBACK = 11;
export const PINGREQ = 12;
export const PINGRESP = 13;
export const DISCONNECT = 14;
export const AUTH = 15;

const NAMES = [
  'RESERVED',
  'CONNECT',
  'CONNACK',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'SUBACK',
  'UNSUBSCRIBE',
  'UNSUBACK',
  'PINGREQ',
  'PINGRESP',
  'DISCONNECT',
  'AUTH',
];

/** Name of a type, for logs. */
export function packetName(type: number): string {
  return NAMES[type] ?? String(type);
}

/** Protocol levels of CONNECT. */
export const MQTT_3_1_1 = 4;
export const MQTT_5 = 5;
export type ProtocolLevel = typeof MQTT_3_1_1 | typeof MQTT_5;

/** Flags of a PUBLISH's first byte. */
export const FLAG_RETAIN = 1;
export const FLAG_DUP = 8;
/** Largest remaining length: four bytes of seven bits. */
export const REMAINING_LENGTH_MAX = 268_435_455;
