/** STREAM.SNAPSHOT and STREAM.RESTORE (jetstream-api §3.2). */
import { sendAdvisory } from './advisory.ts';
import {
  type ApiCall,
  decodeBody,
  type Endpoint,
  type Endpoints,
  isEmptyBody,
  type ReplyBody,
  streamOf,
} from './api.ts';
import { ApiError, apiError } from './errors.ts';
import { boolField, fieldReaders, integerField, readBool, stringField } from './json-fields.ts';
import { isDeliverSubject, type SnapshotRequest, SnapshotSession } from './snapshot-session.ts';
import type { Stream } from './stream.ts';
import { emptyStreamConfig, readStreamConfig, type StreamConfig, streamConfigJson } from './stream-config.ts';
import { LISTED_INFO, streamStateJson } from './stream-info.ts';

const DEFAULT_CHUNK_BYTES = 128 * 1024;
const DEFAULT_WINDOW_BYTES = 8 * 1024 * 1024;
const MIN_BYTES = 1024;
const MAX_CHUNK_BYTES = 1024 * 1024;
const MAX_WINDOW_BYTES = 32 * 1024 * 1024;

const SNAPSHOT_READERS = fieldReaders<SnapshotRequest>({
  deliver_subject: stringField('deliverSubject'),
  no_consumers: boolField('noConsumers'),
  chunk_size: integerField('chunkBytes', 'int'),
  window_size: integerField('windowBytes', 'int'),
  // Every record's checksum is verified as it is read, asked for or not.
  jsck: (_request, node, at) => {
    readBool(node, at);
  },
});

function clamp(value: number, fallback: number, least: number, most: number): number {
  return value <= 0 ? fallback : Math.min(most, Math.max(least, value));
}

function startSnapshot(call: ApiCall, stream: Stream): ApiError | ReplyBody {
  const request: SnapshotRequest = { deliverSubject: '', noConsumers: false, chunkBytes: 0, windowBytes: 0 };
  const problem = decodeBody(call, request, SNAPSHOT_READERS, 'JSApiStreamSnapshotRequest');
  if (problem !== null) return problem;
  if (!isDeliverSubject(request.deliverSubject)) return apiError(10015);
  request.chunkBytes = clamp(request.chunkBytes, DEFAULT_CHUNK_BYTES, MIN_BYTES, MAX_CHUNK_BYTES);
  const window = clamp(request.windowBytes, DEFAULT_WINDOW_BYTES, MIN_BYTES, MAX_WINDOW_BYTES);
  request.windowBytes = Math.max(window, request.chunkBytes);
  const state = streamStateJson(stream, LISTED_INFO);
  const { client } = call.request;
  new SnapshotSession(stream, request, state, client);
  sendAdvisory(call.account, `STREAM.SNAPSHOT_CREATE.${stream.name}`, 'snapshot_create', (json) => {
    json.string('stream', stream.name).raw('state', state);
    return client === '' ? json : json.raw('client', client);
  });
  const config = streamConfigJson(stream.config, stream.config.metadata);
  return (json) => json.raw('config', config).raw('state', state);
}

const snapshot: Endpoint = {
  type: 'stream_snapshot_response',
  names: 1,
  handle: (call) => {
    if (isEmptyBody(call.request.body)) return apiError(10003);
    const stream = streamOf(call);
    return stream instanceof ApiError ? stream : startSnapshot(call, stream);
  },
};

interface RestoreBody {
  config: StreamConfig;
}

const RESTORE_READERS = fieldReaders<RestoreBody>({
  config: (request, node, at) => {
    request.config = readStreamConfig(node, at);
  },
  // The archive has the state too, and is what counts.
  state: () => {},
});

const restore: Endpoint = {
  type: 'stream_restore_response',
  names: 1,
  zeroFields: (json) => json.string('deliver_subject', ''),
  handle: (call) => {
    if (isEmptyBody(call.request.body)) return apiError(10003);
    const request = { config: emptyStreamConfig() };
    const problem = decodeBody(call, request, RESTORE_READERS, 'JSApiStreamRestoreRequest');
    if (problem !== null) return problem;
    const { config } = request;
    if (config.name !== call.names[0]) return apiError(10056);
    const session = call.account.beginRestore(config, call.request.client);
    if (session instanceof ApiError) return session;
    const { client } = call.request;
    sendAdvisory(call.account, `STREAM.RESTORE_CREATE.${config.name}`, 'restore_create', (json) => {
      json.string('stream', config.name);
      return client === '' ? json : json.raw('client', client);
    });
    return (json) => json.string('deliver_subject', session.subject);
  },
};

export const SNAPSHOT_ENDPOINTS: Endpoints = { 'STREAM.SNAPSHOT': snapshot, 'STREAM.RESTORE': restore };
