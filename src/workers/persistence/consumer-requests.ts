import type { ApiRequest } from '../../shared/jetstream/api.ts';
import { EMPTY_BYTES, textBytes } from '../../shared/jetstream/effects.ts';
import { type ApiError, apiError, apiErrorText } from '../../shared/jetstream/errors.ts';
import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import { JsonObject } from '../../shared/jetstream/json-object.ts';
import { errorJson } from '../../shared/jetstream/pub-ack.ts';
import { statusHeader } from '../../shared/protocol/nats/headers.ts';
import { textOfWire } from '../../shared/subject/wire-text.ts';

/**
 * Answers to requests about consumers, which streams don't have: what nats-server says of a consumer that isn't there, and
 * that none can be made. A client that is told so at once doesn't wait for its time-out.
 */

const PREFIX = '$JS.API.CONSUMER.';
const CREATE = 'consumer_create_response';

/** Response type by the tokens behind `CONSUMER`. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['CREATE', CREATE],
  ['DURABLE', CREATE],
  ['NAMES', 'consumer_names_response'],
  ['LIST', 'consumer_list_response'],
  ['INFO', 'consumer_info_response'],
  ['DELETE', 'consumer_delete_response'],
  ['PAUSE', 'consumer_pause_response'],
  ['RESET', 'consumer_reset_response'],
  ['UNPIN', 'consumer_unpin_response'],
  ['LEADER', 'consumer_leader_stepdown_response'],
]);

/** Whether a request is about consumers; then it has been answered. */
export function answerConsumerRequest(engine: JetStream, request: ApiRequest): boolean {
  if (!request.subject.startsWith(PREFIX)) return false;
  const tokens = request.subject.slice(PREFIX.length).split('.');
  const operation = tokens[0] ?? '';
  if (request.reply === '') return true;
  if (operation === 'MSG') {
    // Nobody listens where a consumer would take pull requests.
    engine.effects.send(request.account, request.reply, '', statusHeader(503), EMPTY_BYTES, 0);
    return true;
  }
  const type = TYPES.get(operation);
  if (type === undefined) return false;
  const compound = operation === 'DURABLE' || operation === 'LEADER';
  const name = textOfWire(tokens[compound ? 2 : 1] ?? '');
  const json = new JsonObject().string('type', `io.nats.jetstream.api.v1.${type}`);
  const account = engine.account(request.account);
  const listing = operation === 'NAMES' || operation === 'LIST';
  let error: ApiError | null = null;
  if (account === null) error = apiError(10039);
  else if (!account.streams.has(name)) error = apiError(10059);
  else if (type === CREATE) error = apiErrorText(10012, 'consumers are not supported by this server yet');
  else if (!listing) error = apiError(10014);
  if (error !== null) json.raw('error', errorJson(error));
  if (listing) {
    json
      .raw('total', '0')
      .raw('offset', '0')
      .raw('limit', operation === 'NAMES' ? '1024' : '256');
    json.raw('consumers', '[]');
  }
  if (account !== null) {
    account.apiTotal++;
    if (error !== null) account.apiErrors++;
  }
  engine.effects.send(request.account, request.reply, '', EMPTY_BYTES, textBytes(json.end()), 0);
  return true;
}
