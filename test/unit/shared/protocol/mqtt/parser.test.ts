import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { REASON } from '../../../../../src/shared/protocol/mqtt/reason-codes.ts';
import { ParserHost, type Report } from './parser-host.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const V5 = { protocolVersion: 5 } as const;

function parsed(packet: Packet, level: 0 | 4 | 5): Report | undefined {
  const bytes = generate(packet, level === 5 ? V5 : { protocolVersion: 4 });
  return new ParserHost(level).push(bytes).reports[0];
}

/** Level, packet in hex, reason code. */
function refuses(level: 0 | 4 | 5, packet: string, reason: number): void {
  const host = new ParserHost(level).push(hex(packet));
  expect([host.reports.length, host.violationReason]).toEqual([1, reason]);
}

const CONNECT_4 = '10 0d 00 04 4d515454 04 02 003c 00 01 61';

describe('CONNECT', () => {
  test('3.1.1 with everything', () => {
    const packet: Packet = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: false,
      clientId: 'sensor-1',
      keepalive: 30,
      username: 'anna',
      password: Buffer.from('secret'),
      will: { topic: 'gone', payload: Buffer.from('bye'), qos: 2, retain: true },
    };
    const report = parsed(packet, 0);
    expect(report).toMatchObject({
      kind: 'connect',
      packet: {
        level: 4,
        cleanStart: false,
        keepAliveSeconds: 30,
        clientId: 'sensor-1',
        userName: 'anna',
        password: 'secret',
        sessionExpirySeconds: 0xffffffff,
        will: { qos: 2, retain: true, topic: utf8('gone'), payload: utf8('bye') },
      },
    });
  });

  test('5.0 with properties, and the will delay is not passed on', () => {
    const packet: Packet = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clean: true,
      clientId: '',
      keepalive: 0,
      properties: {
        sessionExpiryInterval: 60,
        receiveMaximum: 20,
        maximumPacketSize: 1000,
        topicAliasMaximum: 7,
        requestProblemInformation: false,
        userProperties: { a: 'b' },
      },
      will: {
        topic: 'w',
        payload: Buffer.from(''),
        qos: 1,
        retain: false,
        properties: { willDelayInterval: 5, contentType: 'x', messageExpiryInterval: 9 },
      },
    };
    const report = parsed(packet, 0);
    expect(report).toMatchObject({
      packet: {
        level: 5,
        cleanStart: true,
        sessionExpirySeconds: 60,
        receiveMaximum: 20,
        maximumPacketBytes: 1000,
        topicAliasMaximum: 7,
        requestProblemInformation: false,
        will: { delaySeconds: 5, qos: 1 },
      },
    });
    const will = report?.kind === 'connect' ? report.packet.will : null;
    expect(Buffer.from(will?.properties ?? []).toString('hex')).toBe('030001780200000009');
  });

  test('5.0 allows a password without user name', () => {
    const report = parsed(
      { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'x', keepalive: 0 },
      0,
    );
    expect(report).toMatchObject({ packet: { userName: null, password: null, sessionExpirySeconds: 0 } });
    const bytes = hex('10 12 0004 4d515454 05 42 0000 00 0001 61 0002 7071');
    expect(new ParserHost(0).push(bytes).reports[0]).toMatchObject({ packet: { password: 'pq' } });
  });

  test.each([
    ['[MQTT-3.1.0-1] another packet first', 0, 'c0 00', REASON.protocolError],
    ['[MQTT-3.1.2-1] another name', 0, '10 0d 0004 4d515455 04 02 003c 0001 61', REASON.malformedPacket],
    ['MQTT 3.1', 0, '10 0f 0006 4d5149736470 03 02 003c 0001 61', REASON.malformedPacket],
    [
      '[MQTT-3.1.2-2] level 3',
      0,
      '10 0d 0004 4d515454 03 02 003c 0001 61',
      REASON.unsupportedProtocolVersion,
    ],
    ['[MQTT-3.1.2-3] reserved flag', 0, '10 0d 0004 4d515454 04 03 003c 0001 61', REASON.malformedPacket],
    ['[MQTT-3.1.2-11] QoS without will', 0, '10 0d 0004 4d515454 04 0a 003c 0001 61', REASON.malformedPacket],
    [
      '[MQTT-3.1.2-13] retain without will',
      0,
      '10 0d 0004 4d515454 04 22 003c 0001 61',
      REASON.malformedPacket,
    ],
    [
      '[MQTT-3.1.2-12] will QoS 3',
      0,
      '10 13 0004 4d515454 04 1e 003c 0001 61 0001 61 0001 61',
      REASON.malformedPacket,
    ],
    [
      '[MQTT-3.1.2-22] 3.1.1 password alone',
      0,
      '10 10 0004 4d515454 04 42 003c 0001 61 0001 61',
      REASON.malformedPacket,
    ],
    [
      '[MQTT-3.1.3-4] client id not UTF-8',
      0,
      '10 0d 0004 4d515454 04 02 003c 0001 ff',
      REASON.clientIdentifierNotValid,
    ],
    ['empty will topic', 0, '10 11 0004 4d515454 04 06 003c 0001 61 0000 0000', REASON.topicNameInvalid],
    [
      'will topic with wildcard',
      0,
      '10 12 0004 4d515454 04 06 003c 0001 61 0001 23 0000',
      REASON.topicNameInvalid,
    ],
    ['bytes behind the payload', 0, '10 0e 0004 4d515454 04 02 003c 0001 61 00', REASON.malformedPacket],
    ['a field beyond the end', 0, '10 0d 0004 4d515454 04 02 003c 0009 61', REASON.malformedPacket],
    ['[MQTT-2.1.3-1] flags', 0, '11 0d 0004 4d515454 04 02 003c 0001 61', REASON.malformedPacket],
    ['receive maximum 0', 0, '10 11 0004 4d515454 05 02 003c 03 210000 0001 61', REASON.protocolError],
    [
      'maximum packet size 0',
      0,
      '10 13 0004 4d515454 05 02 003c 05 2700000000 0001 61',
      REASON.protocolError,
    ],
    ['a property twice', 0, '10 14 0004 4d515454 05 02 003c 06 210001210001 0001 61', REASON.protocolError],
    [
      'a property of another packet',
      0,
      '10 11 0004 4d515454 05 02 003c 03 230001 0001 61',
      REASON.malformedPacket,
    ],
    [
      'authentication data without method',
      0,
      '10 12 0004 4d515454 05 02 003c 04 16000161 0001 61',
      REASON.protocolError,
    ],
  ] as const)('%s', (_name, level, packet, reason) => refuses(level, packet, reason));

  test('[MQTT-3.1.0-2] a second one', () => {
    const host = new ParserHost(0).push(hex(CONNECT_4)).push(hex(CONNECT_4));
    expect(host.reports.map(({ kind }) => kind)).toEqual(['connect', 'violation']);
  });

  test('a long one is refused by its length alone', () => {
    expect(new ParserHost(0).push(hex('10 ff ff ff 7f')).violationReason).toBe(REASON.packetTooLarge);
  });
});

describe('PUBLISH', () => {
  test.each([0, 1, 2] as const)('QoS %d', (qos) => {
    const packet: Packet = {
      cmd: 'publish',
      topic: 'a/ü',
      payload: Buffer.from('hello'),
      qos,
      retain: true,
      dup: qos > 0,
      messageId: 7,
    };
    const wanted = { topic: 'a/ü', payload: 'hello', qos, retain: true, dup: qos > 0, packetId: qos ? 7 : 0 };
    for (const level of [4, 5] as const) expect(parsed(packet, level)).toMatchObject(wanted);
  });

  test('user properties keep their order and repetitions', () => {
    const packet: Packet = {
      cmd: 'publish',
      topic: 't',
      payload: Buffer.from(''),
      qos: 0,
      retain: false,
      dup: false,
      properties: { contentType: 'text/plain', userProperties: { b: ['1', '2'], a: '3' }, topicAlias: 3 },
    };
    const users = [
      ['b', '1'],
      ['b', '2'],
      ['a', '3'],
    ];
    expect(parsed(packet, 5)).toMatchObject({ users });
  });

  test.each([
    ['[MQTT-3.3.1-4] QoS 3', 4, '36 05 0001 61 0001', REASON.malformedPacket],
    ['[MQTT-3.3.1-2] DUP with QoS 0', 5, '38 04 0001 61 00', REASON.malformedPacket],
    ['[MQTT-3.3.2-2] wildcard', 4, '30 03 0001 2b', REASON.topicNameInvalid],
    ['[MQTT-4.7.3-1] empty topic', 4, '30 02 0000', REASON.topicNameInvalid],
    ['empty topic without alias', 5, '30 03 0000 00', REASON.protocolError],
    ['[MQTT-1.5.4-2] U+0000', 4, '30 03 0001 00', REASON.malformedPacket],
    ['[MQTT-1.5.4-1] surrogate', 4, '30 05 0003 eda080', REASON.malformedPacket],
    ['overlong form', 4, '30 04 0002 c0af', REASON.malformedPacket],
    ['[MQTT-2.2.1-3] packet id 0', 4, '32 05 0001 61 0000', REASON.protocolError],
    ['topic beyond the end', 4, '30 03 0009 61', REASON.malformedPacket],
    ['no packet id', 4, '32 03 0001 61', REASON.malformedPacket],
    ['[MQTT-3.3.4-6] subscription identifier', 5, '30 06 0001 61 02 0b01', REASON.protocolError],
    ['topic alias 0', 5, '30 07 0001 61 03 230000', REASON.topicAliasInvalid],
    ['[MQTT-3.3.2-14] wildcard in response topic', 5, '30 08 0001 61 04 08 0001 2b', REASON.protocolError],
    ['payload format 2', 5, '30 06 0001 61 02 0102', REASON.protocolError],
    ['properties beyond the end', 5, '30 04 0001 61 05', REASON.malformedPacket],
    ['unknown property', 5, '30 06 0001 61 02 7f00', REASON.malformedPacket],
    ['five length bytes', 4, '30 ff ff ff ff 01', REASON.malformedPacket],
  ] as const)('%s', (_name, level, packet, reason) => refuses(level, packet, reason));

  test('too long for the limit: refused before its payload is there', () => {
    const host = new ParserHost(4, 100).push(hex('30 65'));
    expect(host.violationReason).toBe(REASON.packetTooLarge);
    expect(new ParserHost(4, 100).push(hex('30 62')).reports).toEqual([]);
  });

  test('an unfinished one tells how long it will be', () => {
    const host = new ParserHost(4).push(hex('30 8001 0001'));
    expect(host.parser.neededBytes).toBe(131);
    expect(host.held.length).toBe(5);
  });
});

describe('other packets', () => {
  test.each([
    ['puback', 4, 0],
    ['pubrec', 5, 0x97],
    ['pubrel', 6, 0x92],
    ['pubcomp', 7, 0x92],
  ] as const)('%s', (cmd, type, reasonCode) => {
    expect(parsed({ cmd, messageId: 513 }, 4)).toEqual({
      kind: 'acknowledge',
      type,
      packetId: 513,
      reason: 0,
    });
    const packet: Packet = { cmd, messageId: 5, reasonCode, properties: { reasonString: 'why' } };
    expect(parsed(packet, 5)).toEqual({ kind: 'acknowledge', type, packetId: 5, reason: reasonCode });
  });

  test('SUBSCRIBE with options', () => {
    const packet: Packet = {
      cmd: 'subscribe',
      messageId: 3,
      properties: { subscriptionIdentifier: 300 },
      subscriptions: [
        { topic: 'a/#', qos: 2, nl: true, rap: true, rh: 2 },
        { topic: '+', qos: 0, nl: false, rap: false, rh: 1 },
      ],
    };
    expect(parsed(packet, 5)).toMatchObject({
      packet: {
        packetId: 3,
        subscriptionId: 300,
        filters: [
          { filter: utf8('a/#'), qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
          { filter: utf8('+'), qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 1 },
        ],
      },
    });
  });

  test('UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH', () => {
    expect(parsed({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['a', 'b/c'] }, 4)).toMatchObject({
      packet: { packetId: 9, filters: [utf8('a'), utf8('b/c')] },
    });
    expect(parsed({ cmd: 'pingreq' }, 4)).toEqual({ kind: 'ping' });
    expect(parsed({ cmd: 'disconnect' }, 4)).toEqual({
      kind: 'disconnect',
      reason: 0,
      sessionExpirySeconds: -1,
    });
    const leaving: Packet = { cmd: 'disconnect', reasonCode: 4, properties: { sessionExpiryInterval: 9 } };
    expect(parsed(leaving, 5)).toEqual({ kind: 'disconnect', reason: 4, sessionExpirySeconds: 9 });
    const auth: Packet = { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'NKEY' } };
    expect(parsed(auth, 5)).toEqual({ kind: 'authenticate', reason: 0x18, method: 'NKEY' });
  });

  test.each([
    ['reserved type 0', 4, '00 00', REASON.protocolError],
    ['CONNACK from a client', 4, '20 02 0000', REASON.protocolError],
    ['SUBACK from a client', 4, '90 03 000100', REASON.protocolError],
    ['UNSUBACK from a client', 4, 'b0 02 0001', REASON.protocolError],
    ['PINGRESP from a client', 4, 'd0 00', REASON.protocolError],
    ['AUTH in 3.1.1', 4, 'f0 00', REASON.protocolError],
    ['[MQTT-3.6.1-1] PUBREL flags', 4, '60 02 0001', REASON.malformedPacket],
    ['[MQTT-3.8.1-1] SUBSCRIBE flags', 4, '80 06 0001 0001 61 00', REASON.malformedPacket],
    ['[MQTT-3.10.1-1] UNSUBSCRIBE flags', 4, 'a0 05 0001 0001 61', REASON.malformedPacket],
    ['[MQTT-3.14.1-1] DISCONNECT flags', 4, 'e1 00', REASON.malformedPacket],
    ['PUBACK of 3 bytes in 3.1.1', 4, '40 03 0001 00', REASON.malformedPacket],
    ['PUBACK of 1 byte', 5, '40 01 00', REASON.malformedPacket],
    ['packet id 0', 4, '40 02 0000', REASON.protocolError],
    ['a reason no PUBACK has', 5, '40 03 0001 92', REASON.malformedPacket],
    ['[MQTT-3.8.3-2] SUBSCRIBE without filter', 4, '82 02 0001', REASON.protocolError],
    ['[MQTT-3.8.3-5] QoS 3', 4, '82 06 0001 0001 61 03', REASON.malformedPacket],
    ['3.1.1 options', 4, '82 06 0001 0001 61 04', REASON.malformedPacket],
    ['reserved option bits', 5, '82 07 0001 00 0001 61 40', REASON.malformedPacket],
    ['retain handling 3', 5, '82 07 0001 00 0001 61 30', REASON.protocolError],
    [
      '[MQTT-3.8.3-4] shared and no local',
      5,
      '82 0f 0001 00 0009 2473686172652f672f 04',
      REASON.protocolError,
    ],
    ['subscription identifier 0', 5, '82 09 0001 02 0b00 0001 61 00', REASON.protocolError],
    ['empty filter', 4, '82 05 0001 0000 00', REASON.malformedPacket],
    ['[MQTT-3.10.3-2] UNSUBSCRIBE without filter', 4, 'a2 02 0001', REASON.protocolError],
    ['PINGREQ with content', 4, 'c0 01 00', REASON.malformedPacket],
    ['DISCONNECT with content in 3.1.1', 4, 'e0 01 00', REASON.malformedPacket],
    ["a server's reason in DISCONNECT", 5, 'e0 01 8e', REASON.malformedPacket],
    ['AUTH without method', 5, 'f0 02 18 00', REASON.protocolError],
  ] as const)('%s', (_name, level, packet, reason) => refuses(level, packet, reason));
});

describe('generated input', () => {
  const stream = hex(
    [CONNECT_4, '82 06 0001 0001 61 01', '32 07 0001 61 0001 7879', 'c000', '62 02 0001', 'e000'].join(''),
  );

  test('however a stream is cut, the same is reported', () => {
    const whole = new ParserHost(0).push(stream).reports;
    expect(whole.map(({ kind }) => kind)).toEqual([
      'connect',
      'subscribe',
      'publish',
      'ping',
      'acknowledge',
      'disconnect',
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 20 }), (cuts) => {
        const host = new ParserHost(0);
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), stream.length]) {
          host.push(stream.subarray(from, cut));
          from = cut;
        }
        expect(host.reports).toEqual(whole);
      }),
      { seed: 20_162 },
    );
  });

  test('any bytes are either taken, awaited or refused', () => {
    const level = fc.constantFrom(0 as const, 4 as const, 5 as const);
    fc.assert(
      fc.property(level, fc.uint8Array({ maxLength: 200 }), (at, bytes) => {
        const host = new ParserHost(at, 4096).push(bytes);
        expect(host.held.length).toBeLessThanOrEqual(bytes.length);
      }),
      { seed: 20_163, numRuns: 2000 },
    );
  });

  test('a valid packet with a byte changed never goes wrong otherwise', () => {
    fc.assert(
      fc.property(fc.nat(stream.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const changed = stream.slice();
        changed[at] = value;
        expect(() => new ParserHost(0).push(changed)).not.toThrow();
      }),
      { seed: 20_164, numRuns: 2000 },
    );
  });

  test('what mqtt-packet writes is read as it was meant', () => {
    const word = fc
      .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
      .filter((text) => !/[+#\0]/.test(text));
    fc.assert(
      fc.property(
        word,
        fc.string(),
        fc.constantFrom(0, 1, 2),
        fc.boolean(),
        (topic, payload, qos, retain) => {
          const packet: Packet = {
            cmd: 'publish',
            topic,
            payload: Buffer.from(payload, 'latin1'),
            qos: qos as 0 | 1 | 2,
            retain,
            dup: false,
            messageId: 77,
          };
          const text = Buffer.from(payload, 'latin1').toString('latin1');
          for (const level of [4, 5] as const)
            expect(parsed(packet, level)).toMatchObject({ topic, payload: text, qos, retain });
        },
      ),
      { seed: 20_165 },
    );
  });
});
