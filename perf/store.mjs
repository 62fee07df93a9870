/**
 * Appends to the JetStream store through the real file system: 128 byte payloads in groups of 512, each group synced before the
 * next one starts, as a publisher with 512 messages in flight would see it.
 *
 *     node perf/store.mjs [directory] [seconds]
 *
 * The directory should be on the disk to be measured; the default is the system's temporary one.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const work = mkdtempSync(join(tmpdir(), 'natsd-perf-'));
const bundle = join(work, 'store.mjs');
await build({
  stdin: {
    contents: `
      export { MessageDraft } from './shared/jetstream/store/contract.ts';
      export { isFailure, openStore } from './shared/jetstream/store/open.ts';
      export { poolCompressor } from './workers/persistence/compressor.ts';
      export { FileDisk } from './workers/persistence/file-disk.ts';`,
    resolveDir: fileURLToPath(new URL('../src', import.meta.url)),
  },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  outfile: bundle,
  logLevel: 'warning',
});
const { FileDisk, isFailure, MessageDraft, openStore, poolCompressor } = await import(
  pathToFileURL(bundle).href
);

const base = process.argv[2] ?? tmpdir();
const seconds = Number(process.argv[3] ?? 5);
const GROUP = 512;

function open(directory) {
  const store = openStore(
    { disk: new FileDisk(directory), random: (bytes) => randomBytes(bytes), compressor: poolCompressor },
    { cipher: null, key: '', previousKey: '' },
  );
  if (isFailure(store)) throw new Error(store.message);
  return store;
}

function create(store, count) {
  const streams = [];
  for (let i = 0; i < count; i++) {
    const spec = {
      account: 'A',
      name: `S${i}`,
      storage: 'file',
      compression: false,
      firstSeq: 0,
      blockBytes: 0,
    };
    streams.push(store.createStream(spec));
  }
  return streams;
}

async function appends(count, sync) {
  const directory = mkdtempSync(join(base, 'natsd-store-'));
  const store = open(directory);
  const streams = create(store, count);
  const draft = new MessageDraft();
  draft.setPayload(randomBytes(128));
  let messages = 0;
  let worst = 0;
  const start = performance.now();
  let now = start;
  while (now - start < seconds * 1000) {
    for (let i = 0; i < GROUP; i++) {
      const stream = streams[messages % count];
      draft.setSubject('orders.new');
      draft.timestampMs = 1_700_000_000_000 + messages;
      if (stream.append(draft) < 0) throw new Error(stream.failure.message);
      messages++;
    }
    const failure = store.commit(sync);
    if (failure !== null) throw new Error(failure.message);
    store.tick(now);
    const after = performance.now();
    worst = Math.max(worst, after - now);
    now = after;
    // Background syncs are heard of between groups only.
    if ((messages / GROUP) % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const rate = (messages / (now - start)) * 1000;
  const closing = performance.now();
  store.close();
  const opening = performance.now();
  const again = open(directory);
  const opened = performance.now();
  let found = 0;
  for (const stream of again.streams()) found += stream.messages;
  if (found !== messages) throw new Error(`${messages} messages stored, ${found} found`);
  again.close();
  rmSync(directory, { recursive: true });
  console.log(
    `${count} stream(s), ${sync ? 'synced' : 'unsynced'}: ${Math.round(rate)} msgs/s, ${messages} messages,`,
    `worst group ${worst.toFixed(1)} ms, close ${(opening - closing).toFixed(0)} ms, open ${(opened - opening).toFixed(0)} ms`,
  );
}

function fill(store, streams, count, subjectOf) {
  const draft = new MessageDraft();
  draft.setPayload(randomBytes(128));
  for (let i = 0; i < count; i++) {
    draft.setSubject(subjectOf(i));
    draft.timestampMs = 1_700_000_000_000 + i;
    if (streams[i % streams.length].append(draft) < 0) throw new Error('refused');
    if (i % 4096 === 4095) store.commit(false);
    if (i % 4096 === 4095) store.tick(i);
  }
  store.commit(true);
}

/** Ten million messages in a hundred streams: how long until all of them are there again. */
function restart() {
  const directory = mkdtempSync(join(base, 'natsd-store-'));
  const store = open(directory);
  fill(store, create(store, 100), 10_000_000, (i) => `orders.${i % 1000}`);
  store.close();
  const start = performance.now();
  const again = open(directory);
  console.log(`10 M messages in 100 streams: open ${(performance.now() - start).toFixed(0)} ms`);
  again.close();
  rmSync(directory, { recursive: true });
}

/** A million subjects in one stream: memory beyond an empty store's, and what questions cost. */
function subjects() {
  const directory = mkdtempSync(join(base, 'natsd-store-'));
  const before = process.memoryUsage().rss;
  const store = open(directory);
  const [stream] = create(store, 1);
  fill(store, [stream], 1_000_000, (i) => `devices.${i}.state`);
  console.log(`1 M subjects: ${((process.memoryUsage().rss - before) / 1e6).toFixed(0)} MB more resident`);
  const timed = (what, action) => {
    const start = performance.now();
    const result = action();
    console.log(`  ${what}: ${result} in ${(performance.now() - start).toFixed(2)} ms`);
  };
  const wide = stream.filter(['devices.*.state']);
  const one = stream.filter(['devices.777777.state']);
  timed('numPending, wildcard, first time', () => stream.numPending(wide, 1, false));
  timed('numPending, wildcard, again', () => stream.numPending(wide, 500_000, false));
  timed('next, one subject', () => stream.nextSeq(one, 1));
  timed('numPending, last per subject', () => stream.numPending(wide, 1, true));
  store.close();
  const start = performance.now();
  const again = open(directory);
  console.log(`  open: ${(performance.now() - start).toFixed(0)} ms`);
  again.close();
  rmSync(directory, { recursive: true });
}

subjects();
restart();
await appends(1, true);
await appends(100, true);
await appends(1, false);
rmSync(work, { recursive: true });
