// JetStream's publishing half. natsd syncs before it acknowledges, as it does by default; nats-server runs with its own
// default, which does not, or with `sync_interval: always`, as the titles say.

import { runDriver } from './driver.mjs';
import { atLeast, CPU_METRIC, ratio } from './goals.mjs';
import { countMessages, createStreams, expectStored, fill, firstPublishMs } from './jetstream.mjs';
import { settledBytes } from './server.mjs';

/** @typedef {import('./goals.mjs').Case} Case */

const WINDOW = 512;
const STREAMS = 100;
const RESTART_MESSAGES = 10_000_000;
const RESTART_SUBJECTS = 100_000;
const MANY_SUBJECTS = 1_000_000;
/** Messages published since the last checkpoint, when the server is killed. */
const UNSAVED_MESSAGES = 100_000;
/** Length of a sustained load, as a multiple of a sample's. */
const SUSTAINED_SAMPLES = 4;

/** @param {number} count @returns {Record<string, unknown>[]} one stream, or S000 to S099 with a digit pair each */
function streams(count, storage = 'file') {
  if (count === 1) return [{ name: 'BENCH', subjects: ['bench.js.>'], storage }];
  return Array.from({ length: count }, (_, i) => {
    const digits = String(i).padStart(String(count - 1).length, '0');
    return { name: `BENCH${digits}`, subjects: [`bench.many.${digits}.>`], storage };
  });
}

/** @param {number} count */
const subjectFor = (count) => (count === 1 ? 'bench.js.orders' : `bench.many.{${count}}.orders`);

/**
 * Publishes for a while after a warm-up, and counts what is stored.
 *
 * @param {import('./goals.mjs').Context} context
 * @param {Record<string, string | number>} load
 * @param {number} before messages that are in the streams already
 */
async function publish({ target, seconds, warmupSeconds }, load, before = 0) {
  const warm = await runDriver(target, 'request', { ...load, seconds: warmupSeconds });
  const result = await runDriver(target, 'request', { ...load, seconds });
  const acknowledged = before + warm.answered + result.answered;
  await expectStored(target, acknowledged);
  return {
    perS: result.answered_per_s,
    [CPU_METRIC]: result.server_cpu_ns_per_message,
    acknowledged,
  };
}

/**
 * @param {string} id
 * @param {string} title
 * @param {{ required: number, aim: number, always?: boolean, storage?: string,
 *   load?: Record<string, string | number> }} definition
 * @returns {Case}
 */
function publishing(id, title, { required, aim, always = false, storage = 'file', load = {} }) {
  return {
    id,
    title,
    rows: [{ metric: 'perS', label: title, unit: 'rate', goal: ratio('more', required, aim) }],
    jetstream: { referenceSyncs: always },
    async sample(context) {
      await createStreams(context.target, streams(1, storage));
      return publish(context, { size: 128, window: WINDOW, subject: subjectFor(1), ...load });
    },
  };
}

/**
 * One stream, then a hundred on the same server: what the number of streams costs natsd.
 *
 * @param {string} id
 * @param {string} title
 * @param {boolean} always
 * @param {Record<string, string | number>} load
 * @returns {Case}
 */
function hundredStreams(id, title, always, load) {
  return {
    id,
    title,
    rows: [
      { metric: 'perS', label: title, unit: 'rate', goal: null },
      { metric: 'share', label: `${title}: share of one stream's`, unit: 'times', goal: atLeast(0.7, 1) },
    ],
    jetstream: { referenceSyncs: always },
    async sample(context) {
      await createStreams(context.target, [...streams(1), ...streams(STREAMS)]);
      const one = await publish(context, { size: 128, ...load, subject: subjectFor(1) });
      const many = await publish(
        context,
        { size: 128, ...load, subject: subjectFor(STREAMS) },
        one.acknowledged,
      );
      return { ...many, share: many.perS / one.perS };
    },
  };
}

/**
 * A store without syncs is as fast as the page cache takes its writes, until the system begins to write them to the disk, after
 * some seconds: both are measured. What can be kept up is what counts.
 *
 * @type {Case}
 */
const largeMessages = {
  id: 'jetstream/4KB',
  title: '4 KB into a stream, 512 in flight',
  rows: [
    { metric: 'perS', label: '4 KB into a stream, 512 in flight', unit: 'rate', goal: ratio('more', 1, 2) },
    { metric: 'firstPerS', label: '4 KB into a stream, the first seconds', unit: 'rate', goal: null },
  ],
  jetstream: { referenceSyncs: false },
  async sample(context) {
    await createStreams(context.target, streams(1));
    const load = { size: 4096, window: WINDOW, subject: subjectFor(1) };
    const first = await publish(context, load);
    const seconds = SUSTAINED_SAMPLES * context.seconds;
    const sustained = await publish({ ...context, seconds }, load, first.acknowledged);
    return { ...sustained, firstPerS: first.perS };
  },
};

/** @type {Case} */
const manySubjects = {
  id: 'jetstream/1M-subjects',
  title: '1 M distinct subjects in one stream',
  rows: [
    {
      metric: 'bytes',
      label: '1 M subjects in one stream, memory',
      unit: 'bytes',
      goal: ratio('less', 1, 0.5),
    },
    { metric: 'perS', label: '1 M subjects in one stream, publish', unit: 'rate', goal: null },
  ],
  jetstream: { referenceSyncs: false },
  async sample({ target, scale }) {
    await createStreams(target, streams(1));
    const messages = Math.ceil(MANY_SUBJECTS * scale);
    const result = await fill(target, { subject: `bench.js.{${messages}}`, size: 128, messages });
    return {
      bytes: await settledBytes(target.pid, 8),
      perS: result.answered_per_s,
      [CPU_METRIC]: result.server_cpu_ns_per_message,
    };
  },
};

/** @type {Case} */
const restart = {
  id: 'jetstream/restart-10M',
  title: '10 M messages in 100 streams, restart to first publish accepted',
  rows: [
    {
      metric: 'stoppedMs',
      label: 'restart with 10 M messages, after SIGTERM',
      unit: 'ms',
      goal: { of: 'ratio', better: 'less', required: 1, aim: 1000, aimOf: 'natsd' },
    },
    { metric: 'killedMs', label: 'restart with 10 M messages, after SIGKILL', unit: 'ms', goal: null },
    { metric: 'bytes', label: 'memory after a restart with 10 M messages', unit: 'bytes', goal: null },
  ],
  jetstream: {
    referenceSyncs: false,
    async fill({ target, scale }) {
      await createStreams(target, streams(STREAMS));
      const messages = Math.ceil(RESTART_MESSAGES * scale);
      const subject = `bench.many.{${STREAMS}}.{${RESTART_SUBJECTS / STREAMS}}`;
      await fill(target, { subject, size: 128, messages });
    },
  },
  async sample(context) {
    const subject = 'bench.many.50.first';
    const stoppedMs = await firstPublishMs(context.server, context.target, subject);
    const bytes = await settledBytes(context.target.pid, 5);
    const messages = Math.ceil(UNSAVED_MESSAGES * context.scale);
    const load = { subject: `bench.many.{${STREAMS}}.unsaved`, size: 128, window: WINDOW, messages };
    await runDriver(context.target, 'request', { ...load, seconds: 60 });
    const before = await countMessages(context.target);
    const again = await context.restart('kill');
    const killedMs = await firstPublishMs(again, context.target, subject);
    const after = await countMessages(context.target);
    // SIGKILL leaves what was written to the system's care: neither server may lose any of it.
    if (after < before) throw new Error(`${before} messages before SIGKILL, ${after} after it`);
    return { stoppedMs, killedMs, bytes };
  },
};

/** @type {Case[]} */
export const jetstreamCases = [
  publishing('jetstream/128B-1pub', '128 B into a stream, 512 in flight', { required: 1.3, aim: 3 }),
  publishing('jetstream/128B-4pub', '128 B into a stream, 4 publishers, 512 in flight each', {
    required: 1.3,
    aim: 3,
    load: { publishers: 4 },
  }),
  publishing('jetstream/always-1pub', '128 B into a stream, 512 in flight, both sync', {
    required: 40,
    aim: 150,
    always: true,
  }),
  publishing('jetstream/always-4pub', '128 B into a stream, 4 publishers, 512 in flight each, both sync', {
    required: 40,
    aim: 150,
    always: true,
    load: { publishers: 4 },
  }),
  publishing('jetstream/always-64clients', '128 B into a stream, 64 clients, 1 in flight each, both sync', {
    required: 5,
    aim: 10,
    always: true,
    load: { publishers: 64, window: 1 },
  }),
  hundredStreams('jetstream/100streams', '128 B into 100 streams, 512 in flight', false, { window: WINDOW }),
  hundredStreams(
    'jetstream/100streams-64clients',
    '128 B into 100 streams, 64 clients, 1 in flight each, both sync',
    true,
    { publishers: 64, window: 1 },
  ),
  largeMessages,
  publishing('jetstream/memory', '128 B into a stream in memory, 512 in flight', {
    required: 1.3,
    aim: 3,
    storage: 'memory',
  }),
  manySubjects,
  restart,
];
