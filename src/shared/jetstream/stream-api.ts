/** The endpoints of streams (jetstream-api §3.2); snapshot and restore are in `snapshot-api.ts`. */
import { isValidSubject, subjectsCollide } from '../subject/subject.ts';
import { textOfWire, wireText } from '../subject/wire-text.ts';
import {
  type ApiCall,
  decodeBody,
  type Endpoint,
  type Endpoints,
  hasJsonBody,
  isEmptyBody,
  streamOf,
} from './api.ts';
import { findMessage } from './direct-get.ts';
import { ApiError, apiError, apiErrorText } from './errors.ts';
import { boolField, type FieldReaders, fieldReaders, integerField, stringField } from './json-fields.ts';
import { compareBytes, JsonObject, jsonArray, jsonString, jsonStringMap } from './json-object.ts';
import { LIST_PAGE, NAMES_PAGE, SUBJECTS_PAGE } from './limits.ts';
import { emptyMessageRequest, MESSAGE_REQUEST_READERS } from './message-request.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { emptyStreamConfig, STREAM_CONFIG_READERS, type StreamConfig } from './stream-config.ts';
import { addStreamInfo, CREATED_INFO, LISTED_INFO, UPDATED_INFO } from './stream-info.ts';
import { joinTime } from './time.ts';

interface StreamConfigRequest extends StreamConfig {
  pedantic: boolean;
}

const CONFIG_REQUEST_READERS = fieldReaders<StreamConfigRequest>({
  ...STREAM_CONFIG_READERS,
  pedantic: boolField('pedantic'),
});

/** Reads the body of create and update. */
function readConfigRequest(call: ApiCall): { config: StreamConfig; pedantic: boolean } | ApiError {
  const request: StreamConfigRequest = { ...emptyStreamConfig(), pedantic: false };
  const problem = decodeBody(call, request, CONFIG_REQUEST_READERS, 'StreamConfigRequest');
  if (problem !== null) return problem;
  const { pedantic, ...config } = request;
  return { config, pedantic };
}

function createStream(call: ApiCall): Stream | ApiError {
  const request = readConfigRequest(call);
  if (request instanceof ApiError) return request;
  const { config, pedantic } = request;
  if (config.name !== call.names[0]) return apiError(10056);
  if (/[\\/]/.test(config.name)) return apiError(10128);
  if (config.sealed) return apiErrorText(10052, 'stream configuration for create can not be sealed');
  if (config.mirrorDirect && config.mirror === null)
    return apiErrorText(10052, 'stream has no mirror but does have mirror direct');
  return call.account.createStream(config, pedantic);
}

const create: Endpoint = {
  type: 'stream_create_response',
  names: 1,
  handle: (call) => {
    const stream = createStream(call);
    if (stream instanceof ApiError) return stream;
    return (json) => {
      addStreamInfo(json, stream, CREATED_INFO);
      json.bool('did_create', true);
    };
  },
};

function updateStream(call: ApiCall): Stream | ApiError {
  const request = readConfigRequest(call);
  if (request instanceof ApiError) return request;
  const { config, pedantic } = request;
  const checked = call.account.checkConfig(config, pedantic);
  if (checked instanceof ApiError) return checked;
  if (config.name !== call.names[0]) return apiError(10056);
  return call.account.updateStream(config, pedantic);
}

const update: Endpoint = {
  type: 'stream_update_response',
  names: 1,
  handle: (call) => {
    const stream = updateStream(call);
    return stream instanceof ApiError ? stream : (json) => addStreamInfo(json, stream, UPDATED_INFO);
  },
};

interface PageRequest {
  offset: number;
  subject: string;
}

const PAGE_READERS = fieldReaders<PageRequest>({
  offset: integerField('offset', 'int'),
  subject: stringField('subject'),
});

/** The streams of one page, those with a subject that could match the request's. */
function pageOf(call: ApiCall, limit: number, type: string) {
  const request = { offset: 0, subject: '' };
  if (hasJsonBody(call.request.body)) {
    const problem = decodeBody(call, request, PAGE_READERS, type);
    if (problem !== null) return problem;
  }
  const { subject } = request;
  const all = [...call.account.streams.values()].filter(
    ({ config }) => subject === '' || config.subjects.some((own) => subjectsCollide(own, subject)),
  );
  all.sort((a, b) => compareBytes(a.name, b.name));
  const offset = Math.max(0, request.offset);
  return {
    total: all.length,
    offset: Math.min(offset, all.length),
    streams: all.slice(offset, offset + limit),
  };
}

function addPage(json: JsonObject, total: number, offset: number, limit: number): JsonObject {
  return json.integer('total', total).integer('offset', offset).integer('limit', limit);
}

const names: Endpoint = {
  type: 'stream_names_response',
  names: 0,
  zeroFields: (json) => addPage(json, 0, 0, 0).raw('streams', 'null'),
  handle: (call) => {
    const page = pageOf(call, NAMES_PAGE, 'JSApiStreamNamesRequest');
    if (page instanceof ApiError) return page;
    const list = page.streams.map(({ name }) => jsonString(name));
    return (json) =>
      addPage(json, page.total, page.offset, NAMES_PAGE).raw(
        'streams',
        list.length === 0 ? 'null' : jsonArray(list),
      );
  },
};

const list: Endpoint = {
  type: 'stream_list_response',
  names: 0,
  zeroFields: (json) => addPage(json, 0, 0, 0).raw('streams', '[]'),
  handle: (call) => {
    const page = pageOf(call, LIST_PAGE, 'JSApiStreamListRequest');
    if (page instanceof ApiError) return page;
    return (json) => {
      const infos = page.streams.map((stream) => {
        const info = new JsonObject();
        addStreamInfo(info, stream, LISTED_INFO);
        return info.end();
      });
      addPage(json, page.total, page.offset, LIST_PAGE).raw('streams', jsonArray(infos));
      if (call.account.offline.size > 0) json.raw('offline', jsonStringMap(call.account.offline));
    };
  },
};

interface InfoRequest {
  offset: number;
  deletedDetails: boolean;
  subjectsFilter: string;
}

const INFO_READERS = fieldReaders<InfoRequest>({
  offset: integerField('offset', 'int'),
  deleted_details: boolField('deletedDetails'),
  subjects_filter: stringField('subjectsFilter'),
});

const info: Endpoint = {
  type: 'stream_info_response',
  names: 1,
  zeroFields: (json) => addPage(json, 0, 0, 0),
  handle: (call) => {
    const request = { offset: 0, deletedDetails: false, subjectsFilter: '' };
    if (hasJsonBody(call.request.body)) {
      const problem = decodeBody(call, request, INFO_READERS, 'JSApiStreamInfoRequest');
      if (problem !== null) return problem;
    }
    const stream = streamOf(call);
    if (stream instanceof ApiError) return stream;
    const filter = wireText(request.subjectsFilter);
    const offset = Math.max(0, request.offset);
    const page =
      filter !== '' && isValidSubject(filter)
        ? stream.store.subjectsState(stream.store.filter([filter]), offset, SUBJECTS_PAGE)
        : { total: 0, subjects: [] };
    return (json) => {
      if (page.total > 0) addPage(json, page.total, offset, SUBJECTS_PAGE);
      else addPage(json, 0, 0, 0);
      addStreamInfo(json, stream, {
        shownMetadata: true,
        domain: true,
        cluster: true,
        deletedDetails: request.deletedDetails,
        subjects: page.subjects,
      });
    };
  },
};

const remove: Endpoint = {
  type: 'stream_delete_response',
  names: 1,
  handle: (call) => {
    if (!isEmptyBody(call.request.body)) return apiError(10038);
    const stream = streamOf(call);
    if (stream instanceof ApiError) return stream;
    const problem = call.account.deleteStream(stream);
    return problem ?? ((json) => json.bool('success', true));
  },
};

interface PurgeBody {
  seq: number;
  filter: string;
  keep: number;
}

const PURGE_READERS: FieldReaders<PurgeBody> = fieldReaders<PurgeBody>({
  seq: integerField('seq', 'uint64'),
  filter: stringField('filter'),
  keep: integerField('keep', 'uint64'),
});

/** Purges what the request says. @returns how many messages went */
function purgeStream(stream: Stream, { seq, filter, keep }: PurgeBody): number {
  const subject = wireText(filter);
  if (subject !== '' && !isValidSubject(subject)) return 0;
  if (seq === 1) return 0;
  const { store } = stream;
  const compiled = subject === '' ? null : store.filter([subject]);
  const everything = compiled === null || compiled.all;
  const beforeSeq = Math.min(seq, Number.MAX_SAFE_INTEGER);
  return stream.purge({ filter: everything ? null : compiled, beforeSeq, keep });
}

const purge: Endpoint = {
  type: 'stream_purge_response',
  names: 1,
  zeroFields: (json) => json.integer('purged', 0),
  handle: (call) => {
    const request = { seq: 0, filter: '', keep: 0 };
    if (hasJsonBody(call.request.body)) {
      const problem = decodeBody(call, request, PURGE_READERS, 'JSApiStreamPurgeRequest');
      if (problem !== null) return problem;
      if (request.seq > 0 && request.keep > 0) return apiError(10003);
    }
    const stream = streamOf(call);
    if (stream instanceof ApiError) return stream;
    if (stream.config.sealed) return apiError(10109);
    if (stream.config.denyPurge) return apiErrorText(10110, 'stream purge not permitted');
    const purged = purgeStream(stream, request);
    if (purged < 0) return apiErrorText(10110, stream.store.failure?.message ?? 'store failed');
    return (json) => json.bool('success', true).integer('purged', purged);
  },
};

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

const message = new StoredMessage();

function messageJson(withHeaders: boolean): string {
  const json = new JsonObject()
    .string('subject', textOfWire(message.subject()))
    .integer('seq', message.sequence);
  if (withHeaders) json.stringUnlessEmpty('hdrs', base64(message.headers()));
  return json
    .stringUnlessEmpty('data', base64(message.payload()))
    .time('time', joinTime(message.timestampMs, message.timestampNanos))
    .end();
}

const getMessage: Endpoint = {
  type: 'stream_msg_get_response',
  names: 1,
  quiet: 'successes',
  handle: (call) => {
    if (call.request.body.length === 0) return apiError(10003);
    const request = emptyMessageRequest();
    const problem = decodeBody(call, request, MESSAGE_REQUEST_READERS, 'JSApiMsgGetRequest');
    if (problem !== null) return problem;
    const { seq, lastBySubject, nextBySubject, startTimeNs } = request;
    const onlyDirect =
      request.batch !== 0 ||
      request.maxBytes !== 0 ||
      request.multiLast.length > 0 ||
      request.upToSeq > 0 ||
      request.upToTimeNs !== null;
    const nothing = seq === 0 && lastBySubject === '' && nextBySubject === '' && startTimeNs === null;
    const twice =
      (seq > 0 && (lastBySubject !== '' || startTimeNs !== null)) ||
      (lastBySubject !== '' && (nextBySubject !== '' || startTimeNs !== null));
    if (onlyDirect || nothing || twice) return apiError(10003);
    const stream = streamOf(call);
    if (stream instanceof ApiError) return stream;
    if (!findMessage(stream, request, message)) return apiError(10037);
    const text = messageJson(!request.noHeaders);
    return (json) => json.raw('message', text);
  },
};

interface DeleteBody {
  seq: number;
  noErase: boolean;
}

const DELETE_READERS = fieldReaders<DeleteBody>({
  seq: integerField('seq', 'uint64'),
  no_erase: boolField('noErase'),
});

/** What is said of a sequence that isn't there: each kind of store of nats-server has its own words. */
function missingMessage(stream: Stream, seq: number): ApiError {
  const { storage, firstSeq, lastSeq } = stream.store;
  if (storage === 'file' && seq > lastSeq) return apiErrorText(10057, 'stream store EOF');
  if (storage === 'file' && seq < firstSeq) return apiErrorText(10057, 'no message found');
  return apiError(10043, { seq: String(seq) });
}

const deleteMessage: Endpoint = {
  type: 'stream_msg_delete_response',
  names: 1,
  handle: (call) => {
    if (isEmptyBody(call.request.body)) return apiError(10003);
    const request = { seq: 0, noErase: false };
    const problem = decodeBody(call, request, DELETE_READERS, 'JSApiMsgDeleteRequest');
    if (problem !== null) return problem;
    const stream = streamOf(call);
    if (stream instanceof ApiError) return stream;
    if (stream.config.sealed) return apiError(10109);
    if (stream.config.denyDelete) return apiErrorText(10057, 'message delete not permitted');
    const removed = stream.remove(request.seq, !request.noErase, 'deleted');
    if (removed < 0) return apiErrorText(10057, stream.store.failure?.message ?? 'store failed');
    if (removed === 0) return missingMessage(stream, request.seq);
    stream.settle();
    return (json) => json.bool('success', true);
  },
};

/** What needs a cluster. */
function clustered(type: string): Endpoint {
  return { type, names: 1, handle: () => apiError(10010) };
}

export const STREAM_ENDPOINTS: Endpoints = {
  'STREAM.CREATE': create,
  'STREAM.UPDATE': update,
  'STREAM.NAMES': names,
  'STREAM.LIST': list,
  'STREAM.INFO': info,
  'STREAM.DELETE': remove,
  'STREAM.PURGE': purge,
  'STREAM.MSG.GET': getMessage,
  'STREAM.MSG.DELETE': deleteMessage,
  'STREAM.LEADER.STEPDOWN': clustered('stream_leader_stepdown_response'),
  'STREAM.PEER.REMOVE': clustered('stream_remove_peer_response'),
  'STREAM.PEER.EVACUATE': clustered('stream_evacuate_peer_response'),
  'STREAM.CANCEL_MOVE': clustered('stream_cancel_move_response'),
};
