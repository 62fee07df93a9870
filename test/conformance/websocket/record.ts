/**
 * Records what nats-server answers to WebSocket scenarios into `transcripts/`. Run it in the repository's root:
 *
 *     npx esbuild test/conformance/websocket/record.ts --bundle --platform=node --format=esm --outfile=node_modules/.cache/record-websocket.mjs
 *     NATS_SERVER=/path/to/nats-server node node_modules/.cache/record-websocket.mjs [group…]
 *
 * Every scenario runs three times: a recording that differs between two runs is refused, since it would test nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { Daemon } from '../../support/daemon.ts';
import { findReferenceServer, referenceCommand } from '../../support/server-command.ts';
import { WebsocketRunner, type WebsocketTranscript } from './runner.ts';
import { WEBSOCKET_GROUPS } from './scenarios.ts';
import { type WebsocketConfigName, type WebsocketScenario, websocketConfiguration } from './script.ts';
import { writeWebsocketTranscripts } from './transcripts.ts';

const RUNS = 3;
const daemons = new Map<WebsocketConfigName, Daemon>();
let version = '';

async function daemonFor(config: WebsocketConfigName, path: string): Promise<Daemon> {
  const running = daemons.get(config);
  if (running !== undefined) return running;
  const daemon = await Daemon.start({
    config: websocketConfiguration(config),
    command: referenceCommand(path),
  });
  version ||= /Version:\s+(\S+)/.exec(daemon.log)?.[1] ?? '';
  daemons.set(config, daemon);
  return daemon;
}

async function recordOne(scenario: WebsocketScenario, path: string): Promise<WebsocketTranscript> {
  const daemon = await daemonFor(scenario.config, path);
  const first = await new WebsocketRunner(daemon, true).run(scenario);
  for (let run = 1; run < RUNS; run++) {
    const next = await new WebsocketRunner(daemon, true).run(scenario);
    if (!isDeepStrictEqual(first, next))
      throw new Error(
        `two runs differ:\n${JSON.stringify(first, null, 1)}\n${JSON.stringify(next, null, 1)}`,
      );
  }
  return first;
}

const path = findReferenceServer();
if (path === null) throw new Error('no nats-server found: set NATS_SERVER to its path');
const wanted = process.argv.slice(2);
for (const [group, scenarios] of WEBSOCKET_GROUPS) {
  if (wanted.length > 0 && !wanted.includes(group)) continue;
  const transcripts: WebsocketTranscript[] = [];
  for (const scenario of scenarios) {
    try {
      transcripts.push(await recordOne(scenario, path));
    } catch (error) {
      process.exitCode = 1;
      console.error(`scenario "${scenario.name}"`, error);
    }
  }
  writeWebsocketTranscripts(group, { recordedFrom: version, transcripts });
  console.log(`${group}: ${transcripts.length} of ${scenarios.length} scenarios recorded`);
}
for (const daemon of daemons.values()) await daemon.stop();
