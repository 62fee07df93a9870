import { type Packet, parser } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { PUBACK, PUBCOMP, PUBREC, PUBREL } from '../../../../../src/shared/protocol/mqtt/packet-types.ts';
import { PROPERTY } from '../../../../../src/shared/protocol/mqtt/properties.ts';
import { REASON, returnCodeOf } from '../../../../../src/shared/protocol/mqtt/reason-codes.ts';
import {
  acknowledgement,
  auth,
  ByteWriter,
  connack,
  disconnect,
  PINGRESP_PACKET,
  publish,
  suback,
  unsuback,
  varintBytes,
} from '../../../../../src/shared/protocol/mqtt/writer.ts';

/** What mqtt-packet makes of it. */
function read(bytes: Uint8Array, protocolVersion: 4 | 5): Packet {
  const packets: Packet[] = [];
  const reader = parser({ protocolVersion });
  reader.on('packet', (packet: Packet) => packets.push(packet));
  reader.on('error', (error: Error) => {
    throw error;
  });
  expect(reader.parse(Buffer.from(bytes))).toBe(0);
  expect(packets).toHaveLength(1);
  return packets[0] as Packet;
}

test('CONNACK', () => {
  expect(read(connack(4, true, 0), 4)).toMatchObject({ cmd: 'connack', sessionPresent: true, returnCode: 0 });
  const properties = {
    sessionExpirySeconds: 70_000,
    receiveMaximum: 1024,
    maximumQos: 1,
    maximumPacketBytes: 1_048_576,
    assignedClientId: 'made-up',
    topicAliasMaximum: 32,
    reasonString: 'because',
    serverKeepAliveSeconds: 60,
    authMethod: 'M',
    responseInformation: 'r',
  };
  expect(read(connack(5, false, REASON.notAuthorized, properties), 5)).toMatchObject({
    reasonCode: REASON.notAuthorized,
    properties: {
      sessionExpiryInterval: 70_000,
      receiveMaximum: 1024,
      maximumQoS: 1,
      maximumPacketSize: 1_048_576,
      assignedClientIdentifier: 'made-up',
      topicAliasMaximum: 32,
      reasonString: 'because',
      serverKeepAlive: 60,
      authenticationMethod: 'M',
      responseInformation: 'r',
    },
  });
});

test.each([
  ['puback', PUBACK],
  ['pubrec', PUBREC],
  ['pubrel', PUBREL],
  ['pubcomp', PUBCOMP],
] as const)('%s', (cmd, type) => {
  expect(read(acknowledgement(4, type, 258), 4)).toMatchObject({ cmd, messageId: 258 });
  const reason = type === PUBACK || type === PUBREC ? 0x87 : 0x92;
  expect(read(acknowledgement(5, type, 1, reason), 5)).toMatchObject({
    cmd,
    messageId: 1,
    reasonCode: reason,
  });
});

test('SUBACK and UNSUBACK', () => {
  expect(read(suback(4, 5, [0, 1, 2, 0x80]), 4)).toMatchObject({
    cmd: 'suback',
    messageId: 5,
    granted: [0, 1, 2, 0x80],
  });
  expect(read(suback(5, 5, [0, 0x8f]), 5)).toMatchObject({ granted: [0, 0x8f] });
  expect(read(unsuback(4, 6, [0]), 4)).toMatchObject({ cmd: 'unsuback', messageId: 6 });
  expect(read(unsuback(5, 6, [0, 0x11]), 5)).toMatchObject({ granted: [0, 0x11] });
});

test('PINGRESP, DISCONNECT, AUTH', () => {
  expect(read(PINGRESP_PACKET, 4)).toMatchObject({ cmd: 'pingresp' });
  expect(read(disconnect(0x8e, 'elsewhere'), 5)).toMatchObject({
    reasonCode: 0x8e,
    properties: { reasonString: 'elsewhere' },
  });
  expect(read(disconnect(0x8b), 5)).toMatchObject({ reasonCode: 0x8b });
  expect(read(auth(0x18, 'NKEY', Buffer.from('x')), 5)).toMatchObject({
    reasonCode: 0x18,
    properties: { authenticationMethod: 'NKEY', authenticationData: Buffer.from('x') },
  });
});

test.each([0, 100, 127, 128, 16_383, 16_384, 200_000])('PUBLISH with %d bytes', (length) => {
  const topic = Buffer.from('a/b');
  const payload = Buffer.alloc(length, 'x');
  expect(read(publish(4, 0b1011, topic, 9, Buffer.alloc(0), payload), 4)).toMatchObject({
    topic: 'a/b',
    qos: 1,
    dup: true,
    retain: true,
    messageId: 9,
    payload,
  });
  const block = new ByteWriter()
    .property(PROPERTY.subscriptionId, 300)
    .property(PROPERTY.contentType, 'text');
  block.userProperty('k', 'v').property(PROPERTY.messageExpiry, 5);
  expect(read(publish(5, 0, topic, 0, block.take(), payload), 5)).toMatchObject({
    properties: { subscriptionIdentifier: 300, contentType: 'text', messageExpiryInterval: 5 },
    payload,
  });
});

test('variable byte integers take one to four bytes', () => {
  const values = [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455];
  expect(values.map(varintBytes)).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  expect(values.map((value) => new ByteWriter().varint(value).length)).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
});

test('3.1.1 has codes for few reasons', () => {
  expect([0x84, 0x85, 0x86, 0x87, 0x88, 0x81].map(returnCodeOf)).toEqual([1, 2, 4, 5, 3, -1]);
});
