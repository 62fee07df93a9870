/** What the conformance tests of MQTT have in common: a server, raw clients, and tests named after statements. */
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, test } from 'vitest';
import { Daemon } from './daemon.ts';
import { mqttPort, RawMqtt } from './mqtt.ts';

/** Protocol level: 4 is version 3.1.1. */
export type Level = 4 | 5;

interface Ids {
  /** Numbers of statements of 3.1.1, with a space between them. */
  v3?: string;
  v5?: string;
}

/** Defines a test for each version that has such statements, named after them. */
export function statement(ids: Ids, text: string, run: (level: Level) => Promise<void>): void {
  const versions = [
    [4, '3.1.1', ids.v3],
    [5, '5.0', ids.v5],
  ] as const;
  for (const [level, version, list] of versions) {
    if (list === undefined) continue;
    const names = list.split(' ').map((id) => `[MQTT-${id}]`);
    test(`${version} ${names.join(' ')} ${text}`, () => run(level));
  }
}

export const CONFORMANCE_CONFIG = `
server_name: conform
max_payload: 65536
authorization { users: [
  { user: guest, password: pw }
  { user: limited, password: pw, permissions: { publish: { deny: "deny.>" }, subscribe: { deny: "deny.>" } } }
] }
no_auth_user: guest
`;
const JETSTREAM_BLOCK = 'jetstream { store_dir: "./store" }\n';
export const MQTT_BLOCK = 'mqtt { listen: "127.0.0.1:-1" }\n';

export interface Wish {
  qos?: 0 | 1 | 2;
  nl?: boolean;
  rap?: boolean;
  rh?: 0 | 1 | 2;
  id?: number;
}

let names = 0;
/** A topic, or client id, that nothing else has. */
export const fresh = (): string => `conform/${process.pid}/${names++}`;

/** A server of a test file, and the clients of each of its tests. */
export class Broker {
  daemon!: Daemon;
  port = 0;
  readonly #open: RawMqtt[] = [];

  /** To be called in the body of a test file. @param head of the configuration */
  static forTests(block = MQTT_BLOCK, head = CONFORMANCE_CONFIG): Broker {
    const broker = new Broker();
    beforeAll(async () => {
      broker.daemon = await Daemon.start({ shards: 2, config: head + JETSTREAM_BLOCK + block });
      broker.port = await mqttPort(broker.daemon);
    });
    afterEach(() => {
      for (const raw of broker.#open.splice(0)) raw.destroy();
    });
    afterAll(async () => {
      await broker.daemon?.stop();
    });
    return broker;
  }

  async open(level: Level): Promise<RawMqtt> {
    const raw = await RawMqtt.open(this.port, level);
    this.#open.push(raw);
    return raw;
  }

  /** A client with a session that ends with it, unless told otherwise. */
  async connected(level: Level, more: Record<string, unknown> = {}): Promise<RawMqtt> {
    const raw = await this.open(level);
    raw.connect(more);
    await raw.until('connack');
    return raw;
  }

  /** A client whose session is kept. */
  async kept(level: Level, clientId: string, more: Record<string, unknown> = {}): Promise<RawMqtt> {
    return this.connected(level, { ...keptSession(level, clientId), ...more });
  }

  /** Publishes at QoS 1 and waits until the server has it. */
  async stored(topic: string, payload: string, more: Partial<IPublishPacket> = {}): Promise<void> {
    const raw = await this.connected(5);
    publish(raw, topic, payload, { qos: 1, messageId: 1, ...more });
    await raw.until('puback');
    raw.destroy();
  }

  /** What a subscriber of now is sent of retained messages. */
  async retained(level: Level, filter: string): Promise<string[]> {
    const raw = await this.connected(level);
    await subscribe(raw, filter);
    return settled(raw);
  }

  /** Waits until a message that was published before with an expiry of a second is gone. */
  async untilExpired(): Promise<void> {
    const topic = fresh();
    await this.stored(topic, 'x', { retain: true, properties: { messageExpiryInterval: 1 } });
    for (let found = ['']; found.length > 0; ) found = await this.retained(5, topic);
  }

  /** Sends bytes on a new connection before any CONNECT. @returns what it was sent until it was closed */
  async rejected(level: Level, hex: string): Promise<Packet[]> {
    const raw = await this.open(level);
    raw.write(hex);
    return raw.untilClosed();
  }

  /** Sends bytes on a connection. @returns what it was sent between CONNACK and its end */
  async ended(level: Level, hex: string): Promise<Packet[]> {
    const raw = await this.connected(level);
    raw.write(hex);
    return (await raw.untilClosed()).slice(1);
  }
}

export function keptSession(level: Level, clientId: string): Record<string, unknown> {
  const properties = level === 5 ? { properties: { sessionExpiryInterval: 1000 } } : {};
  return { clean: false, clientId, ...properties };
}

export async function subscribe(
  raw: RawMqtt,
  filter: string,
  { qos = 0, id, ...rest }: Wish = {},
): Promise<void> {
  const properties = id === undefined ? {} : { properties: { subscriptionIdentifier: id } };
  const before = raw.packets.filter(({ cmd }) => cmd === 'suback').length;
  const subscriptions = [{ topic: filter, qos, ...rest }];
  raw.send({ cmd: 'subscribe', messageId: 77, subscriptions, ...properties } as Packet);
  await raw.until('suback', before + 1);
}

export function publish(
  raw: RawMqtt,
  topic: string,
  payload: string,
  more: Partial<IPublishPacket> = {},
): void {
  raw.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...more });
}

export function publishes(raw: RawMqtt): IPublishPacket[] {
  return raw.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet] : []));
}

export function payloads(raw: RawMqtt): string[] {
  return publishes(raw).map(({ payload }) => payload.toString());
}

/** What the client has been sent by now: the answer to a PINGREQ comes behind it. @returns the payloads */
export async function settled(raw: RawMqtt): Promise<string[]> {
  const before = raw.packets.filter(({ cmd }) => cmd === 'pingresp').length;
  raw.send({ cmd: 'pingreq' });
  await raw.until('pingresp', before + 1);
  return payloads(raw);
}

export async function disconnect(raw: RawMqtt, reasonCode = 0): Promise<void> {
  raw.send({ cmd: 'disconnect', reasonCode } as Packet);
  await raw.untilClosed();
}

// Packets by hand

const hex = (bytes: readonly number[]): string => Buffer.from(bytes).toString('hex');

/** Bytes with their length in front. */
export function field(value: string | readonly number[]): string {
  const bytes = Buffer.from(typeof value === 'string' ? Buffer.from(value) : value);
  return hex([bytes.length >> 8, bytes.length & 0xff]) + bytes.toString('hex');
}

/** A packet of up to 127 bytes behind its length. */
export function packet(first: number, ...body: string[]): string {
  const text = body.join('').replace(/\s/g, '');
  return hex([first, text.length / 2]) + text;
}

/** What stands in 5.0 for "no properties", and nothing in 3.1.1. */
export const none = (level: Level): string => (level === 5 ? '00' : '');

/** A property block, or nothing in 3.1.1. */
export function properties(level: Level, ...content: string[]): string {
  const text = content.join('').replace(/\s/g, '');
  return level === 5 ? hex([text.length / 2]) + text : '';
}

interface ConnectParts {
  name?: string;
  /** Other than the version's own. */
  level?: number;
  flags?: number;
  properties?: string;
  /** Everything behind the properties. */
  payload: string;
}

/** A CONNECT by hand; flags 2 (clean) unless given. */
export function connectPacket(level: Level, parts: ConnectParts): string {
  const { name = 'MQTT', flags = 2, payload } = parts;
  const head = field(name) + hex([parts.level ?? level, flags, 0, 0]);
  return packet(0x10, head, parts.properties ?? none(level), payload);
}
