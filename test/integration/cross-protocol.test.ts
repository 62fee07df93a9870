/**
 * Every way to publish against every way to receive: NATS and MQTT, each over TCP and over WebSocket, MQTT at each QoS and in both
 * versions, and a stream with a push consumer behind.
 */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { MqttPeer, mqttPort } from '../support/mqtt.ts';
import { FrameReader } from '../support/server-frames.ts';
import { Signal } from '../support/waiting.ts';
import { WebsocketClient } from '../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';

const QOS = [0, 1, 2] as const;
type Qos = (typeof QOS)[number];
type Carrier = 'TCP' | 'WebSocket';

/** Payloads as a receiver got them; of MQTT with the QoS behind. */
interface Receiver {
  name: string;
  /** -1: not MQTT. */
  qos: number;
  /** What has come, in order. */
  seen(): string[];
  until(count: number): Promise<void>;
}

interface Publisher {
  name: string;
  /** -1: not MQTT. */
  qos: number;
  publish(topic: string, payload: string): Promise<void>;
}

describe.each(TRANSPORTS)('with %s', (transport) => {
  let daemon: Daemon;
  let nats: NatsConnection;
  let web: WebsocketClient;
  const open: { drop(): void }[] = [];
  const publishers: Publisher[] = [];
  const receivers: Receiver[] = [];

  async function mqtt(carrier: Carrier, version: 4 | 5, clean: boolean): Promise<MqttPeer> {
    const kept = version === 5 ? { properties: { sessionExpiryInterval: 1000 } } : {};
    const options = {
      protocolVersion: version,
      clientId: `${carrier}-${version}-${open.length}`,
      clean,
      ...(clean ? {} : kept),
    };
    const peer =
      carrier === 'TCP'
        ? await MqttPeer.connect(await mqttPort(daemon), options)
        : await MqttPeer.connect(websocketPort(daemon), { protocol: 'ws', path: '/mqtt', ...options });
    open.push(peer);
    return peer;
  }

  function natsReceiver(): Receiver {
    const [seen, changed] = [[] as string[], new Signal()];
    nats.subscribe('x.>', {
      callback: (_error, message) => {
        seen.push(message.string());
        changed.notify();
      },
    });
    const until = (count: number) =>
      changed.until(
        () => seen.length >= count,
        () => `${count} messages, got ${seen}`,
      );
    return { name: 'NATS over TCP', qos: -1, seen: () => seen, until };
  }

  function webReceiver(): Receiver {
    const seen = (): string[] =>
      new FrameReader()
        .push(Buffer.from(web.text, 'latin1'))
        .flatMap(({ payload }) => (payload === null ? [] : [payload.slice(payload.lastIndexOf('\n') + 1)]));
    const until = (count: number) => web.until(() => seen().length >= count, `${count} messages`);
    return { name: 'NATS over WebSocket', qos: -1, seen, until };
  }

  async function mqttReceiver(carrier: Carrier, version: 4 | 5, qos: Qos, clean: boolean): Promise<Receiver> {
    const peer = await mqtt(carrier, version, clean);
    await peer.client.subscribeAsync('x/#', { qos });
    return {
      name: `MQTT ${version} over ${carrier}, QoS ${qos}, clean ${clean}`,
      qos,
      seen: () => peer.messages.map(({ payload, qos: received }) => `${payload} ${received}`),
      until: async (count) => void (await peer.received(count)),
    };
  }

  beforeAll(async () => {
    const rest = 'server_name: cross\njetstream { store_dir: "./store" }\nmqtt { listen: "127.0.0.1:-1" }\n';
    daemon = await startWebsocket(transport, '', rest);
    nats = await connect({ servers: `127.0.0.1:${daemon.port}`, reconnect: false });
    await (await jetstreamManager(nats)).streams.add({ name: 'ALL', subjects: ['x.>'] });
    web = await WebsocketClient.connect({ port: websocketPort(daemon) });
    await web.handshake();
    await web.sync('SUB x.> 1\r\n');
    receivers.push(natsReceiver(), webReceiver());
    await nats.flush();
    publishers.push(
      {
        name: 'NATS over TCP',
        qos: -1,
        publish: async (topic, text) => nats.publish(topic.replace('/', '.'), text),
      },
      {
        name: 'NATS over WebSocket',
        qos: -1,
        publish: async (topic, text) =>
          web.send(`PUB ${topic.replace('/', '.')} ${text.length}\r\n${text}\r\n`),
      },
      {
        name: 'JetStream',
        qos: -1,
        publish: async (topic, text) => void (await jetstream(nats).publish(topic.replace('/', '.'), text)),
      },
    );
    for (const carrier of ['TCP', 'WebSocket'] as const)
      for (const version of [4, 5] as const) {
        const peer = await mqtt(carrier, version, true);
        for (const qos of QOS) {
          receivers.push(await mqttReceiver(carrier, version, qos, qos === 1));
          publishers.push({
            name: `MQTT ${version} over ${carrier}, QoS ${qos}`,
            qos,
            publish: async (topic, text) => void (await peer.client.publishAsync(topic, text, { qos })),
          });
        }
      }
  });
  afterAll(async () => {
    for (const one of open) one.drop();
    web?.destroy();
    await nats?.close();
    await daemon?.stop();
  });

  test('each message reaches each receiver once, in order and at its QoS, and the stream', async () => {
    expect([publishers.length, receivers.length]).toEqual([15, 14]);
    for (const [i, publisher] of publishers.entries()) {
      await publisher.publish(`x/${i}`, `from ${i}`);
      for (const receiver of receivers) await receiver.until(i + 1);
    }
    for (const receiver of receivers) {
      const expected = publishers.map(({ qos }, i) =>
        receiver.qos < 0 ? `from ${i}` : `from ${i} ${Math.max(0, Math.min(qos, receiver.qos))}`,
      );
      expect(receiver.seen(), receiver.name).toEqual(expected);
    }
    const manager = await jetstreamManager(nats);
    for (const [i, { name }] of publishers.entries()) {
      const stored = await manager.streams.getMessage('ALL', { last_by_subj: `x.${i}` });
      expect([name, stored?.string()]).toEqual([name, `from ${i}`]);
    }
    expect((await manager.streams.info('ALL')).state.messages).toBe(publishers.length);
  });

  test('a consumer of the stream delivers to all of them', async () => {
    const counts = receivers.map((receiver) => receiver.seen().length);
    const manager = await jetstreamManager(nats);
    await manager.streams.add({ name: 'SOURCE', subjects: ['source'] });
    // A consumer delivers as soon as somebody listens on its very subject: a wildcard is no reason, as in nats-server.
    nats.subscribe('x.pushed', { callback: () => undefined });
    await nats.flush();
    await jetstream(nats).publish('source', 'stored');
    await manager.consumers.add('SOURCE', {
      durable_name: 'push',
      deliver_subject: 'x.pushed',
      ack_policy: 'none',
    });
    for (const [i, receiver] of receivers.entries()) {
      await receiver.until(counts[i]! + 1);
      expect(receiver.seen().at(-1), receiver.name).toBe(receiver.qos < 0 ? 'stored' : 'stored 0');
    }
  });
});
