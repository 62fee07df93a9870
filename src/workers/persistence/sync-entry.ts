import { fdatasyncSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { DoorbellRinger } from '../../shared/ring/doorbell.ts';
import {
  SYNC_COMMAND,
  SYNC_DONE,
  SYNC_FD,
  SYNC_MICROS,
  SYNC_RESULT,
  type SyncThreadStart,
} from './sync-thread.ts';

/** Entry of the thread that syncs for the persistence thread. It blocks between commands, and is ended with its owner. */
const EIO = -5;
const { words, doorbells, thread } = workerData as SyncThreadStart;
const control = new Int32Array(words);
const bell = new DoorbellRinger(doorbells);

for (let done = 0; ; ) {
  Atomics.wait(control, SYNC_COMMAND, done);
  const command = Atomics.load(control, SYNC_COMMAND);
  if (command === done) continue;
  let result = 0;
  const start = performance.now();
  try {
    fdatasyncSync(Atomics.load(control, SYNC_FD));
  } catch (error) {
    result = (error as NodeJS.ErrnoException).errno ?? EIO;
  }
  done = command;
  Atomics.store(control, SYNC_MICROS, (performance.now() - start) * 1000);
  Atomics.store(control, SYNC_RESULT, result);
  Atomics.store(control, SYNC_DONE, command);
  Atomics.notify(control, SYNC_DONE);
  bell.ring(thread);
}
