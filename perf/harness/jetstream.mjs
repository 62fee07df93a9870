// Streams for the cases: made, filled and counted through the API, outside of what is measured.

import { connect as openSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import { runDriver } from './driver.mjs';

const REQUEST_TIMEOUT_MS = 60_000;
const PUBLISH_RETRY_MS = 2;
/** Long enough for every fill; the driver stops when it has made its requests. */
const FILL_LIMIT_S = 600;
const FILL_WINDOW = 2048;

/** @typedef {import('./driver.mjs').Target} Target */
/** @typedef {(subject: string, body?: object) => Promise<Record<string, any>>} Ask */

/**
 * Asks the API of JetStream; an error in an answer is thrown.
 *
 * @template T
 * @param {Target} target
 * @param {(ask: Ask) => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withApi(target, action) {
  const login = target.user === null ? {} : { user: target.user, pass: target.password ?? '' };
  const connection = await connect({ servers: `127.0.0.1:${target.port}`, ...login });
  try {
    return await action(async (subject, body) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const reply = await connection.request(`$JS.API.${subject}`, text, { timeout: REQUEST_TIMEOUT_MS });
      const answer = reply.json();
      if (answer.error) throw new Error(`${subject}: ${JSON.stringify(answer.error)}`);
      return answer;
    });
  } finally {
    await connection.close();
  }
}

/**
 * @param {Target} target
 * @param {Record<string, unknown>[]} configurations `name` and `subjects` at least
 */
export async function createStreams(target, configurations) {
  await withApi(target, async (ask) => {
    for (const one of configurations)
      await ask(`STREAM.CREATE.${one.name}`, {
        retention: 'limits',
        storage: 'file',
        num_replicas: 1,
        ...one,
      });
  });
}

/** Messages in all streams, as the account's statistics and each stream say it. @param {Target} target */
export function countMessages(target) {
  return withApi(target, async (ask) => {
    let total = 0;
    for (let offset = 0; ; ) {
      const { streams, total: streamCount } = await ask('STREAM.LIST', { offset });
      for (const { state } of streams ?? []) total += state.messages;
      offset += streams?.length ?? 0;
      if (!streams?.length || offset >= streamCount) return total;
    }
  });
}

/**
 * Throws unless the streams hold as many messages as were acknowledged.
 *
 * @param {Target} target
 * @param {number} acknowledged
 */
export async function expectStored(target, acknowledged) {
  const stored = await countMessages(target);
  if (stored !== acknowledged) throw new Error(`${acknowledged} messages acknowledged, ${stored} stored`);
}

/**
 * Publishes `messages` through one connection, so that every payload carries its position.
 *
 * @param {Target} target
 * @param {{ subject: string, size: number, messages: number }} load
 */
export async function fill(target, load) {
  const options = { ...load, window: FILL_WINDOW, seconds: FILL_LIMIT_S, timeout: 60 };
  const result = await runDriver(target, 'request', options);
  await expectStored(target, load.messages);
  return result;
}

/** @param {Target} target @param {string} subject @returns {Promise<boolean>} whether a PubAck without error came */
function publishOnce(target, subject) {
  return new Promise((resolve) => {
    const socket = openSocket(target.port, '127.0.0.1');
    let text = '';
    const end = (/** @type {boolean} */ accepted) => {
      socket.destroy();
      resolve(accepted);
    };
    const login = target.user === null ? {} : { user: target.user, pass: target.password };
    const options = JSON.stringify({ verbose: false, headers: true, no_responders: true, ...login });
    socket.setNoDelay(true);
    socket.write(
      `CONNECT ${options}\r\nSUB _INBOX.first 1\r\nPUB ${subject} _INBOX.first 5\r\nfirst\r\nPING\r\n`,
    );
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      const answer = /^H?MSG _INBOX\.first[^\r]*\r\n(.*)\r\n/m.exec(text);
      if (answer) end(answer[1].startsWith('{') && !answer[1].includes('"error":'));
    });
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    // A server that is up but not ready for this may give no answer at all.
    setTimeout(() => end(false), 1000).unref();
  });
}

/**
 * Waits until a publish is accepted, asking again and again.
 *
 * @param {import('./server.mjs').Server} server
 * @param {Target} target
 * @param {string} subject
 * @returns {Promise<number>} milliseconds since the server was spawned
 */
export async function firstPublishMs(server, target, subject) {
  while (!(await publishOnce(target, subject))) {
    if (performance.now() - server.spawnedAtMs > REQUEST_TIMEOUT_MS * 3)
      throw new Error('no publish was accepted');
    await sleep(PUBLISH_RETRY_MS);
  }
  return performance.now() - server.spawnedAtMs;
}
