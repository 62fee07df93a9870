/**
 * Requests and the answers nats-server 2.15.1 gave to them, byte for byte: the engine has to give the same, over the plain
 * store of the tests and over the real one. Times differ from run to run, so they are compared as "some time".
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, assert, beforeAll, describe, expect, test } from 'vitest';
import type { JetStreamOptions } from '../../../../src/shared/jetstream/jetstream.ts';
import type { Store } from '../../../../src/shared/jetstream/store/contract.ts';
import { isFailure, openStore } from '../../../../src/shared/jetstream/store/open.ts';
import { poolCompressor } from '../../../../src/workers/persistence/compressor.ts';
import { FileDisk } from '../../../../src/workers/persistence/file-disk.ts';
import { Harness } from './engine-harness.ts';
import { FakeStore } from './fake-store.ts';

interface Step {
  subject?: string;
  payload?: string;
  headers?: string;
  suffix?: string;
  sleepMs?: number;
  /** A subject somebody listens on from then on. */
  listen?: string;
  replies?: string[][];
}

const TIME = /20[234]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;
const PASSING = /"(active|pause_remaining)":\d+/g;
const IDENTITY = /(Nats-Stream-Identity: |identity does not match: )\w{8}/;
const GENERATED_NAME = /"stream_name":"S","name":"\w{8}"/;

/**
 * Times of the recording become one word; those that requests contain are in other years. So does what comes from times
 * and from chance.
 */
function normal(text: string): string {
  return text
    .replace(TIME, (time) => (time.startsWith('2024') ? time : 'TIME'))
    .replace(PASSING, '"$1":0')
    .replace(IDENTITY, '$1ID')
    .replace(GENERATED_NAME, '"stream_name":"S","name":"NAME"');
}

function steps(name: string): Step[] {
  return JSON.parse(
    readFileSync(new URL(`fixtures/recorded-${name}.json.txt`, import.meta.url), 'utf8'),
  ) as Step[];
}

function answers(harness: Harness<Store>, step: Step): string[] {
  const replies = harness.request(step.subject!, step.payload, step.headers, step.suffix);
  harness.settle();
  return replies.map(({ headers, payload }) => normal(headers + payload));
}

function fileStore(directory: string): Store {
  const host = {
    disk: new FileDisk(directory),
    random: (bytes: number) => new Uint8Array(bytes),
    compressor: poolCompressor,
  };
  const store = openStore(host, { cipher: null, key: '', previousKey: '' });
  assert(!isFailure(store));
  return store;
}

const RECORDINGS = [
  'config',
  'update',
  'publish',
  'direct',
  'fast',
  'schedule',
  'consumer-create',
  'consumer-check',
  'consumer-order',
  'consumer-update',
  'consumer-info',
  'consumer-limits',
];

/** The options of the server that was recorded. */
const OPTIONS: Readonly<Record<string, Partial<JetStreamOptions>>> = {
  'consumer-limits': { maxAckPending: 100, maxRequestBatch: 50 },
};

describe.each(['plain', 'file'])('on the %s store', (kind) => {
  describe.each(RECORDINGS)('recorded: %s', (name) => {
    let harness: Harness<Store>;
    let directory = '';

    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'natsd-recorded-'));
      harness = new Harness(OPTIONS[name], kind === 'plain' ? new FakeStore() : fileStore(directory));
    });

    afterAll(() => {
      harness.store.close();
      rmSync(directory, { recursive: true });
    });

    test.each(steps(name).map((step, index) => ({ index, step })))('$index $step.subject', ({ step }) => {
      if (step.listen !== undefined) {
        harness.listen(step.listen);
        harness.settle();
      } else if (step.subject === undefined) harness.advance(step.sleepMs!);
      else expect(answers(harness, step)).toEqual(step.replies!.map((reply) => normal(reply.join(''))));
    });
  });
});
