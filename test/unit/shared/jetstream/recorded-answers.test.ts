/**
 * Requests and the answers nats-server 2.15.1 gave to them, byte for byte: the engine has to give the same, over the plain
 * store of the tests and over the real one. Times differ from run to run, so they are compared as "some time".
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, assert, beforeAll, describe, expect, test } from 'vitest';
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
  replies?: string[][];
}

const TIME = /20[234]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;
const ACTIVE = /"active":\d+/g;

/** Times of the recording become one word; those that requests contain are in other years. */
function normal(text: string): string {
  return text
    .replace(TIME, (time) => (time.startsWith('2024') ? time : 'TIME'))
    .replace(ACTIVE, '"active":0');
}

function steps(name: string): Step[] {
  return JSON.parse(
    readFileSync(new URL(`fixtures/recorded-${name}.json.txt`, import.meta.url), 'utf8'),
  ) as Step[];
}

function answers(harness: Harness<Store>, step: Step): string[] {
  const replies = harness.request(step.subject!, step.payload, step.headers, step.suffix);
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

const RECORDINGS = ['config', 'update', 'publish', 'direct', 'fast', 'schedule'];

describe.each(['plain', 'file'])('on the %s store', (kind) => {
  describe.each(RECORDINGS)('recorded: %s', (name) => {
    let harness: Harness<Store>;
    let directory = '';

    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'natsd-recorded-'));
      harness = new Harness({}, kind === 'plain' ? new FakeStore() : fileStore(directory));
    });

    afterAll(() => {
      harness.store.close();
      rmSync(directory, { recursive: true });
    });

    test.each(steps(name).map((step, index) => ({ index, step })))('$index $step.subject $step.payload', ({
      step,
    }) => {
      if (step.subject === undefined) harness.advance(step.sleepMs!);
      else expect(answers(harness, step)).toEqual(step.replies!.map((reply) => normal(reply.join(''))));
    });
  });
});
