import { readFileSync } from 'node:fs';
import { fileErrorText } from '../log/errno-text.ts';

/** Reads a file of the configuration. @throws an Error that says why not in nats-server's words */
export function readSystemFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(fileErrorText('open', path, error));
  }
}
