/**
 * Atomic batch publishing (jetstream-streams §5.1): messages of a batch are staged until its last one arrives, then
 * checked as a unit and stored together, or refused together.
 *
 * Staging is in memory: nats-server stages the batches of file streams on disk, but loses them at a restart all the same,
 * so nothing is promised that a file would keep. What staged messages may take up is bounded by
 * `STAGED_MAX_BYTES` for the server.
 */
import { removeHeader, setHeader } from '../protocol/nats/headers.ts';
import { sendAdvisory, sendServerAdvisory } from './advisory.ts';
import { needsHigherLevel } from './api-level.ts';
import { firstTimeoutMs, timedOut } from './batch-timeout.ts';
import { EMPTY_BYTES, NO_TICKET } from './effects.ts';
import { type ApiError, apiError } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import { MAX_BATCH_ID_CHARACTERS } from './limits.ts';
import { ackText, batchMembers } from './pub-ack.ts';
import type { Publication } from './publication.ts';
import { acknowledge, type PublishOutcome, refuse, storePublication } from './publish.ts';
import { admissionProblem, publicationProblem, sizeProblem } from './publish-check.ts';
import { PublishView } from './publish-view.ts';
import type { Stream } from './stream.ts';

/** Staged messages of all streams together. */
const STAGED_MAX_BYTES = 256 * 1024 * 1024;

/** Why a batch came to nothing. */
export type AbandonReason = 'timeout' | 'large' | 'incomplete' | 'unsupported';

interface Batch {
  readonly id: string;
  readonly messages: Publication[];
  bytes: number;
  /** Since when nothing came. Unix milliseconds. */
  idleSinceMs: number;
}

/** Tells that a batch was given up. jetstream-api §9 */
export function adviseAbandoned(stream: Stream, batch: string, reason: AbandonReason): void {
  const subject = `STREAM.BATCH_ABANDONED.${stream.name}`;
  const add = (json: JsonObject) =>
    json
      .string('stream', stream.name)
      .stringUnlessEmpty('domain', stream.engine.options.domain)
      .string('batch', batch)
      .string('reason', reason);
  sendAdvisory(stream.account, subject, 'stream_batch_abandoned', add);
  // The system account has no other way to know whose stream it is.
  sendServerAdvisory(stream.engine, subject, 'stream_batch_abandoned', (json) =>
    add(json.string('account', stream.account.name)),
  );
}

export class AtomicBatches {
  readonly #stream: Stream;
  readonly #batches = new Map<string, Batch>();

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** A message with a batch id. */
  receive(publication: Publication): void {
    const error = this.#accept(publication);
    if (error !== null) refuse(this.#stream, publication.reply, error);
  }

  /** @returns why the message is refused */
  #accept(p: Publication): ApiError | null {
    const { config } = this.#stream;
    const id = p.headers['Nats-Batch-Id']!;
    if (!config.allowAtomic) return apiError(10174);
    if (id.length > MAX_BATCH_ID_CHARACTERS) return apiError(10179);
    const sequenceText = p.headers['Nats-Batch-Sequence'];
    if (sequenceText === null || !/^\d+$/.test(sequenceText)) return apiError(10175);
    if (p.headers['Nats-Required-Api-Level'] !== null) {
      if (needsHigherLevel(p.headerBlock())) {
        this.#abandon(id, 'unsupported');
        return apiError(10185);
      }
      p.setHeaderBlock(removeHeader(p.headerBlock(), 'Nats-Required-Api-Level'));
    }
    const commit = p.headers['Nats-Batch-Commit'];
    if (commit !== null && commit !== '1' && commit !== 'eob') {
      this.#abandon(id, 'incomplete');
      return apiError(10200);
    }
    const batch = this.#find(id, Number(sequenceText), commit === 'eob');
    return 'messages' in batch ? this.#stage(batch, p, commit) : batch;
  }

  /** The open batch that the message continues, or a new one. */
  #find(id: string, sequence: number, isEnd: boolean): Batch | ApiError {
    const { engine } = this.#stream;
    const known = this.#batches.get(id);
    if (known === undefined) {
      if (sequence !== 1 || isEnd) return this.#incomplete(id);
      const { batch } = engine.options;
      const full = this.#batches.size >= batch.maxInflightPerStream;
      if (full || engine.atomicBatches >= batch.maxInflightTotal) return apiError(10210);
      const opened = { id, messages: [], bytes: 0, idleSinceMs: engine.clock.ms };
      this.#batches.set(id, opened);
      engine.atomicBatches++;
      return opened;
    }
    return sequence === known.messages.length + 1 ? known : this.#incomplete(id);
  }

  #incomplete(id: string): ApiError {
    this.#abandon(id, 'incomplete');
    return apiError(10176);
  }

  #stage(batch: Batch, p: Publication, commit: string | null): ApiError | null {
    const stream = this.#stream;
    const { engine } = stream;
    batch.idleSinceMs = engine.clock.ms;
    if (commit === 'eob') return this.#commit(batch, p.reply);
    const most = engine.options.batch.maxMsgs;
    if (batch.messages.length >= most) {
      this.#abandon(batch.id, 'large');
      return apiError(10199, { size: String(most) });
    }
    const problem = admissionProblem(p, stream) ?? sizeProblem(p, new PublishView(stream));
    if (problem !== null) return problem;
    const bytes = p.subjectLength + p.headerLength + p.payloadLength;
    if (engine.stagedBytes + bytes > STAGED_MAX_BYTES) return apiError(10023);
    batch.messages.push(p.detach());
    batch.bytes += bytes;
    engine.stagedBytes += bytes;
    if (commit === '1') return this.#commit(batch, p.reply);
    if (p.reply !== '' && !stream.config.noAck)
      engine.effects.send(stream.account.name, p.reply, '', EMPTY_BYTES, EMPTY_BYTES, NO_TICKET);
    return null;
  }

  #commit(batch: Batch, reply: string): ApiError | null {
    const stream = this.#stream;
    const { messages } = batch;
    this.#close(batch);
    const last = messages[messages.length - 1]!;
    if (last.headers['Nats-Batch-Commit'] === null)
      last.setHeaderBlock(setHeader(last.headerBlock(), 'Nats-Batch-Commit', '1'));
    const view = new PublishView(stream);
    view.beginBatch();
    for (const message of messages) {
      const problem = publicationProblem(message, view);
      if (problem !== null) return problem;
      view.add(message);
    }
    const outcome = this.#store(messages);
    if (outcome.sequence > 0)
      acknowledge(stream, reply, ackText(stream, outcome.sequence, batchMembers(batch.id, messages.length)));
    return outcome.error;
  }

  /** Stores checked messages as one change; when the store fails on the way, those before are taken back. */
  #store(messages: readonly Publication[]): PublishOutcome {
    const stream = this.#stream;
    const { store } = stream.engine;
    const first = stream.store.lastSeq + 1;
    const { lastMsgId } = stream;
    let outcome: PublishOutcome = { sequence: 0, duplicate: false, error: null };
    store.beginGroup();
    for (const message of messages) {
      outcome = storePublication(stream, message);
      if (outcome.sequence > 0) continue;
      for (let seq = first; seq <= stream.store.lastSeq; seq++) stream.remove(seq, false, 'deleted');
      // Or the next attempt would be told that it is a duplicate of what isn't there.
      for (const { headers } of messages) {
        const id = headers['Nats-Msg-Id'];
        if (id !== null) stream.dedupe.forget(id);
      }
      stream.lastMsgId = lastMsgId;
      stream.settle();
      break;
    }
    store.endGroup();
    return outcome;
  }

  #close(batch: Batch): void {
    this.#batches.delete(batch.id);
    this.#stream.engine.atomicBatches--;
    this.#stream.engine.stagedBytes -= batch.bytes;
  }

  #abandon(id: string, reason: AbandonReason): void {
    const batch = this.#batches.get(id);
    if (batch !== undefined) this.#close(batch);
    if (batch !== undefined || reason === 'unsupported') adviseAbandoned(this.#stream, id, reason);
  }

  /** Drops every open batch: the stream is closed or takes none any more. */
  abandonAll(): void {
    for (const batch of this.#batches.values()) this.#close(batch);
  }

  nextTimeoutMs(): number {
    return firstTimeoutMs(this.#stream, this.#batches.values());
  }

  /** Drops batches that wait too long for their next message. */
  expire(nowMs: number): void {
    for (const { id } of timedOut(this.#stream, this.#batches.values(), nowMs)) this.#abandon(id, 'timeout');
  }
}
