/** Which messages a stream gives up: for its limits (jetstream-streams §4.1), and for want of interest (§4.2). */

import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';

const message = new StoredMessage();

/** Removes the oldest messages of a subject until the limit per subject is kept. */
export function enforceSubjectLimit(stream: Stream, subject: string): void {
  const { store } = stream;
  const most = stream.config.maxMsgsPerSubject;
  for (let state = store.subjectState(subject); state !== null && state.messages > most; ) {
    if (stream.remove(state.firstSeq, false, 'limits') <= 0) return;
    state = store.subjectState(subject);
  }
}

function isOverLimit(stream: Stream): boolean {
  const { maxMsgs, maxBytes } = stream.config;
  const { messages, bytes } = stream.store;
  return (maxMsgs > 0 && messages > maxMsgs) || (maxBytes > 0 && bytes > maxBytes);
}

/**
 * Removes the oldest messages until the limits of the whole stream are kept. One that discards new messages keeps what it
 * has, lowered limits or not.
 */
export function enforceTotals(stream: Stream): void {
  if (stream.config.discard === 'new') return;
  while (isOverLimit(stream) && stream.store.messages > 0) {
    if (stream.remove(stream.store.firstSeq, false, 'limits') <= 0) return;
  }
}

/** Enforces every limit anew: after they were lowered, and at the start. */
export function enforceLimits(stream: Stream): void {
  const most = stream.config.maxMsgsPerSubject;
  if (most > 0)
    for (const subject of stream.store.crowdedSubjects(most)) enforceSubjectLimit(stream, subject);
  enforceTotals(stream);
  stream.settle();
}

/**
 * Looks again at a message some reader is done with, and removes it when nobody needs it any more. To be called for each
 * message acknowledged or delivered without acknowledgement; limits retention keeps everything.
 *
 * @returns whether the message was removed
 */
export function releaseMessage(stream: Stream, sequence: number): boolean {
  if (stream.config.retention === 'limits' || !stream.store.load(sequence, message)) return false;
  const subject = message.subject();
  if (stream.readers.needs(sequence, subject)) return false;
  const removed = stream.store.remove(sequence, false) > 0;
  if (removed) stream.schedules.removed(subject, sequence);
  stream.settle();
  return removed;
}

/**
 * Removes every message of an interest stream that nobody needs: after a consumer was deleted or its filters changed, and
 * when a stream becomes one of interest. A work queue keeps what has no consumer yet.
 */
export function releaseUnneeded(stream: Stream): void {
  if (stream.config.retention !== 'interest') return;
  const { store, readers } = stream;
  for (let at = store.firstSeq; store.next(null, at, message, true); at = message.sequence + 1) {
    if (!readers.needs(message.sequence, message.subject())) store.remove(message.sequence, false);
  }
  stream.settle();
}
