/**
 * The API of JetStream, `$JS.API.>` (jetstream-api §1): finds the endpoint of a request, makes the checks all of them
 * share, and sends the reply. Endpoints are tables of functions (`stream-api.ts`, and those of consumers); they decide,
 * and leave how replies look to this file.
 *
 * A subject that is no endpoint's gets no reply at all: in an account with JetStream somebody does listen there, so the
 * client is not told that nobody does.
 */
import { textOfWire } from '../subject/wire-text.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { sendAdvisory } from './advisory.ts';
import { needsHigherLevel } from './api-level.ts';
import { EMPTY_BYTES, textBytes } from './effects.ts';
import { ApiError, apiError, apiErrorText } from './errors.ts';
import type { JetStream } from './jetstream.ts';
import { type Decoding, decodeJson, type FieldReaders } from './json-fields.ts';
import { JsonObject } from './json-object.ts';
import { errorJson } from './pub-ack.ts';
import type { Stream } from './stream.ts';

/** First tokens of what operators ask of a cluster. */
const CLUSTER_ONLY: ReadonlySet<string> = new Set(['META', 'SERVER', 'ACCOUNT']);
/** Pull requests come often, are no endpoint's, and pass by here on their way to their stream. */
const PULL_PREFIX = '$JS.API.CONSUMER.MSG.NEXT.';
const TYPE_PREFIX = 'io.nats.jetstream.api.v1.';

/** A message on `$JS.API.>`. */
export interface ApiRequest {
  readonly account: string;
  /** latin1. */
  readonly subject: string;
  /** Empty is none: the request is carried out all the same. */
  readonly reply: string;
  readonly headers: Uint8Array;
  readonly body: Uint8Array;
  /** The client as JSON (`ClientInfo`), for the audit; empty when unknown. */
  readonly client: string;
}

/** A request on its way to its endpoint. */
export interface ApiCall {
  readonly engine: JetStream;
  readonly account: AccountJetStream;
  readonly request: ApiRequest;
  /** Tokens of the subject behind the endpoint's own, as text. */
  readonly names: readonly string[];
}

/** Adds the body of a reply. */
export type ReplyBody = (json: JsonObject) => void;

/** A reply with a header block. */
export class ReplyWithHeaders {
  readonly headers: Uint8Array;
  readonly body: ReplyBody;

  constructor(headers: Uint8Array, body: ReplyBody) {
    this.headers = headers;
    this.body = body;
  }
}

/** What an endpoint answers. */
export type Reply = ApiError | ReplyBody | ReplyWithHeaders;

export interface Endpoint {
  /** Type of the reply without its prefix, e.g. `stream_names_response`. */
  readonly type: string;
  /** Tokens that follow the endpoint's own. */
  readonly names: number;
  /** More tokens may follow: the endpoint takes those as names, too. */
  readonly moreNames?: boolean;
  /** Fields that stand in a reply even beside an error. */
  readonly zeroFields?: ReplyBody;
  /** Neither counted nor audited: successes, or nothing at all. */
  readonly quiet?: 'successes' | 'always';
  /** A check that comes before those all endpoints share. */
  firstCheck?(engine: JetStream, body: Uint8Array): ApiError | null;
  /** Null: no reply. */
  handle(call: ApiCall): Reply | null;
}

/** An endpoint that only the system account has. */
export interface SystemEndpoint {
  readonly type: string;
  readonly names: number;
  handleSystem(engine: JetStream, names: readonly string[], body: Uint8Array): ApiError | ReplyBody;
}

/** Endpoints by their own tokens, such as `STREAM.INFO`. */
export type Endpoints = Readonly<Record<string, Endpoint | SystemEndpoint>>;

/** The stream a call is about. */
export function streamOf(call: ApiCall): Stream | ApiError {
  const name = call.names[0] ?? '';
  const reason = call.account.offline.get(name);
  if (reason !== undefined) return apiErrorText(10194, reason);
  return call.account.streams.get(name) ?? apiError(10059);
}

/** Decodes the body of a call into `target`. @returns null, or the error to answer with */
export function decodeBody<T>(
  call: ApiCall,
  target: T,
  readers: FieldReaders<T>,
  type: string,
): ApiError | null {
  return decodeRequest(call.engine, call.request.body, { target, readers, type });
}

/** Decodes a body as strictly as the server is configured to. @returns null, or the error to answer with */
export function decodeRequest<T>(
  engine: JetStream,
  body: Uint8Array,
  into: Omit<Decoding<T>, 'strict'>,
): ApiError | null {
  const problem = decodeJson(body, { ...into, strict: engine.options.strict });
  return problem === null ? null : apiErrorText(10025, problem.message);
}

const JSON_START = /^[ \t\r\n]*[{[]/;
const EMPTY_OBJECT = /^[ \t\r\n]*\{[ \t\r\n]*\}[ \t\r\n]*$/;

function head(body: Uint8Array, bytes: number): string {
  return Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, bytes)).toString('latin1');
}

/** Whether a body that may be left out is there. */
export function hasJsonBody(body: Uint8Array): boolean {
  return JSON_START.test(head(body, 1024));
}

/** Whether a body that has to be empty is: no bytes, or an object without members. */
export function isEmptyBody(body: Uint8Array): boolean {
  return body.length === 0 || EMPTY_OBJECT.test(head(body, 1024));
}

export class Api {
  readonly #engine: JetStream;
  readonly #endpoints = new Map<string, Endpoint | SystemEndpoint>();

  constructor(engine: JetStream) {
    this.#engine = engine;
  }

  /** Adds endpoints; names may be added once. */
  add(endpoints: Endpoints): void {
    for (const [name, endpoint] of Object.entries(endpoints)) this.#endpoints.set(name, endpoint);
  }

  /**
   * Carries out a request and replies.
   *
   * @returns false when the subject is no endpoint's
   */
  request(request: ApiRequest): boolean {
    if (request.subject.startsWith(PULL_PREFIX)) return false;
    const tokens = this.#tokens(request.subject);
    const found = tokens === null ? null : this.#find(tokens);
    const { systemAccount } = this.#engine.options;
    const isSystem = systemAccount !== '' && request.account === systemAccount;
    if (found !== null && 'handleSystem' in found.endpoint)
      return this.#requestSystem(found.endpoint, found.names, request);
    if (isSystem && tokens !== null) return this.#refuseSystem(tokens, request);
    if (found === null) return false;
    const { names } = found;
    const endpoint = found.endpoint as Endpoint;
    const account = this.#engine.account(request.account);
    const result = this.#carryOut(endpoint, account, names, request);
    if (result === null) return true;
    const text = this.#replyText(endpoint.type, endpoint, result);
    const { quiet } = endpoint;
    const counted = quiet === undefined || (quiet === 'successes' && result instanceof ApiError);
    if (account !== null && counted) {
      account.apiTotal++;
      if (result instanceof ApiError) account.apiErrors++;
    }
    if (request.reply !== '') {
      const { effects, store } = this.#engine;
      const headers = result instanceof ReplyWithHeaders ? result.headers : EMPTY_BYTES;
      effects.send(request.account, request.reply, '', headers, textBytes(text), store.ticket);
    }
    if (account !== null && counted) this.#audit(account, request, text);
    return true;
  }

  /** Tokens behind `$JS.API.`, or behind the same of our domain. */
  #tokens(subject: string): string[] | null {
    const tokens = subject.split('.');
    const { domain } = this.#engine.options;
    if (tokens[0] !== '$JS') return null;
    if (tokens[1] === 'API') return tokens.slice(2);
    const ours = domain !== '' && textOfWire(tokens[1] ?? '') === domain;
    return ours && tokens[2] === 'API' ? tokens.slice(3) : null;
  }

  /** Carries out what only operators may; others get no answer. */
  #requestSystem(endpoint: SystemEndpoint, names: string[], request: ApiRequest): boolean {
    const { effects, options, store } = this.#engine;
    if (options.systemAccount === '' || request.account !== options.systemAccount) return true;
    const result = needsHigherLevel(request.headers)
      ? apiError(10185)
      : endpoint.handleSystem(this.#engine, names, request.body);
    const text = textBytes(this.#replyText(endpoint.type, null, result));
    if (request.reply !== '')
      effects.send(request.account, request.reply, '', EMPTY_BYTES, text, store.ticket);
    return true;
  }

  #find(tokens: readonly string[]): { endpoint: Endpoint | SystemEndpoint; names: string[] } | null {
    for (let own = Math.min(3, tokens.length); own > 0; own--) {
      const endpoint = this.#endpoints.get(tokens.slice(0, own).join('.'));
      if (endpoint === undefined) continue;
      const more = tokens.length - own - endpoint.names;
      const takesMore = 'moreNames' in endpoint && endpoint.moreNames === true;
      if (more !== 0 && !(more > 0 && takesMore)) continue;
      return { endpoint, names: tokens.slice(own).map(textOfWire) };
    }
    return null;
  }

  /**
   * Clients of the system account are told that it has no JetStream, whatever they ask for, all in one type but INFO. What
   * only a cluster answers stays without an answer.
   */
  #refuseSystem(tokens: readonly string[], request: ApiRequest): boolean {
    const { effects, store } = this.#engine;
    const [first = ''] = tokens;
    if (request.reply === '' || CLUSTER_ONLY.has(first)) return true;
    const type = first === 'INFO' ? 'account_info_response' : 'system_response';
    const text = textBytes(this.#replyText(type, null, apiError(10039)));
    effects.send(request.account, request.reply, '', EMPTY_BYTES, text, store.ticket);
    return true;
  }

  #carryOut(
    endpoint: Endpoint,
    account: AccountJetStream | null,
    names: string[],
    request: ApiRequest,
  ): Reply | null {
    const problem = endpoint.firstCheck?.(this.#engine, request.body) ?? null;
    if (problem !== null) return problem;
    if (needsHigherLevel(request.headers)) return apiError(10185);
    if (account === null) return apiError(10039);
    return endpoint.handle({ engine: this.#engine, account, request, names });
  }

  #replyText(type: string, endpoint: Endpoint | null, result: Reply): string {
    const json = new JsonObject().string('type', TYPE_PREFIX + type);
    if (result instanceof ApiError) {
      json.raw('error', errorJson(result));
      endpoint?.zeroFields?.(json);
    } else if (result instanceof ReplyWithHeaders) result.body(json);
    else result(json);
    return json.end();
  }

  #audit(account: AccountJetStream, request: ApiRequest, response: string): void {
    const { serverName, domain } = this.#engine.options;
    sendAdvisory(account, 'API', 'api_audit', (json) => {
      json.string('server', serverName);
      if (request.client !== '') json.raw('client', request.client);
      json.string('subject', textOfWire(request.subject));
      const { body } = request;
      const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
      return json
        .stringUnlessEmpty('request', text)
        .string('response', response)
        .stringUnlessEmpty('domain', domain);
    });
  }
}
