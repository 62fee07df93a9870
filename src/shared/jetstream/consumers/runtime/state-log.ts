/**
 * A consumer's state in the store: a record for each change, and now and then the whole.
 *
 * Every record begins with its kind; numbers are variable-length integers, `±` marks signed ones, times are Unix milliseconds.
 *
 * ```
 *   'S' version=1 │ next consumer seq │ next stream seq │ floor consumer │ floor stream │ delivered ms │ acked ms │ list up to
 *                 │ n │ n × (± sequence from the one before, ± consumer seq from …, ± ms from …, deliveries)
 *                 │ n │ n × (± sequence from the one before, deliveries)                    messages that were given up
 *   'D' ms │ (gap before, messages) …           first deliveries, as runs of sequences without a gap
 *   'P' ms │ messages │ last sequence           the same without acknowledgements: the position alone
 *   'R' ms │ ± sequence from the one before …   deliveries again
 *   'A' ms │ (± sequence from the one before, ± consumer seq from …) …     acknowledgements of single messages
 *   'U' ms │ sequence │ consumer seq            everything up to it is acknowledged
 *   'T' ms │ sequence                           progress or a delay: counts as delivered at that time
 *   'X' sequence                                given up at max_deliver
 * ```
 *
 * Changes of one kind at one time share a record until `flush`: a run of deliveries, and acknowledgements that arrive
 * together, cost one record. Who promises a change flushes first.
 */
import type { StreamStore } from '../../store/contract.ts';
import type { ConsumerState } from './consumer-state.ts';
import { RecordReader, RecordWriter } from './record-bytes.ts';

const VERSION = 1;
const STATE = 0x53;
const DELIVERIES = 0x44;
const POSITION = 0x50;
const REDELIVERIES = 0x52;
const ACKS = 0x41;
const ACK_ALL = 0x55;
const TOUCH = 0x54;
const EXHAUST = 0x58;
/** A record is not made longer than this by further changes. */
const RECORD_FULL_BYTES = 4096;

/** Gathers the changes of a stream's consumers into records. */
export class StateLog {
  readonly #store: StreamStore;
  readonly #record = new RecordWriter();
  #key = '';
  #kind = 0;
  #timeMs = 0;
  /** Of the last entry of the record. */
  #sequence = 0;
  #consumerSeq = 0;
  /** Run of deliveries that is being counted. */
  #runGap = 0;
  #runLength = 0;

  readonly #opened: () => void;

  /** @param opened called when a record is begun: `flush` has to be called in this turn or the next */
  constructor(store: StreamStore, opened: () => void) {
    this.#store = store;
    this.#opened = opened;
  }

  /** A first delivery. */
  deliver(key: string, sequence: number, timeMs: number): void {
    this.#begin(key, DELIVERIES, timeMs);
    if (this.#runLength > 0 && sequence === this.#sequence + 1) this.#runLength++;
    else {
      this.#endRun();
      this.#runGap = sequence - this.#sequence - 1;
      this.#runLength = 1;
    }
    this.#sequence = sequence;
  }

  /** One more delivery without acknowledgement. */
  position(key: string, sequence: number, timeMs: number): void {
    this.#begin(key, POSITION, timeMs);
    this.#runLength++;
    this.#sequence = sequence;
  }

  redeliver(key: string, sequence: number, timeMs: number): void {
    this.#begin(key, REDELIVERIES, timeMs);
    this.#record.signed(sequence - this.#sequence);
    this.#sequence = sequence;
  }

  ack(key: string, sequence: number, consumerSeq: number, timeMs: number): void {
    this.#begin(key, ACKS, timeMs);
    this.#record.signed(sequence - this.#sequence);
    this.#record.signed(consumerSeq - this.#consumerSeq);
    this.#sequence = sequence;
    this.#consumerSeq = consumerSeq;
  }

  ackAll(key: string, sequence: number, consumerSeq: number, timeMs: number): void {
    this.flush();
    this.#begin(key, ACK_ALL, timeMs);
    this.#record.unsigned(sequence);
    this.#record.unsigned(consumerSeq);
    this.flush();
  }

  touch(key: string, sequence: number, timeMs: number): void {
    this.flush();
    this.#begin(key, TOUCH, timeMs);
    this.#record.unsigned(sequence);
    this.flush();
  }

  exhaust(key: string, sequence: number): void {
    this.flush();
    const record = this.#record;
    record.clear();
    record.byte(EXHAUST);
    record.unsigned(sequence);
    this.#store.logConsumer(key, record.bytes());
  }

  /** Logs the whole state. @returns false when the store refused */
  whole(key: string, state: ConsumerState): boolean {
    this.flush();
    return this.#store.logConsumer(key, encodeState(state));
  }

  /** Hands what was gathered to the store. */
  flush(): void {
    if (this.#kind === 0) return;
    if (this.#kind === DELIVERIES) this.#endRun();
    else if (this.#kind === POSITION) {
      this.#record.unsigned(this.#runLength);
      this.#record.unsigned(this.#sequence);
      this.#runLength = 0;
    }
    this.#kind = 0;
    this.#store.logConsumer(this.#key, this.#record.bytes());
  }

  /** Begins a record unless the one under way will do. */
  #begin(key: string, kind: number, timeMs: number): void {
    const same = this.#kind === kind && this.#timeMs === timeMs && this.#key === key;
    if (same && this.#record.length < RECORD_FULL_BYTES) return;
    this.flush();
    this.#key = key;
    this.#kind = kind;
    this.#timeMs = timeMs;
    this.#sequence = 0;
    this.#consumerSeq = 0;
    this.#runLength = 0;
    this.#record.clear();
    this.#record.byte(kind);
    this.#record.unsigned(timeMs);
    this.#opened();
  }

  #endRun(): void {
    if (this.#runLength === 0) return;
    this.#record.unsigned(this.#runGap);
    this.#record.unsigned(this.#runLength);
    this.#runLength = 0;
  }
}

/** The whole state as a record. */
export function encodeState(state: ConsumerState): Uint8Array {
  const record = new RecordWriter();
  const { pending, exhausted } = state;
  record.byte(STATE);
  record.byte(VERSION);
  record.unsigned(state.consumerSeq);
  record.unsigned(state.streamSeq);
  record.unsigned(state.floorConsumerSeq);
  record.unsigned(state.floorStreamSeq);
  record.unsigned(state.deliveredMs);
  record.unsigned(state.ackedMs);
  record.unsigned(state.listUpToSeq);
  record.unsigned(pending.size);
  let sequence = 0;
  let consumerSeq = 0;
  let timeMs = 0;
  for (let at = pending.first; at < pending.end; at = pending.next(at)) {
    record.signed(pending.sequence(at) - sequence);
    record.signed(pending.consumerSeq(at) - consumerSeq);
    record.signed(pending.timeMs(at) - timeMs);
    record.unsigned(pending.deliveries(at));
    sequence = pending.sequence(at);
    consumerSeq = pending.consumerSeq(at);
    timeMs = pending.timeMs(at);
  }
  record.unsigned(exhausted?.size ?? 0);
  sequence = 0;
  for (const [given, deliveries] of exhausted ?? []) {
    record.signed(given - sequence);
    record.unsigned(deliveries);
    sequence = given;
  }
  return record.bytes().slice();
}

/** Applies a record to the state. @returns false when it can't be read; what it said up to there is applied */
export function applyRecord(state: ConsumerState, bytes: Uint8Array): boolean {
  const record = new RecordReader(bytes);
  const kind = record.byte();
  if (kind === STATE) applyState(state, record);
  else if (kind === EXHAUST) {
    const index = state.pending.find(record.unsigned());
    if (index >= 0) state.exhaust(index);
  } else applyChanges(state, kind, record.unsigned(), record);
  return !record.failed;
}

function applyChanges(state: ConsumerState, kind: number, timeMs: number, record: RecordReader): void {
  switch (kind) {
    case DELIVERIES:
      for (let last = 0; !record.atEnd && !record.failed; ) last = applyRun(state, record, last, timeMs);
      break;
    case POSITION: {
      const count = record.unsigned();
      state.deliverThrough(record.unsigned(), count, timeMs);
      break;
    }
    case REDELIVERIES:
      for (let sequence = 0; !record.atEnd && !record.failed; ) {
        sequence += record.signed();
        const index = state.pending.find(sequence);
        if (index >= 0) state.redeliver(index, timeMs);
        else state.consumerSeq++;
      }
      break;
    case ACKS:
      for (let sequence = 0, consumerSeq = 0; !record.atEnd && !record.failed; ) {
        sequence += record.signed();
        consumerSeq += record.signed();
        if (!record.failed) state.ack(sequence, consumerSeq, timeMs);
      }
      break;
    case ACK_ALL: {
      const sequence = record.unsigned();
      state.ackAll(sequence, record.unsigned(), timeMs);
      break;
    }
    case TOUCH: {
      const index = state.pending.find(record.unsigned());
      if (index >= 0) state.pending.setTime(index, timeMs);
      break;
    }
    default:
      record.failed = true;
  }
}

/** @param last of the run before. @returns last sequence of the run */
function applyRun(state: ConsumerState, record: RecordReader, last: number, timeMs: number): number {
  const first = last + 1 + record.unsigned();
  const end = first + record.unsigned();
  if (record.failed) return last;
  // What the state has already, from a snapshot, is not delivered again.
  for (let at = Math.max(first, state.streamSeq); at < end; at++) state.deliver(at, timeMs);
  return end - 1;
}

function applyState(state: ConsumerState, record: RecordReader): void {
  if (record.byte() !== VERSION) {
    record.failed = true;
    return;
  }
  const consumerSeq = record.unsigned();
  state.reset(record.unsigned());
  state.consumerSeq = consumerSeq;
  state.floorConsumerSeq = record.unsigned();
  state.floorStreamSeq = record.unsigned();
  state.deliveredMs = record.unsigned();
  state.ackedMs = record.unsigned();
  state.listUpToSeq = record.unsigned();
  let sequence = 0;
  let pendingSeq = 0;
  let timeMs = 0;
  for (let left = record.unsigned(); left > 0 && !record.failed; left--) {
    sequence += record.signed();
    pendingSeq += record.signed();
    timeMs += record.signed();
    state.pending.add(sequence, pendingSeq, timeMs, record.unsigned());
  }
  sequence = 0;
  for (let left = record.unsigned(); left > 0 && !record.failed; left--) {
    sequence += record.signed();
    state.exhausted ??= new Map();
    state.exhausted.set(sequence, record.unsigned());
  }
}
