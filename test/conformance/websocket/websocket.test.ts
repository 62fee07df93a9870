/** Every WebSocket scenario against its recording, over each transport. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../../support/daemon.ts';
import { serverUnderTest } from '../../support/server-command.ts';
import { TRANSPORTS } from '../../support/websocket-daemon.ts';
import { WebsocketRunner, type WebsocketTranscript } from './runner.ts';
import { WEBSOCKET_GROUPS } from './scenarios.ts';
import { type WebsocketConfigName, type WebsocketScenario, websocketConfiguration } from './script.ts';
import { readWebsocketTranscripts } from './transcripts.ts';

const scenarios = [...WEBSOCKET_GROUPS.values()].flat();
const recorded = new Map(
  [...WEBSOCKET_GROUPS.keys()].flatMap((group) =>
    readWebsocketTranscripts(group).transcripts.map((transcript) => [transcript.name, transcript] as const),
  ),
);

function byConfiguration(transport: string): Map<WebsocketConfigName, WebsocketScenario[]> {
  const grouped = new Map<WebsocketConfigName, WebsocketScenario[]>();
  for (const scenario of scenarios)
    if (transport !== 'uws' || !scenario.builtIn)
      grouped.set(scenario.config, [...(grouped.get(scenario.config) ?? []), scenario]);
  return grouped;
}

/** The steps whose answers differ, in words. */
function differences(expected: WebsocketTranscript, actual: WebsocketTranscript): string[] {
  if (expected.steps.length !== actual.steps.length) return ['another number of steps: record it again'];
  return expected.steps.flatMap((step, index) => {
    const received = actual.steps[index];
    return isDeepStrictEqual(step, received)
      ? []
      : [`recorded: ${JSON.stringify(step)}\nreceived: ${JSON.stringify(received)}`];
  });
}

test('every scenario is recorded, under a name of its own', () => {
  expect(scenarios.filter(({ name }) => !recorded.has(name)).map(({ name }) => name)).toEqual([]);
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length);
});

const command = serverUnderTest();

describe.each(command.isNatsd ? TRANSPORTS : [''])('transport %s', (transport) => {
  for (const [config, group] of byConfiguration(transport)) {
    describe(config, () => {
      let daemon: Daemon;
      beforeAll(async () => {
        daemon = await Daemon.start({
          config: websocketConfiguration(config, transport),
          command,
          shards: 2,
        });
      });
      afterAll(async () => {
        await daemon?.stop();
      });
      test.each(group)('$name', async (scenario) => {
        const expected = recorded.get(scenario.name);
        expect(expected, 'recorded').toBeDefined();
        const actual = await new WebsocketRunner(daemon, !command.isNatsd).run(scenario);
        const different = differences(expected as WebsocketTranscript, actual);
        if (different.length > 0) throw new Error(different.join('\n\n'));
      });
    });
  }
});
