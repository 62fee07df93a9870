/** The conformance tests of one server with one number of shards: every scenario against its recording. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import type { ServerCommand } from '../support/server-command.ts';
import { configurationText } from './configurations.ts';
import { ScenarioRunner, type Transcript } from './runner.ts';
import type { ConfigName, Scenario } from './scenario.ts';
import { SCENARIO_GROUPS } from './scenarios/all.ts';
import { readTranscripts } from './transcripts.ts';

function byConfiguration(): Map<ConfigName, Scenario[]> {
  const grouped = new Map<ConfigName, Scenario[]>();
  for (const scenario of [...SCENARIO_GROUPS.values()].flat()) {
    const list = grouped.get(scenario.config) ?? [];
    list.push(scenario);
    grouped.set(scenario.config, list);
  }
  return grouped;
}

function recordings(): Map<string, Transcript> {
  const byName = new Map<string, Transcript>();
  for (const group of SCENARIO_GROUPS.keys()) {
    for (const transcript of readTranscripts(group).transcripts) byName.set(transcript.name, transcript);
  }
  return byName;
}

/** The first step whose answers differ, in words; `null` when the transcripts agree. */
function firstDifference(expected: Transcript, actual: Transcript): string | null {
  for (const [index, step] of expected.steps.entries()) {
    const received = actual.steps[index]?.received ?? {};
    if (isDeepStrictEqual(step.received, received) && step.step === actual.steps[index]?.step) continue;
    const show = (answers: Record<string, string[]>): string => JSON.stringify(answers, null, 1);
    return `step ${index + 1}, ${step.step}\nrecorded: ${show(step.received)}\nreceived: ${show(received)}`;
  }
  return actual.steps.length === expected.steps.length
    ? null
    : 'the recording has fewer steps: record it again';
}

/** Defines the tests; scenarios of one configuration share a daemon. */
export function conformanceSuite(title: string, command: ServerCommand, shards: number): void {
  const recorded = recordings();
  describe(title, () => {
    for (const [config, scenarios] of byConfiguration()) {
      describe(config, () => {
        let daemon: Daemon;
        beforeAll(async () => {
          daemon = await Daemon.start({ config: configurationText(config), command, shards });
        });
        afterAll(async () => {
          await daemon?.stop();
        });
        test.each(scenarios)('$name', async (scenario) => {
          const expected = recorded.get(scenario.name);
          expect(expected, 'recorded').toBeDefined();
          const actual = await new ScenarioRunner(daemon, !command.isNatsd).run(scenario);
          const difference = firstDifference(expected as Transcript, actual);
          if (difference !== null) throw new Error(difference);
        });
      });
    }
  });
}
