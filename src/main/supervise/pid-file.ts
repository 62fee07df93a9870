import { writeFileSync } from 'node:fs';
import { fileErrorText } from '../log/errno-text.ts';

const PID_FILE_MODE = 0o600;

/**
 * Writes the decimal pid without a line end, as nats-server does; it stays behind after the exit (spec "Files and
 * logs"). Throws an Error whose message belongs behind `[FTL] Could not write pidfile: `.
 */
export function writePidFile(path: string, pid: number): void {
  try {
    writeFileSync(path, String(pid), { mode: PID_FILE_MODE });
  } catch (error) {
    throw new Error(fileErrorText('open', path, error));
  }
}
