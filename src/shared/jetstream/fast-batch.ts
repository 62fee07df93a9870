/**
 * Fast batch publishing (jetstream-streams §5.2): messages of a batch are stored as they come, and acknowledged once in a
 * while; the acknowledgements tell the client how many messages it may have in flight.
 *
 * ```
 *   reply: <inbox>.<id>.<flow>.<gap>.<sequence>.<operation>.$FI
 *
 *   1 ──────► ack 0, 10        position 0, the next one after 10 more
 *   2 … 10 ─► ack 10, 20       position 10; the window doubles or halves towards its share of 500
 *   13 ─────► gap 11, 13       11 and 12 are missing
 * ```
 */
import { removeHeader } from '../protocol/nats/headers.ts';
import { needsHigherLevel } from './api-level.ts';
import { adviseAbandoned } from './atomic-batch.ts';
import { firstTimeoutMs, timedOut } from './batch-timeout.ts';
import { type ApiError, apiError } from './errors.ts';
import { JsonObject } from './json-object.ts';
import { FAST_WINDOW_MSGS, MAX_BATCH_ID_CHARACTERS, MAX_FAST_FLOW } from './limits.ts';
import { ackText, batchMembers, DUPLICATE_MEMBER, errorJson } from './pub-ack.ts';
import type { Publication } from './publication.ts';
import { acknowledge, publishOne, refuse } from './publish.ts';
import { admissionProblem, sizeProblem } from './publish-check.ts';
import type { Stream } from './stream.ts';

const START = 0;
const APPEND = 1;
const COMMIT = 2;
const COMMIT_WITHOUT = 3;
const PING = 4;
const DEFAULT_FLOW = 10;
const PER_STREAM_MAX = 1000;
const TOTAL_MAX = 50_000;

/** What a reply subject says. */
interface FastReply {
  readonly id: string;
  readonly flow: number;
  readonly failsOnGap: boolean;
  readonly sequence: number;
  readonly operation: number;
}

interface FastBatch {
  readonly id: string;
  readonly flow: number;
  readonly failsOnGap: boolean;
  /** Highest batch sequence that arrived. */
  sequence: number;
  /** Batch sequence that was acknowledged. */
  acknowledged: number;
  /** Messages until the next acknowledgement. */
  window: number;
  /** Stream sequence of the last message stored; 0 for none. */
  storedSeq: number;
  idleSinceMs: number;
}

function isWellFormed(sequence: number, operation: number): boolean {
  if (!Number.isInteger(sequence) || sequence < 1 || !Number.isInteger(operation)) return false;
  if (operation === START) return sequence === 1;
  if (operation === APPEND || operation === COMMIT_WITHOUT) return sequence !== 1;
  return operation === COMMIT || operation === PING;
}

function decimal(text: string | undefined): number {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

/** Reads a reply subject that ends in `.$FI`. */
function parseReply(reply: string): FastReply | ApiError {
  const tokens = reply.split('.');
  const [id, flowText, gap, sequenceText, operationText] = tokens.slice(-6, -1);
  const sequence = decimal(sequenceText);
  const operation = decimal(operationText);
  if (tokens.length < 7 || id === undefined || !isWellFormed(sequence, operation)) return apiError(10206);
  if (gap !== 'ok' && gap !== 'fail') return apiError(10206);
  if (id.length > MAX_BATCH_ID_CHARACTERS) return apiError(10207);
  const wanted = decimal(flowText);
  const flow = wanted > 0 ? Math.min(wanted, MAX_FAST_FLOW) : DEFAULT_FLOW;
  return { id, flow, failsOnGap: gap === 'fail', sequence, operation };
}

export class FastBatches {
  readonly #stream: Stream;
  readonly #batches = new Map<string, FastBatch>();

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** A message whose reply subject is that of a fast batch. @returns false when it is not, after all */
  receive(p: Publication): boolean {
    const reply = parseReply(p.reply);
    const error = 'errCode' in reply ? reply : this.#process(p, reply);
    if (error !== null) refuse(this.#stream, p.reply, error);
    return true;
  }

  #process(p: Publication, reply: FastReply): ApiError | null {
    if (!this.#stream.config.allowBatched) return apiError(10205);
    if (p.headers['Nats-Required-Api-Level'] !== null) {
      if (needsHigherLevel(p.headerBlock())) return apiError(10185);
      p.setHeaderBlock(removeHeader(p.headerBlock(), 'Nats-Required-Api-Level'));
    }
    const known = this.#batches.get(reply.id);
    const opens = reply.sequence === 1 && reply.operation !== PING;
    if (known === undefined && !opens) return apiError(10208);
    if (reply.operation === PING) return this.#ping(known!, p, reply);
    if (reply.operation !== COMMIT_WITHOUT) {
      const problem = admissionProblem(p, this.#stream) ?? sizeProblem(p, this.#stream.view);
      if (problem !== null) return problem;
    }
    const batch = known ?? this.#open(reply);
    if ('errCode' in batch) return batch;
    batch.idleSinceMs = this.#stream.engine.clock.ms;
    if (reply.operation === START && known === undefined) this.#sendAck(batch, p.reply);
    if (reply.sequence !== batch.sequence + 1 && this.#gap(batch, p, reply.sequence)) return null;
    if (reply.operation !== COMMIT_WITHOUT) {
      batch.sequence = reply.sequence;
      if (!this.#append(batch, p, reply.operation === COMMIT)) return null;
    }
    if (reply.operation !== START && reply.operation !== APPEND) this.#commit(batch, p.reply, '');
    return null;
  }

  #open(reply: FastReply): FastBatch | ApiError {
    const { engine } = this.#stream;
    if (this.#batches.size >= PER_STREAM_MAX || engine.fastBatches >= TOTAL_MAX) return apiError(10211);
    const batch = {
      id: reply.id,
      flow: reply.flow,
      failsOnGap: reply.failsOnGap,
      sequence: 0,
      acknowledged: 0,
      window: this.#batches.size === 0 ? Math.min(FAST_WINDOW_MSGS, reply.flow) : 1,
      storedSeq: 0,
      idleSinceMs: engine.clock.ms,
    };
    this.#batches.set(batch.id, batch);
    engine.fastBatches++;
    return batch;
  }

  /** Reports missing messages. @returns true when that ended the batch */
  #gap(batch: FastBatch, p: Publication, sequence: number): boolean {
    const expected = batch.sequence + 1;
    const text = new JsonObject()
      .string('type', 'gap')
      .integer('last_seq', expected)
      .integer('seq', sequence)
      .end();
    acknowledge(this.#stream, p.reply, text);
    if (!batch.failsOnGap && sequence > expected) return false;
    this.#commit(batch, p.reply, '');
    return true;
  }

  /** Stores a message of the batch. @returns false when that ended the batch */
  #append(batch: FastBatch, p: Publication, commits: boolean): boolean {
    const outcome = publishOne(this.#stream, p);
    if (outcome.error !== null) return this.#reportError(batch, p.reply, outcome.error);
    if (outcome.sequence === 0) return true;
    if (!outcome.duplicate) batch.storedSeq = outcome.sequence;
    if (outcome.duplicate && commits && batch.failsOnGap && batch.sequence === 1) {
      this.#commit(batch, p.reply, DUPLICATE_MEMBER);
      return false;
    }
    if (!commits || outcome.duplicate) this.#advance(batch, p.reply);
    return true;
  }

  #reportError(batch: FastBatch, reply: string, error: ApiError): boolean {
    const text = new JsonObject()
      .string('type', 'err')
      .integer('seq', batch.sequence)
      .raw('error', errorJson(error))
      .end();
    acknowledge(this.#stream, reply, text);
    if (!batch.failsOnGap) return true;
    batch.sequence--;
    this.#commit(batch, reply, '');
    return false;
  }

  /** Acknowledges when a whole window has come, and gives the next one its size. */
  #advance(batch: FastBatch, reply: string): void {
    const windows = Math.floor((batch.sequence - batch.acknowledged) / batch.window);
    if (windows === 0) return;
    batch.acknowledged += windows * batch.window;
    const share = Math.max(1, Math.floor(FAST_WINDOW_MSGS / this.#batches.size));
    const target = Math.min(share, batch.flow);
    if (batch.window < target) batch.window = Math.min(batch.window * 2, target);
    else if (batch.window > target) batch.window = Math.max(Math.floor(batch.window / 2), target);
    this.#sendAck(batch, reply);
  }

  #sendAck(batch: FastBatch, reply: string): void {
    const text = new JsonObject()
      .string('type', 'ack')
      .integer('seq', batch.acknowledged)
      .integer('msgs', batch.window)
      .end();
    acknowledge(this.#stream, reply, text);
  }

  #ping(batch: FastBatch, p: Publication, reply: FastReply): ApiError | null {
    batch.idleSinceMs = this.#stream.engine.clock.ms;
    if (reply.sequence > batch.sequence) {
      if (this.#gap(batch, p, reply.sequence + 1)) return null;
      batch.sequence = reply.sequence;
      const before = batch.acknowledged;
      this.#advance(batch, p.reply);
      if (batch.acknowledged !== before) return null;
    }
    this.#sendAck(batch, p.reply);
    return null;
  }

  #commit(batch: FastBatch, reply: string, more: string): void {
    this.#close(batch);
    const members = more + batchMembers(batch.id, batch.sequence);
    acknowledge(this.#stream, reply, ackText(this.#stream, batch.storedSeq, members));
  }

  #close(batch: FastBatch): void {
    if (this.#batches.delete(batch.id)) this.#stream.engine.fastBatches--;
  }

  /** Forgets every open batch; what they stored stays. */
  abandonAll(): void {
    for (const batch of this.#batches.values()) this.#close(batch);
  }

  nextTimeoutMs(): number {
    return firstTimeoutMs(this.#stream, this.#batches.values());
  }

  expire(nowMs: number): void {
    for (const batch of timedOut(this.#stream, this.#batches.values(), nowMs)) {
      this.#close(batch);
      adviseAbandoned(this.#stream, batch.id, 'timeout');
    }
  }
}
