// Puts and gets of a key-value bucket through the official client: `node kv-client.mjs PORT SECONDS [USER PASSWORD]`.
// Prints one line of JSON: operations per second, with one and with 64 in flight.

import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

const KEYS = 1000;
const IN_FLIGHT = 64;
/** The client has to be compiled too. */
const WARM_UP_S = 3;

const [port, seconds, user, pass] = process.argv.slice(2);
const login = user === undefined ? {} : { user, pass };
const connection = await connect({ servers: `127.0.0.1:${port}`, ...login });
const bucket = await new Kvm(jetstream(connection)).create('bench', { history: 1 });
const value = new Uint8Array(128).fill(120);

/** @param {number} number */
const keyOf = (number) => `key.${number % KEYS}`;

/** @param {number} number */
async function put(number) {
  await bucket.put(keyOf(number), value);
}

/** @param {number} number */
async function get(number) {
  const entry = await bucket.get(keyOf(number));
  if (entry?.value.length !== value.length) throw new Error(`${keyOf(number)} is not what was put`);
}

/**
 * @param {(number: number) => Promise<void>} operation
 * @param {number} inFlight
 * @param {number} lengthS
 * @returns {Promise<number>} operations per second
 */
async function rate(operation, inFlight, lengthS) {
  const start = performance.now();
  const end = start + lengthS * 1000;
  let started = 0;
  const chain = async () => {
    while (performance.now() < end) await operation(started++);
  };
  await Promise.all(Array.from({ length: inFlight }, chain));
  return (started / (performance.now() - start)) * 1000;
}

for (let number = 0; number < KEYS; number++) await put(number);
/** @type {Record<string, number>} */
const figures = {};
for (const [name, operation] of /** @type {const} */ ([
  ['put', put],
  ['get', get],
])) {
  for (const inFlight of [1, IN_FLIGHT]) {
    await rate(operation, inFlight, Math.min(WARM_UP_S, 5 * Number(seconds)));
    figures[`${name}${inFlight}`] = await rate(operation, inFlight, Number(seconds));
  }
}
await connection.close();
process.stdout.write(`${JSON.stringify(figures)}\n`);
