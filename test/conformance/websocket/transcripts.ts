/** Where recordings of WebSocket scenarios are kept, and how they are read and written. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WebsocketTranscript } from './runner.ts';

export interface WebsocketTranscripts {
  recordedFrom: string;
  transcripts: WebsocketTranscript[];
}

/** Tests run with the repository as working directory. */
const DIRECTORY = join('test', 'conformance', 'websocket', 'transcripts');

export function readWebsocketTranscripts(group: string): WebsocketTranscripts {
  return JSON.parse(readFileSync(join(DIRECTORY, `${group}.json`), 'utf8')) as WebsocketTranscripts;
}

/** One step in a line: a recording that changes is read as a difference of lines. */
export function writeWebsocketTranscripts(group: string, file: WebsocketTranscripts): void {
  const scenarios = file.transcripts.map(({ name, steps }) => {
    const lines = steps.map((step) => `  ${JSON.stringify(step)}`).join(',\n');
    return ` {"name":${JSON.stringify(name)},"steps":[\n${lines}\n ]}`;
  });
  const text = `{"recordedFrom":${JSON.stringify(file.recordedFrom)},"transcripts":[\n${scenarios.join(',\n')}\n]}\n`;
  writeFileSync(join(DIRECTORY, `${group}.json`), text);
}
