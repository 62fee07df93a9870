// MQTT: what is measured, and the three servers it is measured with. Debian's mosquitto is a second reference here.
//
// Every server starts without users, with its own way of keeping QoS 1: natsd and nats-server with JetStream on the disk, as
// their defaults are (natsd syncs before PUBACK, nats-server every two minutes), mosquitto with persistence (saved every half hour).

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holdConnections, runDriver } from './driver.mjs';
import { ratio } from './goals.mjs';
import { accepts, freePort, launch, settledBytes } from './server.mjs';

const MOSQUITTO = process.env.MOSQUITTO || '/usr/sbin/mosquitto';
const HOST = '127.0.0.1';
export const MOSQUITTO_NAME = 'mosquitto';

/** @returns {import('./server.mjs').Product} */
export function findMosquitto() {
  const result = spawnSync(MOSQUITTO, ['-h'], { encoding: 'utf8', timeout: 15_000 });
  const version = /mosquitto version (\S+)/.exec(result.stdout ?? '')?.[1];
  if (version === undefined)
    throw new Error(`${MOSQUITTO} doesn't run: apt-get install mosquitto, or MOSQUITTO names one`);
  return { name: MOSQUITTO_NAME, command: [MOSQUITTO], version };
}

/** @param {string} directory @param {number} client @param {number} port */
function natsConfig(directory, client, port) {
  return `server_name: bench
listen: "${HOST}:${client}"
max_connections: 64K
max_pending: 64MB
jetstream { store_dir: ${JSON.stringify(join(directory, 'store'))} }
# A hundred thousand retained messages take nats-server longer than its five seconds.
mqtt { listen: "${HOST}:${port}", js_api_timeout: "2m" }
`;
}

/** Without limits on what waits, or messages are dropped and the run is none. @param {string} directory @param {number} port */
function mosquittoConfig(directory, port) {
  return `listener ${port} ${HOST}
allow_anonymous true
persistence true
persistence_location ${directory}/
max_inflight_messages 1024
max_queued_messages 0
user root
`;
}

/**
 * Starts a server with its MQTT listener.
 *
 * @param {import('./server.mjs').Product} product
 * @param {string} directory
 * @returns {Promise<import('./server.mjs').Server>} `port` is the one for MQTT
 */
async function start(product, directory) {
  const port = await freePort();
  const own = join(directory, `${product.name}-mqtt-${port}`);
  mkdirSync(own);
  const file = join(own, 'server.conf');
  const isMosquitto = product.name === MOSQUITTO_NAME;
  writeFileSync(file, isMosquitto ? mosquittoConfig(own, port) : natsConfig(own, await freePort(), port));
  return launch(product, ['-c', file], { directory: own, port, isReady: accepts });
}

/** @typedef {import('./goals.mjs').Goal} Goal */
/** @typedef {import('./goals.mjs').Row} Row */
/** @typedef {import('./goals.mjs').Context} Context */

/**
 * A row for each server to be compared with: the goal against the better of the two is a goal against both.
 *
 * @param {string} metric @param {string} label @param {Row['unit']} unit
 * @param {{ nats: Goal | null, mosquitto: Goal | null }} goals
 * @returns {Row[]}
 */
function rows(metric, label, unit, { nats, mosquitto }) {
  return [
    { metric, label, unit, goal: nats },
    {
      metric,
      label: `${label}, reference ${MOSQUITTO_NAME}`,
      unit,
      goal: mosquitto,
      against: MOSQUITTO_NAME,
    },
  ];
}

/** @param {Goal} goal */
const both = (goal) => ({ nats: goal, mosquitto: goal });
/** @param {Goal} goal */
const natsOnly = (goal) => ({ nats: goal, mosquitto: null });

/**
 * @param {string} id @param {string} title @param {{ nats: Goal | null, mosquitto: Goal | null }} goals
 * @param {Record<string, string | number>} load
 */
function throughput(id, title, goals, load) {
  const metric = load.subscribers ? 'deliveredPerS' : 'publishedPerS';
  return {
    id,
    title,
    start,
    rows: rows(metric, title, 'rate', goals),
    /** @param {Context} context */
    async sample({ target, seconds, warmupSeconds }) {
      await runDriver(target, 'mqtt-throughput', { ...load, seconds: warmupSeconds });
      const result = await runDriver(target, 'mqtt-throughput', { ...load, seconds });
      return {
        publishedPerS: result.published_per_s,
        deliveredPerS: result.delivered_per_s,
        cpuNs: result.server_cpu_ns_per_message,
      };
    },
  };
}

const idle = {
  id: 'mqtt/idle',
  title: 'MQTT, memory per idle client with one subscription',
  start,
  rows: rows('bytesEach', 'MQTT idle client, memory each', 'bytes', natsOnly(ratio('less', 1, 0.5))),
  /** @param {Context} context */
  async sample({ target, connections }) {
    const first = await holdConnections(target, { connections: Math.min(500, connections) }, 'mqtt-hold');
    await first.release();
    const before = await settledBytes(target.pid, 5);
    const held = await holdConnections(target, { connections }, 'mqtt-hold');
    const after = await settledBytes(target.pid, 10);
    await held.release();
    return { bytesEach: (after - before) / connections, openedPerS: connections / held.seconds };
  },
};

/** @param {number} topics */
function retained(topics) {
  const title = `MQTT, ${topics.toLocaleString('en')} retained topics on subscribe`;
  return {
    id: `mqtt/retained-${topics}`,
    title,
    start,
    rows: rows('retainedPerS', title, 'rate', both(ratio('more', 1, 2))),
    /** @param {Context} context */
    async sample({ target, seconds }) {
      const result = await runDriver(target, 'mqtt-retained', { topics, size: 128, seconds, timeout: 120 });
      return {
        retainedPerS: result.retained_per_s,
        storedPerS: result.stored_per_s,
        cpuNs: result.server_cpu_ns_per_message,
      };
    },
  };
}

export const mqttCases = [
  throughput('mqtt/qos0-1-1-128B', 'MQTT QoS 0, 128 B 1:1', both(ratio('more', 1.2, 2)), {
    size: 128,
    subscribers: 1,
  }),
  throughput('mqtt/fanout-100-128B', 'MQTT QoS 0, 128 B 1:100 fan-out', both(ratio('more', 1.2, 2)), {
    size: 128,
    subscribers: 100,
    window: 1024,
  }),
  throughput('mqtt/qos1-1-1-128B', 'MQTT QoS 1 durable, 128 B 1:1', natsOnly(ratio('more', 2, 4)), {
    size: 128,
    subscribers: 1,
    qos: 1,
    persistent: 1,
  }),
  throughput('mqtt/qos1-4-1-128B', 'MQTT QoS 1 durable, 128 B 4:1', natsOnly(ratio('more', 2, 4)), {
    size: 128,
    publishers: 4,
    subscribers: 1,
    qos: 1,
    persistent: 1,
  }),
  idle,
  retained(100_000),
];
