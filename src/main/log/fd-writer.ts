/**
 * Synchronous line output to a file descriptor that survives every failure.
 *
 * Problem: an asynchronous write may be in flight when the process exits, and then nobody knows how much of it went
 * out; a line that explains the exit must not be lost or doubled. A blocking write, on the other hand, stops the main
 * thread behind a reader that has fallen asleep.
 *
 * So: every attempt is a `writeSync`, whose outcome is known at once. When the descriptor would block (`EAGAIN`), the
 * rest is queued (bounded) and tried again by a timer; `flushSync` insists. A pipe on stderr is opened a second time
 * through /proc with O_NONBLOCK, which gives it flags of its own: setting the flag on the shared description would
 * change the terminal or pipe for every other process that holds it.
 *
 * Failing writes (disk full, closed pipe) drop lines and count them; the first write that works again says so.
 * Rejected: a stream with back-pressure (its queue is what gets lost at exit).
 */

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { errnoCode, errnoText } from './errno-text.ts';

/** Queued text beyond this is dropped (and counted): a dead reader must not eat the memory of the server. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
const RETRY_MS = 20;
const FLUSH_ROUNDS = 400;
const FLUSH_PAUSE_MS = 5;

export interface FdWriterOptions {
  /** Makes the line that reports dropped lines. */
  lossLine: (droppedLines: number, reason: string) => string;
  /** The system call; an argument so that tests can fill the disk. */
  write?: (fd: number, bytes: Buffer, offset: number) => number;
  maxQueuedBytes?: number;
}

export class FdWriter {
  private readonly write_: (fd: number, bytes: Buffer, offset: number) => number;
  private readonly lossLine: (droppedLines: number, reason: string) => string;
  private readonly maxQueuedBytes: number;
  private fd: number;
  private queue: Buffer[] = [];
  private queuedBytes = 0;
  private timer: NodeJS.Timeout | null = null;
  private droppedLines = 0;
  private dropReason = '';
  /** Why the last attempt failed. */
  private failure = '';
  /** A line was cut off by an error: the next one must start on a line of its own. */
  private isTorn = false;

  constructor(fd: number, options: FdWriterOptions) {
    this.fd = fd;
    this.lossLine = options.lossLine;
    this.write_ = options.write ?? ((target, bytes, offset) => writeSync(target, bytes, offset));
    this.maxQueuedBytes = options.maxQueuedBytes ?? MAX_QUEUED_BYTES;
  }

  /** Writes one line (line end included); returns its size in bytes. */
  writeLine(line: string): number {
    const bytes = Buffer.from(line);
    if (this.queue.length === 0 && (this.droppedLines > 0 || this.isTorn) && !this.reportLoss()) {
      this.drop(this.dropReason);
    } else if (this.queue.length > 0) {
      this.enqueue(bytes);
    } else if (!this.emit(bytes)) {
      this.drop(this.failure);
    }
    return bytes.length;
  }

  /** Continues on another descriptor (rotation, reopening); returns the old one, which the caller closes. */
  replaceFd(fd: number): number {
    this.flushSync();
    const old = this.fd;
    this.fd = fd;
    this.isTorn = false;
    return old;
  }

  /** Insists on writing what is queued, for about two seconds at most. */
  flushSync(): void {
    for (let round = 0; this.queue.length > 0 && round < FLUSH_ROUNDS; round++) {
      this.drain();
      if (this.queue.length > 0) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FLUSH_PAUSE_MS);
      }
    }
    if (this.queue.length === 0) this.stopTimer();
  }

  /** Stops the retry timer; what is still queued is given up. */
  stop(): void {
    this.stopTimer();
    this.queue = [];
    this.queuedBytes = 0;
  }

  /** Says what was lost; false while writing still fails. */
  private reportLoss(): boolean {
    const lead = this.isTorn ? '\n' : '';
    const text = this.droppedLines > 0 ? this.lossLine(this.droppedLines, this.dropReason) : '';
    if (!this.emit(Buffer.from(lead + text))) return false;
    this.droppedLines = 0;
    this.isTorn = false;
    return true;
  }

  /** Writes or queues; false when the descriptor failed (`failure` says why). */
  private emit(bytes: Buffer): boolean {
    const written = this.attempt(bytes);
    if (written < 0) return false;
    if (written < bytes.length) this.enqueue(bytes.subarray(written));
    return true;
  }

  /** Bytes that went out (fewer when the descriptor would block), or -1 when it failed. */
  private attempt(bytes: Buffer): number {
    let offset = 0;
    while (offset < bytes.length) {
      try {
        offset += this.write_(this.fd, bytes, offset);
      } catch (error) {
        const code = errnoCode(error);
        if (code === 'EINTR') continue;
        if (code === 'EAGAIN') return offset;
        if (offset > 0) this.isTorn = true;
        this.failure = errnoText(error);
        return -1;
      }
    }
    return offset;
  }

  private enqueue(bytes: Buffer): void {
    if (this.queuedBytes + bytes.length > this.maxQueuedBytes) {
      this.drop('the reader of the log is too slow');
      return;
    }
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    this.timer ??= setTimeout(() => this.retry(), RETRY_MS).unref();
  }

  private drop(reason: string): void {
    this.droppedLines++;
    this.dropReason = reason;
  }

  private retry(): void {
    this.timer = null;
    this.drain();
    if (this.queue.length > 0) this.timer = setTimeout(() => this.retry(), RETRY_MS).unref();
  }

  private drain(): void {
    while (this.queue.length > 0) {
      const head = this.queue[0]!;
      const written = this.attempt(head);
      if (written >= 0 && written < head.length) {
        this.queue[0] = head.subarray(written);
        this.queuedBytes -= written;
        return;
      }
      if (written < 0) this.drop(this.failure);
      this.queue.shift();
      this.queuedBytes -= head.length;
    }
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

/**
 * A descriptor for stderr whose writes do not block, when that can be had without touching the shared one: pipes on
 * Linux. Anything else (terminal, file, journald's socket) is answered with the descriptor itself.
 */
export function openNonBlockingTwin(fd: number): { fd: number; isTwin: boolean } {
  try {
    if (!fstatSync(fd).isFIFO()) return { fd, isTwin: false };
    const twin = openSync(
      `/proc/self/fd/${fd}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND,
    );
    return { fd: twin, isTwin: true };
  } catch {
    return { fd, isTwin: false };
  }
}

/** Closes quietly: a descriptor that cannot be closed is no reason to stop logging. */
export function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Nothing can be done, and the log is the place where it would be said.
  }
}

/** Whether a descriptor is a terminal-like device: only there are labels coloured. */
export function isCharacterDevice(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}
