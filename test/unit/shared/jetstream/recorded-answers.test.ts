/**
 * Requests and the answers nats-server 2.15.1 gave to them, byte for byte: the engine has to give the same. Times differ
 * from run to run, so they are compared as "some time".
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Harness } from './engine-harness.ts';

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

function answers(harness: Harness, step: Step): string[] {
  const replies = harness.request(step.subject!, step.payload, step.headers, step.suffix);
  return replies.map(({ headers, payload }) => normal(headers + payload));
}

describe.each(['config', 'update', 'publish', 'direct', 'fast', 'schedule'])('recorded: %s', (name) => {
  const harness = new Harness();
  test.each(steps(name).map((step, index) => ({ index, step })))('$index $step.subject $step.payload', ({
    step,
  }) => {
    if (step.subject === undefined) harness.advance(step.sleepMs!);
    else expect(answers(harness, step)).toEqual(step.replies!.map((reply) => normal(reply.join(''))));
  });
});
