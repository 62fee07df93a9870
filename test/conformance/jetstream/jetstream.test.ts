/** Every JetStream scenario against its recording, with one shard and with three. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../../support/daemon.ts';
import { serverUnderTest, shardCounts } from '../../support/server-command.ts';
import { jetStreamConfiguration } from './configurations.ts';
import { JetStreamRunner, type JetStreamTranscript } from './runner.ts';
import { JETSTREAM_GROUPS } from './scenarios/all.ts';
import type { JetStreamConfigName, JetStreamScenario } from './script.ts';
import { readJetStreamTranscripts } from './transcripts.ts';

const scenarios = [...JETSTREAM_GROUPS.values()].flat();

function byConfiguration(): Map<JetStreamConfigName, JetStreamScenario[]> {
  const grouped = new Map<JetStreamConfigName, JetStreamScenario[]>();
  for (const scenario of scenarios)
    grouped.set(scenario.config, [...(grouped.get(scenario.config) ?? []), scenario]);
  return grouped;
}

const recorded = new Map(
  [...JETSTREAM_GROUPS.keys()].flatMap((group) =>
    readJetStreamTranscripts(group).transcripts.map((transcript) => [transcript.name, transcript] as const),
  ),
);

/** The steps whose answers differ, in words. */
function differences(expected: JetStreamTranscript, actual: JetStreamTranscript): string[] {
  if (expected.steps.length !== actual.steps.length) return ['another number of steps: record it again'];
  return expected.steps.flatMap((step, index) => {
    const received = actual.steps[index];
    return isDeepStrictEqual(step, received)
      ? []
      : [`recorded: ${JSON.stringify(step)}\nreceived: ${JSON.stringify(received)}`];
  });
}

test('every scenario is recorded, and enough of them', () => {
  expect(scenarios.filter(({ name }) => !recorded.has(name))).toEqual([]);
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length);
  const requests = [...recorded.values()].reduce((sum, { steps }) => sum + steps.length, 0);
  expect(requests).toBeGreaterThan(300);
});

describe.each(shardCounts())('%i shards', (shards) => {
  for (const [config, group] of byConfiguration()) {
    describe(config, () => {
      let daemon: Daemon;
      beforeAll(async () => {
        const command = serverUnderTest();
        daemon = await Daemon.start({ config: jetStreamConfiguration(config), command, shards });
      });
      afterAll(async () => {
        await daemon?.stop();
      });
      test.each(group)('$name', async (scenario) => {
        const expected = recorded.get(scenario.name);
        expect(expected, 'recorded').toBeDefined();
        const actual = await new JetStreamRunner(daemon).run(scenario);
        const different = differences(expected as JetStreamTranscript, actual);
        if (different.length > 0) throw new Error(different.join('\n\n'));
      });
    });
  }
});
