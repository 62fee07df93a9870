import { closeSync, linkSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import process from 'node:process';

/**
 * The lock of a store directory: a file that names a live process.
 *
 * A process number alone says little: after a crash, or in a container where the server is always process 1, the number may be
 * somebody else's or our own. So the file also has when that process started, as the kernel counts it, and the
 * machine's boot; a holder is believed only while a process with that number and that start is there. Where the kernel
 * doesn't tell, the number decides.
 *
 * The file is made once, stays when it is given back, and is written in place from then on: a claim needs no room, so a server
 * starts on a full disk. Who takes over a stale one moves it away first, which only one can.
 */

/** Length of the file; the rest of it is blank. */
const LOCK_BYTES = 128;
const FREE = '-';

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
    return /^[1-9]\d*$/.test(pid) ? { pid: Number(pid), start } : null;
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

function writeLock(path: string, flags: 'wx' | 'r+', content: string): void {
  const fd = openSync(path, flags, 0o600);
  try {
    writeSync(fd, `${content.padEnd(LOCK_BYTES - 1)}\n`, 0, 'latin1');
  } finally {
    closeSync(fd);
  }
}

function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Makes the file; one without content is none. @returns false when there is one */
function createLock(path: string, content: string): boolean {
  try {
    writeLock(path, 'wx', content);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    if (errorCode(error) === 'ENOSPC') unlinkSync(path);
    throw error;
  }
}

/** Gives a file its name back, unless somebody has made another one meanwhile. */
function putBack(taken: string, path: string): void {
  try {
    linkSync(taken, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') {
      // A file system without links.
      renameSync(taken, path);
      return;
    }
  }
  unlinkSync(taken);
}

/**
 * Claims the lock file for this process.
 *
 * @returns null, or who holds it, as text; throws what the file system throws
 */
export function claimLock(path: string): string | null {
  const content = `${process.pid} ${startOf(process.pid)}`;
  if (createLock(path, content)) return null;
  const holder = readHolder(path);
  if (holder !== null && holds(holder)) return `process ${holder.pid}`;
  const taken = `${path}.${process.pid}`;
  try {
    renameSync(path, taken);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'a process that starts';
    throw error;
  }
  // Somebody may have been faster, and what was moved away be theirs.
  const moved = readHolder(taken);
  if (moved === null || !holds(moved)) writeLock(taken, 'r+', content);
  putBack(taken, path);
  const now = readHolder(path);
  return now === null || now.pid !== process.pid ? `process ${now?.pid ?? 'unknown'}` : null;
}

/**
 * Gives the lock back, if it is this process's.
 *
 * @param remove the file as well
 */
export function releaseLock(path: string, remove: boolean): void {
  if (readHolder(path)?.pid !== process.pid) return;
  if (remove) unlinkSync(path);
  else writeLock(path, 'r+', FREE);
}
