/**
 * kill -9 under load, with sessions that are kept. The clients are models: their state of QoS 1 and 2 outlives the server,
 * as that of a device does, and they resume as OASIS 4.4 wants it. Publisher and subscriber are on different shards where there
 * are two; it is all the same to a shared subscription, and to one whose only member comes back after the publisher.
 *
 * NATSD_KILL_ROUNDS=20 runs more rounds than the suite has time for.
 */
import net from 'node:net';
import { generate, type Packet, parser } from 'mqtt-packet';
import { afterEach, expect, test } from 'vitest';
import { Prng } from '../../src/shared/base/prng.ts';
import { Daemon } from '../support/daemon.ts';
import { mqttPort } from '../support/mqtt.ts';
import { GUARD_MS, Signal } from '../support/waiting.ts';

const ROUNDS = Number(process.env.NATSD_KILL_ROUNDS ?? 3);
const IN_FLIGHT = 64;
const TOPICS = 5;
const RETAINED_TOPICS = 3;
const FOREVER = 0xffffffff;
const CONFIG = 'server_name: killed\njetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n';

type Version = 4 | 5;

/** A connection after the other, with one client id. */
abstract class Device {
  readonly clientId: string;
  readonly changed: Signal;
  sessionPresent = false;
  connected = false;
  #socket: net.Socket | null = null;
  #version: Version = 4;

  constructor(clientId: string, changed: Signal) {
    this.clientId = clientId;
    this.changed = changed;
  }

  connect(port: number, version: Version): void {
    const socket = net.connect(port, '127.0.0.1');
    this.#socket = socket;
    this.#version = version;
    const reader = parser({ protocolVersion: version });
    reader.on('packet', (packet: Packet) => {
      if (this.#socket !== socket) return;
      if (packet.cmd === 'connack') {
        this.sessionPresent = packet.sessionPresent;
        this.connected = true;
        this.resume();
      } else this.receive(packet);
    });
    socket.on('data', (bytes) => {
      reader.parse(bytes);
      this.changed.notify();
    });
    socket.on('error', () => undefined);
    const properties = version === 5 ? { properties: { sessionExpiryInterval: FOREVER } } : {};
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: false,
      clientId: this.clientId,
      keepalive: 0,
      ...properties,
    });
  }

  /** The server is gone: what this device knows stays. */
  lost(): void {
    this.connected = false;
    this.#socket?.destroy();
    this.#socket = null;
  }

  send(packet: Packet): void {
    this.#socket?.write(generate(packet, { protocolVersion: this.#version }));
  }

  abstract resume(): void;
  abstract receive(packet: Packet): void;
}

interface UnderWay {
  readonly number: number;
  readonly qos: 1 | 2;
  readonly topic: string;
  readonly retain: boolean;
  released: boolean;
}

/** Publishes numbers, QoS 1 and 2 in turn, some of them retained. */
class Publisher extends Device {
  readonly done = new Map<number, UnderWay>();
  readonly lastRetained = new Map<string, number>();
  stopped = false;
  #next = 0;
  #nextId = 1;
  /** In the order of their first sending. */
  readonly underWay = new Map<number, UnderWay>();

  resume(): void {
    for (const [packetId, message] of this.underWay) {
      if (message.released) this.send({ cmd: 'pubrel', messageId: packetId, qos: 1 } as Packet);
      else this.#publish(packetId, message, true);
    }
    this.fill();
  }

  fill(): void {
    while (!this.stopped && this.connected && this.underWay.size < IN_FLIGHT) {
      const number = this.#next++;
      const retain = number % 10 === 0;
      const topic = retain ? `kill/r/${(number / 10) % RETAINED_TOPICS}` : `kill/t/${number % TOPICS}`;
      const message: UnderWay = { number, qos: number % 2 === 0 ? 2 : 1, topic, retain, released: false };
      while (this.underWay.has(this.#nextId)) this.#nextId = (this.#nextId % 65_535) + 1;
      this.underWay.set(this.#nextId, message);
      this.#publish(this.#nextId, message, false);
    }
  }

  #publish(packetId: number, { number, qos, topic, retain }: UnderWay, dup: boolean): void {
    this.send({ cmd: 'publish', topic, payload: String(number), qos, retain, dup, messageId: packetId });
  }

  receive(packet: Packet): void {
    const packetId = packet.messageId ?? 0;
    const message = this.underWay.get(packetId);
    if (packet.cmd === 'pubrec') {
      if (message !== undefined) message.released = true;
      this.send({ cmd: 'pubrel', messageId: packetId, qos: 1 } as Packet);
    } else if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') {
      if (message === undefined) return;
      this.underWay.delete(packetId);
      this.done.set(message.number, message);
      if (message.retain) this.lastRetained.set(message.topic, message.number);
      this.fill();
    }
  }
}

/** Receives them, and takes part in QoS 2 as a receiver does (method B). */
class Subscriber extends Device {
  /** How often each number came. */
  readonly counts = new Map<number, number>();
  /** Numbers in order of their first coming, by topic. */
  readonly order = new Map<string, number[]>();
  readonly filters = new Set<string>();
  readonly topics: string[] = [];
  readonly #unreleased = new Set<number>();
  readonly #asked = new Map<number, string>();
  #nextId = 1;

  subscribe(filter: string): void {
    const packetId = this.#nextId++;
    this.#asked.set(packetId, filter);
    this.send({ cmd: 'subscribe', messageId: packetId, subscriptions: [{ topic: filter, qos: 2, rh: 2 }] });
  }

  resume(): void {}

  receive(packet: Packet): void {
    const packetId = packet.messageId ?? 0;
    if (packet.cmd === 'suback') this.filters.add(this.#asked.get(packetId)!);
    else if (packet.cmd === 'pubrel') {
      this.#unreleased.delete(packetId);
      this.send({ cmd: 'pubcomp', messageId: packetId });
    } else if (packet.cmd === 'publish') {
      if (packet.qos !== 2 || !this.#unreleased.has(packetId))
        this.#take(packet.topic, Number(packet.payload));
      if (packet.qos === 2) this.#unreleased.add(packetId);
      if (packet.qos > 0) this.send({ cmd: packet.qos === 2 ? 'pubrec' : 'puback', messageId: packetId });
    }
  }

  #take(topic: string, number: number): void {
    const count = (this.counts.get(number) ?? 0) + 1;
    this.counts.set(number, count);
    if (count > 1) return;
    this.topics.push(topic);
    const seen = this.order.get(topic) ?? [];
    seen.push(number);
    this.order.set(topic, seen);
  }
}

let daemon: Daemon | null = null;
const devices: Device[] = [];

afterEach(async () => {
  for (const device of devices.splice(0)) device.lost();
  await daemon?.stop();
  daemon = null;
});

/** The retained messages of a filter, as a new client gets them. */
async function retained(port: number, expected: number): Promise<Map<string, number>> {
  const changed = new Signal();
  const found = new Map<string, number>();
  const reader = new (class extends Device {
    resume(): void {
      this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'kill/r/#', qos: 0 }] });
    }

    receive(packet: Packet): void {
      if (packet.cmd === 'publish' && packet.retain) found.set(packet.topic, Number(packet.payload));
    }
  })('reader', changed);
  devices.push(reader);
  reader.connect(port, 4);
  await changed.until(
    () => found.size >= expected,
    () => `${expected} retained messages, got ${found.size}`,
  );
  return found;
}

function judge(publisher: Publisher, subscriber: Subscriber, isShared: boolean): void {
  const lost: number[] = [];
  const repeated: number[] = [];
  for (const { number, qos } of publisher.done.values()) {
    const count = subscriber.counts.get(number) ?? 0;
    if (count === 0) lost.push(number);
    if (qos === 2 && count > 1) repeated.push(number);
  }
  expect(lost, 'acknowledged, but never delivered').toEqual([]);
  expect(repeated, '[MQTT-4.3.3] delivered more than once').toEqual([]);
  // Order is promised to subscriptions that aren't shared.
  if (isShared) return;
  for (const [topic, numbers] of subscriber.order)
    for (const qos of [1, 2]) {
      const own = numbers.filter((number) => publisher.done.get(number)?.qos === qos);
      expect(own, `[MQTT-4.6.0-6] order on ${topic}`).toEqual(own.toSorted((a, b) => a - b));
    }
}

test.each([
  [1, 'kill/#'],
  [2, 'kill/#'],
  [1, '$share/g/kill/#'],
  [2, '$share/g/kill/#'],
])(
  'kill -9 under load: nothing acknowledged is lost, QoS 2 comes once (%i shards, %s)',
  { timeout: (2 + ROUNDS) * GUARD_MS },
  async (shards, filter) => {
    const isShared = filter.startsWith('$share');
    const random = new Prng(4711 + shards);
    const changed = new Signal();
    const publisher = new Publisher('publisher', changed);
    const subscriber = new Subscriber('subscriber', changed);
    devices.push(publisher, subscriber);
    daemon = await Daemon.start({ config: CONFIG, shards });
    const { directory } = daemon;
    const until = (what: string, condition: () => boolean) => changed.until(condition, () => what);

    subscriber.connect(await mqttPort(daemon), isShared ? 5 : 4);
    await until('CONNACK', () => subscriber.connected);
    subscriber.subscribe(filter);
    await until('SUBACK', () => subscriber.filters.size === 1);
    publisher.connect(await mqttPort(daemon), 5);
    for (let round = 0; round < ROUNDS; round++) {
      const target = publisher.done.size + 100 + random.below(900);
      const filters = subscriber.filters.size + 1;
      subscriber.subscribe(`added/${round}`);
      await until(`${target} acknowledgements`, () => publisher.done.size >= target);
      await until('SUBACK', () => subscriber.filters.size >= filters);
      await daemon.stop('SIGKILL', true);
      publisher.lost();
      subscriber.lost();
      daemon = await Daemon.start({ config: CONFIG, shards, directory });
      const port = await mqttPort(daemon);
      const version = round % 2 === 0 ? 5 : 4;
      subscriber.connect(port, isShared ? 5 : version);
      publisher.connect(port, version);
      await until('CONNACK', () => subscriber.connected && publisher.connected);
      expect([subscriber.sessionPresent, publisher.sessionPresent]).toEqual([true, true]);
    }
    publisher.stopped = true;
    await until('the last acknowledgement', () => publisher.underWay.size === 0);
    await until('the last message', () => subscriber.counts.size >= publisher.done.size);
    judge(publisher, subscriber, isShared);

    const port = await mqttPort(daemon);
    expect(await retained(port, publisher.lastRetained.size)).toEqual(publisher.lastRetained);
    const before = subscriber.topics.length;
    for (let round = 0; round < ROUNDS; round++)
      publisher.send({
        cmd: 'publish',
        topic: `added/${round}`,
        payload: String(1e9 + round),
        qos: 0,
        retain: false,
        dup: false,
      });
    await until('a message for each filter', () => subscriber.topics.length >= before + ROUNDS);
  },
);
