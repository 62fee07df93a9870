/** MQTT clients for tests: MQTT.js for what applications do, and a socket with packets for what they shouldn't. */
import net from 'node:net';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { generate, type Packet, parser } from 'mqtt-packet';
import type { Daemon } from './daemon.ts';
import { Signal } from './waiting.ts';

/** Port of a daemon's MQTT listener. */
export async function mqttPort(daemon: Daemon): Promise<number> {
  await daemon.untilLogged(/Listening for MQTT clients on \w+:\/\/.*:\d+/);
  return Number(/Listening for MQTT clients on \w+:\/\/.*:(\d+)/.exec(daemon.log)?.[1]);
}

export interface ReceivedMessage {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
  packet: IPublishPacket;
}

/** An MQTT.js client that remembers what it received. */
export class MqttPeer {
  readonly client: MqttClient;
  readonly messages: ReceivedMessage[] = [];
  sessionPresent = false;
  /** Reason code of a DISCONNECT of the server. */
  disconnectReason: number | undefined;
  closed = false;
  private readonly changed = new Signal();

  private constructor(client: MqttClient) {
    this.client = client;
    client.on('message', (topic, payload, packet) => {
      const { qos, retain } = packet;
      this.messages.push({ topic, payload: payload.toString('latin1'), qos, retain, packet });
      this.changed.notify();
    });
    client.on('disconnect', (packet) => {
      this.disconnectReason = packet.reasonCode;
      this.changed.notify();
    });
    client.on('close', () => {
      this.closed = true;
      this.changed.notify();
    });
    client.on('error', () => undefined);
  }

  /** @throws the error of a refused CONNECT */
  static async connect(port: number, options: IClientOptions = {}): Promise<MqttPeer> {
    const client = mqtt.connect({ host: '127.0.0.1', port, reconnectPeriod: 0, ...options });
    const peer = new MqttPeer(client);
    await new Promise<void>((resolve, reject) => {
      client.once('connect', (packet) => {
        peer.sessionPresent = packet.sessionPresent;
        resolve();
      });
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed before CONNACK')));
    });
    return peer;
  }

  /** Waits for so many messages in all. */
  async received(count: number): Promise<ReceivedMessage[]> {
    await this.changed.until(
      () => this.messages.length >= count,
      () =>
        `${count} messages, got ${JSON.stringify(this.messages.map(({ topic, payload }) => [topic, payload]))}`,
    );
    return this.messages;
  }

  /** Waits for a message with a payload, whatever comes in front of it. */
  async receivedText(payload: string): Promise<ReceivedMessage> {
    const found = () => this.messages.find((message) => message.payload === payload);
    await this.changed.until(
      () => found() !== undefined,
      () => `${payload}, got ${JSON.stringify(this.messages.map((message) => message.payload))}`,
    );
    return found()!;
  }

  async untilClosed(): Promise<void> {
    await this.changed.until(
      () => this.closed,
      () => 'the end of the connection',
    );
  }

  async end(): Promise<void> {
    await this.client.endAsync();
  }

  /** Ends the connection without DISCONNECT. */
  drop(): void {
    this.client.stream.destroy();
  }
}

/** A socket that sends any bytes and reads packets. */
export class RawMqtt {
  readonly packets: Packet[] = [];
  /** Everything that was received. */
  bytes: Buffer = Buffer.alloc(0);
  closed = false;
  private readonly socket: net.Socket;
  private readonly changed = new Signal();
  private readonly version: 4 | 5;

  private constructor(socket: net.Socket, version: 4 | 5) {
    this.socket = socket;
    this.version = version;
    const reader = parser({ protocolVersion: version });
    reader.on('packet', (packet: Packet) => this.packets.push(packet));
    reader.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      reader.parse(chunk);
      this.changed.notify();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.changed.notify();
    });
  }

  static async open(port: number, version: 4 | 5 = 4): Promise<RawMqtt> {
    const socket = net.connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    return new RawMqtt(socket, version);
  }

  /** Opens a socket and connects a clean session. */
  static async connected(
    port: number,
    version: 4 | 5 = 4,
    more: Record<string, unknown> = {},
  ): Promise<RawMqtt> {
    const raw = await RawMqtt.open(port, version);
    raw.connect(more);
    await raw.until('connack');
    return raw;
  }

  private get seen(): string {
    return this.packets
      .map(({ cmd }) => cmd)
      .join(' ')
      .slice(-1000);
  }

  connect(more: Record<string, unknown> = {}): void {
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: this.version,
      clean: true,
      clientId: '',
      keepalive: 0,
      ...more,
    } as Packet);
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet, { protocolVersion: this.version }));
  }

  /** Bytes in hex, spaces allowed. */
  write(hex: string): void {
    this.socket.write(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
  }

  /** Waits for the nth packet of a kind, counted from 1. */
  async until<C extends Packet['cmd']>(cmd: C, nth = 1): Promise<Extract<Packet, { cmd: C }>> {
    const found = () => this.packets.filter((packet) => packet.cmd === cmd);
    await this.changed.until(
      () => found().length >= nth || this.closed,
      () => `${cmd} number ${nth}, got ${this.seen}`,
    );
    const packet = found()[nth - 1];
    if (packet === undefined) throw new Error(`closed without ${cmd}: ${this.seen}`);
    return packet as Extract<Packet, { cmd: C }>;
  }

  async untilClosed(): Promise<Packet[]> {
    await this.changed.until(
      () => this.closed,
      () => `the end of the connection, got ${this.seen}`,
    );
    return this.packets;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
