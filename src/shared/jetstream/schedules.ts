/**
 * Message schedules of a stream (jetstream-streams §6.3): the last message of a subject may be one that, when its time
 * comes, makes the server publish another message on the schedule's target.
 *
 * The store knows nothing of schedules: they are found in the messages at the start, and whether one still stands is
 * asked of the store when it fires (it has to be the last message of its subject), so purges, deletes and expiry need
 * no bookkeeping here.
 *
 * When one that recurs has fired, its next time is logged in one change with the message it produced: so a restart knows
 * which runs were missed, whatever has become of that message. One missed run is made up for, at once (2.15.1 tried out).
 */
import { removeHeader } from '../protocol/nats/headers.ts';
import { compilePattern, type SchedulePattern, zoneOffset } from './cron.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import { Publication } from './publication.ts';
import { appendHeaderLines, publishOne } from './publish.ts';
import { type PublishHeaders, readPublishHeaders } from './publish-headers.ts';
import { StoredMessage } from './store/contract.ts';
import type { Stream } from './stream.ts';
import { formatTime, joinTime } from './time.ts';

interface Schedule {
  readonly subject: string;
  readonly sequence: number;
  readonly pattern: SchedulePattern;
  nextNs: bigint;
  /** The store knows when it fires next. */
  logged: boolean;
}

/** Of the keys of schedules in the stream's log. */
const LOG_KEY_PREFIX = '$schedule ';

const UNWANTED = /^(Nats-Schedule|Nats-Expected-)|^(Nats-Msg-Id|Nats-TTL|Nats-Rollup):/;

/** The headers of a schedule that its messages inherit; empty for none. */
function inheritedHeaders(block: Uint8Array): Uint8Array {
  if (block.length === 0) return block;
  const text = Buffer.from(block.buffer, block.byteOffset, block.length).toString('latin1');
  const [version = '', ...lines] = text.split('\r\n');
  const kept = lines.filter((line) => line !== '' && !UNWANTED.test(line));
  return kept.length === 0
    ? new Uint8Array(0)
    : Buffer.from(`${[version, ...kept].join('\r\n')}\r\n\r\n`, 'latin1');
}

function patternOf(headers: Readonly<PublishHeaders>): SchedulePattern | null {
  const zone = headers['Nats-Schedule-Time-Zone'];
  return compilePattern(headers['Nats-Schedule']!, zone === null ? null : zoneOffset(zone));
}

/** What is logged: the message the schedule is of, and when it fires next. */
function record({ sequence, nextNs }: Schedule): Uint8Array {
  return Buffer.from(`${sequence} ${nextNs}`, 'latin1');
}

export class Schedules {
  readonly #stream: Stream;
  readonly #bySubject = new Map<string, Schedule>();
  readonly #bySequence = new Map<number, Schedule>();
  readonly #queue = new ExpiryQueue();
  readonly #message = new StoredMessage();

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  get size(): number {
    return this.#bySubject.size;
  }

  /** When the next one fires. Unix milliseconds. */
  get nextMs(): number {
    return this.#queue.nextMs;
  }

  /** Finds the schedules among the stored messages. One that was missed while the server was down fires once. */
  recover(): void {
    const { store, config } = this.#stream;
    if (!config.allowMsgSchedules) return;
    const message = this.#message;
    for (let at = store.firstSeq; store.next(null, at, message, true); at = message.sequence + 1) {
      const block = message.headers();
      const headers = readPublishHeaders(block, 0, block.length);
      if (headers['Nats-Schedule'] === null) continue;
      const { sequence, timestampMs, timestampNanos } = message;
      const subject = message.subject();
      if (store.subjectState(subject)?.lastSeq !== sequence) continue;
      const pattern = patternOf(headers);
      if (pattern === null) continue;
      const logged = this.#loggedNext(subject, sequence);
      const nextNs = logged ?? pattern.next(joinTime(timestampMs, timestampNanos), null);
      if (nextNs !== null) this.#add({ subject, sequence, pattern, nextNs, logged: logged !== null });
    }
    for (const key of store.consumerLogKeys()) if (key.startsWith(LOG_KEY_PREFIX)) store.dropConsumer(key);
  }

  /** When a schedule fires next, as it was logged; null when it never fired. */
  #loggedNext(subject: string, sequence: number): bigint | null {
    const { store } = this.#stream;
    const key = LOG_KEY_PREFIX + subject;
    const log = store.takeConsumerLog(key);
    if (log === null) return null;
    const bytes = log.records[log.records.length - 1] ?? log.snapshot;
    const fields = /^(\d+) (\d+)$/.exec(bytes === null ? '' : Buffer.from(bytes).toString('latin1'));
    if (fields !== null && Number(fields[1]) === sequence) return BigInt(fields[2]!);
    store.dropConsumer(key);
    return null;
  }

  /** What is logged of a schedule, for the store's checkpoints; null for a key that isn't one's. */
  snapshot(key: string): Uint8Array | null {
    if (!key.startsWith(LOG_KEY_PREFIX)) return null;
    const schedule = this.#bySubject.get(key.slice(LOG_KEY_PREFIX.length));
    return schedule === undefined ? null : record(schedule);
  }

  #add(schedule: Schedule): void {
    this.#bySubject.set(schedule.subject, schedule);
    this.#bySequence.set(schedule.sequence, schedule);
    this.#plan(schedule);
  }

  #plan(schedule: Schedule): void {
    this.#queue.add(schedule.sequence, Number((schedule.nextNs + 999_999n) / 1_000_000n));
  }

  #forget(subject: string): void {
    const schedule = this.#bySubject.get(subject);
    if (schedule === undefined) return;
    this.#bySubject.delete(subject);
    this.#bySequence.delete(schedule.sequence);
    if (schedule.logged) this.#stream.store.dropConsumer(LOG_KEY_PREFIX + subject);
  }

  /** A message was stored: it may be a schedule, replace one, or end one. */
  stored(p: Publication, sequence: number): void {
    const stream = this.#stream;
    if (this.#bySubject.size > 0) this.#forget(p.subject);
    if (p.headers['Nats-Schedule'] !== null && !p.sourced) {
      const { ms, nanos } = stream.engine.clock;
      const nowNs = joinTime(ms, nanos);
      const pattern = patternOf(p.headers);
      const nextNs = pattern?.next(nowNs, nowNs) ?? null;
      if (pattern !== null && nextNs !== null)
        this.#add({ subject: p.subject, sequence, pattern, nextNs, logged: false });
    }
    const scheduler = p.headers['Nats-Scheduler'];
    if (p.headers['Nats-Schedule-Next'] !== 'purge' || scheduler === null || p.sourced) return;
    this.#forget(scheduler);
    stream.purge({ filter: stream.store.filter([scheduler]), beforeSeq: 0, keep: 0 });
  }

  /** A message is gone. */
  removed(subject: string, sequence: number): void {
    if (this.#bySubject.get(subject)?.sequence === sequence) this.#forget(subject);
  }

  /** Fires what is due. */
  run(nowMs: number): void {
    for (let sequence = this.#queue.takeDue(nowMs); sequence > 0; sequence = this.#queue.takeDue(nowMs)) {
      const schedule = this.#bySequence.get(sequence);
      if (schedule === undefined || schedule.nextNs > BigInt(nowMs + 1) * 1_000_000n) continue;
      const { store } = this.#stream;
      if (store.loadLast(schedule.subject, this.#message) && this.#message.sequence === sequence)
        this.#fire(schedule);
      else this.#forget(schedule.subject);
    }
  }

  #fire(schedule: Schedule): void {
    const { ms, nanos } = this.#stream.engine.clock;
    const nowNs = joinTime(ms, nanos);
    const nextNs = schedule.pattern.recurs ? schedule.pattern.next(nowNs, nowNs) : null;
    const produced = this.#produce(schedule.subject, nextNs);
    if (nextNs === null) this.#forget(schedule.subject);
    else {
      schedule.nextNs = nextNs;
      this.#plan(schedule);
    }
    const { store } = this.#stream.engine;
    store.beginGroup();
    const { error } = publishOne(this.#stream, produced);
    if (nextNs !== null) this.#log(schedule);
    store.endGroup();
    if (error !== null)
      this.#stream.engine.effects.warn(
        `JetStream schedule on '${schedule.subject}' of stream '${this.#stream.name}' produced nothing: ${error.description}`,
      );
  }

  /** Unless it was replaced by what it produced. */
  #log(schedule: Schedule): void {
    const { store } = this.#stream;
    if (store.storage !== 'file' || this.#bySubject.get(schedule.subject) !== schedule) return;
    schedule.logged =
      store.logConsumer(LOG_KEY_PREFIX + schedule.subject, record(schedule)) || schedule.logged;
  }

  /** What the schedule in `#message` says now. */
  #produce(subject: string, nextNs: bigint | null): Publication {
    const block = this.#message.headers();
    const headers = readPublishHeaders(block, 0, block.length);
    const body = new StoredMessage();
    const source = headers['Nats-Schedule-Source'];
    const model = source !== null && this.#stream.store.loadLast(source, body) ? body : this.#message;
    const lines = [
      `Nats-Scheduler: ${subject}`,
      `Nats-Schedule-Next: ${nextNs === null ? 'purge' : formatTime(nextNs)}`,
    ];
    if (headers['Nats-Schedule-TTL'] !== null) lines.push(`Nats-TTL: ${headers['Nats-Schedule-TTL']}`);
    if (headers['Nats-Schedule-Rollup'] !== null) lines.push('Nats-Rollup: sub');
    const inherited = removeHeader(inheritedHeaders(model.headers()), 'Nats-Request-Info');
    const all = appendHeaderLines(inherited, `${lines.join('\r\n')}\r\n`);
    const produced = new Publication().compose(
      headers['Nats-Schedule-Target']!,
      all,
      model.payload().slice(),
    );
    produced.internal = true;
    return produced;
  }
}
