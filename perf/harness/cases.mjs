// What is measured, and the figure each measurement has to reach.
//
// A case yields one or more rows. The target of a row is judged on the median of the pairs' ratios (`ratio`), or on
// natsd's own median (`natsd`), where the goal is an absolute figure.

import { consumerCases } from './consumer-cases.mjs';
import { holdConnections, runDriver } from './driver.mjs';
import { atLeast, atMost, CPU_METRIC, ratio } from './goals.mjs';
import { jetstreamCases } from './jetstream-cases.mjs';
import { mqttCases } from './mqtt.mjs';
import { ringFigures } from './ring.mjs';
import { settledBytes } from './server.mjs';

/**
 * @param {string} id
 * @param {string} title
 * @param {{ required: number, aim: number, load: Record<string, string | number> }} definition
 * @returns {import('./goals.mjs').Case}
 */
function throughput(id, title, { required, aim, load }) {
  const metric = load.subscribers ? 'deliveredPerS' : 'publishedPerS';
  return {
    id,
    title,
    rows: [{ metric, label: title, unit: 'rate', goal: ratio('more', required, aim) }],
    async sample({ target, seconds, warmupSeconds }) {
      await runDriver(target, 'throughput', { ...load, seconds: warmupSeconds });
      const result = await runDriver(target, 'throughput', { ...load, seconds });
      return {
        publishedPerS: result.published_per_s,
        deliveredPerS: result.delivered_per_s,
        [CPU_METRIC]: result.server_cpu_ns_per_message,
      };
    },
  };
}

/** @type {import('./goals.mjs').Case} */
const requestReply = {
  id: 'core/request-reply',
  title: 'request-reply, 16 B, one under way',
  rows: [
    { metric: 'p50Us', label: 'request-reply 16 B, p50', unit: 'us', goal: ratio('less', 1.0, 0.6) },
    { metric: 'p99Us', label: 'request-reply 16 B, p99', unit: 'us', goal: ratio('less', 1.2, 0.6) },
  ],
  async sample({ target, seconds, warmupSeconds }) {
    const load = { size: 16, subject: 'bench.service' };
    await runDriver(target, 'latency', { ...load, seconds: warmupSeconds });
    const result = await runDriver(target, 'latency', { ...load, seconds });
    return { p50Us: result.p50_us, p99Us: result.p99_us, [CPU_METRIC]: result.server_cpu_ns_per_message };
  },
};

/** @type {import('./goals.mjs').Case} */
const idleConnections = {
  id: 'connections/idle',
  title: 'memory per idle connection with one subscription',
  rows: [
    {
      metric: 'bytesEach',
      label: 'idle connection, memory each',
      unit: 'bytes',
      goal: atMost(15 * 1024, 8 * 1024),
    },
  ],
  async sample({ target, connections }) {
    // Some first, so that compiled code and the allocator's first steps are not charged to the many.
    const first = await holdConnections(target, {
      subject: 'bench.idle',
      connections: Math.min(500, connections),
    });
    await first.release();
    const before = await settledBytes(target.pid, 5);
    const held = await holdConnections(target, { subject: 'bench.idle', connections });
    const after = await settledBytes(target.pid, 10);
    await held.release();
    return { bytesEach: (after - before) / connections, openedPerS: connections / held.seconds };
  },
};

/** @type {import('./goals.mjs').Case} */
const connectRate = {
  id: 'connections/rate',
  title: 'connections accepted, greeted and answered per second',
  rows: [{ metric: 'perS', label: 'connections accepted', unit: 'rate', goal: ratio('more', 0.5, 1) }],
  async sample({ target, seconds, warmupSeconds }) {
    await runDriver(target, 'connect', { seconds: warmupSeconds });
    const result = await runDriver(target, 'connect', { seconds });
    return { perS: result.connections_per_s, [CPU_METRIC]: result.server_cpu_ns_per_message };
  },
};

/** @type {import('./goals.mjs').Case} */
const start = {
  id: 'process/start',
  title: 'start to first INFO, and memory when idle',
  rows: [
    { metric: 'startMs', label: 'start to first INFO', unit: 'ms', goal: atMost(200, 80) },
    {
      metric: 'idleBytes',
      label: 'memory when idle',
      unit: 'bytes',
      goal: atMost(100 * 1024 * 1024, 50 * 1024 * 1024),
    },
  ],
  async sample({ target, server }) {
    return { startMs: server.startMs, idleBytes: await settledBytes(target.pid, 4) };
  },
};

/**
 * The same over WebSocket.
 *
 * @param {string} id
 * @param {string} title
 * @param {number} subscribers
 * @returns {import('./goals.mjs').Case}
 */
function websocketThroughput(id, title, subscribers) {
  const load = { size: 128, subscribers, websocket: 1 };
  const { sample, ...rest } = throughput(id, title, { required: 1.2, aim: 2, load });
  return {
    ...rest,
    websocket: true,
    sample: (context) => sample({ ...context, target: overWebsocket(context.target) }),
  };
}

/** @param {import('./driver.mjs').Target} target */
function overWebsocket(target) {
  return { ...target, port: target.websocketPort };
}

/** @type {import('./goals.mjs').Case} */
const websocketConnections = {
  id: 'websocket/idle',
  websocket: true,
  title: 'WebSocket: memory per idle connection with one subscription',
  rows: [
    {
      metric: 'bytesEach',
      label: 'idle WebSocket connection, memory each (5,000)',
      unit: 'bytes',
      goal: ratio('less', 1, 0.5),
    },
  ],
  async sample({ target, connections }) {
    const count = Math.min(5000, connections);
    const load = { subject: 'bench.idle', websocket: 1 };
    const web = overWebsocket(target);
    const first = await holdConnections(web, { ...load, connections: Math.min(500, count) });
    await first.release();
    const before = await settledBytes(target.pid, 5);
    const held = await holdConnections(web, { ...load, connections: count });
    const after = await settledBytes(target.pid, 10);
    await held.release();
    return { bytesEach: (after - before) / count };
  },
};

/** @type {import('./goals.mjs').OwnCase} */
const ring = {
  id: 'ring/pair-128B',
  title: 'one pair of threads through the ring, 128 B',
  own: true,
  rows: [
    {
      metric: 'sleepingPerS',
      label: 'ring, 128 B, threads that sleep',
      unit: 'rate',
      goal: atLeast(5e6, 10e6),
    },
    {
      metric: 'pollingPerS',
      label: 'ring, 128 B, threads that poll',
      unit: 'rate',
      goal: atLeast(5e6, 10e6),
    },
  ],
  sample: ringFigures,
};

/** @type {(import('./goals.mjs').Case | import('./goals.mjs').OwnCase)[]} */
export const cases = [
  throughput('core/publish-16B', '16 B publish, no subscriber', {
    required: 2,
    aim: 3,
    load: { size: 16 },
  }),
  throughput('core/1-1-16B', '16 B 1:1', { required: 2, aim: 3, load: { size: 16, subscribers: 1 } }),
  throughput('core/1-1-128B', '128 B 1:1', { required: 1.5, aim: 2.5, load: { size: 128, subscribers: 1 } }),
  throughput('core/wildcard-128B', '128 B, 1,000 random subjects to one wildcard', {
    required: 1.5,
    aim: 2.5,
    load: { size: 128, subscribers: 1, subject: 'bench.many', subjects: 1000, wildcard: 'bench.many.*' },
  }),
  throughput('core/fanout-10-128B', '128 B 1:10 fan-out', {
    required: 1.3,
    aim: 2,
    load: { size: 128, subscribers: 10 },
  }),
  throughput('core/queue-4-4-128B', '128 B, 4 publishers to a 4-member queue', {
    required: 1.3,
    aim: 2,
    load: { size: 128, publishers: 4, subscribers: 4, queue: 'workers' },
  }),
  throughput('core/1-1-4KB', '4 KB 1:1', { required: 1.2, aim: 2, load: { size: 4096, subscribers: 1 } }),
  throughput('core/1-1-1MB', '1 MB 1:1', {
    required: 1,
    aim: 1.5,
    load: { size: 1_048_576, subscribers: 1 },
  }),
  requestReply,
  idleConnections,
  connectRate,
  websocketThroughput('websocket/1-1-128B', 'WebSocket: 128 B 1:1', 1),
  websocketThroughput('websocket/fanout-100-128B', 'WebSocket: 128 B 1:100 fan-out', 100),
  websocketConnections,
  start,
  ring,
  ...consumerCases,
  ...jetstreamCases,
  ...mqttCases,
];

/**
 * The cases whose id or title contains one of the words, ignoring case; all of them without words. A whole id
 * means that case only, and may be written with a dash for its slash; a group's name stands for the group.
 *
 * @param {string[]} words
 */
export function selectCases(words) {
  if (words.length === 0) return cases;
  const groups = new Set(cases.map(({ id }) => groupOf(id)));
  const ids = new Set(cases.map(({ id }) => id.toLowerCase()));
  /** @param {string} word @param {import('./goals.mjs').Case | import('./goals.mjs').OwnCase} one */
  const matches = (word, { id, title }) => {
    const spelled = word.replace('-', '/');
    for (const exact of [word, spelled]) if (ids.has(exact)) return id.toLowerCase() === exact;
    if (groups.has(word)) return groupOf(id) === word;
    return [id, id.replace('/', '-'), title].some((text) => text.toLowerCase().includes(word));
  };
  return cases.filter((one) => words.some((word) => matches(word.toLowerCase(), one)));
}

/** @param {string} id */
const groupOf = (id) => id.slice(0, id.indexOf('/'));
