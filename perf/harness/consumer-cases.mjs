// JetStream's consuming half, from streams on disk. natsd syncs deliveries and acknowledgements, as it does by default;
// nats-server runs with its own default, which does not.

import { fileURLToPath } from 'node:url';
import { runDriver, runScript } from './driver.mjs';
import { atLeast, CPU_METRIC, ratio } from './goals.mjs';
import { createStreams, fill, withApi } from './jetstream.mjs';
import { settledBytes } from './server.mjs';

/** @typedef {import('./goals.mjs').Case} Case */

const MESSAGES = 1_000_000;
const BATCH = 1000;
const CONSUMERS = 10_000;
const COUNTED_LIMIT_MS = 60_000;
const KV_CLIENT = fileURLToPath(new URL('kv-client.mjs', import.meta.url));
const STREAM = { name: 'BENCH', subjects: ['bench.js.>'] };
/** Half of the messages are below bench.js.0 and bench.js.1; below each there are 100 names, with 10 below each of them. */
const SUBJECT = `bench.js.{2}.{100}.{10}.{${MESSAGES / 2000}}`;

/** @param {number} scale */
const messageCount = (scale) => Math.ceil(MESSAGES * scale);

/** @param {import('./goals.mjs').Context} context */
async function fillStream({ target, scale }) {
  await createStreams(target, [STREAM]);
  await fill(target, { subject: SUBJECT, size: 128, messages: messageCount(scale) });
}

/** @param {object} configuration @returns {string} as the driver wants it: members without braces */
const members = (configuration) => JSON.stringify(configuration).slice(1, -1);

/**
 * Consumes for a while after a warm-up.
 *
 * @param {import('./goals.mjs').Context} context
 * @param {Record<string, string | number>} load
 */
async function consume({ target, seconds, warmupSeconds, scale }, load) {
  const all = { messages: messageCount(scale), batch: BATCH, gapless: 1, ...load };
  await runDriver(target, 'consume', { ...all, seconds: warmupSeconds });
  const result = await runDriver(target, 'consume', { ...all, seconds });
  return { perS: result.received_per_s, [CPU_METRIC]: result.server_cpu_ns_per_message };
}

/**
 * @param {string} id
 * @param {string} title
 * @param {{ required: number, aim: number, configuration: object, load?: Record<string, string | number> }} definition
 * @returns {Case}
 */
function consuming(id, title, { required, aim, configuration, load = {} }) {
  return {
    id,
    title,
    rows: [{ metric: 'perS', label: title, unit: 'rate', goal: ratio('more', required, aim) }],
    jetstream: { referenceSyncs: false, fill: fillStream },
    sample: (context) => consume(context, { consumer: members(configuration), ...load }),
  };
}

/** What the official clients ask for when they run an ordered consumer. */
const ORDERED = {
  deliver_policy: 'all',
  ack_policy: 'none',
  max_deliver: 1,
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: 300_000_000_000,
};

/**
 * @param {string} id
 * @param {string} title
 * @param {{ acknowledges: boolean, always: boolean }} definition whether the consumer does, and whether nats-server syncs too
 * @returns {Case}
 */
function latency(id, title, { acknowledges, always }) {
  const goal = always || !acknowledges ? null : ratio('less', 1.5, 1);
  return {
    id,
    title,
    rows: [
      { metric: 'p50Us', label: `${title}, p50`, unit: 'us', goal },
      { metric: 'p99Us', label: `${title}, p99`, unit: 'us', goal: null },
      { metric: 'ackP50Us', label: `${title}: to the PubAck, p50`, unit: 'us', goal: null },
    ],
    jetstream: { referenceSyncs: always },
    async sample({ target, seconds, warmupSeconds }) {
      await createStreams(target, [STREAM]);
      const consumer = members({ deliver_policy: 'new', ack_policy: acknowledges ? 'explicit' : 'none' });
      const acknowledge = acknowledges ? 1 : 0;
      const load = {
        subject: 'bench.js.latency',
        size: 128,
        batch: BATCH,
        consumer,
        gapless: 1,
        acknowledge,
      };
      // With one message under way it takes longer until what runs is compiled.
      await runDriver(target, 'delivery', { ...load, seconds: 4 * warmupSeconds });
      const result = await runDriver(target, 'delivery', { ...load, seconds });
      return {
        p50Us: result.delivered_p50_us,
        p99Us: result.delivered_p99_us,
        ackP50Us: result.acknowledged_p50_us,
        [CPU_METRIC]: result.server_cpu_ns_per_message,
      };
    },
  };
}

const twoDigits = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'));
/** Filters that take the same half of the messages, in one, a hundred or a thousand parts. */
const FILTERS = {
  one: { filter_subject: 'bench.js.1.>' },
  hundred: { filter_subjects: twoDigits.map((name) => `bench.js.1.${name}.>`) },
  thousand: {
    filter_subjects: twoDigits.flatMap((name) =>
      Array.from({ length: 10 }, (_, digit) => `bench.js.1.${name}.${digit}.>`),
    ),
  },
};

/** @type {Case} */
const filters = {
  id: 'consumers/filters',
  title: 'filtered pull, half of 1 M subjects, by 1, 100 and 1,000 filters',
  rows: [
    { metric: 'unfiltered', label: 'pull from 1 M subjects without a filter', unit: 'rate', goal: null },
    { metric: 'one', label: 'pull with 1 filter', unit: 'rate', goal: null },
    { metric: 'oneShare', label: "1 filter, share of unfiltered's", unit: 'times', goal: atLeast(0.7, 0.9) },
    { metric: 'hundred', label: 'pull with 100 filters', unit: 'rate', goal: null },
    {
      metric: 'hundredShare',
      label: "100 filters, share of unfiltered's",
      unit: 'times',
      goal: atLeast(0.5, 0.9),
    },
    { metric: 'thousand', label: 'pull with 1,000 filters', unit: 'rate', goal: null },
    {
      metric: 'thousandShare',
      label: "1,000 filters, share of unfiltered's",
      unit: 'times',
      goal: atLeast(0.3, 0.9),
    },
  ],
  jetstream: { referenceSyncs: false, fill: fillStream },
  async sample(context) {
    const unfiltered = () => consume(context, { consumer: members({ ack_policy: 'none' }) });
    const before = await unfiltered();
    /** @type {Record<string, number>} */
    const figures = {};
    for (const [name, filter] of Object.entries(FILTERS)) {
      const consumer = members({ ack_policy: 'none', ...filter });
      const messages = Math.floor(messageCount(context.scale) / 2);
      const { perS } = await consume(context, { consumer, messages, gapless: 0 });
      figures[name] = perS;
    }
    // Before and after, because compiled code gets better on the way.
    const { perS: after, [CPU_METRIC]: cpuNs } = await unfiltered();
    for (const name of Object.keys(FILTERS))
      figures[`${name}Share`] = figures[name] / ((before.perS + after) / 2);
    return { ...figures, unfiltered: after, [CPU_METRIC]: cpuNs };
  },
};

/**
 * Waits until the consumers c00000 and up say that all messages are pending: nats-server acknowledges a publish before
 * its consumers have heard of it.
 *
 * @param {import('./driver.mjs').Target} target
 * @param {number} count of consumers, and of messages
 * @returns {Promise<number>} milliseconds that took
 */
function untilCounted(target, count) {
  return withApi(target, async (ask) => {
    const begin = performance.now();
    for (const number of [0, count >> 1, count - 1]) {
      const subject = `CONSUMER.INFO.BENCH.c${String(number).padStart(5, '0')}`;
      for (let pending = -1; pending !== count; ) {
        ({ num_pending: pending } = await ask(subject));
        if (performance.now() - begin > COUNTED_LIMIT_MS)
          throw new Error(`${pending} of ${count} messages pending`);
      }
    }
    const tookMs = performance.now() - begin;
    const { state } = await ask('STREAM.INFO.BENCH');
    if (state.messages !== count || state.consumer_count !== count)
      throw new Error(`${count} messages and consumers wanted: ${JSON.stringify(state)}`);
    return tookMs;
  });
}

/** @type {Case} */
const manyConsumers = {
  id: 'consumers/10k',
  title: '10,000 durable pull consumers on one stream',
  rows: [
    { metric: 'createMs', label: '10,000 consumers, create all', unit: 'ms', goal: ratio('less', 1, 0.5) },
    {
      metric: 'publishMs',
      label: '10,000 consumers, publish 10,000 messages',
      unit: 'ms',
      goal: ratio('less', 1, 0.5),
    },
    {
      metric: 'countedMs',
      label: '10,000 consumers, publish 10,000 messages until all are counted as pending',
      unit: 'ms',
      goal: null,
    },
    { metric: 'bytes', label: '10,000 consumers, memory', unit: 'bytes', goal: ratio('less', 1, 0.5) },
  ],
  jetstream: { referenceSyncs: false },
  async sample({ target, scale, warmupSeconds }) {
    const subject = 'bench.js.orders';
    const warmUp = { name: 'WARM', subjects: ['bench.js.warm'] };
    // Of a stream that names no limit nats-server 2.15.1 lets 1,000 consumers exist.
    await createStreams(target, [warmUp, { ...STREAM, subjects: [subject], max_consumers: 10 * CONSUMERS }]);
    const load = { size: 128, window: 512 };
    // With consumers, or what is measured would run for the first time then.
    await runDriver(target, 'request', {
      subject: '$JS.API.CONSUMER.CREATE.WARM.c{100}',
      body: JSON.stringify({
        stream_name: 'WARM',
        action: 'create',
        config: { durable_name: 'c{100}', ack_policy: 'explicit' },
      }),
      messages: 100,
      window: 64,
      seconds: 30,
    });
    await runDriver(target, 'request', { ...load, subject: 'bench.js.warm', seconds: warmupSeconds });
    await withApi(target, (ask) => ask('STREAM.DELETE.WARM', {}));
    const count = Math.ceil(CONSUMERS * scale);
    const config = { durable_name: 'c{100000}', ack_policy: 'explicit' };
    const created = await runDriver(target, 'request', {
      subject: '$JS.API.CONSUMER.CREATE.BENCH.c{100000}',
      body: JSON.stringify({ stream_name: 'BENCH', action: 'create', config }),
      messages: count,
      window: 64,
      seconds: 120,
      timeout: 60,
    });
    const all = { ...load, subject, messages: count, seconds: 60, timeout: 60 };
    const published = await runDriver(target, 'request', all);
    const countedMs = published.seconds * 1000 + (await untilCounted(target, count));
    return {
      createMs: created.seconds * 1000,
      publishMs: published.seconds * 1000,
      countedMs,
      bytes: await settledBytes(target.pid, 8),
    };
  },
};

/** @type {Case} */
const keyValue = {
  id: 'consumers/kv',
  title: 'key-value with the official client',
  rows: [
    { metric: 'put1', label: 'KV put, one in flight', unit: 'rate', goal: ratio('more', 1, 2) },
    { metric: 'put64', label: 'KV put, 64 in flight', unit: 'rate', goal: ratio('more', 1, 2) },
    { metric: 'get1', label: 'KV get, one in flight', unit: 'rate', goal: ratio('more', 1, 2) },
    { metric: 'get64', label: 'KV get, 64 in flight', unit: 'rate', goal: ratio('more', 1, 2) },
  ],
  jetstream: { referenceSyncs: false },
  // In a process of its own, as every client is.
  sample: ({ target, seconds }) =>
    runScript(KV_CLIENT, [
      String(target.port),
      String(seconds / 2),
      ...(target.user === null ? [] : [target.user, target.password ?? '']),
    ]),
};

/** @type {Case[]} */
export const consumerCases = [
  consuming('consumers/pull', '128 B pulled in batches of 1,000, no acks', {
    required: 1.2,
    aim: 2.5,
    configuration: { ack_policy: 'none' },
  }),
  consuming('consumers/pull-ack', '128 B pulled in batches of 1,000, each acknowledged', {
    required: 1.5,
    aim: 3,
    configuration: { ack_policy: 'explicit', max_ack_pending: 10_000 },
    load: { acknowledge: 1 },
  }),
  consuming('consumers/push-fc', '128 B pushed with flow control', {
    required: 1.2,
    aim: 2,
    configuration: { ack_policy: 'none', flow_control: true, idle_heartbeat: 5_000_000_000 },
    load: { batch: 0 },
  }),
  consuming('consumers/ordered', '128 B to an ordered consumer', {
    required: 1.2,
    aim: 2,
    configuration: ORDERED,
  }),
  latency('consumers/latency', 'publish to delivery, 128 B, each acknowledged', {
    acknowledges: true,
    always: false,
  }),
  latency('consumers/latency-unacked', 'publish to delivery, 128 B, no acks', {
    acknowledges: false,
    always: false,
  }),
  latency('consumers/latency-always', 'publish to delivery, 128 B, each acknowledged, both sync', {
    acknowledges: true,
    always: true,
  }),
  filters,
  manyConsumers,
  keyValue,
];
