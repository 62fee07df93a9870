/**
 * A stream as anybody would write it from the specification: what a publish is answered, what it leaves stored, and what time
 * does. The engine is compared with it after every step.
 */
import { parseTtl } from '../../src/shared/jetstream/message-ttl.ts';
import { TTL_NEVER } from '../../src/shared/jetstream/store/contract.ts';
import type { StreamConfig } from '../../src/shared/jetstream/stream-config.ts';
import { type ModelMessage, ModelStream } from './model.ts';

/** A message as a client sends it. */
export interface Publish {
  subject: string;
  headers: [name: string, value: string][];
  payload: string;
}

/** What the publisher is told. */
export interface Outcome {
  /** 0: refused. */
  seq: number;
  error: number;
  duplicate: boolean;
  /** Total of a counter, else empty. */
  val: string;
}

export interface ModelClock {
  ms: number;
  nanos: number;
}

/** Header lines as `Harness.publish` takes them. */
export function headerLines(headers: Publish['headers']): string {
  return headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
}

/** First value of a header in a stored block; null without it. */
export function headerOf(message: ModelMessage, name: string): string | null {
  const line = message.headers.split('\r\n').find((text) => text.startsWith(`${name}: `));
  return line === undefined ? null : line.slice(name.length + 2);
}

function nanosToMs(nanos: bigint): number {
  return Number(nanos / 1_000_000n);
}

function isMarker(message: ModelMessage): boolean {
  return headerOf(message, 'Nats-Marker-Reason') !== null || headerOf(message, 'KV-Operation') === 'PURGE';
}

function refusal(error: number): Outcome {
  return { seq: 0, error, duplicate: false, val: '' };
}

export class EngineModelStream extends ModelStream {
  readonly uid: number;
  /** What copies of its messages call it. */
  identity = '';
  config: StreamConfig;
  /** By message id: sequence and time. */
  ids = new Map<string, { seq: number; ms: number }>();
  lastMsgId = '';
  /** Every message that was stored, by sequence: what copies are compared with. */
  stored = new Map<number, ModelMessage>();
  /** Sequences it had when the engine's last tick began: what a copy of that tick may be of, besides what it has now. */
  beforeTick = new Set<number>();
  /** Sequences whose acknowledgement was sent. */
  promised = new Set<number>();
  highestPromised = 0;
  /** Of a stream that copies: highest sequence copied, by uid of the origin. */
  positions = new Map<number, number>();
  /** When the schedule of a subject fired last. Unix milliseconds. */
  fired = new Map<string, number>();
  /** Sequences of schedules that a later message on their subject ended. */
  ended = new Set<number>();

  constructor(uid: number, config: StreamConfig) {
    super();
    this.uid = uid;
    this.config = config;
    this.firstSeq = config.firstSeq;
    this.lastSeq = Math.max(0, config.firstSeq - 1);
  }

  get copies(): boolean {
    return this.config.mirror !== null || this.config.sources.length > 0;
  }

  bytesOf(message: ModelMessage): number {
    const { subject, headers, payload } = message;
    if (this.config.storage === 'memory') return 16 + subject.length + headers.length + payload.length;
    return 30 + subject.length + payload.length + (headers === '' ? 0 : 4 + headers.length);
  }

  get bytes(): number {
    let sum = 0;
    for (const message of this.messages.values()) sum += this.bytesOf(message);
    return sum;
  }

  findId(id: string, nowMs: number): number {
    const known = this.ids.get(id);
    const windowMs = nanosToMs(this.config.duplicateWindowNs);
    return known === undefined || known.ms + windowMs <= nowMs ? 0 : known.seq;
  }

  /** streams §3.2, in its order. Null: it may be stored. @param earlier messages of the same batch in front */
  problem(p: Publish, clock: ModelClock, earlier: readonly Publish[] = []): Outcome | null {
    const { config } = this;
    const h = new Map([...p.headers].reverse());
    if (config.sealed) return refusal(10109);
    if (h.has('Nats-Incr') && !config.allowMsgCounter) return refusal(10168);
    const expectedStream = h.get('Nats-Expected-Stream');
    if (expectedStream !== undefined && expectedStream !== config.name) return refusal(10060);
    const ttl = h.get('Nats-TTL');
    if (ttl !== undefined && !config.allowMsgTtl && parseTtl(ttl) > 0) return refusal(10166);
    const expectedSubject = h.get('Nats-Expected-Last-Subject-Sequence');
    if (expectedSubject !== undefined) {
      if (earlier.some(({ subject }) => subject === p.subject)) return refusal(10164);
      if (Number(expectedSubject) !== (this.matching([p.subject]).at(-1) ?? 0)) return refusal(10071);
    }
    const expectedLast = h.get('Nats-Expected-Last-Sequence');
    if (expectedLast !== undefined) {
      if (earlier.length > 0) return refusal(10164);
      if (Number(expectedLast) !== this.lastSeq) return refusal(10071);
    }
    const id = h.get('Nats-Msg-Id');
    if (id !== undefined) {
      const batch = 'Nats-Batch-Id';
      const inBatch = earlier.some(({ headers }) => new Map(headers).get('Nats-Msg-Id') === id);
      const seq = this.findId(id, clock.ms);
      if (h.has(batch) && (seq > 0 || inBatch)) return refusal(10201);
      if (seq > 0) return { seq, error: 0, duplicate: true, val: '' };
    }
    const expectedId = h.get('Nats-Expected-Last-Msg-Id');
    if (expectedId !== undefined && expectedId !== this.lastMsgId) return refusal(10070);
    if (h.has('Nats-Rollup') && (!config.allowRollup || config.denyPurge)) return refusal(10111);
    if (config.allowMsgCounter && !h.has('Nats-Incr')) return refusal(10169);
    if (config.retention === 'interest') return null;
    return this.#full(p, h, earlier);
  }

  #full(p: Publish, h: ReadonlyMap<string, string>, earlier: readonly Publish[]): Outcome | null {
    const { discard, discardNewPerSubject, maxMsgsPerSubject, maxMsgs, maxBytes } = this.config;
    if (discard !== 'new') return null;
    const sameSubject = this.matching([p.subject]);
    const onSubject = sameSubject.length + earlier.filter(({ subject }) => subject === p.subject).length;
    const replaces = maxMsgsPerSubject > 0 && onSubject >= maxMsgsPerSubject;
    if (replaces && discardNewPerSubject && !h.has('Nats-Rollup')) return refusal(10077);
    if (maxMsgs > 0 && this.messages.size + earlier.length >= maxMsgs && !replaces) return refusal(10077);
    const size = this.bytesOf(this.messageOf(p, { ms: 0, nanos: 0 }));
    if (maxBytes <= 0 || this.bytes + size <= maxBytes) return null;
    const oldest = this.messages.get(sameSubject[0] ?? 0);
    return replaces && oldest !== undefined && this.bytesOf(oldest) >= size ? null : refusal(10077);
  }

  messageOf(p: Publish, clock: ModelClock): ModelMessage {
    const ttl = p.headers.find(([name]) => name === 'Nats-TTL')?.[1];
    return {
      subject: p.subject,
      headers: p.headers.length === 0 ? '' : `NATS/1.0\r\n${headerLines(p.headers)}\r\n`,
      payload: p.payload,
      timestampMs: clock.ms,
      timestampNanos: clock.nanos,
      ttlSeconds: ttl === undefined ? 0 : parseTtl(ttl),
    };
  }

  /** One message by itself: what it is answered; when it is stored, what follows is done too. */
  publish(p: Publish, clock: ModelClock): Outcome {
    const problem = this.problem(p, clock);
    if (problem !== null) return problem;
    const increment = p.headers.find(([name]) => name === 'Nats-Incr')?.[1];
    const message = this.messageOf(p, clock);
    let val = '';
    if (increment !== undefined) {
      const last = this.messages.get(this.matching([p.subject]).at(-1) ?? 0);
      const before = last === undefined ? 0n : BigInt((JSON.parse(last.payload) as { val: string }).val);
      val = String(before + BigInt(increment));
      message.payload = JSON.stringify({ val });
    }
    return { seq: this.store(message, clock.ms), error: 0, duplicate: false, val };
  }

  /** Stores a message that may be; what it is told to purge and what limits take goes. @returns its sequence */
  store(message: ModelMessage, nowMs: number, sequence = this.lastSeq + 1): number {
    const { config } = this;
    const id = headerOf(message, 'Nats-Msg-Id');
    this.lastMsgId = id ?? '';
    if (id !== null && config.duplicateWindowNs > 0n && config.mirror === null)
      this.ids.set(id, { seq: sequence, ms: nowMs });
    const rollup = headerOf(message, 'Nats-Rollup');
    if (config.retention === 'interest') this.skip(sequence, nowMs);
    else {
      this.raiseTtl(message);
      this.ended.add(this.matching([message.subject]).at(-1) ?? 0);
      this.append(sequence, message);
      this.stored.set(sequence, message);
      this.enforceSubject(message.subject);
      this.enforceTotals();
    }
    if (rollup === 'sub') this.purge([message.subject], 0, config.retention === 'interest' ? 0 : 1);
    if (rollup === 'all') this.compact(sequence);
    if (headerOf(message, 'Nats-Schedule-Next') === 'purge')
      this.purge([headerOf(message, 'Nats-Scheduler')!], 0, 0);
    return sequence;
  }

  /** A TTL shorter than that of markers is raised to it, in the header too. */
  raiseTtl(message: ModelMessage): void {
    const least = Number(this.config.subjectDeleteMarkerTtlNs / 1_000_000_000n);
    const { ttlSeconds } = message;
    if (ttlSeconds === 0 || ttlSeconds === TTL_NEVER || ttlSeconds >= least) return;
    if (this.config.maxMsgsPerSubject === 1) return;
    const old = headerOf(message, 'Nats-TTL')!;
    message.ttlSeconds = least;
    const rest = message.headers.replace(`Nats-TTL: ${old}\r\n`, '').slice(0, -2);
    message.headers = `${rest}Nats-TTL: ${least}\r\n\r\n`;
  }

  enforceSubject(subject: string): void {
    const most = this.config.maxMsgsPerSubject;
    if (most <= 0) return;
    const sequences = this.matching([subject]);
    for (const sequence of sequences.slice(0, Math.max(0, sequences.length - most))) this.remove(sequence);
  }

  enforceTotals(): void {
    const { maxMsgs, maxBytes, discard } = this.config;
    if (discard === 'new') return;
    while (
      this.messages.size > 0 &&
      ((maxMsgs > 0 && this.messages.size > maxMsgs) || (maxBytes > 0 && this.bytes > maxBytes))
    ) {
      this.remove(this.firstSeq);
    }
  }

  enforceAll(): void {
    for (const subject of new Set([...this.messages.values()].map((message) => message.subject)))
      this.enforceSubject(subject);
    this.enforceTotals();
  }

  /** When a message goes by itself. Unix milliseconds. */
  dueMs(message: ModelMessage): number {
    if (message.ttlSeconds === TTL_NEVER) return Infinity;
    const age = this.config.maxAgeNs === 0n ? Infinity : nanosToMs(this.config.maxAgeNs);
    const rests = message.ttlSeconds === 0 || !this.config.allowMsgTtl;
    const ttl = rests ? Infinity : message.ttlSeconds * 1000;
    return message.timestampMs + Math.min(age, ttl);
  }

  /**
   * Removes what has expired.
   *
   * @returns subjects on which a marker has to appear, and those on which one may: which of several messages that are due
   *   at once goes last is not told
   */
  expire(nowMs: number): { must: Set<string>; may: Set<string> } {
    const expired = [...this.messages].filter(([, message]) => this.dueMs(message) <= nowMs);
    for (const [sequence] of expired) this.messages.delete(sequence);
    if (expired.length > 0) this.settle();
    const must = new Set<string>();
    const may = new Set<string>();
    if (this.config.subjectDeleteMarkerTtlNs === 0n) return { must, may };
    const gone = expired.map(([, message]) => message);
    for (const subject of new Set(gone.map((message) => message.subject))) {
      if (this.matching([subject]).length > 0) continue;
      const own = gone.filter((message) => message.subject === subject);
      const markers = own.filter(isMarker).length;
      if (markers === 0) must.add(subject);
      else if (markers < own.length) may.add(subject);
    }
    return { must, may };
  }

  /** Fails when a message that an origin has was passed over. */
  checkComplete(models: ReadonlyMap<string, EngineModelStream>): void {
    const { mirror, sources, name } = this.config;
    for (const source of mirror === null ? sources : [mirror]) {
      const origin = models.get(source.name);
      if (origin === undefined) continue;
      const position = mirror === null ? (this.positions.get(origin.uid) ?? 0) : this.lastSeq;
      const filter = source.filterSubject === '' ? null : [source.filterSubject];
      const last = origin.matching(filter).at(-1) ?? 0;
      if (last > position) throw new Error(`${name}: ${source.name} ${last} was not copied`);
    }
  }

  /** Positions after a restart, from what was copied. */
  recoverPositions(models: ReadonlyMap<string, EngineModelStream>): void {
    if (this.config.sources.length === 0) return;
    for (const sequence of this.matching(null)) {
      const text = headerOf(this.messages.get(sequence)!, 'Nats-Stream-Source') ?? '';
      const [name = '', position] = text.split(' ');
      const origin = models.get(name);
      if (origin !== undefined && Number(position) <= origin.lastSeq && text.endsWith(` ${origin.identity}`))
        this.positions.set(origin.uid, Number(position));
    }
  }

  /** Takes over what a restart found, and what a restart makes of it: ids of the window from the messages. */
  static recovered(
    uid: number,
    config: StreamConfig,
    found: ModelStream,
    before: EngineModelStream | null,
    nowMs: number,
  ): EngineModelStream {
    const model = new EngineModelStream(uid, config);
    model.messages = found.messages;
    model.firstSeq = found.firstSeq;
    model.lastSeq = found.lastSeq;
    model.lastMs = found.lastMs;
    const since = nowMs - nanosToMs(config.duplicateWindowNs);
    for (const sequence of found.matching(null)) {
      const message = found.messages.get(sequence)!;
      const id = headerOf(message, 'Nats-Msg-Id');
      if (id !== null && message.timestampMs >= since && config.duplicateWindowNs > 0n)
        model.ids.set(id, { seq: sequence, ms: message.timestampMs });
    }
    const last = model.messages.get(model.lastSeq);
    model.lastMsgId = last === undefined ? '' : (headerOf(last, 'Nats-Msg-Id') ?? '');
    for (const [sequence, message] of before?.stored ?? [])
      if (sequence <= model.lastSeq) model.stored.set(sequence, message);
    for (const [sequence, message] of model.messages) model.stored.set(sequence, message);
    for (const { subject } of model.messages.values()) model.fired.set(subject, nowMs);
    const lasts = model.lastPerSubject(null, 0);
    for (const sequence of model.messages.keys()) if (!lasts.includes(sequence)) model.ended.add(sequence);
    model.promised = new Set(model.messages.keys());
    model.highestPromised = model.lastSeq;
    return model;
  }
}
