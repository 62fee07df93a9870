/**
 * Making and changing consumers (jetstream-api §3.3, jetstream-consumers §1.4). One request does both, and comes in three
 * forms that differ in where the name is:
 *
 * ```
 *   CONSUMER.CREATE.<stream>                        ephemeral, the name may be in the body
 *   CONSUMER.CREATE.<stream>.<name>[.<filter…>]     the form of today; the filter may have dots
 *   CONSUMER.DURABLE.CREATE.<stream>.<name>         durable
 * ```
 */
import { headerText, setHeader } from '../../protocol/nats/headers.ts';
import { subjectsCollide } from '../../subject/subject.ts';
import {
  type ApiCall,
  decodeRequest,
  type Endpoint,
  type Reply,
  ReplyWithHeaders,
  streamOf,
} from '../api.ts';
import { EMPTY_BYTES } from '../effects.ts';
import { ApiError, apiError } from '../errors.ts';
import type { JetStream } from '../jetstream.ts';
import { boolField, fieldReaders, stringField } from '../json-fields.ts';
import { JsonError } from '../json-text.ts';
import { MAX_NAME_CHARACTERS } from '../limits.ts';
import { shortHash } from '../names.ts';
import type { Stream } from '../stream.ts';
import { formatTime } from '../time.ts';
import { emptyConsumerConfig, readConsumerConfig } from './consumer-config.ts';
import { checkConsumerConfig, filtersOf } from './consumer-config-check.ts';
import { isSameConsumerConfig, newConsumerConfig, updateConsumerConfig } from './consumer-config-update.ts';
import { addConsumerInfo } from './consumer-info.ts';
import type { ConsumerConfig, ConsumerHandle, StreamConsumersHandle } from './contract.ts';

const IDENTITY_HEADER = 'Nats-Stream-Identity';

type Action = '' | 'create' | 'update';

interface CreateRequest {
  streamName: string;
  config: ConsumerConfig;
  action: Action;
  pedantic: boolean;
}

const CREATE_READERS = fieldReaders<CreateRequest>({
  stream_name: stringField('streamName'),
  config: (request, node, at) => {
    request.config = readConsumerConfig(node, at);
  },
  action: (request, node) => {
    const action = node.kind === 'string' ? node.text : null;
    if (action !== '' && action !== 'create' && action !== 'update')
      throw new JsonError(`unknown consumer action: ${node.raw}`);
    request.action = action;
  },
  pedantic: boolField('pedantic'),
});

function readRequest(engine: JetStream, body: Uint8Array): CreateRequest | ApiError {
  const target: CreateRequest = {
    streamName: '',
    config: emptyConsumerConfig(),
    action: '',
    pedantic: false,
  };
  const problem = decodeRequest(engine, body, {
    target,
    readers: CREATE_READERS,
    type: 'CreateConsumerRequest',
  });
  return problem ?? target;
}

/** Eight characters that change when a stream is deleted and made again (jetstream-api §4). */
function streamIdentity(stream: Stream): string {
  return shortHash(formatTime(stream.createdNs));
}

/** The header block that tells a stream's identity. */
export function identityHeaders(stream: Stream): Uint8Array {
  return setHeader(EMPTY_BYTES, IDENTITY_HEADER, streamIdentity(stream));
}

/** The stream identity a request asks about: empty for any, null when it has no such header. */
export function askedIdentity(headers: Uint8Array): string | null {
  return headers.length === 0 ? null : headerText(headers, IDENTITY_HEADER);
}

type Form = 'ephemeral' | 'durable' | 'named';

/** Takes the name out of the subject, and checks that the body does not contradict. */
function nameProblem(form: Form, names: readonly string[], config: ConsumerConfig): ApiError | null {
  const name = form === 'ephemeral' ? config.name : (names[1] ?? '');
  if (/[\\/]/.test(name)) return apiError(10127);
  if (form === 'durable' && config.durableName === '') return apiError(10018);
  if (form === 'ephemeral') return config.durableName === '' ? null : apiError(10020);
  if (config.durableName !== '' && config.durableName !== name) return apiError(10017);
  config.name = name;
  const filter = names.slice(2).join('.');
  if (filter === '') return null;
  if (config.filterSubjects.length > 0) return apiError(10137);
  return config.filterSubject === filter ? null : apiError(10131);
}

/** What a direct or sourcing consumer's request says about the stream must be right: 10225. */
function identityProblem(call: ApiCall, stream: Stream): ApiError | null {
  const asked = askedIdentity(call.request.headers);
  const identity = streamIdentity(stream);
  return asked === null || asked === '' || asked === identity ? null : apiError(10225, { msg: identity });
}

function isInternal({ direct, sourcing }: ConsumerConfig): boolean {
  return direct || sourcing;
}

/** Whether no other consumer of a workqueue stream wants what `filters` let through; without filters nothing is looked at. */
function isUnique(consumers: StreamConsumersHandle, name: string, filters: readonly string[]): boolean {
  if (filters.length === 0) return true;
  return consumers.list().every((other) => {
    if (other.name === name || isInternal(other.config)) return true;
    const taken = filtersOf(other.config);
    return taken.length > 0 && !filters.some((own) => taken.some((filter) => subjectsCollide(own, filter)));
  });
}

/** How many consumers count toward the limits of stream and account. */
function limitProblem(stream: Stream, config: ConsumerConfig): ApiError | null {
  if (isInternal(config)) return null;
  const { maxConsumers } = stream.config;
  if (maxConsumers > 0 && stream.readers.visible >= maxConsumers) return apiError(10026);
  const limits = stream.account.limitsFor(stream.config.replicas);
  if (limits === null) return apiError(10120);
  const most = limits.maxConsumers;
  return most > 0 && stream.account.usage(stream.config.replicas).consumers >= most ? apiError(10026) : null;
}

/** What a workqueue stream demands of a new consumer (jetstream-consumers §1.3). */
function workQueueProblem(
  consumers: StreamConsumersHandle,
  stream: Stream,
  config: ConsumerConfig,
): ApiError | null {
  if (stream.config.retention !== 'workqueue' || isInternal(config)) return null;
  if (config.ackPolicy !== 'explicit' && config.ackPolicy !== 'flow_control') return apiError(10098);
  if (config.deliverPolicy !== 'all') return apiError(10101);
  const filters = filtersOf(config);
  if (filters.length > 0) return isUnique(consumers, config.name, filters) ? null : apiError(10100);
  return consumers.list().every((other) => isInternal(other.config)) ? null : apiError(10099);
}

function update(
  existing: ConsumerHandle,
  checked: ConsumerConfig,
  action: Action,
): ConsumerHandle | ApiError {
  if (action === 'create' && !isSameConsumerConfig(existing.config, checked)) return apiError(10148);
  const { stream } = existing;
  const workQueue = stream.config.retention === 'workqueue' && !isInternal(checked);
  if (workQueue && !isUnique(stream.consumers, existing.name, filtersOf(checked))) return apiError(10100);
  const config = updateConsumerConfig(existing.config, checked);
  if (config instanceof ApiError) return config;
  if (config.deliverSubject !== existing.config.deliverSubject && existing.pushBound) return apiError(10013);
  return existing.update(config) ?? existing;
}

function create(stream: Stream, checked: ConsumerConfig, action: Action): ConsumerHandle | ApiError {
  if (action === 'update') return apiError(10149);
  if (Buffer.byteLength(checked.name) > MAX_NAME_CHARACTERS)
    return apiError(10102, { max: String(MAX_NAME_CHARACTERS) });
  const problem = limitProblem(stream, checked) ?? workQueueProblem(stream.consumers, stream, checked);
  return problem ?? stream.consumers.create(newConsumerConfig(checked));
}

/** Makes or updates what a decoded request whose names are right asks for. */
function carryOut(call: ApiCall, stream: Stream, request: CreateRequest): ConsumerHandle | ApiError {
  const { config, action, pedantic } = request;
  const { options } = call.engine;
  const existing = config.name === '' ? null : stream.consumers.find(config.name);
  // A pause is ended by PAUSE only; what an update says about it is not even compared.
  if (existing !== null) config.pauseUntil = existing.config.pauseUntil;
  const checked = checkConsumerConfig(config, {
    pedantic,
    stream: stream.config,
    maxAckPending: options.maxAckPending,
    maxRequestBatch: options.maxRequestBatch,
    accountMaxAckPending: call.account.limitsFor(stream.config.replicas)?.maxAckPending ?? -1,
  });
  if (checked instanceof ApiError) return checked;
  return existing === null ? create(stream, checked, action) : update(existing, checked, action);
}

function handle(call: ApiCall, form: Form): Reply {
  const request = readRequest(call.engine, call.request.body);
  if (request instanceof ApiError) return request;
  const { config } = request;
  if (request.streamName !== call.names[0]) return apiError(10056);
  const problem = nameProblem(form, call.names, config);
  if (problem !== null) return problem;
  if (config.replicas > 1) return apiError(10074);
  const stream = streamOf(call);
  if (stream instanceof ApiError) return stream;
  const wrongStream = isInternal(config) ? identityProblem(call, stream) : null;
  if (wrongStream !== null) return wrongStream;
  const consumer = carryOut(call, stream, request);
  if (consumer instanceof ApiError) return consumer;
  const body = (json: Parameters<typeof addConsumerInfo>[0]) => addConsumerInfo(json, consumer, true);
  return isInternal(config) ? new ReplyWithHeaders(identityHeaders(stream), body) : body;
}

function firstCheck(engine: JetStream, body: Uint8Array): ApiError | null {
  const request = readRequest(engine, body);
  return request instanceof ApiError ? request : null;
}

const type = 'consumer_create_response';

/** `CONSUMER.CREATE`. */
export const createConsumer: Endpoint = {
  type,
  names: 1,
  moreNames: true,
  firstCheck,
  handle: (call) => handle(call, call.names.length === 1 ? 'ephemeral' : 'named'),
};

/** `CONSUMER.DURABLE.CREATE`. */
export const createDurableConsumer: Endpoint = {
  type,
  names: 2,
  firstCheck,
  handle: (call) => handle(call, 'durable'),
};
