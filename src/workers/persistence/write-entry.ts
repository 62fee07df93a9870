import { workerData } from 'node:worker_threads';
import { getPosition } from '../../shared/jetstream/store/log-layout.ts';
import { errnoOf } from './io-thread.ts';
import { writeAll, writeDirect } from './write-all.ts';
import {
  SLOT_DIRECT_FD,
  SLOT_FD,
  SLOT_LENGTH,
  SLOT_POSITION,
  SLOT_REFUSED,
  SLOT_RESULT,
  slotOffset,
  slotWord,
  WRITE_DONE,
  WRITE_SUBMITTED,
  type WriteThreadStart,
} from './write-thread.ts';

/** Entry of the thread that writes blocks for the persistence thread. It blocks between writes, and is ended with its owner. */
const { words, memory, pageBytes } = workerData as WriteThreadStart;
const control = new Int32Array(words);

function write(number: number): void {
  const w = slotWord(number);
  const fd = control[w + SLOT_FD]!;
  const length = control[w + SLOT_LENGTH]!;
  const position = getPosition(control, w + SLOT_POSITION);
  const source = new Uint8Array(memory, slotOffset(number, position, pageBytes), length);
  // The whole pages.
  const from = Math.min(length, Math.ceil(position / pageBytes) * pageBytes - position);
  const to = Math.max(from, Math.floor((position + length) / pageBytes) * pageBytes - position);
  try {
    writeAll(fd, source, 0, from, position);
    const pages = source.subarray(from, to);
    if (to > from && !writeDirect(control[w + SLOT_DIRECT_FD]!, pages, to - from, position + from)) {
      control[w + SLOT_REFUSED] = 1;
      writeAll(fd, pages, 0, to - from, position + from);
    }
    writeAll(fd, source, to, length - to, position + to);
  } catch (error) {
    control[w + SLOT_RESULT] = errnoOf(error);
  }
}

for (let done = 0; ; ) {
  Atomics.wait(control, WRITE_SUBMITTED, done);
  while (done !== Atomics.load(control, WRITE_SUBMITTED)) {
    done = (done + 1) | 0;
    write(done);
    Atomics.store(control, WRITE_DONE, done);
    Atomics.notify(control, WRITE_DONE);
  }
}
