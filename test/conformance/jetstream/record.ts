/**
 * Records what nats-server answers to JetStream scenarios into `transcripts/`. Run it in the repository's root:
 *
 *     npx esbuild test/conformance/jetstream/record.ts --bundle --platform=node --format=esm --outfile=node_modules/.cache/record-jetstream.mjs
 *     NATS_SERVER=/path/to/nats-server node node_modules/.cache/record-jetstream.mjs [group…]
 *
 * Every scenario runs twice: a recording that differs between two runs is refused, since it would test nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { Daemon } from '../../support/daemon.ts';
import { findReferenceServer, referenceCommand } from '../../support/server-command.ts';
import { jetStreamConfiguration } from './configurations.ts';
import { JetStreamRunner, type JetStreamTranscript } from './runner.ts';
import { JETSTREAM_GROUPS } from './scenarios/all.ts';
import type { JetStreamConfigName, JetStreamScenario } from './script.ts';
import { writeJetStreamTranscripts } from './transcripts.ts';

const daemons = new Map<JetStreamConfigName, Daemon>();
let version = '';

async function daemonFor(config: JetStreamConfigName, path: string): Promise<Daemon> {
  const running = daemons.get(config);
  if (running !== undefined) return running;
  const daemon = await Daemon.start({
    config: jetStreamConfiguration(config),
    command: referenceCommand(path),
  });
  version ||= /Version:\s+(\S+)/.exec(daemon.log)?.[1] ?? '';
  daemons.set(config, daemon);
  return daemon;
}

async function recordOne(scenario: JetStreamScenario, path: string): Promise<JetStreamTranscript> {
  const daemon = await daemonFor(scenario.config, path);
  const first = await new JetStreamRunner(daemon).run(scenario);
  const second = await new JetStreamRunner(daemon).run(scenario);
  for (const [index, step] of first.steps.entries()) {
    const other = second.steps[index];
    if (!isDeepStrictEqual(step, other))
      throw new Error(`two runs differ:\n${JSON.stringify(step)}\n${JSON.stringify(other)}`);
  }
  return first;
}

const path = findReferenceServer();
if (path === null) throw new Error('no nats-server found: set NATS_SERVER to its path');
const wanted = process.argv.slice(2);
for (const [group, scenarios] of JETSTREAM_GROUPS) {
  if (wanted.length > 0 && !wanted.includes(group)) continue;
  const transcripts: JetStreamTranscript[] = [];
  for (const scenario of scenarios) {
    try {
      transcripts.push(await recordOne(scenario, path));
    } catch (error) {
      process.exitCode = 1;
      console.error(`scenario "${scenario.name}"`, error);
    }
  }
  writeJetStreamTranscripts(group, { recordedFrom: version, transcripts });
  console.log(`${group}: ${transcripts.length} of ${scenarios.length} scenarios recorded`);
}
for (const daemon of daemons.values()) await daemon.stop();
