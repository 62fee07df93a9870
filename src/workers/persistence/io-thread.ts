import { type MessagePort, Worker } from 'node:worker_threads';

/** What the threads that block on files for the persistence thread have in common. */

const EIO = -5;

/**
 * Starts a thread that runs little code and waits most of the time. The persistence thread's port keeps the process alive, and
 * its end is the end of this one.
 */
export function startIoThread(
  entry: URL,
  name: string,
  workerData: object,
  transferList: MessagePort[] = [],
): void {
  const worker = new Worker(entry, {
    workerData,
    transferList,
    name,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
  });
  worker.unref();
  worker.on('error', (error) => {
    throw error;
  });
}

/** The negative number of what a call into the file system threw. */
export function errnoOf(error: unknown): number {
  return (error as NodeJS.ErrnoException).errno ?? EIO;
}
