/** Where recordings are kept and how they are read. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Transcript } from './runner.ts';

export interface TranscriptFile {
  /** Version of the nats-server that was recorded. */
  recordedFrom: string;
  transcripts: Transcript[];
}

/** Tests run with the repository as working directory (`root` of the test configuration). */
const DIRECTORY = join('test', 'conformance', 'transcripts');

/** Reads the recording of one group of scenarios. */
export function readTranscripts(group: string): TranscriptFile {
  return JSON.parse(readFileSync(join(DIRECTORY, `${group}.json`), 'utf8')) as TranscriptFile;
}

/** Writes the recording of one group of scenarios. */
export function writeTranscripts(group: string, file: TranscriptFile): void {
  writeFileSync(join(DIRECTORY, `${group}.json`), `${JSON.stringify(file, null, 1)}\n`);
}
