/**
 * The endpoints of consumers (jetstream-api §3.3); making them is in `consumer-create.ts`. Pull requests,
 * acknowledgements and flow control are no endpoints: the runtime listens to them itself.
 */
import {
  type ApiCall,
  decodeBody,
  decodeRequest,
  type Endpoint,
  type Endpoints,
  hasJsonBody,
  isEmptyBody,
  type Reply,
  type ReplyBody,
  ReplyWithHeaders,
  streamOf,
} from '../api.ts';
import { ApiError, apiError, apiErrorText } from '../errors.ts';
import type { JetStream } from '../jetstream.ts';
import { decodeWholeJson, fieldReaders, integerField, stringField, timeField } from '../json-fields.ts';
import { type JsonObject, jsonArray, jsonString } from '../json-object.ts';
import { LIST_PAGE, MAX_SEQUENCE, NAMES_PAGE } from '../limits.ts';
import { formatTime, joinTime, parseTime, splitTime, TimeError, ZERO_TIME_NS } from '../time.ts';
import { groupProblem } from './consumer-config-check.ts';
import { askedIdentity, createConsumer, createDurableConsumer, identityHeaders } from './consumer-create.ts';
import { addConsumerInfo, listedConsumerJson } from './consumer-info.ts';
import type { ConsumerHandle } from './contract.ts';

/** The consumer a call is about. */
function consumerOf(call: ApiCall): ConsumerHandle | ApiError {
  const stream = streamOf(call);
  if (stream instanceof ApiError) return stream;
  return stream.consumers.find(call.names[1] ?? '') ?? apiError(10014);
}

const PAGE_READERS = fieldReaders<{ offset: number }>({
  offset: integerField('offset', 'int'),
});

interface Page {
  readonly total: number;
  readonly offset: number;
  readonly consumers: readonly ConsumerHandle[];
}

/** The consumers of one page. */
function pageOf(call: ApiCall, limit: number): Page | ApiError {
  const request = { offset: 0 };
  if (hasJsonBody(call.request.body)) {
    const problem = decodeBody(call, request, PAGE_READERS, 'JSApiConsumersRequest');
    if (problem !== null) return problem;
  }
  const stream = streamOf(call);
  if (stream instanceof ApiError) return stream;
  const all = stream.consumers.list().filter(({ config }) => !config.direct);
  const offset = Math.min(Math.max(0, request.offset), all.length);
  return { total: all.length, offset, consumers: all.slice(offset, offset + limit) };
}

function addPage(json: JsonObject, total: number, offset: number, limit: number): JsonObject {
  return json.integer('total', total).integer('offset', offset).integer('limit', limit);
}

const addNoPage: ReplyBody = (json) => {
  addPage(json, 0, 0, 0).raw('consumers', '[]');
};

/** @param element how a consumer stands in the list */
function paged(type: string, limit: number, element: (consumer: ConsumerHandle) => string): Endpoint {
  return {
    type,
    names: 1,
    zeroFields: addNoPage,
    handle: (call) => {
      const page = pageOf(call, limit);
      if (page instanceof ApiError) return page;
      const list = jsonArray(page.consumers.map(element));
      return (json) => addPage(json, page.total, page.offset, limit).raw('consumers', list);
    },
  };
}

const info: Endpoint = {
  type: 'consumer_info_response',
  names: 2,
  firstCheck: (_engine, body) => (isEmptyBody(body) ? null : apiError(10038)),
  handle: (call) => {
    const consumer = consumerOf(call);
    return consumer instanceof ApiError ? consumer : (json) => addConsumerInfo(json, consumer, true);
  },
};

const remove: Endpoint = {
  type: 'consumer_delete_response',
  names: 2,
  handle: (call) => {
    if (!isEmptyBody(call.request.body)) return apiError(10038);
    const consumer = consumerOf(call);
    if (consumer instanceof ApiError) return consumer;
    const problem = consumer.stream.consumers.delete(consumer);
    return problem ?? ((json) => json.bool('success', true));
  },
};

interface PauseBody {
  /** Unix nanoseconds. */
  untilNs: bigint | null;
}

const PAUSE_READERS = fieldReaders<PauseBody>({
  pause_until: timeField('untilNs'),
});

function readPause(engine: JetStream, body: Uint8Array): PauseBody | ApiError {
  const target: PauseBody = { untilNs: null };
  if (!hasJsonBody(body)) return target;
  const type = 'JSApiConsumerPauseRequest';
  return decodeRequest(engine, body, { target, readers: PAUSE_READERS, type }) ?? target;
}

const pause: Endpoint = {
  type: 'consumer_pause_response',
  names: 2,
  zeroFields: (json) => json.bool('paused', false).time('pause_until', null),
  firstCheck: (engine, body) => {
    const request = readPause(engine, body);
    return request instanceof ApiError ? request : null;
  },
  handle: (call) => {
    const request = readPause(call.engine, call.request.body);
    if (request instanceof ApiError) return request;
    const consumer = consumerOf(call);
    if (consumer instanceof ApiError) return consumer;
    const untilNs = request.untilNs === ZERO_TIME_NS ? null : request.untilNs;
    const problem = consumer.pause(untilNs === null ? '' : formatTime(untilNs));
    if (problem !== null) return problem;
    const { clock } = call.engine;
    const remainingNs = (untilNs ?? 0n) - joinTime(clock.ms, clock.nanos);
    const paused = remainingNs > 0n;
    return (json) => {
      json.bool('paused', paused).time('pause_until', untilNs);
      if (paused) json.integer('pause_remaining', remainingNs);
    };
  },
};

const RESET_READERS = fieldReaders<{ seq: number }>({
  seq: integerField('seq', 'uint64'),
});

/** First sequence a consumer that starts at a time looks at. */
function startTimeSeq({ stream, config }: ConsumerHandle): number {
  const startNs = parseTime(config.optStartTime);
  if (startNs instanceof TimeError) return 0;
  const { ms, nanos } = splitTime(startNs);
  return stream.store.firstSeqFromTime(ms, nanos);
}

/** Why a consumer may not begin at a sequence (jetstream-consumers §10); null when it may. */
function resetProblem(consumer: ConsumerHandle, seq: number): string | null {
  const { config } = consumer;
  if (seq === 0 || config.deliverPolicy === 'all') return null;
  if (config.deliverPolicy === 'by_start_sequence')
    return seq < config.optStartSeq ? 'below start seq' : null;
  if (config.deliverPolicy === 'by_start_time')
    return seq < startTimeSeq(consumer) ? 'below start time' : null;
  return 'not allowed';
}

function resetConsumer(call: ApiCall, consumer: ConsumerHandle): Reply {
  const target = { seq: 0 };
  const { body, headers } = call.request;
  if (body.length > 0) {
    const type = 'JSApiConsumerResetRequest';
    const problem = decodeWholeJson(body, { target, readers: RESET_READERS, type });
    if (problem !== null) return apiErrorText(10025, problem.message);
  }
  // Sequences of JetStream are exact numbers here; nothing is beyond that anyway.
  const seq = Math.min(target.seq, MAX_SEQUENCE);
  const reason = resetProblem(consumer, seq);
  if (reason !== null) return apiErrorText(10204, reason);
  const resetSeq = consumer.reset(seq);
  const reply: ReplyBody = (json) => {
    addConsumerInfo(json, consumer, true);
    json.integer('reset_seq', resetSeq);
  };
  if (askedIdentity(headers) === null) return reply;
  return new ReplyWithHeaders(identityHeaders(consumer.stream), reply);
}

/** In nats-server every consumer listens to this itself, so requests for one that isn't there are not answered. */
const reset: Endpoint = {
  type: 'consumer_reset_response',
  names: 2,
  zeroFields: (json) => json.integer('reset_seq', 0),
  quiet: 'always',
  handle: (call) => {
    if (call.request.reply === '') return null;
    const consumer = consumerOf(call);
    return consumer instanceof ApiError ? null : resetConsumer(call, consumer);
  },
};

const UNPIN_READERS = fieldReaders<{ group: string }>({
  group: stringField('group'),
});

const unpin: Endpoint = {
  type: 'consumer_unpin_response',
  names: 2,
  handle: (call) => {
    const target = { group: '' };
    const type = 'JSApiConsumerUnpinRequest';
    const problem = decodeWholeJson(call.request.body, { target, readers: UNPIN_READERS, type });
    if (problem !== null) return apiErrorText(10025, problem.message);
    if (target.group === '') return apiErrorText(10025, 'consumer group not specified');
    const invalid = groupProblem(target.group);
    if (invalid !== null) return invalid;
    const consumer = consumerOf(call);
    if (consumer instanceof ApiError) return consumer;
    if (!consumer.config.priorityGroups.includes(target.group)) return apiError(10160);
    consumer.unpin(target.group);
    return () => {};
  },
};

/** What needs a cluster; nothing else is looked at. */
function clustered(type: string): Endpoint {
  return { type, names: 2, firstCheck: () => apiError(10010), handle: () => apiError(10010) };
}

export const CONSUMER_ENDPOINTS: Endpoints = {
  'CONSUMER.CREATE': createConsumer,
  'CONSUMER.DURABLE.CREATE': createDurableConsumer,
  'CONSUMER.NAMES': paged('consumer_names_response', NAMES_PAGE, ({ name }) => jsonString(name)),
  'CONSUMER.LIST': paged('consumer_list_response', LIST_PAGE, listedConsumerJson),
  'CONSUMER.INFO': info,
  'CONSUMER.DELETE': remove,
  'CONSUMER.PAUSE': pause,
  'CONSUMER.RESET': reset,
  'CONSUMER.UNPIN': unpin,
  'CONSUMER.LEADER.STEPDOWN': clustered('consumer_leader_stepdown_response'),
  'CONSUMER.PEER.REMOVE': clustered('consumer_remove_peer_response'),
  'CONSUMER.PEER.EVACUATE': clustered('consumer_evacuate_peer_response'),
};
