/** Where a new consumer begins (jetstream-consumers §3). */
import type { StreamStore, SubjectFilter } from '../../store/contract.ts';
import { parseTime, splitTime, TimeError } from '../../time.ts';
import type { ConsumerConfig } from '../contract.ts';

export interface StartPosition {
  /** First sequence to look at. */
  readonly streamSeq: number;
  /** With a list of last messages: the last sequence of the stream now; 0: no list. */
  readonly listUpToSeq: number;
}

/** @param maxMsgsPerSubject of the stream: with 1 the last message of a subject is all it has */
export function startPosition(
  config: ConsumerConfig,
  store: StreamStore,
  filter: SubjectFilter | null,
  maxMsgsPerSubject: number,
): StartPosition {
  const begin = Math.max(1, store.firstSeq);
  const at = (streamSeq: number): StartPosition => ({ streamSeq, listUpToSeq: 0 });
  switch (config.deliverPolicy) {
    case 'all':
      return at(begin);
    case 'last':
      return at(store.lastSeqOf(filter) || begin);
    case 'new':
      return at(store.lastSeq + 1);
    case 'by_start_sequence':
      return at(Math.max(begin, config.optStartSeq));
    case 'by_start_time':
      return at(Math.max(begin, startSeqAt(config.optStartTime, store)));
    case 'last_per_subject':
      if (maxMsgsPerSubject === 1 || store.messages === 0) return at(begin);
      return { streamSeq: firstOfLast(store, filter), listUpToSeq: store.lastSeq };
  }
}

/** The least of the last sequences of all matching subjects. */
function firstOfLast(store: StreamStore, filter: SubjectFilter | null): number {
  const sequences = store.lastPerSubject(filter, store.lastSeq, Infinity);
  return sequences?.[0] ?? store.lastSeq + 1;
}

function startSeqAt(text: string, store: StreamStore): number {
  const time = parseTime(text);
  if (time instanceof TimeError) return 1;
  const { ms, nanos } = splitTime(time);
  return store.firstSeqFromTime(ms, nanos);
}
