/**
 * Records what nats-server answers to every scenario into `transcripts/`. Run it in the repository's root:
 *
 *     npx esbuild test/conformance/record.ts --bundle --platform=node --format=esm --outfile=node_modules/.cache/record.mjs
 *     NATS_SERVER=/path/to/nats-server node node_modules/.cache/record.mjs [group…]
 *
 * Every scenario runs twice: a recording that differs between two runs is refused, since it would test nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { Daemon } from '../support/daemon.ts';
import { findReferenceServer, referenceCommand } from '../support/server-command.ts';
import { configurationText } from './configurations.ts';
import { ScenarioRunner, type Transcript } from './runner.ts';
import type { ConfigName, Scenario } from './scenario.ts';
import { SCENARIO_GROUPS } from './scenarios/all.ts';
import { writeTranscripts } from './transcripts.ts';

/** nats-server frees a connection's place some time after the close: these need a fresh server for every run. */
const UNSHARED = new Set<ConfigName>(['max-connections']);

const daemons = new Map<ConfigName, Daemon>();
let version = '';

async function daemonFor(config: ConfigName, path: string): Promise<Daemon> {
  const running = daemons.get(config);
  if (running !== undefined) return running;
  const daemon = await Daemon.start({ config: configurationText(config), command: referenceCommand(path) });
  version ||= /Version:\s+(\S+)/.exec(daemon.log)?.[1] ?? '';
  daemons.set(config, daemon);
  return daemon;
}

async function runOnce(scenario: Scenario, path: string): Promise<Transcript> {
  const daemon = await daemonFor(scenario.config, path);
  const transcript = await new ScenarioRunner(daemon, true).run(scenario);
  if (UNSHARED.has(scenario.config)) {
    daemons.delete(scenario.config);
    await daemon.stop();
  }
  return transcript;
}

async function recordOne(scenario: Scenario, path: string): Promise<Transcript> {
  try {
    const first = await runOnce(scenario, path);
    const second = await runOnce(scenario, path);
    if (isDeepStrictEqual(first, second)) return first;
    throw new Error(
      `two runs differ:\n${JSON.stringify(first, null, 1)}\n${JSON.stringify(second, null, 1)}`,
    );
  } catch (error) {
    throw new Error(`scenario "${scenario.name}"`, { cause: error });
  }
}

const path = findReferenceServer();
if (path === null) throw new Error('no nats-server found: set NATS_SERVER to its path');
const wanted = process.argv.slice(2);
let failures = 0;
for (const [group, scenarios] of SCENARIO_GROUPS) {
  if (wanted.length > 0 && !wanted.includes(group)) continue;
  const transcripts: Transcript[] = [];
  for (const scenario of scenarios) {
    try {
      transcripts.push(await recordOne(scenario, path));
    } catch (error) {
      failures += 1;
      console.error(error);
    }
  }
  writeTranscripts(group, { recordedFrom: version, transcripts });
  console.log(`${group}: ${transcripts.length} of ${scenarios.length} scenarios recorded`);
}
for (const daemon of daemons.values()) await daemon.stop();
process.exitCode = failures === 0 ? 0 : 1;
