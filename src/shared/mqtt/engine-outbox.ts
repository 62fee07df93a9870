import { MQTT_INTERNAL_ACCOUNT } from '../base/options.ts';
import { type Effects, EMPTY_BYTES, NO_TICKET } from '../jetstream/effects.ts';
import type { EngineSession } from './engine-session.ts';
import { MAIL_ANSWER, MAIL_BATCH_BYTES, MailBatch, shardSubject } from './mail.ts';

/** Records to one shard. */
interface Batch {
  readonly records: MailBatch;
  readonly subject: string;
  /** The highest of them. */
  ticket: number;
}

/** What the engine says to the shards: records that travel together, in the order in which they were begun. */
export class EngineOutbox {
  readonly #effects: Pick<Effects, 'send'>;
  /** By thread: what goes to its connections, and what has to be on the disk before. */
  readonly #batches = new Map<number, Batch>();
  /** Records to nobody. */
  readonly #void = new MailBatch();

  constructor(effects: Pick<Effects, 'send'>) {
    this.#effects = effects;
  }

  /**
   * Begins a record to the shard of a session's connection.
   *
   * @param ticket what the store has to have kept before
   */
  begin({ cid, thread }: Pick<EngineSession, 'cid' | 'thread'>, kind: number, ticket: number): MailBatch {
    if (cid < 0) return this.#void.clear().begin(kind, cid);
    let batch = this.#batches.get(thread);
    if (batch === undefined) {
      batch = { records: new MailBatch(), subject: shardSubject(thread), ticket: NO_TICKET };
      this.#batches.set(thread, batch);
    }
    if (batch.records.length > MAIL_BATCH_BYTES) this.#send(batch);
    if (ticket > batch.ticket) batch.ticket = ticket;
    return batch.records.begin(kind, cid);
  }

  /** An acknowledgement, or PUBREL. */
  answer(session: EngineSession, type: number, packetId: number, reason: number, ticket: number): void {
    this.begin(session, MAIL_ANSWER, ticket).u8(type).u32(packetId).u8(reason);
  }

  #send(batch: Batch): void {
    const { records, subject, ticket } = batch;
    const bytes = records.end().view();
    this.#effects.send(MQTT_INTERNAL_ACCOUNT, subject, '', EMPTY_BYTES, bytes, ticket);
    records.clear();
    batch.ticket = NO_TICKET;
  }

  /** Sends everything there is. */
  flush(): void {
    for (const batch of this.#batches.values()) if (batch.records.length > 0) this.#send(batch);
  }
}
