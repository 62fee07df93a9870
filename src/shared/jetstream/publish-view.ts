/**
 * What a message is checked against: the stream as it is, or the stream as it will be once the messages in front of it
 * in the same batch are stored (jetstream-streams §5.1).
 */
import { subjectMatches } from '../subject/subject.ts';
import { counterValue } from './counter.ts';
import type { Publication } from './publication.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';

const message = new StoredMessage();

export class PublishView {
  readonly stream: Stream;
  /** Messages of the batch in front of this one. */
  #earlier: Publication[] | null = null;
  #earlierBytes = 0;
  #subjects: Map<string, { messages: number; total: bigint | null }> | null = null;
  #ids: Set<string> | null = null;

  constructor(stream: Stream) {
    this.stream = stream;
  }

  /** Whether messages are checked that belong together. */
  get isBatch(): boolean {
    return this.#earlier !== null;
  }

  /** Number of messages in front. */
  get position(): number {
    return this.#earlier?.length ?? 0;
  }

  beginBatch(): void {
    this.#earlier = [];
    this.#subjects = new Map();
    this.#ids = new Set();
  }

  /** A message of the batch passed its checks. */
  add(publication: Publication): void {
    if (publication.unwanted) return;
    this.#earlier!.push(publication);
    const { subjectLength, headerLength, payloadLength, subject, counterTotal } = publication;
    this.#earlierBytes += this.stream.store.accountingBytes(subjectLength, headerLength, payloadLength);
    const messages = (this.#subjects!.get(subject)?.messages ?? 0) + 1;
    this.#subjects!.set(subject, { messages, total: counterTotal });
    const id = publication.headers['Nats-Msg-Id'];
    if (id !== null) this.#ids!.add(id);
  }

  get messages(): number {
    return this.stream.store.messages + this.position;
  }

  get bytes(): number {
    return this.stream.store.bytes + this.#earlierBytes;
  }

  /** Bytes of the batch in front. */
  get earlierBytes(): number {
    return this.#earlierBytes;
  }

  /** Whether the batch has written to the subject, which may have wildcards. */
  isWritten(subject: string): boolean {
    if (this.#subjects === null) return false;
    if (this.#subjects.has(subject)) return true;
    for (const written of this.#subjects.keys()) if (subjectMatches(written, subject)) return true;
    return false;
  }

  subjectMessages(subject: string): number {
    const stored = this.stream.store.subjectState(subject)?.messages ?? 0;
    return stored + (this.#subjects?.get(subject)?.messages ?? 0);
  }

  /** Sequence stored under the id, -1 when the batch itself has it, 0 for none. */
  findId(id: string): number {
    if (this.#ids?.has(id)) return -1;
    return this.stream.dedupe.find(id, this.stream.engine.clock.ms);
  }

  /** Total of a counter so far; null when what is stored is none, or can't be read now. */
  counter(subject: string): bigint | null {
    const inBatch = this.#subjects?.get(subject);
    if (inBatch !== undefined) return inBatch.total;
    const { store } = this.stream;
    if (store.loadLast(subject, message)) return counterValue(message.payload());
    return store.unreadableSeq === 0 ? 0n : null;
  }
}
