// The ring's own benchmark, of which the comparison takes two lines.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const benchmark = fileURLToPath(new URL('../../src/shared/ring/bench/bench.mjs', import.meta.url));
/** Of the benchmark's usual length of some ten seconds. */
const FACTOR = '0.3';
const SIZE = '128';
const BATCH = '64';

/** @param {string} output lines of key=value @param {string} name @returns {number} records a second */
function rateOf(output, name) {
  for (const line of output.split('\n')) {
    const fields = new Map(
      line.split(' ').map((field) => /** @type {[string, string]} */ (field.split('='))),
    );
    const wanted =
      fields.get('ring') === name && fields.get('size') === SIZE && fields.get('batch') === BATCH;
    if (wanted) return Number(fields.get('records_per_s'));
  }
  throw new Error(`the ring's benchmark printed no line ring=${name} size=${SIZE} batch=${BATCH}`);
}

/** @returns {Promise<{ sleepingPerS: number, pollingPerS: number }>} */
export async function ringFigures() {
  const { stdout } = await promisify(execFile)(process.execPath, [benchmark, FACTOR], { timeout: 120_000 });
  return { sleepingPerS: rateOf(stdout, 'doorbell'), pollingPerS: rateOf(stdout, 'polling') };
}
