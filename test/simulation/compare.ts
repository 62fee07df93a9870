import {
  MessageDraft,
  type Store,
  StoredMessage,
  type StreamStore,
} from '../../src/shared/jetstream/store/contract.ts';
import type { ModelMessage, ModelStore, ModelStream } from './model.ts';

/** Comparison of a store with the model: every message byte for byte, and every question with the naive answer. */

const FILTERS: readonly (readonly string[] | null)[] = [
  null,
  ['a.1'],
  ['a.*'],
  ['a.1', 'b.>'],
  ['none'],
  ['b.2.x'],
];

const message = new StoredMessage();

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function draftOf(model: ModelMessage, sequence: number): MessageDraft {
  const draft = new MessageDraft();
  draft.setSubject(model.subject);
  draft.setHeaders(bytesOf(model.headers));
  draft.setPayload(bytesOf(model.payload));
  draft.timestampMs = model.timestampMs;
  draft.timestampNanos = model.timestampNanos;
  draft.ttlSeconds = model.ttlSeconds;
  draft.sequence = sequence;
  return draft;
}

/** A message that was loaded, as the model keeps it. */
export function modelOf(loaded: StoredMessage): ModelMessage {
  return {
    subject: loaded.subject(),
    headers: textOf(loaded.headers()),
    payload: textOf(loaded.payload()),
    timestampMs: loaded.timestampMs,
    timestampNanos: loaded.timestampNanos,
    ttlSeconds: loaded.ttlSeconds,
  };
}

export function sameMessage(a: ModelMessage, b: ModelMessage): boolean {
  return (
    a.subject === b.subject &&
    a.headers === b.headers &&
    a.payload === b.payload &&
    a.timestampMs === b.timestampMs &&
    a.timestampNanos === b.timestampNanos &&
    a.ttlSeconds === b.ttlSeconds
  );
}

/** @returns the first difference in messages and figures, or null */
export function messagesDifference(stream: StreamStore, model: ModelStream): string | null {
  const sequences = model.matching(null);
  const figures: [string, number, number][] = [
    ['messages', stream.messages, model.messages.size],
    ['firstSeq', stream.firstSeq, model.firstSeq],
    ['lastSeq', stream.lastSeq, model.lastSeq],
    ['lastTimestampMs', stream.lastTimestampMs, model.lastMs],
    ['subjects', stream.subjects, model.lastPerSubject(null, 0).length],
  ];
  let bytes = 0;
  for (const { subject, headers, payload } of model.messages.values()) {
    bytes += stream.accountingBytes(subject.length, headers.length, payload.length);
  }
  figures.push(['bytes', stream.bytes, bytes]);
  for (const [what, found, expected] of figures) {
    if (found !== expected) return `${what} is ${found} and should be ${expected}`;
  }
  for (const sequence of sequences) {
    if (!stream.load(sequence, message)) return `message ${sequence} is missing`;
    if (message.sequence !== sequence || !sameMessage(modelOf(message), model.messages.get(sequence)!)) {
      return `message ${sequence} differs`;
    }
  }
  for (
    let gap = Math.max(1, model.firstSeq - 2);
    gap <= Math.min(model.lastSeq + 2, model.firstSeq + 400);
    gap++
  ) {
    if (!model.messages.has(gap) && stream.load(gap, message)) return `message ${gap} is back`;
  }
  return null;
}

/** @returns the first difference, or null */
export function streamDifference(stream: StreamStore, model: ModelStream): string | null {
  return messagesDifference(stream, model) ?? metadataDifference(stream, model);
}

function metadataDifference(stream: StreamStore, model: ModelStream): string | null {
  const keys = [...model.metadata.keys()].sort().join();
  if (stream.metadataKeys().sort().join() !== keys) return `metadata keys are ${stream.metadataKeys()}`;
  for (const [key, value] of model.metadata) {
    const found = stream.getMetadata(key);
    if (found === null || textOf(found) !== value) return `metadata ${key} differs`;
  }
  return null;
}

/** @returns the first wrong answer, or null */
export function answerDifference(stream: StreamStore, model: ModelStream, from: number): string | null {
  for (const patterns of FILTERS) {
    const filter = patterns === null ? null : stream.filter(patterns);
    const matching = model.matching(patterns);
    const next = matching.find((sequence) => sequence >= from) ?? 0;
    const lasts = model.lastPerSubject(patterns, 0);
    const upTo = Math.max(1, from);
    const answers: [string, number | string, number | string][] = [
      ['nextSeq', stream.nextSeq(filter, from), next],
      ['numPending', stream.numPending(filter, from, false), matching.filter((s) => s >= from).length],
      ['numPending last', stream.numPending(filter, from, true), lasts.filter((s) => s >= from).length],
      ['lastSeqOf', stream.lastSeqOf(filter), matching.at(-1) ?? 0],
      ['lastPerSubject', String(stream.lastPerSubject(filter, 0, 1e9)), String(Float64Array.from(lasts))],
      [
        'lastPerSubject up to',
        String(stream.lastPerSubject(filter, upTo, 1e9)),
        String(Float64Array.from(model.lastPerSubject(patterns, upTo))),
      ],
      ['subjectsState', stream.subjectsState(filter, 0, 1e9).total, lasts.length],
    ];
    for (const [what, found, expected] of answers) {
      if (found !== expected) return `${what}(${patterns}, ${from}) is ${found} and should be ${expected}`;
    }
  }
  for (const last of model.lastPerSubject(null, 0)) {
    const { subject } = model.messages.get(last)!;
    const state = stream.subjectState(subject);
    const all = model.matching([subject]);
    if (state?.firstSeq !== all[0] || state?.lastSeq !== last || state?.messages !== all.length) {
      return `subjectState(${subject}) is ${JSON.stringify(state)} and should be ${all[0]}, ${last}, ${all.length}`;
    }
  }
  return null;
}

/** @returns the first difference, or null */
export function storeDifference(store: Store, model: ModelStore, account = 'A'): string | null {
  const names = store
    .streams()
    .map((stream) => stream.name)
    .sort()
    .join();
  const expected = [...model.streams.keys()].sort().join();
  if (names !== expected) return `streams are ${names} and should be ${expected}`;
  for (const [name, stream] of model.streams) {
    const difference = streamDifference(store.find(account, name)!, stream);
    if (difference !== null) return `${name}: ${difference}`;
  }
  return null;
}
