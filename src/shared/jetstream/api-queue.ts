/**
 * Requests that wait for their turn (jetstream-api §1.3).
 *
 * One thread carries out requests, publishes and everything else, so a flood of requests would hold up publishing. Only so
 * many are carried out in one go; the rest waits here. As in nats-server there are two queues, requests for information are
 * looked at when no other waits, and a queue that becomes too long is dropped as a whole, without replies: those who
 * flood time out, and an advisory in the system account says how many were dropped. Unlike there the bytes that wait are
 * bounded as well.
 */
import { sendServerAdvisory } from './advisory.ts';
import type { ApiRequest } from './api.ts';
import type { JetStream } from './jetstream.ts';

/** Bytes of requests that wait in one queue. */
const QUEUE_MAX_BYTES = 64 * 1024 * 1024;
/** What an empty request takes up, about. */
const REQUEST_BYTES = 256;

/** Endpoints that only tell something, by their tokens behind `API`. */
const INFO_REQUEST = /API\.(?:INFO$|STREAM\.(?:NAMES|LIST|INFO)(?:\.|$)|CONSUMER\.(?:NAMES|LIST|INFO)\.)/;

function requestBytes(request: ApiRequest): number {
  const { subject, reply, headers, body, client } = request;
  return REQUEST_BYTES + subject.length + reply.length + headers.length + body.length + 2 * client.length;
}

/** First in, first out, without moving what waits. */
class Waiting {
  #requests: ApiRequest[] = [];
  #next = 0;
  #bytes = 0;

  get length(): number {
    return this.#requests.length - this.#next;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(request: ApiRequest): void {
    this.#requests.push(request);
    this.#bytes += requestBytes(request);
  }

  shift(): ApiRequest | undefined {
    const request = this.#requests[this.#next];
    if (request === undefined) return undefined;
    this.#next++;
    this.#bytes -= requestBytes(request);
    if (this.#next === this.#requests.length) this.clear();
    else if (this.#next >= 1024) {
      this.#requests = this.#requests.slice(this.#next);
      this.#next = 0;
    }
    return request;
  }

  clear(): void {
    this.#requests = [];
    this.#next = 0;
    this.#bytes = 0;
  }
}

export class ApiQueue {
  readonly #engine: JetStream;
  readonly #carryOut: (request: ApiRequest) => void;
  readonly #changes = new Waiting();
  readonly #infos = new Waiting();
  #allowed = 0;

  /** @param carryOut carries out a request and replies */
  constructor(engine: JetStream, carryOut: (request: ApiRequest) => void) {
    this.#engine = engine;
    this.#carryOut = carryOut;
  }

  /** Requests that wait. */
  get length(): number {
    return this.#changes.length + this.#infos.length;
  }

  /** Carries out a request, or keeps it when others wait or this turn had its share. Its bytes are copied then. */
  add(request: ApiRequest): void {
    if (this.#allowed > 0 && this.length === 0) {
      this.#allowed--;
      this.#carryOut(request);
      return;
    }
    const { requestQueueLimit, infoQueueLimit } = this.#engine.options;
    const isInfo = INFO_REQUEST.test(request.subject);
    const queue = isInfo ? this.#infos : this.#changes;
    queue.push({ ...request, headers: new Uint8Array(request.headers), body: new Uint8Array(request.body) });
    const most = isInfo ? infoQueueLimit : requestQueueLimit;
    if (queue.length > most || queue.bytes > QUEUE_MAX_BYTES) this.#drop(queue);
    this.#engine.inflight = this.length;
  }

  #drop(queue: Waiting): void {
    const dropped = queue.length;
    queue.clear();
    const { serverName, domain } = this.#engine.options;
    this.#engine.effects.warn(`JetStream API queue limit reached, dropped ${dropped} requests`);
    sendServerAdvisory(this.#engine, 'API.LIMIT_REACHED', 'api_limit_reached', (json) =>
      json.string('server', serverName).stringUnlessEmpty('domain', domain).integer('dropped', dropped),
    );
  }

  /** Begins a turn: so many requests may be carried out in it, those that wait first. */
  run(allowed: number): void {
    this.#allowed = allowed;
    while (this.#allowed > 0) {
      const request = this.#changes.shift() ?? this.#infos.shift();
      if (request === undefined) return;
      this.#allowed--;
      this.#engine.inflight = this.length;
      this.#carryOut(request);
    }
  }
}
