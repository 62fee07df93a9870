import { closeSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import process from 'node:process';

/**
 * The lock of a store directory: a file that names a live process.
 *
 * A process number alone says little: after a crash, or in a container where the server is always process 1, the number may be
 * somebody else's or our own. So the file also has when that process started, as the kernel counts it, and the
 * machine's boot; a holder is believed only while a process with that number and that start is there. Where the kernel
 * doesn't tell, the number decides.
 */

interface Holder {
  pid: number;
  /** Empty: not known. */
  start: string;
}

/** When a process started: boot and ticks since then; empty when it isn't there or the system doesn't say. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may have spaces; the start time is the twentieth field behind it.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot}/${ticks}`;
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readHolder(path: string): Holder | null {
  try {
    const [pid = '', start = ''] = readFileSync(path, 'latin1').trim().split(' ');
    return /^\d+$/.test(pid) ? { pid: Number(pid), start } : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function holds(holder: Holder): boolean {
  if (!isAlive(holder.pid)) return false;
  const start = startOf(holder.pid);
  return holder.start === '' || start === '' || start === holder.start;
}

/**
 * Claims the lock file for this process.
 *
 * @returns null, or who holds it, as text; throws what the file system throws
 */
export function claimLock(path: string): string | null {
  const content = `${process.pid} ${startOf(process.pid)}\n`;
  try {
    const fd = openSync(path, 'wx', 0o600);
    writeSync(fd, content);
    closeSync(fd);
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = readHolder(path);
  if (holder !== null && holds(holder)) return `process ${holder.pid}`;
  // Stale. Two that find it so at once: the rename of the later one wins, and the earlier one sees it when it looks again.
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
  const now = readHolder(path);
  return now !== null && now.pid !== process.pid ? `process ${now.pid}` : null;
}

/** Gives the lock back, if it is this process's. */
export function releaseLock(path: string): void {
  if (readHolder(path)?.pid === process.pid) unlinkSync(path);
}
