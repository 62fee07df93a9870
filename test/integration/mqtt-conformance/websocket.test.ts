/** Chapter 6, and that there is more than one transport. */
import { generate, type Packet, parser } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import type { Daemon } from '../../support/daemon.ts';
import { mqttPort, RawMqtt } from '../../support/mqtt.ts';
import { type Level, statement } from '../../support/mqtt-conformance.ts';
import { WebsocketClient } from '../../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../../support/websocket-daemon.ts';

describe.each(TRANSPORTS)('over %s', (transport) => {
  let daemon: Daemon;
  const open: WebsocketClient[] = [];
  beforeAll(async () => {
    const rest = 'jetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n';
    daemon = await startWebsocket(transport, '', `server_name: conform\n${rest}`);
  });
  afterEach(() => {
    for (const client of open.splice(0)) client.destroy();
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function upgraded(protocols: string | null = 'mqtt'): Promise<WebsocketClient> {
    const headers = { 'Sec-WebSocket-Protocol': protocols };
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), path: '/mqtt', headers });
    open.push(client);
    return client;
  }

  const connect = (level: Level): Buffer =>
    generate(
      { cmd: 'connect', protocolId: 'MQTT', protocolVersion: level, clean: true, clientId: '', keepalive: 0 },
      { protocolVersion: level },
    );

  function received(client: WebsocketClient, level: Level): string[] {
    const found: string[] = [];
    const reader = parser({ protocolVersion: level });
    reader.on('packet', ({ cmd }: Packet) => found.push(cmd));
    reader.parse(Buffer.from(client.text, 'latin1'));
    return found;
  }

  statement(
    { v3: '6.0.0-1', v5: '6.0.0-1' },
    'packets are in binary frames; any other ends the connection',
    async (level) => {
      const client = await upgraded();
      client.send(connect(level));
      await client.until(() => received(client, level).length === 1, 'CONNACK');
      expect(client.frames.every(({ opcode }) => opcode === 2)).toBe(true);
      // A PUBLISH that is UTF-8.
      client.send('0\x03\0\x01a', { opcode: 1 });
      await client.untilClosed();
      expect(client.closeFrame?.status).toBe(1003);
    },
  );

  statement({ v3: '6.0.0-2', v5: '6.0.0-2' }, 'frames hold parts of packets, or many', async (level) => {
    const client = await upgraded();
    const bytes = Buffer.concat([connect(level), ...new Array<Buffer>(3).fill(Buffer.from('c000', 'hex'))]);
    for (const byte of bytes.subarray(0, -5)) client.send(Uint8Array.of(byte));
    client.send(bytes.subarray(-5));
    await client.until(() => received(client, level).length === 4, 'all answers');
    expect(received(client, level)).toEqual(['connack', 'pingresp', 'pingresp', 'pingresp']);
  });

  statement({ v3: '6.0.0-4', v5: '6.0.0-4' }, 'the sub-protocol is mqtt', async () => {
    for (const protocols of ['mqtt', 'chat, mqtt'])
      expect((await upgraded(protocols)).header('Sec-WebSocket-Protocol')).toBe('mqtt');
  });

  statement({ v3: '7.1.1-1', v5: '4.2-1' }, 'TCP and WebSocket carry the same', async (level) => {
    const client = await upgraded();
    client.send(connect(level));
    const raw = await RawMqtt.connected(await mqttPort(daemon), level);
    await client.until(() => received(client, level).length === 1, 'CONNACK');
    // But for the identifier that 5.0 assigns.
    const bytes = Buffer.from(client.text, 'latin1');
    expect(bytes.length).toBe(raw.bytes.length);
    expect(bytes.subarray(0, 10)).toEqual(raw.bytes.subarray(0, 10));
    raw.destroy();
  });
});
