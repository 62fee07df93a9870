import { fdatasyncSync } from 'node:fs';
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { getPosition } from '../../shared/jetstream/store/log-layout.ts';
import { DoorbellRinger } from '../../shared/ring/doorbell.ts';
import { errnoOf } from './io-thread.ts';
import {
  SYNC_BUFFER,
  SYNC_BUFFERS,
  SYNC_COMMAND,
  SYNC_DIRECT_FD,
  SYNC_DONE,
  SYNC_FD,
  SYNC_LENGTH,
  SYNC_MICROS,
  SYNC_POSITION,
  SYNC_REFUSED,
  SYNC_RESULT,
  type SyncBuffer,
  type SyncThreadStart,
} from './sync-thread.ts';
import { writeAll, writeDirect } from './write-all.ts';

/** Entry of the thread that writes and syncs for the persistence thread. It blocks between commands, and is ended with its owner. */
const { words, doorbells, thread, buffers } = workerData as SyncThreadStart;
const control = new Int32Array(words);
const bell = new DoorbellRinger(doorbells);
const known: Uint8Array[] = Array.from({ length: SYNC_BUFFERS }, () => new Uint8Array(0));

/** Writes what the command names, past the page cache if that can be done. */
function write(length: number): void {
  // What has been told before the command is here.
  for (let told = receiveMessageOnPort(buffers); told !== undefined; told = receiveMessageOnPort(buffers)) {
    const { number, memory } = told.message as SyncBuffer;
    known[number] = new Uint8Array(memory);
  }
  const source = known[control[SYNC_BUFFER]!]!;
  const position = getPosition(control, SYNC_POSITION);
  const directFd = control[SYNC_DIRECT_FD]!;
  if (writeDirect(directFd, source, length, position)) return;
  if (directFd >= 0) control[SYNC_REFUSED] = 1;
  writeAll(control[SYNC_FD]!, source, 0, length, position);
}

for (let done = 0; ; ) {
  Atomics.wait(control, SYNC_COMMAND, done);
  const command = Atomics.load(control, SYNC_COMMAND);
  if (command === done) continue;
  let result = 0;
  const start = performance.now();
  try {
    const length = control[SYNC_LENGTH]!;
    if (length > 0) write(length);
    fdatasyncSync(control[SYNC_FD]!);
  } catch (error) {
    result = errnoOf(error);
  }
  done = command;
  Atomics.store(control, SYNC_MICROS, (performance.now() - start) * 1000);
  Atomics.store(control, SYNC_RESULT, result);
  Atomics.store(control, SYNC_DONE, command);
  Atomics.notify(control, SYNC_DONE);
  bell.ring(thread);
}
