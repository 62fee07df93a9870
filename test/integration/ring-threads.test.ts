import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createDoorbells, Doorbell } from '../../src/shared/ring/doorbell.ts';
import { createRing } from '../../src/shared/ring/ring.ts';
import type { PeerData, PeerReport } from './ring-peer.ts';

/** Real threads on both ends of two rings. Sizes, limits and aborts come from seeds; only the interleaving is chance. */

let script: URL;
const workers: Worker[] = [];

beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('./ring-peer.ts', import.meta.url))],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node20',
    format: 'esm',
  });
  script = new URL(`data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString('base64')}`);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
});

function start(workerData: PeerData): Worker {
  const worker = new Worker(script, { workerData });
  workers.push(worker);
  return worker;
}

async function finished(worker: Worker): Promise<PeerReport> {
  const [report] = await once(worker, 'message');
  return report as PeerReport;
}

interface Load {
  name: string;
  records: number;
  capacityBytes: number;
  batch: number;
  lazyTurns: [number, number];
}

describe('two threads, both directions', () => {
  const loads: Load[] = [
    { name: 'a roomy ring, batches', records: 500_000, capacityBytes: 1 << 18, batch: 64, lazyTurns: [0, 0] },
    { name: 'each record published', records: 250_000, capacityBytes: 1 << 14, batch: 1, lazyTurns: [0, 0] },
    { name: 'rings mostly full', records: 250_000, capacityBytes: 1 << 10, batch: 16, lazyTurns: [6, 6] },
    { name: 'one slow side', records: 250_000, capacityBytes: 1 << 12, batch: 16, lazyTurns: [7, 0] },
  ];

  test.each(loads)('$name: $records records each way arrive whole and in order', async (load) => {
    const near = 2 ** 32 - 8 * load.capacityBytes;
    const rings = [createRing(load.capacityBytes, near), createRing(load.capacityBytes, near)] as const;
    const doorbells = createDoorbells(2);
    const shared = { role: 'exchange', doorbells, records: load.records, batch: load.batch } as const;
    const reports = await Promise.all(
      [0, 1].map((self) => {
        const other = 1 - self;
        const lazyTurns = load.lazyTurns[self]!;
        return finished(
          start({ ...shared, self, other, outgoing: rings[self]!, incoming: rings[other]!, lazyTurns }),
        );
      }),
    );
    for (const report of reports) {
      expect(report.sent).toBe(load.records);
      expect(report.received).toBe(load.records);
      expect(report.checksum).not.toBe(0);
    }
    // Otherwise the load did not try what it is there for.
    if (load.capacityBytes <= 1 << 12) {
      expect(reports[0]!.wakes + reports[1]!.wakes).toBeGreaterThan(0);
      expect(reports[0]!.refusals + reports[1]!.refusals).toBeGreaterThan(1000);
    }
  });
});

describe('sleeping threads', () => {
  const sleeper = (doorbells: SharedArrayBuffer): PeerData => ({
    role: 'sleep',
    self: 0,
    other: 1,
    outgoing: createRing(64),
    incoming: createRing(64),
    doorbells,
    records: 0,
    batch: 1,
    lazyTurns: 0,
  });

  test('a thread is woken by another', async () => {
    const doorbells = createDoorbells(2);
    const worker = start(sleeper(doorbells));
    expect(await once(worker, 'message')).toEqual(['asleep']);
    const woken = once(worker, 'message');
    new Doorbell(doorbells, 1).ring(0);
    expect(await woken).toEqual(['woken']);
  });

  test('a thread that died asleep leaves nothing that disturbs its successor', async () => {
    const doorbells = createDoorbells(2);
    const bell = new Doorbell(doorbells, 1);
    const first = start(sleeper(doorbells));
    await once(first, 'message');
    await first.terminate();
    bell.ring(0);
    const second = start(sleeper(doorbells));
    expect(await once(second, 'message')).toEqual(['asleep']);
    const woken = once(second, 'message');
    bell.ring(0);
    expect(await woken).toEqual(['woken']);
  });
});
