/**
 * Receiving a snapshot (jetstream-streams §9.3): chunks are unpacked as they come, and the messages go into a new store
 * with the sequences and times they had. The stream appears when the end is there; until then only its store exists, and
 * goes again when something is wrong.
 */

import { textOfWire, wireText } from '../subject/wire-text.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { sendAdvisory } from './advisory.ts';
import {
  EMPTY_BYTES,
  type EngineSubscription,
  type InboundMessage,
  NO_TICKET,
  textBytes,
} from './effects.ts';
import { ApiError, apiErrorText } from './errors.ts';
import type { TimedWork } from './jetstream.ts';
import { JsonObject } from './json-object.ts';
import { parseTtl } from './message-ttl.ts';
import { randomId } from './names.ts';
import { errorJson } from './pub-ack.ts';
import { readPublishHeaders } from './publish-headers.ts';
import { S2Decoder, S2Error } from './s2.ts';
import {
  type ArchiveEntry,
  ArchiveError,
  ArchiveReader,
  CONSUMER_PREFIX,
  STATE_ENTRY,
} from './snapshot-archive.ts';
import { LegacySnapshot } from './snapshot-legacy.ts';
import { isTar } from './snapshot-tar.ts';
import { MessageDraft, type StreamStore } from './store/contract.ts';
import { Stream } from './stream.ts';
import type { StreamConfig } from './stream-config.ts';
import { addStreamInfo, CREATED_INFO } from './stream-info.ts';
import { joinTime, splitTime } from './time.ts';

const STALLED_MS = 5000;
const draft = new MessageDraft();

/** Bytes that tell the forms of snapshots apart. */
const FORM_BYTES = 16;

/** What the archive's own state says, or that of the request with an archive that has none. */
export interface PromisedState {
  lastSeq: number;
  firstSeq: number;
}

export class RestoreSession implements EngineSubscription, TimedWork {
  readonly account: string;
  readonly subject: string;
  readonly queue = null;
  readonly #owner: AccountJetStream;
  readonly #config: StreamConfig;
  readonly #store: StreamStore;
  readonly #client: string;
  readonly #startNs: bigint;
  readonly #decoder = new S2Decoder();
  /** Null until enough was received to tell. */
  #reader: ArchiveReader | LegacySnapshot | null = null;
  /** The first bytes, until the form is known. */
  #head: Uint8Array = EMPTY_BYTES;
  readonly #consumers: { name: string; json: string }[] = [];
  #promised: PromisedState;
  #problem = '';
  #bytes = 0;
  #lastChunkMs: number;

  /**
   * @param store made for the restore, empty
   * @param state what the request says, for archives that don't
   */
  constructor(
    owner: AccountJetStream,
    config: StreamConfig,
    store: StreamStore,
    state: PromisedState,
    client: string,
  ) {
    const { engine } = owner;
    this.#owner = owner;
    this.#config = config;
    this.#store = store;
    this.#promised = state;
    this.#client = client;
    this.account = owner.name;
    this.subject = `$JS.SNAPSHOT.RESTORE.${wireText(config.name)}.${randomId(22, engine.random)}`;
    this.#startNs = joinTime(engine.clock.ms, engine.clock.nanos);
    this.#lastChunkMs = engine.clock.ms;
    engine.effects.subscribe(this);
    engine.timed.add(this);
  }

  nextDueMs(): number {
    return this.#lastChunkMs + STALLED_MS;
  }

  tick(): void {
    if (this.#owner.engine.clock.ms < this.nextDueMs()) return;
    this.#finish(apiErrorText(10062, 'stalled'));
  }

  /** JetStream ends for the account. */
  abandon(): void {
    this.#finish(apiErrorText(10062, 'JetStream not enabled for account'));
  }

  /** A chunk, or the end of them. */
  receive(message: InboundMessage): void {
    const { engine } = this.#owner;
    this.#lastChunkMs = engine.clock.ms;
    const chunk = message.payload();
    if (chunk.length === 0) {
      const outcome = this.#complete();
      this.#finish(outcome);
      if (message.reply !== '') this.#reply(message.reply, outcome);
      return;
    }
    this.#bytes += chunk.length;
    if (this.#problem === '') this.#take(chunk);
    if (message.reply !== '')
      engine.effects.send(this.account, message.reply, '', EMPTY_BYTES, EMPTY_BYTES, NO_TICKET);
  }

  #take(chunk: Uint8Array): void {
    try {
      this.#read(this.#decoder.push(chunk));
    } catch (error) {
      if (!(error instanceof S2Error || error instanceof ArchiveError)) throw error;
      this.#problem = error.message;
    }
  }

  #read(plain: Uint8Array): void {
    if (this.#reader === null) {
      this.#head = Buffer.concat([this.#head, plain]);
      if (this.#head.length < FORM_BYTES) return;
      this.#reader = isTar(this.#head) ? this.#legacy() : new ArchiveReader();
      this.#read(this.#head);
      this.#head = EMPTY_BYTES;
    } else if (this.#reader instanceof LegacySnapshot) this.#reader.push(plain);
    else for (const entry of this.#reader.push(plain)) this.#restore(entry);
  }

  #legacy(): LegacySnapshot {
    this.#skipToFirst();
    return new LegacySnapshot({
      restore: (entry) => {
        // A block keeps what was removed from its head.
        if (entry.sequence === 0 || entry.sequence > this.#store.lastSeq) this.#restore(entry);
      },
      remove: (sequence, timeNs) => {
        const { ms, nanos } = splitTime(timeNs);
        if (sequence > this.#store.lastSeq) this.#store.skip(sequence, ms, nanos);
        else if (this.#store.remove(sequence, false) < 0)
          throw new ArchiveError(this.#store.failure?.message ?? 'store failed');
      },
    });
  }

  #skipToFirst(): void {
    if (this.#promised.firstSeq - 1 <= this.#store.lastSeq) return;
    const { ms, nanos } = this.#owner.engine.clock;
    this.#store.skip(this.#promised.firstSeq - 1, ms, nanos);
  }

  #restore(entry: ArchiveEntry): void {
    if (entry.sequence === 0 && entry.name === STATE_ENTRY) {
      this.#promised = promisedState(entry.payload);
      this.#skipToFirst();
      return;
    }
    if (entry.sequence === 0 && entry.name.startsWith(CONSUMER_PREFIX)) {
      const name = textOfWire(entry.name.slice(CONSUMER_PREFIX.length));
      this.#consumers.push({ name, json: Buffer.from(entry.payload).toString('utf8') });
      return;
    }
    const { ms, nanos } = splitTime(entry.timeNs);
    draft.setSubject(entry.name);
    draft.setHeaders(entry.headers);
    draft.setPayload(entry.payload);
    draft.timestampMs = ms;
    draft.timestampNanos = nanos;
    draft.sequence = entry.sequence;
    const ttl = readPublishHeaders(entry.headers, 0, entry.headers.length)['Nats-TTL'];
    draft.ttlSeconds = ttl === null ? 0 : parseTtl(ttl);
    if (this.#store.append(draft) < 0) throw new ArchiveError(this.#store.failure?.message ?? 'store failed');
  }

  /** Makes a stream of what was received. */
  #complete(): Stream | ApiError {
    if (this.#problem === '' && !(this.#decoder.isComplete && this.#reader?.ended))
      this.#problem = this.#bytes === 0 ? 'EOF' : 'unexpected EOF';
    if (this.#problem !== '') return apiErrorText(10062, this.#problem);
    const { clock } = this.#owner.engine;
    if (this.#promised.lastSeq > this.#store.lastSeq)
      this.#store.skip(this.#promised.lastSeq, clock.ms, clock.nanos);
    const made = this.#owner.finishRestore(this.#config, this.#store);
    if (made instanceof ApiError)
      return apiErrorText(10062, `error adding stream: ${made.description} (${made.errCode})`);
    for (const { name, json } of this.#consumers) made.consumers.restore(name, json);
    return made;
  }

  #finish(outcome: Stream | ApiError): void {
    const { engine } = this.#owner;
    engine.effects.unsubscribe(this);
    engine.timed.delete(this);
    this.#owner.restores.delete(this.#config.name);
    if (outcome instanceof ApiError) engine.store.dropStream(this.#store);
    const { name } = this.#config;
    sendAdvisory(this.#owner, `STREAM.RESTORE_COMPLETE.${name}`, 'restore_complete', (json) => {
      json.string('stream', name).time('start', this.#startNs);
      json.time('end', joinTime(engine.clock.ms, engine.clock.nanos)).integer('bytes', this.#bytes);
      return this.#client === '' ? json : json.raw('client', this.#client);
    });
  }

  #reply(reply: string, outcome: Stream | ApiError): void {
    const { engine } = this.#owner;
    const json = new JsonObject().string('type', 'io.nats.jetstream.api.v1.stream_create_response');
    if (outcome instanceof Stream) addStreamInfo(json, outcome, CREATED_INFO);
    else json.raw('error', errorJson(outcome));
    const bytes = textBytes(json.end());
    engine.effects.send(this.account, reply, '', EMPTY_BYTES, bytes, engine.store.ticket);
  }
}

/** What the archive says of its sequences. @throws ArchiveError */
function promisedState(payload: Uint8Array): PromisedState {
  try {
    const state = JSON.parse(Buffer.from(payload).toString('utf8')) as Record<string, unknown>;
    const { first_seq: firstSeq, last_seq: lastSeq, messages } = state;
    const counts = [firstSeq, lastSeq, messages].every(
      (count) => Number.isSafeInteger(count) && (count as number) >= 0,
    );
    if (counts) return { firstSeq: firstSeq as number, lastSeq: lastSeq as number };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new ArchiveError('invalid stream state');
}
