/**
 * Sending a snapshot (jetstream-streams §9.1). The client acknowledges full chunks, and only so many bytes are in flight, so
 * a large stream neither fills the memory of the server nor floods a slow client.
 *
 * The snapshot is of the messages up to the last one there was when it began; those removed in the meantime are left out.
 */

import { statusHeader } from '../protocol/nats/headers.ts';
import { isValidSubject } from '../subject/subject.ts';
import { wireText } from '../subject/wire-text.ts';
import { sendAdvisory } from './advisory.ts';
import { EMPTY_BYTES, type EngineSubscription, NO_TICKET, textBytes } from './effects.ts';
import type { TimedWork } from './jetstream.ts';
import { randomId } from './names.ts';
import { frame } from './s2.ts';
import {
  ARCHIVE_MAGIC,
  ArchiveError,
  CONSUMER_PREFIX,
  encodeEntry,
  endEntry,
  STATE_ENTRY,
} from './snapshot-archive.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { joinTime } from './time.ts';

const INTEREST_TIMEOUT_MS = 2000;
const INTEREST_POLL_MS = 100;
const ACK_TIMEOUT_MS = 5000;
/** Plain bytes gathered before they are framed. */
const FRAME_BYTES = 64 * 1024;

export interface SnapshotRequest {
  deliverSubject: string;
  noConsumers: boolean;
  chunkBytes: number;
  windowBytes: number;
}

/** The parts of a stream's archive, made as they are asked for. */
function* archive(stream: Stream, stateJson: string, withConsumers: boolean): Generator<Uint8Array> {
  const { store } = stream;
  const last = store.lastSeq;
  const { ms, nanos } = stream.engine.clock;
  const nowNs = joinTime(ms, nanos);
  const plain = { timeNs: nowNs, sequence: 0, headers: EMPTY_BYTES };
  yield ARCHIVE_MAGIC;
  yield encodeEntry({ ...plain, name: STATE_ENTRY, payload: textBytes(stateJson) });
  if (withConsumers) {
    for (const { name, json } of stream.consumers.archive()) {
      yield encodeEntry({ ...plain, name: wireText(CONSUMER_PREFIX + name), payload: textBytes(json) });
    }
  }
  const message = new StoredMessage();
  for (let at = 1; store.next(null, at, message) && message.sequence <= last; at = message.sequence + 1) {
    yield encodeEntry({
      name: message.subject(),
      timeNs: joinTime(message.timestampMs, message.timestampNanos),
      sequence: message.sequence,
      headers: message.headers(),
      payload: message.payload(),
    });
  }
  if (store.unreadableSeq > 0) throw new ArchiveError(`message ${store.unreadableSeq} can not be read`);
  yield endEntry();
}

/** Frames what a generator yields, in pieces of `chunkBytes`; the last one may be shorter. */
function* chunks(parts: Iterable<Uint8Array>, chunkBytes: number): Generator<Uint8Array> {
  let plain: Uint8Array[] = [];
  let plainBytes = 0;
  let framed = new Uint8Array(0);
  let first = true;
  const flush = () => {
    framed = Buffer.concat([framed, frame(Buffer.concat(plain), first)]);
    first = false;
    plain = [];
    plainBytes = 0;
  };
  for (const part of parts) {
    plain.push(part);
    plainBytes += part.length;
    if (plainBytes < FRAME_BYTES) continue;
    flush();
    for (; framed.length >= chunkBytes; framed = framed.subarray(chunkBytes))
      yield framed.slice(0, chunkBytes);
  }
  if (plainBytes > 0) flush();
  for (; framed.length > 0; framed = framed.subarray(chunkBytes)) yield framed.slice(0, chunkBytes);
}

export class SnapshotSession implements EngineSubscription, TimedWork {
  readonly account: string;
  readonly subject: string;
  readonly queue = null;
  readonly #stream: Stream;
  readonly #request: SnapshotRequest;
  readonly #chunks: Generator<Uint8Array>;
  readonly #client: string;
  readonly #startNs: bigint;
  readonly #ackPrefix: string;
  readonly #beganMs: number;
  #sentChunks = 0;
  #ackedChunks = 0;
  #lastAckMs: number;
  /** When to look next whether somebody listens. */
  #pollAtMs: number;
  #interested = false;
  #done = false;

  constructor(stream: Stream, request: SnapshotRequest, stateJson: string, client: string) {
    const { engine } = stream;
    this.#stream = stream;
    this.#request = request;
    this.#client = client;
    this.account = stream.account.name;
    this.#ackPrefix = `$JS.SNAPSHOT.ACK.${wireText(stream.name)}.${randomId(22, engine.random)}`;
    this.subject = `${this.#ackPrefix}.*.*`;
    this.#chunks = chunks(archive(stream, stateJson, !request.noConsumers), request.chunkBytes);
    this.#startNs = joinTime(engine.clock.ms, engine.clock.nanos);
    this.#beganMs = engine.clock.ms;
    this.#lastAckMs = engine.clock.ms;
    this.#pollAtMs = engine.clock.ms;
    engine.effects.subscribe(this);
    engine.timed.add(this);
  }

  nextDueMs(): number {
    if (this.#done) return Infinity;
    return this.#interested ? this.#lastAckMs + ACK_TIMEOUT_MS : this.#pollAtMs;
  }

  tick(): void {
    const { clock, effects } = this.#stream.engine;
    if (this.#done) return;
    this.#pollAtMs = clock.ms + INTEREST_POLL_MS;
    if (this.#stream.closed) this.#end(500, 'stream is closed');
    else if (this.#interested) {
      if (clock.ms - this.#lastAckMs >= ACK_TIMEOUT_MS) this.#end(408, 'No Flow Response');
    } else if (effects.hasInterest(this.account, wireText(this.#request.deliverSubject))) {
      this.#interested = true;
      this.#lastAckMs = clock.ms;
      this.#fill();
    } else if (clock.ms - this.#beganMs >= INTEREST_TIMEOUT_MS) this.#end(408, 'No Interest');
  }

  /** An acknowledgement of a chunk. */
  receive(): void {
    if (this.#done) return;
    this.#ackedChunks++;
    this.#lastAckMs = this.#stream.engine.clock.ms;
    this.#fill();
  }

  /** Sends as many chunks as the window has room for. */
  #fill(): void {
    const { chunkBytes, windowBytes } = this.#request;
    const most = Math.max(1, Math.floor(windowBytes / chunkBytes));
    while (!this.#done && this.#sentChunks - this.#ackedChunks < most) {
      const chunk = this.#nextChunk();
      if (typeof chunk === 'string') this.#end(500, chunk);
      else if (chunk === null) this.#end(204, '');
      else if (chunk.length < chunkBytes) {
        this.#send('', EMPTY_BYTES, chunk);
      } else {
        this.#sentChunks++;
        this.#send(`${this.#ackPrefix}.${chunk.length}.${this.#sentChunks}`, EMPTY_BYTES, chunk);
      }
    }
  }

  /** Null: there are no more. A text: why there can't be more. */
  #nextChunk(): Uint8Array | string | null {
    try {
      const { value, done } = this.#chunks.next();
      return done ? null : value;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      return error.message;
    }
  }

  #send(reply: string, headers: Uint8Array, payload: Uint8Array): void {
    const subject = wireText(this.#request.deliverSubject);
    this.#stream.engine.effects.send(this.account, subject, reply, headers, payload, NO_TICKET);
  }

  /** Sends the end, or why there is none. An end without a full chunk in front has no status. */
  #end(status: number, text: string): void {
    const { engine, account, name } = this.#stream;
    this.#done = true;
    const bare = status === 204 && this.#sentChunks === 0;
    this.#send('', bare ? EMPTY_BYTES : statusHeader(status, text), EMPTY_BYTES);
    engine.effects.unsubscribe(this);
    engine.timed.delete(this);
    sendAdvisory(account, `STREAM.SNAPSHOT_COMPLETE.${name}`, 'snapshot_complete', (json) => {
      json.string('stream', name).time('start', this.#startNs);
      json.time('end', joinTime(engine.clock.ms, engine.clock.nanos));
      if (this.#client !== '') json.raw('client', this.#client);
      return json.stringUnlessEmpty('error', text);
    });
  }
}

/** Whether a snapshot may be sent there. */
export function isDeliverSubject(subject: string): boolean {
  return isValidSubject(subject) && !/(^|\.)[*>](\.|$)/.test(subject);
}
