/** MQTT in the frames of a WebSocket (mqtt.md §1, websocket.md §6): MQTT.js, frames by hand, logins, monitoring. */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from '@nats-io/transport-node';
import type { IClientOptions } from 'mqtt';
import { generate, type Packet, parser } from 'mqtt-packet';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Daemon } from '../support/daemon.ts';
import { MqttPeer, mqttPort } from '../support/mqtt.ts';
import { WebsocketClient, type WebsocketClientOptions } from '../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';

const MQTT = 'jetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n';
const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0';

let daemon: Daemon | null = null;
const open: { drop?: () => void; destroy?: () => void; close?: () => Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0)) {
    one.drop?.();
    one.destroy?.();
    await one.close?.();
  }
  await daemon?.stop();
  daemon = null;
});

async function start(transport: 'ws' | 'uws', block = '', rest = MQTT): Promise<Daemon> {
  daemon = await startWebsocket(
    transport,
    block,
    `server_name: mqtt_websocket\nhttp: "127.0.0.1:-1"\n${rest}`,
  );
  return daemon;
}

const shared = new Map<'ws' | 'uws', Daemon>();

/** A server for all tests that need nothing special. */
async function common(transport: 'ws' | 'uws'): Promise<Daemon> {
  const known = shared.get(transport);
  if (known !== undefined) return known;
  const made = await startWebsocket(transport, '', `server_name: mqtt_websocket\n${MQTT}`);
  shared.set(transport, made);
  return made;
}

afterAll(async () => {
  for (const one of shared.values()) await one.stop();
});

/** MQTT.js over `ws://`. */
async function overWebsocket(server: Daemon, options: IClientOptions = {}): Promise<MqttPeer> {
  const address = { protocol: 'ws', path: '/mqtt' } as const;
  const made = await MqttPeer.connect(websocketPort(server), { ...address, ...options });
  open.push(made);
  return made;
}

async function overTcp(server: Daemon, options: IClientOptions = {}): Promise<MqttPeer> {
  const made = await MqttPeer.connect(await mqttPort(server), options);
  open.push(made);
  return made;
}

/** Frames made by hand. */
class FramedMqtt {
  readonly client: WebsocketClient;
  readonly #version: 4 | 5;

  constructor(client: WebsocketClient, version: 4 | 5) {
    this.client = client;
    this.#version = version;
  }

  static async open(
    server: Daemon,
    version: 4 | 5 = 4,
    options: Partial<WebsocketClientOptions> = {},
  ): Promise<FramedMqtt> {
    const client = await WebsocketClient.connect({ path: '/mqtt', ...options, port: websocketPort(server) });
    open.push(client);
    return new FramedMqtt(client, version);
  }

  bytes(packet: Packet): Buffer {
    return generate(packet, { protocolVersion: this.#version });
  }

  connectPacket(more: Record<string, unknown> = {}): Packet {
    const fixed = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: this.#version, clean: true };
    return { ...fixed, clientId: 'framed', keepalive: 0, ...more } as Packet;
  }

  get packets(): Packet[] {
    const found: Packet[] = [];
    const reader = parser({ protocolVersion: this.#version });
    reader.on('packet', (packet: Packet) => found.push(packet));
    reader.parse(Buffer.from(this.client.text, 'latin1'));
    return found;
  }

  async until(cmd: Packet['cmd'], count = 1): Promise<Packet[]> {
    const found = (): Packet[] => this.packets.filter((packet) => packet.cmd === cmd);
    await this.client.until(() => found().length >= count, `${count} ${cmd}`);
    return found();
  }
}

describe.each(
  TRANSPORTS.flatMap((transport) => [[transport, 4] as const, [transport, 5] as const]),
)('over %s, level %i', (transport, protocolVersion) => {
  const kept = (clientId: string): IClientOptions => ({
    protocolVersion,
    clientId,
    clean: false,
    ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
  });

  test.each([0, 1, 2] as const)('QoS %i to and from MQTT over TCP, and NATS', async (qos) => {
    const server = await common(transport);
    const [web, tcp] = [
      await overWebsocket(server, { protocolVersion }),
      await overTcp(server, { protocolVersion }),
    ];
    const nats = await connect({ servers: `127.0.0.1:${server.port}`, reconnect: false });
    open.push(nats);
    const seen: string[] = [];
    nats.subscribe('to.*', { callback: (_error, message) => void seen.push(message.string()) });
    await nats.flush();
    await web.client.subscribeAsync('to/web', { qos });
    await tcp.client.subscribeAsync('to/tcp', { qos });
    const numbers = Array.from({ length: 100 }, (_, i) => `m${i}`);
    await Promise.all(
      numbers.flatMap((text) => [
        web.client.publishAsync('to/tcp', text, { qos }),
        tcp.client.publishAsync('to/web', text, { qos }),
      ]),
    );
    expect((await web.received(100)).map(({ payload }) => payload)).toEqual(numbers);
    expect((await tcp.received(100)).map((message) => message.qos)).toEqual(numbers.map(() => qos));
    nats.publish('to.web', 'from NATS');
    expect((await web.received(101))[100]).toMatchObject({ topic: 'to/web', payload: 'from NATS', qos: 0 });
    await nats.flush();
    expect(seen).toHaveLength(201);
  });

  test('payloads of any size, both ways, in one go', async () => {
    const server = await common(transport);
    const publisher = await overWebsocket(server, { protocolVersion });
    const subscriber = await overWebsocket(server, { protocolVersion });
    await subscriber.client.subscribeAsync('big', { qos: 1 });
    const payloads = [0, 1, 125, 126, 4096, 16_000, 16_384, 65_535, 65_536, 300_000, 1_000_000].map(
      (length) => String.fromCharCode(97 + (length % 26)).repeat(length),
    );
    await Promise.all(payloads.map((payload) => publisher.client.publishAsync('big', payload, { qos: 1 })));
    const received = (await subscriber.received(payloads.length)).map(({ payload }) => payload);
    expect(received.map(({ length }) => length)).toEqual(payloads.map(({ length }) => length));
    expect(received).toEqual(payloads);
  });

  test('a session goes on from WebSocket to TCP and back', async () => {
    const server = await common(transport);
    const first = await overWebsocket(server, kept(`traveller${protocolVersion}`));
    expect(first.sessionPresent).toBe(false);
    await first.client.subscribeAsync('news', { qos: 1 });
    first.drop();
    await first.untilClosed();
    const publisher = await overWebsocket(server, { protocolVersion });
    await publisher.client.publishAsync('news', 'one', { qos: 1 });
    const second = await overTcp(server, kept(`traveller${protocolVersion}`));
    expect(second.sessionPresent).toBe(true);
    expect((await second.received(1))[0]).toMatchObject({ payload: 'one', qos: 1 });
    // The new connection takes the session over, and the old one ends.
    const third = await overWebsocket(server, kept(`traveller${protocolVersion}`));
    expect(third.sessionPresent).toBe(true);
    await second.untilClosed();
    await publisher.client.publishAsync('news', 'two', { qos: 1 });
    // The first one comes again if the session changed hands before its PUBACK was seen.
    expect(await third.receivedText('two')).toMatchObject({ topic: 'news', qos: 1 });
  });

  test('the will is published when the WebSocket ends without DISCONNECT', async () => {
    const server = await common(transport);
    const witness = await overTcp(server, { protocolVersion });
    await witness.client.subscribeAsync('will/#', { qos: 1 });
    const will = (clientId: string) => ({
      clientId,
      will: { topic: `will/${clientId}`, payload: Buffer.from('gone'), qos: 1, retain: false },
    });
    const closing = await FramedMqtt.open(server, protocolVersion);
    closing.client.send(closing.bytes(closing.connectPacket(will('closed'))));
    await closing.until('connack');
    closing.client.send(Buffer.from([0x03, 0xe8]), { opcode: 8 });
    await closing.client.untilClosed();
    expect(closing.client.closeFrame).toMatchObject({ status: 1000 });
    expect((await witness.received(1))[0]).toMatchObject({ topic: 'will/closed', payload: 'gone' });
    const leaving = await FramedMqtt.open(server, protocolVersion);
    leaving.client.send(leaving.bytes(leaving.connectPacket(will('left'))));
    await leaving.until('connack');
    leaving.client.send(leaving.bytes({ cmd: 'disconnect' }));
    await leaving.client.untilClosed();
    expect(leaving.client.closeFrame).toEqual({ status: 1000, text: 'Client Closed' });
    const vanishing = await FramedMqtt.open(server, protocolVersion);
    vanishing.client.send(vanishing.bytes(vanishing.connectPacket(will('vanished'))));
    await vanishing.until('connack');
    vanishing.client.destroy();
    await witness.received(2);
    expect(witness.messages.map(({ topic }) => topic)).toEqual(['will/closed', 'will/vanished']);
  });

  test('a shutdown says why', async () => {
    const server = await start(transport);
    const framed = await FramedMqtt.open(server, protocolVersion);
    framed.client.send(framed.bytes(framed.connectPacket()));
    await framed.until('connack');
    daemon = null;
    await server.stop();
    await framed.client.untilClosed();
    expect(framed.client.closeFrame).toEqual({ status: 1001, text: 'Server Shutdown' });
    const last = framed.packets.at(-1);
    expect(last).toMatchObject(
      protocolVersion === 5 ? { cmd: 'disconnect', reasonCode: 0x8b } : { cmd: 'connack' },
    );
  });
});

describe.each(TRANSPORTS)('frames over %s', (transport) => {
  test('the subprotocol is mqtt, asked for or not, and nothing is sent before CONNECT', async () => {
    const server = await common(transport);
    for (const [path, headers] of [
      ['/mqtt', {}],
      ['/some/where/mqtt', { 'Sec-WebSocket-Protocol': 'other, mqttv3.1' }],
      ['/mqtt', { 'Sec-WebSocket-Protocol': 'mqtt' }],
    ] as const) {
      const framed = await FramedMqtt.open(server, 4, { path, headers });
      expect(framed.client.status).toBe(101);
      expect(framed.client.header('Sec-WebSocket-Protocol')).toBe('mqtt');
      framed.client.send(framed.bytes(framed.connectPacket()));
      await framed.until('connack');
      expect(framed.client.text).toBe('\x20\x02\x00\x00');
      expect(framed.client.frames.map(({ opcode }) => opcode)).toEqual([2]);
    }
    const nats = await WebsocketClient.connect({ port: websocketPort(server) });
    open.push(nats);
    expect(nats.header('Sec-WebSocket-Protocol')).toBeNull();
    await nats.info();
  });

  test('without an MQTT port the path does not exist', async () => {
    const server = await start(transport, '', '');
    const client = await WebsocketClient.connect({ path: '/mqtt', port: websocketPort(server) });
    open.push(client);
    expect(client.status).toBe(404);
    await server.untilLogged(/websocket handshake error: mqtt websocket endpoint not enabled/);
  });

  test('packets span frames, and frames hold many packets', async () => {
    const server = await common(transport);
    const framed = await FramedMqtt.open(server);
    const packets = [
      framed.bytes(framed.connectPacket()),
      framed.bytes({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/+', qos: 0 }] }),
      ...['x', 'y'.repeat(300), 'z'].map((payload) =>
        framed.bytes({ cmd: 'publish', topic: 'a/b', payload, qos: 0, dup: false, retain: false }),
      ),
    ];
    const all = Buffer.concat(packets);
    for (let at = 0; at < all.length; at += 7) {
      // Fragments of one message, pings in between.
      if (at % 3 === 0) framed.client.send('ping', { opcode: 9 });
      framed.client.send(all.subarray(at, at + 3), { fin: false });
      framed.client.send(all.subarray(at + 3, at + 7), { opcode: 0 });
    }
    framed.client.send(Buffer.concat([...packets.slice(2), framed.bytes({ cmd: 'pingreq' })]));
    await framed.until('pingresp');
    const texts = framed.packets.flatMap((packet) =>
      packet.cmd === 'publish' ? [String(packet.payload)] : [],
    );
    expect(texts).toEqual(['x', 'y'.repeat(300), 'z', 'x', 'y'.repeat(300), 'z']);
  });

  test('what comes while the store is busy waits in order, a close frame too', async () => {
    const server = await common(transport);
    const framed = await FramedMqtt.open(server);
    framed.client.send(framed.bytes(framed.connectPacket()));
    await framed.until('connack');
    const count = 6000;
    const publish = (i: number): Buffer =>
      framed.bytes({
        cmd: 'publish',
        topic: 'busy',
        payload: `${i} ${'x'.repeat(100)}`,
        qos: 1,
        messageId: i + 1,
        dup: false,
        retain: false,
      });
    const watcher = await overTcp(server);
    await watcher.client.subscribeAsync('busy', { qos: 1 });
    framed.client.socket.cork();
    // Ten packets a frame, and the last ones are cut.
    for (let i = 0; i < count; i += 10)
      framed.client.send(Buffer.concat(Array.from({ length: 10 }, (_, j) => publish(i + j))));
    framed.client.send(publish(count).subarray(0, 9));
    framed.client.send(publish(count).subarray(9));
    framed.client.send(Buffer.from([0x03, 0xe8]), { opcode: 8 });
    framed.client.socket.uncork();
    const received = await watcher.received(count + 1);
    expect(received.map(({ payload }) => parseInt(payload, 10))).toEqual(
      Array.from({ length: count + 1 }, (_, i) => i),
    );
    await framed.client.untilClosed();
    expect(framed.client.closeFrame).toMatchObject({ status: 1000 });
  });

  test.each([
    [4, 'f0 ff ff ff ff ff', 'no CONNECT', 1002],
    [4, '10 0c 0004 4d515454 07 02 0000 0000', 'an unknown level', 1002],
    [5, '10 0d 0004 4d515454 05 02 0000 00 0000 f0 00', 'a packet that does not exist', 1002],
  ] as const)('level %i, %s: %s', async (version, hex, _what, status) => {
    const server = await common(transport);
    const framed = await FramedMqtt.open(server, version);
    framed.client.send(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    await framed.client.untilClosed();
    expect(framed.client.closeFrame?.status).toBe(status);
  });

  test('a packet above max_payload', async () => {
    const server = await start(transport, '', `max_payload: 2000\n${MQTT}`);
    const framed = await FramedMqtt.open(server, 5);
    framed.client.send(framed.bytes(framed.connectPacket()));
    await framed.until('connack');
    const payload = 'x'.repeat(100_000);
    framed.client.send(
      framed.bytes({ cmd: 'publish', topic: 'a', payload, qos: 0, dup: false, retain: false }),
    );
    await framed.client.untilClosed();
    expect(framed.client.closeFrame).toEqual({ status: 1009, text: 'Maximum Message Payload Exceeded' });
    expect(framed.packets.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x95 });
  });

  test('a silent client is closed after one and a half times its keep alive', async () => {
    const server = await common(transport);
    const framed = await FramedMqtt.open(server, 5);
    framed.client.send(framed.bytes(framed.connectPacket({ keepalive: 1 })));
    await framed.client.untilClosed();
    expect(framed.packets.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x8d });
    expect(framed.client.closeFrame).toEqual({ status: 1001, text: 'Stale Connection' });
  });

  test('monitoring and log call it MQTT', async () => {
    const server = await start(transport, '', `debug: true\n${MQTT}`);
    await overWebsocket(server, { clientId: 'watched' });
    const url = `${server.ports.monitoring![0]}/connz`;
    const { connections } = (await (await fetch(url)).json()) as { connections: Record<string, unknown>[] };
    expect(connections).toEqual([
      expect.objectContaining({ kind: 'Client', type: 'mqtt', mqtt_client: 'watched' }),
    ]);
    await server.untilLogged(new RegExp(` - mid_ws:${connections[0]!.cid} - Client connection created`));
  });
});

const USERS = `
authorization { users [
  { user: any, password: x },
  { user: standard, password: x, allowed_connection_types: [STANDARD] },
  { user: mqtt, password: x, allowed_connection_types: [MQTT] },
  { user: mqtt_ws, password: x, allowed_connection_types: [MQTT_WS] },
  { user: web, password: x, allowed_connection_types: [WEBSOCKET] },
] }`;

describe.each(TRANSPORTS)('login over %s', (transport) => {
  async function isIn(options: IClientOptions): Promise<boolean> {
    try {
      await overWebsocket(daemon!, options);
      return true;
    } catch (error) {
      expect((error as { code?: number }).code).toBe(5);
      return false;
    }
  }

  test('connection types', async () => {
    await start(transport, '', `${MQTT}${USERS}`);
    const admitted: string[] = [];
    for (const username of ['any', 'standard', 'mqtt', 'mqtt_ws', 'web'])
      if (await isIn({ username, password: 'x' })) admitted.push(username);
    expect(admitted).toEqual(['any', 'mqtt_ws']);
    await expect(overTcp(daemon!, { username: 'mqtt_ws', password: 'x' })).rejects.toMatchObject({ code: 5 });
  });

  test('the credentials of the mqtt block count, not those of the websocket block or of cookies', async () => {
    const websocket = 'authorization { user: web, pass: w }\nuser_cookie: u\npass_cookie: p';
    const mqtt = MQTT.replace('mqtt {', 'mqtt { authorization { user: m, pass: q },');
    await start(transport, websocket, mqtt);
    expect(await isIn({ username: 'm', password: 'q' })).toBe(true);
    expect(await isIn({ username: 'web', password: 'w' })).toBe(false);
    expect(await isIn({})).toBe(false);
    expect(await isIn({ wsOptions: { headers: { Cookie: 'u=m; p=q' } } })).toBe(false);
  });

  test('max_connections', async () => {
    const server = await start(transport, '', `max_connections: 1\n${MQTT}`);
    await overWebsocket(server);
    const framed = await FramedMqtt.open(server);
    await framed.client.untilClosed();
    expect(framed.client.closeFrame).toEqual({ status: 1008, text: 'Maximum Connections Exceeded' });
  });
});

describe('what only one transport has', () => {
  test.each<[string, Record<string, string>]>([
    ['compressed', { 'Sec-WebSocket-Extensions': 'permessage-deflate' }],
    ['compressed for a browser', { 'Sec-WebSocket-Extensions': 'permessage-deflate', 'User-Agent': BROWSER }],
    ['cut for a browser', { 'User-Agent': BROWSER }],
  ])('%s', async (_name, headers) => {
    const server = await start('ws', 'compression: true');
    // The WebSocket client inside MQTT.js adds the extension by itself where it is to be used.
    const perMessageDeflate = 'Sec-WebSocket-Extensions' in headers;
    const wsOptions = { perMessageDeflate, headers: { 'User-Agent': headers['User-Agent'] ?? 'test' } };
    const web = await overWebsocket(server, { protocolVersion: 5, wsOptions });
    await web.client.subscribeAsync('loop', { qos: 2 });
    const payload = Array.from({ length: 20_000 }, (_, i) => `${i},`).join('');
    await web.client.publishAsync('loop', payload, { qos: 2 });
    expect((await web.received(1))[0]?.payload).toBe(payload);
  });

  test('TLS is that of the WebSocket listener, pinned certificates too', async () => {
    const { server: pair, caFile } = certificates();
    const material = `cert_file: "${pair.certFile}", key_file: "${pair.keyFile}", ca_file: "${caFile}"`;
    const pins = `, pinned_certs: ["${'0'.repeat(64)}"]`;
    const block = (pinned: string): string => `tls { ${material}${pinned} }`;
    const mqtt = (pinned: string): string => MQTT.replace('mqtt {', `mqtt { tls { ${material}${pinned} },`);
    const server = await start('ws', block(''), mqtt(''));
    const over = { rejectUnauthorized: false };
    const web = await overWebsocket(server, { protocol: 'wss', ...over });
    const own = await overTcp(server, { protocol: 'mqtts', ...over });
    await own.client.subscribeAsync('a', { qos: 1 });
    await web.client.publishAsync('a', 'x', { qos: 1 });
    await own.received(1);
    const reload = async (text: string): Promise<void> => {
      const from = server.log.length;
      writeFileSync(server.configFile, text);
      server.kill('SIGHUP');
      await server.untilLogged(/Reloaded server configuration/, from);
    };
    const first = readFileSync(server.configFile, 'utf8');
    const webPinned = first.replace(block(''), block(pins));
    await reload(webPinned);
    await web.untilClosed();
    await own.client.publishAsync('a', 'y', { qos: 1 });
    await own.received(2);
    await reload(webPinned.replace(mqtt(''), mqtt(pins)));
    await own.untilClosed();
  });
});

test('a slow reader over a WebSocket gets everything once it reads on', async () => {
  const server = await common(TRANSPORTS.at(-1)!);
  const framed = await FramedMqtt.open(server);
  framed.client.send(framed.bytes(framed.connectPacket()));
  framed.client.send(
    framed.bytes({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'flood', qos: 0 }] }),
  );
  await framed.until('suback');
  framed.client.socket.pause();
  const publisher = await overTcp(server);
  const payload = 'f'.repeat(10_000);
  for (let i = 0; i < 400; i++) await publisher.client.publishAsync('flood', `${i} ${payload}`, { qos: 1 });
  framed.client.socket.resume();
  const flood = await framed.until('publish', 400);
  expect(
    flood.map((packet) => (packet.cmd === 'publish' ? parseInt(String(packet.payload), 10) : -1)),
  ).toEqual(Array.from({ length: 400 }, (_, i) => i));
});
