import { RING_CONTROL_RESERVE_BYTES } from '../base/limits.ts';
import {
  type RunMessage,
  type RunTarget,
  runHeadBytes,
  runMessageBytes,
  writeRunHead,
  writeRunMessage,
} from '../mail/message-run.ts';
import { RECORD_RUN } from '../mail/records.ts';
import type { RingProducer } from '../ring/ring.ts';

/** A run of more bytes is ended: it has a few hundred small messages, which fill one write to a socket. */
const RUN_FULL_BYTES = 64 * 1024;

/** The run at the end of one ring: the next message for the same target is added to it while nobody can see it. */
export class RunWriter {
  /** Null: there is no run to be added to. */
  #target: RunTarget | null = null;
  #offset = 0;
  #length = 0;

  /** Whether the last run is for this target. */
  isFor(target: RunTarget): boolean {
    return this.#target === target;
  }

  /** What has been written may be seen from now on, or some of it: no message is added to it. */
  end(): void {
    this.#target = null;
  }

  /** Adds a message to the run. @returns where its shown subject and tail go; -1: it doesn't go into this run */
  add(producer: RingProducer, target: RunTarget, message: RunMessage): number {
    if (this.#target !== target) return -1;
    const length = this.#length + runMessageBytes(message);
    if (length > RUN_FULL_BYTES || length > producer.maxRecordBytes) return -1;
    if (!producer.tryExtend(this.#offset, length, RING_CONTROL_RESERVE_BYTES)) return -1;
    const at = this.#offset + this.#length;
    this.#length = length;
    return writeRunMessage(producer.view, at, message);
  }

  /** Begins a run with a message. @returns as `add`; -1: there is no room */
  begin(producer: RingProducer, target: RunTarget, message: RunMessage): number {
    const headBytes = runHeadBytes(target);
    const length = headBytes + runMessageBytes(message);
    if (length > producer.maxRecordBytes) return -1;
    const offset = producer.tryClaim(RECORD_RUN, length, RING_CONTROL_RESERVE_BYTES);
    if (offset < 0) return -1;
    writeRunHead(producer.bytes, producer.view, offset, target);
    producer.commit();
    this.#target = target;
    this.#offset = offset;
    this.#length = length;
    return writeRunMessage(producer.view, offset + headBytes, message);
  }
}
