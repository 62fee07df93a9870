/** What is told about a stream (jetstream-streams §2). */
import { textOfWire } from '../subject/wire-text.ts';
import { shownMetadata } from './api-level.ts';
import { JsonObject, jsonArray } from './json-object.ts';
import type { Stream } from './stream.ts';
import { streamConfigJson } from './stream-config.ts';
import { joinTime } from './time.ts';

/** Deleted sequences listed in one reply. */
const MAX_DELETED = 1_000_000;

export interface StreamInfoRequest {
  /** With the metadata that tells of this server; lists and snapshots go without. */
  readonly shownMetadata: boolean;
  /** With `domain`, when there is one. */
  readonly domain: boolean;
  /** With `cluster`. */
  readonly cluster: boolean;
  /** List the deleted sequences. */
  readonly deletedDetails: boolean;
  /** Subjects and their counts, or null. */
  readonly subjects: readonly (readonly [string, number])[] | null;
}

/** A stream as it is shown in replies to create and restore. */
export const CREATED_INFO: StreamInfoRequest = {
  shownMetadata: true,
  domain: false,
  cluster: false,
  deletedDetails: false,
  subjects: null,
};

/** In replies to update. */
export const UPDATED_INFO: StreamInfoRequest = { ...CREATED_INFO, domain: true };

/** In lists. */
export const LISTED_INFO: StreamInfoRequest = { ...UPDATED_INFO, shownMetadata: false };

function deletedSequences(stream: Stream): string[] {
  const ranges = stream.store.deletedRanges();
  const sequences: string[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    for (let seq = ranges[i]!; seq <= ranges[i + 1]! && sequences.length < MAX_DELETED; seq++)
      sequences.push(String(seq));
  }
  return sequences;
}

function subjectsJson(subjects: readonly (readonly [string, number])[]): string {
  const json = new JsonObject();
  for (const [subject, messages] of subjects) json.integer(textOfWire(subject), messages);
  return json.end();
}

/** `StreamState`. */
export function streamStateJson(stream: Stream, request: StreamInfoRequest): string {
  const { store } = stream;
  const first = store.messages === 0 ? null : joinTime(store.firstTimestampMs, store.firstTimestampNanos);
  const last = store.lastTimestampMs === 0 ? null : joinTime(store.lastTimestampMs, store.lastTimestampNanos);
  const json = new JsonObject()
    .integer('messages', store.messages)
    .integer('bytes', store.bytes)
    .integer('first_seq', store.firstSeq)
    .time('first_ts', first)
    .integer('last_seq', store.lastSeq)
    .time('last_ts', last)
    .integerUnlessZero('num_subjects', store.subjects);
  if (request.subjects !== null && request.subjects.length > 0)
    json.raw('subjects', subjectsJson(request.subjects));
  json.integerUnlessZero('num_deleted', store.deleted);
  if (request.deletedDetails && store.deleted > 0) json.raw('deleted', jsonArray(deletedSequences(stream)));
  const lost = store.lost();
  if (lost.sequences.length > 0) {
    const messages = jsonArray(lost.sequences.map(String));
    json.raw('lost', new JsonObject().raw('msgs', messages).integer('bytes', lost.bytes).end());
  }
  return json.integer('consumer_count', stream.readers.visible).end();
}

/** Adds the fields of `StreamInfo` to a reply. */
export function addStreamInfo(json: JsonObject, stream: Stream, request: StreamInfoRequest): void {
  const { config, engine } = stream;
  const metadata = request.shownMetadata ? shownMetadata(config.metadata) : config.metadata;
  json
    .raw('config', streamConfigJson(config, metadata))
    .time('created', stream.createdNs)
    .raw('state', streamStateJson(stream, request));
  if (request.domain) json.stringUnlessEmpty('domain', engine.options.domain);
  if (request.cluster)
    json.raw('cluster', new JsonObject().string('leader', engine.options.serverName).end());
  stream.origins.addInfo(json);
  json.time('ts', joinTime(engine.clock.ms, engine.clock.nanos));
}
